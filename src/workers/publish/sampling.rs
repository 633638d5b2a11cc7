//! Between full passes: random blocks of random copies, about one a minute and mirror, as far as the day's budget goes.

use std::time::Duration;

use crate::catalog::ReleaseId;
use crate::config::Verify;
use crate::health::{Blocks, block_count};
use crate::model::{AssetIndex, MirrorName, Timestamp};
use crate::workers::fact::{CopyRef, Purpose, Sample, Work, Wrong};

use super::work::Picked;
use super::world::World;

/// Longest time from one sample of a mirror to the next; where full passes are more frequent than every hour, a
/// sixtieth of the time between them.
const SAMPLE_EVERY: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(86_400);

/// What looking at a mirror's copies again has cost, and when the next block is due.
#[derive(Debug, Default)]
pub(super) struct Costs {
    /// The day since 1970 that the counts are of.
    day: i64,
    bytes: u64,
    samples: u64,
    /// When a block was compared last.
    pub(super) sampled_at: Option<Timestamp>,
    next_sample_at: Option<Timestamp>,
}

impl Costs {
    /// Bytes of rechecks and samples, and the number of samples, of this day.
    pub(super) fn today(&self, now: Timestamp) -> (u64, u64) {
        if self.day == day_of(now) { (self.bytes, self.samples) } else { (0, 0) }
    }

    /// Whether the day's budget allows for another look.
    pub(super) fn is_affordable(&self, verify: &Verify, now: Timestamp) -> bool {
        self.today(now).0 < verify.budget
    }

    /// When there is a new day, with a new budget.
    pub(super) fn next_day(now: Timestamp) -> Timestamp {
        Timestamp::from_millis((day_of(now) + 1) * DAY.as_millis() as i64)
    }

    /// A recheck or a sample read so many bytes. The next sample waits until samples of this size, all day long, would
    /// take half of the budget: the other half is for passes.
    pub(super) fn book(&mut self, verify: &Verify, bytes: u64, now: Timestamp) {
        let (before, samples) = self.today(now);
        (self.day, self.bytes, self.samples) = (day_of(now), before.saturating_add(bytes), samples);
        let wait = u128::from(bytes) * DAY.as_millis() / u128::from(verify.budget / 2).max(1);
        let wait = Duration::from_millis(u64::try_from(wait).unwrap_or(u64::MAX)).min(DAY);
        self.next_sample_at = self.next_sample_at.max(Some(now.after(wait)));
    }

    /// When the next block is due. The first one is due after a while, as every other.
    fn sample_due(&mut self, verify: &Verify, now: Timestamp) -> Timestamp {
        let next = *self.next_sample_at.get_or_insert(now.after(every(verify)));
        // A moment farther off than any wait was set by a clock that has gone back since.
        if next > now.after(DAY.max(SAMPLE_EVERY)) { now } else { next }
    }
}

fn every(verify: &Verify) -> Duration {
    SAMPLE_EVERY.min(verify.recheck / 60)
}

fn day_of(now: Timestamp) -> i64 {
    now.as_millis().div_euclid(DAY.as_millis() as i64)
}

/// A number nobody can foresee, used up by one choice after the other.
#[derive(Debug, Clone, Copy)]
pub(super) struct Draw(pub(super) u64);

impl Draw {
    /// A number below `count`; 0 where that is 0.
    fn below(&mut self, count: u64) -> u64 {
        let count = count.max(1);
        let chosen = self.0 % count;
        self.0 /= count;
        chosen
    }
}

impl World {
    /// The block that is compared next, of any verified copy; else when one is due.
    pub(super) fn next_sample(
        &mut self,
        mirror: &MirrorName,
        now: Timestamp,
        draw: &mut Draw,
    ) -> Result<Picked, Option<Timestamp>> {
        let verify = self.prepared.config.verify;
        let state = self.mirrors.get_mut(mirror).ok_or(None)?;
        if !state.costs.is_affordable(&verify, now) || !state.holds_any() {
            return Err(None);
        }
        let due = state.costs.sample_due(&verify, now);
        if due > now {
            return Err(Some(due));
        }
        // Whoever is busy asks again when that has ended.
        if state.is_busy() {
            return Err(None);
        }
        state.costs.next_sample_at = Some(now.after(every(&verify)));
        let state = self.mirrors.get(mirror).ok_or(None)?;
        let held = |id: &ReleaseId| self.copies_of(state, id).filter(|copies| copies.holds_any());
        let held: Vec<_> = self.priority.iter().filter_map(|id| Some((id, held(id)?))).collect();
        let (id, copies) = held.get(draw.below(held.len() as u64) as usize).ok_or(None)?;
        let asset = copies.nth_held(draw.below(copies.tally().verified) as AssetIndex).ok_or(None)?;
        Ok(((*id).clone(), asset, Purpose::Sample))
    }

