//! An origin that is a folder: listed by its index where there is one, else by its own structure.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::catalog::folder::list_manifests;
use crate::catalog::index::Index;
use crate::model::{OriginFault, Sha256};
use crate::workers::fact::{Listed, Listing, OriginRefusal};

use super::{INDEX_MAX, MANIFEST_MAX, Notes, listed, refused, unreadable};

/// What tells whether a file changed.
type Stamp = (Option<SystemTime>, u64);

/// Reads a folder.
pub(super) struct FolderReader {
    folder: PathBuf,
    memory: Memory,
}

/// What is remembered from look to look.
#[derive(Default)]
struct Memory {
    seen: HashMap<String, Stamp>,
    notes: Notes,
}

impl FolderReader {
    pub(super) fn new(folder: PathBuf) -> Self {
        Self { folder, memory: Memory::default() }
    }

    /// One look, away from the runtime's threads because files block.
    pub(super) async fn read(&mut self) -> Result<Listing, OriginRefusal> {
        let (folder, mut memory) = (self.folder.clone(), std::mem::take(&mut self.memory));
        let look = tokio::task::spawn_blocking(move || (look(&folder, &mut memory), memory));
        let (listing, memory) =
            look.await.map_err(|error| unreadable(format!("reading the origin failed: {error}")))?;
        self.memory = memory;
        listing.map_err(unreadable)
    }
}

fn look(folder: &Path, memory: &mut Memory) -> Result<Listing, String> {
    let paths = paths(folder, &mut memory.notes)?;
    let mut listing = BTreeMap::new();
    let mut now_seen = HashMap::new();
    for (path, sha256) in paths {
        let stamp = stamp(&folder.join(&path));
        let before = memory.seen.remove(&path);
        let became = match &stamp {
            Some(stamp) if before.as_ref() == Some(stamp) => Listed::Unchanged,
            _ => match read(&folder.join(&path), MANIFEST_MAX) {
                Ok(body) => listed(body.into(), sha256),
                Err(error) => refused(OriginFault::Unreadable, format!("it cannot be read: {error}")),
            },
        };
        if let Some(stamp) = stamp {
            now_seen.insert(path.clone(), stamp);
        }
        listing.insert(path, became);
    }
    memory.seen = now_seen;
    Ok(Listing { manifests: listing, ..Listing::default() })
}

/// The manifests that the index lists, or that lie where manifests lie.
fn paths(folder: &Path, notes: &mut Notes) -> Result<Vec<(String, Option<Sha256>)>, String> {
    match read(&folder.join("index.json"), INDEX_MAX) {
        Ok(bytes) => {
            let parsed = Index::parse(&bytes).map_err(|error| format!("index.json: {error}"))?;
            let entries = notes.heed(parsed).manifests.into_iter();
            Ok(entries.map(|entry| (entry.path.to_string(), entry.sha256)).collect())
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let listing = list_manifests(folder)
                .map_err(|error| format!("the folder {} cannot be listed: {error}", folder.display()))?;
            Ok(listing.manifests.into_iter().map(|(path, _)| (path.to_string(), None)).collect())
        }
        Err(error) => Err(format!("index.json cannot be read: {error}")),
    }
}

fn stamp(file: &Path) -> Option<Stamp> {
    let about = std::fs::metadata(file).ok()?;
    Some((about.modified().ok(), about.len()))
}

fn read(file: &Path, max: u64) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(file)?.take(max + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > max {
        return Err(std::io::Error::new(ErrorKind::FileTooLarge, format!("more than {max} bytes")));
    }
    Ok(bytes)
}
