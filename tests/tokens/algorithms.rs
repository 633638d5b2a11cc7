//! Which signatures are believed.

use std::sync::Arc;

use serde_json::json;
use waypost::config::JwtAlgorithm;
use waypost::entitlement::{Issuer, KeySet};
use waypost::model::Denial;

use crate::openssl::{Key, Kind, SECRET};
use crate::signer::{ED25519, P256, P384, RSA, Signer};
use crate::signer::{claims, configured, denial, entitlements, key_set, one};

fn kind_of(alg: JwtAlgorithm) -> Kind {
    use JwtAlgorithm::*;
    match alg {
        Hs256 | Hs384 | Hs512 => Kind::Secret,
        Rs256 | Rs384 | Rs512 | Ps256 | Ps384 | Ps512 => Kind::Rsa,
        Es256 => Kind::P256,
        Es384 => Kind::P384,
        EdDsa => Kind::Ed25519,
    }
}

#[test]
fn every_algorithm_works_with_what_openssl_has_signed_and_with_no_other_name() {
    for kind in [Kind::Rsa, Kind::P256, Kind::P384, Kind::Ed25519, Kind::Secret] {
        let key = Key::new(kind);
        let keys = match kind {
            Kind::Secret => Some(Arc::new(KeySet::from_secrets(&[vec![1; 32], SECRET.to_vec()]).unwrap())),
            _ => key_set(&[key.jwk("k1")]),
        };
        for (name, algorithm) in JwtAlgorithm::NAMES.into_iter().filter(|(_, alg)| kind_of(*alg) == kind) {
            let token = key.token(name, "k1", &claims(json!({})));
            let issuer = Issuer::new(&configured(&[algorithm]), keys.clone());
            assert_eq!(denial(&entitlements(vec![issuer]), &token), None, "{name}");
            let others = JwtAlgorithm::NAMES.map(|(_, other)| other);
            let others: Vec<_> = others.into_iter().filter(|other| *other != algorithm).collect();
            let issuer = Issuer::new(&configured(&others), keys.clone());
            assert_eq!(
                denial(&entitlements(vec![issuer]), &token),
                Some(Denial::WrongAlgorithm),
                "{name} where it is not allowed"
            );
        }
    }
}

#[test]
fn a_signature_under_another_algorithms_name_is_none() {
    use JwtAlgorithm::*;
    let all: Vec<_> = JwtAlgorithm::NAMES.iter().map(|(_, algorithm)| *algorithm).collect();
    // What signs, how it really signs, and what the header says.
    let cases: [(&Signer, &str, &str, Denial); 7] = [
        (&RSA, "RS256", "PS256", Denial::BadSignature),
        (&RSA, "PS256", "RS256", Denial::BadSignature),
        (&RSA, "RS256", "RS512", Denial::BadSignature),
        (&RSA, "RS256", "ES256", Denial::WrongAlgorithm),
        (&P384, "ES384", "ES256", Denial::WrongAlgorithm),
        (&P256, "ES256", "ES384", Denial::WrongAlgorithm),
        (&ED25519, "EdDSA", "RS256", Denial::WrongAlgorithm),
    ];
    for (signer, really, said, expected) in cases {
        let header = json!({ "alg": said, "kid": "k1" }).to_string();
        let token = signer.token_of(really, &header, &claims(json!({})).to_string());
        assert_eq!(denial(&one(signer, &all), &token), Some(expected), "{really} as {said}");
    }
    let token = RSA.token("RS256", "k1", &claims(json!({})));
    assert_eq!(denial(&one(&RSA, &[Ps256, Es256]), &token), Some(Denial::WrongAlgorithm));
}

#[test]
fn a_public_key_is_no_shared_secret() {
    let set = String::from_utf8(crate::signer::jwks(&[RSA.jwk("k1")])).unwrap();
    let der = RSA.public_der();
    let pem = format!(
        "-----BEGIN PUBLIC KEY-----\n{}-----END PUBLIC KEY-----\n",
        data_encoding::BASE64
            .encode(&der)
            .as_bytes()
            .chunks(64)
            .map(|line| format!("{}\n", std::str::from_utf8(line).unwrap()))
            .collect::<String>()
    );
    let secrets = [
        pem.trim_end().as_bytes().to_vec(),
        pem.into_bytes(),
        der,
        RSA.jwk("k1").to_string().into_bytes(),
        RSA.jwk("k1")["n"].as_str().unwrap().as_bytes().to_vec(),
        set.into_bytes(),
        vec![],
    ];
    let all: Vec<_> = JwtAlgorithm::NAMES.iter().map(|(_, algorithm)| *algorithm).collect();
    for secret in secrets {
        let forger = Signer::Secret(secret);
        for alg in ["HS256", "HS384", "HS512"] {
            for kid in ["k1", "other"] {
                let token = forger.token(alg, kid, &claims(json!({})));
                assert_eq!(
                    denial(&one(&RSA, &[JwtAlgorithm::Rs256]), &token),
                    Some(Denial::WrongAlgorithm),
                    "{alg} {kid}"
                );
                // Not even where somebody allowed everything.
                let denied = denial(&one(&RSA, &all), &token);
                assert!(
                    matches!(denied, Some(Denial::WrongAlgorithm | Denial::UnknownKey)),
                    "{alg} {kid}: {denied:?}"
                );
            }
        }
    }
}

#[test]
fn no_signature_and_no_algorithm_are_never_enough() {
    let all: Vec<_> = JwtAlgorithm::NAMES.iter().map(|(_, algorithm)| *algorithm).collect();
    let believing = one(&RSA, &all);
    let claims = claims(json!({})).to_string();
    for alg in ["none", "None", "NONE", "nOnE", "", "rs256", "RS256 ", "RS1", "HS256\u{0}"] {
        let token = RSA.token_of("RS256", &json!({ "alg": alg, "kid": "k1" }).to_string(), &claims);
        let (unsigned, _) = token.rsplit_once('.').unwrap();
        for token in [format!("{unsigned}."), token.clone()] {
            assert_eq!(denial(&believing, &token), Some(Denial::WrongAlgorithm), "{alg:?}");
        }
    }
    let token = RSA.token("RS256", "k1", &serde_json::from_str(&claims).unwrap());
    let (unsigned, _) = token.rsplit_once('.').unwrap();
    assert_eq!(denial(&believing, &token), None);
    assert_eq!(denial(&believing, &format!("{unsigned}.")), Some(Denial::BadSignature));
    assert_eq!(denial(&believing, unsigned), Some(Denial::Malformed));
    for header in [json!({ "kid": "k1" }), json!({ "alg": ["RS256"] }), json!({ "alg": null })] {
        let token = RSA.token_of("RS256", &header.to_string(), &claims);
        assert_eq!(denial(&believing, &token), Some(Denial::Malformed), "{header}");
    }
}
