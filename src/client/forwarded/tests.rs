use proptest::prelude::*;

use super::*;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn behind(trusted: &[&str], header: ClientHeader) -> Forwarded {
    Forwarded::new(&trusted.iter().map(|n| n.parse().unwrap()).collect::<Vec<_>>(), header)
}

fn headers(name: HeaderName, lines: &[&[u8]]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for line in lines {
        map.append(name.clone(), HeaderValue::from_bytes(line).unwrap());
    }
    map
}

fn client(header: ClientHeader, lines: &[&[u8]]) -> IpAddr {
    let forwarded = behind(&["10.0.0.0/8", "2001:db8:ff::/48"], header);
    forwarded.read(&headers(header.name(), lines), Some(ip("10.0.0.1"))).0
}

#[test]
fn x_forwarded_for_is_read_from_the_right() {
    let table: &[(&[&[u8]], &str)] = &[
        (&[], "10.0.0.1"),
        (&[b""], "10.0.0.1"),
        (&[b"203.0.113.7"], "203.0.113.7"),
        (&[b"1.1.1.1, 203.0.113.7"], "203.0.113.7"),
        (&[b"203.0.113.7, 10.2.3.4, 10.0.0.9"], "203.0.113.7"),
        (&[b"203.0.113.7,, 10.2.3.4 ,"], "203.0.113.7"),
        (&[b"1.1.1.1", b"203.0.113.7, 10.2.3.4", b"10.2.3.5"], "203.0.113.7"),
        (&[b"203.0.113.7:4711"], "203.0.113.7"),
        (&[b"2001:db8::7"], "2001:db8::7"),
        (&[b"[2001:db8::7]"], "2001:db8::7"),
        (&[b"[2001:db8::7]:443"], "2001:db8::7"),
        (&[b"203.0.113.7, [2001:db8:ff::1]:9"], "203.0.113.7"),
        (&[b"::ffff:203.0.113.7"], "203.0.113.7"),
        (&[b"[::ffff:203.0.113.7]:80, ::ffff:10.1.1.1"], "203.0.113.7"),
        (&[b"\"203.0.113.7\""], "203.0.113.7"),
        // All trusted: the farthest of them is the client.
        (&[b"10.9.9.9, 10.8.8.8"], "10.9.9.9"),
        // Nothing behind an entry that cannot be read is believed.
        (&[b"203.0.113.7, unknown, 10.2.3.4"], "10.2.3.4"),
        (&[b"203.0.113.7, _hidden"], "10.0.0.1"),
        (&[b"203.0.113.7, caf\xe9"], "10.0.0.1"),
        (&[b"203.0.113.7, \xf0\x9f\x98\x80, 10.2.3.4"], "10.2.3.4"),
        (&[b"1.2.3.4:port"], "10.0.0.1"),
        (&[b"1.2.3.4:99999"], "10.0.0.1"),
        (&[b"[2001:db8::7"], "10.0.0.1"),
        (&[b"[2001:db8::7]x"], "10.0.0.1"),
        (&[b"[203.0.113.7]"], "10.0.0.1"),
        (&[b"fe80::1%eth0"], "10.0.0.1"),
        (&[b"010.020.030.040"], "10.0.0.1"),
    ];
    for (lines, expected) in table {
        assert_eq!(client(ClientHeader::XForwardedFor, lines), ip(expected), "{lines:?}");
    }
}

