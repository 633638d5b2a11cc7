//! The gate: each check's bad case is made to happen, and seen to change.

#![allow(clippy::unwrap_used, missing_docs)]

#[path = "support/site.rs"]
mod site;

use serde_json::{Value, json};
use site::builder::{started, two_mirrors};
use site::{Behaviour, ReleasePlan, Site};

const OLD: &[(&str, &[u8])] = &[("tool-linux-amd64.tar.gz", b"the old tool")];
const NEW: &[(&str, &[u8])] = &[
    ("tool-linux-amd64.tar.gz", b"the new tool"),
    ("tool-darwin-arm64.tar.gz", b"the same for others"),
    ("tool-linux-amd64.tar.gz.minisig", b"signed"),
    ("tool-darwin-arm64.tar.gz.minisig", b"signed as well"),
    ("tool-linux-amd64.tar.gz.intoto.jsonl", b"built there"),
    ("SHA256SUMS", b""),
];

/// Publishes a release whose manifest is changed before, on these mirrors.
fn publish(
    site: &Site,
    version: &str,
    files: &[(&str, &[u8])],
    mirrors: &[&str],
    change: impl Fn(&mut Value),
) {
    let mut manifest = ReleasePlan::new("tool", version, files, &["stable"]).manifest();
    change(&mut manifest);
    for mirror in mirrors {
        for (name, bytes) in files {
            site.mirror(mirror).put(&format!("tool/{version}/{name}"), bytes.to_vec());
        }
    }
    site.write_origin(&format!("tool/{version}/manifest.json"), manifest.to_string().as_bytes());
}

async fn report(site: &Site, version: &str) -> Value {
    site.admin(&format!("/v1/releases/tool/{version}/gate")).await.json()
}

fn find(report: &Value, check: &str) -> Option<Value> {
    report["checks"].as_array()?.iter().find(|line| line["check"] == check).cloned()
}

/// Waits until a check comes to this; gives its line.
async fn until(site: &Site, version: &str, check: &str, ok: Option<bool>) -> Value {
    site.until(&format!("{check} of {version} is {ok:?}"), async || {
        find(&report(site, version).await, check).filter(|line| line["ok"] == json!(ok))
    })
    .await
}

#[tokio::test]
async fn what_a_release_expects_and_lacks_is_listed_until_it_is_there() {
    let site = started(two_mirrors(OLD)).await;
    let expects = |manifest: &mut Value| {
        manifest["expects"] =
            json!({ "platforms": ["linux_x86_64", "macos-aarch64"], "sidecars": [".minisig"] });
    };
    publish(&site, "2.0", &NEW[..1], &["fra"], expects);
    let line = until(&site, "2.0", "completeness", Some(false)).await;
    assert_eq!(line["missing"], json!(["platform macos-aarch64", "tool-linux-amd64.tar.gz.minisig"]));
    assert_eq!((&line["mode"], &line["missing_count"]), (&json!("gate"), &json!(2)));
    let ratio = "waypost_release_completeness_ratio{channel=\"stable\",product=\"tool\"}";
    assert!((site.metric(ratio).await - 1.0 / 3.0).abs() < 1e-9);
    // Every mirror has what there is, and still no channel moves to it.
    publish(&site, "2.0", &NEW[..1], &["sin"], expects);
    site.until_everywhere("tool", "2.0").await;
    let waiting = site.admin("/v1/releases/tool/2.0?wait=0").await;
    assert_eq!(waiting.status, 504, "{}", waiting.text());
    let blocked = "completeness: platform macos-aarch64, tool-linux-amd64.tar.gz.minisig";
    assert_eq!(waiting.json()["blocked"], json!([blocked]));
    // The rest is added; what goes with a payload needs nothing of its own.
    publish(&site, "2.0", NEW, &["fra", "sin"], expects);
    let line = until(&site, "2.0", "completeness", Some(true)).await;
    assert_eq!(
        (&line["missing"], &line["summary"]),
        (&json!([]), &json!("4 of 4 expected platforms and sidecars"))
    );
    assert_eq!(site.metric(ratio).await, 1.0);
    site.until_channel("tool", "stable", "2.0").await;
}

