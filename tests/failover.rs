//! Mirrors that die and come back.

#![allow(clippy::unwrap_used, missing_docs)]

#[path = "support/site.rs"]
mod site;

use std::sync::Arc;

use site::mirror::corrupted;
use site::{AP, Behaviour, Builder, EU, Site};
use tokio::sync::Semaphore;

const TOOL: &[u8] = b"the tool, byte for byte";
const FILE: &str = "tool/1.8.2/tool.tar.gz";
const LINK: &str = "/tool/stable/tool.tar.gz";

/// A mirror near the European client and one far away.
fn two_mirrors() -> Builder {
    Site::builder().mirror("fra", |m| m.region("eu")).mirror("sin", |m| m.region("ap"))
}

async fn started(builder: Builder) -> Site {
    let site = builder.release("tool", "1.8.2", &[("tool.tar.gz", TOOL)], &["stable"]).start().await;
    site.until_everywhere("tool", "1.8.2").await;
    site.until_redirected(LINK, EU, "fra").await;
    site
}

#[tokio::test]
async fn a_client_is_sent_to_the_nearest_mirror() {
    let site = started(two_mirrors()).await;
    let answer = site.get(LINK, EU).await;
    assert_eq!((answer.status.as_u16(), answer.mirror()), (302, Some("fra")));
    assert_eq!(site::fetch(answer.header("location")).await, TOOL);
    let answer = site.get(LINK, AP).await;
    assert_eq!(answer.mirror(), Some("sin"));
    assert_eq!(site::fetch(answer.header("location")).await, TOOL);
}

#[tokio::test]
async fn a_failing_mirror_is_out_after_fail_after_looks_and_not_before() {
    let site = started(two_mirrors().probe("fail_after = 4").probe("timeout = \"60s\"")).await;
    let (fra, gate) = (site.mirror("fra"), Arc::new(Semaphore::new(3)));
    let before = fra.behave_everywhere(Behaviour::Failing(Arc::clone(&gate)));
    site.until("a fourth look", async || (fra.looks().len() == before + 4).then_some(())).await;
    assert_eq!(site.get(LINK, EU).await.mirror(), Some("fra"), "three failed looks are not enough");
    gate.add_permits(1);
    let answer = site.until_redirected(LINK, EU, "sin").await;
    assert!(fra.looks().len() <= before + 5, "no look after the fourth has ended");
    assert_eq!((answer.status.as_u16(), answer.mirror()), (302, Some("sin")), "the next nearest serves");
    let report = site.mirror_report("fra").await;
    assert_eq!((&report["state"], &report["last_fault"]), (&"down".into(), &"server_error".into()));
}

#[tokio::test]
async fn a_mirror_that_refuses_connections_is_replaced_by_the_next_nearest() {
    let site = started(two_mirrors()).await;
    site.mirror("fra").stop().await;
    site.until_redirected(LINK, EU, "sin").await;
    assert_eq!(site.mirror_report("fra").await["last_fault"], "connect");
    site.mirror("sin").stop().await;
    let answer = site.until_status(LINK, EU, 503).await;
    assert_ne!(answer.header("retry-after"), "");
    assert_eq!(answer.header("cache-control"), "no-store");
}

#[tokio::test]
async fn a_mirror_comes_back_after_recover_after_good_looks_and_a_whole_hash() {
    let site = started(two_mirrors().probe("recover_after = 3")).await;
    let fra = site.mirror("fra");
    fra.stop().await;
    site.until_redirected(LINK, EU, "sin").await;

    let gate = Arc::new(Semaphore::new(0));
    fra.behave_everywhere(Behaviour::Gated(Arc::clone(&gate)));
    let before = fra.looks().len();
    let hashes = fra.whole_gets(FILE);
    fra.resume();
    site.until_mirror("fra", "is coming back", |m| m["state"] == "returning").await;
    let good = fra.looks()[before..].iter().filter(|look| look.range.is_some()).count();
    assert!(good >= 3, "coming back after {good} good looks");
    site.until_probed_again("fra", 5).await;
    assert_eq!(site.get(LINK, EU).await.mirror(), Some("sin"), "its bytes were not looked at again yet");

    gate.add_permits(1);
    site.until_redirected(LINK, EU, "fra").await;
    assert_eq!(fra.whole_gets(FILE), hashes + 1, "one of its copies was hashed");
}

