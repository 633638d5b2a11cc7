//! The file of deliveries: appended to, put aside when it is long, never overwritten.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
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

/// The file under its name, opened when it is needed.
#[derive(Debug)]
pub(super) struct RecordFile {
    path: PathBuf,
    /// How long a file may become, in bytes; longer only where more is appended at once.
    rotate: u64,
    /// A file that would grow beyond so many bytes is put aside; more than `rotate` while that fails.
    rotate_at: u64,
    /// How many of those are kept; 0: all.
    keep: usize,
    file: Option<File>,
    /// Where the last complete line ends, while there may be a part of another behind it.
    torn_after: Option<u64>,
}

impl RecordFile {
    /// Nothing is opened yet.
    pub fn new(path: PathBuf, rotate: u64, keep: usize) -> Self {
        Self { path, rotate, rotate_at: rotate, keep, file: None, torn_after: None }
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
        if self.file.as_ref().is_some_and(|file| !self.is_in_place(file)) {
            self.file = None;
        }
        self.open()?;
        let length = self.length()?;
        if length > 0 && length.saturating_add(lines.len() as u64) > self.rotate_at {
            self.rotate(length, now)?;
        }
        let end = self.length()?;
        let file = self.opened()?;
        let written = (&*file).write_all(lines).and_then(|()| match durability {
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
        if let Some((file, end)) = self.file.as_ref().zip(self.torn_after) {
            file.set_len(end)?;
        }
        self.torn_after = None;
        Ok(())
    }

    fn opened(&self) -> io::Result<&File> {
        self.file.as_ref().ok_or_else(|| io::Error::other("it is not open"))
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.opened()?.metadata()?.len())
    }

    fn is_in_place(&self, file: &File) -> bool {
        let identity = |about: fs::Metadata| (about.dev(), about.ino());
        let (open, named) = (file.metadata().map(identity), fs::metadata(&self.path).map(identity));
        open.is_ok_and(|open| named.is_ok_and(|named| named == open))
    }

    fn open(&mut self) -> io::Result<()> {
        if self.file.is_some() {
            return Ok(());
        }
        let mut file = OpenOptions::new().read(true).append(true).create(true).mode(MODE).open(&self.path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let why = "another process writes it: give each service an audit.file of its own";
                return Err(io::Error::new(io::ErrorKind::ResourceBusy, why));
            }
            Err(TryLockError::Error(error)) => return Err(error),
        }
        end_last_line(&mut file)?;
        sync_folder(&self.path)?;
        self.file = Some(file);
        Ok(())
    }

    /// Begins another file. Where this one cannot be put aside it goes on, and it is tried again when it is twice as long.
    fn rotate(&mut self, length: u64, now: Timestamp) -> io::Result<()> {
        match self.put_aside(now) {
            Ok(()) => {
                self.rotate_at = self.rotate;
                self.file = None;
                self.open()
            }
            Err(error) => {
                tracing::error!(path = %self.path.display(), %error, "the record of deliveries cannot be put aside");
                self.rotate_at = length.saturating_mul(2);
                Ok(())
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
        let old = aside.len().saturating_sub(self.keep);
        for (_, path) in aside.iter().take(if self.keep == 0 { 0 } else { old }) {
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
