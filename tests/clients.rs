//! Private downloads with the tools that people have, in Debian's versions: how each carries a token, what it does with it
//! when it is redirected, and what is left when a link has expired. README.md has the table that is made here.
#![allow(clippy::unwrap_used, missing_docs)]

#[path = "support/chromium.rs"]
mod chromium;
#[path = "clients/expiry.rs"]
mod expiry;
#[path = "clients/matrix.rs"]
mod matrix;
#[path = "support/nginx.rs"]
mod nginx;
#[path = "clients/people.rs"]
mod people;
#[path = "clients/place.rs"]
mod place;
#[path = "support/process.rs"]
mod process;
#[path = "support/python.rs"]
mod python;
#[path = "support/s3_server.rs"]
mod s3_server;
#[path = "clients/segments.rs"]
mod segments;
#[path = "support/site.rs"]
mod site;
#[path = "support/tokens.rs"]
mod tokens;
#[path = "clients/tool.rs"]
mod tool;
#[path = "clients/wget2.rs"]
mod wget2;
