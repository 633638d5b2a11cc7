//! What those are told who are not given what they ask for.

use http::header::{ACCEPT, CACHE_CONTROL, USER_AGENT, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, Response, StatusCode, Uri};

use crate::entitlement::TICKET_PARAMETER;
use crate::model::Denial;

use super::answer::Inquiry;
use super::body::Body;
use super::headers::NO_STORE;
use super::lists::escape;
use super::page::{document, protect};
use super::problem::problem;
use super::session::{ENDED, has_ended, is_from_elsewhere, is_path};

/// Where the page's form goes.
pub const SESSION_PATH: &str = "/-/session";

/// The status of a denial, and what can be done about it. Nothing of the token is repeated.
pub fn status_of(denial: Denial) -> (StatusCode, &'static str) {
    use Denial::*;
    let status = match denial {
        NoToken | Malformed | TooLarge | DuplicateClaim | MissingClaim | UnknownIssuer | WrongAlgorithm
        | UnknownKey | BadSignature | WrongAudience | Expired | NotYetValid | Revoked | BadTicket
        | ExpiredTicket => StatusCode::UNAUTHORIZED,
        NotEntitled | Region | Time | Count => StatusCode::FORBIDDEN,
        Territory => StatusCode::UNAVAILABLE_FOR_LEGAL_REASONS,
        TokenWouldLeak => StatusCode::BAD_REQUEST,
        NoKeys | NotCounted | NotRecorded => StatusCode::SERVICE_UNAVAILABLE,
    };
    (status, words(denial))
}

fn words(denial: Denial) -> &'static str {
    use Denial::*;
    match denial {
        NoToken => {
            "this needs a token: Authorization: Bearer TOKEN, or the token as the password of any user"
        }
        Malformed => "what was sent is no token",
        TooLarge => "the token is longer than any that is accepted",
        DuplicateClaim => "the token says something twice",
        MissingClaim => "the token lacks a claim: iss, aud and exp have to be there",
        UnknownIssuer => "tokens of this issuer are not accepted here",
        WrongAlgorithm => "the token is signed with an algorithm that its issuer may not use here",
        UnknownKey => "the token is signed with a key that its issuer does not publish",
        NoKeys => "the keys of the token's issuer are not known just now; try again",
        BadSignature => "the token's signature is not that of its issuer",
        WrongAudience => "the token is for another audience",
        Expired => "the token has expired: get another one",
        NotYetValid => "the token is not valid yet",
        Revoked => "the token was revoked",
        BadTicket => "the ticket is not for this file or network",
        ExpiredTicket => "the ticket has expired: get another one with ?ticket and a token",
        NotEntitled => "the token does not give this",
        Region => "the token does not give this to clients in this region",
        Time => "the token does not give this at this time",
        Count => "the token has taken as many files as it may",
        Territory => "this may not be served to your country",
        TokenWouldLeak => {
            "this tool repeats the token to the server that it is sent to, which refuses it: use curl, or ask for \
             ?ticket with the token and fetch the URL that is answered without it"
        }
        NotCounted => {
            "the token gives a number of files, and so many are counted here that no other can be; try again"
        }
        NotRecorded => "downloads of this product have to be recorded, and that failed just now; try again",
    }
}

/// A refusal, in the form that the client reads.
pub fn refusal(denial: Denial, inquiry: &Inquiry<'_>) -> Response<Body> {
    let (status, detail) = status_of(denial);
    // Another token may help.
    let asks =
        matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) && is_browser(inquiry.headers);
    let mut response = match asks {
        true => {
            let path = without_ticket(inquiry.uri);
            let had_ticket = inquiry.uri.path_and_query().is_some_and(|all| *all != *path);
            page(&path, form_for(denial, detail, inquiry.headers, &path, had_ticket))
        }
        false => problem(status, detail, inquiry.headers, None),
    };
    *response.status_mut() = status;
    if status == StatusCode::UNAUTHORIZED {
        challenge(&mut response, denial, !asks);
    }
    response
}

