//! What is kept of tokens and of those who issue them.

use bytes::Bytes;

use crate::entitlement::Counted;
use crate::model::Timestamp;

/// The JWK set of an issuer as it was fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownKeys {
    /// The issuer's name.
    pub issuer: String,
    /// Where it was fetched from.
    pub url: String,
    /// When.
    pub fetched_at: Timestamp,
    /// The set's bytes.
    pub body: Bytes,
}

/// Something that was seen of tokens and issuers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AccessNote {
    /// An issuer's keys were fetched.
    Keys(KnownKeys),
    /// An issuer left the configuration, or its keys are elsewhere or too old: those that were fetched go.
    KeysGone {
        /// The issuer's name.
        issuer: String,
    },
    /// A token has taken one file more of those that are counted.
    Counted(Counted),
    /// What does not matter any more from a moment on goes.
    CountedGone {
        /// That moment.
        now: Timestamp,
    },
}

impl AccessNote {
    /// Bytes of the body; 0 where there is none.
    pub(super) fn body_len(&self) -> usize {
        match self {
            Self::Keys(keys) => keys.body.len(),
            Self::KeysGone { .. } | Self::Counted(_) | Self::CountedGone { .. } => 0,
        }
    }
}
