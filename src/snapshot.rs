//! The published view: everything that an answer is made from, immutable, behind one pointer.
//!
//! Parts that did not change are shared with the snapshot before. Only `workers/publish` makes one.

mod listings;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use http::{HeaderValue, Response};
use rustc_hash::FxHashMap;

use crate::catalog::{Aliases, Release};
use crate::client::{Forwarded, Locator};
use crate::deliveries::Recording;
use crate::entitlement::Entitlements;
use crate::metrics::{ProductMeters, RegionMeters};
use crate::model::{ChannelName, Country, Exclusion, ProductName, RegionName, Timestamp, Version};
use crate::routing::{Availability, Holders, Mirrors, Rankings, Router};

pub use listings::Listings;

/// The one pointer. `None` before the first snapshot.
pub type Published = ArcSwapOption<Snapshot>;

/// Everything that an answer is made from.
#[derive(Debug)]
pub struct Snapshot {
    /// Counts up with every publication.
    pub generation: u64,
    /// When it was published.
    pub published_at: Timestamp,
    /// What the configuration says about answers.
    pub settings: Arc<Settings>,
    /// All mirrors.
    pub mirrors: Arc<Mirrors>,
    /// Where clients are.
    pub locator: Arc<Locator>,
    /// The order of mirrors per place.
    pub rankings: Arc<Rankings>,
    /// Which mirrors can be used now.
    pub availability: Arc<Availability>,
    /// What there is.
    pub catalog: Arc<CatalogView>,
    /// Who may have what of it.
    pub entitlements: Arc<Entitlements>,
    /// Where it is recorded who was given what; `None`: nowhere.
    pub recording: Option<Recording>,
    /// What `/hosts.json` says: every host that a redirect can lead to.
    pub hosts: Bytes,
    /// Durations of answers.
    pub timing: Arc<RegionMeters>,
}

impl Snapshot {
    /// The parts that a choice is made from.
    #[inline]
    pub fn router(&self) -> Router<'_> {
        Router { mirrors: &self.mirrors, rankings: &self.rankings, availability: &self.availability }
    }

    /// Whether requests can be sent here: some mirror is in rotation, or it is known of every mirror that it is not.
    pub fn is_settled(&self) -> bool {
        let unknown = |exclusion: &Option<Exclusion>| *exclusion == Some(Exclusion::NotProbed);
        !self.availability.routable.is_empty() || !self.availability.exclusions.iter().any(unknown)
    }
}

/// Redirects without their values, by the number of links, from 1.
#[derive(Debug)]
pub struct Redirects {
    /// That may be kept for a while.
    pub kept: Box<[Response<()>]>,
    /// That nobody may keep: they are one client's.
    pub not_kept: Box<[Response<()>]>,
}

/// What the configuration says about answers.
#[derive(Debug)]
pub struct Settings {
    /// `private, max-age=<ttl>`.
    pub cache_control: HeaderValue,
    /// Redirects without their values; made by `redirect::redirects`.
    pub redirects: Redirects,
    /// How many duplicates follow the chosen mirror's.
    pub alternates: usize,
    /// The public URL without a trailing slash; empty where none is configured: links are relative then.
    pub public_url: Box<str>,
    /// How a link to this service begins: `<`, the public URL, `/`.
    pub link_open: Box<str>,
    /// Whether the public URL is https.
    pub public_https: bool,
    /// Whom to believe about a client's address.
    pub forwarded: Forwarded,
    /// Regions in the order of their ids.
    pub regions: Box<[RegionName]>,
    /// Links that were published before.
    pub aliases: Aliases,
    /// How long a browser keeps a token.
    pub session: Duration,
    /// One line per request.
    pub access_log: bool,
    /// Further public names, in lower case and without a port.
    pub hosts: FxHashMap<Box<str>, HostView>,
}

/// A further public name, as answers need it.
#[derive(Debug)]
pub struct HostView {
    /// The product whose own host it is: its URLs leave the product out.
    pub product: Option<ProductName>,
    /// What stands before every path, decoded; no slash at its end.
    pub prefix: Box<str>,
    /// How a link to this host begins where there is no public URL: `<`, the prefix as it stands in a URL, `/`.
    pub link_open: Box<str>,
}

/// Products by name.
#[derive(Debug, Default)]
pub struct CatalogView {
    /// Each product; shared with earlier snapshots where it did not change.
    pub products: FxHashMap<ProductName, Arc<ProductView>>,
    /// Counters for requests that name no product.
    pub unnamed: Option<Arc<ProductMeters>>,
}

/// One product.
#[derive(Debug)]
pub struct ProductView {
    /// Its name.
    pub name: ProductName,
    /// Its releases that are handed out, newest first.
    pub releases: Vec<Arc<ReleaseView>>,
    /// Versions without a leading `v`, to positions in `releases`.
    pub by_version: FxHashMap<Box<str>, u32>,
    /// Its releases that are withdrawn, by their version without a leading `v`.
    pub withdrawn: FxHashMap<Box<str>, Arc<WithdrawnView>>,
    /// Its channels.
    pub channels: Vec<ChannelView>,
    /// What `latest` means: a position in `channels`.
    pub latest: Option<usize>,
    /// Its counters; channels in the order of `channels`.
    pub meters: Arc<ProductMeters>,
    /// Who may have it; `None`: everybody everywhere.
    pub guard: Option<Box<Guard>>,
    /// What `releases.json` says; the same for all views that say the same.
    pub listings: Arc<Listings>,
}

