//! Manifests and indexes: what is read, what is refused and how it is said, what may change.
#![allow(clippy::unwrap_used, missing_docs)]

#[path = "manifest/create.rs"]
mod create;
#[path = "manifest/import.rs"]
mod import;

use proptest::prelude::*;
use serde_json::{Value, json};
use waypost::catalog::index::{Index, ManifestPath};
use waypost::catalog::manifest::{Expects, Manifest, ManifestAsset, ManifestError, additions};
use waypost::model::{AssetPath, ChannelName, ProductName, Sha256, Sha512, Timestamp, Version};

fn hex() -> String {
    "ab".repeat(32)
}

fn good() -> Value {
    json!({
        "schema": 1, "product": "tool", "version": "1.8.2", "channels": ["stable"],
        "published_at": "2026-11-20T10:00:00Z",
        "expects": { "platforms": ["linux-amd64", "darwin-arm64"], "sidecars": [".minisig"] },
        "assets": [
            { "name": "tool_linux_amd64.tar.gz", "size": 1048576, "sha256": hex(), "platform": "linux-amd64",
              "kind": "archive", "sidecars": ["tool_linux_amd64.tar.gz.minisig"] },
            { "name": "tool_linux_amd64.tar.gz.minisig", "size": 297, "sha256": hex(), "kind": "signature" },
        ],
    })
}

/// The good manifest with the value at a JSON pointer replaced, or added to its object.
fn with(pointer: &str, value: Value) -> Value {
    let mut manifest = good();
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    match manifest.pointer_mut(parent).unwrap() {
        Value::Array(items) => items[key.parse::<usize>().unwrap()] = value,
        object => object[key] = value,
    }
    manifest
}

fn without(pointer: &str) -> Value {
    let mut manifest = good();
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    manifest.pointer_mut(parent).unwrap().as_object_mut().unwrap().remove(key).unwrap();
    manifest
}

fn parse(value: &Value) -> Manifest {
    Manifest::parse(value.to_string().as_bytes()).unwrap().manifest
}

fn refusal(bytes: &[u8]) -> String {
    Manifest::parse(bytes).unwrap_err().to_string()
}

#[test]
fn the_manifest_of_the_contract_is_read_as_it_stands() {
    let parsed = Manifest::parse(good().to_string().as_bytes()).unwrap();
    assert!(parsed.warnings.is_empty());
    let manifest = parsed.manifest;
    assert_eq!((&*manifest.product, manifest.version.as_str()), ("tool", "1.8.2"));
    assert_eq!(manifest.channels, [ChannelName::new("stable").unwrap()]);
    assert_eq!(manifest.published_at, Timestamp::parse_rfc3339("2026-11-20T10:00:00Z"));
    assert_eq!(manifest.expects.sidecars, [".minisig"]);
    assert_eq!(manifest.bytes(), 1_048_576 + 297);
    let asset = &manifest.assets[0];
    assert_eq!((asset.size, asset.sha256.to_string()), (1_048_576, hex()));
    assert_eq!(asset.platforms, ["linux-amd64".into()]);
    assert_eq!(asset.sidecars, [manifest.assets[1].name.clone()]);
}

