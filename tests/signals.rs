//! The signals of `docs/signals.md`: the bad case of each row is made to happen on a whole site, and the metric or
//! report that the page names is seen to change. Rows whose bad case happens elsewhere are listed with that test.

#![allow(clippy::unwrap_used, missing_docs)]

#[path = "signals/documentation.rs"]
mod documentation;
#[path = "support/site.rs"]
mod site;

use serde_json::{Value, json};
use site::builder::{started, two_mirrors};
use site::mirror::corrupted;
use site::{EU, ReleasePlan, Site};

const HERE: &str = "signals.rs";

/// Rows of what is known of releases and callers without traffic or with decisions alone, and a test that sees each change.
const SEEN: &[(&str, &str, &str)] = &[
    ("A6", HERE, "a_mirror_that_loses_the_current_release_is_missing_in_the_coverage"),
    ("I4", "gate.rs", "files_without_signature_or_provenance_are_listed"),
    ("I4", "gate.rs", "published_checksums_that_contradict_the_manifest_keep_channels_away"),
    ("I5", HERE, "a_copy_that_hashes_to_something_else_lowers_the_success_of_its_mirror"),
    (
        "R1",
        "propagation.rs",
        "a_release_that_two_of_five_mirrors_lack_is_waited_for_and_announced_when_they_have_it",
    ),
    ("R2", "freshness.rs", "the_first_download_of_a_release_is_timed_once"),
    ("R3", HERE, "a_release_that_is_late_is_ready_late"),
    ("R4", "freshness.rs", "redirects_to_releases_below_the_latest_are_counted"),
    (
        "R5",
        "propagation.rs",
        "a_release_that_two_of_five_mirrors_lack_is_waited_for_and_announced_when_they_have_it",
    ),
    ("R5", HERE, "a_release_that_only_waits_for_a_hand_keeps_no_window_open"),
    ("C1", "gate.rs", "what_a_release_expects_and_lacks_is_listed_until_it_is_there"),
    ("C2", "gate.rs", "metadata_that_lack_or_contradict_something_are_listed"),
    ("C3", HERE, "a_mirror_that_loses_the_current_release_is_missing_in_the_coverage"),
    ("C3", "inventory.rs", "without_a_listing_missing_files_are_known_by_asking_for_each"),
    ("C4", "inventory.rs", "drift_is_seen_in_the_pages_of_nginx"),
    ("C5", "gate.rs", "metadata_that_lack_or_contradict_something_are_listed"),
    ("C6", HERE, "manifests_that_fail_count_once_and_so_do_those_that_are_taken_in"),
    ("C6", "gate.rs", "the_scorecard_shows_a_line_of_releases"),
    ("C7", HERE, "copies_beyond_the_retention_count_until_they_are_gone"),
    ("C7", "gate.rs", "copies_of_withdrawn_releases_are_counted"),
    ("Q3", "gate.rs", "a_channel_whose_release_before_is_gone_cannot_be_rolled_back"),
    ("A7", "private/signals.rs", "every_refusal_counts_under_its_own_reason_and_every_check_is_timed"),
    ("P4", "private/signals.rs", "every_refusal_counts_under_its_own_reason_and_every_check_is_timed"),
    ("E1", "private/signals.rs", "every_refusal_counts_under_its_own_reason_and_every_check_is_timed"),
    ("E2", "deliveries.rs", "whoever_may_have_the_release_before_and_not_the_one_that_is_out_now_is_counted"),
    ("E3", "deliveries.rs", "who_was_given_what_is_recorded_and_who_was_not_is_not"),
    ("Q3", HERE, "a_first_release_has_no_line_for_what_it_falls_back_to"),
];

const FILE: &str = "tool/1.0/tool.tar.gz";
const OLD: &[(&str, &[u8])] = &[("tool.tar.gz", b"the old tool")];
const NEW: &[(&str, &[u8])] = &[("tool.tar.gz", b"the new tool")];
const STABLE: &str = "{channel=\"stable\",product=\"tool\"}";

async fn until_metric(site: &Site, line: &str, wanted: f64) {
    site.until(&format!("{line} {wanted}"), async || (site.metric(line).await == wanted).then_some(())).await;
}

async fn shows(site: &Site, line: &str) -> bool {
    site.admin("/metrics").await.text().lines().any(|shown| shown.starts_with(line))
}

