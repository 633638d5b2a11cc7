//! Waypost: a region-aware download redirect service.
pub mod admin;
pub mod app;
pub mod catalog;
pub mod cli;
pub mod client;
pub mod config;
pub mod fetch;
pub mod health;
pub mod metrics;
pub mod model;
pub mod redirect;
pub mod routing;
pub mod server;
pub mod snapshot;
pub mod store;
pub mod tasks;
pub mod workers;
