//! Who should hold what: tiers and retention, worked out ahead for every tier, because it is asked for many mirrors and
//! releases.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use crate::catalog::ReleaseId;
use crate::config::{Kept, Mirror, OriginAt, Retention, Tier};
use crate::model::{ChannelName, MirrorName, ProductName, TierName, Timestamp};
use crate::workers::prepare::Prepared;
use crate::workers::replication::{
    MirrorFiles, Needed, Unwanted, UnwantedRelease, WantedRelease, lies_as_at_origin,
};

use super::releases::Known;
use super::world::World;

/// Where age decides, it is worked out again after this long.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// What each tier wants; out of date until it was worked out.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    tiers: HashMap<TierName, HashSet<ReleaseId>>,
    /// What the retention leaves, whatever the tiers.
    kept: HashSet<ReleaseId>,
    /// When it was worked out; `None`: it is out of date.
    at: Option<Timestamp>,
    /// Whether time alone changes it.
    ages: bool,
}

impl Wanted {
    /// Releases, pointers, withdrawals or the configuration changed.
    pub(super) fn touch(&mut self) {
        self.at = None;
    }

    fn is_current(&self, now: Timestamp) -> bool {
        self.at.is_some_and(|at| !self.ages || now.apart(at) < LOOK_EVERY)
    }
}

/// The releases of one product that are not withdrawn, and what its channels say of them.
struct Line<'w> {
    product: &'w ProductName,
    /// The newest first.
    releases: Vec<&'w Known>,
    /// Channels that point to a release or wait for it.
    current: HashMap<&'w ReleaseId, HashSet<&'w ChannelName>>,
    /// What a channel would go back to, were it whole somewhere.
    before: HashSet<&'w ReleaseId>,
}

impl Line<'_> {
    fn is_current(&self, id: &ReleaseId, channels: &[ChannelName]) -> bool {
        let of = self.current.get(id);
        of.is_some_and(|of| channels.is_empty() || channels.iter().any(|channel| of.contains(channel)))
    }

    fn concerns(&self, known: &Known, channels: &[ChannelName]) -> bool {
        let labelled = || known.release.channels.iter().any(|channel| channels.contains(channel));
        channels.is_empty() || labelled() || self.is_current(&known.release.id, channels)
    }

    /// What a line of a tier wants of this product.
    fn wanted_by<'a>(&'a self, tier: &'a Tier, now: Timestamp) -> impl Iterator<Item = &'a ReleaseId> {
        let concerned = self.releases.iter().filter(|known| self.concerns(known, &tier.channels));
        let wants = move |(rank, known): (usize, &&Known)| match tier.releases {
            Kept::All => true,
            Kept::Nothing => false,
            Kept::Current => self.is_current(&known.release.id, &tier.channels),
            Kept::Newest(count) => rank < count || self.is_current(&known.release.id, &tier.channels),
            Kept::Within(time) => {
                is_young(known, time, now) || self.is_current(&known.release.id, &tier.channels)
            }
        };
        let product_fits = tier.products.is_empty() || tier.products.contains(self.product);
        let ranked = concerned.enumerate().filter(move |ranked| product_fits && wants((ranked.0, ranked.1)));
        ranked.map(|(_, known)| &known.release.id)
    }

    /// What the retention leaves of this product.
    fn kept_by(&self, retention: Retention, now: Timestamp) -> impl Iterator<Item = &ReleaseId> {
        let Retention { newest, age } = retention;
        let stays = move |(rank, known): &(usize, &&Known)| {
            let id = &known.release.id;
            (newest.is_none() && age.is_none())
                || newest.is_some_and(|newest| *rank < newest)
                || age.is_some_and(|age| is_young(known, age, now))
                || self.current.contains_key(id)
                || self.before.contains(id)
        };
        self.releases.iter().enumerate().filter(stays).map(|(_, known)| &known.release.id)
    }
}

fn is_young(known: &Known, time: Duration, now: Timestamp) -> bool {
    now.since(known.published_at()) <= time
}

/// Whether a mirror gives its files only to those who were sent to it, or can be reached by nobody else.
pub(super) fn is_guarded(mirror: &Mirror) -> bool {
    mirror.private || mirror.sign.is_some()
}

