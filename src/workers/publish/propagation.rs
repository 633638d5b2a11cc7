//! How a release spreads: which mirrors are to hold it, when each became whole, how long the others may take, and
//! whether it is where it should be.

use std::collections::HashSet;
use std::time::Duration;

use serde_json::{Value, json};

use crate::catalog::ReleaseId;
use crate::config::Mirror;
use crate::health::Copies;
use crate::model::{ChannelName, MirrorName, OriginFault, ProductName, Timestamp, Version};

use super::channels::Counted;
use super::releases::Known;
use super::world::World;

/// Lags of the mirrors that are to hold a release, the fastest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Propagation {
    /// How many mirrors are to hold it.
    pub required: usize,
    /// From publication to whole, of those that became whole.
    pub lags: Vec<Duration>,
}

impl Propagation {
    /// When this share (in per cent) of the mirrors was whole; `None`: it is not yet.
    pub fn at_share(&self, percent: usize) -> Option<Duration> {
        let needed = (self.required * percent).div_ceil(100).max(1);
        self.lags.get(needed - 1).copied()
    }

    pub fn fastest(&self) -> Option<Duration> {
        self.lags.first().copied()
    }

    /// Of those that became whole so far.
    pub fn median(&self) -> Option<Duration> {
        self.lags.get(self.lags.len().saturating_sub(1) / 2).copied()
    }

    pub fn slowest(&self) -> Option<Duration> {
        self.lags.last().copied()
    }

    pub fn json(&self) -> Value {
        json!({
            "required": self.required,
            "complete": self.lags.len(),
            "fastest_seconds": self.fastest().map(seconds),
            "median_seconds": self.median().map(seconds),
            "slowest_seconds": self.slowest().map(seconds),
            "t50_seconds": self.at_share(50).map(seconds),
            "t90_seconds": self.at_share(90).map(seconds),
            "t100_seconds": self.at_share(100).map(seconds),
        })
    }
}

/// Seconds, to the millisecond.
pub(super) fn seconds(span: Duration) -> f64 {
    span.as_millis() as f64 / 1000.0
}

/// How long the rest takes at the pace of what is verified; `None` where nothing is.
fn rest(elapsed: Duration, verified: u64, total: u64) -> Option<Duration> {
    let remaining = total.saturating_sub(verified);
    (verified > 0).then(|| elapsed.mul_f64((remaining as f64 / verified as f64).min(1e9)))
}

impl World {
    /// The mirrors that are to hold a release: those that count and want it; those that are only a last resort left out
    /// where there are others.
    pub(super) fn required(&self, id: &ReleaseId, now: Timestamp) -> Vec<&Mirror> {
        self.required_among(&self.counted(now), id).map(|one| one.mirror).collect()
    }

