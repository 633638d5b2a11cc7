//! Promises of `mirror.sign`: each kind has its keys, and nothing that would make links good for too much is taken.

use std::path::Path;
use std::time::Duration;

use waypost::config::{Sign, SignKind, SignatureEncoding};

use super::{refused, with_base};

fn sign(text: &str) -> Sign {
    with_base(&format!("sign = {{ {text} }}")).config.mirrors.remove(0).sign.unwrap()
}

#[test]
fn every_kind_arrives_as_written() {
    let secret = Path::new("/etc/waypost/s").to_owned();
    let least = sign(r#"kind = "secure_link", secret_file = "s""#);
    let kind = SignKind::SecureLink { secret };
    assert_eq!(least, Sign { kind, ttl: Duration::from_secs(300), bind_network: false });
    let hmac = sign(
        r#"kind = "hmac", secret_file = "/s", bind = "network", ttl = "1h", encoding = "base64url",
        query = "?e={expires}&s={signature}""#,
    );
    assert_eq!((hmac.ttl, hmac.bind_network), (Duration::from_secs(3600), true));
    assert!(
        matches!(hmac.kind, SignKind::Hmac { encoding: SignatureEncoding::Base64Url, .. }),
        "{:?}",
        hmac.kind
    );
    for (text, files) in [
        (r#"kind = "s3", region = "eu-central-1", access_key_file = "a", secret_file = "b""#, 2),
        (r#"kind = "cloudfront", key_pair_id = "K2JCJMDEHXQW5F", key_file = "a""#, 1),
        (r#"kind = "gcs", key_file = "a""#, 1),
        (r#"kind = "azure", account = "store", key_file = "a", bind = "network""#, 1),
    ] {
        let config = with_base(&format!("sign = {{ {text} }}")).config;
        assert_eq!(config.key_files().count(), files, "{text}");
    }
}

#[test]
fn what_is_missing_foreign_or_too_generous_is_refused_with_its_place() {
    for (text, place, fragment) in [
        ("", "mirror[0].sign:", "add kind = \"secure_link\""),
        ("kind = \"md5\"", "mirror[0].sign.kind:", "is none of \"secure_link\", \"hmac\""),
        ("kind = \"secure_link\"", "mirror[0].sign:", "`secret_file` is missing, which kind \"secure_link\""),
        (
            "kind = \"gcs\", key_file = \"a\", secret_file = \"b\"",
            "mirror[0].sign.secret_file:",
            "is no key of kind \"gcs\"; remove it; kind \"gcs\" has key_file",
        ),
        ("kind = \"gcs\", key_file = \"a\", secret = \"b\"", "mirror[0].sign.secret:", "unknown key"),
        (
            "kind = \"gcs\", key_file = \"a\", bind = \"network\"",
            "mirror[0].sign.bind:",
            "cannot be bound to a network; remove it",
        ),
        ("kind = \"gcs\", key_file = \"a\", bind = true", "mirror[0].sign.bind:", "expected a string"),
        ("kind = \"gcs\", key_file = \"a\", ttl = \"8d\"", "mirror[0].sign.ttl:", "from 30s to 7d"),
        ("kind = \"gcs\", key_file = \"a\", ttl = \"1s\"", "mirror[0].sign.ttl:", "from 30s to 7d"),
        (
            "kind = \"cloudfront\", key_pair_id = \"K&Policy=\", key_file = \"a\"",
            "mirror[0].sign.key_pair_id:",
            "letters, digits",
        ),
        (
            "kind = \"hmac\", secret_file = \"a\", message = \"{path}\"",
            "mirror[0].sign.message:",
            "{expires}",
        ),
        (
            "kind = \"hmac\", secret_file = \"a\", message = \"{expires}\"",
            "mirror[0].sign.message:",
            "{path}",
        ),
        (
            "kind = \"hmac\", secret_file = \"a\", message = \"{expires}{path}{network}\"",
            "mirror[0].sign.message:",
            "add bind",
        ),
        (
            "kind = \"hmac\", secret_file = \"a\", bind = \"network\", message = \"{expires}{path}\"",
            "mirror[0].sign.message:",
            "lacks {network}",
        ),
        ("kind = \"hmac\", secret_file = \"a\", message = \"{x}\"", "mirror[0].sign.message:", "placeholder"),
        ("kind = \"hmac\", secret_file = \"a\", query = \"?{path}\"", "mirror[0].sign.query:", "placeholder"),
        (
            "kind = \"hmac\", secret_file = \"a\", query = \"?s={signature}\"",
            "mirror[0].sign.query:",
            "expires",
        ),
        (
            "kind = \"hmac\", secret_file = \"a\", query = \"e={expires}&s={signature}\"",
            "mirror[0].sign.query:",
            "does not begin with ?",
        ),
        (
            "kind = \"hmac\", secret_file = \"a\", query = \"?e={expires}&s={signature}>\"",
            "mirror[0].sign.query:",
            "what no URL does",
        ),
    ] {
        let place =
            format!("{}: {place}", if place.ends_with("sign:") { "6:8" } else { column(text, place) });
        refused(&format!("{}sign = {{ {text} }}", super::BASE), &place, fragment);
    }
}

/// Where the value of the key stands, or the key itself where it is unknown.
fn column(text: &str, place: &str) -> &'static str {
    let key = place.rsplit('.').next().unwrap().trim_end_matches(':');
    let at = "sign = { ".len() + text.rfind(&format!("{key} = ")).unwrap() + 1;
    let at = if key == "secret" { at } else { at + key.len() + " = ".len() };
    format!("6:{at}").leak()
}

#[test]
fn azure_is_refused_without_https() {
    let text = "[origin]\nurl = \"https://o.example/\"\n[[mirror]]\nname = \"a\"\nurl = \"http://a.example/\"\n\
        sign = { kind = \"azure\", account = \"a\", key_file = \"k\" }";
    refused(text, "6:8: mirror[0].sign:", "https alone");
}
