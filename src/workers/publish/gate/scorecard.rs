//! The scorecard of a product line.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use crate::catalog::ReleaseId;
use crate::model::{Check, ProductName, Timestamp};
use crate::workers::publish::propagation::seconds;
use crate::workers::publish::releases::Known;
use crate::workers::publish::world::World;
use crate::workers::report::Report;

use super::Line;
use super::content::share;
use super::copies::Fallback;

impl World {
    /// The scorecard of a product line: at most so many releases, the newest first, and what they have in common.
    pub(in crate::workers::publish) fn scorecard(
        &self,
        product: &ProductName,
        most: usize,
        now: Timestamp,
    ) -> Report {
        let mut releases: Vec<&Known> =
            self.releases.values().filter(|known| known.release.id.product == *product).collect();
        let refusals = self.refusals_of(product);
        if releases.is_empty() && refusals.is_empty() {
            return None;
        }
        releases.sort_by(|a, b| self.order(&b.release.id, &a.release.id));
        let manifests = self.manifests_report(product, &releases);
        let total = releases.len();
        releases.truncate(most);
        let lines: Vec<Value> = releases.iter().map(|known| self.score_line(known, now)).collect();
        Some(json!({
            "product": product,
            "releases_total": total,
            "releases": lines,
            "manifests": manifests,
            "coverage": self.coverage_report(&releases, now),
            "propagation": self.line_propagation(&releases, now),
            "channels": self.fallbacks_report(product),
        }))
    }

    fn score_line(&self, known: &Known, now: Timestamp) -> Value {
        let lines = self.checks(known, now);
        let checks = |ok: Option<bool>| -> Vec<Check> {
            lines.iter().filter(|line| line.finding.ok == ok).map(|line| line.check).collect()
        };
        let withdrawn = self.withdrawn.contains_key(&known.release.id);
        json!({
            "version": known.release.id.version,
            "published_at": known.published_at().to_string(),
            "passed": !withdrawn && lines.iter().all(Line::lets_pass),
            "withdrawn": withdrawn,
            "failed": checks(Some(false)),
            "unknown": checks(None),
            "signature_coverage": known.content.signature_ratio(known, self.has_keys()),
            "provenance_coverage": known.content.provenance_ratio(),
            "t100_seconds": self.propagation(known, now).at_share(100).map(seconds),
        })
    }

    /// Manifests that are accepted and refused now, per pipeline where manifests name one. What a refused manifest of an
    /// unknown release says of itself is not believed.
    fn manifests_report(&self, product: &ProductName, releases: &[&Known]) -> Value {
        let refusals = self.refusals_of(product);
        let mut pipelines: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
        let mut unpublished = refusals.len();
        for known in releases {
            let refused = usize::from(self.refusal_of(&known.release.id).is_some());
            unpublished = unpublished.saturating_sub(refused);
            if let Some(pipeline) = &known.content.pipeline {
                let counts = pipelines.entry(pipeline).or_default();
                *counts = (counts.0 + 1, counts.1 + refused);
            }
        }
        let pipelines = pipelines.into_iter().map(|(pipeline, (accepted, refused))| {
            let success = share(accepted, accepted + refused);
            json!({ "pipeline": pipeline, "accepted": accepted, "refused": refused, "success": success })
        });
        let refused = refusals.iter().map(
            |(path, refusal)| json!({ "manifest": path, "reason": refusal.reason, "detail": refusal.detail }),
        );
        json!({
            "accepted": releases.len(),
            "refused": refusals.len(),
            "never_published": unpublished,
            "success": share(releases.len(), releases.len() + refusals.len()),
            "refusals": refused.take(super::NAMED_MAX).collect::<Vec<_>>(),
            "pipelines": pipelines.collect::<Vec<_>>(),
        })
    }

    /// Means over the releases.
    fn coverage_report(&self, releases: &[&Known], now: Timestamp) -> Value {
        let mean = |of: &dyn Fn(&Known) -> f64| {
            let sum: f64 = releases.iter().map(|known| of(known)).sum();
            (!releases.is_empty()).then(|| sum / releases.len() as f64)
        };
        json!({
            "completeness": mean(&|known| known.content.completeness_ratio()),
            "signatures": mean(&|known| known.content.signature_ratio(known, self.has_keys())),
            "provenance": mean(&|known| known.content.provenance_ratio()),
            "mirrors": mean(&|known| {
                let (holders, required) = self.coverage(&known.release.id, now);
                share(holders, required)
            }),
        })
    }

    /// Over the releases that arrived everywhere.
    fn line_propagation(&self, releases: &[&Known], now: Timestamp) -> Value {
        let arrived = releases.iter().filter_map(|known| self.propagation(known, now).at_share(100));
        let mut arrived: Vec<Duration> = arrived.collect();
        arrived.sort_unstable();
        let median = arrived.get(arrived.len().saturating_sub(1) / 2);
        json!({
            "releases": arrived.len(),
            "fastest_seconds": arrived.first().copied().map(seconds),
            "median_seconds": median.copied().map(seconds),
            "slowest_seconds": arrived.last().copied().map(seconds),
        })
    }

    fn fallbacks_report(&self, product: &ProductName) -> Value {
        let pointers = self.pointers.iter().filter(|((of, _), _)| of == product);
        let line = |((product, channel), pointer): (&(ProductName, _), &super::super::world::Pointer)| {
            let id = ReleaseId { product: product.clone(), version: pointer.version.clone() };
            let (to, ready) = match self.fallback(&id, channel) {
                Fallback::None => (None, None),
                Fallback::Release(id, whole) => (Some(id.version), Some(whole)),
            };
            json!({
                "channel": channel,
                "version": pointer.version,
                "rollback_to": to,
                "rollback_ready": ready,
            })
        };
        pointers.map(line).collect()
    }
}
