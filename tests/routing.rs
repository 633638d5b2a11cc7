//! The choice of a mirror against a naive oracle: the contract's words, spelled out without indexes or tables.
#![allow(clippy::unwrap_used, missing_docs)]

use std::net::IpAddr;

use ipnet::IpNet;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use waypost::client::{Locator, Place, Whereabouts};
use waypost::config::{
    ClientNetwork, ClientSet, GeoIp, Layout, Mirror, NetworkPlace, NetworkSource, Region, Routing,
};
use waypost::model::{
    Asn, Country, Exclusion, Location, MirrorId, MirrorName, MirrorSet, RegionId, RegionName,
};
use waypost::routing::{Ask, Availability, Mirrors, Rankings, Router, Verdict};

const COUNTRIES: [&str; 4] = ["DE", "FR", "US", "JP"];
const NETWORKS: [&str; 7] = [
    "10.0.0.0/8",
    "10.1.0.0/16",
    "10.1.2.0/24",
    "192.0.2.0/24",
    "2001:db8::/32",
    "2001:db8:1::/48",
    "2001:db8:1:2::/64",
];
const CLIENTS: [&str; 8] = [
    "10.1.2.3",
    "10.1.9.9",
    "10.200.0.1",
    "192.0.2.1",
    "198.51.100.1",
    "2001:db8:1:2::1",
    "2001:db8:1::1",
    "2001:db8:2::1",
];
const CITIES: [(f64, f64); 6] =
    [(50.11, 8.68), (48.86, 2.35), (40.71, -74.0), (35.68, 139.7), (-33.9, 151.2), (0.0, 179.9)];

/// A generated configuration.
#[derive(Debug, Clone)]
struct World {
    mirrors: Vec<Mirror>,
    regions: Vec<Region>,
    rules: Vec<ClientNetwork>,
    routing: Routing,
}

/// What one request meets.
#[derive(Debug, Clone)]
struct Now {
    out: Vec<Option<Exclusion>>,
    ipv6_only: MirrorSet,
    ipv4_only: MirrorSet,
    holders: MirrorSet,
    avoid: Option<MirrorSet>,
    https: bool,
    client: IpAddr,
}

fn location() -> impl Strategy<Value = Location> {
    let near =
        (select(&CITIES[..]), -2.0..2.0, -2.0..2.0).prop_map(|((lat, lon), dlat, dlon): (_, f64, f64)| {
            let wrapped = (lon + dlon + 180.0f64).rem_euclid(360.0) - 180.0;
            Location::new(lat + dlat, wrapped).unwrap()
        });
    let city = select(&CITIES[..]).prop_map(|(lat, lon)| Location::new(lat, lon).unwrap());
    let anywhere = (-90.0..=90.0, -180.0..=180.0).prop_map(|(lat, lon)| Location::new(lat, lon).unwrap());
    prop_oneof![4 => near, 2 => city, 2 => anywhere]
}

fn country() -> impl Strategy<Value = Country> {
    select(&COUNTRIES[..]).prop_map(|text| text.parse().unwrap())
}

fn asn() -> impl Strategy<Value = Asn> {
    (1u32..4).prop_map(Asn)
}

fn region(regions: usize) -> impl Strategy<Value = Option<RegionId>> {
    proptest::option::of(0..regions.max(1) as u16)
        .prop_map(move |id| id.filter(|_| regions > 0).map(RegionId))
}

fn clients(regions: usize) -> impl Strategy<Value = ClientSet> {
    let some = (
        vec(country(), 0..2),
        vec(region(regions), 0..2),
        vec(asn(), 0..2),
        subsequence(NETWORKS.to_vec(), 0..3),
    )
        .prop_map(|(countries, regions, asns, networks)| ClientSet {
            countries,
            regions: regions.into_iter().flatten().collect(),
            asns,
            networks: networks.iter().map(|n| n.parse().unwrap()).collect(),
        });
    prop_oneof![3 => Just(ClientSet::default()), 1 => some]
}

fn mirror(regions: usize) -> impl Strategy<Value = Mirror> {
    let weight = prop_oneof![6 => Just(100u32), 3 => 1u32..300, 2 => Just(0)];
    let who = (clients(regions), clients(regions));
    let place = (region(regions), proptest::option::weighted(0.85, location()));
    let net = (proptest::option::of(country()), proptest::option::of(asn()), proptest::bool::weighted(0.15));
    (weight, who, place, net, proptest::bool::weighted(0.15)).prop_map(
        |(weight, (only, never), (region, location), (country, asn, anycast), plain)| Mirror {
            name: MirrorName::new("unnamed").unwrap(),
            url: if plain { "http://m.example/" } else { "https://m.example/" }.parse().unwrap(),
            region,
            location,
            country,
            asn,
            weight,
            only,
            never,
            anycast,
            layout: Layout::default(),
            tier: waypost::model::TierName::new("all").unwrap(),
            notify: None,
            sign: None,
            private: false,
        },
    )
}

