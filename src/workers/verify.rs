//! Is it right: copies are streamed whole through SHA-256 before anybody is sent to them, and later compared block by
//! block.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinSet;
use tokio::time::sleep;
use url::Url;

use crate::catalog::signature::SIGNATURE_BYTES_MAX;
use crate::fetch::{Expected, Failure, Fetcher, Get, Hashed, Pace, Response, looks_like_html, shown};
use crate::health::{BlockDigest, Evidence, block_digest, block_range};
use crate::metrics::Metrics;
use crate::model::{Clock, CopyFault, Fingerprint, MirrorName, Sha256};

use super::examine::Examination;
use super::fact::{Fact, Found, NextWork, Purpose, Sidecar, Verified, Work, Wrong};
use super::handle::Handle;
use super::probe::{expected_of, printable};
use super::signature::Signed;
use super::signing::Signing;

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
    pub mirror: MirrorName,
    /// Copies hashed at once here.
    pub concurrency: usize,
    /// Bytes per second here.
    pub pace: Pace,
    /// Copies hashed at once everywhere.
    pub everywhere: Arc<Semaphore>,
    /// Makes the requests.
    pub fetcher: Fetcher,
    /// Signs them.
    pub signing: Signing,
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
        let looked = self.look(&work).await;
        // A server without ranges sent all of it.
        let purpose = match (work.purpose, &looked) {
            (Purpose::Sample, Ok(looked)) if looked.is_whole => Purpose::Recheck,
            (purpose, _) => purpose,
        };
        let (outcome, bytes, found) = match looked {
            Ok(Looked { mark, bytes, found, .. }) => (Ok(mark), bytes, found),
            Err(wrong) => {
                let bytes = wrong.evidence.size.unwrap_or(0);
                (Err(wrong), bytes, Found::default())
            }
        };
        self.count(&work, purpose, outcome.as_ref().err(), bytes);
        self.handle.tell(Fact::Verified(Verified { copy: work.copy, purpose, outcome, bytes, found })).await;
    }

    async fn look(&self, work: &Work) -> Result<Looked, Wrong> {
        let signed = self.sidecar(work).await;
        let asset = work.release.asset(work.copy.asset);
        let sample = work.examine.sample;
        let range = sample.and_then(|sample| block_range(asset.size, sample.block));
        let response = self.ask(&work.url, range).await?;
        let validator = sample.and_then(|sample| sample.mark);
        let seen = response.look(&Expected { range, validator, ..expected_of(&asset.name, asset.size) })?;
        match sample.and_then(|sample| sample.digest).zip(range).filter(|_| seen.partial) {
            Some((digest, range)) => self.compare(work, response, range, digest, seen.fingerprint).await,
            None => self.hash(work, response, signed.as_ref(), seen.fingerprint).await,
        }
    }

    async fn ask(&self, url: &Url, range: Option<(u64, u64)>) -> Result<Response, Failure> {
        let signed = self.signing.sign(url);
        let get = Get { range, ..Get::new(&signed, HEAD_DEADLINE) };
        self.fetcher.get(&self.signing.asking(get)).await
    }

    /// The signature beside the file, where it is asked for. One that is not what the manifest says is left to its own
    /// verification.
    async fn sidecar(&self, work: &Work) -> Option<Signed> {
        let Sidecar { url, asset, keys } = work.examine.signature.as_ref()?;
        let sidecar = work.release.asset(*asset);
        let response = self.ask(url, None).await.ok()?;
        response.look(&expected_of(&sidecar.name, sidecar.size)).ok()?;
        let bytes = response.read(SIGNATURE_BYTES_MAX).await.ok()?;
        (Sha256::of(&bytes) == sidecar.sha256).then(|| Signed::read(&bytes, keys))
    }

    async fn hash(
        &self,
        work: &Work,
        response: Response,
        signed: Option<&Signed>,
        mark: Fingerprint,
    ) -> Result<Looked, Wrong> {
        let asset = work.release.asset(work.copy.asset);
        let (status, final_url) = (response.status, response.final_url.clone());
        let mut examination = Examination::new(&work.release, work.copy.asset, &work.examine, signed);
        let look_on = |chunk: &[u8]| examination.update(chunk);
        let hashed = response.hash_beside(asset.size, &self.pace, look_on).await?;
        if hashed.sha256 == asset.sha256 {
            return Ok(Looked { mark, bytes: hashed.size, found: examination.finish(), is_whole: true });
        }
        let detail = format!("the bytes hash to {}, the manifest says {}", hashed.sha256, asset.sha256);
        Err(other_bytes(&asset.name, &hashed, status, &final_url, detail))
    }

    async fn compare(
        &self,
        work: &Work,
        response: Response,
        range: (u64, u64),
        digest: BlockDigest,
        mark: Fingerprint,
    ) -> Result<Looked, Wrong> {
        let (first, last) = range;
        let (status, final_url) = (response.status, response.final_url.clone());
        let hashed = response.hash(last - first + 1, &self.pace).await?;
        if block_digest(&hashed.sha256) == digest {
            return Ok(Looked { mark, bytes: hashed.size, found: Found::default(), is_whole: false });
        }
        let detail = format!("bytes {first}-{last} are not those of the file that was verified");
        let name = &work.release.asset(work.copy.asset).name;
        Err(other_bytes(name, &hashed, status, &final_url, detail))
    }

    fn count(&self, work: &Work, purpose: Purpose, wrong: Option<&Wrong>, bytes: u64) {
        let mirror = self.mirror.as_str();
        let fault = wrong.map(|wrong| wrong.fault.as_str());
        self.metrics.verification.bytes.with_label_values(&[mirror, purpose.as_str()]).inc_by(bytes);
        if work.purpose == Purpose::Sample {
            let right = if purpose == Purpose::Sample { "right" } else { "no_ranges" };
            self.metrics.verification.samples.with_label_values(&[mirror, fault.unwrap_or(right)]).inc();
        }
        if purpose != Purpose::Sample {
            let outcome = fault.unwrap_or("verified");
            self.metrics.verification.outcomes.with_label_values(&[mirror, outcome]).inc();
        }
        let asset = &*work.release.asset(work.copy.asset).name;
        let (product, version) = (&work.copy.release.product, &work.copy.release.version);
        let purpose = purpose.as_str();
        match wrong {
            None => {
                tracing::debug!(mirror, %product, %version, asset, bytes, purpose, "a copy is right")
            }
            Some(wrong) if wrong.fault == CopyFault::Missing => {
                tracing::debug!(mirror, %product, %version, asset, purpose, "a copy is missing");
            }
            Some(wrong) => tracing::warn!(
                mirror, %product, %version, asset, purpose,
                reason = %wrong.fault, detail = wrong.evidence.detail,
                "a copy could not be verified"
            ),
        }
    }
}

/// A look that found nothing wrong.
struct Looked {
    mark: Fingerprint,
    bytes: u64,
    found: Found,
    /// Not only a block was read.
    is_whole: bool,
}

/// What is wrong where the length is right and the bytes are not.
fn other_bytes(name: &str, hashed: &Hashed, status: StatusCode, final_url: &Url, detail: String) -> Wrong {
    let html = looks_like_html(&hashed.first_bytes) && !expected_of(name, 0).html_is_fine;
    let evidence = Evidence {
        status: Some(status.as_u16()),
        size: Some(hashed.size),
        sha256: Some(hashed.sha256.to_string()),
        first_bytes: printable(&hashed.first_bytes, Some(final_url)),
        final_url: Some(shown(final_url)),
        detail,
    };
    Wrong { fault: if html { CopyFault::Html } else { CopyFault::WrongDigest }, evidence }
}
