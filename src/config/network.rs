//! `[[client_network]]`: networks whose place the operator knows better.

use ipnet::IpNet;

use super::document::{Documents, Unique};
use super::reader::{Section, Spot};
use super::region::Regions;
use super::value::{Value, quoted};
use super::values::{ClientNetwork, NetworkPlace, NetworkSource, RangeFormat};
use crate::model::RegionId;

/// Most networks and range files.
const NETWORKS_MAX: usize = 10_000;
/// Most patterns for one range file, and the longest of them: each is tried on each range.
const PATTERNS_MAX: usize = 1000;
const PATTERN_LENGTH_MAX: usize = 128;

/// Every `[[client_network]]`; a list of networks becomes one rule each.
pub(super) fn networks(documents: &mut Documents<'_>, regions: &Regions) -> Vec<ClientNetwork> {
    let mut all = Vec::new();
    let mut unique = Unique::default();
    for section in documents.tables("client_network", NETWORKS_MAX) {
        let spot = section.spot.clone();
        all.extend(network(section, regions, &mut unique).unwrap_or_default());
        if all.len() > NETWORKS_MAX {
            spot.refuse::<()>(
                format!("there are more than {NETWORKS_MAX} networks"),
                "put them into a file: file = \"networks.txt\", format = \"cidr\"",
            );
            break;
        }
    }
    all
}

fn network(mut section: Section<'_>, regions: &Regions, unique: &mut Unique) -> Option<Vec<ClientNetwork>> {
    let spot = section.spot.clone();
    let cidrs = section.take("cidr");
    let source = file(&mut section, regions, cidrs.is_some());
    let gives_place =
        section.has("region") || section.has("location") || section.has("country") || section.has("asn");
    let region = section.get("region", |v| regions.named(v));
    let place = NetworkPlace {
        region,
        location: section.get("location", Value::location).or_else(|| regions.location(region)),
        country: section.get("country", |v| v.parsed("\"DE\"")),
        asn: section.get("asn", Value::asn),
    };
    section.finish();

    let sources: Vec<NetworkSource> = match cidrs {
        Some(cidrs) => cidrs.one_or_list(|v| cidr(v, unique))?.into_iter().map(NetworkSource::Cidr).collect(),
        None => vec![source?],
    };
    let gives_place = gives_place
        || sources.iter().any(|source| match source {
            NetworkSource::Cidr(_) => false,
            NetworkSource::File { format, regions, .. } => {
                *format == RangeFormat::Geofeed || !regions.is_empty()
            }
        });
    if !gives_place {
        return spot.lacks("says nothing about its clients", "add region, location, country or asn");
    }
    Some(sources.into_iter().map(|source| ClientNetwork { source, place }).collect())
}

fn cidr(value: Value<'_>, unique: &mut Unique) -> Option<IpNet> {
    let spot = value.spot().clone();
    let network = value.network()?;
    unique.claim(&spot, &network.to_string()).map(|()| network)
}

/// `file`, `format` and `regions`, which belong together.
fn file(section: &mut Section<'_>, regions: &Regions, has_cidr: bool) -> Option<NetworkSource> {
    const FORMATS: [(&str, RangeFormat); 5] = [
        ("aws", RangeFormat::Aws),
        ("gcp", RangeFormat::Gcp),
        ("azure", RangeFormat::Azure),
        ("geofeed", RangeFormat::Geofeed),
        ("cidr", RangeFormat::Cidr),
    ];
    let file = section.take("file");
    let (format, map) = (section.take("format"), section.take("regions"));
    let Some(file) = file else {
        for value in [&format, &map].into_iter().flatten() {
            let message = "belongs to `file`, which is not given";
            value.spot().lacks::<()>(message, "add file = \"ip-ranges.json\", or remove it");
        }
        return if has_cidr {
            None
        } else {
            section.spot.lacks("has neither `cidr` nor `file`", "add cidr = \"10.20.0.0/16\"")
        };
    };
    if has_cidr {
        return file.spot().refuse("stands beside `cidr`", "write two [[client_network]], one for each");
    }
    let file_spot = file.spot().clone();
    let path = file.path();
    let format = match format {
        Some(format) => format.word(&FORMATS),
        None => file_spot
            .lacks("has no `format`", "add format = \"aws\", \"gcp\", \"azure\", \"geofeed\" or \"cidr\""),
    };
    let map = match map {
        Some(map) if format == Some(RangeFormat::Cidr) => map.spot().refuse(
            "has nothing to match: a file of plain networks names no regions",
            "write region = \"…\"",
        ),
        Some(map) => patterns(map, regions),
        None => Some(Vec::new()),
    };
    Some(NetworkSource::File { path: path?, format: format?, regions: map? })
}

/// `{ "eu-*" = "eu" }`, in the order of the file.
fn patterns(value: Value<'_>, regions: &Regions) -> Option<Vec<(String, RegionId)>> {
    let spot = value.spot().clone();
    let entries = value.section()?.into_entries();
    if entries.is_empty() || entries.len() > PATTERNS_MAX {
        return spot.refuse(
            format!("expected 1 to {PATTERNS_MAX} entries, found {}", entries.len()),
            "write regions = { \"eu-*\" = \"eu\" }",
        );
    }
    let read = |(text, value): (String, Value<'_>)| {
        pattern(value.spot(), &text)?;
        Some((text, regions.named(value)?))
    };
    let entries: Vec<Option<_>> = entries.into_iter().map(read).collect();
    entries.into_iter().collect()
}

fn pattern(spot: &Spot<'_>, text: &str) -> Option<()> {
    if text.is_empty() || text.len() > PATTERN_LENGTH_MAX {
        return spot.refuse("has an empty or very long pattern", "write a pattern such as \"eu-*\"");
    }
    match glob::Pattern::new(text) {
        Ok(_) => Some(()),
        Err(error) => spot
            .refuse(format!("{} is no pattern: {error}", quoted(text)), "write a pattern such as \"eu-*\""),
    }
}
