//! Signatures of assets and published checksums: verified while files go by, and told apart.

#![allow(clippy::unwrap_used, missing_docs)]

#[path = "support/site.rs"]
mod site;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use data_encoding::BASE64;
use minisign::KeyPair;
use serde_json::Value;
use site::builder::Builder;
use site::{Behaviour, EU, Site, sha256};
use waypost::model::ProductName;
use waypost::workers::report::Topic;

const TOOL: &[u8] = b"the tool, byte for byte";

fn key() -> KeyPair {
    KeyPair::generate_unencrypted_keypair().unwrap()
}

/// A signature with this trusted comment.
fn sign(key: &KeyPair, bytes: &[u8], comment: &str) -> Vec<u8> {
    minisign::sign(None, &key.sk, bytes, Some(comment), None).unwrap().into_string().into_bytes()
}

/// As `minisign -Sm NAME` writes it.
fn sign_file(key: &KeyPair, bytes: &[u8], name: &str) -> Vec<u8> {
    sign(key, bytes, &format!("timestamp:1800000000\tfile:{name}\thashed"))
}

/// A key that signs files as they are, without hashing them first: the first minisign did.
struct OldKey(Ed25519KeyPair);

impl OldKey {
    const ID: &[u8] = b"old key.";

    fn new() -> Self {
        Self(Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap())
    }

    fn public(&self) -> String {
        BASE64.encode(&[b"Ed", Self::ID, self.0.public_key().as_ref()].concat())
    }

    fn sign(&self, bytes: &[u8], name: &str) -> Vec<u8> {
        let comment = format!("timestamp:1500000000\tfile:{name}");
        let signature = self.0.sign(bytes);
        let global = self.0.sign(&[signature.as_ref(), comment.as_bytes()].concat());
        let line = BASE64.encode(&[b"Ed", Self::ID, signature.as_ref()].concat());
        let global = BASE64.encode(global.as_ref());
        format!("untrusted comment: old\n{line}\ntrusted comment: {comment}\n{global}\n").into_bytes()
    }
}

fn trust(keys: &[String]) -> String {
    format!("trusted_keys = {keys:?}")
}

/// The manifest is signed as well, because with trusted keys unsigned ones are refused.
async fn run(builder: Builder, key: &KeyPair) -> Site {
    let mut site = builder.lay_out().await;
    let manifest = std::fs::read(site.origin().join("tool/1.8.2/manifest.json")).unwrap();
    let signature = sign(key, &manifest, "waypost tool 1.8.2");
    site.write_origin("tool/1.8.2/manifest.json.minisig", &signature);
    site.run().await.unwrap();
    site
}

async fn files(site: &Site) -> Vec<Value> {
    let topic = Topic::Release(ProductName::new("tool").unwrap(), "1.8.2".into());
    site.report(topic).await["files"].as_array().cloned().unwrap_or_default()
}

async fn file(site: &Site, name: &str) -> Value {
    files(site).await.into_iter().find(|file| file["name"] == name).unwrap_or(Value::Null)
}

async fn until_signature(site: &Site, name: &str, state: &str) {
    let what = format!("the signature of {name} is {state}");
    site.until(&what, async || (file(site, name).await["signature"] == state).then_some(())).await;
}

#[tokio::test]
async fn every_signature_is_told_for_what_it_is_worth() {
    let (key, other) = (key(), key());
    let old = OldKey::new();
    let garbage = b"no signature".to_vec();
    let table: [(&str, Option<Vec<u8>>, &str); 10] = [
        ("good.tar.gz", Some(sign_file(&key, TOOL, "good.tar.gz")), "good"),
        ("tree/good.bin", Some(sign_file(&key, TOOL, "good.bin")), "good"),
        ("tree/whole.bin", Some(sign_file(&key, TOOL, "tree/whole.bin")), "good"),
        ("old.zip", Some(old.sign(TOOL, "old.zip")), "good"),
        ("old-other-bytes.zip", Some(old.sign(b"other", "old-other-bytes.zip")), "bad_signature"),
        ("other-bytes.tar.gz", Some(sign_file(&key, b"other", "other-bytes.tar.gz")), "bad_signature"),
        ("other-key.tar.gz", Some(sign_file(&other, TOOL, "other-key.tar.gz")), "bad_signature"),
        ("renamed-2.0.zip", Some(sign_file(&key, TOOL, "renamed-1.0.zip")), "signature_for_another"),
        ("nameless.zip", Some(sign(&key, TOOL, "timestamp:1 nameless.zip")), "signature_for_another"),
        ("garbage.zip", Some(garbage), "unreadable"),
    ];
    let mut assets = vec![("unsigned.zip".to_owned(), TOOL.to_vec())];
    for (name, sidecar, _) in &table {
        assets.push(((*name).to_owned(), TOOL.to_vec()));
        assets.extend(sidecar.iter().map(|sidecar| (format!("{name}.minisig"), sidecar.clone())));
    }
    let assets: Vec<_> = assets.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())).collect();
    let builder = Site::builder()
        .mirror("fra", |m| m.region("eu"))
        .origin(&trust(&[key.pk.to_base64(), old.public()]))
        .release("tool", "1.8.2", &assets, &["beta"]);
    let mut site = run(builder, &key).await;
    // Bytes that are right are right, whoever signed them.
    site.until_everywhere("tool", "1.8.2").await;
    let all = table.iter().map(|(name, _, state)| (*name, *state)).chain([("unsigned.zip", "unsigned")]);
    for (name, state) in all.clone() {
        until_signature(&site, name, state).await;
    }
    // Neither a restart nor another manifest makes anybody look again.
    let looks = |site: &Site| {
        table
            .iter()
            .map(|(name, ..)| site.mirror("fra").whole_gets(&format!("tool/1.8.2/{name}")))
            .sum::<usize>()
    };
    let before = looks(&site);
    site.restart().await;
    site.until_redirected("/tool/1.8.2/good.tar.gz", EU, "fra").await;
    for (name, state) in all {
        assert_eq!(file(&site, name).await["signature"], state, "{name}");
    }
    assert_eq!(looks(&site), before);
    // With another key more, what it signed is good.
    let keys = [key.pk.to_base64(), old.public(), other.pk.to_base64()];
    site.plan.origin = vec![trust(&keys)];
    site.write_config();
    site.reload();
    until_signature(&site, "other-key.tar.gz", "good").await;
    until_signature(&site, "good.tar.gz", "good").await;
    until_signature(&site, "renamed-2.0.zip", "signature_for_another").await;
    // A key that is not trusted any more vouches for nothing.
    site.plan.origin = vec![trust(&[other.pk.to_base64()])];
    site.write_config();
    site.reload();
    until_signature(&site, "good.tar.gz", "bad_signature").await;
    until_signature(&site, "other-key.tar.gz", "good").await;
}

