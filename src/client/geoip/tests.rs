use std::fs;

use super::super::mmdb::{self, Database, Value, map, text};
use super::*;

fn write(folder: &tempfile::TempDir, name: &str, bytes: &[u8]) -> PathBuf {
    let path = folder.path().join(name);
    fs::write(&path, bytes).unwrap();
    path
}

fn load(city: &[&[u8]], asn: &[&[u8]]) -> Result<GeoRanges, Vec<GeoIpError>> {
    let folder = tempfile::tempdir().unwrap();
    let all = |kind: &str, files: &[&[u8]]| {
        files.iter().enumerate().map(|(i, bytes)| write(&folder, &format!("{kind}{i}.mmdb"), bytes)).collect()
    };
    GeoRanges::load(&config::GeoIp { city: all("city", city), asn: all("asn", asn) })
}

/// `latitude longitude country` of an address; empty where nothing is known.
fn place(geo: &GeoRanges, address: &str) -> String {
    let place = geo.places()[geo.place(address.parse().unwrap()).index()];
    let location = place.location.map(|at| format!("{:.1} {:.1}", at.latitude(), at.longitude()));
    let country = place.country.map(|country| country.to_string());
    [location, country].into_iter().flatten().collect::<Vec<_>>().join(" ")
}

fn networks<const N: usize>(networks: [(&str, Value); N]) -> Vec<(ipnet::IpNet, Value)> {
    networks.into_iter().map(|(network, value)| (network.parse().unwrap(), value)).collect()
}

#[test]
fn a_nested_city_database_holds_both_families_in_records_of_any_size() {
    for record_size in [24, 28, 32] {
        let mut database = Database::new(
            6,
            networks([
                ("1.0.0.0/8", mmdb::nested_city(-33.5, 151.0, "AU")),
                ("1.2.0.0/16", mmdb::nested_city(50.0, 8.5, "DE")),
                ("2001:db8::/32", mmdb::nested_city(1.5, 103.5, "SG")),
            ]),
        );
        database.record_size = record_size;
        let geo = load(&[&database.bytes()], &[]).unwrap();
        for (address, expected) in [
            ("0.255.255.255", ""),
            ("1.0.0.0", "-33.5 151.0 AU"),
            ("1.1.255.255", "-33.5 151.0 AU"),
            ("1.2.0.0", "50.0 8.5 DE"),
            ("1.2.255.255", "50.0 8.5 DE"),
            ("1.3.0.0", "-33.5 151.0 AU"),
            ("2.0.0.0", ""),
            ("255.255.255.255", ""),
            ("2001:db7:ffff::", ""),
            ("2001:db8::", "1.5 103.5 SG"),
            ("2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", "1.5 103.5 SG"),
            ("2001:db9::", ""),
            ("::", ""),
        ] {
            assert_eq!(place(&geo, address), expected, "{address}, records of {record_size} bits");
        }
        assert!(geo.has_places());
    }
}

#[test]
fn a_flat_city_database_comes_in_two_files_in_any_order() {
    let v4 = Database::new(4, networks([("1.0.0.0/8", mmdb::flat_city(50.0, 8.5, "DE"))])).bytes();
    let strings =
        map([("country_code", text("SG")), ("latitude", text("1.5")), ("longitude", text("103.5"))]);
    let v6 = Database::new(6, networks([("2001:db8::/32", strings)])).bytes();
    for files in [[&v4[..], &v6[..]], [&v6[..], &v4[..]]] {
        let geo = load(&files, &[]).unwrap();
        assert_eq!(place(&geo, "1.2.3.4"), "50.0 8.5 DE");
        assert_eq!(place(&geo, "2001:db8::1"), "1.5 103.5 SG");
        assert_eq!(place(&geo, "2.2.3.4"), "");
    }
}

#[test]
fn a_country_database_gives_the_middle_of_the_country() {
    let flat = map([("country_code", text("SG"))]);
    let database = Database::new(
        4,
        networks([
            ("1.0.0.0/8", mmdb::nested_country("DE")),
            ("2.0.0.0/8", flat),
            // A country that has no centroid is still a country.
            ("3.0.0.0/8", mmdb::nested_country("EU")),
            ("4.0.0.0/8", mmdb::nested_country("ZZ")),
        ]),
    );
    let geo = load(&[&database.bytes()], &[]).unwrap();
    assert_eq!(place(&geo, "1.2.3.4"), "50.9 9.5 DE");
    assert_eq!(place(&geo, "2.2.3.4"), "1.4 103.8 SG");
    assert_eq!(place(&geo, "3.2.3.4"), "EU");
    assert_eq!(place(&geo, "4.2.3.4"), "");
}

