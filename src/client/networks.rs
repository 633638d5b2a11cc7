//! `[[client_network]]`: what the operator knows better than GeoIP.

use std::net::IpAddr;
use std::path::PathBuf;

use glob::Pattern;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use prefix_trie::PrefixMap;
use rustc_hash::FxHashMap;

use super::centroids::centroid;
use super::network::canonical_network;
use super::place::{Place, PlaceId};
use super::range_files::{self, FileNetwork, RangeFileError};
use crate::config::{ClientNetwork, NetworkPlace, NetworkSource, Region};
use crate::model::{Asn, Country, Location, RegionId};

/// Why the rules cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum NetworkRuleError {
    /// A range file cannot be used.
    #[error(transparent)]
    File(#[from] RangeFileError),
    /// A pattern for a provider's regions is no glob.
    #[error("{}: regions: {glob:?} is not a pattern: {error}; use * and ? as in \"eu-*\"", path.display())]
    Glob {
        /// The file that the pattern is for.
        path: PathBuf,
        /// The pattern.
        glob: String,
        /// What is wrong with it.
        error: glob::PatternError,
    },
    /// A range file without a network that the rule says anything of.
    #[error(
        "{}: none of its {networks} networks gets a place; \
         give the rule a region, location, country or asn, or `regions` that match the provider's names", path.display()
    )]
    NothingSaid {
        /// The file.
        path: PathBuf,
        /// How many networks it has.
        networks: usize,
    },
}

/// What a rule makes of an address.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Outcome {
    /// The place.
    pub place: OutcomePlace,
    /// The country, where the rule gives one.
    pub country: Option<Country>,
    /// The autonomous system, where the rule gives one.
    pub asn: Option<Asn>,
}

/// The place that a rule gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OutcomePlace {
    /// GeoIP's: the rule says nothing of it.
    GeoIp,
    /// The rule's: its location, else its region's, else its country's centroid. GeoIP's would belong to another region.
    Fixed(PlaceId),
    /// The middle of the rule's country, unless GeoIP agrees on the country and so knows better where in it.
    Centroid(PlaceId),
}

/// The rules by network.
#[derive(Debug, Default)]
pub(super) struct Networks {
    // A place per outcome, not per network: range files have thousands of networks of one region.
    outcomes: Vec<Outcome>,
    v4: PrefixMap<Ipv4Net, u32>,
    v6: PrefixMap<Ipv6Net, u32>,
}

impl Networks {
    /// Reads the rules and adds their places to `places`. Where two rules name the very same network, the one that
    /// comes first in the configuration counts. Reports every rule that cannot be used.
    pub(super) fn build(
        rules: &[ClientNetwork],
        regions: &[Region],
        places: &mut Vec<Place>,
    ) -> Result<Self, Vec<NetworkRuleError>> {
        let mut builder = Builder { networks: Self::default(), regions, places, said: FxHashMap::default() };
        let errors: Vec<_> = rules.iter().filter_map(|rule| builder.rule(rule).err()).flatten().collect();
        if errors.is_empty() { Ok(builder.networks) } else { Err(errors) }
    }

    /// What the longest network that holds `address` says (IPv4-mapped addresses are IPv4 already).
    #[inline]
    pub(super) fn get(&self, address: IpAddr) -> Option<&Outcome> {
        if self.outcomes.is_empty() {
            return None;
        }
        let outcome = match address {
            IpAddr::V4(v4) => self.v4.get_lpm(&Ipv4Net::from(v4)).map(|(_, outcome)| *outcome),
            IpAddr::V6(v6) => self.v6.get_lpm(&Ipv6Net::from(v6)).map(|(_, outcome)| *outcome),
        };
        self.outcomes.get(outcome? as usize)
    }

    /// How many networks the rules name.
    pub(super) fn len(&self) -> usize {
        self.v4.len() + self.v6.len()
    }

    fn insert(&mut self, network: IpNet, outcome: u32) {
        match network {
            IpNet::V4(v4) => _ = self.v4.entry(v4).or_insert(outcome),
            IpNet::V6(v6) => _ = self.v6.entry(v6).or_insert(outcome),
        }
    }
}

/// A `NetworkPlace` that can be looked up: its location as bits.
type Said = (Option<RegionId>, Option<(u64, u64)>, Option<Country>, Option<Asn>);

struct Builder<'a> {
    networks: Networks,
    regions: &'a [Region],
    places: &'a mut Vec<Place>,
    /// The outcomes of what was said before.
    said: FxHashMap<Said, u32>,
}

