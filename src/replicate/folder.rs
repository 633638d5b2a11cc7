//! A target that is a folder: a file gets its name when it is whole, right and on disk.

use std::fs::{self, File, Metadata};
use std::io::{ErrorKind, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::target::{Standing, TargetError};
use super::wanted::{Plan, TargetPath, Wanted};
use super::workshop::{HIDDEN, Mark, Workshop};
use crate::model::Sha256;

/// How much of a file is read at once, in bytes.
const CHUNK: usize = 256 * 1024;
/// Deepest tree that is looked through for strays; a path has at most so many segments.
const DEPTH_MAX: usize = 1024;

/// A folder.
#[derive(Debug)]
pub(super) struct Folder {
    root: PathBuf,
    pub(super) workshop: Workshop,
}

impl Folder {
    /// Takes the folder, which is made where it is missing.
    pub fn open(root: &Path, only_look: bool) -> Result<Self, TargetError> {
        if !only_look {
            fs::create_dir_all(root).map_err(|error| TargetError::io("create", root, error))?;
        }
        let workshop = Workshop::open(root.join(HIDDEN), only_look)?;
        Ok(Self { root: root.to_owned(), workshop })
    }

    /// How a file's place looks, without reading it; with `check` nothing is believed.
    pub fn standing(&self, wanted: &Wanted, check: bool) -> Standing {
        let place = self.place_of(&wanted.path);
        match fs::symlink_metadata(&place) {
            Ok(about) if about.is_file() && about.len() == wanted.size => {
                let known = !check
                    && self.workshop.knows(&wanted.path, &mark(&about, wanted))
                    && self.parents(&wanted.path, Parents::Look).is_ok();
                if known { Standing::Right } else { Standing::Doubtful }
            }
            _ => Standing::Missing,
        }
    }

    /// Hashes what is there.
    pub fn is_right(&self, wanted: &Wanted) -> Result<bool, TargetError> {
        self.parents(&wanted.path, Parents::Look)?;
        let place = self.place_of(&wanted.path);
        let failed = |error| TargetError::io("read", &place, error);
        let file = File::open(&place).map_err(failed)?;
        let about = file.metadata().map_err(failed)?;
        let right = hash(file).map_err(failed)? == wanted.sha256;
        if right {
            self.workshop.remember(&wanted.path, mark(&about, wanted));
        }
        Ok(right)
    }

    /// Gives a part its name; what has it is replaced.
    pub fn place(&self, wanted: &Wanted, part: &Path) -> Result<(), TargetError> {
        let folder = self.parents(&wanted.path, Parents::Make)?;
        let place = self.place_of(&wanted.path);
        fs::rename(part, &place).map_err(|error| TargetError::io("write", &place, error))?;
        sync(&folder)?;
        let about = fs::symlink_metadata(&place).map_err(|error| TargetError::io("read", &place, error))?;
        self.workshop.remember(&wanted.path, mark(&about, wanted));
        Ok(())
    }

    /// What lies there and should not.
    pub fn strays(&self, plan: &Plan) -> Result<Vec<TargetPath>, TargetError> {
        let mut found = Vec::new();
        for product in plan.swept() {
            self.list(product.as_str(), 1, &mut |path| {
                if plan.is_stray(&path) {
                    found.push(path);
                }
            })?;
        }
        found.sort();
        Ok(found)
    }

    /// Names every file below a folder; links are files and lead nowhere.
    fn list(&self, below: &str, depth: usize, found: &mut dyn FnMut(TargetPath)) -> Result<(), TargetError> {
        let folder = self.root.join(below);
        let failed = |error| TargetError::io("list", &folder, error);
        if !fs::symlink_metadata(&folder).is_ok_and(|about| about.is_dir()) || depth > DEPTH_MAX {
            return Ok(());
        }
        for entry in fs::read_dir(&folder).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            // A name that is no text was never written here, and is left.
            let Some(name) = entry.file_name().to_str().map(|name| format!("{below}/{name}")) else {
                continue;
            };
            if entry.file_type().map_err(failed)?.is_dir() {
                self.list(&name, depth + 1, found)?;
            } else if let Ok(path) = TargetPath::new(&name) {
                found(path);
            }
        }
        Ok(())
    }

    /// Removes a file, and the folders that are empty then.
    pub fn remove(&self, path: &TargetPath) -> Result<(), TargetError> {
        let folder = self.parents(path, Parents::Look)?;
        let place = self.place_of(path);
        fs::remove_file(&place).map_err(|error| TargetError::io("remove", &place, error))?;
        self.workshop.forget(path);
        for folder in folder.ancestors().take_while(|folder| *folder != self.root) {
            if fs::remove_dir(folder).is_err() {
                break;
            }
        }
        Ok(())
    }

    fn place_of(&self, path: &TargetPath) -> PathBuf {
        self.root.join(path.as_str())
    }

    /// The folder that a file lies in, where every step to it is a folder: a link could lead out of the target. Whoever
    /// may write in the target while this looks can still fool it.
    fn parents(&self, path: &TargetPath, parents: Parents) -> Result<PathBuf, TargetError> {
        let mut folder = self.root.clone();
        let Some((above, _)) = path.as_str().rsplit_once('/') else { return Ok(folder) };
        for segment in above.split('/') {
            let parent = folder.clone();
            folder.push(segment);
            match fs::symlink_metadata(&folder) {
                Ok(about) if about.is_dir() => {}
                Ok(_) => return Err(TargetError::InTheWay { path: folder }),
                Err(error) if error.kind() == ErrorKind::NotFound && parents == Parents::Make => {
                    match fs::create_dir(&folder) {
                        // Another file's was quicker.
                        Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                        made => made.map_err(|error| TargetError::io("create", &folder, error))?,
                    }
                    sync(&parent)?;
                }
                Err(error) => return Err(TargetError::io("look at", &folder, error)),
            }
        }
        Ok(folder)
    }
}

/// What is done where a folder is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Parents {
    Look,
    Make,
}

/// Any change of a file, its content or its name, moves the second moment, which nobody can set.
fn mark(about: &Metadata, wanted: &Wanted) -> Mark {
    let stamp =
        format!("{}.{:09} {}.{:09}", about.mtime(), about.mtime_nsec(), about.ctime(), about.ctime_nsec());
    Mark::new(about.len(), stamp, wanted.sha256)
}

fn hash(mut file: File) -> std::io::Result<Sha256> {
    let mut hash = Sha256::begin();
    let mut chunk = vec![0; CHUNK];
    loop {
        match file.read(&mut chunk) {
            Ok(0) => return Ok(Sha256::end(hash)),
            Ok(read) => hash.update(&chunk[..read]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

fn sync(folder: &Path) -> Result<(), TargetError> {
    File::open(folder)
        .and_then(|opened| opened.sync_all())
        .map_err(|error| TargetError::io("sync", folder, error))
}
