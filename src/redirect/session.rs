//! The page's form: a token that is believed becomes a short, strict cookie, and the browser is sent back to the file.

use std::time::Duration;

use http::header::{CACHE_CONTROL, LOCATION, SET_COOKIE};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};

use crate::entitlement::SESSION_COOKIE;
use crate::snapshot::Snapshot;

use super::answer::Inquiry;
use super::body::Body;
use super::headers::NO_STORE;
use super::problem::problem;
use super::refused::{page, status_of};

/// Longest form that is read, in bytes: a token, and a path.
pub const FORM_MAX: usize = 32 * 1024;
/// Longest token that browsers keep, in bytes: 4,096 with the cookie's name and attributes (RFC 6265 section 6.1).
const COOKIE_MAX: usize = 3900;

const SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Answers the form.
pub fn begin(snapshot: &Snapshot, inquiry: &Inquiry<'_>, form: &[u8], longest: Duration) -> Response<Body> {
    if !is_own_form(inquiry.headers) {
        return problem(StatusCode::FORBIDDEN, "the form was sent from another site", inquiry.headers, None);
    }
    let mut fields = url::form_urlencoded::parse(form);
    let field =
        |name: &str| url::form_urlencoded::parse(form).find(|(key, _)| key == name).map(|(_, value)| value);
    if fields.next().is_none() {
        return problem(StatusCode::BAD_REQUEST, "the form is empty", inquiry.headers, None);
    }
    let path = field("path").filter(|path| is_path(path)).unwrap_or("/".into());
    let token = field("token").unwrap_or_default();
    let token = token.trim();
    let refuse = |why: &str| {
        let mut response = page(&path, Some(why));
        *response.status_mut() = StatusCode::UNAUTHORIZED;
        response
    };
    let now = inquiry.occasion.now();
    let grant = match snapshot.entitlements.grant(token, now) {
        Ok(grant) => grant,
        Err(disbelief) => return refuse(status_of(disbelief.reason).1),
    };
    if token.len() > COOKIE_MAX {
        return refuse("the token is too long for a browser to keep: use curl with it");
    }
    let age = grant.valid_until.since(now).min(longest).as_secs();
    let secure = if inquiry.https { "; Secure" } else { "" };
    let cookie =
        format!("{SESSION_COOKIE}={token}; Path=/; Max-Age={age}; HttpOnly; SameSite=Strict{secure}");
    let mut response = Response::new(Body::default());
    *response.status_mut() = StatusCode::SEE_OTHER;
    let headers = response.headers_mut();
    // A token that was believed is three words of base64; a path that was asked for can stand in a header.
    if let (Ok(mut cookie), Ok(path)) = (HeaderValue::try_from(cookie), HeaderValue::try_from(&*path)) {
        cookie.set_sensitive(true);
        headers.insert(SET_COOKIE, cookie);
        headers.insert(LOCATION, path);
    }
    headers.insert(CACHE_CONTROL, NO_STORE);
    response
}

/// Whether the form comes from the page; browsers that do not say so are believed: what a stranger could do is put a token of
/// their own into somebody's browser.
fn is_own_form(headers: &HeaderMap) -> bool {
    headers.get(SITE).is_none_or(|site| matches!(site.as_bytes(), b"same-origin" | b"none"))
}

/// A path of this service, and nothing that a browser would take for another one.
fn is_path(path: &str) -> bool {
    path.starts_with('/')
        && !path.starts_with("//")
        && path.bytes().all(|byte| (0x21..0x7f).contains(&byte) && byte != b'\\')
}
