//! Products that are not for everybody: where they may be served, who may have what of them, and what is told to whom.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use http::header::AUTHORIZATION;
use http::{Method, Response, StatusCode};

use crate::catalog::Release;
use crate::client::Whereabouts;
use crate::entitlement::{
    Bounds, Counted, Disbelief, FileKey, Grant, Presented, SealedFor, TICKET_PARAMETER, Take,
};
use crate::metrics::Outcome;
use crate::model::{AssetIndex, Denial, IssuerId, RegionId, RegionName, Timestamp};
use crate::routing::Ask;
use crate::snapshot::{Guard, ProductView, ReleaseView, Snapshot};

use super::answer::{self, Answer, Facts, Inquiry, ask_of};
use super::body::Body;
use super::headers::Audience;
use super::lines::Lines;
use super::query::Query;
use super::refused;
use super::resolve::{Found, Meaning, Missing, Target, Why};
use super::rights::Given;
use super::tools::{Habit, habit};
use super::{documents, headers, names};

/// Who asked for a product that is not for everybody, and with what right.
#[derive(Debug, Clone, Default)]
pub struct Passage {
    /// What the caller may, where a token was believed.
    pub grant: Option<Arc<Grant>>,
    /// Whose token it is, or says it is.
    pub issuer: Option<IssuerId>,
    /// Why the caller is not given what they ask for.
    pub denial: Option<Denial>,
    /// How long it took to find out.
    pub took: Duration,
    /// The answer leads to files: it has to be recorded.
    pub hands_out: bool,
    /// The caller is refused what `latest` points to, and would be given the release before it.
    pub shut_out: bool,
}

impl Passage {
    pub(super) fn of(grant: &Arc<Grant>, hands_out: bool) -> Self {
        let (grant, issuer) = (Some(Arc::clone(grant)), Some(grant.issuer));
        Self { grant, issuer, hands_out, ..Self::default() }
    }
}

/// What a caller is refused with.
#[derive(Debug, Clone, Copy)]
pub(super) struct Refused {
    pub(super) reason: Denial,
    pub(super) issuer: Option<IssuerId>,
    /// It is not told that there is something to be refused.
    pub(super) hidden: bool,
}

impl From<Disbelief> for Refused {
    fn from(Disbelief { reason, issuer }: Disbelief) -> Self {
        Self { reason, issuer, hidden: false }
    }
}

/// A caller whose token is believed.
struct Caller {
    grant: Arc<Grant>,
    /// The tool repeats what stands in the header to the mirror.
    habit: Habit,
}

/// A caller who may have what is asked for.
struct Permitted {
    caller: Caller,
    /// How many different files the token may take, where that is counted.
    most: Option<u32>,
}

/// One request for a guarded product.
pub(super) struct Visit<'a, 's> {
    pub(super) snapshot: &'s Snapshot,
    pub(super) inquiry: &'a Inquiry<'a>,
    whereabouts: Whereabouts,
    pub(super) product: &'s ProductView,
    pub(super) query: Query<'a>,
    /// The ticket that the URL carries; an empty one: it asks for one.
    ticket: Option<Cow<'a, str>>,
    pub(super) region: Option<RegionId>,
    pub(super) now: Timestamp,
}

/// Answers a request for a guarded product.
pub(super) fn answer<'s>(
    snapshot: &'s Snapshot,
    inquiry: &Inquiry<'_>,
    (whereabouts, region): (Whereabouts, Option<RegionId>),
    (product, guard): (&'s ProductView, &'s Guard),
    meaning: Result<Meaning<'s>, Missing<'s>>,
    query: Query<'_>,
) -> Answer<'s> {
    let now = inquiry.occasion.now();
    let ticket = query.first(TICKET_PARAMETER);
    let visit = Visit { snapshot, inquiry, whereabouts, product, query, ticket, region, now };
    if whereabouts.country.is_some_and(|country| guard.deny_countries.contains(&country)) {
        let refused = Refused { reason: Denial::Territory, issuer: None, hidden: false };
        return visit.refuse(refused, &meaning);
    }
    if !guard.entitled {
        return answer::open(snapshot, inquiry, whereabouts, meaning, query);
    }
    let began = inquiry.occasion.instant();
    let caller = visit.caller(&meaning);
    let mut shut_out = false;
    let permitted = caller.and_then(|caller| {
        let permitted = visit.permit(&caller.grant, &meaning);
        shut_out = permitted.is_err() && visit.is_shut_out(&caller.grant, &meaning);
        permitted.map(|most| Permitted { caller, most })
    });
    let took = inquiry.occasion.instant().saturating_duration_since(began);
    let mut answer = match permitted {
        Ok(permitted) => visit.serve(&permitted, meaning),
        Err(refused) => visit.refuse(refused, &meaning),
    };
    // A redirect is made so.
    if answer.facts.outcome != Outcome::Redirected {
        headers::forbid_storing(&mut answer.response);
    }
    if let Some(passage) = &mut answer.passage {
        (passage.took, passage.shut_out) = (took, shut_out);
    }
    answer
}

