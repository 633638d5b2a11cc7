//! What is wanted where: a list that may come from elsewhere and is believed in nothing.

use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use url::Url;

use super::workshop::HIDDEN;
use crate::catalog::ReleaseId;
use crate::catalog::manifest::MANIFEST_FILE;
use crate::catalog::signature::is_or_signs;
use crate::model::{AssetPath, BadName, ProductName, Sha256, Version};

/// Longest path below a target, in bytes.
const PATH_MAX: usize = 2048;

/// Why a text is no path below a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadPath {
    /// Too long as a whole.
    #[error("longer than {PATH_MAX} bytes")]
    TooLong,
    /// A segment that cannot be.
    #[error("{0}")]
    Segment(BadName),
    /// Where the replicator keeps its own things.
    #[error("begins with {HIDDEN}, where the replicator keeps its own files")]
    Ours,
}

/// Where a file lies below the target: relative, without `.`, `..`, empty segments, backslashes and control characters.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TargetPath(Arc<str>);

impl TargetPath {
    /// Checks the text and keeps it.
    ///
    /// # Errors
    ///
    /// Where it could lead anywhere else.
    pub fn new(text: &str) -> Result<Self, BadPath> {
        if text.len() > PATH_MAX {
            return Err(BadPath::TooLong);
        }
        text.split('/')
            .try_for_each(|segment| AssetPath::new(segment).map(drop))
            .map_err(BadPath::Segment)?;
        if text.split('/').next() == Some(HIDDEN) {
            return Err(BadPath::Ours);
        }
        Ok(Self(text.into()))
    }

    /// `<product>/<version>/<asset>`
    ///
    /// # Errors
    ///
    /// Where it is too long.
    pub fn of(release: &ReleaseId, asset: &AssetPath) -> Result<Self, BadPath> {
        Self::new(&format!("{}/{}/{asset}", release.product, release.version))
    }

    /// The path as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TargetPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where a file comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A file of an origin folder.
    File(PathBuf),
    /// A file of an origin over HTTP.
    Url(Url),
}

/// A file that the target should hold.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// Where it should lie.
    pub path: TargetPath,
    /// Where it comes from.
    pub source: Source,
    /// Its size in bytes.
    pub size: u64,
    /// Its SHA-256.
    pub sha256: Sha256,
    /// The release that it belongs to.
    pub release: Arc<ReleaseId>,
    /// Its name within the release.
    pub asset: AssetPath,
}

/// Everything that a target should hold, as far as was looked.
#[derive(Debug, Default)]
pub struct Plan {
    files: Vec<Wanted>,
    by_path: HashMap<TargetPath, usize>,
    refused: Vec<(String, String)>,
    /// Products that were looked at, and whether everything is known of them.
    known: HashMap<ProductName, bool>,
    has_another_layout: bool,
}

impl Plan {
    /// Adds a file. A path that is wanted with two contents is refused.
    pub fn want(&mut self, wanted: Wanted) {
        let usual = TargetPath::of(&wanted.release, &wanted.asset);
        self.has_another_layout |= usual.is_ok_and(|usual| usual != wanted.path);
        self.look_at(&wanted.release.product, true);
        match self.by_path.get(&wanted.path) {
            Some(there) => {
                let there = &self.files[*there];
                if (there.size, there.sha256) != (wanted.size, wanted.sha256) {
                    self.refuse(wanted.path.as_str(), "is wanted with two different contents");
                }
            }
            None => {
                self.by_path.insert(wanted.path.clone(), self.files.len());
                self.files.push(wanted);
            }
        }
    }

    /// Notes a file that cannot be copied, as a failure.
    pub fn refuse(&mut self, path: &str, why: impl fmt::Display) {
        self.refused.push((path.to_owned(), why.to_string()));
    }

    /// Notes that a product was looked at; `all` where everything of it that is wanted is in this plan, so that what else
    /// lies in its folder may go.
    pub fn look_at(&mut self, product: &ProductName, all: bool) {
        *self.known.entry(product.clone()).or_insert(true) &= all;
    }

    /// What is wanted.
    pub fn files(&self) -> &[Wanted] {
        &self.files
    }

    /// What cannot be copied, and why.
    pub fn refused(&self) -> &[(String, String)] {
        &self.refused
    }

    /// Whether files are wanted elsewhere than in `<product>/<version>/`, so that nobody knows what else may lie where.
    pub fn has_another_layout(&self) -> bool {
        self.has_another_layout
    }

    /// Products in whose folders there may be strays.
    pub(super) fn swept(&self) -> impl Iterator<Item = &ProductName> {
        let known = self.known.iter().filter(|(_, known)| **known && !self.has_another_layout);
        known.map(|(product, _)| product)
    }

    /// Whether what lies there is no longer wanted: in the folder of a version of a product that is known, not in the
    /// plan, and no manifest, so that an origin that is its own target stays one.
    pub(super) fn is_stray(&self, path: &TargetPath) -> bool {
        let mut segments = path.as_str().splitn(3, '/');
        let (Some(product), Some(version), Some(asset)) = (segments.next(), segments.next(), segments.next())
        else {
            return false;
        };
        !self.has_another_layout
            && self.known.get(product) == Some(&true)
            && !is_or_signs(asset, MANIFEST_FILE)
            && Version::parse(version).is_ok()
            && !self.by_path.contains_key(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(path: &str, size: u64) -> Wanted {
        Wanted {
            path: TargetPath::new(path).unwrap(),
            source: Source::File("/origin".into()),
            size,
            sha256: Sha256::new([0; 32]),
            release: Arc::new(ReleaseId {
                product: ProductName::new("tool").unwrap(),
                version: Version::parse("1.0").unwrap(),
            }),
            asset: AssetPath::new("a").unwrap(),
        }
    }

    #[test]
    fn a_path_never_leads_out_of_the_target() {
        for good in ["a", "tool/1.0/a b.tar.gz", "tool/1.0/.hidden/ü"] {
            assert!(TargetPath::new(good).is_ok(), "{good}");
        }
        let long = "x/".repeat(1100) + "x";
        for bad in [
            "",
            "/etc/passwd",
            "../a",
            "a/../../b",
            "a/./b",
            "a//b",
            "a/",
            "a\\..\\b",
            "C:\\x",
            "a\nb",
            "a\0b",
            ".waypost-replicate/lock",
            &long,
        ] {
            assert!(TargetPath::new(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn one_path_with_two_contents_is_refused_and_twice_the_same_is_once() {
        let mut plan = Plan::default();
        plan.want(wanted("tool/1.0/a", 1));
        plan.want(wanted("tool/1.0/a", 1));
        assert_eq!((plan.files().len(), plan.refused().len()), (1, 0));
        plan.want(wanted("tool/1.0/a", 2));
        assert_eq!((plan.files().len(), plan.refused().len()), (1, 1));
    }

    #[test]
    fn only_versions_of_products_that_are_known_have_strays() {
        let stray = |plan: &Plan, path: &str| plan.is_stray(&TargetPath::new(path).unwrap());
        let mut plan = Plan::default();
        plan.want(wanted("tool/1.0/a", 1));
        assert!(stray(&plan, "tool/1.0/b") && stray(&plan, "tool/0.9/a/b"));
        for other in ["tool/1.0/a", "tool/README", "tool/notes/a", "agent/1.0/a", "tool/0.9/manifest.json"] {
            assert!(!stray(&plan, other), "{other}");
        }
        plan.want(wanted("v1.0/a", 1));
        assert!(!stray(&plan, "tool/1.0/b"), "with another layout nobody knows what lies where");
    }
}