/// A check's line of a release's gate.
async fn check(site: &Site, version: &str, name: &str) -> Value {
    let gate = site.admin(&format!("/v1/releases/tool/{version}/gate")).await.json();
    gate["checks"].as_array().unwrap().iter().find(|line| line["check"] == name).unwrap().clone()
}

#[tokio::test]
async fn a_mirror_that_loses_the_current_release_is_missing_in_the_coverage() {
    let site = started(two_mirrors(OLD)).await;
    let coverage = format!("waypost_release_coverage_ratio{STABLE}");
    let missing = "waypost_copies{mirror=\"sin\",state=\"missing\"}";
    assert_eq!((site.metric(&coverage).await, site.metric(missing).await), (1.0, 0.0));
    site.mirror("sin").remove(FILE);
    until_metric(&site, missing, 1.0).await;
    assert_eq!(site.metric(&coverage).await, 0.5);
    let line = check(&site, "1.0", "mirrors").await;
    assert_eq!((&line["ok"], &line["missing"]), (&json!(false), &json!(["sin"])));
    let inventory = site.admin("/v1/mirrors/sin/inventory").await.json();
    assert_eq!(inventory["releases"][0]["missing"], json!({ "count": 1, "first": ["tool.tar.gz"] }));
    site.mirror("sin").put(FILE, OLD[0].1);
    site.order("sin", "verify").await;
    until_metric(&site, &coverage, 1.0).await;
    assert_eq!(site.metric(missing).await, 0.0);
}

#[tokio::test]
async fn a_copy_that_hashes_to_something_else_lowers_the_success_of_its_mirror() {
    let site = started(two_mirrors(OLD)).await;
    let success = async |mirror: &str| {
        let text = site.admin("/metrics").await;
        let of = format!("waypost_verifications_total{{mirror={mirror:?},outcome=");
        let counts = text.text().lines().filter_map(|line| line.strip_prefix(of.as_str()));
        let counts: Vec<(&str, f64)> =
            counts.map(|rest| rest.split_once("} ").unwrap()).map(|(o, n)| (o, n.parse().unwrap())).collect();
        let verified: f64 = counts.iter().filter(|(o, _)| *o == "\"verified\"").map(|(_, n)| n).sum();
        verified / counts.iter().map(|(_, n)| n).sum::<f64>()
    };
    assert_eq!((success("fra").await, success("sin").await), (1.0, 1.0));
    site.mirror("sin").put(FILE, corrupted(&OLD[0].1.into()));
    until_metric(&site, "waypost_copies{mirror=\"sin\",state=\"corrupt\"}", 1.0).await;
    assert!(success("sin").await < 1.0);
    assert_eq!(success("fra").await, 1.0);
    assert_eq!(
        check(&site, "1.0", "verification").await["missing"],
        json!(["sin: tool.tar.gz: wrong_digest"])
    );
}

#[tokio::test]
async fn a_release_that_is_late_is_ready_late() {
    let site = started(two_mirrors(OLD)).await;
    let ready = format!("waypost_release_ready_seconds{STABLE}");
    assert!(site.metric(&ready).await < 3600.0);
    let mut manifest = ReleasePlan::new("tool", "2.0", NEW, &["stable"]).manifest();
    manifest["published_at"] = json!("2020-01-01T00:00:00Z");
    site.write_origin("tool/2.0/manifest.json", manifest.to_string().as_bytes());
    site.mirror("fra").put("tool/2.0/tool.tar.gz", NEW[0].1);
    site.until_copies("fra", "verified", 2).await;
    let spread = async || site.admin("/v1/releases/tool/2.0/gate").await.json()["propagation"].clone();
    let at = spread().await;
    assert_eq!((&at["required"], &at["complete"], &at["t100_seconds"]), (&json!(2), &json!(1), &Value::Null));
    site.mirror("sin").put("tool/2.0/tool.tar.gz", NEW[0].1);
    site.until_channel("tool", "stable", "2.0").await;
    let years = 5.0 * 365.0 * 86_400.0;
    assert!(site.metric(&ready).await > years);
    let at = spread().await;
    assert!(at["t100_seconds"].as_f64().unwrap() >= at["t50_seconds"].as_f64().unwrap(), "{at}");
    assert!(at["t50_seconds"].as_f64().unwrap() > years, "{at}");
}

