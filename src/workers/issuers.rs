//! Keys of issuers that publish them as a JWK set: fetched again and again, and at once when a token names a key that is
//! not known. What cannot be fetched or used is refused; the last good keys stay until they are too old.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};
use url::Url;

use crate::config::{Config, IssuerKeys};
use crate::entitlement::{KeyError, KeySet};
use crate::fetch::{Failure, Fetcher, Get, shown};
use crate::model::{CopyFault, KeyFault};

use super::fact::FetchedKeys;
use super::handle::{KeyLook, KeyLooks};
use super::supervise::Common;

/// Largest JWK set, in bytes.
const SET_MAX: usize = 1 << 20;
/// How long a fetch may take, redirects and body included.
const DEADLINE: Duration = Duration::from_secs(10);
/// Shortest time between two fetches that requests asked for: a flood of unknown key ids is one fetch.
const ASKED_EVERY: Duration = Duration::from_secs(10);
/// How long to wait after a failure; doubled with every further one.
const RETRY_FIRST: Duration = Duration::from_secs(5);
/// The longest of these waits.
const RETRY_MAX: Duration = Duration::from_secs(5 * 60);

/// What metrics call a fetch that went well.
const FETCHED: &str = "ok";

/// Everything that metrics call a fetch.
pub(super) fn outcomes() -> impl Iterator<Item = &'static str> {
    KeyFault::ALL.iter().map(|fault| fault.as_str()).chain([FETCHED])
}

/// Starts a task for every issuer whose keys are fetched.
pub(super) fn start(config: &Config, fetcher: &Fetcher, common: &Common, looks: &KeyLooks) -> JoinSet<()> {
    let fetched = config.issuers.iter().filter_map(|issuer| match &issuer.keys {
        IssuerKeys::Jwks { url, refresh, .. } => Some((issuer.name.as_str(), url, *refresh)),
        IssuerKeys::JwksFile(_) | IssuerKeys::Secrets(_) => None,
    });
    let looks = looks.renew(fetched.clone().map(|(issuer, ..)| issuer));
    let mut running = JoinSet::new();
    for ((issuer, url, refresh), look) in fetched.zip(looks) {
        let (issuer, url) = (issuer.to_owned(), url.clone());
        let (fetcher, common) = (fetcher.clone(), common.clone());
        running.spawn(KeyFetcher { issuer, url, refresh, fetcher, common, look }.run());
    }
    running
}

/// Fetches the keys of one issuer.
struct KeyFetcher {
    issuer: String,
    url: Url,
    refresh: Duration,
    fetcher: Fetcher,
    common: Common,
    look: Arc<KeyLook>,
}

/// Why keys were not fetched, for the metrics and in words.
pub type Trouble = (KeyFault, String);

impl KeyFetcher {
    /// Works until the writer has stopped.
    async fn run(self) {
        let mut may_ask_at = Instant::now();
        let mut failures = 0;
        loop {
            let fetched = fetch(&self.url, &self.fetcher).await;
            let outcome = fetched.as_ref().map_or_else(|(fault, _)| fault.as_str(), |_| FETCHED);
            let fetches = &self.common.metrics.access.key_fetches;
            fetches.with_label_values(&[self.issuer.as_str(), outcome]).inc();
            let pause = match fetched {
                Ok((keys, body)) => {
                    if self.publish(keys, body).await.is_none() {
                        return;
                    }
                    failures = 0;
                    self.refresh
                }
                Err((fault, why)) => {
                    let (issuer, url) = (&self.issuer, shown(&self.url));
                    tracing::warn!(issuer, url, %fault, why, "an issuer's keys; the last good ones stay until they are too old");
                    failures += 1;
                    retry_after(failures).min(self.refresh)
                }
            };
            self.look.looked.send_replace(());
            if self.asked_before(Instant::now() + pause, may_ask_at).await {
                may_ask_at = Instant::now() + ASKED_EVERY;
            }
        }
    }

    /// Waits until the next fetch is due, or somebody asks for one who may; whether it was that.
    async fn asked_before(&self, due: Instant, may_ask_at: Instant) -> bool {
        loop {
            tokio::select! {
                () = sleep_until(due) => return false,
                () = self.look.wanted.notified() => {
                    if Instant::now() >= may_ask_at {
                        return true;
                    }
                    // Too early: whoever asked goes on with the keys that there are.
                    self.look.looked.send_replace(());
                }
            }
        }
    }

    /// Tells the writer; the keys are published when this returns. `None` once it has stopped.
    async fn publish(&self, keys: KeySet, body: Bytes) -> Option<()> {
        let (issuer, url, at) = (self.issuer.clone(), self.url.clone(), self.common.clock.now());
        self.common.handle.keys(FetchedKeys { issuer, url, keys: Arc::new(keys), body, at }).await
    }
}

/// Fetches a JWK set once.
///
/// # Errors
///
/// Why there are no usable keys.
pub async fn fetch(url: &Url, fetcher: &Fetcher) -> Result<(KeySet, Bytes), Trouble> {
    let late = || (KeyFault::Unreachable, format!("no whole answer within {DEADLINE:?}"));
    timeout(DEADLINE, fetch_whole(url, fetcher)).await.unwrap_or_else(|_| Err(late()))
}

async fn fetch_whole(url: &Url, fetcher: &Fetcher) -> Result<(KeySet, Bytes), Trouble> {
    let unreachable = |failure: Failure| match failure.fault {
        CopyFault::WrongLength => (KeyFault::TooLong, failure.to_string()),
        _ => (KeyFault::Unreachable, failure.to_string()),
    };
    let answer = fetcher.get(&Get::new(url, DEADLINE)).await.map_err(unreachable)?;
    if answer.status != StatusCode::OK {
        return Err((KeyFault::UnexpectedStatus, format!("it answered {}", answer.status)));
    }
    let body = answer.read(SET_MAX).await.map_err(unreachable)?;
    let keys = KeySet::from_jwks(&body).map_err(|error| {
        let fault = match error {
            KeyError::TooLong => KeyFault::TooLong,
            KeyError::NoSet(_) => KeyFault::Invalid,
            KeyError::Empty | KeyError::ShortSecret => KeyFault::NoUsableKey,
        };
        (fault, format!("what is there {error}"))
    })?;
    Ok((keys, body))
}

/// How long to wait after so many failures in a row.
fn retry_after(failures: u32) -> Duration {
    RETRY_FIRST.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(RETRY_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_from_five_seconds_to_five_minutes() {
        let waits: Vec<u64> = (1..=8).map(|failures| retry_after(failures).as_secs()).collect();
        assert_eq!(waits, [5, 10, 20, 40, 80, 160, 300, 300]);
        assert_eq!(retry_after(u32::MAX), RETRY_MAX);
    }
}
