//! An origin that is a folder: listed by its index where there is one, else by its own structure.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::catalog::folder::list_manifests;
use crate::catalog::index::{INDEX_FILE, Index};
use crate::catalog::signature::{TrustedKeys, signature_of};
use crate::model::Sha256;
use crate::workers::fact::{Listed, Listing, OriginLook, OriginRefusal, Reading};

use super::{INDEX_MAX, MANIFEST_MAX, Notes, SIGNATURE_MAX, Signed, unreadable};

/// What tells whether a file changed.
type Stamp = (Option<SystemTime>, u64);

/// Reads a folder.
pub(super) struct FolderReader {
    folder: PathBuf,
    keys: TrustedKeys,
    /// The manifests that were believed.
    seen: HashMap<String, Stamp>,
    notes: Notes,
}

impl FolderReader {
    pub(super) fn new(folder: PathBuf, keys: TrustedKeys) -> Self {
        Self { folder, keys, seen: HashMap::new(), notes: Notes::default() }
    }

    /// One look, away from the runtime's threads because files block.
    pub(super) async fn read(&mut self, look: OriginLook) -> Result<Reading, OriginRefusal> {
        // Should the look panic, this one begins anew.
        let anew = Self::new(self.folder.clone(), self.keys.clone());
        let mut reader = std::mem::replace(self, anew);
        let look = tokio::task::spawn_blocking(move || (reader.look(&look), reader));
        let (reading, reader) =
            look.await.map_err(|error| unreadable(format!("reading the origin failed: {error}")))?;
        *self = reader;
        reading
    }

    fn look(&mut self, look: &OriginLook) -> Result<Reading, OriginRefusal> {
        for path in &look.again {
            self.seen.remove(path);
        }
        let lowest = look.lowest;
        let Some(index) = self.index()? else {
            // Taking the index away must not be a way around its sequence.
            if lowest > 0 && !self.keys.is_empty() {
                return Ok(Reading::WentBack(0));
            }
            let paths = self.paths()?;
            return Ok(Reading::Listing(Listing {
                manifests: self.manifests(paths, look),
                ..Listing::default()
            }));
        };
        if index.sequence < lowest {
            return Ok(Reading::WentBack(index.sequence));
        }
        let paths = index.manifests.into_iter().map(|entry| (entry.path.to_string(), entry.sha256));
        let manifests = self.manifests(paths.collect(), look);
        let (sequence, withdrawn) = (Some(index.sequence), index.withdrawn);
        Ok(Reading::Listing(Listing { manifests, sequence, withdrawn }))
    }

    /// The index; `None` where there is none.
    fn index(&mut self) -> Result<Option<Index>, OriginRefusal> {
        let file = self.folder.join(INDEX_FILE);
        match read(&file, INDEX_MAX) {
            Ok(body) => Ok(Some(self.notes.heed(self.signed(&file, body).index(&self.keys)?))),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(unreadable(format!("{INDEX_FILE} cannot be read: {error}"))),
        }
    }

    /// The manifests that lie where manifests lie.
    fn paths(&self) -> Result<Vec<(String, Option<Sha256>)>, OriginRefusal> {
        let listing = list_manifests(&self.folder).map_err(|error| {
            unreadable(format!("the folder {} cannot be listed: {error}", self.folder.display()))
        })?;
        Ok(listing.manifests.into_iter().map(|(path, _)| (path.to_string(), None)).collect())
    }

    fn manifests(
        &mut self,
        paths: Vec<(String, Option<Sha256>)>,
        look: &OriginLook,
    ) -> BTreeMap<String, Listed> {
        let mut listing = BTreeMap::new();
        let mut believed = HashMap::new();
        for (path, sha256) in paths {
            let file = self.folder.join(&path);
            // Taken before the file is read, so that a change meanwhile shows at the next look.
            let stamp = stamp(&file);
            let became = match &stamp {
                Some(stamp) if self.seen.get(&path) == Some(stamp) => Listed::Unchanged,
                _ => self.manifest(&file, sha256, look.known.get(&path).copied()),
            };
            if let (Some(stamp), Listed::Unchanged | Listed::Read(_)) = (stamp, &became) {
                believed.insert(path.clone(), stamp);
            }
            listing.insert(path, became);
        }
        self.seen = believed;
        listing
    }

    fn manifest(&self, file: &Path, sha256: Option<Sha256>, known: Option<Sha256>) -> Listed {
        match read(file, MANIFEST_MAX) {
            Ok(body) => self.signed(file, body).manifest(sha256, known, &self.keys),
            Err(error) => Listed::Refused(unreadable(format!("it cannot be read: {error}"))),
        }
    }

    fn signed(&self, file: &Path, body: Vec<u8>) -> Signed {
        let read_signature = || match read(&signature_of(file), SIGNATURE_MAX) {
            Ok(bytes) => Ok(Some(bytes.into())),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.to_string()),
        };
        Signed { body: body.into(), signature: (!self.keys.is_empty()).then(read_signature) }
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
