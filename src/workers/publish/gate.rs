//! The gate: what is known of a release without traffic, as checks that hold, fail, or cannot be told yet. A file for
//! each group of checks.

mod content;
mod copies;
mod gauges;
mod origin;
mod scorecard;

use serde_json::{Value, json};

use crate::catalog::ReleaseId;
use crate::config::GateMode;
use crate::model::{Check, ProductName, Timestamp, Version};
use crate::workers::report::Report;

use super::propagation::seconds;
use super::releases::Known;
use super::world::World;

pub use self::content::Content;

/// Most missing things that are named; all are counted.
const NAMED_MAX: usize = 100;

/// What is missing or wrong: the first are named, all are counted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Missing {
    named: Vec<String>,
    count: usize,
}

impl Missing {
    fn add(&mut self, name: impl FnOnce() -> String) {
        if self.named.len() < NAMED_MAX {
            self.named.push(name());
        }
        self.count += 1;
    }

    fn is_empty(&self) -> bool {
        self.count == 0
    }

    fn take_in(&mut self, other: Self) {
        let room = NAMED_MAX.saturating_sub(self.named.len());
        self.named.extend(other.named.into_iter().take(room));
        self.count += other.count;
    }
}

impl FromIterator<String> for Missing {
    fn from_iter<I: IntoIterator<Item = String>>(names: I) -> Self {
        let mut missing = Self::default();
        names.into_iter().for_each(|name| missing.add(|| name));
        missing
    }
}

/// What a check came to.
#[derive(Debug, Clone)]
struct Finding {
    /// Whether it holds; `None`: that is not known yet.
    ok: Option<bool>,
    /// In words.
    summary: String,
    /// What is missing or wrong.
    missing: Missing,
}

impl Finding {
    fn holds(summary: impl Into<String>) -> Self {
        Self { ok: Some(true), summary: summary.into(), missing: Missing::default() }
    }

    fn unknown(summary: impl Into<String>) -> Self {
        Self { ok: None, summary: summary.into(), missing: Missing::default() }
    }

    fn fails(summary: impl Into<String>, missing: Missing) -> Self {
        Self { ok: Some(false), summary: summary.into(), missing }
    }

    /// Holds where nothing is missing.
    fn of(summary: impl Into<String>, missing: Missing) -> Self {
        if missing.is_empty() { Self::holds(summary) } else { Self::fails(summary, missing) }
    }

    /// As one line: what is missing, else how things are.
    fn reason(&self) -> String {
        match self.missing.named.as_slice() {
            [] => self.summary.clone(),
            named => {
                let shown = named.iter().take(3).map(String::as_str).collect::<Vec<_>>().join(", ");
                let more = self.missing.count.saturating_sub(3);
                if more > 0 { format!("{shown} and {more} more") } else { shown }
            }
        }
    }
}

/// A check, what its failure does, whom to ask, and what it came to.
struct Line<'w> {
    check: Check,
    mode: GateMode,
    owner: &'w str,
    finding: Finding,
}

impl Line<'_> {
    /// Whether a pipeline may go on, as far as this check goes: what is not known yet holds it up as well.
    fn lets_pass(&self) -> bool {
        self.mode == GateMode::Informational || self.finding.ok == Some(true)
    }

    fn json(&self) -> Value {
        let Self { check, mode, owner, finding } = self;
        json!({
            "check": check,
            "mode": match mode { GateMode::Gate => "gate", GateMode::Informational => "informational" },
            "owner": owner,
            "ok": finding.ok,
            "summary": finding.summary,
            "missing": finding.missing.named,
            "missing_count": finding.missing.count,
        })
    }
}

impl World {
    /// A release's checks, each with its mode, owner, verdict and reasons.
    pub(super) fn gate_report(&self, product: &ProductName, version: &str, now: Timestamp) -> Report {
        let id = ReleaseId { product: product.clone(), version: Version::parse(version).ok()? };
        let Some(known) = self.releases.get(&id) else { return self.unpublished_report(&id) };
        let lines = self.checks(known, now);
        let mut checks: Vec<Value> = lines.iter().map(Line::json).collect();
        let withdrawn = self.withdrawn.get(&id);
        if let Some(withdrawal) = withdrawn {
            checks.push(json!({
                "check": "withdrawn", "mode": "gate", "owner": "", "ok": false,
                "summary": format!("withdrawn by {}: {}", withdrawal.actor, withdrawal.reason),
                "missing": [], "missing_count": 0,
            }));
        }
        let spread = self.propagation(known, now);
        Some(json!({
            "product": known.release.id.product,
            "version": known.release.id.version,
            "passed": withdrawn.is_none() && lines.iter().all(Line::lets_pass),
            "withdrawn": self.withdrawal_line(&id),
            "checks": checks,
            "propagation": spread.json(),
            "mirrors": self.arrivals_report(known, now),
            "estimate_seconds": self.estimate(known, now).map(seconds),
        }))
    }

