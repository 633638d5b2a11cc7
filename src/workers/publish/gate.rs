//! The scorecard of a release and of a product line, and the gate.

use crate::catalog::ReleaseId;
use crate::model::{ProductName, Timestamp};
use crate::workers::report::Report;

use super::world::World;

impl World {
    /// A release's checks, each with its mode, owner, verdict and reasons.
    pub(super) fn gate_report(&self, _product: &ProductName, _version: &str, _now: Timestamp) -> Report {
        None
    }

    /// The scorecard of a product line.
    pub(super) fn scorecard(&self, _product: &ProductName, _now: Timestamp) -> Report {
        None
    }

    /// Why a release itself must not be promoted or moved to, by the checks of its content that gate; empty: it may.
    pub(super) fn content_blocks(&self, _id: &ReleaseId) -> Vec<String> {
        Vec::new()
    }
}
