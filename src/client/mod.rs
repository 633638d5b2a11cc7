//! WHO asks and WHERE from: the client's address, its network, its place.
//!
//! `forwarded` finds the address, `network` what stickiness and logs keep of it.

mod centroids;
mod forwarded;
mod geoip;
mod network;
mod place;
mod ranges;
mod record;

pub use forwarded::{Forwarded, Scheme};
pub use geoip::{GeoIpError, GeoIpFile, GeoIpUse, GeoRanges};
pub use network::{client_network, sticky_key};
pub use place::{Place, PlaceId, Whereabouts};
