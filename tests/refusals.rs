//! What is refused, each for its own reason, and the scorecard that names the reason: with real signatures, on a whole
//! site. More ways to be refused are in `trust.rs` (manifests, the index) and `signatures.rs` (assets).

#![allow(clippy::unwrap_used, missing_docs)]

#[path = "trust/keys.rs"]
mod keys;
#[path = "support/program.rs"]
mod program;
#[path = "support/site.rs"]
mod site;

use keys::{Keys, sign_manifest};
use program::waypost;
use serde_json::{Value, json};
use site::mirror::corrupted;
use site::{AP, EU, ReleasePlan, Site, sha256};

const MIRRORS: [&str; 2] = ["fra", "sin"];
const FILE: &str = "tool.zip";
const SIGNATURE: &str = "tool.zip.minisig";
const OLD: &[u8] = b"the old tool";
const NEW: &[u8] = b"the new tool";
/// Every mirror has to hold a release, and every file has to be signed, before `stable` moves to it.
const STRICT: &str = "[[channel]]\nname = \"stable\"\nready = \"all\"\n\
                      [[gate]]\ncheck = \"signatures\"\nmode = \"gate\"\n";

/// As `minisign -Sm NAME` writes it.
fn sign_file(keys: &Keys, bytes: &[u8], name: &str) -> Vec<u8> {
    keys.sign(bytes, &format!("timestamp:1800000000\tfile:{name}\thashed"))
}

/// A manifest at the origin, without its signature.
fn write_manifest(site: &Site, version: &str, files: &[(&str, &[u8])]) -> String {
    let release = ReleasePlan::new("tool", version, files, &["stable"]);
    let path = release.path("manifest.json");
    site.write_origin(&path, release.manifest().to_string().as_bytes());
    path
}

/// A signed release at the origin and on every mirror.
fn publish(site: &Site, keys: &Keys, version: &str, files: &[(&str, &[u8])]) {
    for mirror in MIRRORS {
        for (name, bytes) in files {
            site.mirror(mirror).put(&format!("tool/{version}/{name}"), bytes.to_vec());
        }
    }
    let manifest = write_manifest(site, version, files);
    sign_manifest(site, keys, &manifest, &format!("waypost tool {version}"));
}

/// A site with `tool 1.0` on `stable`, all of it signed.
async fn started(keys: &Keys) -> Site {
    let builder = MIRRORS.iter().zip(["eu", "ap"]).fold(Site::builder(), |builder, (name, region)| {
        builder.mirror(name, |mirror| mirror.region(region))
    });
    let trusted = format!("trusted_keys = [{:?}]", keys.public());
    let mut site = builder.origin(&trusted).config(STRICT).lay_out().await;
    publish(&site, keys, "1.0", &[(FILE, OLD), (SIGNATURE, &sign_file(keys, OLD, FILE))]);
    site.run().await.unwrap();
    site.until_channel("tool", "stable", "1.0").await;
    site
}

/// Waits until a check of a release fails and names this; gives the release's scorecard.
async fn until_named(site: &Site, version: &str, check: &str, named: &str) -> Value {
    site.until(&format!("{check} of {version} says {named}"), async || {
        let card = site.admin(&format!("/v1/releases/tool/{version}/gate")).await.json();
        let line = card["checks"].as_array()?.iter().find(|line| line["check"] == check)?;
        let words = line["missing"].as_array()?.iter().chain([&line["summary"]]);
        let is_named = words.filter_map(Value::as_str).any(|words| words.contains(named));
        (line["ok"] == false && is_named).then(|| {
            assert_eq!((&line["mode"], &card["passed"]), (&json!("gate"), &json!(false)), "{card}");
            card.clone()
        })
    })
    .await
}

/// Nothing but the old release is announced, and it is handed out as ever.
async fn assert_announced_is_the_old_one(site: &Site) {
    assert_eq!(site.get("/tool/stable/version.txt", EU).await.text().trim(), "1.0");
    assert_eq!(site.get(&format!("/tool/stable/{FILE}.sha256"), EU).await.text()[..64], sha256(OLD));
    assert_eq!(site.get(&format!("/tool/stable/{FILE}"), EU).await.status, 302);
}

async fn refused(site: &Site, reason: &str) -> f64 {
    site.metric(&format!("waypost_manifests_refused{{reason={reason:?}}}")).await
}

#[tokio::test]
async fn a_changed_file_of_the_same_size_is_a_wrong_digest() {
    let keys = Keys::new();
    let site = started(&keys).await;
    // On one mirror, from the start.
    let signature = sign_file(&keys, NEW, FILE);
    site.mirror("sin").behave(&format!("tool/1.1/{FILE}"), site::Behaviour::Corrupt);
    publish(&site, &keys, "1.1", &[(FILE, NEW), (SIGNATURE, &signature)]);
    until_named(&site, "1.1", "verification", "sin: tool.zip: wrong_digest").await;
    site.until_redirected(&format!("/tool/1.1/{FILE}"), AP, "fra").await;
    assert_announced_is_the_old_one(&site).await;
    // On the other, after it was verified and handed out.
    site.until_redirected(&format!("/tool/1.0/{FILE}"), EU, "fra").await;
    site.mirror("fra").put(&format!("tool/1.0/{FILE}"), corrupted(&OLD.into()));
    site.until_redirected(&format!("/tool/1.0/{FILE}"), EU, "sin").await;
    until_named(&site, "1.0", "verification", "fra: tool.zip: wrong_digest").await;
    for mirror in MIRRORS {
        let metric = format!("waypost_verifications_total{{mirror={mirror:?},outcome=\"wrong_digest\"}}");
        assert!(site.metric(&metric).await >= 1.0, "{mirror}");
    }
}

