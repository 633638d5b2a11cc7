//! A release on its way: who lacks it, how long it took, and whoever waits for it.

#![allow(clippy::unwrap_used, missing_docs)]

#[path = "support/program.rs"]
mod program;
#[path = "support/site.rs"]
mod site;

use std::sync::Arc;

use program::{Running, waypost};
use serde_json::{Value, json};
use site::builder::{started, two_mirrors};
use site::{Behaviour, Builder, EU, Site};
use tokio::sync::Semaphore;

const OLD: &[(&str, &[u8])] = &[("tool.tar.gz", b"the old tool")];
const NEW: &[(&str, &[u8])] = &[("tool.tar.gz", b"the new tool"), ("notes.txt", b"what is new")];
const MIRRORS: [(&str, &str); 5] =
    [("ams", "eu"), ("fra", "eu"), ("iad", "us"), ("sin", "ap"), ("syd", "ap")];

fn five_mirrors() -> Builder {
    let add = |site: Builder, (name, region): (&str, &str)| site.mirror(name, |m| m.region(region));
    MIRRORS
        .into_iter()
        .fold(Site::builder(), add)
        .release("tool", "1.0", OLD, &["stable"])
        .config("[[channel]]\nname = \"stable\"\nready = \"all\"\n")
}

async fn gate(site: &Site, version: &str) -> Value {
    let answer = site.admin(&format!("/v1/releases/tool/{version}/gate")).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

fn check<'a>(gate: &'a Value, name: &str) -> &'a Value {
    gate["checks"].as_array().unwrap().iter().find(|check| check["check"] == name).unwrap()
}

fn put(site: &Site, mirror: &str) {
    for (name, bytes) in NEW {
        site.mirror(mirror).put(&format!("tool/2.0/{name}"), bytes.to_vec());
    }
}

/// The story that this is for.
#[tokio::test]
async fn a_release_that_two_of_five_mirrors_lack_is_waited_for_and_announced_when_they_have_it() {
    let site = started(five_mirrors()).await;
    let late = ["sin", "syd"];
    site.publish_to("tool", "2.0", NEW, &["stable"], |mirror| !late.contains(&mirror));
    for (mirror, _) in MIRRORS {
        let state = if late.contains(&mirror) { ("missing", 2) } else { ("verified", 3) };
        site.until_copies(mirror, state.0, state.1).await;
    }
    let mut waiting = Running::start(&site, &["release", "wait", "tool", "v2.0", "--timeout", "60s"]);
    let line = waiting.says("3 of 5 mirrors").await;
    assert!(line.contains("waiting for sin, syd") && line.contains("stable"), "{line}");
    let failed = waypost(&site, &["release", "gate", "tool", "2.0"]).await;
    assert_eq!(failed.code, 1, "{failed:?}");
    assert!(failed.out.ends_with("tool 2.0 does not pass: mirrors\n"), "{failed:?}");
    assert!(failed.out.contains("\nmirrors:\n  sin\n  syd\n"), "{failed:?}");
    assert_eq!(site.get("/tool/stable/version.txt", EU).await.text().trim(), "1.0");
    let labels = "{channel=\"stable\",product=\"tool\"}";
    let metric = async |name: &str| site.metric(&format!("{name}{labels}")).await;
    assert_eq!(site.metric("waypost_release_window_open{product=\"tool\"}").await, 1.0);
    assert_eq!(metric("waypost_gate_passed").await, 0.0);
    let report = gate(&site, "2.0").await;
    assert_eq!(report["propagation"]["complete"], 3);
    assert!(report["propagation"]["t50_seconds"].is_f64(), "{report}");
    assert!(
        report["propagation"]["t90_seconds"].is_null() && report["propagation"]["t100_seconds"].is_null()
    );
    assert_eq!(check(&report, "propagation")["ok"], Value::Null);

    late.iter().for_each(|mirror| put(&site, mirror));
    let ended = waiting.ends().await;
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(ended.out.contains("is everywhere: on 5 mirrors") && ended.out.contains("t100"), "{ended:?}");
    assert_eq!(site.get("/tool/stable/version.txt", EU).await.text().trim(), "2.0");
    let passed = waypost(&site, &["release", "gate", "tool", "2.0"]).await;
    assert_eq!(passed.code, 0, "{passed:?}");
    let report = gate(&site, "2.0").await;
    assert_eq!((&report["passed"], &check(&report, "propagation")["ok"]), (&json!(true), &json!(true)));
    for mirror in report["mirrors"].as_array().unwrap() {
        assert!(mirror["lag_seconds"].is_f64() && mirror["verified_at"].is_string(), "{mirror}");
        assert_eq!((&mirror["complete"], &mirror["required"]), (&json!(true), &json!(true)));
    }
    assert_eq!(site.metric("waypost_release_window_open{product=\"tool\"}").await, 0.0);
    for name in ["waypost_gate_passed", "waypost_release_coverage_ratio", "waypost_rollback_ready"] {
        assert_eq!(metric(name).await, 1.0, "{name}");
    }
    let lag = "waypost_replication_lag_seconds{channel=\"stable\",mirror=\"syd\",product=\"tool\"}";
    assert!(site.metric(lag).await > 0.0);
}

