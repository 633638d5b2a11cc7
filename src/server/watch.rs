//! What a connection is waiting for, and until when it may.
//!
//! The stream and the service say what happens, the connection's task asks when to look again. On the usual path this
//! costs one look at the clock per request: moments are taken only when the task goes to wait.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::task::coop;
use tokio::time::{Instant, Sleep};

use super::Timeout;
use crate::config::Limits;

/// Told by the stream and the service, asked by the connection's task. Shared by one connection's tasks only, and a
/// stale value does no more than move a bound by one poll, so relaxed ordering suffices.
#[derive(Debug)]
pub(super) struct Watch {
    accepted: Instant,
    limits: Limits,
    /// A `Phase` and, above it, milliseconds since `accepted`.
    phase: AtomicU64,
    /// Milliseconds since `accepted`, plus one, since when a write has had to wait; 0: none does.
    blocked: AtomicU64,
    /// Requests whose handler works.
    in_flight: AtomicUsize,
    /// Requests so far.
    requests: AtomicUsize,
    /// HTTP/2: what is read says nothing about requests.
    multiplexed: AtomicBool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Nothing has come yet.
    Silent,
    /// Bytes came; whether they make up a whole head is not known yet.
    Arrived,
    /// A part of a head is here, since the moment.
    Head,
    /// The last thing that happened was an answer.
    Answered,
    /// Nothing has happened since the moment.
    Idle,
}

/// Phases take this many low bits.
const PHASE_BITS: u32 = 3;

impl Phase {
    fn at(self, millis: u64) -> u64 {
        self as u64 | millis << PHASE_BITS
    }

    fn of(word: u64) -> (Self, u64) {
        let phase = match word & ((1 << PHASE_BITS) - 1) {
            0 => Self::Silent,
            1 => Self::Arrived,
            2 => Self::Head,
            3 => Self::Answered,
            _ => Self::Idle,
        };
        (phase, word >> PHASE_BITS)
    }
}

/// While a handler works the alarm is set this far ahead.
const NO_BOUND_MILLIS: u64 = 3_600_000;

/// Whether a connection has been told to finish.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Finish {
    /// It goes on.
    No,
    /// It was told at this moment, in milliseconds since accept.
    Since(u64),
}

