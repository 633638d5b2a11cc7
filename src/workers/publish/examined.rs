//! What is known of a release beside its manifest and its copies: what was found while whole files went by.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};

use crate::catalog::published_checksums::{CHECKSUMS_MAX, is_checksums_name};
use crate::catalog::signature::SIGNATURE_SUFFIX;
use crate::catalog::{Asset, AssetName, Release};
use crate::config::MinisignKey;
use crate::health::{Blocks, Copies};
use crate::model::{AssetIndex, Sha256, SignatureState, Timestamp};
use crate::store::Observation;
use crate::tasks::on_all_cores;
use crate::workers::fact::{CopyRef, Examine, Found, Sidecar};

use super::releases::Known;
use super::world::World;

/// How long a file is left alone that was hashed only to be examined, and in vain.
const AGAIN_AFTER: Duration = Duration::from_secs(3600);

/// What was found, by the name of the asset; assets that are not named were not looked at.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Examined {
    /// Digest of the trusted keys that the signatures were verified with.
    pub keys: String,
    /// Signatures that were verified, or failed to.
    pub signatures: BTreeMap<AssetName, SignatureState>,
    /// Published files of checksums that were read: what in them contradicts the manifest, or nothing.
    pub checksums: BTreeMap<String, Option<String>>,
}

impl Examined {
    /// The same, of a release of these assets.
    pub(super) fn of(self, release: &Release) -> Self {
        // There may be a signature for every other asset: the names are the release's own.
        let own = |(name, state): (AssetName, SignatureState)| {
            Some((release.asset(release.by_name(&name)?).name.clone(), state))
        };
        Self { signatures: self.signatures.into_iter().filter_map(own).collect(), ..self }
    }
}

/// The asset that is the signature of another.
fn sidecar_of(release: &Release, asset: &Asset) -> Option<AssetIndex> {
    release.by_name(&format!("{}{SIGNATURE_SUFFIX}", asset.name))
}

fn fingerprint(keys: &[MinisignKey]) -> String {
    let lines: String = keys.iter().map(|key| format!("{}\n", key.as_str())).collect();
    Sha256::of(lines.as_bytes()).to_string()
}

impl Known {
    /// What is known of an asset's signature.
    pub(super) fn signature(&self, asset: &Asset) -> SignatureState {
        match self.examined.signatures.get(&*asset.name) {
            Some(state) => *state,
            None if sidecar_of(&self.release, asset).is_some() => SignatureState::Unchecked,
            None => SignatureState::Unsigned,
        }
    }

    /// What a published file of checksums says against the manifest.
    pub(super) fn contradiction(&self, asset: &Asset) -> Option<&str> {
        self.examined.checksums.get(&*asset.name)?.as_deref()
    }

    /// The sidecar of an asset whose signature is to be verified still.
    fn unverified(&self, asset: &Asset, keys: &[MinisignKey]) -> Option<AssetIndex> {
        let is_asked = !keys.is_empty() && !self.examined.signatures.contains_key(&*asset.name);
        is_asked.then(|| sidecar_of(&self.release, asset)).flatten()
    }

    /// Whether it is a file of checksums that is to be read still.
    fn is_unread(&self, asset: &Asset) -> bool {
        asset.size <= CHECKSUMS_MAX
            && is_checksums_name(&asset.name)
            && !self.examined.checksums.contains_key(&*asset.name)
    }

    /// Finds what has to be examined still, and forgets verdicts of other keys. Says whether there were any.
    pub(super) fn await_examination(&mut self, keys: &[MinisignKey]) -> bool {
        let of_other_keys = !self.examined.signatures.is_empty() && self.examined.keys != fingerprint(keys);
        if of_other_keys {
            self.examined.signatures.clear();
        }
        let wants = |asset: &Asset| self.unverified(asset, keys).is_some() || self.is_unread(asset);
        let wanting = (0..).zip(&self.release.assets).filter(|(_, asset)| wants(asset));
        self.unexamined = wanting.map(|(index, _)| (index, Timestamp::default())).collect();
        of_other_keys
    }

