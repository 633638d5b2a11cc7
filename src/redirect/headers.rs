//! The redirect itself. Its header lines always have the same names in the same order, so redirects with empty values are
//! prepared ahead; what varies is written into one buffer, cut where each value ends, and put in place. (To copy a
//! prepared header and replace its values costs a third less than to insert names into an empty one.)

use std::ops::Range;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, LINK, LOCATION, VARY};
use http::{HeaderName, HeaderValue, Response, StatusCode};

use crate::catalog::{Asset, Release};
use crate::links::{LinkFor, LinkMethod};
use crate::model::AssetIndex;
use crate::routing::{ALTERNATES_MAX, Mirror, Pick, write_path};
use crate::snapshot::{HostView, Redirects, Snapshot};

use super::answer::Inquiry;
use super::base64::put_base64;
use super::body::Body;
use super::tools::follows_links;

const DIGEST: HeaderName = HeaderName::from_static("digest");
const MIRROR: HeaderName = HeaderName::from_static("waypost-mirror");
/// Bytes that the values of an ordinary answer take together.
const ROOM: usize = 1024;
/// Links that are written: a duplicate for the chosen mirror and each alternate, the description.
const LINKS_MAX: usize = 1 + ALTERNATES_MAX + 1;
/// Values that are written: Location, Digest, the links.
const VALUES_MAX: usize = 2 + LINKS_MAX;

/// For what is this client's alone.
pub const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");

/// Says of an answer that nobody may keep it. A line that is there has its value replaced: to insert it again would have the
/// map make room first.
pub fn forbid_storing(response: &mut Response<Body>) {
    match response.headers_mut().get_mut(CACHE_CONTROL) {
        Some(value) => *value = NO_STORE,
        None => drop(response.headers_mut().insert(CACHE_CONTROL, NO_STORE)),
    }
}

/// What the links of an answer are signed for: the GET that follows it, by this client, now.
pub fn link_for(inquiry: &Inquiry<'_>) -> LinkFor {
    LinkFor { method: LinkMethod::Get, client: Some(inquiry.client), now: inquiry.occasion.now() }
}

/// A mirror's URL of an asset, signed where the mirror asks for it.
pub fn url_for(inquiry: &Inquiry<'_>, mirror: &Mirror, release: &Release, asset: &Asset) -> String {
    let mut url = Vec::new();
    mirror.write_url(release, asset, &mut url);
    if let Some(signer) = &mirror.signer {
        signer.sign(&mut url, 0, &link_for(inquiry));
    }
    String::from_utf8_lossy(&url).into_owned()
}

/// Redirects that say `cache_control`, and such that nobody may keep.
pub fn redirects(status: StatusCode, cache_control: &HeaderValue) -> Redirects {
    Redirects { kept: templates(status, cache_control), not_kept: templates(status, &NO_STORE) }
}

/// Redirects with 1, 2, 3, … links. The values that vary are empty and come first: the mirror's name, and what is
/// written, in that order.
fn templates(status: StatusCode, cache_control: &HeaderValue) -> Box<[Response<()>]> {
    let empty = || HeaderValue::from_static("");
    let template = |links: usize| {
        let mut response = Response::new(());
        *response.status_mut() = status;
        let headers = response.headers_mut();
        for name in [MIRROR, LOCATION, DIGEST] {
            headers.insert(name, empty());
        }
        (0..links).for_each(|_| {
            headers.append(LINK, empty());
        });
        headers.insert(CACHE_CONTROL, cache_control.clone());
        headers.insert(VARY, HeaderValue::from_static("Accept"));
        response
    };
    (1..=LINKS_MAX).map(template).collect()
}

/// Header values under construction.
struct Values<'a> {
    inquiry: &'a Inquiry<'a>,
    release: &'a Release,
    asset: &'a Asset,
    /// Where the path that most mirrors share was written first: from then on it is copied.
    path: Option<Range<usize>>,
    buffer: Vec<u8>,
    /// Where each value lies in the buffer.
    cuts: [Range<usize>; VALUES_MAX],
    count: usize,
    /// What links are signed for, as soon as one is.
    signed_for: Option<LinkFor>,
}

