//! Releases, waiting for one, and the scorecard of their line.

use std::sync::atomic::Ordering;
use std::time::Duration;

use http::{Response, StatusCode};
use tokio::time::{Instant, timeout_at};

use crate::model::{ProductName, Version};
use crate::workers::report::Topic;

use super::{Admin, Body, Refusal, answers, query};

/// Longest wait that `?wait=` may ask for.
const WAIT_MAX: Duration = Duration::from_secs(3600);
/// How often a waiting request looks again although nothing was published: time alone leaves a mirror out that has
/// been down for long.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// Releases of a scorecard, where nobody says how many.
const SCORED: usize = 20;

impl Admin {
    /// `?releases=20` (the newest) or `all`.
    pub(super) async fn scorecard(
        &self,
        product: ProductName,
        uri: &http::Uri,
    ) -> Result<Response<Body>, Refusal> {
        let most = match query(uri, "releases").as_deref() {
            None => SCORED,
            Some("all") => usize::MAX,
            Some(text) => text
                .parse()
                .map_err(|_| Refusal::BadRequest("releases is a number, or \"all\"".to_owned()))?,
        };
        let what = format!("product {product}");
        self.report(Topic::Scorecard(product, most), &what).await
    }

    /// One release; with `?wait=600` the answer comes when it is everywhere: every mirror that is to hold it does, and
    /// every channel that moves by itself has come to it. After that many seconds the answer is 504 with how things are;
    /// 409 at once where waiting is in vain. It may be asked for before it is published.
    pub(super) async fn release(
        &self,
        product: &str,
        version: &str,
        uri: &http::Uri,
    ) -> Result<Response<Body>, Refusal> {
        let what = format!("release {product} {version}");
        let unknown = || Refusal::NotFound(format!("there is no {what}"));
        let product = ProductName::new(product).map_err(|_| unknown())?;
        match query(uri, "wait").map(|text| text.parse::<u64>()) {
            None => self.report(Topic::Release(product, version.to_owned()), &what).await,
            Some(Ok(seconds)) => {
                let wait = Duration::from_secs(seconds).min(WAIT_MAX);
                let version = Version::parse(version).map_err(|_| unknown())?;
                self.wait_for(product, &version, wait).await
            }
            Some(Err(_)) => Err(Refusal::BadRequest("wait is a number of seconds".to_owned())),
        }
    }

    async fn wait_for(
        &self,
        product: ProductName,
        version: &Version,
        wait: Duration,
    ) -> Result<Response<Body>, Refusal> {
        let topic = Topic::Wait(product, version.as_str().to_owned(), self.clock.now());
        let until = Instant::now() + wait;
        let mut changed = self.status.changed.subscribe();
        loop {
            // Marked as seen before the question, so that what comes after the answer is not missed.
            changed.borrow_and_update();
            let report = self.ask(topic.clone(), "such release").await?;
            if report["globally_ready"] == true {
                return Ok(answers::json(StatusCode::OK, &report));
            }
            if let Some(why) = report["stopped"].as_str() {
                return Err(Refusal::Conflict(why.to_owned()));
            }
            let stopping = self.status.draining.load(Ordering::Acquire);
            if stopping || Instant::now() >= until {
                return Ok(answers::json(StatusCode::GATEWAY_TIMEOUT, &report));
            }
            let next_look = until.min(Instant::now() + LOOK_EVERY);
            // Told or not, it looks again; the sender lives as long as the status.
            let _ = timeout_at(next_look, changed.changed()).await;
        }
    }
}
