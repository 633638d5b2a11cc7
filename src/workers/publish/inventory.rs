//! What mirrors hold that they should not, and what they lack.

use crate::model::{MirrorName, Timestamp};
use crate::workers::report::Report;

use super::world::World;

impl World {
    /// Missing and unexpected files of a mirror, by release.
    pub(super) fn inventory_report(&self, _mirror: &MirrorName, _now: Timestamp) -> Report {
        None
    }
}