#[tokio::test]
async fn a_missing_signature_is_unsigned() {
    let keys = Keys::new();
    let site = started(&keys).await;
    // Of a file.
    publish(&site, &keys, "1.1", &[(FILE, NEW)]);
    until_named(&site, "1.1", "signatures", "tool.zip: unsigned").await;
    site.until_everywhere("tool", "1.1").await;
    let waiting = site.admin("/v1/releases/tool/1.1?wait=0").await.json();
    assert_eq!(waiting["blocked"], json!(["signatures: tool.zip: unsigned"]));
    assert_announced_is_the_old_one(&site).await;
    // Of a manifest.
    write_manifest(&site, "1.2", &[(FILE, NEW)]);
    until_named(&site, "1.2", "origin", "refused: unsigned").await;
    assert_eq!(refused(&site, "unsigned").await, 1.0);
    assert_eq!(site.get(&format!("/tool/1.2/{FILE}"), EU).await.status, 404);
    let gate = waypost(&site, &["release", "gate", "tool", "1.2"]).await;
    assert_eq!(gate.code, 1, "{gate:?}");
    assert!(gate.out.contains("unsigned") && gate.out.ends_with("does not pass: origin\n"), "{gate:?}");
    let card = site.admin("/v1/products/tool/scorecard").await.json();
    assert_eq!(card["manifests"]["refusals"][0]["reason"], "unsigned", "{card}");
    assert_eq!(card["manifests"]["never_published"], 1);
}

#[tokio::test]
async fn a_signature_for_another_name_is_one_for_another() {
    let keys = Keys::new();
    let site = started(&keys).await;
    // An old file with its good signature, under a new name.
    publish(&site, &keys, "1.1", &[("new.zip", OLD), ("new.zip.minisig", &sign_file(&keys, OLD, FILE))]);
    for check in ["signatures", "verification"] {
        until_named(&site, "1.1", check, "new.zip: signature_for_another").await;
    }
    site.until_everywhere("tool", "1.1").await;
    assert_announced_is_the_old_one(&site).await;
    // A manifest that is signed as another release.
    let manifest = write_manifest(&site, "1.2", &[(FILE, NEW)]);
    sign_manifest(&site, &keys, &manifest, "waypost tool 1.0");
    until_named(&site, "1.2", "origin", "refused: signature_for_another").await;
    assert_eq!(refused(&site, "signature_for_another").await, 1.0);
    assert_eq!(site.get(&format!("/tool/1.2/{FILE}"), EU).await.status, 404);
}

#[tokio::test]
async fn a_lower_sequence_went_back() {
    let keys = Keys::new();
    let site = started(&keys).await;
    let index = |sequence: u64, versions: &[&str]| {
        let manifests: Vec<String> = versions.iter().map(|v| format!("tool/{v}/manifest.json")).collect();
        let index = json!({ "schema": 1, "sequence": sequence, "manifests": manifests });
        site.write_origin("index.json", index.to_string().as_bytes());
        sign_manifest(&site, &keys, "index.json", &format!("waypost index {sequence}"));
    };
    index(7, &["1.0"]);
    site.until("the sequence is 7", async || {
        (site.releases_report().await["origin"]["sequence"] == 7).then_some(())
    })
    .await;
    let metric = "waypost_origin_refused{reason=\"sequence_went_back\"}";
    assert_eq!(site.metric(metric).await, 0.0);
    index(6, &["1.0", "1.1"]);
    until_named(&site, "1.0", "origin", "last look: sequence_went_back").await;
    assert_eq!(site.metric(metric).await, 1.0);
    publish(&site, &keys, "1.1", &[(FILE, NEW), (SIGNATURE, &sign_file(&keys, NEW, FILE))]);
    let looks = async || site.metric("waypost_origin_polls_total{outcome=\"refused\"}").await;
    let so_far = looks().await;
    site.until("three more looks", async || (looks().await >= so_far + 3.0).then_some(())).await;
    assert_eq!(site.get(&format!("/tool/1.1/{FILE}"), EU).await.status, 404);
    assert_announced_is_the_old_one(&site).await;
    // Once the sequence goes on, so does everything else.
    index(8, &["1.0", "1.1"]);
    site.until_channel("tool", "stable", "1.1").await;
    assert_eq!(site.metric(metric).await, 0.0);
}

#[tokio::test]
async fn a_manifest_that_is_edited_after_publication_has_changed() {
    let keys = Keys::new();
    let site = started(&keys).await;
    // With all that belongs to it: the files are on the mirrors and everything is signed anew.
    publish(&site, &keys, "1.0", &[(FILE, NEW), (SIGNATURE, &sign_file(&keys, NEW, FILE))]);
    until_named(&site, "1.0", "origin", "refused: changed_after_publication").await;
    let card = until_named(&site, "1.0", "origin", "tool.zip: was published with").await;
    assert_eq!((&card["product"], &card["version"]), (&json!("tool"), &json!("1.0")));
    assert_eq!(refused(&site, "changed_after_publication").await, 1.0);
    // What was published stays, and so nobody is sent to the new bytes.
    site.until_status(&format!("/tool/stable/{FILE}"), EU, 503).await;
    until_named(&site, "1.0", "verification", "fra: tool.zip: wrong_digest").await;
    assert_eq!(site.get(&format!("/tool/stable/{FILE}.sha256"), EU).await.text()[..64], sha256(OLD));
    assert_eq!(site.metric("waypost_gate_passed{channel=\"stable\",product=\"tool\"}").await, 0.0);
}
