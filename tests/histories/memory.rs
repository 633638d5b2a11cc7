//! Where a history's service remembers: the real store, or the same in memory.

use std::collections::{BTreeSet, HashMap, HashSet};

use waypost::model::{MirrorName, ProductName, Version};
use waypost::store::{
    KnownManifest, Loaded, NewOrder, Observation, Order, ReleaseCopies, Store, StoredCopies,
};

/// What was recorded, kept in memory.
#[derive(Debug, Default)]
pub struct Recorded {
    orders: Vec<Order>,
    manifests: HashMap<(ProductName, Version), KnownManifest>,
    standings: HashMap<MirrorName, Vec<u8>>,
    copies: HashMap<(MirrorName, ProductName, Version), Vec<u8>>,
}

#[derive(Debug)]
pub enum Memory {
    Ram(Recorded),
    /// The store is closed for a moment while the service restarts.
    Disk(tempfile::TempDir, Option<Store>),
}

impl Memory {
    pub fn ram() -> Self {
        Self::Ram(Recorded::default())
    }

    pub fn disk() -> Self {
        Self::Disk(tempfile::tempdir().unwrap(), None)
    }

    pub fn load(&mut self) -> Loaded {
        match self {
            Self::Ram(recorded) => recorded.load(),
            Self::Disk(folder, store) => {
                drop(store.take());
                let (opened, loaded) = Store::open(folder.path()).unwrap();
                *store = Some(opened);
                loaded
            }
        }
    }

    pub fn record(&mut self, batch: &[Observation]) {
        match self {
            Self::Ram(recorded) => batch.iter().for_each(|observation| recorded.take(observation)),
            Self::Disk(_, store) => store.as_mut().unwrap().record(batch).unwrap(),
        }
    }

    pub fn append(&mut self, order: NewOrder) -> Order {
        match self {
            Self::Disk(_, store) => store.as_mut().unwrap().append(order).unwrap(),
            Self::Ram(recorded) => {
                let NewOrder { at, actor, reason, action } = order;
                let order = Order { id: recorded.orders.len() as u64 + 1, at, actor, reason, action };
                recorded.orders.push(order.clone());
                order
            }
        }
    }
}

impl Recorded {
    fn load(&self) -> Loaded {
        Loaded {
            orders: self.orders.clone(),
            manifests: self.manifests.values().cloned().collect(),
            standings: self.standings.iter().map(|(m, body)| (m.clone(), body.clone())).collect(),
            copies: self.copies(),
            ..Loaded::default()
        }
    }

    fn copies(&self) -> StoredCopies {
        let mirrors: BTreeSet<&MirrorName> = self.copies.keys().map(|(mirror, _, _)| mirror).collect();
        let mut stored = StoredCopies::of(mirrors.iter().copied().cloned().collect());
        let releases: HashSet<_> =
            self.copies.keys().map(|(_, product, version)| (product, version)).collect();
        for (product, version) in releases {
            let mut held = ReleaseCopies::new(product.clone(), version.clone());
            for (place, mirror) in (0..).zip(&mirrors) {
                let key = (MirrorName::clone(mirror), product.clone(), version.clone());
                self.copies.get(&key).into_iter().for_each(|body| held.push(place, body));
            }
            stored.releases.push(held);
        }
        stored
    }

    fn take(&mut self, observation: &Observation) {
        match observation.clone() {
            Observation::Manifest(known) => {
                self.manifests.insert((known.product.clone(), known.version.clone()), known);
            }
            Observation::ManifestGone { product, version } => {
                self.copies.retain(|(_, p, v), _| (p, v) != (&product, &version));
                self.manifests.remove(&(product, version));
            }
            Observation::Standing { mirror, body } => drop(self.standings.insert(mirror, body)),
            Observation::Copies { mirror, product, version, body } => {
                self.copies.insert((mirror, product, version), body);
            }
            Observation::CopiesGone { mirror, product, version } => {
                self.copies.remove(&(mirror, product, version));
            }
            Observation::MirrorGone { mirror } => {
                self.standings.remove(&mirror);
                self.copies.retain(|(m, _, _), _| *m != mirror);
            }
            // Nothing that decides whom to send where.
            Observation::Examined { .. }
            | Observation::Blocks { .. }
            | Observation::BlocksGone { .. }
            | Observation::Single { .. }
            | Observation::Access(_) => {}
        }
    }
}
