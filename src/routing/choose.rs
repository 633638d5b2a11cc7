//! The choice for one request.

use std::net::IpAddr;

use crate::client::Whereabouts;
use crate::model::{Exclusion, MirrorId, MirrorSet, RegionId};

use super::filter::{Admission, Subject};
use super::ranking::{Ranking, Tier};
use super::{Mirrors, Rankings, mix};

/// Most alternates that a pick carries.
pub const ALTERNATES_MAX: usize = 10;

/// Which mirrors can be used now. Replaced as a whole when a mirror's standing changes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Availability {
    /// Why a mirror gets no requests now; `None`: it does. Indexed by mirror.
    pub exclusions: Vec<Option<Exclusion>>,
    /// Those without an exclusion.
    pub routable: MirrorSet,
    /// Mirrors that have only IPv6 addresses.
    pub ipv6_only: MirrorSet,
    /// Mirrors that have only IPv4 addresses.
    pub ipv4_only: MirrorSet,
}

impl Availability {
    /// From each mirror's exclusion and the address families that its name resolves to.
    pub fn new(exclusions: Vec<Option<Exclusion>>, ipv6_only: MirrorSet, ipv4_only: MirrorSet) -> Self {
        let usable = (0..).map(MirrorId).zip(&exclusions).filter(|(_, exclusion)| exclusion.is_none());
        let routable = usable.map(|(id, _)| id).collect();
        Self { exclusions, routable, ipv6_only, ipv4_only }
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
pub(super) struct Eligibility<'a> {
    router: Router<'a>,
    ask: Ask<'a>,
    admission: Admission<'a>,
}

impl Eligibility<'_> {
    /// Whether the mirror may serve the request, wishes aside.
    #[inline]
    fn may(&self, id: MirrorId) -> bool {
        let available = self.router.availability;
        available.routable.has(id)
            && self.ask.holders.has(id)
            && !(self.ask.https && self.router.mirrors.plain.has(id))
            && !(self.ask.address.is_ipv4() && available.ipv6_only.has(id))
            && !self.admission.not_for(id)
            && !self.admission.never_for(id)
    }

    fn avoided(&self, id: MirrorId) -> bool {
        self.ask.avoid.is_some_and(|avoid| avoid.has(id))
    }

    /// Why the mirror may not serve the request; agrees with [`Eligibility::may`].
    pub(super) fn exclusion(&self, id: MirrorId) -> Option<Exclusion> {
        let available = self.router.availability;
        if let Some(exclusion) = available.exclusions.get(id.index()).copied().flatten() {
            return Some(exclusion);
        }
        if !self.ask.holders.has(id) {
            return Some(Exclusion::NoVerifiedCopy);
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
    pub(super) fn eligibility(self, ask: &Ask<'a>) -> Eligibility<'a> {
        let (_, region) = self.rankings.at(ask.whereabouts.place);
        let whereabouts = ask.whereabouts;
        let subject =
            Subject { country: whereabouts.country, region, asn: whereabouts.asn, address: ask.address };
        Eligibility { router: self, ask: *ask, admission: self.mirrors.filter.admit(&subject) }
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

    fn choose_among(&self, ask: &Ask<'a>, alternates: usize, may: impl Fn(MirrorId) -> bool) -> Option<Pick> {
        let (ranking, _) = self.rankings.at(ask.whereabouts.place);
        let first = ranking.order.iter().position(|id| may(*id))?;
        let tier = ranking.tiers.partition_point(|tier| usize::from(tier.end) <= first);
        let mirror = self.pick_in_group(ask, ranking, tier, &may)?;
        let mut pick = Pick { mirror, alternates: [mirror; ALTERNATES_MAX], count: 0 };
        let rest = ranking.order[first..].iter().filter(|id| **id != mirror && may(**id));
        for (slot, id) in pick.alternates.iter_mut().zip(rest.take(alternates)) {
            *slot = *id;
            pick.count += 1;
        }
        Some(pick)
    }

    /// Picks among mirrors that are equally near: those in the client's own network first, then the tier.
    #[inline]
    fn pick_in_group(
        &self,
        ask: &Ask<'a>,
        ranking: &Ranking,
        tier: usize,
        may: &impl Fn(MirrorId) -> bool,
    ) -> Option<MirrorId> {
        if let Some(same_asn) = ask.whereabouts.asn.and_then(|asn| self.mirrors.in_asn(asn)) {
            let group = group(ranking, tier);
            let at_home = group.iter().copied().filter(|id| same_asn.has(*id) && may(*id));
            let best = at_home.max_by_key(|id| mix(self.mirrors.get(*id).sticky ^ ask.sticky));
            if best.is_some() {
                return best;
            }
        }
        let spread = self.rankings.spread(&ranking.tiers[tier]);
        let ipv4_only = &self.availability.ipv4_only;
        if ask.address.is_ipv6() && !ipv4_only.is_empty() {
            let reachable = spread.pick(ask.sticky, |id| may(id) && !ipv4_only.has(id));
            if reachable.is_some() {
                return reachable;
            }
        }
        spread.pick(ask.sticky, may)
    }
}

/// The mirrors of the nearness group that a tier belongs to.
fn group(ranking: &Ranking, tier: usize) -> &[MirrorId] {
    let number = ranking.tiers[tier].group;
    let before = |t: &Tier| t.group < number;
    let start = ranking.tiers.iter().rev().find(|t| before(t)).map_or(0, |t| t.end);
    let end = ranking.tiers.iter().rev().find(|t| t.group == number).map_or(start, |t| t.end);
    &ranking.order[usize::from(start)..usize::from(end)]
}
