//! The file of deliveries: appended to, put aside when it is long, never overwritten.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use crate::model::Timestamp;

/// Only the service's own user reads who took what.
const MODE: u32 = 0o600;

/// How far what is appended has got when that returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Durability {
    /// To the system: it outlives the process.
    Handed,
    /// To the disk: it outlives a loss of power.
    OnDisk,
}

/// When a file is put aside, and how many of those are kept. A reload changes it while the file is written to.
#[derive(Debug)]
pub(super) struct Rotation {
    /// How long a file may become, in bytes; longer only where more is appended at once.
    length: AtomicU64,
    /// How many of those that were put aside are kept; 0: all.
    keep: AtomicUsize,
}

impl Rotation {
    pub fn new(length: u64, keep: usize) -> Self {
        Self { length: AtomicU64::new(length), keep: AtomicUsize::new(keep) }
    }

    /// From the next line on.
    pub fn change(&self, length: u64, keep: usize) {
        self.length.store(length, Ordering::Relaxed);
        self.keep.store(keep, Ordering::Relaxed);
    }
}

/// The file under its name, opened when it is needed.
#[derive(Debug)]
pub(super) struct RecordFile {
    path: PathBuf,
    rotation: Arc<Rotation>,
    /// It could not be put aside: that is tried again at this length, in bytes.
    retry_at: u64,
    open: Option<Open>,
    /// Where the last complete line ends, while there may be a part of another behind it.
    torn_after: Option<u64>,
}

/// A file that is open.
#[derive(Debug)]
struct Open {
    file: File,
    /// Device and inode: whether it still has its name.
    identity: (u64, u64),
}

fn identity(about: &fs::Metadata) -> (u64, u64) {
    (about.dev(), about.ino())
}

impl RecordFile {
    /// Nothing is opened yet.
    pub fn new(path: PathBuf, rotation: Arc<Rotation>) -> Self {
        Self { path, rotation, retry_at: 0, open: None, torn_after: None }
    }

    /// Its name.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Appends whole lines: all of them are there afterwards, or none.
    ///
    /// A file that was moved away meanwhile is left alone and another one begun under the name, so whoever rotates it
    /// by moving it needs to tell nobody.
    pub fn append(&mut self, lines: &[u8], durability: Durability, now: Timestamp) -> io::Result<()> {
        self.settle()?;
        let mut end = self.end()?;
        let rotate_at = self.rotation.length.load(Ordering::Relaxed).max(self.retry_at);
        if end > 0 && end.saturating_add(lines.len() as u64) > rotate_at {
            end = self.rotate(end, now)?;
        }
        let mut file = self.opened()?;
        let written = file.write_all(lines).and_then(|()| match durability {
            Durability::Handed => Ok(()),
            Durability::OnDisk => file.sync_data(),
        });
        if written.is_err() {
            self.torn_after = Some(end);
            // Where this fails, it is done before the next line is written.
            let _ = self.settle();
        }
        written
    }

    /// Cuts off what a failed write left.
    fn settle(&mut self) -> io::Result<()> {
        if let Some((open, end)) = self.open.as_ref().zip(self.torn_after) {
            open.file.set_len(end)?;
        }
        self.torn_after = None;
        Ok(())
    }

    fn opened(&self) -> io::Result<&File> {
        self.open.as_ref().map(|open| &open.file).ok_or_else(|| io::Error::other("it is not open"))
    }

    /// Opens it where it is not open under its name, and tells where it ends. One look at the name tells both.
    fn end(&mut self) -> io::Result<u64> {
        let named = fs::metadata(&self.path).ok();
        match named.filter(|about| self.open.as_ref().is_some_and(|open| open.identity == identity(about))) {
            Some(about) => Ok(about.len()),
            None => self.open(),
        }
    }

