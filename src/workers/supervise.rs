//! The mirrors' tasks: a prober, a verifier, a lister and perhaps a notifier each, replaced together when the configuration
//! changes.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use crate::config::{Config, IssuerKeys, OriginAt};
use crate::fetch::{Fetcher, FetcherError, NamedHosts, Pace};
use crate::metrics::Metrics;
use crate::model::Clock;
use crate::routing;

use super::handle::{Handle, Wakers};
use super::inventory::{self, Lister};
use super::notify::Notifier;
use super::probe::Prober;
use super::signing::Signing;
use super::verify::{AT_ONCE, Verifier};

/// What mirrors' tasks share.
#[derive(Clone)]
pub struct Common {
    /// The way to the writer.
    pub handle: Handle,
    /// Wakes verifiers.
    pub wakers: Arc<Wakers>,
    /// All metrics.
    pub metrics: Arc<Metrics>,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

/// Makes outgoing requests as a configuration says.
///
/// # Errors
///
/// Where the file of certificates or the proxy cannot be used.
pub fn fetcher(config: &Config) -> Result<Fetcher, FetcherError> {
    let origin = match &config.origin.at {
        OriginAt::Url(url) => Some(url),
        OriginAt::Folder(_) => None,
    };
    let key_sets = config.issuers.iter().filter_map(|issuer| match &issuer.keys {
        IssuerKeys::Jwks { url, .. } => Some(url),
        IssuerKeys::JwksFile(_) | IssuerKeys::Secrets(_) => None,
    });
    let named = NamedHosts::of(config.mirrors.iter().map(|mirror| &mirror.url).chain(origin).chain(key_sets));
    Fetcher::new(&config.outgoing, named)
}

/// The running tasks of all mirrors. They end when this is dropped.
#[derive(Debug, Default)]
pub struct Mirrors(JoinSet<()>);

impl Mirrors {
    /// Starts a prober, a verifier and a lister for every configured mirror, and a notifier where somebody wants to be
    /// told what it lacks. `compiled` are the same mirrors; `changed` tells of every publication.
    pub fn start(
        config: &Config,
        compiled: &routing::Mirrors,
        fetcher: &Fetcher,
        common: &Common,
        changed: &watch::Sender<()>,
    ) -> Self {
        let mut running = JoinSet::new();
        let everywhere = Arc::new(Semaphore::new(AT_ONCE));
        // A label for each region once, and the empty one for mirrors without.
        let regions: BTreeMap<_, _> = (0u16..).zip(&config.regions).collect();
        for (mirror, (_, link)) in config.mirrors.iter().zip(compiled.iter()) {
            let signing = Signing { signer: link.signer.clone(), clock: Arc::clone(&common.clock) };
            let region =
                mirror.region.and_then(|id| regions.get(&id.0)).map(|region| region.name.to_string());
            let prober = Prober {
                mirror: mirror.name.clone(),
                region: region.unwrap_or_default(),
                timeout: config.probe.timeout,
                fetcher: fetcher.clone(),
                signing: signing.clone(),
                handle: common.handle.clone(),
                metrics: Arc::clone(&common.metrics),
            };
            let verifier = Verifier {
                mirror: mirror.name.clone(),
                concurrency: config.verify.concurrency,
                pace: Pace::new(config.verify.bandwidth),
                everywhere: Arc::clone(&everywhere),
                fetcher: fetcher.clone(),
                signing,
                handle: common.handle.clone(),
                wake: common.wakers.of(&mirror.name),
                metrics: Arc::clone(&common.metrics),
                clock: Arc::clone(&common.clock),
            };
            let lister = Lister {
                mirror: mirror.name.clone(),
                fetcher: fetcher.clone(),
                handle: common.handle.clone(),
                pause: inventory::pause(config.mirrors.len()),
            };
            running.spawn(prober.run());
            running.spawn(verifier.run());
            running.spawn(lister.run());
            if let Some(notify) = &mirror.notify {
                let notifier = Notifier {
                    mirror: mirror.name.clone(),
                    notify: notify.clone(),
                    fetcher: fetcher.clone(),
                    handle: common.handle.clone(),
                    changed: changed.subscribe(),
                    metrics: Arc::clone(&common.metrics),
                };
                running.spawn(notifier.run());
            }
        }
        Self(running)
    }

    /// Ends all of them and waits until they have.
    pub async fn stop(mut self) {
        self.0.shutdown().await;
    }

    /// Waits until one of them ends. While the writer lives none does, unless it panicked or its mirror left.
    pub async fn next_end(&mut self) -> Result<(), tokio::task::JoinError> {
        match self.0.join_next().await {
            Some(end) => end,
            None => std::future::pending().await,
        }
    }
}
