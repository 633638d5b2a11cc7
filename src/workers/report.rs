//! How things are, as the admin interface shows it.

use serde_json::Value;

use crate::model::{MirrorName, ProductName, Timestamp};

/// What a report is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Topic {
    /// Every mirror, without its releases.
    Mirrors,
    /// One mirror, with its releases and copies in trouble.
    Mirror(MirrorName),
    /// Every release, or those of one product, and the channels; `None` where there is none of that product.
    Releases(Option<ProductName>),
    /// One release with its assets and what each mirror holds of it; the version with or without a leading `v`.
    Release(ProductName, String),
    /// The same for somebody who has waited for it since then, also where it is not known yet.
    Wait(ProductName, String, Timestamp),
    /// A release's scorecard and gate; the version with or without a leading `v`.
    Gate(ProductName, String),
    /// The scorecard of a product line, with at most so many releases.
    Scorecard(ProductName, usize),
    /// Channels of all products, or of one: where they point, since when, held or not, and what they wait for.
    Channels(Option<ProductName>),
    /// What a mirror holds that it should not, and what it lacks.
    Inventory(MirrorName),
    /// The last look at the origin.
    Origin,
    /// Gauges that are set when metrics are read.
    Gauges,
}

/// A report as JSON; `None` where there is no such thing.
pub type Report = Option<Value>;
