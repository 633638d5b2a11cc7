//! Two walks over a database's search trees: the first decodes every record that is used, once; the second writes down
//! the ranges. What would have to be kept for the second one otherwise is a hundred megabytes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::atomic::{AtomicU64, Ordering};

use maxminddb::{MaxMindDbError, Reader};
use serde::de::DeserializeOwned;

use super::geoip::FamilyPieces;
use super::ranges::{Key, NOTHING, Pieces};
use super::tree::{Part, Tree, broken};
use crate::tasks::on_all_cores;

/// A file that is being compiled.
pub(super) struct Walks<'a> {
    pub v4: Option<Tree<'a>>,
    pub v6: Option<Tree<'a>>,
    pub reader: Reader<&'a [u8]>,
}

/// A part of either family.
enum Either {
    V4(Part<u32>),
    V6(Part<u64>),
}

/// The records of a file that networks lead to, and what they say.
pub(super) struct Records<M> {
    /// Networks that lead to one.
    pub networks: usize,
    used: Vec<AtomicU64>,
    said: Vec<(u32, M)>,
}

/// The value of each record that networks lead to, by where it begins in the data section.
pub(super) struct Values {
    /// A bit for each offset that a record begins at: with the counts below, a tenth of a hash map, and it stays in the
    /// cache.
    used: Vec<u64>,
    /// How many begin below each word of bits.
    before: Vec<u32>,
    values: Vec<u32>,
}

impl Walks<'_> {
    /// Decodes every record that a network leads to.
    ///
    /// # Errors
    ///
    /// Where the tree or a record is damaged.
    pub fn records<R: DeserializeOwned, M: Send>(
        &self,
        file_len: usize,
        meaning: impl Fn(R) -> M + Sync,
    ) -> Result<Records<M>, MaxMindDbError> {
        let used: Vec<AtomicU64> = (0..file_len.div_ceil(64)).map(|_| AtomicU64::new(0)).collect();
        let find = |part| {
            let (mut networks, mut said) = (0, Vec::new());
            let mut found = |address: IpAddr, offset: Option<u32>| {
                let Some(offset) = offset else { return Ok(()) };
                networks += 1;
                let (word, bit) = (offset as usize / 64, 1 << (offset % 64));
                let word = used.get(word).ok_or_else(|| broken("a pointer leads beyond the file"))?;
                // Whoever is the first to set the bit decodes.
                if word.load(Ordering::Relaxed) & bit == 0 && word.fetch_or(bit, Ordering::Relaxed) & bit == 0
                {
                    let record = self.reader.lookup(address)?.decode::<R>()?;
                    let record = record.ok_or_else(|| broken("a network leads to no record"))?;
                    said.push((offset, meaning(record)));
                }
                Ok(())
            };
            let walked = match (part, &self.v4, &self.v6) {
                (Either::V4(part), Some(tree), _) => {
                    tree.walk(part, |(start, offset)| found(Ipv4Addr::from_bits(start).into(), offset))
                }
                (Either::V6(part), _, Some(tree)) => tree.walk(part, |(start, offset)| {
                    found(Ipv6Addr::from_bits(u128::from(start) << 64).into(), offset)
                }),
                _ => Ok(()),
            };
            walked.map(|()| (networks, said))
        };
        let v4 = self.v4.iter().flat_map(Tree::parts).map(Either::V4);
        let parts: Vec<Either> = v4.chain(self.v6.iter().flat_map(Tree::parts).map(Either::V6)).collect();
        let (mut networks, mut said) = (0, Vec::new());
        for found in on_all_cores(parts, find) {
            let (more, of_part) = found?;
            networks += more;
            said.extend(of_part);
        }
        Ok(Records { networks, used, said })
    }

    /// The ranges of both families, with the values of their records.
    ///
    /// # Errors
    ///
    /// Where a tree is damaged.
    pub fn pieces(&self, values: &Values) -> Result<FamilyPieces, MaxMindDbError> {
        Ok(FamilyPieces { v4: ranges(self.v4.as_ref(), values)?, v6: ranges(self.v6.as_ref(), values)? })
    }
}

fn ranges<K: Key + Send>(tree: Option<&Tree<'_>>, values: &Values) -> Result<Pieces<K>, MaxMindDbError> {
    let Some(tree) = tree else { return Ok(Pieces::overlay(Vec::new())) };
    let parts = on_all_cores(tree.parts(), |part| {
        let mut pieces = Pieces::new();
        let walked = tree.walk(part, |(start, offset)| {
            pieces.begin(start, offset.map_or(NOTHING, |offset| values.get(offset)));
            Ok(())
        });
        walked.map(|()| pieces)
    });
    Ok(Pieces::joined(parts.into_iter().collect::<Result<_, _>>()?))
}

impl<M> Records<M> {
    /// Gives every record the number of what it says, in the order of the file.
    pub fn numbered(mut self, mut number: impl FnMut(M) -> u32) -> Values {
        self.said.sort_unstable_by_key(|(offset, _)| *offset);
        let used: Vec<u64> = self.used.into_iter().map(AtomicU64::into_inner).collect();
        let counts =
            used.iter().scan(0, |below, word| Some(std::mem::replace(below, *below + word.count_ones())));
        let before = counts.collect();
        let values = self.said.into_iter().map(|(_, said)| number(said)).collect();
        Values { used, before, values }
    }
}

impl Values {
    #[inline]
    fn get(&self, offset: u32) -> u32 {
        let (word, below) = (offset as usize / 64, (1_u64 << (offset % 64)) - 1);
        let rank = self.before[word] + (self.used[word] & below).count_ones();
        self.values[rank as usize]
    }

    /// Whether no record said anything.
    pub fn all_nothing(&self) -> bool {
        self.values.iter().all(|value| *value == NOTHING)
    }
}
