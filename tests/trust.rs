//! The origin is believed only as far as it is signed, and never goes back by itself.

#![allow(clippy::unwrap_used, missing_docs)]

#[path = "trust/keys.rs"]
mod keys;
#[path = "trust/poll.rs"]
mod poll;
#[path = "support/process.rs"]
mod process;
#[path = "trust/sequence.rs"]
mod sequence;
#[path = "support/site.rs"]
mod site;

use http::Method;
use keys::{Keys, sign_manifest};
use serde_json::{Value, json};
use site::{Builder, EU, Mirror, Site, own_address, sha256};

const TOOL: &[(&str, &[u8])] = &[("tool", b"the tool")];
const NEW: &[(&str, &[u8])] = &[("tool", b"the new tool")];
const OLD_MANIFEST: &str = "tool/1.0/manifest.json";
const MANIFEST: &str = "tool/1.1/manifest.json";
const SIGNATURE: &str = "tool/1.1/manifest.json.minisig";

/// One mirror, and an origin that has to be signed by these keys.
fn trusting(keys: &[&Keys]) -> Builder {
    let list: Vec<String> = keys.iter().map(|keys| keys.public()).collect();
    Site::builder().mirror("fra", |m| m.region("eu")).origin(&format!("trusted_keys = {list:?}"))
}

/// A site with `tool 1.0` on `stable`, signed.
async fn started(keys: &Keys) -> Site {
    let mut site = trusting(&[keys]).release("tool", "1.0", TOOL, &["stable"]).lay_out().await;
    sign_manifest(&site, keys, OLD_MANIFEST, "waypost tool 1.0");
    site.run().await.unwrap();
    site.until_channel("tool", "stable", "1.0").await;
    site
}

/// Waits until the one manifest that is refused is so for this reason; its detail.
async fn until_refused(site: &Site, manifest: &str, reason: &str) -> String {
    site.until(&format!("{manifest} is refused as {reason}"), async || {
        let refused = site.releases_report().await["refused"].clone();
        let is_it = refused[0]["manifest"] == manifest && refused[0]["reason"] == reason;
        is_it.then(|| refused[0]["detail"].as_str().unwrap().to_owned())
    })
    .await
}

/// Waits until the origin as a whole is refused for this reason; in words.
async fn until_disbelieved(site: &Site, reason: &str) -> String {
    site.until(&format!("the origin is refused as {reason}"), async || {
        let origin = site.releases_report().await["origin"].clone();
        (origin["reason"] == reason).then(|| origin["error"].as_str().unwrap().to_owned())
    })
    .await
}

/// Waits until the origin is believed, and nothing in it is refused.
async fn until_believed(site: &Site) -> Value {
    site.until("the origin is believed", async || {
        let report = site.releases_report().await;
        let is_so = report["origin"]["reason"].is_null() && report["refused"] == json!([]);
        is_so.then_some(report)
    })
    .await
}

#[tokio::test]
async fn each_way_to_be_badly_signed_is_refused_with_its_reason_and_the_published_state_stays() {
    let (keys, stranger) = (Keys::new(), Keys::new());
    let site = started(&keys).await;
    site.publish("tool", "1.1", NEW, &["stable"]);
    let detail = until_refused(&site, MANIFEST, "unsigned").await;
    assert!(detail.contains("manifest.json.minisig"), "{detail}");

    let bytes = std::fs::read(site.origin().join(MANIFEST)).unwrap();
    let old = std::fs::read(site.origin().join(format!("{OLD_MANIFEST}.minisig"))).unwrap();
    let good = "waypost tool 1.1";
    let huge = vec![b'x'; 65 * 1024];
    let tampered = String::from_utf8(keys.sign(&bytes, "waypost tool 1.0")).unwrap().replace("1.0", "1.1");
    for (signature, reason, said) in [
        (stranger.sign(&bytes, good), "bad_signature", "trusted_keys"),
        (old, "bad_signature", "of these bytes"),
        (keys.sign(b"{}", good), "bad_signature", "of these bytes"),
        (tampered.into_bytes(), "bad_signature", "of these bytes"),
        (Vec::new(), "bad_signature", "no minisign signature"),
        (b"\0\xff\r\n\r\n\r\n\r\n".to_vec(), "bad_signature", "no minisign signature"),
        (huge, "unreadable", "more than 65536 bytes"),
        (keys.sign(&bytes, "waypost tool 1.0"), "signature_for_another", "waypost tool 1.0"),
        (keys.sign(&bytes, "waypost another 1.1"), "signature_for_another", "waypost another 1.1"),
        (keys.sign(&bytes, "timestamp:1555779966"), "signature_for_another", "timestamp"),
    ] {
        site.write_origin(SIGNATURE, &signature);
        site.until(&format!("{reason}: {said}"), async || {
            let detail = until_refused(&site, MANIFEST, reason).await;
            detail.contains(said).then_some(())
        })
        .await;
    }
    assert_eq!(site.get("/tool/1.1/tool", EU).await.status, 404);
    assert_eq!(site.get("/tool/stable/tool", EU).await.status, 302);

    // The manifest itself does not change from here to its being published.
    site.write_origin(SIGNATURE, &keys.sign(&bytes, good));
    site.until_channel("tool", "stable", "1.1").await;
    until_believed(&site).await;
}

