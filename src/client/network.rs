//! The client's network as stickiness goes by it, and networks as rules name them.

use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net};

/// Sets keys of IPv4 networks apart from those of IPv6 networks, which have 48 bits.
const IPV4_KEY: u64 = 1 << 48;

/// The network that a client shares its mirror with, as a number: /24 of an IPv4 address, /48 of an IPv6 address.
///
/// Different networks have different keys. The bits are not mixed; hash the key before taking some of them.
pub fn sticky_key(address: IpAddr) -> u64 {
    match address.to_canonical() {
        IpAddr::V4(v4) => IPV4_KEY | u64::from(v4.to_bits() >> 8),
        IpAddr::V6(v6) => (v6.to_bits() >> 80) as u64,
    }
}

/// A network without host bits, an IPv4-mapped IPv6 network as IPv4.
pub fn canonical_network(network: IpNet) -> IpNet {
    match network {
        IpNet::V6(v6) if v6.prefix_len() >= 96 => match v6.addr().to_ipv4_mapped() {
            Some(v4) => IpNet::V4(Ipv4Net::new_assert(v4, v6.prefix_len() - 96)).trunc(),
            None => network.trunc(),
        },
        _ => network.trunc(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> u64 {
        sticky_key(text.parse().unwrap())
    }

    #[test]
    fn a_network_has_one_key_and_other_networks_have_others() {
        assert_eq!(key("203.0.113.1"), key("203.0.113.254"));
        assert_eq!(key("203.0.113.1"), key("::ffff:203.0.113.9"));
        assert_ne!(key("203.0.113.1"), key("203.0.114.1"));
        assert_eq!(key("2001:db8:1::1"), key("2001:db8:1:ffff::2"));
        assert_ne!(key("2001:db8:1::1"), key("2001:db8:2::1"));
        assert_ne!(key("0.0.1.0"), key("::1:0:0:0:0:0"));
    }

    #[test]
    fn mapped_networks_become_ipv4_networks() {
        for (given, expected) in [
            ("::ffff:10.1.2.3/104", "10.0.0.0/8"),
            ("10.1.2.3/8", "10.0.0.0/8"),
            ("2001:db8::1/32", "2001:db8::/32"),
            ("::/0", "::/0"),
            ("::ffff:0:0/95", "::fffe:0:0/95"),
        ] {
            assert_eq!(canonical_network(given.parse().unwrap()).to_string(), expected);
        }
    }
}
