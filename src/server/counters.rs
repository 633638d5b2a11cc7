//! What a server has seen, for the metrics.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Which bound a connection ran into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Timeout {
    /// Nothing came, or the TLS handshake took too long.
    FirstByte,
    /// A request head that did not end.
    Header,
    /// No further request.
    Idle,
    /// An answer that was not read.
    Write,
}

impl Timeout {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::FirstByte, Self::Header, Self::Idle, Self::Write];

    /// The value of a metric's label.
    pub fn name(self) -> &'static str {
        match self {
            Self::FirstByte => "first_byte",
            Self::Header => "header",
            Self::Idle => "idle",
            Self::Write => "write",
        }
    }
}

/// Counts since the start; `open` is the present number.
#[derive(Debug, Default)]
pub struct ServerCounters {
    accepted: AtomicU64,
    open: AtomicU64,
    refused_over_limit: AtomicU64,
    tls_failures: AtomicU64,
    accept_errors: AtomicU64,
    requests: AtomicU64,
    panics: AtomicU64,
    timeouts: [AtomicU64; Timeout::ALL.len()],
}

impl ServerCounters {
    /// Connections that were accepted, the refused ones included.
    pub fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::Relaxed)
    }

    /// Connections that are open now.
    pub fn open(&self) -> u64 {
        self.open.load(Ordering::Relaxed)
    }

    /// Connections that were closed at once because too many were open.
    pub fn refused_over_limit(&self) -> u64 {
        self.refused_over_limit.load(Ordering::Relaxed)
    }

    /// TLS handshakes that failed; those that took too long count as `Timeout::FirstByte`.
    pub fn tls_failures(&self) -> u64 {
        self.tls_failures.load(Ordering::Relaxed)
    }

    /// Failed `accept` calls.
    pub fn accept_errors(&self) -> u64 {
        self.accept_errors.load(Ordering::Relaxed)
    }

    /// Requests that reached the handler.
    pub fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// Handlers that panicked. More than none is a defect.
    pub fn panics(&self) -> u64 {
        self.panics.load(Ordering::Relaxed)
    }

    /// Connections that ran into this bound.
    pub fn timeouts(&self, which: Timeout) -> u64 {
        self.timeouts[which as usize].load(Ordering::Relaxed)
    }

    pub(super) fn note_tls_failure(&self) {
        self.tls_failures.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn note_accept_error(&self) {
        self.accept_errors.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn note_request(&self) {
        self.requests.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn note_panic(&self) {
        self.panics.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn note_timeout(&self, which: Timeout) {
        self.timeouts[which as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// A place for one more connection, or `None` where `limit` are open.
    pub(super) fn admit(self: &Arc<Self>, limit: usize) -> Option<Open> {
        self.accepted.fetch_add(1, Ordering::Relaxed);
        let place = Open(Arc::clone(self));
        let before = self.open.fetch_add(1, Ordering::Relaxed);
        if before < limit as u64 {
            return Some(place);
        }
        self.refused_over_limit.fetch_add(1, Ordering::Relaxed);
        None
    }
}

/// The place of one open connection; dropped with it.
#[derive(Debug)]
pub(super) struct Open(Arc<ServerCounters>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}