#[tokio::test]
async fn a_signed_release_that_is_copied_to_another_version_is_refused() {
    let keys = Keys::new();
    let site = started(&keys).await;
    for (from, to) in [(OLD_MANIFEST, MANIFEST), ("tool/1.0/manifest.json.minisig", SIGNATURE)] {
        site.write_origin(to, &std::fs::read(site.origin().join(from)).unwrap());
    }
    until_refused(&site, MANIFEST, "wrong_place").await;
}

#[tokio::test]
async fn any_of_the_keys_will_do_and_so_does_a_version_with_a_v() {
    let (one, two) = (Keys::new(), Keys::new());
    let mut site = trusting(&[&one, &two])
        .release("tool", "1.0", TOOL, &["stable"])
        .release("tool", "v1.1", NEW, &["stable"])
        .lay_out()
        .await;
    sign_manifest(&site, &one, OLD_MANIFEST, "waypost tool v1.0");
    sign_manifest(&site, &two, "tool/v1.1/manifest.json", "waypost tool 1.1");
    site.run().await.unwrap();
    site.until_channel("tool", "stable", "v1.1").await;
    until_believed(&site).await;
}

#[tokio::test]
async fn an_edited_manifest_is_refused_however_well_it_is_signed_and_accepted_when_it_is_put_back() {
    let keys = Keys::new();
    let site = started(&keys).await;
    let before = std::fs::read(site.origin().join(OLD_MANIFEST)).unwrap();
    site.publish_to("tool", "1.0", NEW, &["stable"], |_| false);
    sign_manifest(&site, &keys, OLD_MANIFEST, "waypost tool 1.0");
    let detail = until_refused(&site, OLD_MANIFEST, "changed_after_publication").await;
    assert!(detail.contains("tool: was published with"), "{detail}");
    // It is looked at again and again, and refused each time.
    let looks = async || site.metric("waypost_origin_polls_total{outcome=\"ok\"}").await;
    let so_far = looks().await;
    site.until("four more looks", async || (looks().await >= so_far + 4.0).then_some(())).await;
    until_refused(&site, OLD_MANIFEST, "changed_after_publication").await;
    assert!(site.get("/tool/1.0/tool.sha256", EU).await.text().starts_with(&sha256(TOOL[0].1)));

    site.write_origin(OLD_MANIFEST, &before);
    until_refused(&site, OLD_MANIFEST, "bad_signature").await;
    sign_manifest(&site, &keys, OLD_MANIFEST, "waypost tool 1.0");
    until_believed(&site).await;
}