    /// A verified copy that is hashed again although it is not its turn, because it could not be examined when it was:
    /// its signature was not there yet, or keys have changed.
    pub(super) fn next_unexamined(&mut self, copies: &Copies, now: Timestamp) -> Option<AssetIndex> {
        let signature_is_there = |asset: AssetIndex| {
            let sidecar = sidecar_of(&self.release, self.release.asset(asset));
            sidecar.is_none_or(|sidecar| copies.holds(sidecar))
        };
        let is_due = |at: Timestamp| at <= now || at > now.after(AGAIN_AFTER);
        let mut due = self.unexamined.iter().filter(|(_, at)| is_due(**at)).map(|(asset, _)| *asset);
        let asset = due.find(|asset| copies.holds(*asset) && signature_is_there(*asset))?;
        self.unexamined.insert(asset, now.after(AGAIN_AFTER));
        Some(asset)
    }

    /// When the next file is due that was hashed in vain.
    pub(super) fn unexamined_due(&self, now: Timestamp) -> Option<Timestamp> {
        self.unexamined.values().filter(|at| **at > now).min().copied()
    }
}

impl World {
    /// Takes in which files' blocks are in the store. Those of files that no release has any more go.
    pub(super) fn load_blocks(&mut self, blocks: Vec<Sha256>) {
        if blocks.is_empty() {
            return;
        }
        let mut stored: FxHashMap<Sha256, bool> = blocks.into_iter().map(|sha256| (sha256, false)).collect();
        for Known { release, blocks, .. } in self.releases.values_mut() {
            for (index, asset) in (0..).zip(&release.assets) {
                if let Some(is_published) = stored.get_mut(&asset.sha256) {
                    *is_published = true;
                    blocks.insert(index);
                }
            }
        }
        let gone = stored.into_iter().filter(|(_, is_published)| !is_published);
        self.dirty.other.extend(gone.map(|(sha256, _)| Observation::BlocksGone { sha256 }));
    }

    /// Finds what has to be examined still, in every release.
    pub(super) fn await_examinations(&mut self) {
        let keys = &self.prepared.config.origin.trusted_keys;
        let of_other_keys = on_all_cores(self.releases.iter_mut().collect::<Vec<_>>(), |(id, known)| {
            known.await_examination(keys).then(|| id.clone())
        });
        self.dirty.examined.extend(of_other_keys.into_iter().flatten());
    }

    /// What to look at beside the digest while this copy is hashed.
    pub(super) fn examine(&self, copy: &CopyRef) -> Examine {
        let Some(known) = self.releases.get(&copy.release) else { return Examine::default() };
        let asset = known.release.asset(copy.asset);
        let keys = &self.prepared.config.origin.trusted_keys;
        let signature = known.unverified(asset, keys).and_then(|sidecar| {
            let url = self.url_of(&CopyRef { asset: sidecar, ..copy.clone() })?;
            Some(Sidecar { url, asset: sidecar, keys: Arc::clone(&self.prepared.keys) })
        });
        Examine {
            blocks: Blocks::are_worth_it(asset.size) && !known.blocks.has(copy.asset),
            signature,
            checksums: known.is_unread(asset),
            sample: None,
        }
    }

    /// A whole file went by and was right.
    pub(super) fn was_examined(&mut self, copy: &CopyRef, found: Found) {
        let Some(known) = self.releases.get_mut(&copy.release) else { return };
        let release = known.release.clone();
        let asset = release.asset(copy.asset);
        if let Some(blocks) = found.blocks
            && known.blocks.insert(copy.asset)
        {
            self.dirty.other.push(Observation::Blocks { sha256: asset.sha256, body: blocks.to_bytes() });
        }
        let (name, mut is_new) = (asset.name.to_string(), false);
        let (product, version) = (&copy.release.product, &copy.release.version);
        let keys = &self.prepared.config.origin.trusted_keys;
        // A verdict of before the keys changed is of the wrong keys.
        if let Some(state) = found.signature.filter(|_| copy.epoch >= self.keys_from) {
            is_new |= known.examined.signatures.insert(asset.name.clone(), state) != Some(state);
            known.examined.keys = fingerprint(keys);
            if is_new && state.is_wrong() {
                tracing::warn!(%product, %version, asset = name, reason = %state, "a signature is wrong");
            }
        }
        if let Some(read) = found.checksums {
            let wrong = read.err();
            let before = known.examined.checksums.insert(name.clone(), wrong.clone());
            if before.as_ref() != Some(&wrong) {
                is_new = true;
                if let Some(detail) = wrong {
                    tracing::warn!(%product, %version, asset = name, detail, "published checksums contradict the manifest");
                }
            }
        }
        if known.unverified(asset, keys).is_none() && !known.is_unread(asset) {
            known.unexamined.remove(&copy.asset);
        }
        if is_new {
            self.dirty.examined.insert(copy.release.clone());
        }
    }
}
