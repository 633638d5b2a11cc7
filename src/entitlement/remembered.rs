//! Tokens that were verified, by a digest, so that a signature is verified once and not with every request.

use std::array;
use std::sync::{Arc, PoisonError, RwLock};

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::rand;
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
/// The digest is AES-GCM's authentication under a random key that nobody sees (NIST SP 800-38D, GMAC), because it is made with
/// every request: `load-tests/run --only private` shows what that costs. Nobody is told a digest, so nothing can be learnt of the key, and one nonce will do: whoever makes up a token has a chance of less
/// than 2^-100 that it has the digest of any that is remembered.
#[derive(Debug)]
pub(super) struct Remembered {
    key: LessSafeKey,
    shards: [Shard; SHARDS],
}

impl Remembered {
    /// Nothing yet, under a new key.
    pub(super) fn new() -> Self {
        let mut bytes = [0; 32];
        rand::fill(&mut bytes)
            .expect("the system's source of randomness does not fail once the library is up");
        let key = UnboundKey::new(&AES_256_GCM, &bytes).expect("the key has the algorithm's length");
        Self { key: LessSafeKey::new(key), shards: array::from_fn(|_| Shard::default()) }
    }

    /// What a token is remembered by.
    pub(super) fn digest(&self, token: &[u8]) -> Digest {
        let nonce = Nonce::assume_unique_for_key([0; NONCE_LEN]);
        let tag = self.key.seal_in_place_separate_tag(nonce, Aad::from(token), &mut []);
        let tag = tag.expect("a token is shorter than what AES-GCM takes");
        let mut bytes = [0; size_of::<Digest>()];
        bytes.copy_from_slice(tag.as_ref());
        Digest::from_ne_bytes(bytes)
    }

    fn shard(&self, digest: Digest) -> &Shard {
        &self.shards[(digest >> 64) as usize % SHARDS]
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
