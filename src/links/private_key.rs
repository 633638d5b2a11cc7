//! Private keys in PEM: RSA in PKCS#8 or PKCS#1, ECDSA P-256 in PKCS#8 or SEC1. They sign with SHA-256.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, RSA_PKCS1_SHA256, RsaKeyPair};
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject;

use super::signatures::Signatures;

/// Longest signature of a key that is taken: RSA with 4096 bits.
const SIGNATURE_MAX: usize = 512;

pub(super) struct PrivateKey {
    pair: Pair,
    made: Signatures,
}

enum Pair {
    Rsa(RsaKeyPair),
    Ecdsa(EcdsaKeyPair),
}

impl PrivateKey {
    /// `None`: it is no such key.
    pub(super) fn from_pem(pem: &[u8]) -> Option<Self> {
        let rsa = |key: RsaKeyPair| {
            Some(Pair::Rsa(key)).filter(|key| key.rsa_bits().is_some_and(|bits| bits <= 8 * SIGNATURE_MAX))
        };
        let ecdsa = |der: &[u8]| {
            let pair = EcdsaKeyPair::from_private_key_der(&ECDSA_P256_SHA256_ASN1_SIGNING, der);
            pair.ok().map(Pair::Ecdsa)
        };
        let pair = match PrivateKeyDer::from_pem_slice(pem).ok()? {
            PrivateKeyDer::Pkcs1(key) => RsaKeyPair::from_der(key.secret_pkcs1_der()).ok().and_then(rsa),
            PrivateKeyDer::Sec1(key) => ecdsa(key.secret_sec1_der()),
            PrivateKeyDer::Pkcs8(key) => match RsaKeyPair::from_pkcs8(key.secret_pkcs8_der()) {
                Ok(key) => rsa(key),
                Err(_) => ecdsa(key.secret_pkcs8_der()),
            },
            _ => None,
        };
        pair.map(|pair| Self { pair, made: Signatures::default() })
    }

    /// How many bits the modulus has; `None`: it is no RSA key.
    pub(super) fn rsa_bits(&self) -> Option<usize> {
        self.pair.rsa_bits()
    }

    /// Hands the signature to `put`: made now, or before for the same message.
    pub(super) fn sign(&self, message: &[u8], put: impl FnOnce(&[u8])) {
        self.made.of(message, || self.pair.sign(message), put);
    }
}

impl Pair {
    fn rsa_bits(&self) -> Option<usize> {
        match self {
            Self::Rsa(key) => Some(8 * key.public_modulus_len()),
            Self::Ecdsa(_) => None,
        }
    }

    /// Of RSA the same for the same message (RFC 8017 section 8.2), of ECDSA another each time.
    fn sign(&self, message: &[u8]) -> Box<[u8]> {
        match self {
            Self::Rsa(key) => {
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature)
                    .expect("the room is as long as the modulus, and the key was checked when it was read");
                signature.into()
            }
            Self::Ecdsa(key) => {
                let signature = key.sign(&SystemRandom::new(), message);
                signature.expect("the key was checked when it was read").as_ref().into()
            }
        }
    }
}
