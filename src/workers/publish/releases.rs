//! Known releases: what the origin says, held against what was published before.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use bytes::Bytes;

use crate::catalog::index::ManifestPath;
use crate::catalog::manifest::{MANIFEST_BYTES_MAX, Manifest, additions};
use crate::catalog::{Release, ReleaseId};
use crate::model::{AssetIndex, AssetSet, OriginFault, ProductName, Sha256, Timestamp};
use crate::store::{BODY_MAX, KnownManifest, Observation};
use crate::workers::fact::{Listed, OriginRefusal, ReadManifest};

use super::examined::Examined;
use super::gate::Content;
use super::numbers::ReleaseNumber;
use super::world::World;

// Every manifest that is read can be recorded.
const _: () = assert!(MANIFEST_BYTES_MAX <= BODY_MAX);

/// A manifest that left a readable listing is retired after this many looks.
const RETIRED_AFTER: u32 = 2;

/// A release that was published.
#[derive(Debug)]
pub struct Known {
    /// What it is called in tables of releases.
    pub(super) number: ReleaseNumber,
    /// Looks that began before this epoch counted its assets otherwise.
    pub(super) counted_from: u64,
    /// What it holds.
    pub release: Arc<Release>,
    /// When it was seen first.
    pub first_seen: Timestamp,
    /// What is odd about the manifest.
    pub warnings: Vec<String>,
    /// Why the manifest withdraws it, where it does.
    pub(super) withdrawn: Option<String>,
    /// What is known of it beside its manifest and its copies.
    pub(super) examined: Examined,
    /// Files whose blocks are in the store. A file that another release has as well counts for each.
    pub(super) blocks: AssetSet,
    /// Assets that are to be examined still, and from when on they may be hashed for that alone.
    pub(super) unexamined: BTreeMap<AssetIndex, Timestamp>,
    /// What the manifest says, as far as the gate goes.
    pub(super) content: Content,
    /// Looks in a row that did not list it.
    unlisted: u32,
}

impl Known {
    /// Looks that begin in this epoch or later are of this release.
    pub(super) fn new(number: ReleaseNumber, read: ReadManifest, first_seen: Timestamp, epoch: u64) -> Self {
        let release = Arc::new(Release::from_manifest(&read.manifest, read.sha256));
        let content = Content::of(&read.manifest);
        let withdrawn = read.manifest.withdrawn.clone();
        Self {
            number,
            counted_from: epoch,
            release,
            first_seen,
            warnings: read.warnings,
            withdrawn,
            examined: Examined::default(),
            blocks: AssetSet::default(),
            unexamined: BTreeMap::new(),
            content,
            unlisted: 0,
        }
    }

    /// When it was published: as the manifest says, else when it was seen first.
    pub fn published_at(&self) -> Timestamp {
        self.release.published_at.unwrap_or(self.first_seen)
    }
}

impl World {
    pub(super) fn publish_manifest(
        &mut self,
        path: &str,
        read: ReadManifest,
        now: Timestamp,
    ) -> Result<(), OriginRefusal> {
        let id = ReleaseId { product: read.manifest.product.clone(), version: read.manifest.version.clone() };
        let own_path = ManifestPath::of(&id);
        if own_path.to_string() != path {
            let detail = format!("it describes {} {} and so belongs at {own_path}", id.product, id.version);
            return Err(OriginRefusal { reason: OriginFault::WrongPlace, detail });
        }
        let first_seen = match self.releases.get(&id) {
            Some(known) if known.release.manifest_sha256 == read.sha256 => return Ok(()),
            Some(known) => {
                let sealed = self.sealed.contains(&id);
                check_immutable(&known.release, &read.manifest, sealed).map_err(|detail| OriginRefusal {
                    reason: OriginFault::ChangedAfterPublication,
                    detail,
                })?;
                known.first_seen
            }
            None => now,
        };
        self.dirty.other.push(Observation::Manifest(KnownManifest {
            product: id.product.clone(),
            version: id.version.clone(),
            body: read.body.clone(),
            first_seen,
        }));
        *self.origin.attempts.entry(None).or_default() += 1;
        let before = self.releases.get(&id).map(|before| before.number);
        let number = before.unwrap_or_else(|| self.numbers.take());
        let mut known = Known::new(number, read, first_seen, self.epoch);
        tracing::info!(
            product = %id.product,
            version = %id.version,
            assets = known.release.assets.len(),
            "a release is published"
        );
        if let Some(before) = self.releases.get(&id) {
            let now_at = positions(&before.release, &known.release);
            known.examined = before.examined.clone().of(&known.release);
            let place = |old: AssetIndex| now_at.get(old as usize).copied();
            known.blocks =
                before.blocks.iter().filter_map(place).filter(|at| *at != AssetIndex::MAX).collect();
            self.move_copies(&id, number, &now_at, known.release.assets.len() as AssetIndex);
            known.counted_from = self.epoch;
        }
        known.await_examination(&self.prepared.config.origin.trusted_keys);
        self.views.touch_release(&id);
        self.releases.insert(id, known);
        self.priority.clear();
        self.wake.extend(self.mirrors.keys().cloned());
        Ok(())
    }

