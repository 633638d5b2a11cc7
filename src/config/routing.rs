//! `[routing]`, `[redirect]`, `[probe]` and `[verify]`: which mirrors are used, and how clients are told.

use std::time::Duration;

use http::StatusCode;

use super::reader::Section;
use super::value::Value;
use super::values::{Probe, Redirect, Routing, Verify};

const DAY: Duration = Duration::from_secs(86_400);

/// `[routing]`
pub(super) fn routing(mut section: Section<'_>) -> Routing {
    let mut routing = Routing::default();
    if let Some(mut nearness) = section.table("same_nearness") {
        if let Some(percent) = nearness.get("percent", |v| v.number(0.0..=1000.0)) {
            routing.same_nearness_percent = percent;
        }
        // More than the way around the earth: everything is equally near.
        if let Some(km) = nearness.get("km", |v| v.number(0.0..=50_000.0)) {
            routing.same_nearness_km = km;
        }
        nearness.finish();
    }
    section.finish();
    routing
}

/// `[redirect]`
pub(super) fn redirect(mut section: Section<'_>) -> Redirect {
    let default = Redirect::default();
    let redirect = Redirect {
        status: section.get("status", status).unwrap_or(default.status),
        ttl: section.get("ttl", |v| v.duration(Duration::ZERO..=DAY)).unwrap_or(default.ttl),
        alternates: section.get("alternates", |v| v.integer(0..=10)).unwrap_or(default.alternates),
    };
    section.finish();
    redirect
}

fn status(value: Value<'_>) -> Option<StatusCode> {
    let spot = value.spot().clone();
    match value.integer(0..=u16::MAX)? {
        302 => Some(StatusCode::FOUND),
        307 => Some(StatusCode::TEMPORARY_REDIRECT),
        permanent @ (301 | 308) => spot.refuse(
            format!(
                "{permanent} is permanent: clients would keep one mirror's address for ever, even when it is down"
            ),
            "write 302 or 307",
        ),
        other => spot.refuse(format!("{other} is no temporary redirect"), "write 302 or 307"),
    }
}

/// `[probe]`
pub(super) fn probe(mut section: Section<'_>) -> Probe {
    let default = Probe::default();
    let probe = Probe {
        interval: section
            .get("interval", |v| v.duration(Duration::from_millis(10)..=DAY))
            .unwrap_or(default.interval),
        timeout: section
            .get("timeout", |v| v.duration(Duration::from_millis(10)..=Duration::from_secs(600)))
            .unwrap_or(default.timeout),
        fail_after: section.get("fail_after", |v| v.integer(1..=100)).unwrap_or(default.fail_after),
        recover_after: section.get("recover_after", |v| v.integer(1..=100)).unwrap_or(default.recover_after),
    };
    section.finish();
    probe
}

/// `[verify]`
pub(super) fn verify(mut section: Section<'_>) -> Verify {
    let default = Verify::default();
    let verify = Verify {
        concurrency: section.get("concurrency", |v| v.integer(1..=32)).unwrap_or(default.concurrency),
        bandwidth: section.get("bandwidth", |v| v.size(1 << 10..=1 << 40)).unwrap_or(default.bandwidth),
        budget: section.get("budget", |v| v.size(0..=1 << 50)).unwrap_or(default.budget),
        recheck: section
            .get("recheck", |v| v.duration(Duration::from_millis(10)..=DAY * 3650))
            .unwrap_or(default.recheck),
    };
    section.finish();
    verify
}