#[test]
fn forwarded_is_read_from_the_right() {
    let table: &[(&[&[u8]], &str)] = &[
        (&[b"for=203.0.113.7"], "203.0.113.7"),
        (&[b"For=\"203.0.113.7:4711\";proto=https;by=10.0.0.1"], "203.0.113.7"),
        (&[b"for=\"[2001:db8::1]:123\""], "2001:db8::1"),
        (&[b"for=\"[2001:db8::1]:_x\""], "2001:db8::1"),
        (&[b"for=1.1.1.1, for=203.0.113.7;by=10.0.0.2, proto=http ; for=10.0.0.2"], "203.0.113.7"),
        (&[b"for=1.1.1.1", b"for=203.0.113.7"], "203.0.113.7"),
        (&[b"for=unknown"], "10.0.0.1"),
        (&[b"for=203.0.113.7, for=_hidden"], "10.0.0.1"),
        (&[b"for=203.0.113.7, proto=https"], "10.0.0.1"),
        (&[b"203.0.113.7"], "10.0.0.1"),
        (&[b"f"], "10.0.0.1"),
        // A host name that the client chose does not become an address.
        (&[b"for=203.0.113.7;host=\"a;for=6.6.6.6\""], "203.0.113.7"),
        (&[b"for=203.0.113.7;host=\"a, for=6.6.6.6\""], "203.0.113.7"),
        (&[b"for=203.0.113.7;host=\"a\\\", for=6.6.6.6\""], "203.0.113.7"),
        // Neither does an open quote hide what the proxy added.
        (&[b"for=\"6.6.6.6, for=203.0.113.7"], "203.0.113.7"),
        (&[b"for=6.6.6.6;host=\"\\, for=203.0.113.7"], "203.0.113.7"),
    ];
    for (lines, expected) in table {
        assert_eq!(client(ClientHeader::Forwarded, lines), ip(expected), "{lines:?}");
    }
}

#[test]
fn a_peer_that_is_not_trusted_is_the_client_whatever_it_says() {
    let forwarded = behind(&["10.0.0.0/8"], ClientHeader::XForwardedFor);
    let says = headers(ClientHeader::XForwardedFor.name(), &[b"1.1.1.1"]);
    assert_eq!(forwarded.read(&says, Some(ip("203.0.113.9"))).0, ip("203.0.113.9"));
    assert_eq!(forwarded.read(&says, Some(ip("::ffff:203.0.113.9"))).0, ip("203.0.113.9"));
    assert_eq!(forwarded.read(&says, None).0, ip("0.0.0.0"));
    let nobody = behind(&[], ClientHeader::XForwardedFor);
    assert_eq!(nobody.read(&says, Some(ip("10.0.0.1"))).0, ip("10.0.0.1"));
}

#[test]
fn a_trusted_peer_may_come_as_an_ipv4_mapped_address() {
    let says = headers(ClientHeader::XForwardedFor.name(), &[b"1.1.1.1"]);
    for trusted in ["10.0.0.0/8", "::ffff:10.0.0.0/104"] {
        let forwarded = behind(&[trusted], ClientHeader::XForwardedFor);
        assert_eq!(forwarded.read(&says, Some(ip("::ffff:10.0.0.1"))).0, ip("1.1.1.1"), "{trusted}");
    }
}

#[test]
fn only_the_configured_header_is_read() {
    let forwarded = behind(&["10.0.0.0/8"], ClientHeader::Forwarded);
    let says = headers(ClientHeader::XForwardedFor.name(), &[b"1.1.1.1"]);
    assert_eq!(forwarded.read(&says, Some(ip("10.0.0.1"))).0, ip("10.0.0.1"));
}

#[test]
fn at_most_sixty_four_entries_are_looked_at() {
    let line = format!("203.0.113.7{}", ", 10.0.0.2".repeat(ENTRIES_MAX - 1));
    assert_eq!(client(ClientHeader::XForwardedFor, &[line.as_bytes()]), ip("203.0.113.7"));
    let line = format!("203.0.113.7{}", ", 10.0.0.2".repeat(ENTRIES_MAX));
    assert_eq!(client(ClientHeader::XForwardedFor, &[line.as_bytes()]), ip("10.0.0.2"));
}

