//! What is looked at next: the writer knows everything that decides it, so workers ask.

use std::time::Duration;

use url::Url;

use crate::catalog::ReleaseId;
use crate::health::{Copies, State};
use crate::model::{AssetIndex, MirrorName, Timestamp};
use crate::workers::fact::{CopyRef, Examine, ExpectedCopy, NextWork, ProbeTarget, Purpose, Work};

use super::sampling::{Costs, Draw};
use super::wanted::may_ask;
use super::world::World;

/// A copy to look at, and why.
pub(super) type Picked = (ReleaseId, AssetIndex, Purpose);

/// Nothing is to be hashed on a mirror, samples aside, until then; `None`: until something changes. Whatever changes what
/// is to be hashed forgets it ([`MirrorState::stir`], [`World::rouse_all`]), so that a mirror at rest costs nothing.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rest {
    until: Option<Timestamp>,
}

impl World {
    /// What to probe a mirror with: in turn the copies that it is known to hold, else in turn those that it should hold
    /// (a single bad file must not keep a mirror out), else its own URL. `None` where the mirror is not configured.
    pub fn probe_target(&mut self, mirror: &MirrorName) -> Option<ProbeTarget> {
        self.by_priority();
        let state = self.mirrors.get_mut(mirror)?;
        let marked = |turn: &usize| {
            let number =
                self.releases.get(&self.priority[turn % self.priority.len()]).map(|known| known.number);
            let copies = number.and_then(|number| state.copies(number));
            copies.is_some_and(|copies| copies.marked().len() > 0)
        };
        let found = (state.turn..state.turn + self.priority.len()).find(marked);
        let turn = found.unwrap_or(state.turn);
        // Those that are passed over now are not looked at again in this round.
        state.turn = turn;
        let state = self.mirrors.get(mirror)?;
        let picked = match found {
            None => self.expected_in_turn(mirror, turn),
            Some(_) => {
                let id = &self.priority[turn % self.priority.len()];
                let marked = self.copies_of(state, id).map(Copies::marked);
                marked.and_then(|mut m| m.nth(turn / self.priority.len() % m.len())).map(|asset| (id, asset))
            }
        };
        let Some((id, asset)) = picked else {
            let url = self.compiled().get(self.compiled().id_of(mirror)?).base.parse().ok()?;
            return Some(ProbeTarget { url, expects: None });
        };
        let release = self.releases.get(id)?.release.clone();
        let mark = self.copies_of(state, id).and_then(|copies| copies.mark_of(asset));
        let copy = CopyRef { mirror: mirror.clone(), release: id.clone(), asset, epoch: self.epoch };
        let url = self.url_of(&copy)?;
        Some(ProbeTarget { url, expects: Some(ExpectedCopy { copy, release, mark }) })
    }

    /// How long to wait after a probe before the next one. `None` where the mirror is not configured.
    pub fn next_probe_in(&self, mirror: &MirrorName) -> Option<Duration> {
        Some(self.mirrors.get(mirror)?.standing.next_look(&self.prepared.config.probe))
    }

