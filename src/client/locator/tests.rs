use std::fs;

use ipnet::IpNet;
use proptest::prelude::*;

use super::super::mmdb::{self, Database, Value, map, text};
use super::super::place::PlaceId;
use super::super::record::{AsnRecord, PlaceRecord};
use super::super::{centroids, network};
use super::*;
use crate::config::{NetworkPlace, NetworkSource, RangeFormat};
use crate::model::{Asn, Country, Location, RegionId};

fn at(latitude: f64, longitude: f64) -> Location {
    Location::new(latitude, longitude).unwrap()
}

fn country(code: &str) -> Country {
    code.parse().unwrap()
}

fn region(name: &str, location: Option<Location>) -> Region {
    Region { name: name.parse().unwrap(), location, countries: Vec::new() }
}

/// Two regions: the first has a location, the second none.
fn regions() -> Vec<Region> {
    vec![region("eu", Some(at(50.0, 8.5))), region("sg", None)]
}

fn cidr(network: &str, place: NetworkPlace) -> ClientNetwork {
    ClientNetwork { source: NetworkSource::Cidr(network.parse().unwrap()), place }
}

/// 1.0.0.0/8 is in Sydney, AS 64500; nothing else is known.
fn geo() -> Arc<GeoRanges> {
    let folder = tempfile::tempdir().unwrap();
    let sydney: IpNet = "1.0.0.0/8".parse().unwrap();
    let write = |name: &str, value: Value| {
        let path = folder.path().join(name);
        fs::write(&path, Database::new(4, vec![(sydney, value)]).bytes()).unwrap();
        vec![path]
    };
    let city = write("city.mmdb", mmdb::nested_city(-33.5, 151.0, "AU"));
    let asn = write("asn.mmdb", mmdb::asn(64500));
    Arc::new(GeoRanges::load(&GeoIp { city, asn }).unwrap())
}

/// What is known of an address, spelled out.
fn known(locator: &Locator, address: &str) -> (Place, Option<Country>, Option<u32>, bool) {
    let found = locator.locate(address.parse().unwrap());
    let place = locator.places()[found.place.index()];
    (place, found.country, found.asn.map(|asn| asn.0), found.network_rule)
}

const NOTHING: NetworkPlace = NetworkPlace { region: None, location: None, country: None, asn: None };

#[test]
fn a_rule_overrides_what_it_says_and_leaves_the_rest_to_geoip() {
    let rule = |network, place| cidr(network, place);
    let rules = [
        rule("1.1.0.0/16", NetworkPlace { asn: Some(Asn(7)), ..NOTHING }),
        rule("1.2.0.0/16", NetworkPlace { country: Some(country("AU")), ..NOTHING }),
        rule("1.3.0.0/16", NetworkPlace { country: Some(country("SG")), ..NOTHING }),
        rule("1.4.0.0/16", NetworkPlace { region: Some(RegionId(0)), ..NOTHING }),
        rule(
            "1.5.0.0/16",
            NetworkPlace { region: Some(RegionId(0)), location: Some(at(2.0, 3.0)), ..NOTHING },
        ),
        rule(
            "1.6.0.0/16",
            NetworkPlace { region: Some(RegionId(1)), country: Some(country("SG")), ..NOTHING },
        ),
        rule("1.7.0.0/16", NetworkPlace { location: Some(at(2.0, 3.0)), ..NOTHING }),
        rule("1.8.0.0/16", NetworkPlace { region: Some(RegionId(1)), ..NOTHING }),
    ];
    let locator = Locator::with_geoip(geo(), &rules, &regions()).unwrap();
    let (au, sg) = (Some(country("AU")), Some(country("SG")));
    let sydney = Place { location: Some(at(-33.5, 151.0)), country: au, region: None };
    let middle = centroids::centroid(country("SG"));
    let place =
        |location, country, region: Option<u16>| Place { location, country, region: region.map(RegionId) };
    let table = [
        ("1.0.0.1", sydney, au, Some(64500), false),
        ("1.1.0.1", sydney, au, Some(7), true),
        // GeoIP agrees on the country and knows better where in it.
        ("1.2.0.1", sydney, au, Some(64500), true),
        ("1.3.0.1", place(middle, sg, None), sg, Some(64500), true),
        ("1.4.0.1", place(Some(at(50.0, 8.5)), None, Some(0)), au, Some(64500), true),
        ("1.5.0.1", place(Some(at(2.0, 3.0)), None, Some(0)), au, Some(64500), true),
        ("1.6.0.1", place(middle, sg, Some(1)), sg, Some(64500), true),
        ("1.7.0.1", place(Some(at(2.0, 3.0)), None, None), au, Some(64500), true),
        ("1.8.0.1", place(None, None, Some(1)), au, Some(64500), true),
        ("9.9.9.9", Place::default(), None, None, false),
    ];
    for (address, place, country, asn, network_rule) in table {
        assert_eq!(known(&locator, address), (place, country, asn, network_rule), "{address}");
    }
    assert_eq!(locator.locate("9.9.9.9".parse().unwrap()).place, PlaceId::UNKNOWN);
    assert_eq!(locator.places()[0], Place::default());
}

