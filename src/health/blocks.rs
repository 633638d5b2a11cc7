//! Digests of a file's blocks: with them a few bytes of a copy can be checked without reading all of it.

use serde::{Deserialize, Serialize};

/// The digests of a file's blocks, in order. All blocks have the same length but the last, which may be shorter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Blocks {
    /// Length of the file, in bytes.
    pub size: u64,
    /// Length of a block, in bytes.
    pub block: u64,
    /// SHA-256 of each block, cut to 16 bytes.
    pub digests: Vec<[u8; 16]>,
}
