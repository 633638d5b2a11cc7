//! The ledger's entry in its plain form, to hold the compact one against.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{ABSENT_AFTER, CopyState, Evidence, MARKS_MAX, RETRY_MAX, Tally, Trouble};
use crate::model::{AssetIndex, CopyFault, Fingerprint, Timestamp};

#[derive(Debug, Clone, PartialEq, Eq)]
enum Held {
    All,
    These(Vec<u64>),
}
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Naive {
    assets: AssetIndex,
    held: Held,
    trouble: BTreeMap<AssetIndex, Trouble>,
    marks: Vec<(AssetIndex, Fingerprint)>,
    passed_at: Option<Timestamp>,
    completed_at: Option<Timestamp>,
    pass: Option<AssetIndex>,
}

impl Naive {
    pub fn unknown(assets: AssetIndex) -> Self {
        Self {
            assets,
            held: Held::These(Vec::new()),
            trouble: BTreeMap::new(),
            marks: Vec::new(),
            passed_at: None,
            completed_at: None,
            pass: None,
        }
    }
    #[must_use]
    pub fn moved(&self, now_at: &[AssetIndex], assets: AssetIndex) -> Self {
        let place = |asset: &AssetIndex| now_at.get(*asset as usize).copied().filter(|at| *at < assets);
        let mut words = vec![0; (assets as usize).div_ceil(64)];
        for asset in self.held().filter_map(|asset| place(&asset)) {
            words[asset as usize / 64] |= 1 << (asset % 64);
        }
        let mut marks: Vec<_> =
            self.marks.iter().filter_map(|(asset, mark)| Some((place(asset)?, *mark))).collect();
        marks.sort_unstable_by_key(|(asset, _)| *asset);
        let trouble = self.trouble.iter().filter_map(|(asset, t)| Some((place(asset)?, t.clone()))).collect();
        let held = if words == ones(assets) { Held::All } else { Held::These(words) };
        // With assets that were added it has to become whole anew.
        let completed_at = self.completed_at.filter(|_| assets <= self.assets);
        Self { assets, held, trouble, marks, passed_at: self.passed_at, completed_at, pass: None }
    }
    pub fn is_complete(&self) -> bool {
        self.held == Held::All
    }
    pub fn completed_at(&self) -> Option<Timestamp> {
        self.completed_at
    }
    pub fn passed_at(&self) -> Option<Timestamp> {
        self.passed_at
    }
    pub fn holds(&self, asset: AssetIndex) -> bool {
        match &self.held {
            Held::All => asset < self.assets,
            Held::These(words) => words.get(asset as usize / 64).is_some_and(|w| w >> (asset % 64) & 1 == 1),
        }
    }
    pub fn holds_any(&self) -> bool {
        match &self.held {
            Held::All => self.assets > 0,
            Held::These(words) => words.iter().any(|w| *w != 0),
        }
    }
    pub fn held(&self) -> impl Iterator<Item = AssetIndex> + '_ {
        (0..self.assets).filter(|asset| self.holds(*asset))
    }
    pub fn nth_held(&self, place: AssetIndex) -> Option<AssetIndex> {
        let Held::These(words) = &self.held else { return Some(place).filter(|asset| *asset < self.assets) };
        let mut left = place;
        for (word, first) in words.iter().zip((0..).step_by(64)) {
            if left < word.count_ones() {
                return (first..first + 64).filter(|asset| self.holds(*asset)).nth(left as usize);
            }
            left -= word.count_ones();
        }
        None
    }
    pub fn state(&self, asset: AssetIndex) -> CopyState {
        match self.trouble.get(&asset) {
            _ if self.holds(asset) => CopyState::Verified,
            Some(Trouble { fault: CopyFault::Missing, .. }) => CopyState::Missing,
            Some(trouble) if trouble.fault.contradicts_copy() => CopyState::Corrupt,
            Some(_) | None => CopyState::Pending,
        }
    }
    pub fn trouble(&self) -> impl Iterator<Item = (AssetIndex, &Trouble)> {
        self.trouble.iter().map(|(asset, trouble)| (*asset, trouble))
    }
    pub fn tally(&self) -> Tally {
        let verified = match &self.held {
            Held::All => u64::from(self.assets),
            Held::These(words) => words.iter().map(|w| u64::from(w.count_ones())).sum(),
        };
        let missing = self.trouble.values().filter(|t| t.fault == CopyFault::Missing).count() as u64;
        let contradicted = self.trouble.values().filter(|t| t.fault.contradicts_copy()).count() as u64;
        let pending = u64::from(self.assets) - verified - contradicted;
        Tally { verified, pending, missing, corrupt: contradicted - missing }
    }
    pub fn verify(&mut self, asset: AssetIndex, mark: Fingerprint, now: Timestamp) {
        if asset >= self.assets {
            return;
        }
        self.trouble.remove(&asset);
        self.mark(asset, mark);
        // Naive grow old from the first one on, also where the release never becomes whole.
        self.passed_at = self.passed_at.or(Some(now));
        if let Held::These(words) = &mut self.held {
            let word = asset as usize / 64;
            if words.len() <= word {
                words.resize(word + 1, 0);
            }
            words[word] |= 1 << (asset % 64);
            let full = ones(self.assets);
            if *words == full {
                self.held = Held::All;
                self.completed_at = self.completed_at.or(Some(now));
            }
        }
        self.pass_over(asset, now);
    }
    fn pass_over(&mut self, asset: AssetIndex, now: Timestamp) {
        if self.pass == Some(asset) {
            self.pass = Some(asset + 1).filter(|next| *next < self.assets);
            if self.pass.is_none() {
                self.passed_at = Some(now);
            }
        }
    }

    pub fn keep_marks(&mut self, most: usize) {
        self.marks.truncate(most);
    }

    fn mark(&mut self, asset: AssetIndex, mark: Fingerprint) {
        match self.marks.binary_search_by_key(&asset, |(a, _)| *a) {
            Ok(at) => self.marks[at].1 = mark,
            Err(at) if self.marks.len() < MARKS_MAX => self.marks.insert(at, (asset, mark)),
            Err(_) => {}
        }
    }
    pub fn mark_of(&self, asset: AssetIndex) -> Option<Fingerprint> {
        let at = self.marks.binary_search_by_key(&asset, |(a, _)| *a).ok()?;
        Some(self.marks[at].1)
    }
    pub fn marked(&self) -> impl ExactSizeIterator<Item = AssetIndex> + '_ {
        self.marks.iter().map(|(asset, _)| *asset)
    }
    pub fn fail(
        &mut self,
        asset: AssetIndex,
        fault: CopyFault,
        evidence: Option<Evidence>,
        now: Timestamp,
        pace: Duration,
    ) {
        if asset >= self.assets {
            return;
        }
        if self.holds(asset) && !fault.contradicts_copy() {
            // Asked again at once, it would be asked without end; the next pass asks again.
            self.pass_over(asset, now);
            return;
        }
        self.unverify(asset);
        let new = Trouble { fault, since: now, retry_at: now, tries: 0, evidence: evidence.map(Box::new) };
        let mut trouble = match self.trouble.remove(&asset) {
            Some(before) if before.fault == fault => {
                Trouble { since: before.since, tries: before.tries, ..new }
            }
            // A mirror that cannot be reached just now takes back nothing of what it was seen to serve.
            Some(before) if before.fault.contradicts_copy() && !fault.contradicts_copy() => before,
            _ => new,
        };
        trouble.tries = trouble.tries.saturating_add(1);
        let wait = pace.saturating_mul(1 << (trouble.tries - 1).min(16)).min(RETRY_MAX);
        trouble.retry_at = now.after(wait);
        self.trouble.insert(asset, trouble);
    }

    fn unverify(&mut self, asset: AssetIndex) {
        if self.held == Held::All {
            self.held = Held::These(ones(self.assets));
        }
        if let Held::These(words) = &mut self.held
            && let Some(word) = words.get_mut(asset as usize / 64)
        {
            *word &= !(1 << (asset % 64));
        }
        self.marks.retain(|(a, _)| *a != asset);
    }
    pub fn set_pending(&mut self) -> bool {
        let held = self.holds_any();
        self.held = Held::These(Vec::new());
        self.marks.clear();
        (self.passed_at, self.pass) = (None, None);
        held
    }
    pub fn begin_pass(&mut self) {
        self.pass = Some(0);
        self.trouble.values_mut().for_each(|t| t.retry_at = Timestamp::default());
    }
    pub fn begin_pass_if_none(&mut self) {
        self.pass = self.pass.or(Some(0));
    }
    pub fn is_stale(&self, now: Timestamp, recheck: Duration) -> bool {
        self.passed_at.is_some_and(|at| now.since(at) >= recheck || at.since(now) >= recheck)
    }
    pub fn next_pending(&self, now: Timestamp, taken: impl Fn(AssetIndex) -> bool) -> Option<AssetIndex> {
        if self.is_complete() {
            return None;
        }
        let due = self.trouble.iter().find(|(asset, t)| t.due_at(now) <= now && !taken(**asset));
        if let Some((asset, _)) = due {
            return Some(*asset);
        }
        let absent = self.trouble.len() >= ABSENT_AFTER && !self.holds_any();
        if absent {
            return None;
        }
        self.unheld().find(|asset| !self.trouble.contains_key(asset) && !taken(*asset))
    }
    pub fn next_of_pass(&mut self, now: Timestamp) -> Option<AssetIndex> {
        let from = self.pass?;
        self.pass = (from..self.assets).find(|asset| self.holds(*asset));
        if self.pass.is_none() {
            self.passed_at = Some(now);
        }
        self.pass
    }
    pub fn next_retry(&self, now: Timestamp, taken: impl Fn(AssetIndex) -> bool) -> Option<Timestamp> {
        self.trouble.iter().filter(|(asset, _)| !taken(**asset)).map(|(_, t)| t.due_at(now)).min()
    }
    pub fn retry_missing(&mut self, now: Timestamp) {
        self.trouble.values_mut().filter(|t| t.fault == CopyFault::Missing).for_each(|t| {
            t.retry_at = t.retry_at.min(now);
            t.tries = 1;
        });
    }

    fn unheld(&self) -> impl Iterator<Item = AssetIndex> + '_ {
        let words: &[u64] = match &self.held {
            Held::All => &[],
            Held::These(words) => words,
        };
        // Full words are passed over sixty-four at a time.
        let full = words.iter().take_while(|w| **w == u64::MAX).count() as AssetIndex * 64;
        (full..self.assets).filter(|asset| !self.holds(*asset))
    }
}
fn ones(count: AssetIndex) -> Vec<u64> {
    let mut words = vec![u64::MAX; count as usize / 64];
    if !count.is_multiple_of(64) {
        words.push((1 << (count % 64)) - 1);
    }
    words
}
