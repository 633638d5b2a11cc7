//! Issuers that sign whatever they are told to, right or wrong.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{self, EcdsaKeyPair, Ed25519KeyPair, KeyPair};
use aws_lc_rs::{hmac, rsa};
use data_encoding::BASE64URL_NOPAD;
use serde_json::{Value, json};
use waypost::config::{
    Allow, ClaimMatch, Entitlement, Issuer as Configured, IssuerKeys, JwtAlgorithm, ProductPattern,
};
use waypost::entitlement::{Counts, Disbelief, Entitlements, Grant, Issuer, KeySet, Revoked, Rules, Tickets};
use waypost::model::{Denial, Timestamp};

/// Whose tokens the tests believe, what they are for, and when.
pub const ISS: &str = "https://ci.example";
pub const AUD: &str = "downloads.example.com";
pub const NOW: i64 = 1_800_000_000;

pub fn now() -> Timestamp {
    at(NOW)
}

/// Seconds since 1970.
pub fn at(seconds: i64) -> Timestamp {
    Timestamp::from_millis(seconds * 1000)
}

/// A key that signs.
pub enum Signer {
    Rsa(rsa::KeyPair),
    P256(EcdsaKeyPair),
    P384(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
    Secret(Vec<u8>),
}

/// Slow to make, so that all tests share them.
pub static RSA: LazyLock<Signer> =
    LazyLock::new(|| Signer::Rsa(rsa::KeyPair::generate(rsa::KeySize::Rsa2048).unwrap()));
pub static P256: LazyLock<Signer> = LazyLock::new(Signer::p256);
pub static P384: LazyLock<Signer> = LazyLock::new(|| {
    let algorithm = &signature::ECDSA_P384_SHA384_FIXED_SIGNING;
    Signer::P384(EcdsaKeyPair::generate(algorithm).unwrap())
});
pub static ED25519: LazyLock<Signer> = LazyLock::new(|| Signer::Ed25519(Ed25519KeyPair::generate().unwrap()));

impl Signer {
    /// A new key: cheap.
    pub fn p256() -> Self {
        Self::P256(EcdsaKeyPair::generate(&signature::ECDSA_P256_SHA256_FIXED_SIGNING).unwrap())
    }

    /// Its public half.
    pub fn jwk(&self, kid: &str) -> Value {
        let b64 = |bytes: &[u8]| BASE64URL_NOPAD.encode(bytes);
        let mut jwk = match self {
            Self::Rsa(key) => {
                let public = key.public_key();
                let n = public.modulus().big_endian_without_leading_zero().to_vec();
                let e = public.exponent().big_endian_without_leading_zero().to_vec();
                json!({ "kty": "RSA", "n": b64(&n), "e": b64(&e) })
            }
            Self::P256(key) | Self::P384(key) => {
                // 0x04, x, y.
                let point = &key.public_key().as_ref()[1..];
                let (x, y) = point.split_at(point.len() / 2);
                let curve = if x.len() == 32 { "P-256" } else { "P-384" };
                json!({ "kty": "EC", "crv": curve, "x": b64(x), "y": b64(y) })
            }
            Self::Ed25519(key) => {
                json!({ "kty": "OKP", "crv": "Ed25519", "x": b64(key.public_key().as_ref()) })
            }
            Self::Secret(secret) => json!({ "kty": "oct", "k": b64(secret) }),
        };
        jwk["kid"] = kid.into();
        jwk
    }

    /// Its public half as X.509 has it (SubjectPublicKeyInfo).
    pub fn public_der(&self) -> Vec<u8> {
        match self {
            Self::Rsa(key) => {
                let der: aws_lc_rs::encoding::PublicKeyX509Der<'_> = key.public_key().as_der().unwrap();
                der.as_ref().to_vec()
            }
            _ => panic!("only RSA"),
        }
    }

    /// A signature of the kind that the name says, as far as the key can make it.
    pub fn sign(&self, alg: &str, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match self {
            Self::Rsa(key) => {
                let padding: &dyn signature::RsaEncoding = match alg {
                    "RS384" => &signature::RSA_PKCS1_SHA384,
                    "RS512" => &signature::RSA_PKCS1_SHA512,
                    "PS256" => &signature::RSA_PSS_SHA256,
                    "PS384" => &signature::RSA_PSS_SHA384,
                    "PS512" => &signature::RSA_PSS_SHA512,
                    _ => &signature::RSA_PKCS1_SHA256,
                };
                let mut signed = vec![0; key.public_modulus_len()];
                key.sign(padding, &random, message, &mut signed).unwrap();
                signed
            }
            Self::P256(key) | Self::P384(key) => key.sign(&random, message).unwrap().as_ref().to_vec(),
            Self::Ed25519(key) => key.sign(message).as_ref().to_vec(),
            Self::Secret(secret) => {
                let algorithm = match alg {
                    "HS384" => hmac::HMAC_SHA384,
                    "HS512" => hmac::HMAC_SHA512,
                    _ => hmac::HMAC_SHA256,
                };
                hmac::sign(&hmac::Key::new(algorithm, secret), message).as_ref().to_vec()
            }
        }
    }

