//! Errors as visitors see them: the status phrase, and a line that says how where there is something to say.

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, LINK, RETRY_AFTER, VARY};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use serde_json::{Value, json};

use crate::catalog::Release;
use crate::model::AssetIndex;
use crate::snapshot::{HostView, Snapshot};

use super::accept::{Told, told};
use super::body::Body;
use super::headers::successor;
use super::lists::escape;

/// Seconds after which a client may ask again when no mirror could serve it.
const RETRY_AFTER_SECONDS: HeaderValue = HeaderValue::from_static("5");

/// An error answer: `application/problem+json` (RFC 9457), or one line of text where the client prefers that. `cache`
/// is for answers that may be reused; 503 never is.
pub fn problem(
    status: StatusCode,
    detail: &str,
    request: &HeaderMap,
    cache: Option<&HeaderValue>,
) -> Response<Body> {
    tell(status, detail, Value::Null, request, cache)
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
    let version = replacement.map_or(Value::Null, |(release, _)| json!(release.id.version));
    let cache = Some(&snapshot.settings.cache_control);
    let mut response = tell(StatusCode::GONE, reason, version, request, cache);
    if let Some((release, asset)) = replacement {
        response.headers_mut().insert(LINK, successor(snapshot, host, release, asset));
    }
    response
}

/// A page that needs nothing from anywhere: people who followed a link read it.
fn page(title: &str, detail: &str, replacement: &Value) -> String {
    let mut page = format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><meta charset=\"utf-8\"><title>{title}</title>\n<h1>{title}</h1>\n"
    );
    if !detail.is_empty() {
        page.push_str(&format!("<p>{}</p>\n", escape(detail)));
    }
    if let Some(version) = replacement.as_str() {
        page.push_str(&format!("<p>Take {} instead.</p>\n", escape(version)));
    }
    page
}

/// Text that people and pipelines wrote, as one line that a terminal can be shown.
fn one_line(text: &str) -> String {
    let words = text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join(" ")
}

fn tell(
    status: StatusCode,
    detail: &str,
    replacement: Value,
    request: &HeaderMap,
    cache: Option<&HeaderValue>,
) -> Response<Body> {
    let title = status.canonical_reason().unwrap_or("Error");
    let (content_type, body) = match told(request) {
        Told::Problem => {
            let mut problem = json!({ "type": "about:blank", "title": title, "status": status.as_u16() });
            if !detail.is_empty() {
                problem["detail"] = detail.into();
            }
            if !replacement.is_null() {
                problem["replacement"] = replacement;
            }
            ("application/problem+json", format!("{problem}\n"))
        }
        Told::Page => ("text/html; charset=utf-8", page(title, &one_line(detail), &replacement)),
        Told::Line if detail.is_empty() => ("text/plain; charset=utf-8", format!("{title}\n")),
        Told::Line => ("text/plain; charset=utf-8", format!("{title}: {}\n", one_line(detail))),
    };
    let mut response = Response::new(Body::new(Bytes::from(body)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
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