/// Tells which releases a mirror may be asked for that it is not known to hold: where it keeps nobody out, none of a product
/// that is not for everybody, of which it need not even learn the names.
pub(super) fn may_ask<'p>(prepared: &'p Prepared, mirror: &str) -> impl Fn(&ReleaseId) -> bool + use<'p> {
    let is_open = prepared.mirrors.id_of(mirror).is_some_and(|id| !prepared.mirrors.guarded.has(id));
    move |id| !(is_open && prepared.believed.entitled.contains(&id.product))
}

impl World {
    /// Whether a mirror is to hold a release, by its tier and the retention. As of the last [`World::weigh_wants`].
    pub(super) fn wants(&self, mirror: &Mirror, id: &ReleaseId) -> bool {
        let wanted = || self.wanted.tiers.get(&mirror.tier).is_some_and(|tier| tier.contains(id));
        !self.withdrawn.contains_key(id) && wanted() && self.may_hold(mirror, id)
    }

    /// Tells which mirrors are to hold a release.
    pub(super) fn wanting(&self, id: &ReleaseId) -> impl Fn(&Mirror) -> bool {
        let tiers = self.wanted.tiers.iter().filter(|(_, wanted)| wanted.contains(id));
        let tiers = tiers.filter(|_| !self.withdrawn.contains_key(id)).map(|(tier, _)| tier);
        let tiers: Vec<&TierName> = tiers.collect();
        let entitled = self.is_entitled(&id.product);
        move |mirror| tiers.contains(&&mirror.tier) && (!entitled || is_guarded(mirror))
    }

    /// Whether a product is for entitled callers only.
    pub(super) fn is_entitled(&self, product: &ProductName) -> bool {
        self.prepared.believed.entitled.contains(product)
    }

    /// Whether a mirror would give a release to nobody who may not have it.
    fn may_hold(&self, mirror: &Mirror, id: &ReleaseId) -> bool {
        is_guarded(mirror) || !self.is_entitled(&id.product)
    }

    /// Releases that a mirror is not to hold, and why not; the same for all mirrors of its tier.
    pub(super) fn unwanted_by(&self, mirror: &Mirror) -> Vec<(&ReleaseId, Unwanted)> {
        self.priority.iter().filter_map(|id| Some((id, self.unwanted(mirror, id)?))).collect()
    }

    /// Why a mirror is not to hold a release; `None`: it is.
    fn unwanted(&self, mirror: &Mirror, id: &ReleaseId) -> Option<Unwanted> {
        if self.withdrawn.contains_key(id) {
            Some(Unwanted::Withdrawn)
        } else if self.wants(mirror, id) {
            None
        } else if !self.may_hold(mirror, id) {
            Some(Unwanted::Open)
        } else if self.wanted.kept.contains(id) {
            Some(Unwanted::Tier)
        } else {
            Some(Unwanted::Retention)
        }
    }

    /// Works out what every tier wants, where that is out of date.
    pub(super) fn weigh_wants(&mut self, now: Timestamp) {
        // The order of releases goes out of date with whatever this depends on, and its making anew says so.
        self.by_priority();
        if self.wanted.is_current(now) {
            return;
        }
        let config = Arc::clone(&self.prepared.config);
        let lines = self.lines();
        let kept = lines.iter().flat_map(|line| line.kept_by(config.retention, now));
        let kept: HashSet<ReleaseId> = kept.cloned().collect();
        let mut tiers: HashMap<TierName, HashSet<ReleaseId>> = HashMap::new();
        for tier in &config.tiers {
            let wanted = lines.iter().flat_map(|line| line.wanted_by(tier, now));
            tiers
                .entry(tier.name.clone())
                .or_default()
                .extend(wanted.filter(|id| kept.contains(id)).cloned());
        }
        let within = |tier: &Tier| matches!(tier.releases, Kept::Within(_));
        let ages = config.retention.age.is_some() || config.tiers.iter().any(within);
        self.wanted = Wanted { tiers, kept, at: Some(now), ages };
    }

