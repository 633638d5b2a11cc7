//! What an answer's head says about a copy. Pure; probes and verification share it.

use aws_lc_rs::digest;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, LAST_MODIFIED};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use crate::model::{AssetPath, CopyFault, Fingerprint};

/// What a good copy's answer looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expected {
    /// The asset's size in bytes.
    pub size: u64,
    /// The range that was asked for: first and last byte, both included.
    pub range: Option<(u64, u64)>,
    /// The verified copy's fingerprint, where there is one.
    pub validator: Option<Fingerprint>,
    /// Whether the asset itself is an HTML page.
    pub html_is_fine: bool,
}

impl Expected {
    /// A whole copy of an asset, whatever its validators.
    pub fn of(asset: &AssetPath, size: u64) -> Self {
        Self { size, range: None, validator: None, html_is_fine: is_html_name(asset.as_str()) }
    }
}

/// What a head says about a copy that may be good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// The copy's whole length, where the answer names it; then it is the expected one.
    pub length: Option<u64>,
    /// Of the answer's validators, with the expected size as length.
    pub fingerprint: Fingerprint,
    /// Whether the body is the range that was asked for, not the whole copy.
    pub partial: bool,
}

/// The fingerprint of an answer's validators (RFC 9110 section 8.8; a weak ETag's prefix kept) and the copy's whole
/// length. Of the length alone where there are no validators.
pub fn fingerprint(headers: &HeaderMap, length: u64) -> Fingerprint {
    let mut hash = digest::Context::new(&digest::SHA256);
    for name in [ETAG, LAST_MODIFIED] {
        match headers.get(name) {
            Some(value) => {
                hash.update(&[1]);
                hash.update(&(value.len() as u64).to_be_bytes());
                hash.update(value.as_bytes());
            }
            None => hash.update(&[0]),
        }
    }
    hash.update(&length.to_be_bytes());
    let first = hash.finish().as_ref().first_chunk::<8>().copied();
    Fingerprint(u64::from_be_bytes(first.expect("a SHA-256 digest has 32 bytes")))
}

/// Judges the head of a final answer (redirects followed): status, then encoding, type, length, validators.
pub fn look(status: StatusCode, headers: &HeaderMap, expected: &Expected) -> Result<Seen, CopyFault> {
    let partial = match status {
        StatusCode::OK => false,
        StatusCode::PARTIAL_CONTENT if expected.range.is_some() => true,
        other => return Err(status_fault(other, headers, expected)),
    };
    if !is_identity(headers) {
        return Err(CopyFault::ContentEncoding);
    }
    if !expected.html_is_fine && is_html_type(headers) {
        return Err(CopyFault::Html);
    }
    let length = match expected.range.filter(|_| partial) {
        Some(range) => ranged_length(headers, range, expected.size)?,
        None => whole_length(headers)?,
    };
    if length.is_some_and(|length| length != expected.size) {
        return Err(CopyFault::WrongLength);
    }
    // The expected size stands in where a chunked answer or an unknown total names no length, so that the same copy has
    // the same fingerprint however it is asked for.
    let fingerprint = fingerprint(headers, expected.size);
    if expected.validator.is_some_and(|verified| verified != fingerprint) {
        return Err(CopyFault::ValidatorChanged);
    }
    Ok(Seen { length, fingerprint, partial })
}

fn status_fault(status: StatusCode, headers: &HeaderMap, expected: &Expected) -> CopyFault {
    match status.as_u16() {
        404 | 410 => CopyFault::Missing,
        401 | 403 => CopyFault::Denied,
        429 | 500..=599 => CopyFault::ServerError,
        // A range within the asset lies beyond what the mirror has: `Content-Range: bytes */SIZE`.
        416 => match the_one(headers, CONTENT_RANGE).and_then(content_range) {
            Some((None, Some(total))) if total != expected.size => CopyFault::WrongLength,
            _ => CopyFault::UnexpectedStatus,
        },
        _ => CopyFault::UnexpectedStatus,
    }
}

