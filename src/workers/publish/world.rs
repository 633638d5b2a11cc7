//! Everything the writer knows: a fold over facts. Pure: no I/O, no clock; the writer records what is dirty and
//! publishes what changed.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use crate::catalog::ReleaseId;
use crate::config::{Mirror, Ready};
use crate::health::Standing;
use crate::model::{ChannelName, MirrorName, ProductName, Timestamp, Version};
use crate::store::{Action, Loaded, Observation, Order};
use crate::workers::fact::Fact;
use crate::workers::handle::Looks;
use crate::workers::prepare::Prepared;

use super::access::AccessState;
use super::channels::Candidates;
use super::mirrors::{MirrorState, StoredStanding, place_of};
use super::numbers::Numbers;
use super::origin::OriginState;
use super::releases::Known;
use super::remembered::Remembered;
use super::view::Views;
use super::wanted::Wanted;
use super::withdrawals::OriginWithdrawals;

/// Where a channel points.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pointer {
    /// The version.
    pub version: Version,
    /// Since when.
    pub since: Timestamp,
    /// It was set by hand, and moves up by itself only to a version above this one.
    pub above: Option<Version>,
}

/// A release that nobody is sent to any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Withdrawal {
    /// Since when.
    pub at: Timestamp,
    /// Who withdrew it; `origin` for the index or the manifest.
    pub actor: String,
    /// Why.
    pub reason: String,
    /// What to take instead, where that was named.
    pub replacement: Option<Version>,
}

/// What has to be written to the store.
#[derive(Debug, Default)]
pub(super) struct Dirty {
    pub standings: BTreeSet<MirrorName>,
    pub copies: HashSet<(MirrorName, ReleaseId)>,
    pub examined: HashSet<ReleaseId>,
    /// Observations that are ready as they are.
    pub other: Vec<Observation>,
}

/// What the writer has to do after facts were folded in.
#[derive(Debug, Default)]
pub struct Effects {
    /// What to record.
    pub observations: Vec<Observation>,
    /// Mirrors that have something to hash.
    pub wake: BTreeSet<MirrorName>,
}

/// Everything the writer knows.
#[derive(Debug)]
pub struct World {
    pub(super) prepared: Box<Prepared>,
    /// Counts up whenever looks that are under way stop proving something, so that a late result is recognised.
    pub(super) epoch: u64,
    pub(super) mirrors: HashMap<MirrorName, MirrorState>,
    /// Mirrors that the operator took out, whether configured now or not.
    pub(super) drained: BTreeSet<MirrorName>,
    pub(super) releases: HashMap<ReleaseId, Known>,
    /// Numbers of releases.
    pub(super) numbers: Numbers,
    pub(super) pointers: BTreeMap<(ProductName, ChannelName), Pointer>,
    /// Where each channel pointed, the first first; where it returned to stands there twice.
    pub(super) history: BTreeMap<(ProductName, ChannelName), Vec<Version>>,
    /// Channels that do not move up by themselves until they are released.
    pub(super) held: BTreeSet<(ProductName, ChannelName)>,
    /// Releases that nobody is sent to, published or not.
    pub(super) withdrawn: HashMap<ReleaseId, Withdrawal>,
    /// What the origin says of withdrawals.
    pub(super) origin_withdrawals: OriginWithdrawals,
    /// The last look at the origin, and how far it is believed.
    pub(super) origin: OriginState,
    /// How far the looks at the origin are; a round that folds one in publishes it.
    pub(super) looks: Looks,
    /// Releases that a channel has pointed to: their assets are final.
    pub(super) sealed: HashSet<ReleaseId>,
    /// Releases in the order in which they are hashed; made anew when it is empty.
    pub(super) priority: Vec<ReleaseId>,
    /// When work was last asked for.
    pub(super) asked_at: Timestamp,
    /// Releases that a channel waits for.
    pub(super) awaited: HashSet<ReleaseId>,
    /// Releases that channels may move to; worked out anew where it is not there.
    pub(super) candidates: Option<Candidates>,
    /// When moves of channels were last looked for; `None`: an order came since.
    pub(super) looked_for_moves_at: Option<Timestamp>,
    /// Signatures that were looked at before this epoch were verified with other keys.
    pub(super) keys_from: u64,
    /// What each tier wants.
    pub(super) wanted: Wanted,
    /// Who may have what.
    pub(super) access: AccessState,
    pub(super) dirty: Dirty,
    pub(super) wake: BTreeSet<MirrorName>,
    pub(super) views: Views,
}

