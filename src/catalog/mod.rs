//! WHAT: releases as their manifests describe them, and how a path names one of their files.
//!
//! Products, releases and assets are immutable once made and shared between snapshots. Everything that a lookup needs
//! is an index made here, ahead of the request.

mod alias;
mod asset_name;
pub mod checksums;
mod compile;
pub mod folder;
pub mod import;
pub mod index;
mod json;
pub mod manifest;
pub mod publish;
pub mod published_checksums;
mod release;
pub mod signature;

pub use alias::Aliases;
pub use asset_name::AssetName;
pub use release::{Asset, Kind, Release, ReleaseId, ReleaseParts, encode_path, url_below, versionless};
