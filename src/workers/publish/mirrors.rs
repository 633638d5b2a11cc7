//! What the writer knows of each mirror: how it stands and what it holds.

use std::cell::Cell;
use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::catalog::ReleaseId;
use crate::config::{LayoutPart, Mirror};
use crate::fetch::Families;
use crate::health::{Copies, Look, Standing, State, Tally, Trouble, marks_per_release};
use crate::model::{AssetIndex, CopyFault, Exclusion, MirrorName, Timestamp};
use crate::workers::fact::{CopyRef, Probed, Purpose, Verified, Wrong};

use super::holding::Holding;
use super::inventory::Stock;
use super::numbers::{ReleaseNumber, Table};
use super::sampling::Costs;
use super::work::Rest;
use super::world::World;

/// A standing as it is stored: it says something of the place where it was seen, not of the mirror's name.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct StoredStanding {
    #[serde(flatten)]
    pub standing: Standing,
    pub place: String,
}

/// Where a mirror keeps its files: a URL and a layout. What is known of a mirror is known of its place.
pub(super) fn place_of(mirror: &Mirror) -> String {
    let part = |part: &LayoutPart| match part {
        LayoutPart::Literal(text) => text.clone(),
        LayoutPart::Product => "{product}".to_owned(),
        LayoutPart::Version => "{version}".to_owned(),
        LayoutPart::Asset => "{asset}".to_owned(),
    };
    std::iter::once(mirror.url.to_string()).chain(mirror.layout.0.iter().map(part)).collect()
}

/// One mirror.
#[derive(Debug)]
pub struct MirrorState {
    /// Where it keeps its files.
    pub(super) place: String,
    /// How it stands.
    pub standing: Standing,
    /// What its name resolved to at the last probe.
    pub families: Option<Families>,
    /// Other hosts that its redirects led to.
    pub hosts: BTreeSet<String>,
    /// The epoch in which it began to come back: what was hashed for that before is of an earlier time.
    returns_from: u64,
    /// The epoch in which it became known: looks that began before were at another place of its name.
    known_from: u64,
    /// How far its probes are in their rotation over the releases in their order, and how often they went round.
    pub(super) turn: usize,
    /// Nothing is to be hashed here, samples aside.
    pub(super) rest: Option<Rest>,
    /// The sum of what it holds, until something changes.
    tally: Cell<Option<Tally>>,
    /// A whole pass that the operator asked for is under way; it is not counted against the budget.
    pub(super) asked_to_verify: bool,
    /// What rechecks and samples cost.
    pub(super) costs: Costs,
    holdings: Table<Holding>,
    /// What lies in its folders.
    pub(super) stocks: Table<Stock>,
}

/// Most hosts behind one mirror that are remembered.
const HOSTS_MAX: usize = 16;

impl MirrorState {
    /// A mirror at this place, of this standing, that holds nothing yet; known from this epoch on.
    pub fn new(place: String, standing: Standing, epoch: u64) -> Self {
        Self {
            place,
            standing,
            families: None,
            hosts: BTreeSet::new(),
            returns_from: 0,
            known_from: epoch,
            turn: 0,
            rest: None,
            tally: Cell::default(),
            asked_to_verify: false,
            costs: Costs::default(),
            holdings: Table::default(),
            stocks: Table::default(),
        }
    }

    /// What it holds of a release.
    pub(super) fn copies(&self, release: ReleaseNumber) -> Option<&Copies> {
        self.holdings.get(release).map(|holding| &holding.copies)
    }

    /// All that it holds.
    pub fn holdings(&self) -> impl Iterator<Item = &Holding> {
        self.holdings.values()
    }

    /// What it holds of a release that has this many assets; in this epoch, should nothing be known yet.
    pub(super) fn holding(&mut self, release: ReleaseNumber, assets: AssetIndex, epoch: u64) -> &mut Holding {
        let Self { holdings, tally, .. } = self;
        holdings.get_or_insert_with(release, || {
            tally.set(None);
            Holding::new(Copies::unknown(assets), epoch)
        })
    }