    /// Which block to compare. The digest of a file of one block is known; others are in the store.
    pub(super) fn sample(&self, copy: &CopyRef, draw: &mut Draw) -> Option<Sample> {
        let asset = self.releases.get(&copy.release)?.release.asset(copy.asset);
        let block = draw.below(block_count(asset.size));
        let digest = Blocks::single(asset.size, &asset.sha256).and_then(|blocks| blocks.digest(block));
        let mark = self.copies_on(&copy.mirror, &copy.release)?.mark_of(copy.asset);
        Some(Sample { block, digest, mark })
    }

    /// The blocks of this file are not known after all: all of it is hashed, and they are recorded.
    pub(super) fn hash_instead(&mut self, work: &mut Work) {
        if let Some(known) = self.releases.get_mut(&work.copy.release) {
            known.blocks.remove(work.copy.asset);
        }
        work.purpose = Purpose::Recheck;
        work.examine = self.examine(&work.copy);
    }

    /// A block that is right says nothing of the others; one that is wrong is as a probe's contradiction.
    pub(super) fn block_was_compared(&mut self, copy: &CopyRef, outcome: Result<(), Wrong>, now: Timestamp) {
        if let Some(state) = self.mirrors.get_mut(&copy.mirror) {
            state.costs.samples = state.costs.today(now).1 + 1;
            state.costs.sampled_at = Some(now);
            self.wake.insert(copy.mirror.clone());
        }
        if let Err(wrong) = outcome {
            self.contradict(copy, wrong, now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

    #[test]
    fn samples_take_half_of_the_budget_at_most_however_large_they_are() {
        let verify = Verify { budget: 20 << 30, ..Verify::default() };
        for block in [1, 256 << 10, 1 << 30, u64::MAX] {
            let mut costs = Costs::default();
            let mut now = NOW;
            let (mut read, mut count) = (0_u128, 0);
            let end = NOW.after(DAY);
            loop {
                now = costs.sample_due(&verify, now).max(now);
                if now >= end {
                    break;
                }
                costs.next_sample_at = Some(now.after(every(&verify)));
                costs.book(&verify, block, now);
                (read, count) = (read + u128::from(block), count + 1);
            }
            assert!(count <= 1440, "one a minute at most: {count}");
            assert!(count <= 2 || read <= (10 << 30) + u128::from(block), "{block}: {read}");
        }
    }

    #[test]
    fn a_new_day_has_a_new_budget_and_a_clock_that_goes_back_stops_nothing() {
        let verify = Verify { budget: 1000, ..Verify::default() };
        let mut costs = Costs::default();
        costs.book(&verify, 1000, NOW);
        assert!(!costs.is_affordable(&verify, NOW) && costs.is_affordable(&verify, NOW.after(DAY)));
        assert!(!costs.is_affordable(&Verify { budget: 0, ..verify }, NOW.after(DAY)));
        let before = Timestamp::from_millis(NOW.as_millis() - 40 * 86_400_000);
        assert_eq!(costs.sample_due(&verify, before), before);
    }

    #[test]
    fn every_choice_of_a_draw_is_within_its_bounds() {
        let mut draw = Draw(u64::MAX);
        assert!(
            draw.below(7) < 7 && draw.below(0) == 0 && draw.below(1) == 0 && draw.below(1 << 40) < 1 << 40
        );
        let chosen: Vec<_> = (0..6)
            .map(|n| {
                (Draw(n).below(2), {
                    let mut d = Draw(n);
                    d.below(2);
                    d.below(3)
                })
            })
            .collect();
        assert_eq!(chosen, [(0, 0), (1, 0), (0, 1), (1, 1), (0, 2), (1, 2)]);
    }
}
