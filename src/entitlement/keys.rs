//! The keys of an issuer: a JWK set, or shared secrets.

use std::fmt;

use jsonwebtoken::jwk::{
    AlgorithmParameters, CommonParameters, EllipticCurve, Jwk, KeyOperations, PublicKeyUse,
};
use jsonwebtoken::{Algorithm, DecodingKey};

use crate::config::JwtAlgorithm;
use crate::model::Sha256;

/// Most keys of a set: providers publish two to ten.
const KEYS_MAX: usize = 100;
/// Longest JWK set, in bytes.
const SET_MAX: usize = 1 << 20;
/// Shortest shared secret, in bytes: as long as the shortest hash that is used with it (RFC 7518 section 3.2).
const SECRET_MIN: usize = 32;
/// Shortest RSA modulus, in bytes (RFC 7518 section 3.3).
const RSA_MIN: usize = 256;

/// Why a text is no set of keys.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Too long.
    #[error("is longer than a JWK set may be (1 MiB)")]
    TooLong,
    /// No JSON of that shape; where it is not, and never what stands there: a file may hold a secret instead.
    #[error("is no JWK set (RFC 7517 section 5): {0}")]
    NoSet(String),
    /// No key in it can be used.
    #[error(
        "holds no key that can verify tokens: RSA of 2048 bits or more, P-256, P-384 or Ed25519, for signatures"
    )]
    Empty,
    /// A secret that is too short.
    #[error("is shorter than 32 bytes: make one with `head -c 32 /dev/urandom | base64`")]
    ShortSecret,
}

/// One key, and what it can verify.
struct Key {
    id: Option<Box<str>>,
    /// Algorithms by its type, further restricted where the set says which one it is for.
    algorithms: Vec<Algorithm>,
    key: DecodingKey,
}

/// The keys of an issuer.
pub struct KeySet {
    keys: Box<[Key]>,
    /// Of what it was read from: equal sets are equal keys.
    digest: Sha256,
}

impl KeySet {
    /// Reads a JWK set. Keys that cannot verify what is spoken here are left out.
    ///
    /// # Errors
    ///
    /// Where it is no set, or nothing in it can be used.
    pub fn from_jwks(text: &[u8]) -> Result<Self, KeyError> {
        if text.len() > SET_MAX {
            return Err(KeyError::TooLong);
        }
        let no_set = |error: serde_json::Error| {
            KeyError::NoSet(format!("line {}, column {}", error.line(), error.column()))
        };
        let set: RawSet = serde_json::from_slice(text).map_err(no_set)?;
        // A key of a kind that is not known does not spoil the others.
        let keys = set.keys.into_iter().take(KEYS_MAX).filter(|raw| !is_private(raw));
        let keys = keys.filter_map(|raw| serde_json::from_value::<Jwk>(raw).ok());
        let keys: Box<[Key]> = keys.filter_map(|jwk| usable(&jwk)).collect();
        match keys.is_empty() {
            true => Err(KeyError::Empty),
            false => Ok(Self { keys, digest: Sha256::of(text) }),
        }
    }

    /// Shared secrets, any of which may have signed.
    ///
    /// # Errors
    ///
    /// Where one is too short to be a secret.
    pub fn from_secrets(secrets: &[Vec<u8>]) -> Result<Self, KeyError> {
        if secrets.iter().any(|secret| secret.len() < SECRET_MIN) {
            return Err(KeyError::ShortSecret);
        }
        let key = |secret: &Vec<u8>| Key {
            id: None,
            algorithms: vec![Algorithm::HS256, Algorithm::HS384, Algorithm::HS512],
            key: DecodingKey::from_secret(secret),
        };
        Ok(Self { keys: secrets.iter().map(key).collect(), digest: Sha256::of(&secrets.join(&0)) })
    }

