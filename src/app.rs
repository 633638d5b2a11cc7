//! The composition root: opens everything, wires it, runs it, and stops it in order.

mod public;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::sync::{Notify, mpsc};

use crate::admin::{Admin, Door};
use crate::client::Proxies;
use crate::config::{Config, Limits, Loaded};
use crate::deliveries::{RecordError, Records};
use crate::fetch::FetcherError;
use crate::metrics::Metrics;
use crate::model::{Clock, Timestamp};
use crate::server::{BindError, Server, TlsError, TlsStore};
use crate::snapshot::Published;
use crate::store::{Store, StoreError};
use crate::tasks::{Shutdown, Tasks, shutdown};
use crate::workers::handle::{Message, channel};
use crate::workers::publish::{Remembered, World, Writer};
use crate::workers::reload::Supervisor;
use crate::workers::supervise::{Common, fetcher};
use crate::workers::{Handle, KeyLooks, PrepareError, Prepared, Status, TicketSecret, Wakers};

use public::Public;

/// The socket for the operator's commands, in the state folder.
pub const SOCKET: &str = "admin.sock";

/// How long requests to the admin interface may take to finish once the last download was answered: they are short, and
/// one that waits for a release must not hold a stop up.
const ADMIN_DRAIN: Duration = Duration::from_secs(1);