#[tokio::test]
async fn a_release_can_be_waited_for_before_it_is_published() {
    let site = started(two_mirrors(OLD)).await;
    let mut waiting =
        Running::start(&site, &["release", "wait", "tool", "2.0", "--timeout", "60s", "--json"]);
    let asked = site.admin("/v1/releases/tool/2.0?wait=15");
    let publishing = async {
        // It asks until the time is over, and then says that there is nothing.
        let early = site.admin("/v1/releases/tool/2.0?wait=0").await;
        assert_eq!((early.status.as_u16(), &early.json()["known"]), (504, &json!(false)));
        site.publish("tool", "2.0", NEW, &["stable"]);
    };
    let (answer, ()) = tokio::join!(asked, publishing);
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.json()["mirrors_lacking"], json!([]));
    assert_eq!(
        site.get("/tool/stable/version.txt", EU).await.text().trim(),
        "2.0",
        "announced when it says so"
    );
    let ended = waiting.ends().await;
    assert_eq!(ended.code, 0, "{ended:?}");
    assert_eq!(serde_json::from_str::<Value>(&ended.out).unwrap()["globally_ready"], true);
    // What cannot be a version is not waited for.
    assert_eq!(site.admin("/v1/releases/tool/stable?wait=15").await.status, 404);
    let odd = waypost(&site, &["release", "wait", "tool", "stable"]).await;
    assert_eq!(odd.code, 2, "{odd:?}");
    waiting = Running::start(&site, &["release", "wait", "tool", "3.0", "--timeout", "0s"]);
    let ended = waiting.ends().await;
    assert_eq!(ended.code, 1, "{ended:?}");
    assert!(ended.err.contains("not published yet"), "{ended:?}");
}

#[tokio::test]
async fn a_wait_that_is_in_vain_ends_at_once_with_the_reason() {
    let site = started(two_mirrors(OLD)).await;
    let asked = site.admin("/v1/releases/tool/2.0?wait=60");
    let refusing = async { site.write_origin("tool/2.0/manifest.json", b"{ \"schema\": 1, \"product\"") };
    let (answer, ()) = tokio::join!(asked, refusing);
    assert_eq!(answer.status, 409, "{}", answer.text());
    assert!(answer.json()["detail"].as_str().unwrap().contains("refused: invalid"), "{}", answer.text());
    let refused = waypost(&site, &["release", "wait", "tool", "2.0", "--timeout", "60s"]).await;
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(refused.err.contains("refused: invalid"), "{refused:?}");
    // It is put right, and then withdrawn before it is everywhere.
    site.publish_to("tool", "2.0", NEW, &["stable"], |mirror| mirror == "fra");
    site.until_copies("sin", "missing", 2).await;
    let mut waiting = Running::start(&site, &["release", "wait", "tool", "2.0", "--timeout", "60s"]);
    waiting.says("waiting for sin").await;
    let order = json!({ "reason": "it eats files", "replacement": "1.0" });
    let withdrawn = site.post("/v1/releases/tool/2.0/withdraw", &order).await;
    assert_eq!(withdrawn.status, 200, "{}", withdrawn.text());
    let ended = waiting.ends().await;
    assert_eq!(ended.code, 1, "{ended:?}");
    assert!(ended.err.contains("withdrawn: it eats files; take 1.0 instead"), "{ended:?}");
    let failed = waypost(&site, &["release", "gate", "tool", "2.0"]).await;
    assert!(failed.code == 1 && failed.out.contains("withdrawn"), "{failed:?}");
    assert_eq!(gate(&site, "2.0").await["withdrawn"]["reason"], "it eats files");
}

