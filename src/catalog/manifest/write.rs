//! From a manifest to JSON, in the contract's order, the same bytes for the same manifest.

use serde::{Serialize, Serializer};
use serde_json::{Map, Value};

use super::{Expects, Manifest, ManifestAsset};
use crate::model::{AssetPath, ChannelName, Timestamp};

impl Manifest {
    /// The manifest as indented JSON with a newline at its end. Reading it again gives the same manifest (moments to
    /// the millisecond).
    pub fn to_json(&self) -> String {
        let mut text = serde_json::to_string_pretty(&WrittenManifest::from(self))
            .expect("keys are strings and no Serialize implementation here fails");
        text.push('\n');
        text
    }
}

#[derive(Serialize)]
struct WrittenManifest<'a> {
    schema: u32,
    product: &'a str,
    version: &'a str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    channels: &'a [ChannelName],
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "spelled")]
    published_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "spelled")]
    tagged_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    notes_url: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pipeline: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    withdrawn: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expects: Option<WrittenExpects<'a>>,
    #[serde(serialize_with = "assets")]
    assets: &'a [ManifestAsset],
    #[serde(flatten)]
    extra: &'a Map<String, Value>,
}

impl<'a> From<&'a Manifest> for WrittenManifest<'a> {
    fn from(manifest: &'a Manifest) -> Self {
        Self {
            schema: 1,
            product: &manifest.product,
            version: manifest.version.as_str(),
            channels: &manifest.channels,
            published_at: manifest.published_at,
            tagged_at: manifest.tagged_at,
            notes_url: manifest.notes_url.as_deref(),
            pipeline: manifest.pipeline.as_deref(),
            withdrawn: manifest.withdrawn.as_deref(),
            expects: (!manifest.expects.is_empty()).then(|| WrittenExpects::from(&manifest.expects)),
            assets: &manifest.assets,
            extra: &manifest.extra,
        }
    }
}

#[derive(Serialize)]
struct WrittenExpects<'a> {
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    platforms: &'a [String],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    sidecars: &'a [String],
    #[serde(flatten)]
    extra: &'a Map<String, Value>,
}

impl<'a> From<&'a Expects> for WrittenExpects<'a> {
    fn from(expects: &'a Expects) -> Self {
        Self { platforms: &expects.platforms, sidecars: &expects.sidecars, extra: &expects.extra }
    }
}

#[derive(Serialize)]
struct WrittenAsset<'a> {
    name: &'a str,
    size: u64,
    sha256: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    sha512: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    platform: Option<&'a str>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    platforms: &'a [Box<str>],
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<&'a str>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    sidecars: &'a [AssetPath],
    #[serde(skip_serializing_if = "Option::is_none")]
    provenance: Option<&'a str>,
    #[serde(flatten)]
    extra: Option<&'a Map<String, Value>>,
}

impl<'a> From<&'a ManifestAsset> for WrittenAsset<'a> {
    fn from(asset: &'a ManifestAsset) -> Self {
        let (platform, platforms) = match asset.platforms.as_slice() {
            [one] => (Some(&**one), [].as_slice()),
            several => (None, several),
        };
        Self {
            name: &asset.name,
            size: asset.size,
            sha256: asset.sha256.to_string(),
            sha512: asset.sha512.as_ref().map(ToString::to_string),
            platform,
            platforms,
            kind: asset.kind.as_deref(),
            sidecars: &asset.sidecars,
            provenance: asset.provenance.as_deref(),
            extra: asset.extra.as_deref(),
        }
    }
}

fn assets<S: Serializer>(assets: &[ManifestAsset], to: S) -> Result<S::Ok, S::Error> {
    // One at a time: a million spelled-out digests need not exist at once.
    to.collect_seq(assets.iter().map(WrittenAsset::from))
}

fn spelled<S: Serializer>(moment: &Option<Timestamp>, to: S) -> Result<S::Ok, S::Error> {
    match moment {
        Some(moment) => to.collect_str(moment),
        None => to.serialize_none(),
    }
}