    fn expected_in_turn(&self, mirror: &MirrorName, turn: usize) -> Option<(&ReleaseId, AssetIndex)> {
        let may_ask = may_ask(&self.prepared, mirror);
        let from_turn = self.priority.iter().cycle().skip(turn % self.priority.len().max(1));
        let id = from_turn.take(self.priority.len()).find(|id| may_ask(id))?;
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
        if std::mem::replace(&mut self.asked_at, now) > now {
            // The clock went back, and what was not due for a while may be now.
            self.rouse_all();
        }
        let mut draw = Draw(draw);
        let (picked, until) = match self.mirrors.get(mirror).map(|state| state.standing.state) {
            None | Some(State::New | State::Down) => (None, None),
            Some(State::Returning) => (self.next_return(mirror), None),
            Some(State::Healthy) => match self.next_whole(mirror, now) {
                Ok(picked) => (Some(picked), None),
                Err(until) => match self.next_sample(mirror, now, &mut draw) {
                    Ok(picked) => (Some(picked), None),
                    Err(due) => (None, earlier(until, due)),
                },
            },
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

    /// Every mirror may have something to hash.
    pub(super) fn rouse_all(&mut self) {
        self.mirrors.values_mut().for_each(|state| state.rest = None);
    }

    /// The next copy that is hashed whole; else when there is one, if nothing changes.
    fn next_whole(&mut self, mirror: &MirrorName, now: Timestamp) -> Result<Picked, Option<Timestamp>> {
        let rest = self.mirrors.get(mirror).and_then(|state| state.rest);
        if let Some(Rest { until }) = rest.filter(|rest| rest.until.is_none_or(|until| now < until)) {
            debug_assert!(self.look_for_whole(mirror, now).is_err(), "{mirror} rests with work to do");
            return Err(until);
        }
        let found = self.look_for_whole(mirror, now);
        if let (Err(until), Some(state)) = (&found, self.mirrors.get_mut(mirror)) {
            // What is being hashed was out of sight.
            state.rest = (!state.is_busy()).then_some(Rest { until: *until });
        }
        found
    }

    /// The same without remembering: goes through all releases.
    fn look_for_whole(&mut self, mirror: &MirrorName, now: Timestamp) -> Result<Picked, Option<Timestamp>> {
        self.next_first(mirror, now)
            .or_else(|until| self.next_recheck(mirror, now).map_err(|due| earlier(until, due)))
    }

    fn next_first(&mut self, mirror: &MirrorName, now: Timestamp) -> Result<Picked, Option<Timestamp>> {
        let may_ask = may_ask(&self.prepared, mirror);
        let state = self.mirrors.get_mut(mirror).ok_or(None)?;
        let mut until = None;
        for id in self.priority.iter().filter(|id| may_ask(id)) {
            let Some(known) = self.releases.get(id) else { continue };
            let assets = known.release.assets.len() as AssetIndex;
            let holding = state.holding(known.number, assets, self.epoch);
            let busy = |asset| holding.is_busy_with(asset);
            if let Some(asset) = holding.copies.next_pending(now, busy) {
                return Ok((id.clone(), asset, Purpose::First));
            }
            until = earlier(until, holding.copies.next_retry(now, busy));
        }
        Err(until)
    }

    /// A copy that could not be examined when it was hashed, which a channel may wait for, whatever the budget; else one
    /// that was verified long ago, as far as the day's budget goes; one pass at a time.
    fn next_recheck(&mut self, mirror: &MirrorName, now: Timestamp) -> Result<Picked, Option<Timestamp>> {
        let verify = self.prepared.config.verify;
        let may_ask = may_ask(&self.prepared, mirror);
        let state = self.mirrors.get_mut(mirror).ok_or(None)?;
        if state.is_busy() {
            return Err(None);
        }
        let mut until = None;
        for id in &self.priority {
            let Some(known) = self.releases.get_mut(id) else { continue };
            let Some(copies) = state.copies(known.number) else { continue };
            if let Some(asset) = known.next_unexamined(copies, now) {
                return Ok((id.clone(), asset, Purpose::Recheck));
            }
            until = earlier(until, known.unexamined_due(now));
        }
        if !state.asked_to_verify && !state.costs.is_affordable(&verify, now) {
            return Err(earlier(until, Some(Costs::next_day(now))));
        }
        for id in self.priority.iter().filter(|id| may_ask(id)) {
            let Some(known) = self.releases.get(id) else { continue };
            let assets = known.release.assets.len() as AssetIndex;
            let holding = state.holding(known.number, assets, self.epoch);
            if holding.copies.is_stale(now, verify.recheck) {
                holding.copies.begin_pass_if_none();
            }
            if let Some(asset) = holding.copies.next_of_pass(now) {
                return Ok((id.clone(), asset, Purpose::Recheck));
            }
            until = earlier(until, holding.copies.passed_at().map(|at| at.after(verify.recheck)));
        }
        state.asked_to_verify = false;
        Err(until)
    }
}

/// The earlier of two moments, where there is one.
fn earlier(a: Option<Timestamp>, b: Option<Timestamp>) -> Option<Timestamp> {
    a.into_iter().chain(b).min()
}
