//! The index: signed as a whole, and its sequence never goes back unless somebody says so.

use http::Method;
use serde_json::{Value, json};

use super::keys::{Keys, sign_manifest};
use super::site::{EU, Mirror, Site, own_address};
use super::{
    MANIFEST, NEW, OLD_MANIFEST, TOOL, started, trusting, until_believed, until_disbelieved, until_refused,
};

fn index(sequence: u64, manifests: &[&str]) -> Vec<u8> {
    json!({ "schema": 1, "sequence": sequence, "manifests": manifests }).to_string().into_bytes()
}

/// A site whose index is at 7 and lists `tool 1.0` and `tool 1.1`; no keys.
async fn at_seven() -> Site {
    let mut site = Site::builder()
        .mirror("fra", |m| m.region("eu"))
        .release("tool", "1.0", TOOL, &["stable"])
        .release("tool", "1.1", NEW, &["stable"])
        .lay_out()
        .await;
    site.write_origin("index.json", &index(7, &[OLD_MANIFEST, MANIFEST]));
    site.run().await.unwrap();
    site.until_channel("tool", "stable", "1.1").await;
    until_sequence(&site, 7).await;
    site
}

async fn until_sequence(site: &Site, sequence: u64) {
    site.until(&format!("the sequence is {sequence}"), async || {
        let origin = site.releases_report().await["origin"].clone();
        (origin["sequence"] == sequence && origin["reason"].is_null()).then_some(())
    })
    .await;
}

async fn accept(site: &Site) -> Value {
    let answer = site.local(Method::POST, "/v1/origin/accept").await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()["order"]["action"].clone()
}

#[tokio::test]
async fn an_index_that_is_badly_signed_changes_nothing() {
    let (keys, stranger) = (Keys::new(), Keys::new());
    let site = started(&keys).await;
    site.publish("tool", "1.1", NEW, &["stable"]);
    sign_manifest(&site, &keys, MANIFEST, "waypost tool 1.1");
    site.until_channel("tool", "stable", "1.1").await;
    // Neither of them lists 1.1, which would be retired within two looks.
    let bytes = index(3, &[OLD_MANIFEST]);
    site.write_origin("index.json", &bytes);
    let error = until_disbelieved(&site, "unsigned").await;
    assert!(error.contains("index.json.minisig"), "{error}");
    for (signature, reason) in [
        (stranger.sign(&bytes, "waypost index 3"), "bad_signature"),
        (keys.sign(&bytes, "waypost index 2"), "signature_for_another"),
        (keys.sign(&index(2, &[OLD_MANIFEST]), "waypost index 2"), "bad_signature"),
        (keys.sign(&bytes, "waypost tool 1.0"), "signature_for_another"),
    ] {
        site.write_origin("index.json.minisig", &signature);
        until_disbelieved(&site, reason).await;
    }
    let refused = async || site.metric("waypost_origin_polls_total{outcome=\"refused\"}").await;
    let so_far = refused().await;
    site.until("four more looks", async || (refused().await >= so_far + 4.0).then_some(())).await;
    assert_eq!(site.get("/tool/1.1/tool", EU).await.status, 302);
    let ready = site.admin("/readyz").await;
    assert!(ready.text().contains("signature_for_another"), "{}", ready.text());

    site.write_origin("index.json.minisig", &keys.sign(&bytes, "waypost index 3"));
    until_sequence(&site, 3).await;
    site.until_status("/tool/1.1/tool", EU, 404).await;
}

#[tokio::test]
async fn a_lower_sequence_is_refused_until_it_is_accepted_and_then_taken_in_like_any_other() {
    let site = at_seven().await;
    let nothing = site.local(Method::POST, "/v1/origin/accept").await;
    assert_eq!(nothing.status, 409, "{}", nothing.text());
    for not_lower in [7, 8, u64::MAX] {
        let typo = site.post("/v1/origin/accept", &json!({ "sequence": not_lower })).await;
        assert_eq!(typo.status, 409, "{}", typo.text());
    }
    // The same sequence with other contents is believed: people correct an index.
    site.write_origin("index.json", &index(7, &[MANIFEST, OLD_MANIFEST]));
    until_believed(&site).await;

    site.write_origin("index.json", &index(5, &[OLD_MANIFEST]));
    let error = until_disbelieved(&site, "sequence_went_back").await;
    for part in ["5", "7", "waypost origin accept"] {
        assert!(error.contains(part), "{part}: {error}");
    }
    let refused = async || site.metric("waypost_origin_polls_total{outcome=\"refused\"}").await;
    let so_far = refused().await;
    site.until("four more looks", async || (refused().await >= so_far + 4.0).then_some(())).await;
    assert_eq!(site.get("/tool/1.1/tool", EU).await.status, 302, "nothing changed");

    assert_eq!(accept(&site).await, json!({ "kind": "origin_accept", "sequence": 5 }));
    until_sequence(&site, 5).await;
    site.until_status("/tool/1.1/tool", EU, 404).await;
    site.until_status("/tool/1.0/tool", EU, 302).await;
    // From there on it counts as before.
    site.write_origin("index.json", &index(6, &[OLD_MANIFEST, MANIFEST]));
    until_sequence(&site, 6).await;
    site.until_status("/tool/1.1/tool", EU, 302).await;
    site.write_origin("index.json", &index(5, &[OLD_MANIFEST]));
    until_disbelieved(&site, "sequence_went_back").await;
}

