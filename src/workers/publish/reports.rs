//! Reports: the world as JSON.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::catalog::ReleaseId;
use crate::config::{Mirror, Promote};
use crate::health::{Copies, CopyState, State, Tally};
use crate::metrics::Metrics;
use crate::model::{MirrorName, MirrorSet, ProductName, Timestamp, Version};
use crate::store::Observation;
use crate::workers::report::{Report, Topic};

use super::channels::{ChannelKey, Counted, Readiness};
use super::mirrors::MirrorState;
use super::releases::Known;
use super::world::World;

/// Most copies in trouble that a report lists per mirror and release.
const TROUBLE_MAX: usize = 100;
/// Most releases of a channel's past that a report lists.
const HISTORY_MAX: usize = 20;
/// Most assets that a report lists.
const ASSETS_MAX: usize = 10_000;

impl World {
    /// How things are.
    pub fn report(&mut self, topic: &Topic, now: Timestamp, metrics: &Metrics) -> Report {
        self.weigh_wants(now);
        self.renew_releases();
        match topic {
            Topic::Mirrors => Some(self.mirrors_report()),
            Topic::Mirror(name) => self.mirror_report(name, now),
            Topic::Releases(product) => self.releases_report(product.as_ref(), now),
            Topic::Release(product, version) => self.release_report(product, version, now),
            Topic::Gate(product, version) => self.gate_report(product, version, now),
            Topic::Scorecard(product, most) => self.scorecard(product, *most, now),
            Topic::Wait(product, version, since) => self.wait_report(product, version, *since, now),
            Topic::Channels(product) => self.channels_report(product.as_ref(), now),
            Topic::Inventory(mirror) => self.inventory_report(mirror),
            Topic::Origin => Some(self.origin_report()),
            Topic::Gauges => {
                self.set_gauges(metrics);
                self.set_release_gauges(metrics, now);
                None
            }
        }
    }

    /// What could not be recorded is tried again with the next round.
    pub(super) fn not_recorded(&mut self, observations: Vec<Observation>) {
        for observation in observations {
            match observation {
                Observation::Standing { mirror, .. } => drop(self.dirty.standings.insert(mirror)),
                Observation::Copies { mirror, product, version, .. } => {
                    self.dirty.copies.insert((mirror, ReleaseId { product, version }));
                }
                Observation::Examined { product, version, .. } => {
                    self.dirty.examined.insert(ReleaseId { product, version });
                }
                other => self.dirty.other.push(other),
            }
        }
    }

    pub(super) fn region_name(&self, mirror: &Mirror) -> Value {
        mirror.region.map_or(Value::Null, |id| json!(self.prepared.config.regions[id.index()].name))
    }

    fn mirror_line(&self, mirror: &Mirror) -> Value {
        let state = self.mirrors.get(&mirror.name);
        let standing = state.map(|state| &state.standing);
        json!({
            "name": mirror.name,
            "url": mirror.url.as_str(),
            "region": self.region_name(mirror),
            "country": mirror.country.map(|country| country.to_string()),
            "weight": mirror.weight,
            "state": standing.map(|standing| standing.state),
            "healthy": standing.is_some_and(|standing| standing.state == State::Healthy),
            "drained": self.drained.contains(&mirror.name),
            "reason": self.exclusion(&mirror.name),
            "last_fault": standing.and_then(|standing| standing.last_fault),
            "since": standing.map(|standing| standing.since.to_string()),
            "probed_at": standing.and_then(|standing| standing.looked_at).map(|at| at.to_string()),
            "copies": state.map(|state| state.tally()),
        })
    }

    fn mirrors_report(&self) -> Value {
        json!({ "mirrors": self.configured().map(|mirror| self.mirror_line(mirror)).collect::<Vec<_>>() })
    }

    /// What looking at a mirror's copies again costs, and how far it has come.
    fn verification_line(&self, state: &MirrorState, now: Timestamp) -> Value {
        let (bytes, samples) = state.costs.today(now);
        let oldest = state.holdings().filter_map(|holding| holding.copies.passed_at()).min();
        json!({
            "today_bytes": bytes,
            "budget_bytes": self.prepared.config.verify.budget,
            "samples_today": samples,
            "last_sample_at": state.costs.sampled_at.map(|at| at.to_string()),
            "last_full_pass_at": oldest.map(|at| at.to_string()),
            "asked_to_verify": state.asked_to_verify,
        })
    }

