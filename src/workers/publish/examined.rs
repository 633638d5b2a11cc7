//! What is known of a release beside its manifest and its copies: what was found while whole files went by.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::model::SignatureState;

/// What was found, by the name of the asset; assets that are not named were not looked at.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Examined {
    /// Signatures that were verified, or failed to.
    pub signatures: BTreeMap<String, SignatureState>,
    /// Published files of checksums that were read: what in them contradicts the manifest, or nothing.
    pub checksums: BTreeMap<String, Option<String>>,
}
