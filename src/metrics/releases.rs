//! Gauges of releases: of those that channels point to, and of the newest ones for them. Their labels are bounded by
//! channels and mirrors, not by releases.

use prometheus::{GaugeVec, IntCounterVec, IntGaugeVec};

use super::families::Maker;

/// The gauges.
#[derive(Debug)]
pub struct ReleaseGauges {
    /// Share of the mirrors that are to hold it and do, of the release that a channel points to, by `product`, `channel`.
    pub coverage: GaugeVec,
    /// Seconds from publication to whole, of the newest release for a channel, by `product`, `channel`, `mirror`.
    pub replication_lag: GaugeVec,
    /// 1 while a release that is higher than its channel's is on its way to mirrors or to the channel, by `product`.
    pub window_open: IntGaugeVec,
    /// 1 where the release before is whole on a mirror in rotation, by `product`, `channel`; none where there is none.
    pub rollback_ready: IntGaugeVec,
    /// Share of what the newest release for a channel should hold that it does, by `product`, `channel`.
    pub completeness: GaugeVec,
    /// Share of its files that are signed, by `product`, `channel`.
    pub signatures: GaugeVec,
    /// Share of its files that say where they come from, by `product`, `channel`.
    pub provenance: GaugeVec,
    /// 1 where all its checks that gate hold, by `product`, `channel`.
    pub gate_passed: IntGaugeVec,
    /// Manifests that are refused now, by `reason`.
    pub manifests_refused: IntGaugeVec,
    /// Manifests that were taken in or newly refused, by `outcome` (accepted, refused), `reason` (of a refusal).
    pub manifests: IntCounterVec,
    /// 1 where the last look at the origin came to nothing, by `reason`.
    pub origin_refused: IntGaugeVec,
}

impl ReleaseGauges {
    pub(super) fn new(make: &Maker) -> Self {
        let channel = &["product", "channel"];
        Self {
            coverage: make.ratios(
                "waypost_release_coverage_ratio",
                "Share of the mirrors that are to hold a channel's release and do",
                channel,
            ),
            replication_lag: make.ratios(
                "waypost_replication_lag_seconds",
                "Seconds from publication to whole on a mirror, of the newest release for a channel",
                &["product", "channel", "mirror"],
            ),
            window_open: make.gauges(
                "waypost_release_window_open",
                "1 while a release that is higher than its channel's is on its way to mirrors or to the channel",
                &["product"],
            ),
            rollback_ready: make.gauges(
                "waypost_rollback_ready",
                "1 where a channel's release before is whole on a mirror in rotation; not there where there is none",
                channel,
            ),
            completeness: make.ratios(
                "waypost_release_completeness_ratio",
                "Share of expected platforms and sidecars that the newest release for a channel has",
                channel,
            ),
            signatures: make.ratios(
                "waypost_signature_coverage_ratio",
                "Share of its files that are signed (by a trusted key, where keys are configured)",
                channel,
            ),
            provenance: make.ratios(
                "waypost_provenance_coverage_ratio",
                "Share of its files that say where they come from",
                channel,
            ),
            gate_passed: make.gauges("waypost_gate_passed", "1 where all its checks that gate hold", channel),
            manifests_refused: make.gauges(
                "waypost_manifests_refused",
                "Manifests that are refused now, by reason",
                &["reason"],
            ),
            manifests: make.counters(
                "waypost_manifests_total",
                "Manifests that were taken in, or newly refused, since the service started",
                &["outcome", "reason"],
            ),
            origin_refused: make.gauges(
                "waypost_origin_refused",
                "1 where the origin as a whole was not read or not believed at the last look, by reason",
                &["reason"],
            ),
        }
    }

    /// Forgets what is of channels and mirrors, which may be gone.
    pub fn reset(&self) {
        for family in
            [&self.coverage, &self.replication_lag, &self.completeness, &self.signatures, &self.provenance]
        {
            family.reset();
        }
        for family in [&self.window_open, &self.rollback_ready, &self.gate_passed] {
            family.reset();
        }
    }
}
