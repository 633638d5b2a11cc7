//! From a manifest to a release.

use crate::model::Sha256;

use super::manifest::Manifest;
use super::{Asset, Kind, Platform, Release, ReleaseId, ReleaseParts};

impl Release {
    /// A release as its manifest describes it; `sha256` is the digest of the manifest's bytes.
    pub fn from_manifest(manifest: &Manifest, sha256: Sha256) -> Self {
        let compile = |asset: &super::manifest::ManifestAsset| {
            let kind = Kind::from_manifest(asset.kind.as_deref());
            Asset::new(&asset.name, asset.size, asset.sha256, asset.sha512.clone(), kind)
        };
        let platforms = (0..).zip(&manifest.assets).flat_map(|(index, asset)| {
            asset.platforms.iter().filter_map(move |text| Some((Platform::parse(text)?, index)))
        });
        Self::new(ReleaseParts {
            id: ReleaseId { product: manifest.product.clone(), version: manifest.version.clone() },
            published_at: manifest.published_at,
            channels: manifest.channels.clone(),
            platforms: platforms.collect(),
            assets: manifest.assets.iter().map(compile).collect(),
            notes_url: manifest.notes_url.as_deref().map(Box::from),
            manifest_sha256: sha256,
        })
    }
}
