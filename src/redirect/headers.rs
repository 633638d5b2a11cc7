//! The redirect itself. Its header lines always have the same names in the same order, so the map of them is prepared
//! ahead; what varies is written into one buffer, cut where each value ends, and put in place.

use bytes::Bytes;
use data_encoding::BASE64;
use http::header::{CACHE_CONTROL, LINK, LOCATION, VARY};
use http::{HeaderMap, HeaderName, HeaderValue, Response};

use crate::catalog::{Asset, Release};
use crate::model::MirrorId;
use crate::routing::{ALTERNATES_MAX, Pick};
use crate::snapshot::Snapshot;

use super::answer::Body;

const DIGEST: HeaderName = HeaderName::from_static("digest");
const MIRROR: HeaderName = HeaderName::from_static("waypost-mirror");
/// Bytes that the values of an ordinary answer take together.
const ROOM: usize = 1024;
/// Values that vary: Location, Digest, the mirror, a duplicate for it and each alternate, the description.
const VALUES_MAX: usize = 3 + 1 + ALTERNATES_MAX + 1;

/// The header maps of redirects with 0, 1, 2, … alternates. The values that vary are empty and come first, in the order
/// in which [`redirect`] writes them.
pub fn templates(cache_control: &HeaderValue) -> Box<[HeaderMap]> {
    let empty = || HeaderValue::from_static("");
    let template = |alternates: usize| {
        let mut headers = HeaderMap::new();
        for name in [LOCATION, DIGEST, MIRROR] {
            headers.insert(name, empty());
        }
        (0..alternates + 2).for_each(|_| {
            headers.append(LINK, empty());
        });
        headers.insert(CACHE_CONTROL, cache_control.clone());
        headers.insert(VARY, HeaderValue::from_static("Accept"));
        headers
    };
    (0..=ALTERNATES_MAX).map(template).collect()
}

/// Header values under construction.
struct Values {
    buffer: Vec<u8>,
    ends: [usize; VALUES_MAX],
    count: usize,
}

impl Values {
    fn put(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    fn end(&mut self) {
        self.ends[self.count] = self.buffer.len();
        self.count += 1;
    }

    fn finish(self) -> impl Iterator<Item = HeaderValue> {
        let bytes = Bytes::from(self.buffer);
        let mut start = 0;
        self.ends.into_iter().take(self.count).map(move |end| {
            let value = bytes.slice(start..end);
            start = end;
            // Everything written here is ASCII without controls: checked names, encoded paths, parsed URLs.
            HeaderValue::from_maybe_shared(value).unwrap_or(HeaderValue::from_static(""))
        })
    }
}

/// A redirect to the chosen mirror (RFC 6249 for the duplicates and the digest).
pub fn redirect(snapshot: &Snapshot, release: &Release, asset: &Asset, pick: &Pick) -> Response<Body> {
    let mut values = Values { buffer: Vec::with_capacity(ROOM), ends: [0; VALUES_MAX], count: 0 };
    let chosen = snapshot.mirrors.get(pick.mirror);
    chosen.write_url(release, asset, &mut values.buffer);
    values.end();
    write_digest(asset, &mut values);
    values.put(chosen.name.as_bytes());
    values.end();
    write_duplicate(snapshot, release, asset, pick.mirror, 1, &mut values);
    for (priority, id) in (2..).zip(pick.alternates()) {
        write_duplicate(snapshot, release, asset, *id, priority, &mut values);
    }
    write_described_by(snapshot, release, asset, &mut values);

    let settings = &snapshot.settings;
    let mut response = Response::new(Body::default());
    *response.status_mut() = settings.status;
    let mut headers = settings.redirects[pick.alternates().len()].clone();
    for (place, value) in headers.values_mut().zip(values.finish()) {
        *place = value;
    }
    *response.headers_mut() = headers;
    response
}

/// `SHA-256=<base64>` (RFC 3230; what download managers check today).
fn write_digest(asset: &Asset, values: &mut Values) {
    let mut base64 = [0; 44];
    BASE64.encode_mut(asset.sha256.as_bytes(), &mut base64);
    values.put(b"SHA-256=");
    values.put(&base64);
    values.end();
}

/// `<url>; rel=duplicate; pri=N; geo=cc` (RFC 6249 section 3).
fn write_duplicate(
    snapshot: &Snapshot,
    release: &Release,
    asset: &Asset,
    id: MirrorId,
    priority: u8,
    values: &mut Values,
) {
    let mirror = snapshot.mirrors.get(id);
    values.put(b"<");
    mirror.write_url(release, asset, &mut values.buffer);
    values.put(b">; rel=duplicate; pri=");
    if priority >= 10 {
        values.put(&[b'0' + priority / 10]);
    }
    values.put(&[b'0' + priority % 10]);
    values.put(mirror.link_tail.as_bytes());
    values.end();
}

/// `<….meta4>; rel=describedby` (RFC 6249 section 4).
fn write_described_by(snapshot: &Snapshot, release: &Release, asset: &Asset, values: &mut Values) {
    values.put(b"<");
    write_canonical(snapshot, release, asset, &mut values.buffer);
    values.put(b".meta4>; rel=describedby; type=\"application/metalink4+xml\"");
    values.end();
}

/// The asset's own URL at this service; a path where no public URL is configured.
pub fn write_canonical(snapshot: &Snapshot, release: &Release, asset: &Asset, out: &mut Vec<u8>) {
    for part in [&*snapshot.settings.public_url, "/", &release.url_prefix, asset.url_path()] {
        out.extend_from_slice(part.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_have_a_place_for_every_value_before_what_is_constant() {
        let constant = HeaderValue::from_static("private, max-age=60");
        for (alternates, template) in templates(&constant).iter().enumerate() {
            let values: Vec<_> = template.values().collect();
            let varying = 3 + 1 + alternates + 1;
            assert!(values[..varying].iter().all(|value| value.is_empty()));
            assert!(values[varying..].iter().all(|value| !value.is_empty()));
            assert_eq!(template.get_all(LINK).iter().count(), alternates + 2);
            let names: Vec<_> = template.iter().map(|(name, _)| name.as_str()).collect();
            assert_eq!(names[..3], ["location", "digest", "waypost-mirror"]);
        }
    }
}
