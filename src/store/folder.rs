//! The state folder: made when missing, held by one process at a time.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use super::StoreError;
use crate::model::{Clock, SystemClock};

const LOCK: &str = "waypost.lock";
/// There once the folder has held a journal and a database: tells a new folder from one that lost both.
const MARKER: &str = "state.id";

/// A state folder that is ours until this is dropped or the process ends, however it ends.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    lock: File,
}

impl Folder {
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        match fs::metadata(path) {
            Ok(found) if found.is_dir() => {}
            Ok(_) => return Err(StoreError::NotAFolder { path: path.into() }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => create(path)?,
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
                return Err(StoreError::NotAFolder { path: path.into() });
            }
            Err(error) => return Err(StoreError::io("look at", path)(error)),
        }
        Ok(Self { path: path.into(), lock: lock(&path.join(LOCK))? })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where the file `name` is or would be.
    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Where a damaged file goes, which somebody may want to look at.
    pub fn aside(&self, name: &str) -> PathBuf {
        let now = SystemClock.now().to_string().replace(['-', ':'], "");
        self.path.join(format!("{name}.damaged-{now}"))
    }

    /// Makes what was created, renamed or removed in the folder durable.
    pub fn sync(&self) -> Result<(), StoreError> {
        sync(&self.path)
    }

    /// Whether the folder has ever held a journal and a database.
    pub fn is_marked(&self) -> Result<bool, StoreError> {
        let marker = self.file(MARKER);
        marker.try_exists().map_err(StoreError::io("look for", &marker))
    }

    /// From now on a folder without journal and database has lost them.
    pub fn mark(&self) -> Result<(), StoreError> {
        let marker = self.file(MARKER);
        let text = format!(
            "in use since {}; without orders.jsonl and waypost.db they are lost\n",
            SystemClock.now()
        );
        let mut file = File::create(&marker).map_err(StoreError::io("create", &marker))?;
        file.write_all(text.as_bytes())
            .and_then(|()| file.sync_all())
            .map_err(StoreError::io("write", &marker))?;
        self.sync()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // Closing alone is not enough: a child that is just being started holds the same open file until it runs its
        // own program. An error leaves it at that.
        let _ = self.lock.unlock();
    }
}

fn create(path: &Path) -> Result<(), StoreError> {
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists => {
            StoreError::NotAFolder { path: path.into() }
        }
        _ => StoreError::io("create", path)(error),
    })?;
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => sync(parent),
        _ => Ok(()),
    }
}

fn sync(path: &Path) -> Result<(), StoreError> {
    File::open(path).and_then(|folder| folder.sync_all()).map_err(StoreError::io("sync", path))
}

fn lock(path: &Path) -> Result<File, StoreError> {
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
        .map_err(StoreError::io("open", path))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut text = String::new();
            let read = file.take(16).read_to_string(&mut text);
            let pid = read.ok().and_then(|_| text.trim().parse().ok());
            return Err(StoreError::InUse { path: path.into(), pid });
        }
        Err(TryLockError::Error(error)) => return Err(StoreError::io("lock", path)(error)),
    }
    // The number is a hint for whoever meets the lock; a full disk may keep it from being written.
    let _ = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
    Ok(file)
}
