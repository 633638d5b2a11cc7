//! Brings a file from the origin into a part file: hashed while it is written, continued where it was interrupted.

use std::io::{self, ErrorKind, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::Duration;

use aws_lc_rs::digest::Context;
use bytes::Bytes;
use tokio::fs::{File, OpenOptions};
use tokio::io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt};
use tokio::time::sleep;

use super::wanted::{Source, Wanted};
use crate::fetch::{Expected, Failure, Fetcher, Get, Pace};
use crate::model::{CopyFault, Sha256};

/// How long the origin may take to begin an answer.
const DEADLINE: Duration = Duration::from_secs(30);
/// How often in a row an origin may fail for a while without having sent a MiB.
const FAILURES_MAX: u32 = 4;
/// What counts as progress between two failures, in bytes.
const PROGRESS: u64 = 1 << 20;
/// Before the second try; twice as long before each further one.
const FIRST_WAIT: Duration = Duration::from_millis(500);
/// How much of a file is read at once, in bytes.
const CHUNK: usize = 256 * 1024;

/// Why a file could not be brought.
#[derive(Debug, thiserror::Error)]
pub enum BringError {
    /// The origin did not give it.
    #[error("the origin does not give it: {0}")]
    Origin(#[from] Failure),
    /// The origin folder did not give it.
    #[error("the origin does not give it: {}: {error}", path.display())]
    Unreadable {
        /// The file there.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The origin gives another number of bytes.
    #[error("the origin gives {} than the {expected} bytes that the manifest says", if *longer { "more" } else { "less" })]
    Length {
        /// Whether it gives more.
        longer: bool,
        /// How many there should be.
        expected: u64,
    },
    /// The origin gives other bytes.
    #[error("the origin gives other bytes: their SHA-256 is {found}, the manifest says {expected}")]
    Digest {
        /// What they hash to.
        found: Sha256,
        /// What they should hash to.
        expected: Sha256,
    },
    /// Nothing can be written here.
    #[error("{} cannot be written: {error}{}", path.display(), remedy(error))]
    Disk {
        /// Which file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
}

/// What to do about an error of the disk, where there is something to say.
pub(super) fn remedy(error: &io::Error) -> &'static str {
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
            "; make room and run it again: what is there is whole"
        }
        ErrorKind::PermissionDenied => "; run it as a user who may write there",
        ErrorKind::CrossesDevices => "; keep all of the target on one file system",
        _ => "",
    }
}

/// Brings files, all together no faster than the pace.
#[derive(Clone)]
pub struct Courier {
    /// How an origin over HTTP is asked.
    pub fetcher: Fetcher,
    /// How fast.
    pub pace: Pace,
}

impl Courier {
    /// Brings a file into `path`, which may hold a part of it already; `told` hears of each chunk. Returns how many bytes
    /// came from the origin. What is in `path` then is whole, right, and on disk.
    ///
    /// # Errors
    ///
    /// [`BringError`]. The part stays where going on with it may help.
    pub(super) async fn bring(
        &self,
        wanted: &Wanted,
        path: &Path,
        told: &(dyn Fn(u64) + Sync),
    ) -> Result<u64, BringError> {
        let mut part = Part::open(path, wanted.size).await?;
        let mut fetched = 0;
        told(part.length);
        let mut is_continued = part.length > 0;
        loop {
            let brought = self.complete(wanted, &mut part, &mut fetched, told).await;
            match brought.and_then(|()| part.check(wanted)) {
                Ok(()) => {
                    part.file.sync_all().await.map_err(|error| part.disk(error))?;
                    return Ok(fetched);
                }
                // What was there may have been something else, or the origin cannot continue: once from the beginning.
                Err(error) if is_continued && error.spoils_the_part() => {
                    is_continued = false;
                    part.restart().await?;
                }
                Err(error) => {
                    let disk_is_full = matches!(&error, BringError::Disk { error, .. }
                        if matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded));
                    if error.spoils_the_part() || disk_is_full {
                        // Best effort; the next run looks at it again.
                        let _ = tokio::fs::remove_file(path).await;
                    }
                    return Err(error);
                }
            }
        }
    }

    /// Goes on until the part has its length; through failures that pass.
    async fn complete(
        &self,
        wanted: &Wanted,
        part: &mut Part,
        fetched: &mut u64,
        told: &(dyn Fn(u64) + Sync),
    ) -> Result<(), BringError> {
        let (mut failures, mut wait) = (0, FIRST_WAIT);
        while part.length < wanted.size {
            let before = part.length;
            let Err(error) = self.try_once(wanted, part, fetched, told).await else { break };
            if part.length.saturating_sub(before) >= PROGRESS {
                (failures, wait) = (0, FIRST_WAIT);
            }
            failures += 1;
            if !error.passes() || failures >= FAILURES_MAX {
                return Err(error);
            }
            sleep(wait).await;
            wait *= 2;
        }
        Ok(())
    }

    async fn try_once(
        &self,
        wanted: &Wanted,
        part: &mut Part,
        fetched: &mut u64,
        told: &(dyn Fn(u64) + Sync),
    ) -> Result<(), BringError> {
        let (mut stream, from) = Stream::open(&self.fetcher, wanted, part.length).await?;
        if from < part.length {
            part.restart().await?;
        }
        while let Some(chunk) = stream.chunk().await? {
            let length = chunk.len() as u64;
            if length > wanted.size - part.length {
                return Err(BringError::Length { longer: true, expected: wanted.size });
            }
            *fetched += length;
            part.append(&chunk).await?;
            told(length);
            self.pace.take(chunk.len()).await;
        }
        part.file.flush().await.map_err(|error| part.disk(error))?;
        if part.length < wanted.size {
            return Err(BringError::Length { longer: false, expected: wanted.size });
        }
        Ok(())
    }
}