fn is_identity(headers: &HeaderMap) -> bool {
    let plain = |coding: &[u8]| {
        let coding = coding.trim_ascii();
        coding.is_empty() || coding.eq_ignore_ascii_case(b"identity")
    };
    headers.get_all(CONTENT_ENCODING).iter().all(|v| v.as_bytes().split(|b| *b == b',').all(plain))
}

fn is_html_type(headers: &HeaderMap) -> bool {
    headers.get_all(CONTENT_TYPE).iter().any(|value| {
        let essence =
            value.as_bytes().split(|b| *b == b';' || *b == b',').next().unwrap_or_default().trim_ascii();
        essence.eq_ignore_ascii_case(b"text/html") || essence.eq_ignore_ascii_case(b"application/xhtml+xml")
    })
}

/// A header's value where all its lines agree.
fn the_one(headers: &HeaderMap, name: HeaderName) -> Option<&HeaderValue> {
    let mut lines = headers.get_all(name).iter();
    let first = lines.next()?;
    lines.all(|line| line == first).then_some(first)
}

fn whole_length(headers: &HeaderMap) -> Result<Option<u64>, CopyFault> {
    if !headers.contains_key(CONTENT_LENGTH) {
        return Ok(None);
    }
    let length = the_one(headers, CONTENT_LENGTH).and_then(|value| number(value.to_str().ok()?));
    length.map(Some).ok_or(CopyFault::WrongLength)
}

/// The whole length that a 206 names, `None` for `*`, where its range is the one that was asked for.
fn ranged_length(headers: &HeaderMap, asked: (u64, u64), size: u64) -> Result<Option<u64>, CopyFault> {
    // A server cuts a range at the end of what it has (RFC 9110 section 14.1.2).
    let wanted = (asked.0, asked.1.min(size.saturating_sub(1)));
    match the_one(headers, CONTENT_RANGE).and_then(content_range) {
        Some((Some(range), total)) if range == wanted => Ok(total),
        _ => Err(CopyFault::WrongLength),
    }
}

/// First and last byte, and total; `None` for a `*`.
type ContentRange = (Option<(u64, u64)>, Option<u64>);

/// Reads `bytes 0-63/1000`, `bytes 0-63/*` and `bytes */1000` (RFC 9110 section 14.4).
fn content_range(value: &HeaderValue) -> Option<ContentRange> {
    let (unit, rest) = value.to_str().ok()?.trim().split_once(' ')?;
    let (range, total) = rest.trim_start().split_once('/')?;
    let range = match range {
        "*" => None,
        _ => {
            let (first, last) = range.split_once('-')?;
            Some((number(first)?, number(last)?))
        }
    };
    let total = if total == "*" { None } else { Some(number(total)?) };
    let sound = match (range, total) {
        (Some((first, last)), total) => first <= last && total.is_none_or(|total| last < total),
        (None, total) => total.is_some(),
    };
    (unit.eq_ignore_ascii_case("bytes") && sound).then_some((range, total))
}

/// Digits and nothing else; `u64::from_str` would take a plus sign.
fn number(text: &str) -> Option<u64> {
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

/// Whether an asset of this name is an HTML page.
pub fn is_html_name(name: &str) -> bool {
    let extension = name.rsplit_once('.').map(|(_, extension)| extension.to_ascii_lowercase());
    matches!(extension.as_deref(), Some("html" | "htm" | "xhtml"))
}

/// Whether a body begins like an HTML page, whatever its Content-Type says.
pub fn looks_like_html(first_bytes: &[u8]) -> bool {
    let text = first_bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(first_bytes).trim_ascii_start();
    let begins = |tag: &[u8]| text.get(..tag.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(tag));
    begins(b"<!doctype html") || begins(b"<html")
}

#[cfg(test)]
mod tests;