    fn mirror_report(&self, name: &MirrorName, now: Timestamp) -> Report {
        let mirror = self.configured().find(|mirror| mirror.name == *name)?;
        let mut report = self.mirror_line(mirror);
        let state = self.mirrors.get(name)?;
        report["hosts"] = json!(state.hosts);
        report["verification"] = self.verification_line(state, now);
        let held = self.releases.iter().filter_map(|(id, known)| Some((id, state.copies(known.number)?)));
        let mut releases: Vec<_> = held.collect();
        releases
            .sort_by(|(a, _), (b, _)| (&a.product, a.version.bare()).cmp(&(&b.product, b.version.bare())));
        let line = |(id, copies): (&ReleaseId, &Copies)| {
            json!({
                "product": id.product,
                "version": id.version,
                "complete": copies.is_complete(),
                "copies": copies.tally(),
                "passed_at": copies.passed_at().map(|at| at.to_string()),
                "trouble": self.trouble(id, copies),
            })
        };
        report["releases"] = releases.into_iter().map(line).collect();
        Some(report)
    }

    fn trouble(&self, id: &ReleaseId, copies: &Copies) -> Value {
        let Some(known) = self.releases.get(id) else { return Value::Null };
        let line = |(asset, trouble): (u32, &crate::health::Trouble)| {
            json!({
                "asset": known.release.asset(asset).name,
                "reason": trouble.fault,
                "since": trouble.since.to_string(),
                "tries": trouble.tries,
                "next_try": trouble.retry_at.to_string(),
                "evidence": trouble.evidence,
            })
        };
        copies.trouble().take(TROUBLE_MAX).map(line).collect()
    }

