//! The record of what was given to whom: an append-only file of JSON lines, written by a thread of its own.
//!
//! Whoever reads it can tell that nothing is missing: every start of the service is a run, and its lines are numbered.
//! The first, number 0, says `started`, the last one `ended`; what was lost leaves a gap in the numbers. A run without an
//! end was killed, or is still going on.

mod file;

use std::fmt::Display;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use ipnet::IpNet;
use prometheus::IntCounterVec;
use serde::{Serialize, Serializer};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::StoreError;
use crate::catalog::AssetName;
use crate::config::Audit;
use crate::model::{Clock, MirrorName, ProductName, RegionName, Timestamp, Version};
use file::{Durability, RecordFile};

/// Deliveries that may wait for the disk; what comes beyond is lost, or waits itself where it has to be recorded.
const QUEUE: usize = 4096;
/// Most lines that are written at once.
const BATCH: usize = 512;
/// How long an answer waits until it is recorded.
const RECORDED_WITHIN: Duration = Duration::from_secs(10);
/// How often it is said in the log that records are lost.
const TOLD_EVERY: Duration = Duration::from_secs(60);

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
    #[serde(serialize_with = "as_text")]
    pub asset: AssetName,
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

fn as_text<T: Display, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

/// One line.
#[derive(Serialize)]
struct Line<'a> {
    /// The start of the service that it belongs to.
    run: &'a str,
    /// Counts up by one from line to line.
    number: u64,
    #[serde(flatten)]
    says: Says<'a>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Says<'a> {
    /// The run's first line.
    Started {
        #[serde(serialize_with = "as_text")]
        started: Timestamp,
    },
    Delivery(&'a Delivery),
    /// Its last one.
    Ended {
        #[serde(serialize_with = "as_text")]
        ended: Timestamp,
    },
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

/// Where deliveries are recorded. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Deliveries {
    queue: mpsc::Sender<Entry>,
    trouble: Arc<Trouble>,
}

impl Deliveries {
    /// Starts the thread that writes. It ends when the last clone of this is gone, having written all that was noted.
    /// `records` counts by outcome. `None` where nothing is to be recorded.
    ///
    /// # Errors
    ///
    /// The file cannot be opened, or another process writes it; no thread can be started.
    pub fn start(
        audit: &Audit,
        records: &IntCounterVec,
        clock: Arc<dyn Clock>,
    ) -> Result<Option<(Self, JoinHandle<()>)>, StoreError> {
        let Some(path) = &audit.file else { return Ok(None) };
        let unusable = |source| StoreError::Record { path: path.clone(), source };
        let (queue, entries) = mpsc::channel(QUEUE);
        // All are there from the start, so that the first loss is an increase.
        for outcome in ["written", "lost", "refused"] {
            records.with_label_values(&[outcome]);
        }
        let trouble = Arc::new(Trouble {
            unnumbered: AtomicU64::new(0),
            told_at: Mutex::new(None),
            error: ArcSwapOption::empty(),
            records: records.clone(),
        });
        let mut recorder = Recorder {
            file: RecordFile::new(path.clone(), audit.rotate, audit.keep),
            run: clock.now().to_string(),
            next: 0,
            trouble: Arc::clone(&trouble),
            clock,
        };
        recorder.begin().map_err(unusable)?;
        let thread = thread::Builder::new().name("deliveries".to_owned());
        let thread = thread.spawn(move || recorder.run(entries)).map_err(unusable)?;
        Ok(Some((Self { queue, trouble }, thread)))
    }

    /// Records one as soon as may be. What cannot be recorded is counted and lost. Never waits.
    pub fn note(&self, delivery: Delivery) {
        if self.queue.try_send(Entry { delivery, waiting: None }).is_err() {
            self.trouble.lost(1, "more was given out than the disk could take");
        }
    }

    /// Records one, and tells whether it is in the file and on disk. Whoever waits no longer than 10 s is told no.
    pub async fn record(&self, delivery: Delivery) -> bool {
        let (waiting, recorded) = oneshot::channel();
        let recording = async {
            self.queue.send(Entry { delivery, waiting: Some(waiting) }).await.ok()?;
            recorded.await.ok()
        };
        let recorded = timeout(RECORDED_WITHIN, recording).await.ok().flatten().unwrap_or(false);
        if !recorded {
            self.trouble.refused();
        }
        recorded
    }

    /// Why the file could not be written at the last try.
    pub fn error(&self) -> Option<Arc<String>> {
        self.trouble.error.load_full()
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
    /// Answers were given, and nobody will know.
    fn lost(&self, count: u64, why: &str) {
        self.unnumbered.fetch_add(count, Ordering::AcqRel);
        self.records.with_label_values(&["lost"]).inc_by(count);
        self.tell("records of deliveries are lost", why);
    }

    /// An answer was not given, because it could not be recorded.
    fn refused(&self) {
        self.records.with_label_values(&["refused"]).inc();
        let error = self.error.load_full();
        let why = error.as_ref().map_or("the disk is too slow", |error| error.as_str());
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

/// Writes the file.
struct Recorder {
    file: RecordFile,
    run: String,
    /// The number of the next line.
    next: u64,
    trouble: Arc<Trouble>,
    clock: Arc<dyn Clock>,
}

impl Recorder {
    fn run(mut self, mut entries: mpsc::Receiver<Entry>) {
        let mut batch = Vec::with_capacity(BATCH);
        while entries.blocking_recv_many(&mut batch, BATCH) > 0 {
            batch.retain(|entry| !entry.is_moot());
            // To write nothing succeeds on any disk, and says nothing of it.
            if !batch.is_empty() {
                self.record(std::mem::take(&mut batch));
            }
        }
        if let Err(error) = self.end() {
            tracing::error!(%error, "the end of the record of deliveries could not be written");
        }
    }

    /// Writes a batch, all or nothing; those that wait share one wait for the disk.
    fn record(&mut self, batch: Vec<Entry>) {
        let lost = self.trouble.unnumbered.swap(0, Ordering::AcqRel);
        let waited_for = batch.iter().any(|entry| entry.waiting.is_some());
        let durability = if waited_for { Durability::OnDisk } else { Durability::Handed };
        let written = self.begin().and_then(|()| {
            let first = self.next + lost;
            let mut text = Vec::new();
            for (number, entry) in (first..).zip(&batch) {
                self.line(number, Says::Delivery(&entry.delivery), &mut text);
            }
            self.file.append(&text, durability, self.clock.now())?;
            self.next = first + batch.len() as u64;
            Ok(())
        });
        match &written {
            Ok(()) => {
                self.trouble.records.with_label_values(&["written"]).inc_by(batch.len() as u64);
                self.trouble.error.store(None);
            }
            Err(error) => {
                // Those that were lost before wait for their numbers again.
                self.trouble.unnumbered.fetch_add(lost, Ordering::AcqRel);
                self.trouble.error.store(Some(Arc::new(format!("{}: {error}", self.file.path().display()))));
                let noted = batch.iter().filter(|entry| entry.waiting.is_none()).count() as u64;
                if noted > 0 {
                    self.trouble.lost(noted, &error.to_string());
                }
            }
        }
        for waiting in batch.into_iter().filter_map(|entry| entry.waiting) {
            // Whoever is gone by now was given nothing; the file says more than was given, never less.
            let _ = waiting.send(written.is_ok());
        }
    }

    /// Writes the run's first line, once.
    fn begin(&mut self) -> std::io::Result<()> {
        if self.next > 0 {
            return Ok(());
        }
        let now = self.clock.now();
        let mut text = Vec::new();
        self.line(0, Says::Started { started: now }, &mut text);
        self.file.append(&text, Durability::Handed, now)?;
        self.next = 1;
        Ok(())
    }

    /// Writes its last line, where there is a first one.
    fn end(&mut self) -> std::io::Result<()> {
        let lost = self.trouble.unnumbered.swap(0, Ordering::AcqRel);
        if self.next == 0 && lost == 0 {
            return Ok(());
        }
        self.begin()?;
        let now = self.clock.now();
        let mut text = Vec::new();
        self.line(self.next + lost, Says::Ended { ended: now }, &mut text);
        self.file.append(&text, Durability::OnDisk, now)
    }

    fn line(&self, number: u64, says: Says<'_>, text: &mut Vec<u8>) {
        let line = Line { run: &self.run, number, says };
        serde_json::to_writer(&mut *text, &line).expect("names and numbers can be written as JSON");
        text.push(b'\n');
    }
}

#[cfg(test)]
mod tests;
