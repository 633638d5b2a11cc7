//! The search tree of a MaxMind DB file, walked on its bytes.
//!
//! Format: <https://maxmind.github.io/MaxMind-DB/>. A city database has fifteen million networks; with an object for each
//! of them, as the reader's iterator makes it, a walk takes seconds. Parts of the tree can be walked at the same time.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicUsize, Ordering};

use maxminddb::{MaxMindDbError, Reader};

use super::ranges::Key;

/// Bytes between the search tree and the data section, all zero.
const SEPARATOR: usize = 16;
/// Parts that a tree is divided into: enough that cores which share them end at about the same time.
const PARTS: usize = 256;
/// Levels of an IPv6 tree above the IPv4 space.
const ABOVE_IPV4: u32 = 96;

/// The tree of one address family. IPv6 addresses count by their upper halves.
#[derive(Debug)]
pub(super) struct Tree<'a> {
    nodes: &'a [u8],
    /// How many nodes there are; the record that says so leads nowhere, those above it lead to data.
    count: u32,
    /// Bits of a record: 24, 28 or 32.
    record_size: u16,
    root: u32,
    /// Levels below those that a key has bits for.
    below: u32,
    /// The node where IPv4 begins, which other branches lead to as well: in a walk over IPv6 it is nothing.
    ipv4: Option<u32>,
    /// Nodes that were passed so far, in all parts.
    passed: AtomicUsize,
}

/// A part of a tree: a record, and the addresses that lead to it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Part<K> {
    record: u32,
    start: K,
    depth: u32,
}

/// What a walk comes to: the first address of a range, and where in the data section its record begins.
pub(super) type Leaf<K> = (K, Option<u32>);

impl<'a> Tree<'a> {
    /// The trees of IPv4 and IPv6 in a file, where it has them. The reader has checked the metadata.
    pub fn of(
        reader: &Reader<&'a [u8]>,
        bytes: &'a [u8],
    ) -> Result<(Option<Self>, Option<Self>), MaxMindDbError> {
        let metadata = reader.metadata();
        let end = metadata.node_count as usize * (usize::from(metadata.record_size) / 4);
        let gap = bytes.get(end..end + SEPARATOR);
        if gap.is_none_or(|gap| gap.iter().any(|byte| *byte != 0)) {
            return Err(broken("no separator of zeros after the search tree"));
        }
        let tree = |root, below, ipv4| Self {
            nodes: &bytes[..end],
            count: metadata.node_count,
            record_size: metadata.record_size,
            root,
            below,
            ipv4,
            passed: AtomicUsize::new(0),
        };
        if metadata.ip_version == 4 {
            return Ok((Some(tree(0, 0, None)), None));
        }
        let mut v6 = tree(0, u64::BITS, None);
        // Where this record is no node, the database is of IPv6 alone, and other networks with the same data are no
        // aliases of the IPv4 space.
        v6.ipv4 = (0..ABOVE_IPV4).try_fold(0, |node, _| Some(v6.children(node)?.0));
        v6.ipv4 = v6.ipv4.filter(|record| *record < v6.count);
        Ok((v6.ipv4.map(|root| tree(root, 0, None)), Some(v6)))
    }

    /// Both records of a node; `None` for a record that is no node.
    #[inline]
    fn children(&self, node: u32) -> Option<(u32, u32)> {
        if node >= self.count {
            return None;
        }
        let node = node as usize;
        let number = |bytes: &[u8]| bytes.iter().fold(0, |n, byte| n << 8 | u32::from(*byte));
        Some(match self.record_size {
            24 => {
                let bytes = self.nodes.get(node * 6..)?.first_chunk::<6>()?;
                (number(&bytes[..3]), number(&bytes[3..]))
            }
            28 => {
                let bytes = self.nodes.get(node * 7..)?.first_chunk::<7>()?;
                let (left, right) = (u32::from(bytes[3] >> 4), u32::from(bytes[3] & 0xf));
                (left << 24 | number(&bytes[..3]), right << 24 | number(&bytes[4..]))
            }
            _ => {
                let bytes = self.nodes.get(node * 8..)?.first_chunk::<8>()?;
                (number(&bytes[..4]), number(&bytes[4..]))
            }
        })
    }

    /// The parts in the order of their addresses: together they are all addresses.
    pub fn parts<K: Key>(&self) -> Vec<Part<K>> {
        let mut parts = vec![Part { record: self.root, start: K::MIN, depth: 0 }];
        for depth in 0..K::BITS {
            if parts.len() >= PARTS {
                break;
            }
            let divided = parts.into_iter().flat_map(|part| match self.children(part.record) {
                Some((left, right)) if part.depth == depth && self.ipv4 != Some(part.record) => {
                    let upper = Part { record: right, start: part.start.upper_half(depth), depth: depth + 1 };
                    [Some(Part { record: left, depth: depth + 1, ..part }), Some(upper)]
                }
                _ => [Some(part), None],
            });
            parts = divided.flatten().collect();
        }
        parts
    }

    /// Every range of a part in ascending order. A network inside a /64 counts for all of it when it begins it, else not
    /// at all.
    ///
    /// # Errors
    ///
    /// Where the tree is deeper than an address, or no tree.
    pub fn walk<K: Key>(
        &self,
        part: Part<K>,
        mut leaf: impl FnMut(Leaf<K>) -> Result<(), MaxMindDbError>,
    ) -> Result<(), MaxMindDbError> {
        // Every node is passed once; more often only where nodes are shared, as by aliases of the IPv4 space. Both walks
        // over both families come to four times that, and a circle to far more.
        let most = self.count as usize * 4 + PARTS;
        let mut waiting = Vec::with_capacity(K::BITS as usize);
        let mut passed = 0;
        let mut next = Some(part);
        while let Some(mut part) = next {
            while self.ipv4 != Some(part.record)
                && let Some((left, right)) = self.children(part.record)
            {
                passed += 1;
                if part.depth == K::BITS {
                    part.record = self.first_below(left)?;
                    break;
                }
                let start = part.start.upper_half(part.depth);
                part = Part { record: left, depth: part.depth + 1, ..part };
                waiting.push(Part { record: right, start, depth: part.depth });
            }
            leaf((part.start, self.data(part.record)))?;
            if passed > most {
                return Err(shared());
            }
            next = waiting.pop();
        }
        let before = self.passed.fetch_add(passed, Ordering::Relaxed);
        if before + passed > most { Err(shared()) } else { Ok(()) }
    }

    /// What the first address below the keys' bits leads to.
    fn first_below(&self, left: u32) -> Result<u32, MaxMindDbError> {
        let end = (1..self.below).try_fold(left, |record, _| match self.children(record) {
            Some((left, _)) if self.ipv4 != Some(record) => ControlFlow::Continue(left),
            _ => ControlFlow::Break(record),
        });
        match end {
            ControlFlow::Break(record) => Ok(record),
            ControlFlow::Continue(record) if record >= self.count && self.below > 0 => Ok(record),
            ControlFlow::Continue(_) => Err(broken("the search tree is deeper than an address")),
        }
    }

    fn data(&self, record: u32) -> Option<u32> {
        // A pointer into the separator leads nowhere either; it is refused with those beyond the end.
        (record > self.count).then(|| (record - self.count).wrapping_sub(SEPARATOR as u32))
    }
}

pub(super) fn broken(message: &str) -> MaxMindDbError {
    MaxMindDbError::invalid_database(message)
}

fn shared() -> MaxMindDbError {
    broken("the search tree is no tree: it has more branches than its nodes allow")
}
