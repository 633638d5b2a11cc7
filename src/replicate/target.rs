//! Where copies go: the two kinds of targets behind one face.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::courier::{BringError, remedy};
use super::folder::Folder;
use super::s3::{BadS3, S3, S3Place, StoreError};
use super::wanted::{Plan, TargetPath, Wanted};
use super::workshop::Workshop;
use crate::fetch::Fetcher;

/// Why a target does not take something.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    /// Another process is at it.
    #[error("another replication to this target is running ({} is locked); wait for it, or stop it", lock.display())]
    Busy {
        /// The lock.
        lock: PathBuf,
    },
    /// A file or folder does not do what it should.
    #[error("cannot {doing} {}: {error}{}", path.display(), remedy(error))]
    Io {
        /// What was tried.
        doing: &'static str,
        /// With what.
        path: PathBuf,
        /// Why not.
        error: io::Error,
    },
    /// A link, or a file, where a folder should be.
    #[error("{} is a link or a file where a folder should be; nothing is written through it: move it away", path.display())]
    InTheWay {
        /// Where.
        path: PathBuf,
    },
    /// The place cannot be used.
    #[error(transparent)]
    BadS3(#[from] BadS3),
    /// The store says no, or nothing.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl TargetError {
    pub(super) fn io(doing: &'static str, path: &Path, error: io::Error) -> Self {
        Self::Io { doing, path: path.to_owned(), error }
    }

    /// Whether the target does not answer, or is not well.
    pub fn is_silence(&self) -> bool {
        matches!(self, Self::Store(error) if error.is_silence())
    }
}

/// How a file's place looks before anything is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// The file is there, and known to be right.
    Right,
    /// Something of its size is there.
    Doubtful,
    /// Nothing is there, or something else.
    Missing,
}

/// Where copies go. Taken by one process at a time.
#[derive(Clone)]
pub struct Target(Kind);

#[derive(Clone)]
enum Kind {
    Folder(Arc<Folder>),
    S3(Arc<S3>),
}

impl Target {
    /// A folder, which is made where it is missing; with `only_look` nothing is changed.
    ///
    /// # Errors
    ///
    /// Where it is taken by another process, or cannot be written.
    pub fn folder(root: &Path, only_look: bool) -> Result<Self, TargetError> {
        Ok(Self(Kind::Folder(Arc::new(Folder::open(root, only_look)?))))
    }

    /// A place in S3-compatible storage; `work` is a folder where files wait until they are sent.
    ///
    /// # Errors
    ///
    /// Where it is taken by another process, cannot be written, or `place` makes no sense.
    pub fn s3(place: S3Place, work: &Path, fetcher: Fetcher, only_look: bool) -> Result<Self, TargetError> {
        Ok(Self(Kind::S3(Arc::new(S3::open(place, work, fetcher, only_look)?))))
    }

    /// How often a file's bytes move until it is there.
    pub(super) fn hops(&self) -> u64 {
        match &self.0 {
            Kind::Folder(_) => 1,
            Kind::S3(_) => 2,
        }
    }

    pub(super) fn workshop(&self) -> &Workshop {
        match &self.0 {
            Kind::Folder(folder) => &folder.workshop,
            Kind::S3(s3) => &s3.workshop,
        }
    }

    /// Removes what is on its way to nowhere: parts, and uploads, of other files than these.
    pub(super) async fn clear(&self, open: impl Iterator<Item = &Wanted>) -> Result<(), TargetError> {
        let parts = open.map(|wanted| self.workshop().part(wanted)).collect();
        self.workshop().clear(&parts)?;
        match &self.0 {
            Kind::S3(s3) => s3.end_stale_uploads(&parts).await,
            Kind::Folder(_) => Ok(()),
        }
    }

    /// How the places of all wanted files look.
    pub(super) async fn survey(&self, plan: &Arc<Plan>, check: bool) -> Result<Vec<Standing>, TargetError> {
        match &self.0 {
            Kind::S3(s3) => s3.survey(plan, check).await,
            Kind::Folder(folder) => {
                let (folder, plan) = (Arc::clone(folder), Arc::clone(plan));
                blocking(move || Ok(plan.files().iter().map(|file| folder.standing(file, check)).collect()))
                    .await
            }
        }
    }

    /// Whether what is there is right after all.
    pub(super) async fn is_right(&self, wanted: &Wanted) -> Result<bool, TargetError> {
        match &self.0 {
            Kind::S3(s3) => s3.is_right(wanted).await,
            Kind::Folder(folder) => {
                let (folder, wanted) = (Arc::clone(folder), wanted.clone());
                blocking(move || folder.is_right(&wanted)).await
            }
        }
    }

    /// Gives a whole and right part its name; the part is gone then.
    pub(super) async fn place(
        &self,
        wanted: &Wanted,
        part: &Path,
        told: &(dyn Fn(u64) + Sync),
    ) -> Result<(), TargetError> {
        match &self.0 {
            Kind::S3(s3) => s3.place(wanted, part, told).await,
            Kind::Folder(folder) => {
                let (folder, wanted, part) = (Arc::clone(folder), wanted.clone(), part.to_owned());
                blocking(move || folder.place(&wanted, &part)).await
            }
        }
    }

    /// What is there and should not be.
    pub(super) async fn strays(&self, plan: &Arc<Plan>) -> Result<Vec<TargetPath>, TargetError> {
        match &self.0 {
            Kind::S3(s3) => Ok(s3.strays(plan)),
            Kind::Folder(folder) => {
                let (folder, plan) = (Arc::clone(folder), Arc::clone(plan));
                blocking(move || folder.strays(&plan)).await
            }
        }
    }

    /// Removes a file.
    pub(super) async fn remove(&self, path: &TargetPath) -> Result<(), TargetError> {
        match &self.0 {
            Kind::S3(s3) => s3.remove(path).await,
            Kind::Folder(folder) => {
                let (folder, path) = (Arc::clone(folder), path.clone());
                blocking(move || folder.remove(&path)).await
            }
        }
    }
}

/// Files block; they do so away from the runtime's threads.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, TargetError> + Send + 'static,
) -> Result<T, TargetError> {
    let gone = |error| TargetError::io("finish", Path::new("the work on files"), io::Error::other(error));
    tokio::task::spawn_blocking(work).await.map_err(gone)?
}

/// Why a file is not at the target.
#[derive(Debug, thiserror::Error)]
pub(super) enum CopyError {
    #[error(transparent)]
    Bring(#[from] BringError),
    #[error(transparent)]
    Target(#[from] TargetError),
}
