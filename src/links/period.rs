//! From when until when a link is good.

use std::io::Write;
use std::time::Duration;

use crate::model::Timestamp;

/// How far apart the ends of links may be at most, in seconds.
const STEP_MAX: u64 = 60;
/// The last second that is written with a year of four digits, and that a period can begin with.
const LATEST: u64 = 253_000_000_000;

/// How long links are good.
#[derive(Debug, Clone, Copy)]
pub(super) struct Validity {
    /// In seconds.
    ttl: u64,
    /// Periods begin at multiples of this many seconds.
    step: u64,
}

/// Of all moments in one step the period is the same: it holds for `ttl` after any of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Period {
    /// Seconds since 1970.
    pub from: u64,
    /// Seconds since 1970.
    pub until: u64,
}

impl Validity {
    pub(super) fn new(ttl: Duration) -> Self {
        let ttl = ttl.as_secs() + u64::from(ttl.subsec_nanos() > 0);
        Self { ttl, step: (ttl / 10).clamp(1, STEP_MAX) }
    }

    pub(super) fn ttl(&self) -> Duration {
        Duration::from_secs(self.ttl)
    }

    pub(super) fn period(&self, now: Timestamp) -> Period {
        let now = u64::try_from(now.as_millis() / 1000).unwrap_or(0).min(LATEST);
        let from = now - now % self.step;
        Period { from, until: from + self.step + self.ttl }
    }
}

/// RFC 3339 in UTC, such as `2026-11-20T10:00:00Z`.
pub(super) fn rfc3339(seconds: u64) -> String {
    let seconds = i64::try_from(seconds).unwrap_or(i64::MAX);
    jiff::Timestamp::from_second(seconds).unwrap_or(jiff::Timestamp::MAX).to_string()
}

/// Appends a number.
pub(super) fn put_number(out: &mut Vec<u8>, number: u64) {
    write!(out, "{number}").expect("memory takes what is written");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_good_for_its_time_and_a_tenth_more_and_those_of_one_moment_are_equal() {
        for ttl in [30, 299, 300, 3600, 7 * 86_400] {
            let validity = Validity::new(Duration::from_secs(ttl));
            for now in (1_700_000_000..1_700_000_500).map(|s| s * 1000 + 999) {
                let Period { from, until } = validity.period(Timestamp::from_millis(now));
                let now = now as u64 / 1000;
                assert!(from <= now && until >= now + ttl && until <= now + ttl + (ttl / 10).min(60));
            }
        }
        let validity = Validity::new(Duration::from_secs(300));
        let at = |seconds: i64| validity.period(Timestamp::from_millis(seconds * 1000));
        assert_eq!(at(1_700_000_010), at(1_700_000_039));
        assert_ne!(at(1_700_000_010), at(1_700_000_040));
    }

    #[test]
    fn no_clock_is_too_wrong() {
        let validity = Validity::new(Duration::from_secs(300));
        for millis in [i64::MIN, -1, 0, i64::MAX] {
            let period = validity.period(Timestamp::from_millis(millis));
            assert_eq!(rfc3339(period.from).len(), "2026-11-20T10:00:00Z".len());
            assert_eq!(rfc3339(period.until).len(), "2026-11-20T10:00:00Z".len());
        }
    }
}
