//! What the store held, as the writer knows it: everything that needs no configuration, made on all cores while the
//! databases that the configuration names are still being compiled.

use std::collections::HashMap;

use crate::catalog::ReleaseId;
use crate::catalog::index::ManifestPath;
use crate::health::{Copies, Standing, marks_per_release};
use crate::model::{AssetIndex, MirrorName, Timestamp};
use crate::store::{KnownManifest, Loaded, StoredCopies};
use crate::tasks::on_all_cores;
use crate::workers::fact::ReadManifest;

use super::examined::Examined;
use super::mirrors::{MirrorState, StoredStanding};
use super::numbers::Numbers;
use super::releases::Known;

/// Mirrors whose entries are read together: few, so that what they become stays in a core's cache.
const MIRRORS_AT_ONCE: usize = 16;

/// Releases and mirrors as they were, and the rest of what the store held.
#[derive(Debug)]
pub struct Remembered {
    pub(super) releases: HashMap<ReleaseId, Known>,
    pub(super) numbers: Numbers,
    pub(super) mirrors: HashMap<MirrorName, MirrorState>,
    pub(super) rest: Loaded,
}

impl Remembered {
    /// Reads manifests, standings and copies. Takes about a second of all cores for a million assets.
    pub fn new(mut loaded: Loaded, now: Timestamp) -> Self {
        let mut numbers = Numbers::default();
        let mut releases = releases(std::mem::take(&mut loaded.manifests), &mut numbers);
        for (product, version, body) in std::mem::take(&mut loaded.examined) {
            if let Some(known) = releases.get_mut(&ReleaseId { product, version }) {
                // What cannot be read is examined again.
                let examined: Examined = serde_json::from_slice(&body).unwrap_or_default();
                known.examined = examined.of(&known.release);
            }
        }
        let mut mirrors: HashMap<MirrorName, MirrorState> = HashMap::new();
        for (mirror, body) in std::mem::take(&mut loaded.standings) {
            // What cannot be read is of no place that is configured, and goes.
            let stored: Option<StoredStanding> = serde_json::from_slice(&body).ok();
            let (place, standing) = stored.map_or((String::new(), Standing::new(now)), |stored| {
                (stored.place, stored.standing.restarted(now))
            });
            mirrors.insert(mirror, MirrorState::new(place, standing, 0));
        }
        let copies = std::mem::take(&mut loaded.copies);
        for mirror in &copies.mirrors {
            // Copies without a standing are of an unknown place.
            let unknown = || MirrorState::new(String::new(), Standing::new(now), 0);
            mirrors.entry(mirror.clone()).or_insert_with(unknown);
        }
        put_copies(&copies, &releases, &mut mirrors);
        Self { releases, numbers, mirrors, rest: loaded }
    }
}

fn releases(manifests: Vec<KnownManifest>, numbers: &mut Numbers) -> HashMap<ReleaseId, Known> {
    let numbered: Vec<_> = manifests.into_iter().map(|known| (numbers.take(), known)).collect();
    let read = on_all_cores(numbered, |(number, known)| match ReadManifest::parse(known.body) {
        Ok(read) => Ok(Known::new(number, read, known.first_seen, 0)),
        Err(why) => {
            let manifest = ManifestPath { product: known.product, version: known.version };
            tracing::error!(%manifest, why, "a stored manifest cannot be read; the origin's will be");
            Err(number)
        }
    });
    let mut releases = HashMap::with_capacity(read.len());
    for read in read {
        match read {
            Ok(known) => drop(releases.insert(known.release.id.clone(), known)),
            Err(number) => numbers.give_back(number),
        }
    }
    releases
}

/// Gives every mirror its copies. Every mirror of the copies is there.
fn put_copies(
    copies: &StoredCopies,
    releases: &HashMap<ReleaseId, Known>,
    mirrors: &mut HashMap<MirrorName, MirrorState>,
) {
    let held = copies.releases.iter().filter_map(|held| {
        let id = ReleaseId { product: held.product.clone(), version: held.version.clone() };
        let known = releases.get(&id)?;
        Some((known.number, known.release.assets.len() as AssetIndex, held))
    });
    let held: Vec<_> = held.collect();
    let marks = marks_per_release(releases.len());
    let places: HashMap<&MirrorName, u32> = copies.mirrors.iter().zip(0..).collect();
    let placed = mirrors.iter_mut().filter_map(|(name, state)| Some((*places.get(name)?, state)));
    let mut placed: Vec<(u32, &mut MirrorState)> = placed.collect();
    placed.sort_unstable_by_key(|(place, _)| *place);
    on_all_cores(placed.chunks_mut(MIRRORS_AT_ONCE), |some| {
        let Some((first, _)) = some.first() else { return };
        let (first, end) = (*first, *first + some.len() as u32);
        for (number, assets, held) in &held {
            for (place, body) in held.within(first..end) {
                let entry = some.get_mut((place - first) as usize).zip(Copies::from_bytes(body, *assets));
                if let Some(((_, state), copies)) = entry {
                    state.put(*number, copies, marks);
                }
            }
        }
    });
}
