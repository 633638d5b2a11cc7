//! The mirrors of one configuration, compiled for answering.

use std::hash::{BuildHasher, BuildHasherDefault};
use std::sync::Arc;

use http::HeaderValue;
use rustc_hash::{FxHashMap, FxHasher};

use crate::catalog::{Asset, Release};
use crate::config::{self, Layout, LayoutPart};
use crate::links::Signer;
use crate::model::{Asn, Country, Direction, Location, MirrorId, MirrorName, MirrorSet, RegionId};

use super::choose::ALTERNATES_MAX;
use super::filter::Filter;

/// One mirror.
#[derive(Debug)]
pub struct Mirror {
    /// Its name.
    pub name: MirrorName,
    /// Its URL, ending with `/`.
    pub base: Box<str>,
    /// Host (and port) of the URL, as browsers show it.
    pub host: Box<str>,
    /// Where it keeps files below `base`; `None`: `{product}/{version}/{asset}`, as nearly all do.
    pub layout: Option<Layout>,
    /// The operator's region.
    pub region: Option<RegionId>,
    /// Where it is.
    pub location: Option<Location>,
    /// The same as a direction, for distances.
    pub direction: Option<Direction>,
    /// Its country.
    pub country: Option<Country>,
    /// Its autonomous system.
    pub asn: Option<Asn>,
    /// Share among mirrors that are equally near; 0: only as a last resort.
    pub weight: u32,
    /// As near as the nearest located mirror.
    pub anycast: bool,
    /// A number for its name that is the same in every process.
    pub sticky: u64,
    /// Its name as a header's value.
    pub name_value: HeaderValue,
    /// How its `Link` lines begin: `<`, and `base`.
    pub link_open: Box<str>,
    /// Signs links to it; `None`: they are as they are.
    pub signer: Option<Arc<Signer>>,
    /// How they end in each place, the chosen mirror's first: `>; rel=duplicate; pri=1; geo=de` (RFC 6249 section 3).
    pub link_tails: Box<[Box<str>]>,
}

impl Mirror {
    /// Writes the URL of an asset.
    pub fn write_url(&self, release: &Release, asset: &Asset, out: &mut Vec<u8>) {
        out.extend_from_slice(self.base.as_bytes());
        match &self.layout {
            None => {
                out.extend_from_slice(release.url_prefix.as_bytes());
                out.extend_from_slice(asset.url_path().as_bytes());
            }
            Some(layout) => write_path(layout, release, asset, out),
        }
    }

    /// The URL of an asset as text.
    pub fn url(&self, release: &Release, asset: &Asset) -> String {
        let mut url = Vec::new();
        self.write_url(release, asset, &mut url);
        String::from_utf8_lossy(&url).into_owned()
    }
}

/// Writes where an asset lies in a layout.
pub fn write_path(layout: &Layout, release: &Release, asset: &Asset, out: &mut Vec<u8>) {
    for part in &layout.0 {
        let text = match part {
            LayoutPart::Literal(text) => text,
            LayoutPart::Product => &*release.url_product,
            LayoutPart::Version => &*release.url_version,
            LayoutPart::Asset => asset.url_path(),
        };
        out.extend_from_slice(text.as_bytes());
    }
}

/// All mirrors, `MirrorId` being a position.
#[derive(Debug)]
pub struct Mirrors {
    all: Box<[Mirror]>,
    by_name: FxHashMap<MirrorName, MirrorId>,
    /// By host and port.
    by_host: FxHashMap<Box<str>, MirrorSet>,
    /// By host alone, where there is a port.
    by_name_of_host: FxHashMap<Box<str>, MirrorSet>,
    by_asn: FxHashMap<Asn, MirrorSet>,
    /// Those that speak http without TLS.
    pub plain: MirrorSet,
    /// Those that may serve entitled products: links to them are signed, or only their users reach them.
    pub guarded: MirrorSet,
    /// Those that refuse a signed link when another credential comes with it.
    pub refusing: MirrorSet,
    /// Who may be sent where.
    pub filter: Filter,
}

