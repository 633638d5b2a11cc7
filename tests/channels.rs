//! Releases and channels: what moves by itself, what never does, and what an origin may do wrong.

#![allow(clippy::unwrap_used, missing_docs)]

#[path = "support/site.rs"]
mod site;

use serde_json::{Value, json};
use site::builder::started;
use site::{Builder, EU, Mirror, Site, own_address, sha256};

const OLD: &[(&str, &[u8])] = &[("tool", b"the old tool")];
const NEW: &[(&str, &[u8])] = &[("tool", b"the new tool"), ("tool.sig", b"its signature")];

/// Two mirrors in Europe and one in Asia, and a release that is everywhere.
fn three_mirrors(policy: &str) -> Builder {
    Site::builder()
        .mirror("fra", |m| m.region("eu"))
        .mirror("ams", |m| m.region("eu"))
        .mirror("sin", |m| m.region("ap"))
        .release("tool", "1.0", OLD, &["stable"])
        .config(&format!("[[channel]]\nname = \"stable\"\nready = {policy}\n"))
}

async fn version(site: &Site) -> String {
    site.get("/tool/stable/version.txt", EU).await.text().trim().to_owned()
}

/// Puts the new release's files on a mirror; waits until it holds them.
async fn put(site: &Site, mirror: &str, files: &[(&str, &[u8])]) {
    for (name, bytes) in files {
        site.mirror(mirror).put(&format!("tool/2.0/{name}"), bytes.to_vec());
    }
    let held = 1 + files.len() as u64;
    site.until_mirror(mirror, "holds what it was given", |m| m["copies"]["verified"].as_u64() >= Some(held))
        .await;
}

async fn until_known(site: &Site, path: &str) {
    site.until_status(&format!("{path}.sha256"), EU, 200).await;
}

#[tokio::test]
async fn each_region_needs_one_whole_copy_before_a_channel_moves() {
    let site = started(three_mirrors("{ each_region = 1 }")).await;
    site.publish_to("tool", "2.0", NEW, &["stable"], |mirror| mirror == "fra");
    site.until_redirected("/tool/2.0/tool", EU, "fra").await;
    put(&site, "sin", &NEW[..1]).await;
    site.until_probed_again("sin", 3).await;
    assert_eq!(version(&site).await, "1.0", "Asia lacks one asset");
    assert_eq!(site.get("/tool/latest/tool", EU).await.header("digest"), digest(b"the old tool"));
    put(&site, "sin", NEW).await;
    site.until_channel("tool", "stable", "2.0").await;
    assert_eq!(version(&site).await, "2.0");
    assert_eq!(site.get("/tool/latest/tool", EU).await.header("digest"), digest(b"the new tool"));
    assert_eq!(
        site.mirror_report("ams").await["copies"]["missing"],
        2,
        "the second one in Europe is not waited for"
    );
}

fn digest(bytes: &[u8]) -> String {
    let digest = data_encoding::HEXLOWER.decode(sha256(bytes).as_bytes()).unwrap();
    format!("SHA-256={}", data_encoding::BASE64.encode(&digest))
}

#[tokio::test]
async fn all_waits_for_every_mirror_but_those_that_are_drained() {
    let site = started(three_mirrors("\"all\"")).await;
    site.publish_to("tool", "2.0", NEW, &["stable"], |mirror| mirror != "ams");
    site.until_copies("ams", "missing", 2).await;
    site.until_copies("sin", "verified", 3).await;
    site.until_copies("fra", "verified", 3).await;
    site.until_probed_again("ams", 3).await;
    assert_eq!(version(&site).await, "1.0");
    let report = site.releases_report().await;
    assert_eq!(report["releases"][0]["readiness"][0]["lacking"], json!(["ams"]));
    site.order("ams", "drain").await;
    site.until_channel("tool", "stable", "2.0").await;
}

#[tokio::test]
async fn a_share_waits_for_that_share() {
    let site = started(three_mirrors("\"60%\"")).await;
    site.publish_to("tool", "2.0", NEW, &["stable"], |mirror| mirror == "fra");
    site.until_copies("fra", "verified", 3).await;
    site.until_probed_again("sin", 3).await;
    assert_eq!(version(&site).await, "1.0", "one third is no 60%");
    put(&site, "sin", NEW).await;
    site.until_channel("tool", "stable", "2.0").await;
}

