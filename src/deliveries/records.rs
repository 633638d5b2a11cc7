//! Files of deliveries as configurations come and go.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use prometheus::IntCounterVec;
use tokio::sync::mpsc;

use super::file::{RecordFile, Rotation};
use super::recorder::Recorder;
use super::{Deliveries, QUEUE, Recording, Trouble};
use crate::config::Audit;
use crate::model::{Clock, Timestamp};

/// The record of deliveries cannot be begun.
#[derive(Debug, thiserror::Error)]
#[error(
    "audit.file {} cannot be written ({source}): make it and its folder writable for the user that waypost runs as, \
     or name another file", path.display()
)]
pub struct RecordError {
    path: PathBuf,
    source: io::Error,
}

/// Opens files of deliveries, and knows those that are still written to: no file is opened twice.
pub struct Records {
    /// By outcome.
    counts: IntCounterVec,
    clock: Arc<dyn Clock>,
    begun: Mutex<Begun>,
}

/// What was begun.
#[derive(Default)]
struct Begun {
    /// Those that are not known to be at their end.
    runs: Vec<Run>,
    /// What the last one is called after: each has another name.
    last: Option<Timestamp>,
}

/// A thread that writes a file, until nobody refers to it any more.
struct Run {
    deliveries: Weak<Deliveries>,
    path: PathBuf,
    thread: JoinHandle<()>,
}

impl Records {
    /// Nothing is opened yet. `counts` counts lines by outcome.
    pub fn new(counts: &IntCounterVec, clock: Arc<dyn Clock>) -> Self {
        Self { counts: counts.clone(), clock, begun: Mutex::default() }
    }

    /// What a configuration wants recorded, and where; `None`: nothing. A file that is written to goes on as it is. May
    /// wait until what was noted before is in the file.
    ///
    /// # Errors
    ///
    /// The file cannot be opened, or something else writes it; no thread can be started.
    pub fn open(&self, audit: &Audit) -> Result<Option<Recording>, RecordError> {
        let Some(path) = &audit.file else { return Ok(None) };
        let mut begun = self.begun.lock().unwrap_or_else(PoisonError::into_inner);
        begun.runs.retain(|run| !run.thread.is_finished());
        let to = match begun.deliveries(path) {
            Some(running) => {
                running.rotation.change(audit.rotate, audit.keep);
                running
            }
            None => self.begin(&mut begun, path, audit)?,
        };
        Ok(Some(Recording { to, required: audit.required }))
    }

    fn begin(&self, begun: &mut Begun, path: &Path, audit: &Audit) -> Result<Arc<Deliveries>, RecordError> {
        let unusable = |source| RecordError { path: path.to_owned(), source };
        let (queue, entries) = mpsc::channel(QUEUE);
        let rotation = Arc::new(Rotation::new(audit.rotate, audit.keep));
        let trouble = Arc::new(Trouble::new(&self.counts));
        let file = RecordFile::new(path.to_owned(), Arc::clone(&rotation));
        let clock = Arc::clone(&self.clock);
        let run = begun.name(clock.now());
        let recorder = Recorder::begin(file, run, Arc::clone(&trouble), clock).map_err(unusable)?;
        let thread = thread::Builder::new().name("deliveries".to_owned());
        let thread = thread.spawn(move || recorder.run(entries)).map_err(unusable)?;
        let deliveries = Arc::new(Deliveries { rotation, queue, trouble });
        begun.runs.push(Run { deliveries: Arc::downgrade(&deliveries), path: path.to_owned(), thread });
        Ok(deliveries)
    }

    /// Waits until all is written that was noted: nobody may refer to a recording any more. Whether all went well.
    pub fn end(&self) -> bool {
        let runs = std::mem::take(&mut self.begun.lock().unwrap_or_else(PoisonError::into_inner).runs);
        // Each is waited for, whatever became of the others.
        runs.into_iter().map(|run| run.thread.join()).filter(Result::is_err).count() == 0
    }
}

impl Begun {
    /// The file where it is written to now; one that is being ended is waited for.
    fn deliveries(&mut self, path: &Path) -> Option<Arc<Deliveries>> {
        let at = self.runs.iter().position(|run| run.path == path)?;
        if let Some(running) = self.runs[at].deliveries.upgrade() {
            return Some(running);
        }
        // That it ended badly was said where it did.
        let _ = self.runs.swap_remove(at).thread.join();
        None
    }

    /// Another name for each run: the time, or a moment later.
    fn name(&mut self, now: Timestamp) -> String {
        let after_last = self.last.map(|last| last.after(Duration::from_millis(1)));
        let at = after_last.map_or(now, |after| after.max(now));
        self.last = Some(at);
        at.to_string()
    }
}