#[test]
fn the_longest_network_wins_and_of_equal_ones_the_first() {
    let asn = |asn| NetworkPlace { asn: Some(Asn(asn)), ..NOTHING };
    let rules = [
        cidr("10.0.0.0/8", asn(1)),
        cidr("10.1.0.0/16", asn(2)),
        cidr("10.1.2.3/16", asn(3)),
        cidr("0.0.0.0/0", asn(4)),
        cidr("::/0", asn(5)),
        cidr("2001:db8::1/128", asn(6)),
        cidr("::ffff:10.1.9.0/120", asn(7)),
    ];
    let locator = Locator::build(&GeoIp::default(), &rules, &[]).unwrap();
    for (address, expected) in [
        ("10.9.9.9", 1),
        ("10.1.2.3", 2),
        ("::ffff:10.1.2.3", 2),
        ("10.1.9.77", 7),
        ("11.0.0.0", 4),
        ("2001:db8::2", 5),
        ("2001:db8::1", 6),
    ] {
        assert_eq!(known(&locator, address).2, Some(expected), "{address}");
    }
    assert!(!locator.has_geoip());
    assert_eq!(locator.sources().network_rules, 6);
}

#[test]
fn range_files_give_the_region_of_the_first_pattern_and_their_own_country() {
    let folder = tempfile::tempdir().unwrap();
    let aws = folder.path().join("aws.json");
    fs::write(
        &aws,
        r#"{"prefixes": [{"ip_prefix": "3.0.0.0/16", "region": "eu-west-1"},
            {"ip_prefix": "3.1.0.0/16", "region": "ap-southeast-1"}, {"ip_prefix": "3.2.0.0/16", "region": "us-east-1"}]}"#,
    )
    .unwrap();
    let feed = folder.path().join("feed.csv");
    fs::write(&feed, "4.0.0.0/16,SG\n4.1.0.0/16,\n4.2.0.0/16,DE,DE-HE\n").unwrap();
    let file = |path: &std::path::Path, format, regions: &[(&str, u16)], place| ClientNetwork {
        source: NetworkSource::File {
            path: path.to_owned(),
            format,
            regions: regions.iter().map(|(glob, id)| ((*glob).to_owned(), RegionId(*id))).collect(),
        },
        place,
    };
    let asn = NetworkPlace { asn: Some(Asn(16509)), ..NOTHING };
    let rules = [
        file(&aws, RangeFormat::Aws, &[("eu-*", 0), ("ap-southeast-?", 1), ("*-1", 0)], asn),
        file(&feed, RangeFormat::Geofeed, &[("DE*", 0)], NOTHING),
    ];
    let locator = Locator::build(&GeoIp::default(), &rules, &regions()).unwrap();
    let found = |address| {
        let (place, country, asn, rule) = known(&locator, address);
        (place.region.map(|id| id.0), country.map(|code| code.to_string()), asn, rule)
    };
    assert_eq!(found("3.0.0.1"), (Some(0), None, Some(16509), true));
    assert_eq!(found("3.1.0.1"), (Some(1), None, Some(16509), true));
    assert_eq!(found("3.2.0.1"), (Some(0), None, Some(16509), true));
    assert_eq!(found("4.0.0.1"), (None, Some("SG".into()), None, true));
    assert_eq!(found("4.1.0.1"), (None, None, None, false));
    assert_eq!(found("4.2.0.1"), (Some(0), Some("DE".into()), None, true));
    // Outcomes are shared: one place for each of what was said, not for each network.
    assert_eq!(locator.places().len(), 1 + 4);
}

