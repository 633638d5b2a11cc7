//! The address space of one family as sorted ranges with a value each: what a database file becomes.

/// An address as a number.
pub(super) trait Key: Copy + Ord {
    /// Bits of the number.
    const BITS: u32;
    /// The lowest address.
    const MIN: Self;

    /// The first address of the upper half of a network that begins here and has a prefix of `depth` bits.
    fn upper_half(self, depth: u32) -> Self;
    /// `(self - low) >> shift`, where `low` is not above `self` and the result fits.
    fn bucket(self, low: Self, shift: u32) -> usize;
    /// Bits that it takes to count from `low` to this.
    fn bits_from(self, low: Self) -> u32;
}

macro_rules! key {
    ($number:ty) => {
        impl Key for $number {
            const BITS: u32 = Self::BITS;
            const MIN: Self = 0;

            #[inline]
            fn upper_half(self, depth: u32) -> Self {
                self | 1 << (Self::BITS - 1 - depth)
            }

            #[inline]
            fn bucket(self, low: Self, shift: u32) -> usize {
                (self.wrapping_sub(low) >> shift) as usize
            }

            fn bits_from(self, low: Self) -> u32 {
                Self::BITS - self.wrapping_sub(low).leading_zeros()
            }
        }
    };
}

key!(u32);
key!(u64);

/// The value of ranges that nothing is known of.
pub(super) const NOTHING: u32 = 0;

/// Ranges that cover a whole address family without gaps; neighbours have different values.
///
/// A lookup reads one slot of an index over the leading bits of the address, and searches the few ranges that begin
/// under these bits: two or three cache misses.
#[derive(Debug)]
pub(super) struct Ranges<K> {
    /// First address of each range; the first one is the lowest address.
    starts: Box<[K]>,
    /// Value of each range.
    values: Box<[u32]>,
    /// For each bucket of addresses from `low`: how many ranges start below it; one more at the end.
    index: Box<[u32]>,
    /// Where the second range starts: IPv6 has nothing below 2000::/3, so an index from zero would be mostly empty.
    low: K,
    /// Where the last range starts.
    high: K,
    /// A bucket is this many bits of addresses wide.
    shift: u32,
}

impl<K: Key> Ranges<K> {
    /// The value of the range that holds `address`.
    #[inline]
    pub(super) fn get(&self, address: K) -> u32 {
        if address < self.low {
            return self.values[0];
        }
        let bucket = address.min(self.high).bucket(self.low, self.shift);
        let (from, to) = (self.index[bucket] as usize, self.index[bucket + 1] as usize);
        let before = from + self.starts[from..to].partition_point(|start| *start <= address);
        // The first range starts at the lowest address, so at least one starts at or before any.
        self.values[before - 1]
    }

    /// How many ranges there are, those that nothing is known of included.
    pub(super) fn len(&self) -> usize {
        self.starts.len()
    }

    /// Bytes on the heap.
    pub(super) fn bytes(&self) -> usize {
        size_of_val(&*self.starts) + size_of_val(&*self.values) + size_of_val(&*self.index)
    }
}

/// Ranges that are being put together.
#[derive(Debug)]
pub(super) struct Pieces<K> {
    starts: Vec<K>,
    values: Vec<u32>,
}

impl<K: Key> Pieces<K> {
    /// No addresses yet.
    pub(super) fn new() -> Self {
        Self { starts: Vec::new(), values: Vec::new() }
    }

    /// Begins a range that goes on to the next one, or to the end of the address space. They come in ascending order; one
    /// with the value of the one before is no new range.
    #[inline]
    pub(super) fn begin(&mut self, start: K, value: u32) {
        if self.values.last() != Some(&value) {
            self.starts.push(start);
            self.values.push(value);
        }
    }

    /// Parts of the address space in their order, put together.
    pub(super) fn joined(parts: Vec<Self>) -> Self {
        let ranges = parts.iter().map(|part| part.starts.len()).sum();
        let mut whole = Self { starts: Vec::with_capacity(ranges), values: Vec::with_capacity(ranges) };
        for part in parts {
            for (start, value) in part.starts.into_iter().zip(part.values) {
                whole.begin(start, value);
            }
        }
        whole
    }

    /// All files laid over each other: where an earlier one knows something, it counts. Each of them covers the whole
    /// address space.
    pub(super) fn overlay(files: Vec<Self>) -> Self {
        let laid = files.into_iter().reduce(|upper, lower| upper.over(&lower));
        laid.unwrap_or_else(|| Self { starts: vec![K::MIN], values: vec![NOTHING] })
    }

    /// These ranges, and where they know nothing, those of `lower`.
    fn over(self, lower: &Self) -> Self {
        if let [NOTHING] = lower.values[..] {
            return self;
        }
        let mut both = Self::new();
        // How many ranges of each have begun; both have one at the lowest address.
        let (mut i, mut j) = (0, 0);
        loop {
            let start = match (self.starts.get(i), lower.starts.get(j)) {
                (Some(a), Some(b)) => *a.min(b),
                (Some(a), None) | (None, Some(a)) => *a,
                (None, None) => return both,
            };
            i += usize::from(self.starts.get(i) == Some(&start));
            j += usize::from(lower.starts.get(j) == Some(&start));
            let value = match self.values[i - 1] {
                NOTHING => lower.values[j - 1],
                known => known,
            };
            both.begin(start, value);
        }
    }

