//! How many different files a token has taken.

use std::array;
use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use rustc_hash::FxHashMap;

use crate::model::{ProductName, Sha256, Version};

/// A file, for counting: half a digest of its product, version and name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FileKey(pub [u8; 16]);

impl FileKey {
    /// Of an asset.
    pub fn new(product: &ProductName, version: &Version, asset: &str) -> Self {
        let text = [product.as_str(), version.bare(), asset].join("\0");
        let mut half = [0; 16];
        half.copy_from_slice(&Sha256::of(text.as_bytes()).as_bytes()[..16]);
        Self(half)
    }
}

/// One file that a token has taken.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Counted {
    /// The issuer's name.
    pub issuer: Box<str>,
    /// The token's id.
    pub token_id: Box<str>,
    /// The file.
    pub file: FileKey,
}

/// Parts with a lock each.
const SHARDS: usize = 16;

/// Files by token: the issuer's name, a NUL, the token's id.
type Shard = Mutex<FxHashMap<Box<str>, HashSet<FileKey>>>;

/// Which files tokens with a count have taken. In memory; what is new is handed over to be written down.
#[derive(Debug)]
pub struct Counts {
    taken: [Shard; SHARDS],
    new: Mutex<Vec<Counted>>,
}

impl Default for Counts {
    fn default() -> Self {
        Self { taken: array::from_fn(|_| Shard::default()), new: Mutex::default() }
    }
}

impl Counts {
    /// What was counted before.
    pub fn restore(&self, counted: impl IntoIterator<Item = Counted>) {
        for Counted { issuer, token_id, file } in counted {
            let key = key(&issuer, &token_id);
            self.shard(&key)
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .entry(key)
                .or_default()
                .insert(file);
        }
    }

    /// Whether a token may take a file: it has taken it before, or fewer than `most` others.
    pub fn take(&self, issuer: &str, token_id: &str, file: FileKey, most: u32) -> bool {
        let key = key(issuer, token_id);
        let mut shard = self.shard(&key).lock().unwrap_or_else(PoisonError::into_inner);
        let taken = shard.entry(key).or_default();
        if taken.contains(&file) {
            return true;
        }
        if taken.len() >= most as usize {
            return false;
        }
        taken.insert(file);
        drop(shard);
        let counted = Counted { issuer: issuer.into(), token_id: token_id.into(), file };
        self.new.lock().unwrap_or_else(PoisonError::into_inner).push(counted);
        true
    }

    /// Whether a token might take a file; nothing is counted.
    pub fn could_take(&self, issuer: &str, token_id: &str, file: FileKey, most: u32) -> bool {
        let key = key(issuer, token_id);
        let shard = self.shard(&key).lock().unwrap_or_else(PoisonError::into_inner);
        shard.get(&key).map_or(most > 0, |taken| taken.contains(&file) || taken.len() < most as usize)
    }

    /// What was counted since this was last asked.
    pub fn drain(&self) -> Vec<Counted> {
        std::mem::take(&mut *self.new.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn shard(&self, key: &str) -> &Shard {
        &self.taken[usize::from(Sha256::of(key.as_bytes()).as_bytes()[0]) % SHARDS]
    }
}

fn key(issuer: &str, token_id: &str) -> Box<str> {
    [issuer, token_id].join("\0").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_counts_once_for_each_token_and_no_more_are_given_than_may_be() {
        let counts = Counts::default();
        let file = |name: &str| {
            FileKey::new(&ProductName::new("agent").unwrap(), &Version::parse("1.0").unwrap(), name)
        };
        assert!(counts.take("ci", "a", file("x"), 2));
        assert!(counts.take("ci", "a", file("x"), 2));
        assert!(counts.take("ci", "a", file("y"), 2));
        assert!(!counts.take("ci", "a", file("z"), 2));
        assert!(counts.take("ci", "b", file("z"), 2), "another token");
        assert!(counts.take("qa", "a", file("z"), 2), "another issuer");
        assert!(counts.take("ci", "a", file("y"), 2), "what was taken may be taken again");
        let new = counts.drain();
        assert_eq!((new.len(), counts.drain().len()), (4, 0));
        let again = Counts::default();
        again.restore(new);
        assert!(again.take("ci", "a", file("x"), 2) && !again.take("ci", "a", file("z"), 2));
        assert!(again.drain().is_empty(), "what was restored is written down already");
    }
}
