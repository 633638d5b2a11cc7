//! Keys that sign what an origin shows.

use std::io::Cursor;

use minisign::KeyPair;

use super::Site;

pub struct Keys(KeyPair);

impl Keys {
    pub fn new() -> Self {
        Self(KeyPair::generate_unencrypted_keypair().unwrap())
    }

    /// As the configuration names it.
    pub fn public(&self) -> String {
        self.0.pk.to_base64()
    }

    pub fn sign(&self, bytes: &[u8], comment: &str) -> Vec<u8> {
        let signed = minisign::sign(Some(&self.0.pk), &self.0.sk, Cursor::new(bytes), Some(comment), None);
        signed.unwrap().to_bytes()
    }
}

/// Signs a file that lies at the origin.
pub fn sign_manifest(site: &Site, keys: &Keys, path: &str, comment: &str) {
    let bytes = std::fs::read(site.origin().join(path)).unwrap();
    site.write_origin(&format!("{path}.minisig"), &keys.sign(&bytes, comment));
}
