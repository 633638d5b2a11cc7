//! Private downloads on whole sites.

#![allow(clippy::unwrap_used, missing_docs)]

#[path = "private/mirrors.rs"]
mod mirrors;
#[path = "support/nginx.rs"]
mod nginx;
#[path = "support/private.rs"]
mod private;
#[path = "support/process.rs"]
mod process;
#[path = "support/python.rs"]
mod python;
#[path = "support/s3_server.rs"]
mod s3_server;
#[path = "private/signals.rs"]
mod signals;
#[path = "support/site.rs"]
mod site;
#[path = "private/stores.rs"]
mod stores;