fn rules(regions: usize) -> impl Strategy<Value = Vec<ClientNetwork>> {
    let place = (
        region(regions),
        proptest::option::weighted(0.7, location()),
        proptest::option::of(country()),
        proptest::option::of(asn()),
    );
    (subsequence(NETWORKS.to_vec(), 0..=NETWORKS.len()), vec(place, NETWORKS.len())).prop_map(
        |(networks, places)| {
            let rule = |(network, (region, location, country, asn)): (&str, _)| ClientNetwork {
                source: NetworkSource::Cidr(network.parse::<IpNet>().unwrap()),
                place: NetworkPlace { region, location, country, asn },
            };
            networks.into_iter().zip(places).map(rule).collect()
        },
    )
}

fn world() -> impl Strategy<Value = World> {
    let regions = vec((proptest::option::of(location()), any::<bool>()), 0..4);
    let routing = (select(&[0.0, 15.0, 100.0][..]), select(&[0.0, 150.0, 1000.0][..]));
    (regions, routing).prop_flat_map(|(regions, (percent, km))| {
        let count = regions.len();
        (vec(mirror(count), 1..=40), rules(count)).prop_map(move |(mut mirrors, rules)| {
            for (i, mirror) in mirrors.iter_mut().enumerate() {
                mirror.name = MirrorName::new(&format!("m{i}")).unwrap();
            }
            let regions = regions.iter().enumerate().map(|(i, (location, has_country))| Region {
                name: RegionName::new(&format!("r{i}")).unwrap(),
                location: *location,
                countries: has_country.then(|| COUNTRIES[i].parse().unwrap()).into_iter().collect(),
            });
            let routing = Routing { same_nearness_percent: percent, same_nearness_km: km };
            World { mirrors, regions: regions.collect(), rules, routing }
        })
    })
}

fn set(chance: f64, count: usize) -> impl Strategy<Value = MirrorSet> {
    vec(proptest::bool::weighted(chance), count).prop_map(|members| {
        members.iter().enumerate().filter(|(_, m)| **m).map(|(i, _)| MirrorId(i as u16)).collect()
    })
}

fn now(count: usize) -> impl Strategy<Value = Now> {
    let reasons = [Exclusion::NotProbed, Exclusion::Down, Exclusion::Returning, Exclusion::Drained];
    let out = vec(proptest::option::weighted(0.2, select(reasons.to_vec())), count);
    let families = (set(0.2, count), set(0.3, count));
    let avoid = proptest::option::of(prop_oneof![3 => set(0.3, count), 1 => set(1.0, count)]);
    (out, families, set(0.7, count), avoid, any::<bool>(), select(&CLIENTS[..])).prop_map(
        |(out, (ipv6_only, mut ipv4_only), holders, avoid, https, client)| {
            ipv6_only.iter().for_each(|id| ipv4_only.remove(id));
            Now { out, ipv6_only, ipv4_only, holders, avoid, https, client: client.parse().unwrap() }
        },
    )
}

fn scene() -> impl Strategy<Value = (World, Now)> {
    world().prop_flat_map(|world| {
        let count = world.mirrors.len();
        (Just(world), now(count))
    })
}

/// The clever code over a world.
struct Built {
    mirrors: Mirrors,
    locator: Locator,
    rankings: Rankings,
    availability: Availability,
}

impl Built {
    fn new(world: &World, now: &Now) -> Self {
        let mirrors = Mirrors::new(&world.mirrors, Vec::new());
        let locator = Locator::build(&GeoIp::default(), &world.rules, &world.regions).unwrap();
        let rankings = Rankings::new(&mirrors, locator.places(), &world.regions, &world.routing);
        let availability = Availability {
            ipv6_only: now.ipv6_only.clone(),
            ipv4_only: now.ipv4_only.clone(),
            ..Availability::new(now.out.clone())
        };
        Self { mirrors, locator, rankings, availability }
    }

