//! Checks of what the origin says now.

use serde_json::json;

use crate::catalog::ReleaseId;
use crate::catalog::index::ManifestPath;
use crate::config::GateMode;
use crate::model::{Check, ProductName};
use crate::workers::fact::OriginRefusal;
use crate::workers::publish::propagation::Propagation;
use crate::workers::publish::world::World;
use crate::workers::report::Report;

use super::{Finding, Line};

impl World {
    /// Why a release's manifest is refused now.
    pub(in crate::workers::publish) fn refusal_of(&self, id: &ReleaseId) -> Option<&OriginRefusal> {
        let is_it = |path: &str| {
            ManifestPath::parse(path).is_ok_and(|at| at.product == id.product && at.version == id.version)
        };
        self.origin.refused.iter().find(|(path, _)| is_it(path)).map(|(_, refusal)| refusal)
    }

    /// The manifests of a product that are refused now, and why.
    pub(super) fn refusals_of(&self, product: &ProductName) -> Vec<(&str, &OriginRefusal)> {
        let is_its = |path: &str| path.split('/').next() == Some(product.as_str());
        let refused = self.origin.refused.iter().filter(|(path, _)| is_its(path));
        refused.map(|(path, refusal)| (path.as_str(), refusal)).collect()
    }

    pub(super) fn origin_finding(&self, id: &ReleaseId) -> Finding {
        let fails = |what: &str, refusal: &OriginRefusal| {
            Finding::fails(
                format!("{what}: {}", refusal.reason),
                [refusal.detail.clone()].into_iter().collect(),
            )
        };
        if let Some(refusal) = self.refusal_of(id) {
            return fails("what the origin says of it now is refused", refusal);
        }
        if let Some(error) = &self.origin.error {
            return fails("the origin could not be read or believed at the last look", error);
        }
        match self.origin.read_at {
            Some(at) => {
                Finding::holds(format!("the origin says the same as when it was published; read at {at}"))
            }
            None => Finding::unknown("the origin has not been read since the service started"),
        }
    }

    /// The gate of a release that is not published because its manifest is refused: whoever publishes it is told why.
    /// There is nothing else to check, and nothing to let pass.
    pub(super) fn unpublished_report(&self, id: &ReleaseId) -> Report {
        self.refusal_of(id)?;
        let (_, owner) = self.gate_of(Check::Origin, &id.product);
        let finding = self.origin_finding(id);
        let line = Line { check: Check::Origin, mode: GateMode::Gate, owner, finding };
        Some(json!({
            "product": id.product,
            "version": id.version,
            "passed": false,
            "withdrawn": self.withdrawal_line(id),
            "checks": [line.json()],
            "propagation": Propagation { required: 0, lags: Vec::new() }.json(),
            "mirrors": [],
            "estimate_seconds": null,
        }))
    }
}