#[tokio::test]
async fn a_mirror_that_comes_back_with_other_bytes_serves_none_of_them() {
    // Smallest first is how a mirror that comes back is looked at: the second one is right, the others are not.
    let assets: [(&str, &[u8]); 3] = [("a", b"a"), ("bb", b"bb"), ("ccc", b"ccc")];
    let site = two_mirrors().release("tool", "2.0", &assets, &["stable"]).start().await;
    site.until_everywhere("tool", "2.0").await;
    let fra = site.mirror("fra");
    fra.stop().await;
    site.until_redirected("/tool/2.0/a", EU, "sin").await;

    for name in ["tool/2.0/a", "tool/2.0/ccc"] {
        fra.swap_in_silence(name, corrupted(&fra.bytes(name)));
    }
    fra.resume();
    site.until("fra serves what is right", async || {
        for name in ["a", "ccc"] {
            let answer = site.get(&format!("/tool/2.0/{name}"), EU).await;
            assert_eq!(answer.mirror(), Some("sin"), "{name} is not what it was");
        }
        (site.get("/tool/2.0/bb", EU).await.mirror() == Some("fra")).then_some(())
    })
    .await;
    let report = site.until_copies("fra", "corrupt", 2).await;
    assert_eq!(report["copies"]["verified"], 1);

    for (name, bytes) in assets {
        fra.put(&format!("tool/2.0/{name}"), bytes);
    }
    site.until_redirected("/tool/2.0/ccc", EU, "fra").await;
}

#[tokio::test]
async fn a_drained_mirror_gets_nobody_until_it_is_undrained_also_over_a_restart() {
    let mut site = started(two_mirrors()).await;
    site.order("fra", "drain").await;
    // The order is acknowledged when it is in force.
    assert_eq!(site.get(LINK, EU).await.mirror(), Some("sin"));
    let report = site.mirror_report("fra").await;
    assert_eq!((&report["drained"], &report["reason"]), (&true.into(), &"drained".into()));

    site.restart().await;
    site.until_redirected(LINK, EU, "sin").await;
    site.until_mirror("fra", "is looked at all the same", |m| m["state"] == "healthy").await;
    assert_eq!(site.get(LINK, EU).await.mirror(), Some("sin"));

    site.order("fra", "undrain").await;
    assert_eq!(site.get(LINK, EU).await.mirror(), Some("fra"));
}

#[tokio::test]
async fn a_mirror_that_was_down_is_not_trusted_by_a_restart() {
    let mut site = started(two_mirrors()).await;
    let fra = site.mirror("fra").clone();
    fra.stop().await;
    site.until_redirected(LINK, EU, "sin").await;
    site.stop().await.unwrap();
    let gate = Arc::new(Semaphore::new(0));
    fra.behave_everywhere(Behaviour::Gated(Arc::clone(&gate)));
    fra.resume();
    site.run().await.unwrap();
    site.until_mirror("fra", "is coming back", |m| m["state"] == "returning").await;
    site.until_redirected(LINK, EU, "sin").await;
    gate.add_permits(1);
    site.until_redirected(LINK, EU, "fra").await;
}

#[tokio::test]
async fn a_client_may_ask_to_avoid_the_mirror_that_failed_it() {
    let site = started(two_mirrors()).await;
    let failed = site.get(LINK, EU).await.header("location").to_owned();
    let answer = site.get(&format!("{LINK}?avoid={failed}"), EU).await;
    assert_eq!(answer.mirror(), Some("sin"));
    let answer = site.get(&format!("{LINK}?avoid=fra,sin"), EU).await;
    assert_eq!(answer.status, 302, "it never turns an answer into an error");
}
