//! Real downloads: nginx mirrors, the service in front of them, and the clients that people use, in Debian's versions. What
//! `design.md` says of these clients is kept true here.
#![allow(clippy::unwrap_used, missing_docs)]

#[path = "downloads/aria2.rs"]
mod aria2;
#[path = "downloads/certificates.rs"]
mod certificates;
#[path = "downloads/curl.rs"]
mod curl;
#[path = "downloads/failover.rs"]
mod failover;
#[path = "support/nginx.rs"]
mod nginx;
#[path = "downloads/places.rs"]
mod places;
#[path = "support/process.rs"]
mod process;
#[path = "downloads/python.rs"]
mod python;
#[path = "downloads/site.rs"]
mod site;
#[path = "support/well_known.rs"]
mod well_known;
#[path = "downloads/wget.rs"]
mod wget;
