//! Addresses to places: the operator's rules first, then GeoIP.

use std::net::IpAddr;
use std::sync::Arc;

use super::geoip::{GeoIpError, GeoIpFile, GeoRanges};
use super::networks::{NetworkRuleError, Networks, OutcomePlace};
use super::place::{Place, Whereabouts};
use crate::config::{ClientNetwork, GeoIp, Region};

/// Why addresses cannot be located as configured.
#[derive(Debug, thiserror::Error)]
pub enum LocateError {
    /// A GeoIP database cannot be used.
    #[error(transparent)]
    GeoIp(#[from] GeoIpError),
    /// A `[[client_network]]` rule cannot be used.
    #[error(transparent)]
    NetworkRule(#[from] NetworkRuleError),
}

/// The compiled view of where addresses are. Immutable; a reload makes another one.
#[derive(Debug)]
pub struct Locator {
    geo: Arc<GeoRanges>,
    networks: Networks,
    /// GeoIP's places and, after them, those of the rules.
    places: Vec<Place>,
}

/// What a locator was made of, for `check` and the logs.
#[derive(Debug, Clone, Copy)]
pub struct Sources<'a> {
    /// The databases.
    pub files: &'a [GeoIpFile],
    /// Address ranges that they became.
    pub ranges: usize,
    /// Networks that the operator's rules name.
    pub network_rules: usize,
    /// Distinct places.
    pub places: usize,
    /// Bytes that ranges and places take.
    pub bytes: usize,
}

impl Locator {
    /// Loads everything. Blocks, for seconds perhaps. Reports all problems at once.
    pub fn build(
        geoip: &GeoIp,
        networks: &[ClientNetwork],
        regions: &[Region],
    ) -> Result<Self, Vec<LocateError>> {
        match GeoRanges::load(geoip) {
            Ok(geo) => Self::with_geoip(Arc::new(geo), networks, regions),
            Err(errors) => {
                let mut errors: Vec<LocateError> = errors.into_iter().map(LocateError::from).collect();
                let rules = Networks::build(networks, regions, &mut Vec::new()).err();
                errors.extend(rules.into_iter().flatten().map(LocateError::from));
                Err(errors)
            }
        }
    }

    /// A locator with other network rules over the same databases. Reads range files, so it blocks.
    pub fn with_geoip(
        geo: Arc<GeoRanges>,
        networks: &[ClientNetwork],
        regions: &[Region],
    ) -> Result<Self, Vec<LocateError>> {
        let mut places = geo.places().to_vec();
        match Networks::build(networks, regions, &mut places) {
            Ok(networks) => Ok(Self { geo, networks, places }),
            Err(errors) => Err(errors.into_iter().map(LocateError::from).collect()),
        }
    }

    /// Where `address` is. Costs tens of nanoseconds and no allocation.
    pub fn locate(&self, address: IpAddr) -> Whereabouts {
        let address = address.to_canonical();
        let geo_place = self.geo.place(address);
        let geo_country = self.places[geo_place.index()].country;
        let geo_asn = self.geo.asn(address);
        let Some(rule) = self.networks.get(address) else {
            return Whereabouts { place: geo_place, asn: geo_asn, country: geo_country, network_rule: false };
        };
        let place = match rule.place {
            OutcomePlace::GeoIp => geo_place,
            OutcomePlace::Centroid(_) if geo_country == rule.country => geo_place,
            OutcomePlace::Centroid(place) | OutcomePlace::Fixed(place) => place,
        };
        Whereabouts {
            place,
            asn: rule.asn.or(geo_asn),
            country: rule.country.or(geo_country),
            network_rule: true,
        }
    }

    /// All places; a `PlaceId` is an index. The first is the unknown place.
    pub fn places(&self) -> &[Place] {
        &self.places
    }

    /// Whether there is a database of places; without one, only network rules tell clients apart.
    pub fn has_geoip(&self) -> bool {
        self.geo.has_places()
    }

    /// The compiled databases, for [`Locator::with_geoip`].
    pub fn geoip(&self) -> &Arc<GeoRanges> {
        &self.geo
    }

    /// What this was made of.
    pub fn sources(&self) -> Sources<'_> {
        Sources {
            files: self.geo.files(),
            ranges: self.geo.range_count(),
            network_rules: self.networks.len(),
            places: self.places.len(),
            bytes: self.geo.bytes() + size_of_val(&*self.places),
        }
    }
}

#[cfg(test)]
mod tests;
