//! From what the writer knows to the next snapshot, rebuilding only what changed.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use bytes::Bytes;
use rustc_hash::FxHashMap;

use crate::catalog::ReleaseId;
use crate::config::Access;
use crate::health::State;
use crate::metrics::ProductMeters;
use crate::model::{
    AssetIndex, ChannelName, Exclusion, MirrorId, MirrorSet, ProductName, Timestamp, Version,
};
use crate::redirect::hosts_json;
use crate::routing::{Availability, Holders};
use crate::snapshot::{CatalogView, ChannelView, FirstRedirect, Guard, ProductView, ReleaseView, Snapshot};

use super::mirrors::MirrorState;
use super::numbers::ReleaseNumber;
use super::releases::Known;
use super::world::World;

/// What is published, and which parts of it are out of date.
#[derive(Debug)]
pub struct Views {
    generation: u64,
    releases: HashMap<ReleaseId, Arc<ReleaseView>>,
    catalog: Arc<CatalogView>,
    availability: Arc<Availability>,
    hosts: Bytes,
    old_releases: BTreeSet<(ProductName, String)>,
    old_products: BTreeSet<ProductName>,
    old_catalog: bool,
    old_availability: bool,
    old_hosts: bool,
    old_access: bool,
    all_old: bool,
}

impl Default for Views {
    /// Nothing was published yet.
    fn default() -> Self {
        Self {
            generation: 0,
            releases: HashMap::new(),
            catalog: Arc::default(),
            availability: Arc::default(),
            hosts: Bytes::new(),
            old_releases: BTreeSet::new(),
            old_products: BTreeSet::new(),
            old_catalog: true,
            old_availability: true,
            old_hosts: true,
            old_access: true,
            all_old: true,
        }
    }
}

impl Views {
    /// A release, or who holds it, changed.
    pub fn touch_release(&mut self, id: &ReleaseId) {
        self.old_releases.insert((id.product.clone(), id.version.bare().to_owned()));
        self.old_products.insert(id.product.clone());
    }

    /// A product's channels changed.
    pub fn touch_product(&mut self, product: &ProductName) {
        self.old_products.insert(product.clone());
    }

    /// A mirror's standing changed.
    pub fn touch_availability(&mut self) {
        self.old_availability = true;
    }

    /// Who may have what changed.
    pub fn touch_access(&mut self) {
        self.old_access = true;
    }

    /// A mirror led to a host that it had not led to before.
    pub fn touch_hosts(&mut self) {
        (self.old_hosts, self.old_availability) = (true, true);
    }

    /// The configuration changed.
    pub fn touch_all(&mut self) {
        self.all_old = true;
    }

    fn is_current(&self) -> bool {
        !self.all_old
            && !self.old_catalog
            && !self.old_availability
            && !self.old_access
            && self.old_releases.is_empty()
            && self.old_products.is_empty()
    }
}

impl World {
    /// Whether anything changed since the last snapshot that is published or that channels depend on.
    pub(super) fn has_changed(&self) -> bool {
        !self.views.is_current()
    }

    /// The mirrors that hold all of a release, by their ids in the configuration in force; `None` where that is not worked
    /// out, because the release changed since [`World::renew_releases`].
    pub(super) fn whole_on(&self, id: &ReleaseId) -> Option<&MirrorSet> {
        let views = &self.views;
        let is_old = || {
            !views.old_releases.is_empty()
                && views.old_releases.contains(&(id.product.clone(), id.version.bare().to_owned()))
        };
        let view = views.releases.get(id).filter(|_| !views.all_old && !is_old());
        view.map(|view| view.holders.whole())
    }

    /// The next snapshot; `None` where nothing changed since the last, or nothing is known yet.
    pub fn next_snapshot(&mut self, now: Timestamp) -> Option<Snapshot> {
        // Until the origin was read, or a store says what was published, even "not found" would be a guess.
        let knows = !self.releases.is_empty() || self.origin.read_at.is_some();
        if self.views.is_current() || !knows {
            return None;
        }
        self.renew_releases();
        if std::mem::take(&mut self.views.old_availability) {
            self.views.availability = Arc::new(self.availability());
        }
        if std::mem::take(&mut self.views.old_hosts) {
            self.views.hosts = hosts_json(&self.prepared.mirrors, &self.views.availability);
        }
        self.renew_products();
        if std::mem::take(&mut self.views.old_access) {
            self.renew_entitlements();
        }
        self.views.generation += 1;
        let prepared = &self.prepared;
        Some(Snapshot {
            generation: self.views.generation,
            published_at: now,
            settings: Arc::clone(&prepared.settings),
            mirrors: Arc::clone(&prepared.mirrors),
            locator: Arc::clone(&prepared.locator),
            rankings: Arc::clone(&prepared.rankings),
            availability: Arc::clone(&self.views.availability),
            catalog: Arc::clone(&self.views.catalog),
            entitlements: Arc::clone(&self.access.entitlements),
            recording: prepared.recording.clone(),
            hosts: self.views.hosts.clone(),
            timing: Arc::clone(&prepared.timing),
        })
    }

