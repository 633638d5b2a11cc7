//! Snapshots built by hand: a configuration as text, releases as lists of names, and who holds what.

use std::path::Path;
use std::sync::Arc;

use waypost::catalog::{Asset, Kind, Release, ReleaseId, ReleaseParts};
use waypost::config::{Config, parse};
use waypost::entitlement::Entitlements;
use waypost::metrics::{DeliveryMeters, Metrics};
use waypost::model::Platform;
use waypost::model::{ChannelName, Exclusion, MirrorId, ProductName, Sha256, Sha512, Timestamp, Version};
use waypost::routing::{Availability, Holders};
use waypost::snapshot::{CatalogView, ChannelView, ProductView, ReleaseView, Snapshot};
use waypost::workers::{Prepared, TicketSecret};

/// A file of a release: name, kind and platform; an empty text stands for none.
pub type File = (&'static str, &'static str, &'static str);

/// A release: its version, its files, and per file the mirrors that hold it. A file not named is held by all.
#[derive(Clone, Copy)]
pub struct Published {
    pub version: &'static str,
    pub files: &'static [File],
    pub held_only_by: &'static [(&'static str, &'static [&'static str])],
}

/// A product: its releases newest first, its channels with the versions that they point to, and what `latest` means.
#[derive(Clone, Copy)]
pub struct Product {
    pub name: &'static str,
    pub releases: &'static [Published],
    pub channels: &'static [(&'static str, Option<&'static str>)],
    pub latest: Option<&'static str>,
}

/// A digest that is different for every name.
pub fn sha256(name: &str) -> Sha256 {
    let mut bytes = [name.len() as u8; 32];
    name.bytes().zip(0usize..).for_each(|(b, i)| bytes[i % 32] = bytes[i % 32].rotate_left(3) ^ b);
    Sha256::new(bytes)
}

/// A size that is different for most names.
pub fn size(name: &str) -> u64 {
    1_000_000 + name.bytes().map(u64::from).sum::<u64>()
}

pub fn config(text: &str) -> Config {
    parse(text, Path::new("/etc/waypost.toml")).unwrap_or_else(|problems| panic!("{problems}")).config
}

fn release(product: &str, published: &Published) -> Release {
    let asset = |(name, kind, _): &File| {
        let sha512 = name.ends_with(".tar.gz").then(|| Box::new(Sha512::new([0x51; 64])));
        let kind = Some(*kind).filter(|kind| !kind.is_empty());
        Asset::new(name, size(name), sha256(name), sha512, Kind::from_manifest(kind))
    };
    let platforms = (0..).zip(published.files).filter(|(_, (.., platform))| !platform.is_empty());
    Release::new(ReleaseParts {
        id: ReleaseId {
            product: ProductName::new(product).unwrap(),
            version: Version::parse(published.version).unwrap(),
        },
        published_at: None,
        channels: vec![],
        assets: published.files.iter().map(asset).collect(),
        platforms: platforms.map(|(i, (.., platform))| (Platform::parse(platform).unwrap(), i)).collect(),
        notes_url: None,
        manifest_sha256: Sha256::new([0; 32]),
    })
}

fn holders(config: &Config, published: &Published) -> Holders {
    let mut parts: Vec<(MirrorId, Vec<u32>)> = vec![];
    for (id, mirror) in (0..).map(MirrorId).zip(&config.mirrors) {
        let held = (0..).zip(published.files).filter(|(_, (name, ..))| {
            let only = published.held_only_by.iter().find(|(file, _)| file == name);
            only.is_none_or(|(_, mirrors)| mirrors.contains(&mirror.name.as_str()))
        });
        parts.push((id, held.map(|(index, _)| index).collect()));
    }
    let (whole, parts): (Vec<_>, Vec<_>) =
        parts.into_iter().partition(|(_, held)| held.len() == published.files.len());
    Holders::new(whole.into_iter().map(|(id, _)| id).collect(), &parts)
}

fn product(config: &Config, delivery: &Arc<DeliveryMeters>, product: &Product) -> ProductView {
    let view = |published: &Published| {
        let release = Arc::new(release(product.name, published));
        let holders = Arc::new(holders(config, published));
        let (published_at, first_redirect) = (Timestamp::default(), Arc::default());
        Arc::new(ReleaseView { release, holders, published_at, superseded: false, first_redirect })
    };
    let releases: Vec<_> = product.releases.iter().map(view).collect();
    let versions = (0..).zip(&releases).map(|(i, r)| (r.release.id.version.bare().into(), i));
    let by_version = versions.collect::<std::collections::HashMap<Box<str>, u32>>();
    let target = |version: &str| {
        let at = by_version[version.trim_start_matches('v')];
        Arc::clone(&releases[at as usize])
    };
    let channel = |(name, version): &(&str, Option<&str>)| ChannelView {
        name: ChannelName::new(name).unwrap(),
        target: version.map(target),
        gone: None,
        since: version.map(|_| Timestamp::default()),
    };
    let names = product.channels.iter().map(|(name, _)| *name);
    ProductView {
        name: ProductName::new(product.name).unwrap(),
        channels: product.channels.iter().map(channel).collect(),
        latest: product.latest.map(|latest| names.clone().position(|name| name == latest).unwrap()),
        meters: Arc::new(delivery.per_product(product.name, names)),
        withdrawn: Default::default(),
        listings: Default::default(),
        guard: None,
        by_version: by_version.clone().into_iter().collect(),
        releases,
    }
}

/// The snapshot of a configuration, these products, and mirrors that are out for a reason.
pub fn snapshot(config: &Config, products: &[Product], out: &[(&str, Exclusion)]) -> Snapshot {
    let prepared =
        Prepared::new(Arc::new(config.clone()), None, &TicketSecret::random(), &Arc::new(Metrics::new()))
            .unwrap();
    let exclusion = |mirror: &waypost::config::Mirror| {
        out.iter().find(|(name, _)| *name == mirror.name.as_str()).map(|(_, exclusion)| *exclusion)
    };
    let exclusions = config.mirrors.iter().map(exclusion).collect();
    let view =
        |p: &Product| (ProductName::new(p.name).unwrap(), Arc::new(product(config, &prepared.delivery, p)));
    let availability = Arc::new(Availability::new(exclusions));
    Snapshot {
        generation: 1,
        published_at: Timestamp::default(),
        hosts: waypost::redirect::hosts_json(&prepared.mirrors, &availability),
        availability,
        catalog: Arc::new(CatalogView {
            products: products.iter().map(view).collect(),
            unnamed: Some(prepared.unnamed),
        }),
        entitlements: Arc::new(Entitlements::new(
            Box::default(),
            Arc::clone(&prepared.believed.rules),
            Arc::default(),
            Arc::clone(&prepared.believed.tickets),
            Arc::default(),
        )),
        recording: None,
        settings: prepared.settings,
        timing: prepared.timing,
        mirrors: prepared.mirrors,
        locator: prepared.locator,
        rankings: prepared.rankings,
    }
}