    /// What it holds changed, or may have: there may be something to hash.
    pub(super) fn stir(&mut self) {
        self.rest = None;
        self.tally.set(None);
    }

    /// Takes in what it held before the restart, with so many fingerprints at most.
    pub(super) fn put(&mut self, release: ReleaseNumber, mut copies: Copies, marks: usize) {
        copies.keep_marks(marks);
        self.holdings.insert(release, Holding::new(copies, 0));
    }

    /// Whether any copy is being hashed.
    pub(super) fn is_busy(&self) -> bool {
        self.holdings.values().any(Holding::is_busy)
    }

    pub(super) fn forget_busy(&mut self) {
        self.holdings.values_mut().for_each(Holding::forget_busy);
    }

    pub(super) fn forget(&mut self, release: ReleaseNumber) {
        self.holdings.remove(release);
        self.stocks.remove(release);
        self.stir();
    }

    /// Whether it holds any verified copy.
    pub fn holds_any(&self) -> bool {
        self.holdings.values().any(|holding| holding.copies.holds_any())
    }

    /// Copies by state, over all releases that it was asked for.
    pub fn tally(&self) -> Tally {
        let sum = || {
            let mut tally = Tally::default();
            self.holdings.values().for_each(|holding| tally += holding.copies.tally());
            tally
        };
        let tally = self.tally.get().unwrap_or_else(sum);
        self.tally.set(Some(tally));
        tally
    }
}

impl World {
    /// What a mirror holds of a release; `None` where nobody has looked.
    pub(super) fn copies_on(&self, mirror: &MirrorName, id: &ReleaseId) -> Option<&Copies> {
        self.copies_of(self.mirrors.get(mirror)?, id)
    }

