//! The vendors' libraries, run from Python, sign the same.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use waypost::catalog::encode_path;
use waypost::config::SignKind;
use waypost::links::LinkMethod;

use crate::process::run;
use crate::python::python;
use crate::{KEY, NAMES, NOW, Secrets, UNTIL, signed, signer};

const METHODS: [(&str, LinkMethod); 2] = [("GET", LinkMethod::Get), ("HEAD", LinkMethod::Head)];

async fn signers(order: &str, path: &Path) -> String {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/links/signers.py");
    let (script, path) = (script.to_str().unwrap(), path.to_str().unwrap());
    run(&python(), &[script, order, path], &std::env::temp_dir()).await.ok()
}

/// A folder with keys in every form.
async fn keys() -> Secrets {
    let secrets = Secrets::new();
    signers("keys", secrets.path()).await;
    secrets
}

/// What the libraries sign in the cases.
async fn theirs(cases: &[Value]) -> Vec<Value> {
    let secrets = Secrets::new();
    let path = secrets.path().join("cases.json");
    fs::write(&path, serde_json::to_vec(cases).unwrap()).unwrap();
    let signed: Vec<Value> = serde_json::from_str(&signers("sign", &path).await).unwrap();
    assert_eq!(signed.len(), cases.len());
    signed
}

#[tokio::test]
async fn s3_links_are_those_of_botocore_in_path_and_virtual_hosted_style() {
    let (secrets, id) = (Secrets::new(), "AKIAEXAMPLE");
    let region = "eu-central-1";
    let kind = SignKind::S3 {
        region: region.into(),
        access_key: secrets.file("id", id),
        secret: secrets.file("secret", KEY),
    };
    let signer = signer(kind, false);
    let (mut ours, mut cases) = (Vec::new(), Vec::new());
    for (style, endpoint, base) in [
        ("path", "https://s3.eu-central-1.amazonaws.com", "https://s3.eu-central-1.amazonaws.com/bucket/"),
        ("virtual", "https://s3.eu-central-1.amazonaws.com", "https://bucket.s3.eu-central-1.amazonaws.com/"),
        ("path", "http://store.example:9000", "http://store.example:9000/bucket/"),
    ] {
        for ((name, method), key) in METHODS.iter().flat_map(|method| NAMES.map(|key| (*method, key))) {
            ours.push(signed(&signer, &format!("{base}{}", encode_path(key)), method, Some("192.0.2.1")));
            cases.push(
                json!({ "scheme": "s3", "style": style, "endpoint": endpoint, "bucket": "bucket", "key": key,
                "method": name, "region": region, "id": id, "secret": KEY, "from": NOW, "until": UNTIL }),
            );
        }
    }
    assert_eq!(theirs(&cases).await, ours);
}

#[tokio::test]
async fn google_cloud_storage_links_are_those_of_its_library() {
    let secrets = keys().await;
    let key_file = secrets.path().join("account.json");
    let signer = signer(SignKind::Gcs { key: key_file.clone() }, false);
    let (mut ours, mut cases) = (Vec::new(), Vec::new());
    for (style, base) in [
        ("path", "https://storage.googleapis.com/bucket/"),
        ("virtual", "https://bucket.storage.googleapis.com/"),
    ] {
        for ((name, method), key) in METHODS.iter().flat_map(|method| NAMES.map(|key| (*method, key))) {
            ours.push(signed(&signer, &format!("{base}{}", encode_path(key)), method, Some("192.0.2.1")));
            cases.push(
                json!({ "scheme": "gcs", "style": style, "bucket": "bucket", "key": key, "method": name,
                "key_file": key_file, "from": NOW, "until": UNTIL }),
            );
        }
    }
    assert_eq!(theirs(&cases).await, ours);
}

#[tokio::test]
async fn azure_links_are_those_of_its_library() {
    let secrets = Secrets::new();
    let key = "c2VjcmV0IG9mIHRoZSBhY2NvdW50IHRoYXQgbm9ib2R5IGtub3dz";
    let file = secrets.file("key", key);
    let (mut ours, mut cases) = (Vec::new(), Vec::new());
    for (bind, client, addresses) in [
        (false, "192.0.2.77", None),
        (true, "192.0.2.77", Some("192.0.2.0-192.0.2.255")),
        (true, "2001:db8::1", None),
    ] {
        let kind = SignKind::Azure { account: "account".into(), key: file.clone() };
        let signer = signer(kind, bind);
        for name in NAMES {
            let base = "https://account.blob.core.windows.net/container/";
            let url = format!("{base}{}", encode_path(name));
            let link = signed(&signer, &url, LinkMethod::Get, Some(client));
            assert!(link.starts_with(&format!("{url}?")), "{link}");
            let link: url::Url = link.parse().unwrap();
            ours.push(Value::Object(
                link.query_pairs().map(|(name, value)| (name.into(), json!(value))).collect(),
            ));
            cases.push(
                json!({ "scheme": "azure", "account": "account", "container": "container", "key": name,
                "secret": key, "version": "2024-11-04", "addresses": addresses, "until": UNTIL }),
            );
        }
    }
    assert_eq!(theirs(&cases).await, ours);
}

#[tokio::test]
async fn cloudfront_links_are_those_of_botocore_with_every_form_of_key() {
    let secrets = keys().await;
    let (mut ours, mut cases) = (Vec::new(), Vec::new());
    for file in ["rsa.pkcs8.pem", "rsa.traditional.pem", "p256.pkcs8.pem", "p256.traditional.pem"] {
        for (bind, client, network) in [
            (false, Some("192.0.2.77"), None),
            (true, Some("192.0.2.77"), Some("192.0.2.0/24")),
            (true, Some("2001:db8::1"), None),
            (true, None, None),
        ] {
            let key = secrets.path().join(file);
            let kind = SignKind::CloudFront { key_pair: "K2JCJMDEHXQW5F".into(), key: key.clone() };
            let signer = signer(kind, bind);
            for name in NAMES {
                let url = format!("https://d111111abcdef8.cloudfront.net/{}", encode_path(name));
                let link = signed(&signer, &url, LinkMethod::Get, client);
                cases.push(json!({ "scheme": "cloudfront", "key_file": key, "key_pair_id": "K2JCJMDEHXQW5F", "url": url,
                    "network": network, "until": UNTIL, "signed": link }));
                ours.push(link);
            }
        }
    }
    assert_eq!(theirs(&cases).await, ours);
}

#[tokio::test]
async fn keys_that_a_vendor_does_not_take_are_refused() {
    let secrets = keys().await;
    for (file, taken) in [
        ("rsa.pkcs8.pem", true),
        ("p256.pkcs8.pem", true),
        ("rsa4096.pkcs8.pem", false),
        ("p384.pkcs8.pem", false),
        ("p384.traditional.pem", false),
    ] {
        let kind = SignKind::CloudFront { key_pair: "K".into(), key: secrets.path().join(file) };
        assert_eq!(crate::refusals::refusal(kind).is_none(), taken, "{file}");
    }
}
