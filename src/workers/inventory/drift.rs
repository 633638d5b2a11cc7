//! How a folder differs from what its manifest says.

use std::collections::HashSet;

use crate::catalog::Release;
use crate::catalog::index::INDEX_FILE;
use crate::catalog::manifest::MANIFEST_FILE;
use crate::catalog::signature::is_or_signs;
use crate::fetch::ListedEntry;
use crate::model::AssetIndex;

/// Most unexpected names that are kept.
const NAMES_KEPT: usize = 100;

/// How a folder differs from what its manifest says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Drift {
    /// The first names, in order, that no manifest knows; a folder ends with a slash and stands for all in it.
    pub unexpected: Vec<String>,
    /// How many there are.
    pub unexpected_count: u64,
    /// Assets that are not listed.
    pub missing: Vec<AssetIndex>,
    /// Assets that are listed with another size.
    pub wrong_size: Vec<AssetIndex>,
}

impl Drift {
    /// Holds paths below a release's folder against its manifest.
    pub(super) fn between(release: &Release, found: &[ListedEntry]) -> Self {
        let mut drift = Self::default();
        let mut there = HashSet::new();
        let mut unexpected = Vec::new();
        for entry in found {
            let asset = release.by_name(&entry.name).filter(|_| !entry.is_folder);
            match asset {
                Some(asset) => {
                    there.insert(asset);
                    if entry.size.is_some_and(|size| size != release.asset(asset).size) {
                        drift.wrong_size.push(asset);
                    }
                }
                None if is_of_the_origin(&entry.name) => {}
                None => unexpected.push(entry.name.clone() + if entry.is_folder { "/" } else { "" }),
            }
        }
        let all = 0..release.assets.len() as AssetIndex;
        drift.missing = all.filter(|asset| !there.contains(asset)).collect();
        drift.wrong_size.sort_unstable();
        unexpected.sort_unstable();
        drift.unexpected_count = unexpected.len() as u64;
        unexpected.truncate(NAMES_KEPT);
        drift.unexpected = unexpected;
        drift
    }

    /// Assets that are not there or not whole, as far as the listing tells.
    pub fn amiss(&self) -> impl Iterator<Item = AssetIndex> {
        self.missing.iter().chain(&self.wrong_size).copied()
    }
}

/// What the origin has beside assets; a mirror that is a copy of all of it may have it too.
fn is_of_the_origin(name: &str) -> bool {
    is_or_signs(name, MANIFEST_FILE) || is_or_signs(name, INDEX_FILE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::{Asset, Kind, ReleaseId, ReleaseParts};
    use crate::model::{ProductName, Sha256, Version};

    fn release(names: &[&str]) -> Release {
        let asset = |name: &&str| Asset::new(name, 7, Sha256::new([0; 32]), None, Kind::from_manifest(None));
        Release::new(ReleaseParts {
            id: ReleaseId {
                product: ProductName::new("tool").unwrap(),
                version: Version::parse("1.0").unwrap(),
            },
            published_at: None,
            notes_url: None,
            channels: vec![],
            assets: names.iter().map(asset).collect(),
            platforms: vec![],
            manifest_sha256: Sha256::new([0; 32]),
        })
    }

    fn entry(name: &str, size: Option<u64>) -> ListedEntry {
        let (name, is_folder) = name.strip_suffix('/').map_or((name, false), |name| (name, true));
        ListedEntry { name: name.to_owned(), is_folder, size }
    }

    #[test]
    fn what_is_missing_unexpected_or_of_another_size_is_told_and_the_origins_own_files_are_not() {
        let release = release(&["a", "b", "docs/c", "d"]);
        let found = [
            entry("manifest.json", Some(1)),
            entry("manifest.json.minisig", None),
            entry("old.tar.gz", Some(7)),
            entry("a", Some(7)),
            entry("docs/c", Some(8)),
            entry("d/", None),
            entry("b", None),
            entry("docs/manifest.json", None),
        ];
        let drift = Drift::between(&release, &found);
        assert_eq!(drift.unexpected, ["d/", "docs/manifest.json", "old.tar.gz"]);
        assert_eq!((drift.unexpected_count, drift.missing, drift.wrong_size), (3, vec![3], vec![2]));
    }

    #[test]
    fn many_unexpected_names_are_counted_and_only_the_first_are_kept() {
        let found: Vec<ListedEntry> = (0..1000).map(|n| entry(&format!("old-{n:04}"), None)).collect();
        let drift = Drift::between(&release(&[]), &found);
        assert_eq!((drift.unexpected.len(), drift.unexpected_count), (NAMES_KEPT, 1000));
        assert_eq!(drift.unexpected.last().unwrap(), "old-0099");
    }
}