impl Values<'_> {
    fn put(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// `<` and the asset's URL at a mirror. Gives where the URL lies.
    #[inline]
    fn put_url(&mut self, mirror: &Mirror) -> Range<usize> {
        let start = self.buffer.len() + 1;
        self.put(mirror.link_open.as_bytes());
        match &mirror.layout {
            None => self.put_canonical_path(),
            Some(layout) => write_path(layout, self.release, self.asset, &mut self.buffer),
        }
        if let Some(signer) = &mirror.signer {
            let signed_for = self.signed_for.get_or_insert_with(|| link_for(self.inquiry));
            signer.sign(&mut self.buffer, start, signed_for);
            // The signer may have written the path in another form.
            self.path = None;
        }
        start..self.buffer.len()
    }

    /// `<product>/<version>/<asset>`
    #[inline]
    fn put_canonical_path(&mut self) {
        match &self.path {
            Some(path) => self.buffer.extend_from_within(path.clone()),
            None => {
                let start = self.buffer.len();
                self.put(self.release.url_prefix.as_bytes());
                self.put(self.asset.url_path().as_bytes());
                self.path = Some(start..self.buffer.len());
            }
        }
    }

    /// `<` and this service's own URL of the asset, as it is on the host that was asked.
    fn put_own_url(&mut self, snapshot: &Snapshot, host: Option<&HostView>) {
        match host {
            None => {
                self.put(snapshot.settings.link_open.as_bytes());
                self.put_canonical_path();
            }
            Some(host) => {
                self.put(host.link_open.as_bytes());
                self.put(below(host, self.release).as_bytes());
                self.put(self.asset.url_path().as_bytes());
            }
        }
    }

    /// `SHA-256=<base64>` (RFC 3230; what download managers check today).
    fn put_digest(&mut self) {
        self.put(b"SHA-256=");
        put_base64(self.asset.sha256.as_bytes(), &mut self.buffer);
    }

    /// The next value lies here.
    fn cut(&mut self, value: Range<usize>) {
        self.cuts[self.count] = value;
        self.count += 1;
    }

    /// The next value is what was written since `start`.
    fn cut_from(&mut self, start: usize) {
        self.cut(start..self.buffer.len());
    }

    /// Puts the values in their places.
    fn fill<'p>(self, places: impl Iterator<Item = &'p mut HeaderValue>) {
        let bytes = Bytes::from(self.buffer);
        for (place, cut) in places.zip(&self.cuts[..self.count]) {
            // Everything written here is ASCII without controls: checked names, encoded paths, parsed URLs.
            if let Ok(value) = HeaderValue::from_maybe_shared(bytes.slice(cut.clone())) {
                *place = value;
            }
        }
    }
}