impl Mirrors {
    /// Compiles the configured mirrors, each with what signs its links.
    pub fn new(mirrors: &[config::Mirror], signers: Vec<Option<Arc<Signer>>>) -> Self {
        let signers = signers.into_iter().chain(std::iter::repeat(None));
        let all: Box<[Mirror]> =
            mirrors.iter().zip(signers).map(|(mirror, signer)| compile(mirror, signer)).collect();
        let mut by_host: FxHashMap<Box<str>, MirrorSet> = FxHashMap::default();
        let mut by_name_of_host: FxHashMap<Box<str>, MirrorSet> = FxHashMap::default();
        let mut by_asn: FxHashMap<Asn, MirrorSet> = FxHashMap::default();
        let (mut plain, mut guarded, mut refusing) = (MirrorSet::new(), MirrorSet::new(), MirrorSet::new());
        for ((id, mirror), configured) in ids(&all).zip(mirrors) {
            if let (Some(host), Some(_)) = (configured.url.host_str(), configured.url.port()) {
                by_name_of_host.entry(host.into()).or_default().insert(id);
            }
            by_host.entry(mirror.host.clone()).or_default().insert(id);
            if let Some(asn) = mirror.asn {
                by_asn.entry(asn).or_default().insert(id);
            }
            if mirror.base.starts_with("http:") {
                plain.insert(id);
            }
            if configured.private || mirror.signer.is_some() {
                guarded.insert(id);
            }
            if mirror.signer.as_ref().is_some_and(|signer| !signer.tolerates_authorization()) {
                refusing.insert(id);
            }
        }
        let by_name = ids(&all).map(|(id, mirror)| (mirror.name.clone(), id)).collect();
        Self {
            by_name,
            by_host,
            by_name_of_host,
            by_asn,
            plain,
            guarded,
            refusing,
            filter: Filter::new(mirrors),
            all,
        }
    }

    /// The mirror with this id.
    #[inline]
    pub fn get(&self, id: MirrorId) -> &Mirror {
        &self.all[id.index()]
    }

    /// The mirror of this name.
    pub fn id_of(&self, name: &str) -> Option<MirrorId> {
        self.by_name.get(name).copied()
    }

    /// All mirrors with their ids.
    pub fn iter(&self) -> impl Iterator<Item = (MirrorId, &Mirror)> {
        ids(&self.all)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Mirrors in this autonomous system.
    #[inline]
    pub fn in_asn(&self, asn: Asn) -> Option<&MirrorSet> {
        if self.by_asn.is_empty() { None } else { self.by_asn.get(&asn) }
    }

    /// Adds the mirrors that a word of `avoid` means: a mirror's name, its host with or without the port, or a URL on
    /// it. Several mirrors may share a host: a URL means those whose base it begins with, or all, where it begins with
    /// none (the mirror led further on its own host). Costs the same whatever the number of hosts.
    pub fn add_avoided(&self, word: &str, avoided: &mut MirrorSet) {
        let mut add = |set: &MirrorSet| set.iter().for_each(|id| avoided.insert(id));
        if let Some(id) = self.id_of(word) {
            return avoided.insert(id);
        }
        let word = word.to_ascii_lowercase();
        let Some((scheme, rest)) = word.split_once("://") else {
            self.by_host.get(&*word).into_iter().chain(self.by_name_of_host.get(&*word)).for_each(add);
            return;
        };
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (host, path) = rest.split_at(end);
        let default_port = if scheme == "http" { ":80" } else { ":443" };
        let host = host.strip_suffix(default_port).unwrap_or(host);
        let Some(same_host) = self.by_host.get(host) else { return };
        let on_base = |id: &MirrorId| {
            let base = self.get(*id).base.splitn(4, '/').nth(3).unwrap_or_default();
            let path = path.strip_prefix('/').unwrap_or_default();
            path.get(..base.len()).is_some_and(|start| start.eq_ignore_ascii_case(base))
        };
        let meant: MirrorSet = same_host.iter().filter(on_base).collect();
        add(if meant.is_empty() { same_host } else { &meant });
    }
}

fn ids(all: &[Mirror]) -> impl Iterator<Item = (MirrorId, &Mirror)> {
    (0..).map(MirrorId).zip(all)
}

fn compile(mirror: &config::Mirror, signer: Option<Arc<Signer>>) -> Mirror {
    let host = mirror.url.host_str().unwrap_or_default();
    let host = match mirror.url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    };
    let geo = |country: Country| format!("; geo={}", country.as_str().to_ascii_lowercase());
    let geo = mirror.country.map(geo).unwrap_or_default();
    let link_tail = |priority| format!(">; rel=duplicate; pri={priority}{geo}").into();
    Mirror {
        name: mirror.name.clone(),
        base: mirror.url.as_str().into(),
        host: host.into(),
        layout: Some(&mirror.layout).filter(|layout| **layout != Layout::default()).cloned(),
        region: mirror.region,
        location: mirror.location,
        direction: mirror.location.map(|l| l.direction()),
        country: mirror.country,
        asn: mirror.asn,
        weight: mirror.weight,
        anycast: mirror.anycast,
        sticky: BuildHasherDefault::<FxHasher>::default().hash_one(mirror.name.as_str()),
        // A name is a word of ASCII.
        name_value: HeaderValue::from_str(&mirror.name).unwrap_or(HeaderValue::from_static("")),
        link_open: format!("<{}", mirror.url).into(),
        signer,
        link_tails: (1..=ALTERNATES_MAX + 1).map(link_tail).collect(),
    }
}
