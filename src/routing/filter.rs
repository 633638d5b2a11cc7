//! `only` and `never`: which clients may be sent to which mirror, at a cost that does not grow with the rules.

use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use prefix_trie::PrefixMap;
use rustc_hash::FxHashMap;

use crate::client::canonical_network;
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
        filter.nest(networks);
        filter
    }

    /// Takes the networks in: only the longest prefix is asked, so it has to know what the shorter ones around it say.
    fn nest(&mut self, networks: FxHashMap<IpNet, Named>) {
        let mut networks: Vec<(IpNet, Named)> = networks.into_iter().collect();
        // A network comes after those that hold it, and these after one another.
        networks.sort_unstable_by_key(|(network, _)| (network.network(), network.prefix_len()));
        let mut around: Vec<(IpNet, Named)> = Vec::new();
        for (network, mut named) in networks {
            while around.pop_if(|(outer, _)| !outer.contains(&network)).is_some() {}
            if let Some((_, outer)) = around.last() {
                outer.only.iter().for_each(|id| named.only.insert(id));
                outer.never.iter().for_each(|id| named.never.insert(id));
            }
            match network {
                IpNet::V4(v4) => drop(self.by_v4.insert(v4, named.clone())),
                IpNet::V6(v6) => drop(self.by_v6.insert(v6, named.clone())),
            }
            around.push((network, named));
        }
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
        set.networks
            .iter()
            .for_each(|network| name(networks.entry(canonical_network(*network)).or_default()));
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

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::config::Layout;
    use crate::model::{MirrorName, TierName};

    const COUNTRIES: [&str; 3] = ["DE", "FR", "US"];

    fn mirror(only: ClientSet, never: ClientSet) -> config::Mirror {
        config::Mirror {
            name: MirrorName::new("m").unwrap(),
            url: "https://m.example/".parse().unwrap(),
            region: None,
            location: None,
            country: None,
            asn: None,
            weight: 100,
            only,
            never,
            anycast: false,
            layout: Layout::default(),
            tier: TierName::new("all").unwrap(),
            notify: None,
            sign: None,
            private: false,
        }
    }

    /// Networks of a few neighbouring addresses, so that they hold one another, often many deep; as the configuration has
    /// them, with host bits, and IPv4 also as IPv6.
    fn network() -> impl Strategy<Value = IpNet> {
        let v4 = (any::<u8>(), 0u8..=32, any::<bool>()).prop_map(|(low, length, mapped)| {
            let address = std::net::Ipv4Addr::from([10, 0, 0, low]);
            match mapped {
                false => IpNet::new(address.into(), length),
                true => IpNet::new(address.to_ipv6_mapped().into(), 96 + length),
            }
        });
        let v6 = (any::<u8>(), 20u8..=128).prop_map(|(low, length)| {
            IpNet::new(std::net::Ipv6Addr::from(0x2001_0db8_u128 << 96 | u128::from(low)).into(), length)
        });
        prop_oneof![v4, v6].prop_map(|network| network.unwrap())
    }

    fn country() -> impl Strategy<Value = Country> {
        proptest::sample::select(&COUNTRIES[..]).prop_map(|code| code.parse().unwrap())
    }

    fn clients() -> impl Strategy<Value = ClientSet> {
        let some = (vec(country(), 0..2), vec(0u16..3, 0..2), vec(1u32..4, 0..2), vec(network(), 0..40));
        let some = some.prop_map(|(countries, regions, asns, networks)| ClientSet {
            countries,
            regions: regions.into_iter().map(RegionId).collect(),
            asns: asns.into_iter().map(Asn).collect(),
            networks,
        });
        prop_oneof![1 => Just(ClientSet::default()), 3 => some]
    }

    fn subject() -> impl Strategy<Value = Subject> {
        let address = (any::<u8>(), any::<bool>()).prop_map(|(low, v6)| match v6 {
            false => IpAddr::from([10, 0, 0, low]),
            true => IpAddr::V6((0x2001_0db8_u128 << 96 | u128::from(low)).into()),
        });
        use proptest::option::of;
        (of(country()), of(0u16..3), of(1u32..4), address).prop_map(|(country, region, asn, address)| {
            Subject { country, region: region.map(RegionId), asn: asn.map(Asn), address }
        })
    }

    /// What a mirror's entries say of a client, one after the other.
    fn names(set: &ClientSet, client: &Subject) -> bool {
        client.country.is_some_and(|country| set.countries.contains(&country))
            || client.region.is_some_and(|region| set.regions.contains(&region))
            || client.asn.is_some_and(|asn| set.asns.contains(&asn))
            || set.networks.iter().any(|network| canonical_network(*network).contains(&client.address))
    }

    proptest! {
        #[test]
        fn the_filter_says_what_each_mirrors_entries_say_one_after_the_other(
            mirrors in vec((clients(), clients()).prop_map(|(only, never)| mirror(only, never)), 1..12),
            subjects in vec(subject(), 20),
        ) {
            let filter = Filter::new(&mirrors);
            for subject in subjects {
                let admission = filter.admit(&subject);
                for (id, mirror) in (0..).map(MirrorId).zip(&mirrors) {
                    let not_for = !mirror.only.is_empty() && !names(&mirror.only, &subject);
                    prop_assert_eq!(admission.not_for(id), not_for, "{:?} {:?}", id, subject);
                    prop_assert_eq!(admission.never_for(id), names(&mirror.never, &subject), "{:?} {:?}", id, subject);
                }
            }
        }
    }
}