    /// Keys that may have made a signature and can verify the algorithm: where an id is named those that have it, then those
    /// without any; else all.
    pub(super) fn candidates(
        &self,
        id: Option<&str>,
        algorithm: Algorithm,
    ) -> impl Iterator<Item = &DecodingKey> {
        let of = move |wanted: fn(&Key, Option<&str>) -> bool| {
            let speaks = move |key: &&Key| key.algorithms.contains(&algorithm) && wanted(key, id);
            self.keys.iter().filter(speaks).map(|key| &key.key)
        };
        let named = of(|key, id| id.is_none() || key.id.as_deref() == id);
        // A shared secret has no id, whatever the token calls it.
        named.chain(of(|key, id| id.is_some() && key.id.is_none()))
    }

    /// Whether a key has this id.
    pub(super) fn has(&self, id: &str) -> bool {
        self.keys.iter().any(|key| key.id.as_deref() == Some(id))
    }

    /// How many keys can be used.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Never: a set without keys is refused.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Whether two sets were read from the same bytes.
    pub fn same(&self, other: &Self) -> bool {
        self.digest == other.digest
    }
}

/// Only the ids: keys are nobody's business.
impl fmt::Debug for KeySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.keys.iter().map(|key| &key.id)).finish()
    }
}

#[derive(serde::Deserialize)]
struct RawSet {
    keys: Vec<serde_json::Value>,
}

/// A private key in a published set is everybody's: nothing that it signs is believed.
fn is_private(raw: &serde_json::Value) -> bool {
    raw.get("d").is_some()
}

/// Whether a key is for verifying signatures, as far as it says what it is for (RFC 7517 sections 4.2 and 4.3).
fn verifies(key: &CommonParameters) -> bool {
    key.public_key_use.as_ref().is_none_or(|usage| *usage == PublicKeyUse::Signature)
        && key.key_operations.as_ref().is_none_or(|operations| operations.contains(&KeyOperations::Verify))
}

/// A public key that is for signatures.
fn usable(jwk: &Jwk) -> Option<Key> {
    if !verifies(&jwk.common) {
        return None;
    }
    let mut algorithms = match &jwk.algorithm {
        AlgorithmParameters::RSA(rsa) if is_long(&rsa.n) => vec![
            Algorithm::RS256,
            Algorithm::RS384,
            Algorithm::RS512,
            Algorithm::PS256,
            Algorithm::PS384,
            Algorithm::PS512,
        ],
        AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P256 => vec![Algorithm::ES256],
        AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P384 => vec![Algorithm::ES384],
        AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => {
            vec![Algorithm::EdDSA]
        }
        // A secret in a public set is none.
        _ => return None,
    };
    if let Some(named) = jwk.common.key_algorithm {
        let named = named.to_string();
        algorithms.retain(|algorithm| format!("{algorithm:?}") == named);
    }
    let key = DecodingKey::from_jwk(jwk).ok().filter(|_| !algorithms.is_empty())?;
    Some(Key { id: jwk.common.key_id.as_deref().map(Box::from), algorithms, key })
}

fn is_long(modulus: &str) -> bool {
    let bytes = data_encoding::BASE64URL_NOPAD.decode(modulus.trim_end_matches('=').as_bytes());
    bytes.is_ok_and(|bytes| bytes.iter().skip_while(|byte| **byte == 0).count() >= RSA_MIN)
}

/// The library's name of an algorithm.
pub(super) fn algorithm_of(algorithm: JwtAlgorithm) -> Algorithm {
    match algorithm {
        JwtAlgorithm::Hs256 => Algorithm::HS256,
        JwtAlgorithm::Hs384 => Algorithm::HS384,
        JwtAlgorithm::Hs512 => Algorithm::HS512,
        JwtAlgorithm::Rs256 => Algorithm::RS256,
        JwtAlgorithm::Rs384 => Algorithm::RS384,
        JwtAlgorithm::Rs512 => Algorithm::RS512,
        JwtAlgorithm::Ps256 => Algorithm::PS256,
        JwtAlgorithm::Ps384 => Algorithm::PS384,
        JwtAlgorithm::Ps512 => Algorithm::PS512,
        JwtAlgorithm::Es256 => Algorithm::ES256,
        JwtAlgorithm::Es384 => Algorithm::ES384,
        JwtAlgorithm::EdDsa => Algorithm::EdDSA,
    }
}
