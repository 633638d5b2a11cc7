//! What mirrors hold that they should not, and what they lack.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use url::Url;

use crate::catalog::{Release, ReleaseId};
use crate::config::{LayoutPart, Mirror};
use crate::fetch::ListingKind;
use crate::health::{Copies, CopyState, State};
use crate::metrics::Metrics;
use crate::model::{AssetIndex, MirrorName, TierName, Timestamp};
use crate::workers::inventory::{Drift, FolderListed, FolderOutcome, ListingTask, NextListing};
use crate::workers::replication::Unwanted;
use crate::workers::report::Report;

use super::mirrors::MirrorState;
use super::world::World;

/// A folder is listed at least this often.
const INTERVAL_MAX: Duration = Duration::from_secs(6 * 3600);
/// So many listings come between two full rechecks.
const PER_RECHECK: u32 = 60;
/// How often a lister without work asks for some.
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// Most names that a report lists of each kind.
const NAMES_MAX: usize = 100;
/// Most lines about one mirror where the reader wants to know whether there are any.
const LINES_MAX: usize = 10;

/// What the last look at a release's folder on a mirror gave. There may be one for every release on every mirror.
#[derive(Debug)]
pub(super) struct Stock {
    /// When it ended.
    at: Timestamp,
    /// Whether the mirror held all of the release when it began.
    complete: bool,
    /// Assets the release had then. It may get more, and then positions mean others.
    assets: AssetIndex,
    /// `None`: the mirror does not list it.
    listed: Option<ListingKind>,
    /// How it differs from the manifest, where it is listed and does.
    drift: Option<Box<Drift>>,
}

impl Stock {
    fn is_due(&self, complete: bool, interval: Duration, now: Timestamp) -> bool {
        now.apart(self.at) >= interval || (complete && !self.complete)
    }

    /// How the listing differs from the manifest; `None` where there is none.
    fn drift(&self) -> Option<&Drift> {
        const NOTHING: &Drift = &Drift {
            unexpected: Vec::new(),
            unexpected_count: 0,
            missing: Vec::new(),
            wrong_size: Vec::new(),
        };
        self.listed.map(|_| self.drift.as_deref().unwrap_or(NOTHING))
    }
}

impl World {
    fn listing_interval(&self) -> Duration {
        (self.prepared.config.verify.recheck / PER_RECHECK).min(INTERVAL_MAX)
    }

    /// What to list on a mirror: what channels point to first. `None` where it is not configured.
    pub fn next_listing(&mut self, name: &MirrorName, now: Timestamp) -> Option<NextListing> {
        self.by_priority();
        let interval = self.listing_interval();
        let mirror = self.configured().find(|mirror| mirror.name == *name)?;
        let state = self.mirrors.get(name)?;
        let due = |id: &&ReleaseId| {
            let copies = self.copies_of(state, id).filter(|copies| copies.holds_any());
            let (Some(known), Some(copies)) = (self.releases.get(id), copies) else { return false };
            let stock = state.stocks.get(known.number);
            // A release that is still arriving is left alone until all of it was looked at.
            let arrived = copies.tally().pending == 0;
            stock.map_or(arrived, |stock| stock.is_due(copies.is_complete(), interval, now))
        };
        let mut candidates =
            self.priority.iter().filter(|_| state.standing.state == State::Healthy).filter(due);
        let task = candidates.find_map(|id| {
            let folder = self.folder_of(mirror, id)?;
            let release = Arc::clone(&self.releases.get(id)?.release);
            let complete = self.copies_of(state, id).is_some_and(Copies::is_complete);
            Some(Box::new(ListingTask { release, folder, complete }))
        });
        let nothing =
            NextListing::Nothing { again_in: interval.clamp(Duration::from_millis(50), LOOK_EVERY) };
        Some(task.map_or(nothing, NextListing::Now))
    }