#[tokio::test]
async fn a_wait_survives_a_restart_of_the_service() {
    let mut site = started(two_mirrors(OLD)).await;
    site.publish_to("tool", "2.0", NEW, &["stable"], |mirror| mirror == "fra");
    site.until_copies("sin", "missing", 2).await;
    let mut waiting = Running::start(&site, &["release", "wait", "tool", "2.0", "--timeout", "120s"]);
    waiting.says("waiting for sin").await;
    site.stop().await.unwrap();
    waiting.says("asking again").await;
    site.run().await.unwrap();
    put(&site, "sin");
    let ended = waiting.ends().await;
    assert_eq!(ended.code, 0, "{ended:?}");
    site.stop().await.unwrap();
    let nobody = waypost(&site, &["release", "wait", "tool", "2.0", "--timeout", "1s"]).await;
    assert_eq!(nobody.code, 3, "{nobody:?}");
}

#[tokio::test]
async fn a_mirror_that_is_under_way_is_given_a_time() {
    let files: &[(&str, &[u8])] = &[("small", b"at once"), ("large", b"this one takes a while to arrive")];
    let site = started(two_mirrors(OLD)).await;
    let door = Arc::new(Semaphore::new(0));
    site.mirror("sin").behave("tool/2.0/large", Behaviour::Gated(Arc::clone(&door)));
    site.publish("tool", "2.0", files, &["stable"]);
    site.until_copies("fra", "verified", 3).await;
    site.until_copies("sin", "verified", 2).await;
    let report = gate(&site, "2.0").await;
    assert!(report["estimate_seconds"].as_f64().unwrap() > 0.0, "{report}");
    let mirror =
        |name: &str| report["mirrors"].as_array().unwrap().iter().find(|m| m["mirror"] == name).unwrap();
    let progress = mirror("sin")["progress"].as_f64().unwrap();
    assert!(progress > 0.0 && progress < 0.5, "{report}");
    assert_eq!((&mirror("fra")["progress"], &mirror("fra")["eta_seconds"]), (&json!(1.0), &json!(0.0)));
    door.add_permits(10);
    site.until_channel("tool", "stable", "2.0").await;
    assert_eq!(gate(&site, "2.0").await["estimate_seconds"], Value::Null);
}

#[tokio::test]
async fn channels_that_are_held_or_moved_by_hand_are_not_waited_for() {
    let site = started(two_mirrors(OLD).config("[[channel]]\nname = \"lts\"\npromote = \"manual\"\n")).await;
    site.publish("tool", "2.0", NEW, &["lts"]);
    let answer = site.admin("/v1/releases/tool/2.0?wait=15").await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.json()["channels"], json!([]), "nobody has moved it");
    let held = site.post("/v1/channels/tool/stable/hold", &json!({ "reason": "holidays" })).await;
    assert_eq!(held.status, 200, "{}", held.text());
    site.publish("tool", "3.0", NEW, &["stable"]);
    let answer = site.admin("/v1/releases/tool/3.0?wait=15").await;
    assert_eq!((answer.status.as_u16(), &answer.json()["channels"]), (200, &json!([])));
}

#[tokio::test]
async fn a_date_in_the_future_makes_no_negative_lag() {
    let site = started(two_mirrors(OLD)).await;
    let mut manifest = site::ReleasePlan::new("tool", "2.0", NEW, &["stable"]).manifest();
    manifest["published_at"] = json!("2099-01-01T00:00:00Z");
    for mirror in ["fra", "sin"] {
        put(&site, mirror);
    }
    site.write_origin("tool/2.0/manifest.json", manifest.to_string().as_bytes());
    site.until_channel("tool", "stable", "2.0").await;
    let slowest = gate(&site, "2.0").await["propagation"]["slowest_seconds"].as_f64().unwrap();
    assert!(slowest > 0.0, "counted from when it was seen");
}
