//! Signatures with dear keys are made once: no link is another one for that.

use std::fs;

use serde_json::json;
use waypost::config::SignKind;
use waypost::links::{LinkMethod, Signer};
use waypost::model::Timestamp;

use crate::process::run;
use crate::{NOW, Secrets, signed_at, signer};

/// CloudFront and Google Cloud Storage with one RSA key, of which a message has one signature.
async fn kinds(secrets: &Secrets) -> [SignKind; 2] {
    run("openssl", &["genrsa", "-out", "rsa.pem", "2048"], secrets.path()).await.ok();
    let key = secrets.path().join("rsa.pem");
    let account =
        json!({ "client_email": "mirror@example.com", "private_key": fs::read_to_string(&key).unwrap() });
    let account = secrets.file("account.json", &account.to_string());
    [SignKind::CloudFront { key_pair: "K1".into(), key }, SignKind::Gcs { key: account }]
}

#[tokio::test]
async fn what_is_remembered_is_what_would_be_signed_anew() {
    let secrets = Secrets::new();
    for kind in kinds(&secrets).await {
        for bind in [false, true] {
            let remembering = signer(kind.clone(), bind);
            let mut links = std::collections::HashSet::new();
            // The second round finds everything.
            for _ in 0..2 {
                for (file, second, client) in [
                    ("a", 0, "192.0.2.1"),
                    ("a", 29, "192.0.2.200"),
                    ("a", 30, "192.0.2.1"),
                    ("a", 0, "198.51.100.1"),
                    ("b", 0, "192.0.2.1"),
                ] {
                    let url = format!("https://mirror.example/{file}");
                    let now = Timestamp::from_millis((NOW as i64 + second) * 1000);
                    for method in [LinkMethod::Get, LinkMethod::Head] {
                        let link = |signer: &Signer| signed_at(signer, &url, method, Some(client), now);
                        let anew = link(&signer(kind.clone(), bind));
                        assert_eq!(link(&remembering), anew, "{client} at {second}");
                        links.insert(anew);
                    }
                }
            }
            // File and period count in all, the method with one, the network with the other where links are bound.
            let different = match (&kind, bind) {
                (SignKind::Gcs { .. }, _) => 6,
                (_, bound) => 3 + usize::from(bound),
            };
            assert_eq!(links.len(), different);
        }
    }
}
