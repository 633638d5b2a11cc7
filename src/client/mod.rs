//! WHO asks and WHERE from: the client's address, its network, its place.
//!
//! `forwarded` finds the address, `network` what stickiness and logs keep of it.

mod forwarded;
mod network;

pub use forwarded::{Forwarded, Scheme};
pub use network::{client_network, sticky_key};