#[tokio::test]
async fn an_older_state_that_is_accepted_brings_no_withdrawn_release_back() {
    let site = at_seven().await;
    let mut newer: Value = serde_json::from_slice(&index(8, &[OLD_MANIFEST, MANIFEST])).unwrap();
    newer["withdrawn"] = json!([{ "product": "tool", "version": "1.1", "reason": "it does not start" }]);
    site.write_origin("index.json", newer.to_string().as_bytes());
    site.until_status("/tool/1.1/tool", EU, 410).await;
    site.write_origin("index.json", &index(7, &[OLD_MANIFEST, MANIFEST]));
    until_disbelieved(&site, "sequence_went_back").await;
    accept(&site).await;
    until_sequence(&site, 7).await;
    assert_eq!(site.get("/tool/1.1/tool", EU).await.status, 410);
}

#[tokio::test]
async fn the_sequence_of_an_origin_over_http_does_not_go_back_either() {
    let origin = Mirror::start(own_address(), None).await;
    let mut site = Site::builder()
        .mirror("fra", |m| m.region("eu"))
        .origin(&format!("url = {:?}", origin.url()))
        .release("tool", "1.0", TOOL, &["stable"])
        .lay_out()
        .await;
    origin.put(OLD_MANIFEST, std::fs::read(site.origin().join(OLD_MANIFEST)).unwrap());
    origin.put("index.json", index(7, &[OLD_MANIFEST]));
    site.run().await.unwrap();
    site.until_channel("tool", "stable", "1.0").await;
    let asked = origin.whole_gets("tool/0.9/manifest.json");
    origin.put("index.json", index(6, &[OLD_MANIFEST, "tool/0.9/manifest.json"]));
    until_disbelieved(&site, "sequence_went_back").await;
    assert_eq!(origin.whole_gets("tool/0.9/manifest.json"), asked, "what is not believed is not gone into");
    accept(&site).await;
    until_refused(&site, "tool/0.9/manifest.json", "unreadable").await;
    until_sequence(&site, 6).await;
}

#[tokio::test]
async fn the_sequence_survives_restarts_and_what_was_accepted_even_the_loss_of_the_database() {
    let mut site = at_seven().await;
    site.stop().await.unwrap();
    site.write_origin("index.json", &index(5, &[OLD_MANIFEST, MANIFEST]));
    site.run().await.unwrap();
    until_disbelieved(&site, "sequence_went_back").await;
    site.until_status("/tool/1.1/tool", EU, 302).await;
    accept(&site).await;
    until_sequence(&site, 5).await;
    site.kill();
    site.run_again().await;
    until_sequence(&site, 5).await;

    // What came after the order counts, once it was seen; the order is not obeyed a second time.
    site.write_origin("index.json", &index(9, &[OLD_MANIFEST, MANIFEST]));
    until_sequence(&site, 9).await;
    site.stop().await.unwrap();
    site.write_origin("index.json", &index(8, &[OLD_MANIFEST, MANIFEST]));
    site.run().await.unwrap();
    until_disbelieved(&site, "sequence_went_back").await;

    // With the database what was seen is gone, and the journal says from where it counts.
    site.stop().await.unwrap();
    for file in std::fs::read_dir(site.state()).unwrap().map(|file| file.unwrap()) {
        if file.file_name().to_string_lossy().starts_with("waypost.db") {
            std::fs::remove_file(file.path()).unwrap();
        }
    }
    site.write_origin("index.json", &index(4, &[OLD_MANIFEST, MANIFEST]));
    site.run().await.unwrap();
    until_disbelieved(&site, "sequence_went_back").await;
    site.write_origin("index.json", &index(8, &[OLD_MANIFEST, MANIFEST]));
    until_sequence(&site, 8).await;
}

#[tokio::test]
async fn taking_a_signed_index_away_is_no_way_around_its_sequence() {
    let keys = Keys::new();
    let mut site = trusting(&[&keys]).release("tool", "1.0", TOOL, &["stable"]).lay_out().await;
    sign_manifest(&site, &keys, OLD_MANIFEST, "waypost tool 1.0");
    site.write_origin("index.json", &index(7, &[OLD_MANIFEST]));
    sign_manifest(&site, &keys, "index.json", "waypost index 7");
    site.run().await.unwrap();
    site.until_channel("tool", "stable", "1.0").await;
    std::fs::remove_file(site.origin().join("index.json")).unwrap();
    until_disbelieved(&site, "sequence_went_back").await;
    assert_eq!(accept(&site).await["sequence"], 0);
    until_believed(&site).await;
}