#[tokio::test]
async fn metadata_that_lack_or_contradict_something_are_listed() {
    let site = started(two_mirrors(OLD)).await;
    let unlabelled = |manifest: &mut Value| {
        let asset = &mut manifest["assets"][0];
        asset.as_object_mut().unwrap().remove("platform");
    };
    publish(&site, "2.0-rc.1", &NEW[..2], &["fra"], unlabelled);
    let line = until(&site, "2.0-rc.1", "metadata", Some(false)).await;
    let missing = json!([
        "published_at",
        "notes_url",
        "channel stable, because 2.0-rc.1 is a pre-release",
        "platform of tool-linux-amd64.tar.gz"
    ]);
    assert_eq!(line["missing"], missing);
    publish(&site, "2.0-rc.1", &NEW[..2], &["fra"], |manifest| {
        manifest["channels"] = json!(["beta"]);
        manifest["published_at"] = json!("2026-11-20T12:00:00Z");
        manifest["notes_url"] = json!("https://example.com/notes");
    });
    until(&site, "2.0-rc.1", "metadata", Some(true)).await;
}

#[tokio::test]
async fn files_without_signature_or_provenance_are_listed() {
    let site = started(two_mirrors(OLD)).await;
    publish(&site, "2.0", NEW, &["fra", "sin"], |_| {});
    until(&site, "2.0", "signatures", Some(true)).await;
    let line = until(&site, "2.0", "provenance", Some(false)).await;
    assert_eq!(line["missing"], json!(["tool-darwin-arm64.tar.gz"]));
    publish(&site, "2.1", &NEW[..3], &["fra", "sin"], |manifest| {
        manifest["assets"][0]["provenance"] = json!("https://example.com/attestations/1");
        manifest["assets"][1]["provenance"] = json!("https://example.com/attestations/2");
    });
    until(&site, "2.1", "provenance", Some(true)).await;
    let line = until(&site, "2.1", "signatures", Some(false)).await;
    assert_eq!(line["missing"], json!(["tool-darwin-arm64.tar.gz: unsigned"]));
    let labels = "{channel=\"stable\",product=\"tool\"}";
    assert_eq!(site.metric(&format!("waypost_signature_coverage_ratio{labels}")).await, 0.5);
    assert_eq!(site.metric(&format!("waypost_provenance_coverage_ratio{labels}")).await, 1.0);
    assert_eq!(report(&site, "2.1").await["passed"], true, "neither gates, unless somebody says so");
}

#[tokio::test]
async fn one_wrong_copy_fails_the_verification_and_names_mirror_and_file() {
    let site = started(two_mirrors(OLD).config("[[channel]]\nname = \"beta\"\nready = \"50%\"\n")).await;
    let beta = |manifest: &mut Value| manifest["channels"] = json!(["beta"]);
    let file = "tool/2.0/tool-linux-amd64.tar.gz";
    for mirror in ["fra", "sin"] {
        site.mirror(mirror).behave(file, Behaviour::Status(503));
    }
    publish(&site, "2.0", &NEW[..1], &["fra", "sin"], beta);
    let line = until(&site, "2.0", "verification", None).await;
    assert!(line["summary"].as_str().unwrap().contains("no mirror has been hashed whole yet"), "{line}");
    site.mirror("fra").recover();
    site.mirror("sin").behave(file, Behaviour::Corrupt);
    let line = until(&site, "2.0", "verification", Some(false)).await;
    assert_eq!(line["missing"], json!(["sin: tool-linux-amd64.tar.gz: wrong_digest"]));
    site.until_channel("tool", "beta", "2.0").await;
    assert_eq!(report(&site, "2.0").await["passed"], false, "a pipeline should know");
    until(&site, "2.0", "mirrors", Some(true)).await;
    site.mirror("sin").recover();
    site.order("sin", "verify").await;
    until(&site, "2.0", "verification", Some(true)).await;
    assert_eq!(report(&site, "2.0").await["passed"], true);
}