#[test]
fn an_asn_database_gives_systems() {
    let flat = map([("autonomous_system_number", text("AS64501"))]);
    let database = Database::new(6, networks([("1.0.0.0/8", mmdb::asn(64500)), ("2001:db8::/32", flat)]));
    let geo = load(&[], &[&database.bytes()]).unwrap();
    let asn = |address: &str| geo.asn(address.parse().unwrap());
    assert_eq!(asn("1.2.3.4"), Some(Asn(64500)));
    assert_eq!(asn("2001:db8::1"), Some(Asn(64501)));
    assert_eq!(asn("2.2.3.4"), None);
    assert!(!geo.has_places());
}

#[test]
fn networks_with_one_place_are_one_range_and_equal_places_are_one_place() {
    let mut list = Vec::new();
    for i in 0..=255 {
        list.push((format!("1.2.{i}.0/24").parse().unwrap(), mmdb::flat_city(50.0, 8.5, "DE")));
    }
    list.extend(networks([("9.0.0.0/8", mmdb::nested_city(50.0, 8.5, "DE"))]));
    let geo = load(&[&Database::new(4, list).bytes()], &[]).unwrap();
    assert_eq!(geo.files()[0].networks, 257);
    assert_eq!(geo.place_of.v4.len(), 5);
    assert_eq!(geo.places().len(), 2);
}

#[test]
fn networks_beside_a_database_of_ipv6_alone_are_no_aliases() {
    // The record where IPv4 would begin is data, and other networks have the same record.
    let here = mmdb::flat_city(50.0, 8.5, "DE");
    let database = Database::new(6, networks([("::/16", here.clone()), ("2001:db8::/32", here)]));
    let geo = load(&[&database.bytes()], &[]).unwrap();
    assert_eq!(place(&geo, "2001:db8::1"), "50.0 8.5 DE");
    assert_eq!(place(&geo, "1.2.3.4"), "", "an IPv6 network says nothing of IPv4");
}

#[test]
fn a_network_inside_a_slash_64_counts_when_it_begins_it() {
    let database = Database::new(
        6,
        networks([
            ("2001:db8:0:1::/112", mmdb::nested_country("DE")),
            ("2001:db8:0:2::1/128", mmdb::nested_country("SG")),
        ]),
    );
    let geo = load(&[&database.bytes()], &[]).unwrap();
    assert_eq!(place(&geo, "2001:db8:0:1:ffff::"), "50.9 9.5 DE");
    assert_eq!(place(&geo, "2001:db8:0:2::1"), "");
    assert_eq!(place(&geo, "2001:db8:0:3::"), "");
}

#[test]
fn the_file_tells_its_type_and_age() {
    let bytes = Database::new(4, networks([("1.0.0.0/8", mmdb::flat_city(50.0, 8.5, "DE"))])).bytes();
    let geo = load(&[&bytes], &[]).unwrap();
    let file = &geo.files()[0];
    assert_eq!((file.database_type.as_str(), file.used_for), ("Test", GeoIpUse::Places));
    assert_eq!(file.built, Timestamp::from_millis(1_790_000_000_000));
}

#[test]
fn a_database_of_something_else_is_refused_with_a_remedy() {
    let city = Database::new(4, networks([("1.0.0.0/8", mmdb::flat_city(50.0, 8.5, "DE"))])).bytes();
    let asn = Database::new(4, networks([("1.0.0.0/8", mmdb::asn(64500))])).bytes();
    let nothing = Database::new(4, Vec::new()).bytes();
    let number = Database::new(4, networks([("1.0.0.0/8", Value::U32(7))])).bytes();
    let errors = load(&[&asn, &nothing, &city, &number], &[&city]).unwrap_err();
    let messages: Vec<String> = errors.iter().map(GeoIpError::to_string).collect();
    assert!(messages[0].contains("city0.mmdb") && messages[0].contains("give geoip.city"), "{messages:?}");
    assert!(
        messages[1].contains("city1.mmdb") && messages[1].contains("without a single country"),
        "{messages:?}"
    );
    assert!(matches!(errors[2], GeoIpError::Damaged { .. }), "{messages:?}");
    assert!(messages[3].contains("asn0.mmdb") && messages[3].contains("give geoip.asn"), "{messages:?}");
    assert_eq!(errors.len(), 4, "{messages:?}");
}