    /// Where all files of a release lie on a mirror, and no others; `None` where its layout has no such folder, or the
    /// mirror gives out nothing but what a signed link names.
    fn folder_of(&self, mirror: &Mirror, id: &ReleaseId) -> Option<Url> {
        let (last, before) = mirror.layout.0.split_last()?;
        let release = &self.releases.get(id)?.release;
        let part = |part: &LayoutPart| match part {
            LayoutPart::Literal(text) => text.clone(),
            LayoutPart::Product => release.url_product.to_string(),
            LayoutPart::Version => release.url_version.to_string(),
            LayoutPart::Asset => String::new(),
        };
        let only_product = || self.releases.keys().all(|other| other.product == id.product);
        let is_own = before.contains(&LayoutPart::Version)
            && !before.contains(&LayoutPart::Asset)
            && (before.contains(&LayoutPart::Product) || only_product());
        let path: String = before.iter().map(part).collect();
        let is_folder = *last == LayoutPart::Asset && path.ends_with('/');
        (is_own && is_folder && mirror.sign.is_none())
            .then(|| format!("{}{path}", mirror.url).parse().ok())?
    }

    pub(super) fn folder_was_listed(&mut self, listed: FolderListed, now: Timestamp) {
        let FolderListed { mirror, release: id, assets, complete, outcome } = listed;
        let known = self.releases.get(&id).filter(|known| known.release.assets.len() as AssetIndex == assets);
        let Some((known, state)) = known.zip(self.mirrors.get_mut(&mirror)) else { return };
        let number = known.number;
        let before = state.stocks.remove(number);
        let (listed, drift) = match outcome {
            FolderOutcome::Listed(kind, drift) => {
                // A verified file that is not listed any more, or has another size now, is worth a look. Once: some files
                // are served and hidden from listings.
                let before = before.as_ref().and_then(Stock::drift);
                let known: HashSet<_> = before.iter().flat_map(|before| before.amiss()).collect();
                let holding = state.holding(number, assets, self.epoch);
                if drift.amiss().any(|asset| holding.copies.holds(asset) && !known.contains(&asset)) {
                    holding.copies.begin_pass_if_none();
                    self.dirty.copies.insert((mirror.clone(), id.clone()));
                    state.stir();
                    self.wake.insert(mirror.clone());
                }
                (Some(kind), (drift != Drift::default()).then(|| Box::new(drift)))
            }
            FolderOutcome::NoListing => (None, None),
            FolderOutcome::Unreachable => before.map_or((None, None), |stock| (stock.listed, stock.drift)),
        };
        state.stocks.insert(number, Stock { at: now, complete, assets, listed, drift });
    }