    fn router(&self) -> Router<'_> {
        Router { mirrors: &self.mirrors, rankings: &self.rankings, availability: &self.availability }
    }

    fn ask<'a>(&self, now: &'a Now, sticky: u64) -> Ask<'a> {
        Ask {
            entitled: false,
            repeats: false,
            address: now.client,
            whereabouts: self.locator.locate(now.client),
            sticky,
            https: now.https,
            avoid: now.avoid.as_ref(),
            holders: &now.holders,
        }
    }

    fn place(&self, now: &Now) -> (Place, Whereabouts) {
        let whereabouts = self.locator.locate(now.client);
        (self.locator.places()[whereabouts.place.index()], whereabouts)
    }
}

/// The naive oracle.
struct Oracle<'a> {
    world: &'a World,
    now: &'a Now,
    place: Place,
    whereabouts: Whereabouts,
}

impl<'a> Oracle<'a> {
    fn new(world: &'a World, now: &'a Now, built: &Built) -> Self {
        let (place, whereabouts) = built.place(now);
        let oracle = Self { world, now, place, whereabouts };
        oracle.check_place();
        oracle
    }

    /// The longest network that holds the client says where it is.
    fn check_place(&self) {
        let network = |rule: &ClientNetwork| match &rule.source {
            NetworkSource::Cidr(network) => *network,
            NetworkSource::File { .. } => unreachable!(),
        };
        let rules = self.world.rules.iter().filter(|rule| network(rule).contains(&self.now.client));
        let said = rules.max_by_key(|rule| network(rule).prefix_len()).map(|r| r.place).unwrap_or_default();
        assert_eq!(self.place.region, said.region);
        assert_eq!((self.whereabouts.country, self.whereabouts.asn), (said.country, said.asn));
        if said.location.is_some() {
            assert_eq!(self.place.location, said.location);
        }
    }

    fn region(&self) -> Option<RegionId> {
        let regions = || (0..).map(RegionId).zip(&self.world.regions);
        let lists = |region: &Region| self.whereabouts.country.is_some_and(|c| region.countries.contains(&c));
        let by_country = regions().find(|(_, region)| lists(region));
        let distance = |region: &Region| Some(km(self.place.location?, region.location?));
        let nearest = regions().filter_map(|(id, region)| Some((id, distance(region)?)));
        let nearest = nearest.min_by(|a, b| a.1.total_cmp(&b.1));
        self.place.region.or(by_country.map(|(id, _)| id)).or(nearest.map(|(id, _)| id))
    }

    fn named_by(&self, set: &ClientSet) -> bool {
        self.whereabouts.country.is_some_and(|c| set.countries.contains(&c))
            || self.region().is_some_and(|r| set.regions.contains(&r))
            || self.whereabouts.asn.is_some_and(|asn| set.asns.contains(&asn))
            || set.networks.iter().any(|network| network.contains(&self.now.client))
    }

    /// Every reason against a mirror.
    fn reasons(&self, id: MirrorId) -> Vec<Exclusion> {
        let mirror = &self.world.mirrors[id.index()];
        let mut reasons: Vec<Exclusion> = self.now.out[id.index()].into_iter().collect();
        let mut add = |holds: bool, reason| reasons.extend(holds.then_some(reason));
        add(!self.now.holders.has(id), Exclusion::NoVerifiedCopy);
        add(self.now.https && mirror.url.scheme() == "http", Exclusion::Downgrade);
        add(self.now.client.is_ipv4() && self.now.ipv6_only.has(id), Exclusion::AddressFamily);
        add(!mirror.only.is_empty() && !self.named_by(&mirror.only), Exclusion::NotForClient);
        add(self.named_by(&mirror.never), Exclusion::NeverForClient);
        reasons
    }

    fn avoided(&self, id: MirrorId) -> bool {
        self.now.avoid.as_ref().is_some_and(|avoid| avoid.has(id))
    }

    /// The mirrors that may be chosen: avoided ones only when nothing else is left.
    fn eligible(&self) -> Vec<MirrorId> {
        let all = (0..self.world.mirrors.len() as u16).map(MirrorId);
        let eligible: Vec<_> = all.filter(|id| self.reasons(*id).is_empty()).collect();
        let wanted: Vec<_> = eligible.iter().copied().filter(|id| !self.avoided(*id)).collect();
        if wanted.is_empty() { eligible } else { wanted }
    }

    /// Last resorts come last; before that, the region that a network rule names comes first.
    fn class(&self, mirror: &Mirror) -> (bool, bool) {
        (mirror.weight == 0, self.place.region.is_some() && mirror.region != self.place.region)
    }

