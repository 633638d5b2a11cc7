//! What one mirror holds of one release: the ledger, kept as *all* or *these*, never as a row per copy.

mod marks;
mod stored;

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use self::marks::marks_per_release;
use self::marks::{MARKS_MAX, Marks};
use crate::model::{AssetIndex, AssetSet, CopyFault, Fingerprint, Timestamp};

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

/// What one mirror holds of one release. There is one for every release on every mirror, nearly all of them whole and
/// at rest: what is there only while something is going on stands aside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copies {
    assets: AssetIndex,
    /// Every asset is verified here.
    whole: bool,
    /// Fingerprints of verified copies.
    marks: Marks,
    /// When the last whole pass ended.
    passed_at: Moment,
    /// When every asset was verified here for the first time.
    completed_at: Moment,
    /// `None`: all of it is verified or nothing is, and nothing is known beyond that.
    unrest: Option<Box<Unrest>>,
}

/// What is known of a release that is not whole or at rest.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Unrest {
    /// The verified assets; empty where all are.
    held: AssetSet,
    trouble: BTreeMap<AssetIndex, Trouble>,
    /// How far the pass that is under way has come; `None`: none is.
    pass: Option<AssetIndex>,
}

impl Unrest {
    fn is_over(&self) -> bool {
        self.held.is_empty() && self.trouble.is_empty() && self.pass.is_none()
    }
}

/// A moment, or none: half the size of an `Option<Timestamp>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Moment(i64);

impl Moment {
    /// The beginning of time stands for none.
    const NONE: Self = Self(i64::MIN);

    const fn at(at: Timestamp) -> Self {
        Self(at.as_millis())
    }

    fn get(self) -> Option<Timestamp> {
        (self != Self::NONE).then(|| Timestamp::from_millis(self.0))
    }

    fn or(self, at: Timestamp) -> Self {
        if self == Self::NONE { Self::at(at) } else { self }
    }
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
    pub const fn unknown(assets: AssetIndex) -> Self {
        Self {
            assets,
            whole: false,
            marks: Marks::None,
            passed_at: Moment::NONE,
            completed_at: Moment::NONE,
            unrest: None,
        }
    }

    /// The release got more assets. `now_at` says where each old asset stands in the new order; new ones are pending.
    #[must_use]
    pub fn moved(&self, now_at: &[AssetIndex], assets: AssetIndex) -> Self {
        let place = |asset: AssetIndex| now_at.get(asset as usize).copied().filter(|at| *at < assets);
        let mut held: AssetSet = self.held().filter_map(place).collect();
        let whole = held.len() == assets;
        if whole {
            held = AssetSet::default();
        }
        let trouble = self.trouble().filter_map(|(asset, t)| Some((place(asset)?, t.clone()))).collect();
        let mut moved = Self {
            assets,
            whole,
            marks: self.marks.moved(place),
            passed_at: self.passed_at,
            // With assets that were added it has to become whole anew.
            completed_at: if assets <= self.assets { self.completed_at } else { Moment::NONE },
            unrest: Some(Box::new(Unrest { held, trouble, pass: None })),
        };
        moved.rest();
        moved
    }

    fn unrest(&mut self) -> &mut Unrest {
        self.unrest.get_or_insert_default()
    }

    /// Drops what is over. Follows every change.
    fn rest(&mut self) {
        self.unrest.take_if(|unrest| unrest.is_over());
    }

    /// Whether every asset is verified here.
    pub const fn is_complete(&self) -> bool {
        self.whole
    }

    /// When every asset was verified here for the first time; kept when a copy fails later.
    pub fn completed_at(&self) -> Option<Timestamp> {
        self.completed_at.get()
    }

    /// When the last whole pass ended; where there was none yet, when the first copy was verified.
    pub fn passed_at(&self) -> Option<Timestamp> {
        self.passed_at.get()
    }

    /// Whether this asset is verified here.
    pub fn holds(&self, asset: AssetIndex) -> bool {
        match &self.unrest {
            _ if self.whole => asset < self.assets,
            Some(unrest) => unrest.held.has(asset),
            None => false,
        }
    }