    /// The same of a mirror that was looked up already.
    pub(super) fn copies_of<'w>(&self, mirror: &'w MirrorState, id: &ReleaseId) -> Option<&'w Copies> {
        mirror.copies(self.releases.get(id)?.number)
    }

    /// Whether a mirror is up and holds every asset of a release, verified.
    pub(super) fn is_whole_on(&self, mirror: &MirrorState, id: &ReleaseId) -> bool {
        mirror.standing.state == State::Healthy && self.copies_of(mirror, id).is_some_and(Copies::is_complete)
    }

    /// The same of a mirror as it is configured.
    pub(super) fn holds_whole(&self, mirror: &Mirror, id: &ReleaseId) -> bool {
        self.mirrors.get(&mirror.name).is_some_and(|state| self.is_whole_on(state, id))
    }

    /// Folds a look into a mirror's standing.
    fn look(&mut self, mirror: &MirrorName, look: Look, now: Timestamp) {
        let probe = self.prepared.config.probe;
        let Some(state) = self.mirrors.get_mut(mirror) else { return };
        let (before, fault_before) = (state.standing.state, state.standing.last_fault);
        state.standing = state.standing.clone().fold(look, now, &probe);
        if state.standing.state == State::Returning && !state.holds_any() {
            // Nothing that could be looked at, and nothing that it could be trusted with either.
            state.standing = state.standing.clone().fold(Look::Rehashed, now, &probe);
        }
        let after = state.standing.state;
        if after != State::Healthy && state.standing.last_fault != fault_before {
            // Explanations say why it is not in rotation.
            self.views.touch_availability();
        }
        if before != after {
            self.epoch += 1;
            state.returns_from = self.epoch;
            let reason = state.standing.last_fault.map(CopyFault::as_str);
            let (before, after) = (before.as_str(), after.as_str());
            tracing::info!(%mirror, before, after, reason, "a mirror's standing changed");
            self.dirty.standings.insert(mirror.clone());
            self.wake.insert(mirror.clone());
            self.views.touch_availability();
        }
    }

    pub(super) fn mirror_was_probed(&mut self, probed: Probed, now: Timestamp) {
        let Probed { mirror, copy, outcome, families, final_host } = probed;
        let Some(state) = self.mirrors.get_mut(&mirror) else { return };
        state.turn += 1;
        if families.is_some() && state.families != families {
            state.families = families;
            self.views.touch_availability();
        }
        if let Some(host) = final_host.filter(|_| state.hosts.len() < HOSTS_MAX)
            && state.hosts.insert(host)
        {
            self.views.touch_hosts();
        }
        match outcome {
            Ok(()) => self.look(&mirror, Look::Good, now),
            Err(wrong) => {
                let fault = wrong.fault;
                let withdrawn = copy.as_ref().is_some_and(|copy| self.withdrawn.contains_key(&copy.release));
                let was_held = copy.is_some_and(|copy| self.contradict(&copy, wrong, now));
                let look = match fault {
                    // A mirror that says it does not have what it never had is well.
                    CopyFault::Missing if !was_held => Look::Good,
                    // What is withdrawn may be deleted, or anything else: the mirror is there.
                    fault if withdrawn && fault.contradicts_copy() => Look::Good,
                    _ => Look::Failed(fault),
                };
                self.look(&mirror, look, now);
            }
        }
        self.ask_again_for_awaited(&mirror, now);
    }

    /// A probe or a sample saw something else where a copy should be: the copy is out, and where it was a verified one,
    /// its release's other copies there have to be hashed again. Says whether it was.
    pub(super) fn contradict(&mut self, copy: &CopyRef, wrong: Wrong, now: Timestamp) -> bool {
        let pace = self.prepared.config.probe.interval;
        let Some(known) = self.releases.get(&copy.release) else { return false };
        let assets = known.release.assets.len() as AssetIndex;
        let Some(state) = self.mirrors.get_mut(&copy.mirror) else { return false };
        let counted_otherwise = copy.epoch < known.counted_from.max(state.known_from);
        let holding = state.holding(known.number, assets, self.epoch);
        let was_held = holding.copies.holds(copy.asset);
        if !wrong.fault.contradicts_copy() {
            return was_held;
        }
        self.epoch += 1;
        if was_held || counted_otherwise || wrong.fault == CopyFault::ValidatorChanged {
            holding.distrust(self.epoch);
        } else {
            holding.distrust_copy(copy.asset, self.epoch);
        }
        // A validator that changed says nothing about the bytes yet: they are hashed at once, not after a wait.
        if wrong.fault != CopyFault::ValidatorChanged && !counted_otherwise {
            holding.copies.fail(copy.asset, wrong.fault, Some(wrong.evidence), now, pace);
        }
        if was_held {
            tracing::warn!(
                mirror = %copy.mirror,
                product = %copy.release.product,
                version = %copy.release.version,
                reason = %wrong.fault,
                "a verified copy is contradicted; the release's copies there are hashed again"
            );
        }
        self.copies_changed(&copy.mirror, &copy.release);
        was_held
    }

    pub(super) fn copy_was_hashed(&mut self, verified: Verified, now: Timestamp) {
        let Verified { copy, purpose, outcome, bytes, found } = verified;
        let (pace, verify) = (self.prepared.config.probe.interval, self.prepared.config.verify);
        let Some(known) = self.releases.get(&copy.release) else { return };
        let assets = known.release.assets.len() as AssetIndex;
        let Some(state) = self.mirrors.get_mut(&copy.mirror) else { return };
        if matches!(purpose, Purpose::Recheck | Purpose::Sample) {
            state.costs.book(&verify, bytes, now);
        }
        let returns = purpose == Purpose::Return
            && state.standing.state == State::Returning
            && copy.epoch >= state.returns_from;
        let counted_otherwise = copy.epoch < known.counted_from.max(state.known_from);
        let holding = state.holding(known.number, assets, self.epoch);
        if !counted_otherwise {
            holding.end(copy.asset);
        }
        if purpose == Purpose::Sample {
            return self.block_was_compared(&copy, outcome.map(drop), now);
        }
        let examined = outcome.is_ok() && !counted_otherwise;
        let look = match outcome {
            Ok(mark) if holding.is_proof(&copy) => {
                holding.was_proven(copy.asset);
                holding.copies.verify(copy.asset, mark, now);
                holding.copies.keep_marks(marks_per_release(self.releases.len()));
                Some(Look::Rehashed)
            }
            Ok(_) => None,
            Err(wrong) if counted_otherwise => {
                // Which copy this was is not known any more.
                if wrong.fault.contradicts_copy() {
                    self.epoch += 1;
                    holding.distrust(self.epoch);
                }
                None
            }
            Err(wrong) => {
                if wrong.fault.contradicts_copy() && holding.copies.holds(copy.asset) {
                    tracing::warn!(
                        mirror = %copy.mirror,
                        product = %copy.release.product,
                        version = %copy.release.version,
                        reason = %wrong.fault,
                        "a verified copy is not what it was; it is out of rotation"
                    );
                    // What happened to it while the mirror was down may have happened to the others.
                    if purpose == Purpose::Return {
                        self.epoch += 1;
                        holding.distrust(self.epoch);
                    }
                }
                let fault = wrong.fault;
                holding.copies.fail(copy.asset, fault, Some(wrong.evidence), now, pace);
                // A copy that is wrong leaves the mirror's others to try; one that could not be read says that the
                // mirror is not back.
                (!fault.contradicts_copy()).then_some(Look::Failed(fault))
            }
        };
        if examined {
            self.was_examined(&copy, found);
        }
        self.copies_changed(&copy.mirror, &copy.release);
        if let Some(look) = look.filter(|_| returns) {
            self.look(&copy.mirror, look, now);
        }
    }

    /// A mirror is asked for the missing copies of releases that a channel waits for at every probe.
    fn ask_again_for_awaited(&mut self, mirror: &MirrorName, now: Timestamp) {
        let Some(state) = self.mirrors.get_mut(mirror) else { return };
        let is_missing = |(_, trouble): (AssetIndex, &Trouble)| trouble.fault == CopyFault::Missing;
        let mut any = false;
        for id in &self.awaited {
            let number = self.releases.get(id).map(|known| known.number);
            if let Some(holding) = number.and_then(|number| state.holdings.get_mut(number))
                && holding.copies.trouble().any(is_missing)
            {
                holding.copies.retry_missing(now);
                any = true;
            }
        }
        if any {
            state.stir();
            self.wake.insert(mirror.clone());
        }
    }

    pub(super) fn copies_changed(&mut self, mirror: &MirrorName, id: &ReleaseId) {
        self.dirty.copies.insert((mirror.clone(), id.clone()));
        self.wake.insert(mirror.clone());
        self.mirrors.get_mut(mirror).into_iter().for_each(MirrorState::stir);
        self.views.touch_release(id);
    }

    pub(super) fn move_copies(
        &mut self,
        id: &ReleaseId,
        number: ReleaseNumber,
        now_at: &[AssetIndex],
        assets: AssetIndex,
    ) {
        self.epoch += 1;
        for (name, state) in &mut self.mirrors {
            if let Some(holding) = state.holdings.get_mut(number) {
                *holding = Holding::new(holding.copies.moved(now_at, assets), self.epoch);
                self.dirty.copies.insert((name.clone(), id.clone()));
                state.stir();
            }
        }
    }

    pub(super) fn set_drained(&mut self, mirror: &MirrorName, drained: bool) {
        if drained {
            self.drained.insert(mirror.clone());
        } else {
            self.drained.remove(mirror);
        }
        self.views.touch_availability();
    }

    /// Why a mirror gets no requests now.
    pub(super) fn exclusion(&self, mirror: &MirrorName) -> Option<Exclusion> {
        let standing =
            self.mirrors.get(mirror).map_or(Some(Exclusion::NotProbed), |m| m.standing.exclusion());
        standing.or(self.drained.contains(mirror).then_some(Exclusion::Drained))
    }

    /// Every copy on the mirror is to be hashed again; verified ones stay in rotation meanwhile.
    pub(super) fn begin_pass(&mut self, mirror: &MirrorName) {
        if let Some(state) = self.mirrors.get_mut(mirror) {
            for (id, known) in &self.releases {
                let Some(holding) = state.holdings.get_mut(known.number) else { continue };
                holding.copies.begin_pass();
                // A restart goes on from the ledger.
                self.dirty.copies.insert((mirror.clone(), id.clone()));
            }
            state.asked_to_verify = true;
            state.stir();
            self.wake.insert(mirror.clone());
        }
    }
}
