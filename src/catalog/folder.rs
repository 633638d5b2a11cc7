//! An origin folder without an index: the manifests that lie in it.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::index::{INDEX_ENTRIES_MAX, ManifestPath};
use super::manifest::MANIFEST_FILE;
use crate::model::{ProductName, Version};

/// How many oddities are spelled out.
const WARNINGS_MAX: usize = 20;

/// What lies in an origin folder.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listing {
    /// Each release that has a manifest, and its manifest's file, ordered by path.
    pub manifests: Vec<(ManifestPath, PathBuf)>,
    /// Folders that were left out and why; at most twenty.
    pub warnings: Vec<String>,
}

impl Listing {
    fn warn(&mut self, path: &Path, why: impl std::fmt::Display) {
        if self.warnings.len() < WARNINGS_MAX {
            self.warnings.push(format!("{}: left out: {why}", path.display()));
        }
    }
}

/// Finds `<product>/<version>/manifest.json` below `folder`. Hidden entries, plain files and folders without a manifest
/// (a release still being written) are passed over; links that lead out of the folder and names that cannot be a
/// product or version are left out with a warning.
///
/// # Errors
/// When a folder cannot be read, or holds more than a million entries: a listing that misses releases would have them
/// retired. The message names the folder.
pub fn list_manifests(folder: &Path) -> io::Result<Listing> {
    let root = fs::canonicalize(folder).map_err(|error| named(folder, error))?;
    let mut listing = Listing::default();
    let mut room = INDEX_ENTRIES_MAX;
    for (name, path) in subfolders(&root, &root, &mut room, &mut listing)? {
        // Made by mkfs in the root of a volume, readable to root alone.
        if name == "lost+found" {
            continue;
        }
        let product = match ProductName::new(&name) {
            Ok(product) => product,
            Err(bad) => {
                listing.warn(&path, format_args!("as a product its name {bad}"));
                continue;
            }
        };
        releases(&root, &path, &product, &mut room, &mut listing)?;
    }
    Ok(listing)
}

fn releases(
    root: &Path,
    folder: &Path,
    product: &ProductName,
    room: &mut usize,
    listing: &mut Listing,
) -> io::Result<()> {
    let mut seen: HashMap<Version, String> = HashMap::new();
    for (name, path) in subfolders(root, folder, room, listing)? {
        let file = path.join(MANIFEST_FILE);
        if !is_inside(root, &file, listing)? {
            continue;
        }
        match Version::parse(&name) {
            Err(bad) => listing.warn(&path, format_args!("its name is not a version: {bad}")),
            Ok(version) => match seen.get(&version) {
                Some(first) => listing.warn(&path, format_args!("{first} is the same version")),
                None => {
                    seen.insert(version.clone(), name);
                    listing.manifests.push((ManifestPath { product: product.clone(), version }, file));
                }
            },
        }
    }
    Ok(())
}

/// The visible folders in `folder`, in the order of their names.
fn subfolders(
    root: &Path,
    folder: &Path,
    room: &mut usize,
    listing: &mut Listing,
) -> io::Result<Vec<(String, PathBuf)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(|error| named(folder, error))? {
        let entry = entry.map_err(|error| named(folder, error))?;
        let path = entry.path();
        *room = room
            .checked_sub(1)
            .ok_or_else(|| named(root, io::Error::other(format!("more than {INDEX_ENTRIES_MAX} entries"))))?;
        let Ok(name) = entry.file_name().into_string() else {
            listing.warn(&path, "its name is not UTF-8");
            continue;
        };
        if name.starts_with('.') {
            continue;
        }
        let kind = entry.file_type().map_err(|error| named(&path, error))?;
        if kind.is_dir() || (kind.is_symlink() && is_inside(root, &path, listing)? && path.is_dir()) {
            found.push((name, path));
        }
    }
    found.sort();
    Ok(found)
}

/// Whether `path` exists and, links followed, lies in `root`.
fn is_inside(root: &Path, path: &Path, listing: &mut Listing) -> io::Result<bool> {
    match fs::canonicalize(path) {
        Ok(real) if real.starts_with(root) => Ok(true),
        Ok(_) => {
            listing.warn(path, "is a link that leads out of the origin");
            Ok(false)
        }
        // Not there (any more), or a link to nothing.
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Ok(false)
        }
        Err(error) => Err(named(path, error)),
    }
}

fn named(path: &Path, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(root: &Path, path: &str) {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "{}").unwrap();
    }

    fn paths(listing: &Listing) -> Vec<String> {
        listing.manifests.iter().map(|(path, _)| path.to_string()).collect()
    }

    #[test]
    fn releases_with_a_manifest_are_found_in_order() {
        let origin = tempfile::tempdir().unwrap();
        for path in ["tool/1.10/manifest.json", "tool/1.9/manifest.json", "agent/v2/manifest.json"] {
            put(origin.path(), path);
        }
        put(origin.path(), "index.json");
        put(origin.path(), "tool/2.0/half-copied.tar.gz");
        put(origin.path(), ".hidden/1.0/manifest.json");
        put(origin.path(), "tool/.2.1/manifest.json");
        let listing = list_manifests(origin.path()).unwrap();
        assert_eq!(
            paths(&listing),
            ["agent/v2/manifest.json", "tool/1.10/manifest.json", "tool/1.9/manifest.json"]
        );
        assert_eq!(listing.warnings, [""; 0]);
    }

    #[test]
    fn what_cannot_be_a_release_is_left_out_and_said() {
        let (origin, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        for path in [
            "latest/1.0/manifest.json",
            "tool/nightly/manifest.json",
            "tool/1.0/manifest.json",
            "tool/v1.0/manifest.json",
        ] {
            put(origin.path(), path);
        }
        put(elsewhere.path(), "manifest.json");
        std::os::unix::fs::symlink(elsewhere.path(), origin.path().join("tool/3.0")).unwrap();
        std::os::unix::fs::symlink(origin.path().join("tool/1.0"), origin.path().join("tool/1.1")).unwrap();
        let listing = list_manifests(origin.path()).unwrap();
        assert_eq!(paths(&listing), ["tool/1.0/manifest.json", "tool/1.1/manifest.json"]);
        let said = listing.warnings.join("\n");
        for why in [
            "reserved",
            "nightly: left out: its name is not a version",
            "leads out",
            "1.0 is the same version",
        ] {
            assert!(said.contains(why), "{why} in {said}");
        }
    }

    #[test]
    fn a_missing_folder_is_an_error_that_names_it() {
        let error = list_manifests(Path::new("/nowhere/at/all")).unwrap_err();
        assert!(error.to_string().contains("/nowhere/at/all"), "{error}");
    }
}