fn form_for<'a>(
    denial: Denial,
    detail: &'a str,
    headers: &HeaderMap,
    path: &str,
    had_ticket: bool,
) -> Form<'a> {
    let told = match denial {
        Denial::NoToken => has_ended(headers).then_some(ENDED),
        _ => Some(detail),
    };
    // Beside a ticket no token is looked at. The link of another site is followed without the cookie, the link of this page
    // with it.
    let has_unused = had_ticket || denial == Denial::NoToken && is_from_elsewhere(headers);
    Form { told, offers_to_go_on: has_unused && is_path(path) }
}

/// Where a browser comes back to with a token: a ticket would be looked at first, and it was refused. Who asked for a ticket
/// still does.
fn without_ticket(uri: &Uri) -> String {
    let is_ticket = |pair: &str| {
        pair.split_once('=').is_some_and(|(name, ticket)| name == TICKET_PARAMETER && !ticket.is_empty())
    };
    let pairs = uri.query().into_iter().flat_map(|query| query.split('&')).filter(|pair| !is_ticket(pair));
    match pairs.collect::<Vec<_>>() {
        pairs if pairs.is_empty() => uri.path().to_owned(),
        pairs => format!("{}?{}", uri.path(), pairs.join("&")),
    }
}

/// What is answered where nothing is, which a caller who may not know better is told as well.
pub fn not_found(inquiry: &Inquiry<'_>) -> Response<Body> {
    problem(StatusCode::NOT_FOUND, "", inquiry.headers, None)
}

/// A person, who can be shown a page (contract: `Mozilla/` and `text/html`).
pub fn is_browser(headers: &HeaderMap) -> bool {
    let has = |name, text: &str| {
        headers.get_all(name).iter().filter_map(|value| value.to_str().ok()).any(|value| value.contains(text))
    };
    has(USER_AGENT, "Mozilla/") && has(ACCEPT, "text/html")
}

/// Basic first: wget2 sends its password only then. A browser that is told of Basic asks for a user in a window of its own.
pub(super) fn challenge(response: &mut Response<Body>, denial: Denial, basic: bool) {
    let headers = response.headers_mut();
    if basic {
        headers
            .append(WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"waypost\", charset=\"UTF-8\""));
    }
    // RFC 6750 section 3.1: no error where there was no token.
    headers.append(
        WWW_AUTHENTICATE,
        match denial {
            Denial::NoToken => HeaderValue::from_static("Bearer realm=\"waypost\""),
            _ => HeaderValue::from_static("Bearer realm=\"waypost\", error=\"invalid_token\""),
        },
    );
}

/// What stands on the page that takes a token.
#[derive(Debug, Clone, Copy)]
pub(super) struct Form<'a> {
    /// Why there is nothing without another token.
    pub(super) told: Option<&'a str>,
    /// The browser may have a token that was not looked at.
    pub(super) offers_to_go_on: bool,
}

/// The page: it comes back to `path` with the token. A browser that downloads leaves the page where it is.
pub(super) fn page(path: &str, form: Form<'_>) -> Response<Body> {
    let path = escape(path);
    let (told, described) = match form.told {
        Some(why) => {
            (format!("<p role=\"alert\" id=\"why\">{}</p>\n", escape(why)), " aria-describedby=\"why\"")
        }
        None => (String::new(), ""),
    };
    let on = match form.offers_to_go_on {
        true => format!("<p>Have you put it in before? <a href=\"{path}\">Go on to the download.</a></p>\n"),
        false => String::new(),
    };
    let text = document(
        "A token is needed",
        &format!(
            "{told}<p>This download is not for everybody. Put in the token that you were given: the download begins, and this \
             browser keeps the token for a short while.</p>\n<form method=\"post\" action=\"{SESSION_PATH}\">\n\
             <input type=\"hidden\" name=\"path\" value=\"{path}\">\n<p><label>Token <input type=\"password\" name=\"token\" \
             required autocomplete=\"off\" autofocus{described}></label>\n<button>Download</button></p>\n</form>\n{on}"
        ),
    );
    let mut response = Response::new(Body::new(text.into()));
    protect(response.headers_mut());
    response.headers_mut().insert(CACHE_CONTROL, NO_STORE);
    response
}
