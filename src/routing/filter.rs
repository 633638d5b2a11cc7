//! `only` and `never`: which clients may be sent to which mirror, at a cost that does not grow with the rules.

use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use prefix_trie::PrefixMap;
use rustc_hash::FxHashMap;

use crate::config::{self, ClientSet};
use crate::model::{Asn, Country, MirrorId, MirrorSet, RegionId};

/// The mirrors whose `only` or `never` names a client by one of its properties.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Named {
    only: MirrorSet,
    never: MirrorSet,
}

/// The rules of all mirrors, turned around: from a client's property to the mirrors that name it.
#[derive(Debug, Default)]
pub struct Filter {
    /// Mirrors that have an `only`.
    restricted: MirrorSet,
    by_country: FxHashMap<Country, Named>,
    by_region: FxHashMap<RegionId, Named>,
    by_asn: FxHashMap<Asn, Named>,
    by_v4: PrefixMap<Ipv4Net, Named>,
    by_v6: PrefixMap<Ipv6Net, Named>,
    any: bool,
}

/// What the filter says of one client. Borrowed from the filter, so that asking costs a few look-ups.
#[derive(Debug, Clone, Copy, Default)]
pub struct Admission<'a> {
    restricted: Option<&'a MirrorSet>,
    named: [Option<&'a Named>; 4],
}

/// The properties of a client that rules speak of.
#[derive(Debug, Clone, Copy)]
pub struct Subject {
    /// Its country.
    pub country: Option<Country>,
    /// Its region.
    pub region: Option<RegionId>,
    /// Its autonomous system.
    pub asn: Option<Asn>,
    /// Its address.
    pub address: IpAddr,
}

impl Filter {
    /// Turns the rules around.
    pub fn new(mirrors: &[config::Mirror]) -> Self {
        let mut filter = Self::default();
        let mut networks: FxHashMap<IpNet, Named> = FxHashMap::default();
        for (id, mirror) in (0..).map(MirrorId).zip(mirrors) {
            if !mirror.only.is_empty() {
                filter.restricted.insert(id);
            }
            filter.any |= !mirror.only.is_empty() || !mirror.never.is_empty();
            filter.add(&mirror.only, &mut networks, |named| named.only.insert(id));
            filter.add(&mirror.never, &mut networks, |named| named.never.insert(id));
        }
        // The longest prefix has to know what the shorter ones around it say.
        for (network, own) in &networks {
            let mut named = own.clone();
            for (outer, theirs) in networks.iter().filter(|(outer, _)| outer.contains(network)) {
                debug_assert!(outer.prefix_len() <= network.prefix_len());
                theirs.only.iter().for_each(|id| named.only.insert(id));
                theirs.never.iter().for_each(|id| named.never.insert(id));
            }
            match network {
                IpNet::V4(network) => drop(filter.by_v4.insert(network.trunc(), named)),
                IpNet::V6(network) => drop(filter.by_v6.insert(network.trunc(), named)),
            }
        }
        filter
    }

    fn add(
        &mut self,
        set: &ClientSet,
        networks: &mut FxHashMap<IpNet, Named>,
        mut name: impl FnMut(&mut Named),
    ) {
        set.countries.iter().for_each(|country| name(self.by_country.entry(*country).or_default()));
        set.regions.iter().for_each(|region| name(self.by_region.entry(*region).or_default()));
        set.asns.iter().for_each(|asn| name(self.by_asn.entry(*asn).or_default()));
        set.networks.iter().for_each(|network| name(networks.entry(network.trunc()).or_default()));
    }

    /// What the rules say of a client.
    #[inline]
    pub fn admit(&self, subject: &Subject) -> Admission<'_> {
        if !self.any { Admission::default() } else { self.look_up(subject) }
    }

    fn look_up(&self, subject: &Subject) -> Admission<'_> {
        let by_address = match subject.address {
            IpAddr::V4(v4) => self.by_v4.get_lpm(&Ipv4Net::from(v4)).map(|(_, named)| named),
            IpAddr::V6(v6) => self.by_v6.get_lpm(&Ipv6Net::from(v6)).map(|(_, named)| named),
        };
        Admission {
            restricted: Some(&self.restricted),
            named: [
                subject.country.and_then(|country| self.by_country.get(&country)),
                subject.region.and_then(|region| self.by_region.get(&region)),
                subject.asn.and_then(|asn| self.by_asn.get(&asn)),
                by_address,
            ],
        }
    }
}

impl Admission<'_> {
    /// Whether the mirror's `only` leaves this client out.
    #[inline]
    pub fn not_for(&self, mirror: MirrorId) -> bool {
        match self.restricted {
            Some(restricted) if restricted.has(mirror) => !self.named().any(|named| named.only.has(mirror)),
            _ => false,
        }
    }

    /// Whether the mirror's `never` names this client.
    #[inline]
    pub fn never_for(&self, mirror: MirrorId) -> bool {
        self.restricted.is_some() && self.named().any(|named| named.never.has(mirror))
    }

    fn named(&self) -> impl Iterator<Item = &Named> {
        self.named.iter().flatten().copied()
    }
}
