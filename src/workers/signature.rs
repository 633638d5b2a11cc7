//! Signatures of assets: minisign, verified while the file goes by.

use std::sync::Arc;

use minisign_verify::{Error, PublicKey, Signature, StreamVerifier};

use crate::catalog::signature::{TrustedKeys, read_signature};
use crate::model::SignatureState;

/// Largest file with a signature of the legacy kind, which needs the whole file in memory.
const LEGACY_MAX: u64 = 16 << 20;

/// What a sidecar holds, and the trusted keys.
pub(super) struct Signed {
    /// `None`: it is no signature.
    signature: Option<Signature>,
    keys: Arc<TrustedKeys>,
}

impl Signed {
    /// Reads a `.minisig` file.
    pub(super) fn read(sidecar: &[u8], keys: &Arc<TrustedKeys>) -> Self {
        Self { signature: read_signature(sidecar).ok(), keys: Arc::clone(keys) }
    }

    /// Begins to verify a file of this size.
    pub(super) fn check(&self, size: u64) -> Check<'_> {
        let Some(signature) = &self.signature else {
            return Check::Impossible("the .minisig file is no minisign signature");
        };
        let mut streams = Vec::new();
        for key in self.keys.iter() {
            match key.verify_stream(signature) {
                Ok(stream) => streams.push(stream),
                Err(Error::UnsupportedLegacyMode) if size > LEGACY_MAX => {
                    return Check::Impossible(
                        "a legacy signature needs the file in memory, and this one has more than 16 MiB: \
                         sign it with `minisign -H`",
                    );
                }
                Err(Error::UnsupportedLegacyMode) => return Check::Legacy(self, signature, Vec::new()),
                // Made with another key.
                Err(_) => {}
            }
        }
        Check::Hashed(signature, streams)
    }
}

/// Whether the trusted comment names this file, in a field `file:NAME` as minisign writes it: so that an old signed file
/// under a new name is not taken for the new one.
fn names(signature: &Signature, asset: &str) -> bool {
    let file_name = asset.rsplit('/').next().unwrap_or(asset);
    let file = signature.trusted_comment().split('\t').find_map(|field| field.strip_prefix("file:"));
    file.is_some_and(|file| file == asset || file == file_name)
}

/// A verification under way.
pub(super) enum Check<'a> {
    /// Of a file that is hashed first, with every key that the signature may be of; with none it is bad.
    Hashed(&'a Signature, Vec<StreamVerifier<'a>>),
    /// Of the legacy kind; the file so far.
    Legacy(&'a Signed, &'a Signature, Vec<u8>),
    /// It cannot be verified, and why.
    Impossible(&'static str),
}

impl Check<'_> {
    /// The next bytes of the file.
    pub(super) fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Hashed(_, streams) => streams.iter_mut().for_each(|stream| stream.update(bytes)),
            Self::Legacy(_, _, whole) => whole.extend_from_slice(bytes),
            Self::Impossible(_) => {}
        }
    }

    /// What the signature is worth for the file of this name, after its last byte.
    pub(super) fn verdict(self, asset: &str) -> SignatureState {
        let (signature, is_good) = match self {
            Self::Hashed(signature, mut streams) => {
                (signature, streams.iter_mut().any(|stream| stream.finalize().is_ok()))
            }
            Self::Legacy(signed, signature, whole) => {
                let verifies = |key: &PublicKey| key.verify(&whole, signature, true).is_ok();
                (signature, signed.keys.iter().any(verifies))
            }
            Self::Impossible(why) => {
                tracing::warn!(asset, why, "a signature cannot be verified");
                return SignatureState::Unreadable;
            }
        };
        match is_good {
            false => SignatureState::BadSignature,
            true if names(signature, asset) => SignatureState::Good,
            true => SignatureState::SignatureForAnother,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::MinisignKey;

    /// What the first minisign wrote for a file that holds `test`; from the tests of minisign-verify.
    const KEY: &str = "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3";
    const LEGACY: &str = "untrusted comment: signature from minisign secret key
RWQf6LRCGA9i59SLOFxz6NxvASXDJeRtuZykwQepbDEGt87ig1BNpWaVWuNrm73YiIiJbq71Wi+dP9eKL8OC351vwIasSSbXxwA=
trusted comment: timestamp:1555779966\tfile:test
QtKMXWyYcwdpZAlPF7tE2ENJkRd1ujvKjlj1m9RtHTBnZPa5WKU5uWRs5GoP5M/VqE81QFuMKI5k/SfNQUaOAA==
";

    fn keys() -> Arc<TrustedKeys> {
        Arc::new(TrustedKeys::new(&[MinisignKey::parse(KEY).unwrap()]))
    }

    fn verdict(sidecar: &str, size: u64, file: &[u8], name: &str) -> SignatureState {
        let signed = Signed::read(sidecar.as_bytes(), &keys());
        let mut check = signed.check(size);
        file.chunks(3).for_each(|chunk| check.update(chunk));
        check.verdict(name)
    }

    #[test]
    fn a_legacy_signature_is_verified_as_long_as_the_file_is_small() {
        assert_eq!(verdict(LEGACY, 4, b"test", "test"), SignatureState::Good);
        assert_eq!(verdict(LEGACY, 4, b"Test", "test"), SignatureState::BadSignature);
        assert_eq!(verdict(LEGACY, 4, b"test", "test-2"), SignatureState::SignatureForAnother);
        assert_eq!(verdict(LEGACY, LEGACY_MAX + 1, b"test", "test"), SignatureState::Unreadable);
    }

    #[test]
    fn a_trusted_comment_that_was_rewritten_is_a_bad_signature() {
        let renamed = LEGACY.replace("file:test", "file:test-2");
        assert_eq!(verdict(&renamed, 4, b"test", "test-2"), SignatureState::BadSignature);
    }

    proptest::proptest! {
        #[test]
        fn no_sidecar_makes_it_panic(at in 0..LEGACY.len(), byte in proptest::prelude::any::<u8>(), cut: bool) {
            let mut sidecar = LEGACY.as_bytes().to_vec();
            sidecar[at] = byte;
            if cut {
                sidecar.truncate(at);
            }
            let signed = Signed::read(&sidecar, &keys());
            signed.check(4).verdict("test");
        }
    }
}