#[tokio::test]
async fn a_channel_whose_release_before_is_gone_cannot_be_rolled_back() {
    let site = started(two_mirrors(OLD)).await;
    let line = until(&site, "1.0", "rollback", None).await;
    assert_eq!(line["summary"], "there is nothing to fall back to yet");
    site.publish("tool", "2.0", NEW, &["stable"]);
    site.until_channel("tool", "stable", "2.0").await;
    let line = until(&site, "2.0", "rollback", Some(true)).await;
    assert_eq!(line["summary"], "can fall back: stable to 1.0");
    let metric = "waypost_rollback_ready{channel=\"stable\",product=\"tool\"}";
    assert_eq!(site.metric(metric).await, 1.0);
    for mirror in ["fra", "sin"] {
        site.mirror(mirror).remove("tool/1.0/tool-linux-amd64.tar.gz");
    }
    let line = until(&site, "2.0", "rollback", Some(false)).await;
    assert_eq!(line["missing"], json!(["stable: 1.0 is whole on no mirror in rotation"]));
    assert_eq!(site.metric(metric).await, 0.0);
}

#[tokio::test]
async fn what_the_origin_says_now_counts() {
    let site = started(two_mirrors(OLD)).await;
    until(&site, "1.0", "origin", Some(true)).await;
    let changed: &[(&str, &[u8])] = &[("tool-linux-amd64.tar.gz", b"not the same")];
    publish(&site, "1.0", changed, &[], |_| {});
    let line = until(&site, "1.0", "origin", Some(false)).await;
    assert!(line["summary"].as_str().unwrap().contains("changed_after_publication"), "{line}");
    assert!(line["missing"][0].as_str().unwrap().contains("tool-linux-amd64.tar.gz"), "{line}");
    assert_eq!(report(&site, "1.0").await["passed"], false);
    publish(&site, "1.0", OLD, &[], |_| {});
    until(&site, "1.0", "origin", Some(true)).await;
    site.break_origin();
    let line = until(&site, "1.0", "origin", Some(false)).await;
    assert!(line["summary"].as_str().unwrap().contains("unreadable"), "{line}");
    site.restore_origin();
    until(&site, "1.0", "origin", Some(true)).await;
}

#[tokio::test]
async fn the_configuration_says_what_gates_for_whom_and_who_is_asked() {
    let gates = "[[gate]]\ncheck = \"signatures\"\nmode = \"gate\"\nowner = \"release-team\"\nproducts = [\"tool\"]\n\
                 [[gate]]\ncheck = \"mirrors\"\nmode = \"informational\"\n";
    let site = two_mirrors(OLD).release("other", "1.0", OLD, &["stable"]).config(gates).start().await;
    site.until_everywhere("tool", "1.0").await;
    site.until_channel("other", "stable", "1.0").await;
    let tool = report(&site, "1.0").await;
    let line = find(&tool, "signatures").unwrap();
    assert_eq!((&line["mode"], &line["owner"]), (&json!("gate"), &json!("release-team")));
    assert_eq!((&line["ok"], &tool["passed"]), (&json!(false), &json!(false)));
    assert_eq!(find(&tool, "mirrors").unwrap()["mode"], "informational");
    let waiting = site.admin("/v1/releases/tool/1.0?wait=0").await.json();
    assert_eq!(waiting["blocked"], json!(["signatures: tool-linux-amd64.tar.gz: unsigned"]));
    assert_eq!(
        waiting["channels_behind"],
        json!(["stable"]),
        "a check that gates the release gates its channels"
    );
    let other = site.admin("/v1/releases/other/v1.0/gate").await.json();
    assert_eq!(find(&other, "signatures").unwrap()["mode"], "informational");
    assert_eq!(other["passed"], true, "{other}");
    assert_eq!(other["checks"].as_array().unwrap().len(), 11);
    for unknown in
        ["/v1/releases/tool/9.9/gate", "/v1/releases/tool/stable/gate", "/v1/releases/none/1.0/gate"]
    {
        assert_eq!(site.admin(unknown).await.status, 404, "{unknown}");
    }
}