#[tokio::test]
async fn what_is_believed_is_not_asked_for_again_and_what_is_refused_is() {
    let keys = Keys::new();
    let origin = Mirror::start(own_address(), None).await;
    let mut site = trusting(&[&keys])
        .origin(&format!("url = {:?}", origin.url()))
        .release("tool", "1.0", TOOL, &["stable"])
        .release("tool", "1.1", NEW, &["stable"])
        .lay_out()
        .await;
    let manifest = |path| std::fs::read(site.origin().join(path)).unwrap();
    let (old, new) = (manifest(OLD_MANIFEST), manifest(MANIFEST));
    let index = json!({ "schema": 1, "sequence": 1,
        "manifests": [{ "path": OLD_MANIFEST, "sha256": sha256(&old) }, { "path": MANIFEST, "sha256": sha256(&new) }] });
    origin.put("index.json", index.to_string());
    origin.put("index.json.minisig", keys.sign(index.to_string().as_bytes(), "waypost index 1"));
    origin.put("tool/1.0/manifest.json.minisig", keys.sign(&old, "waypost tool 1.0"));
    origin.put(OLD_MANIFEST, old);
    origin.put(MANIFEST, new.clone());
    site.run().await.unwrap();
    site.until_channel("tool", "stable", "1.0").await;
    until_refused(&site, MANIFEST, "unsigned").await;
    let gets = |path: &str| origin.whole_gets(path);
    let (indexes, refused) = (gets("index.json"), gets(SIGNATURE));
    site.until("three more looks", async || (gets("index.json") >= indexes + 3).then_some(())).await;
    assert_eq!((gets(OLD_MANIFEST), gets("tool/1.0/manifest.json.minisig")), (1, 1));
    assert!(gets(SIGNATURE) > refused, "its signature may have come");

    // As a pipeline may write them: the manifest, which is there already, and a moment later its signature.
    origin.put(SIGNATURE, keys.sign(&new, "waypost tool 1.1"));
    site.until_channel("tool", "stable", "1.1").await;
    let (manifests, indexes) = (gets(MANIFEST), gets("index.json"));
    site.until("three more looks", async || (gets("index.json") >= indexes + 3).then_some(())).await;
    assert_eq!(gets(MANIFEST), manifests);
}

#[tokio::test]
async fn keys_that_are_configured_later_leave_what_is_published_and_refuse_what_comes() {
    let keys = Keys::new();
    let mut site = Site::builder()
        .mirror("fra", |m| m.region("eu"))
        .release("tool", "1.0", TOOL, &["stable"])
        .start()
        .await;
    site.until_channel("tool", "stable", "1.0").await;
    site.plan.origin.push(format!("trusted_keys = [{:?}]", keys.public()));
    site.write_config();
    site.reload();
    until_refused(&site, OLD_MANIFEST, "unsigned").await;
    assert_eq!(site.get("/tool/stable/tool", EU).await.status, 302, "it was believed when it was published");
    sign_manifest(&site, &keys, OLD_MANIFEST, "waypost tool 1.0");
    until_believed(&site).await;
}

/// What a release engineer types, with the program from Debian.
#[tokio::test]
async fn a_release_that_is_signed_with_the_minisign_program_is_believed() {
    let folder = tempfile::tempdir().unwrap();
    let minisign = async |words: &str| {
        let words: Vec<&str> = words.split('|').collect();
        process::run("minisign", &words, folder.path()).await.ok();
    };
    minisign("-G|-W|-p|release.pub|-s|release.key").await;
    let public = std::fs::read_to_string(folder.path().join("release.pub")).unwrap();
    let key = public.lines().nth(1).unwrap().to_owned();
    let mut site = Site::builder()
        .mirror("fra", |m| m.region("eu"))
        .origin(&format!("trusted_keys = [{key:?}]"))
        .release("tool", "1.0", TOOL, &["stable"])
        .release("tool", "1.1", NEW, &["beta"])
        .lay_out()
        .await;
    let index = json!({ "schema": 1, "sequence": 7, "manifests": [OLD_MANIFEST, MANIFEST] }).to_string();
    site.write_origin("index.json", index.as_bytes());
    let origin = site.origin().display().to_string();
    minisign(&format!("-S|-s|release.key|-m|{origin}/{OLD_MANIFEST}|-t|waypost tool 1.0")).await;
    // The legacy form.
    minisign(&format!("-S|-l|-s|release.key|-m|{origin}/{MANIFEST}|-t|waypost tool 1.1")).await;
    minisign(&format!("-S|-s|release.key|-m|{origin}/index.json|-t|waypost index 7")).await;
    site.run().await.unwrap();
    site.until_channel("tool", "stable", "1.0").await;
    site.until_channel("tool", "beta", "1.1").await;
    assert_eq!(until_believed(&site).await["origin"]["sequence"], 7);
    let asked = site.local(Method::POST, "/v1/origin/poll").await.json();
    assert_eq!((&asked["outcome"], &asked["manifests"]), (&json!("ok"), &json!(2)), "{asked}");
}
