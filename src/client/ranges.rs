//! The address space of one family as sorted ranges with a value each: what a database file becomes.

/// An address as a number.
pub(super) trait Key: Copy + Ord {
    /// Bits of the number.
    const BITS: u32;
    /// The lowest address.
    const MIN: Self;

    /// The address after this one; `None` at the end.
    fn next(self) -> Option<Self>;
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

            fn next(self) -> Option<Self> {
                self.checked_add(1)
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
    /// The first address after the last range that was given; `None` after the end of the address space.
    next: Option<K>,
}

impl<K: Key> Pieces<K> {
    /// Nothing known of any address.
    pub(super) fn new() -> Self {
        Self { starts: vec![K::MIN], values: vec![NOTHING], next: Some(K::MIN) }
    }

    /// Adds the addresses `first..=last`. They come in ascending order; `false` when they do not.
    #[must_use]
    pub(super) fn push(&mut self, first: K, last: K, value: u32) -> bool {
        let Some(next) = self.next.filter(|next| *next <= first && first <= last) else { return false };
        if next < first {
            self.begin(next, NOTHING);
        }
        self.begin(first, value);
        self.next = last.next();
        true
    }

    /// Begins a range, unless it goes on as before.
    fn begin(&mut self, start: K, value: u32) {
        if self.values.last() == Some(&value) {
            return;
        }
        if self.starts.last() == Some(&start) {
            // Only at the lowest address, where a range stands from the beginning.
            self.starts.pop();
            self.values.pop();
        }
        self.starts.push(start);
        self.values.push(value);
    }

    /// All parts laid over each other: where an earlier one knows something, it counts.
    pub(super) fn overlay(parts: Vec<Self>) -> Self {
        let finish = |mut part: Self| {
            if let Some(next) = part.next.take() {
                part.begin(next, NOTHING);
            }
            part
        };
        let laid = parts.into_iter().map(finish).reduce(|upper, lower| upper.over(&lower));
        laid.unwrap_or_else(Self::new)
    }

    /// These ranges, and where they know nothing, those of `lower`. Both are finished.
    fn over(self, lower: &Self) -> Self {
        let mut both = Self { starts: Vec::new(), values: Vec::new(), next: None };
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

    proptest! {
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
                for (first, last, value) in part {
                    prop_assert!(a.push(*first, *last, *value));
                    let (first, last) = (u64::from(*first) << 32, u64::from(*last) << 32 | u64::from(u32::MAX));
                    prop_assert!(b.push(first, last, *value));
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

    #[test]
    fn ranges_out_of_order_are_refused() {
        let mut pieces = Pieces::<u32>::new();
        assert!(pieces.push(10, 20, 1));
        assert!(!pieces.push(20, 30, 2));
        assert!(!pieces.push(40, 30, 2));
        assert!(pieces.push(21, u32::MAX, 2));
        assert!(!pieces.push(5, 6, 1));
    }
}
