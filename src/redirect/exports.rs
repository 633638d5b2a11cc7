//! What other programs read: a product's releases, and the hosts that redirects lead to.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use serde::Serialize;
use url::Url;

use crate::catalog::Release;
use crate::model::{AssetIndex, Version};
use crate::routing::{Availability, Mirrors};
use crate::snapshot::{ChannelView, ProductView, ReleaseView, WithdrawnView};

/// Most assets that `releases.json` lists, those of the newest releases: some 20 MB.
const ASSETS_MAX: usize = 100_000;

/// `/{product}/releases.json`
#[derive(Serialize)]
struct Releases<'a> {
    schema: u32,
    product: &'a str,
    /// The channel that `latest` means.
    latest: Option<&'a str>,
    channels: Vec<Channel<'a>>,
    /// Newest first.
    releases: Vec<Line<'a>>,
}

#[derive(Serialize)]
struct Channel<'a> {
    name: &'a str,
    /// `null` while nothing was ready.
    version: Option<&'a Version>,
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<String>,
}

#[derive(Serialize)]
struct Line<'a> {
    version: &'a Version,
    #[serde(skip_serializing_if = "Option::is_none")]
    published_at: Option<String>,
    /// Channels that lead to it now; none to a withdrawn one.
    channels: Vec<&'a str>,
    /// Channels that its manifest names.
    labels: Vec<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    notes_url: Option<&'a str>,
    /// Left out where the list would get too long; `SHA256SUMS` has them all.
    #[serde(skip_serializing_if = "Option::is_none")]
    assets: Option<Vec<Asset<'a>>>,
    /// `null`: it is handed out.
    withdrawn: Option<Withdrawn<'a>>,
}

#[derive(Serialize)]
struct Withdrawn<'a> {
    at: String,
    reason: &'a str,
    /// The version to take instead.
    replacement: Option<&'a Version>,
}

#[derive(Serialize)]
struct Asset<'a> {
    name: &'a str,
    size: u64,
    sha256: String,
    /// In the spelling of [`crate::model::Platform`].
    #[serde(skip_serializing_if = "Vec::is_empty")]
    platforms: Vec<&'a str>,
}

/// What of a product's releases may be told.
pub trait Shown {
    /// Whether a release may be.
    fn release(&self, view: &ReleaseView) -> bool;
    /// Whether one of its assets may be.
    fn asset(&self, release: &Release, asset: AssetIndex) -> bool;
    /// Whether it may be told that a version was withdrawn.
    fn withdrawn(&self, view: &WithdrawnView) -> bool;
}

/// All of a product that is for everybody.
pub struct Everything;

impl Shown for Everything {
    fn release(&self, _: &ReleaseView) -> bool {
        true
    }

    fn asset(&self, _: &Release, _: AssetIndex) -> bool {
        true
    }

    fn withdrawn(&self, _: &WithdrawnView) -> bool {
        true
    }
}

/// What `releases.json` of a product says.
pub fn releases_json(product: &ProductView, shown: &impl Shown) -> Bytes {
    let mut left = ASSETS_MAX;
    let good = product.releases.iter().filter(|view| shown.release(view));
    let good = good.map(|view| Line::of(view, product, shown, &mut left));
    let withdrawn = product.withdrawn.values().filter(|view| shown.withdrawn(view));
    let withdrawn = withdrawn.map(|view| Line::of_withdrawn(view, shown));
    let is_shown = |channel: &&ChannelView| channel.target.as_ref().is_none_or(|view| shown.release(view));
    let mut releases: Vec<Line<'_>> = good.chain(withdrawn).collect();
    releases.sort_by(|a, b| b.version.precedence(a.version));
    json(&Releases {
        schema: 1,
        product: &product.name,
        latest: product.latest.map(|at| &product.channels[at]).filter(is_shown).map(|channel| &*channel.name),
        channels: product.channels.iter().filter(is_shown).map(Channel::of).collect(),
        releases,
    })
}

fn json(document: &impl Serialize) -> Bytes {
    // Numbers, texts and lists of them can always be written.
    let mut text = serde_json::to_vec(document).unwrap_or_default();
    text.push(b'\n');
    text.into()
}

