//! The story of a request, step by step as in the room's list.

use std::net::IpAddr;
use std::time::Instant;

use http::header::CACHE_CONTROL;
use http::{HeaderMap, Method, Response, StatusCode, Uri};

use crate::client::{Whereabouts, sticky_key};
use crate::metrics::{Outcome, ProductMeters};
use crate::model::{AssetIndex, Exclusion, MirrorId, MirrorSet, RegionId, Timestamp};
use crate::routing::Ask;
use crate::snapshot::{Guard, ProductView, ReleaseView, Snapshot};

use super::accept::{Wanted, wanted};
use super::body::Body;
use super::guarded::{self, Passage};
use super::headers::Audience;
use super::lines::{AVOID, Lines};
use super::problem::{gone, problem};
use super::query::Query;
use super::resolve::{Found, Meaning, Missing, Target, Why, decode};
use super::{documents, headers, lists, names};

/// What is asked, by whom.
#[derive(Debug, Clone, Copy)]
pub struct Inquiry<'a> {
    /// The request's method.
    pub method: &'a Method,
    /// Its path and query.
    pub uri: &'a Uri,
    /// Its header.
    pub headers: &'a HeaderMap,
    /// The client's address.
    pub client: IpAddr,
    /// Whether the client came by https.
    pub https: bool,
    /// When, and whether in earnest.
    pub occasion: &'a dyn Occasion,
}

/// What an answer needs to know of the moment: only where a product is not for everybody, or a link is signed.
pub trait Occasion {
    /// The time.
    fn now(&self) -> Timestamp;

    /// The moment, for how long something takes.
    fn instant(&self) -> Instant {
        Instant::now()
    }

    /// Whether nothing is to come of the answer: somebody only wants to know what it would be.
    fn is_rehearsal(&self) -> bool {
        false
    }
}

/// An occasion at a moment that is known.
impl Occasion for Timestamp {
    fn now(&self) -> Timestamp {
        *self
    }
}

impl std::fmt::Debug for dyn Occasion + '_ {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.now().fmt(f)
    }
}

/// What became of a request, for metrics and the access log.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'s> {
    /// The outcome.
    pub outcome: Outcome,
    /// The product, where the path names one.
    pub product: Option<&'s ProductView>,
    /// The channel, where the path names one.
    pub channel: Option<usize>,
    /// The release and asset, where they were found.
    pub asset: Option<(&'s ReleaseView, AssetIndex)>,
    /// The client's region, where it was looked up.
    pub region: Option<RegionId>,
    /// The chosen mirror.
    pub mirror: Option<MirrorId>,
    /// What kept most mirrors from serving the request, where none could.
    pub reason: Option<Exclusion>,
}

/// An answer.
#[derive(Debug)]
pub struct Answer<'s> {
    /// What goes to the client.
    pub response: Response<Body>,
    /// What became of the request.
    pub facts: Facts<'s>,
    /// Who asked for a product that is not for everybody, and with what right.
    pub passage: Option<Passage>,
}

impl Facts<'_> {
    /// Counts the answer. `now` is asked only when nobody was sent to the release before.
    #[inline]
    pub fn count(&self, unnamed: Option<&ProductMeters>, now: impl FnOnce() -> Timestamp) {
        let region = self.region.map(RegionId::index);
        let Some(meters) = self.product.map(|product| &*product.meters).or(unnamed) else { return };
        meters.answered(self.channel, region, self.outcome);
        if let Some(mirror) = self.mirror {
            meters.redirected(region, mirror.index());
            if let Some((release, _)) = self.asset {
                release.first_redirect.note(now);
                if release.superseded {
                    meters.superseded();
                }
            }
        }
        if let Some(reason) = self.reason {
            meters.unserved(reason.as_str());
        }
    }
}

/// Most words of `avoid` that are looked at, in all, empty ones included.
const AVOID_MAX: usize = 100;

/// What a choice depends on, for a client and a release.
#[inline]
pub fn ask_of<'a>(
    client: IpAddr,
    whereabouts: Whereabouts,
    release: &'a ReleaseView,
    asset: AssetIndex,
    https: bool,
) -> Ask<'a> {
    Ask {
        address: client.to_canonical(),
        whereabouts,
        sticky: crate::routing::mix(sticky_key(client) ^ release.release.sticky),
        https,
        avoid: None,
        holders: release.holders.of(asset),
        entitled: false,
        repeats: false,
    }
}

/// Answers a request.
pub fn answer<'s>(snapshot: &'s Snapshot, inquiry: &Inquiry<'_>) -> Answer<'s> {
    let whereabouts = snapshot.locator.locate(inquiry.client);
    let region = snapshot.router().region(&whereabouts);
    let mut answer = decide(snapshot, inquiry, whereabouts, region);
    answer.facts.region = region;
    answer
}

