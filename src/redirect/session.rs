//! The page's form: a token that is believed becomes a short, strict cookie, and the browser is sent back to the file.

use std::sync::Arc;
use std::time::Duration;

use http::header::{CACHE_CONTROL, COOKIE, LOCATION, RETRY_AFTER, SET_COOKIE};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};

use crate::entitlement::{Disbelief, Grant, SESSION_COOKIE};
use crate::metrics::Outcome;
use crate::model::{Denial, IssuerId};
use crate::snapshot::Snapshot;

use super::answer::{Answer, Facts, Inquiry, document};
use super::body::Body;
use super::guarded::Passage;
use super::headers::NO_STORE;
use super::problem::{RETRY_AFTER_SECONDS, problem};
use super::refused::{Form, challenge, page, status_of};

/// Longest form that is read, in bytes: a token, and a path.
pub const FORM_MAX: usize = 32 * 1024;
/// Longest token that browsers keep, in bytes: 4,096 with the cookie's name and attributes (RFC 6265 section 6.1).
const COOKIE_MAX: usize = 3900;

/// What stays when the token has gone: that there was one.
const TRACE: &str = "waypost_ended=1";
/// How much longer it stays, in seconds: whoever comes back the next day is told why the page is there again.
const TRACE_LONGER: u64 = 24 * 60 * 60;
/// What is told then.
pub(super) const ENDED: &str = "the time for which this browser keeps a token is over: put it in again, or another one if it has expired";

/// From where a browser makes a request; told to https and loopback alone (W3C Fetch Metadata section 2.4).
const SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Answers the form; `None`: it was too long, or did not arrive in time. What is asked for is a cookie: no product.
pub fn begin<'s>(snapshot: &'s Snapshot, inquiry: &Inquiry<'_>, form: Option<&[u8]>) -> Answer<'s> {
    let refuse = |status, outcome, detail| answered(outcome, problem(status, detail, inquiry.headers, None));
    let Some(form) = form else {
        let detail = "the form is too long or too late";
        return refuse(StatusCode::BAD_REQUEST, Outcome::BadRequest, detail);
    };
    if !is_own_form(inquiry.headers) {
        return refuse(StatusCode::FORBIDDEN, Outcome::Denied, "the form was sent from another site");
    }
    if url::form_urlencoded::parse(form).next().is_none() {
        return refuse(StatusCode::BAD_REQUEST, Outcome::BadRequest, "the form is empty");
    }
    let field =
        |name: &str| url::form_urlencoded::parse(form).find(|(key, _)| key == name).map(|(_, value)| value);
    let path = field("path").filter(|path| is_path(path)).unwrap_or("/".into());
    let token = field("token").unwrap_or_default();
    let (began, now) = (inquiry.occasion.instant(), inquiry.occasion.now());
    let granted = snapshot.entitlements.grant(token.trim(), now);
    let took = inquiry.occasion.instant().saturating_duration_since(began);
    let mut answer = match granted {
        Ok(grant) => keep(
            inquiry,
            token.trim(),
            &grant,
            snapshot.settings.session.min(grant.valid_until.since(now)),
            &path,
        ),
        Err(Disbelief { reason, issuer }) => put_again(&path, status_of(reason).1, reason, issuer),
    };
    if let Some(passage) = &mut answer.passage {
        passage.took = took;
    }
    answer
}

/// The browser keeps the token, and goes back to the file.
fn keep<'s>(inquiry: &Inquiry<'_>, token: &str, grant: &Arc<Grant>, age: Duration, path: &str) -> Answer<'s> {
    if token.len() > COOKIE_MAX {
        let told = "the token is too long for a browser to keep: use curl with it";
        return put_again(path, told, Denial::TooLarge, Some(grant.issuer));
    }
    let (age, secure) = (age.as_secs(), if inquiry.https { "; Secure" } else { "" });
    let cookie = |pair: &str, age: u64| {
        HeaderValue::try_from(format!("{pair}; Path=/; Max-Age={age}; HttpOnly; SameSite=Strict{secure}"))
    };
    let mut response = Response::new(Body::default());
    *response.status_mut() = StatusCode::SEE_OTHER;
    let headers = response.headers_mut();
    // A token that was believed is three words of base64; a path that was asked for can stand in a header.
    if let (Ok(mut kept), Ok(trace), Ok(path)) = (
        cookie(&format!("{SESSION_COOKIE}={token}"), age),
        cookie(TRACE, age + TRACE_LONGER),
        HeaderValue::try_from(path),
    ) {
        kept.set_sensitive(true);
        headers.insert(SET_COOKIE, kept);
        headers.append(SET_COOKIE, trace);
        headers.insert(LOCATION, path);
    }
    headers.insert(CACHE_CONTROL, NO_STORE);
    Answer { passage: Some(Passage::of(grant, false)), ..answered(Outcome::Metadata, response) }
}

/// The page once more, with what is wrong with the token.
fn put_again<'s>(path: &str, told: &str, denial: Denial, issuer: Option<IssuerId>) -> Answer<'s> {
    let mut response = page(path, Form { told: Some(told), offers_to_go_on: false });
    let (status, _) = status_of(denial);
    *response.status_mut() = status;
    match status {
        StatusCode::UNAUTHORIZED => challenge(&mut response, denial, false),
        StatusCode::SERVICE_UNAVAILABLE => {
            response.headers_mut().insert(RETRY_AFTER, RETRY_AFTER_SECONDS);
        }
        _ => {}
    }
    let passage = Passage { issuer, denial: Some(denial), ..Passage::default() };
    Answer { passage: Some(passage), ..answered(Outcome::Denied, response) }
}

fn answered<'s>(outcome: Outcome, response: Response<Body>) -> Answer<'s> {
    let Answer { response, facts, passage } = document(response, None);
    Answer { response, facts: Facts { outcome, ..facts }, passage }
}

/// Whether the form comes from the page; browsers that do not say so are believed: what a stranger could do is put a token of
/// their own into somebody's browser.
fn is_own_form(headers: &HeaderMap) -> bool {
    headers.get(SITE).is_none_or(|site| matches!(site.as_bytes(), b"same-origin" | b"none"))
}

/// Whether the browser may have kept a token to itself, because another site sent it here (`SameSite=Strict`).
pub(super) fn is_from_elsewhere(headers: &HeaderMap) -> bool {
    headers.get(SITE).is_none_or(|site| site == "cross-site")
}

/// Whether the browser had a token of late.
pub(super) fn has_ended(headers: &HeaderMap) -> bool {
    let lines = headers.get_all(COOKIE).iter().filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| line.split(';')).any(|pair| pair.trim() == TRACE)
}

/// A path of this service, and nothing that a browser would take for another one.
pub(super) fn is_path(path: &str) -> bool {
    path.starts_with('/')
        && !path.starts_with("//")
        && path.bytes().all(|byte| (0x21..0x7f).contains(&byte) && byte != b'\\')
}
