//! WHO asks and WHERE from: the client's address, its network, its place.
//!
//! `forwarded` finds the address behind trusted `proxies`; `network` is what stickiness keeps of it; `locator`
//! says where it is: first the operator's rules (`networks`, from `range_files` too), then GeoIP (`geoip`, compiled from
//! the layouts in `record` to `ranges`; `centroids` where a country is all that is known).

mod centroids;
mod forwarded;
mod geoip;
mod locator;
mod network;
mod networks;
mod place;
mod proxies;
mod range_files;
mod ranges;
mod record;
mod tree;
mod walks;

#[cfg(test)]
#[path = "../../tests/support/mmdb.rs"]
mod mmdb;

pub use crate::model::client_network;
pub use forwarded::{Forwarded, Scheme};
pub use geoip::{GeoIpError, GeoIpFile, GeoIpUse, GeoRanges};
pub use locator::{LocateError, Locator, Sources};
pub use network::{canonical_network, sticky_key};
pub use networks::NetworkRuleError;
pub use place::{Place, PlaceId, Whereabouts};
pub use proxies::Proxies;
pub use range_files::RangeFileError;
