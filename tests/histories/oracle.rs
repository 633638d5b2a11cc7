//! What may be believed of each copy and each mirror, told by the observations alone: an entry per URL, in the order in
//! which the writer was told. Knows nothing of ledgers, epochs or assets' positions.

use std::collections::{BTreeSet, HashMap, HashSet};

use waypost::model::{CopyFault, Sha256};

#[derive(Debug, Clone, Default)]
struct Copy {
    /// The digest that the bytes were hashed to, whole, and that nothing contradicts since.
    verified: Option<Sha256>,
    contradicted: u64,
}

#[derive(Debug, Clone, Default)]
struct Place {
    /// A good look since the service started.
    seen: bool,
    bad_run: u32,
    good_run: u32,
    last_bad: u64,
    known_down: bool,
}

/// The record of observations.
#[derive(Debug, Clone, Default)]
pub struct Oracle {
    now: u64,
    copies: HashMap<String, Copy>,
    /// Mirrors by their base URL: one that moved is another.
    places: HashMap<String, Place>,
    pub drained: BTreeSet<String>,
    /// Base URLs that are configured.
    configured: HashSet<String>,
}

pub const FAIL_AFTER: u32 = 3;
pub const RECOVER_AFTER: u32 = 2;

pub fn base_of(url: &str) -> &str {
    let host = url.find("://").map_or(0, |at| at + 3);
    let end = url[host..].find('/').map_or(url.len(), |at| host + at + 1);
    &url[..end]
}

impl Oracle {
    /// A look begins now.
    pub fn moment(&mut self) -> u64 {
        self.now += 1;
        self.now
    }

    /// The writer is told of a hash that began then.
    pub fn hashed(&mut self, url: &str, sha256: Sha256, began: u64, outcome: Result<(), CopyFault>) {
        let now = self.moment();
        let copy = self.copies.entry(url.to_owned()).or_default();
        match outcome {
            Ok(()) if began > copy.contradicted => {
                copy.verified = Some(sha256);
                let place = self.places.entry(base_of(url).to_owned()).or_default();
                if began > place.last_bad && place.good_run >= RECOVER_AFTER {
                    place.known_down = false;
                }
            }
            Ok(()) => {}
            Err(fault) if fault.contradicts_copy() => {
                *copy = Copy { verified: None, contradicted: now };
            }
            Err(_) => {}
        }
    }

    /// The writer is told of a probe. `held`: it believed in the copy until then; `holds_any`: it believes in some copy
    /// there still.
    pub fn probed(
        &mut self,
        url: &str,
        release: Option<&str>,
        outcome: Result<(), CopyFault>,
        held: bool,
        holds_any: bool,
        withdrawn: bool,
    ) {
        let now = self.moment();
        if let (Err(fault), Some(release)) = (outcome, release)
            && fault.contradicts_copy()
        {
            let copy = self.copies.entry(url.to_owned()).or_default();
            let was_verified = copy.verified.is_some();
            *copy = Copy { verified: None, contradicted: now };
            // The bytes may be right: the contract asks for the whole release to be hashed again, this copy included.
            if was_verified && matches!(fault, CopyFault::ValidatorChanged | CopyFault::WrongLength) {
                let others = self.copies.iter_mut().filter(|(url, _)| url.starts_with(release));
                others.for_each(|(_, copy)| *copy = Copy { verified: None, contradicted: now });
            }
        }
        let place = self.places.entry(base_of(url).to_owned()).or_default();
        match outcome {
            // Whatever has become of a withdrawn file, the mirror is there.
            Err(fault)
                if (fault != CopyFault::Missing || held) && !(withdrawn && fault.contradicts_copy()) =>
            {
                (place.bad_run, place.good_run, place.last_bad) = (place.bad_run + 1, 0, now);
                place.known_down |= place.bad_run >= FAIL_AFTER;
            }
            Ok(()) | Err(_) => {
                (place.bad_run, place.good_run, place.seen) = (0, place.good_run + 1, true);
                // Nothing there that anybody could be sent to.
                place.known_down &= place.good_run < RECOVER_AFTER || holds_any;
            }
        }
    }

    /// These mirrors are configured now; what was known of others is forgotten.
    pub fn configured(&mut self, bases: impl Iterator<Item = String>) {
        self.configured = bases.collect();
        self.places.retain(|base, _| self.configured.contains(base));
    }

    /// The service starts anew.
    pub fn started(&mut self) {
        for place in self.places.values_mut() {
            (place.seen, place.bad_run, place.good_run) = (false, 0, 0);
        }
    }

    /// Why nobody may be sent to this URL for this file.
    pub fn objection(&self, mirror: &str, url: &str, sha256: Sha256) -> Option<&'static str> {
        let place = self.places.get(base_of(url));
        match self.copies.get(url) {
            _ if !self.configured.contains(base_of(url)) => Some("the mirror is not configured"),
            _ if self.drained.contains(mirror) => Some("the mirror is drained"),
            _ if !place.is_some_and(|place| place.seen) => Some("the mirror was not seen since the start"),
            _ if place.is_some_and(|place| place.known_down) => Some("the mirror is known to be down"),
            None => Some("the copy was never looked at"),
            Some(copy) if copy.verified.is_none() => {
                Some("the copy was never hashed, or was contradicted since")
            }
            Some(copy) if copy.verified != Some(sha256) => Some("the copy was hashed to something else"),
            Some(_) => None,
        }
    }
}
