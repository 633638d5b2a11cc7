//! Fingerprints of verified copies: by these a probe recognises a copy that was replaced.

use crate::model::{AssetIndex, Fingerprint};

/// How many copies of one release on one mirror probes can recognise; they rotate over these.
pub const MARKS_MAX: usize = 64;
/// How many copies on one mirror they recognise, where it may hold many releases; every release keeps one.
const MARKS_PER_MIRROR: usize = 512;

/// How many copies of each release probes recognise on a mirror that may hold so many releases: 64 where these are up
/// to 8, one from 257 on. A mirror is probed every few seconds, so that a thousand fingerprints would last for hours;
/// what is not probed is sampled and hashed again in its turn.
pub fn marks_per_release(releases: usize) -> usize {
    (MARKS_PER_MIRROR / releases.max(1)).clamp(1, MARKS_MAX)
}

/// Fingerprints by asset, in order. One needs no further memory: that is what most releases have where there are many.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) enum Marks {
    #[default]
    None,
    One(AssetIndex, Fingerprint),
    Several(Box<Several>),
}

/// Two or more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Several(Vec<(AssetIndex, Fingerprint)>);

impl Marks {
    /// From a list in order of the asset.
    pub fn new(list: Vec<(AssetIndex, Fingerprint)>) -> Self {
        match list[..] {
            [] => Self::None,
            [(asset, mark)] => Self::One(asset, mark),
            [..] => Self::Several(Box::new(Several(list))),
        }
    }

    fn edit(&mut self, change: impl FnOnce(&mut Vec<(AssetIndex, Fingerprint)>)) {
        let mut list = match std::mem::take(self) {
            Self::None => Vec::new(),
            Self::One(asset, mark) => vec![(asset, mark)],
            Self::Several(several) => several.0,
        };
        change(&mut list);
        *self = Self::new(list);
    }

    /// Notes a copy's fingerprint, as long as there is room.
    pub fn put(&mut self, asset: AssetIndex, mark: Fingerprint) {
        self.edit(|list| match list.binary_search_by_key(&asset, |(a, _)| *a) {
            Ok(at) => list[at].1 = mark,
            Err(at) if list.len() < MARKS_MAX => list.insert(at, (asset, mark)),
            Err(_) => {}
        });
    }

    pub fn remove(&mut self, asset: AssetIndex) {
        if self.of(asset).is_some() {
            self.edit(|list| list.retain(|(a, _)| *a != asset));
        }
    }

    /// Forgets all but the first so many.
    pub fn keep(&mut self, most: usize) {
        if self.len() > most {
            self.edit(|list| {
                list.truncate(most);
                list.shrink_to_fit();
            });
        }
    }

    pub fn len(&self) -> usize {
        match self {
            Self::None => 0,
            Self::One(..) => 1,
            Self::Several(several) => several.0.len(),
        }
    }

    fn get(&self, at: usize) -> Option<(AssetIndex, Fingerprint)> {
        match self {
            Self::One(asset, mark) if at == 0 => Some((*asset, *mark)),
            Self::Several(several) => several.0.get(at).copied(),
            Self::None | Self::One(..) => None,
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = (AssetIndex, Fingerprint)> + '_ {
        (0..self.len()).filter_map(|at| self.get(at))
    }

    pub fn assets(&self) -> impl ExactSizeIterator<Item = AssetIndex> + '_ {
        (0..self.len()).map(|at| self.get(at).map_or(AssetIndex::MAX, |(asset, _)| asset))
    }

    pub fn of(&self, asset: AssetIndex) -> Option<Fingerprint> {
        match self {
            Self::None => None,
            Self::One(marked, mark) => (*marked == asset).then_some(*mark),
            Self::Several(several) => {
                let at = several.0.binary_search_by_key(&asset, |(a, _)| *a).ok()?;
                Some(several.0[at].1)
            }
        }
    }

    /// The same marks after their assets have moved; those that have no place any more go.
    pub fn moved(&self, place: impl Fn(AssetIndex) -> Option<AssetIndex>) -> Self {
        let mut list: Vec<_> = self.iter().filter_map(|(asset, mark)| Some((place(asset)?, mark))).collect();
        list.sort_unstable_by_key(|(asset, _)| *asset);
        Self::new(list)
    }
}
