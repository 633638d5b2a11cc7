//! Who holds a verified copy of what, per release: one set for nearly all assets, and the exceptions.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use crate::model::{AssetIndex, MirrorSet};

/// The mirrors that hold each asset of one release, verified.
#[derive(Debug, Default)]
pub struct Holders {
    /// Those that hold the whole release.
    whole: MirrorSet,
    /// Assets that other mirrors hold as well; equal sets are shared.
    exceptions: FxHashMap<AssetIndex, Arc<MirrorSet>>,
}

impl Holders {
    /// From the mirrors that hold everything, and for those that hold a part which assets.
    pub fn new(whole: MirrorSet, parts: &[(crate::model::MirrorId, Vec<AssetIndex>)]) -> Self {
        // While a release spreads, most mirrors hold another part of it: a bit for every asset and mirror.
        let count = parts.iter().flat_map(|(_, assets)| assets).max().map_or(0, |asset| *asset as usize + 1);
        let mut sets: Vec<Option<MirrorSet>> = vec![None; count];
        for (mirror, assets) in parts {
            for asset in assets {
                sets[*asset as usize].get_or_insert_with(|| whole.clone()).insert(*mirror);
            }
        }
        let mut interned: FxHashMap<MirrorSet, Arc<MirrorSet>> = FxHashMap::default();
        let mut intern =
            |set: MirrorSet| Arc::clone(interned.entry(set).or_insert_with_key(|set| Arc::new(set.clone())));
        let held = (0..).zip(sets).filter_map(|(asset, set): (AssetIndex, _)| Some((asset, set?)));
        let exceptions = held.map(|(asset, set)| (asset, intern(set))).collect();
        Self { whole, exceptions }
    }

    /// The mirrors that hold this asset.
    #[inline]
    pub fn of(&self, asset: AssetIndex) -> &MirrorSet {
        if self.exceptions.is_empty() {
            return &self.whole;
        }
        self.exceptions.get(&asset).map_or(&self.whole, Arc::as_ref)
    }

    /// The mirrors that hold the whole release.
    pub fn whole(&self) -> &MirrorSet {
        &self.whole
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::MirrorId;

    #[test]
    fn whole_and_partial_holders_add_up() {
        let whole: MirrorSet = [MirrorId(1)].into_iter().collect();
        let holders = Holders::new(whole.clone(), &[(MirrorId(2), vec![0, 5]), (MirrorId(3), vec![5])]);
        let of = |asset| holders.of(asset).iter().map(|m| m.0).collect::<Vec<_>>();
        assert_eq!((of(0), of(1), of(5)), (vec![1, 2], vec![1], vec![1, 2, 3]));
        assert_eq!(holders.whole(), &whole);
    }

    proptest::proptest! {
        /// Against a list of (mirror, asset) pairs; a mirror holds everything, or what is listed for it.
        #[test]
        fn an_asset_is_held_by_the_whole_mirrors_and_those_that_list_it(
            mirrors in proptest::collection::vec(
                proptest::option::weighted(0.7, proptest::collection::btree_set(0u32..30, 0..30)), 0..90),
        ) {
            let ids = || (0..).map(MirrorId).zip(&mirrors);
            let whole = ids().filter(|(_, part)| part.is_none()).map(|(id, _)| id).collect();
            let parts: Vec<(MirrorId, Vec<AssetIndex>)> =
                ids().filter_map(|(id, part)| Some((id, part.as_ref()?.iter().copied().collect()))).collect();
            let holders = Holders::new(whole, &parts);
            for asset in 0..30 {
                let holds = |part: &Option<std::collections::BTreeSet<u32>>| {
                    part.as_ref().is_none_or(|part| part.contains(&asset))
                };
                let expected: MirrorSet = ids().filter(|(_, part)| holds(part)).map(|(id, _)| id).collect();
                proptest::prop_assert_eq!(holders.of(asset), &expected);
            }
        }
    }
}
