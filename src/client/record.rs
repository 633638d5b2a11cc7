//! What the records of GeoIP databases say, in the layouts that are in use.
//!
//! Nested, as MaxMind and DB-IP write them: `location.latitude`, `country.iso_code`. Flat, as converters from CSV write
//! them: `latitude`, `longitude`, `country_code`, numbers perhaps as strings. The record decides, not the database's type.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::model::{Asn, Country, Location};

/// A record of a city or country database.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct PlaceRecord {
    location: Field,
    country: Field,
    registered_country: Field,
    #[serde(alias = "lat")]
    latitude: Field,
    #[serde(alias = "lng", alias = "lon")]
    longitude: Field,
    country_code: Field,
}

impl PlaceRecord {
    /// The coordinates, where there are any.
    pub(super) fn location(&self) -> Option<Location> {
        let pair = self.location.latitude.zip(self.location.longitude);
        match pair.or(self.latitude.number.zip(self.longitude.number))? {
            // Null Island is open sea: what databases write that have nothing to say.
            (0.0, 0.0) => None,
            (latitude, longitude) => Location::new(grid(latitude), grid(longitude)).ok(),
        }
    }

    /// The country that the client is in, else the one that the network is registered in.
    pub(super) fn country(&self) -> Option<Country> {
        self.country.country.or(self.country_code.country).or(self.registered_country.country)
    }
}

/// Coordinates are rounded to this part of a degree: 0.1° moves a place by 8 km at most, far less than city databases are
/// wrong by, and makes 97,000 places out of the 560,000 of DB-IP's. Rankings are kept per place.
const GRID: f64 = 10.0;

fn grid(degrees: f64) -> f64 {
    (degrees * GRID).round() / GRID
}

/// A record of an ASN database; the layouts differ in the name at most.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct AsnRecord {
    #[serde(alias = "asn", alias = "as_number")]
    autonomous_system_number: Field,
}

impl AsnRecord {
    /// The number, where there is one. AS 0 is nobody's (RFC 7607).
    pub(super) fn asn(&self) -> Option<Asn> {
        let number = self.autonomous_system_number.number?;
        (number.fract() == 0.0 && (1.0..=f64::from(u32::MAX)).contains(&number)).then_some(Asn(number as u32))
    }
}

/// A value of any type, and what can be read from it. A field that means something else in some layout is no reason to
/// refuse the record, so what cannot be read passes as nothing.
#[derive(Debug, Default, Clone, Copy)]
struct Field {
    /// From a number, or a string that holds one (`"50.11"`, `"AS64500"`).
    number: Option<f64>,
    /// From a string, or a map's `iso_code`.
    country: Option<Country>,
    /// From a map.
    latitude: Option<f64>,
    /// From a map.
    longitude: Option<f64>,
}

impl<'de> Deserialize<'de> for Field {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Anything)
    }
}

struct Anything;

impl Anything {
    fn number<E>(number: f64) -> Result<Field, E> {
        Ok(Field { number: Some(number), ..Field::default() })
    }
}

impl<'de> Visitor<'de> for Anything {
    type Value = Field;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Field, E> {
        Self::number(value)
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Field, E> {
        Self::number(value as f64)
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Field, E> {
        Self::number(value as f64)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Field, E> {
        let number = text.strip_prefix("AS").unwrap_or(text).parse().ok();
        // ZZ and XX are user-assigned codes that stand for an unknown country.
        let country = text.parse().ok().filter(|code: &Country| !matches!(code.as_str(), "ZZ" | "XX"));
        Ok(Field { number, country, ..Field::default() })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Field, A::Error> {
        let mut field = Field::default();
        while let Some(key) = map.next_key::<&str>()? {
            match key {
                "latitude" => field.latitude = map.next_value::<Field>()?.number,
                "longitude" => field.longitude = map.next_value::<Field>()?.number,
                "iso_code" => field.country = map.next_value::<Field>()?.country,
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(field)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Field, A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Field::default())
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Field, E> {
        Ok(Field::default())
    }

    fn visit_u128<E: Error>(self, _: u128) -> Result<Field, E> {
        Ok(Field::default())
    }

    fn visit_bytes<E: Error>(self, _: &[u8]) -> Result<Field, E> {
        Ok(Field::default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(json: &str) -> (Option<(f64, f64)>, Option<String>) {
        let record: PlaceRecord = serde_json::from_str(json).unwrap();
        let location = record.location().map(|at| (at.latitude(), at.longitude()));
        (location, record.country().map(|country| country.to_string()))
    }

    #[test]
    fn layouts_are_told_apart_by_the_record() {
        let table = [
            (
                r#"{"location": {"latitude": 50.5, "longitude": 8.5, "time_zone": "Europe/Berlin"},
                 "country": {"iso_code": "DE", "names": {"en": "Germany"}}, "subdivisions": [{"iso_code": "HE"}]}"#,
                Some((50.5, 8.5)),
                Some("DE"),
            ),
            (
                r#"{"latitude": 50.5, "longitude": 8.5, "country_code": "DE", "city": "Frankfurt"}"#,
                Some((50.5, 8.5)),
                Some("DE"),
            ),
            (
                r#"{"latitude": "50.5", "longitude": "-8.5", "country_code": "de"}"#,
                Some((50.5, -8.5)),
                Some("DE"),
            ),
            (
                r#"{"lat": "50.5", "lng": "8.5", "country": "DE", "location": "Hesse"}"#,
                Some((50.5, 8.5)),
                Some("DE"),
            ),
            (r#"{"country_code": "DE"}"#, None, Some("DE")),
            (r#"{"registered_country": {"iso_code": "DE"}}"#, None, Some("DE")),
            (
                r#"{"country": {"iso_code": "FR"}, "registered_country": {"iso_code": "DE"}}"#,
                None,
                Some("FR"),
            ),
            (r#"{"country": "Germany", "country_code": "DE"}"#, None, Some("DE")),
            (r#"{"latitude": 0, "longitude": 0, "country_code": "ZZ"}"#, None, None),
            (r#"{"latitude": 95, "longitude": 8, "country_code": "-"}"#, None, None),
            (r#"{"latitude": "north", "longitude": [1], "country_code": true, "location": 7}"#, None, None),
            (r#"{"latitude": 50.5}"#, None, None),
            ("{}", None, None),
        ];
        for (json, location, country) in table {
            assert_eq!(place(json), (location, country.map(str::to_owned)), "{json}");
        }
    }

    #[test]
    fn coordinates_are_rounded_to_a_tenth_of_a_degree() {
        let json = r#"{"latitude": 50.1109, "longitude": -8.6821, "country_code": "DE"}"#;
        let location = serde_json::from_str::<PlaceRecord>(json).unwrap().location().unwrap();
        assert_eq!(location, Location::new(50.1, -8.7).unwrap());
    }

    #[test]
    fn system_numbers_are_read_from_numbers_and_strings() {
        for (json, asn) in [
            (
                r#"{"autonomous_system_number": 64500, "autonomous_system_organization": "Example"}"#,
                Some(64500),
            ),
            (r#"{"autonomous_system_number": "64500"}"#, Some(64500)),
            (r#"{"asn": "AS64500", "domain": "example.com"}"#, Some(64500)),
            (r#"{"asn": 4294967295}"#, Some(u32::MAX)),
            (r#"{"asn": 4294967296}"#, None),
            (r#"{"asn": 0}"#, None),
            (r#"{"asn": 1.5}"#, None),
            ("{}", None),
        ] {
            assert_eq!(serde_json::from_str::<AsnRecord>(json).unwrap().asn(), asn.map(Asn), "{json}");
        }
    }
}
