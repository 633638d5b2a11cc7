//! The choice for one request.

use std::net::IpAddr;
use std::ops::ControlFlow;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use crate::client::Whereabouts;
use crate::model::{CopyFault, Exclusion, MirrorId, MirrorSet, RegionId};

use super::filter::{Admission, Subject};
use super::ranking::Tier;
use super::{Mirrors, Rankings};

/// Most alternates that a pick carries.
pub const ALTERNATES_MAX: usize = 10;

/// Which mirrors can be used now. Replaced as a whole when a mirror's standing changes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Availability {
    /// Why a mirror gets no requests now; `None`: it does. Indexed by mirror.
    pub exclusions: Vec<Option<Exclusion>>,
    /// What the last failed probe of a mirror found that is not seen or down now.
    pub faults: FxHashMap<MirrorId, CopyFault>,
    /// Those without an exclusion.
    pub routable: MirrorSet,
    /// Mirrors that have only IPv6 addresses.
    pub ipv6_only: MirrorSet,
    /// Mirrors that have only IPv4 addresses.
    pub ipv4_only: MirrorSet,
    /// Other hosts that mirrors' redirects led to, with the mirrors that did.
    pub led_to: Arc<FxHashMap<Box<str>, MirrorSet>>,
}

impl Availability {
    /// From each mirror's exclusion; nothing is known of addresses and redirects.
    pub fn new(exclusions: Vec<Option<Exclusion>>) -> Self {
        let usable = (0..).map(MirrorId).zip(&exclusions).filter(|(_, exclusion)| exclusion.is_none());
        let routable = usable.map(|(id, _)| id).collect();
        Self { exclusions, routable, ..Self::default() }
    }
}

/// What a choice depends on, beside the snapshot.
#[derive(Debug, Clone, Copy)]
pub struct Ask<'a> {
    /// The client's address.
    pub address: IpAddr,
    /// What is known of it.
    pub whereabouts: Whereabouts,
    /// A number for the client's network and the release: equal numbers go to the same mirror.
    pub sticky: u64,
    /// The request came by https, so http mirrors are out.
    pub https: bool,
    /// Mirrors that the client wants to avoid; they count as a last resort.
    pub avoid: Option<&'a MirrorSet>,
    /// The mirrors that hold a verified copy.
    pub holders: &'a MirrorSet,
    /// The product is for entitled callers: only mirrors that keep others out.
    pub entitled: bool,
    /// The caller's tool sends its token along: only mirrors that put up with that.
    pub repeats: bool,
}

/// A chosen mirror and the next best.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pick {
    /// The chosen one.
    pub mirror: MirrorId,
    alternates: [MirrorId; ALTERNATES_MAX],
    count: u8,
}

impl Pick {
    fn alone(mirror: MirrorId) -> Self {
        Self { mirror, alternates: [mirror; ALTERNATES_MAX], count: 0 }
    }

    /// Adds the next best; `ALTERNATES_MAX` at most.
    fn add(&mut self, mirror: MirrorId) {
        self.alternates[usize::from(self.count)] = mirror;
        self.count += 1;
    }

    /// The next best mirrors, best first.
    pub fn alternates(&self) -> &[MirrorId] {
        &self.alternates[..usize::from(self.count)]
    }
}

/// The parts of a snapshot that a choice is made from.
#[derive(Debug, Clone, Copy)]
pub struct Router<'a> {
    /// All mirrors.
    pub mirrors: &'a Mirrors,
    /// The order per place.
    pub rankings: &'a Rankings,
    /// Which can be used now.
    pub availability: &'a Availability,
}

/// A request's view of which mirrors may serve it.
pub(super) struct Eligibility<'e, 'a> {
    router: Router<'a>,
    ask: &'e Ask<'a>,
    admission: Admission<'a>,
}

impl Eligibility<'_, '_> {
    /// Whether the mirror may serve the request, wishes aside.
    #[inline]
    pub(super) fn may(&self, id: MirrorId) -> bool {
        let available = self.router.availability;
        available.routable.has(id)
            && self.ask.holders.has(id)
            && !(self.ask.https && self.router.mirrors.plain.has(id))
            && !(self.ask.address.is_ipv4() && available.ipv6_only.has(id))
            && !self.admission.not_for(id)
            && !self.admission.never_for(id)
            && (!self.ask.entitled || self.router.mirrors.guarded.has(id))
            && !(self.ask.repeats && self.router.mirrors.refusing.has(id))
    }

    pub(super) fn avoided(&self, id: MirrorId) -> bool {
        self.ask.avoid.is_some_and(|avoid| avoid.has(id))
    }