fn decide<'s>(
    snapshot: &'s Snapshot,
    inquiry: &Inquiry<'_>,
    whereabouts: Whereabouts,
    region: Option<RegionId>,
) -> Answer<'s> {
    let refuse = |status, outcome, detail| {
        let missing = Missing { product: None, channel: None, why: Why::NotFound };
        refusal(snapshot, inquiry, missing, (status, outcome, detail))
    };
    if inquiry.method != Method::GET && inquiry.method != Method::HEAD {
        return refuse(StatusCode::METHOD_NOT_ALLOWED, Outcome::BadMethod, "");
    }
    let Some(path) = decode(inquiry.uri.path()) else {
        return refuse(StatusCode::BAD_REQUEST, Outcome::BadRequest, "the path is not plain text");
    };
    let query = Query::of(inquiry.uri);
    let meaning = names::find(snapshot, inquiry, &path, query);
    if let Some((product, guard)) = guarded_by(&meaning) {
        let place = (whereabouts, region);
        return guarded::answer(snapshot, inquiry, place, (product, guard), meaning, query);
    }
    open(snapshot, inquiry, whereabouts, meaning, query)
}

/// The product of a path that is not for everybody.
#[inline]
fn guarded_by<'s>(meaning: &Result<Meaning<'s>, Missing<'s>>) -> Option<(&'s ProductView, &'s Guard)> {
    let product = match meaning {
        Ok(Meaning::Release(found)) => Some(found.product),
        Ok(Meaning::Releases(product)) => Some(*product),
        Ok(Meaning::Hosts) => None,
        Err(missing) => missing.product,
    }?;
    product.guard.as_deref().map(|guard| (product, guard))
}

/// The answer where anybody may have it.
#[inline]
pub(super) fn open<'s>(
    snapshot: &'s Snapshot,
    inquiry: &Inquiry<'_>,
    whereabouts: Whereabouts,
    meaning: Result<Meaning<'s>, Missing<'s>>,
    query: Query<'_>,
) -> Answer<'s> {
    match meaning {
        Ok(Meaning::Release(found)) => deliver(snapshot, inquiry, whereabouts, found, query),
        Ok(Meaning::Releases(product)) => document(lists::releases(snapshot, product), Some(product)),
        Ok(Meaning::Hosts) => document(lists::hosts(snapshot), None),
        Err(missing) => refusal(snapshot, inquiry, missing, why(missing.why)),
    }
}

/// The one place where a reason becomes a status.
pub(super) fn why(why: Why<'_>) -> (StatusCode, Outcome, &str) {
    match why {
        Why::Withdrawn(withdrawn, _) | Why::WithdrawnAlone(withdrawn) => {
            let reason = if withdrawn.reason.is_empty() { "it was withdrawn" } else { &withdrawn.reason };
            (StatusCode::GONE, Outcome::Withdrawn, reason)
        }
        Why::NotFound => (StatusCode::NOT_FOUND, Outcome::NotFound, ""),
        Why::NotReady => (
            StatusCode::SERVICE_UNAVAILABLE,
            Outcome::NotReady,
            "this channel has no release yet that is ready to be downloaded",
        ),
        Why::NoPlatform => (
            StatusCode::BAD_REQUEST,
            Outcome::BadRequest,
            "say which platform, for example ?platform=linux-amd64 (and &version=1.2.3 or a channel)",
        ),
    }
}

/// What is said of no release.
pub(super) fn document<'s>(response: Response<Body>, product: Option<&'s ProductView>) -> Answer<'s> {
    let outcome = Outcome::Metadata;
    let facts =
        Facts { outcome, product, channel: None, asset: None, region: None, mirror: None, reason: None };
    Answer { response, facts, passage: None }
}

pub(super) fn refusal<'s>(
    snapshot: &'s Snapshot,
    inquiry: &Inquiry<'_>,
    missing: Missing<'s>,
    (status, outcome, detail): (StatusCode, Outcome, &str),
) -> Answer<'s> {
    let Missing { product, channel, why } = missing;
    let response = match why {
        Why::Withdrawn(withdrawn, asset) => {
            let replacement = withdrawn.replacement.as_ref().map(|view| (&*view.release, asset));
            gone(snapshot, names::linking(snapshot, inquiry), detail, replacement, inquiry.headers)
        }
        Why::WithdrawnAlone(_) => gone(snapshot, None, detail, None, inquiry.headers),
        _ => problem(status, detail, inquiry.headers, Some(&snapshot.settings.cache_control)),
    };
    let facts = Facts { outcome, product, channel, asset: None, region: None, mirror: None, reason: None };
    Answer { response, facts, passage: None }
}

