//! Google Cloud Storage: V4 signed URLs with a service account's key
//! (<https://cloud.google.com/storage/docs/access-control/signed-urls>).

use std::path::Path;

use serde::Deserialize;

use super::period::Period;
use super::presigned::{Dialect, Presigner, put_hex};
use super::private_key::PrivateKey;
use super::{LinkMethod, SignerError, key_file};

pub(super) struct Gcs {
    presigner: Presigner,
    key: PrivateKey,
}

/// What is needed of the file.
#[derive(Deserialize)]
struct ServiceAccount {
    client_email: String,
    private_key: String,
}

impl Gcs {
    pub(super) fn load(path: &Path) -> Result<Self, SignerError> {
        let file = key_file::read(path)?;
        let bad = |problem| key_file::bad(path, problem);
        let account: ServiceAccount = serde_json::from_slice(&file).map_err(|_| {
            bad("is no service account's key in JSON: make one with `gcloud iam service-accounts keys create`")
        })?;
        let key = PrivateKey::from_pem(account.private_key.as_bytes()).filter(|key| key.rsa_bits().is_some());
        let key = key.ok_or_else(|| bad("holds no RSA key of at most 4096 bits as its private_key"))?;
        let dialect = Dialect {
            prefix: "X-Goog-",
            algorithm: "GOOG4-RSA-SHA256",
            scope: "/auto/storage/goog4_request".to_owned(),
            id: account.client_email,
        };
        Ok(Self { presigner: Presigner::new(dialect), key })
    }

    pub(super) fn sign(&self, out: &mut Vec<u8>, start: usize, period: &Period, method: LinkMethod) {
        let to_sign = self.presigner.prepare(out, start, period, method);
        self.key.sign(&to_sign.text, |signature| put_hex(out, signature));
    }
}