impl Watch {
    /// For a connection that was accepted just now.
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            accepted: Instant::now(),
            limits,
            phase: AtomicU64::new(Phase::Silent.at(0)),
            blocked: AtomicU64::new(0),
            in_flight: AtomicUsize::new(0),
            requests: AtomicUsize::new(0),
            multiplexed: AtomicBool::new(false),
        }
    }

    /// The connection speaks HTTP/2.
    pub(super) fn is_multiplexed(&self) {
        self.multiplexed.store(true, Relaxed);
    }

    /// Until when the first byte has to come.
    pub(super) fn first_byte_deadline(&self) -> Instant {
        self.accepted + Duration::from_millis(millis(self.limits.first_byte))
    }

    /// Milliseconds since accept.
    pub(super) fn now(&self) -> u64 {
        millis(self.accepted.elapsed())
    }

    /// Bytes came.
    pub(super) fn note_arrival(&self) {
        let phase = Phase::of(self.phase.load(Relaxed)).0;
        if matches!(phase, Phase::Silent | Phase::Answered | Phase::Idle) {
            if !self.multiplexed.load(Relaxed) {
                self.phase.store(Phase::Arrived.at(0), Relaxed);
            } else if phase == Phase::Silent {
                self.phase.store(Phase::Idle.at(self.now()), Relaxed);
            }
        }
    }

    /// Some bytes of an answer were taken: a long body is not idleness.
    pub(super) fn note_progress(&self) {
        let phase = Phase::of(self.phase.load(Relaxed)).0;
        if !self.multiplexed.load(Relaxed) && matches!(phase, Phase::Head | Phase::Idle) {
            self.phase.store(Phase::Answered.at(0), Relaxed);
        }
    }

    /// A write has to wait.
    pub(super) fn note_blocked(&self) {
        if self.blocked.load(Relaxed) == 0 {
            self.blocked.store(self.now() + 1, Relaxed);
        }
    }

    /// All that waited to be written was taken.
    pub(super) fn note_flushed(&self) {
        if self.blocked.load(Relaxed) != 0 {
            self.blocked.store(0, Relaxed);
        }
    }

    /// A request begins; its number on this connection, from 1.
    pub(super) fn note_request(&self) -> usize {
        self.in_flight.fetch_add(1, Relaxed);
        self.requests.fetch_add(1, Relaxed) + 1
    }

    /// A request's handler is done.
    pub(super) fn note_answer(&self) {
        let phase = match self.multiplexed.load(Relaxed) {
            true => Phase::Idle.at(self.now()),
            false => Phase::Answered.at(0),
        };
        self.phase.store(phase, Relaxed);
        self.in_flight.fetch_sub(1, Relaxed);
    }

    /// Whether the request with this number is the connection's last.
    pub(super) fn is_last(&self, number: usize) -> bool {
        number >= self.limits.requests_per_connection
    }

    /// Whether the connection has had its share of requests.
    pub(super) fn is_exhausted(&self) -> bool {
        self.is_last(self.requests.load(Relaxed))
    }

    /// The connection has to wait: from now on for the rest of a head, or for the next request.
    fn note_wait(&self) {
        let next = match Phase::of(self.phase.load(Relaxed)).0 {
            Phase::Arrived => Phase::Head,
            Phase::Answered => Phase::Idle,
            Phase::Silent | Phase::Head | Phase::Idle => return,
        };
        if self.blocked.load(Relaxed) == 0 && self.in_flight.load(Relaxed) == 0 {
            self.phase.store(next.at(self.now()), Relaxed);
        }
    }

    /// The bound in force and its moment in milliseconds since accept; `None` while only a handler is waited for. While
    /// an answer waits to be taken, nothing else is expected of the client.
    pub(super) fn deadline(&self, finish: Finish) -> Option<(u64, Timeout)> {
        match (self.blocked.load(Relaxed), self.in_flight.load(Relaxed)) {
            (0, 0) => self.waiting_deadline(finish),
            (0, _) => None,
            (since, in_flight) => {
                let write = (since - 1 + millis(self.limits.write), Timeout::Write);
                // Over HTTP/2 what waits may be no answer at all: a client that floods with pings always has something
                // waiting, and takes it always in time.
                let silent = self.multiplexed.load(Relaxed) && in_flight == 0;
                let own = if silent { self.waiting_deadline(finish) } else { None };
                Some(own.filter(|own| own.0 < write.0).unwrap_or(write))
            }
        }
    }

    fn waiting_deadline(&self, finish: Finish) -> Option<(u64, Timeout)> {
        let (phase, since) = Phase::of(self.phase.load(Relaxed));
        let bound = |limit, which| Some((since + millis(limit), which));
        let own = match (phase, finish) {
            (Phase::Silent, _) => bound(self.limits.first_byte, Timeout::FirstByte),
            (Phase::Head, _) => bound(self.limits.header, Timeout::Header),
            (Phase::Idle, Finish::No) => bound(self.limits.idle, Timeout::Idle),
            // The latter two are over before anybody waits.
            (Phase::Idle | Phase::Arrived | Phase::Answered, _) => None,
        };
        match finish {
            Finish::No => own,
            Finish::Since(told) => {
                let end = told + millis(self.limits.write);
                Some(own.filter(|own| own.0 < end).unwrap_or((end, Timeout::Write)))
            }
        }
    }
}

/// Rings when a bound is reached. It is set anew only when a bound comes nearer than what it is set to; where bounds have
/// moved away, as they do with every request, that is seen when it rings.
pub(super) struct Alarm<'a> {
    sleep: Pin<&'a mut Sleep>,
    set_to: u64,
    /// Whom the sleep wakes as it is set now.
    wakes: Option<Waker>,
    watch: &'a Watch,
}

impl<'a> Alarm<'a> {
    /// With a `sleep` until the deadline of the first byte.
    pub(super) fn new(sleep: Pin<&'a mut Sleep>, watch: &'a Watch) -> Self {
        Self { sleep, set_to: millis(watch.limits.first_byte), wakes: None, watch }
    }

    /// Asked when the connection has to wait: ready with the bound that was reached. Otherwise the task is woken when
    /// there may be one.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, finish: Finish) -> Poll<Timeout> {
        self.watch.note_wait();
        let bound = self.watch.deadline(finish);
        if let Some((at, _)) = bound.filter(|(at, _)| *at < self.set_to) {
            self.set(at);
        }
        // A sleep that wakes this task need not be polled until it has ended: that costs more than all else here.
        let is_set = self.wakes.as_ref().is_some_and(|waker| waker.will_wake(cx.waker()));
        if is_set && !self.sleep.is_elapsed() {
            return Poll::Pending;
        }
        while self.sleep.as_mut().poll(cx).is_ready() {
            let now = self.watch.now();
            match bound {
                Some((at, which)) if at <= now => return Poll::Ready(which),
                Some((at, _)) => self.set(at),
                None => self.set(now + NO_BOUND_MILLIS),
            }
        }
        if coop::has_budget_remaining() {
            self.wakes = Some(cx.waker().clone());
            return Poll::Pending;
        }
        // A connection that always finds more to read leaves no budget, and without budget no timer rings, nor does it
        // take a waker.
        self.wakes = None;
        match bound {
            Some((at, which)) if at <= self.watch.now() => Poll::Ready(which),
            _ => Poll::Pending,
        }
    }

    fn set(&mut self, to: u64) {
        self.set_to = to;
        self.wakes = None;
        self.sleep.as_mut().reset(self.watch.accepted + Duration::from_millis(to));
    }
}

