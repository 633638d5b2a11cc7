//! Who asks: the peer, or what a trusted proxy says of it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use http::{HeaderMap, HeaderName, HeaderValue};
use ipnet::IpNet;

use super::proxies::Proxies;
use crate::config::ClientHeader;

/// Entries of the client header that are looked at. A longer list is a mistake or an attack; nobody chains so many
/// trusted proxies.
const ENTRIES_MAX: usize = 64;

static FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// The scheme a request came by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// Plain HTTP.
    Http,
    /// HTTP over TLS.
    Https,
}

impl Scheme {
    /// The scheme as it stands in a URL.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

/// Which peers are believed, and in which header.
///
/// Lists are read from their right end only: what stands further left was written by those that are not trusted.
#[derive(Debug)]
pub struct Forwarded {
    trusted: Proxies,
    header: ClientHeader,
    name: HeaderName,
}

impl Forwarded {
    /// Believes `header` from peers in `trusted` (`server.trusted_proxies` and `server.client_header`).
    pub fn new(trusted: &[IpNet], header: ClientHeader) -> Self {
        Self { trusted: Proxies::new(trusted), header, name: header.name() }
    }

    /// The client's address, an IPv4-mapped IPv6 address as IPv4, and the scheme that a trusted proxy saw.
    pub fn read(&self, headers: &HeaderMap, peer: Option<IpAddr>) -> (IpAddr, Option<Scheme>) {
        // Without a peer (not an IP socket) it is 0.0.0.0, which has no place.
        let peer = peer.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.to_canonical());
        if !self.trusted.has(peer) {
            return (peer, None);
        }
        // The last line of each. To go over all lines once costs less than to hash two names and look both up.
        let (mut client_line, mut proto_line) = (None, None);
        for (name, line) in headers {
            if *name == self.name {
                client_line = Some(line.as_bytes());
            } else if *name == FORWARDED_PROTO {
                proto_line = Some(line.as_bytes());
            }
        }
        let client = match client_line {
            Some(line) => self.usual_client(line).unwrap_or_else(|| self.client_address(headers, peer)),
            None => peer,
        };
        (client, proto_line.and_then(last_scheme))
    }

    /// The client where the header's last line ends as nearly every proxy writes it: with the address of somebody that
    /// is no proxy itself. `None` says nothing.
    #[inline]
    fn usual_client(&self, line: &[u8]) -> Option<IpAddr> {
        match self.header {
            ClientHeader::XForwardedFor => last_address(line).filter(|client| !self.trusted.has(*client)),
            ClientHeader::Forwarded => None,
        }
    }

    /// The first entry from the right end of the header that is not a trusted proxy itself. An entry without an address
    /// (`unknown`, `_hidden`, garbage) ends the search with the last address found.
    fn client_address(&self, headers: &HeaderMap, peer: IpAddr) -> IpAddr {
        let mut client = peer;
        let lines = headers.get_all(&self.name).iter().rev().map(HeaderValue::as_bytes);
        for entry in lines.flat_map(|line| RightSplit::new(line, b',')).take(ENTRIES_MAX) {
            let entry = entry.trim_ascii();
            if entry.is_empty() {
                continue;
            }
            let node = match self.header {
                ClientHeader::XForwardedFor => Some(entry),
                ClientHeader::Forwarded => for_parameter(entry),
            };
            match node.and_then(address) {
                Some(address) => client = address,
                None => break,
            }
            if !self.trusted.has(client) {
                break;
            }
        }
        client
    }
}

/// The address that is the last entry of a list, where it is nothing but an address.
fn last_address(list: &[u8]) -> Option<IpAddr> {
    last_ipv4(list).map(IpAddr::V4).or_else(|| last_ipv6(list))
}

fn last_ipv4(list: &[u8]) -> Option<Ipv4Addr> {
    let (mut rest, mut bits) = last_octet(list)?;
    for shift in [8, 16, 24] {
        let (before, octet) = last_octet(rest.strip_suffix(b".")?)?;
        rest = before;
        bits |= octet << shift;
    }
    begins_entry(rest).then(|| Ipv4Addr::from_bits(bits))
}

/// The number up to 255 that `text` ends in, without leading zeros, and what stands before it.
#[inline]
fn last_octet(text: &[u8]) -> Option<(&[u8], u32)> {
    let digit = |from_end: usize| {
        let byte = text.get(text.len().wrapping_sub(from_end))?;
        byte.is_ascii_digit().then(|| u32::from(byte - b'0'))
    };
    let ones = digit(1)?;
    let (digits, value) = match (digit(2), digit(3)) {
        (None, _) => (1, ones),
        (Some(0), None) | (Some(_), Some(0)) => return None,
        (Some(tens), None) => (2, tens * 10 + ones),
        (Some(tens), Some(hundreds)) => (3, hundreds * 100 + tens * 10 + ones),
    };
    (value <= 255).then(|| (&text[..text.len() - digits], value))
}