#[test]
fn files_that_are_not_there_or_no_files_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let city = vec![folder.path().join("absent.mmdb"), folder.path().to_owned()];
    let errors = GeoRanges::load(&config::GeoIp { city, asn: Vec::new() }).unwrap_err();
    assert_eq!(errors.len(), 2);
    assert!(errors[0].to_string().contains("absent.mmdb"), "{}", errors[0]);
    assert!(errors[1].to_string().contains("not a file"), "{}", errors[1]);
}

#[test]
fn broken_files_are_refused() {
    let sound = Database::new(6, networks([("1.0.0.0/8", mmdb::nested_city(50.0, 8.5, "DE"))]));
    let bytes = sound.bytes();
    let node_count = bytes.windows(10).rposition(|window| window == b"node_count").unwrap();
    let with = |at: usize, byte: u8| {
        let mut changed = bytes.clone();
        changed[at] = byte;
        changed
    };
    let tree = bytes.windows(16).position(|window| window == [0; 16]).unwrap();
    let beyond = Database { pointer_shift: 1 << 24, ..sound.clone() }.bytes();
    let circle = Database::new(6, networks([("1.0.0.0/8", map([("latitude", Value::Pointer(0))]))])).bytes();
    let far =
        Database::new(6, networks([("1.0.0.0/8", map([("location", Value::Pointer(u32::MAX))]))])).bytes();
    let long = map([("country_code", Value::Text("DE".repeat(30_000)))]);
    let cut = Database::new(4, networks([("1.0.0.0/8", long)])).bytes();
    let files: Vec<(&str, Vec<u8>)> = vec![
        ("empty", Vec::new()),
        ("garbage", b"<html>404 not found</html>".repeat(100)),
        ("truncated", bytes[..bytes.len() / 2].to_vec()),
        ("without its middle", [&cut[..40], &cut[cut.len() - 300..]].concat()),
        ("marker alone", b"\xab\xcd\xefMaxMind.com".to_vec()),
        ("more nodes than bytes", with(node_count + 11, 0xff)),
        ("no separator", with(tree + 8, 1)),
        ("pointers beyond the end", beyond),
        ("pointer in a circle", circle),
        ("pointer beyond the data", far),
        ("endless tree without data", mmdb::chain(120, false)),
        ("endless tree with data", mmdb::chain(120, true)),
        ("tree deeper than an address", mmdb::chain(200, true)),
    ];
    for (name, bytes) in files {
        let errors = load(&[&bytes], &[]).expect_err(name);
        assert!(matches!(errors[..], [GeoIpError::Damaged { .. }]), "{name}: {errors:?}");
        assert!(errors[0].to_string().contains("city0.mmdb"), "{name}: {}", errors[0]);
    }
}

proptest::proptest! {
    #[test]
    fn no_changed_byte_makes_a_file_panic_or_hang(
        changes in proptest::collection::vec((proptest::num::usize::ANY, proptest::num::u8::ANY), 1..6),
        cut in proptest::option::of(proptest::num::usize::ANY),
        record_size in proptest::sample::select(vec![24, 28, 32]),
    ) {
        let list = networks([
            ("1.0.0.0/8", mmdb::nested_city(50.0, 8.5, "DE")),
            ("1.128.0.0/9", mmdb::flat_city(1.5, 103.5, "SG")),
            ("2001:db8::/32", mmdb::nested_country("DE")),
        ]);
        let mut bytes = Database { record_size, ..Database::new(6, list) }.bytes();
        for (at, byte) in changes {
            let at = at % bytes.len();
            bytes[at] = byte;
        }
        bytes.truncate(cut.map_or(bytes.len(), |cut| cut % (bytes.len() + 1)));
        if let Ok(geo) = load(&[&bytes], &[]) {
            for address in ["1.2.3.4", "1.200.3.4", "2001:db8::1", "255.255.255.255", "::", "ffff::"] {
                place(&geo, address);
            }
        }
    }
}
