//! The requests that S3 is asked, tried again where that helps.

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, ETAG};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use rusty_s3::actions::{ListObjectsV2, S3Action};
use rusty_s3::{Bucket, Credentials};
use tokio::time::sleep;
use url::Url;

use crate::fetch::{Failure, Fetcher, Pace, Payload, Sending};
use crate::model::{CopyFault, Sha256};

/// The digest that an object carries.
const META: &str = "x-amz-meta-waypost-sha256";
/// What S3 itself checks the bytes against.
const CHECKSUM: &str = "x-amz-checksum-sha256";
/// How long a signature is good: longer than a part takes, and than clocks differ.
const SIGNED_FOR: Duration = Duration::from_secs(6 * 3600);
/// How long nothing may move.
const PATIENCE: Duration = Duration::from_secs(60);
/// Largest answer, in bytes: a page of 1,000 keys of 1 KiB, percent-encoded, with room.
const ANSWER_MAX: usize = 8 << 20;
/// Most objects of a listing, and most pages: S3 puts a thousand on a page.
const OBJECTS_MAX: usize = 10_000_000;
const PAGES_MAX: usize = OBJECTS_MAX / 1000;
/// How often a request is tried.
const TRIES: u32 = 5;
/// Before the second try; twice as long before each further one.
const FIRST_WAIT: Duration = Duration::from_millis(200);
/// Longest code and message that are told, in characters.
const TOLD_MAX: usize = 200;

/// Why a store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It does not answer.
    #[error("the store does not answer: {0}")]
    Silent(Failure),
    /// It says no, or that something is wrong with it.
    #[error("the store answers {status} {code}: {message}{}", hint(code, *status))]
    Refused {
        /// The status.
        status: u16,
        /// What S3 calls it.
        code: String,
        /// In words.
        message: String,
    },
    /// It answers something else than S3 does.
    #[error("the store answers oddly: {0}; is it S3-compatible?")]
    Odd(String),
}

impl StoreError {
    /// Whether it does not answer, or is not well; both may pass.
    pub(in crate::replicate) fn is_silence(&self) -> bool {
        match self {
            Self::Silent(_) => true,
            Self::Refused { status, code, .. } => {
                *status >= 500
                    || *status == 429
                    || matches!(code.as_str(), "SlowDown" | "RequestTimeout" | "InternalError")
            }
            Self::Odd(_) => false,
        }
    }

    /// Whether it is a plain no.
    pub(super) fn is_refusal(&self) -> bool {
        matches!(self, Self::Refused { .. }) && !self.is_silence()
    }
}

/// What to do about it, where there is something to say.
fn hint(code: &str, status: u16) -> &'static str {
    match (code, status) {
        ("NoSuchBucket", _) => "; create the bucket, or look at --to and --path-style",
        ("SignatureDoesNotMatch" | "InvalidAccessKeyId" | "InvalidToken" | "ExpiredToken", _) => {
            "; look at the credentials, --region, and whether anything between changes requests"
        }
        ("RequestTimeTooSkewed", _) => "; set this machine's clock",
        ("PermanentRedirect" | "AuthorizationHeaderMalformed" | "TemporaryRedirect", _) | (_, 301 | 307) => {
            "; the bucket is elsewhere: look at --region and --endpoint"
        }
        (_, 403) => "; listing, reading, writing (and with --delete removing) objects must be allowed",
        _ => "",
    }
}

/// An object as a listing names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seen {
    pub size: u64,
    pub etag: Option<String>,
}

/// An object as it tells of itself.
#[derive(Debug)]
pub(super) struct Head {
    pub size: Option<u64>,
    pub etag: Option<String>,
    pub sha256: Option<Sha256>,
}

/// What is asked in a request, beside its URL.
pub(super) struct Ask<'a> {
    pub method: Method,
    /// Signed, as S3 wants its own to be.
    pub headers: Vec<(&'static str, String)>,
    pub payload: Payload<'a>,
}

impl Ask<'_> {
    pub fn plain(method: Method) -> Self {
        Self { method, headers: Vec::new(), payload: Payload::Bytes(Bytes::new()) }
    }
}

/// A bucket, and who asks it.
pub(super) struct Store {
    pub bucket: Bucket,
    pub credentials: Credentials,
    pub fetcher: Fetcher,
    pub pace: Pace,
}

impl Store {
    /// Every key that begins so.
    pub async fn list(&self, prefix: &str) -> Result<Vec<(String, Seen)>, StoreError> {
        let mut found = Vec::new();
        let mut next: Option<String> = None;
        for _ in 0..PAGES_MAX {
            let mut action = self.bucket.list_objects_v2(Some(&self.credentials));
            if !prefix.is_empty() {
                action.with_prefix(prefix);
            }
            if let Some(token) = &next {
                action.with_continuation_token(token.as_str());
            }
            let (_, body) = self.ask(&mut action, &Ask::plain(Method::GET)).await?;
            let page = ListObjectsV2::parse_response(text(&body)?).map_err(odd)?;
            found.extend(page.contents.into_iter().filter_map(|object| {
                Some((object.key, Seen { size: object.size?, etag: object.etag.map(unquoted) }))
            }));
            match page.next_continuation_token {
                None => return Ok(found),
                token if token == next => return Err(odd("a page of a listing that leads to itself")),
                token => next = token,
            }
            if found.len() > OBJECTS_MAX {
                break;
            }
        }
        Err(odd(format_args!("a listing of more than {OBJECTS_MAX} objects, or {PAGES_MAX} pages")))
    }