impl World {
    /// From what the store held.
    pub fn new(prepared: Box<Prepared>, loaded: Loaded, now: Timestamp) -> Self {
        Self::resume(prepared, Remembered::new(loaded, now), now)
    }

    /// The same, where most of the work has been done while the configuration was compiled.
    pub fn resume(prepared: Box<Prepared>, remembered: Remembered, now: Timestamp) -> Self {
        let Remembered { releases, numbers, mirrors, rest: loaded } = remembered;
        let mut world = Self {
            epoch: 0,
            mirrors,
            drained: BTreeSet::new(),
            releases,
            numbers,
            pointers: BTreeMap::new(),
            history: BTreeMap::new(),
            held: BTreeSet::new(),
            withdrawn: HashMap::new(),
            origin_withdrawals: OriginWithdrawals::default(),
            origin: OriginState::default(),
            looks: Looks::default(),
            sealed: HashSet::new(),
            priority: Vec::new(),
            asked_at: now,
            awaited: HashSet::new(),
            candidates: None,
            looked_for_moves_at: None,
            keys_from: 0,
            wanted: Wanted::default(),
            dirty: Dirty::default(),
            wake: BTreeSet::new(),
            views: Views::default(),
            access: AccessState::new(&prepared),
            prepared,
        };
        world.load_access(loaded.issuer_keys, loaded.counted, now);
        world.releases.keys().for_each(|id| world.views.touch_release(id));
        world.load_blocks(loaded.blocks);
        world.await_examinations();
        world.load_sequence(&loaded.singles);
        // A pass that was asked for goes on from the ledger; the order is not given a second time.
        let standing_orders =
            loaded.orders.iter().filter(|o| !matches!(o.action, Action::MirrorVerify { .. }));
        standing_orders.for_each(|order| world.obey(order));
        world.adopt_mirrors(now);
        world
    }

    /// Folds one fact in.
    pub fn apply(&mut self, fact: Fact, now: Timestamp) {
        match fact {
            Fact::Origin(reading) => self.origin_was_read(reading, now),
            Fact::Probed(probed) => self.mirror_was_probed(probed, now),
            Fact::Verified(verified) => self.copy_was_hashed(verified, now),
            Fact::Reloaded(prepared) => self.reload(prepared, now),
            Fact::Listed(listed) => self.folder_was_listed(listed, now),
            Fact::Tick => self.forget_old_access(now),
        }
    }

    /// Carries out an order that is durable already.
    pub fn obey(&mut self, order: &Order) {
        (self.looked_for_moves_at, self.candidates) = (None, None);
        match &order.action {
            Action::MirrorDrain { mirror } => self.set_drained(mirror, true),
            Action::MirrorUndrain { mirror } => self.set_drained(mirror, false),
            Action::MirrorVerify { mirror } => self.begin_pass(mirror),
            Action::ChannelMove { product, channel, to, above, .. } => {
                let id = ReleaseId { product: product.clone(), version: to.clone() };
                self.sealed.insert(id);
                let key = (product.clone(), channel.clone());
                let stays = self.pointers.get(&key).filter(|pointer| pointer.version == *to);
                let since = stays.map_or(order.at, |pointer| pointer.since);
                if stays.is_none() {
                    self.history.entry(key.clone()).or_default().push(to.clone());
                }
                self.pointers.insert(key, Pointer { version: to.clone(), since, above: above.clone() });
                self.views.touch_product(product);
                self.priority.clear();
            }
            Action::ChannelHold { product, channel } => {
                self.held.insert((product.clone(), channel.clone()));
            }
            Action::ChannelRelease { product, channel } => {
                self.held.remove(&(product.clone(), channel.clone()));
            }
            Action::ReleaseWithdraw { product, version, replacement } => {
                let id = ReleaseId { product: product.clone(), version: version.clone() };
                let withdrawal = Withdrawal {
                    at: self.withdrawn.get(&id).map_or(order.at, |before| before.at),
                    actor: order.actor.clone(),
                    reason: order.reason.clone(),
                    replacement: replacement.clone(),
                };
                self.withdrawn.insert(id.clone(), withdrawal);
                self.views.touch_release(&id);
                self.priority.clear();
            }
            Action::ReleaseRestore { product, version } => {
                let id = ReleaseId { product: product.clone(), version: version.clone() };
                self.withdrawn.remove(&id);
                self.views.touch_release(&id);
                self.priority.clear();
            }
            Action::OriginAccept { sequence } => self.accept_sequence(order.id, *sequence),
            Action::TokenRevoke { issuer, token_id } => self.revoke(issuer, token_id),
        }
    }