impl<'s> Visit<'_, 's> {
    // ---- who ----

    fn caller(&self, meaning: &Result<Meaning<'s>, Missing<'s>>) -> Result<Caller, Refused> {
        let entitlements = &self.snapshot.entitlements;
        if let Some(ticket) = self.presented_ticket() {
            let bad = Refused { reason: Denial::BadTicket, issuer: None, hidden: false };
            let (release, asset) = asset_of(meaning).ok_or(bad)?;
            let grant = entitlements.redeem(ticket, &self.sealed_for(&release.release, asset), self.now)?;
            // A tool may bring both.
            let habit = match self.inquiry.headers.contains_key(AUTHORIZATION) {
                true => self.habit(),
                false => Habit::Forgets,
            };
            return Ok(Caller { grant: Arc::new(grant), habit });
        }
        let refused = |reason| Refused { reason, issuer: None, hidden: false };
        let (token, habit) = match Presented::of(self.inquiry.headers) {
            Presented::Header(token) => (token, self.habit()),
            Presented::Cookie(token) => (token.as_bytes().into(), Habit::Forgets),
            Presented::Nothing => return Err(refused(Denial::NoToken)),
            Presented::Unusable => return Err(refused(Denial::Malformed)),
        };
        Ok(Caller { grant: entitlements.grant(&token, self.now)?, habit })
    }

    /// Of the caller's tool; where no mirror minds a token, none matters.
    fn habit(&self) -> Habit {
        match self.snapshot.mirrors.refusing.is_empty() {
            true => Habit::Forgets,
            false => habit(self.inquiry.headers),
        }
    }

    fn sealed_for(&self, release: &'s Release, asset: AssetIndex) -> SealedFor<'s> {
        SealedFor {
            product: &release.id.product,
            version: &release.id.version,
            asset: &release.asset(asset).name,
            client: self.inquiry.client,
            region: self.region.map(|region| self.region_name(region)),
        }
    }

    fn region_name(&self, region: RegionId) -> &'s RegionName {
        &self.snapshot.settings.regions[region.index()]
    }

    // ---- the answer ----

    fn refuse(&self, refused: Refused, meaning: &Result<Meaning<'s>, Missing<'s>>) -> Answer<'s> {
        let Refused { reason, issuer, hidden } = refused;
        let response = match hidden {
            true => refused::not_found(self.inquiry),
            false => refused::refusal(reason, self.inquiry),
        };
        let passage = Passage { issuer, denial: Some(reason), ..Passage::default() };
        Answer { response, facts: self.facts(Outcome::Denied, meaning), passage: Some(passage) }
    }

    fn facts(&self, outcome: Outcome, meaning: &Result<Meaning<'s>, Missing<'s>>) -> Facts<'s> {
        let channel = match meaning {
            Ok(Meaning::Release(found)) => found.channel,
            Ok(_) => None,
            Err(missing) => missing.channel,
        };
        let asset = asset_of(meaning);
        Facts {
            outcome,
            product: Some(self.product),
            channel,
            asset,
            region: None,
            mirror: None,
            reason: None,
        }
    }

    fn serve(&self, permitted: &Permitted, meaning: Result<Meaning<'s>, Missing<'s>>) -> Answer<'s> {
        let grant = &permitted.caller.grant;
        let mut answer = self.granted(permitted, meaning);
        answer.passage.get_or_insert_with(|| Passage::of(grant, false));
        answer
    }

    /// Says who was there where files are handed out or a caller is refused.
    fn granted(&self, permitted: &Permitted, meaning: Result<Meaning<'s>, Missing<'s>>) -> Answer<'s> {
        let grant = &permitted.caller.grant;
        let found = match meaning {
            Ok(Meaning::Release(found)) => found,
            Ok(Meaning::Releases(product)) => {
                let (rules, given) = (self.rules_in_force(grant), Given { visit: self, grant });
                let response = documents::releases(self.snapshot, product, rules, &given);
                return answer::document(response, Some(product));
            }
            Ok(Meaning::Hosts) => {
                return answer::open(self.snapshot, self.inquiry, self.whereabouts, meaning, self.query);
            }
            Err(missing) => {
                let why = self.why(grant, missing);
                return answer::refusal(self.snapshot, self.inquiry, why, answer::why(why.why));
            }
        };
        let release = &*found.release.release;
        let metadata = |response| {
            let facts = self.facts(Outcome::Metadata, &Ok(Meaning::Release(found)));
            Answer { response, facts, passage: None }
        };
        let given = Given { visit: self, grant };
        match found.target {
            Target::Sums => metadata(documents::sums(self.snapshot, release, &given)),
            Target::VersionText => metadata(super::lists::version(self.snapshot, release)),
            Target::Sha256(asset) => metadata(super::lists::sha256(self.snapshot, release.asset(asset))),
            // Whoever comes with the ticket is not counted again.
            Target::File(asset) if self.wants_ticket() => match self.take(permitted, release, asset) {
                Ok(()) => metadata(self.ticket(grant, release, asset)),
                Err(reason) => self.refuse_file(reason, grant, found),
            },
            Target::File(asset) | Target::Metalink(asset) => self.deliver(permitted, found, asset),
        }
    }

    /// The replacement of a withdrawn release is not told to whom it is not given.
    fn why(&self, grant: &Grant, missing: Missing<'s>) -> Missing<'s> {
        match missing.why {
            Why::Withdrawn(view, asset)
                if view
                    .replacement
                    .as_ref()
                    .is_some_and(|to| self.gives(grant, &to.release, asset).is_err()) =>
            {
                Missing { why: Why::WithdrawnAlone(view), ..missing }
            }
            _ => missing,
        }
    }

    fn deliver(&self, permitted: &Permitted, found: Found<'s>, asset: AssetIndex) -> Answer<'s> {
        let (snapshot, inquiry, release) = (self.snapshot, self.inquiry, &*found.release.release);
        let Caller { grant, habit } = &permitted.caller;
        let facts = self.facts(Outcome::Redirected, &Ok(Meaning::Release(found)));
        let lines = Lines::of(inquiry.headers);
        let avoid = answer::avoided(snapshot, inquiry.headers, lines, self.query);
        let ask = ask_of(inquiry.client, self.whereabouts, found.release, asset, inquiry.https);
        let ask = Ask { avoid: avoid.as_ref(), entitled: true, ..ask };
        let careful = Ask { repeats: *habit != Habit::Forgets, ..ask };
        let choose = |ask: &Ask<'_>| snapshot.router().choose(ask, snapshot.settings.alternates);
        let (ask, pick) = match (choose(&careful), habit) {
            (None, Habit::Unknown) => (ask, choose(&ask)),
            (pick, _) => (careful, pick),
        };
        let Some(pick) = pick else {
            let leaks = *habit == Habit::Repeats && choose(&Ask { repeats: false, ..ask }).is_some();
            if leaks {
                let refused =
                    Refused { reason: Denial::TokenWouldLeak, issuer: Some(grant.issuer), hidden: false };
                return self.refuse(refused, &Ok(Meaning::Release(found)));
            }
            let detail = "no healthy mirror that may serve this product holds a verified copy just now";
            let response =
                super::problem::problem(StatusCode::SERVICE_UNAVAILABLE, detail, inquiry.headers, None);
            let facts = Facts {
                outcome: Outcome::NoMirror,
                reason: snapshot.router().most_excluded_by(&ask),
                ..facts
            };
            return Answer { response, facts, passage: None };
        };
        let as_list = match found.target {
            Target::Metalink(_) => Some(answer::List::Metalink),
            _ => answer::wanted_list(inquiry.headers, lines, self.query),
        };
        if let Err(reason) = self.take(permitted, release, asset) {
            return self.refuse_file(reason, grant, found);
        }
        if self.is_head() && as_list.is_none() {
            let response = documents::head(release.asset(asset));
            return Answer { response, facts: Facts { outcome: Outcome::Metadata, ..facts }, passage: None };
        }
        let (response, outcome) = match as_list {
            Some(list) => {
                let ranked = snapshot.router().ranked(&ask, super::lists::LISTED_MAX);
                (list.write(snapshot, inquiry, release, asset, &ranked), Outcome::Metadata)
            }
            None => {
                let audience = match self.presented_ticket() {
                    Some(_) => Audience::Ticket,
                    None => Audience::Bearer(names::linking(snapshot, inquiry)),
                };
                let response =
                    headers::redirect(snapshot, inquiry, audience, release, release.asset(asset), &pick);
                (response, Outcome::Redirected)
            }
        };
        let facts =
            Facts { outcome, mirror: Some(pick.mirror).filter(|_| outcome == Outcome::Redirected), ..facts };
        Answer { response, facts, passage: Some(Passage::of(grant, !self.is_head())) }
    }

    fn refuse_file(&self, reason: Denial, grant: &Grant, found: Found<'s>) -> Answer<'s> {
        let refused = Refused { reason, issuer: Some(grant.issuer), hidden: false };
        self.refuse(refused, &Ok(Meaning::Release(found)))
    }

    /// Counts a file where the grant counts them; why not, where it may not be taken. A token that nothing tells from others
    /// takes none, and a HEAD, which is told no link, counts none.
    fn take(&self, permitted: &Permitted, release: &Release, asset: AssetIndex) -> Result<(), Denial> {
        let Some(most) = permitted.most else { return Ok(()) };
        let grant = &permitted.caller.grant;
        let token_id = grant.token_id.as_ref().ok_or(Denial::Count)?;
        let entitlements = &self.snapshot.entitlements;
        let issuer = &entitlements.issuers[grant.issuer.index()];
        let file = FileKey::new(&release.id.product, &release.id.version, &release.asset(asset).name);
        let take = match self.is_head() || self.inquiry.occasion.is_rehearsal() {
            true => entitlements.counts.could_take(&issuer.name, token_id, file, most),
            false => {
                let until = issuer.counted_until(grant.valid_until, self.now);
                let (issuer, token_id) = (issuer.name.clone(), token_id.clone());
                entitlements.counts.take(Counted { issuer, token_id, file, until }, most)
            }
        };
        match take {
            Take::Given => Ok(()),
            Take::TooMany => Err(Denial::Count),
            Take::NoRoom => Err(Denial::NotCounted),
        }
    }

    fn is_head(&self) -> bool {
        *self.inquiry.method == Method::HEAD
    }

    // ---- tickets ----

    fn presented_ticket(&self) -> Option<&str> {
        self.ticket.as_deref().filter(|ticket| !ticket.is_empty())
    }

    fn wants_ticket(&self) -> bool {
        self.ticket.as_deref() == Some("")
    }

    fn ticket(&self, grant: &Grant, release: &'s Release, asset: AssetIndex) -> Response<Body> {
        let entitlements = &self.snapshot.entitlements;
        let issuer = &entitlements.issuers[grant.issuer.index()].name;
        let bound = self.query.first("bind").is_some_and(|to| to == "network");
        let network = bound.then(|| crate::client::client_network(self.inquiry.client));
        let tickets = &entitlements.tickets;
        let end = tickets.end(grant, self.now);
        let (until, regions) = self.ask(release, Some(asset), |question| grant.lasts(question, end));
        let named = |region| self.region_name(region).clone();
        let regions = regions.map(|regions| regions.into_iter().map(named).collect());
        let bounds = Bounds { until, regions, network };
        let ticket = tickets.seal(issuer, grant, &self.sealed_for(release, asset), bounds);
        documents::ticket(self.snapshot, self.inquiry, release, asset, &ticket, until)
    }
}

/// The asset that a path is about.
fn asset_of<'s>(meaning: &Result<Meaning<'s>, Missing<'s>>) -> Option<(&'s ReleaseView, AssetIndex)> {
    match meaning {
        Ok(Meaning::Release(found)) => found.target.asset().map(|asset| (&**found.release, asset)),
        Ok(Meaning::Releases(_) | Meaning::Hosts) | Err(_) => None,
    }
}
