//! How fast a mirror's transfers may go, all together.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// How much unused time may be made up for. Small, so that the rate holds over any second.
const BURST: Duration = Duration::from_millis(100);

/// A bound on bytes per second that clones share (a token bucket, kept as the moment when it is empty).
#[derive(Debug, Clone)]
pub struct Pace(Option<Arc<Bucket>>);

#[derive(Debug)]
struct Bucket {
    bytes_per_second: u64,
    /// When all that was taken so far will have been paid for.
    paid_at: Mutex<Instant>,
}

impl Pace {
    /// At most this many bytes per second; 0 is taken as 1.
    pub fn new(bytes_per_second: u64) -> Self {
        let paid_at = Mutex::new(Instant::now());
        Self(Some(Arc::new(Bucket { bytes_per_second: bytes_per_second.max(1), paid_at })))
    }

    /// As fast as it goes.
    pub const fn unlimited() -> Self {
        Self(None)
    }

    /// Waits until `bytes` that were received are paid for. Waiters are served in the order in which they came.
    pub async fn take(&self, bytes: usize) {
        if let Some(bucket) = &self.0 {
            let paid_at = bucket.pay(bytes);
            if paid_at > Instant::now() {
                sleep_until(paid_at).await;
            }
        }
    }
}

impl Bucket {
    fn pay(&self, bytes: usize) -> Instant {
        let nanos = bytes as u128 * 1_000_000_000 / u128::from(self.bytes_per_second);
        let cost = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        let mut paid_at = self.paid_at.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let from = now.checked_sub(BURST).unwrap_or(now).max(*paid_at);
        *paid_at = from.checked_add(cost).unwrap_or(from);
        *paid_at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn transfers_share_the_rate() {
        let pace = Pace::new(1_000_000);
        let begin = Instant::now();
        let transfer = |pace: Pace| async move {
            for _ in 0..100 {
                pace.take(50_000).await;
            }
        };
        tokio::join!(transfer(pace.clone()), transfer(pace.clone()));
        let seconds = begin.elapsed().as_secs_f64();
        assert!((9.9..=10.01).contains(&seconds), "10 MB at 1 MB/s took {seconds} s");
    }

    #[tokio::test(start_paused = true)]
    async fn idle_time_is_not_saved_up_beyond_a_short_burst() {
        let pace = Pace::new(1_000_000);
        tokio::time::advance(Duration::from_secs(3600)).await;
        let begin = Instant::now();
        pace.take(2_000_000).await;
        assert!(begin.elapsed() >= Duration::from_millis(1_890), "{:?}", begin.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn an_unlimited_pace_never_waits_and_an_absurd_one_does_not_panic() {
        let begin = Instant::now();
        Pace::unlimited().take(usize::MAX).await;
        assert_eq!(begin.elapsed(), Duration::ZERO);
        let slowest = Pace::new(0);
        let wait = tokio::time::timeout(Duration::from_secs(1), slowest.take(usize::MAX)).await;
        assert!(wait.is_err());
    }
}
