//! How many different files a token has taken.

use std::array;
use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustc_hash::FxHashMap;

use crate::model::{ProductName, Sha256, Timestamp, Version};

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
    pub issuer: Arc<str>,
    /// The token's id.
    pub token_id: Arc<str>,
    /// The file.
    pub file: FileKey,
    /// From when on it does not matter any more.
    pub until: Timestamp,
}

/// Whether a token may take a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Take {
    /// It has taken it before, or fewer others than it may.
    Given,
    /// It has taken as many as it may.
    TooMany,
    /// So many are counted that no more can be.
    NoRoom,
}

/// Most files of all tokens together that are counted. A token takes some 200 bytes and 60 for each file: 270 MB at most,
/// where each takes one.
pub const COUNTED_MAX: usize = 1 << 20;
/// Parts with a lock each.
const SHARDS: usize = 16;

/// The files of a token, and until when that matters.
type Files = FxHashMap<FileKey, Timestamp>;
/// Files by token: the issuer's name, a NUL, the token's id.
type Shard = Mutex<FxHashMap<Box<str>, Files>>;

/// Which files tokens with a count have taken, as long as somebody can come with the token again. In memory; what is new is
/// handed over to be written down.
#[derive(Debug)]
pub struct Counts {
    taken: [Shard; SHARDS],
    /// Files in all shards.
    files: AtomicUsize,
    most_files: usize,
    new: Mutex<Vec<Counted>>,
}

impl Default for Counts {
    fn default() -> Self {
        Self::with_room_for(COUNTED_MAX)
    }
}

impl Counts {
    /// Nothing is counted yet; at most so many files will be, by a few more where many are taken at once.
    fn with_room_for(most_files: usize) -> Self {
        let taken = array::from_fn(|_| Shard::default());
        Self { taken, files: AtomicUsize::new(0), most_files, new: Mutex::default() }
    }