#[tokio::test]
async fn the_scorecard_shows_a_line_of_releases() {
    let site = started(two_mirrors(OLD)).await;
    publish(&site, "2.0", NEW, &["fra", "sin"], |manifest| manifest["pipeline"] = json!("ci/7"));
    site.until_channel("tool", "stable", "2.0").await;
    publish(&site, "3.0", NEW, &[], |manifest| {
        manifest["expects"] = json!({ "platforms": ["windows-amd64"] })
    });
    until(&site, "3.0", "completeness", Some(false)).await;
    publish(&site, "2.0", OLD, &[], |manifest| manifest["pipeline"] = json!("ci/7"));
    until(&site, "2.0", "origin", Some(false)).await;
    site.write_origin("tool/4.0/manifest.json", b"{");
    let card = site.until("4.0 is refused", async || {
        let card = site.admin("/v1/products/tool/scorecard").await.json();
        (card["manifests"]["refused"] == 2).then_some(card)
    });
    let card = card.await;
    let versions: Vec<&Value> =
        card["releases"].as_array().unwrap().iter().map(|line| &line["version"]).collect();
    assert_eq!(versions, ["3.0", "2.0", "1.0"], "the newest first");
    let [newest, middle, _] = card["releases"].as_array().unwrap().as_slice() else { panic!("{card}") };
    assert!(newest["failed"].as_array().unwrap().contains(&json!("completeness")), "{newest}");
    assert!(middle["failed"].as_array().unwrap().contains(&json!("origin")), "{middle}");
    assert!(middle["t100_seconds"].is_f64() && newest["t100_seconds"].is_null(), "{card}");
    assert_eq!(middle["signature_coverage"], 1.0);
    let manifests = &card["manifests"];
    assert_eq!((&manifests["accepted"], &manifests["success"]), (&json!(3), &json!(0.6)));
    let pipeline = json!({ "pipeline": "ci/7", "accepted": 1, "refused": 1, "success": 0.5 });
    assert_eq!(manifests["pipelines"], json!([pipeline]));
    assert!(card["propagation"]["median_seconds"].is_f64(), "{card}");
    let channel = &card["channels"][0];
    assert_eq!((&channel["rollback_to"], &channel["rollback_ready"]), (&json!("1.0"), &json!(true)));
    let one = site.admin("/v1/products/tool/scorecard?releases=1").await.json();
    assert_eq!((one["releases"].as_array().unwrap().len(), &one["releases_total"]), (1, &json!(3)));
    assert_eq!(site.admin("/v1/products/tool/scorecard?releases=all").await.status, 200);
    assert_eq!(site.admin("/v1/products/tool/scorecard?releases=x").await.status, 400);
    assert_eq!(site.admin("/v1/products/none/scorecard").await.status, 404);
}

#[tokio::test]
async fn copies_of_withdrawn_releases_are_counted() {
    let site = started(two_mirrors(OLD)).await;
    let metric = "waypost_unwanted_copies{mirror=\"fra\",reason=\"withdrawn\"}";
    assert_eq!(site.metric(metric).await, 0.0);
    let answer = site.post("/v1/releases/tool/1.0/withdraw", &json!({ "reason": "bad" })).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(site.metric(metric).await, 1.0);
    let report = report(&site, "1.0").await;
    assert_eq!(
        (&report["passed"], &find(&report, "withdrawn").unwrap()["ok"]),
        (&json!(false), &json!(false))
    );
}

