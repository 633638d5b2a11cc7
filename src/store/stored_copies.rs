//! What mirrors held, as it is read at the start: a million entries in a few thousand allocations.

use std::ops::Range;

use crate::model::{MirrorName, ProductName, Version};

/// What mirrors held, release by release.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StoredCopies {
    /// The mirrors; entries name them by their places here.
    pub mirrors: Vec<MirrorName>,
    /// The releases, each once.
    pub releases: Vec<ReleaseCopies>,
}

/// What mirrors held of one release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReleaseCopies {
    /// Whose release.
    pub product: ProductName,
    /// Which release, without a leading `v`.
    pub version: Version,
    /// Each mirror's place, ascending, and where its body ends.
    ends: Vec<(u32, usize)>,
    bodies: Vec<u8>,
}

impl StoredCopies {
    /// Nothing of these mirrors yet.
    pub fn of(mirrors: Vec<MirrorName>) -> Self {
        Self { mirrors, releases: Vec::new() }
    }
}

impl ReleaseCopies {
    /// Nothing of this release yet.
    pub fn new(product: ProductName, version: Version) -> Self {
        Self { product, version, ends: Vec::new(), bodies: Vec::new() }
    }

    /// Adds an entry; they come by ascending place of the mirror.
    pub fn push(&mut self, mirror: u32, body: &[u8]) {
        self.bodies.extend_from_slice(body);
        self.ends.push((mirror, self.bodies.len()));
    }

    /// The entries of mirrors whose places are in a range.
    pub fn within(&self, mirrors: Range<u32>) -> impl Iterator<Item = (u32, &[u8])> {
        let place = |at: u32| self.ends.partition_point(|(mirror, _)| *mirror < at);
        let (from, to) = (place(mirrors.start), place(mirrors.end));
        let begin = if from == 0 { 0 } else { self.ends[from - 1].1 };
        self.ends[from..to].iter().scan(begin, |begin, (mirror, end)| {
            let body = &self.bodies[std::mem::replace(begin, *end)..*end];
            Some((*mirror, body))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_of_some_mirrors_are_those_of_all_but_the_others() {
        let mut copies =
            ReleaseCopies::new(ProductName::new("tool").unwrap(), Version::parse("1.0").unwrap());
        let all: Vec<(u32, Vec<u8>)> =
            [0, 1, 3, 7, 8].map(|mirror| (mirror, vec![mirror as u8; mirror as usize])).into();
        all.iter().for_each(|(mirror, body)| copies.push(*mirror, body));
        for (from, to) in (0..10).flat_map(|from| (from..10).map(move |to| (from, to))) {
            let expected = all.iter().filter(|(mirror, _)| (from..to).contains(mirror));
            let expected: Vec<(u32, &[u8])> = expected.map(|(mirror, body)| (*mirror, &body[..])).collect();
            assert_eq!(copies.within(from..to).collect::<Vec<_>>(), expected, "{from}..{to}");
        }
    }
}