    fn availability(&self) -> Availability {
        let states: Vec<_> = self.configured().map(|mirror| self.mirrors.get(&mirror.name)).collect();
        let exclusions = self.configured().zip(&states).map(|(mirror, state)| {
            let standing = state.map_or(Some(Exclusion::NotProbed), |state| state.standing.exclusion());
            standing.or_else(|| self.drained.contains(&mirror.name).then_some(Exclusion::Drained))
        });
        let mut availability = Availability::new(exclusions.collect());
        let mut led_to: FxHashMap<Box<str>, MirrorSet> = FxHashMap::default();
        for (id, state) in (0..).map(MirrorId).zip(states) {
            let Some(state) = state else { continue };
            if let (State::New | State::Down, Some(fault)) = (state.standing.state, state.standing.last_fault)
            {
                availability.faults.insert(id, fault);
            }
            match state.families {
                Some(families) if families.v6 && !families.v4 => availability.ipv6_only.insert(id),
                Some(families) if families.v4 && !families.v6 => availability.ipv4_only.insert(id),
                Some(_) | None => {}
            }
            for host in state.hosts.iter().filter(|_| self.views.old_hosts) {
                led_to.entry(host.as_str().into()).or_default().insert(id);
            }
        }
        availability.led_to = match self.views.old_hosts {
            true => Arc::new(led_to),
            false => Arc::clone(&self.views.availability.led_to),
        };
        availability
    }

    /// Brings up to date what is published of releases and of who holds them.
    pub(super) fn renew_releases(&mut self) {
        if std::mem::take(&mut self.views.all_old) {
            let ids: Vec<ReleaseId> = self.releases.keys().chain(self.withdrawn.keys()).cloned().collect();
            ids.iter().for_each(|id| self.views.touch_release(id));
            self.prepared.config.products.iter().for_each(|p| self.views.touch_product(&p.name));
            self.views.touch_hosts();
            self.views.old_catalog = true;
        }
        if self.views.old_releases.is_empty() {
            return;
        }
        let old = std::mem::take(&mut self.views.old_releases);
        // Each mirror is looked up once, not once for every release.
        let states: Vec<_> = self.configured().map(|mirror| self.mirrors.get(&mirror.name)).collect();
        let renew = |(product, version): (ProductName, String)| {
            // Versions are looked up by their bare text, so this one is found whatever its spelling.
            let id = ReleaseId { product, version: Version::parse(&version).ok()? };
            let view = self.releases.get(&id).map(|known| self.release_view(known, &states));
            Some((id, view))
        };
        let renewed: Vec<_> = old.into_iter().filter_map(renew).collect();
        for (id, view) in renewed {
            match view {
                Some(view) => drop(self.views.releases.insert(id, Arc::new(view))),
                None => drop(self.views.releases.remove(&id)),
            }
        }
    }

    fn release_view(&self, known: &Known, states: &[Option<&MirrorState>]) -> ReleaseView {
        let id = &known.release.id;
        let before = self.views.releases.get(id);
        let new = || match self.views.generation {
            0 => FirstRedirect::unknown(),
            _ => FirstRedirect::default(),
        };
        ReleaseView {
            release: Arc::clone(&known.release),
            holders: Arc::new(holders(known.number, states)),
            published_at: known.published_at(),
            superseded: before.is_some_and(|view| view.superseded),
            first_redirect: before.map_or_else(|| Arc::new(new()), |view| Arc::clone(&view.first_redirect)),
        }
    }

    fn renew_products(&mut self) {
        let old = std::mem::take(&mut self.views.old_products);
        if old.is_empty() && !self.views.old_catalog {
            return;
        }
        let reloaded = std::mem::take(&mut self.views.old_catalog);
        let mut products = self.views.catalog.products.clone();
        for name in old {
            let before = products.get(&name).map(Arc::clone);
            match self.product_view(&name, before.as_deref(), reloaded) {
                Some(mut view) => {
                    before.inspect(|before| view.keep_listings(before));
                    products.insert(name, Arc::new(view));
                }
                None => drop(products.remove(&name)),
            }
        }
        let unnamed = Some(Arc::clone(&self.prepared.unnamed));
        self.views.catalog = Arc::new(CatalogView { products, unnamed });
    }

