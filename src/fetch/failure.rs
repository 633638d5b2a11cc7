//! What went wrong with a fetch, and the evidence.

use std::error::Error;
use std::fmt::Display;
use std::time::Duration;

use http::StatusCode;
use url::Url;

use crate::model::CopyFault;

/// Longest detail, in characters. Peers have a say in its text.
const DETAIL_MAX: usize = 300;

/// How long the phases of the first hop took: the mirror itself, not what it redirects to.
///
/// A phase that was not reached, or was not needed (DNS for a literal address, TLS for http), is `None`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Timings {
    /// Resolving the host's name; the proxy's where there is one.
    pub dns: Option<Duration>,
    /// TCP, the first address that answered; with a proxy its CONNECT as well.
    pub connect: Option<Duration>,
    /// The TLS handshake.
    pub tls: Option<Duration>,
    /// From sending the request to the complete head of the answer.
    pub first_byte: Option<Duration>,
}

/// Which kinds of addresses a host has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Families {
    /// It has an IPv4 address.
    pub v4: bool,
    /// It has an IPv6 address.
    pub v6: bool,
}

/// What was seen until a fetch failed.
#[derive(Debug, Clone, Default)]
pub struct Evidence {
    /// The first hop's phases, as far as they came.
    pub timings: Timings,
    /// The first host's kinds of addresses; `None` where it was not resolved here.
    pub families: Option<Families>,
    /// The last URL that was asked.
    pub final_url: Option<Url>,
    /// The last status that was answered.
    pub status: Option<StatusCode>,
    /// How many bytes of the body arrived.
    pub received: u64,
    /// The first of them, at most 64.
    pub first_bytes: Vec<u8>,
}

/// A fetch that failed.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{fault}: {detail}")]
pub struct Failure {
    /// The reason, as metrics and explain name it.
    pub fault: CopyFault,
    /// What happened, for operators; one line of at most 300 characters.
    pub detail: String,
    /// What was seen until then.
    pub evidence: Box<Evidence>,
}

/// A fault on its way to becoming a [`Failure`].
#[derive(Debug)]
pub(super) struct Trouble {
    fault: CopyFault,
    detail: String,
}

impl Trouble {
    pub(super) fn new(fault: CopyFault, detail: impl Display) -> Self {
        let line = |c: char| if c.is_control() { ' ' } else { c };
        Self { fault, detail: detail.to_string().chars().take(DETAIL_MAX).map(line).collect() }
    }

    /// From an error and all that caused it.
    pub(super) fn of(fault: CopyFault, error: &dyn Error) -> Self {
        let mut detail = error.to_string();
        let mut cause = error.source();
        while let Some(deeper) = cause.filter(|_| detail.len() < DETAIL_MAX) {
            let text = deeper.to_string();
            if !detail.contains(&text) {
                detail.push_str(": ");
                detail.push_str(&text);
            }
            cause = deeper.source();
        }
        Self::new(fault, detail)
    }

    pub(super) fn with(self, evidence: Evidence) -> Failure {
        Failure { fault: self.fault, detail: self.detail, evidence: Box::new(evidence) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn details_are_one_short_line_whatever_a_peer_says() {
        let failure =
            Trouble::new(CopyFault::Broken, format!("a\r\nb{}", "é".repeat(999))).with(Evidence::default());
        assert_eq!(failure.detail.chars().count(), DETAIL_MAX);
        assert!(failure.detail.starts_with("a  b"));
    }
}
