//! Never an unverified copy, whatever a mirror serves.

#![allow(clippy::unwrap_used, missing_docs)]

#[path = "support/site.rs"]
mod site;

use std::sync::Arc;

use serde_json::Value;
use site::mirror::corrupted;
use site::{AP, Behaviour, EU, Mirror, Site, sha256};
use tokio::sync::Semaphore;

const TOOL: &[u8] = b"the tool, byte for byte";
const FILE: &str = "tool/1.8.2/tool.tar.gz";
const LINK: &str = "/tool/stable/tool.tar.gz";

/// A mirror near the European client, one far away, and a release of one file on both.
async fn two_mirrors() -> Site {
    let site = Site::builder()
        .mirror("fra", |m| m.region("eu"))
        .mirror("sin", |m| m.region("ap"))
        .release("tool", "1.8.2", &[("tool.tar.gz", TOOL)], &["stable"])
        .start()
        .await;
    site.until_everywhere("tool", "1.8.2").await;
    site.until_redirected(LINK, EU, "fra").await;
    site
}

/// What is wrong with the one copy that a mirror should hold, as the admin interface tells it.
fn trouble(report: &Value) -> &Value {
    &report["releases"][0]["trouble"][0]
}

#[tokio::test]
async fn a_bad_copy_is_never_routed_to_and_its_reason_and_evidence_are_told() {
    use Behaviour::*;
    let bad: [(&str, Behaviour, &str); 9] = [
        ("corrupt", Corrupt, "wrong_digest"),
        ("truncated", Truncated, "wrong_length"),
        ("page", Page, "html"),
        ("padded-page", PagePadded, "html"),
        ("gzip", Gzip, "content_encoding"),
        ("broken", Broken, "broken"),
        ("missing", Status(404), "missing"),
        ("gone", Status(410), "missing"),
        ("endless-body", EndlessBody, "wrong_length"),
    ];
    let mut builder = Site::builder().mirror("good", |m| m.region("ap"));
    for (name, behaviour, _) in &bad {
        builder = builder.mirror(name, |m| m.region("eu")).behave(name, FILE, behaviour.clone());
    }
    // The channel does not wait for those that are bad.
    let ready = "[[channel]]\nname = \"stable\"\nready = \"5%\"\n";
    let site =
        builder.config(ready).release("tool", "1.8.2", &[("tool.tar.gz", TOOL)], &["stable"]).start().await;
    site.until_redirected(LINK, EU, "good").await;
    for (name, _, reason) in &bad {
        let what = format!("the reason is {reason}");
        let path = format!("/v1/mirrors/{name}");
        site.until(&format!("{name}: {what}"), async || {
            assert_eq!(site.get(LINK, EU).await.mirror(), Some("good"));
            let report = site.admin(&path).await.json();
            (trouble(&report)["reason"] == *reason).then_some(())
        })
        .await;
    }
    let evidence = |report: &Value| trouble(report)["evidence"].clone();
    let report = site.admin("/v1/mirrors/corrupt").await.json();
    assert_eq!(trouble(&report)["asset"], "tool.tar.gz");
    let seen = evidence(&report);
    assert_eq!((&seen["status"], &seen["size"]), (&200.into(), &TOOL.len().into()));
    assert_eq!(seen["sha256"], sha256(&corrupted(&TOOL.into())));
    assert!(seen["first_bytes"].as_str().unwrap().starts_with("the tool, byte for byt"), "{seen}");
    assert_eq!(seen["final_url"], format!("{}{FILE}", site.mirror("corrupt").url()));
    assert!(seen["detail"].as_str().unwrap().contains(&sha256(TOOL)), "{seen}");
    let seen = evidence(&site.admin("/v1/mirrors/padded-page").await.json());
    assert!(seen["first_bytes"].as_str().unwrap().starts_with("<!DOCTYPE html>"), "{seen}");
    let seen = evidence(&site.admin("/v1/mirrors/gzip").await.json());
    assert!(seen["detail"].as_str().unwrap().contains("content-encoding: gzip"), "{seen}");
    assert_eq!(site.get(LINK, EU).await.mirror(), Some("good"));
}

