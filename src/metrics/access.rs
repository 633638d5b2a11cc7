//! Callers of products that are not for everybody.

use std::time::Duration;

use prometheus::{Histogram, IntCounterVec, IntGauge, IntGaugeVec};

use super::families::Maker;

/// From 100 ns, a token that is remembered, to 1 ms.
const BUCKETS: &[f64] = &[1e-7, 2.5e-7, 5e-7, 1e-6, 2.5e-6, 5e-6, 1e-5, 2.5e-5, 5e-5, 1e-4, 2.5e-4, 1e-3];

/// What checks call a caller who may have what was asked for.
pub const GRANTED: &str = "granted";

/// What became of tokens, and how it is with those who issue them.
#[derive(Debug)]
pub struct AccessMetrics {
    /// Checks by `product`, `issuer`, `reason` (granted, or why not).
    pub checks: IntCounterVec,
    /// Callers who are refused what `latest` points to and would be given the release before it, by `product`.
    pub regressions: IntCounterVec,
    /// Files that tokens have taken, where an entitlement counts them.
    pub counted_files: IntGauge,
    /// Seconds that a check took.
    pub duration: Histogram,
    /// Keys that are believed, by `issuer`.
    pub keys: IntGaugeVec,
    /// When an issuer's keys were last fetched, in seconds since 1970, by `issuer`.
    pub keys_fetched_at: IntGaugeVec,
    /// Fetches of keys, by `issuer`, `outcome` (ok, or the `KeyFault`).
    pub key_fetches: IntCounterVec,
    /// Lines of the record, by `outcome` (written, lost, refused: neither recorded nor given).
    pub deliveries: IntCounterVec,
}

impl AccessMetrics {
    pub(super) fn new(make: &Maker) -> Self {
        Self {
            checks: make.counters(
                "waypost_entitlement_checks_total",
                "Requests for products that are not for everybody, by reason (granted, or why not)",
                &["product", "issuer", "reason"],
            ),
            regressions: make.counters(
                "waypost_entitlement_regressions_total",
                "Requests for what latest points to that are refused to callers who may have the release before it",
                &["product"],
            ),
            counted_files: make.gauge(
                "waypost_entitlement_counted_files",
                "Files that tokens have taken which may take a number of them; no more are counted from 1,048,576 on",
            ),
            duration: make.histogram(
                "waypost_entitlement_duration_seconds",
                "Seconds that it took to find out whether a caller may have what was asked for",
                BUCKETS,
            ),
            keys: make.gauges("waypost_issuer_keys", "Keys of an issuer that are believed", &["issuer"]),
            keys_fetched_at: make.gauges(
                "waypost_issuer_keys_fetched_timestamp_seconds",
                "When an issuer's keys were last fetched",
                &["issuer"],
            ),
            key_fetches: make.counters(
                "waypost_issuer_key_fetches_total",
                "Fetches of issuers' keys, by outcome (ok, or why not)",
                &["issuer", "outcome"],
            ),
            deliveries: make.counters(
                "waypost_audit_records_total",
                "Records of what was given to whom, by outcome (written, lost, refused)",
                &["outcome"],
            ),
        }
    }

    /// How many keys of an issuer are believed, and when they were fetched, in seconds since 1970, where they are.
    pub fn show_keys(&self, issuer: &str, keys: usize, fetched_at: Option<i64>) {
        self.keys.with_label_values(&[issuer]).set(i64::try_from(keys).unwrap_or(i64::MAX));
        match fetched_at {
            Some(at) => self.keys_fetched_at.with_label_values(&[issuer]).set(at),
            None => drop(self.keys_fetched_at.remove_label_values(&[issuer])),
        }
    }

    /// An issuer left; `outcomes` are all that fetches may have. That there is nothing to remove is no error.
    pub fn forget_issuer<'o>(&self, issuer: &str, outcomes: impl Iterator<Item = &'o str>) {
        drop(self.keys.remove_label_values(&[issuer]));
        drop(self.keys_fetched_at.remove_label_values(&[issuer]));
        for outcome in outcomes {
            drop(self.key_fetches.remove_label_values(&[issuer, outcome]));
        }
    }

    /// What became of a caller. Those who are given a product are counted by its own meters.
    pub fn checked(&self, product: &str, issuer: &str, reason: &str) {
        self.checks.with_label_values(&[product, issuer, reason]).inc();
    }

    /// A caller was looked at.
    pub fn looked(&self, took: Duration) {
        self.duration.observe(took.as_secs_f64());
    }
}