    /// Why the mirror may not serve the request; agrees with [`Eligibility::may`].
    pub(super) fn exclusion(&self, id: MirrorId) -> Option<Exclusion> {
        let available = self.router.availability;
        if let Some(exclusion) = available.exclusions.get(id.index()).copied().flatten() {
            return Some(exclusion);
        }
        if self.ask.entitled && !self.router.mirrors.guarded.has(id) {
            return Some(Exclusion::NotPrivate);
        }
        if !self.ask.holders.has(id) {
            return Some(Exclusion::NoVerifiedCopy);
        }
        if self.ask.repeats && self.router.mirrors.refusing.has(id) {
            return Some(Exclusion::RefusesCredentials);
        }
        if self.ask.https && self.router.mirrors.plain.has(id) {
            return Some(Exclusion::Downgrade);
        }
        if self.ask.address.is_ipv4() && available.ipv6_only.has(id) {
            return Some(Exclusion::AddressFamily);
        }
        if self.admission.not_for(id) {
            return Some(Exclusion::NotForClient);
        }
        if self.admission.never_for(id) {
            return Some(Exclusion::NeverForClient);
        }
        self.avoided(id).then_some(Exclusion::Avoided)
    }
}

impl<'a> Router<'a> {
    #[inline]
    pub(super) fn eligibility<'e>(self, ask: &'e Ask<'a>) -> Eligibility<'e, 'a> {
        let (_, region) = self.rankings.at(ask.whereabouts.place);
        let whereabouts = ask.whereabouts;
        let subject =
            Subject { country: whereabouts.country, region, asn: whereabouts.asn, address: ask.address };
        Eligibility { router: self, ask, admission: self.mirrors.filter.admit(&subject) }
    }

    /// Adds the mirrors that a word of `avoid` means: a mirror's name, its host, a URL on it, or a URL on another host
    /// that it led to.
    pub fn add_avoided(&self, word: &str, avoided: &mut MirrorSet) {
        self.mirrors.add_avoided(word, avoided);
        if !self.availability.led_to.is_empty() {
            let rest = word.split_once("://").map_or(word, |(_, rest)| rest);
            let host = rest.split(['/', '?', '#', ':']).next().unwrap_or_default().to_ascii_lowercase();
            let led = self.availability.led_to.get(&*host).into_iter().flat_map(MirrorSet::iter);
            led.for_each(|id| avoided.insert(id));
        }
    }

    /// What keeps most mirrors from serving a request. It costs a look at every mirror, so it is asked only where none
    /// could.
    pub fn most_excluded_by(&self, ask: &Ask<'a>) -> Option<Exclusion> {
        let eligibility = self.eligibility(ask);
        let mut counts = [0usize; Exclusion::ALL.len()];
        for (id, _) in self.mirrors.iter() {
            if let Some(exclusion) = eligibility.exclusion(id) {
                counts[exclusion as usize] += 1;
            }
        }
        // The first of equally frequent ones, so that the answer is always the same.
        let most = Exclusion::ALL.iter().rev().max_by_key(|exclusion| counts[**exclusion as usize]);
        most.copied().filter(|exclusion| counts[*exclusion as usize] > 0)
    }

    /// The region that the client falls into.
    pub fn region(&self, whereabouts: &Whereabouts) -> Option<RegionId> {
        self.rankings.at(whereabouts.place).1
    }

    /// The best mirror for a request and up to `alternates` more. `None` where no mirror may serve it. Mirrors that the
    /// client avoids are chosen only when there is no other.
    #[inline]
    pub fn choose(&self, ask: &Ask<'a>, alternates: usize) -> Option<Pick> {
        let eligibility = self.eligibility(ask);
        if ask.avoid.is_some() {
            let wanted = |id| eligibility.may(id) && !eligibility.avoided(id);
            if let Some(pick) = self.choose_among(ask, alternates, wanted) {
                return Some(pick);
            }
        }
        self.choose_among(ask, alternates, |id| eligibility.may(id))
    }

    #[inline]
    fn choose_among(&self, ask: &Ask<'a>, alternates: usize, may: impl Fn(MirrorId) -> bool) -> Option<Pick> {
        let alternates = alternates.min(ALTERNATES_MAX);
        match self.divided_by(ask) {
            [None, None] => self.choose_in_order(ask, alternates, may),
            _ => self.choose_in_parts(ask, alternates, may),
        }
    }

    /// Where nothing divides the tiers, as for nearly every request: behind the pick, the mirrors are as they are ranked.
    #[inline]
    fn choose_in_order(
        &self,
        ask: &Ask<'a>,
        alternates: usize,
        may: impl Fn(MirrorId) -> bool,
    ) -> Option<Pick> {
        let (ranking, _) = self.rankings.at(ask.whereabouts.place);
        let mut start = 0;
        for tier in &ranking.tiers {
            let members = &ranking.order[start..usize::from(tier.end)];
            if let Some(mirror) = self.rankings.pick(self.mirrors, tier, members, ask.sticky, &may) {
                let mut pick = Pick::alone(mirror);
                let others = ranking.order[start..].iter().filter(|id| **id != mirror && may(**id));
                others.take(alternates).for_each(|id| pick.add(*id));
                return Some(pick);
            }
            start = tier.end.into();
        }
        None
    }

    fn choose_in_parts(
        &self,
        ask: &Ask<'a>,
        alternates: usize,
        may: impl Fn(MirrorId) -> bool,
    ) -> Option<Pick> {
        let mut pick: Option<Pick> = None;
        let _ = self.visit_peers(ask, |peers| {
            let eligible = |id: MirrorId| peers.has(id) && may(id);
            let pick = match &mut pick {
                Some(pick) => pick,
                None => {
                    let Peers { tier, members, .. } = *peers;
                    match self.rankings.pick(self.mirrors, tier, members, ask.sticky, eligible) {
                        Some(mirror) => pick.insert(Pick::alone(mirror)),
                        None => return ControlFlow::Continue(()),
                    }
                }
            };
            let mut members = peers.members.iter();
            while pick.alternates().len() < alternates {
                match members.find(|id| **id != pick.mirror && eligible(**id)) {
                    Some(id) => pick.add(*id),
                    None => return ControlFlow::Continue(()),
                }
            }
            ControlFlow::Break(())
        });
        pick
    }

    /// The sets that divide tiers for a request: the mirrors in the client's own network, and those that an IPv6 client
    /// does not reach by IPv6.
    #[inline]
    fn divided_by(&self, ask: &Ask<'_>) -> [Option<&'a MirrorSet>; 2] {
        let ipv4_only = &self.availability.ipv4_only;
        [
            ask.whereabouts.asn.and_then(|asn| self.mirrors.in_asn(asn)),
            (ask.address.is_ipv6() && !ipv4_only.is_empty()).then_some(ipv4_only),
        ]
    }

    /// Visits all mirrors in order of preference, at a time those that are equally good for the request: of one group
    /// first those in the client's own network, of these first those in its country (the group's first tier), of
    /// these first those that an IPv6 client reaches by IPv6.
    #[inline]
    pub(super) fn visit_peers(
        &self,
        ask: &Ask<'_>,
        mut visit: impl FnMut(&Peers<'_>) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let (ranking, _) = self.rankings.at(ask.whereabouts.place);
        let [same_asn, ipv4_only] = self.divided_by(ask);
        let networks = halves(same_asn, [true, false]);
        let families = halves(ipv4_only, [false, true]);
        let mut start = 0;
        for group in ranking.tiers.chunk_by(|a, b| a.group == b.group) {
            let mut end = start;
            for network in networks.iter().flatten() {
                end = start;
                for tier in group {
                    let members = &ranking.order[end..usize::from(tier.end)];
                    end = tier.end.into();
                    for family in families.iter().flatten() {
                        visit(&Peers { tier, members, parts: [*network, *family] })?;
                    }
                }
            }
            start = end;
        }
        ControlFlow::Continue(())
    }
}

/// A part of a tier: the members of a set, or the others. Without a set, everybody.
type Part<'a> = Option<(&'a MirrorSet, bool)>;

/// The parts that a set divides mirrors into, `order` saying which comes first: the members (`true`) or the others.
fn halves(set: Option<&MirrorSet>, order: [bool; 2]) -> [Option<Part<'_>>; 2] {
    match set {
        Some(set) => order.map(|members| Some(Some((set, members)))),
        None => [Some(None), None],
    }
}

/// Mirrors that are equally good for a request: those of a tier that are in all of the parts.
pub(super) struct Peers<'a> {
    /// The tier.
    pub(super) tier: &'a Tier,
    members: &'a [MirrorId],
    parts: [Part<'a>; 2],
}

impl Peers<'_> {
    /// Those among the tier's members, nearest first.
    pub(super) fn iter(&self) -> impl Iterator<Item = MirrorId> {
        self.members.iter().copied().filter(|id| self.has(*id))
    }

    #[inline]
    fn has(&self, id: MirrorId) -> bool {
        self.parts.iter().flatten().all(|(set, members)| set.has(id) == *members)
    }
}