#[tokio::test]
async fn a_channel_never_goes_down_by_itself() {
    let site = started(three_mirrors("{ each_region = 1 }")).await;
    for lower in ["0.9", "1.0-rc.1"] {
        site.publish("tool", lower, NEW, &["stable"]);
        site.until_everywhere("tool", lower).await;
    }
    assert_eq!(version(&site).await, "1.0");
    site.publish("tool", "1.10", NEW, &["stable"]);
    site.until_channel("tool", "stable", "1.10").await;
    site.publish("tool", "1.9", NEW, &["stable"]);
    site.until_everywhere("tool", "1.9").await;
    // Even when its mirrors lose it.
    for mirror in ["fra", "ams", "sin"] {
        site.mirror(mirror).remove("tool/1.10/tool");
    }
    site.until_status("/tool/stable/tool", EU, 503).await;
    assert_eq!(version(&site).await, "1.10");
}

#[tokio::test]
async fn a_bad_manifest_takes_no_good_one_down_and_is_told() {
    let site = started(three_mirrors("{ each_region = 1 }")).await;
    let manifest = |product: &str, name: &str| {
        json!({ "schema": 1, "product": product, "version": "1.0",
        "assets": [{ "name": name, "size": 1, "sha256": "00".repeat(32) }] })
    };
    let duplicate = |mut manifest: Value| {
        let asset = manifest["assets"][0].clone();
        manifest["assets"].as_array_mut().unwrap().push(asset);
        manifest.to_string()
    };
    let bad = [
        ("truncated/1.0/manifest.json", r#"{"schema":1,"product":"trunc"#.to_owned()),
        (
            "typed/1.0/manifest.json",
            r#"{"schema":1,"product":"typed","version":"1.0","assets":"none"}"#.to_owned(),
        ),
        ("traversal/1.0/manifest.json", manifest("traversal", "../../etc/passwd").to_string()),
        ("twice/1.0/manifest.json", duplicate(manifest("twice", "x"))),
        ("elsewhere/1.0/manifest.json", manifest("another", "x").to_string()),
        ("future/1.0/manifest.json", r#"{"schema":2}"#.to_owned()),
    ];
    for (path, text) in &bad {
        site.write_origin(path, text.as_bytes());
    }
    site.publish("good", "1.0", OLD, &["stable"]);
    site.until_status("/good/stable/tool", EU, 302).await;
    let report = site.until("all are refused", async || {
        let report = site.admin("/v1/releases").await.json();
        (report["refused"].as_array().unwrap().len() == bad.len()).then_some(report)
    });
    for refused in report.await["refused"].as_array().unwrap() {
        assert!(bad.iter().any(|(path, _)| refused["manifest"] == *path), "{refused}");
        assert!(refused["detail"].as_str().unwrap().len() > 10, "{refused}");
    }
    for (reason, count) in [("wrong_place", 1), ("invalid", bad.len() - 1)] {
        let metric = format!("waypost_manifests_refused{{reason=\"{reason}\"}}");
        assert_eq!(site.metric(&metric).await, count as f64, "{reason}");
    }
    assert_eq!(version(&site).await, "1.0");
    assert_eq!(site.get("/elsewhere/1.0/x", EU).await.status, 404);
    assert_eq!(site.get("/tool/stable/tool", EU).await.status, 302);
}

#[tokio::test]
async fn a_published_release_does_not_change_but_may_grow_until_a_channel_points_to_it() {
    let site = started(three_mirrors("\"all\"")).await;
    // No channel waits for it: it may grow.
    site.publish("tool", "2.0", OLD, &[]);
    until_known(&site, "/tool/2.0/tool").await;
    let grown: &[(&str, &[u8])] = &[OLD[0], ("more", b"more")];
    site.publish("tool", "2.0", grown, &[]);
    until_known(&site, "/tool/2.0/more").await;
    site.until_everywhere("tool", "2.0").await;
    // It is labelled, and the channel moves: it is final.
    site.publish("tool", "2.0", grown, &["stable"]);
    site.until_channel("tool", "stable", "2.0").await;
    for (changed, why) in [
        (vec![grown[0], grown[1], ("late", &b"late"[..])], "late: is new"),
        (vec![grown[0]], "more: was published and is missing"),
        (vec![grown[0], ("more", &b"else"[..])], "more: was published with SHA-256"),
        (vec![grown[0], ("more", &b"longer"[..])], "more: was published with 4 bytes"),
    ] {
        site.publish_to("tool", "2.0", &changed, &["stable"], |_| false);
        site.until(why, async || {
            let refused = site.releases_report().await["refused"].clone();
            let reason = refused[0]["detail"].as_str()?.to_owned();
            (refused[0]["manifest"] == "tool/2.0/manifest.json" && reason.contains(why)).then_some(())
        })
        .await;
        let sums = site.get("/tool/2.0/SHA256SUMS", EU).await;
        assert_eq!(sums.text().lines().count(), 2, "the published state stays");
        assert!(sums.text().contains(&sha256(b"more")), "{}", sums.text());
        assert_eq!(site.get("/tool/2.0/more", EU).await.status, 302);
    }
}

#[tokio::test]
async fn a_manifest_that_leaves_the_listing_for_two_looks_is_retired() {
    let site = started(three_mirrors("{ each_region = 1 }")).await;
    site.publish("tool", "0.9", OLD, &[]);
    site.until_everywhere("tool", "0.9").await;
    let looks = async || site.metric("waypost_origin_polls_total{outcome=\"ok\"}").await;
    let before = looks().await;
    site.unpublish("tool", "0.9");
    site.until_status("/tool/0.9/tool", EU, 404).await;
    assert!(looks().await >= before + 2.0, "one look may have been an accident");
    assert_eq!(version(&site).await, "1.0", "the others stay");
    // It may be published again, and is verified again.
    site.publish("tool", "0.9", OLD, &[]);
    site.until_everywhere("tool", "0.9").await;
    // A channel does not step down from a retired release, but tells.
    let retired = async || site.admin("/v1/channels/tool").await.json()["channels"][0]["retired"].clone();
    assert_eq!(retired().await, false);
    site.unpublish("tool", "1.0");
    site.until_status("/tool/stable/tool", EU, 503).await;
    assert_eq!(retired().await, true);
}

#[tokio::test]
async fn an_unreadable_origin_changes_nothing() {
    let site = started(three_mirrors("{ each_region = 1 }")).await;
    let unreadable = async || site.metric("waypost_origin_polls_total{outcome=\"unreadable\"}").await;
    site.break_origin();
    site.until("four looks in vain", async || (unreadable().await >= 4.0).then_some(())).await;
    assert_eq!(site.get("/tool/stable/tool", EU).await.status, 302);
    let ready = site.admin("/readyz").await;
    assert_eq!(ready.status, 200);
    assert!(ready.json()["warnings"].to_string().contains("origin"), "{}", ready.text());
    assert!(site.releases_report().await["origin"]["error"].is_string());
    site.restore_origin();
    // An index that cannot be read is not an empty one.
    let before = unreadable().await;
    site.write_origin("index.json", b"{ \"schema\": 1, \"manifests\": [");
    site.until("four looks in vain", async || (unreadable().await >= before + 4.0).then_some(())).await;
    assert_eq!(site.get("/tool/stable/tool", EU).await.status, 302);
}

#[tokio::test]
async fn an_origin_over_http_is_read_by_its_index() {
    let origin = Mirror::start(own_address(), None).await;
    let mut site =
        three_mirrors("{ each_region = 1 }").origin(&format!("url = {:?}", origin.url())).lay_out().await;
    let paths = ["tool/1.0/manifest.json", "gone/1.0/manifest.json"];
    let text = std::fs::read(site.origin().join(paths[0])).unwrap();
    origin.put(paths[0], text.clone());
    let entries = json!([{ "path": paths[0], "sha256": sha256(&text) }, paths[1]]);
    origin.put("index.json", json!({ "schema": 1, "sequence": 1, "manifests": entries }).to_string());
    site.run().await.unwrap();
    site.until_channel("tool", "stable", "1.0").await;
    let refused = site.releases_report().await["refused"].clone();
    assert_eq!(refused[0]["manifest"], "gone/1.0/manifest.json");
    assert!(refused[0]["detail"].as_str().unwrap().contains("404"), "{refused}");
    let asked = origin.whole_gets(paths[0]);
    let indexes = origin.whole_gets("index.json");
    site.until("more looks", async || (origin.whole_gets("index.json") >= indexes + 3).then_some(())).await;
    assert_eq!(origin.whole_gets(paths[0]), asked, "what the index says did not change is not read again");
}