/// For whom a redirect is. Its Metalink is at this service, by its name on the host that was asked.
#[derive(Debug, Clone, Copy)]
pub enum Audience<'s> {
    /// Everybody.
    Public(Option<&'s HostView>),
    /// The bearer of a token, who brings it again for the Metalink. Nobody may keep it.
    Bearer(Option<&'s HostView>),
    /// Whoever came with a ticket, which does not do for the Metalink. Nobody may keep it.
    Ticket,
}

/// A redirect to the chosen mirror (RFC 6249 for the duplicates, the digest and the description).
///
/// wget2 is the tool that goes by the description, and it decides when there is one: not to who came with a ticket, which does
/// not go along; not where links are signed, because it asks a mirror that refuses one of a list's links for ever; and none to
/// itself where it is relative for want of a public URL, because it takes that for a host's name.
pub fn redirect(
    snapshot: &Snapshot,
    inquiry: &Inquiry<'_>,
    audience: Audience<'_>,
    release: &Release,
    asset: &Asset,
    pick: &Pick,
) -> Response<Body> {
    let buffer = Vec::with_capacity(ROOM);
    let cuts = [const { 0..0 }; VALUES_MAX];
    let mut values = Values { inquiry, release, asset, path: None, buffer, cuts, count: 0, signed_for: None };
    let chosen = snapshot.mirrors.get(pick.mirror);
    // The first duplicate is the chosen mirror's: what it links to is the Location.
    let location = values.put_url(chosen);
    values.put(chosen.link_tails[0].as_bytes());
    let digest = values.buffer.len();
    values.put_digest();
    values.cut(location);
    values.cut_from(digest);
    values.cut(0..digest);
    for (place, id) in (1..).zip(pick.alternates()) {
        let mirror = snapshot.mirrors.get(*id);
        let start = values.buffer.len();
        values.put_url(mirror);
        values.put(mirror.link_tails[place].as_bytes());
        values.cut_from(start);
    }
    let signed = values.signed_for.is_some();
    let described = !signed && (!snapshot.settings.public_url.is_empty() || !follows_links(inquiry.headers));
    if let (Audience::Public(host) | Audience::Bearer(host), true) = (audience, described) {
        let start = values.buffer.len();
        values.put_own_url(snapshot, host);
        values.put(b".meta4>; rel=describedby; type=\"application/metalink4+xml\"");
        values.cut_from(start);
    }

    // After Location and Digest, what was written are links; the first template has one.
    let Redirects { kept, not_kept } = &snapshot.settings.redirects;
    let templates = if matches!(audience, Audience::Public(_)) && !signed { kept } else { not_kept };
    let mut response = templates[values.count - 3].clone().map(|()| Body::default());
    let mut places = response.headers_mut().values_mut();
    if let Some(name) = places.next() {
        *name = chosen.name_value.clone();
    }
    values.fill(places);
    // It tells the mirror in `Referer` by which URL it came to a link, and a ticket is a part of that.
    if (signed || matches!(audience, Audience::Ticket)) && follows_links(inquiry.headers) {
        response.headers_mut().remove(LINK);
    }
    response
}

/// The path of a release on a further host, below its prefix; its own product is left out there.
fn below<'r>(host: &HostView, release: &'r Release) -> &'r str {
    match release.url_prefix.split_once('/') {
        Some((_, version)) if host.product.as_ref() == Some(&release.id.product) => version,
        _ => &release.url_prefix,
    }
}

/// How links to this service begin, and a release's path there.
fn own<'a>(snapshot: &'a Snapshot, host: Option<&'a HostView>, release: &'a Release) -> [&'a str; 2] {
    match host {
        None => [&snapshot.settings.link_open, &release.url_prefix],
        Some(host) => [&host.link_open, below(host, release)],
    }
}

/// The asset's own URL at this service, as it is on the host that was asked; a path where no public URL is configured.
pub fn own_url(snapshot: &Snapshot, host: Option<&HostView>, release: &Release, asset: &Asset) -> String {
    let [open, path] = own(snapshot, host, release);
    [open.trim_start_matches('<'), path, asset.url_path()].concat()
}

/// A link to the asset of a withdrawn release's replacement, else to the replacement's checksums, which every release
/// has (RFC 5829 section 3.3).
pub fn successor(
    snapshot: &Snapshot,
    host: Option<&HostView>,
    release: &Release,
    asset: Option<AssetIndex>,
) -> HeaderValue {
    let name = asset.map_or("SHA256SUMS", |asset| release.asset(asset).url_path());
    let [open, path] = own(snapshot, host, release);
    let link = [open, path, name, ">; rel=successor-version"].concat();
    // Written as the links of a redirect are.
    HeaderValue::from_maybe_shared(Bytes::from(link)).unwrap_or(HeaderValue::from_static(""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_have_a_place_for_every_value_before_what_is_constant() {
        let constant = HeaderValue::from_static("private, max-age=60");
        for (links, template) in (1..).zip(&templates(StatusCode::FOUND, &constant)) {
            let template = template.headers();
            let values: Vec<_> = template.values().collect();
            let varying = 3 + links;
            assert!(values[..varying].iter().all(|value| value.is_empty()));
            assert!(values[varying..].iter().all(|value| !value.is_empty()));
            assert_eq!(template.get_all(LINK).iter().count(), links);
            let names: Vec<_> = template.iter().map(|(name, _)| name.as_str()).collect();
            assert_eq!(names[..3], ["waypost-mirror", "location", "digest"]);
        }
    }
}
