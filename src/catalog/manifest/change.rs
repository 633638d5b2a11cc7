//! What may change in a published release: channels and labels, and new assets until a channel has pointed to it.

use std::collections::HashMap;

use super::{Manifest, ManifestAsset};
use crate::catalog::json::PROBLEMS_MAX;
use crate::model::{AssetPath, ProductName, Sha256, Version};

/// What a newer manifest of the same release says differently.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Change {
    /// Assets that are new.
    pub added: Vec<AssetPath>,
    /// Whether the channels differ.
    pub channels: bool,
    /// Whether anything else differs that is neither a name, a size, a digest nor a channel.
    pub labels: bool,
}

impl Change {
    /// Whether nothing differs.
    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
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
        name: AssetPath,
    },
    /// A size has changed.
    #[error("{name}: was published with {old} bytes and has {new} now; publish a new version instead")]
    Size {
        /// Which asset.
        name: AssetPath,
        /// Bytes as published.
        old: u64,
        /// Bytes now.
        new: u64,
    },
    /// The SHA-256 has changed.
    #[error("{name}: was published with SHA-256 {old} and has {new} now; publish a new version instead")]
    Sha256 {
        /// Which asset.
        name: AssetPath,
        /// As published.
        old: Sha256,
        /// Now.
        new: Sha256,
    },
    /// The SHA-512 has changed or left.
    #[error("{name}: was published with SHA-512 {old} and has {new} now; publish a new version instead")]
    Sha512 {
        /// Which asset.
        name: AssetPath,
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
        name: AssetPath,
    },
    /// The list of breaches was cut.
    #[error("and {count} more")]
    More {
        /// How many are not listed.
        count: usize,
    },
}

/// What `new` changes in the published release `old`. `sealed`: a channel has pointed to it already.
///
/// # Errors
/// When `new` breaks the immutability of releases: the first twenty breaches, then how many more.
pub fn changes(old: &Manifest, new: &Manifest, sealed: bool) -> Result<Change, Vec<ImmutabilityBreach>> {
    // The spelling counts: `v1.8.2` and `1.8.2` are one version, whose files lie in two places.
    if (&old.product, old.version.as_str()) != (&new.product, new.version.as_str()) {
        return Err(vec![ImmutabilityBreach::Release {
            old_product: old.product.clone(),
            old_version: old.version.clone(),
            new_product: new.product.clone(),
            new_version: new.version.clone(),
        }]);
    }
    let mut change =
        Change { channels: old.channels != new.channels, labels: labels_differ(old, new), added: Vec::new() };
    let mut breaches = Breaches::default();
    let mut left: HashMap<&AssetPath, &ManifestAsset> =
        old.assets.iter().map(|asset| (&asset.name, asset)).collect();
    for asset in &new.assets {
        match left.remove(&asset.name) {
            Some(published) => {
                change.labels |= asset_labels_differ(published, asset);
                compare(published, asset, &mut breaches);
            }
            None if sealed => breaches.push(ImmutabilityBreach::Added { name: asset.name.clone() }),
            None => change.added.push(asset.name.clone()),
        }
    }
    for asset in old.assets.iter().filter(|asset| left.contains_key(&asset.name)) {
        breaches.push(ImmutabilityBreach::Left { name: asset.name.clone() });
    }
    breaches.finish().map_or(Ok(change), Err)
}

fn compare(old: &ManifestAsset, new: &ManifestAsset, breaches: &mut Breaches) {
    let name = || old.name.clone();
    if old.size != new.size {
        breaches.push(ImmutabilityBreach::Size { name: name(), old: old.size, new: new.size });
    }
    if old.sha256 != new.sha256 {
        breaches.push(ImmutabilityBreach::Sha256 { name: name(), old: old.sha256, new: new.sha256 });
    }
    if let Some(published) = &old.sha512
        && new.sha512.as_ref() != Some(published)
    {
        let now = new.sha512.as_ref().map_or_else(|| "none".to_owned(), ToString::to_string);
        breaches.push(ImmutabilityBreach::Sha512 { name: name(), old: published.to_string(), new: now });
    }
}

fn labels_differ(old: &Manifest, new: &Manifest) -> bool {
    old.published_at != new.published_at
        || old.tagged_at != new.tagged_at
        || old.notes_url != new.notes_url
        || old.pipeline != new.pipeline
        || old.withdrawn != new.withdrawn
        || old.expects != new.expects
        || old.extra != new.extra
}

fn asset_labels_differ(old: &ManifestAsset, new: &ManifestAsset) -> bool {
    old.platforms != new.platforms
        || old.kind != new.kind
        || old.sidecars != new.sidecars
        || old.provenance != new.provenance
        || old.extra != new.extra
        || (old.sha512.is_none() && new.sha512.is_some())
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