#[tokio::test]
async fn a_mirror_that_answers_everything_the_same_way_is_never_used() {
    use Behaviour::*;
    let bad: [(&str, Behaviour, &str); 6] = [
        ("default-page", Page, "html"),
        ("denied", Status(403), "denied"),
        ("error", Status(500), "server_error"),
        ("silent", Silent, "timeout"),
        ("endless-head", EndlessHead, "broken"),
        ("nowhere", Redirect("http://127.0.0.1:9/".into()), "forbidden_redirect"),
    ];
    let mut builder = Site::builder()
        .probe("timeout = \"300ms\"")
        .mirror("good", |m| m.region("ap"))
        .mirror("circle", |m| m.region("eu"));
    for (name, _, _) in &bad {
        builder = builder.mirror(name, |m| m.region("eu"));
    }
    let ready = "[[channel]]\nname = \"stable\"\nready = \"5%\"\n";
    let mut site =
        builder.config(ready).release("tool", "1.8.2", &[("tool.tar.gz", TOOL)], &["stable"]).lay_out().await;
    for (name, behaviour, _) in &bad {
        site.mirror(name).behave_everywhere(behaviour.clone());
    }
    let circle = site.mirror("circle");
    circle.behave(FILE, Redirect(format!("{}back", circle.url())));
    circle.behave("back", Redirect(format!("{}{FILE}", circle.url())));
    site.run().await.unwrap();
    site.until_redirected(LINK, EU, "good").await;
    for (name, reason) in
        bad.iter().map(|(name, _, reason)| (name, reason)).chain([(&"circle", &"redirect_loop")])
    {
        site.until_mirror(name, &format!("is down because of {reason}"), |m| {
            m["state"] == "down" && m["last_fault"] == *reason
        })
        .await;
        let failures =
            format!("waypost_probe_failures_total{{mirror=\"{name}\",reason=\"{reason}\",region=\"eu\"}}");
        assert!(site.metric(&failures).await >= 3.0, "{failures}");
    }
    assert_eq!(site.get(LINK, EU).await.mirror(), Some("good"));
}

#[tokio::test]
async fn a_wrong_length_is_found_before_anything_is_downloaded() {
    let tool = vec![7; 4 << 20];
    let site = Site::builder()
        .mirror("fra", |m| m.region("eu"))
        .release("tool", "1.8.2", &[("tool.tar.gz", &tool)], &["stable"])
        .behave("fra", FILE, Behaviour::Truncated)
        .start()
        .await;
    site.until_mirror("fra", "has the wrong length", |m| trouble(m)["reason"] == "wrong_length").await;
    site.until_probed_again("fra", 5).await;
    assert_eq!(site.metric("waypost_verification_bytes_total{mirror=\"fra\",purpose=\"first\"}").await, 0.0);
    site.until_status(LINK, EU, 503).await;
}

#[tokio::test]
async fn a_copy_whose_validator_changes_is_out_at_once_and_back_when_it_was_hashed_again() {
    let site = two_mirrors().await;
    let fra = site.mirror("fra");
    let hashes = fra.whole_gets(FILE);
    let gate = Arc::new(Semaphore::new(0));
    fra.behave(FILE, Behaviour::Gated(Arc::clone(&gate)));
    fra.touch(FILE);
    site.until_redirected(LINK, EU, "sin").await;
    let report = site.mirror_report("fra").await;
    assert_eq!((&report["copies"]["pending"], &report["healthy"]), (&1.into(), &true.into()));
    site.until_probed_again("fra", 3).await;
    assert_eq!(site.get(LINK, EU).await.mirror(), Some("sin"), "it was not hashed yet");
    gate.add_permits(1);
    site.until_redirected(LINK, EU, "fra").await;
    assert_eq!(fra.whole_gets(FILE), hashes + 1);
}

