//! What was kept over a restart, and how old it may become: by the clock that is given, forwards and backwards.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use waypost::config::{Config, Issuer, IssuerKeys, JwtAlgorithm, parse};
use waypost::entitlement::{Counted, FileKey, Issuer as TokenIssuer, Take};
use waypost::metrics::Metrics;
use waypost::model::{ProductName, Timestamp, Version};
use waypost::snapshot::Snapshot;
use waypost::store::{AccessNote, KnownKeys, Loaded, Observation};
use waypost::workers::fact::{Fact, Listing, Reading};
use waypost::workers::publish::World;
use waypost::workers::{Prepared, TicketSecret};

use crate::signer::{P256, configured, jwks, now};

const URL: &str = "https://ci.example/jwks";
const MAX_AGE: Duration = Duration::from_secs(3600);
const DAY: i64 = 24 * 60 * 60 * 1000;

fn config() -> Config {
    let text = "[server]\nlisten = [\"127.0.0.1:0\"]\n[origin]\nurl = \"origin\"\n\
                [[mirror]]\nname = \"fra\"\nurl = \"https://fra.example\"\n";
    let mut config = parse(text, Path::new("/etc/waypost.toml")).unwrap().config;
    let keys = IssuerKeys::Jwks { url: URL.parse().unwrap(), refresh: MAX_AGE, max_age: MAX_AGE };
    config.issuers = vec![Issuer { keys, ..configured(&[JwtAlgorithm::Es256]) }];
    config
}

fn millis(by: i64) -> Timestamp {
    Timestamp::from_millis(now().as_millis() + by)
}

/// A world that knows this from before, [`now`].
fn world(loaded: Loaded) -> World {
    let prepared =
        Prepared::new(Arc::new(config()), None, &TicketSecret::random(), &Arc::new(Metrics::new())).unwrap();
    let mut world = World::new(Box::new(prepared), loaded, now());
    world.apply(Fact::Origin(Reading::Listing(Listing::default())), now());
    world
}

fn published(world: &mut World) -> Snapshot {
    world.next_snapshot(now()).expect("something changed")
}

fn has_keys(snapshot: &Snapshot) -> bool {
    snapshot.entitlements.issuers[0].keys.is_some()
}

fn known(issuer: &str, url: &str, body: &[u8], age: i64) -> KnownKeys {
    let body = body.to_vec().into();
    KnownKeys { issuer: issuer.to_owned(), url: url.to_owned(), fetched_at: millis(-age), body }
}

fn good() -> Vec<u8> {
    jwks(&[P256.jwk("k1")])
}

#[test]
fn keys_of_before_are_believed_while_they_are_young_and_of_this_issuer_from_this_url() {
    let hour = 3600 * 1000;
    for (keys, expected) in [
        (known("ci", URL, &good(), 0), true),
        (known("ci", URL, &good(), hour), true),
        (known("ci", URL, &good(), hour + 1), false),
        // The clock has gone back since.
        (known("ci", URL, &good(), -hour), true),
        (known("ci", URL, &good(), -hour - 1), false),
        (known("qa", URL, &good(), 0), false),
        (known("ci", "https://elsewhere.example/jwks", &good(), 0), false),
        (known("ci", "no url", &good(), 0), false),
        (known("ci", URL, b"garbage", 0), false),
    ] {
        let loaded = Loaded { issuer_keys: vec![keys.clone()], ..Loaded::default() };
        assert_eq!(has_keys(&published(&mut world(loaded))), expected, "{keys:?}");
    }
}

#[test]
fn keys_that_grow_too_old_go_with_a_tick_and_from_the_store() {
    let loaded = Loaded { issuer_keys: vec![known("ci", URL, &good(), 0)], ..Loaded::default() };
    let mut world = world(loaded);
    assert!(has_keys(&published(&mut world)));
    world.apply(Fact::Tick, millis(3600 * 1000));
    assert!(world.next_snapshot(now()).is_none(), "nothing changed");
    world.take_effects();
    world.apply(Fact::Tick, millis(3600 * 1000 + 1));
    assert!(!has_keys(&published(&mut world)));
    let gone = Observation::Access(AccessNote::KeysGone { issuer: "ci".to_owned() });
    assert_eq!(world.take_effects().observations, [gone]);
}

#[test]
fn what_was_counted_is_known_until_it_does_not_matter_and_goes_from_the_store_as_well() {
    let file =
        |name: &str| FileKey::new(&ProductName::new("agent").unwrap(), &Version::parse("1.0").unwrap(), name);
    let counted =
        Counted { issuer: "ci".into(), token_id: "t1".into(), file: file("a"), until: millis(5000) };
    let mut world = world(Loaded { counted: vec![counted], ..Loaded::default() });
    let counts = Arc::clone(&published(&mut world).entitlements.counts);
    let another = || counts.could_take("ci", "t1", file("another"), 1);
    assert_eq!(another(), Take::TooMany);
    assert!(world.take_effects().observations.is_empty());
    let end = millis(60_000);
    world.apply(Fact::Tick, end);
    assert_eq!(another(), Take::Given);
    let gone = Observation::Access(AccessNote::CountedGone { now: end });
    assert_eq!(world.take_effects().observations, [gone]);
}

#[test]
fn what_was_counted_of_a_token_that_has_ended_meanwhile_is_not_known_at_a_start() {
    let file = FileKey::new(&ProductName::new("agent").unwrap(), &Version::parse("1.0").unwrap(), "a");
    let counted = Counted { issuer: "ci".into(), token_id: "t1".into(), file, until: now() };
    let mut world = world(Loaded { counted: vec![counted], ..Loaded::default() });
    assert_eq!(published(&mut world).entitlements.counts.files(), 0);
    let gone = Observation::Access(AccessNote::CountedGone { now: now() });
    assert_eq!(world.take_effects().observations, [gone]);
}

#[test]
fn a_jti_counts_as_long_as_its_token_and_any_other_id_for_four_hundred_days() {
    let issuer = |claim: &str| {
        let token_id = claim.to_owned();
        TokenIssuer::new(&Issuer { token_id, ..configured(&[JwtAlgorithm::Es256]) }, None)
    };
    let end = millis(1000);
    assert_eq!(issuer("jti").counted_until(end, now()), end);
    assert_eq!(issuer("sub").counted_until(end, now()), millis(400 * DAY));
}
