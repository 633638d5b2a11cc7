//! The same choice, in words: every mirror in order, and what became of it.

use std::ops::ControlFlow;

use serde::Serialize;

use crate::client::Place;
use crate::model::{Exclusion, MirrorId};

use super::choose::Ask;
use super::{Nearness, Router};

/// What became of a mirror.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The redirect leads here.
    Chosen,
    /// It could serve the request; lower places come later.
    Eligible,
    /// It could not.
    Excluded(Exclusion),
}

/// One mirror in an explanation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Candidate {
    /// Which mirror.
    pub mirror: MirrorId,
    /// How near it is.
    pub nearness: Nearness,
    /// The nearness group that it falls into, counted from 0.
    pub group: usize,
    /// Whether it is in the client's autonomous system.
    pub same_asn: bool,
    /// What became of it.
    pub verdict: Verdict,
}

impl Router<'_> {
    /// All mirrors as this request sees them: the chosen one first, then those that could serve it in their order,
    /// then the excluded ones. `place` is where the client's whereabouts point.
    pub fn explain(&self, ask: &Ask<'_>, place: &Place) -> Vec<Candidate> {
        let nearness = Nearness::of_all(self.mirrors, place);
        let eligibility = self.eligibility(ask);
        let chosen = self.choose(ask, 0).map(|pick| pick.mirror);
        let same_asn = ask.whereabouts.asn.and_then(|asn| self.mirrors.in_asn(asn));
        let mut candidates: Vec<Candidate> = Vec::with_capacity(self.mirrors.len());
        let _ = self.visit_peers(ask, |peers| {
            candidates.extend(peers.iter().map(|id| Candidate {
                mirror: id,
                nearness: nearness[id.index()],
                group: peers.tier.group.into(),
                same_asn: same_asn.is_some_and(|set| set.has(id)),
                verdict: match eligibility.exclusion(id) {
                    _ if chosen == Some(id) => Verdict::Chosen,
                    Some(reason) => Verdict::Excluded(reason),
                    None => Verdict::Eligible,
                },
            }));
            ControlFlow::Continue(())
        });
        candidates.sort_by_key(|candidate| match candidate.verdict {
            Verdict::Chosen => 0,
            Verdict::Eligible => 1,
            Verdict::Excluded(_) => 2,
        });
        candidates
    }

    /// The mirrors that may serve a request, best first, `most` at most. Those that the client avoids only where there is
    /// no other.
    pub fn ranked(&self, ask: &Ask<'_>, most: usize) -> Vec<MirrorId> {
        let Some(pick) = self.choose(ask, 0) else { return Vec::new() };
        let eligibility = self.eligibility(ask);
        let avoiding = !eligibility.avoided(pick.mirror);
        let wanted = |id: &MirrorId| {
            *id != pick.mirror && eligibility.may(*id) && !(avoiding && eligibility.avoided(*id))
        };
        let mut ranked = vec![pick.mirror];
        let _ = self.visit_peers(ask, |peers| {
            let room = most.saturating_sub(ranked.len());
            ranked.extend(peers.iter().filter(wanted).take(room));
            if ranked.len() >= most { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        ranked
    }
}