#[tokio::test]
async fn bytes_swapped_at_the_same_size_are_noticed_by_their_validator_and_never_served() {
    let site = two_mirrors().await;
    let fra = site.mirror("fra");
    fra.put(FILE, corrupted(&TOOL.into()));
    site.until_redirected(LINK, EU, "sin").await;
    site.until_mirror("fra", "is corrupt", |m| trouble(m)["reason"] == "wrong_digest").await;
    let looks = fra.looks().len();
    site.until("ten more looks", async || {
        assert_eq!(site.get(LINK, EU).await.mirror(), Some("sin"));
        (fra.looks().len() > looks + 10).then_some(())
    })
    .await;
    // Repaired, it is found by itself.
    fra.put(FILE, TOOL);
    site.until_redirected(LINK, EU, "fra").await;
    assert_eq!(site.mirror_report("fra").await["copies"]["corrupt"], 0);
}

#[tokio::test]
async fn a_pass_that_an_operator_asks_for_finds_what_no_validator_shows() {
    let site = two_mirrors().await;
    let fra = site.mirror("fra");
    fra.swap_in_silence(FILE, corrupted(&TOOL.into()));
    site.until_probed_again("fra", 3).await;
    assert_eq!(site.get(LINK, EU).await.mirror(), Some("fra"), "nothing shows from outside");
    site.order("fra", "verify").await;
    site.until_redirected(LINK, EU, "sin").await;
    site.until_copies("fra", "corrupt", 1).await;
}

#[tokio::test]
async fn each_way_of_going_bad_takes_a_verified_copy_out() {
    for (behaviour, reason) in [
        (Behaviour::Truncated, "wrong_length"),
        (Behaviour::Page, "html"),
        (Behaviour::Gzip, "content_encoding"),
        (Behaviour::Status(404), "missing"),
    ] {
        let site = two_mirrors().await;
        site.mirror("fra").behave(FILE, behaviour);
        site.until_redirected(LINK, EU, "sin").await;
        site.until_mirror("fra", reason, |m| trouble(m)["reason"] == reason).await;
        site.mirror("fra").recover();
        site.until_redirected(LINK, EU, "fra").await;
    }
}

#[tokio::test]
async fn a_missing_copy_of_an_awaited_release_is_asked_for_at_every_probe_and_found_soon() {
    let site = Site::builder()
        .mirror("fra", |m| m.region("eu").lacks(FILE))
        .release("tool", "1.8.2", &[("tool.tar.gz", TOOL)], &["stable"])
        .start()
        .await;
    let fra = site.mirror("fra");
    site.until_copies("fra", "missing", 1).await;
    // With waits that double, a dozen tries would take minutes.
    let tried = fra.whole_gets(FILE);
    site.until("a dozen tries", async || (fra.whole_gets(FILE) >= tried + 12).then_some(())).await;
    let answer = site.get(LINK, EU).await;
    assert_eq!(answer.status, 503, "the channel has no ready release yet");
    assert_ne!(answer.header("retry-after"), "");
    let looks = fra.looks().len();
    fra.put(FILE, TOOL);
    site.until_redirected(LINK, EU, "fra").await;
    let looks = fra.looks()[looks..].iter().filter(|look| look.range.is_some()).count();
    assert!(looks <= 6, "found after {looks} probes");
}

#[tokio::test]
async fn a_missing_copy_does_not_hold_up_the_others_of_its_release() {
    let site = Site::builder()
        .mirror("fra", |m| m.region("eu").lacks("tool/1.8.2/a"))
        .release("tool", "1.8.2", &[("a", b"never comes"), ("b", b"takes long")], &["stable"])
        .lay_out()
        .await;
    let gate = Arc::new(Semaphore::new(0));
    site.mirror("fra").behave("tool/1.8.2/b", Behaviour::Gated(Arc::clone(&gate)));
    let mut site = site;
    site.run().await.unwrap();
    let fra = site.mirror("fra").clone();
    site.until("b is being hashed", async || (fra.whole_gets("tool/1.8.2/b") == 1).then_some(())).await;
    // Meanwhile probes and tries find, again and again, that the other one is not there.
    site.until_probed_again("fra", 5).await;
    gate.add_permits(1);
    site.until_redirected("/tool/1.8.2/b", EU, "fra").await;
    assert_eq!(fra.whole_gets("tool/1.8.2/b"), 1, "it was hashed once");
}

