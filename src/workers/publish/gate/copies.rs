//! Checks of what mirrors hold.

use crate::catalog::ReleaseId;
use crate::health::CopyState;
use crate::model::{ChannelName, Timestamp};
use crate::workers::publish::propagation::Propagation;
use crate::workers::publish::releases::Known;
use crate::workers::publish::world::World;

use super::{Finding, Missing, wrong_signatures};

/// What a channel falls back to.
pub(super) enum Fallback {
    /// The channel has had nothing else that is still published and not withdrawn.
    None,
    /// This release; whole on a mirror in rotation, or not.
    Release(ReleaseId, bool),
}

impl World {
    /// The mirrors that are to hold a release and do.
    pub(super) fn coverage(&self, id: &ReleaseId, now: Timestamp) -> (usize, usize) {
        let (counted, holds) = (self.counted(now), self.holding(id));
        let required: Vec<_> = self.required_among(&counted, id).collect();
        (required.iter().filter(|one| holds(one)).count(), required.len())
    }

    /// As the channels' policies ask; without a channel, every mirror that is to hold it.
    pub(super) fn mirrors_finding(&self, known: &Known, now: Timestamp) -> Finding {
        let id = &known.release.id;
        let (holders, required) = self.coverage(id, now);
        let summary = format!("whole on {holders} of {required} mirrors that are to hold it");
        if known.release.channels.is_empty() {
            let lacking = self.lacking(id, now).into_iter().map(|mirror| mirror.to_string()).collect();
            return if required == 0 {
                Finding::fails(summary, lacking)
            } else {
                Finding::of(summary, lacking)
            };
        }
        let (mut not_ready, mut lacking) = (Vec::new(), Vec::new());
        for channel in &known.release.channels {
            let readiness = self.readiness(id, channel, now);
            if !readiness.ready {
                not_ready.push(channel.as_str());
                lacking.extend(readiness.lacking);
            }
        }
        if not_ready.is_empty() {
            return Finding::holds(format!("{summary}, which is what its channels ask for"));
        }
        lacking.sort();
        lacking.dedup();
        let lacking = lacking.into_iter().map(|mirror| mirror.to_string()).collect();
        Finding::fails(format!("{summary}; not enough for {}", not_ready.join(", ")), lacking)
    }

    /// Nobody is sent to a wrong copy, but that there is one is worth a pipeline's attention. Mirrors that are drained,
    /// or have been down for long, are left out.
    pub(super) fn verification_finding(&self, known: &Known, now: Timestamp) -> Finding {
        let id = &known.release.id;
        let mut wrong = wrong_signatures(known);
        let (mut copies_verified, mut whole) = (0, 0);
        for mirror in self.configured().filter(|mirror| self.counts(mirror, now)) {
            let Some(copies) = self.copies_on(&mirror.name, id) else { continue };
            copies_verified += copies.tally().verified;
            whole += usize::from(copies.is_complete());
            for (asset, trouble) in copies.trouble() {
                if copies.state(asset) == CopyState::Corrupt {
                    let name = &known.release.asset(asset).name;
                    wrong.add(|| format!("{}: {name}: {}", mirror.name, trouble.fault));
                }
            }
        }
        let summary = format!("{copies_verified} copies hashed and right, whole on {whole} mirrors");
        match whole {
            _ if !wrong.is_empty() => Finding::fails(summary, wrong),
            0 => Finding::unknown(format!("{summary}: no mirror has been hashed whole yet")),
            _ => self.doubtful_signatures(known).unwrap_or_else(|| Finding::holds(summary)),
        }
    }

    /// What a channel would fall back to from a release that it points to, or is to point to: the last one on its trail
    /// that is published, not withdrawn, and whole; else the last one that would be that if it were whole.
    pub(super) fn fallback(&self, from: &ReleaseId, channel: &ChannelName) -> Fallback {
        let key = (from.product.clone(), channel.clone());
        let mut earlier = self.earlier(&key, &from.version).peekable();
        let Some(last) = earlier.peek().map(|id| (*id).clone()) else { return Fallback::None };
        match earlier.find(|id| self.is_whole_somewhere(id)) {
            Some(id) => Fallback::Release(id.clone(), true),
            None => Fallback::Release(last, false),
        }
    }

    /// The channels that point to a release, or for which it is meant.
    fn channels_for(&self, known: &Known) -> Vec<ChannelName> {
        let id = &known.release.id;
        let pointing = self.pointers.iter();
        let pointing =
            pointing.filter(|((product, _), at)| *product == id.product && at.version == id.version);
        let mut channels: Vec<ChannelName> = pointing.map(|((_, channel), _)| channel.clone()).collect();
        channels.extend(known.release.channels.iter().cloned());
        channels.sort();
        channels.dedup();
        channels
    }

    pub(super) fn rollback_finding(&self, known: &Known) -> Finding {
        let (mut ready, mut not_ready) = (Vec::new(), Missing::default());
        for channel in self.channels_for(known) {
            match self.fallback(&known.release.id, &channel) {
                Fallback::None => {}
                Fallback::Release(id, true) => ready.push(format!("{channel} to {}", id.version)),
                Fallback::Release(id, false) => {
                    not_ready.add(|| format!("{channel}: {} is whole on no mirror in rotation", id.version));
                }
            }
        }
        match (ready.is_empty(), not_ready.is_empty()) {
            (true, true) => Finding::unknown("there is nothing to fall back to yet"),
            (_, true) => Finding::holds(format!("can fall back: {}", ready.join(", "))),
            (_, false) => Finding::fails("a release to fall back to is not there any more", not_ready),
        }
    }

    /// What lies in mirrors' folders, held against the manifest.
    pub(super) fn inventory_finding(&self, known: &Known) -> Finding {
        match self.drift_of(&known.release.id) {
            None => Finding::unknown("no mirror lists the release's folder, or none was asked yet"),
            Some(lines) if lines.is_empty() => {
                Finding::holds("folders that could be listed hold what they should".to_owned())
            }
            Some(lines) => Finding::fails("folders differ from the manifest", lines.into_iter().collect()),
        }
    }
}

impl Propagation {
    pub(super) fn finding(&self) -> Finding {
        let words = |lag: Option<std::time::Duration>| {
            lag.map_or_else(|| "-".to_owned(), |lag| format!("{:.1} s", lag.as_secs_f64()))
        };
        let summary = format!(
            "whole on {} of {} mirrors: fastest {}, median {}, slowest {}",
            self.lags.len(),
            self.required,
            words(self.fastest()),
            words(self.median()),
            words(self.slowest())
        );
        match self.at_share(100) {
            Some(_) => Finding::holds(summary),
            None => Finding::unknown(summary),
        }
    }
}
