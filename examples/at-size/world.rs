//! A world of a given size, the same for the same seed: releases, mirrors that hold all of them, network rules, and the
//! state folder of a service that has verified everything.
//!
//! Every file holds its own path as text. A server that answers with the path it is asked for therefore serves the true
//! bytes of a million files without a disk.

use std::collections::{BTreeMap, HashSet};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;
use waypost::catalog::index::{INDEX_FILE, Index, IndexEntry, ManifestPath};
use waypost::catalog::manifest::{MANIFEST_FILE, Manifest, ManifestAsset};
use waypost::config::{self, Config, OriginAt};
use waypost::fetch::fingerprint;
use waypost::health::{Copies, marks_per_release};
use waypost::metrics::Metrics;
use waypost::model::{
    AssetIndex, AssetPath, ChannelName, Clock, ProductName, Sha256, SystemClock, Timestamp, Version, actor,
};
use waypost::store::{Action, NewOrder, Observation, Store};
use waypost::workers::fact::{Fact, Listed, Listing, Probed, ReadManifest, Reading};
use waypost::workers::publish::World;
use waypost::workers::{Prepared, TicketSecret};

use super::Failure;
use super::random::Random;

/// Client addresses in the requests, and requests.
const CLIENTS: usize = 10_000;
const REQUESTS: usize = 40_000;
/// Observations that are written at once.
const BATCH: usize = 10_000;
/// When the first release was published; the next ones an hour later each.
const FIRST_PUBLISHED: Timestamp = Timestamp::from_millis(1_735_689_600_000);

const PLATFORMS: [&str; 4] = ["linux-amd64", "linux-arm64", "darwin-arm64", "windows-amd64"];

/// Names, latitudes and longitudes.
const CITIES: [(&str, f64, f64); 10] = [
    ("fra", 50.11, 8.68),
    ("iad", 38.95, -77.45),
    ("sjc", 37.34, -121.89),
    ("gru", -23.55, -46.63),
    ("jnb", -26.20, 28.05),
    ("bom", 19.08, 72.88),
    ("sin", 1.35, 103.82),
    ("nrt", 35.68, 139.69),
    ("syd", -33.87, 151.21),
    ("arn", 59.33, 18.07),
];

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// A configuration that includes `world.toml` beside it; its origin is a folder, its state folder is new
    config: PathBuf,
    /// Mirrors
    #[arg(long, default_value_t = 1000)]
    mirrors: usize,
    /// Products
    #[arg(long, default_value_t = 10)]
    products: usize,
    /// Releases of each product
    #[arg(long, default_value_t = 100)]
    releases: usize,
    /// Assets of each release
    #[arg(long, default_value_t = 1000)]
    assets: usize,
    /// Network rules
    #[arg(long, default_value_t = 0)]
    rules: usize,
    /// Of places, rules and requests
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Port on 127.0.0.1 where all mirrors are, each under a path of its own
    #[arg(long)]
    mirror_port: u16,
    /// The service may list the mirrors' folders; without, their layout has none that could be listed
    #[arg(long)]
    listable: bool,
}

/// Writes everything: `world.toml` and `requests.txt` beside the configuration, the origin and the state.
pub fn make(arguments: &Arguments) -> Result<(), Failure> {
    let folder = arguments.config.parent().ok_or("the configuration has no folder")?;
    fs::write(folder.join("world.toml"), mirrors_and_rules(arguments))?;
    fs::write(folder.join("requests.txt"), requests(arguments))?;
    let config = config::load(&arguments.config).map_err(|problems| problems.to_string())?.config;
    let OriginAt::Folder(origin) = &config.origin.at else { return Err("the origin is no folder".into()) };
    let manifests = publish_all(arguments, &origin.clone())?;
    remember(config, manifests)
}

// Names: of the same length for all releases and assets, and about as long as real ones are.

/// The name of a product.
pub fn product(number: usize) -> Result<ProductName, Failure> {
    Ok(ProductName::new(&format!("tool-{number:02}"))?)
}

/// The version of a release.
pub fn version(number: usize) -> Result<Version, Failure> {
    Ok(Version::parse(&format!("1.{}.0", 1000 + number))?)
}

fn asset_name(product: &str, number: usize) -> String {
    format!("{product}-component-{number:04}-{}.tar.gz", platform(number))
}