/// Whom a product is not for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Guard {
    /// It takes a token that gives it.
    pub entitled: bool,
    /// Countries to which it may not be served.
    pub deny_countries: Box<[Country]>,
}

impl ProductView {
    /// Keeps what was written for the view before, where nothing of it changed: it may be megabytes, and who holds what,
    /// which changes all the time while a release is verified, is not in it.
    pub fn keep_listings(&mut self, before: &Self) {
        let version =
            |view: &Option<Arc<ReleaseView>>| view.as_ref().map(|view| view.release.id.version.clone());
        let releases = self
            .releases
            .iter()
            .zip(&before.releases)
            .all(|(a, b)| Arc::ptr_eq(&a.release, &b.release) && a.published_at == b.published_at);
        let channels =
            self.channels.iter().zip(&before.channels).all(|(a, b)| {
                (&a.name, version(&a.target), a.since) == (&b.name, version(&b.target), b.since)
            });
        let withdrawn = self.withdrawn.iter().all(|(bare, a)| {
            let said = |view: &WithdrawnView| (view.version.clone(), view.at, version(&view.replacement));
            before.withdrawn.get(bare).is_some_and(|b| said(a) == said(b) && a.reason == b.reason)
        });
        let lengths = |view: &Self| (view.releases.len(), view.channels.len(), view.withdrawn.len());
        let same = lengths(self) == lengths(before) && self.latest == before.latest;
        if same && releases && channels && withdrawn {
            self.listings = Arc::clone(&before.listings);
        }
    }

    /// The release of this version, with or without a leading `v`.
    #[inline]
    pub fn release(&self, version: &str) -> Option<&Arc<ReleaseView>> {
        self.by_version.get(bare(version)).map(|at| &self.releases[*at as usize])
    }

    /// The withdrawn release of this version, with or without a leading `v`.
    pub fn withdrawn(&self, version: &str) -> Option<&Arc<WithdrawnView>> {
        self.withdrawn.get(bare(version))
    }

    /// The position of a channel, `latest` included.
    #[inline]
    pub fn channel(&self, name: &str) -> Option<usize> {
        match self.channels.iter().position(|channel| *channel.name == *name) {
            None if name == "latest" => self.latest,
            found => found,
        }
    }
}

/// A version as it stands in a path, without a leading `v`.
#[inline]
fn bare(version: &str) -> &str {
    match version.as_bytes() {
        [b'v', digit, ..] if digit.is_ascii_digit() => &version[1..],
        _ => version,
    }
}

/// One channel of a product.
#[derive(Debug)]
pub struct ChannelView {
    /// Its name.
    pub name: ChannelName,
    /// The release that it points to; `None` while none was ready yet, or where it is gone.
    pub target: Option<Arc<ReleaseView>>,
    /// The release that it points to, where that is withdrawn and there is nothing to fall back to.
    pub gone: Option<Arc<WithdrawnView>>,
    /// Since when it points there.
    pub since: Option<Timestamp>,
}

/// A release that nobody is sent to any more.
#[derive(Debug)]
pub struct WithdrawnView {
    /// Its version; as published, where it is known.
    pub version: Version,
    /// Since when.
    pub at: Timestamp,
    /// Why; may be empty.
    pub reason: Box<str>,
    /// What to take instead: the release that was named, else what its channel points to now.
    pub replacement: Option<Arc<ReleaseView>>,
}

/// One release and who holds it.
#[derive(Debug, Clone)]
pub struct ReleaseView {
    /// What was published.
    pub release: Arc<Release>,
    /// Mirrors with verified copies.
    pub holders: Arc<Holders>,
    /// When it was published: as the manifest says, else when it was seen first.
    pub published_at: Timestamp,
    /// It is lower than what the product's `latest` points to.
    pub superseded: bool,
    /// When somebody was first sent to it; the same for all views of a release.
    pub first_redirect: Arc<FirstRedirect>,
}

/// When somebody was first sent to a release.
#[derive(Debug, Default)]
pub struct FirstRedirect(OnceLock<Option<Timestamp>>);

impl FirstRedirect {
    /// Of a release that may have been handed out before the service started: it will never be known.
    pub fn unknown() -> Self {
        Self(OnceLock::from(None))
    }

    /// Somebody is sent to it; `now` is asked only the first time.
    #[inline]
    pub fn note(&self, now: impl FnOnce() -> Timestamp) {
        self.0.get_or_init(|| Some(now()));
    }

    /// When that was; `None` as well where it is not known.
    pub fn at(&self) -> Option<Timestamp> {
        self.0.get().copied().flatten()
    }
}
