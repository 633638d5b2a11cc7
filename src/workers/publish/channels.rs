//! Channels: they move up by themselves when a release is everywhere it should be, and step down when theirs is
//! withdrawn.

use std::cell::LazyCell;
use std::cmp::Ordering;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use crate::catalog::ReleaseId;
use crate::config::{Mirror, Promote, Ready};
use crate::health::{Copies, State};
use crate::model::{
    ChannelName, MirrorId, MirrorName, MirrorSet, ProductName, RegionId, Timestamp, Version, actor,
};
use crate::store::Action;

use super::mirrors::MirrorState;
use super::releases::Known;
use super::wanted::is_guarded;
use super::world::World;

/// A mirror that has been down for this long does not hold a release up.
const DOWN_TOO_LONG: Duration = Duration::from_secs(3600);

/// Moves are looked for at least this often: time alone makes some due, such as a mirror that has been down for long.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Most releases that are looked at, of those that a channel may wait for, when somebody asks.
const WAITING_MAX: usize = 20;

/// A channel of a product.
pub(super) type ChannelKey = (ProductName, ChannelName);

/// An order that nobody has to give: the state of things asks for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    /// In whose name.
    pub actor: &'static str,
    /// Why.
    pub reason: String,
    /// What.
    pub action: Action,
}

/// Whether a release is ready for a channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Readiness {
    /// It is.
    pub ready: bool,
    /// Mirrors that count and do not hold all of it.
    pub lacking: Vec<MirrorName>,
}

/// A mirror that readiness depends on.
#[derive(Clone, Copy)]
pub(super) struct Counted<'w> {
    id: MirrorId,
    pub mirror: &'w Mirror,
    /// What is known of it.
    state: Option<&'w MirrorState>,
}

/// For each channel the releases that it may move to by the rules, ready or not, the highest first.
pub(super) type Candidates = Vec<(ChannelKey, Vec<ReleaseId>)>;

impl World {
    /// The channels of a product: those configured, in their order, then those that manifests name or that point
    /// somewhere.
    pub(super) fn channels_of(&self, product: &ProductName) -> Vec<ChannelName> {
        let releases = self.releases.values().filter(|known| known.release.id.product == *product);
        self.channels_with(product, releases)
    }

