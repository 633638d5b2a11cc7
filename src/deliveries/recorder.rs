//! The thread that writes one file of deliveries.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use serde::Serialize;
use tokio::sync::mpsc;

use super::file::{Durability, RecordFile};
use super::{Delivery, Entry, Trouble, as_text};
use crate::model::{Clock, Timestamp};

/// Most lines that are written at once.
const BATCH: usize = 512;
/// How long lines gather for which nobody waits, so that many are written at once and the answers that send them wake
/// nobody. The queue holds what 800,000 answers a second give meanwhile.
const GATHER: Duration = Duration::from_millis(5);

/// One line.
#[derive(Serialize)]
struct Line<'a> {
    /// The run that it belongs to.
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

/// Writes the file.
pub(super) struct Recorder {
    file: RecordFile,
    run: String,
    /// The number of the next line.
    next: u64,
    /// The lines of a batch, kept for the next.
    text: Vec<u8>,
    trouble: Arc<Trouble>,
    clock: Arc<dyn Clock>,
}

impl Recorder {
    /// Writes the first line of a run of this name.
    pub fn begin(
        file: RecordFile,
        run: String,
        trouble: Arc<Trouble>,
        clock: Arc<dyn Clock>,
    ) -> io::Result<Self> {
        let mut recorder = Self { file, run, next: 0, text: Vec::new(), trouble, clock };
        let now = recorder.clock.now();
        recorder.write([(0, Says::Started { started: now })], Durability::Handed, now)?;
        recorder.next = 1;
        Ok(recorder)
    }

    /// Writes until nobody can send any more, and then the last line.
    pub fn run(mut self, mut entries: mpsc::Receiver<Entry>) {
        let mut batch = Vec::new();
        while entries.blocking_recv_many(&mut batch, BATCH) > 0 {
            let is_full = batch.len() == BATCH;
            batch.retain(|entry| !entry.is_moot());
            let waited_for = batch.iter().any(|entry| entry.waiting.is_some());
            // To write nothing succeeds on any disk, and says nothing of it.
            if !batch.is_empty() {
                self.record(&mut batch, waited_for);
            }
            if !waited_for && !is_full && !entries.is_closed() {
                thread::sleep(GATHER);
            }
        }
        if let Err(error) = self.end() {
            tracing::error!(%error, "the end of the record of deliveries could not be written");
        }
    }

    /// Writes a batch, all or nothing, and empties it; those that wait share one wait for the disk.
    fn record(&mut self, batch: &mut Vec<Entry>, waited_for: bool) {
        let lost = self.trouble.unnumbered.swap(0, Ordering::AcqRel);
        let durability = if waited_for { Durability::OnDisk } else { Durability::Handed };
        let first = self.next + lost;
        let said = (first..).zip(batch.iter().map(|entry| Says::Delivery(&entry.delivery)));
        let written = self.write(said, durability, self.clock.now());
        match &written {
            Ok(()) => {
                self.next = first + batch.len() as u64;
                self.trouble.written(batch.len() as u64);
            }
            Err(error) => {
                // Those that were lost before wait for their numbers again.
                self.trouble.unnumbered.fetch_add(lost, Ordering::AcqRel);
                let noted = batch.iter().filter(|entry| entry.waiting.is_none()).count() as u64;
                self.trouble.failed(self.file.path(), error, noted);
            }
        }
        for waiting in batch.drain(..).filter_map(|entry| entry.waiting) {
            // Whoever is gone by now was given nothing; the file says more than was given, never less.
            let _ = waiting.send(written.is_ok());
        }
    }

    /// Writes the last line.
    fn end(&mut self) -> io::Result<()> {
        let lost = self.trouble.unnumbered.swap(0, Ordering::AcqRel);
        let now = self.clock.now();
        self.write([(self.next + lost, Says::Ended { ended: now })], Durability::OnDisk, now)
    }

    /// Appends lines with these numbers at once.
    fn write<'s>(
        &mut self,
        lines: impl IntoIterator<Item = (u64, Says<'s>)>,
        durability: Durability,
        now: Timestamp,
    ) -> io::Result<()> {
        self.text.clear();
        for (number, says) in lines {
            let line = Line { run: &self.run, number, says };
            serde_json::to_writer(&mut self.text, &line).expect("names and numbers can be written as JSON");
            self.text.push(b'\n');
        }
        self.file.append(&self.text, durability, now)
    }
}
