//! The files of a folder that is to become a release.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use super::CreateError;
use super::label::Label;
use crate::catalog::manifest::{ASSETS_MAX, MANIFEST_FILE};
use crate::catalog::signature::is_or_signs;
use crate::model::{AssetPath, Sha256, Sha512};

/// How deep folders may be nested.
const DEPTH_MAX: usize = 64;
/// How many notes are spelled out.
const NOTES_MAX: usize = 20;

/// A file as it was found.
#[derive(Debug)]
pub(in crate::catalog) struct Found {
    pub name: AssetPath,
    pub path: PathBuf,
    pub size: u64,
    pub modified: Option<SystemTime>,
    /// What its pipeline said of it.
    pub told: Option<Box<Told>>,
}

/// What a pipeline said of a file.
#[derive(Debug, Default)]
pub(in crate::catalog) struct Told {
    /// Its SHA-256, and who said so.
    pub sha256: Option<(Sha256, Arc<str>)>,
    /// Its SHA-512, and who said so.
    pub sha512: Option<(Sha512, Arc<str>)>,
    /// What it is; without, its name tells.
    pub label: Option<Label>,
}

/// All files, ordered by name, and what was passed over.
#[derive(Debug, Default)]
pub(in crate::catalog) struct Walk {
    pub files: Vec<Found>,
    pub notes: Vec<String>,
}

/// Walks `root`, which must be canonical. Hidden entries and an own manifest are passed over with a note.
pub(in crate::catalog) fn walk(root: &Path) -> Result<Walk, CreateError> {
    let mut walk = Walk::default();
    walk.folder(root, root, "", DEPTH_MAX)?;
    if walk.files.is_empty() {
        return Err(CreateError::Empty { folder: root.to_owned() });
    }
    walk.files.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(walk)
}

impl Walk {
    fn folder(&mut self, root: &Path, folder: &Path, prefix: &str, depth: usize) -> Result<(), CreateError> {
        if depth == 0 {
            return Err(refused(folder, format!("folders are nested more than {DEPTH_MAX} deep")));
        }
        for entry in fs::read_dir(folder).map_err(|error| CreateError::io("list", folder, error))? {
            let entry = entry.map_err(|error| CreateError::io("list", folder, error))?;
            let path = entry.path();
            let Ok(name) = entry.file_name().into_string() else {
                return Err(refused(&path, "its name is not UTF-8; rename it".into()));
            };
            let own = prefix.is_empty() && is_or_signs(&name, MANIFEST_FILE);
            if name.starts_with('.') || own {
                if !own {
                    self.note(format!("{prefix}{name}: hidden, passed over"));
                }
                continue;
            }
            let name = format!("{prefix}{name}");
            let kind = entry.file_type().map_err(|error| CreateError::io("look at", &path, error))?;
            if kind.is_dir() {
                self.folder(root, &path, &format!("{name}/"), depth - 1)?;
            } else {
                self.file(root, path, &name, kind.is_symlink())?;
            }
        }
        Ok(())
    }

    fn file(&mut self, root: &Path, path: PathBuf, name: &str, is_link: bool) -> Result<(), CreateError> {
        if is_link {
            let target =
                fs::canonicalize(&path).map_err(|error| CreateError::io("follow the link", &path, error))?;
            if !target.starts_with(root) {
                return Err(refused(
                    &path,
                    "is a link that leads out of the folder; put the file itself there".into(),
                ));
            }
        }
        let about = fs::metadata(&path).map_err(|error| CreateError::io("look at", &path, error))?;
        if !about.is_file() {
            let what = if about.is_dir() { "a link to a folder" } else { "neither a file nor a folder" };
            return Err(refused(&path, format!("is {what}, which a release cannot hold")));
        }
        let name = AssetPath::new(name)
            .map_err(|bad| refused(&path, format!("as an asset its name {bad}; rename it")))?;
        if self.files.len() == ASSETS_MAX {
            return Err(refused(root, format!("holds more than {ASSETS_MAX} files")));
        }
        self.files.push(Found { name, path, size: about.len(), modified: about.modified().ok(), told: None });
        Ok(())
    }

    fn note(&mut self, note: String) {
        if self.notes.len() < NOTES_MAX {
            self.notes.push(note);
        }
    }
}

fn refused(path: &Path, why: String) -> CreateError {
    CreateError::Refused { path: path.to_owned(), why }
}