/// Whole milliseconds, at most a year: larger bounds would not fit beside a phase, nor into the timer.
fn millis(duration: Duration) -> u64 {
    const YEAR: u64 = 365 * 86_400 * 1000;
    u64::try_from(duration.as_millis()).unwrap_or(YEAR).min(YEAR)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watch() -> Watch {
        let second = Duration::from_secs;
        Watch::new(Limits {
            first_byte: second(1),
            header: second(2),
            idle: second(3),
            write: second(4),
            requests_per_connection: 2,
            ..Limits::default()
        })
    }

    fn bound(watch: &Watch) -> Option<Timeout> {
        watch.deadline(Finish::No).map(|d| d.1)
    }

    #[tokio::test(start_paused = true)]
    async fn over_http2_a_client_is_idle_although_what_it_provokes_waits_to_be_taken() {
        let watch = watch();
        watch.is_multiplexed();
        watch.note_arrival();
        tokio::time::advance(Duration::from_millis(2500)).await;
        watch.note_blocked();
        assert_eq!(watch.deadline(Finish::No), Some((3000, Timeout::Idle)));
        assert_eq!(watch.deadline(Finish::Since(2500)), Some((6500, Timeout::Write)));
        watch.note_request();
        assert_eq!(watch.deadline(Finish::No), Some((6500, Timeout::Write)), "an answer is on its way");
    }

    #[tokio::test(start_paused = true)]
    async fn each_phase_has_its_bound_and_a_working_handler_has_none() {
        let watch = watch();
        assert_eq!(watch.deadline(Finish::No), Some((1000, Timeout::FirstByte)));
        tokio::time::advance(Duration::from_millis(500)).await;
        watch.note_arrival();
        watch.note_wait();
        assert_eq!(watch.deadline(Finish::No), Some((2500, Timeout::Header)));
        tokio::time::advance(Duration::from_millis(500)).await;
        watch.note_arrival();
        watch.note_wait();
        assert_eq!(watch.deadline(Finish::No), Some((2500, Timeout::Header)), "bytes do not move the bound");
        watch.note_request();
        assert_eq!(bound(&watch), None);
        watch.note_answer();
        watch.note_wait();
        assert_eq!(watch.deadline(Finish::No), Some((4000, Timeout::Idle)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_blocked_write_is_bounded_until_all_of_it_was_taken() {
        let watch = watch();
        watch.note_request();
        watch.note_blocked();
        tokio::time::advance(Duration::from_secs(1)).await;
        watch.note_blocked();
        assert_eq!(watch.deadline(Finish::No), Some((4000, Timeout::Write)));
        watch.note_flushed();
        assert_eq!(bound(&watch), None);
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_told_to_finish_has_the_time_of_a_write() {
        let watch = watch();
        watch.note_request();
        assert_eq!(watch.deadline(Finish::Since(10)), None, "a handler is waited for");
        watch.note_answer();
        assert_eq!(watch.deadline(Finish::Since(10)), Some((4010, Timeout::Write)));
    }

    #[tokio::test(start_paused = true)]
    async fn who_keeps_the_connection_busy_does_not_put_the_alarm_off() {
        let watch = watch();
        let sleep = std::pin::pin!(tokio::time::sleep_until(watch.first_byte_deadline()));
        let mut alarm = Alarm::new(sleep, &watch);
        let mut looked = async || {
            let look = |cx: &mut Context<'_>| {
                // As a connection does that always finds more to read.
                while coop::has_budget_remaining() {
                    let _ = std::pin::pin!(coop::consume_budget()).poll(cx);
                }
                Poll::Ready(alarm.poll(cx, Finish::No))
            };
            std::future::poll_fn(look).await
        };
        assert_eq!(looked().await, Poll::Pending);
        tokio::time::advance(Duration::from_secs(2)).await;
        assert_eq!(looked().await, Poll::Ready(Timeout::FirstByte));
    }

    #[tokio::test(start_paused = true)]
    async fn on_http2_only_requests_end_idleness() {
        let watch = watch();
        watch.is_multiplexed();
        watch.note_arrival();
        tokio::time::advance(Duration::from_secs(1)).await;
        watch.note_arrival();
        watch.note_wait();
        assert_eq!(watch.deadline(Finish::No), Some((3000, Timeout::Idle)));
        watch.note_request();
        watch.note_answer();
        assert_eq!(watch.deadline(Finish::No), Some((4000, Timeout::Idle)));
        assert!(!watch.is_exhausted());
        watch.note_request();
        assert!(watch.is_exhausted());
    }
}
