//! Tickets: for one file, for minutes, for whom they were sealed.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use data_encoding::BASE64URL_NOPAD;
use proptest::prelude::*;
use serde_json::json;
use waypost::config::Allow;
use waypost::config::JwtAlgorithm::Es256;
use waypost::entitlement::{
    Bounds, Counts, Entitlements, Issuer, Question, Revoked, Rules, SealedFor, Tickets,
};
use waypost::model::{Denial, ProductName, RegionId, RegionName, Timestamp, Version};

use crate::signer::{NOW, P256, allow, at, claims, configured, entitlement, key_set, now};

const TTL: Duration = Duration::from_secs(300);

fn believing(tickets: Tickets, revoked: &[&str]) -> Entitlements {
    let revoked: Revoked = revoked.iter().map(|id| ("ci".to_owned(), (*id).to_owned())).collect();
    let issuers = [Issuer::new(&configured(&[Es256]), key_set(&[P256.jwk("k1")]))];
    let rules = Arc::new(Rules::new(&[entitlement(0, &[], vec![allow("*")])]));
    Entitlements::new(
        issuers.into(),
        rules,
        Arc::new(revoked),
        Arc::new(tickets),
        Arc::new(Counts::default()),
    )
}

fn region(name: &str) -> RegionName {
    RegionName::new(name).unwrap()
}

fn tickets(first: u8, others: &[u8]) -> Tickets {
    let others: Vec<Vec<u8>> = others.iter().map(|byte| vec![*byte; 32]).collect();
    Tickets::new(&[first; 32], &others, TTL)
}

struct File {
    product: ProductName,
    version: Version,
    asset: &'static str,
    client: IpAddr,
}

fn file(product: &str, version: &str, asset: &'static str, client: &str) -> File {
    File {
        product: ProductName::new(product).unwrap(),
        version: Version::parse(version).unwrap(),
        asset,
        client: client.parse().unwrap(),
    }
}

fn ours() -> File {
    file("agent", "1.0", "agent.tar.gz", "10.1.2.3")
}

fn sealed_for(file: &File) -> SealedFor<'_> {
    let File { product, version, asset, client } = file;
    SealedFor { product, version, asset, client: *client, region: None }
}

/// A ticket for [`ours`], from a token that expires so many seconds from now.
fn seal(entitlements: &Entitlements, expires_in: i64, network: Option<&str>) -> (String, Timestamp) {
    let token = P256.token("ES256", "k1", &claims(json!({ "exp": NOW + expires_in })));
    let grant = entitlements.grant(&token, now()).unwrap();
    let network = network.map(|network| network.parse().unwrap());
    let until = entitlements.tickets.end(&grant, now());
    let bounds = Bounds { until, regions: None, network };
    (entitlements.tickets.seal("ci", &grant, &sealed_for(&ours()), bounds), until)
}

fn denial(entitlements: &Entitlements, ticket: &str, file: &File, now: Timestamp) -> Option<Denial> {
    entitlements.redeem(ticket, &sealed_for(file), now).err().map(|disbelief| disbelief.reason)
}

#[test]
fn a_ticket_is_for_its_file_alone() {
    let entitlements = believing(tickets(1, &[]), &[]);
    let (ticket, _) = seal(&entitlements, 600, None);
    assert_eq!(denial(&entitlements, &ticket, &ours(), now()), None);
    for other in [
        file("agent2", "1.0", "agent.tar.gz", "10.1.2.3"),
        file("agent", "1.1", "agent.tar.gz", "10.1.2.3"),
        file("agent", "1.0", "agent.tar.gz.sha256", "10.1.2.3"),
        file("agent", "1.0", "Agent.tar.gz", "10.1.2.3"),
        file("agent", "1.0", "", "10.1.2.3"),
    ] {
        assert_eq!(denial(&entitlements, &ticket, &other, now()), Some(Denial::BadTicket), "{}", other.asset);
    }
    let elsewhere = file("agent", "1.0", "agent.tar.gz", "192.0.2.1");
    assert_eq!(denial(&entitlements, &ticket, &elsewhere, now()), None, "it was not bound to a network");
}

