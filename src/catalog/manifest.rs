//! Manifests: what a release is made of, as the origin says it (contract section 3, schema 1).

mod change;
mod read;
mod write;

use serde_json::{Map, Value};

use crate::model::{AssetPath, ChannelName, ProductName, Sha256, Sha512, Timestamp, Version};

pub use super::json::{Problem, Problems};
pub use change::{ImmutabilityBreach, Published, PublishedAsset, additions};

/// Largest manifest that is written or read, in bytes: some 300,000 assets. The store keeps them whole.
pub const MANIFEST_BYTES_MAX: usize = 64 << 20;
/// Most assets of a release.
pub const ASSETS_MAX: usize = 2_000_000;
/// Largest size of an asset, and of a release, in bytes: what JSON numbers carry exactly everywhere (RFC 8259 section 6).
pub const SIZE_MAX: u64 = 1 << 53;
/// What a manifest is called in its release's folder.
pub const MANIFEST_FILE: &str = "manifest.json";

/// Why bytes are not a manifest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// More than [`MANIFEST_BYTES_MAX`].
    #[error(
        "the manifest has {bytes} bytes, more than the {MANIFEST_BYTES_MAX} that are read; publish the files as several \
         releases"
    )]
    TooLarge {
        /// How many there are.
        bytes: usize,
    },
    /// Broken, cut short, nested too deeply or followed by more.
    #[error("the manifest is not valid JSON: {0}")]
    Syntax(String),
    /// A schema of the future.
    #[error("schema: the manifest has schema {found}, this version reads schema 1; update Waypost")]
    Schema {
        /// The schema it has.
        found: u64,
    },
    /// JSON, but not a manifest.
    #[error("{0}")]
    Invalid(Problems),
}

/// A manifest and what was odd about it.
#[derive(Debug, Clone, PartialEq)]
pub struct Parsed {
    /// The manifest.
    pub manifest: Manifest,
    /// Unknown keys, bounded; for the operator.
    pub warnings: Vec<String>,
}

/// A release as its origin describes it.
#[derive(Debug, Clone, PartialEq)]
pub struct Manifest {
    /// Whose release.
    pub product: ProductName,
    /// Which release, as published.
    pub version: Version,
    /// The channels that the release is meant for.
    pub channels: Vec<ChannelName>,
    /// When it was published; orders versions that are otherwise equal.
    pub published_at: Option<Timestamp>,
    /// When its source was tagged.
    pub tagged_at: Option<Timestamp>,
    /// Release notes, http or https.
    pub notes_url: Option<String>,
    /// What built it.
    pub pipeline: Option<String>,
    /// Why it was withdrawn; `None`: it was not.
    pub withdrawn: Option<String>,
    /// What a complete release holds.
    pub expects: Expects,
    /// Its files; at least one, names are unique.
    pub assets: Vec<ManifestAsset>,
    /// Keys that this version does not know.
    pub extra: Map<String, Value>,
}

/// What a complete release holds.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Expects {
    /// Platforms that must have an asset.
    pub platforms: Vec<String>,
    /// Suffixes of sidecars that every asset must have, such as `.minisig`.
    pub sidecars: Vec<String>,
    /// Keys that this version does not know.
    pub extra: Map<String, Value>,
}

impl Expects {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// One file of a release.
#[derive(Debug, Clone, PartialEq)]
pub struct ManifestAsset {
    /// Its name within the release.
    pub name: AssetPath,
    /// Its size in bytes, at most [`SIZE_MAX`].
    pub size: u64,
    /// Its SHA-256.
    pub sha256: Sha256,
    /// Its SHA-512, where given.
    pub sha512: Option<Box<Sha512>>,
    /// Platforms it is for (`platform` and `platforms` together), each once.
    pub platforms: Vec<Box<str>>,
    /// What it is: `archive`, `binary`, `signature`, …
    pub kind: Option<Box<str>>,
    /// Other assets of the release that belong to it, such as its signature.
    pub sidecars: Vec<AssetPath>,
    /// Where it comes from.
    pub provenance: Option<Box<str>>,
    /// Keys that this version does not know; boxed because there are seldom any.
    pub extra: Option<Box<Map<String, Value>>>,
}

impl ManifestAsset {
    /// An asset without labels.
    pub fn new(name: AssetPath, size: u64, sha256: Sha256) -> Self {
        Self {
            name,
            size,
            sha256,
            sha512: None,
            platforms: Vec::new(),
            kind: None,
            sidecars: Vec::new(),
            provenance: None,
            extra: None,
        }
    }
}

impl Manifest {
    /// A manifest without labels and assets.
    pub fn new(product: ProductName, version: Version) -> Self {
        Self {
            product,
            version,
            channels: Vec::new(),
            published_at: None,
            tagged_at: None,
            notes_url: None,
            pipeline: None,
            withdrawn: None,
            expects: Expects::default(),
            assets: Vec::new(),
            extra: Map::new(),
        }
    }

    /// The size of all assets together, in bytes; at most [`SIZE_MAX`] for a manifest that was parsed.
    pub fn bytes(&self) -> u64 {
        self.assets.iter().fold(0, |sum, asset| sum.saturating_add(asset.size))
    }
}
