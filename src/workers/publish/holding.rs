//! What one mirror holds of one release, and which looks at it count.

use std::collections::{BTreeMap, BTreeSet};

use crate::health::Copies;
use crate::model::AssetIndex;
use crate::workers::fact::CopyRef;

/// What one mirror holds of one release, and what is being hashed. There is one for every release on every mirror: 64
/// bytes while nothing is going on.
#[derive(Debug)]
pub struct Holding {
    /// The ledger's entry.
    pub copies: Copies,
    /// Looks that began before this epoch prove nothing here: a contradiction came between, or a release of other assets.
    proven_from: u64,
    /// Single copies that something is to be remembered of; `None`: of none.
    singled_out: Option<Box<SingledOut>>,
}

#[derive(Debug, Default)]
struct SingledOut {
    /// Assets that are being hashed.
    busy: BTreeSet<AssetIndex>,
    /// From which epoch on a look proves something, where a look at a copy that was not held was contradicted meanwhile.
    proven_from: BTreeMap<AssetIndex, u64>,
}

impl Holding {
    /// Looks that begin in this epoch or later count.
    pub(super) const fn new(copies: Copies, epoch: u64) -> Self {
        Self { copies, proven_from: epoch, singled_out: None }
    }

    fn settle(&mut self) {
        self.singled_out.take_if(|them| them.busy.is_empty() && them.proven_from.is_empty());
    }

    /// Whether a look at this copy that was good proves that it is.
    pub(super) fn is_proof(&self, copy: &CopyRef) -> bool {
        let of_copy = self.singled_out.as_ref().and_then(|them| them.proven_from.get(&copy.asset));
        copy.epoch >= self.proven_from.max(of_copy.copied().unwrap_or(0))
    }

    /// The copy was proven: no look before stands against it.
    pub(super) fn was_proven(&mut self, asset: AssetIndex) {
        if let Some(them) = &mut self.singled_out {
            them.proven_from.remove(&asset);
            self.settle();
        }
    }

    /// All copies have to be hashed by looks that begin in this epoch or later.
    pub(super) fn distrust(&mut self, epoch: u64) {
        self.proven_from = epoch;
        self.copies.set_pending();
        if let Some(them) = &mut self.singled_out {
            them.proven_from.clear();
            self.settle();
        }
    }

    /// The same for a single copy that is not held.
    pub(super) fn distrust_copy(&mut self, asset: AssetIndex, epoch: u64) {
        self.singled_out.get_or_insert_default().proven_from.insert(asset, epoch);
    }

    /// Whether any of the copies is being hashed.
    pub(super) fn is_busy(&self) -> bool {
        self.singled_out.as_ref().is_some_and(|them| !them.busy.is_empty())
    }

    /// Whether this copy is being hashed.
    pub(super) fn is_busy_with(&self, asset: AssetIndex) -> bool {
        self.singled_out.as_ref().is_some_and(|them| them.busy.contains(&asset))
    }

    /// The copy is being hashed from now on.
    pub(super) fn begin(&mut self, asset: AssetIndex) {
        self.singled_out.get_or_insert_default().busy.insert(asset);
    }

    /// It is not any more.
    pub(super) fn end(&mut self, asset: AssetIndex) {
        if let Some(them) = &mut self.singled_out {
            them.busy.remove(&asset);
            self.settle();
        }
    }

    /// Nothing is.
    pub(super) fn forget_busy(&mut self) {
        if let Some(them) = &mut self.singled_out {
            them.busy.clear();
            self.settle();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_at_rest_takes_little_on_every_mirror() {
        assert!(size_of::<Option<Holding>>() <= 64, "there may be millions");
        let mut holding = Holding::new(Copies::unknown(2), 0);
        holding.begin(1);
        holding.distrust_copy(1, 5);
        assert!(holding.is_busy_with(1) && !holding.is_busy_with(0));
        holding.was_proven(1);
        holding.end(1);
        assert!(holding.singled_out.is_none());
    }
}
