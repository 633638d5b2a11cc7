//! WHO asks and WHERE from: the client's address, its network, its place.
//!
//! `forwarded` finds the address behind trusted proxies; `network` is what stickiness and logs keep of it; `locator`
//! says where it is: first the operator's rules (`networks`, from `range_files` too), then GeoIP (`geoip`, compiled from
//! the layouts in `record` to `ranges`; `centroids` where a country is all that is known).

mod centroids;
mod forwarded;
mod geoip;
mod locator;
mod network;
mod networks;
mod place;
mod range_files;
mod ranges;
mod record;

#[cfg(test)]
#[path = "../../tests/support/mmdb.rs"]
mod mmdb;

use std::net::IpAddr;

use http::HeaderMap;

pub use forwarded::{Forwarded, Scheme};
pub use geoip::{GeoIpError, GeoIpFile, GeoIpUse, GeoRanges};
pub use locator::{LocateError, Locator, Sources};
pub use network::{client_network, sticky_key};
pub use networks::NetworkRuleError;
pub use place::{Place, PlaceId, Whereabouts};
pub use range_files::RangeFileError;

/// A client, as far as a request tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Client {
    /// Its address; IPv4-mapped IPv6 addresses are IPv4.
    pub address: IpAddr,
    /// Where it is.
    pub whereabouts: Whereabouts,
    /// The network that it shares its mirror with; see [`sticky_key`].
    pub sticky: u64,
}

impl Client {
    /// Who sent a request with these headers over a connection from `peer`, and from where.
    pub fn identify(
        forwarded: &Forwarded,
        locator: &Locator,
        headers: &HeaderMap,
        peer: Option<IpAddr>,
    ) -> Self {
        let address = forwarded.client_address(headers, peer);
        Self { address, whereabouts: locator.locate(address), sticky: sticky_key(address) }
    }
}