    /// Every check of a release.
    fn checks(&self, known: &Known, now: Timestamp) -> Vec<Line<'_>> {
        let line = |check: &Check| {
            let (mode, owner) = self.gate_of(*check, &known.release.id.product);
            Line { check: *check, mode, owner, finding: self.finding(*check, known, now) }
        };
        Check::ALL.iter().map(line).collect()
    }

    fn finding(&self, check: Check, known: &Known, now: Timestamp) -> Finding {
        match check {
            Check::Completeness => known.content.completeness(),
            Check::Metadata => known.content.metadata(),
            Check::Hashes => known.content.hashes(&known.examined),
            Check::Signatures => known.content.signatures(known, self.has_keys()),
            Check::Provenance => known.content.provenance(&known.release),
            Check::Mirrors => self.mirrors_finding(known, now),
            Check::Verification => self.verification_finding(known, now),
            Check::Rollback => self.rollback_finding(known),
            Check::Propagation => self.propagation(known, now).finding(),
            Check::Origin => self.origin_finding(&known.release.id),
            Check::Inventory => self.inventory_finding(known),
        }
    }

    /// Why a release's signatures cannot be relied on; `None`: there is nothing against them.
    fn doubtful_signatures(&self, known: &Known) -> Option<Finding> {
        let wrong = wrong_signatures(known);
        if !wrong.is_empty() {
            return Some(Finding::fails("signatures are wrong", wrong));
        }
        let unchecked = if self.has_keys() { known.content.unchecked(known) } else { 0 };
        (unchecked > 0).then(|| Finding::unknown(format!("{unchecked} signatures were not looked at yet")))
    }

    fn has_keys(&self) -> bool {
        !self.prepared.config.origin.trusted_keys.is_empty()
    }

    /// What a check of a product's releases decides, and who answers for it: the first `[[gate]]` that fits.
    fn gate_of(&self, check: Check, product: &ProductName) -> (GateMode, &str) {
        let fits = |gate: &&crate::config::Gate| {
            gate.check == check && (gate.products.is_empty() || gate.products.contains(product))
        };
        let gate = self.prepared.config.gates.iter().find(fits);
        gate.map_or((GateMode::default_of(check), ""), |gate| (gate.mode, &gate.owner))
    }

    /// Why no channel may move to a release by itself, whoever holds it: what is wrong with the release as it was
    /// published. One wrong copy among many is no such reason; a signature that is wrong, or that was not looked at
    /// yet, is. Empty where there is none.
    pub(super) fn content_blocks(&self, id: &ReleaseId) -> Vec<String> {
        const CONTENT: [Check; 5] =
            [Check::Completeness, Check::Metadata, Check::Hashes, Check::Signatures, Check::Provenance];
        let Some(known) = self.releases.get(id) else { return Vec::new() };
        let gates = |check: Check| self.gate_of(check, &id.product).0 == GateMode::Gate;
        let mut blocks: Vec<String> = Vec::new();
        for check in CONTENT.into_iter().filter(|check| gates(*check)) {
            // None of these depends on the time.
            let finding = self.finding(check, known, Timestamp::default());
            if finding.ok != Some(true) {
                blocks.push(format!("{check}: {}", finding.reason()));
            }
        }
        if gates(Check::Verification) {
            let signatures = self.doubtful_signatures(known).map(|finding| finding.reason());
            blocks.extend(signatures.map(|why| format!("{}: {why}", Check::Verification)));
        }
        blocks
    }
}

/// Assets whose signatures say that they must not be trusted.
fn wrong_signatures(known: &Known) -> Missing {
    let wrong = known.examined.signatures.iter().filter(|(_, state)| state.is_wrong());
    wrong.map(|(asset, state)| format!("{asset}: {state}")).collect()
}