#[test]
fn a_bad_manifest_is_refused_where_it_is_bad() {
    let second = || good()["assets"][0].clone();
    for (manifest, expected) in [
        (without("/schema"), "schema: is required, but missing"),
        (with("/schema", json!(2)), "schema: the manifest has schema 2"),
        (with("/schema", json!("1")), "schema: expected a whole number, 0 or more, found text"),
        (without("/product"), "product: is required"),
        (with("/product", json!("../etc")), "product: \"../etc\": holds a character"),
        (with("/product", json!("latest")), "product: \"latest\": is reserved"),
        (with("/product", json!(null)), "product: expected text, found null"),
        (with("/version", json!(1.8)), "version: expected text, found a fraction"),
        (with("/version", json!("stable")), "version: \"stable\": expected a version"),
        (with("/channels", json!("stable")), "channels: expected an array, found text"),
        (with("/channels", json!(["stable", "1.2"])), "channels[1]: \"1.2\": reads as a version"),
        (with("/published_at", json!("yesterday")), "published_at: \"yesterday\": expected an RFC 3339"),
        (with("/published_at", json!("2026-11-20")), "published_at: "),
        (with("/tagged_at", json!(1_763_000_000)), "tagged_at: expected text, found a number"),
        (with("/notes_url", json!("javascript:alert(1)")), "notes_url: "),
        (with("/withdrawn", json!(true)), "withdrawn: expected text, found a boolean"),
        (with("/pipeline", json!("a\nb")), "pipeline: \"a\\nb\": holds a control character"),
        (with("/expects", json!([])), "expects: expected an object, found an array"),
        (with("/expects/platforms", json!([7])), "expects.platforms[0]: expected text, found a number"),
        (without("/assets"), "assets: is required"),
        (with("/assets", json!([])), "assets: must name at least one asset"),
        (with("/assets", json!({})), "assets: expected an array, found an object"),
        (with("/assets/1", json!("tool")), "assets[1]: expected an object, found text"),
        (
            with("/assets/1", second()),
            "assets[1].name: \"tool_linux_amd64.tar.gz\" is the name of an earlier",
        ),
        (with("/assets/1/name", json!("../../etc/passwd")), "assets[1].name: \"../../etc/passwd\": holds"),
        (with("/assets/1/name", json!("a//b")), "assets[1].name: "),
        (with("/assets/1/name", json!("a\\b")), "assets[1].name: "),
        (with("/assets/1/name", json!("x".repeat(1025))), "longer than 1024 bytes"),
        (with("/assets/1/name", json!("manifest.json")), "is the name of the manifest itself"),
        (without("/assets/0/size"), "assets[0].size: is required"),
        (
            with("/assets/0/size", json!(-1)),
            "assets[0].size: expected a whole number, 0 or more, found a negative",
        ),
        (with("/assets/0/size", json!(1.5)), "assets[0].size: expected a whole number"),
        (with("/assets/0/size", json!((1_u64 << 53) + 1)), "assets[0].size: 9007199254740993 is more than"),
        (with("/assets/0/size", json!(1_u64 << 53)), "assets: sizes add up to"),
        (
            with("/assets/0/size", json!("1048576")),
            "assets[0].size: expected a whole number, 0 or more, found text",
        ),
        (without("/assets/0/sha256"), "assets[0].sha256: is required"),
        (with("/assets/0/sha256", json!("abc")), "assets[0].sha256: \"abc\": expected 64 hexadecimal digits"),
        (with("/assets/0/sha512", json!(hex())), "assets[0].sha512: "),
        (with("/assets/0/platform", json!("")), "assets[0].platform: \"\": must not be empty"),
        (
            with("/assets/0/sidecars", json!(["gone.sig"])),
            "assets[0].sidecars[0]: \"gone.sig\" is not an asset",
        ),
        (with("/assets/0/sidecars", json!(["tool_linux_amd64.tar.gz"])), "cannot be its own sidecar"),
        (json!([good()]), "expected an object, found an array"),
        (json!("manifest"), "expected an object, found text"),
    ] {
        let said = refusal(manifest.to_string().as_bytes());
        assert!(said.starts_with(expected) || said.contains(expected), "{said}\n  for {expected}");
    }
}

#[test]
fn what_is_not_json_is_refused() {
    let text = good().to_string();
    for (bytes, expected) in [
        (b"".to_vec(), "EOF"),
        (text.as_bytes()[..text.len() / 2].to_vec(), "EOF"),
        (format!("{text}{{}}").into_bytes(), "trailing characters"),
        (b"<html>not found</html>".to_vec(), "line 1 column 1"),
        (b"{\"schema\": 1, \"product\": \"\xff\"}".to_vec(), "invalid unicode"),
        (format!("{{\"x\": {}", "[".repeat(100_000)).into_bytes(), "recursion limit"),
    ] {
        let said = refusal(&bytes);
        assert!(said.contains("not valid JSON") && said.contains(expected), "{said}\n  for {expected}");
    }
}

#[test]
fn a_known_key_given_twice_is_refused() {
    let text = good().to_string();
    let twice = text.replacen("\"product\":\"tool\"", "\"product\":\"tool\",\"product\":\"other\"", 1);
    assert_eq!(refusal(twice.as_bytes()), "product: is given twice");
    let twice = text.replacen("\"size\":297", "\"size\":297,\"size\":298", 1);
    assert_eq!(refusal(twice.as_bytes()), "assets[1].size: is given twice");
}

#[test]
fn all_problems_are_told_at_once_up_to_twenty() {
    let mut manifest = with("/product", json!(7));
    manifest["version"] = json!("x");
    manifest["assets"] =
        (0..30).map(|i| json!({ "name": format!("a{i}"), "size": 1, "sha256": "bad" })).collect();
    let error = Manifest::parse(manifest.to_string().as_bytes()).unwrap_err();
    let ManifestError::Invalid(problems) = error else { panic!("{error}") };
    assert_eq!((problems.first.len(), problems.more), (20, 12));
    let places: Vec<&str> = problems.first.iter().map(|problem| &*problem.at).collect();
    for at in ["product", "version", "assets[0].sha256", "assets[17].sha256"] {
        assert!(places.contains(&at), "{at} in {places:?}");
    }
}

#[test]
fn more_bytes_than_are_ever_read_are_no_manifest() {
    let refused = refusal(&vec![b' '; (64 << 20) + 1]);
    assert!(refused.contains("publish the files as several releases"), "{refused}");
}

