//! The trusted proxies, as one set of addresses.

use std::net::IpAddr;

use ipnet::IpNet;

use super::network::canonical_network;

/// The trusted proxies (`server.trusted_proxies`): each speaks for many clients.
///
/// Ranges of addresses, sorted, none within another. Looking one up takes a few steps, and one more each time the number
/// of networks doubles.
#[derive(Debug, Default)]
pub struct Proxies {
    v4: Box<[(u32, u32)]>,
    v6: Box<[(u128, u128)]>,
}

impl Proxies {
    /// Those in any of these networks; IPv4-mapped IPv6 networks are IPv4 networks.
    pub fn new(networks: &[IpNet]) -> Self {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for network in networks.iter().copied().map(canonical_network) {
            match network {
                IpNet::V4(net) => v4.push((net.network().to_bits(), net.broadcast().to_bits())),
                IpNet::V6(net) => v6.push((net.network().to_bits(), net.broadcast().to_bits())),
            }
        }
        Self { v4: merged(v4), v6: merged(v6) }
    }

    /// Whether one has this address (IPv4-mapped addresses are IPv4 already).
    #[inline]
    pub fn has(&self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(v4) => is_in(&self.v4, v4.to_bits()),
            IpAddr::V6(v6) => is_in(&self.v6, v6.to_bits()),
        }
    }
}

/// Sorted; networks that lie in others are gone. Others do not overlap.
fn merged<K: Ord + Copy>(mut ranges: Vec<(K, K)>) -> Box<[(K, K)]> {
    // Of networks that begin alike the widest comes first.
    ranges.sort_unstable_by(|a, b| a.0.cmp(&b.0).then(b.1.cmp(&a.1)));
    ranges.dedup_by(|inner, outer| inner.1 <= outer.1);
    ranges.into_boxed_slice()
}

#[inline]
fn is_in<K: Ord + Copy>(ranges: &[(K, K)], address: K) -> bool {
    let begun = ranges.partition_point(|(first, _)| *first <= address);
    ranges[..begun].last().is_some_and(|(_, last)| address <= *last)
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use proptest::prelude::*;

    use super::*;

    fn network() -> impl Strategy<Value = IpNet> {
        // Close together, so that they nest, touch and repeat; and some anywhere.
        let near = (0u32..64, 22u8..=32).prop_map(|(at, bits)| IpNet::new_assert(v4(at << 4), bits));
        let far = (any::<u32>(), 0u8..=32).prop_map(|(at, bits)| IpNet::new_assert(v4(at), bits));
        let near6 = (0u128..64, 118u8..=128).prop_map(|(at, bits)| IpNet::new_assert(v6(at << 4), bits));
        let far6 = (any::<u128>(), 0u8..=128).prop_map(|(at, bits)| IpNet::new_assert(v6(at), bits));
        let mapped = (0u32..64, 118u8..=128).prop_map(|(at, bits)| {
            IpNet::new_assert(Ipv4Addr::from_bits(at << 4).to_ipv6_mapped().into(), bits)
        });
        prop_oneof![4 => near, 1 => far, 4 => near6, 1 => far6, 1 => mapped]
    }

    fn v4(bits: u32) -> IpAddr {
        Ipv4Addr::from_bits(bits).into()
    }

    fn v6(bits: u128) -> IpAddr {
        Ipv6Addr::from_bits(bits).into()
    }

    proptest! {
        #[test]
        fn a_proxy_is_who_lies_in_one_of_the_networks(
            networks in prop::collection::vec(network(), 0..20),
            anywhere in any::<(u32, u128)>(),
            near in 0u32..1100,
        ) {
            let proxies = Proxies::new(&networks);
            let networks: Vec<IpNet> = networks.into_iter().map(canonical_network).collect();
            let edges = networks.iter().flat_map(|net| match (net.network(), net.broadcast()) {
                (IpAddr::V4(a), IpAddr::V4(b)) => {
                    [a.to_bits().wrapping_sub(1), a.to_bits(), b.to_bits(), b.to_bits().wrapping_add(1)].map(v4)
                }
                (IpAddr::V6(a), IpAddr::V6(b)) => {
                    [a.to_bits().wrapping_sub(1), a.to_bits(), b.to_bits(), b.to_bits().wrapping_add(1)].map(v6)
                }
                _ => unreachable!("a network is of one family"),
            });
            for address in edges.chain([v4(anywhere.0), v6(anywhere.1), v4(near), v6(near.into())]) {
                let expected = networks.iter().any(|network| network.contains(&address));
                prop_assert_eq!(proxies.has(address), expected, "{} in {:?}", address, networks);
            }
        }
    }
}
