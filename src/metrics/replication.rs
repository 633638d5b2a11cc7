//! Metrics of what mirrors should hold and what they hold besides.

use prometheus::{IntCounterVec, IntGaugeVec};

use super::families::Maker;

/// What mirrors lack and what they have too much of.
#[derive(Debug)]
pub struct ReplicationMetrics {
    /// Notifications of what a mirror lacks, by `mirror`, `outcome` (told, failed).
    pub notifications: IntCounterVec,
    /// Files in releases' folders that no manifest names, by `mirror`.
    pub unexpected_files: IntGaugeVec,
    /// Verified copies of releases that a mirror is not to hold, by `mirror`, `reason` (withdrawn, retention, tier).
    pub unwanted_copies: IntGaugeVec,
}

impl ReplicationMetrics {
    pub(super) fn new(make: &Maker) -> Self {
        Self {
            notifications: make.counters(
                "waypost_notifications_total",
                "Notifications of what a mirror lacks, by outcome (told, failed)",
                &["mirror", "outcome"],
            ),
            unexpected_files: make.gauges(
                "waypost_unexpected_files",
                "Files in releases' folders that no manifest names, where the mirror lists its folders",
                &["mirror"],
            ),
            unwanted_copies: make.gauges(
                "waypost_unwanted_copies",
                "Verified copies of releases that the mirror is not to hold, by reason (withdrawn, retention, tier)",
                &["mirror", "reason"],
            ),
        }
    }
}
