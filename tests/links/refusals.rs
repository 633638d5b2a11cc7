//! Files that hold no such key are refused with what to do, and no key is ever shown.

use std::time::Duration;

use waypost::config::{LinkPart, LinkTemplate, Sign, SignKind, SignatureEncoding};
use waypost::links::{LinkMethod, Signer};

use crate::{KEY, Secrets, UNTIL, signed, signer};

/// Why a signer cannot be made.
pub fn refusal(kind: SignKind) -> Option<String> {
    let sign = Sign { kind, ttl: Duration::from_secs(300), bind_network: false };
    Signer::load(&sign).err().map(|error| error.to_string())
}

#[test]
fn a_file_that_is_not_there_empty_too_large_or_no_key_is_refused_with_what_to_do() {
    let secrets = Secrets::new();
    let path = |name: &str| secrets.path().join(name);
    let secret = |secret| SignKind::SecureLink { secret };
    let gcs = |name, text| SignKind::Gcs { key: secrets.file(name, text) };
    let azure = |text| SignKind::Azure { account: "a".into(), key: secrets.file("azure", text) };
    let cloudfront = |text| SignKind::CloudFront { key_pair: "K".into(), key: secrets.file("cf", text) };
    let s3 = |id| SignKind::S3 {
        region: "r".into(),
        access_key: secrets.file("id", id),
        secret: secrets.file("secret", KEY),
    };
    for (kind, said) in [
        (secret(path("nowhere")), "cannot be read"),
        (secret(secrets.file("empty", "")), "is empty"),
        (secret(secrets.file("large", &"x".repeat(70_000))), "more than 64 KiB"),
        (s3("AKIA secret words"), "is not one word"),
        (gcs("half", "{\"client_email\": \"secret words\"}"), "gcloud iam service-accounts keys create"),
        (gcs("bad", "{\"client_email\": \"a\", \"private_key\": \"secret words\"}"), "holds no RSA key"),
        (azure("secret words"), "key1 or key2"),
        (cloudfront("secret words"), "openssl ecparam"),
    ] {
        let refusal = refusal(kind).unwrap();
        assert!(refusal.contains(said) && !refusal.contains("secret words"), "{refusal}");
    }
}

#[test]
fn a_signer_shows_no_key() {
    let secrets = Secrets::new();
    let file = secrets.file("secret", KEY);
    for kind in [
        SignKind::SecureLink { secret: file.clone() },
        SignKind::S3 { region: "r".into(), access_key: secrets.file("id", "AKIAEXAMPLE"), secret: file },
    ] {
        let shown = format!("{:?}", signer(kind, false));
        assert!(shown.contains("kind") && !shown.contains("secret+") && !shown.contains("AKIA"), "{shown}");
    }
}

#[test]
fn an_hmac_link_is_what_its_templates_say() {
    let secrets = Secrets::new();
    let literal = |text: &str| LinkPart::Literal(text.into());
    let kind = |encoding| SignKind::Hmac {
        // RFC 4231 section 4.3 (test case 2).
        secret: secrets.file("secret", "Jefe"),
        message: LinkTemplate(vec![literal("what do ya want for nothing?")]),
        query: LinkTemplate(vec![literal("?e="), LinkPart::Expires, literal("&s="), LinkPart::Signature]),
        encoding,
    };
    let url = "https://cdn.example/a%20b";
    let hex = signed(&signer(kind(SignatureEncoding::Hex), false), url, LinkMethod::Get, None);
    let tag = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
    assert_eq!(hex, format!("{url}?e={UNTIL}&s={tag}"));
    let base64 = signed(&signer(kind(SignatureEncoding::Base64Url), false), url, LinkMethod::Get, None);
    assert_eq!(base64, format!("{url}?e={UNTIL}&s=W9zBRr9gdU5qBCQmCJV1x1oAPwidJzmDnexYuWTsOEM"));

    // What is signed: the same as when it is written out.
    let message = |parts: Vec<LinkPart>, client| {
        let kind = SignKind::Hmac {
            secret: secrets.file("secret", "Jefe"),
            message: LinkTemplate(parts),
            query: LinkTemplate(vec![literal("?s="), LinkPart::Signature]),
            encoding: SignatureEncoding::Hex,
        };
        signed(&signer(kind, true), url, LinkMethod::Get, client)
    };
    for (client, network) in
        [(Some("192.0.2.7"), "192.0.2.0/24"), (Some("2001:db8:1:2::3"), "2001:db8:1::/48"), (None, "")]
    {
        let parts = vec![LinkPart::Expires, literal(" "), LinkPart::Network, LinkPart::Path];
        let written = vec![literal(&format!("{UNTIL} {network}/a%20b"))];
        assert_eq!(message(parts, client), message(written, client));
    }
}
