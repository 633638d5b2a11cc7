//! Where a redirect may lead: hosts that the configuration names, and addresses that are anybody's.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{Ipv4Net, Ipv6Net};
use url::{Host, Url};

/// The hosts of mirrors and the origin. Only these may have private addresses.
#[derive(Debug, Clone, Default)]
pub struct NamedHosts(HashSet<Host>);

impl NamedHosts {
    /// The hosts of these URLs.
    pub fn of<'a>(urls: impl IntoIterator<Item = &'a Url>) -> Self {
        Self(urls.into_iter().filter_map(|url| Some(url.host()?.to_owned())).collect())
    }

    /// Whether the configuration names the host of `url`, on whatever port.
    pub fn has(&self, url: &Url) -> bool {
        url.host().is_some_and(|host| self.0.contains(&host.to_owned()))
    }
}

const fn v4(a: u8, b: u8, c: u8, d: u8, prefix: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), prefix)
}

const fn v6(a: u16, b: u16, c: u16, prefix: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0), prefix)
}

/// IPv4 networks that are not globally reachable unicast (IANA special-purpose registry, RFC 6890), multicast too.
const NOT_GLOBAL_V4: [Ipv4Net; 15] = [
    v4(0, 0, 0, 0, 8),
    v4(10, 0, 0, 0, 8),
    v4(100, 64, 0, 0, 10),
    v4(127, 0, 0, 0, 8),
    v4(169, 254, 0, 0, 16),
    v4(172, 16, 0, 0, 12),
    v4(192, 0, 0, 0, 24),
    v4(192, 0, 2, 0, 24),
    v4(192, 88, 99, 0, 24),
    v4(192, 168, 0, 0, 16),
    v4(198, 18, 0, 0, 15),
    v4(198, 51, 100, 0, 24),
    v4(203, 0, 113, 0, 24),
    v4(224, 0, 0, 0, 4),
    v4(240, 0, 0, 0, 4),
];

/// What IANA has given out for global unicast (RFC 4291).
const GLOBAL_V6: Ipv6Net = v6(0x2000, 0, 0, 3);

/// Parts of it that are not: protocol assignments (Teredo among them), documentation, and 6to4, which carries any IPv4
/// address inside.
const NOT_GLOBAL_V6: [Ipv6Net; 4] =
    [v6(0x2001, 0, 0, 23), v6(0x2001, 0xdb8, 0, 32), v6(0x2002, 0, 0, 16), v6(0x3fff, 0, 0, 20)];

/// NAT64 (RFC 6052): an IPv4 address in the last four bytes; what DNS64 answers for hosts that have only IPv4.
const NAT64: Ipv6Net = v6(0x64, 0xff9b, 0, 96);

/// Whether an address is globally routable unicast: not private, loopback, link-local, shared, reserved, documentation
/// or multicast, nor one of those inside an IPv6 address.
pub fn is_global(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(ip) => !NOT_GLOBAL_V4.iter().any(|net| net.contains(&ip)),
        IpAddr::V6(ip) => {
            if let Some(inner) = ip.to_ipv4_mapped() {
                return is_global(inner.into());
            }
            if NAT64.contains(&ip) {
                let [.., a, b, c, d] = ip.octets();
                return is_global(Ipv4Addr::new(a, b, c, d).into());
            }
            GLOBAL_V6.contains(&ip) && !NOT_GLOBAL_V6.iter().any(|net| net.contains(&ip))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_reserved_and_embedded_addresses_are_not_global() {
        let inside = "0.0.0.0 10.1.2.3 100.64.0.1 100.127.255.255 127.0.0.1 127.9.9.9 169.254.169.254 172.16.0.1 \
             172.31.255.255 192.0.0.8 192.0.2.1 192.168.1.1 198.19.0.1 198.51.100.7 203.0.113.9 224.0.0.1 \
             240.0.0.1 255.255.255.255 :: ::1 ::ffff:127.0.0.1 ::ffff:10.0.0.1 64:ff9b::a00:1 fe80::1 fc00::1 \
             fd12::1 ff02::1 2001::1 2001:db8::1 2002:7f00:1::1 3fff::1 100::1 fec0::1";
        for ip in inside.split_whitespace() {
            assert!(!is_global(ip.parse().unwrap()), "{ip}");
        }
        let outside = "1.1.1.1 9.9.9.9 11.0.0.1 100.63.255.255 100.128.0.1 172.15.255.255 172.32.0.1 192.0.1.1 \
             223.255.255.255 2606:4700::1111 2a00:1450::1 2001:4860::8888 ::ffff:8.8.8.8 64:ff9b::808:808";
        for ip in outside.split_whitespace() {
            assert!(is_global(ip.parse().unwrap()), "{ip}");
        }
    }

    #[test]
    fn a_host_is_named_however_its_address_is_spelled() {
        let url = |text: &str| text.parse::<Url>().unwrap();
        let named = NamedHosts::of(&[url("http://127.0.0.1:1/a/"), url("https://Mirror.example/")]);
        for same in ["http://127.1/x", "http://0x7f000001:99/", "http://mirror.EXAMPLE:8080/"] {
            assert!(named.has(&url(same)), "{same}");
        }
        for other in ["http://127.0.0.2/", "http://sub.mirror.example/", "http://[::1]/", "data:,x"] {
            assert!(!named.has(&url(other)), "{other}");
        }
    }
}
