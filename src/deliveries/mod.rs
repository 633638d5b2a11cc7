//! The record of what was given to whom: an append-only file of JSON lines, written by a thread of its own.
//!
//! ```text
//! answer → Deliveries (a queue) → Recorder (numbers the lines) → RecordFile
//! Records opens one for each file that a configuration names
//! ```
//!
//! Whoever reads it can tell that nothing is missing: whenever a file begins to be written to is a run, and its lines are
//! numbered. The first, number 0, says `started`, the last one `ended`; what was lost leaves a gap in the numbers. A run
//! without an end was killed, or is still going on.
//!
//! What is recorded where is part of the published view, so that each answer is recorded as the configuration says which
//! it was made from. A run ends when nothing can be answered any more that belongs to it.

mod file;
mod recorder;
mod records;
#[cfg(test)]
mod tests;

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use ipnet::IpNet;
use prometheus::IntCounterVec;
use serde::{Serialize, Serializer};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use crate::model::{MirrorName, ProductName, RegionName, Timestamp, Version};
use file::Rotation;

pub use records::{RecordError, Records};

/// Deliveries that may wait for the disk; what comes beyond is lost, or waits itself where it has to be recorded.
const QUEUE: usize = 4096;
/// How long an answer waits until it is recorded.
const RECORDED_WITHIN: Duration = Duration::from_secs(10);
/// Why nothing can be recorded by whoever still has this record.
const DIED: &str = "the thread that writes the file has died: reload, or restart the service";
/// How often it is said in the log that records are lost.
const TOLD_EVERY: Duration = Duration::from_secs(60);

/// Where deliveries are recorded, as one configuration says. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Recording {
    /// The file.
    pub to: Arc<Deliveries>,
    /// What cannot be recorded is not given.
    pub required: bool,
}

/// One answer that led to a file of a product that is not for everybody.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Delivery {
    /// When; RFC 3339.
    #[serde(serialize_with = "as_text")]
    pub at: Timestamp,
    /// Of which product.
    pub product: ProductName,
    /// Which version.
    pub version: Version,
    /// Which file.
    pub asset: Box<str>,
    /// The client's region, where it is known.
    pub region: Option<RegionName>,
    /// The mirror that it was sent to; `None`: a list of several was given.
    pub mirror: Option<MirrorName>,
    /// The client's network: never the whole address.
    pub network: IpNet,
    /// Whose token it was.
    pub issuer: Arc<str>,
    /// The token's id, where it has one.
    pub token_id: Option<Arc<str>>,
    /// It came with a ticket that was exchanged for the token.
    pub ticket: bool,
}

fn as_text<S: Serializer>(at: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(at)
}

/// A delivery on its way into the file, and who waits for that.
struct Entry {
    delivery: Delivery,
    waiting: Option<oneshot::Sender<bool>>,
}

impl Entry {
    /// Whoever waited has given up, and gives nothing out.
    fn is_moot(&self) -> bool {
        self.waiting.as_ref().is_some_and(oneshot::Sender::is_closed)
    }
}

/// One file of deliveries that is written to. What was noted is written when the last reference to this is gone.
#[derive(Debug)]
pub struct Deliveries {
    rotation: Arc<Rotation>,
    queue: mpsc::Sender<Entry>,
    trouble: Arc<Trouble>,
}

impl Deliveries {
    /// Records one as soon as may be. What cannot be recorded is counted and lost. Never waits.
    pub fn note(&self, delivery: Delivery) {
        match self.queue.try_send(Entry { delivery, waiting: None }) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => self.trouble.lost(1, "more was given out than the disk could take"),
            Err(TrySendError::Closed(_)) => self.trouble.lost(1, DIED),
        }
    }

    /// Records one, and tells whether it is in the file and on disk. Whoever waits no longer than 10 s is told no.
    pub async fn record(&self, delivery: Delivery) -> bool {
        let (waiting, recorded) = oneshot::channel();
        let recording = async {
            self.queue.send(Entry { delivery, waiting: Some(waiting) }).await.ok()?;
            recorded.await.ok()
        };
        let recorded = timeout(RECORDED_WITHIN, recording).await;
        let error = match recorded {
            Ok(Some(true)) => return true,
            Ok(None) => Some(Arc::new(DIED.to_owned())),
            Ok(Some(false)) | Err(_) => self.error(),
        };
        self.trouble.refused(error.as_ref().map_or("the disk is too slow", |error| error.as_str()));
        false
    }

    /// Why the file could not be written at the last try, or cannot be any more.
    pub fn error(&self) -> Option<Arc<String>> {
        if self.queue.is_closed() { Some(Arc::new(DIED.to_owned())) } else { self.trouble.error.load_full() }
    }
}

/// What went wrong, told to everybody who has to know.
#[derive(Debug)]
struct Trouble {
    /// Records that were lost and have no number yet.
    unnumbered: AtomicU64,
    told_at: Mutex<Option<Instant>>,
    error: ArcSwapOption<String>,
    /// By `outcome`.
    records: IntCounterVec,
}

impl Trouble {
    fn new(records: &IntCounterVec) -> Self {
        // All are there from the start, so that the first loss is an increase.
        for outcome in ["written", "lost", "refused"] {
            records.with_label_values(&[outcome]);
        }
        let error = ArcSwapOption::empty();
        Self { unnumbered: AtomicU64::new(0), told_at: Mutex::new(None), error, records: records.clone() }
    }

    /// So many lines are in the file.
    fn written(&self, count: u64) {
        self.records.with_label_values(&["written"]).inc_by(count);
        self.error.store(None);
    }

    /// The file could not be written, and so many that were given are not in it.
    fn failed(&self, path: &Path, error: &io::Error, noted: u64) {
        self.error.store(Some(Arc::new(format!("{}: {error}", path.display()))));
        if noted > 0 {
            self.lost(noted, &error.to_string());
        }
    }

    /// Answers were given, and nobody will know.
    fn lost(&self, count: u64, why: &str) {
        self.unnumbered.fetch_add(count, Ordering::AcqRel);
        self.records.with_label_values(&["lost"]).inc_by(count);
        self.tell("records of deliveries are lost", why);
    }

    /// An answer was not given, because it could not be recorded.
    fn refused(&self, why: &str) {
        self.records.with_label_values(&["refused"]).inc();
        self.tell("downloads are refused, because they cannot be recorded", why);
    }

    fn tell(&self, what: &str, why: &str) {
        let mut told_at = self.told_at.lock().unwrap_or_else(PoisonError::into_inner);
        if told_at.is_none_or(|at| at.elapsed() >= TOLD_EVERY) {
            *told_at = Some(Instant::now());
            tracing::error!(why, "{what}");
        }
    }
}