fn platform(number: usize) -> &'static str {
    PLATFORMS[number % PLATFORMS.len()]
}

/// A release as `waypost manifest create` would describe it.
pub fn manifest(product: ProductName, number: usize, assets: usize) -> Result<Manifest, Failure> {
    let mut manifest = Manifest::new(product, version(number)?);
    manifest.channels.push(ChannelName::new("stable")?);
    manifest.published_at = Some(FIRST_PUBLISHED.after(Duration::from_secs(3600 * number as u64)));
    for asset in 0..assets {
        let name = asset_name(&manifest.product, asset);
        let bytes = format!("{}/{}/{name}", manifest.product, manifest.version.as_str());
        let (size, sha256) = (bytes.len() as u64, Sha256::of(bytes.as_bytes()));
        let mut described = ManifestAsset::new(AssetPath::new(&name)?, size, sha256);
        described.platforms.push(platform(asset).into());
        described.kind = Some("archive".into());
        manifest.assets.push(described);
    }
    Ok(manifest)
}

// What is written beside the configuration.

fn mirrors_and_rules(arguments: &Arguments) -> String {
    let mut random = Random::new(arguments.seed);
    let mut text = String::new();
    for (name, latitude, longitude) in CITIES {
        let _ = writeln!(text, "[[region]]\nname = \"{name}\"\nlocation = [{latitude}, {longitude}]\n");
    }
    for number in 0..arguments.mirrors {
        let (region, latitude, longitude) = CITIES[number % CITIES.len()];
        // In and around the city, so that some are nearly equally near and some are not.
        let mut around = |degrees: f64| degrees + random.below(801) as f64 / 100.0 - 4.0;
        let (latitude, longitude) = (around(latitude), around(longitude));
        let port = arguments.mirror_port;
        let file = if arguments.listable { "{asset}" } else { "_{asset}" };
        let _ = writeln!(
            text,
            "[[mirror]]\nname = \"m{number:04}\"\nurl = \"http://127.0.0.1:{port}/m{number:04}/\"\n\
             layout = \"{{product}}/{{version}}/{file}\"\nregion = \"{region}\"\n\
             location = [{latitude:.2}, {longitude:.2}]\n"
        );
    }
    let mut networks = HashSet::new();
    while networks.len() < arguments.rules {
        let prefix = 14 + random.below(11);
        let network = public_address(&mut random) >> (32 - prefix) << (32 - prefix);
        if networks.insert((network, prefix)) {
            let (region, ..) = CITIES[random.below(CITIES.len() as u64) as usize];
            let address = std::net::Ipv4Addr::from(network);
            let _ =
                writeln!(text, "[[client_network]]\ncidr = \"{address}/{prefix}\"\nregion = \"{region}\"\n");
        }
    }
    text
}

/// Lines `PATH ADDRESS`: each address a few times, paths all alike.
fn requests(arguments: &Arguments) -> String {
    let mut random = Random::new(arguments.seed ^ 0x5eed);
    let addresses: Vec<u32> = (0..CLIENTS).map(|_| public_address(&mut random)).collect();
    let mut text = String::new();
    for _ in 0..REQUESTS {
        let product = format!("tool-{:02}", random.below(arguments.products as u64));
        let version = 1000 + random.below(arguments.releases as u64);
        let asset = asset_name(&product, random.below(arguments.assets as u64) as usize);
        let address = std::net::Ipv4Addr::from(addresses[random.below(CLIENTS as u64) as usize]);
        let _ = writeln!(text, "/{product}/1.{version}.0/{asset} {address}");
    }
    text
}

fn public_address(random: &mut Random) -> u32 {
    loop {
        let address = random.next() as u32;
        let ip = std::net::Ipv4Addr::from(address);
        let first = ip.octets()[0];
        let reserved =
            first == 0 || first >= 224 || ip.is_private() || ip.is_loopback() || ip.is_link_local();
        if !reserved {
            return address;
        }
    }
}

// The origin, and the state of a service that has seen all of it everywhere.

type Manifests = BTreeMap<String, Listed>;

