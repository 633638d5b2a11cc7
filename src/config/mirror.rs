//! `[[mirror]]`, and the origin as a mirror of last resort.

use super::document::{Documents, Unique};
use super::reader::{Section, Spot};
use super::region::Regions;
use super::tier::{self, Tiers};
use super::value::{Value, quoted};
use super::values::{ClientSet, Layout, Mirror, Origin, OriginAt};
use super::{layout, notify, sign};
use crate::model::MirrorName;

/// Most mirrors.
const MIRRORS_MAX: usize = 4096;
const WEIGHT_MAX: u32 = 1_000_000;

/// Every `[[mirror]]`, and the origin where it serves.
pub(super) fn mirrors(
    documents: &mut Documents<'_>,
    regions: &Regions,
    tiers: &Tiers,
    origin: Option<&(Origin, Option<Spot<'_>>)>,
) -> Vec<Mirror> {
    let mut names = Unique::default();
    let sections = documents.tables("mirror", MIRRORS_MAX);
    let first = sections.first().map(|section| section.spot.clone());
    let mut all: Vec<Mirror> =
        sections.into_iter().filter_map(|section| mirror(section, regions, tiers, &mut names)).collect();
    if let Some((origin, Some(serve))) = origin {
        all.extend(origin_mirror(origin, serve, &mut names));
    }
    match first {
        Some(first) if all.iter().all(|mirror| mirror.weight == 0) => first.warn(
            "every mirror has weight 0, so each is a last resort and they share evenly",
            "give those that should carry traffic a weight, such as 100",
        ),
        Some(_) => {}
        None if documents.spot().notes.is_incomplete() => {}
        None => {
            let remedy = "add [[mirror]] with name and url; the origin can be one, with weight = 0";
            documents.spot().lacks::<()>("there is no [[mirror]]", remedy);
        }
    }
    all
}

fn mirror(mut section: Section<'_>, regions: &Regions, tiers: &Tiers, names: &mut Unique) -> Option<Mirror> {
    section.refuse_later(&["max_share"]);
    let name = section.require("name", "\"fra\"", |value| {
        let spot = value.spot().clone();
        let name: MirrorName = value.parsed("\"fra\"")?;
        names.claim(&spot, &name).map(|()| name)
    });
    let url = section.require("url", "\"https://mirror.example.net/releases/\"", Value::base_url);
    let region = section.get("region", |v| regions.named(v));
    let location = section.get("location", Value::location).or_else(|| regions.location(region));
    let country = section.get("country", |v| v.parsed("\"DE\""));
    let asn = section.get("asn", Value::asn);
    let weight = section.get("weight", |v| v.integer(0..=WEIGHT_MAX)).unwrap_or(100);
    let only = section.table("only").map(|set| clients(set, regions)).unwrap_or_default();
    let never = section.table("never").map(|set| clients(set, regions)).unwrap_or_default();
    let anycast = section.get("anycast", Value::boolean).unwrap_or(false);
    let layout = section.get("layout", template).unwrap_or_default();
    let tier = section.get("tier", |v| tiers.named(v)).unwrap_or_else(tier::all);
    let private = section.get("private", Value::boolean).unwrap_or(false);
    let notify = section.table("notify").and_then(notify::notify);
    let sign = section.table("sign").and_then(|table| sign::sign(table, url.as_ref()));
    section.finish();
    Some(Mirror {
        name: name?,
        url: url?,
        region,
        location,
        country,
        asn,
        weight,
        only,
        never,
        anycast,
        layout,
        tier,
        notify,
        sign,
        private,
    })
}

/// `only` and `never`.
fn clients(mut section: Section<'_>, regions: &Regions) -> ClientSet {
    let spot = section.spot.clone();
    let given = section.len();
    let countries = section.get("countries", |v| v.one_or_list(|v| v.parsed("\"DE\"")));
    let named = section.get("regions", |v| v.one_or_list(|v| regions.named(v)));
    let asns = section.get("asns", |v| v.one_or_list(Value::asn));
    let networks = section.get("networks", |v| v.one_or_list(Value::network));
    section.finish();
    let read = [countries.is_some(), named.is_some(), asns.is_some(), networks.is_some()];
    let set = ClientSet {
        countries: countries.unwrap_or_default(),
        regions: named.unwrap_or_default(),
        asns: asns.unwrap_or_default(),
        networks: networks.unwrap_or_default(),
    };
    // Where a key was unknown or bad, that is the problem, and not the emptiness which follows from it.
    if set.is_empty() && read.iter().filter(|read| **read).count() == given {
        spot.lacks::<()>("names no clients", "name countries, regions, asns or networks, or remove it");
    }
    set
}

fn template(value: Value<'_>) -> Option<Layout> {
    let text = value.text("a template such as \"{product}/{version}/{asset}\"")?;
    match layout::parse(text) {
        Ok(layout) => Some(layout),
        Err(error) => value.spot().refuse(
            format!("{} {error}", quoted(text)),
            "write it from {product}, {version}, {asset} and plain text, such as \"v{version}/{asset}\"",
        ),
    }
}

/// The origin as the last mirror, named `origin`, with weight 0.
fn origin_mirror(origin: &Origin, serve: &Spot<'_>, names: &mut Unique) -> Option<Mirror> {
    let OriginAt::Url(url) = &origin.at else {
        return serve.refuse(
            "the origin is a folder, and clients cannot be sent to a folder",
            "publish the folder by http and add it as a [[mirror]] with weight = 0",
        );
    };
    names.claim(serve, "origin")?;
    Some(Mirror {
        name: MirrorName::new("origin").expect("letters are a mirror's name"),
        url: url.clone(),
        region: None,
        location: None,
        country: None,
        asn: None,
        weight: 0,
        only: ClientSet::default(),
        never: ClientSet::default(),
        anycast: false,
        layout: Layout::default(),
        tier: tier::all(),
        notify: None,
        sign: None,
        private: false,
    })
}