    /// Whether any asset is verified here.
    pub fn holds_any(&self) -> bool {
        match &self.unrest {
            _ if self.whole => self.assets > 0,
            Some(unrest) => !unrest.held.is_empty(),
            None => false,
        }
    }

    /// The verified assets in order.
    pub fn held(&self) -> impl Iterator<Item = AssetIndex> + '_ {
        let all = if self.whole { self.assets } else { 0 };
        (0..all).chain(self.unrest.iter().flat_map(|unrest| unrest.held.iter()))
    }

    /// The verified asset that stands at this place among the verified ones.
    pub fn nth_held(&self, place: AssetIndex) -> Option<AssetIndex> {
        match self.whole {
            true => Some(place).filter(|asset| *asset < self.assets),
            false => self.unrest.as_ref()?.held.nth(place),
        }
    }

    /// What is known of one copy.
    pub fn state(&self, asset: AssetIndex) -> CopyState {
        match self.unrest.as_ref().and_then(|unrest| unrest.trouble.get(&asset)) {
            _ if self.holds(asset) => CopyState::Verified,
            Some(Trouble { fault: CopyFault::Missing, .. }) => CopyState::Missing,
            Some(trouble) if trouble.fault.contradicts_copy() => CopyState::Corrupt,
            Some(_) | None => CopyState::Pending,
        }
    }

    /// The copies that could not be verified.
    pub fn trouble(&self) -> impl Iterator<Item = (AssetIndex, &Trouble)> {
        let trouble = self.unrest.iter().flat_map(|unrest| &unrest.trouble);
        trouble.map(|(asset, trouble)| (*asset, trouble))
    }

    /// How many copies are in which state.
    pub fn tally(&self) -> Tally {
        let verified = match (self.whole, &self.unrest) {
            (true, _) => self.assets.into(),
            (false, Some(unrest)) => unrest.held.len().into(),
            (false, None) => 0,
        };
        let missing = self.trouble().filter(|(_, t)| t.fault == CopyFault::Missing).count() as u64;
        let contradicted = self.trouble().filter(|(_, t)| t.fault.contradicts_copy()).count() as u64;
        let pending = u64::from(self.assets) - verified - contradicted;
        Tally { verified, pending, missing, corrupt: contradicted - missing }
    }

    /// The copy was hashed whole and is right.
    pub fn verify(&mut self, asset: AssetIndex, mark: Fingerprint, now: Timestamp) {
        if asset >= self.assets {
            return;
        }
        self.marks.put(asset, mark);
        // Copies grow old from the first one on, also where the release never becomes whole.
        self.passed_at = self.passed_at.or(now);
        let assets = self.assets;
        if !self.whole {
            let unrest = self.unrest();
            unrest.trouble.remove(&asset);
            unrest.held.insert(asset);
            if unrest.held.len() == assets {
                unrest.held = AssetSet::default();
                self.whole = true;
                self.completed_at = self.completed_at.or(now);
            }
        }
        self.pass_over(asset, now);
        self.rest();
    }

    /// The pass that is under way, if it stands at this copy, goes on.
    fn pass_over(&mut self, asset: AssetIndex, now: Timestamp) {
        let assets = self.assets;
        if let Some(unrest) = self.unrest.as_mut().filter(|unrest| unrest.pass == Some(asset)) {
            unrest.pass = Some(asset + 1).filter(|next| *next < assets);
            if unrest.pass.is_none() {
                self.passed_at = Moment::at(now);
            }
        }
    }

    /// What the server said of a verified copy when it was verified, where it is still known.
    pub fn mark_of(&self, asset: AssetIndex) -> Option<Fingerprint> {
        self.marks.of(asset)
    }

    /// Assets that probes can recognise, in order, to rotate over.
    pub fn marked(&self) -> impl ExactSizeIterator<Item = AssetIndex> + '_ {
        self.marks.assets()
    }

    /// Forgets the fingerprints of all but the first so many verified copies: probes recognise only those.
    pub fn keep_marks(&mut self, most: usize) {
        self.marks.keep(most);
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
            self.rest();
            return;
        }
        self.unverify(asset);
        let all = &mut self.unrest().trouble;
        let new = Trouble { fault, since: now, retry_at: now, tries: 0, evidence: evidence.map(Box::new) };
        let mut trouble = match all.remove(&asset) {
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
        all.insert(asset, trouble);
    }

    fn unverify(&mut self, asset: AssetIndex) {
        let assets = self.assets;
        if std::mem::take(&mut self.whole) {
            self.unrest().held = AssetSet::first(assets);
        }
        self.unrest().held.remove(asset);
        self.marks.remove(asset);
    }

    /// Every verified copy has to be hashed again before it is routed to. Says whether there was one.
    pub fn set_pending(&mut self) -> bool {
        let held = self.holds_any();
        self.whole = false;
        self.marks = Marks::None;
        self.passed_at = Moment::NONE;
        if let Some(unrest) = &mut self.unrest {
            unrest.held = AssetSet::default();
            unrest.pass = None;
        }
        self.rest();
        held
    }

    /// Every verified copy is to be hashed again, and stays in rotation meanwhile.
    pub fn begin_pass(&mut self) {
        let unrest = self.unrest();
        unrest.pass = Some(0);
        unrest.trouble.values_mut().for_each(|t| t.retry_at = Timestamp::default());
    }

    /// The same, where no pass is under way; copies in trouble keep their turn.
    pub fn begin_pass_if_none(&mut self) {
        self.unrest().pass.get_or_insert(0);
    }

    /// Whether the copies were last hashed too long ago, or by a clock that has gone back as far since.
    pub fn is_stale(&self, now: Timestamp, recheck: Duration) -> bool {
        self.passed_at().is_some_and(|at| now.apart(at) >= recheck)
    }

    /// The next copy to hash so that the release becomes whole here; `taken` are being hashed already.
    pub fn next_pending(&self, now: Timestamp, taken: impl Fn(AssetIndex) -> bool) -> Option<AssetIndex> {
        if self.whole {
            return None;
        }
        let Some(unrest) = &self.unrest else { return (0..self.assets).find(|asset| !taken(*asset)) };
        let due = unrest.trouble.iter().find(|(asset, t)| t.due_at(now) <= now && !taken(**asset));
        if let Some((asset, _)) = due {
            return Some(*asset);
        }
        let absent = unrest.trouble.len() >= ABSENT_AFTER && !self.holds_any();
        if absent {
            return None;
        }
        let mut unheld = unrest.held.absent(self.assets);
        unheld.find(|asset| !unrest.trouble.contains_key(asset) && !taken(*asset))
    }

    /// The next copy of the pass that is under way. Copies in trouble are passed over: they are tried on their own.
    pub fn next_of_pass(&mut self, now: Timestamp) -> Option<AssetIndex> {
        let from = self.unrest.as_ref()?.pass?;
        let next = (from..self.assets).find(|asset| self.holds(*asset));
        self.unrest().pass = next;
        if next.is_none() {
            self.passed_at = Moment::at(now);
        }
        self.rest();
        next
    }

    /// When the earliest copy in trouble is due; `taken` are being hashed already.
    pub fn next_retry(&self, now: Timestamp, taken: impl Fn(AssetIndex) -> bool) -> Option<Timestamp> {
        self.trouble().filter(|(asset, _)| !taken(*asset)).map(|(_, t)| t.due_at(now)).min()
    }

    /// Missing copies are asked for again now.
    pub fn retry_missing(&mut self, now: Timestamp) {
        let trouble = self.unrest.iter_mut().flat_map(|unrest| unrest.trouble.values_mut());
        trouble.filter(|t| t.fault == CopyFault::Missing).for_each(|t| {
            t.retry_at = t.retry_at.min(now);
            t.tries = 1;
        });
    }
}

#[cfg(test)]
#[path = "copies/naive.rs"]
mod naive;
#[cfg(test)]
#[path = "copies/tests.rs"]
mod tests;