    /// What was counted before.
    pub fn restore(&self, counted: impl IntoIterator<Item = Counted>) {
        for Counted { issuer, token_id, file, until } in counted {
            let key = key(&issuer, &token_id);
            if locked(self.shard(&key)).entry(key).or_default().insert(file, until).is_none() {
                self.files.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// Counts a file, where the token may take it: at most `most` different ones.
    pub fn take(&self, counted: Counted, most: u32) -> Take {
        let Counted { issuer, token_id, file, until } = &counted;
        let key = key(issuer, token_id);
        let mut shard = locked(self.shard(&key));
        let before = shard.get(&key);
        let take = self.judge(before, *file, most);
        if take == Take::Given && !before.is_some_and(|files| files.contains_key(file)) {
            shard.entry(key).or_default().insert(*file, *until);
            self.files.fetch_add(1, Ordering::Relaxed);
            drop(shard);
            locked(&self.new).push(counted);
        }
        take
    }

    /// Whether a token might take a file; nothing is counted.
    pub fn could_take(&self, issuer: &str, token_id: &str, file: FileKey, most: u32) -> Take {
        let key = key(issuer, token_id);
        self.judge(locked(self.shard(&key)).get(&key), file, most)
    }

    fn judge(&self, taken: Option<&Files>, file: FileKey, most: u32) -> Take {
        let count = taken.map_or(0, HashMap::len);
        if taken.is_some_and(|files| files.contains_key(&file)) {
            Take::Given
        } else if count >= most as usize {
            Take::TooMany
        } else if self.is_full() {
            Take::NoRoom
        } else {
            Take::Given
        }
    }

    /// Forgets what does not matter any more; whether there was any.
    pub fn forget(&self, now: Timestamp) -> bool {
        let mut forgotten = 0;
        for shard in &self.taken {
            locked(shard).retain(|_, files| {
                let before = files.len();
                files.retain(|_, until| now < *until);
                forgotten += before - files.len();
                !files.is_empty()
            });
        }
        self.files.fetch_sub(forgotten, Ordering::Relaxed);
        forgotten > 0
    }

    /// How many files are counted.
    pub fn files(&self) -> usize {
        self.files.load(Ordering::Relaxed)
    }

    /// Whether no more can be counted.
    pub fn is_full(&self) -> bool {
        self.files() >= self.most_files
    }

    /// What was counted since this was last asked.
    pub fn drain(&self) -> Vec<Counted> {
        std::mem::take(&mut *locked(&self.new))
    }

    fn shard(&self, key: &str) -> &Shard {
        &self.taken[usize::from(Sha256::of(key.as_bytes()).as_bytes()[0]) % SHARDS]
    }
}

fn locked<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

fn key(issuer: &str, token_id: &str) -> Box<str> {
    [issuer, token_id].join("\0").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str) -> FileKey {
        FileKey::new(&ProductName::new("agent").unwrap(), &Version::parse("1.0").unwrap(), name)
    }

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    fn taken(issuer: &str, token_id: &str, name: &str, until: i64) -> Counted {
        Counted { issuer: issuer.into(), token_id: token_id.into(), file: file(name), until: at(until) }
    }

    #[test]
    fn a_file_counts_once_for_each_token_and_no_more_are_given_than_may_be() {
        let counts = Counts::default();
        let take = |issuer, id, name| counts.take(taken(issuer, id, name, 9), 2);
        assert_eq!(take("ci", "a", "x"), Take::Given);
        assert_eq!(take("ci", "a", "x"), Take::Given);
        assert_eq!(take("ci", "a", "y"), Take::Given);
        assert_eq!(take("ci", "a", "z"), Take::TooMany);
        assert_eq!(take("ci", "b", "z"), Take::Given, "another token");
        assert_eq!(take("qa", "a", "z"), Take::Given, "another issuer");
        assert_eq!(take("ci", "a", "y"), Take::Given, "what was taken may be taken again");
        let new = counts.drain();
        assert_eq!((new.len(), counts.drain().len(), counts.files()), (4, 0, 4));
        let again = Counts::default();
        again.restore(new);
        let take = |name| again.take(taken("ci", "a", name, 9), 2);
        assert_eq!((take("x"), take("z")), (Take::Given, Take::TooMany));
        assert!(again.drain().is_empty(), "what was restored is written down already");
    }

    #[test]
    fn what_a_token_took_is_forgotten_when_nobody_can_come_with_it_and_not_before() {
        let counts = Counts::default();
        for (id, name, until) in [("a", "x", 5), ("a", "y", 9), ("b", "x", 5)] {
            assert_eq!(counts.take(taken("ci", id, name, until), 2), Take::Given);
        }
        assert!(!counts.forget(at(4)));
        assert_eq!(counts.could_take("ci", "a", file("z"), 2), Take::TooMany);
        assert!(counts.forget(at(5)));
        assert_eq!((counts.files(), counts.could_take("ci", "a", file("z"), 2)), (1, Take::Given));
        assert_eq!(counts.could_take("ci", "a", file("z"), 1), Take::TooMany, "y still counts");
        assert!(counts.forget(at(9)));
        assert!(counts.taken.iter().all(|shard| locked(shard).is_empty()), "no token stays behind");
    }

    #[test]
    fn where_no_more_can_be_counted_no_other_file_is_given_and_those_that_were_taken_are() {
        let counts = Counts::with_room_for(2);
        for id in ["a", "b"] {
            assert_eq!(counts.take(taken("ci", id, "x", 5), 2), Take::Given);
        }
        for (id, name, take) in [("a", "y", Take::NoRoom), ("c", "x", Take::NoRoom), ("a", "x", Take::Given)]
        {
            assert_eq!(counts.take(taken("ci", id, name, 5), 2), take, "{id} {name}");
        }
        assert_eq!(counts.files(), 2);
        counts.forget(at(5));
        assert_eq!(counts.take(taken("ci", "c", "x", 9), 2), Take::Given);
    }
}
