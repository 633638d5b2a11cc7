//! What may change in a published release: channels and labels, and new assets until a channel has pointed to it.

use std::collections::HashMap;

use super::{Manifest, ManifestAsset};
use crate::catalog::json::PROBLEMS_MAX;
use crate::model::{ProductName, Sha256, Sha512, Version};

/// What must not change of a release that is published.
#[derive(Debug)]
pub struct Published<'p> {
    /// Whose release.
    pub product: &'p ProductName,
    /// Which release, as published.
    pub version: &'p Version,
    /// Its files.
    pub assets: Vec<PublishedAsset<'p>>,
}

/// What must not change of a file that is published.
#[derive(Debug)]
pub struct PublishedAsset<'p> {
    /// Its name within the release.
    pub name: &'p str,
    /// Its size in bytes.
    pub size: u64,
    /// Its SHA-256.
    pub sha256: &'p Sha256,
    /// Its SHA-512, where it was given.
    pub sha512: Option<&'p Sha512>,
}

impl<'p> From<&'p ManifestAsset> for PublishedAsset<'p> {
    fn from(asset: &'p ManifestAsset) -> Self {
        let sha512 = asset.sha512.as_deref();
        Self { name: &asset.name, size: asset.size, sha256: &asset.sha256, sha512 }
    }
}

impl Manifest {
    /// What must not change once this is published.
    pub fn published(&self) -> Published<'_> {
        let assets = self.assets.iter().map(PublishedAsset::from).collect();
        Published { product: &self.product, version: &self.version, assets }
    }
}

/// What a newer manifest must not do to a published release.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ImmutabilityBreach {
    /// It speaks of another release.
    #[error("the manifest was {old_product} {old_version} and is now {new_product} {new_version}")]
    Release {
        /// Whose release it was.
        old_product: ProductName,
        /// Which release it was.
        old_version: Version,
        /// Whose release it is now.
        new_product: ProductName,
        /// Which release it is now.
        new_version: Version,
    },
    /// An asset has left.
    #[error("{name}: was published and is missing now; publish a new version instead")]
    Left {
        /// Which asset.
        name: Box<str>,
    },
    /// A size has changed.
    #[error("{name}: was published with {old} bytes and has {new} now; publish a new version instead")]
    Size {
        /// Which asset.
        name: Box<str>,
        /// Bytes as published.
        old: u64,
        /// Bytes now.
        new: u64,
    },
    /// The SHA-256 has changed.
    #[error("{name}: was published with SHA-256 {old} and has {new} now; publish a new version instead")]
    Sha256 {
        /// Which asset.
        name: Box<str>,
        /// As published.
        old: Sha256,
        /// Now.
        new: Sha256,
    },
    /// The SHA-512 has changed or left.
    #[error("{name}: was published with SHA-512 {old} and has {new} now; publish a new version instead")]
    Sha512 {
        /// Which asset.
        name: Box<str>,
        /// As published, in hexadecimal.
        old: String,
        /// Now, in hexadecimal, or `none`.
        new: String,
    },
    /// An asset was added after a channel had pointed to the release.
    #[error(
        "{name}: is new, but a channel has pointed to the release already; publish a new version instead"
    )]
    Added {
        /// Which asset.
        name: Box<str>,
    },
    /// The list of breaches was cut.
    #[error("and {count} more")]
    More {
        /// How many are not listed.
        count: usize,
    },
}

/// How many assets `new` adds to the published release `old`. `sealed`: a channel has pointed to it already. Channels
/// and labels may change.
///
/// # Errors
/// When `new` breaks the immutability of releases: the first twenty breaches, then how many more.
pub fn additions(
    old: &Published<'_>,
    new: &Manifest,
    sealed: bool,
) -> Result<usize, Vec<ImmutabilityBreach>> {
    // The spelling counts: `v1.8.2` and `1.8.2` are one version, whose files lie in two places.
    if (old.product, old.version.as_str()) != (&new.product, new.version.as_str()) {
        return Err(vec![ImmutabilityBreach::Release {
            old_product: old.product.clone(),
            old_version: old.version.clone(),
            new_product: new.product.clone(),
            new_version: new.version.clone(),
        }]);
    }
    let mut added = 0;
    let mut breaches = Breaches::default();
    let mut left: HashMap<&str, &PublishedAsset<'_>> =
        old.assets.iter().map(|asset| (asset.name, asset)).collect();
    for asset in &new.assets {
        match left.remove(asset.name.as_str()) {
            Some(published) => compare(published, asset, &mut breaches),
            None if sealed => breaches.push(ImmutabilityBreach::Added { name: asset.name.as_str().into() }),
            None => added += 1,
        }
    }
    for asset in old.assets.iter().filter(|asset| left.contains_key(asset.name)) {
        breaches.push(ImmutabilityBreach::Left { name: asset.name.into() });
    }
    breaches.finish().map_or(Ok(added), Err)
}

fn compare(old: &PublishedAsset<'_>, new: &ManifestAsset, breaches: &mut Breaches) {
    let name = || old.name.into();
    if old.size != new.size {
        breaches.push(ImmutabilityBreach::Size { name: name(), old: old.size, new: new.size });
    }
    if *old.sha256 != new.sha256 {
        breaches.push(ImmutabilityBreach::Sha256 { name: name(), old: *old.sha256, new: new.sha256 });
    }
    if let Some(published) = old.sha512
        && new.sha512.as_deref() != Some(published)
    {
        let now = new.sha512.as_ref().map_or_else(|| "none".to_owned(), ToString::to_string);
        breaches.push(ImmutabilityBreach::Sha512 { name: name(), old: published.to_string(), new: now });
    }
}

#[derive(Default)]
struct Breaches {
    first: Vec<ImmutabilityBreach>,
    more: usize,
}

impl Breaches {
    fn push(&mut self, breach: ImmutabilityBreach) {
        if self.first.len() < PROBLEMS_MAX {
            self.first.push(breach);
        } else {
            self.more += 1;
        }
    }

    fn finish(mut self) -> Option<Vec<ImmutabilityBreach>> {
        if self.more > 0 {
            self.first.push(ImmutabilityBreach::More { count: self.more });
        }
        (!self.first.is_empty()).then_some(self.first)
    }
}