    /// The same, where the mirrors that count are at hand.
    pub(super) fn required_among<'a, 'w>(
        &self,
        counted: &'a [Counted<'w>],
        id: &ReleaseId,
    ) -> impl Iterator<Item = &'a Counted<'w>> {
        let only_last_resorts = self.configured().all(|mirror| mirror.weight == 0);
        let wants = self.wanting(id);
        counted.iter().filter(move |one| (only_last_resorts || one.mirror.weight > 0) && wants(one.mirror))
    }

    /// From publication until a mirror was whole for the first time. A manifest's date that lies in the future counts
    /// as the moment when the release was seen first.
    pub(super) fn lag(&self, mirror: &Mirror, known: &Known) -> Option<Duration> {
        let completed_at = self.copies_on(&mirror.name, &known.release.id)?.completed_at()?;
        let published_at = known.published_at();
        let from = if published_at > known.first_seen { known.first_seen } else { published_at };
        Some(completed_at.since(from))
    }

    pub(super) fn propagation(&self, known: &Known, now: Timestamp) -> Propagation {
        let mirrors = self.required(&known.release.id, now);
        let mut lags: Vec<Duration> = mirrors.iter().filter_map(|mirror| self.lag(mirror, known)).collect();
        lags.sort_unstable();
        Propagation { required: mirrors.len(), lags }
    }

    /// The verified part of a release on a mirror, 0 to 1, and how long the rest may take.
    fn progress(&self, mirror: &Mirror, known: &Known, now: Timestamp) -> (f64, Option<Duration>) {
        let Some(copies) = self.copies_on(&mirror.name, &known.release.id) else { return (0.0, None) };
        if copies.is_complete() {
            return (1.0, Some(Duration::ZERO));
        }
        let total = known.release.total_size();
        let verified = copies.held().map(|asset| known.release.asset(asset).size).sum();
        let share = if total == 0 { 0.0 } else { verified as f64 / total as f64 };
        (share, rest(now.since(known.first_seen), verified, total))
    }

    /// How long it may take until the slowest mirror that lacks the release is whole; `None` where one has not begun,
    /// or all are.
    pub(super) fn estimate(&self, known: &Known, now: Timestamp) -> Option<Duration> {
        let id = &known.release.id;
        let lacking = self
            .required(id, now)
            .into_iter()
            .filter(|m| !self.copies_on(&m.name, id).is_some_and(Copies::is_complete));
        let rests: Option<Vec<Duration>> = lacking.map(|m| self.progress(m, known, now).1).collect();
        rests?.into_iter().max()
    }

    /// Each mirror, and how far it is.
    pub(super) fn arrivals_report(&self, known: &Known, now: Timestamp) -> Value {
        let id = &known.release.id;
        let required: HashSet<&MirrorName> = self.required(id, now).iter().map(|one| &one.name).collect();
        let line = |mirror: &Mirror| {
            let completed_at = self.copies_on(&mirror.name, id).and_then(Copies::completed_at);
            let (progress, rest) = self.progress(mirror, known, now);
            json!({
                "mirror": mirror.name,
                "region": self.region_name(mirror),
                "required": required.contains(&mirror.name),
                "complete": self.holds_whole(mirror, id),
                "verified_at": completed_at.map(|at| at.to_string()),
                "lag_seconds": self.lag(mirror, known).map(seconds),
                "progress": progress,
                "eta_seconds": rest.map(seconds),
            })
        };
        self.configured().map(line).collect()
    }

    /// The channels that a release is labelled with, and that are to move to it by themselves and have not yet.
    pub(super) fn channels_behind<'k>(&self, known: &'k Known) -> Vec<&'k ChannelName> {
        let id = &known.release.id;
        let behind = |channel: &&ChannelName| {
            let key = (id.product.clone(), (*channel).clone());
            self.moves_by_itself(&key) && !self.candidates(&key, vec![id]).is_empty()
        };
        known.release.channels.iter().filter(behind).collect()
    }

    /// Adds to a release's report how far it is from being everywhere.
    pub(super) fn add_readiness(&self, report: &mut Value, known: &Known, now: Timestamp) {
        let id = &known.release.id;
        let lacking = self.lacking(id, now);
        let behind = self.channels_behind(known);
        let held = self.configured().any(|m| self.copies_on(&m.name, id).is_some_and(Copies::is_complete));
        let withdrawn = self.withdrawn.contains_key(id);
        report["globally_ready"] = json!(held && lacking.is_empty() && behind.is_empty() && !withdrawn);
        report["mirrors_required"] = json!(self.required(id, now).len());
        report["channels_behind"] = json!(behind);
        report["blocked"] = json!(self.content_blocks(id));
        report["propagation"] = self.propagation(known, now).json();
        report["arrivals"] = self.arrivals_report(known, now);
        report["estimate_seconds"] = json!(self.estimate(known, now).map(seconds));
    }

    /// A release's report for somebody who has waited for it since then, also where it is not known yet; `stopped` says
    /// why waiting longer is in vain.
    pub(super) fn wait_report(
        &mut self,
        product: &ProductName,
        version: &str,
        since: Timestamp,
        now: Timestamp,
    ) -> Option<Value> {
        let id = ReleaseId { product: product.clone(), version: Version::parse(version).ok()? };
        let unknown = || json!({ "product": product, "version": version, "globally_ready": false });
        let mut report = self.release_report(product, version, now).unwrap_or_else(unknown);
        report["known"] = json!(self.releases.contains_key(&id));
        report["stopped"] = json!(self.stopped(&id, since));
        Some(report)
    }

    fn stopped(&self, id: &ReleaseId, since: Timestamp) -> Option<String> {
        let ReleaseId { product, version } = id;
        if let Some(withdrawal) = self.withdrawn.get(id) {
            let of = |version: &Version| ReleaseId { product: product.clone(), version: version.clone() };
            let is_good = |version: &&Version| !self.withdrawn.contains_key(&of(version));
            let instead = withdrawal.replacement.as_ref().filter(is_good);
            let instead = instead.map(|version| format!("; take {version} instead")).unwrap_or_default();
            return Some(format!("{product} {version} is withdrawn: {}{instead}", withdrawal.reason));
        }
        // What was refused before may have been put right at the origin since; what could not be read comes later.
        let looked = self.origin.read_at.is_some_and(|at| at >= since);
        let refusal = self.refusal_of(id).filter(|refusal| {
            looked && !matches!(refusal.reason, OriginFault::Unreadable | OriginFault::WrongDigest)
        });
        refusal.map(|refusal| format!("the manifest of {product} {version} is refused: {refusal}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spread(required: usize, lags: &[u64]) -> Propagation {
        Propagation { required, lags: lags.iter().map(|s| Duration::from_secs(*s)).collect() }
    }

    #[test]
    fn a_share_is_reached_when_that_many_of_all_required_mirrors_are_whole() {
        let cases = [
            (spread(5, &[1, 2, 3]), [Some(3), None, None]),
            (spread(5, &[1, 2, 3, 4, 9]), [Some(3), Some(9), Some(9)]),
            (spread(20, &[7; 18]), [Some(7), Some(7), None]),
            (spread(1, &[]), [None; 3]),
            (spread(0, &[]), [None; 3]),
        ];
        for (spread, expected) in cases {
            let shares = [50, 90, 100].map(|share| spread.at_share(share).map(|lag| lag.as_secs()));
            assert_eq!(shares, expected, "{spread:?}");
        }
        assert_eq!(spread(5, &[1, 2, 3, 4]).median(), Some(Duration::from_secs(2)));
        assert_eq!(spread(5, &[]).median(), None);
    }

    #[test]
    fn the_rest_takes_as_long_as_what_is_done_did() {
        let minute = Duration::from_secs(60);
        assert_eq!(rest(minute, 25, 100), Some(minute * 3));
        assert_eq!(rest(minute, 100, 100), Some(Duration::ZERO));
        assert_eq!(rest(minute, 0, 100), None, "nobody knows");
        assert!(rest(Duration::MAX / 4, 1, 2).is_some());
    }
}
