//! A mirror's standing: a fold over what probes saw, with hysteresis.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::config::Probe;
use crate::model::{CopyFault, Exclusion, Timestamp};

/// Where a mirror stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Not one probe has succeeded since the service started. The first good one makes it healthy.
    New,
    /// In rotation.
    Healthy,
    /// Out of rotation until enough probes in a row succeed.
    Down,
    /// Enough probes succeeded; out of rotation until one of its copies is hashed again.
    Returning,
}

impl State {
    /// As logs and listings name it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Healthy => "healthy",
            Self::Down => "down",
            Self::Returning => "returning",
        }
    }
}

/// What somebody saw of a mirror.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// It answered as it should.
    Good,
    /// It did not.
    Failed(CopyFault),
    /// One of its copies was hashed whole and is right, or it holds none that could be.
    Rehashed,
}

/// A mirror's standing and how it came to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// Where it stands.
    pub state: State,
    /// Failed probes in a row.
    pub failures: u32,
    /// Good probes in a row.
    pub successes: u32,
    /// Since when it stands there.
    pub since: Timestamp,
    /// When it was last looked at.
    pub looked_at: Option<Timestamp>,
    /// What the last failure was.
    pub last_fault: Option<CopyFault>,
}

impl Standing {
    /// A mirror that nobody has looked at.
    pub fn new(now: Timestamp) -> Self {
        Self { state: State::New, failures: 0, successes: 0, since: now, looked_at: None, last_fault: None }
    }

    /// What a stored standing is worth after a restart: whoever was down still is, anybody else has to be seen first.
    #[must_use]
    pub fn restarted(mut self, now: Timestamp) -> Self {
        match self.state {
            State::Down => self.successes = 0,
            State::Returning => self = self.moved_to(State::Down, now),
            State::New | State::Healthy => {
                let last_fault = self.last_fault;
                self = Self { last_fault, ..Self::new(now) };
            }
        }
        self
    }

    /// The standing after one more look.
    #[must_use]
    pub fn fold(mut self, look: Look, now: Timestamp, probe: &Probe) -> Self {
        match look {
            Look::Rehashed if self.state == State::Returning => return self.moved_to(State::Healthy, now),
            Look::Rehashed => return self,
            Look::Good => {
                self.successes = self.successes.saturating_add(1);
                self.failures = 0;
            }
            Look::Failed(fault) => {
                self.failures = self.failures.saturating_add(1);
                self.successes = 0;
                self.last_fault = Some(fault);
            }
        }
        self.looked_at = Some(now);
        let next = match (self.state, look) {
            (State::New, Look::Good) => State::Healthy,
            (State::Down, Look::Good) if self.successes >= probe.recover_after => State::Returning,
            (State::Returning, Look::Failed(_)) => State::Down,
            (State::New | State::Healthy, Look::Failed(_)) if self.failures >= probe.fail_after => {
                State::Down
            }
            (state, _) => state,
        };
        self.moved_to(next, now)
    }

    fn moved_to(mut self, state: State, now: Timestamp) -> Self {
        if self.state != state {
            self.state = state;
            self.since = now;
            self.successes = 0;
        }
        self
    }

    /// Why the mirror gets no requests now, if it does not.
    pub fn exclusion(&self) -> Option<Exclusion> {
        match self.state {
            State::New => Some(Exclusion::NotProbed),
            State::Healthy => None,
            State::Down => Some(Exclusion::Down),
            State::Returning => Some(Exclusion::Returning),
        }
    }

    /// When to look again: after the first failure in 2 s, after the second in 4 s, and so on up to the interval. A
    /// mirror that is coming back is looked at as quickly.
    pub fn next_look(&self, probe: &Probe) -> Duration {
        let quick = match (self.state, self.failures) {
            (State::Healthy | State::New, 0) => return probe.interval,
            (State::Down | State::Returning, 0) => Duration::from_secs(2),
            (State::Down, _) => return probe.interval,
            (_, failures) => Duration::from_secs(1 << failures.min(10)),
        };
        quick.min(probe.interval)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PROBE: Probe = Probe {
        interval: Duration::from_secs(15),
        timeout: Duration::from_secs(5),
        fail_after: 3,
        recover_after: 2,
    };

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(seconds * 1000)
    }

