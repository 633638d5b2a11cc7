//! What else is looked at while a whole file is hashed: its blocks, its signature, what it says of the others.

use crate::catalog::Release;
use crate::catalog::published_checksums::contradiction;
use crate::health::BlockHasher;
use crate::model::AssetIndex;

use super::fact::{Examine, Found};
use super::signature::{Check, Signed};

/// Looks at one file as it goes by.
pub(super) struct Examination<'a> {
    release: &'a Release,
    asset: AssetIndex,
    blocks: Option<BlockHasher>,
    signature: Option<Check<'a>>,
    checksums: Option<Vec<u8>>,
}

impl<'a> Examination<'a> {
    /// Begins. `signed` is what the sidecar holds, where it was read.
    pub(super) fn new(
        release: &'a Release,
        asset: AssetIndex,
        examine: &Examine,
        signed: Option<&'a Signed>,
    ) -> Self {
        let size = release.asset(asset).size;
        Self {
            release,
            asset,
            blocks: examine.blocks.then(|| BlockHasher::new(size)),
            signature: signed.map(|signed| signed.check(size)),
            checksums: examine.checksums.then(Vec::new),
        }
    }

    /// The next bytes of the file.
    pub(super) fn update(&mut self, bytes: &[u8]) {
        if let Some(blocks) = &mut self.blocks {
            blocks.update(bytes);
        }
        if let Some(signature) = &mut self.signature {
            signature.update(bytes);
        }
        if let Some(text) = &mut self.checksums {
            text.extend_from_slice(bytes);
        }
    }

    /// What was found, after the last byte of a file that is right.
    pub(super) fn finish(self) -> Found {
        let name = &self.release.asset(self.asset).name;
        let held_against = |text: Vec<u8>| contradiction(self.release, name, &text).map_or(Ok(()), Err);
        Found {
            blocks: self.blocks.and_then(BlockHasher::finish),
            signature: self.signature.map(|check| check.verdict(name)),
            checksums: self.checksums.map(held_against),
        }
    }
}
