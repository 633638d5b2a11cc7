//! Gauges of releases: for each channel, of the release that it points to and of the newest one meant for it. So their
//! number is bounded by channels and mirrors, not by releases.

use crate::catalog::ReleaseId;
use crate::metrics::{Metrics, ReleaseGauges};
use crate::model::{ChannelName, OriginFault, ProductName, Timestamp};
use crate::workers::publish::releases::Known;
use crate::workers::publish::world::World;

use super::Line;
use super::content::share;
use super::copies::Fallback;

impl World {
    /// Sets them.
    pub(in crate::workers::publish) fn set_release_gauges(&self, metrics: &Metrics, now: Timestamp) {
        let metrics = &metrics.releases;
        metrics.reset();
        for (product, releases) in self.by_product() {
            let mut open = false;
            for channel in self.channels_with(product, releases.iter().copied()) {
                let newest = self.newest_for(&releases, &channel);
                open |= self.set_channel_gauges(metrics, (product, &channel), newest, now);
            }
            metrics.window_open.with_label_values(&[product.as_str()]).set(i64::from(open));
        }
        self.set_origin_metrics(metrics);
    }

    /// Every reason has its line from the start, so that the first refusal is an increase.
    fn set_origin_metrics(&self, metrics: &ReleaseGauges) {
        let count_up = |outcome: &str, reason: Option<OriginFault>| {
            let label = reason.map_or("", OriginFault::as_str);
            let shown = metrics.manifests.with_label_values(&[outcome, label]);
            let count = self.origin.attempts.get(&reason).copied().unwrap_or_default();
            shown.inc_by(count.saturating_sub(shown.get()));
        };
        count_up("accepted", None);
        let disbelieved = self.origin.error.as_ref().map(|refusal| refusal.reason);
        for reason in OriginFault::ALL {
            count_up("refused", Some(*reason));
            let label = &[reason.as_str()];
            let count = self.origin.refused.values().filter(|refusal| refusal.reason == *reason).count();
            metrics.manifests_refused.with_label_values(label).set(count as i64);
            metrics.origin_refused.with_label_values(label).set(i64::from(disbelieved == Some(*reason)));
        }
    }

    /// Sets those of one channel, for which `newest` is meant. Says whether a release is on its way to it.
    fn set_channel_gauges(
        &self,
        metrics: &ReleaseGauges,
        (product, channel): (&ProductName, &ChannelName),
        newest: Option<&Known>,
        now: Timestamp,
    ) -> bool {
        let pointer = self.pointers.get(&(product.clone(), channel.clone()));
        let id = pointer.map(|at| ReleaseId { product: product.clone(), version: at.version.clone() });
        let current = id.and_then(|id| self.releases.get(&id));
        let Some(newest) = newest.or(current) else { return false };
        let labels = [product.as_str(), channel.as_str()];
        let (holders, required) = self.coverage(&current.unwrap_or(newest).release.id, now);
        metrics.coverage.with_label_values(&labels).set(share(holders, required));
        let content = &newest.content;
        metrics.completeness.with_label_values(&labels).set(content.completeness_ratio());
        let signed = content.signature_ratio(newest, self.has_keys());
        metrics.signatures.with_label_values(&labels).set(signed);
        metrics.provenance.with_label_values(&labels).set(content.provenance_ratio());
        let passed = self.checks(newest, now).iter().all(Line::lets_pass);
        metrics.gate_passed.with_label_values(&labels).set(i64::from(passed));
        for mirror in self.configured() {
            if let Some(lag) = self.lag(mirror, newest) {
                let labels = [product.as_str(), channel.as_str(), mirror.name.as_str()];
                metrics.replication_lag.with_label_values(&labels).set(lag.as_secs_f64());
            }
        }
        // A first release has nothing to fall back to, and nobody should be woken for that.
        let fallback = current.map(|current| self.fallback(&current.release.id, channel));
        if let Some(Fallback::Release(_, ready)) = fallback {
            metrics.rollback_ready.with_label_values(&labels).set(i64::from(ready));
        }
        pointer.is_none_or(|at| self.is_higher(product, &newest.release.id.version, &at.version))
            && self.is_on_its_way(newest, channel, now)
    }

    /// Mirrors lack it still, or the channel is to come to it by itself. What is everywhere and waits for a hand, because
    /// the channel is moved by hand, held or rolled back, is not on its way.
    fn is_on_its_way(&self, known: &Known, channel: &ChannelName, now: Timestamp) -> bool {
        self.channels_behind(known).contains(&channel) || !self.lacking(&known.release.id, now).is_empty()
    }

    /// The newest of a product's releases that is meant for a channel and not withdrawn.
    fn newest_for<'k>(&self, releases: &[&'k Known], channel: &ChannelName) -> Option<&'k Known> {
        let meant = releases.iter().copied().filter(|known| {
            known.release.channels.contains(channel) && !self.withdrawn.contains_key(&known.release.id)
        });
        meant.max_by(|a, b| self.order(&a.release.id, &b.release.id))
    }
}
