//! An origin that is a folder: listed by its index where there is one, else by its own structure.

use std::collections::HashMap;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::catalog::folder::list_manifests;
use crate::catalog::index::Index;
use crate::model::Sha256;
use crate::workers::fact::Listed;

use super::{INDEX_MAX, Listing, MANIFEST_MAX, listed};

/// What tells whether a file changed.
type Stamp = (Option<SystemTime>, u64);

/// Reads a folder.
pub(super) struct FolderReader {
    folder: PathBuf,
    seen: HashMap<String, Stamp>,
}

impl FolderReader {
    pub(super) fn new(folder: PathBuf) -> Self {
        Self { folder, seen: HashMap::new() }
    }

    /// One look, away from the runtime's threads because files block.
    pub(super) async fn read(&mut self) -> Result<Listing, String> {
        let (folder, seen) = (self.folder.clone(), std::mem::take(&mut self.seen));
        let look = tokio::task::spawn_blocking(move || look(&folder, seen));
        let (listing, seen) = look.await.map_err(|error| format!("reading the origin failed: {error}"))?;
        self.seen = seen;
        listing
    }
}

type Look = (Result<Listing, String>, HashMap<String, Stamp>);

fn look(folder: &Path, mut seen: HashMap<String, Stamp>) -> Look {
    let paths = match paths(folder) {
        Ok(paths) => paths,
        Err(why) => return (Err(why), seen),
    };
    let mut listing = Listing::new();
    let mut now_seen = HashMap::new();
    for (path, sha256) in paths {
        let stamp = stamp(&folder.join(&path));
        let before = seen.remove(&path);
        let became = match &stamp {
            Some(stamp) if before.as_ref() == Some(stamp) => Listed::Unchanged,
            _ => match read(&folder.join(&path), MANIFEST_MAX) {
                Ok(body) => listed(body.into(), sha256),
                Err(error) => Listed::Refused(format!("it cannot be read: {error}")),
            },
        };
        if let Some(stamp) = stamp {
            now_seen.insert(path.clone(), stamp);
        }
        listing.insert(path, became);
    }
    (Ok(listing), now_seen)
}

/// The manifests that the index lists, or that lie where manifests lie.
fn paths(folder: &Path) -> Result<Vec<(String, Option<Sha256>)>, String> {
    match read(&folder.join("index.json"), INDEX_MAX) {
        Ok(bytes) => {
            let parsed = Index::parse(&bytes).map_err(|error| format!("index.json: {error}"))?;
            let entries = parsed.index.manifests.into_iter();
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
