//! An answer whose body is still to come.

use std::fmt;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE};
use http::{HeaderMap, StatusCode};
use tokio::time::{Instant, timeout};
use url::Url;

use super::exchange::Body;
use super::failure::{Evidence, Failure, Families, Timings, Trouble};
use super::fetcher::shown;
use super::look::{Expected, Seen, look};
use super::pace::Pace;
use crate::model::{CopyFault, Sha256};

/// How many bytes of a body are kept as evidence.
const FIRST_BYTES: usize = 64;

/// Least speed of a body after its first idle deadline, in bytes per second, time spent at our own pace left out. What
/// drips more slowly would hold a place for weeks.
const LEAST_SPEED: u64 = 4 * 1024;

/// What may be the matter where a signature is refused.
const REFUSED: &str = "the mirror refuses the signed link: another key, path or clock than ours; S3 says the same of a \
                       file that is not there where the key may not list the bucket";

/// The head of the final answer, and its body. Dropping it closes the connection.
pub struct Response {
    /// The final status.
    pub status: StatusCode,
    /// The final headers.
    pub headers: HeaderMap,
    /// Which URL answered.
    pub final_url: Url,
    /// How many redirects led there.
    pub hops: usize,
    /// Which kinds of addresses the first host has; `None` behind a proxy, which resolves it.
    pub families: Option<Families>,
    /// How long the first hop's phases took.
    pub timings: Timings,
    /// It answers a URL that was signed.
    pub(super) signed: bool,
    body: Body,
    idle: Duration,
    waited: Duration,
    received: u64,
    first_bytes: Vec<u8>,
}

/// A body that was hashed to its end and has the expected length.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hashed {
    /// The digest of what arrived; whether it is the right one is for the caller to say.
    pub sha256: Sha256,
    /// How many bytes arrived.
    pub size: u64,
    /// The first of them, at most 64.
    pub first_bytes: Vec<u8>,
    /// How long the body took, waiting for the pace included.
    pub elapsed: Duration,
}

impl Response {
    pub(super) fn new(
        answer: http::Response<Body>,
        final_url: Url,
        hops: usize,
        evidence: &Evidence,
        idle: Duration,
    ) -> Self {
        let (head, body) = answer.into_parts();
        Self {
            status: head.status,
            headers: head.headers,
            final_url,
            hops,
            families: evidence.families,
            timings: evidence.timings,
            signed: false,
            body,
            idle,
            waited: Duration::ZERO,
            received: 0,
            first_bytes: Vec::new(),
        }
    }

    /// Judges the head: see [`look`]. `SignatureRefused` where a signed URL was answered with 400, 401, 403 or 410: what
    /// stores, CDNs and nginx say to signatures that are malformed, wrong or too late.
    pub fn look(&self, expected: &Expected) -> Result<Seen, Failure> {
        if self.signed && matches!(self.status.as_u16(), 400 | 401 | 403 | 410) {
            let detail = format_args!("{REFUSED} ({})", self.describe());
            return Err(self.failure(CopyFault::SignatureRefused, detail));
        }
        look(self.status, &self.headers, expected).map_err(|fault| self.failure(fault, self.describe()))
    }

    /// A failure with what was seen of this answer as evidence.
    pub fn failure(&self, fault: CopyFault, detail: impl fmt::Display) -> Failure {
        self.trouble(Trouble::new(fault, detail))
    }

    /// The first bytes of the body so far, at most 64.
    pub fn first_bytes(&self) -> &[u8] {
        &self.first_bytes
    }