    fn product_view(
        &mut self,
        name: &ProductName,
        before: Option<&ProductView>,
        reloaded: bool,
    ) -> Option<ProductView> {
        let of_product = self.views.releases.iter().filter(|(id, _)| id.product == *name);
        let good = of_product.filter(|(id, _)| !self.withdrawn.contains_key(id));
        let mut releases: Vec<Arc<ReleaseView>> = good.map(|(_, view)| Arc::clone(view)).collect();
        if releases.is_empty() && !self.withdrawn.keys().any(|id| id.product == *name) {
            return None;
        }
        releases.sort_by(|a, b| {
            let newer = b.release.id.version.precedence(&a.release.id.version);
            newer.then_with(|| b.published_at.cmp(&a.published_at))
        });
        let positions = (0..).zip(&releases);
        let by_version: FxHashMap<Box<str>, u32> =
            positions.map(|(at, view)| (view.release.id.version.bare().into(), at)).collect();
        let names = self.channels_of(name);
        let latest = self.latest(name, &names, &releases);
        let pointer = |channel: &ChannelName| self.pointers.get(&(name.clone(), channel.clone()));
        let position = |channel: &ChannelName| -> Option<usize> {
            by_version.get(pointer(channel)?.version.bare()).map(|at| *at as usize)
        };
        let newest = latest.and_then(|at| position(&names[at])).unwrap_or(releases.len());
        for (at, view) in releases.iter_mut().enumerate() {
            if view.superseded != (at > newest) {
                *view = Arc::new(ReleaseView { superseded: at > newest, ..ReleaseView::clone(view) });
                self.views.releases.insert(view.release.id.clone(), Arc::clone(view));
            }
        }
        let channel = |name: &ChannelName| ChannelView {
            name: name.clone(),
            target: position(name).map(|at| Arc::clone(&releases[at])),
            gone: None,
            since: pointer(name).map(|pointer| pointer.since),
        };
        let mut channels: Vec<ChannelView> = names.iter().map(channel).collect();
        channels
            .iter()
            .filter_map(|channel| channel.target.as_ref())
            .for_each(|view| view.release.prepare_for_channels());
        let good =
            |version: &Version| by_version.get(version.bare()).map(|at| Arc::clone(&releases[*at as usize]));
        let withdrawn = self.withdrawn_views(name, good, &channels, latest);
        for channel in &mut channels {
            let at = pointer(&channel.name).map(|pointer| pointer.version.bare());
            channel.gone = at.and_then(|version| withdrawn.get(version).cloned());
        }
        Some(ProductView {
            name: name.clone(),
            latest,
            channels,
            meters: self.meters(name, &names, before.filter(|_| !reloaded)),
            guard: self.guard(name),
            listings: Arc::default(),
            by_version,
            withdrawn,
            releases,
        })
    }

    /// Whom a product is not for.
    fn guard(&self, name: &ProductName) -> Option<Box<Guard>> {
        let configured = self.prepared.config.products.iter().find(|product| product.name == *name)?;
        let guard = Guard {
            entitled: configured.access == Access::Entitled,
            deny_countries: configured.deny_countries.clone().into(),
        };
        (guard.entitled || !guard.deny_countries.is_empty()).then(|| Box::new(guard))
    }

    /// A product's counters: those that requests have found already, as long as they are the same.
    fn meters(
        &self,
        name: &ProductName,
        channels: &[ChannelName],
        before: Option<&ProductView>,
    ) -> Arc<ProductMeters> {
        let same = |before: &&ProductView| before.channels.iter().map(|channel| &channel.name).eq(channels);
        let channels = channels.iter().map(|channel| channel.as_str());
        before.filter(same).map_or_else(
            || Arc::new(self.prepared.delivery.per_product(name, channels)),
            |before| Arc::clone(&before.meters),
        )
    }

    /// When somebody was first sent to a release; `None` where nobody was, or it may have been before the start.
    pub(super) fn first_redirect(&self, id: &ReleaseId) -> Option<Timestamp> {
        self.views.releases.get(id)?.first_redirect.at()
    }

    /// What `latest` means: the product's first channel in the configuration, else `stable`, else the first one in its
    /// newest manifest.
    fn latest(
        &self,
        product: &ProductName,
        channels: &[ChannelName],
        releases: &[Arc<ReleaseView>],
    ) -> Option<usize> {
        let position = |wanted: &str| channels.iter().position(|channel| **channel == *wanted);
        let configured = self.prepared.config.products.iter().find(|p| p.name == *product);
        let configured = configured.and_then(|p| p.channels.first()).and_then(|channel| position(channel));
        let newest = || releases.iter().find_map(|view| view.release.channels.first());
        configured.or_else(|| position("stable")).or_else(|| newest().and_then(|channel| position(channel)))
    }
}

/// Who holds what of a release. `states` are those of all mirrors in the order of their ids.
fn holders(release: ReleaseNumber, states: &[Option<&MirrorState>]) -> Holders {
    let (mut whole, mut parts) = (MirrorSet::new(), Vec::new());
    for (mirror, state) in (0..).map(MirrorId).zip(states) {
        match state.and_then(|state| state.copies(release)) {
            Some(copies) if copies.is_complete() => whole.insert(mirror),
            Some(copies) if copies.holds_any() => {
                parts.push((mirror, copies.held().collect::<Vec<AssetIndex>>()));
            }
            Some(_) | None => {}
        }
    }
    Holders::new(whole, &parts)
}
