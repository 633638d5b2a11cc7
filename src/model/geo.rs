//! Where things are: coordinates, countries, autonomous systems.

use std::fmt;
use std::str::FromStr;

/// An autonomous system number (RFC 6793).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Asn(pub u32);

impl fmt::Display for Asn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AS{}", self.0)
    }
}

/// Why a text is not a country code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected a country as two letters (ISO 3166-1 alpha-2), such as \"DE\"")]
pub struct BadCountry;

/// A country as two upper-case letters (ISO 3166-1 alpha-2).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Country([u8; 2]);

impl Country {
    /// The two letters in upper case.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or("??")
    }
}

impl FromStr for Country {
    type Err = BadCountry;

    fn from_str(text: &str) -> Result<Self, BadCountry> {
        match text.as_bytes() {
            [a, b] if a.is_ascii_alphabetic() && b.is_ascii_alphabetic() => {
                Ok(Self([a.to_ascii_uppercase(), b.to_ascii_uppercase()]))
            }
            _ => Err(BadCountry),
        }
    }
}

impl fmt::Display for Country {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Country {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why two numbers are not a location.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected [latitude, longitude] in degrees, latitude within ±90 and longitude within ±180")]
pub struct BadLocation;

/// A point on the globe, in degrees.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Location {
    latitude: f32,
    longitude: f32,
}

/// Mean radius of the earth in kilometres (IUGG).
const EARTH_RADIUS_KM: f64 = 6371.0088;

impl Location {
    /// A location from degrees north and degrees east.
    pub fn new(latitude: f64, longitude: f64) -> Result<Self, BadLocation> {
        // The ranges also refuse NaN.
        if (-90.0..=90.0).contains(&latitude) && (-180.0..=180.0).contains(&longitude) {
            Ok(Self { latitude: latitude as f32, longitude: longitude as f32 })
        } else {
            Err(BadLocation)
        }
    }

    /// Degrees north of the equator.
    pub fn latitude(&self) -> f64 {
        f64::from(self.latitude)
    }

    /// Degrees east of Greenwich.
    pub fn longitude(&self) -> f64 {
        f64::from(self.longitude)
    }

    /// Great-circle distance in kilometres on a sphere (haversine), good to about 0.5 %.
    pub fn distance_km(&self, other: &Location) -> f64 {
        let (a, b) = (self.latitude().to_radians(), other.latitude().to_radians());
        let dlat = b - a;
        let dlon = (other.longitude() - self.longitude()).to_radians();
        let h = (dlat / 2.0).sin().powi(2) + a.cos() * b.cos() * (dlon / 2.0).sin().powi(2);
        2.0 * EARTH_RADIUS_KM * h.sqrt().min(1.0).asin()
    }

    /// The same point as a unit vector from the centre of the earth, for distances without trigonometry.
    pub fn direction(&self) -> Direction {
        let (lat, lon) = (self.latitude().to_radians(), self.longitude().to_radians());
        Direction([lat.cos() * lon.cos(), lat.cos() * lon.sin(), lat.sin()])
    }
}

/// A unit vector from the centre of the earth to a location.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Direction([f64; 3]);

impl Direction {
    /// Great-circle distance in kilometres: the chord between the two points, bent onto the sphere.
    pub fn distance_km(&self, other: &Direction) -> f64 {
        2.0 * EARTH_RADIUS_KM * (self.chord(other).sqrt() / 2.0).min(1.0).asin()
    }

    /// The square of the chord between the two points, for an earth of radius 1: in the order of distances, and cheap.
    pub fn chord(&self, other: &Direction) -> f64 {
        self.0.iter().zip(&other.0).map(|(a, b)| (a - b) * (a - b)).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_match_published_ones() {
        let frankfurt = Location::new(50.11, 8.68).unwrap();
        let singapore = Location::new(1.35, 103.82).unwrap();
        let km = frankfurt.distance_km(&singapore);
        assert!((10_230.0..10_300.0).contains(&km), "{km}");
        let by_chord = frankfurt.direction().distance_km(&singapore.direction());
        assert!((km - by_chord).abs() < 0.001, "{km} {by_chord}");
        assert_eq!(frankfurt.distance_km(&frankfurt), 0.0);
    }

    #[test]
    fn antipodes_and_poles_do_not_break_the_arithmetic() {
        let a = Location::new(0.0, 180.0).unwrap();
        let b = Location::new(0.0, 0.0).unwrap();
        assert!((a.distance_km(&b) - 20_015.0).abs() < 1.0);
        assert!(Location::new(90.0, 12.0).unwrap().distance_km(&Location::new(90.0, -100.0).unwrap()) < 0.01);
        assert_eq!(Location::new(f64::NAN, 0.0), Err(BadLocation));
        assert_eq!(Location::new(0.0, 180.5), Err(BadLocation));
    }

    #[test]
    fn countries_are_two_letters() {
        assert_eq!("de".parse::<Country>().unwrap().as_str(), "DE");
        for bad in ["", "D", "DEU", "4X", "ß"] {
            assert_eq!(bad.parse::<Country>(), Err(BadCountry), "{bad}");
        }
    }
}