    fn lines(&self) -> Vec<Line<'_>> {
        self.by_product().into_iter().map(|(product, releases)| self.line(product, releases)).collect()
    }

    fn line<'w>(&'w self, product: &'w ProductName, mut releases: Vec<&'w Known>) -> Line<'w> {
        releases.retain(|known| !self.withdrawn.contains_key(&known.release.id));
        releases.sort_by(|a, b| self.order(&b.release.id, &a.release.id));
        let mut current: HashMap<&ReleaseId, HashSet<&ChannelName>> = HashMap::new();
        for known in &releases {
            let id = &known.release.id;
            for channel in &known.release.channels {
                let pointer = self.pointers.get(&(product.clone(), channel.clone()));
                if pointer.is_none_or(|pointer| self.is_higher(product, &id.version, &pointer.version)) {
                    current.entry(id).or_default().insert(channel);
                }
            }
        }
        let mut before = HashSet::new();
        let by_version: HashMap<&str, &ReleaseId> =
            releases.iter().map(|known| (known.release.id.version.bare(), &known.release.id)).collect();
        for (key, pointer) in self.pointers.iter().filter(|((p, _), _)| p == product) {
            if let Some(id) = by_version.get(pointer.version.bare()) {
                current.entry(id).or_default().insert(&key.1);
            }
            before.extend(self.earlier(key, &pointer.version).next());
        }
        Line { product, releases, current, before }
    }

    /// What a mirror is to hold and what it should not, the most important release first; `None` where there is no such
    /// mirror.
    pub fn mirror_files(&mut self, name: &MirrorName, now: Timestamp) -> Option<MirrorFiles> {
        self.weigh_wants(now);
        let mirror = self.configured().find(|mirror| mirror.name == *name)?;
        let state = self.mirrors.get(name);
        let copies = |id| state.and_then(|state| self.copies_of(state, id));
        let (mut wanted, mut unwanted) = (Vec::new(), Vec::new());
        for id in &self.priority {
            let Some(known) = self.releases.get(id) else { continue };
            match self.unwanted(mirror, id) {
                None => wanted
                    .push(WantedRelease { release: Arc::clone(&known.release), copies: copies(id).cloned() }),
                Some(reason) => unwanted.push(UnwantedRelease {
                    product: id.product.clone(),
                    version: id.version.clone(),
                    reason,
                    copies: copies(id).map_or(0, |copies| copies.tally().verified),
                }),
            }
        }
        let origin = match &self.prepared.config.origin.at {
            OriginAt::Url(url) => Some(url.clone()),
            OriginAt::Folder(_) => None,
        };
        let sources = self.sources(mirror, &wanted);
        let (name, tier, layout) = (mirror.name.clone(), mirror.tier.clone(), mirror.layout.clone());
        Some(MirrorFiles { mirror: name, tier, layout, wanted, unwanted, origin, sources })
    }

    /// The other mirrors in rotation that hold all this in the origin's layout: those of the same region first.
    fn sources(&self, mirror: &Mirror, wanted: &[WantedRelease]) -> Vec<url::Url> {
        let holds_all = |other: &&Mirror| {
            let whole = |state: &super::mirrors::MirrorState| {
                wanted.iter().all(|wanted| self.is_whole_on(state, &wanted.release.id))
            };
            self.exclusion(&other.name).is_none() && self.mirrors.get(&other.name).is_some_and(whole)
        };
        let others =
            self.configured().filter(|other| other.name != mirror.name && lies_as_at_origin(&other.layout));
        let mut others: Vec<&Mirror> = others.filter(holds_all).collect();
        // Stable: in the order of the file within.
        others.sort_by_key(|other| Reverse(mirror.region.is_some() && other.region == mirror.region));
        others.into_iter().map(|other| other.url.clone()).collect()
    }

    /// What a mirror that wants to be told lacks; `None` where it is not configured any more.
    pub fn needed(&mut self, name: &MirrorName, now: Timestamp) -> Option<Needed> {
        self.weigh_wants(now);
        let mirror = self.configured().find(|mirror| mirror.name == *name)?;
        let mut needed = Needed::default();
        let Some(state) = self.mirrors.get(name) else { return Some(needed) };
        for id in self.priority.iter().filter(|id| self.wants(mirror, id)) {
            if let (Some(known), Some(copies)) = (self.releases.get(id), self.copies_of(state, id)) {
                needed.add(&known.release, copies);
            }
        }
        Some(needed)
    }
}