#[test]
fn a_ticket_that_is_bound_to_a_network_is_good_only_there() {
    let entitlements = believing(tickets(1, &[]), &[]);
    let (v4, _) = seal(&entitlements, 600, Some("10.1.2.0/24"));
    let (v6, _) = seal(&entitlements, 600, Some("2001:db8:1::/48"));
    for (ticket, client, expected) in [
        (&v4, "10.1.2.3", None),
        (&v4, "10.1.2.255", None),
        (&v4, "::ffff:10.1.2.3", None),
        (&v4, "10.1.3.0", Some(Denial::BadTicket)),
        (&v4, "2001:db8:1::1", Some(Denial::BadTicket)),
        (&v6, "2001:db8:1:ffff::1", None),
        (&v6, "2001:db8:2::1", Some(Denial::BadTicket)),
        (&v6, "10.1.2.3", Some(Denial::BadTicket)),
    ] {
        let file = file("agent", "1.0", "agent.tar.gz", client);
        assert_eq!(denial(&entitlements, ticket, &file, now()), expected, "{client}");
    }
}

#[test]
fn a_ticket_ends_with_its_time_or_with_its_token_whichever_is_first() {
    // The tests' issuer has 30 s of leeway.
    for (expires_in, seconds) in [(3600, 300), (100, 130)] {
        let entitlements = believing(tickets(1, &[]), &[]);
        let (ticket, until) = seal(&entitlements, expires_in, None);
        assert_eq!(until, at(NOW + seconds));
        let just_before = Timestamp::from_millis(until.as_millis() - 1);
        assert_eq!(denial(&entitlements, &ticket, &ours(), just_before), None);
        assert_eq!(denial(&entitlements, &ticket, &ours(), until), Some(Denial::ExpiredTicket));
    }
}

#[test]
fn any_bit_that_is_flipped_in_a_ticket_spoils_it() {
    let entitlements = believing(tickets(1, &[]), &[]);
    let (ticket, _) = seal(&entitlements, 600, Some("10.1.2.0/24"));
    for at in 0..ticket.len() {
        for bit in 0..7 {
            let mut bytes = ticket.clone().into_bytes();
            bytes[at] ^= 1 << bit;
            let Ok(spoilt) = String::from_utf8(bytes) else { continue };
            let denied = denial(&entitlements, &spoilt, &ours(), now());
            assert_eq!(denied, Some(Denial::BadTicket), "bit {bit} of byte {at}");
        }
    }
    let (body, seal) = ticket.split_once('.').unwrap();
    for spoilt in [
        format!("{ticket}="),
        format!("{ticket}.{seal}"),
        format!(" {ticket}"),
        format!("{body}.{}", &seal[..seal.len() - 4]),
        format!("{body}."),
        format!(".{seal}"),
        body.to_owned(),
        ".".to_owned(),
        "a".repeat(10 << 20),
    ] {
        assert_eq!(denial(&entitlements, &spoilt, &ours(), now()), Some(Denial::BadTicket));
    }
}

#[test]
fn secrets_are_changed_with_overlap_and_another_process_has_another_one() {
    let before = believing(tickets(1, &[]), &[]);
    let (ticket, _) = seal(&before, 600, None);
    let new_first = believing(tickets(2, &[1]), &[]);
    assert_eq!(denial(&new_first, &ticket, &ours(), now()), None, "the old secret is still believed");
    let (new_ticket, _) = seal(&new_first, 600, None);
    assert_eq!(denial(&before, &new_ticket, &ours(), now()), Some(Denial::BadTicket), "the first one seals");
    let without_old = believing(tickets(2, &[]), &[]);
    assert_eq!(denial(&without_old, &ticket, &ours(), now()), Some(Denial::BadTicket));
    assert_eq!(denial(&without_old, &new_ticket, &ours(), now()), None);
}

