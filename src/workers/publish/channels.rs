//! Channels: they move up by themselves when a release is everywhere it should be.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::catalog::ReleaseId;
use crate::config::{Mirror, Ready};
use crate::health::State;
use crate::model::{ChannelName, MirrorName, ProductName, RegionId, Timestamp, Version};
use crate::store::Action;

use super::mirrors::MirrorState;
use super::world::World;

/// A mirror that has been down for this long does not hold a release up.
const DOWN_TOO_LONG: Duration = Duration::from_secs(3600);

/// Whether a release is ready for a channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Readiness {
    /// It is.
    pub ready: bool,
    /// Mirrors that count and do not hold all of it.
    pub lacking: Vec<MirrorName>,
}

/// A mirror that readiness depends on, and what is known of it.
type Counted<'w> = (&'w Mirror, Option<&'w MirrorState>);

impl World {
    /// The channels of a product: those configured, in their order, then those that manifests name or that point
    /// somewhere.
    pub(super) fn channels_of(&self, product: &ProductName) -> Vec<ChannelName> {
        let configured = self.prepared.config.products.iter().filter(|p| p.name == *product);
        let mut channels: Vec<ChannelName> = configured.flat_map(|p| p.channels.iter().cloned()).collect();
        let labels = self.releases.iter().filter(|(id, _)| id.product == *product);
        let labels = labels.flat_map(|(_, known)| known.release.channels.iter().cloned());
        let pointing = self.pointers.keys().filter(|(p, _)| p == product).map(|(_, channel)| channel.clone());
        let mut others: Vec<ChannelName> = labels.chain(pointing).collect();
        others.sort();
        others.dedup();
        others.retain(|channel| !channels.contains(channel));
        channels.extend(others);
        channels
    }

    /// The moves that are due, and nothing else changes: each has to be durable before it is carried out. Notes as well
    /// which releases channels wait for.
    pub fn due_moves(&mut self, now: Timestamp) -> Vec<Action> {
        let mut moves = Vec::new();
        self.awaited.clear();
        let mut labelled: BTreeMap<(ProductName, ChannelName), Vec<&ReleaseId>> = BTreeMap::new();
        for (id, known) in &self.releases {
            for channel in &known.release.channels {
                labelled.entry((id.product.clone(), channel.clone())).or_default().push(id);
            }
        }
        let counted = self.counted(now);
        let mut awaited = Vec::new();
        for ((product, channel), mut candidates) in labelled {
            let from = self.pointers.get(&(product.clone(), channel.clone())).map(|p| p.version.clone());
            candidates.retain(|id| from.as_ref().is_none_or(|from| self.is_newer(id, &product, from)));
            candidates.sort_by(|a, b| self.order(b, a));
            for id in candidates {
                if self.is_ready(id, &channel, &counted) {
                    let to = id.version.clone();
                    moves.push(Action::ChannelMove { product, channel, from, to, above: None });
                    break;
                }
                awaited.push(id.clone());
            }
        }
        self.awaited.extend(awaited);
        moves
    }

    fn order(&self, a: &ReleaseId, b: &ReleaseId) -> std::cmp::Ordering {
        let published = |id: &ReleaseId| self.releases.get(id).map(|known| known.published_at());
        a.version.precedence(&b.version).then_with(|| published(a).cmp(&published(b)))
    }

    fn is_newer(&self, id: &ReleaseId, product: &ProductName, than: &Version) -> bool {
        let current = ReleaseId { product: product.clone(), version: than.clone() };
        id.version != *than && self.order(id, &current).is_gt()
    }

    /// Whether a release is ready for a channel, by the channel's policy. Mirrors that are drained, or have been down
    /// for an hour, are left out.
    pub fn readiness(&self, id: &ReleaseId, channel: &ChannelName, now: Timestamp) -> Readiness {
        let counted = self.counted(now);
        let lacking = counted.iter().filter(|(_, state)| !state.is_some_and(|state| state.holds_whole(id)));
        let lacking = lacking.map(|(mirror, _)| mirror.name.clone()).collect();
        Readiness { ready: self.is_ready(id, channel, &counted), lacking }
    }

    fn counted(&self, now: Timestamp) -> Vec<Counted<'_>> {
        let counted = self.configured().filter(|mirror| self.counts(mirror, now));
        counted.map(|mirror| (mirror, self.mirrors.get(&mirror.name))).collect()
    }

    fn is_ready(&self, id: &ReleaseId, channel: &ChannelName, counted: &[Counted<'_>]) -> bool {
        let holds = |(_, state): &Counted<'_>| state.is_some_and(|state| state.holds_whole(id));
        // Even a share of nothing is no release that anybody could download. Nearly all releases that a cold start
        // asks about end here.
        if !counted.iter().any(holds) {
            return false;
        }
        let weighted: Vec<_> = counted.iter().filter(|(mirror, _)| mirror.weight > 0).collect();
        let by_count = if weighted.is_empty() { counted.iter().collect() } else { weighted };
        let holders = || by_count.iter().filter(|mirror| holds(mirror)).count();
        match self.policy(channel) {
            Ready::All => holders() == by_count.len(),
            Ready::Share(percent) => holders() as f64 >= by_count.len() as f64 * percent / 100.0,
            Ready::EachRegion(wanted) => {
                let mut regions: BTreeMap<Option<RegionId>, (usize, usize)> = BTreeMap::new();
                for mirror in counted {
                    let (mirrors, holders) = regions.entry(mirror.0.region).or_default();
                    *mirrors += 1;
                    *holders += usize::from(holds(mirror));
                }
                regions.values().all(|(mirrors, holders)| *holders >= wanted.min(*mirrors))
            }
        }
    }

    /// Mirrors that count and do not hold all of a release, whatever the policies; those that are only a last resort
    /// left out where there are others.
    pub fn lacking(&self, id: &ReleaseId, now: Timestamp) -> Vec<MirrorName> {
        let only_last_resorts = self.configured().all(|mirror| mirror.weight == 0);
        let expected =
            |mirror: &&Mirror| (only_last_resorts || mirror.weight > 0) && self.counts(mirror, now);
        let lacking = self
            .configured()
            .filter(expected)
            .filter(|mirror| !self.mirrors.get(&mirror.name).is_some_and(|state| state.holds_whole(id)));
        lacking.map(|mirror| mirror.name.clone()).collect()
    }

    fn counts(&self, mirror: &Mirror, now: Timestamp) -> bool {
        let long_down = |standing: &crate::health::Standing| {
            // Either way round: the clock may have gone back since.
            let apart = now.since(standing.since).max(standing.since.since(now));
            standing.state == State::Down && apart >= DOWN_TOO_LONG
        };
        let state = self.mirrors.get(&mirror.name);
        !self.drained.contains(&mirror.name) && !state.is_some_and(|state| long_down(&state.standing))
    }
}
