//! Looks at the origin: what of it is believed, and the sequence that never goes back.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::catalog::index::ManifestPath;
use crate::model::{OriginFault, Timestamp};
use crate::store::{Action, Observation};
use crate::workers::fact::{Listed, Listing, OriginLook, OriginRefusal, Reading, Refused};

use super::releases::Known;
use super::world::World;

/// What the sequence is remembered under.
const STORED_SEQUENCE: &str = "index_sequence";

/// What is known of the origin beside its releases.
#[derive(Debug, Default)]
pub(super) struct OriginState {
    /// The highest sequence of an index that was believed, or the one that was accepted since.
    pub sequence: Option<u64>,
    /// The last order to accept a sequence; 0 before the first.
    accepted: u64,
    /// The sequence that the origin showed at the last look, where it was refused.
    refused_sequence: Option<u64>,
    /// How many manifests it lists.
    listed: usize,
    /// Manifests that are refused now, by path, and why.
    pub refused: BTreeMap<String, OriginRefusal>,
    /// How many manifests were taken in (`None`) or newly refused, and why, since the service started.
    pub attempts: BTreeMap<Option<OriginFault>, u64>,
    /// Why it could not be read or believed at the last look; `None`: it could.
    pub error: Option<OriginRefusal>,
    /// When it was last read.
    pub read_at: Option<Timestamp>,
}

/// The sequence as it is stored. With a lost database the orders to accept one are what is left; here is how far they
/// are in it.
#[derive(Debug, Serialize, Deserialize)]
struct StoredSequence {
    /// The highest sequence that was believed since then.
    sequence: u64,
    /// The last order to accept a sequence; 0: there was none.
    accepted: u64,
}

impl World {
    /// Takes in the sequence that was believed before the restart; orders to accept one that it does not know yet are
    /// obeyed after it.
    pub(super) fn load_sequence(&mut self, singles: &[(String, Vec<u8>)]) {
        let stored = singles.iter().find(|(name, _)| name == STORED_SEQUENCE);
        let stored = stored.and_then(|(_, body)| serde_json::from_slice::<StoredSequence>(body).ok());
        if let Some(StoredSequence { sequence, accepted }) = stored {
            (self.origin.sequence, self.origin.accepted) = (Some(sequence), accepted);
        }
    }

    /// Obeys an order to accept a sequence.
    pub(super) fn accept_sequence(&mut self, order: u64, sequence: u64) {
        if order > self.origin.accepted {
            self.origin.accepted = order;
            self.origin.refused_sequence = None;
            self.set_sequence(sequence);
        }
    }

    fn set_sequence(&mut self, sequence: u64) {
        self.origin.sequence = Some(sequence);
        let stored = StoredSequence { sequence, accepted: self.origin.accepted };
        let body = serde_json::to_vec(&stored).unwrap_or_default();
        self.dirty.other.push(Observation::Single { name: STORED_SEQUENCE, body });
    }

    /// What a wish to accept a sequence comes to; without one it is what the origin shows. A higher one than was seen
    /// would have the origin refused until it gets there.
    pub(super) fn sequence_to_accept(&self, wanted: Option<u64>) -> Result<Action, Refused> {
        let sequence = wanted.or(self.origin.refused_sequence).ok_or_else(|| {
            let text = "the origin shows no sequence that is refused, so there is nothing to accept";
            Refused::Forbidden(text.to_owned())
        })?;
        let seen = self.origin.sequence.unwrap_or_default();
        if sequence >= seen {
            return Err(Refused::Forbidden(format!(
                "{sequence} is not lower than {seen}, which was seen: the origin may show it without being accepted"
            )));
        }
        Ok(Action::OriginAccept { sequence })
    }

    /// A look begins.
    pub(super) fn begin_look(&mut self) -> OriginLook {
        self.looks.begun += 1;
        let digest =
            |known: &Known| (ManifestPath::of(&known.release.id).to_string(), known.release.manifest_sha256);
        let signed = !self.prepared.config.origin.trusted_keys.is_empty();
        OriginLook {
            known: if signed { HashMap::new() } else { self.releases.values().map(digest).collect() },
            lowest: self.origin.sequence.unwrap_or_default(),
            again: self.origin.refused.keys().cloned().collect(),
        }
    }

    /// A look has ended.
    pub(super) fn origin_was_read(&mut self, reading: Reading, now: Timestamp) {
        self.looks.published = self.looks.begun;
        self.origin.refused_sequence = None;
        match reading {
            Reading::Listing(listing) => self.take_in(listing, now),
            Reading::Unreadable(why) => self.disbelieve(why),
            // Accepted while the look was under way: the next one goes into it.
            Reading::WentBack(shown) if Some(shown) >= self.origin.sequence => {}
            Reading::WentBack(shown) => {
                self.origin.refused_sequence = Some(shown);
                let seen = self.origin.sequence.unwrap_or_default();
                let detail = format!(
                    "the index has the sequence {shown}, or is gone where that is 0, and {seen} was seen before; where \
                     an older state is what it should be, such as one from a backup: `waypost origin accept`"
                );
                self.disbelieve(OriginRefusal { reason: OriginFault::SequenceWentBack, detail });
            }
        }
    }

    fn disbelieve(&mut self, why: OriginRefusal) {
        if self.origin.error.as_ref() != Some(&why) {
            tracing::warn!(%why, "the origin cannot be read or is not believed; what is known stays in force");
        }
        self.origin.error = Some(why);
    }

    fn take_in(&mut self, listing: Listing, now: Timestamp) {
        let Listing { manifests, sequence, withdrawn } = listing;
        (self.origin.error, self.origin.read_at) = (None, Some(now));
        self.origin.listed = manifests.len();
        if let Some(sequence) = sequence.filter(|sequence| Some(*sequence) > self.origin.sequence) {
            self.set_sequence(sequence);
        }
        self.origin_withdraws(withdrawn);
        self.retire_unlisted(&manifests);
        let before = std::mem::take(&mut self.origin.refused);
        for (path, listed) in manifests {
            let refusal = match listed {
                Listed::Unchanged => None,
                Listed::Refused(why) => Some(why),
                Listed::Read(read) => self.publish_manifest(&path, read, now).err(),
            };
            let Some(why) = refusal else { continue };
            if before.get(&path) != Some(&why) {
                *self.origin.attempts.entry(Some(why.reason)).or_default() += 1;
                tracing::warn!(
                    manifest = path,
                    %why,
                    "a manifest is refused; what was published before stays"
                );
            }
            self.origin.refused.insert(path, why);
        }
    }

    /// The last look, as its end is answered to whoever asked for it.
    pub(super) fn origin_report(&self) -> Value {
        let error = self.origin.error.as_ref();
        json!({
            "outcome": if error.is_none() { "ok" } else { "refused" },
            "reason": error.map(|why| why.reason),
            "detail": error.map(|why| &why.detail),
            "sequence": self.origin.sequence,
            "refused_sequence": self.origin.refused_sequence,
            "manifests": self.origin.listed,
            "refused": self.refused_report(),
        })
    }

    /// The manifests that are refused.
    pub(super) fn refused_report(&self) -> Value {
        let line = |(path, why): (&String, &OriginRefusal)| {
            let OriginRefusal { reason, detail } = why;
            json!({ "manifest": path, "reason": reason, "detail": detail })
        };
        self.origin.refused.iter().map(line).collect()
    }
}