#[test]
fn the_scheme_comes_from_a_trusted_peer_only() {
    let forwarded = behind(&["10.0.0.0/8"], ClientHeader::XForwardedFor);
    let table: &[(&[&[u8]], Option<Scheme>)] = &[
        (&[], None),
        (&[b"https"], Some(Scheme::Https)),
        (&[b"HTTP"], Some(Scheme::Http)),
        (&[b"https, http"], Some(Scheme::Http)),
        (&[b"http", b" https "], Some(Scheme::Https)),
        (&[b"gopher"], None),
        (&[b"\xff\xfe"], None),
    ];
    for (lines, expected) in table {
        let map = headers(FORWARDED_PROTO.clone(), lines);
        assert_eq!(forwarded.read(&map, Some(ip("10.0.0.1"))).1, *expected, "{lines:?}");
        assert_eq!(forwarded.read(&map, Some(ip("192.0.2.1"))).1, None);
        assert_eq!(forwarded.read(&map, None).1, None);
    }
}

proptest::proptest! {
    #[test]
    fn no_header_panics_or_makes_an_untrusted_entry_win_over_one_further_right(
        noise in proptest::collection::vec(0x20u8..=0xff, 0..200),
        v6 in proptest::bool::ANY,
    ) {
        let noise: Vec<u8> = noise.into_iter().filter(|b| *b != 0x7f).collect();
        let real = if v6 { "2001:db8::5" } else { "203.0.113.7" };
        let with = |text: String| [&noise[..], b", ", text.as_bytes()].concat();
        client(ClientHeader::XForwardedFor, &[&noise]);
        client(ClientHeader::Forwarded, &[&noise]);
        assert_eq!(client(ClientHeader::XForwardedFor, &[&with(real.into())]), ip(real));
        let element = if v6 { format!("for=\"[{real}]:1\"") } else { format!("for={real}") };
        assert_eq!(client(ClientHeader::Forwarded, &[&with(element)]), ip(real));
    }

    #[test]
    fn the_short_way_and_the_long_way_find_the_same_client(
        lines in proptest::collection::vec(proptest::collection::vec(entry(), 1..4), 0..3),
        v6_peer in proptest::bool::ANY,
    ) {
        let lines: Vec<String> = lines.into_iter().map(|entries| entries.join(",")).collect();
        let lines: Vec<&[u8]> = lines.iter().map(|line| line.as_bytes()).collect();
        let forwarded = behind(&["10.0.0.0/8", "2001:db8:ff::/48"], ClientHeader::XForwardedFor);
        let says = headers(ClientHeader::XForwardedFor.name(), &lines);
        let peer = ip(if v6_peer { "2001:db8:ff::1" } else { "10.0.0.1" });
        assert_eq!(forwarded.read(&says, Some(peer)).0, forwarded.client_address(&says, peer), "{says:?}");
    }
}

/// What stands between two commas: addresses of clients and proxies, nearly addresses, and other things.
fn entry() -> impl Strategy<Value = String> {
    let octet = prop_oneof![4 => "0|[1-9][0-9]?", 2 => "1[0-9]{2}|2[0-5][0-9]", 1 => "[0-9]{1,4}"];
    let v4 = proptest::collection::vec(octet, 3..=5).prop_map(|octets| octets.join("."));
    let v6 = any::<u128>().prop_map(|bits| Ipv6Addr::from_bits(bits >> (bits % 128)).to_string());
    let address = prop_oneof![
        4 => v4,
        2 => any::<u32>().prop_map(|bits| Ipv4Addr::from_bits(bits).to_string()),
        2 => v6,
        1 => Just("10.1.2.3".to_owned()),
        1 => Just("2001:db8:ff::2".to_owned()),
        1 => "[0-9a-f:.]{0,12}",
    ];
    let around =
        || prop_oneof![6 => Just(""), 4 => Just(" "), 1 => Just("\t"), 1 => Just("\""), 1 => Just("x")];
    prop_oneof![
        8 => (around(), address, around()).prop_map(|(before, text, after)| format!("{before}{text}{after}")),
        1 => "[0-9a-z:.\"\\\\ ]{0,12}",
    ]
}