    /// The same, where all releases of the product are at hand.
    pub(super) fn channels_with<'k>(
        &self,
        product: &ProductName,
        releases: impl Iterator<Item = &'k Known>,
    ) -> Vec<ChannelName> {
        let configured = self.prepared.config.products.iter().filter(|p| p.name == *product);
        let mut channels: Vec<ChannelName> = configured.flat_map(|p| p.channels.iter().cloned()).collect();
        let labels = releases.flat_map(|known| known.release.channels.iter().cloned());
        let pointing = self.pointers.keys().filter(|(p, _)| p == product).map(|(_, channel)| channel.clone());
        let mut others: Vec<ChannelName> = labels.chain(pointing).collect();
        others.sort();
        others.dedup();
        others.retain(|channel| !channels.contains(channel));
        channels.extend(others);
        channels
    }

    /// Every channel that a release is labelled for, and those whose release is withdrawn, with the releases that are
    /// labelled for it and may be handed out.
    fn labelled(&self) -> BTreeMap<ChannelKey, Vec<&ReleaseId>> {
        let mut labelled: BTreeMap<ChannelKey, Vec<&ReleaseId>> = BTreeMap::new();
        for (id, known) in &self.releases {
            if self.withdrawn.contains_key(id) {
                continue;
            }
            for channel in &known.release.channels {
                labelled.entry((id.product.clone(), channel.clone())).or_default().push(id);
            }
        }
        for key in self.pointers.keys().filter(|key| self.is_gone(key)) {
            labelled.entry(key.clone()).or_default();
        }
        labelled
    }

    /// The moves that are due: each has to be durable before it is carried out, and until then nothing changes but what
    /// is noted of the releases that channels wait for.
    ///
    /// A channel moves up to the highest labelled release that is ready. One whose release is withdrawn steps down, held
    /// or not: to the release that a rollback would lead to, else to the highest labelled one that is ready, else it
    /// stays and is gone (410) until there is one.
    pub fn due_moves(&mut self, now: Timestamp) -> Vec<Due> {
        self.looked_for_moves_at = Some(now);
        self.weigh_wants(now);
        self.renew_releases();
        let candidates = self.candidates.take().unwrap_or_else(|| self.all_candidates());
        debug_assert_eq!(candidates, self.all_candidates(), "something changed that candidates depend on");
        let counted = LazyCell::new(|| self.counted(now));
        let (mut moves, mut awaited) = (Vec::new(), HashSet::new());
        for (key, candidates) in &candidates {
            let gone = self.is_gone(key);
            let back = if gone { self.predecessor(key) } else { None };
            let to = back.or_else(|| {
                candidates.iter().find(|id| {
                    let may = self.is_ready(id, &key.1, &counted) && self.content_blocks(id).is_empty();
                    if !may {
                        awaited.insert((*id).clone());
                    }
                    may
                })
            });
            if let Some(to) = to.filter(|_| gone || self.moves_by_itself(key)) {
                moves.push(self.due_move(key.clone(), to.version.clone(), gone));
            }
        }
        drop(counted);
        (self.awaited, self.candidates) = (awaited, Some(candidates));
        moves
    }

    fn all_candidates(&self) -> Candidates {
        let labelled = self.labelled().into_iter();
        let candidates = labelled.map(|(key, labelled)| {
            let candidates = self.candidates(&key, labelled).into_iter().cloned().collect();
            (key, candidates)
        });
        candidates.collect()
    }

    /// Whether a move may be due that was not when moves were looked for last. Looking costs time with every release, and
    /// most facts, such as a probe that found what was expected, change nothing.
    pub(super) fn may_have_moves(&self, now: Timestamp) -> bool {
        self.has_changed() || self.looked_for_moves_at.is_none_or(|at| now.apart(at) >= LOOK_EVERY)
    }

    fn due_move(&self, key: ChannelKey, to: Version, gone: bool) -> Due {
        let pointer = self.pointers.get(&key);
        let from = pointer.map(|pointer| pointer.version.clone());
        let reason = match &from {
            Some(from) if gone => format!("{from}, which it pointed to, is withdrawn"),
            Some(_) | None => "the release is ready".to_owned(),
        };
        // Whoever set it to less than the highest release meant to keep it from that one, until it is above that.
        let above = pointer.filter(|_| gone).and_then(|pointer| {
            let is_lower = |version: &Version, above: &Version| self.is_higher(&key.0, above, version);
            let kept_from = |above: &&Version| is_lower(&pointer.version, above) && !is_lower(above, &to);
            pointer.above.as_ref().filter(kept_from).cloned()
        });
        let (product, channel) = key;
        Due {
            actor: actor::SERVICE,
            reason,
            action: Action::ChannelMove { product, channel, from, to, above },
        }
    }

    /// Whether a channel points to a release that is withdrawn.
    pub(super) fn is_gone(&self, key: &ChannelKey) -> bool {
        let Some(pointer) = self.pointers.get(key).filter(|_| !self.withdrawn.is_empty()) else {
            return false;
        };
        self.withdrawn.contains_key(&ReleaseId { product: key.0.clone(), version: pointer.version.clone() })
    }

    /// The labelled releases that a channel may move to by the rules, ready or not; the highest first. Where it has to
    /// leave a withdrawn release, any that is lower as well; higher ones only if it moves by itself.
    pub(super) fn candidates<'w>(
        &self,
        key: &ChannelKey,
        mut labelled: Vec<&'w ReleaseId>,
    ) -> Vec<&'w ReleaseId> {
        if let Some(pointer) = self.pointers.get(key) {
            let (product, at) = (&key.0, &pointer.version);
            let is_gone = self.is_gone(key);
            let lower = |id: &ReleaseId| is_gone && self.is_higher(product, at, &id.version);
            let may_go_up = !is_gone || self.moves_by_itself(key);
            let higher = |id: &ReleaseId| {
                let above = |floor: &Version| self.is_higher(product, &id.version, floor);
                may_go_up && above(at) && pointer.above.as_ref().is_none_or(above)
            };
            labelled.retain(|id| lower(id) || higher(id));
        }
        labelled.sort_by(|a, b| self.order(b, a));
        labelled
    }

    /// Whether a channel moves up by itself: automatic, and not held.
    pub(super) fn moves_by_itself(&self, key: &ChannelKey) -> bool {
        self.promote_mode(&key.1) == Promote::Auto && !self.held.contains(key)
    }

    /// Who moves a channel up.
    pub(super) fn promote_mode(&self, channel: &ChannelName) -> Promote {
        let configured = self.prepared.config.channels.iter().find(|c| c.name == *channel);
        configured.map(|c| c.promote).unwrap_or_default()
    }

    /// The releases that led a channel to where it points, which is the last of them. Going back to an earlier one
    /// forgets those that came after it, so that going back twice goes back two.
    fn trail(&self, key: &ChannelKey) -> Vec<&Version> {
        let mut trail: Vec<&Version> = Vec::new();
        let mut places: HashMap<&Version, usize> = HashMap::new();
        for version in self.history.get(key).into_iter().flatten() {
            match places.get(version).copied() {
                Some(at) => {
                    for left in trail.drain(at + 1..) {
                        places.remove(left);
                    }
                }
                None => {
                    places.insert(version, trail.len());
                    trail.push(version);
                }
            }
        }
        trail
    }

    /// The releases on a channel's trail but `from` that are published and not withdrawn, the last one first: what it may
    /// go back to from there.
    pub(super) fn earlier<'w>(
        &'w self,
        key: &ChannelKey,
        from: &Version,
    ) -> impl Iterator<Item = &'w ReleaseId> + use<'w> {
        let (product, from) = (key.0.clone(), from.clone());
        let before = self.trail(key).into_iter().rev().filter(move |version| **version != from);
        let ids = before.map(move |version| ReleaseId { product: product.clone(), version: version.clone() });
        let published = ids.filter_map(|id| Some(&self.releases.get(&id)?.release.id));
        published.filter(|id| !self.withdrawn.contains_key(id))
    }

    /// Where a channel goes back to: the last of the [earlier](Self::earlier) releases that is whole on a mirror in
    /// rotation.
    pub(super) fn predecessor(&self, key: &ChannelKey) -> Option<&ReleaseId> {
        let pointer = self.pointers.get(key)?;
        self.earlier(key, &pointer.version).find(|id| self.is_whole_somewhere(id))
    }

    /// Whether a mirror in rotation holds all of a release.
    pub(super) fn is_whole_somewhere(&self, id: &ReleaseId) -> bool {
        let is_whole = |mirror: &Mirror| self.copies_on(&mirror.name, id).is_some_and(Copies::is_complete);
        self.configured().any(|mirror| is_whole(mirror) && self.exclusion(&mirror.name).is_none())
    }

    /// The highest version of a product that is known now, labelled or not; at least this one.
    pub(super) fn highest<'w>(&'w self, product: &ProductName, at_least: &'w Version) -> &'w Version {
        let known = self.releases.keys().filter(|id| id.product == *product).map(|id| &id.version);
        known.fold(
            at_least,
            |highest, version| {
                if self.is_higher(product, version, highest) { version } else { highest }
            },
        )
    }

    /// Which of two releases of a product is higher: by version, else by when it was published.
    pub(super) fn order(&self, a: &ReleaseId, b: &ReleaseId) -> Ordering {
        self.order_within(&a.product, &a.version, &b.version)
    }

    fn order_within(&self, product: &ProductName, a: &Version, b: &Version) -> Ordering {
        let published = |version: &Version| {
            let id = ReleaseId { product: product.clone(), version: version.clone() };
            self.releases.get(&id).map(Known::published_at)
        };
        a.precedence(b).then_with(|| published(a).cmp(&published(b)))
    }

    pub(super) fn is_higher(&self, product: &ProductName, version: &Version, than: &Version) -> bool {
        version != than && self.order_within(product, version, than).is_gt()
    }

    /// What channels wait for: by channel, the releases that it would move to if they were ready and good.
    pub(super) fn waiting(&self, now: Timestamp) -> BTreeMap<ChannelKey, Vec<(&ReleaseId, Readiness)>> {
        let counted = self.counted(now);
        let mut waiting: BTreeMap<ChannelKey, Vec<(&ReleaseId, Readiness)>> = BTreeMap::new();
        for (key, labelled) in self.labelled() {
            let candidates = self.candidates(&key, labelled).into_iter().take(WAITING_MAX);
            let readiness = candidates.map(|id| (id, self.readiness_among(&counted, id, &key.1)));
            let waits = readiness.take_while(|(id, r)| !r.ready || !self.content_blocks(id).is_empty());
            let waits = waits.collect();
            waiting.insert(key, waits);
        }
        waiting
    }

    /// Whether a release is ready for a channel, by the channel's policy. Mirrors that are drained, have been down for
    /// an hour, or are not to hold it by their tier, are left out.
    pub fn readiness(&self, id: &ReleaseId, channel: &ChannelName, now: Timestamp) -> Readiness {
        self.readiness_among(&self.counted(now), id, channel)
    }

    /// The same, where the mirrors that count are at hand.
    pub(super) fn readiness_among(
        &self,
        counted: &[Counted<'_>],
        id: &ReleaseId,
        channel: &ChannelName,
    ) -> Readiness {
        let (holds, wants) = (self.holding(id), self.wanting(id));
        let lacking = counted.iter().filter(|one| !holds(one) && wants(one.mirror));
        let lacking = lacking.map(|one| one.mirror.name.clone()).collect();
        Readiness { ready: self.is_ready(id, channel, counted), lacking }
    }

    /// The mirrors that count now.
    pub(super) fn counted(&self, now: Timestamp) -> Vec<Counted<'_>> {
        let mirrors = (0..).map(MirrorId).zip(self.configured());
        let all = mirrors.map(|(id, mirror)| Counted { id, mirror, state: self.mirrors.get(&mirror.name) });
        all.filter(|one| self.state_counts(one.mirror, one.state, now)).collect()
    }

    /// Tells which mirrors are up, hold every asset of a release, and may serve it.
    pub(super) fn holding<'w>(&'w self, id: &'w ReleaseId) -> impl Fn(&Counted<'_>) -> bool + 'w {
        let (whole, entitled) = (self.whole_on(id), self.is_entitled(&id.product));
        move |one| {
            if entitled && !is_guarded(one.mirror) {
                return false;
            }
            let is_whole = |state: &MirrorState| {
                let holds = whole.map(|whole| whole.has(one.id) && state.standing.state == State::Healthy);
                debug_assert!(
                    holds.is_none_or(|holds| holds == self.is_whole_on(state, id)),
                    "{id:?} changed"
                );
                holds.unwrap_or_else(|| self.is_whole_on(state, id))
            };
            one.state.is_some_and(is_whole)
        }
    }

    fn is_ready(&self, id: &ReleaseId, channel: &ChannelName, counted: &[Counted<'_>]) -> bool {
        let (holds, wants) = (self.holding(id), self.wanting(id));
        // Even a share of nothing is no release that anybody could download. Nearly all releases that a cold start
        // asks about end here, before every mirror is asked about each.
        if self.whole_on(id).is_some_and(MirrorSet::is_empty) || !counted.iter().any(&holds) {
            return false;
        }
        let counted: Vec<_> = counted.iter().filter(|one| wants(one.mirror)).collect();
        let weighted: Vec<_> = counted.iter().copied().filter(|one| one.mirror.weight > 0).collect();
        let by_count = if weighted.is_empty() { &counted } else { &weighted };
        let holders = || by_count.iter().filter(|one| holds(one)).count();
        match self.policy(channel) {
            Ready::All => holders() == by_count.len(),
            Ready::Share(percent) => holders() as f64 >= by_count.len() as f64 * percent / 100.0,
            Ready::EachRegion(wanted) => {
                let mut regions: BTreeMap<Option<RegionId>, (usize, usize)> = BTreeMap::new();
                for one in &counted {
                    let (mirrors, holders) = regions.entry(one.mirror.region).or_default();
                    *mirrors += 1;
                    *holders += usize::from(holds(one));
                }
                regions.values().all(|(mirrors, holders)| *holders >= wanted.min(*mirrors))
            }
        }
    }

    /// Mirrors that are to hold a release and do not hold all of it, whatever the policies.
    pub fn lacking(&self, id: &ReleaseId, now: Timestamp) -> Vec<MirrorName> {
        self.lacking_among(&self.counted(now), id)
    }

    /// The same, where the mirrors that count are at hand.
    pub(super) fn lacking_among(&self, counted: &[Counted<'_>], id: &ReleaseId) -> Vec<MirrorName> {
        let holds = self.holding(id);
        let lacking = self.required_among(counted, id).filter(|one| !holds(one));
        lacking.map(|one| one.mirror.name.clone()).collect()
    }

    pub(super) fn counts(&self, mirror: &Mirror, now: Timestamp) -> bool {
        self.state_counts(mirror, self.mirrors.get(&mirror.name), now)
    }

    fn state_counts(&self, mirror: &Mirror, state: Option<&MirrorState>, now: Timestamp) -> bool {
        let long_down = |standing: &crate::health::Standing| {
            standing.state == State::Down && now.apart(standing.since) >= DOWN_TOO_LONG
        };
        !state.is_some_and(|state| long_down(&state.standing)) && !self.drained.contains(&mirror.name)
    }
}
