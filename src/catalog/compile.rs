//! From a manifest to a release.

use rustc_hash::FxHashMap;

use crate::model::{Platform, Sha256};

use super::manifest::{Manifest, ManifestAsset, Published, PublishedAsset};
use super::{Asset, AssetName, Kind, Release, ReleaseId, ReleaseParts};

impl Release {
    /// A release as its manifest describes it; `sha256` is the digest of the manifest's bytes.
    pub fn from_manifest(manifest: &Manifest, sha256: Sha256) -> Self {
        let names = AssetName::all(manifest.assets.iter().map(|asset| asset.name.as_str()));
        let compile = |(asset, name): (&ManifestAsset, AssetName)| Asset {
            name,
            size: asset.size,
            sha256: asset.sha256,
            sha512: asset.sha512.clone(),
            kind: Kind::from_manifest(asset.kind.as_deref()),
        };
        // A release has many assets and few platforms.
        let mut known: FxHashMap<&str, Option<Platform>> = FxHashMap::default();
        let mut platforms = Vec::with_capacity(manifest.assets.len());
        for (index, asset) in (0..).zip(&manifest.assets) {
            for text in &asset.platforms {
                let platform = known.entry(text).or_insert_with(|| Platform::parse(text));
                platforms.extend(platform.clone().map(|platform| (platform, index)));
            }
        }
        Self::new(ReleaseParts {
            id: ReleaseId { product: manifest.product.clone(), version: manifest.version.clone() },
            published_at: manifest.published_at,
            channels: manifest.channels.clone(),
            platforms,
            assets: manifest.assets.iter().zip(names).map(compile).collect(),
            notes_url: manifest.notes_url.as_deref().map(Box::from),
            manifest_sha256: sha256,
        })
    }

    /// What must not change of it, whatever its manifest says later.
    pub fn published(&self) -> Published<'_> {
        let assets = self.assets.iter().map(PublishedAsset::from).collect();
        Published { product: &self.id.product, version: &self.id.version, assets }
    }
}

impl<'p> From<&'p Asset> for PublishedAsset<'p> {
    fn from(asset: &'p Asset) -> Self {
        let sha512 = asset.sha512.as_deref();
        Self { name: &asset.name, size: asset.size, sha256: &asset.sha256, sha512 }
    }
}
