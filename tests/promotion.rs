//! Channels by hand: promote, compare and set, hold, release, roll back; and what moves by itself afterwards.

#![allow(clippy::unwrap_used, missing_docs)]

#[path = "support/site.rs"]
mod site;

use serde_json::json;
use site::orders::{expecting, forced, hold, promote, release, rollback};
use site::{Builder, EU, Site};
use waypost::workers::fact::Refused;

const FILES: &[(&str, &[u8])] = &[("tool", b"a tool"), ("tool.sig", b"its signature")];

fn site(promote: &str) -> Builder {
    Site::builder()
        .mirror("fra", |m| m.region("eu"))
        .mirror("sin", |m| m.region("ap"))
        .release("tool", "1.0", FILES, &["stable"])
        .config(&format!("[[channel]]\nname = \"stable\"\nready = \"all\"\npromote = {promote:?}\n"))
        .config("[[channel]]\nname = \"beta\"\nready = \"50%\"\n")
}

/// A site whose stable channel has come to the last of these, one by one; the first is 1.0.
async fn come_to(versions: &[&str]) -> Site {
    let site = site("auto").start().await;
    site.until_channel("tool", "stable", "1.0").await;
    for version in versions {
        site.publish("tool", version, FILES, &["stable"]);
        site.until_channel("tool", "stable", version).await;
    }
    site
}

async fn at(site: &Site, channel: &str) -> String {
    site.get(&format!("/tool/{channel}/version.txt"), EU).await.text().trim().to_owned()
}

/// Publishes a release and waits until it is everywhere, and so until a channel that was to move has moved.
async fn spread(site: &Site, version: &str, channels: &[&str]) {
    site.publish("tool", version, FILES, channels);
    site.until_everywhere("tool", version).await;
}

#[tokio::test]
async fn a_manual_channel_moves_by_hand_alone() {
    let site = site("manual").start().await;
    site.until_everywhere("tool", "1.0").await;
    assert_eq!(site.get("/tool/stable/tool", EU).await.status, 503, "not even to its first release");
    let line = site.channel_report("stable").await;
    assert_eq!((&line["version"], &line["promote"]), (&json!(null), &json!("manual")));
    site.obeyed(expecting(promote("v1.0", "stable"), None)).await;
    assert_eq!(at(&site, "stable").await, "1.0", "in the spelling in which it is published");
    spread(&site, "2.0", &["stable"]).await;
    assert_eq!(at(&site, "stable").await, "1.0");
    let order = site.obeyed(promote("2.0", "stable")).await;
    assert_eq!((&*order.actor, &*order.reason), ("ci", "the test wants it"));
    assert_eq!(at(&site, "stable").await, "2.0", "with the acknowledgement");
    let line = site.channel_report("stable").await;
    assert_eq!((&line["history"], &line["held"]), (&json!(["1.0", "2.0"]), &json!(false)));
}

#[tokio::test]
async fn a_move_by_hand_lasts_until_a_version_is_ready_that_is_higher_than_any_known_then() {
    let site = come_to(&["2.0"]).await;
    // Known, though for no channel.
    spread(&site, "3.0", &[]).await;
    site.obeyed(promote("1.0", "stable")).await;
    assert_eq!(site.channel_report("stable").await["above"], "3.0");
    spread(&site, "2.5", &["stable"]).await;
    site.publish("tool", "3.0", FILES, &["stable"]);
    site.until("3.0 is labelled", async || {
        (site.release_report("3.0").await["readiness"][0]["channel"] == "stable").then_some(())
    })
    .await;
    assert_eq!(at(&site, "stable").await, "1.0");
    spread(&site, "3.1", &["stable"]).await;
    assert_eq!(at(&site, "stable").await, "3.1");
    assert_eq!(site.channel_report("stable").await["above"], json!(null), "it moves by itself again");
    spread(&site, "3.2", &["stable"]).await;
    assert_eq!(at(&site, "stable").await, "3.2");
}

#[tokio::test]
async fn promoting_where_a_channel_is_already_holds_it_there() {
    let mut site = come_to(&["2.0"]).await;
    spread(&site, "3.0", &[]).await;
    site.obeyed(promote("2.0", "stable")).await;
    site.restart().await;
    site.publish("tool", "2.9", FILES, &["stable"]);
    site.until_everywhere("tool", "2.9").await;
    assert_eq!(at(&site, "stable").await, "2.0", "after a restart as well");
    assert_eq!(site.channel_report("stable").await["history"], json!(["1.0", "2.0"]));
}

#[tokio::test]
async fn of_two_who_expect_the_same_one_wins_and_the_other_is_told() {
    let site = come_to(&["2.0"]).await;
    site.obeyed(expecting(promote("1.0", "stable"), Some("2.0"))).await;
    for late in [promote("2.0", "stable"), rollback("stable")] {
        match site.refused(expecting(late, Some("2.0"))).await {
            Refused::Conflict(why) => assert_eq!(why, "tool stable points to 1.0, not to 2.0"),
            other => panic!("{other}"),
        }
    }
    // A channel that nobody has heard of comes into being, once.
    site.obeyed(expecting(promote("2.0", "canary"), None)).await;
    assert_eq!(at(&site, "canary").await, "2.0");
    let refused = site.refused(expecting(promote("1.0", "canary"), None)).await;
    assert!(
        matches!(&refused, Refused::Conflict(why) if why.contains("points to 2.0, not nowhere")),
        "{refused}"
    );
}

