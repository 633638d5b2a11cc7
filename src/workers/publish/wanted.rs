//! Who should hold what: tiers and retention.

use crate::model::{MirrorName, Timestamp};
use crate::workers::report::Report;

use super::world::World;

impl World {
    /// What a mirror is to hold.
    pub(super) fn files_report(&self, _mirror: &MirrorName, _now: Timestamp) -> Report {
        None
    }

    /// Whether a mirror is to hold a release, by its tier and the retention.
    pub(super) fn wants(&self, _mirror: &crate::config::Mirror, _id: &crate::catalog::ReleaseId) -> bool {
        true
    }
}