#[test]
fn more_assets_than_the_bound_are_refused_without_being_kept() {
    let text =
        format!(r#"{{"schema":1,"product":"tool","version":"1","assets":[{}1]}}"#, "1,".repeat(2_000_000));
    let ManifestError::Invalid(problems) = Manifest::parse(text.as_bytes()).unwrap_err() else { panic!() };
    assert_eq!(problems.more + problems.first.len(), 2_000_001);
}

#[test]
fn unknown_keys_are_kept_and_warned_of_once() {
    let mut manifest = with("/colour", json!({ "deep": [1, -2, 2.5, null, true, "x"] }));
    manifest["expects"]["size"] = json!("small");
    manifest["assets"][0]["mood"] = json!("good");
    manifest["assets"][1]["mood"] = json!("better");
    let parsed = Manifest::parse(manifest.to_string().as_bytes()).unwrap();
    let named = |key: &str| parsed.warnings.iter().filter(|warning| warning.contains(key)).count();
    assert_eq!((named("`colour`"), named("`expects.size`"), named("`assets[].mood`")), (1, 1, 1));
    let written: Value = serde_json::from_str(&parsed.manifest.to_json()).unwrap();
    assert_eq!(written, manifest);
}

#[test]
fn the_warnings_about_unknown_keys_are_bounded() {
    let mut manifest = good();
    for i in 0..1000 {
        manifest[format!("key{i}")] = json!(i);
    }
    assert_eq!(Manifest::parse(manifest.to_string().as_bytes()).unwrap().warnings.len(), 21);
}

#[test]
fn the_writer_keeps_the_order_of_the_contract_and_ends_with_a_newline() {
    let text = parse(&good()).to_json();
    assert_eq!(text, serde_json::to_string_pretty(&good()).unwrap() + "\n");
}

#[test]
fn only_additions_labels_and_channels_may_change_in_a_release() {
    let old = parse(&good());
    let extra = json!({ "name": "new.zip", "size": 1, "sha256": hex() });
    let mut added = good();
    added["assets"].as_array_mut().unwrap().push(extra);
    let mut fewer = without("/assets/0/sidecars");
    fewer["assets"].as_array_mut().unwrap().pop();
    let other = "cd".repeat(32);
    let before = format!("SHA-256 {} and has {other}", hex());
    for (new, sealed, breach) in [
        (good(), true, ""),
        (with("/channels", json!(["beta"])), true, ""),
        (with("/assets/0/kind", json!("binary")), true, ""),
        (with("/withdrawn", json!("bad")), true, ""),
        (added.clone(), false, ""),
        (added, true, "new.zip: is new"),
        (fewer, false, "tool_linux_amd64.tar.gz.minisig: was published and is missing"),
        (with("/assets/0/size", json!(5)), false, "published with 1048576 bytes and has 5 now"),
        (with("/assets/0/sha256", json!(other)), false, &before),
        (with("/version", json!("1.8.3")), false, "was tool 1.8.2 and is now tool 1.8.3"),
        (with("/version", json!("v1.8.2")), false, "was tool 1.8.2 and is now tool v1.8.2"),
    ] {
        match additions(&old.published(), &parse(&new), sealed) {
            Ok(_) => assert_eq!(breach, "", "{new}"),
            Err(breaches) => {
                assert_eq!(breaches.len(), 1, "{breaches:?}");
                let said = breaches[0].to_string();
                assert!(!breach.is_empty() && said.contains(breach), "{said}\n  for {breach}");
            }
        }
    }
}

#[test]
fn a_published_sha512_never_changes_or_leaves() {
    let old = parse(&with("/assets/0/sha512", json!("ab".repeat(64))));
    for new in [good(), with("/assets/0/sha512", json!("cd".repeat(64)))] {
        assert!(
            additions(&old.published(), &parse(&new), false).unwrap_err()[0].to_string().contains("SHA-512")
        );
    }
}

#[test]
fn an_index_is_read_in_both_spellings_and_written_as_it_was() {
    let value = json!({ "schema": 1, "sequence": 42,
        "manifests": ["tool/1.8.2/manifest.json", { "path": "agent/v2/manifest.json", "sha256": hex() }],
        "withdrawn": [{ "product": "tool", "version": "1.8.1", "reason": "broken", "replacement": "1.8.2" }],
        "later": true });
    let parsed = Index::parse(value.to_string().as_bytes()).unwrap();
    assert_eq!((parsed.index.sequence, parsed.warnings.len()), (42, 1));
    assert_eq!(parsed.index.manifests[0].path, ManifestPath::parse("tool/1.8.2/manifest.json").unwrap());
    assert_eq!(parsed.index.manifests[1].sha256.unwrap().to_string(), hex());
    assert_eq!(parsed.index.withdrawn[0].replacement, Version::parse("1.8.2").ok());
    assert_eq!(serde_json::from_str::<Value>(&parsed.index.to_json()).unwrap(), value);
}

#[test]
fn a_bad_index_is_refused_where_it_is_bad() {
    let index = |manifests: Value| json!({ "schema": 1, "sequence": 1, "manifests": manifests });
    for (value, expected) in [
        (json!({ "schema": 1, "manifests": [] }), "sequence: is required"),
        (json!({ "schema": 1, "sequence": -4, "manifests": [] }), "sequence: expected a whole number"),
        (json!({ "schema": 3, "sequence": 1, "manifests": [] }), "schema 3"),
        (index(json!("tool/1/manifest.json")), "manifests: expected an array"),
        (index(json!([7])), "manifests[0]: expected a path or an object, found a number"),
        (index(json!([{ "sha256": hex() }])), "manifests[0].path: is required"),
        (index(json!(["../1/manifest.json"])), "manifests[0]: "),
        (index(json!(["/tool/1/manifest.json"])), "expected <product>/<version>/manifest.json"),
        (index(json!(["tool/1/2/manifest.json"])), "expected <product>/<version>/manifest.json"),
        (index(json!(["tool/1/other.json"])), "expected <product>/<version>/manifest.json"),
        (index(json!(["tool/stable/manifest.json"])), "expected a version"),
        (
            index(json!(["tool/1/manifest.json", { "path": "tool/v1/manifest.json" }])),
            "manifests[1]: tool/v1",
        ),
    ] {
        let said = Index::parse(value.to_string().as_bytes()).unwrap_err().to_string();
        assert!(said.contains(expected), "{said}\n  for {expected}");
    }
}

fn text() -> impl Strategy<Value = String> {
    "[a-zé0-9 \"]{1,12}"
}

fn asset() -> impl Strategy<Value = ManifestAsset> {
    let labels = (prop::option::of(text()), prop::option::of(text()), prop::option::of(any::<u8>()));
    let platforms = prop::collection::btree_set(text(), 0..3);
    ("[a-zü]{1,8}(/[a-z ]{1,8}){0,2}", 0_u64..1 << 40, any::<[u8; 32]>(), labels, platforms).prop_map(
        |(name, size, digest, (kind, provenance, seed), platforms)| ManifestAsset {
            sha512: seed.map(|seed| Box::new(Sha512::new([seed; 64]))),
            platforms: platforms.into_iter().map(Box::from).collect(),
            kind: kind.map(Box::from),
            provenance: provenance.map(Box::from),
            extra: seed.map(|seed| Box::new([("unknown".to_owned(), json!([seed]))].into_iter().collect())),
            ..ManifestAsset::new(AssetPath::new(&name).unwrap(), size, Sha256::new(digest))
        },
    )
}

fn manifest() -> impl Strategy<Value = Manifest> {
    let labels = (
        prop::option::of(0..4_102_444_800_000_i64),
        prop::option::of(text()),
        prop::collection::vec(text(), 0..3),
    );
    (prop::collection::vec(asset(), 1..8), labels).prop_map(|(mut assets, (at, pipeline, expected))| {
        assets.sort_by(|a, b| a.name.cmp(&b.name));
        assets.dedup_by(|a, b| a.name == b.name);
        for i in 1..assets.len() {
            let sidecar = assets[i - 1].name.clone();
            assets[i].sidecars.push(sidecar);
        }
        Manifest {
            channels: vec![ChannelName::new("stable").unwrap()],
            published_at: at.map(Timestamp::from_millis),
            withdrawn: pipeline.clone(),
            pipeline,
            notes_url: Some("https://example.com/notes".into()),
            expects: Expects { platforms: expected, ..Expects::default() },
            assets,
            ..Manifest::new(ProductName::new("tool").unwrap(), Version::parse("v1.2").unwrap())
        }
    })
}

proptest! {
    #[test]
    fn what_is_written_reads_the_same(manifest in manifest()) {
        prop_assert_eq!(Manifest::parse(manifest.to_json().as_bytes()).unwrap().manifest, manifest);
    }

    #[test]
    fn mutated_bytes_are_read_or_refused_and_never_panic(
        cuts in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0_usize..40), 1..6),
    ) {
        let mut bytes = good().to_string().into_bytes();
        for (at, byte, cut) in cuts {
            let at = at.index(bytes.len());
            bytes[at] = byte;
            let end = (at + cut).min(bytes.len() - 1);
            bytes.drain(at.min(end)..end);
        }
        if let Ok(parsed) = Manifest::parse(&bytes) {
            prop_assert_eq!(Manifest::parse(parsed.manifest.to_json().as_bytes()).unwrap().manifest, parsed.manifest);
        }
        let _ = Index::parse(&bytes);
    }
}
