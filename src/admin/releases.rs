//! Releases, and waiting for one.

use std::sync::atomic::Ordering;
use std::time::Duration;

use http::{Response, StatusCode};
use serde_json::Value;
use tokio::time::{Instant, timeout_at};

use crate::model::ProductName;
use crate::workers::report::Topic;

use super::{Admin, Body, Refusal, answers, no, query};

/// Longest wait that `?wait=` may ask for.
const WAIT_MAX: Duration = Duration::from_secs(3600);
/// How often a waiting request looks again although nothing was published: time alone leaves a mirror out that has
/// been down for long.
const LOOK_EVERY: Duration = Duration::from_secs(10);

impl Admin {
    pub(super) async fn releases_of(&self, product: &str) -> Result<Response<Body>, Refusal> {
        let mut report = self.ask(Topic::Releases, "releases").await?;
        for list in ["releases", "channels"] {
            if let Some(Value::Array(lines)) = report.get_mut(list) {
                lines.retain(|line| line["product"] == product);
            }
        }
        if report["releases"].as_array().is_none_or(Vec::is_empty) {
            return Err(no("product", product));
        }
        Ok(answers::json(StatusCode::OK, &report))
    }

    /// One release; with `?wait=600` the answer comes when every mirror that counts holds it, or after that many
    /// seconds with 504.
    pub(super) async fn release(
        &self,
        product: &str,
        version: &str,
        uri: &http::Uri,
    ) -> Result<Response<Body>, Refusal> {
        let what = format!("release {product} {version}");
        let product =
            ProductName::new(product).map_err(|_| Refusal::NotFound(format!("there is no {what}")))?;
        let wait = match query(uri, "wait").map(|text| text.parse::<u64>()) {
            None => return self.report(Topic::Release(product, version.to_owned()), &what).await,
            Some(Ok(seconds)) => Duration::from_secs(seconds).min(WAIT_MAX),
            Some(Err(_)) => return Err(Refusal::BadRequest("wait is a number of seconds".to_owned())),
        };
        let until = Instant::now() + wait;
        let mut changed = self.status.changed.subscribe();
        loop {
            // Marked as seen before the question, so that what comes after the answer is not missed.
            changed.borrow_and_update();
            let report = self.ask(Topic::Release(product.clone(), version.to_owned()), &what).await;
            match report {
                Ok(report) if is_everywhere(&report) => return Ok(answers::json(StatusCode::OK, &report)),
                Ok(_) | Err(Refusal::NotFound(_)) => {}
                Err(other) => return Err(other),
            }
            let stopping = self.status.draining.load(Ordering::Acquire);
            if stopping || Instant::now() >= until {
                let body = report.unwrap_or(Value::Null);
                return Ok(answers::json(StatusCode::GATEWAY_TIMEOUT, &body));
            }
            let next_look = until.min(Instant::now() + LOOK_EVERY);
            // Told or not, it looks again; the sender lives as long as the status.
            let _ = timeout_at(next_look, changed.changed()).await;
        }
    }
}

/// Whether every mirror that counts holds the release, whatever the channels' policies.
fn is_everywhere(report: &Value) -> bool {
    report["mirrors_lacking"].as_array().is_some_and(Vec::is_empty)
}