/// Why the service cannot start.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// The state folder.
    #[error("{0}")]
    Store(#[from] StoreError),
    /// The record of deliveries.
    #[error("{0}")]
    Record(#[from] RecordError),
    /// GeoIP databases, range files and files of keys, all problems.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Prepare(Vec<PrepareError>),
    /// A listener.
    #[error("{0}")]
    Bind(#[from] BindError),
    /// The certificate or its key.
    #[error("{0}")]
    Tls(#[from] TlsError),
    /// Certificates for outgoing requests, or the proxy.
    #[error("{0}")]
    Fetcher(#[from] FetcherError),
    /// The writer's thread.
    #[error("a thread cannot be started: {0}")]
    Thread(std::io::Error),
    /// A task that the service cannot live without.
    #[error("the task {0} ended unexpectedly; the service stops")]
    Died(String),
}

/// What was bound.
#[derive(Debug, Clone)]
pub struct Addresses {
    /// Public listeners.
    pub public: Vec<SocketAddr>,
    /// The admin listener, where there is one.
    pub admin: Option<SocketAddr>,
    /// The operator's socket.
    pub socket: PathBuf,
}

/// The service, bound and not yet running.
pub struct App {
    addresses: Addresses,
    drain: Duration,
    public: (Server, Public),
    admin: Vec<(Server, Admin)>,
    supervisor: Supervisor,
    writer: std::thread::JoinHandle<()>,
    records: Arc<Records>,
    status: Arc<Status>,
}

/// Limits of the admin listeners: few clients, and answers that may be waited for.
fn admin_limits(limits: Limits) -> Limits {
    Limits { connections: limits.connections.min(256), ..limits }
}

impl App {
    /// Opens the store, reads the databases, binds every listener. From then on connections are accepted once
    /// [`App::run`] is called; before the first snapshot they are answered with 503.
    ///
    /// `config_file` is what a reload reads again.
    ///
    /// # Errors
    ///
    /// Whatever keeps the service from starting; nothing is left running.
    pub async fn bind(
        loaded: Loaded,
        config_file: Option<PathBuf>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, AppError> {
        let config = Arc::new(loaded.config);
        let metrics = Arc::new(Metrics::new());
        let tls = certificates(&config, clock.now())?;
        let fetcher = fetcher(&config)?;
        let (begun, secret) = (Instant::now(), TicketSecret::random());
        // Side by side: each takes a second or so at a million assets and with a city database.
        let (prepared, opened) =
            tokio::join!(prepare(&config, &secret, &metrics), open(config.server.state.clone(), clock.now()));
        let (mut prepared, opened) = (prepared?, opened?);
        let mirrors = Arc::clone(&prepared.mirrors);

        let status = Arc::new(Status::new(config.admin.clone()));
        let published = Arc::new(Published::default());
        let (Listeners { public, local, admin }, addresses) = Listeners::bind(&config, tls.clone())?;
        let records = Arc::new(Records::new(&metrics.access.deliveries, Arc::clone(&clock)));
        let recording = records.open(&config.audit)?;
        prepared.recording.clone_from(&recording);
        let (handle, messages) = channel();
        let (wakers, poll) = (Arc::new(Wakers::default()), Arc::new(Notify::new()));
        let keys = Arc::new(KeyLooks::default());
        let common = Common {
            handle: handle.clone(),
            wakers: Arc::clone(&wakers),
            metrics: Arc::clone(&metrics),
            clock: Arc::clone(&clock),
        };
        let writer = Writing {
            prepared: Box::new(prepared),
            opened,
            begun,
            published: Arc::clone(&published),
            wakers,
            status: Arc::clone(&status),
            metrics: Arc::clone(&metrics),
            clock: Arc::clone(&clock),
        };
        let writer = writer.start(messages)?;
        let counters = [Some(&public), Some(&local), admin.as_ref()];
        let counters = counters.into_iter().flatten().map(Server::counters).collect::<Vec<_>>();
        let plane = |door| {
            let listeners = ["public", "socket", "admin"].into_iter().zip(counters.clone()).collect();
            let (published, handle, status) = (published.clone(), handle.clone(), status.clone());
            let (metrics, clock, poll) = (metrics.clone(), clock.clone(), poll.clone());
            Admin { door, published, handle, status, metrics, clock, poll, listeners }
        };
        let mut admins = vec![(local, plane(Door::Socket))];
        admins.extend(admin.map(|server| (server, plane(Door::Network(Arc::clone(&status.admin))))));
        let supervisor = Supervisor {
            common,
            status: Arc::clone(&status),
            config_file,
            ticket_secret: secret,
            mirrors,
            tls,
            fetcher,
            reload: Arc::new(Notify::new()),
            poll: Arc::clone(&poll),
            keys: Arc::clone(&keys),
            records: Arc::clone(&records),
            recording,
            config: Arc::clone(&config),
        };
        let handler = Public { published, status: Arc::clone(&status), clock, metrics, keys };
        let drain = config.server.drain;
        let public = (public, handler);
        Ok(Self { addresses, drain, public, admin: admins, supervisor, writer, records, status })
    }

    /// What was bound.
    pub fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// Notifying this reads the configuration again (SIGHUP).
    pub fn reloader(&self) -> Arc<Notify> {
        Arc::clone(&self.supervisor.reload)
    }

    /// The way to the writer, for questions and orders.
    pub fn handle(&self) -> Handle {
        self.supervisor.common.handle.clone()
    }

    /// All metrics.
    pub fn metrics(&self) -> Arc<Metrics> {
        Arc::clone(&self.supervisor.common.metrics)
    }

    /// Serves until told to stop: readiness turns first, connections in flight finish within the drain, then the admin
    /// interface, which said so meanwhile, then the workers end, and last the writer, when everything that was told has
    /// been written down.
    ///
    /// # Errors
    ///
    /// Where a task that the service cannot live without has died.
    pub async fn run(self, mut stop: Shutdown) -> Result<(), AppError> {
        let (close_public, public_closes) = shutdown();
        let (close_admin, admin_closes) = shutdown();
        let (mut serving, mut operating) = (Tasks::default(), Tasks::default());
        let (server, handler) = self.public;
        serving.spawn("public", server.run(Arc::new(handler), public_closes, self.drain));
        for (server, admin) in self.admin {
            let drain = self.drain.min(ADMIN_DRAIN);
            operating.spawn("admin", server.run(Arc::new(admin), admin_closes.clone(), drain));
        }
        let (end_workers, workers_end) = shutdown();
        let mut working = tokio::spawn(self.supervisor.run(workers_end));
        let outcome = tokio::select! {
            () = stop.triggered() => Ok(()),
            died = &mut working => Err(AppError::Died(format!("workers ({died:?})"))),
            died = serving.next_end() => Err(AppError::Died(format!("server ({died:?})"))),
            died = operating.next_end() => Err(AppError::Died(format!("server ({died:?})"))),
        };
        tracing::info!("stopping");
        self.status.drain();
        close_public.pull();
        serving.join().await;
        close_admin.pull();
        operating.join().await;
        end_workers.pull();
        if outcome.is_ok()
            && let Err(error) = working.await
        {
            tracing::error!(%error, "the workers ended badly");
        }
        // All senders are gone with the workers and the planes, and with the writer the last snapshot: the threads that
        // write end by themselves.
        let (writer, records) = (self.writer, self.records);
        let ended = tokio::task::spawn_blocking(move || (writer.join().is_ok(), records.end())).await;
        match ended {
            Ok((true, true)) => outcome,
            Ok((true, false)) => Err(AppError::Died("deliveries".to_owned())),
            Ok((false, _)) | Err(_) => Err(AppError::Died("publish".to_owned())),
        }
    }
}

/// Everything that connections are accepted on.
struct Listeners {
    public: Server,
    local: Server,
    admin: Option<Server>,
}

impl Listeners {
    fn bind(config: &Config, tls: Option<Arc<TlsStore>>) -> Result<(Self, Addresses), BindError> {
        let public = Server::bind("public", &config.server.listen, config.limits, tls)?;
        let public = public.exempting(Proxies::new(&config.server.trusted_proxies));
        let socket = config.server.state.join(SOCKET);
        let local = Server::bind_local("socket", &socket, admin_limits(config.limits))?;
        let admin = config.server.admin;
        let admin = admin.map(|at| Server::bind("admin", &[at], admin_limits(config.limits), None));
        let admin = admin.transpose()?;
        let addresses = Addresses {
            public: public.addresses(),
            admin: admin.as_ref().and_then(|server| server.addresses().first().copied()),
            socket,
        };
        Ok((Self { public, local, admin }, addresses))
    }
}

/// The certificates, where there are any; what is odd about them is said.
fn certificates(config: &Config, now: Timestamp) -> Result<Option<Arc<TlsStore>>, TlsError> {
    let tls = config.server.tls.as_ref().map(TlsStore::load).transpose()?.map(Arc::new);
    if let Some(warning) = tls.as_ref().and_then(|tls| tls.warning(now)) {
        tracing::warn!(%warning, "server.tls.certificate");
    }
    Ok(tls)
}

/// Reads GeoIP databases away from the runtime's threads.
async fn prepare(
    config: &Arc<Config>,
    ticket_secret: &TicketSecret,
    metrics: &Arc<Metrics>,
) -> Result<Prepared, AppError> {
    let (config, metrics) = (Arc::clone(config), Arc::clone(metrics));
    let secret = ticket_secret.clone();
    let work = move || Prepared::new(config, None, &secret, &metrics);
    let prepared = tokio::task::spawn_blocking(work).await.map_err(|e| AppError::Died(e.to_string()))?;
    let prepared = prepared.map_err(AppError::Prepare)?;
    if !prepared.locator.has_geoip() {
        tracing::info!("no GeoIP database: configured networks and an even, weighted spread decide");
    }
    Ok(prepared)
}

/// The open store, what was in it, and how long it took to open it and to read that.
struct Opened {
    store: Store,
    state_lost: bool,
    remembered: Remembered,
    took: [Duration; 2],
}

async fn open(folder: PathBuf, now: Timestamp) -> Result<Opened, AppError> {
    let work = move || {
        let begun = Instant::now();
        let (store, loaded) = Store::open(Path::new(&folder))?;
        let opened = begun.elapsed();
        loaded.notes.iter().for_each(|note| tracing::warn!("state folder: {note}"));
        let state_lost = loaded.state_lost;
        if state_lost {
            tracing::error!(
                "the store and its journal were lost: orders given before are not known any more"
            );
        }
        let remembered = Remembered::new(loaded, now);
        Ok(Opened { store, state_lost, remembered, took: [opened, begun.elapsed() - opened] })
    };
    tokio::task::spawn_blocking(work).await.map_err(|error| AppError::Died(error.to_string()))?
}

/// What the writer's thread is started with.
struct Writing {
    prepared: Box<Prepared>,
    opened: Opened,
    /// When the configuration began to be compiled and the store to be opened.
    begun: Instant,
    published: Arc<Published>,
    wakers: Arc<Wakers>,
    status: Arc<Status>,
    metrics: Arc<Metrics>,
    clock: Arc<dyn Clock>,
}

impl Writing {
    fn start(self, messages: mpsc::Receiver<Message>) -> Result<std::thread::JoinHandle<()>, AppError> {
        let Opened { store, state_lost, remembered, took: [opened, read] } = self.opened;
        self.status.state_lost.store(state_lost, Ordering::Release);
        self.metrics.state_lost.set(i64::from(state_lost));
        let prepared = self.begun.elapsed();
        let world = World::resume(self.prepared, remembered, self.clock.now());
        let all = self.begun.elapsed();
        tracing::debug!(?opened, ?read, ?prepared, ?all, "the store and the databases are read");
        let writer = Writer {
            world,
            store,
            published: self.published,
            wakers: self.wakers,
            status: self.status,
            metrics: self.metrics,
            clock: self.clock,
        };
        let thread = std::thread::Builder::new().name("publish".to_owned());
        thread.spawn(move || writer.run(messages)).map_err(AppError::Thread)
    }
}
