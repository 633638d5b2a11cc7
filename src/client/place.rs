//! What is known of where a client is.

use crate::model::{Asn, Country, Location, RegionId};

/// A place's position in [`Locator::places`](super::Locator::places). Valid for one locator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct PlaceId(pub u32);

impl PlaceId {
    /// The place of clients of whom nothing is known.
    pub const UNKNOWN: Self = Self(0);

    /// The position as an index.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// Where clients can be, as far as it decides which mirrors are near.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Place {
    /// Coordinates: the database's, a network rule's, or the country's centroid.
    pub location: Option<Location>,
    /// Country.
    pub country: Option<Country>,
    /// The region that a network rule names.
    pub region: Option<RegionId>,
}

/// What is known of one address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Whereabouts {
    /// The place, as an index of [`Locator::places`](super::Locator::places).
    pub place: PlaceId,
    /// The autonomous system.
    pub asn: Option<Asn>,
    /// The country. It can be known where the place has none: a network rule that names only a region or a location
    /// leaves the country to GeoIP.
    pub country: Option<Country>,
    /// Whether a `[[client_network]]` rule had a say.
    pub network_rule: bool,
}
