//! Digests of a file's blocks: with them a few bytes of a copy can be checked without reading all of it.

use aws_lc_rs::digest;

use crate::model::Sha256;

/// Shortest block, in bytes: a request costs about as much as reading this.
const BLOCK_MIN: u64 = 256 << 10;
/// Most blocks of a file.
const BLOCKS_MAX: u64 = 1024;
/// Bytes of a stored form before the digests: the file's length and a block's.
const HEAD: usize = 16;
/// Bytes after them: the first ones of a SHA-256 of all before, because a damaged digest would contradict good copies.
const CHECK: usize = 8;

/// SHA-256 of a block, cut to its first 16 bytes.
pub type BlockDigest = [u8; 16];

/// The digests of a file's blocks, in order. All blocks have the same length but the last, which may be shorter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blocks {
    size: u64,
    digests: Vec<BlockDigest>,
}

/// How long the blocks of a file of this size are: 256 KiB, or the power of two that makes no more than 1024 of it.
pub const fn block_length(size: u64) -> u64 {
    let fit = size.div_ceil(BLOCKS_MAX).next_power_of_two();
    if fit < BLOCK_MIN { BLOCK_MIN } else { fit }
}

/// How many blocks a file of this size has; an empty one has none.
pub const fn block_count(size: u64) -> u64 {
    size.div_ceil(block_length(size))
}

/// First and last byte of a block, both included; `None` beyond the end.
pub fn block_range(size: u64, block: u64) -> Option<(u64, u64)> {
    let first = block.checked_mul(block_length(size)).filter(|first| *first < size)?;
    Some((first, first.saturating_add(block_length(size) - 1).min(size - 1)))
}

/// What a block's bytes have to hash to.
pub fn block_digest(sha256: &Sha256) -> BlockDigest {
    let first = sha256.as_bytes().first_chunk().copied();
    first.expect("a SHA-256 digest has more than 16 bytes")
}

impl Blocks {
    /// Whether there is anything to record: the digest of a file of one block is known already.
    pub const fn are_worth_it(size: u64) -> bool {
        block_count(size) > 1
    }

    /// Those of a file of one block: its own digest. `None` where it has another number of blocks.
    pub fn single(size: u64, sha256: &Sha256) -> Option<Self> {
        (block_count(size) == 1).then(|| Self { size, digests: vec![block_digest(sha256)] })
    }

    /// The digest of a block; `None` beyond the end.
    pub fn digest(&self, block: u64) -> Option<BlockDigest> {
        self.digests.get(usize::try_from(block).ok()?).copied()
    }

    /// Reads what [`Blocks::to_bytes`] wrote. `None` where it is damaged, of a file of another size, or of blocks of
    /// another length than they have today: then the file is hashed again.
    pub fn from_bytes(bytes: &[u8], size: u64) -> Option<Self> {
        let (body, check) = bytes.split_at_checked(bytes.len().checked_sub(CHECK)?)?;
        let (head, digests) = body.split_at_checked(HEAD)?;
        let is_sound = check == check_of(body) && head == head_of(size);
        let (digests, rest) = digests.as_chunks();
        let is_whole = rest.is_empty() && digests.len() as u64 == block_count(size);
        (is_sound && is_whole).then(|| Self { size, digests: digests.to_vec() })
    }

    /// The compact form that is stored: at most 16 KiB and 24 bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = head_of(self.size).to_vec();
        bytes.extend_from_slice(self.digests.as_flattened());
        let check = check_of(&bytes);
        bytes.extend_from_slice(&check);
        bytes
    }
}

fn head_of(size: u64) -> [u8; HEAD] {
    ((u128::from(size) << 64) | u128::from(block_length(size))).to_be_bytes()
}

fn check_of(body: &[u8]) -> [u8; CHECK] {
    let first = digest::digest(&digest::SHA256, body).as_ref().first_chunk().copied();
    first.expect("a SHA-256 digest has more than 8 bytes")
}

/// Hashes the blocks of a file that goes by.
pub struct BlockHasher {
    blocks: Blocks,
    /// Bytes that the block under way still lacks.
    lacks: u64,
    hash: digest::Context,
}

impl BlockHasher {
    /// For a file of this size.
    pub fn new(size: u64) -> Self {
        let blocks = Blocks { size, digests: Vec::with_capacity(block_count(size) as usize) };
        Self { blocks, lacks: block_length(size), hash: digest::Context::new(&digest::SHA256) }
    }

    /// The next bytes of the file. Those beyond its size make it another file, so that [`BlockHasher::finish`] has none.
    pub fn update(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() && self.blocks.digests.len() as u64 <= BLOCKS_MAX {
            let fits = usize::try_from(self.lacks).map_or(bytes.len(), |lacks| lacks.min(bytes.len()));
            let (now, later) = bytes.split_at(fits);
            self.hash.update(now);
            self.lacks -= now.len() as u64;
            bytes = later;
            if self.lacks == 0 {
                self.end_block();
            }
        }
    }

    fn end_block(&mut self) {
        let hash = std::mem::replace(&mut self.hash, digest::Context::new(&digest::SHA256)).finish();
        let digest = hash.as_ref().first_chunk().copied();
        self.blocks.digests.push(digest.expect("a SHA-256 digest has more than 16 bytes"));
        self.lacks = block_length(self.blocks.size);
    }

    /// The blocks; `None` where the file had another size.
    pub fn finish(mut self) -> Option<Blocks> {
        let length = block_length(self.blocks.size);
        let seen = self.blocks.digests.len() as u64 * length + (length - self.lacks);
        if self.lacks < length {
            self.end_block();
        }
        (seen == self.blocks.size).then_some(self.blocks)
    }
}

#[cfg(test)]
#[path = "blocks/tests.rs"]
mod tests;
