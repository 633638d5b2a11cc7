//! Errors as visitors see them: the status phrase, and a line that says how where there is something to say.

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, LINK, RETRY_AFTER, VARY};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use serde_json::json;

use crate::catalog::Release;
use crate::model::AssetIndex;
use crate::snapshot::{HostView, Snapshot};

use super::accept::{Told, told};
use super::body::Body;
use super::headers::{own_url, successor};
use super::lists::escape;
use super::page::{document, protect};

/// Seconds after which a client may ask again when no mirror could serve it.
pub(super) const RETRY_AFTER_SECONDS: HeaderValue = HeaderValue::from_static("5");

/// What to take instead of a withdrawn release.
struct Replacement<'a> {
    version: &'a str,
    /// Where the asset is that is like the one that was asked for.
    url: Option<String>,
}

/// An error answer: `application/problem+json` (RFC 9457), or one line of text where the client prefers that. `cache`
/// is for answers that may be reused; 503 never is.
pub fn problem(
    status: StatusCode,
    detail: &str,
    request: &HeaderMap,
    cache: Option<&HeaderValue>,
) -> Response<Body> {
    tell(status, detail, None, request, cache)
}

/// The answer for a withdrawn release: why, and what to take instead: a release, and which of its assets where it has
/// one like the one that was asked for.
pub fn gone(
    snapshot: &Snapshot,
    host: Option<&HostView>,
    reason: &str,
    replacement: Option<(&Release, Option<AssetIndex>)>,
    request: &HeaderMap,
) -> Response<Body> {
    let instead = replacement.map(|(release, asset)| Replacement {
        version: release.id.version.as_str(),
        url: asset.map(|asset| own_url(snapshot, host, release, release.asset(asset))),
    });
    let cache = Some(&snapshot.settings.cache_control);
    let mut response = tell(StatusCode::GONE, reason, instead, request, cache);
    if let Some((release, asset)) = replacement {
        response.headers_mut().insert(LINK, successor(snapshot, host, release, asset));
    }
    response
}

/// What people who followed a link read.
fn page(title: &str, detail: &str, replacement: Option<&Replacement<'_>>) -> String {
    let mut content = String::new();
    if !detail.is_empty() {
        content.push_str(&format!("<p>{}</p>\n", escape(detail)));
    }
    if let Some(Replacement { version, url }) = replacement {
        let version = escape(version);
        let version = match url {
            Some(url) => format!("<a href=\"{}\">{version}</a>", escape(url)),
            None => version,
        };
        content.push_str(&format!("<p>Take {version} instead.</p>\n"));
    }
    document(title, &content)
}

/// Text that people and pipelines wrote, as one line that a terminal can be shown.
fn one_line(text: &str) -> String {
    let words = text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join(" ")
}

fn tell(
    status: StatusCode,
    detail: &str,
    replacement: Option<Replacement<'_>>,
    request: &HeaderMap,
    cache: Option<&HeaderValue>,
) -> Response<Body> {
    let title = status.canonical_reason().unwrap_or("Error");
    let told = told(request);
    let (content_type, body) = match told {
        Told::Problem => {
            let mut problem = json!({ "type": "about:blank", "title": title, "status": status.as_u16() });
            if !detail.is_empty() {
                problem["detail"] = detail.into();
            }
            if let Some(replacement) = replacement {
                problem["replacement"] = replacement.version.into();
            }
            ("application/problem+json", format!("{problem}\n"))
        }
        Told::Page => ("text/html; charset=utf-8", page(title, &one_line(detail), replacement.as_ref())),
        Told::Line if detail.is_empty() => ("text/plain; charset=utf-8", format!("{title}\n")),
        Told::Line => ("text/plain; charset=utf-8", format!("{title}: {}\n", one_line(detail))),
    };
    let mut response = Response::new(Body::new(Bytes::from(body)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    if told == Told::Page {
        protect(headers);
    }
    headers.insert(VARY, HeaderValue::from_static("Accept"));
    match (status, cache) {
        (StatusCode::SERVICE_UNAVAILABLE, _) => {
            headers.insert(RETRY_AFTER, RETRY_AFTER_SECONDS);
            headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        }
        (_, Some(cache)) => drop(headers.insert(CACHE_CONTROL, cache.clone())),
        (_, None) => drop(headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"))),
    }
    if status == StatusCode::METHOD_NOT_ALLOWED {
        headers.insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
    }
    response
}