#[tokio::test]
async fn nothing_is_promoted_that_is_not_there_and_what_is_missing_is_said() {
    let site = come_to(&[]).await;
    let unknown = site.refused(forced(promote("9.9", "stable"))).await;
    assert!(matches!(unknown, Refused::Unknown(_)), "{unknown}");
    // In two halves, and whole nowhere.
    site.publish_to("tool", "2.0", FILES, &[], |_| false);
    site.mirror("fra").put("tool/2.0/tool", FILES[0].1);
    site.mirror("sin").put("tool/2.0/tool.sig", FILES[1].1);
    site.until_copies("fra", "verified", 3).await;
    site.until_copies("sin", "verified", 3).await;
    for wish in [promote("2.0", "stable"), forced(promote("2.0", "stable"))] {
        match site.refused(wish).await {
            Refused::Forbidden(why) => assert!(why.ends_with("fra lacks tool.sig; sin lacks tool"), "{why}"),
            other => panic!("{other}"),
        }
    }
    site.mirror("fra").put("tool/2.0/tool.sig", FILES[1].1);
    site.order("fra", "verify").await;
    site.until("fra has all of it, and sin is not waited for", async || {
        match site.refused(promote("2.0", "stable")).await {
            Refused::Forbidden(why) if why.contains("not ready for stable: not yet on sin;") => Some(()),
            _ => None,
        }
    })
    .await;
    site.obeyed(forced(promote("2.0", "stable"))).await;
    assert_eq!(at(&site, "stable").await, "2.0");
}

#[tokio::test]
async fn a_held_channel_stays_and_catches_up_when_it_is_released() {
    let mut site = come_to(&[]).await;
    assert!(matches!(site.refused(hold("nightly")).await, Refused::Unknown(_)));
    site.obeyed(hold("stable")).await;
    site.obeyed(hold("stable")).await;
    spread(&site, "2.0", &["stable"]).await;
    assert_eq!(at(&site, "stable").await, "1.0");
    site.restart().await;
    site.until_everywhere("tool", "2.0").await;
    assert_eq!(
        (at(&site, "stable").await, &site.channel_report("stable").await["held"]),
        ("1.0".into(), &json!(true))
    );
    site.obeyed(release("stable")).await;
    assert_eq!(at(&site, "stable").await, "2.0", "in the same round");
}

#[tokio::test]
async fn a_second_rollback_goes_further_back_and_not_forth() {
    let site = come_to(&["2.0", "3.0"]).await;
    site.obeyed(rollback("stable")).await;
    assert_eq!((at(&site, "stable").await, at(&site, "latest").await), ("2.0".into(), "2.0".into()));
    site.obeyed(rollback("stable")).await;
    assert_eq!(at(&site, "stable").await, "1.0");
    match site.refused(rollback("stable")).await {
        Refused::Forbidden(why) => assert!(why.contains("nothing to go back to"), "{why}"),
        other => panic!("{other}"),
    }
    assert!(matches!(site.refused(rollback("nightly")).await, Refused::Unknown(_)));
    // What was rolled back does not return; the next one does, and goes back to where it came from.
    assert_eq!(site.channel_report("stable").await["above"], "3.0");
    spread(&site, "4.0", &["stable"]).await;
    assert_eq!(at(&site, "stable").await, "4.0");
    site.obeyed(rollback("stable")).await;
    assert_eq!(at(&site, "stable").await, "1.0");
}

#[tokio::test]
async fn a_rollback_passes_over_what_no_mirror_has_whole() {
    let site = come_to(&["2.0", "3.0"]).await;
    for mirror in ["fra", "sin"] {
        site.mirror(mirror).remove("tool/2.0/tool");
    }
    site.until_status("/tool/2.0/tool", EU, 503).await;
    site.obeyed(rollback("stable")).await;
    assert_eq!(at(&site, "stable").await, "1.0");
}

#[tokio::test]
async fn a_channel_says_what_it_waits_for() {
    let site = come_to(&[]).await;
    site.publish_to("tool", "2.0", FILES, &["stable", "beta"], |mirror| mirror == "fra");
    site.until_copies("fra", "verified", 4).await;
    let waiting = json!([{ "version": "2.0", "lacking": ["sin"], "blocked": [] }]);
    assert_eq!(site.channel_report("stable").await["waiting"], waiting);
    let beta = site.channel_report("beta").await;
    assert_eq!((&beta["version"], &beta["gone"]), (&json!("2.0"), &json!(false)), "its policy is another");
    assert_eq!(beta["waiting"], json!([]));
}