    /// The finished ranges with their index.
    pub(super) fn index(self) -> Ranges<K> {
        let starts = self.starts.into_boxed_slice();
        let low = *starts.get(1).unwrap_or(&K::MIN);
        let high = starts[starts.len() - 1];
        // About eight ranges to a bucket.
        let buckets = starts.len() / 8 + 1;
        let shift = high.bits_from(low).saturating_sub(buckets.ilog2()).min(K::BITS - 1);
        let mut index = Vec::with_capacity(buckets + 1);
        for (i, start) in starts.iter().enumerate().skip(1) {
            let bucket = start.bucket(low, shift);
            index.resize(index.len().max(bucket + 1), i as u32);
        }
        index.resize(index.len().max(1), 0);
        index.push(starts.len() as u32);
        Ranges {
            starts,
            values: self.values.into_boxed_slice(),
            index: index.into_boxed_slice(),
            low,
            high,
            shift,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Ranges as they come from a file: ascending, with gaps.
    fn parts() -> impl Strategy<Value = Vec<Vec<(u32, u32, u32)>>> {
        let address = prop_oneof![0u32..200, any::<u32>(), Just(u32::MAX), u32::MAX - 50..u32::MAX];
        let bounds = prop::collection::btree_set(address, 0..40);
        let part =
            (bounds, prop::collection::vec((0u32..4, any::<bool>()), 20)).prop_map(|(bounds, values)| {
                let bounds: Vec<u32> = bounds.into_iter().collect();
                let pairs = bounds.chunks_exact(2).zip(values);
                // Every other range touches the next one.
                pairs
                    .map(|(pair, (value, whole))| (pair[0], if whole { pair[1] } else { pair[0] }, value))
                    .collect()
            });
        prop::collection::vec(part, 0..3)
    }

    /// The same as ranges without gaps.
    fn begins(part: &[(u32, u32, u32)]) -> Vec<(u32, u32)> {
        let mut begins = vec![(0, NOTHING)];
        for (first, last, value) in part {
            begins.retain(|(start, _)| start != first);
            begins.push((*first, *value));
            begins.extend(last.checked_add(1).map(|next| (next, NOTHING)));
        }
        begins
    }

    proptest! {
        #[test]
        fn pieces_that_are_joined_are_as_they_were_before_they_were_cut(
            parts in parts(),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..4),
        ) {
            let begins = begins(parts.first().map_or(&[], Vec::as_slice));
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(begins.len())).collect();
            cuts.sort_unstable();
            let ends = cuts.iter().copied().chain([begins.len()]);
            let pieces = [0].into_iter().chain(cuts.iter().copied()).zip(ends).map(|(from, to)| {
                let mut piece = Pieces::<u32>::new();
                begins[from..to].iter().for_each(|(start, value)| piece.begin(*start, *value));
                piece
            });
            let joined = Pieces::joined(pieces.collect());
            let mut whole = Pieces::new();
            begins.iter().for_each(|(start, value)| whole.begin(*start, *value));
            prop_assert_eq!((joined.starts, joined.values), (whole.starts, whole.values));
        }

        #[test]
        fn a_lookup_finds_what_the_first_part_that_knows_the_address_says(
            parts in parts(),
            anywhere in prop::collection::vec(any::<u32>(), 20),
        ) {
            let expected = |address: u32| {
                let known = |part: &Vec<(u32, u32, u32)>| {
                    let hit = part.iter().find(|(first, last, _)| (*first..=*last).contains(&address));
                    hit.map(|(_, _, value)| *value).filter(|value| *value != NOTHING)
                };
                parts.iter().find_map(known).unwrap_or(NOTHING)
            };
            let mut narrow = Vec::new();
            let mut wide = Vec::new();
            for part in &parts {
                let (mut a, mut b) = (Pieces::<u32>::new(), Pieces::<u64>::new());
                for (start, value) in begins(part) {
                    a.begin(start, value);
                    b.begin(u64::from(start) << 32, value);
                }
                narrow.push(a);
                wide.push(b);
            }
            let (narrow, wide) = (Pieces::overlay(narrow).index(), Pieces::overlay(wide).index());
            let edges = parts.iter().flatten().flat_map(|(first, last, _)| {
                [first.saturating_sub(1), *first, *last, last.saturating_add(1)]
            });
            for address in edges.chain(anywhere).chain([0, u32::MAX]) {
                prop_assert_eq!(narrow.get(address), expected(address), "{}", address);
                prop_assert_eq!(wide.get(u64::from(address) << 32 | 77), expected(address), "{}", address);
            }
            let changes = narrow.values.windows(2).all(|pair| pair[0] != pair[1]);
            prop_assert!(changes, "neighbours with one value are one range");
        }
    }
}