impl BringError {
    /// Whether it may be over soon.
    fn passes(&self) -> bool {
        matches!(self, Self::Origin(failure) if matches!(failure.fault,
            CopyFault::Dns | CopyFault::Connect | CopyFault::Timeout | CopyFault::Broken | CopyFault::ServerError))
    }

    /// Whether going on with what is there leads nowhere.
    fn spoils_the_part(&self) -> bool {
        match self {
            Self::Digest { .. } | Self::Length { .. } => true,
            Self::Origin(failure) => {
                matches!(failure.fault, CopyFault::WrongLength | CopyFault::UnexpectedStatus)
            }
            Self::Disk { .. } | Self::Unreadable { .. } => false,
        }
    }
}

/// A file on its way.
struct Part {
    path: PathBuf,
    file: File,
    length: u64,
    hash: Context,
}

impl Part {
    /// Opens what is there, and hashes it; or begins.
    async fn open(path: &Path, size: u64) -> Result<Self, BringError> {
        let disk = |error| BringError::Disk { path: path.to_owned(), error };
        match tokio::fs::symlink_metadata(path).await {
            Ok(about) if about.is_file() && about.len() <= size => {}
            Ok(_) => tokio::fs::remove_file(path).await.map_err(disk)?,
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(disk(error)),
        }
        let open = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path).await;
        let mut part =
            Self { path: path.to_owned(), file: open.map_err(disk)?, length: 0, hash: Sha256::begin() };
        let mut chunk = vec![0; CHUNK];
        loop {
            match part.file.read(&mut chunk).await.map_err(disk)? {
                0 => return Ok(part),
                read => {
                    part.hash.update(&chunk[..read]);
                    part.length += read as u64;
                }
            }
        }
    }

    async fn append(&mut self, chunk: &[u8]) -> Result<(), BringError> {
        self.file.write_all(chunk).await.map_err(|error| self.disk(error))?;
        self.hash.update(chunk);
        self.length += chunk.len() as u64;
        Ok(())
    }

    async fn restart(&mut self) -> Result<(), BringError> {
        let restarted = async {
            self.file.flush().await?;
            self.file.set_len(0).await?;
            self.file.seek(SeekFrom::Start(0)).await
        };
        restarted.await.map_err(|error| self.disk(error))?;
        (self.length, self.hash) = (0, Sha256::begin());
        Ok(())
    }

    fn check(&self, wanted: &Wanted) -> Result<(), BringError> {
        let found = Sha256::end(self.hash.clone());
        if found == wanted.sha256 {
            return Ok(());
        }
        Err(BringError::Digest { found, expected: wanted.sha256 })
    }

    fn disk(&self, error: io::Error) -> BringError {
        BringError::Disk { path: self.path.clone(), error }
    }
}

/// What comes from the origin.
enum Stream {
    File(File, PathBuf),
    Http(Box<crate::fetch::Response>),
}

impl Stream {
    /// Asks for all from the byte `from` on; what comes may begin at 0 all the same, which is told.
    async fn open(fetcher: &Fetcher, wanted: &Wanted, from: u64) -> Result<(Self, u64), BringError> {
        match &wanted.source {
            Source::File(path) => {
                let unreadable = |error| BringError::Unreadable { path: path.clone(), error };
                let mut file = File::open(path).await.map_err(unreadable)?;
                file.seek(SeekFrom::Start(from)).await.map_err(unreadable)?;
                Ok((Self::File(file, path.clone()), from))
            }
            Source::Url(url) => {
                let range = (from > 0).then(|| (from, wanted.size - 1));
                let response = fetcher.get(&Get { range, ..Get::new(url, DEADLINE) }).await?;
                // The digest tells an error page from an asset that is one.
                let expected =
                    Expected { range, html_is_fine: true, ..Expected::of(&wanted.asset, wanted.size) };
                let seen = response.look(&expected)?;
                Ok((Self::Http(Box::new(response)), if seen.partial { from } else { 0 }))
            }
        }
    }

    async fn chunk(&mut self) -> Result<Option<Bytes>, BringError> {
        match self {
            Self::Http(response) => Ok(response.chunk().await?),
            Self::File(file, path) => {
                let mut chunk = vec![0; CHUNK];
                let read = file.read(&mut chunk).await;
                let read = read.map_err(|error| BringError::Unreadable { path: path.clone(), error })?;
                chunk.truncate(read);
                Ok((read > 0).then(|| chunk.into()))
            }
        }
    }
}