#[tokio::test]
async fn a_signature_for_another_name_keeps_channels_away_and_is_named() {
    let key = minisign::KeyPair::generate_unencrypted_keypair().unwrap();
    let sign = |bytes: &[u8], comment: &str| {
        minisign::sign(None, &key.sk, bytes, Some(comment), None).unwrap().into_string().into_bytes()
    };
    let sign_file = |bytes: &[u8], name: &str| sign(bytes, &format!("timestamp:1\tfile:{name}\thashed"));
    let tool: &[u8] = b"the new tool";
    let (good, renamed) = (sign_file(tool, "tool.zip"), sign_file(tool, "tool-1.0.zip"));
    fn files<'a>(tool: &'a [u8], signature: &'a [u8]) -> [(&'static str, &'a [u8]); 2] {
        [("tool.zip", tool), ("tool.zip.minisig", signature)]
    }
    let builder = two_mirrors(OLD).origin(&format!("trusted_keys = [{:?}]", key.pk.to_base64()));
    let mut site = builder.lay_out().await;
    let publish = |site: &Site, version: &str, signature: &[u8]| {
        let manifest =
            ReleasePlan::new("tool", version, &files(tool, signature), &["stable"]).manifest().to_string();
        for mirror in ["fra", "sin"] {
            for (name, bytes) in files(tool, signature) {
                site.mirror(mirror).put(&format!("tool/{version}/{name}"), bytes.to_vec());
            }
        }
        let path = format!("tool/{version}/manifest.json");
        let signature = sign(manifest.as_bytes(), &format!("waypost tool {version}"));
        site.write_origin(&format!("{path}.minisig"), &signature);
        site.write_origin(&path, manifest.as_bytes());
    };
    publish(&site, "1.1", &good);
    publish(&site, "1.2", &renamed);
    site.run().await.unwrap();
    site.until_channel("tool", "stable", "1.1").await;
    until(&site, "1.1", "signatures", Some(true)).await;
    until(&site, "1.1", "verification", Some(true)).await;
    let missing = json!(["tool.zip: signature_for_another"]);
    for check in ["signatures", "verification"] {
        assert_eq!(until(&site, "1.2", check, Some(false)).await["missing"], missing, "{check}");
    }
    site.until_everywhere("tool", "1.2").await;
    let waiting = site.admin("/v1/releases/tool/1.2?wait=0").await.json();
    assert_eq!(waiting["blocked"], json!(["verification: tool.zip: signature_for_another"]));
    assert_eq!(waiting["channels_behind"], json!(["stable"]));
    // 1.0 was never signed, so it was never believed.
    let unsigned = site.admin("/v1/releases/tool/1.0?wait=15").await;
    assert_eq!(unsigned.status, 409, "{}", unsigned.text());
    assert!(unsigned.text().contains("refused: unsigned"), "{}", unsigned.text());
    assert_eq!(site.metric("waypost_manifests_refused{reason=\"unsigned\"}").await, 1.0);
}

#[tokio::test]
async fn published_checksums_that_contradict_the_manifest_keep_channels_away() {
    let site = started(two_mirrors(OLD)).await;
    let wrong = format!("{}  tool-linux-amd64.tar.gz\n", "ab".repeat(32));
    let files: &[(&str, &[u8])] = &[NEW[0], ("SHA256SUMS", wrong.as_bytes())];
    publish(&site, "2.0", files, &["fra", "sin"], |_| {});
    let line = until(&site, "2.0", "hashes", Some(false)).await;
    assert!(line["missing"][0].as_str().unwrap().starts_with("SHA256SUMS: "), "{line}");
    assert_eq!((&line["missing_count"], &line["mode"]), (&json!(1), &json!("gate")));
    site.until_everywhere("tool", "2.0").await;
    let waiting = site.admin("/v1/releases/tool/2.0?wait=0").await;
    assert_eq!((waiting.status.as_u16(), &waiting.json()["channels_behind"]), (504, &json!(["stable"])));
}
