//! What one mirror holds of one release: the ledger, kept as *all* or *these*, never as a row per copy.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::{AssetIndex, CopyFault, Fingerprint, Timestamp};

/// How many copies of one release on one mirror probes can recognise; they rotate over these.
pub const MARKS_MAX: usize = 64;
/// When this many copies of a release are missing and none was found, the release is not there: only those are asked
/// for again, not all the rest.
const ABSENT_AFTER: usize = 16;
/// Longest wait before a copy in trouble is tried again.
const RETRY_MAX: Duration = Duration::from_secs(3600);

/// What is known of one copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CopyState {
    /// Hashed whole, right, and not contradicted since.
    Verified,
    /// Not looked at yet, or has to be looked at again.
    Pending,
    /// Not there.
    Missing,
    /// Something else is there.
    Corrupt,
}

/// What was seen where the file should be, for the operator.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// HTTP status.
    pub status: Option<u16>,
    /// Bytes received or announced.
    pub size: Option<u64>,
    /// SHA-256 of what came, where it was read to its end.
    pub sha256: Option<String>,
    /// The first bytes, printable ones as they are.
    pub first_bytes: Option<String>,
    /// Where redirects led.
    pub final_url: Option<String>,
    /// What went wrong, in words.
    pub detail: String,
}

/// A copy that could not be verified.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trouble {
    /// What is wrong.
    pub fault: CopyFault,
    /// Since when.
    pub since: Timestamp,
    /// When it is tried again.
    pub retry_at: Timestamp,
    /// How often it was tried.
    pub tries: u32,
    /// What was seen.
    pub evidence: Option<Box<Evidence>>,
}

impl Trouble {
    /// When it is tried again. A moment farther off than any wait was set by a clock that has gone back since.
    fn due_at(&self, now: Timestamp) -> Timestamp {
        if self.retry_at > now.after(RETRY_MAX) { now } else { self.retry_at }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
enum Held {
    All,
    These(Vec<u64>),
}

/// What one mirror holds of one release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Copies {
    assets: AssetIndex,
    held: Held,
    trouble: BTreeMap<AssetIndex, Trouble>,
    /// Fingerprints of verified copies, in order of the asset.
    marks: Vec<(AssetIndex, Fingerprint)>,
    /// When the last whole pass ended.
    passed_at: Option<Timestamp>,
    /// When every asset was verified here for the first time.
    #[serde(default)]
    completed_at: Option<Timestamp>,
    /// How far the pass that is under way has come; `None`: none is.
    pass: Option<AssetIndex>,
}

/// How many copies are in which state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// See [`CopyState::Verified`].
    pub verified: u64,
    /// See [`CopyState::Pending`].
    pub pending: u64,
    /// See [`CopyState::Missing`].
    pub missing: u64,
    /// See [`CopyState::Corrupt`].
    pub corrupt: u64,
}

impl std::ops::AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.verified += other.verified;
        self.pending += other.pending;
        self.missing += other.missing;
        self.corrupt += other.corrupt;
    }
}

impl Copies {
    /// Nothing is known of a release with this many assets.
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

    /// Reads what [`Copies::to_bytes`] wrote. `None` where it is damaged or of a release with another number of
    /// assets: then everything is looked at again.
    pub fn from_bytes(bytes: &[u8], assets: AssetIndex) -> Option<Self> {
        let copies: Self = serde_json::from_slice(bytes).ok()?;
        let held_fits = match &copies.held {
            Held::All => true,
            Held::These(words) => {
                words.iter().zip(ones(assets)).all(|(word, full)| word & !full == 0)
                    && words.len() <= (assets as usize).div_ceil(64)
            }
        };
        let trouble_fits = copies.trouble.keys().all(|asset| *asset < assets && !copies.holds(*asset));
        let marks_fit = copies.marks.len() <= MARKS_MAX
            && copies.marks.is_sorted_by(|a, b| a.0 < b.0)
            && copies.marks.iter().all(|(asset, _)| copies.holds(*asset));
        let pass_fits = copies.pass.is_none_or(|asset| asset < assets);
        (copies.assets == assets && held_fits && trouble_fits && marks_fit && pass_fits).then_some(copies)
    }

    /// The ledger entry as it is stored.
    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// The release got more assets. `now_at` says where each old asset stands in the new order; new ones are pending.
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

    /// Whether every asset is verified here.
    pub fn is_complete(&self) -> bool {
        self.held == Held::All
    }

    /// When every asset was verified here for the first time; kept when a copy fails later.
    pub fn completed_at(&self) -> Option<Timestamp> {
        self.completed_at
    }

    /// When the last whole pass ended; where there was none yet, when the first copy was verified.
    pub fn passed_at(&self) -> Option<Timestamp> {
        self.passed_at
    }

    /// Whether this asset is verified here.
    pub fn holds(&self, asset: AssetIndex) -> bool {
        match &self.held {
            Held::All => asset < self.assets,
            Held::These(words) => words.get(asset as usize / 64).is_some_and(|w| w >> (asset % 64) & 1 == 1),
        }
    }

