//! Where the replicator keeps its own things: a lock, parts on their way, and what it knows to be right.

use std::collections::{HashMap, HashSet};
use std::fs::{self, File, TryLockError};
use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};

use super::target::TargetError;
use super::wanted::{TargetPath, Wanted};
use crate::model::Sha256;

/// What the folder is called at a target that is a folder.
pub(super) const HIDDEN: &str = ".waypost-replicate";

/// How often what is known is written down while files arrive.
const SAVE_EVERY: Duration = Duration::from_secs(10);
/// Largest file of what is known, in bytes: millions of files.
const KNOWN_MAX: u64 = 1 << 30;

/// The folder, taken by one process at a time.
#[derive(Debug)]
pub(super) struct Workshop {
    folder: PathBuf,
    known: Mutex<Known>,
    /// Held while this lives; a process that died holds nothing. `None` where only is looked.
    _lock: Option<File>,
}

/// Files that were hashed once.
#[derive(Debug)]
struct Known {
    files: HashMap<String, Mark>,
    saved_at: Instant,
    is_changed: bool,
}

/// What tells that a file is still the one that was hashed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Mark {
    /// Its size in bytes.
    pub size: u64,
    /// The moment of its last change, or its ETag.
    pub stamp: String,
    /// What it hashed to, in hexadecimal digits.
    pub sha256: String,
}

impl Mark {
    pub fn new(size: u64, stamp: String, sha256: Sha256) -> Self {
        Self { size, stamp, sha256: sha256.to_string() }
    }
}

impl Workshop {
    /// Takes the folder, which is made where it is missing; with `only_look` nothing is made, taken or written.
    pub fn open(folder: PathBuf, only_look: bool) -> Result<Self, TargetError> {
        let lock = if only_look { None } else { Some(take(&folder)?) };
        let files = read_known(&folder.join("known.json")).unwrap_or_default();
        let known = Mutex::new(Known { files, saved_at: Instant::now(), is_changed: false });
        Ok(Self { folder, known, _lock: lock })
    }

    /// Where the part of a file lies: by what it is to become and where, so that a part is never taken for another's.
    pub fn part(&self, wanted: &Wanted) -> PathBuf {
        let whole = format!("{} {} {}", wanted.sha256, wanted.size, wanted.path);
        let name = HEXLOWER.encode(&Sha256::of(whole.as_bytes()).as_bytes()[..16]);
        self.folder.join("parts").join(name)
    }

    /// Removes all parts but these.
    pub fn clear(&self, but: &HashSet<PathBuf>) -> Result<(), TargetError> {
        let parts = self.folder.join("parts");
        let failed = |error| TargetError::io("clear", &parts, error);
        for entry in fs::read_dir(&parts).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            if !but.contains(&path) {
                fs::remove_file(path).map_err(failed)?;
            }
        }
        Ok(())
    }

    /// A folder of its own within.
    pub fn room(&self, name: &str) -> Result<PathBuf, TargetError> {
        let room = self.folder.join(name);
        fs::create_dir_all(&room).map_err(|error| TargetError::io("create", &room, error))?;
        Ok(room)
    }

    /// Whether this very file is known to be right.
    pub fn knows(&self, path: &TargetPath, mark: &Mark) -> bool {
        self.known().files.get(path.as_str()) == Some(mark)
    }

    /// Remembers that a file is right; written down now and then.
    pub fn remember(&self, path: &TargetPath, mark: Mark) {
        let mut known = self.known();
        known.files.insert(path.as_str().to_owned(), mark);
        known.is_changed = true;
        if known.saved_at.elapsed() >= SAVE_EVERY {
            // What cannot be written down is hashed again.
            let _ = self.write(&mut known);
        }
    }

    /// Forgets a file.
    pub fn forget(&self, path: &TargetPath) {
        let mut known = self.known();
        known.is_changed |= known.files.remove(path.as_str()).is_some();
    }

    /// Writes down what is known.
    pub fn save(&self) -> Result<(), TargetError> {
        let mut known = self.known();
        if !known.is_changed {
            return Ok(());
        }
        self.write(&mut known)
            .map_err(|error| TargetError::io("write", &self.folder.join("known.json"), error))
    }

    fn write(&self, known: &mut Known) -> io::Result<()> {
        let text = serde_json::to_vec(&known.files)?;
        write_atomically(&self.folder.join("known.json"), &text)?;
        (known.saved_at, known.is_changed) = (Instant::now(), false);
        Ok(())
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn take(folder: &Path) -> Result<File, TargetError> {
    let parts = folder.join("parts");
    fs::create_dir_all(&parts).map_err(|error| TargetError::io("create", &parts, error))?;
    let path = folder.join("lock");
    let lock = File::create(&path).map_err(|error| TargetError::io("create", &path, error))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        // A file system without locks: as good as it gets.
        Err(TryLockError::Error(error)) if error.kind() == ErrorKind::Unsupported => Ok(lock),
        Err(TryLockError::Error(error)) => Err(TargetError::io("lock", &path, error)),
        Err(TryLockError::WouldBlock) => Err(TargetError::Busy { lock: path }),
    }
}

/// `None` where there is nothing that can be read: then files are hashed again.
fn read_known(path: &Path) -> Option<HashMap<String, Mark>> {
    let mut text = Vec::new();
    File::open(path).ok()?.take(KNOWN_MAX).read_to_end(&mut text).ok()?;
    serde_json::from_slice(&text).ok()
}

/// Writes a small file so that it is there either as before or complete.
pub(super) fn write_atomically(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = path.with_extension("new");
    let write = || {
        let mut file = File::create(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&temporary, path)
    };
    write().inspect_err(|_| {
        let _ = fs::remove_file(&temporary);
    })
}
