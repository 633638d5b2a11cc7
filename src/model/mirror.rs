//! Mirrors and regions as small numbers, and sets of mirrors as bits.

/// A mirror's position in the configuration that is in force. Valid within one snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MirrorId(pub u16);

impl MirrorId {
    /// The position as an index.
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// An asset's position in its release.
pub type AssetIndex = u32;

/// A region's position in the configuration that is in force. Valid within one snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RegionId(pub u16);

impl RegionId {
    /// The position as an index.
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// An identity provider's position in the configuration that is in force. Valid within one snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct IssuerId(pub u16);

impl IssuerId {
    /// The position as an index.
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// A set of mirrors, one bit each. Two sets with the same members are equal whatever their history.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct MirrorSet {
    // No trailing zero words, so that equality and hashing are by members.
    words: Vec<u64>,
}

impl MirrorSet {
    /// The empty set.
    pub const fn new() -> Self {
        Self { words: Vec::new() }
    }

    /// Whether `mirror` is a member.
    #[inline]
    pub fn has(&self, mirror: MirrorId) -> bool {
        match self.words.get(mirror.index() / 64) {
            Some(word) => word >> (mirror.index() % 64) & 1 == 1,
            None => false,
        }
    }

    /// Adds `mirror`.
    pub fn insert(&mut self, mirror: MirrorId) {
        let word = mirror.index() / 64;
        if self.words.len() <= word {
            self.words.resize(word + 1, 0);
        }
        self.words[word] |= 1 << (mirror.index() % 64);
    }

    /// Removes `mirror`.
    pub fn remove(&mut self, mirror: MirrorId) {
        if let Some(word) = self.words.get_mut(mirror.index() / 64) {
            *word &= !(1 << (mirror.index() % 64));
        }
        while self.words.last() == Some(&0) {
            self.words.pop();
        }
    }

    /// How many members there are.
    pub fn len(&self) -> usize {
        self.words.iter().map(|w| w.count_ones() as usize).sum()
    }

    /// Whether there is no member.
    pub fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

    /// The members in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = MirrorId> + '_ {
        self.words.iter().enumerate().flat_map(|(word, bits)| {
            let mut bits = *bits;
            std::iter::from_fn(move || {
                let bit = bits.trailing_zeros();
                bits &= bits.checked_sub(1)?;
                Some(MirrorId((word * 64) as u16 + bit as u16))
            })
        })
    }
}

impl FromIterator<MirrorId> for MirrorSet {
    fn from_iter<I: IntoIterator<Item = MirrorId>>(mirrors: I) -> Self {
        let mut set = Self::new();
        mirrors.into_iter().for_each(|m| set.insert(m));
        set
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    proptest::proptest! {
        #[test]
        fn behaves_like_an_ordered_set(steps in proptest::collection::vec((0u16..300, proptest::bool::ANY), 0..200)) {
            let (mut set, mut oracle) = (MirrorSet::new(), BTreeSet::new());
            for (id, add) in steps {
                if add {
                    set.insert(MirrorId(id));
                    oracle.insert(MirrorId(id));
                } else {
                    set.remove(MirrorId(id));
                    oracle.remove(&MirrorId(id));
                }
            }
            assert!(set.iter().eq(oracle.iter().copied()));
            assert_eq!(set.len(), oracle.len());
            assert_eq!(set.is_empty(), oracle.is_empty());
            assert_eq!(set, oracle.iter().copied().collect());
            assert!((0..310).all(|i| set.has(MirrorId(i)) == oracle.contains(&MirrorId(i))));
        }
    }
}
