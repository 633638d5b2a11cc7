//! The address space of one family as sorted ranges with a value each: what a database file becomes.

/// An address as a number.
pub(super) trait Key: Copy + Ord {
    /// Bits of the number.
    const BITS: u32;
    /// The lowest address.
    const MIN: Self;

    /// The address after this one; `None` at the end.
    fn next(self) -> Option<Self>;
    /// The number without its lowest `by` bits.
    fn bucket(self, by: u32) -> usize;
}

macro_rules! key {
    ($number:ty) => {
        impl Key for $number {
            const BITS: u32 = <$number>::BITS;
            const MIN: Self = 0;

            fn next(self) -> Option<Self> {
                self.checked_add(1)
            }

            fn bucket(self, by: u32) -> usize {
                (self >> by) as usize
            }
        }
    };
}

key!(u32);
key!(u64);
key!(u128);

/// The value of ranges that nothing is known of.
pub(super) const NOTHING: u32 = 0;

/// Ranges that cover a whole address family without gaps; neighbours have different values.
///
/// A lookup reads one slot of an index over the first bits of the address, and searches the few ranges that begin
/// under these bits: two or three cache misses.
#[derive(Debug)]
pub(super) struct Ranges<K> {
    /// First address of each range; the first one is the lowest address.
    starts: Box<[K]>,
    /// Value of each range.
    values: Box<[u32]>,
    /// For each value of the first bits: how many ranges start below it; one more at the end.
    index: Box<[u32]>,
    /// Bits that the index leaves out.
    shift: u32,
}

impl<K: Key> Ranges<K> {
    /// The value of the range that holds `address`.
    #[inline]
    pub(super) fn get(&self, address: K) -> u32 {
        let bucket = address.bucket(self.shift);
        let (from, to) = (self.index[bucket] as usize, self.index[bucket + 1] as usize);
        let before = from + self.starts[from..to].partition_point(|start| *start <= address);
        // At least one range starts at or before any address: the first one starts at the lowest.
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

    /// The ranges of `parts` laid over each other: where an earlier one knows something, it counts.
    pub(super) fn overlay(parts: Vec<Pieces<K>>) -> Self {
        parts.into_iter().reduce(|over, under| over.over(&under)).unwrap_or_else(Pieces::new).index()
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
        if self.next.is_none_or(|next| first < next) || last < first {
            return false;
        }
        if self.next != Some(first) {
            self.begin(self.next.unwrap_or(first), NOTHING);
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
            // Only the range at the lowest address, which stands there from the beginning.
            self.starts.pop();
            self.values.pop();
        }
        self.starts.push(start);
        self.values.push(value);
    }

    /// Ends the last range that was given.
    fn finish(mut self) -> Self {
        if let Some(next) = self.next.take() {
            self.begin(next, NOTHING);
        }
        self
    }

    /// These ranges, and where they know nothing, those of `under`.
    fn over(self, under: &Self) -> Self {
        let (a, b) = (self.finish(), under);
        let mut both = Self { starts: Vec::new(), values: Vec::new(), next: None };
        let (mut i, mut j) = (0, 0);
        let mut b_end = b.next;
        // Both lists begin at the lowest address; each step begins the next range of one or both.
        while i < a.starts.len() || j < b.starts.len() || b_end.is_some() {
            let b_next = b.starts.get(j).copied().or(b_end);
            let start = match (a.starts.get(i).copied(), b_next) {
                (Some(x), Some(y)) => x.min(y),
                (Some(x), None) | (None, Some(x)) => x,
                (None, None) => break,
            };
            if a.starts.get(i) == Some(&start) {
                i += 1;
            }
            if b.starts.get(j) == Some(&start) {
                j += 1;
            } else if b_next == Some(start) {
                b_end = None;
                j = b.starts.len() + 1;
            }
            let value = a.values.get(i.wrapping_sub(1)).copied().filter(|v| *v != NOTHING);
            let below = b.values.get(j.wrapping_sub(1)).copied().unwrap_or(NOTHING);
            both.begin(start, value.unwrap_or(below));
        }
        both
    }

    fn index(self) -> Ranges<K> {
        todo!()
    }
}