    /// Opens it anew, and tells where it ends.
    fn open(&mut self) -> io::Result<u64> {
        self.open = None;
        let mut file = OpenOptions::new().read(true).append(true).create(true).mode(MODE).open(&self.path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let why = "something else writes it already: give each service an audit.file of its own";
                return Err(io::Error::new(io::ErrorKind::ResourceBusy, why));
            }
            Err(TryLockError::Error(error)) => return Err(error),
        }
        end_last_line(&mut file)?;
        sync_folder(&self.path)?;
        let about = file.metadata()?;
        self.open = Some(Open { file, identity: identity(&about) });
        Ok(about.len())
    }

    /// Begins another file, and tells where it ends. Where this one cannot be put aside it goes on, and it is tried again
    /// when it is twice as long.
    fn rotate(&mut self, length: u64, now: Timestamp) -> io::Result<u64> {
        match self.put_aside(now) {
            Ok(()) => {
                self.retry_at = 0;
                self.open()
            }
            Err(error) => {
                tracing::error!(path = %self.path.display(), %error, "the record of deliveries cannot be put aside");
                self.retry_at = length.saturating_mul(2);
                Ok(length)
            }
        }
    }

    /// Gives the file a name with the time.
    fn put_aside(&self, now: Timestamp) -> io::Result<()> {
        self.opened()?.sync_all()?;
        let mut aside = self.aside()?;
        // Later than all others, whatever the clock says, so that the names are in the order of what they hold.
        let after_last = aside.last().map(|(at, _)| at.after(Duration::from_millis(1)));
        let at = after_last.map_or(now, |after| after.max(now));
        let to = self.name_aside(at);
        fs::rename(&self.path, &to)?;
        aside.push((at, to));
        let old = match self.rotation.keep.load(Ordering::Relaxed) {
            0 => 0,
            keep => aside.len().saturating_sub(keep),
        };
        for (_, path) in aside.iter().take(old) {
            if let Err(error) = fs::remove_file(path) {
                tracing::warn!(path = %path.display(), %error, "an old record of deliveries cannot be removed");
            }
        }
        Ok(())
    }

    /// `deliveries.jsonl` → `deliveries-`, `.jsonl`.
    fn affixes(&self) -> (String, String) {
        let text = |part: Option<&std::ffi::OsStr>| part.unwrap_or_default().to_string_lossy().into_owned();
        let extension = self.path.extension().map(|_| format!(".{}", text(self.path.extension())));
        (format!("{}-", text(self.path.file_stem())), extension.unwrap_or_default())
    }

    /// With the time of day in dashes, because not every system has colons in names.
    fn name_aside(&self, at: Timestamp) -> PathBuf {
        let (before, after) = self.affixes();
        self.path.with_file_name(format!("{before}{}{after}", format!("{at:.3}").replace(':', "-")))
    }

    /// The files that were put aside, the oldest first. Only names that are given here count.
    fn aside(&self) -> io::Result<Vec<(Timestamp, PathBuf)>> {
        let mut aside = Vec::new();
        for entry in fs::read_dir(folder_of(&self.path))? {
            let path = self.path.with_file_name(entry?.file_name());
            if let Some(at) = self.put_aside_at(&path) {
                aside.push((at, path));
            }
        }
        aside.sort();
        Ok(aside)
    }

    fn put_aside_at(&self, path: &Path) -> Option<Timestamp> {
        let (before, after) = self.affixes();
        let at = path.file_name()?.to_str()?.strip_prefix(&*before)?.strip_suffix(&*after)?;
        let (day, time) = at.split_once('T')?;
        let at = Timestamp::parse_rfc3339(&format!("{day}T{}", time.replace('-', ":")))?;
        (self.name_aside(at) == path).then_some(at)
    }
}

/// A line that a loss of power tore is completed, so that the next one stands by itself.
fn end_last_line(file: &mut File) -> io::Result<()> {
    if file.seek(SeekFrom::End(0))? == 0 {
        return Ok(());
    }
    let mut last = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    if last == *b"\n" { Ok(()) } else { file.write_all(b"\n") }
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    }
}

/// A new name is on disk.
fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(folder_of(path))?.sync_all()
}