#[test]
fn a_ticket_does_not_outlive_the_revocation_of_its_token_or_its_issuer() {
    let (ticket, _) = seal(&believing(tickets(1, &[]), &[]), 600, None);
    let revoking = believing(tickets(1, &[]), &["t1"]);
    assert_eq!(denial(&revoking, &ticket, &ours(), now()), Some(Denial::Revoked));
    let nobody = Entitlements::new(
        Box::default(),
        Arc::default(),
        Arc::default(),
        Arc::new(tickets(1, &[])),
        Arc::default(),
    );
    assert_eq!(denial(&nobody, &ticket, &ours(), now()), Some(Denial::BadTicket));
}

#[test]
fn a_ticket_of_the_longest_names_can_be_redeemed() {
    let ours = ours();
    for id in ["x".repeat(256), "\u{1}".repeat(256), "\u{10ffff}".repeat(64)] {
        let issuer = "\"".repeat(128);
        let mut entitlements = believing(tickets(1, &[]), &[]);
        entitlements.issuers[0].name = issuer.as_str().into();
        let token = P256.token("ES256", "k1", &claims(json!({ "jti": id })));
        let grant = entitlements.grant(&token, now()).unwrap();
        let regions: Vec<RegionName> = (0..8).map(|n| region(&format!("{n}{}", "x".repeat(127)))).collect();
        let here = SealedFor { region: Some(&regions[0]), ..sealed_for(&ours) };
        let (until, network) = (at(NOW + 300), Some("10.1.2.0/24".parse().unwrap()));
        let bounds = Bounds { until, regions: Some(regions.clone()), network };
        let ticket = entitlements.tickets.seal(&issuer, &grant, &here, bounds);
        let redeemed = entitlements.redeem(&ticket, &here, now()).unwrap();
        assert_eq!(redeemed.token_id.as_deref(), Some(id.as_str()));
    }
}

/// A moment so many seconds from now, and what is left of a ticket that five minutes are given to.
fn lasts(rules: Vec<Allow>, region: u16) -> (i64, Option<Vec<u16>>) {
    let rules = Arc::new(Rules::new(&[entitlement(0, &[], rules)]));
    let issuers = [Issuer::new(&configured(&[Es256]), key_set(&[P256.jwk("k1")]))];
    let (revoked, tickets) = (Arc::default(), Arc::new(tickets(1, &[])));
    let entitlements = Entitlements::new(issuers.into(), rules, revoked, tickets, Arc::default());
    let grant = entitlements.grant(P256.token("ES256", "k1", &claims(json!({}))), now()).unwrap();
    let file = ours();
    let (region, version) = (Some(RegionId(region)), Some(&file.version));
    let question =
        Question { product: &file.product, version, channels: None, asset: None, region, now: now() };
    let (until, regions) = grant.lasts(&question, at(NOW + 300));
    let regions = regions.map(|regions| regions.into_iter().map(|RegionId(id)| id).collect());
    (until.as_millis() / 1000 - NOW, regions)
}