#[tokio::test]
async fn a_release_that_only_waits_for_a_hand_keeps_no_window_open() {
    let site = started(two_mirrors(OLD).config("[[channel]]\nname = \"lts\"\npromote = \"manual\"\n")).await;
    let open = "waypost_release_window_open{product=\"tool\"}";
    assert_eq!(site.metric(open).await, 0.0);
    site.publish_to("tool", "2.0", NEW, &["stable", "lts"], |mirror| mirror == "fra");
    until_metric(&site, open, 1.0).await;
    site.mirror("sin").put("tool/2.0/tool.tar.gz", NEW[0].1);
    site.until_channel("tool", "stable", "2.0").await;
    assert_eq!(site.metric(open).await, 0.0, "lts is moved by hand");
    site.obeyed(site::orders::rollback("stable")).await;
    assert_eq!(site.channel_report("stable").await["version"], "1.0");
    assert_eq!(site.metric(open).await, 0.0, "nobody is to come to 2.0");
    site.publish_to("tool", "3.0", NEW, &["stable"], |mirror| mirror == "fra");
    until_metric(&site, open, 1.0).await;
}

#[tokio::test]
async fn manifests_that_fail_count_once_and_so_do_those_that_are_taken_in() {
    let site = started(two_mirrors(OLD)).await;
    let accepted = "waypost_manifests_total{outcome=\"accepted\",reason=\"\"}";
    let invalid = "waypost_manifests_total{outcome=\"refused\",reason=\"invalid\"}";
    let now = "waypost_manifests_refused{reason=\"invalid\"}";
    assert!(shows(&site, &format!("{invalid} 0")).await, "so that the first one is an increase");
    assert_eq!(site.metric(accepted).await, 1.0);
    let looks = async || site.metric("waypost_origin_polls_total{outcome=\"ok\"}").await;
    site.write_origin("tool/2.0/manifest.json", b"{");
    until_metric(&site, invalid, 1.0).await;
    let so_far = looks().await;
    site.until("three more looks", async || (looks().await >= so_far + 3.0).then_some(())).await;
    assert_eq!((site.metric(invalid).await, site.metric(now).await), (1.0, 1.0));
    // Another attempt that fails, and one that succeeds.
    site.write_origin("tool/2.0/manifest.json", b"[]");
    until_metric(&site, invalid, 2.0).await;
    site.publish("tool", "2.0", NEW, &["stable"]);
    until_metric(&site, accepted, 2.0).await;
    assert_eq!((site.metric(invalid).await, site.metric(now).await), (2.0, 0.0));
}

#[tokio::test]
async fn an_origin_that_cannot_be_read_says_so_by_its_reason() {
    let site = started(two_mirrors(OLD)).await;
    let line = "waypost_origin_refused{reason=\"unreadable\"}";
    assert!(shows(&site, &format!("{line} 0")).await);
    site.break_origin();
    until_metric(&site, line, 1.0).await;
    site.restore_origin();
    until_metric(&site, line, 0.0).await;
}

#[tokio::test]
async fn copies_beyond_the_retention_count_until_they_are_gone() {
    let builder = two_mirrors(OLD).release("tool", "0.8", OLD, &[]).release("tool", "0.9", OLD, &[]);
    let site = started(builder.config("[retention]\nnewest = 2\n")).await;
    let line = |reason: &str| format!("waypost_unwanted_copies{{mirror=\"fra\",reason={reason:?}}}");
    until_metric(&site, &line("retention"), 1.0).await;
    let inventory = site.admin("/v1/mirrors/fra/inventory").await.json();
    let kept = json!([{ "product": "tool", "version": "0.8", "reason": "retention", "copies": 1 }]);
    assert_eq!(inventory["unwanted"], kept);
    // One that is withdrawn counts as that.
    let answer = site.post("/v1/releases/tool/0.8/withdraw", &json!({ "reason": "it eats files" })).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!((site.metric(&line("retention")).await, site.metric(&line("withdrawn")).await), (0.0, 1.0));
    site.mirror("fra").remove("tool/0.8/tool.tar.gz");
    until_metric(&site, &line("withdrawn"), 0.0).await;
}

#[tokio::test]
async fn a_first_release_has_no_line_for_what_it_falls_back_to() {
    let site = started(two_mirrors(OLD)).await;
    let line = format!("waypost_rollback_ready{STABLE}");
    assert!(!shows(&site, &line).await, "an alert on 0 would never end");
    site.publish("tool", "2.0", NEW, &["stable"]);
    site.until_channel("tool", "stable", "2.0").await;
    assert!(shows(&site, &format!("{line} 1")).await);
    assert_eq!(site.get("/tool/stable/tool.tar.gz", EU).await.status, 302);
}