/// An address with at least one colon; an IPv4-mapped one becomes IPv4.
fn last_ipv6(list: &[u8]) -> Option<IpAddr> {
    let of_address = |b: &u8| b.is_ascii_hexdigit() || matches!(b, b':' | b'.');
    let at = list.iter().rposition(|b| !of_address(b)).map_or(0, |at| at + 1);
    let v6: Ipv6Addr = begins_entry(&list[..at]).then(|| str::from_utf8(&list[at..]))?.ok()?.parse().ok()?;
    Some(v6.to_canonical())
}

/// Whether an entry of a list begins after `before`.
fn begins_entry(before: &[u8]) -> bool {
    matches!(before.trim_ascii_end(), [] | [.., b','])
}

/// The scheme that is the last entry of a line of `X-Forwarded-Proto`. `None` where it says nothing that is one.
fn last_scheme(line: &[u8]) -> Option<Scheme> {
    let last = RightSplit::new(line, b',').next()?.trim_ascii();
    match last {
        _ if last.eq_ignore_ascii_case(b"https") => Some(Scheme::Https),
        _ if last.eq_ignore_ascii_case(b"http") => Some(Scheme::Http),
        _ => None,
    }
}

/// Splits at a separator outside quoted strings (RFC 9110 section 5.6.4), from the right.
///
/// From the right, because an unbalanced quote that a client sent must not swallow what a proxy added after it.
struct RightSplit<'a> {
    rest: Option<&'a [u8]>,
    separator: u8,
}

impl<'a> RightSplit<'a> {
    fn new(text: &'a [u8], separator: u8) -> Self {
        Self { rest: Some(text), separator }
    }
}

impl<'a> Iterator for RightSplit<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let text = self.rest?;
        let mut quoted = false;
        let mut at = text.len();
        while at > 0 {
            at -= 1;
            match text[at] {
                b'"' => {
                    // A quote after an odd number of backslashes is escaped. The backslashes are stepped over, so that
                    // a long run of them is looked at once.
                    let slashes = text[..at].iter().rev().take_while(|b| **b == b'\\').count();
                    quoted ^= slashes % 2 == 0;
                    at -= slashes;
                }
                byte if byte == self.separator && !quoted => {
                    self.rest = Some(&text[..at]);
                    return Some(&text[at + 1..]);
                }
                _ => {}
            }
        }
        self.rest = None;
        Some(text)
    }
}

/// The `for` parameter of a forwarded-element (RFC 7239 section 4).
fn for_parameter(element: &[u8]) -> Option<&[u8]> {
    RightSplit::new(element, b';').find_map(|pair| {
        let (name, value) = pair.trim_ascii().split_at_checked(4)?;
        name.eq_ignore_ascii_case(b"for=").then_some(value)
    })
}

/// The address in a node name, with or without quotes, brackets and port (RFC 7239 section 6; `X-Forwarded-For` has no
/// standard and knows all of these).
fn address(node: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(node).ok()?;
    // What nearly every proxy writes.
    if let Ok(v4) = text.parse() {
        return Some(IpAddr::V4(v4));
    }
    let text = text.trim();
    let text = text.strip_prefix('"').and_then(|inner| inner.strip_suffix('"')).unwrap_or(text).trim();
    let address = if let Some(bracketed) = text.strip_prefix('[') {
        let (inner, port) = bracketed.split_once(']')?;
        if !port.is_empty() && !is_port(port.strip_prefix(':')?) {
            return None;
        }
        IpAddr::V6(inner.parse().ok()?)
    } else {
        match text.split_once(':') {
            // One colon: an IPv4 address and a port. More: an IPv6 address.
            Some((host, port)) if !port.contains(':') => {
                let v4 = host.parse().ok()?;
                if !is_port(port) {
                    return None;
                }
                IpAddr::V4(v4)
            }
            _ => text.parse().ok()?,
        }
    };
    Some(address.to_canonical())
}

/// A port number or an obfuscated port such as `_x` (RFC 7239 section 6.2).
fn is_port(text: &str) -> bool {
    let word = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    match text.strip_prefix('_') {
        Some(name) => !name.is_empty() && name.bytes().all(word),
        None => text.parse::<u16>().is_ok(),
    }
}

#[cfg(test)]
mod tests;