#[tokio::test]
async fn a_mirror_with_a_part_of_a_release_serves_that_part() {
    let site = Site::builder()
        .mirror("fra", |m| m.region("eu").lacks("tool/1.8.2/b"))
        .mirror("ams", |m| m.region("eu").weight(0))
        .release("tool", "1.8.2", &[("a", b"here and there"), ("b", b"only there")], &["stable"])
        .start()
        .await;
    site.until_redirected("/tool/1.8.2/a", EU, "fra").await;
    site.until_redirected("/tool/1.8.2/b", EU, "ams").await;
}

#[tokio::test]
async fn redirects_of_a_mirror_are_followed_within_bounds_and_the_final_host_is_told() {
    let mut site = Site::builder()
        .mirror("fra", |m| m.region("eu"))
        .mirror("far", |m| m.region("eu"))
        .mirror("sin", |m| m.region("ap"))
        .release("tool", "1.8.2", &[("tool.tar.gz", TOOL)], &["stable"])
        .config("[[channel]]\nname = \"stable\"\nready = \"30%\"\n")
        .lay_out()
        .await;
    chain(site.mirror("fra"), 2, site.mirror("sin"));
    chain(site.mirror("far"), 3, site.mirror("sin"));
    site.run().await.unwrap();
    let answer = site.until_redirected(LINK, EU, "fra").await;
    assert_eq!(
        answer.header("location"),
        format!("{}{FILE}", site.mirror("fra").url()),
        "clients follow by themselves"
    );
    let host = site.mirror("sin").address().ip().to_string();
    site.until_mirror("fra", "names the final host", |m| m["hosts"] == serde_json::json!([host])).await;
    site.until_mirror("far", "redirects too often", |m| m["last_fault"] == "redirect_loop").await;
    assert_eq!(site.get(LINK, EU).await.mirror(), Some("fra"));
}

/// The mirror redirects to itself so often, and then to the other one.
fn chain(from: &Mirror, hops: usize, to: &Mirror) {
    let step = |n: usize| if n == 0 { FILE.to_owned() } else { format!("step-{n}") };
    for n in 0..hops {
        from.behave(&step(n), Behaviour::Redirect(format!("{}{}", from.url(), step(n + 1))));
    }
    from.behave(&step(hops), Behaviour::Redirect(format!("{}{FILE}", to.url())));
}

#[tokio::test]
async fn a_mirror_never_leads_from_https_to_http() {
    let mut site = Site::builder()
        .mirror("fra", |m| m.region("eu").secure())
        .mirror("down", |m| m.region("eu").secure())
        .mirror("sin", |m| m.region("ap"))
        .release("tool", "1.8.2", &[("tool.tar.gz", TOOL)], &["stable"])
        .config("[[channel]]\nname = \"stable\"\nready = \"30%\"\n")
        .lay_out()
        .await;
    let plain = format!("{}{FILE}", site.mirror("sin").url());
    site.mirror("down").behave(FILE, Behaviour::Redirect(plain));
    site.run().await.unwrap();
    site.until_mirror("down", "leads down", |m| m["last_fault"] == "forbidden_redirect").await;
    let answer = site.until_redirected(LINK, EU, "fra").await;
    assert!(answer.header("location").starts_with("https://"));
    // A client that came by https is not sent to the mirror that speaks http, however near.
    let headers = [("x-forwarded-for", AP), ("x-forwarded-proto", "https")];
    assert_eq!(site.request(http::Method::GET, LINK, &headers).await.mirror(), Some("fra"));
    assert_eq!(site.get(LINK, AP).await.mirror(), Some("sin"));
}
