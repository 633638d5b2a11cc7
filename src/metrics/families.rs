//! Every metric family, registered once.

use prometheus::core::Collector;
use prometheus::{
    Encoder, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge,
    IntGaugeVec, Opts, Registry, TextEncoder,
};

use super::durations::Builder;
use super::{AccessMetrics, DurationsVec, ReleaseGauges, ReplicationMetrics};

/// The phases of a probe, as labels.
pub const PHASES: [&str; 4] = ["dns", "connect", "tls", "first_byte"];

/// All metrics of the service.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// Answers by `product`, `channel`, `outcome`, `region`.
    pub requests: IntCounterVec,
    /// Redirects by `product`, `region`, `mirror`.
    pub redirects: IntCounterVec,
    /// Seconds from the parsed request to the finished answer, by `region`.
    pub redirect_duration: DurationsVec,
    /// Requests that no mirror could serve, by the `reason` that kept most mirrors from it.
    pub unserved: IntCounterVec,
    /// 1 where a mirror is in rotation, by `mirror`, `region`.
    pub mirror_healthy: IntGaugeVec,
    /// Seconds per phase of a probe, by `mirror`, `region`, `phase`.
    pub probe_duration: HistogramVec,
    /// Failed probes by `mirror`, `region`, `reason`.
    pub probe_failures: IntCounterVec,
    /// Copies and looks at them.
    pub verification: Verification,
    /// Seconds from publication to ready, of the newest release, by `product`, `channel`.
    pub release_ready: IntGaugeVec,
    /// Seconds from publication to the first redirect, of what channels point to, by `product`, `channel`.
    pub first_download: GaugeVec,
    /// Redirects to releases that are lower than the latest one, by `product`.
    pub superseded: IntCounterVec,
    /// Which snapshot is in force.
    pub snapshot_generation: IntGauge,
    /// Seconds since it was published.
    pub snapshot_age: IntGauge,
    /// 1 where the store and its journal were lost.
    pub state_lost: IntGauge,
    /// What mirrors lack and what they have too much of.
    pub replication: ReplicationMetrics,
    /// Failed writes to the store.
    pub store_errors: IntCounter,
    /// Looks at the origin by `outcome` (ok, unreadable, refused).
    pub origin_polls: IntCounterVec,
    /// Reloads by `outcome` (ok, refused).
    pub reloads: IntCounterVec,
    /// 1 where the last reload was refused and older settings are in force.
    pub reload_refused: IntGauge,
    /// What is known of the releases that channels point to or wait for.
    pub releases: ReleaseGauges,
    /// Callers of products that are not for everybody.
    pub access: AccessMetrics,
    /// What happened to connections, by `listener` and `event` (accepted, refused_over_limit, timeout_header, …).
    pub connections: IntCounterVec,
    /// Connections that are open now, by `listener`.
    pub connections_open: IntGaugeVec,
}

/// Copies: how they are, and what looks at them came to and cost.
#[derive(Debug)]
pub struct Verification {
    /// Copies by `mirror`, `state`.
    pub copies: IntGaugeVec,
    /// Whole files that were hashed, by `mirror`, `outcome`.
    pub outcomes: IntCounterVec,
    /// Bytes read, by `mirror`, `purpose` (first, return, recheck, sample).
    pub bytes: IntCounterVec,
    /// Blocks compared between full passes, by `mirror`, `outcome` (right, no_ranges, or the reason of the failure).
    pub samples: IntCounterVec,
}

impl Verification {
    fn new(make: &Maker) -> Self {
        Self {
            copies: make.gauges(
                "waypost_copies",
                "Copies by state (verified, pending, missing, corrupt)",
                &["mirror", "state"],
            ),
            outcomes: make.counters(
                "waypost_verifications_total",
                "Verifications by outcome (verified, or the reason of the failure)",
                &["mirror", "outcome"],
            ),
            bytes: make.counters(
                "waypost_verification_bytes_total",
                "Bytes read to verify copies, by purpose (first, return, recheck, sample)",
                &["mirror", "purpose"],
            ),
            samples: make.counters(
                "waypost_samples_total",
                "Blocks compared between full passes, by outcome (right, no_ranges, or the reason of the failure)",
                &["mirror", "outcome"],
            ),
        }
    }
}

