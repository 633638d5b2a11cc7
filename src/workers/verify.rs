//! Is it right: copies are streamed whole through SHA-256 before anybody is sent to them.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::fetch::{Fetcher, Get, Hashed, Pace};
use crate::metrics::Metrics;
use crate::model::{Clock, CopyFault, Fingerprint};

use super::fact::{Fact, Found, NextWork, Verified, Work, Wrong};
use super::handle::Handle;
use super::probe::{expected_of, printable};

/// Copies that are hashed at once, over all mirrors.
pub const AT_ONCE: usize = 32;
/// How long a mirror may take to begin an answer.
const HEAD_DEADLINE: Duration = Duration::from_secs(30);
/// A sleeping verifier looks for stale copies this often.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// One mirror's verifier.
#[derive(Clone)]
pub struct Verifier {
    /// Which mirror.
    pub mirror: crate::model::MirrorName,
    /// Copies hashed at once here.
    pub concurrency: usize,
    /// Bytes per second here.
    pub pace: Pace,
    /// Copies hashed at once everywhere.
    pub everywhere: Arc<Semaphore>,
    /// Makes the requests.
    pub fetcher: Fetcher,
    /// Where work comes from and results go.
    pub handle: Handle,
    /// What it sleeps on while there is nothing to do.
    pub wake: Arc<Notify>,
    /// Where counts go.
    pub metrics: Arc<Metrics>,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

impl Verifier {
    /// Hashes until the writer stops.
    pub async fn run(self) {
        let here = Arc::new(Semaphore::new(self.concurrency));
        let mut running = JoinSet::new();
        loop {
            while running.try_join_next().is_some() {}
            let Ok(place) = Arc::clone(&here).acquire_owned().await else { return };
            match self.handle.next_work(&self.mirror).await {
                None => return,
                Some(NextWork::Now(work)) => {
                    let verifier = self.clone();
                    running.spawn(async move {
                        verifier.work(*work).await;
                        drop(place);
                    });
                }
                Some(NextWork::Nothing { until }) => {
                    drop(place);
                    let wait = until.map_or(LOOK_EVERY, |at| at.since(self.clock.now()));
                    tokio::select! {
                        () = self.wake.notified() => {}
                        () = sleep(wait.clamp(Duration::from_millis(10), LOOK_EVERY)) => {}
                    }
                }
            }
        }
    }

    async fn work(&self, work: Work) {
        let Ok(_place) = self.everywhere.acquire().await else { return };
        let (outcome, bytes) = match self.hash(&work).await {
            Ok((mark, bytes)) => (Ok(mark), bytes),
            Err(wrong) => {
                let bytes = wrong.evidence.size.unwrap_or(0);
                (Err(wrong), bytes)
            }
        };
        self.count(&work, outcome.as_ref().err(), bytes);
        let Work { copy, purpose, .. } = work;
        self.handle
            .tell(Fact::Verified(Verified { copy, purpose, outcome, bytes, found: Found::default() }))
            .await;
    }

    async fn hash(&self, work: &Work) -> Result<(Fingerprint, u64), Wrong> {
        let asset = work.release.asset(work.copy.asset);
        let response = self.fetcher.get(&Get::new(&work.url, HEAD_DEADLINE)).await?;
        let seen = response.look(&expected_of(&asset.name, asset.size))?;
        let (status, final_url) = (response.status, response.final_url.to_string());
        let Hashed { sha256, size, first_bytes, .. } = response.hash(asset.size, &self.pace).await?;
        if sha256 == asset.sha256 {
            return Ok((seen.fingerprint, size));
        }
        let html = crate::fetch::looks_like_html(&first_bytes) && !expected_of(&asset.name, 0).html_is_fine;
        let fault = if html { CopyFault::Html } else { CopyFault::WrongDigest };
        let evidence = crate::health::Evidence {
            status: Some(status.as_u16()),
            size: Some(size),
            sha256: Some(sha256.to_string()),
            first_bytes: printable(&first_bytes),
            final_url: Some(final_url.chars().take(500).collect()),
            detail: format!("the bytes hash to {sha256}, the manifest says {}", asset.sha256),
        };
        Err(Wrong { fault, evidence })
    }

    fn count(&self, work: &Work, wrong: Option<&Wrong>, bytes: u64) {
        let outcome = wrong.map_or("verified", |wrong| wrong.fault.as_str());
        self.metrics.verifications.with_label_values(&[self.mirror.as_str(), outcome]).inc();
        self.metrics.verified_bytes.with_label_values(&[self.mirror.as_str()]).inc_by(bytes);
        let asset = &work.release.asset(work.copy.asset).name;
        let (product, version) = (&work.copy.release.product, &work.copy.release.version);
        match wrong {
            None => {
                tracing::debug!(mirror = %self.mirror, %product, %version, asset, bytes, "a copy is verified")
            }
            Some(wrong) if wrong.fault == CopyFault::Missing => {
                tracing::debug!(mirror = %self.mirror, %product, %version, asset, "a copy is missing");
            }
            Some(wrong) => tracing::warn!(
                mirror = %self.mirror, %product, %version, asset,
                reason = %wrong.fault, detail = wrong.evidence.detail,
                "a copy could not be verified"
            ),
        }
    }
}
