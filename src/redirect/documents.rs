//! Answers from the catalogue to callers who may have it: only what they may have stands in them.

use std::sync::Arc;

use http::header::{ACCEPT_RANGES, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, HOST};
use http::{HeaderName, HeaderValue, Response};
use serde_json::json;

use crate::catalog::{Asset, Release};
use crate::config::Allow;
use crate::entitlement::TICKET_PARAMETER;
use crate::model::{AssetIndex, Timestamp};
use crate::snapshot::{ProductView, Snapshot};

use super::accept::{Wanted, wanted};
use super::answer::Inquiry;
use super::base64::put_base64;
use super::body::Body;
use super::exports::{Shown, releases_json};
use super::headers::{NO_STORE, own_url};
use super::lists::{TEXT, ok};
use super::names;

const DIGEST: HeaderName = HeaderName::from_static("digest");
const REPR_DIGEST: HeaderName = HeaderName::from_static("repr-digest");

/// A product's releases, of which these rules show so much.
pub fn releases(
    snapshot: &Snapshot,
    product: &ProductView,
    rules: Vec<Arc<Allow>>,
    shown: &impl Shown,
) -> Response<Body> {
    let document = product.listings.part(rules, || releases_json(product, shown));
    ok(snapshot, "application/json", document)
}

/// The checksums of a release.
pub fn sums(snapshot: &Snapshot, release: &Release, shown: &impl Shown) -> Response<Body> {
    let given = (0..).zip(&release.assets).filter(|(at, _)| shown.asset(release, *at));
    let text: String = given.map(|(_, asset)| format!("{}  {}\n", asset.sha256, asset.name)).collect();
    ok(snapshot, TEXT, text)
}

/// What a HEAD is told of a file: a link that is signed for GET fails with HEAD, so nobody is sent anywhere. The digests are
/// those of the file, which this answer stands for (RFC 9530 section 2, RFC 3230 section 4.3.2).
pub fn head(asset: &Asset) -> Response<Body> {
    let base64 = |before: &str, after: &str| {
        let mut value = before.as_bytes().to_vec();
        put_base64(asset.sha256.as_bytes(), &mut value);
        value.extend_from_slice(after.as_bytes());
        // Base64 is ASCII.
        HeaderValue::from_bytes(&value).unwrap_or(HeaderValue::from_static(""))
    };
    let mut response = Response::new(Body::default());
    let headers = response.headers_mut();
    headers.insert(CONTENT_LENGTH, asset.size.into());
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(DIGEST, base64("SHA-256=", ""));
    headers.insert(REPR_DIGEST, base64("sha-256=:", ":"));
    headers.insert(CACHE_CONTROL, NO_STORE);
    response
}

/// A URL with a ticket: one line, or JSON for those who prefer it.
pub fn ticket(
    snapshot: &Snapshot,
    inquiry: &Inquiry<'_>,
    release: &Release,
    asset: AssetIndex,
    ticket: &str,
    until: Timestamp,
) -> Response<Body> {
    let host = names::linking(snapshot, inquiry);
    let url = own_url(snapshot, host, release, release.asset(asset));
    let own = if snapshot.settings.public_url.is_empty() { own_name(inquiry) } else { String::new() };
    let url = format!("{own}{url}?{TICKET_PARAMETER}={ticket}");
    let mut response = match wanted(inquiry.headers) {
        Wanted::Json => ok(
            snapshot,
            "application/json",
            format!("{}\n", json!({ "url": url, "expires_at": until.to_string() })),
        ),
        Wanted::File | Wanted::Metalink => ok(snapshot, TEXT, format!("{url}\n")),
    };
    response.headers_mut().insert(CACHE_CONTROL, NO_STORE);
    response
}

/// The service by the name that the request was for, where it has no public URL.
fn own_name(inquiry: &Inquiry<'_>) -> String {
    let host = inquiry.uri.authority().map(|authority| authority.as_str());
    let host = host.or_else(|| inquiry.headers.get(HOST)?.to_str().ok());
    let scheme = if inquiry.https { "https" } else { "http" };
    host.map_or(String::new(), |host| format!("{scheme}://{host}"))
}