/// From 1 ms to 10 s.
const PROBE_BUCKETS: &[f64] = &[0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// Registers families; the names are constants of this file, so that registration cannot fail.
pub(super) struct Maker(Registry);

impl Maker {
    fn keep<C: Collector + Clone + 'static>(&self, made: Result<C, prometheus::Error>) -> C {
        let family = made.expect("metric names and labels are valid constants");
        self.0.register(Box::new(family.clone())).expect("metric names are unique constants");
        family
    }

    pub(super) fn counters(&self, name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
        self.keep(IntCounterVec::new(Opts::new(name, help), labels))
    }

    pub(super) fn gauges(&self, name: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
        self.keep(IntGaugeVec::new(Opts::new(name, help), labels))
    }

    pub(super) fn ratios(&self, name: &str, help: &str, labels: &[&str]) -> GaugeVec {
        self.keep(GaugeVec::new(Opts::new(name, help), labels))
    }

    pub(super) fn gauge(&self, name: &str, help: &str) -> IntGauge {
        self.keep(IntGauge::new(name, help))
    }

    pub(super) fn histogram(&self, name: &str, help: &str, buckets: &[f64]) -> Histogram {
        self.keep(Histogram::with_opts(HistogramOpts::new(name, help).buckets(buckets.to_vec())))
    }

    fn histograms(&self, name: &str, help: &str, labels: &[&str], buckets: &[f64]) -> HistogramVec {
        self.keep(HistogramVec::new(HistogramOpts::new(name, help).buckets(buckets.to_vec()), labels))
    }
}

impl Metrics {
    /// All families, at zero.
    pub fn new() -> Self {
        let make = Maker(Registry::new());
        let answers = "Seconds from the parsed request to the finished answer";
        let phases = "Seconds a probe took, by phase (dns, connect, tls, first_byte)";
        let first_download =
            "Seconds from publication to the first redirect, of the release that a channel points to";
        let mirror = &["mirror", "region"];
        Self {
            requests: make.counters(
                "waypost_requests_total",
                "Answers by outcome",
                &["product", "channel", "outcome", "region"],
            ),
            redirects: make.counters(
                "waypost_redirects_total",
                "Redirects",
                &["product", "region", "mirror"],
            ),
            redirect_duration: make
                .keep(Builder::family(Opts::new("waypost_redirect_duration_seconds", answers), &["region"])),
            unserved: make.counters(
                "waypost_unserved_total",
                "Requests that no mirror could serve, by what kept most mirrors from it",
                &["reason"],
            ),
            mirror_healthy: make.gauges("waypost_mirror_healthy", "1 where a mirror is in rotation", mirror),
            probe_duration: make.histograms(
                "waypost_probe_duration_seconds",
                phases,
                &["mirror", "region", "phase"],
                PROBE_BUCKETS,
            ),
            probe_failures: make.counters(
                "waypost_probe_failures_total",
                "Failed probes",
                &["mirror", "region", "reason"],
            ),
            verification: Verification::new(&make),
            release_ready: make.gauges(
                "waypost_release_ready_seconds",
                "Seconds from publication to ready, of the newest release of a channel",
                &["product", "channel"],
            ),
            first_download: make.keep(GaugeVec::new(
                Opts::new("waypost_first_download_seconds", first_download),
                &["product", "channel"],
            )),
            superseded: make.counters(
                "waypost_superseded_requests_total",
                "Redirects to releases that are lower than the product's latest",
                &["product"],
            ),
            snapshot_generation: make.gauge("waypost_snapshot_generation", "Number of the snapshot in force"),
            snapshot_age: make.gauge("waypost_snapshot_age_seconds", "Seconds since it was published"),
            state_lost: make.gauge("waypost_state_lost", "1 where the store and its journal were lost"),
            replication: ReplicationMetrics::new(&make),
            store_errors: make
                .keep(IntCounter::new("waypost_store_errors_total", "Writes to the store that failed")),
            origin_polls: make.counters(
                "waypost_origin_polls_total",
                "Looks at the origin by outcome (ok, unreadable, refused)",
                &["outcome"],
            ),
            reloads: make.counters("waypost_reloads_total", "Reloads by outcome (ok, refused)", &["outcome"]),
            reload_refused: make.gauge("waypost_reload_refused", "1 where the last reload was refused"),
            releases: ReleaseGauges::new(&make),
            access: AccessMetrics::new(&make),
            connections: make.counters(
                "waypost_connections_total",
                "What happened to connections (accepted, refused_over_limit, tls_failure, timeout_idle, …)",
                &["listener", "event"],
            ),
            connections_open: make.gauges("waypost_connections_open", "Connections open now", &["listener"]),
            registry: make.0,
        }
    }

    /// Everything in Prometheus' text format.
    pub fn render(&self) -> String {
        let mut text = Vec::new();
        if let Err(error) = TextEncoder::new().encode(&self.registry.gather(), &mut text) {
            tracing::error!(%error, "metrics could not be written");
        }
        String::from_utf8(text).unwrap_or_default()
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}
