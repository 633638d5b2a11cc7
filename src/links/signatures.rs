//! Signatures that were made: the links of one file and one period are equal, and a private key's work is the dearest part of
//! a signed link.

use std::sync::{PoisonError, RwLock};

use rustc_hash::FxHashMap;

use crate::model::Sha256;

/// Parts with a lock each: whoever finds a signature only reads.
const SHARDS: usize = 16;
/// Most signatures of a part; of all together, with RSA of 2048 bits, about 1.5 MB for a key.
const SHARD_MAX: usize = 256;

/// By what was signed: it names the file, the period and, where the link is bound to one, the network.
type Shard = RwLock<FxHashMap<Sha256, Box<[u8]>>>;

/// The latest signatures of one key.
#[derive(Default)]
pub(super) struct Signatures([Shard; SHARDS]);

impl Signatures {
    /// Hands the signature of a message to `put`; has it made where there is none.
    pub(super) fn of(&self, message: &[u8], make: impl FnOnce() -> Box<[u8]>, put: impl FnOnce(&[u8])) {
        let digest = Sha256::of(message);
        let shard = &self.0[usize::from(digest.as_bytes()[0]) % SHARDS];
        if let Some(signature) = shard.read().unwrap_or_else(PoisonError::into_inner).get(&digest) {
            return put(signature);
        }
        // Nobody waits meanwhile: two who miss the same one both make it.
        let signature = make();
        put(&signature);
        let mut shard = shard.write().unwrap_or_else(PoisonError::into_inner);
        // Most are of periods that are over.
        if shard.len() >= SHARD_MAX {
            shard.clear();
        }
        shard.insert(digest, signature);
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    fn of(signatures: &Signatures, message: &str, made: &Cell<usize>) -> Vec<u8> {
        let make = || {
            made.set(made.get() + 1);
            message.to_uppercase().into_bytes().into()
        };
        let mut signature = Vec::new();
        signatures.of(message.as_bytes(), make, |bytes| signature.extend_from_slice(bytes));
        signature
    }

    #[test]
    fn a_message_is_signed_once_and_another_one_has_another_signature() {
        let (signatures, made) = (Signatures::default(), Cell::new(0));
        for message in ["a", "b", "a", "b"] {
            assert_eq!(of(&signatures, message, &made), message.to_uppercase().into_bytes());
        }
        assert_eq!(made.get(), 2);
    }

    #[test]
    fn however_many_are_asked_for_only_so_many_are_kept() {
        let (signatures, made) = (Signatures::default(), Cell::new(0));
        for n in 0..4 * SHARDS * SHARD_MAX {
            assert_eq!(of(&signatures, &format!("m{n}"), &made), format!("M{n}").into_bytes());
        }
        assert!(signatures.0.iter().all(|shard| shard.read().unwrap().len() <= SHARD_MAX));
    }
}
