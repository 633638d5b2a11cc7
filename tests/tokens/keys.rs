//! Sets of keys: what is taken from them, and what spoils them.

use data_encoding::BASE64URL_NOPAD;
use serde_json::{Value, json};
use waypost::config::JwtAlgorithm::{self, EdDsa, Es256, Rs256};
use waypost::entitlement::{Issuer, KeyError, KeySet};
use waypost::model::Denial;

use crate::signer::{ED25519, P256, RSA, Signer};
use crate::signer::{claims, configured, denial, entitlements, jwks, key_set};

fn with(key: Value, more: Value) -> Value {
    let mut key = key;
    more.as_object().unwrap().iter().for_each(|(name, value)| key[name] = value.clone());
    key
}

#[test]
fn only_keys_that_verify_signatures_are_taken() {
    let b64 = |bytes: &[u8]| BASE64URL_NOPAD.encode(bytes);
    let rsa = |bytes: usize| json!({ "kty": "RSA", "e": "AQAB", "n": b64(&vec![0xc5; bytes]) });
    let p256 = || P256.jwk("k");
    for (key, taken) in [
        (p256(), true),
        (ED25519.jwk("k"), true),
        (RSA.jwk("k"), true),
        (with(p256(), json!({ "use": "sig" })), true),
        (with(p256(), json!({ "use": "enc" })), false),
        (with(p256(), json!({ "use": "something" })), false),
        (with(p256(), json!({ "key_ops": ["verify"] })), true),
        (with(p256(), json!({ "key_ops": ["sign", "verify"] })), true),
        (with(p256(), json!({ "key_ops": ["deriveKey"] })), false),
        (with(p256(), json!({ "alg": "ES256" })), true),
        (with(p256(), json!({ "alg": "ES384" })), false),
        (with(p256(), json!({ "alg": "ECDH-ES" })), false),
        (with(RSA.jwk("k"), json!({ "alg": "RSA-OAEP" })), false),
        // Its private half stands there for everybody.
        (with(p256(), json!({ "d": b64(&[7; 32]) })), false),
        (with(RSA.jwk("k"), json!({ "d": "AQ", "p": "AQ", "q": "AQ" })), false),
        (Signer::Secret(vec![7; 64]).jwk("k"), false),
        (json!({ "kty": "oct", "k": b64(&[7; 64]), "alg": "HS256", "use": "sig" }), false),
        (json!({ "kty": "OKP", "crv": "X25519", "x": b64(&[7; 32]) }), false),
        (json!({ "kty": "OKP", "crv": "P-256", "x": b64(&[7; 32]) }), false),
        (json!({ "kty": "EC", "crv": "P-521", "x": b64(&[7; 66]), "y": b64(&[7; 66]) }), false),
        (json!({ "kty": "EC", "crv": "secp256k1", "x": b64(&[7; 32]), "y": b64(&[7; 32]) }), false),
        (rsa(256), true),
        (rsa(255), false),
        (rsa(128), false),
        (json!({ "kty": "RSA", "e": "AQAB", "n": b64(&[[0; 200], [0xc5; 200]].concat()) }), false),
        (json!({ "kty": "RSA", "e": "AQAB" }), false),
        (json!({}), false),
        (json!(7), false),
    ] {
        let read = KeySet::from_jwks(&jwks(std::slice::from_ref(&key)));
        assert_eq!(read.is_ok(), taken, "{key}");
        // It does not spoil the others.
        let beside = KeySet::from_jwks(&jwks(&[key.clone(), p256()])).unwrap();
        assert_eq!(beside.len(), 1 + usize::from(taken), "{key}");
    }
}