    fn km_to(&self, mirror: &Mirror) -> f64 {
        let to = |mirror: &Mirror| match (self.place.location, mirror.location) {
            (Some(from), Some(to)) => km(from, to),
            _ => f64::INFINITY,
        };
        if !mirror.anycast {
            return to(mirror);
        }
        let rivals = self.world.mirrors.iter().filter(|m| !m.anycast && self.class(m) == self.class(mirror));
        let nearest = rivals.map(to).fold(f64::INFINITY, f64::min);
        if nearest.is_infinite() && self.place.location.is_some() { 0.0 } else { nearest }
    }

    /// Groups of the same nearness over all configured mirrors, in order.
    fn groups(&self) -> Vec<Vec<MirrorId>> {
        let mut left: Vec<MirrorId> = (0..self.world.mirrors.len() as u16).map(MirrorId).collect();
        let mirror = |id: MirrorId| &self.world.mirrors[id.index()];
        let mut groups = vec![];
        while !left.is_empty() {
            let class = left.iter().map(|id| self.class(mirror(*id))).min().unwrap();
            let rivals = || left.iter().copied().filter(|id| self.class(mirror(*id)) == class);
            let nearest = rivals().map(|id| self.km_to(mirror(id))).fold(f64::INFINITY, f64::min);
            let routing = &self.world.routing;
            let reach = (nearest + nearest * routing.same_nearness_percent / 100.0)
                .max(nearest + routing.same_nearness_km);
            // A hair of slack: a distance right on the edge may be rounded either way.
            let group: Vec<_> =
                rivals().filter(|id| self.km_to(mirror(*id)) <= reach * (1.0 + 1e-12)).collect();
            left.retain(|id| !group.contains(id));
            groups.push(group);
        }
        groups
    }

    /// How good a mirror is: equal ones are equally good, lower is better.
    fn level(&self, id: MirrorId) -> (usize, bool, bool, bool) {
        let mirror = &self.world.mirrors[id.index()];
        let group = self.groups().iter().position(|group| group.contains(&id)).unwrap();
        let same_asn = mirror.asn.is_some() && mirror.asn == self.whereabouts.asn;
        let same_country = mirror.country.is_some() && mirror.country == self.whereabouts.country;
        let by_ipv6 = !(self.now.client.is_ipv6() && self.now.ipv4_only.has(id));
        (group, !same_asn, !same_country, !by_ipv6)
    }

    /// The best mirrors, equally good.
    fn best(&self) -> Vec<MirrorId> {
        let eligible = self.eligible();
        let best = eligible.iter().map(|id| self.level(*id)).min();
        eligible.into_iter().filter(|id| Some(self.level(*id)) == best).collect()
    }
}

fn km(from: Location, to: Location) -> f64 {
    from.direction().distance_km(&to.direction())
}