    /// All releases, product by product.
    pub(super) fn by_product(&self) -> BTreeMap<&ProductName, Vec<&Known>> {
        let mut products: BTreeMap<&ProductName, Vec<&Known>> = BTreeMap::new();
        for (id, known) in &self.releases {
            products.entry(&id.product).or_default().push(known);
        }
        products
    }

    pub(super) fn retire_unlisted(&mut self, listing: &BTreeMap<String, Listed>) {
        let mut retired = Vec::new();
        for (id, known) in &mut self.releases {
            let listed = listing.contains_key(&ManifestPath::of(id).to_string());
            known.unlisted = if listed { 0 } else { known.unlisted + 1 };
            if known.unlisted >= RETIRED_AFTER {
                retired.push(id.clone());
            }
        }
        for id in retired {
            tracing::info!(product = %id.product, version = %id.version, "a release left the origin and is retired");
            let Some(known) = self.releases.remove(&id) else { continue };
            // Should it come back, what is under way now says nothing of what it is then.
            self.epoch += 1;
            self.mirrors.values_mut().for_each(|mirror| mirror.forget(known.number));
            self.numbers.give_back(known.number);
            self.views.touch_release(&id);
            self.priority.clear();
            // A verifier may have waited for a copy of this one.
            self.wake.extend(self.mirrors.keys().cloned());
            self.dirty.copies.retain(|(_, release)| *release != id);
            let ReleaseId { product, version } = id;
            self.dirty.other.push(Observation::ManifestGone { product, version });
        }
    }

    /// The releases in the order in which they are hashed: what channels point to, then the newest; withdrawn ones last.
    pub(super) fn by_priority(&mut self) -> &[ReleaseId] {
        if self.priority.is_empty() {
            self.wanted.touch();
            self.candidates = None;
            self.rouse_all();
            let pointed = |id: &ReleaseId| {
                self.pointers
                    .iter()
                    .any(|((product, _), p)| *product == id.product && p.version == id.version)
            };
            let mut order: Vec<_> = self
                .releases
                .iter()
                .map(|(id, known)| {
                    let rank = (self.withdrawn.contains_key(id), !pointed(id));
                    (rank, std::cmp::Reverse(known.published_at()), id.clone())
                })
                .collect();
            order.sort_by(|a, b| {
                (a.0, a.1).cmp(&(b.0, b.1)).then_with(|| b.2.version.precedence(&a.2.version))
            });
            self.priority = order.into_iter().map(|(_, _, id)| id).collect();
        }
        &self.priority
    }
}

fn check_immutable(old: &Release, new: &Manifest, sealed: bool) -> Result<(), String> {
    additions(&old.published(), new, sealed).map(drop).map_err(|breaches| {
        let breaches: Vec<String> = breaches.iter().map(ToString::to_string).collect();
        format!("a published release does not change: {}", breaches.join("; "))
    })
}

/// Where each asset of the old release stands in the new one.
fn positions(old: &Release, new: &Release) -> Vec<AssetIndex> {
    let by_name: HashMap<&str, AssetIndex> = (0..).zip(&new.assets).map(|(i, a)| (&*a.name, i)).collect();
    // A published name never leaves; should one, it is out of range and forgotten.
    old.assets.iter().map(|a| by_name.get(&*a.name).copied().unwrap_or(AssetIndex::MAX)).collect()
}

impl ReadManifest {
    /// Reads a manifest's bytes.
    ///
    /// # Errors
    ///
    /// All its problems as one line.
    pub fn parse(body: Bytes) -> Result<Self, String> {
        let parsed = Manifest::parse(&body).map_err(|error| error.to_string())?;
        let sha256 = Sha256::of(&body);
        Ok(Self { manifest: Arc::new(parsed.manifest), body, sha256, warnings: parsed.warnings })
    }
}
