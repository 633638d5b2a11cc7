//! Sets of assets of one release, as bits.

use serde::{Deserialize, Serialize};

use super::AssetIndex;

/// A set of assets of one release, one bit each. Two sets with the same members are equal whatever their history.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AssetSet {
    // No trailing zero words, so that equality is by members.
    words: Vec<u64>,
}

impl AssetSet {
    /// The first `count` assets.
    pub fn first(count: AssetIndex) -> Self {
        let mut words = vec![u64::MAX; count as usize / 64];
        if !count.is_multiple_of(64) {
            words.push((1 << (count % 64)) - 1);
        }
        Self { words }
    }

    /// Whether an asset is a member.
    #[inline]
    pub fn has(&self, asset: AssetIndex) -> bool {
        self.words.get(asset as usize / 64).is_some_and(|word| word >> (asset % 64) & 1 == 1)
    }

    /// Adds an asset. Says whether it is new.
    pub fn insert(&mut self, asset: AssetIndex) -> bool {
        let word = asset as usize / 64;
        if self.words.len() <= word {
            self.words.resize(word + 1, 0);
        }
        let before = self.words[word];
        self.words[word] |= 1 << (asset % 64);
        self.words[word] != before
    }

    /// Removes an asset.
    pub fn remove(&mut self, asset: AssetIndex) {
        if let Some(word) = self.words.get_mut(asset as usize / 64) {
            *word &= !(1 << (asset % 64));
        }
        while self.words.last() == Some(&0) {
            self.words.pop();
        }
    }

    /// How many members there are.
    pub fn len(&self) -> AssetIndex {
        self.words.iter().map(|word| word.count_ones()).sum()
    }

    /// Whether there is no member.
    pub fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

    /// Whether it is a set of assets of a release with this many: for sets that were read from somewhere.
    pub fn fits(&self, assets: AssetIndex) -> bool {
        self.words.last() != Some(&0)
            && self
                .words
                .iter()
                .rposition(|word| *word != 0)
                .is_none_or(|last| last as u64 * 64 + u64::from(self.words[last].ilog2()) < u64::from(assets))
    }

    /// The members in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = AssetIndex> + '_ {
        (0..).step_by(64).zip(&self.words).flat_map(|(first, word)| {
            let mut bits = *word;
            std::iter::from_fn(move || {
                let bit = bits.trailing_zeros();
                bits &= bits.checked_sub(1)?;
                Some(first + bit)
            })
        })
    }

    /// The member that stands at this place among all.
    pub fn nth(&self, place: AssetIndex) -> Option<AssetIndex> {
        let mut left = place;
        for (word, first) in self.words.iter().zip((0..).step_by(64)) {
            if left < word.count_ones() {
                return (first..first + 64).filter(|asset| self.has(*asset)).nth(left as usize);
            }
            left -= word.count_ones();
        }
        None
    }

    /// Those of the first `count` assets that are no members, in ascending order.
    pub fn absent(&self, count: AssetIndex) -> impl Iterator<Item = AssetIndex> + '_ {
        // Full words are passed over sixty-four at a time.
        let full = self.words.iter().take_while(|word| **word == u64::MAX).count() as AssetIndex * 64;
        (full..count).filter(|asset| !self.has(*asset))
    }
}

impl FromIterator<AssetIndex> for AssetSet {
    fn from_iter<I: IntoIterator<Item = AssetIndex>>(assets: I) -> Self {
        let mut set = Self::default();
        assets.into_iter().for_each(|asset| _ = set.insert(asset));
        set
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    proptest::proptest! {
        #[test]
        fn behaves_like_an_ordered_set(
            count in 0u32..300,
            begins_full in proptest::bool::ANY,
            steps in proptest::collection::vec((0u32..300, proptest::bool::ANY), 0..200),
        ) {
            let (mut set, mut oracle) = (AssetSet::default(), BTreeSet::new());
            if begins_full {
                (set, oracle) = (AssetSet::first(count), (0..count).collect());
            }
            for (asset, add) in steps {
                if add {
                    assert_eq!(set.insert(asset), oracle.insert(asset));
                } else {
                    set.remove(asset);
                    oracle.remove(&asset);
                }
            }
            assert!(set.iter().eq(oracle.iter().copied()));
            assert!((0..310).all(|asset| set.has(asset) == oracle.contains(&asset)));
            assert!((0..310).all(|place| set.nth(place) == oracle.iter().nth(place as usize).copied()));
            assert!(set.absent(count).eq((0..count).filter(|asset| !oracle.contains(asset))));
            assert_eq!((set.len() as usize, set.is_empty()), (oracle.len(), oracle.is_empty()));
            assert_eq!(set.fits(count), oracle.iter().all(|asset| *asset < count));
            assert_eq!(set, oracle.into_iter().collect());
        }
    }

    #[test]
    fn a_set_that_was_read_has_no_members_beyond_the_release_and_no_empty_end() {
        let read = |text| serde_json::from_str::<AssetSet>(text).unwrap();
        assert!(read("[5]").fits(3) && read("[]").fits(0) && read("[0,1]").fits(65));
        assert!(!read("[5]").fits(2) && !read("[0,1]").fits(64) && !read("[5,0]").fits(200));
    }
}
