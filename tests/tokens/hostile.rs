//! Tokens that are well signed, or look so, and are still not what they should be.

use data_encoding::BASE64URL_NOPAD;
use proptest::prelude::*;
use serde_json::{Value, json};
use waypost::config::JwtAlgorithm::Es256;
use waypost::entitlement::{Entitlements, Issuer, Presented, TOKEN_MAX};
use waypost::model::Denial;

use crate::signer::{AUD, ISS, NOW, P256, RSA, Signer};
use crate::signer::{claims, configured, denial, entitlements, key_set, now, one};

fn believing() -> Entitlements {
    one(&P256, &[Es256])
}

/// A token with these claims, well signed.
fn with(claims: &str) -> String {
    P256.token_of("ES256", r#"{"alg":"ES256","kid":"k1"}"#, claims)
}

/// A token with this header, well signed.
fn headed(header: &str) -> String {
    P256.token_of("ES256", header, &claims(json!({})).to_string())
}

#[test]
fn every_claim_that_is_missing_or_of_another_shape_has_its_reason() {
    let believing = believing();
    let cases: [(Value, Option<Denial>); 38] = [
        (json!({}), None),
        (json!({ "aud": [AUD] }), None),
        (json!({ "aud": ["other", AUD] }), None),
        (json!({ "aud": ["other", 7, null, AUD] }), None),
        (json!({ "aud": null }), Some(Denial::MissingClaim)),
        (json!({ "aud": "other" }), Some(Denial::WrongAudience)),
        (json!({ "aud": "" }), Some(Denial::WrongAudience)),
        (json!({ "aud": [] }), Some(Denial::WrongAudience)),
        (json!({ "aud": 7 }), Some(Denial::WrongAudience)),
        (json!({ "aud": true }), Some(Denial::WrongAudience)),
        (json!({ "aud": { "name": AUD } }), Some(Denial::WrongAudience)),
        (json!({ "aud": [[AUD]] }), Some(Denial::WrongAudience)),
        (json!({ "aud": AUD.to_uppercase() }), Some(Denial::WrongAudience)),
        (json!({ "aud": format!("{AUD} ") }), Some(Denial::WrongAudience)),
        (json!({ "aud": format!("x,{AUD}") }), Some(Denial::WrongAudience)),
        (json!({ "iss": null }), Some(Denial::MissingClaim)),
        (json!({ "iss": 7 }), Some(Denial::MissingClaim)),
        (json!({ "iss": [ISS] }), Some(Denial::MissingClaim)),
        (json!({ "iss": "https://evil.example" }), Some(Denial::UnknownIssuer)),
        (json!({ "iss": format!("{ISS}/") }), Some(Denial::UnknownIssuer)),
        (json!({ "iss": ISS.to_uppercase() }), Some(Denial::UnknownIssuer)),
        (json!({ "iss": "" }), Some(Denial::UnknownIssuer)),
        (json!({ "exp": null }), Some(Denial::MissingClaim)),
        (json!({ "exp": (NOW + 600).to_string() }), Some(Denial::MissingClaim)),
        (json!({ "exp": [NOW + 600] }), Some(Denial::MissingClaim)),
        (json!({ "exp": true }), Some(Denial::MissingClaim)),
        (json!({ "exp": 0 }), Some(Denial::Expired)),
        (json!({ "exp": -1 }), Some(Denial::Expired)),
        (json!({ "exp": i64::MIN }), Some(Denial::Expired)),
        (json!({ "exp": -1e300 }), Some(Denial::Expired)),
        (json!({ "exp": NOW as f64 + 0.5 }), None),
        // As far as it goes: the issuer said so.
        (json!({ "exp": 1e300 }), None),
        (json!({ "exp": u64::MAX }), None),
        (json!({ "nbf": NOW + 3600 }), Some(Denial::NotYetValid)),
        (json!({ "nbf": 1e300 }), Some(Denial::NotYetValid)),
        (json!({ "nbf": "soon" }), Some(Denial::MissingClaim)),
        (json!({ "jti": ["a"] }), Some(Denial::MissingClaim)),
        (json!({ "jti": "x".repeat(257) }), Some(Denial::TooLarge)),
    ];
    for (more, expected) in cases {
        assert_eq!(denial(&believing, &with(&claims(more.clone()).to_string())), expected, "{more}");
    }
}

#[test]
fn a_null_is_no_claim_that_is_missing_but_one_of_another_shape() {
    for name in ["exp", "aud", "nbf", "iss", "jti"] {
        let mut claims = claims(json!({}));
        claims[name] = Value::Null;
        let denied = denial(&believing(), &with(&claims.to_string()));
        assert!(matches!(denied, Some(Denial::MissingClaim | Denial::WrongAudience)), "{name}: {denied:?}");
    }
}

#[test]
fn names_that_stand_twice_are_refused_in_header_and_claims_at_any_depth() {
    let claims = claims(json!({})).to_string();
    let and = |more: &str| format!("{},{more}}}", &claims[..claims.len() - 1]);
    for more in [
        format!("\"aud\":{AUD:?}"),
        format!("\"iss\":{ISS:?}"),
        format!("\"exp\":{}", NOW + 60),
        r#""\u0061ud":"other""#.to_owned(),
        r#""x":{"y":1,"y":1}"#.to_owned(),
        r#""x":[{"y":1,"y":2}]"#.to_owned(),
    ] {
        let token = with(&and(&more));
        assert_eq!(denial(&believing(), &token), Some(Denial::DuplicateClaim), "{more}");
    }
    assert_eq!(denial(&believing(), &with(&and(r#""x":{"y":{"y":1}}"#))), None);
    for header in [
        r#"{"alg":"none","alg":"ES256","kid":"k1"}"#,
        r#"{"alg":"ES256","alg":"none","kid":"k1"}"#,
        r#"{"alg":"ES256","kid":"k1","kid":"k2"}"#,
        r#"{"alg":"ES256","kid":"k1","\u0061lg":"ES256"}"#,
    ] {
        assert_eq!(denial(&believing(), &headed(header)), Some(Denial::DuplicateClaim), "{header}");
    }
}

#[test]
fn a_header_gives_no_key_and_asks_for_nothing_that_is_not_understood() {
    let forger = Signer::p256();
    let claims = claims(json!({})).to_string();
    for (header, expected) in [
        (json!({ "alg": "ES256", "jwk": forger.jwk("k1") }), Denial::BadSignature),
        (json!({ "alg": "ES256", "kid": "k1", "jwk": forger.jwk("k1") }), Denial::BadSignature),
        (json!({ "alg": "ES256", "kid": "k1", "jku": "http://127.0.0.1/jwks" }), Denial::BadSignature),
        (json!({ "alg": "ES256", "kid": "k1", "x5u": "http://127.0.0.1/c" }), Denial::BadSignature),
        (json!({ "alg": "ES256", "kid": "k2" }), Denial::UnknownKey),
        (json!({ "alg": "ES256", "kid": "../../dev/null" }), Denial::UnknownKey),
        (json!({ "alg": "ES256", "kid": "' or 1=1 --" }), Denial::UnknownKey),
        (json!({ "alg": "ES256", "kid": ["k1"] }), Denial::Malformed),
        (json!({ "alg": "ES256", "kid": null }), Denial::Malformed),
        (json!({ "alg": "ES256", "kid": "k1", "crit": ["exp"] }), Denial::Malformed),
        (json!({ "alg": "ES256", "kid": "k1", "crit": [] }), Denial::Malformed),
        (json!({ "alg": "ES256", "kid": "k1", "crit": ["b64"], "b64": false }), Denial::Malformed),
    ] {
        let token = forger.token_of("ES256", &header.to_string(), &claims);
        assert_eq!(denial(&believing(), &token), Some(expected), "{header}");
    }
    let critical = headed(r#"{"alg":"ES256","kid":"k1","crit":["exp"]}"#);
    assert_eq!(denial(&believing(), &critical), Some(Denial::Malformed));
    assert_eq!(denial(&believing(), &headed(r#"{"alg":"ES256"}"#)), None, "all keys are tried without an id");
}

#[test]
fn a_token_of_another_shape_is_malformed() {
    let good = P256.token("ES256", "k1", &claims(json!({})));
    let parts: Vec<&str> = good.split('.').collect();
    let [header, claims, signature] = parts[..] else { panic!("{good}") };
    let padded = |part: &str| format!("{part}{}", "=".repeat((4 - part.len() % 4) % 4));
    let b64 = |text: &[u8]| BASE64URL_NOPAD.encode(text);
    let standard = good.replace('-', "+").replace('_', "/");
    let shapes = [
        String::new(),
        ".".to_owned(),
        "..".to_owned(),
        "...".to_owned(),
        "a.b".to_owned(),
        header.to_owned(),
        format!("{header}.{claims}"),
        format!("{header}{claims}{signature}"),
        format!("{good}.{signature}"),
        format!("{header}..{claims}.{signature}"),
        format!(".{claims}.{signature}"),
        format!("{header}..{signature}"),
        format!(" {good}"),
        format!("{header} .{claims}.{signature}"),
        format!("{header}\n.{claims}.{signature}"),
        format!("{}.{claims}.{signature}", padded(&format!("{header}="))),
        format!("{}.{claims}.{signature}", b64(b"null")),
        format!("{}.{claims}.{signature}", b64(b"[]")),
        format!("{header}.{}.{signature}", b64(b"\"text\"")),
        format!("{header}.{}.{signature}", b64(b"{\"iss\":\"\xff\"}")),
        format!("{header}.{}.{signature}", b64(b"{\"iss\":\"\\ud800\"}")),
        format!("{header}.{}.{signature}", b64(b"{\"exp\":1e999}")),
        format!("{header}.{}.{signature}", b64(b"{\"exp\":NaN}")),
        format!("{header}.{}.{signature}", b64(b"{} {}")),
        // Encrypted (RFC 7516 section 3.1).
        "a.b.c.d.e".to_owned(),
    ];
    for shape in shapes {
        assert_eq!(denial(&believing(), &shape), Some(Denial::Malformed), "{shape:?}");
    }
    for shape in [format!("{good} "), format!("{good}\n"), format!("{good}="), format!("{good}AA")] {
        assert_eq!(denial(&believing(), &shape), Some(Denial::BadSignature), "{shape:?}");
    }
    if standard != good {
        assert!(denial(&believing(), &standard).is_some());
    }
}

#[test]
fn base64_that_has_bits_to_spare_is_refused() {
    // 64 bytes of signature end in a letter with four bits to spare.
    let good = P256.token("ES256", "k1", &claims(json!({})));
    let letters = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let last = *good.as_bytes().last().unwrap();
    let place = letters.iter().position(|letter| *letter == last).unwrap();
    assert_eq!(denial(&believing(), &good), None);
    for spare in 1..16 {
        let other = letters[place ^ spare] as char;
        let token = format!("{}{other}", &good[..good.len() - 1]);
        assert_eq!(denial(&believing(), &token), Some(Denial::BadSignature), "{other}");
    }
    // The same of a header of 16 bytes, signed as it stands: nothing but its spare bits is wrong.
    let header = BASE64URL_NOPAD.encode(br#"{"alg":"ES256"} "#);
    let claims = BASE64URL_NOPAD.encode(claims(json!({})).to_string().as_bytes());
    let (most, last) = header.split_at(header.len() - 1);
    let place = letters.iter().position(|letter| *letter == last.as_bytes()[0]).unwrap();
    for (spare, expected) in [(0, None), (1, Some(Denial::Malformed)), (8, Some(Denial::Malformed))] {
        let message = format!("{most}{}.{claims}", letters[place ^ spare] as char);
        let signature = BASE64URL_NOPAD.encode(&P256.sign("ES256", message.as_bytes()));
        assert_eq!(denial(&believing(), &format!("{message}.{signature}")), expected, "{spare}");
    }
}

#[test]
fn huge_tokens_and_deep_ones_are_refused_before_anything_is_made_of_them() {
    let believing = believing();
    let long = with(&claims(json!({ "x": "y".repeat(TOKEN_MAX) })).to_string());
    assert_eq!(denial(&believing, &long), Some(Denial::TooLarge));
    assert_eq!(denial(&believing, &"a".repeat(50 << 20)), Some(Denial::TooLarge));
    let fitting = with(&claims(json!({ "x": "y".repeat(5000) })).to_string());
    assert!(fitting.len() <= TOKEN_MAX);
    assert_eq!(denial(&believing, &fitting), None);
    let claims = claims(json!({})).to_string();
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        for depth in [200, 900] {
            let deep = format!("{}1{}", open.repeat(depth), close.repeat(depth));
            let token = with(&format!("{},\"x\":{deep}}}", &claims[..claims.len() - 1]));
            assert!(token.len() <= TOKEN_MAX, "{}", token.len());
            assert_eq!(denial(&believing, &token), Some(Denial::Malformed), "{depth} {open}");
        }
    }
}

#[test]
fn any_bit_that_is_flipped_in_a_token_spoils_it() {
    let believing = believing();
    let good = P256.token("ES256", "k1", &claims(json!({})));
    for at in 0..good.len() {
        for bit in 0..7 {
            let mut bytes = good.clone().into_bytes();
            bytes[at] ^= 1 << bit;
            let Ok(token) = String::from_utf8(bytes) else { continue };
            assert!(denial(&believing, &token).is_some(), "bit {bit} of byte {at}");
        }
    }
}

#[test]
fn of_two_audiences_of_one_issuer_the_refusal_is_that_of_the_one_meant() {
    let other = waypost::config::Issuer {
        name: "other".to_owned(),
        audiences: vec!["other".to_owned()],
        ..configured(&[Es256])
    };
    let ours = Issuer::new(&configured(&[Es256]), key_set(&[P256.jwk("k1")]));
    let theirs = Issuer::new(&other, key_set(&[RSA.jwk("r1"), P256.jwk("k1")]));
    for (issuers, meant) in [(vec![ours.clone(), theirs.clone()], 0), (vec![theirs, ours], 1)] {
        let believing = entitlements(issuers);
        let good = P256.token("ES256", "k1", &claims(json!({})));
        assert_eq!(believing.grant(&good, now()).unwrap().issuer.index(), meant);
        let unknown = P256.token("ES256", "k2", &claims(json!({})));
        let refused = believing.grant(&unknown, now()).unwrap_err();
        assert_eq!((refused.reason, refused.issuer.unwrap().index()), (Denial::UnknownKey, meant));
        let neither = P256.token("ES256", "k1", &claims(json!({ "aud": "third" })));
        assert_eq!(denial(&believing, &neither), Some(Denial::WrongAudience));
    }
}

#[test]
fn nothing_of_a_token_is_told_by_what_it_leads_to() {
    let believing = believing();
    let token = P256.token("ES256", "k1", &claims(json!({ "sub": "somebody-private" })));
    let grant = believing.grant(&token, now()).unwrap();
    let refused = believing.grant(with("{}"), now()).unwrap_err();
    let mut headers = http::HeaderMap::new();
    headers.insert("authorization", format!("Bearer {token}").parse().unwrap());
    let presented = Presented::of(&headers);
    assert!(matches!(presented, Presented::Header(_)));
    let told = format!("{grant:?} {believing:?} {refused:?} {presented:?}");
    for part in token.split('.') {
        assert!(!told.contains(part));
    }
    assert!(!told.contains("somebody-private"));
}

proptest! {
    #[test]
    fn no_text_makes_the_parser_panic_or_is_believed(text in "\\PC{0,200}") {
        prop_assert!(believing().grant(&text, now()).is_err());
        let _ = waypost::entitlement::decode(&text);
    }

    #[test]
    fn no_bytes_between_dots_make_the_parser_panic_or_are_believed(
        header in proptest::collection::vec(any::<u8>(), 0..60),
        claims in proptest::collection::vec(any::<u8>(), 0..60),
        signature in proptest::collection::vec(any::<u8>(), 0..80),
    ) {
        let parts = [header, claims, signature].map(|part| BASE64URL_NOPAD.encode(&part));
        let token = parts.join(".");
        prop_assert!(believing().grant(&token, now()).is_err());
        let _ = waypost::entitlement::decode(&token);
    }
}
