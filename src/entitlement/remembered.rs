//! Tokens that were verified, by a digest, so that a signature is verified once and not with every request.

use std::array;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use aws_lc_rs::rand;
use highway::{HighwayHash, HighwayHasher, Key};
use rustc_hash::FxHashMap;

use super::Grant;
use crate::model::Timestamp;

/// Most tokens that are remembered.
pub const REMEMBERED_MAX: usize = 64 * 1024;
/// Parts with a lock each: requests that look up only read.
const SHARDS: usize = 64;
const SHARD_MAX: usize = REMEMBERED_MAX / SHARDS;

type Shard = RwLock<FxHashMap<Digest, Arc<Grant>>>;

/// What a token is remembered by.
pub(super) type Digest = u128;

/// Grants by the digest of their token. The token itself is not kept: memory may be dumped.
///
/// The digest is a HighwayHash (Alakuijala, Cox and Wassenberg, arXiv:1612.06257) under a random key that nobody sees: it
/// is made with every request, and `load-tests/run --only private` shows what that costs. Nobody is told a digest, so that
/// whoever makes up a token can but guess, one request at a time, and 128 bits are too many to guess.
pub(super) struct Remembered {
    key: Key,
    shards: [Shard; SHARDS],
}

impl Remembered {
    /// Nothing yet, under a new key.
    pub(super) fn new() -> Self {
        Self { key: Key(array::from_fn(|_| random())), shards: array::from_fn(|_| Shard::default()) }
    }

    /// What a token is remembered by.
    pub(super) fn digest(&self, token: &[u8]) -> Digest {
        let [low, high] = HighwayHasher::new(self.key).hash128(token);
        Digest::from(high) << 64 | Digest::from(low)
    }

    fn shard(&self, digest: Digest) -> &Shard {
        &self.shards[digest as usize % SHARDS]
    }

    /// What was found of a token before. It may have expired since.
    pub(super) fn find(&self, digest: Digest) -> Option<Arc<Grant>> {
        self.shard(digest).read().unwrap_or_else(PoisonError::into_inner).get(&digest).cloned()
    }

    /// Remembers it; where there is no room, what has expired is forgotten, else everything beside it: verifying again is
    /// all that it costs.
    pub(super) fn keep(&self, digest: Digest, grant: &Arc<Grant>, now: Timestamp) {
        let mut shard = self.shard(digest).write().unwrap_or_else(PoisonError::into_inner);
        if shard.len() >= SHARD_MAX {
            shard.retain(|_, grant| now < grant.valid_until);
            if shard.len() >= SHARD_MAX {
                shard.clear();
            }
        }
        shard.insert(digest, Arc::clone(grant));
    }
}

/// Without the key.
impl fmt::Debug for Remembered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remembered").finish_non_exhaustive()
    }
}

fn random() -> u64 {
    let mut bytes = [0; size_of::<u64>()];
    rand::fill(&mut bytes).expect("the system's source of randomness does not fail once the library is up");
    u64::from_ne_bytes(bytes)
}
