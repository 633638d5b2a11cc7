//! Plain types that every room speaks: names, versions, digests, places, sets of mirrors, moments.
//!
//! Nothing here does I/O, knows the configuration or reads a clock. Each type is made by one fallible step and cannot
//! be wrong afterwards.

pub mod actor;
mod assets;
mod digest;
mod geo;
mod mirror;
mod name;
mod network;
mod platform;
mod reason;
mod time;
mod version;
mod version_range;

pub use actor::is_reserved_actor;
pub use assets::AssetSet;
pub use digest::{BadDigest, Fingerprint, Sha256, Sha512};
pub use geo::{Asn, BadCountry, BadLocation, Country, Direction, Location};
pub use mirror::{AssetIndex, IssuerId, MirrorId, MirrorSet, RegionId};
pub use name::{AssetPath, BadName, ChannelName, MirrorName, ProductName, RegionName, TierName};
pub use network::client_network;
pub use platform::{BadPlatform, Platform};
pub use reason::{Check, CopyFault, Denial, Exclusion, KeyFault, OriginFault, Role, SignatureState};
pub use time::{Clock, SystemClock, Timestamp};
pub use version::{BadVersion, Version};
pub use version_range::{BadVersionRange, VersionRange};