#[tokio::test]
async fn a_sidecar_that_is_not_the_published_one_decides_nothing() {
    for behaviour in [Behaviour::Corrupt, Behaviour::Status(404), Behaviour::EndlessBody] {
        let key = key();
        let sidecar = sign_file(&key, TOOL, "tool.zip");
        let assets: [(&str, &[u8]); 2] = [("tool.zip", TOOL), ("tool.zip.minisig", &sidecar)];
        let builder = Site::builder()
            .mirror("fra", |m| m.region("eu"))
            .origin(&trust(&[key.pk.to_base64()]))
            .release("tool", "1.8.2", &assets, &["beta"])
            .behave("fra", "tool/1.8.2/tool.zip.minisig", behaviour);
        let site = run(builder, &key).await;
        site.until_redirected("/tool/1.8.2/tool.zip", EU, "fra").await;
        site.until_mirror("fra", "has a sidecar in trouble", |m| {
            m["releases"][0]["trouble"][0]["asset"] == "tool.zip.minisig"
        })
        .await;
        assert_eq!(file(&site, "tool.zip").await["signature"], "unchecked");
        site.mirror("fra").recover();
        until_signature(&site, "tool.zip", "good").await;
    }
}

#[tokio::test]
async fn a_channel_waits_for_a_sidecar_that_comes_after_its_file_and_no_longer_whatever_the_budget() {
    let key = key();
    let sidecar = sign_file(&key, TOOL, "tool.zip");
    let assets: [(&str, &[u8]); 2] = [("tool.zip", TOOL), ("tool.zip.minisig", &sidecar)];
    let builder = Site::builder()
        .mirror("fra", |m| m.region("eu").lacks("tool/1.8.2/tool.zip.minisig"))
        .origin(&trust(&[key.pk.to_base64()]))
        .config("[verify]\nbudget = \"0B\"\n")
        .release("tool", "1.8.2", &assets, &["stable"]);
    let site = run(builder, &key).await;
    site.until_redirected("/tool/1.8.2/tool.zip", EU, "fra").await;
    site.until_copies("fra", "missing", 1).await;
    assert_eq!(site.get("/tool/stable/tool.zip", EU).await.status, 503);
    site.mirror("fra").put("tool/1.8.2/tool.zip.minisig", sidecar.clone());
    site.until_channel("tool", "stable", "1.8.2").await;
    assert_eq!(file(&site, "tool.zip").await["signature"], "good");
}

#[tokio::test]
async fn without_keys_signatures_are_not_asked_for() {
    let sidecar = sign_file(&key(), TOOL, "tool.zip");
    let assets: [(&str, &[u8]); 2] = [("tool.zip", TOOL), ("tool.zip.minisig", &sidecar)];
    let site = Site::builder()
        .mirror("fra", |m| m.region("eu"))
        .release("tool", "1.8.2", &assets, &["stable"])
        .start()
        .await;
    site.until_everywhere("tool", "1.8.2").await;
    assert_eq!(file(&site, "tool.zip").await["signature"], "unchecked");
    assert_eq!(site.mirror("fra").whole_gets("tool/1.8.2/tool.zip.minisig"), 1);
}

#[tokio::test]
async fn published_checksums_that_contradict_the_manifest_are_told() {
    let wrong = format!("{}  tool.zip\n{}  other.zip\n", sha256(b"another tool"), sha256(b"other"));
    let right = format!("SHA256 (tool.zip) = {}\n", sha256(TOOL));
    let bare = format!("{}\n", sha256(b"another tool"));
    let assets: [(&str, &[u8]); 4] = [
        ("tool.zip", TOOL),
        ("SHA256SUMS", wrong.as_bytes()),
        ("tool_checksums.txt", right.as_bytes()),
        ("tool.zip.sha256", bare.as_bytes()),
    ];
    let mut site = Site::builder()
        .mirror("fra", |m| m.region("eu"))
        .release("tool", "1.8.2", &assets, &["stable"])
        .start()
        .await;
    site.until_everywhere("tool", "1.8.2").await;
    for _ in 0..2 {
        let text = file(&site, "SHA256SUMS").await["contradicts_manifest"].clone();
        let expected = format!(
            "SHA256SUMS says {} for tool.zip, the manifest {}",
            sha256(b"another tool"),
            sha256(TOOL)
        );
        assert_eq!(text, expected);
        assert!(file(&site, "tool.zip.sha256").await["contradicts_manifest"].is_string());
        assert_eq!(file(&site, "tool_checksums.txt").await["contradicts_manifest"], Value::Null);
        // It is remembered.
        site.restart().await;
        site.until_redirected("/tool/1.8.2/tool.zip", EU, "fra").await;
    }
}
