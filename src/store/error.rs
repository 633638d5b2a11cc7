//! What can go wrong with the state folder, and what to do about it.

use std::io;
use std::path::{Path, PathBuf};

use rusqlite::ErrorCode;

/// Why the store could not be opened or written. After a failed write the store goes on as it was before it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The path names something else.
    #[error("{} is not a folder: give [server] state a folder, or remove what is in its place", path.display())]
    NotAFolder {
        /// The state folder, as configured.
        path: PathBuf,
    },
    /// Permissions, or a read-only file system.
    #[error(
        "cannot write {} ({why}): make the state folder writable for the user that waypost runs as, or give \
         [server] state another folder", path.display()
    )]
    NotWritable {
        /// What could not be written.
        path: PathBuf,
        /// What the system said.
        why: String,
    },
    /// Another process has the folder.
    #[error(
        "the state folder is in use by {} (lock file {}): stop that process, or give this one another [server] state",
        pid.map_or("another process".into(), |pid| format!("process {pid}")), path.display()
    )]
    InUse {
        /// The lock file.
        path: PathBuf,
        /// Who holds it, where the file says so.
        pid: Option<u32>,
    },
    /// No space, or no quota, left.
    #[error("no space left to write {}: make room; nothing that was acknowledged is lost", path.display())]
    Full {
        /// What could not be written.
        path: PathBuf,
    },
    /// A newer program made the database.
    #[error(
        "{} has schema {found}, this waypost knows up to {known}: run the newer waypost, or move the file \
         away (it is filled again from the journal, and what mirrors hold is verified again)", path.display()
    )]
    NewerSchema {
        /// The database.
        path: PathBuf,
        /// Its schema.
        found: i64,
        /// The newest schema that is known.
        known: i64,
    },
    /// A newer program wrote an order.
    #[error(
        "{} holds an order that this waypost does not know (line {line}): run the newer waypost that wrote it",
        path.display()
    )]
    NewerOrder {
        /// The journal or the database.
        path: PathBuf,
        /// Its line in the journal, or its number in the database.
        line: u64,
    },
    /// Two different orders have one number.
    #[error(
        "order {id} is not the same everywhere in {}: orders.jsonl and waypost.db come from two different \
         histories (a backup of one of them?); move the one that is wrong away, it is filled again from the other",
        folder.display()
    )]
    TwoHistories {
        /// The state folder.
        folder: PathBuf,
        /// The order's number.
        id: u64,
    },
    /// A text or a body above its bound.
    #[error("{what} of {bytes} bytes is too long: at most {max}")]
    TooLong {
        /// What it is.
        what: &'static str,
        /// Its length.
        bytes: usize,
        /// The bound.
        max: usize,
    },
    /// The database was found damaged while it was in use.
    #[error(
        "{} is damaged ({why}): restart waypost, which sets it aside and fills a new one from the journal",
        path.display()
    )]
    Damaged {
        /// The database.
        path: PathBuf,
        /// What the database said.
        why: String,
    },
    /// Anything else that the operating system said.
    #[error("cannot {doing} {}: {source}; check the disk and the file's permissions", path.display())]
    Io {
        /// What was tried.
        doing: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Anything else that the database said.
    #[error("cannot {doing} {}: {source}; is another program using it?", path.display())]
    Database {
        /// What was tried.
        doing: &'static str,
        /// The database.
        path: PathBuf,
        /// What the database said.
        source: rusqlite::Error,
    },
}

impl StoreError {
    /// Turns what the operating system said into what the operator can do.
    pub(super) fn io(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| {
            let path = path.to_path_buf();
            match source.kind() {
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full { path },
                io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                    Self::NotWritable { path, why: source.to_string() }
                }
                _ => Self::Io { doing, path, source },
            }
        }
    }

    /// The same for the database. What cannot come from a sound file of this schema (a missing table, a column of
    /// another type) is damage.
    pub(super) fn sql(doing: &'static str, path: &Path) -> impl Fn(rusqlite::Error) -> Self {
        move |source| {
            let path = path.to_path_buf();
            match source.sqlite_error_code() {
                Some(ErrorCode::DiskFull) => Self::Full { path },
                Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => {
                    Self::NotWritable { path, why: source.to_string() }
                }
                None | Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase | ErrorCode::Unknown) => {
                    Self::Damaged { path, why: source.to_string() }
                }
                Some(_) => Self::Database { doing, path, source },
            }
        }
    }
}
