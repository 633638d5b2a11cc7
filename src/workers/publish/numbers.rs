//! Releases by number: there may be an entry for every release on every mirror, so that each counts.

/// A release's number, from when it is published until it is retired. Then another release may get it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReleaseNumber(u32);

/// Gives numbers out, the lowest free one first or nearly so, so that tables stay short.
#[derive(Debug, Default)]
pub(super) struct Numbers {
    next: u32,
    free: Vec<ReleaseNumber>,
}

impl Numbers {
    pub fn take(&mut self) -> ReleaseNumber {
        self.free.pop().unwrap_or_else(|| {
            self.next += 1;
            ReleaseNumber(self.next - 1)
        })
    }

    /// Nothing may be known any more under this number.
    pub fn give_back(&mut self, number: ReleaseNumber) {
        self.free.push(number);
    }
}

/// What is known of releases, by their numbers: a place each, with something in it or not.
#[derive(Debug)]
pub(super) struct Table<T>(Vec<Option<T>>);

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> Table<T> {
    pub fn get(&self, number: ReleaseNumber) -> Option<&T> {
        self.0.get(number.0 as usize)?.as_ref()
    }

    pub fn get_mut(&mut self, number: ReleaseNumber) -> Option<&mut T> {
        self.0.get_mut(number.0 as usize)?.as_mut()
    }

    pub fn get_or_insert_with(&mut self, number: ReleaseNumber, new: impl FnOnce() -> T) -> &mut T {
        let at = number.0 as usize;
        if self.0.len() <= at {
            // By an eighth, not twofold: there are as many tables as mirrors.
            if self.0.capacity() <= at {
                self.0.reserve_exact(at + at / 8 + 1 - self.0.len());
            }
            self.0.resize_with(at + 1, || None);
        }
        self.0[at].get_or_insert_with(new)
    }

    pub fn insert(&mut self, number: ReleaseNumber, value: T) {
        let mut value = Some(value);
        let place = self.get_or_insert_with(number, || value.take().expect("it is given away once"));
        if let Some(value) = value {
            *place = value;
        }
    }

    pub fn remove(&mut self, number: ReleaseNumber) -> Option<T> {
        self.0.get_mut(number.0 as usize)?.take()
    }

    pub fn values(&self) -> impl Iterator<Item = &T> {
        self.0.iter().flatten()
    }

    pub fn values_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.0.iter_mut().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    proptest::proptest! {
        #[test]
        fn a_table_behaves_like_a_map(steps in proptest::collection::vec((0u8..4, 0u32..40, 0u8..9), 0..200)) {
            let (mut table, mut oracle) = (Table::default(), HashMap::new());
            for (step, number, value) in steps {
                let place = ReleaseNumber(number);
                match step {
                    0 => assert_eq!(table.remove(place), oracle.remove(&number)),
                    1 => assert_eq!(table.get_or_insert_with(place, || value), oracle.entry(number).or_insert(value)),
                    2 => assert_eq!(table.get_mut(place).map(std::mem::take), oracle.get_mut(&number).map(std::mem::take)),
                    _ => {
                        table.insert(place, value);
                        oracle.insert(number, value);
                    }
                }
                assert!((0..50).all(|number| table.get(ReleaseNumber(number)) == oracle.get(&number)));
                assert_eq!(table.values().count(), oracle.len());
            }
        }
    }

    #[test]
    fn a_number_is_given_to_one_release_at_a_time() {
        let mut numbers = Numbers::default();
        let (first, second) = (numbers.take(), numbers.take());
        assert_ne!(first, second);
        numbers.give_back(first);
        assert_eq!(numbers.take(), first);
        assert!(![first, second].contains(&numbers.take()));
    }
}