#[test]
fn all_problems_are_reported_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let (lines, empty) = (folder.path().join("lines"), folder.path().join("empty"));
    fs::write(&lines, "10.0.0.0/8\nnonsense\n").unwrap();
    fs::write(&empty, "# nothing\n").unwrap();
    let file = |path: &std::path::Path, glob: &str| ClientNetwork {
        source: NetworkSource::File {
            path: path.to_owned(),
            format: RangeFormat::Cidr,
            regions: vec![(glob.to_owned(), RegionId(0))],
        },
        place: NOTHING,
    };
    let geoip = GeoIp { city: vec![folder.path().join("a.mmdb"), lines.clone()], asn: vec![empty.clone()] };
    let rules =
        [file(&lines, "*"), file(&empty, "***"), file(&empty, "*"), file(&folder.path().join("no"), "*")];
    let errors = Locator::build(&geoip, &rules, &regions()).unwrap_err();
    let messages: Vec<String> = errors.iter().map(LocateError::to_string).collect();
    let expected =
        ["a.mmdb", "lines: ", "empty: ", "line 2: \"nonsense\"", "\"***\"", "none of its 0", "no: "];
    assert_eq!(messages.len(), expected.len(), "{messages:#?}");
    for (message, expected) in messages.iter().zip(expected) {
        assert!(message.contains(expected), "{message} says nothing of {expected}");
    }
}

/// What the records and the rules say of an address, without any of the machinery: the reader's own lookup in each file
/// in turn, then a scan of all rules.
fn oracle(
    city: &[Vec<u8>],
    asn: &[u8],
    rules: &[ClientNetwork],
    address: IpAddr,
) -> (Place, Option<Country>, Option<Asn>, bool) {
    // GeoIP is asked for the beginning of a /64.
    let asked = match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(v6) => IpAddr::V6((v6.to_bits() >> 64 << 64).into()),
    };
    let record = |bytes: &[u8]| {
        let reader = maxminddb::Reader::from_source(bytes).unwrap();
        let record = reader.lookup(asked).ok()?.decode::<PlaceRecord>().unwrap()?;
        let location = record.location().or_else(|| record.country().and_then(centroids::centroid));
        (location.is_some() || record.country().is_some()).then_some(Place {
            location,
            country: record.country(),
            region: None,
        })
    };
    let geo = city.iter().find_map(|bytes| record(bytes)).unwrap_or_default();
    let reader = maxminddb::Reader::from_source(asn).unwrap();
    let geo_asn = reader.lookup(asked).ok().and_then(|found| found.decode::<AsnRecord>().unwrap()?.asn());
    let networks = rules.iter().filter_map(|rule| match rule.source {
        NetworkSource::Cidr(net) => Some((network::canonical_network(net), rule.place)),
        NetworkSource::File { .. } => None,
    });
    let holds = networks.filter(|(net, _)| net.contains(&address));
    let Some((_, said)) = holds.rev().max_by_key(|(net, _)| net.prefix_len()) else {
        return (geo, geo.country, geo_asn, false);
    };
    let mut place = Place { location: said.location, country: said.country, region: said.region };
    if said.location.is_none() {
        place.location = match (said.region, said.country) {
            (Some(id), country) => regions()[id.index()].location.or(country.and_then(centroids::centroid)),
            (None, Some(country)) if geo.country == Some(country) => geo.location,
            (None, Some(country)) => centroids::centroid(country),
            (None, None) => geo.location,
        };
        if said.region.is_none() && said.country.is_none() {
            place.country = geo.country;
        }
    }
    (place, said.country.or(geo.country), said.asn.or(geo_asn), true)
}

/// Addresses of a small part of the space, so that networks overlap and are hit.
fn address() -> impl Strategy<Value = IpAddr> {
    let v4 = (0u32..4, any::<u16>()).prop_map(|(a, low)| IpAddr::V4((a << 30 | u32::from(low)).into()));
    let v6 = (0u128..4, any::<u16>(), any::<bool>()).prop_map(|(a, low, divided)| {
        let top = 0x2000u128 << 112 | a << 100;
        IpAddr::V6((top | u128::from(low) << if divided { 48 } else { 70 }).into())
    });
    prop_oneof![v4, v6]
}