    fn release_line(&self, known: &Known, counted: &[Counted<'_>]) -> Value {
        let id = &known.release.id;
        let pointing =
            self.pointers.iter().filter(|((p, _), at)| *p == id.product && at.version == id.version);
        let pointing: Vec<_> = pointing.map(|((_, channel), _)| channel).collect();
        let waiting: Vec<Value> = known
            .release
            .channels
            .iter()
            .map(|channel| {
                let readiness = self.readiness_among(counted, id, channel);
                json!({ "channel": channel, "ready": readiness.ready, "lacking": readiness.lacking })
            })
            .collect();
        json!({
            "product": id.product,
            "version": id.version,
            "published_at": known.published_at().to_string(),
            "first_seen": known.first_seen.to_string(),
            "assets": known.release.assets.len(),
            "bytes": known.release.total_size(),
            "channels": pointing,
            "readiness": waiting,
            "mirrors_complete": self.whole_on(id).map_or(0, MirrorSet::len),
            "mirrors": self.prepared.config.mirrors.len(),
            "mirrors_lacking": self.lacking_among(counted, id),
            "warnings": known.warnings,
            "withdrawn": self.withdrawal_line(id),
            "holders_left": self.holders_left(id),
        })
    }

    fn releases_report(&self, product: Option<&ProductName>, now: Timestamp) -> Report {
        let concerns = |of: &ProductName| product.is_none_or(|product| product == of);
        let known = self.releases.values().filter(|known| concerns(&known.release.id.product));
        let mut releases: Vec<&Known> = known.collect();
        if product.is_some() && releases.is_empty() {
            return None;
        }
        releases.sort_by(|a, b| {
            let (a, b) = (&a.release.id, &b.release.id);
            a.product.cmp(&b.product).then_with(|| b.version.precedence(&a.version))
        });
        let pointers = self.pointers.iter().filter(|((product, _), _)| concerns(product));
        let channels = pointers.map(|((product, channel), pointer)| {
            let since = pointer.since.to_string();
            json!({ "product": product, "channel": channel, "version": pointer.version, "since": since })
        });
        let counted = self.counted(now);
        let releases = releases.into_iter().map(|known| self.release_line(known, &counted));
        Some(json!({
            "releases": releases.collect::<Vec<_>>(),
            "channels": channels.collect::<Vec<_>>(),
            "refused": self.refused_report(),
            "origin": {
                "error": self.origin.error.as_ref().map(ToString::to_string),
                "reason": self.origin.error.as_ref().map(|refusal| refusal.reason),
                "sequence": self.origin.sequence,
                "read_at": self.origin.read_at.map(|at| at.to_string()),
            },
        }))
    }

    fn channels_report(&self, product: Option<&ProductName>, now: Timestamp) -> Report {
        if product.is_some_and(|product| !self.is_known(product)) {
            return None;
        }
        let configured = self.prepared.config.products.iter();
        let configured = configured.flat_map(|p| p.channels.iter().map(|c| (p.name.clone(), c.clone())));
        let waiting = self.waiting(now);
        let keys: BTreeSet<ChannelKey> =
            configured.chain(self.pointers.keys().cloned()).chain(waiting.keys().cloned()).collect();
        let keys = keys.into_iter().filter(|(p, _)| product.is_none_or(|product| product == p));
        let lines = keys.map(|key| {
            let waiting = waiting.get(&key).map(Vec::as_slice).unwrap_or_default();
            self.channel_line(&key, waiting)
        });
        Some(json!({ "channels": lines.collect::<Vec<_>>() }))
    }

    fn is_published(&self, product: &ProductName, version: &Version) -> bool {
        self.releases.contains_key(&ReleaseId { product: product.clone(), version: version.clone() })
    }

    /// Whether a product is configured, has a release or a channel that points somewhere.
    fn is_known(&self, product: &ProductName) -> bool {
        self.prepared.config.products.iter().any(|configured| configured.name == *product)
            || self.releases.keys().any(|id| id.product == *product)
            || self.pointers.keys().any(|(of, _)| of == product)
    }

    fn channel_line(&self, key: &ChannelKey, waiting: &[(&ReleaseId, Readiness)]) -> Value {
        let pointer = self.pointers.get(key);
        let history = self.history.get(key).map(Vec::as_slice).unwrap_or_default();
        let waits = |(id, readiness): &(&ReleaseId, Readiness)| {
            let blocked = self.content_blocks(id);
            json!({ "version": id.version, "lacking": readiness.lacking, "blocked": blocked })
        };
        json!({
            "product": key.0,
            "channel": key.1,
            "version": pointer.map(|pointer| &pointer.version),
            "since": pointer.map(|pointer| pointer.since.to_string()),
            "promote": match self.promote_mode(&key.1) {
                Promote::Auto => "auto",
                Promote::Manual => "manual",
            },
            "held": self.held.contains(key),
            "above": pointer.and_then(|pointer| pointer.above.as_ref()),
            "gone": self.is_gone(key),
            "retired": pointer.is_some_and(|pointer| !self.is_published(&key.0, &pointer.version)),
            "history": history[history.len().saturating_sub(HISTORY_MAX)..],
            "waiting": waiting.iter().map(waits).collect::<Vec<_>>(),
        })
    }

    pub(super) fn release_report(&self, product: &ProductName, version: &str, now: Timestamp) -> Report {
        let version = Version::parse(version).ok()?;
        let id = ReleaseId { product: product.clone(), version };
        let known = self.releases.get(&id)?;
        let mut report = self.release_line(known, &self.counted(now));
        let asset = |asset: &crate::catalog::Asset| {
            json!({
                "name": asset.name,
                "size": asset.size,
                "sha256": asset.sha256.to_string(),
                "signature": known.signature(asset),
                "contradicts_manifest": known.contradiction(asset),
            })
        };
        report["files"] = known.release.assets.iter().take(ASSETS_MAX).map(asset).collect();
        let holds = |mirror: &Mirror| {
            let copies = self.copies_on(&mirror.name, &id);
            let unknown = Tally { pending: known.release.assets.len() as u64, ..Tally::default() };
            json!({
                "mirror": mirror.name,
                "region": self.region_name(mirror),
                "complete": copies.is_some_and(Copies::is_complete),
                "copies": copies.map_or(unknown, Copies::tally),
                "trouble": copies.map(|copies| self.trouble(&id, copies)),
            })
        };
        report["holders"] = self.configured().map(holds).collect();
        self.add_readiness(&mut report, known, now);
        Some(report)
    }

    fn set_gauges(&self, metrics: &Metrics) {
        self.set_inventory_gauges(metrics);
        metrics.mirror_healthy.reset();
        metrics.verification.copies.reset();
        for mirror in self.configured() {
            let Some(state) = self.mirrors.get(&mirror.name) else { continue };
            let region = mirror.region.map(|id| self.prepared.config.regions[id.index()].name.as_str());
            let healthy = i64::from(self.exclusion(&mirror.name).is_none());
            let labels = [mirror.name.as_str(), region.unwrap_or("")];
            metrics.mirror_healthy.with_label_values(&labels).set(healthy);
            let tally = state.tally();
            for (name, count) in [
                ("verified", tally.verified),
                ("pending", tally.pending),
                ("missing", tally.missing),
                ("corrupt", tally.corrupt),
            ] {
                metrics
                    .verification
                    .copies
                    .with_label_values(&[mirror.name.as_str(), name])
                    .set(count as i64);
            }
        }
        metrics.release_ready.reset();
        metrics.first_download.reset();
        for ((product, channel), pointer) in &self.pointers {
            let id = ReleaseId { product: product.clone(), version: pointer.version.clone() };
            if let Some(known) = self.releases.get(&id) {
                let seconds = pointer.since.since(known.published_at()).as_secs();
                metrics
                    .release_ready
                    .with_label_values(&[product.as_str(), channel.as_str()])
                    .set(seconds as i64);
                if let Some(first) = self.first_redirect(&id) {
                    let seconds = first.since(known.published_at()).as_secs_f64();
                    let labels = [product.as_str(), channel.as_str()];
                    metrics.first_download.with_label_values(&labels).set(seconds);
                }
            }
        }
    }

    /// What is known of one copy; pending where nothing is.
    pub fn copy_state(&self, mirror: &MirrorName, id: &ReleaseId, asset: u32) -> CopyState {
        self.copies_on(mirror, id).map_or(CopyState::Pending, |copies| copies.state(asset))
    }
}
