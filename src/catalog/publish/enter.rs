//! A release's place in the origin's index.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use super::{CreateError, Outcome, read_bounded, stage};
use crate::catalog::folder::list_manifests;
use crate::catalog::index::{INDEX_BYTES_MAX, INDEX_FILE, Index, IndexEntry, ManifestPath, SEQUENCE_MAX};
use crate::catalog::signature::{TrustedComment, signature_of};
use crate::model::Sha256;

/// Held while the index is read and written, so that no other release's entry is lost.
const LOCK: &str = ".waypost-lock";

/// What the index says now.
pub(super) struct Entered {
    pub file: PathBuf,
    pub sequence: u64,
    pub notes: Vec<String>,
}

/// The index that is there.
pub(super) fn current(origin: &Path) -> Result<Option<Index>, CreateError> {
    let file = origin.join(INDEX_FILE);
    let Some(bytes) = read_bounded(&file, INDEX_BYTES_MAX)? else { return Ok(None) };
    match Index::parse(&bytes) {
        Ok(parsed) => Ok(Some(parsed.index)),
        Err(source) => Err(CreateError::Index { path: file, source }),
    }
}

/// Enters a release. The sequence grows by one unless neither the manifest nor the index has changed. Without an index
/// one is made of the manifests that lie in the origin.
pub(super) fn enter(
    origin: &Path,
    path: ManifestPath,
    manifest: &[u8],
    outcome: Outcome,
) -> Result<Entered, CreateError> {
    let _lock = lock(origin)?;
    let file = origin.join(INDEX_FILE);
    let mut notes = Vec::new();
    let before = current(origin)?;
    let mut index = match before.clone() {
        Some(index) => index,
        None => {
            let listing = list_manifests(origin).map_err(|error| CreateError::io("list", origin, error))?;
            notes = listing.warnings;
            let manifests = listing.manifests.into_iter().map(|(path, _)| IndexEntry::new(path)).collect();
            Index { manifests, ..Index::default() }
        }
    };
    match index.manifests.iter_mut().find(|entry| entry.path == path) {
        None => index.manifests.push(IndexEntry::new(path)),
        Some(entry) if entry.sha256.is_some() && outcome != Outcome::Unchanged => {
            entry.sha256 = Some(Sha256::of(manifest))
        }
        Some(_) => {}
    }
    if outcome != Outcome::Unchanged || before.as_ref() != Some(&index) {
        if index.sequence >= SEQUENCE_MAX {
            return Err(CreateError::Refused { path: file, why: "its sequence can grow no further".into() });
        }
        index.sequence += 1;
        stage::write_atomically(&file, index.to_json().as_bytes())?;
        if signature_of(&file).exists() {
            let comment = TrustedComment::of_index(index.sequence);
            notes.push(format!("the index has changed: sign it again, with the trusted comment {comment}"));
        }
    }
    Ok(Entered { file, sequence: index.sequence, notes })
}

fn lock(origin: &Path) -> Result<File, CreateError> {
    let path = origin.join(LOCK);
    let file = File::create(&path).map_err(|error| CreateError::io("create", &path, error))?;
    match file.lock() {
        // A file system without locks: as good as it gets.
        Err(error) if error.kind() != io::ErrorKind::Unsupported => {
            Err(CreateError::io("lock", &path, error))
        }
        _ => Ok(file),
    }
}