fn net() -> impl Strategy<Value = IpNet> {
    (address(), 2u8..=32, 4u8..=96).prop_map(|(address, short, long)| {
        let bits = if address.is_ipv4() { short } else { long };
        IpNet::new(address, bits).unwrap().trunc()
    })
}

fn record() -> impl Strategy<Value = Value> {
    let place = (-80..80i32, -170..170i32, prop::sample::select(vec!["DE", "SG", "ZZ", "EU"]));
    (place, 0..5).prop_map(|((latitude, longitude, code), layout)| match layout {
        0 => mmdb::nested_city(f64::from(latitude), f64::from(longitude), code),
        1 => mmdb::flat_city(latitude as f32, longitude as f32, code),
        2 => mmdb::nested_country(code),
        3 => map([("country_code", text(code)), ("latitude", text("1.5")), ("longitude", text("-2.5"))]),
        _ => map([("postcode", text("12345"))]),
    })
}

fn said() -> impl Strategy<Value = NetworkPlace> {
    let code = prop::option::of(prop::sample::select(vec![country("DE"), country("SG"), country("AU")]));
    let place =
        (prop::option::of(0..2u16), prop::option::of(Just(at(4.0, 5.0))), code, prop::option::of(1..9u32));
    place.prop_map(|(region, location, country, asn)| NetworkPlace {
        region: region.map(RegionId),
        location,
        country,
        asn: asn.map(Asn),
    })
}

fn in_family(networks: &[(IpNet, Value)], ip_version: u16) -> Vec<(IpNet, Value)> {
    networks.iter().filter(|(net, _)| ip_version == 6 || net.addr().is_ipv4()).cloned().collect()
}

proptest! {
    #[test]
    fn locate_agrees_with_the_reader_and_a_scan_of_the_rules(
        files in prop::collection::vec(
            (prop::collection::vec((net(), record()), 1..12), prop::sample::select(vec![4u16, 6]), 0..3usize), 1..3),
        asns in prop::collection::vec((net(), 1..99u32), 0..8),
        rules in prop::collection::vec((net(), said()), 0..12),
        probes in prop::collection::vec(address(), 24),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let (mut geoip, mut city) = (GeoIp::default(), Vec::new());
        let anchor = ("9.9.9.9/32".parse().unwrap(), mmdb::nested_country("DE"));
        for (i, (networks, ip_version, size)) in files.iter().enumerate() {
            let mut networks = in_family(networks, *ip_version);
            // No file is without anything to say, which would be an error.
            networks.push(anchor.clone());
            let database = Database { record_size: [24, 28, 32][*size], ..Database::new(*ip_version, networks) };
            geoip.city.push(folder.path().join(format!("{i}.mmdb")));
            city.push(database.bytes());
            fs::write(&geoip.city[i], &city[i]).unwrap();
        }
        let mut numbers: Vec<_> = asns.iter().map(|(net, number)| (*net, mmdb::asn(*number))).collect();
        numbers.push(("9.9.9.9/32".parse().unwrap(), mmdb::asn(99)));
        let asn = Database::new(6, numbers).bytes();
        geoip.asn.push(folder.path().join("asn.mmdb"));
        fs::write(&geoip.asn[0], &asn).unwrap();
        let rules: Vec<ClientNetwork> = rules
            .into_iter()
            .filter(|(_, said)| *said != NOTHING)
            .map(|(net, place)| ClientNetwork { source: NetworkSource::Cidr(net), place })
            .collect();
        let locator = Locator::build(&geoip, &rules, &regions()).unwrap();
        // The first addresses of all networks, and those before them, are where mistakes would be.
        let networks = files.iter().flat_map(|(list, _, _)| list.iter().map(|(net, _)| *net));
        let edges = networks.chain(asns.iter().map(|(net, _)| *net)).flat_map(|net| [net.network(), net.broadcast()]);
        for address in edges.chain(probes) {
            let found = locator.locate(address);
            let place = locator.places()[found.place.index()];
            let expected = oracle(&city, &asn, &rules, address);
            prop_assert_eq!((place, found.country, found.asn, found.network_rule), expected, "{}", address);
        }
    }
}
