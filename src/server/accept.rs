//! A server: bound sockets, the loop that accepts, and a graceful end.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::{JoinError, JoinSet};

use super::connection::Plan;
use super::listener::{Accepted, Listener, LocalListener, listen_tcp};
use super::open_files::within_open_files;
use super::{BindError, Handler, ServerCounters, TlsStore};
use crate::client::Proxies;
use crate::config::Limits;
use crate::tasks::Shutdown;

/// The first pause after `accept` failed for a reason that may last (no file descriptors, no memory); it doubles…
const FIRST_PAUSE: Duration = Duration::from_millis(10);
/// …up to this.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Listening sockets that share limits and counters. Connections wait in the kernel until it runs.
#[derive(Debug)]
pub struct Server {
    name: &'static str,
    listeners: Vec<Listener>,
    limits: Limits,
    tls: Option<Arc<TlsStore>>,
    counters: Arc<ServerCounters>,
    exempt: Proxies,
}

impl Server {
    /// Listens on all addresses; port 0 takes a free one. `[::]` takes IPv4 as well, and becomes `0.0.0.0` on a
    /// machine without IPv6. With `tls` every connection is TLS. Needs a tokio runtime.
    ///
    /// # Errors
    ///
    /// Where one address cannot be had, none is.
    pub fn bind(
        name: &'static str,
        addresses: &[SocketAddr],
        limits: Limits,
        tls: Option<Arc<TlsStore>>,
    ) -> Result<Self, BindError> {
        let listeners = listen_tcp(name, addresses)?;
        let limits = within_open_files(name, limits);
        Ok(Self { name, listeners, limits, tls, counters: Arc::default(), exempt: Proxies::default() })
    }

    /// Listens on a Unix socket that only this user may open (mode 0600). A socket that nobody answers on any more is
    /// replaced. The file goes when the server stops. Needs a tokio runtime.
    ///
    /// # Errors
    ///
    /// Where somebody answers there, where something else than a socket is in the way, or where the system refuses.
    pub fn bind_local(name: &'static str, path: &Path, limits: Limits) -> Result<Self, BindError> {
        let listeners = vec![Listener::Local(LocalListener::bind(path)?)];
        let exempt = Proxies::default();
        Ok(Self { name, listeners, limits, tls: None, counters: Arc::default(), exempt })
    }

    /// Lets these have any number of connections: each speaks for many clients.
    #[must_use]
    pub fn exempting(self, exempt: Proxies) -> Self {
        Self { exempt, ..self }
    }

    /// What was really bound, in the order given.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.listeners.iter().filter_map(Listener::address).collect()
    }

    /// What is seen, live.
    pub fn counters(&self) -> Arc<ServerCounters> {
        Arc::clone(&self.counters)
    }

    /// Serves until `shutdown`, then closes the listening sockets at once, tells connections to finish, and returns
    /// when they have or after `drain`; what is open then is cut. Dropping the future cuts everything at once.
    pub async fn run<H: Handler>(self, handler: Arc<H>, shutdown: Shutdown, drain: Duration) {
        let plan = Arc::new(Plan::new(handler, self.limits, self.tls, self.counters, self.exempt));
        let mut loops = JoinSet::new();
        for listener in self.listeners {
            loops.spawn(serve(self.name, listener, Arc::clone(&plan), shutdown.clone(), drain));
        }
        while let Some(end) = loops.join_next().await {
            note_end(self.name, end);
        }
    }
}

/// One listener's life.
async fn serve<H: Handler>(
    name: &'static str,
    listener: Listener,
    plan: Arc<Plan<H>>,
    mut shutdown: Shutdown,
    drain: Duration,
) {
    let mut connections = JoinSet::new();
    accept_until_shutdown(name, &listener, &plan, &mut shutdown, &mut connections).await;
    drop(listener);
    plan.stop.tell();
    let finished = tokio::time::timeout(drain, async {
        while let Some(end) = connections.join_next().await {
            note_end(name, end);
        }
    });
    if finished.await.is_err() {
        tracing::warn!(listener = name, open = connections.len(), "connections that did not finish are cut");
        connections.shutdown().await;
    }
}

async fn accept_until_shutdown<H: Handler>(
    name: &'static str,
    listener: &Listener,
    plan: &Arc<Plan<H>>,
    shutdown: &mut Shutdown,
    connections: &mut JoinSet<()>,
) {
    let mut pause = FIRST_PAUSE;
    loop {
        let accepted = tokio::select! {
            biased;
            () = shutdown.triggered() => return,
            Some(end) = connections.join_next() => {
                note_end(name, end);
                continue;
            }
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok(accepted) => {
                pause = FIRST_PAUSE;
                start(plan, accepted, connections);
            }
            Err(error) => {
                plan.counters.note_accept_error();
                if is_of_the_peer(&error) {
                    continue;
                }
                if pause == FIRST_PAUSE {
                    tracing::error!(listener = name, %error, "cannot accept connections; trying on, more slowly");
                }
                if shutdown.unless_triggered(tokio::time::sleep(pause)).await.is_none() {
                    return;
                }
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
    }
}

/// Starts a connection's task; one too many is closed at once.
fn start<H: Handler>(plan: &Arc<Plan<H>>, accepted: Accepted, connections: &mut JoinSet<()>) {
    let client = accepted.address().filter(|address| !plan.exempt.has(*address));
    let Some(place) = plan.counters.admit(&plan.limits, client) else { return };
    let served = Arc::clone(plan).serve(accepted);
    connections.spawn(async move {
        let _place = place;
        served.await;
    });
}

/// Whether only the connection that was to be accepted is gone: the next one may be well.
fn is_of_the_peer(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted, TimedOut};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted | TimedOut)
}

fn note_end(name: &'static str, end: Result<(), JoinError>) {
    if let Err(error) = end
        && error.is_panic()
    {
        tracing::error!(listener = name, %error, "a connection's task panicked; the others go on");
    }
}