#[test]
fn what_is_no_set_is_refused_and_not_repeated() {
    for text in [
        "",
        "{}",
        "[]",
        "\"a secret of a shared kind\"",
        "{\"keys\":\"a secret of a shared kind\"}",
        "{\"a secret of a shared kind\":",
        "<html>a secret of a shared kind</html>",
    ] {
        let error = KeySet::from_jwks(text.as_bytes()).unwrap_err();
        assert!(matches!(error, KeyError::NoSet(_)), "{text}: {error:?}");
        assert!(!error.to_string().contains("secret"), "{error}");
    }
    let empty = KeySet::from_jwks(&jwks(&[])).unwrap_err();
    assert_eq!(empty, KeyError::Empty);
    let long = format!("{{\"keys\":[]{}}}", " ".repeat(1 << 20));
    assert_eq!(KeySet::from_jwks(long.as_bytes()).unwrap_err(), KeyError::TooLong);
    let deep = format!("{{\"keys\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
    assert!(matches!(KeySet::from_jwks(deep.as_bytes()), Err(KeyError::NoSet(_))));
    assert_eq!(KeySet::from_secrets(&[vec![1; 31]]).unwrap_err(), KeyError::ShortSecret);
}

#[test]
fn a_set_of_thousands_of_keys_is_read_as_far_as_a_set_may_go() {
    let keys: Vec<Value> = (0..3000).map(|n| P256.jwk(&n.to_string())).collect();
    assert_eq!(KeySet::from_jwks(&jwks(&keys)).unwrap().len(), 100);
}

#[test]
fn a_token_that_names_no_key_is_held_against_the_first_three_and_one_that_does_against_its_own() {
    let signers: Vec<Signer> = (0..5).map(|_| Signer::p256()).collect();
    let set: Vec<Value> = (0..).zip(&signers).map(|(n, signer)| signer.jwk(&format!("k{n}"))).collect();
    // Of another algorithm: it is not one of the three.
    let set = key_set(&[&[RSA.jwk("rsa")], &set[..]].concat());
    let believing = entitlements(vec![Issuer::new(&configured(&[Es256]), set)]);
    for (n, signer) in (0..).zip(&signers) {
        let nameless = signer.token_of("ES256", r#"{"alg":"ES256"}"#, &claims(json!({})).to_string());
        let expected = (n >= 3).then_some(Denial::BadSignature);
        assert_eq!(denial(&believing, &nameless), expected, "key {n} without its name");
        let named = signer.token("ES256", &format!("k{n}"), &claims(json!({})));
        assert_eq!(denial(&believing, &named), None, "key {n}");
    }
}

#[test]
fn a_key_that_is_named_is_tried_before_those_without_a_name() {
    let nameless = |_| {
        let mut key = Signer::p256().jwk("");
        key.as_object_mut().unwrap().remove("kid");
        key
    };
    let set: Vec<Value> = (0..9).map(nameless).chain([P256.jwk("k1")]).collect();
    let believing = entitlements(vec![Issuer::new(&configured(&[Es256]), key_set(&set))]);
    assert_eq!(denial(&believing, &P256.token("ES256", "k1", &claims(json!({})))), None);
}

#[test]
fn as_many_shared_secrets_as_may_be_configured_are_believed() {
    let secrets: Vec<Vec<u8>> = (0..waypost::config::SECRETS_MAX).map(|n| vec![n as u8; 32]).collect();
    let set = Some(std::sync::Arc::new(KeySet::from_secrets(&secrets).unwrap()));
    let believing = entitlements(vec![Issuer::new(&configured(&[JwtAlgorithm::Hs256]), set)]);
    for secret in secrets {
        let token = Signer::Secret(secret).token("HS256", "any", &claims(json!({})));
        assert_eq!(denial(&believing, &token), None);
    }
}

#[test]
fn a_key_that_is_for_something_else_verifies_nothing_even_where_it_fits() {
    let all = [Rs256, Es256, EdDsa];
    let keys = key_set(&[with(RSA.jwk("k1"), json!({ "alg": "PS256" })), P256.jwk("k2")]);
    let believing = entitlements(vec![Issuer::new(&configured(&all), keys)]);
    let token = RSA.token("RS256", "k1", &claims(json!({})));
    assert_eq!(denial(&believing, &token), Some(Denial::WrongAlgorithm));
    assert_eq!(denial(&believing, &P256.token("ES256", "k2", &claims(json!({})))), None);
}

#[test]
fn a_point_that_is_on_no_curve_verifies_nothing() {
    let mut key = P256.jwk("k1");
    key["y"] = key["x"].clone();
    let believing = entitlements(vec![Issuer::new(&configured(&[Es256]), key_set(&[key]))]);
    let token = P256.token("ES256", "k1", &claims(json!({})));
    assert_eq!(denial(&believing, &token), Some(Denial::BadSignature));
}

#[test]
fn without_keys_nothing_is_believed_and_it_is_said_that_this_is_no_fault_of_the_token() {
    let believing = entitlements(vec![Issuer::new(&configured(&[Es256]), None)]);
    let token = P256.token("ES256", "k1", &claims(json!({})));
    assert_eq!(denial(&believing, &token), Some(Denial::NoKeys));
}
