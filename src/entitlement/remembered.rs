//! Tokens that were verified, by their digest, so that a signature is verified once and not with every request.

use std::array;
use std::sync::{Arc, PoisonError, RwLock};

use rustc_hash::FxHashMap;

use super::Grant;
use crate::model::{Sha256, Timestamp};

/// Most tokens that are remembered.
pub const REMEMBERED_MAX: usize = 64 * 1024;
/// Parts with a lock each: requests that look up only read.
const SHARDS: usize = 64;
const SHARD_MAX: usize = REMEMBERED_MAX / SHARDS;

type Shard = RwLock<FxHashMap<Sha256, Arc<Grant>>>;

/// Grants by the digest of their token. The token itself is not kept: memory may be dumped, and a digest that is compared
/// byte by byte tells nobody anything.
#[derive(Debug)]
pub(super) struct Remembered([Shard; SHARDS]);

impl Default for Remembered {
    fn default() -> Self {
        Self(array::from_fn(|_| Shard::default()))
    }
}

impl Remembered {
    /// What a token is remembered by.
    pub(super) fn key(token: &str) -> Sha256 {
        Sha256::of(token.as_bytes())
    }

    fn shard(&self, key: &Sha256) -> &Shard {
        &self.0[usize::from(key.as_bytes()[0]) % SHARDS]
    }

    /// What was found of a token before. It may have expired since.
    pub(super) fn find(&self, key: &Sha256) -> Option<Arc<Grant>> {
        self.shard(key).read().unwrap_or_else(PoisonError::into_inner).get(key).cloned()
    }

    /// Remembers it; where there is no room, what has expired is forgotten, else everything beside it: verifying again is
    /// all that it costs.
    pub(super) fn keep(&self, key: Sha256, grant: &Arc<Grant>, now: Timestamp) {
        let mut shard = self.shard(&key).write().unwrap_or_else(PoisonError::into_inner);
        if shard.len() >= SHARD_MAX {
            shard.retain(|_, grant| now < grant.valid_until);
            if shard.len() >= SHARD_MAX {
                shard.clear();
            }
        }
        shard.insert(key, Arc::clone(grant));
    }
}