    /// What an object tells of itself; `None` where there is none.
    pub async fn head(&self, key: &str) -> Result<Option<Head>, StoreError> {
        let mut action = self.bucket.head_object(Some(&self.credentials), key);
        let headers = match self.ask(&mut action, &Ask::plain(Method::HEAD)).await {
            Ok((headers, _)) => headers,
            Err(StoreError::Refused { status: 404, .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        Ok(Some(Head {
            size: text(CONTENT_LENGTH.as_str()).and_then(|size| size.parse().ok()),
            etag: etag(&headers),
            sha256: text(META).and_then(|digest| digest.parse().ok()),
        }))
    }

    /// Sends a file as a whole.
    pub async fn put(&self, key: &str, path: &Path, size: u64, sha256: Sha256) -> Result<(), StoreError> {
        let mut action = self.bucket.put_object(Some(&self.credentials), key);
        let mut headers = about(sha256);
        headers.push((CHECKSUM, sha256.to_base64()));
        let payload = Payload::File { path, from: 0, length: size };
        self.ask(&mut action, &Ask { method: Method::PUT, headers, payload }).await.map(drop)
    }

    /// Removes an object; that there is none is as well.
    pub async fn delete(&self, key: &str) -> Result<(), StoreError> {
        let mut action = self.bucket.delete_object(Some(&self.credentials), key);
        match self.ask(&mut action, &Ask::plain(Method::DELETE)).await {
            Ok(_) | Err(StoreError::Refused { status: 404, .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Asks, again where the store is silent or ill for a while. Gives the headers and the body of a good answer.
    pub async fn ask<'a>(
        &self,
        action: &mut impl S3Action<'a>,
        ask: &Ask<'_>,
    ) -> Result<(HeaderMap, Bytes), StoreError> {
        let mut headers = Vec::with_capacity(ask.headers.len());
        for (name, value) in &ask.headers {
            action.headers_mut().insert(*name, value.clone());
            let sent = HeaderValue::from_str(value).map_err(odd)?;
            headers.push((HeaderName::from_static(name), sent));
        }
        let mut wait = FIRST_WAIT;
        for _ in 1..TRIES {
            match self.ask_once(&action.sign(SIGNED_FOR), &headers, ask).await {
                Err(error) if error.is_silence() => sleep(wait).await,
                answer => return answer,
            }
            wait *= 2;
        }
        self.ask_once(&action.sign(SIGNED_FOR), &headers, ask).await
    }

    async fn ask_once(
        &self,
        url: &Url,
        headers: &[(HeaderName, HeaderValue)],
        ask: &Ask<'_>,
    ) -> Result<(HeaderMap, Bytes), StoreError> {
        let (method, payload) = (ask.method.clone(), ask.payload.clone());
        let send = Sending { method, url, headers, payload, pace: &self.pace, patience: PATIENCE };
        let response = self.fetcher.send(&send).await.map_err(StoreError::Silent)?;
        let (status, headers) = (response.status, response.headers.clone());
        let body = match response.read(ANSWER_MAX).await {
            Ok(body) => body,
            // The status alone says enough of a failure.
            Err(_) if !status.is_success() => Bytes::new(),
            Err(failure) if failure.fault == CopyFault::WrongLength => return Err(odd(failure)),
            Err(failure) => return Err(StoreError::Silent(failure)),
        };
        if status.is_success() { Ok((headers, body)) } else { Err(refused(status, &body)) }
    }
}

/// What every object is sent with.
pub(super) fn about(sha256: Sha256) -> Vec<(&'static str, String)> {
    vec![(META, sha256.to_string())]
}

pub(super) fn etag(headers: &HeaderMap) -> Option<String> {
    headers.get(ETAG)?.to_str().ok().map(|etag| unquoted(etag.to_owned()))
}

/// Listings and headers do not agree on the quotes.
fn unquoted(etag: String) -> String {
    etag.trim_matches('"').to_owned()
}

pub(super) fn text(body: &Bytes) -> Result<&str, StoreError> {
    std::str::from_utf8(body).map_err(odd)
}

pub(super) fn odd(error: impl std::fmt::Display) -> StoreError {
    StoreError::Odd(error.to_string())
}

/// What an error's XML says (`<Error><Code>…</Code><Message>…</Message></Error>`), as far as it does.
pub(super) fn refused(status: StatusCode, body: &Bytes) -> StoreError {
    let body = String::from_utf8_lossy(body);
    let part = |name: &str| {
        let (_, rest) = body.split_once(&format!("<{name}>"))?;
        let (text, _) = rest.split_once(&format!("</{name}>"))?;
        let text =
            text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&amp;", "&");
        Some(text.chars().filter(|c| !c.is_control()).take(TOLD_MAX).collect())
    };
    let code = part("Code").unwrap_or_else(|| status.canonical_reason().unwrap_or("").to_owned());
    let message = part("Message").unwrap_or_else(|| "it says no more".into());
    StoreError::Refused { status: status.as_u16(), code, message }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_told_with_its_code_its_message_and_what_to_do() {
        let xml = Bytes::from_static(
            b"<?xml version=\"1.0\"?><Error><Code>NoSuchBucket</Code><Message>no &quot;b&quot;\x1b[2J</Message></Error>",
        );
        let told = refused(StatusCode::NOT_FOUND, &xml).to_string();
        assert!(told.contains("404 NoSuchBucket: no \"b\"[2J; create the bucket"), "{told}");
        let long = Bytes::from(format!("<Code>{}</Code>", "x".repeat(9999)));
        assert!(refused(StatusCode::FORBIDDEN, &long).to_string().len() < 500);
        let told = refused(StatusCode::SERVICE_UNAVAILABLE, &Bytes::from_static(b"<html>")).to_string();
        assert!(told.contains("503 Service Unavailable"), "{told}");
    }
}