    fn after(looks: &[Look]) -> Standing {
        let looks = looks.iter().zip(0..);
        looks.fold(Standing::new(at(0)), |standing, (look, t)| standing.fold(*look, at(t), &PROBE))
    }

    const BAD: Look = Look::Failed(CopyFault::Timeout);

    #[test]
    fn the_first_good_probe_makes_a_new_mirror_healthy() {
        assert_eq!(after(&[]).exclusion(), Some(Exclusion::NotProbed));
        assert_eq!(after(&[Look::Good]).exclusion(), None);
        assert_eq!(after(&[BAD, BAD, Look::Good]).exclusion(), None);
    }

    #[test]
    fn a_mirror_goes_down_after_three_failures_in_a_row_and_not_before() {
        use Look::Good;
        assert_eq!(after(&[Good, BAD, BAD]).state, State::Healthy);
        assert_eq!(after(&[Good, BAD, BAD, Good, BAD, BAD]).state, State::Healthy);
        assert_eq!(after(&[Good, BAD, BAD, BAD]).state, State::Down);
        assert_eq!(after(&[BAD, BAD, BAD]).state, State::Down);
    }

    #[test]
    fn it_comes_back_only_after_its_bytes_were_looked_at_again() {
        use Look::{Good, Rehashed};
        let down = [Good, BAD, BAD, BAD];
        let then = |more: &[Look]| after(&[&down[..], more].concat()).state;
        assert_eq!(then(&[Good]), State::Down);
        assert_eq!(then(&[Rehashed]), State::Down);
        assert_eq!(then(&[Good, Good]), State::Returning);
        assert_eq!(then(&[Good, Good, Good, Good]), State::Returning);
        assert_eq!(then(&[Good, Good, BAD]), State::Down);
        assert_eq!(then(&[Good, Good, Rehashed]), State::Healthy);
    }

    #[test]
    fn it_looks_again_soon_after_a_failure() {
        assert_eq!(after(&[Look::Good]).next_look(&PROBE), Duration::from_secs(15));
        assert_eq!(after(&[Look::Good, BAD]).next_look(&PROBE), Duration::from_secs(2));
        assert_eq!(after(&[Look::Good, BAD, BAD]).next_look(&PROBE), Duration::from_secs(4));
        assert_eq!(after(&[Look::Good, BAD, BAD, BAD]).next_look(&PROBE), Duration::from_secs(15));
        assert_eq!(after(&[Look::Good, BAD, BAD, BAD, Look::Good]).next_look(&PROBE), Duration::from_secs(2));
    }

    #[test]
    fn a_restart_trusts_no_old_health_and_forgets_no_outage() {
        assert_eq!(after(&[Look::Good]).restarted(at(9)).state, State::New);
        assert_eq!(after(&[BAD, BAD, BAD]).restarted(at(9)).state, State::Down);
        assert_eq!(after(&[BAD, BAD, BAD, Look::Good, Look::Good]).restarted(at(9)).state, State::Down);
    }

    proptest! {
        #[test]
        fn a_down_mirror_never_serves_before_recover_after_good_looks_and_a_hash(looks in prop::collection::vec(0u8..3, 0..200)) {
            let mut standing = Standing::new(at(0));
            let (mut bad_run, mut good_since_down, mut known_down) = (0, 0, false);
            for (look, t) in looks.into_iter().zip(0..) {
                let look = [Look::Good, BAD, Look::Rehashed][usize::from(look)];
                standing = standing.fold(look, at(t), &PROBE);
                match look {
                    Look::Good => { bad_run = 0; good_since_down += 1; }
                    Look::Failed(_) => { bad_run += 1; good_since_down = 0; }
                    Look::Rehashed => if good_since_down >= PROBE.recover_after { known_down = false; },
                }
                known_down |= bad_run >= PROBE.fail_after;
                prop_assert!(!(known_down && standing.exclusion().is_none()));
            }
        }
    }
}
