//! Files of deliveries as configurations come and go.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, TryRecvError};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant};

use prometheus::IntCounterVec;
use tokio::sync::mpsc::channel;

use super::file::{RecordFile, Rotation};
use super::recorder::Recorder;
use super::{DIED, Deliveries, QUEUE, Recording, Trouble};
use crate::config::Audit;
use crate::model::{Clock, Timestamp};

/// How long is waited for a thread's first line, and for its end: longer than any disk takes that does not hang.
const DISK_WITHIN: Duration = Duration::from_secs(10);

/// The record of deliveries cannot be begun.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The file cannot be opened, or the thread not be started.
    #[error(
        "audit.file {} cannot be written ({source}): make it and its folder writable for the user that waypost runs \
         as, or name another file", path.display()
    )]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// It takes too long: what was noted before, or the first line of a run, is not in the file yet.
    #[error(
        "audit.file {} is still being written, as if its disk hung: look after the disk and try again, or name a file \
         on another one", path.display()
    )]
    StillWritten {
        /// The file.
        path: PathBuf,
    },
}

/// Opens files of deliveries, and knows those that are still written to: no file is opened twice.
pub struct Records {
    /// By outcome.
    counts: IntCounterVec,
    clock: Arc<dyn Clock>,
    /// How long a thread is waited for that begins or ends.
    pub(super) patience: Duration,
    begun: Mutex<Begun>,
}

/// What was begun.
#[derive(Default)]
struct Begun {
    /// Those that are not known to be at their end.
    runs: Vec<Run>,
    /// What the last one is called after: each has another name.
    last: Option<Timestamp>,
    /// Of the others, one ended badly.
    has_died: bool,
}

/// A thread that writes a file, until nobody refers to it any more.
struct Run {
    deliveries: Weak<Deliveries>,
    path: PathBuf,
    /// Told when all is written and the file is closed; closed without a word where the thread died.
    ended: Receiver<()>,
}

impl Records {
    /// Nothing is opened yet. `counts` counts lines by outcome.
    pub fn new(counts: &IntCounterVec, clock: Arc<dyn Clock>) -> Self {
        Self { counts: counts.clone(), clock, patience: DISK_WITHIN, begun: Mutex::default() }
    }

    /// What a configuration wants recorded, and where; `None`: nothing. A file that is written to goes on as it is. May
    /// wait, 10 s at most each, until what was noted before is in the file, and the first line of a run.
    ///
    /// # Errors
    ///
    /// The file cannot be opened, or is written already; no thread can be started.
    pub fn open(&self, audit: &Audit) -> Result<Option<Recording>, RecordError> {
        let Some(path) = &audit.file else { return Ok(None) };
        let mut begun = self.begun.lock().unwrap_or_else(PoisonError::into_inner);
        begun.forget_ended();
        let to = match begun.deliveries(path, self.patience)? {
            Some(running) => {
                running.rotation.change(audit.rotate, audit.keep);
                running
            }
            None => self.begin(&mut begun, path, audit)?,
        };
        Ok(Some(Recording { to, required: audit.required }))
    }

    fn begin(&self, begun: &mut Begun, path: &Path, audit: &Audit) -> Result<Arc<Deliveries>, RecordError> {
        let unwritable = |source| RecordError::Unwritable { path: path.to_owned(), source };
        let (queue, entries) = channel(QUEUE);
        let rotation = Arc::new(Rotation::new(audit.rotate, audit.keep));
        let trouble = Arc::new(Trouble::new(&self.counts));
        let file = RecordFile::new(path.to_owned(), Arc::clone(&rotation));
        let (run, clock) = (begun.name(self.clock.now()), Arc::clone(&self.clock));
        let deliveries = Arc::new(Deliveries { rotation, queue, trouble: Arc::clone(&trouble) });
        let (tell_first, first_line) = mpsc::sync_channel(1);
        let (tell_end, ended) = mpsc::sync_channel(1);
        // Where telling fails, nobody waits any more.
        let work = move || {
            match Recorder::begin(file, run, trouble, clock) {
                Ok(recorder) => {
                    let _ = tell_first.send(Ok(()));
                    recorder.run(entries);
                }
                Err(error) => drop(tell_first.send(Err(error))),
            }
            let _ = tell_end.send(());
        };
        thread::Builder::new().name("deliveries".to_owned()).spawn(work).map_err(unwritable)?;
        begun.runs.push(Run { deliveries: Arc::downgrade(&deliveries), path: path.to_owned(), ended });
        match first_line.recv_timeout(self.patience) {
            Ok(written) => written.map(|()| deliveries).map_err(unwritable),
            Err(RecvTimeoutError::Timeout) => Err(RecordError::StillWritten { path: path.to_owned() }),
            Err(RecvTimeoutError::Disconnected) => Err(unwritable(io::Error::other(DIED))),
        }
    }

    /// Waits, 10 s at most, until all is written that was noted: nobody may refer to a recording any more. Whether all of it
    /// is, and no thread ever died.
    pub fn end(&self) -> bool {
        let mut begun = self.begun.lock().unwrap_or_else(PoisonError::into_inner);
        let until = Instant::now() + self.patience;
        // Each is waited for, whatever became of the others.
        for run in std::mem::take(&mut begun.runs) {
            let ended = run.ended.recv_timeout(until.saturating_duration_since(Instant::now()));
            begun.has_died |= ended.is_err();
            if ended == Err(RecvTimeoutError::Timeout) {
                let path = run.path.display();
                tracing::error!(%path, "the record of deliveries is not at its end, as if its disk hung: it is given up");
            }
        }
        !begun.has_died
    }
}

impl Begun {
    /// Those that are at their end are waited for no more.
    fn forget_ended(&mut self) {
        self.runs.retain(|run| match run.ended.try_recv() {
            Err(TryRecvError::Empty) => true,
            Ok(()) => false,
            Err(TryRecvError::Disconnected) => {
                self.has_died = true;
                false
            }
        });
    }

    /// The file where it is written to now; one that is being ended is waited for.
    fn deliveries(
        &mut self,
        path: &Path,
        patience: Duration,
    ) -> Result<Option<Arc<Deliveries>>, RecordError> {
        let Some(at) = self.runs.iter().position(|run| run.path == path) else { return Ok(None) };
        let running = self.runs[at].deliveries.upgrade();
        if let Some(running) = running.filter(|running| !running.queue.is_closed()) {
            return Ok(Some(running));
        }
        match self.runs[at].ended.recv_timeout(patience) {
            Err(RecvTimeoutError::Timeout) => {
                return Err(RecordError::StillWritten { path: path.to_owned() });
            }
            Err(RecvTimeoutError::Disconnected) => self.has_died = true,
            Ok(()) => {}
        }
        self.runs.swap_remove(at);
        Ok(None)
    }

    /// Another name for each run: the time, or a moment later.
    fn name(&mut self, now: Timestamp) -> String {
        let after_last = self.last.map(|last| last.after(Duration::from_millis(1)));
        let at = after_last.map_or(now, |after| after.max(now));
        self.last = Some(at);
        at.to_string()
    }
}