    /// The next chunk of the body (64 KiB at most), `None` at the end. Fails with `Timeout` when none arrives within the
    /// idle deadline or the body as a whole is slower than 4 KiB/s.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, Failure> {
        loop {
            let earned = Duration::from_millis(self.received.saturating_mul(1000) / LEAST_SPEED);
            let patience = self.idle.min(self.idle.saturating_add(earned).saturating_sub(self.waited));
            let began = Instant::now();
            let frame = timeout(patience, self.body.frame()).await;
            self.waited = self.waited.saturating_add(began.elapsed());
            match frame {
                Err(_) => {
                    let detail = format_args!("the body stalled after {} bytes", self.received);
                    return Err(self.failure(CopyFault::Timeout, detail));
                }
                Ok(None) => return Ok(None),
                Ok(Some(Err(trouble))) => return Err(self.trouble(trouble)),
                // Trailers are no part of the file.
                Ok(Some(Ok(frame))) => {
                    if let Ok(chunk) = frame.into_data() {
                        self.received += chunk.len() as u64;
                        let missing = FIRST_BYTES - self.first_bytes.len();
                        self.first_bytes.extend_from_slice(&chunk[..missing.min(chunk.len())]);
                        return Ok(Some(chunk));
                    }
                }
            }
        }
    }

    /// The whole body. More than `max` bytes are refused with `WrongLength`, before they are read where the head says so.
    pub async fn read(mut self, max: usize) -> Result<Bytes, Failure> {
        let too_long =
            |answer: &Self| answer.failure(CopyFault::WrongLength, format_args!("more than {max} bytes"));
        if self.body.length().is_some_and(|length| length > max as u64) {
            return Err(too_long(&self));
        }
        let mut whole = BytesMut::new();
        while let Some(chunk) = self.chunk().await? {
            if chunk.len() > max - whole.len() {
                return Err(too_long(&self));
            }
            whole.extend_from_slice(&chunk);
        }
        Ok(whole.freeze())
    }

    /// Streams the body through SHA-256, at `pace`; [`look`](Self::look) at the head before. Another length than
    /// `expected` bytes is `WrongLength`: before the body where the head says so, and as soon as one byte too many arrives.
    pub async fn hash(self, expected: u64, pace: &Pace) -> Result<Hashed, Failure> {
        self.hash_beside(expected, pace, |_| {}).await
    }

    /// The same, and every chunk is shown to `look_on` as it goes by; in all it sees no more than `expected` bytes.
    pub async fn hash_beside(
        mut self,
        expected: u64,
        pace: &Pace,
        mut look_on: impl FnMut(&[u8]) + Send,
    ) -> Result<Hashed, Failure> {
        let began = Instant::now();
        if let Some(length) = self.body.length().filter(|length| *length != expected) {
            let detail = format_args!("{length} bytes announced, {expected} expected");
            return Err(self.failure(CopyFault::WrongLength, detail));
        }
        let mut hash = Sha256::begin();
        while let Some(chunk) = self.chunk().await? {
            if self.received > expected {
                let detail = format_args!("more than the {expected} bytes expected");
                return Err(self.failure(CopyFault::WrongLength, detail));
            }
            hash.update(&chunk);
            look_on(&chunk);
            pace.take(chunk.len()).await;
        }
        if self.received < expected {
            let detail = format_args!("{} bytes arrived, {expected} expected", self.received);
            return Err(self.failure(CopyFault::WrongLength, detail));
        }
        Ok(Hashed {
            sha256: Sha256::end(hash),
            size: self.received,
            first_bytes: self.first_bytes,
            elapsed: began.elapsed(),
        })
    }

    fn trouble(&self, trouble: Trouble) -> Failure {
        trouble.with(Evidence {
            timings: self.timings,
            families: self.families,
            final_url: Some(self.final_url.clone()),
            status: Some(self.status),
            received: self.received,
            first_bytes: self.first_bytes.clone(),
        })
    }

    fn describe(&self) -> String {
        let mut text = format!("status {}", self.status.as_u16());
        for name in [CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, CONTENT_ENCODING] {
            if let Some(value) = self.headers.get(&name) {
                text.push_str(&format!(", {name}: {}", String::from_utf8_lossy(value.as_bytes())));
            }
        }
        text
    }
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Response")
            .field("status", &self.status)
            .field("final_url", &shown(&self.final_url))
            .field("hops", &self.hops)
            .finish_non_exhaustive()
    }
}
