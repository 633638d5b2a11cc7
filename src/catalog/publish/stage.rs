//! Files on their way into an origin: hashed while they are copied, complete and on disk before they get their names.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use aws_lc_rs::digest::{Context, SHA512};

use super::walk::Found;
use super::{CreateError, Progress};
use crate::model::{Sha256, Sha512};

/// Where files wait within a release's folder; hidden, so that no listing takes it for an asset.
const STAGING: &str = ".waypost-staging";
/// How much is read at once.
const CHUNK: usize = 256 << 10;
/// How many files are hashed at once: enough to hide a disk's latency.
const THREADS: usize = 2;

/// What a file hashes to.
#[derive(Debug)]
pub(super) struct Hashes {
    pub sha256: Sha256,
    /// Only where its pipeline told one.
    pub sha512: Option<Sha512>,
}

/// A folder for files that are not published yet, taken by one process at a time. Dropped, it leaves nothing behind.
#[derive(Debug)]
pub(super) struct Staging {
    release: PathBuf,
    folder: PathBuf,
    /// Held while this lives; a process that died holds nothing.
    _lock: File,
}

impl Staging {
    /// Takes the staging folder below `release`, which is created where it is missing; what a process that died left is
    /// removed.
    pub fn take(release: &Path) -> Result<Self, CreateError> {
        let folder = release.join(STAGING);
        fs::create_dir_all(&folder).map_err(|error| CreateError::io("create", &folder, error))?;
        let path = folder.join("lock");
        let lock = File::create(&path).map_err(|error| CreateError::io("create", &path, error))?;
        match lock.try_lock() {
            // A file system without locks: as good as it gets.
            Ok(()) => {}
            Err(fs::TryLockError::Error(error)) if error.kind() == std::io::ErrorKind::Unsupported => {}
            Err(fs::TryLockError::Error(error)) => return Err(CreateError::io("lock", &path, error)),
            Err(fs::TryLockError::WouldBlock) => {
                return Err(CreateError::Busy { release: release.to_owned() });
            }
        }
        let staging = Self { release: release.to_owned(), folder, _lock: lock };
        staging.clear(&path)?;
        Ok(staging)
    }

    /// Removes what a process that died left: nobody knows how much of a file it is.
    fn clear(&self, lock: &Path) -> Result<(), CreateError> {
        let listing = |error| CreateError::io("list", &self.folder, error);
        for entry in fs::read_dir(&self.folder).map_err(listing)? {
            let path = entry.map_err(listing)?.path();
            if path != lock {
                fs::remove_file(&path).map_err(|error| CreateError::io("remove", &path, error))?;
            }
        }
        Ok(())
    }

    fn file(&self, i: usize) -> PathBuf {
        self.folder.join(i.to_string())
    }

    /// Hashes all files, two at a time, and copies those that `copies` says. The digests are in the order of `files`.
    pub fn fill(
        &self,
        files: &[Found],
        copies: impl Fn(&Found) -> bool + Sync,
        progress: &dyn Progress,
    ) -> Result<Vec<Hashes>, CreateError> {
        let (next, failed) = (AtomicUsize::new(0), AtomicBool::new(false));
        let done = Mutex::new(Vec::with_capacity(files.len()));
        let work = || {
            let mut chunk = vec![0; CHUNK];
            while !failed.load(Ordering::Relaxed) {
                let i = next.fetch_add(1, Ordering::Relaxed);
                let Some(file) = files.get(i) else { break };
                let target = copies(file).then(|| self.file(i));
                let digest = hash(file, target.as_deref(), &mut chunk, progress);
                failed.fetch_or(digest.is_err(), Ordering::Relaxed);
                done.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).push((i, digest));
            }
        };
        std::thread::scope(|scope| {
            for _ in 1..THREADS.min(files.len()) {
                scope.spawn(work);
            }
            work();
        });
        let mut done = done.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner());
        done.sort_by_key(|(i, _)| *i);
        done.into_iter().map(|(_, digest)| digest).collect()
    }

    /// Gives the staged files their names in the release's folder.
    pub fn release(&self, files: &[Found]) -> Result<(), CreateError> {
        let mut folders = std::collections::BTreeSet::new();
        for (i, file) in files.iter().enumerate() {
            let staged = self.file(i);
            if !staged.exists() {
                continue;
            }
            let target = self.release.join(file.name.as_str());
            let folder = target.parent().unwrap_or(&self.release);
            fs::create_dir_all(folder).map_err(|error| CreateError::io("create", folder, error))?;
            fs::rename(&staged, &target).map_err(|error| CreateError::io("write", &target, error))?;
            folders.extend(
                folder.ancestors().take_while(|above| above.starts_with(&self.release)).map(PathBuf::from),
            );
        }
        folders.iter().try_for_each(|folder| sync_folder(folder))
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        // Best effort: what stays is hidden, and the next run removes it. Folders go only where they are empty.
        let _ = fs::remove_dir_all(&self.folder);
        let _ = fs::remove_dir(&self.release);
        if let Some(product) = self.release.parent() {
            let _ = fs::remove_dir(product);
        }
    }
}

/// Reads a file to its end, and writes it to `target` where there is one.
fn hash(
    file: &Found,
    target: Option<&Path>,
    chunk: &mut [u8],
    progress: &dyn Progress,
) -> Result<Hashes, CreateError> {
    let reading = |error| CreateError::io("read", &file.path, error);
    let writing = |error| CreateError::io("write the copy of", &file.path, error);
    let mut source = File::open(&file.path).map_err(reading)?;
    let mut copy = target.map(File::create).transpose().map_err(writing)?;
    let mut context = Sha256::begin();
    let mut second = wants_sha512(file).then(|| Context::new(&SHA512));
    let mut size = 0_u64;
    loop {
        let n = match source.read(chunk) {
            Ok(0) => break,
            Ok(n) => n,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(reading(error)),
        };
        size += n as u64;
        // A file that grows without end must not fill the disk.
        if size > file.size {
            return Err(CreateError::Changed { path: file.path.clone() });
        }
        context.update(&chunk[..n]);
        if let Some(second) = &mut second {
            second.update(&chunk[..n]);
        }
        if let Some(copy) = &mut copy {
            copy.write_all(&chunk[..n]).map_err(writing)?;
        }
        progress.advance(n as u64);
    }
    let modified = source.metadata().map_err(reading)?.modified().ok();
    if size != file.size || modified != file.modified {
        return Err(CreateError::Changed { path: file.path.clone() });
    }
    if let Some(copy) = copy {
        copy.sync_all().map_err(writing)?;
    }
    let sha512 = second.map(|second| {
        Sha512::new(second.finish().as_ref().try_into().expect("a SHA-512 digest has 64 bytes"))
    });
    Ok(Hashes { sha256: Sha256::end(context), sha512 })
}

fn wants_sha512(file: &Found) -> bool {
    file.told.as_ref().is_some_and(|told| told.sha512.is_some())
}

/// Writes a small file so that it is there either as before or complete.
pub(super) fn write_atomically(path: &Path, bytes: &[u8]) -> Result<(), CreateError> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let temporary = folder.join(format!(".{name}.waypost"));
    let write = || {
        let mut file = File::create(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&temporary, path)
    };
    if let Err(error) = write() {
        let _ = fs::remove_file(&temporary);
        return Err(CreateError::io("write", path, error));
    }
    sync_folder(folder)
}

fn sync_folder(folder: &Path) -> Result<(), CreateError> {
    File::open(folder)
        .and_then(|opened| opened.sync_all())
        .map_err(|error| CreateError::io("sync", folder, error))
}
