//! Withdrawal: by an operator, or by the origin; and what is told to those who ask for a withdrawn release.

use std::collections::HashMap;
use std::sync::Arc;

use rustc_hash::FxHashMap;
use serde_json::{Value, json};

use crate::catalog::ReleaseId;
use crate::catalog::index::IndexWithdrawal;
use crate::config::Mirror;
use crate::health::Copies;
use crate::model::{ProductName, Version, actor};
use crate::snapshot::{ChannelView, ReleaseView, WithdrawnView};
use crate::store::Action;
use crate::workers::fact::Refused;

use super::channels::Due;
use super::world::{Withdrawal, World};

/// Most withdrawals of an index that are looked at: each one that is new waits for the disk.
const LISTED_MAX: usize = 10_000;

/// What the origin withdraws, as of the last look.
#[derive(Debug, Default)]
pub(super) struct OriginWithdrawals {
    /// By the index; manifests speak for themselves.
    listed: HashMap<ReleaseId, (String, Option<Version>)>,
    /// The origin was looked at since what is due was asked for.
    looked: bool,
}

impl World {
    /// Notes which releases the origin's index withdraws. What is withdrawn stays so when it leaves the index.
    pub(super) fn origin_withdraws(&mut self, listed: Vec<IndexWithdrawal>) {
        if listed.len() > LISTED_MAX {
            let count = listed.len();
            tracing::warn!(count, "the index withdraws more releases than are looked at: {LISTED_MAX}");
        }
        let entry = |listed: IndexWithdrawal| {
            let IndexWithdrawal { product, version, reason, replacement, .. } = listed;
            let reason = reason.unwrap_or_else(|| "withdrawn at the origin".to_owned());
            (ReleaseId { product, version }, (reason, replacement))
        };
        let listed = listed.into_iter().take(LISTED_MAX).map(entry).collect();
        self.origin_withdrawals = OriginWithdrawals { listed, looked: true };
    }

    /// The withdrawals that the origin asks for and that are not in force, after each look at it. An operator's
    /// withdrawal stays as it is; the index may correct the origin's own.
    pub fn due_withdrawals(&mut self) -> Vec<Due> {
        if !std::mem::take(&mut self.origin_withdrawals.looked) {
            return Vec::new();
        }
        let listed = &self.origin_withdrawals.listed;
        let is_news = |(id, (reason, replacement)): &(&ReleaseId, &(String, Option<Version>))| {
            self.withdrawn.get(*id).is_none_or(|known| {
                known.actor == actor::ORIGIN && (&known.reason, &known.replacement) != (reason, replacement)
            })
        };
        let by_index = listed
            .iter()
            .filter(is_news)
            .map(|(id, (reason, replacement))| due(id, reason.clone(), replacement.clone()));
        let by_manifest = self.releases.iter().filter_map(|(id, known)| {
            let reason = known.withdrawn.as_ref()?;
            let is_news = !self.withdrawn.contains_key(id) && !listed.contains_key(id);
            is_news.then(|| due(id, reason.clone(), None))
        });
        by_index.chain(by_manifest).collect()
    }

    /// Whether an operator may withdraw a release. One that is withdrawn already gets another reason and replacement.
    pub(super) fn check_withdraw(
        &self,
        id: &ReleaseId,
        replacement: Option<ReleaseId>,
    ) -> Result<(), Refused> {
        let ReleaseId { product, version } = id;
        if !self.releases.contains_key(id) && !self.withdrawn.contains_key(id) {
            return Err(Refused::Unknown(format!("release {product} {version}")));
        }
        let Some(replacement) = replacement else { return Ok(()) };
        let of = |why: &str| {
            Err(Refused::Forbidden(format!("{product} {} cannot replace it: {why}", replacement.version)))
        };
        if replacement == *id {
            of("it is the release that is to be withdrawn")
        } else if self.withdrawn.contains_key(&replacement) {
            of("it is withdrawn itself")
        } else if !self.releases.contains_key(&replacement) {
            of("it is not published")
        } else {
            Ok(())
        }
    }

    /// Whether an operator may restore a release: not against the origin's word.
    pub(super) fn check_restore(&self, id: &ReleaseId) -> Result<(), Refused> {
        let ReleaseId { product, version } = id;
        let known = self.releases.get(id);
        let forbidden = |why: &str| Err(Refused::Forbidden(format!("{product} {version} {why}")));
        if !self.withdrawn.contains_key(id) {
            return match known {
                Some(_) => forbidden("is not withdrawn"),
                None => Err(Refused::Unknown(format!("release {product} {version}"))),
            };
        }
        if self.origin_withdrawals.listed.contains_key(id) {
            return forbidden("is withdrawn by the origin: take it out of the index first");
        }
        if known.is_some_and(|known| known.withdrawn.is_some()) {
            return forbidden("is withdrawn by the origin: take `withdrawn` out of its manifest first");
        }
        Ok(())
    }

    /// The withdrawn releases of a product as they are published, by their bare version.
    pub(super) fn withdrawn_views(
        &self,
        product: &ProductName,
        good: impl Fn(&Version) -> Option<Arc<ReleaseView>>,
        channels: &[ChannelView],
        latest: Option<usize>,
    ) -> FxHashMap<Box<str>, Arc<WithdrawnView>> {
        let of_product = self.withdrawn.iter().filter(|(id, _)| id.product == *product);
        let view = |(id, withdrawal): (&ReleaseId, &Withdrawal)| {
            let known = self.releases.get(id);
            let labelled = |channel: &&ChannelView| {
                known.is_some_and(|known| known.release.channels.contains(&channel.name))
            };
            let named = withdrawal.replacement.as_ref().and_then(&good);
            let by_label = || channels.iter().filter(labelled).find_map(|channel| channel.target.clone());
            let view = WithdrawnView {
                version: known.map_or(&id.version, |known| &known.release.id.version).clone(),
                at: withdrawal.at,
                reason: withdrawal.reason.as_str().into(),
                replacement: named.or_else(by_label).or_else(|| channels.get(latest?)?.target.clone()),
            };
            (id.version.bare().into(), Arc::new(view))
        };
        of_product.map(view).collect()
    }

    /// What a release's report says of its withdrawal; `null` where it is not withdrawn.
    pub(super) fn withdrawal_line(&self, id: &ReleaseId) -> Value {
        self.withdrawn.get(id).map_or(Value::Null, |withdrawal| {
            json!({
                "at": withdrawal.at.to_string(),
                "actor": withdrawal.actor,
                "reason": withdrawal.reason,
                "replacement": withdrawal.replacement,
            })
        })
    }

    /// The mirrors that hold files of a withdrawn release still; `null` where it is not withdrawn.
    pub(super) fn holders_left(&self, id: &ReleaseId) -> Value {
        if !self.withdrawn.contains_key(id) {
            return Value::Null;
        }
        let holds = |mirror: &&Mirror| self.copies_on(&mirror.name, id).is_some_and(Copies::holds_any);
        self.configured().filter(holds).map(|mirror| json!(mirror.name)).collect()
    }
}

fn due(id: &ReleaseId, reason: String, replacement: Option<Version>) -> Due {
    let ReleaseId { product, version } = id.clone();
    Due { actor: actor::ORIGIN, reason, action: Action::ReleaseWithdraw { product, version, replacement } }
}