#[test]
fn a_ticket_lasts_as_long_and_reaches_as_far_as_the_rules_that_go_on_giving_the_file() {
    let rule = |regions: &[u16], until: Option<i64>| Allow {
        regions: regions.iter().copied().map(RegionId).collect(),
        until: until.map(|seconds| at(NOW + seconds)),
        ..allow("agent")
    };
    let counted = |rule: Allow| Allow { assets: Some(9), ..rule };
    let other = Allow { product: allow("other").product, ..rule(&[], None) };
    for (rules, expected) in [
        (vec![rule(&[], None)], (300, None)),
        (vec![rule(&[], Some(1000))], (300, None)),
        (vec![rule(&[], Some(100))], (100, None)),
        (vec![rule(&[], Some(100)), rule(&[], Some(200))], (200, None)),
        (vec![rule(&[], Some(100)), rule(&[], None)], (300, None)),
        // What is over, or given elsewhere, or of another product, prolongs nothing.
        (vec![rule(&[], Some(100)), rule(&[], Some(-1)), rule(&[2], None), other], (100, None)),
        (vec![rule(&[1, 2], None)], (300, Some(vec![1, 2]))),
        (vec![rule(&[1, 2], None), rule(&[1, 3], Some(300))], (300, Some(vec![1, 2, 3]))),
        (vec![rule(&[1, 2], None), rule(&[], Some(300))], (300, None)),
        // Everywhere, and for a shorter time, than where it goes on.
        (vec![rule(&[1, 2], None), rule(&[], Some(100))], (300, Some(vec![1, 2]))),
        // What is counted is not asked again.
        (vec![counted(rule(&[], None)), rule(&[1], Some(100))], (100, Some(vec![1]))),
        (vec![counted(rule(&[], Some(200))), counted(rule(&[1], Some(100)))], (200, None)),
    ] {
        assert_eq!(lasts(rules.clone(), 1), expected, "{rules:?}");
    }
}

#[test]
fn a_ticket_that_is_held_to_regions_is_good_only_there() {
    let entitlements = believing(tickets(1, &[]), &[]);
    let grant = entitlements.grant(P256.token("ES256", "k1", &claims(json!({}))), now()).unwrap();
    let (ours, until) = (ours(), at(NOW + 300));
    let names: Vec<RegionName> = (0..20).map(|n| region(&format!("r{n}"))).collect();
    let denial = |sealed: &[usize], from: usize, shown: Option<usize>| {
        let regions = Some(sealed.iter().map(|at| names[*at].clone()).collect());
        let at = |at: Option<usize>| SealedFor { region: at.map(|at| &names[at]), ..sealed_for(&ours) };
        let bounds = Bounds { until, regions, network: None };
        let ticket = entitlements.tickets.seal("ci", &grant, &at(Some(from)), bounds);
        entitlements.redeem(&ticket, &at(shown), now()).err().map(|disbelief| disbelief.reason)
    };
    for (shown, expected) in
        [(Some(1), None), (Some(2), None), (Some(3), Some(Denial::Region)), (None, Some(Denial::Region))]
    {
        assert_eq!(denial(&[1, 2], 1, shown), expected, "{shown:?}");
    }
    let many: Vec<usize> = (0..9).collect();
    assert_eq!(denial(&many[..8], 1, Some(7)), None);
    assert_eq!((denial(&many, 1, Some(1)), denial(&many, 1, Some(7))), (None, Some(Denial::Region)));
    assert_eq!(denial(&[], 1, Some(1)), Some(Denial::Region), "none is not all");
}

#[test]
fn a_ticket_is_no_token_and_a_token_no_ticket() {
    let entitlements = believing(tickets(1, &[]), &[]);
    let (ticket, _) = seal(&entitlements, 600, None);
    assert!(entitlements.grant(&ticket, now()).is_err());
    let token = P256.token("ES256", "k1", &claims(json!({})));
    assert_eq!(denial(&entitlements, &token, &ours(), now()), Some(Denial::BadTicket));
}

proptest! {
    #[test]
    fn no_text_makes_the_opener_panic_or_is_opened(
        text in "\\PC{0,200}",
        body in proptest::collection::vec(any::<u8>(), 0..60),
        seal in proptest::collection::vec(any::<u8>(), 0..40),
    ) {
        let entitlements = believing(tickets(1, &[]), &[]);
        let of_bytes = format!("{}.{}", BASE64URL_NOPAD.encode(&body), BASE64URL_NOPAD.encode(&seal));
        for ticket in [text, of_bytes] {
            prop_assert_eq!(denial(&entitlements, &ticket, &ours(), now()), Some(Denial::BadTicket));
        }
    }
}
