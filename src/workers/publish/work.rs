//! What is looked at next: the writer knows everything that decides it, so workers ask.

use url::Url;

use crate::catalog::ReleaseId;
use crate::health::{Copies, State};
use crate::model::{AssetIndex, MirrorName, Timestamp};
use crate::workers::fact::{CopyRef, Examine, ExpectedCopy, NextWork, ProbeTarget, Purpose, Work};

use super::sampling::Draw;
use super::world::World;

/// A copy to look at, and why.
pub(super) type Picked = (ReleaseId, AssetIndex, Purpose);

impl World {
    /// What to probe a mirror with: in turn the copies that it is known to hold, else in turn those that it should hold
    /// (a single bad file must not keep a mirror out), else its own URL. `None` where the mirror is not configured.
    pub fn probe_target(&mut self, mirror: &MirrorName) -> Option<ProbeTarget> {
        self.by_priority();
        let state = self.mirrors.get(mirror)?;
        let next_in = state.standing.next_look(&self.prepared.config.probe);
        let held =
            |id: &&ReleaseId| self.copies_of(state, id).is_some_and(|copies| copies.marked().len() > 0);
        let holding: Vec<&ReleaseId> = self.priority.iter().filter(held).collect();
        let picked = match holding.len() {
            0 => self.expected_in_turn(state.probes),
            releases => {
                let id = holding[state.probes % releases];
                let marked = self.copies_of(state, id).map(Copies::marked);
                marked.and_then(|mut m| m.nth((state.probes / releases) % m.len())).map(|asset| (id, asset))
            }
        };
        let Some((id, asset)) = picked else {
            let url = self.compiled().get(self.compiled().id_of(mirror)?).base.parse().ok()?;
            return Some(ProbeTarget { url, expects: None, next_in });
        };
        let release = self.releases.get(id)?.release.clone();
        let mark = self.copies_of(state, id).and_then(|copies| copies.mark_of(asset));
        let copy = CopyRef { mirror: mirror.clone(), release: id.clone(), asset, epoch: self.epoch };
        let url = self.url_of(&copy)?;
        Some(ProbeTarget { url, expects: Some(ExpectedCopy { copy, release, mark }), next_in })
    }

    fn expected_in_turn(&self, turn: usize) -> Option<(&ReleaseId, AssetIndex)> {
        let id = self.priority.get(turn % self.priority.len().max(1))?;
        let assets = self.releases.get(id)?.release.assets.len();
        Some((id, (turn / self.priority.len() % assets.max(1)) as AssetIndex))
    }

    pub(super) fn url_of(&self, copy: &CopyRef) -> Option<Url> {
        let mirrors = self.compiled();
        let release = &self.releases.get(&copy.release)?.release;
        mirrors.get(mirrors.id_of(&copy.mirror)?).url(release, release.asset(copy.asset)).parse().ok()
    }

    /// The next copy to hash on a mirror, which counts as being hashed from now on. `draw` is any number that mirrors
    /// cannot foresee; it chooses what is sampled.
    pub fn next_work(&mut self, mirror: &MirrorName, now: Timestamp, draw: u64) -> NextWork {
        self.by_priority();
        let mut draw = Draw(draw);
        let (picked, until) = match self.mirrors.get(mirror).map(|state| state.standing.state) {
            None | Some(State::New | State::Down) => (None, None),
            Some(State::Returning) => (self.next_return(mirror), None),
            Some(State::Healthy) => {
                let (first, until) = self.next_first(mirror, now);
                match first.or_else(|| self.next_recheck(mirror, now)) {
                    Some(picked) => (Some(picked), until),
                    None => match self.next_sample(mirror, now, &mut draw) {
                        Ok(picked) => (Some(picked), until),
                        Err(due) => (None, until.into_iter().chain(due).min()),
                    },
                }
            }
        };
        let work = picked.and_then(|picked| self.hand_out(mirror, picked, &mut draw));
        work.map_or(NextWork::Nothing { until }, |work| NextWork::Now(Box::new(work)))
    }

    fn hand_out(
        &mut self,
        mirror: &MirrorName,
        (id, asset, purpose): Picked,
        draw: &mut Draw,
    ) -> Option<Work> {
        let known = self.releases.get(&id)?;
        let (number, release) = (known.number, known.release.clone());
        let assets = release.assets.len() as AssetIndex;
        let copy = CopyRef { mirror: mirror.clone(), release: id, asset, epoch: self.epoch };
        let url = self.url_of(&copy)?;
        self.mirrors.get_mut(mirror)?.holding(number, assets, self.epoch).begin(asset);
        let examine = match purpose {
            Purpose::Sample => Examine { sample: self.sample(&copy, draw), ..Examine::default() },
            Purpose::First | Purpose::Return | Purpose::Recheck => self.examine(&copy),
        };
        Some(Work { copy, release, url, purpose, examine })
    }

    /// Any one of its verified copies, the smallest of the most important release.
    fn next_return(&self, mirror: &MirrorName) -> Option<Picked> {
        let state = self.mirrors.get(mirror)?;
        if state.is_busy() {
            return None;
        }
        let held = |id: &&ReleaseId| self.copies_of(state, id).is_some_and(Copies::holds_any);
        let id = self.priority.iter().find(held)?;
        let release = &self.releases.get(id)?.release;
        let smallest = self.copies_of(state, id)?.held().min_by_key(|asset| release.asset(*asset).size)?;
        Some((id.clone(), smallest, Purpose::Return))
    }

    fn next_first(&mut self, mirror: &MirrorName, now: Timestamp) -> (Option<Picked>, Option<Timestamp>) {
        let Some(state) = self.mirrors.get_mut(mirror) else { return (None, None) };
        let mut until: Option<Timestamp> = None;
        for id in &self.priority {
            let Some(known) = self.releases.get(id) else { continue };
            let assets = known.release.assets.len() as AssetIndex;
            let holding = state.holding(known.number, assets, self.epoch);
            let busy = |asset| holding.is_busy_with(asset);
            if let Some(asset) = holding.copies.next_pending(now, busy) {
                return (Some((id.clone(), asset, Purpose::First)), None);
            }
            let retry = holding.copies.next_retry(now, busy);
            until = until.into_iter().chain(retry).min();
        }
        (None, until)
    }

    /// A copy that could not be examined when it was hashed, which a channel may wait for, whatever the budget; else one
    /// that was verified long ago, as far as the day's budget goes; one pass at a time.
    fn next_recheck(&mut self, mirror: &MirrorName, now: Timestamp) -> Option<Picked> {
        let verify = self.prepared.config.verify;
        let state = self.mirrors.get_mut(mirror)?;
        if state.is_busy() {
            return None;
        }
        for id in &self.priority {
            let Some(known) = self.releases.get_mut(id) else { continue };
            let Some(copies) = state.copies(known.number) else { continue };
            if let Some(asset) = known.next_unexamined(copies, now) {
                return Some((id.clone(), asset, Purpose::Recheck));
            }
        }
        if !state.asked_to_verify && !state.costs.is_affordable(&verify, now) {
            return None;
        }
        for id in &self.priority {
            let Some(known) = self.releases.get(id) else { continue };
            let assets = known.release.assets.len() as AssetIndex;
            let holding = state.holding(known.number, assets, self.epoch);
            if holding.copies.is_stale(now, verify.recheck) {
                holding.copies.begin_pass_if_none();
            }
            if let Some(asset) = holding.copies.next_of_pass(now) {
                return Some((id.clone(), asset, Purpose::Recheck));
            }
        }
        state.asked_to_verify = false;
        None
    }
}
