//! The client's network: all that logs may say of an address, and what a link is bound to.

use std::net::IpAddr;

use ipnet::IpNet;

/// The network of an address for people, such as `203.0.113.0/24`: logs never show more of a client's address. /24 of IPv4,
/// /48 of IPv6.
pub fn client_network(address: IpAddr) -> IpNet {
    let address = address.to_canonical();
    let bits = if address.is_ipv4() { 24 } else { 48 };
    IpNet::new_assert(address, bits).trunc()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logs_see_the_network_only() {
        for (address, network) in [
            ("203.0.113.77", "203.0.113.0/24"),
            ("::ffff:203.0.113.77", "203.0.113.0/24"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1::/48"),
        ] {
            assert_eq!(client_network(address.parse().unwrap()).to_string(), network);
        }
    }
}