    /// The last look at a folder, where it is of the release as it is now.
    fn stock<'w>(&self, state: &'w MirrorState, id: &ReleaseId) -> Option<&'w Stock> {
        let known = self.releases.get(id)?;
        let is_same = |stock: &&Stock| stock.assets as usize == known.release.assets.len();
        state.stocks.get(known.number).filter(is_same)
    }

    /// Missing and unexpected files of a mirror, by release, and what it holds without being asked to.
    pub(super) fn inventory_report(&self, name: &MirrorName) -> Report {
        let mirror = self.configured().find(|mirror| mirror.name == *name)?;
        let state = self.mirrors.get(name)?;
        let holds = |id: &ReleaseId| self.copies_of(state, id).is_some_and(Copies::holds_any);
        let of_interest = self.priority.iter().filter(|id| self.wants(mirror, id) || holds(id));
        let releases = of_interest.filter_map(|id| self.release_inventory(mirror, state, id));
        let unwanted = self.unwanted_by(mirror);
        let unwanted = self.unwanted_copies(state, &unwanted).map(|(id, reason, copies)| {
            json!({ "product": id.product, "version": id.version, "reason": reason, "copies": copies })
        });
        Some(json!({
            "mirror": name,
            "releases": releases.collect::<Vec<_>>(),
            "unwanted": unwanted.collect::<Vec<_>>(),
        }))
    }

    fn release_inventory(&self, mirror: &Mirror, state: &MirrorState, id: &ReleaseId) -> Option<Value> {
        let release = &self.releases.get(id)?.release;
        let stock = self.stock(state, id);
        let drift = stock.and_then(Stock::drift);
        let source = stock.and_then(|stock| stock.listed);
        let named = |assets: Vec<AssetIndex>| {
            let first: Vec<&str> =
                assets.iter().take(NAMES_MAX).map(|asset| &*release.asset(*asset).name).collect();
            json!({ "count": assets.len(), "first": first })
        };
        let missing = match self.wants(mirror, id) {
            true => missing(release, self.copies_of(state, id), drift),
            false => Vec::new(),
        };
        let none = Drift::default();
        let Drift { unexpected, unexpected_count, wrong_size, .. } = drift.unwrap_or(&none);
        Some(json!({
            "product": id.product,
            "version": id.version,
            "at": stock.map(|stock| stock.at.to_string()),
            "source": source.map_or("asked", ListingKind::as_str),
            "unexpected": { "count": unexpected_count, "first": unexpected },
            "missing": named(missing),
            "wrong_size": named(wrong_size.clone()),
        }))
    }

    /// How mirrors' folders of a release differ from its manifest, a line for each difference; `None` where no mirror has
    /// listed one.
    pub fn drift_of(&self, id: &ReleaseId) -> Option<Vec<String>> {
        let release = &self.releases.get(id)?.release;
        let mut lines = None;
        for mirror in self.configured().filter(|mirror| self.wants(mirror, id)) {
            let Some(state) = self.mirrors.get(&mirror.name) else { continue };
            let Some(drift) = self.stock(state, id).and_then(Stock::drift) else { continue };
            let asset = |asset: &AssetIndex| &*release.asset(*asset).name;
            let missing = missing(release, self.copies_of(state, id), Some(drift));
            let unexpected = drift.unexpected.iter().map(|name| format!("unexpected {name}"));
            let differences = unexpected
                .chain(missing.iter().map(|missing| format!("lacks {}", asset(missing))))
                .chain(drift.wrong_size.iter().map(|wrong| format!("{} has another size", asset(wrong))));
            let count = drift.unexpected_count as usize + missing.len() + drift.wrong_size.len();
            let lines = lines.get_or_insert_with(Vec::new);
            lines.extend(
                differences.take(LINES_MAX).map(|difference| format!("{}: {difference}", mirror.name)),
            );
            if count > LINES_MAX {
                lines.push(format!("{}: and {} more", mirror.name, count - LINES_MAX));
            }
        }
        lines
    }

    pub(super) fn set_inventory_gauges(&self, metrics: &Metrics) {
        let metrics = &metrics.replication;
        metrics.unexpected_files.reset();
        metrics.unwanted_copies.reset();
        let mut by_tier: HashMap<&TierName, Vec<(&ReleaseId, Unwanted)>> = HashMap::new();
        for mirror in self.configured() {
            let (name, Some(state)) = (mirror.name.as_str(), self.mirrors.get(&mirror.name)) else {
                continue;
            };
            let drifts = state.stocks.values().filter_map(|stock| stock.drift.as_ref());
            let unexpected: u64 = drifts.map(|drift| drift.unexpected_count).sum();
            metrics.unexpected_files.with_label_values(&[name]).set(unexpected as i64);
            let counts =
                Unwanted::ALL.map(|why| metrics.unwanted_copies.with_label_values(&[name, why.as_str()]));
            let unwanted = by_tier.entry(&mirror.tier).or_insert_with(|| self.unwanted_by(mirror));
            for (_, reason, copies) in self.unwanted_copies(state, unwanted) {
                counts[reason as usize].add(copies as i64);
            }
        }
    }

    /// Of releases that a mirror is not to hold, those that it holds verified copies of, and how many copies.
    fn unwanted_copies<'a>(
        &'a self,
        state: &'a MirrorState,
        unwanted: &'a [(&'a ReleaseId, Unwanted)],
    ) -> impl Iterator<Item = (&'a ReleaseId, Unwanted, u64)> {
        let held = unwanted
            .iter()
            .filter_map(|(id, reason)| Some((*id, *reason, self.copies_of(state, id)?.tally().verified)));
        held.filter(|(.., copies)| *copies > 0)
    }
}

/// Assets that are not there: as the mirror said when it was asked for them, or as its listing says, unless they were
/// verified all the same.
fn missing(release: &Release, copies: Option<&Copies>, drift: Option<&Drift>) -> Vec<AssetIndex> {
    let unlisted: HashSet<AssetIndex> =
        drift.iter().flat_map(|drift| drift.missing.iter().copied()).collect();
    let is_missing = |asset: &AssetIndex| match copies.map(|copies| copies.state(*asset)) {
        Some(CopyState::Verified) => false,
        Some(CopyState::Missing) => true,
        Some(CopyState::Pending | CopyState::Corrupt) | None => unlisted.contains(asset),
    };
    (0..release.assets.len() as AssetIndex).filter(is_missing).collect()
}