    /// A token of texts that need not be JSON.
    pub fn token_of(&self, alg: &str, header: &str, claims: &str) -> String {
        let b64 = |text: &str| BASE64URL_NOPAD.encode(text.as_bytes());
        let message = format!("{}.{}", b64(header), b64(claims));
        let signed = self.sign(alg, message.as_bytes());
        format!("{message}.{}", BASE64URL_NOPAD.encode(&signed))
    }

    /// A token as it should be.
    pub fn token(&self, alg: &str, kid: &str, claims: &Value) -> String {
        let header = json!({ "typ": "JWT", "alg": alg, "kid": kid });
        self.token_of(alg, &header.to_string(), &claims.to_string())
    }
}

/// Claims that are believed at [`now`], with others laid over them; `null` takes one away.
pub fn claims(more: Value) -> Value {
    let mut claims = json!({ "iss": ISS, "aud": AUD, "exp": NOW + 600, "sub": "job", "jti": "t1" });
    for (name, value) in more.as_object().unwrap() {
        match value {
            Value::Null => drop(claims.as_object_mut().unwrap().remove(name)),
            value => claims[name] = value.clone(),
        }
    }
    claims
}

/// A JWK set.
pub fn jwks(keys: &[Value]) -> Vec<u8> {
    json!({ "keys": keys }).to_string().into_bytes()
}

pub fn key_set(keys: &[Value]) -> Option<Arc<KeySet>> {
    Some(Arc::new(KeySet::from_jwks(&jwks(keys)).unwrap()))
}

/// An issuer that may use these algorithms.
pub fn configured(algorithms: &[JwtAlgorithm]) -> Configured {
    Configured {
        name: "ci".to_owned(),
        issuer: ISS.to_owned(),
        audiences: vec![AUD.to_owned()],
        algorithms: algorithms.to_vec(),
        keys: IssuerKeys::JwksFile("unused".into()),
        leeway: Duration::from_secs(30),
        token_id: "jti".to_owned(),
    }
}

/// Everything of products whose names fit.
pub fn allow(product: &str) -> Allow {
    Allow {
        product: ProductPattern::Like(glob::Pattern::new(product).unwrap()),
        channels: vec![],
        versions: None,
        platforms: vec![],
        regions: vec![],
        from: None,
        until: None,
        assets: None,
    }
}

/// What an issuer's tokens give, if their claims fit.
pub fn entitlement(issuer: usize, when: &[(&str, &str)], allow: Vec<Allow>) -> Entitlement {
    let when = when.iter().map(|(claim, pattern)| ClaimMatch {
        claim: (*claim).to_owned(),
        patterns: vec![glob::Pattern::new(pattern).unwrap()],
    });
    Entitlement { issuer, when: when.collect(), allow }
}

pub fn tickets() -> Tickets {
    Tickets::new(&[7; 32], &[], Duration::from_secs(300))
}

/// All that tokens are held against.
pub fn entitlements(issuers: Vec<Issuer>) -> Entitlements {
    let rules = Rules::new(&[entitlement(0, &[], vec![allow("*")])]);
    let (rules, tickets) = (Arc::new(rules), Arc::new(tickets()));
    Entitlements::new(issuers.into(), rules, Arc::new(Revoked::new()), tickets, Arc::new(Counts::default()))
}

/// One issuer with one key, `k1`.
pub fn one(signer: &Signer, algorithms: &[JwtAlgorithm]) -> Entitlements {
    entitlements(vec![Issuer::new(&configured(algorithms), key_set(&[signer.jwk("k1")]))])
}

/// What becomes of a token at a moment.
pub fn outcome(entitlements: &Entitlements, token: &str, now: Timestamp) -> Result<Arc<Grant>, Denial> {
    entitlements.grant(token, now).map_err(|Disbelief { reason, .. }| reason)
}

/// Why a token is not believed.
pub fn denial(entitlements: &Entitlements, token: &str) -> Option<Denial> {
    outcome(entitlements, token, now()).err()
}