impl<'a> Channel<'a> {
    fn of(channel: &'a ChannelView) -> Self {
        Self {
            name: &channel.name,
            version: channel.target.as_ref().map(|view| &view.release.id.version),
            since: channel.since.map(|since| since.to_string()),
        }
    }
}

impl<'a> Line<'a> {
    /// `left` is how many assets may still be listed.
    fn of(view: &'a ReleaseView, product: &'a ProductView, shown: &impl Shown, left: &mut usize) -> Self {
        let release = &*view.release;
        let points = |channel: &&ChannelView| {
            channel.target.as_ref().is_some_and(|target| target.release.id == release.id)
        };
        let fewer = left.checked_sub(release.assets.len());
        *left = fewer.unwrap_or(0);
        Self {
            version: &release.id.version,
            published_at: Some(view.published_at.to_string()),
            channels: product.channels.iter().filter(points).map(|channel| &*channel.name).collect(),
            labels: release.channels.iter().map(|channel| &**channel).collect(),
            notes_url: release.notes_url.as_deref(),
            assets: fewer.map(|_| assets(release, shown)),
            withdrawn: None,
        }
    }

    /// Of a withdrawn release nothing is listed that could be fetched.
    fn of_withdrawn(view: &'a WithdrawnView, shown: &impl Shown) -> Self {
        let replacement = view.replacement.as_ref().filter(|replacement| shown.release(replacement));
        Self {
            version: &view.version,
            published_at: None,
            channels: Vec::new(),
            labels: Vec::new(),
            notes_url: None,
            assets: None,
            withdrawn: Some(Withdrawn {
                at: view.at.to_string(),
                reason: &view.reason,
                replacement: replacement.map(|replacement| &replacement.release.id.version),
            }),
        }
    }
}

fn assets<'a>(release: &'a Release, shown: &impl Shown) -> Vec<Asset<'a>> {
    let asset = |asset: &'a crate::catalog::Asset| Asset {
        name: &asset.name,
        size: asset.size,
        sha256: asset.sha256.to_string(),
        platforms: Vec::new(),
    };
    let mut assets: Vec<Asset<'_>> = release.assets.iter().map(asset).collect();
    release.platforms().for_each(|(platform, at)| assets[at as usize].platforms.push(platform.as_str()));
    assets.iter_mut().for_each(|asset| asset.platforms.sort_unstable());
    let shown = (0..).zip(assets).filter(|(at, _)| shown.asset(release, *at));
    shown.map(|(_, asset)| asset).collect()
}

/// `/hosts.json`
#[derive(Serialize)]
struct Hosts<'a> {
    schema: u32,
    /// By name.
    hosts: Vec<HostLine<'a>>,
}

#[derive(Serialize)]
struct HostLine<'a> {
    host: &'a str,
    #[serde(flatten)]
    known: &'a Host<'a>,
}

#[derive(Default, Serialize)]
struct Host<'a> {
    schemes: BTreeSet<&'static str>,
    /// Not known of a host that a mirror led to.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    ports: BTreeSet<u16>,
    mirrors: BTreeSet<&'a str>,
}

/// What `hosts.json` says: the hosts of all mirrors, whether they are in rotation now or not, and those that they were
/// seen to lead to.
pub fn hosts_json(mirrors: &Mirrors, availability: &Availability) -> Bytes {
    // An https mirror never leads to http.
    let scheme = |id| if mirrors.plain.has(id) { "http" } else { "https" };
    let mut hosts: BTreeMap<String, Host<'_>> = BTreeMap::new();
    for (id, mirror) in mirrors.iter() {
        // It was a URL in the configuration.
        let Ok(url) = Url::parse(&mirror.base) else { continue };
        let host = hosts.entry(url.host_str().unwrap_or_default().to_owned()).or_default();
        host.schemes.insert(scheme(id));
        host.ports.extend(url.port_or_known_default());
        host.mirrors.insert(&mirror.name);
    }
    for (name, leading) in &*availability.led_to {
        let host = hosts.entry(name.to_string()).or_default();
        for id in leading.iter() {
            host.schemes.extend(["https", scheme(id)]);
            host.mirrors.insert(&mirrors.get(id).name);
        }
    }
    let hosts = hosts.iter().map(|(host, known)| HostLine { host, known });
    json(&Hosts { schema: 1, hosts: hosts.collect() })
}