/// Writes all manifests and the index.
fn publish_all(arguments: &Arguments, origin: &Path) -> Result<Manifests, Failure> {
    let (mut listing, mut index) = (Manifests::new(), Index { sequence: 1, ..Index::default() });
    for number in 0..arguments.products {
        let product = product(number)?;
        for release in 0..arguments.releases {
            let manifest = manifest(product.clone(), release, arguments.assets)?;
            let path = ManifestPath { product: product.clone(), version: manifest.version.clone() };
            let body = manifest.to_json();
            let folder = origin.join(product.as_str()).join(manifest.version.as_str());
            fs::create_dir_all(&folder)?;
            fs::write(folder.join(MANIFEST_FILE), &body)?;
            let read = ReadManifest::parse(body.into())?;
            listing.insert(path.to_string(), Listed::Read(read.clone()));
            index.manifests.push(IndexEntry { sha256: Some(read.sha256), ..IndexEntry::new(path) });
        }
        eprintln!("{product}: {} releases of {} assets", arguments.releases, arguments.assets);
    }
    fs::write(origin.join(INDEX_FILE), index.to_json())?;
    Ok(listing)
}

/// Folds in what the service would have seen, and writes down what it would have remembered.
fn remember(config: Config, manifests: Manifests) -> Result<(), Failure> {
    let (config, now) = (Arc::new(config), SystemClock.now());
    let (mut store, loaded) = Store::open(&config.server.state)?;
    let releases: Vec<ReadManifest> = manifests
        .values()
        .filter_map(|listed| if let Listed::Read(read) = listed { Some(read.clone()) } else { None })
        .collect();
    let prepared =
        Prepared::new(Arc::clone(&config), None, &TicketSecret::random(), &Arc::new(Metrics::new()));
    let prepared = prepared.map_err(|errors| format!("{errors:?}"))?;
    let mut world = World::new(Box::new(prepared), loaded, now);
    let listing = Listing { manifests, sequence: Some(1), ..Listing::default() };
    world.apply(Fact::Origin(Reading::Listing(listing)), now);
    for mirror in &config.mirrors {
        let mirror = mirror.name.clone();
        world.apply(
            Fact::Probed(Probed { mirror, copy: None, outcome: Ok(()), families: None, final_host: None }),
            now,
        );
    }
    for batch in world.take_effects().observations.chunks(BATCH) {
        store.record(batch)?;
    }
    drop(world);
    eprintln!("{} manifests and {} mirrors are in the store", releases.len(), config.mirrors.len());
    for (number, read) in releases.iter().enumerate() {
        store.record(&held_everywhere(&config, &read.manifest, marks_per_release(releases.len()), now))?;
        if number % 100 == 99 {
            eprintln!("{} releases are verified on {} mirrors", number + 1, config.mirrors.len());
        }
    }
    point_channels(&mut store, &releases, now)
}

/// The ledger of one release: all of it was verified on every mirror, and probes recognise so many `marks` of it.
fn held_everywhere(config: &Config, manifest: &Manifest, marks: usize, now: Timestamp) -> Vec<Observation> {
    let mut copies = Copies::unknown(manifest.assets.len() as AssetIndex);
    for (asset, described) in (0..).zip(&manifest.assets) {
        // The mirrors send no validators.
        copies.verify(asset, fingerprint(&HeaderMap::new(), described.size), now);
    }
    copies.keep_marks(marks);
    let body = copies.to_bytes();
    let held = |mirror: &config::Mirror| Observation::Copies {
        mirror: mirror.name.clone(),
        product: manifest.product.clone(),
        version: manifest.version.clone(),
        body: body.clone(),
    };
    config.mirrors.iter().map(held).collect()
}

/// Each product's channel points to its newest release.
fn point_channels(store: &mut Store, releases: &[ReadManifest], now: Timestamp) -> Result<(), Failure> {
    let mut newest: BTreeMap<&ProductName, &Version> = BTreeMap::new();
    for read in releases {
        let at = newest.entry(&read.manifest.product).or_insert(&read.manifest.version);
        if read.manifest.version.precedence(at).is_gt() {
            *at = &read.manifest.version;
        }
    }
    for (product, to) in newest {
        store.append(NewOrder {
            at: now,
            actor: actor::SERVICE.to_owned(),
            reason: "the release is ready".to_owned(),
            action: Action::ChannelMove {
                product: product.clone(),
                channel: ChannelName::new("stable")?,
                from: None,
                to: to.clone(),
                above: None,
            },
        })?;
    }
    Ok(())
}
