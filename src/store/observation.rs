//! Observations: what was seen and can be seen again. Kept so that a restart is warm.

use bytes::Bytes;

use super::AccessNote;
use crate::model::{MirrorName, ProductName, Sha256, Timestamp, Version};

/// Largest body of an observation, in bytes.
pub const BODY_MAX: usize = 64 << 20;

/// A manifest as it was published and accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownManifest {
    /// Whose release.
    pub product: ProductName,
    /// Which release.
    pub version: Version,
    /// The manifest's bytes as published.
    pub body: Bytes,
    /// When it was seen first.
    pub first_seen: Timestamp,
}

/// Something that was seen. A later observation of the same thing replaces the earlier one. Bodies are opaque to the
/// store and have at most [`BODY_MAX`] bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Observation {
    /// A manifest is known.
    Manifest(KnownManifest),
    /// A release is retired: its manifest goes, and what is known of its copies on all mirrors.
    ManifestGone {
        /// Whose release.
        product: ProductName,
        /// Which release.
        version: Version,
    },
    /// How a mirror stands.
    Standing {
        /// Which mirror.
        mirror: MirrorName,
        /// Its standing.
        body: Vec<u8>,
    },
    /// What one mirror holds of one release: one entry for all its copies.
    Copies {
        /// Which mirror.
        mirror: MirrorName,
        /// Whose release.
        product: ProductName,
        /// Which release.
        version: Version,
        /// The ledger's entry.
        body: Vec<u8>,
    },
    /// Nothing is known any more of one release on one mirror.
    CopiesGone {
        /// Which mirror.
        mirror: MirrorName,
        /// Whose release.
        product: ProductName,
        /// Which release.
        version: Version,
    },
    /// What is known of a release beside its manifest and its copies, such as its signatures.
    Examined {
        /// Whose release.
        product: ProductName,
        /// Which release.
        version: Version,
        /// What was found.
        body: Vec<u8>,
    },
    /// The digests of a file's blocks, by the file's own digest: the same wherever it lies.
    Blocks {
        /// SHA-256 of the whole file.
        sha256: Sha256,
        /// The blocks.
        body: Vec<u8>,
    },
    /// No release has this file any more: its blocks go.
    BlocksGone {
        /// SHA-256 of the whole file.
        sha256: Sha256,
    },
    /// A single thing of which there is one, such as the index's sequence.
    Single {
        /// What it is.
        name: &'static str,
        /// Its value.
        body: Vec<u8>,
    },
    /// Something of tokens and of those who issue them.
    Access(AccessNote),
    /// A mirror left the configuration: its standing and its copies go.
    MirrorGone {
        /// Which mirror.
        mirror: MirrorName,
    },
}

impl Observation {
    /// Bytes of the body; 0 where there is none.
    pub(super) fn body_len(&self) -> usize {
        match self {
            Self::Manifest(manifest) => manifest.body.len(),
            Self::Access(note) => note.body_len(),
            Self::Standing { body, .. }
            | Self::Copies { body, .. }
            | Self::Examined { body, .. }
            | Self::Blocks { body, .. }
            | Self::Single { body, .. } => body.len(),
            Self::ManifestGone { .. }
            | Self::CopiesGone { .. }
            | Self::BlocksGone { .. }
            | Self::MirrorGone { .. } => 0,
        }
    }
}