    /// Whether any asset is verified here.
    pub fn holds_any(&self) -> bool {
        match &self.held {
            Held::All => self.assets > 0,
            Held::These(words) => words.iter().any(|w| *w != 0),
        }
    }

    /// The verified assets in order.
    pub fn held(&self) -> impl Iterator<Item = AssetIndex> + '_ {
        (0..self.assets).filter(|asset| self.holds(*asset))
    }

    /// The verified asset that stands at this place among the verified ones.
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

    /// What is known of one copy.
    pub fn state(&self, asset: AssetIndex) -> CopyState {
        match self.trouble.get(&asset) {
            _ if self.holds(asset) => CopyState::Verified,
            Some(Trouble { fault: CopyFault::Missing, .. }) => CopyState::Missing,
            Some(trouble) if trouble.fault.contradicts_copy() => CopyState::Corrupt,
            Some(_) | None => CopyState::Pending,
        }
    }

    /// The copies that could not be verified.
    pub fn trouble(&self) -> impl Iterator<Item = (AssetIndex, &Trouble)> {
        self.trouble.iter().map(|(asset, trouble)| (*asset, trouble))
    }

    /// How many copies are in which state.
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

    /// The copy was hashed whole and is right.
    pub fn verify(&mut self, asset: AssetIndex, mark: Fingerprint, now: Timestamp) {
        if asset >= self.assets {
            return;
        }
        self.trouble.remove(&asset);
        self.mark(asset, mark);
        // Copies grow old from the first one on, also where the release never becomes whole.
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

    /// The pass that is under way, if it stands at this copy, goes on.
    fn pass_over(&mut self, asset: AssetIndex, now: Timestamp) {
        if self.pass == Some(asset) {
            self.pass = Some(asset + 1).filter(|next| *next < self.assets);
            if self.pass.is_none() {
                self.passed_at = Some(now);
            }
        }
    }

    fn mark(&mut self, asset: AssetIndex, mark: Fingerprint) {
        match self.marks.binary_search_by_key(&asset, |(a, _)| *a) {
            Ok(at) => self.marks[at].1 = mark,
            Err(at) if self.marks.len() < MARKS_MAX => self.marks.insert(at, (asset, mark)),
            Err(_) => {}
        }
    }

    /// What the server said of a verified copy when it was verified, where it is still known.
    pub fn mark_of(&self, asset: AssetIndex) -> Option<Fingerprint> {
        let at = self.marks.binary_search_by_key(&asset, |(a, _)| *a).ok()?;
        Some(self.marks[at].1)
    }

    /// Assets that probes can recognise, to rotate over.
    pub fn marked(&self) -> impl ExactSizeIterator<Item = AssetIndex> + '_ {
        self.marks.iter().map(|(asset, _)| *asset)
    }

    /// A look at the copy failed. What contradicts it takes it out at once; anything else only delays a verification,
    /// and a pass goes on without it.
    /// `pace` is the first wait before it is tried again; it doubles.
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

    /// Every verified copy has to be hashed again before it is routed to. Says whether there was one.
    pub fn set_pending(&mut self) -> bool {
        let held = self.holds_any();
        self.held = Held::These(Vec::new());
        self.marks.clear();
        (self.passed_at, self.pass) = (None, None);
        held
    }

    /// Every verified copy is to be hashed again, and stays in rotation meanwhile.
    pub fn begin_pass(&mut self) {
        self.pass = Some(0);
        self.trouble.values_mut().for_each(|t| t.retry_at = Timestamp::default());
    }

    /// The same, where no pass is under way; copies in trouble keep their turn.
    pub fn begin_pass_if_none(&mut self) {
        self.pass = self.pass.or(Some(0));
    }

    /// Whether the copies were last hashed too long ago, or by a clock that has gone back as far since.
    pub fn is_stale(&self, now: Timestamp, recheck: Duration) -> bool {
        self.passed_at.is_some_and(|at| now.since(at) >= recheck || at.since(now) >= recheck)
    }

    /// The next copy to hash so that the release becomes whole here; `taken` are being hashed already.
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

    /// The next copy of the pass that is under way. Copies in trouble are passed over: they are tried on their own.
    pub fn next_of_pass(&mut self, now: Timestamp) -> Option<AssetIndex> {
        let from = self.pass?;
        self.pass = (from..self.assets).find(|asset| self.holds(*asset));
        if self.pass.is_none() {
            self.passed_at = Some(now);
        }
        self.pass
    }

    /// When the earliest copy in trouble is due; `taken` are being hashed already.
    pub fn next_retry(&self, now: Timestamp, taken: impl Fn(AssetIndex) -> bool) -> Option<Timestamp> {
        self.trouble.iter().filter(|(asset, _)| !taken(**asset)).map(|(_, t)| t.due_at(now)).min()
    }

    /// Missing copies are asked for again now.
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

/// A bit for each of the first `count` assets.
fn ones(count: AssetIndex) -> Vec<u64> {
    let mut words = vec![u64::MAX; count as usize / 64];
    if !count.is_multiple_of(64) {
        words.push((1 << (count % 64)) - 1);
    }
    words
}

#[cfg(test)]
#[path = "copies/tests.rs"]
mod tests;
