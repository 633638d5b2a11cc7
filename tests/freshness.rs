//! How fresh what people download is, as far as answers tell: who still asks for old releases, and how soon a new one is
//! asked for.

#![allow(clippy::unwrap_used, missing_docs)]

#[path = "support/site.rs"]
mod site;

use site::{EU, Site};

const OLD: &[(&str, &[u8])] = &[("tool", b"the old tool")];
const NEW: &[(&str, &[u8])] = &[("tool", b"the new tool")];

async fn started() -> Site {
    let builder = Site::builder().mirror("fra", |m| m.region("eu")).release("tool", "0.9", OLD, &[]).release(
        "tool",
        "1.0",
        OLD,
        &["stable"],
    );
    let site = builder.start().await;
    site.until_channel("tool", "stable", "1.0").await;
    site.until_everywhere("tool", "0.9").await;
    site
}

#[tokio::test]
async fn redirects_to_releases_below_the_latest_are_counted() {
    let site = started().await;
    let superseded = async || site.metric("waypost_superseded_requests_total{product=\"tool\"}").await;
    let ask = async |path: &str, status: u16| assert_eq!(site.get(path, EU).await.status, status, "{path}");
    ask("/tool/1.0/tool", 302).await;
    ask("/tool/latest/tool", 302).await;
    assert_eq!(superseded().await, 0.0);
    ask("/tool/0.9/tool", 302).await;
    assert_eq!(superseded().await, 1.0);
    // A beta above the latest is no news for those on stable.
    site.publish("tool", "2.0-rc.1", NEW, &["beta"]);
    site.until_channel("tool", "beta", "2.0-rc.1").await;
    ask("/tool/2.0-rc.1/tool", 302).await;
    ask("/tool/stable/tool", 302).await;
    assert_eq!(superseded().await, 1.0);
    site.publish("tool", "2.0", NEW, &["stable"]);
    site.until_channel("tool", "stable", "2.0").await;
    ask("/tool/1.0/tool", 302).await;
    ask("/tool/beta/tool", 302).await;
    assert_eq!(superseded().await, 3.0);
    ask("/tool/2.0/tool", 302).await;
    // What is no redirect is no download.
    ask("/tool/1.0/tool.sha256", 200).await;
    ask("/tool/1.0/nothing", 404).await;
    assert_eq!(superseded().await, 3.0);
}

#[tokio::test]
async fn the_first_download_of_a_release_is_timed_once() {
    let site = started().await;
    let line = "waypost_first_download_seconds{channel=\"stable\",product=\"tool\"}";
    let timed = async || site.admin("/metrics").await.text().lines().any(|l| l.starts_with(line));
    site.get("/tool/stable/tool", EU).await;
    assert!(!timed().await, "it may have been downloaded before the service started");
    site.publish("tool", "2.0", NEW, &["stable"]);
    site.until_channel("tool", "stable", "2.0").await;
    site.get("/tool/stable/tool.sha256", EU).await;
    assert!(!timed().await, "nobody was sent to it");
    site.get("/tool/2.0/tool", EU).await;
    let first = site.metric(line).await;
    assert!(timed().await && first < 60.0, "{first}");
    // Its views are made anew, and the moment stays.
    site.mirror("fra").touch("tool/2.0/tool");
    site.until_probed_again("fra", 3).await;
    site.until_everywhere("tool", "2.0").await;
    site.get("/tool/stable/tool", EU).await;
    assert_eq!(site.metric(line).await, first);
}
