//! Bounded outgoing HTTP/1.1 that hashes while it streams: probes, verification, reading the origin, and uploads.
//!
//! One connection per request, its phases timed apart (DNS, connect, TLS, first byte), nothing pooled and no task left
//! behind: the connection lives inside the [`Response`] and closes when that is dropped. Everything that a peer may do
//! is bounded: redirects in number and in where they lead, heads in bytes and lines, bodies by what is expected of
//! them, every wait by a deadline, slow bodies by a least speed. What goes wrong has one name, a
//! [`CopyFault`](crate::model::CopyFault), and evidence for the operator.

mod dial;
mod exchange;
mod failure;
mod fetcher;
mod hosts;
mod listing;
mod look;
mod pace;
mod proxy;
mod response;
mod send;
mod trust;

pub use failure::{Evidence, Failure, Families, Timings};
pub use fetcher::{Fetcher, FetcherError, Get, shown};
pub use hosts::{NamedHosts, is_global};
pub use listing::{FolderListing, LISTED_MAX, LISTING_MAX, ListedEntry, ListingKind};
pub use look::{Expected, Seen, fingerprint, is_html_name, look, looks_like_html};
pub use pace::Pace;
pub use response::{Hashed, Response};
pub use send::{Payload, Sending};
pub use trust::connector;