#[inline(always)]
fn deliver<'s>(
    snapshot: &'s Snapshot,
    inquiry: &Inquiry<'_>,
    whereabouts: Whereabouts,
    found: Found<'s>,
    query: Query<'_>,
) -> Answer<'s> {
    let release = &*found.release.release;
    let (product, channel) = (Some(found.product), found.channel);
    let about =
        |outcome, asset| Facts { outcome, product, channel, asset, region: None, mirror: None, reason: None };
    let metadata =
        |response, asset| Answer { response, facts: about(Outcome::Metadata, asset), passage: None };
    let lines = Lines::of(inquiry.headers);
    let (asset, listed) = match found.target {
        Target::Sums => return metadata(lists::sums(snapshot, release), None),
        Target::VersionText => return metadata(lists::version(snapshot, release), None),
        Target::Sha256(asset) => {
            let response = lists::sha256(snapshot, release.asset(asset));
            return metadata(response, Some((&**found.release, asset)));
        }
        Target::Metalink(asset) => (asset, Some(List::Metalink)),
        Target::File(asset) => (asset, wanted_list(inquiry.headers, lines, query)),
    };
    let of = Some((&**found.release, asset));
    let avoid = avoided(snapshot, inquiry.headers, lines, query);
    let ask = ask_of(inquiry.client, whereabouts, found.release, asset, inquiry.https);
    let ask = Ask { avoid: avoid.as_ref(), ..ask };
    if let Some(list) = listed {
        let ranked = snapshot.router().ranked(&ask, lists::LISTED_MAX);
        if !ranked.is_empty() {
            return metadata(list.write(snapshot, inquiry, release, asset, &ranked), of);
        }
    }
    match snapshot.router().choose(&ask, snapshot.settings.alternates) {
        Some(pick)
            if inquiry.method == Method::HEAD && snapshot.mirrors.get(pick.mirror).signer.is_some() =>
        {
            metadata(documents::head(release.asset(asset)), of)
        }
        Some(pick) => {
            let everybody = Audience::Public(names::linking(snapshot, inquiry));
            let asset = release.asset(asset);
            let response = headers::redirect(snapshot, inquiry, everybody, release, asset, &pick);
            let facts = Facts { mirror: Some(pick.mirror), ..about(Outcome::Redirected, of) };
            Answer { response, facts, passage: None }
        }
        None => {
            let detail = "no healthy mirror holds a verified copy just now";
            let response = problem(StatusCode::SERVICE_UNAVAILABLE, detail, inquiry.headers, None);
            let reason = snapshot.router().most_excluded_by(&ask);
            Answer { response, facts: Facts { reason, ..about(Outcome::NoMirror, of) }, passage: None }
        }
    }
}

/// The lists of a client's mirrors.
#[derive(Debug, Clone, Copy)]
pub(super) enum List {
    Metalink,
    Json,
    Text,
}

impl List {
    pub(super) fn write(
        self,
        snapshot: &Snapshot,
        inquiry: &Inquiry<'_>,
        release: &crate::catalog::Release,
        asset: AssetIndex,
        ranked: &[MirrorId],
    ) -> Response<Body> {
        let write = match self {
            Self::Metalink => lists::metalink,
            Self::Json => lists::mirrors_json,
            Self::Text => lists::mirrors_text,
        };
        let mut response = write(snapshot, inquiry, release, release.asset(asset), ranked);
        if ranked.iter().any(|id| snapshot.mirrors.get(*id).signer.is_some()) {
            // What is kept outlives its links.
            response.headers_mut().insert(CACHE_CONTROL, headers::NO_STORE);
        }
        response
    }
}

#[inline]
pub(super) fn wanted_list(headers: &HeaderMap, lines: Lines, query: Query<'_>) -> Option<List> {
    if !query.is_empty() {
        match query.first("mirrors").as_deref() {
            Some("text") => return Some(List::Text),
            Some(_) => return Some(List::Json),
            None => {}
        }
    }
    if !lines.accept {
        return None;
    }
    match wanted(headers) {
        Wanted::File => None,
        Wanted::Metalink => Some(List::Metalink),
        Wanted::Json => Some(List::Json),
    }
}

/// The mirrors that the client asks to avoid, by `?avoid=` or `Waypost-Avoid`. Unknown names mean nothing.
#[inline]
pub(super) fn avoided(
    snapshot: &Snapshot,
    headers: &HeaderMap,
    lines: Lines,
    query: Query<'_>,
) -> Option<MirrorSet> {
    if query.is_empty() && !lines.avoid {
        return None;
    }
    let mut avoided = MirrorSet::new();
    let mut left = AVOID_MAX;
    let mut add = |list: &str| {
        for word in list.split(',').map(str::trim) {
            let Some(fewer) = left.checked_sub(1) else { return };
            left = fewer;
            if !word.is_empty() {
                snapshot.router().add_avoided(word, &mut avoided);
            }
        }
    };
    query.all("avoid").for_each(|list| add(&list));
    let lines = headers.get_all(&AVOID).iter();
    lines.filter_map(|line| line.to_str().ok()).for_each(add);
    (!avoided.is_empty()).then_some(avoided)
}