fn stickies() -> impl Iterator<Item = u64> {
    (1..)
        .map(|i: u64| i.wrapping_mul(0x9e37_79b9_7f4a_7c15))
        .map(|x| (x ^ (x >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, ..ProptestConfig::default() })]

    #[test]
    fn the_choice_and_its_alternates_are_the_best_in_order((world, now) in scene(), sticky: u64, alternates in 0usize..12) {
        let built = Built::new(&world, &now);
        let oracle = Oracle::new(&world, &now, &built);
        let pick = built.router().choose(&built.ask(&now, sticky), alternates);
        let mut levels: Vec<_> = oracle.eligible().into_iter().map(|id| oracle.level(id)).collect();
        levels.sort_unstable();
        let Some(pick) = pick else {
            prop_assert!(levels.is_empty(), "nobody was chosen, but {:?} may be", oracle.eligible());
            return Ok(());
        };
        let chosen: Vec<_> = std::iter::once(pick.mirror).chain(pick.alternates().iter().copied()).collect();
        let distinct: MirrorSet = chosen.iter().copied().collect();
        prop_assert_eq!(distinct.len(), chosen.len());
        for id in &chosen {
            prop_assert!(oracle.eligible().contains(id), "{:?} is not eligible", id);
        }
        let found: Vec<_> = chosen.iter().map(|id| oracle.level(*id)).collect();
        levels.truncate(1 + alternates.min(10));
        prop_assert_eq!(found, levels);
    }

    #[test]
    fn lists_name_every_eligible_mirror_best_first((world, now) in scene(), sticky: u64, most in 1usize..50) {
        let built = Built::new(&world, &now);
        let oracle = Oracle::new(&world, &now, &built);
        let ask = built.ask(&now, sticky);
        let ranked = built.router().ranked(&ask, usize::MAX);
        prop_assert_eq!(&built.router().ranked(&ask, most)[..], &ranked[..most.min(ranked.len())]);
        prop_assert_eq!(ranked.first().copied(), built.router().choose(&ask, 0).map(|pick| pick.mirror));
        let mut members = ranked.clone();
        members.sort_unstable();
        prop_assert_eq!(members, oracle.eligible());
        prop_assert!(ranked.is_sorted_by_key(|id| oracle.level(*id)));
    }

    #[test]
    fn explanations_agree_with_the_choice((world, now) in scene(), sticky: u64) {
        let built = Built::new(&world, &now);
        let oracle = Oracle::new(&world, &now, &built);
        let ask = built.ask(&now, sticky);
        let chosen = built.router().choose(&ask, 3).map(|pick| pick.mirror);
        let candidates = built.router().explain(&ask, &built.place(&now).0);
        let mut mentioned: Vec<_> = candidates.iter().map(|c| c.mirror.0).collect();
        mentioned.sort_unstable();
        prop_assert_eq!(mentioned, (0..world.mirrors.len() as u16).collect::<Vec<_>>());
        for candidate in &candidates {
            let id = candidate.mirror;
            let reasons = oracle.reasons(id);
            match candidate.verdict {
                Verdict::Chosen => prop_assert_eq!(Some(id), chosen),
                Verdict::Eligible => prop_assert!(reasons.is_empty() && !oracle.avoided(id) && chosen != Some(id)),
                Verdict::Excluded(Exclusion::Avoided) => prop_assert!(reasons.is_empty() && oracle.avoided(id)),
                Verdict::Excluded(reason) => prop_assert!(reasons.contains(&reason), "{} {:?}", reason, reasons),
            }
            prop_assert_eq!(candidate.group, oracle.level(id).0);
            prop_assert_eq!(candidate.same_asn, !oracle.level(id).1);
        }
        let eligible = candidates.iter().filter(|c| c.verdict == Verdict::Eligible);
        prop_assert!(eligible.clone().is_sorted_by_key(|c| oracle.level(c.mirror)));
        prop_assert_eq!(candidates.iter().filter(|c| c.verdict == Verdict::Chosen).count(), usize::from(chosen.is_some()));
        prop_assert!(chosen.is_none() || candidates[0].verdict == Verdict::Chosen);
    }

    #[test]
    fn a_client_stays_when_others_go_when_others_are_avoided_and_whatever_the_alternates((world, now) in scene(), gone: u16) {
        let built = Built::new(&world, &now);
        let gone = MirrorId(gone % world.mirrors.len() as u16);
        let mut without = now.clone();
        without.out[gone.index()] = Some(Exclusion::Down);
        let after = Built::new(&world, &without);
        let mut not_held = now.clone();
        not_held.holders.remove(gone);
        let mut avoiding = now.clone();
        avoiding.avoid.get_or_insert_default().insert(gone);
        for sticky in stickies().take(40) {
            let before = built.router().choose(&built.ask(&now, sticky), 3).map(|pick| pick.mirror);
            prop_assert_eq!(built.router().choose(&built.ask(&now, sticky), 0).map(|pick| pick.mirror), before);
            if before == Some(gone) {
                continue;
            }
            let choices = [
                after.router().choose(&after.ask(&without, sticky), 3),
                built.router().choose(&built.ask(&not_held, sticky), 3),
                // Where all that is left is avoided, one more makes no difference.
                built.router().choose(&built.ask(&avoiding, sticky), 3),
            ];
            for choice in choices {
                prop_assert_eq!(choice.map(|pick| pick.mirror), before);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

    #[test]
    fn equally_good_mirrors_share_by_weight((world, now) in scene()) {
        const CLIENTS: usize = 3000;
        let built = Built::new(&world, &now);
        let best = Oracle::new(&world, &now, &built).best();
        let weight = |id: MirrorId| f64::from(world.mirrors[id.index()].weight.max(1));
        let total: f64 = best.iter().map(|id| weight(*id)).sum();
        let mut hits = vec![0usize; world.mirrors.len()];
        for sticky in stickies().take(if best.len() > 1 { CLIENTS } else { 0 }) {
            hits[built.router().choose(&built.ask(&now, sticky), 0).unwrap().mirror.index()] += 1;
        }
        for id in best.iter().filter(|_| best.len() > 1) {
            let (share, due) = (hits[id.index()] as f64 / CLIENTS as f64, weight(*id) / total);
            prop_assert!((share - due).abs() < 0.12, "{:?} gets {} instead of {}", id, share, due);
        }
    }
}
