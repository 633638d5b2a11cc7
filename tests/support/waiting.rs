//! Waiting for what is bound to happen, and saying how things are when it does not.

#![allow(dead_code, missing_docs, clippy::unwrap_used)]

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::timeout;
use waypost::workers::report::Topic;

use super::{Answer, PATIENCE, Site, soon};

impl Site {
    /// Waits for something; fails with how things are.
    pub async fn until<T>(&self, what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
        let looking = soon(what, async || look().await);
        match timeout(PATIENCE - Duration::from_secs(1), looking).await {
            Ok(seen) => seen,
            Err(_) => {
                let mut mirrors = Vec::new();
                for name in self.plan.mirrors.keys() {
                    mirrors.push(self.mirror_report(name).await);
                }
                let releases = self.releases_report().await;
                panic!("waited in vain: {what}\n{:#}\n{releases:#}", json!(mirrors));
            }
        }
    }

    /// Waits until a mirror's report says something.
    pub async fn until_mirror(&self, name: &str, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        let what = format!("{name}: {what}");
        self.until(&what, async || Some(self.mirror_report(name).await).filter(&is_so)).await
    }

    /// Waits until a mirror has this many copies in this state.
    pub async fn until_copies(&self, name: &str, state: &str, count: u64) -> Value {
        self.until_mirror(name, &format!("{count} {state}"), |m| m["copies"][state] == count).await
    }

    /// Waits until every mirror that counts holds the whole release, and clients can be sent to one: a copy may be verified
    /// before its mirror is probed.
    pub async fn until_everywhere(&self, product: &str, version: &str) {
        let topic = Topic::Release(waypost::model::ProductName::new(product).unwrap(), version.to_owned());
        let lacking_none = |report: &Value| report["mirrors_lacking"].as_array().is_some_and(Vec::is_empty);
        let what = format!("{product} {version} is everywhere");
        self.until(&what, async || Some(self.report(topic.clone()).await).filter(lacking_none)).await;
        self.until("a mirror is in rotation", async || {
            let reports = self.report(Topic::Mirrors).await;
            let is_in = |mirror: &Value| mirror["reason"].is_null();
            reports["mirrors"].as_array()?.iter().any(is_in).then_some(())
        })
        .await;
    }

    /// Waits until a client is sent to this mirror.
    pub async fn until_redirected(&self, path: &str, client: &str, mirror: &str) -> Answer {
        let what = format!("{client} is sent to {mirror} for {path}");
        self.until(&what, async || Some(self.get(path, client).await).filter(|a| a.mirror() == Some(mirror)))
            .await
    }

    /// Waits until a client gets this status.
    pub async fn until_status(&self, path: &str, client: &str, status: u16) -> Answer {
        let what = format!("{client} gets {status} for {path}");
        self.until(&what, async || Some(self.get(path, client).await).filter(|a| a.status == status)).await
    }

    /// Waits until a channel points to a version.
    pub async fn until_channel(&self, product: &str, channel: &str, version: &str) {
        let what = format!("{product} {channel} is {version}");
        self.until(&what, async || {
            let report = self.releases_report().await;
            let channels = report["channels"].as_array()?.clone();
            let is_it =
                |c: &Value| c["product"] == product && c["channel"] == channel && c["version"] == version;
            channels.iter().any(is_it).then_some(())
        })
        .await;
    }

    /// Waits until every mirror in the plan was looked at this many times more.
    pub async fn until_probed_again(&self, mirror: &str, times: usize) {
        let probes = || self.mirrors[mirror].looks().iter().filter(|look| look.range.is_some()).count();
        let before = probes();
        self.until(&format!("{times} more looks at {mirror}"), async || {
            (probes() >= before + times).then_some(())
        })
        .await;
    }
}
