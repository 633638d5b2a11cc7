//! What a server has seen, for the metrics, and who holds how many of its places.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::config::Limits;

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
    refused_over_client_limit: AtomicU64,
    tls_failures: AtomicU64,
    accept_errors: AtomicU64,
    requests: AtomicU64,
    panics: AtomicU64,
    timeouts: [AtomicU64; Timeout::ALL.len()],
    /// Locked when a connection begins and when it ends, never for a request.
    clients: Mutex<Clients>,
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

    /// Connections that were closed at once because their client had too many.
    pub fn refused_over_client_limit(&self) -> u64 {
        self.refused_over_client_limit.load(Ordering::Relaxed)
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

    /// A place for one more connection; `None` where all are taken, or as many by this client as one may have. Without a
    /// `client` only the former counts.
    pub(super) fn admit(self: &Arc<Self>, limits: &Limits, client: Option<IpAddr>) -> Option<Open> {
        self.accepted.fetch_add(1, Ordering::Relaxed);
        let mut place = Open { counters: Arc::clone(self), client: None };
        let before = self.open.fetch_add(1, Ordering::Relaxed);
        if before >= limits.connections as u64 {
            self.refused_over_limit.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        if let Some(client) = client.filter(|_| limits.connections_per_client > 0).map(network) {
            if !self.clients().admit(client, limits.connections_per_client) {
                self.refused_over_client_limit.fetch_add(1, Ordering::Relaxed);
                return None;
            }
            place.client = Some(client);
        }
        Some(place)
    }

    fn clients(&self) -> std::sync::MutexGuard<'_, Clients> {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What counts as one client: an IPv4 address, or a /64 of IPv6, which is what one customer has at least (RFC 6177).
fn network(client: IpAddr) -> IpAddr {
    match client {
        IpAddr::V4(_) => client,
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64)),
    }
}

/// How many connections each client has open. Clients without any are not in it, so it is never larger than the number of
/// open connections. Its hash is keyed, because clients choose their addresses.
#[derive(Debug, Default)]
struct Clients(HashMap<IpAddr, usize>);

impl Clients {
    fn admit(&mut self, client: IpAddr, limit: usize) -> bool {
        let open = self.0.entry(client).or_insert(0);
        let admitted = *open < limit;
        *open += usize::from(admitted);
        admitted
    }

    fn release(&mut self, client: IpAddr) {
        if let Entry::Occupied(mut open) = self.0.entry(client) {
            *open.get_mut() -= 1;
            if *open.get() == 0 {
                open.remove();
            }
        }
    }
}

/// The place of one open connection; dropped with it.
#[derive(Debug)]
pub(super) struct Open {
    counters: Arc<ServerCounters>,
    /// Whose it is, where that is counted.
    client: Option<IpAddr>,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.counters.open.fetch_sub(1, Ordering::Relaxed);
        if let Some(client) = self.client {
            self.counters.clients().release(client);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_client_is_an_ipv4_address_or_a_64_of_ipv6() {
        let same = |a: &str, b: &str| network(a.parse().unwrap()) == network(b.parse().unwrap());
        assert!(same("2001:db8:1:2::1", "2001:db8:1:2:ffff::9"));
        assert!(!same("2001:db8:1:2::1", "2001:db8:1:3::1"));
        assert!(!same("192.0.2.1", "192.0.2.2"));
    }

    proptest! {
        /// Against a list of the open connections that is searched each time.
        #[test]
        fn nobody_has_more_places_than_one_may_and_the_table_knows_only_who_has_any(
            steps in proptest::collection::vec((0u8..6, proptest::option::weighted(0.6, 0usize..20)), 0..120),
            connections in 1usize..12,
            connections_per_client in 0usize..5,
        ) {
            let limits = Limits { connections, connections_per_client, ..Limits::default() };
            let counters = Arc::new(ServerCounters::default());
            let mut open: Vec<(Option<IpAddr>, Open)> = Vec::new();
            for (client, closed) in steps {
                if let Some(at) = closed.filter(|at| *at < open.len()) {
                    open.swap_remove(at);
                    continue;
                }
                // Client 0 is one that does not count.
                let client = (client > 0).then(|| IpAddr::from([192, 0, 2, client]));
                let own = open.iter().filter(|(other, _)| *other == client).count();
                let full = connections_per_client > 0 && client.is_some() && own >= connections_per_client;
                let place = counters.admit(&limits, client);
                prop_assert_eq!(place.is_some(), open.len() < connections && !full);
                open.extend(place.map(|place| (client, place)));
                prop_assert_eq!(counters.open(), open.len() as u64);
                let known = counters.clients().0.len();
                prop_assert!(known <= open.len(), "{} clients, {} connections", known, open.len());
            }
            open.clear();
            prop_assert!(counters.clients().0.is_empty());
        }
    }
}