    fn reload(&mut self, prepared: Box<Prepared>, now: Timestamp) {
        let keys = |prepared: &Prepared| prepared.config.origin.trusted_keys.clone();
        let keys_changed = keys(&self.prepared) != keys(&prepared);
        self.prepared = prepared;
        self.reload_access(now);
        self.adopt_mirrors(now);
        if keys_changed {
            self.keys_from = self.epoch;
            self.await_examinations();
        }
        // The workers were replaced: what they had in hand will not come back.
        self.mirrors.values_mut().for_each(MirrorState::forget_busy);
        self.wake.extend(self.mirrors.keys().cloned());
        self.views.touch_all();
        self.priority.clear();
    }

    /// Makes the known mirrors those of the configuration. One that serves from another place now is another mirror.
    fn adopt_mirrors(&mut self, now: Timestamp) {
        let configured: HashMap<MirrorName, String> =
            self.configured().map(|mirror| (mirror.name.clone(), place_of(mirror))).collect();
        let stays = |(name, state): &(&MirrorName, &MirrorState)| configured.get(*name) == Some(&state.place);
        let gone: Vec<_> = self.mirrors.iter().filter(|m| !stays(m)).map(|(name, _)| name.clone()).collect();
        self.epoch += 1;
        for mirror in gone {
            self.mirrors.remove(&mirror);
            self.dirty.other.push(Observation::MirrorGone { mirror });
        }
        for (mirror, place) in configured {
            let new = || MirrorState::new(place, Standing::new(now), self.epoch);
            self.mirrors.entry(mirror).or_insert_with(new);
        }
    }

    /// The configured mirrors in their order.
    pub(super) fn configured(&self) -> impl Iterator<Item = &Mirror> {
        self.prepared.config.mirrors.iter()
    }

    /// The policy of a channel.
    pub(super) fn policy(&self, channel: &ChannelName) -> Ready {
        let configured = self.prepared.config.channels.iter().find(|c| c.name == *channel);
        configured.map(|c| c.ready).unwrap_or_default()
    }

    /// What has to be recorded and who has to be woken since this was last asked.
    pub fn take_effects(&mut self) -> Effects {
        let dirty = std::mem::take(&mut self.dirty);
        let mut observations = dirty.other;
        for mirror in dirty.standings {
            if let Some(state) = self.mirrors.get(&mirror) {
                let (standing, place) = (state.standing.clone(), state.place.clone());
                let body = serde_json::to_vec(&StoredStanding { standing, place }).unwrap_or_default();
                observations.push(Observation::Standing { mirror, body });
            }
        }
        for (mirror, id) in dirty.copies {
            if let Some(copies) = self.copies_on(&mirror, &id) {
                let ReleaseId { product, version } = id;
                observations.push(Observation::Copies { mirror, product, version, body: copies.to_bytes() });
            }
        }
        for id in dirty.examined {
            if let Some(known) = self.releases.get(&id) {
                let body = serde_json::to_vec(&known.examined).unwrap_or_default();
                let ReleaseId { product, version } = id;
                observations.push(Observation::Examined { product, version, body });
            }
        }
        Effects { observations, wake: std::mem::take(&mut self.wake) }
    }

    /// The mirrors' compiled form.
    pub(super) fn compiled(&self) -> &Arc<crate::routing::Mirrors> {
        &self.prepared.mirrors
    }
}
