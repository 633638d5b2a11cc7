//! Starts the workers, and replaces what they work with when the configuration, a database, a key or a certificate changes.
//! What is invalid is refused and said so; the last good state stays in force.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::Notify;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{MissedTickBehavior, interval};

use crate::config::{Config, NetworkSource};
use crate::deliveries::{Recording, Records};
use crate::fetch::Fetcher;
use crate::routing;
use crate::server::TlsStore;
use crate::tasks::Shutdown;

use super::believed::TicketSecret;
use super::fact::Fact;
use super::handle::{KeyLooks, Status};
use super::prepare::Prepared;
use super::supervise::{Common, Mirrors, fetcher};
use super::{issuers, origin};

/// How often files are looked at for changes.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// How often time-dependent decisions are made when nothing else happens.
const TICK: Duration = Duration::from_secs(1);

/// What tells whether a file changed; a file that is not there has a stamp too.
type Stamp = Option<(SystemTime, u64)>;

fn stamp(path: &Path) -> Stamp {
    let about = std::fs::metadata(path).ok()?;
    Some((about.modified().ok()?, about.len()))
}

/// Files whose changes matter.
#[derive(Debug, Default)]
struct Watched(Vec<(PathBuf, Stamp)>);

impl Watched {
    fn new(paths: impl Iterator<Item = PathBuf>) -> Self {
        Self(paths.map(|path| (stamp(&path), path)).map(|(stamp, path)| (path, stamp)).collect())
    }

    /// Whether any changed since this was last asked.
    fn changed(&mut self) -> bool {
        let mut changed = false;
        for (path, before) in &mut self.0 {
            let now = stamp(path);
            // A file that is being replaced may be gone for a moment; it is looked at again.
            if now.is_some() && now != *before {
                *before = now;
                changed = true;
            }
        }
        changed
    }
}

/// Runs the workers of the configuration in force.
pub struct Supervisor {
    /// What all workers share.
    pub common: Common,
    /// What readiness reports.
    pub status: Arc<Status>,
    /// The file that SIGHUP reads again; `None`: there is none.
    pub config_file: Option<PathBuf>,
    /// The configuration in force.
    pub config: Arc<Config>,
    /// Its mirrors.
    pub mirrors: Arc<routing::Mirrors>,
    /// Opens records of deliveries.
    pub records: Arc<Records>,
    /// The one in force.
    pub recording: Option<Recording>,
    /// Seals tickets as long as no file says what does.
    pub ticket_secret: TicketSecret,
    /// The certificates in force.
    pub tls: Option<Arc<TlsStore>>,
    /// Makes outgoing requests.
    pub fetcher: Fetcher,
    /// SIGHUP.
    pub reload: Arc<Notify>,
    /// Wakes the look at the origin.
    pub poll: Arc<Notify>,
    /// Where issuers' keys are asked for.
    pub keys: Arc<KeyLooks>,
}

/// What is to come into force.
type Reloaded = (Arc<Config>, Prepared, Fetcher);

/// Why a reload was refused: everything that is wrong, one problem a line.
type Refusal = String;

impl Supervisor {
    /// Works until told to stop. Returns early, with an error, when a worker died.
    pub async fn run(mut self, mut shutdown: Shutdown) -> Result<(), JoinError> {
        let mut origin = self.start_origin();
        let mut mirrors = self.start_mirrors();
        let (mut files, mut certificates) = self.watch();
        let mut tick = interval(TICK);
        let mut look = interval(LOOK_EVERY);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let outcome = loop {
            let wanted = tokio::select! {
                () = shutdown.triggered() => break Ok(()),
                end = mirrors.next_end() => match end {
                    Ok(()) => continue,
                    Err(error) => break Err(error),
                },
                Some(end) = origin.join_next() => match end {
                    Ok(()) => continue,
                    Err(error) => break Err(error),
                },
                _ = tick.tick() => {
                    self.common.handle.tell(Fact::Tick).await;
                    continue;
                }
                () = self.reload.notified() => self.read_again().await,
                _ = look.tick() => {
                    if certificates.changed() {
                        self.reload_certificates().await;
                    }
                    if !files.changed() {
                        continue;
                    }
                    self.prepare_with_new_files().await
                }
            };
            let (config, prepared, fetcher) = match wanted {
                Ok(reloaded) => reloaded,
                Err(why) => {
                    self.refused(why);
                    continue;
                }
            };
            // The old workers end first: what they were doing is forgotten with the reload.
            mirrors.stop().await;
            origin.shutdown().await;
            (self.config, self.fetcher) = (config, fetcher);
            self.mirrors = Arc::clone(&prepared.mirrors);
            self.recording.clone_from(&prepared.recording);
            self.status.admin.store(Arc::new(self.config.admin.clone()));
            self.common.handle.tell(Fact::Reloaded(Box::new(prepared))).await;
            origin = self.start_origin();
            mirrors = self.start_mirrors();
            (files, certificates) = self.watch();
            self.accepted();
        };
        mirrors.stop().await;
        origin.shutdown().await;
        outcome
    }

