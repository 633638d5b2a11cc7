//! The redirect itself: all of its variable header values are written into one buffer and share it.

use std::io::Write;

use bytes::Bytes;
use data_encoding::BASE64;
use http::header::{CACHE_CONTROL, LINK, LOCATION, VARY};
use http::{HeaderMap, HeaderName, HeaderValue, Response};

use crate::catalog::{Asset, Release};
use crate::model::MirrorId;
use crate::routing::Pick;
use crate::snapshot::Snapshot;

use super::answer::Body;

const DIGEST: HeaderName = HeaderName::from_static("digest");
const MIRROR: HeaderName = HeaderName::from_static("waypost-mirror");
/// Bytes that the values of an ordinary answer take together.
const ROOM: usize = 1024;

/// Header values under construction: one buffer, cut where each ends.
struct Values {
    buffer: Vec<u8>,
    ends: [usize; 16],
    count: usize,
}

impl Values {
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
    let mut values = Values { buffer: Vec::with_capacity(ROOM), ends: [0; 16], count: 0 };
    let mirrors = &snapshot.mirrors;
    mirrors.get(pick.mirror).write_url(release, asset, &mut values.buffer);
    values.end();
    write_digest(asset, &mut values.buffer);
    values.end();
    values.buffer.extend_from_slice(mirrors.get(pick.mirror).name.as_bytes());
    values.end();
    write_duplicate(snapshot, release, asset, pick.mirror, 1, &mut values);
    for (priority, id) in (2..).zip(pick.alternates()) {
        write_duplicate(snapshot, release, asset, *id, priority, &mut values);
    }
    write_described_by(snapshot, release, asset, &mut values.buffer);
    values.end();

    let settings = &snapshot.settings;
    let mut response = Response::new(Body::default());
    *response.status_mut() = settings.status;
    let mut headers = HeaderMap::with_capacity(16);
    headers.insert(CACHE_CONTROL, settings.cache_control.clone());
    headers.insert(VARY, HeaderValue::from_static("Accept"));
    for (at, value) in values.finish().enumerate() {
        match at {
            0 => drop(headers.insert(LOCATION, value)),
            1 => drop(headers.insert(DIGEST, value)),
            2 => drop(headers.insert(MIRROR, value)),
            _ => drop(headers.append(LINK, value)),
        }
    }
    *response.headers_mut() = headers;
    response
}

/// `SHA-256=<base64>` (RFC 3230; what download managers check today).
fn write_digest(asset: &Asset, out: &mut Vec<u8>) {
    out.extend_from_slice(b"SHA-256=");
    let mut base64 = [0; 44];
    BASE64.encode_mut(asset.sha256.as_bytes(), &mut base64);
    out.extend_from_slice(&base64);
}

/// `<url>; rel=duplicate; pri=N; geo=cc` (RFC 6249 section 3).
fn write_duplicate(
    snapshot: &Snapshot,
    release: &Release,
    asset: &Asset,
    id: MirrorId,
    priority: u32,
    values: &mut Values,
) {
    let mirror = snapshot.mirrors.get(id);
    values.buffer.push(b'<');
    mirror.write_url(release, asset, &mut values.buffer);
    // Writing to a Vec cannot fail.
    let _ = write!(values.buffer, ">; rel=duplicate; pri={priority}");
    values.buffer.extend_from_slice(mirror.link_tail.as_bytes());
    values.end();
}

/// `<….meta4>; rel=describedby` (RFC 6249 section 4).
fn write_described_by(snapshot: &Snapshot, release: &Release, asset: &Asset, out: &mut Vec<u8>) {
    out.push(b'<');
    write_canonical(snapshot, release, asset, out);
    out.extend_from_slice(b".meta4>; rel=describedby; type=\"application/metalink4+xml\"");
}

/// The asset's own URL at this service; a path where no public URL is configured.
pub fn write_canonical(snapshot: &Snapshot, release: &Release, asset: &Asset, out: &mut Vec<u8>) {
    for part in [&*snapshot.settings.public_url, "/", &release.url_product, "/", &release.url_version, "/"] {
        out.extend_from_slice(part.as_bytes());
    }
    out.extend_from_slice(asset.url_path().as_bytes());
}