impl Builder<'_> {
    fn rule(&mut self, rule: &ClientNetwork) -> Result<(), Vec<NetworkRuleError>> {
        let (path, format, regions) = match &rule.source {
            NetworkSource::Cidr(network) => {
                let outcome = self.outcome(rule.place);
                self.networks.insert(canonical_network(*network), outcome);
                return Ok(());
            }
            NetworkSource::File { path, format, regions } => (path, *format, regions),
        };
        let mut errors = Vec::new();
        let mut globs: Vec<(Pattern, RegionId)> = Vec::new();
        for (glob, region) in regions {
            match Pattern::new(glob) {
                Ok(pattern) => globs.push((pattern, *region)),
                Err(error) => {
                    errors.push(NetworkRuleError::Glob { path: path.clone(), glob: glob.clone(), error });
                }
            }
        }
        match range_files::read(path, format) {
            Ok(list) if errors.is_empty() => {
                let said = list.iter().filter(|entry| self.file_network(entry, &globs, rule.place)).count();
                if said == 0 {
                    errors.push(NetworkRuleError::NothingSaid { path: path.clone(), networks: list.len() });
                }
            }
            Ok(_) => {}
            Err(error) => errors.push(error.into()),
        }
        if errors.is_empty() { Ok(()) } else { Err(errors) }
    }

    /// Adds a network of a range file; `false` when neither the rule nor the file says anything of it.
    fn file_network(
        &mut self,
        entry: &FileNetwork,
        globs: &[(Pattern, RegionId)],
        rule: NetworkPlace,
    ) -> bool {
        let matched = globs.iter().find(|(glob, _)| glob.matches(&entry.region)).map(|(_, region)| *region);
        let mut place = rule;
        place.region = matched.or(place.region);
        place.country = place.country.or(entry.country);
        let says = place != NetworkPlace::default();
        if says {
            let outcome = self.outcome(place);
            self.networks.insert(entry.network, outcome);
        }
        says
    }

    /// The outcome of what a rule says, made once.
    fn outcome(&mut self, said: NetworkPlace) -> u32 {
        let bits = |at: Location| (at.latitude().to_bits(), at.longitude().to_bits());
        let key = (said.region, said.location.map(bits), said.country, said.asn);
        if let Some(known) = self.said.get(&key) {
            return *known;
        }
        let region = said.region.and_then(|id| self.regions.get(id.index()));
        let given = said.location.or_else(|| region.and_then(|region| region.location));
        let location = given.or_else(|| said.country.and_then(centroid));
        let place = Place { location, country: said.country, region: said.region };
        let place = match said {
            NetworkPlace { region: None, location: None, country: None, .. } => OutcomePlace::GeoIp,
            NetworkPlace { region: None, location: None, country: Some(_), .. } => {
                OutcomePlace::Centroid(self.place(place))
            }
            _ => OutcomePlace::Fixed(self.place(place)),
        };
        let outcome = self.networks.outcomes.len() as u32;
        self.networks.outcomes.push(Outcome { place, country: said.country, asn: said.asn });
        self.said.insert(key, outcome);
        outcome
    }

    fn place(&mut self, place: Place) -> PlaceId {
        self.places.push(place);
        PlaceId((self.places.len() - 1) as u32)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::config::RangeFormat;

    /// Networks of a few neighbouring addresses, so that they hold one another, often many deep; with host bits, as
    /// configurations have them.
    fn network() -> impl Strategy<Value = IpNet> {
        let v4 = (any::<u16>(), 8u8..=32).prop_map(|(low, length)| (v4(low), length));
        let v6 = (any::<u16>(), 16u8..=128).prop_map(|(low, length)| (v6(low), length));
        prop_oneof![v4, v6].prop_map(|(address, length)| IpNet::new(address, length).unwrap())
    }

    fn v4(low: u16) -> IpAddr {
        IpAddr::V4((10 << 24 | u32::from(low)).into())
    }

    fn v6(low: u16) -> IpAddr {
        IpAddr::V6((0x2001_0db8_u128 << 96 | u128::from(low)).into())
    }

    proptest! {
        /// Against a scan of all rules, those of a file among them.
        #[test]
        fn the_longest_network_says_where_and_of_equal_ones_the_first(
            single in proptest::collection::vec(network(), 0..150),
            listed in proptest::collection::vec(network(), 0..150),
            probes in proptest::collection::vec(any::<u16>(), 30),
        ) {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("ranges");
            let lines: Vec<String> = listed.iter().map(ToString::to_string).collect();
            std::fs::write(&path, lines.join("\n")).unwrap();
            let says = |asn: usize| NetworkPlace { asn: Some(Asn(asn as u32)), ..NetworkPlace::default() };
            let rule = |(i, network): (usize, &IpNet)| ClientNetwork {
                source: NetworkSource::Cidr(*network),
                place: says(i),
            };
            let mut rules: Vec<ClientNetwork> = single.iter().enumerate().map(rule).collect();
            if !listed.is_empty() {
                let source = NetworkSource::File { path, format: RangeFormat::Cidr, regions: vec![] };
                rules.push(ClientNetwork { source, place: says(single.len()) });
            }
            let networks = Networks::build(&rules, &[], &mut vec![]).unwrap();

            let all = || single.iter().enumerate().chain(listed.iter().map(|network| (single.len(), network)));
            let edges = all().flat_map(|(_, network)| [network.network(), network.broadcast()]);
            for address in edges.chain(probes.iter().flat_map(|low| [v4(*low), v6(*low)])) {
                let holding = all().filter(|(_, network)| network.contains(&address));
                // The last of the longest, of the reversed: the first.
                let expected = holding.collect::<Vec<_>>().into_iter().rev().max_by_key(|(_, n)| n.prefix_len());
                let found = networks.get(address).and_then(|outcome| outcome.asn);
                prop_assert_eq!(found, expected.map(|(asn, _)| Asn(asn as u32)), "{}", address);
            }
        }
    }
}