    fn start_mirrors(&self) -> Mirrors {
        Mirrors::start(&self.config, &self.mirrors, &self.fetcher, &self.common, &self.status.changed)
    }

    /// What reads the origin, and issuers' keys.
    fn start_origin(&self) -> JoinSet<()> {
        let mut running = issuers::start(&self.config, &self.fetcher, &self.common, &self.keys);
        let Common { handle, metrics, .. } = self.common.clone();
        let (origin, fetcher, poll) = (self.config.origin.clone(), self.fetcher.clone(), self.poll.clone());
        running.spawn(origin::run(origin, fetcher, handle, poll, metrics));
        running
    }

    fn watch(&self) -> (Watched, Watched) {
        let geoip = self.config.geoip.city.iter().chain(&self.config.geoip.asn).cloned();
        let ranges = self.config.client_networks.iter().filter_map(|network| match &network.source {
            NetworkSource::File { path, .. } => Some(path.clone()),
            NetworkSource::Cidr(_) => None,
        });
        let tls = self.config.server.tls.iter();
        let tls = tls.flat_map(|files| [files.certificate.clone(), files.key_file.clone()]);
        let keys = self.config.key_files().cloned();
        (Watched::new(geoip.chain(ranges).chain(keys)), Watched::new(tls))
    }

    /// A reload is in force. What is shown is set before it is said.
    fn accepted(&self) {
        let metrics = &self.common.metrics;
        metrics.reloads.with_label_values(&["ok"]).inc();
        metrics.reload_refused.set(0);
        self.status.reload_error.store(None);
        tracing::info!("reloaded");
    }

    /// A reload is refused.
    fn refused(&self, why: Refusal) {
        let metrics = &self.common.metrics;
        metrics.reloads.with_label_values(&["refused"]).inc();
        metrics.reload_refused.set(1);
        self.status.reload_error.store(Some(Arc::new(why.clone())));
        tracing::error!(why, "the reload is refused; the last good state stays in force");
    }

    /// Reads everything again: the configuration, the databases, the certificates.
    async fn read_again(&self) -> Result<Reloaded, Refusal> {
        let file = self.config_file.clone().ok_or("this service was started without a configuration file")?;
        let metrics = Arc::clone(&self.common.metrics);
        let (tls, before) = (self.tls.clone(), Arc::clone(&self.config));
        let (records, secret) = (Arc::clone(&self.records), self.ticket_secret.clone());
        blocking(move || {
            let loaded = crate::config::load(&file).map_err(|problems| problems.to_string())?;
            loaded.warnings.iter().for_each(|warning| tracing::warn!(%warning, "configuration"));
            let config = Arc::new(loaded.config);
            warn_of_restart(&before, &config);
            let fetcher = fetcher(&config).map_err(|error| error.to_string())?;
            let mut prepared = Prepared::new(Arc::clone(&config), None, &secret, &metrics).map_err(lines)?;
            if let Some(tls) = &tls {
                tls.reload().map_err(|error| error.to_string())?;
            }
            // Last: a run that begins stands in the file, whatever becomes of the reload.
            prepared.recording = records.open(&config.audit).map_err(|error| error.to_string())?;
            Ok((config, prepared, fetcher))
        })
        .await
    }

    /// Compiles the databases, range files and keys again under the configuration in force.
    async fn prepare_with_new_files(&self) -> Result<Reloaded, Refusal> {
        let (config, metrics) = (Arc::clone(&self.config), Arc::clone(&self.common.metrics));
        let (fetcher, recording) = (self.fetcher.clone(), self.recording.clone());
        let secret = self.ticket_secret.clone();
        blocking(move || {
            let prepared = Prepared::new(Arc::clone(&config), None, &secret, &metrics).map_err(lines)?;
            let prepared = Prepared { recording, ..prepared };
            Ok((config, prepared, fetcher))
        })
        .await
    }

    async fn reload_certificates(&self) {
        let Some(tls) = self.tls.clone() else { return };
        match blocking(move || tls.reload().map_err(|error| error.to_string())).await {
            Ok(_) => self.accepted(),
            Err(why) => self.refused(why),
        }
    }
}

fn lines<E: std::fmt::Display>(errors: Vec<E>) -> Refusal {
    errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Refusal> + Send + 'static,
) -> Result<T, Refusal> {
    let work = tokio::task::spawn_blocking(work).await;
    work.unwrap_or_else(|error| Err(format!("the reload failed: {error}")))
}

/// Listeners and the state folder are opened once.
fn warn_of_restart(before: &Config, after: &Config) {
    let (a, b) = (&before.server, &after.server);
    let same = (&a.listen, a.admin, &a.state, &a.tls) == (&b.listen, b.admin, &b.state, &b.tls);
    if !same || before.limits != after.limits {
        tracing::warn!("server.listen, admin, state, tls and [limits] take effect at the next start");
    }
    if a.trusted_proxies != b.trusted_proxies {
        tracing::warn!(
            "limits.connections_per_client counts new server.trusted_proxies as clients until the next start"
        );
    }
}
