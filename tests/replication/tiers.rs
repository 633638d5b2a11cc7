//! What tiers and retention want, on a world without mirrors that answer.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};
use waypost::catalog::ReleaseId;
use waypost::config;
use waypost::metrics::Metrics;
use waypost::model::{ChannelName, MirrorName, ProductName, Timestamp, Version};
use waypost::store::{Action, Loaded, Order};
use waypost::workers::fact::{Fact, Listed, Listing, ReadManifest, Reading};
use waypost::workers::publish::World;
use waypost::workers::{Prepared, TicketSecret};

const DAY: i64 = 86_400_000;
/// Releases are published a day apart, the last one now.
const NOW: i64 = 1_800_000_000_000;

fn at(day: i64) -> Timestamp {
    Timestamp::from_millis(NOW + day * DAY)
}

fn world(tables: &str) -> World {
    let text = format!(
        "[server]\nlisten = [\"127.0.0.1:0\"]\nstate = \"state\"\n[origin]\nurl = \"http://origin.example/\"\n\
         [[mirror]]\nname = \"m\"\nurl = \"http://m.example/\"\ntier = \"edge\"\n{tables}\n"
    );
    let loaded =
        config::parse(&text, Path::new("/x/waypost.toml")).unwrap_or_else(|problems| panic!("{problems}"));
    let prepared =
        Prepared::new(Arc::new(loaded.config), None, &TicketSecret::random(), &Arc::new(Metrics::new()))
            .unwrap();
    World::new(Box::new(prepared), Loaded::default(), at(0))
}

/// `version channel…`, published a day apart, the last one now; all of a product `tool`, and those of `agent/…` of that.
fn publish(world: &mut World, releases: &[&str]) {
    let mut manifests = BTreeMap::new();
    for (text, age) in releases.iter().rev().zip(0..) {
        let mut words = text.split(' ');
        let name = words.next().unwrap();
        let (product, version) = name.split_once('/').unwrap_or(("tool", name));
        let manifest = json!({
            "schema": 1, "product": product, "version": version, "channels": words.collect::<Vec<_>>(),
            "published_at": at(-age).to_string(),
            "assets": [{ "name": "file", "size": 1, "sha256": "00".repeat(32) }],
        });
        let read = ReadManifest::parse(manifest.to_string().into()).unwrap();
        manifests.insert(format!("{product}/{version}/manifest.json"), Listed::Read(read));
    }
    world.apply(Fact::Origin(Reading::Listing(Listing { manifests, ..Listing::default() })), at(0));
}

fn obey(world: &mut World, action: Action) {
    let (actor, reason) = ("test".to_owned(), String::new());
    world.obey(&Order { id: 1, at: at(0), actor, reason, action });
}

fn point(world: &mut World, channel: &str, version: &str) {
    let (product, channel) = (ProductName::new("tool").unwrap(), ChannelName::new(channel).unwrap());
    let to = Version::parse(version).unwrap();
    obey(world, Action::ChannelMove { product, channel, from: None, to, above: None });
}

fn withdraw(world: &mut World, version: &str) {
    let (product, version) = (ProductName::new("tool").unwrap(), Version::parse(version).unwrap());
    obey(world, Action::ReleaseWithdraw { product, version, replacement: None });
}

/// Versions that the mirror is to hold, those of `tool` without their product, in order.
fn wanted(world: &mut World, now: Timestamp) -> Vec<String> {
    let files = world.mirror_files(&MirrorName::new("m").unwrap(), now).unwrap();
    let name = |id: &ReleaseId| match &*id.product {
        "tool" => id.version.to_string(),
        other => format!("{other}/{}", id.version),
    };
    let mut versions: Vec<String> = files.wanted.iter().map(|wanted| name(&wanted.release.id)).collect();
    versions.sort();
    versions
}

fn unwanted(world: &mut World) -> Vec<Value> {
    let files = world.mirror_files(&MirrorName::new("m").unwrap(), at(0)).unwrap();
    let mut list: Vec<Value> =
        files.unwanted.iter().map(|release| json!([release.version, release.reason])).collect();
    list.sort_by_key(Value::to_string);
    list
}

const RELEASES: &[&str] = &[
    "agent/7.0 stable",
    "1.0 stable",
    "1.1 stable",
    "1.2 stable",
    "2.0-rc.1 beta",
    "1.3 stable",
    "2.0 stable",
];

/// `stable` points to 1.2 and waits for two, `beta` points to 2.0-rc.1.
fn with_tier(tier: &str) -> World {
    let mut world = world(tier);
    publish(&mut world, RELEASES);
    for (channel, version) in [("stable", "1.1"), ("stable", "1.2"), ("beta", "2.0-rc.1")] {
        point(&mut world, channel, version);
    }
    world
}

#[test]
fn each_kind_of_tier_wants_what_its_description_says() {
    let all = ["1.0", "1.1", "1.2", "1.3", "2.0", "2.0-rc.1", "agent/7.0"];
    let cases: [(&str, &[&str]); 11] = [
        ("releases = \"all\"", &all),
        ("releases = \"none\"", &[]),
        ("releases = \"current\"", &["1.2", "1.3", "2.0", "2.0-rc.1", "agent/7.0"]),
        ("releases = \"current\"\nchannels = [\"beta\"]", &["2.0-rc.1"]),
        ("releases = \"current\"\nproducts = [\"tool\"]", &["1.2", "1.3", "2.0", "2.0-rc.1"]),
        ("releases = \"all\"\nchannels = [\"stable\"]", &["1.0", "1.1", "1.2", "1.3", "2.0", "agent/7.0"]),
        ("releases = { newest = 0 }\nproducts = [\"agent\"]", &["agent/7.0"]),
        // These are the newest five of the product.
        ("releases = { newest = 5 }\nproducts = [\"tool\"]", &["1.1", "1.2", "1.3", "2.0", "2.0-rc.1"]),
        (
            "releases = { newest = 6 }\nchannels = [\"stable\"]",
            &["1.0", "1.1", "1.2", "1.3", "2.0", "agent/7.0"],
        ),
        ("releases = { within = \"1d\" }\nchannels = [\"beta\"]", &["2.0-rc.1"]),
        ("releases = { within = \"4d\" }\nproducts = [\"tool\"]", &["1.1", "1.2", "1.3", "2.0", "2.0-rc.1"]),
    ];
    for (tier, expected) in cases {
        let mut world = with_tier(&format!("[[tier]]\nname = \"edge\"\n{tier}"));
        assert_eq!(wanted(&mut world, at(0)), expected, "{tier}");
    }
}

#[test]
fn lines_of_one_tier_add_up_and_other_tiers_do_not_count() {
    let mut world = with_tier(
        "[[tier]]\nname = \"edge\"\nproducts = [\"agent\"]\nreleases = \"all\"\n\
         [[tier]]\nname = \"edge\"\nchannels = [\"beta\"]\nreleases = \"current\"\n\
         [[tier]]\nname = \"other\"\nreleases = \"all\"",
    );
    assert_eq!(wanted(&mut world, at(0)), ["2.0-rc.1", "agent/7.0"]);
    assert!(unwanted(&mut world).contains(&json!(["1.0", "tier"])));
}

#[test]
fn a_tier_follows_its_channels() {
    let mut world = with_tier("[[tier]]\nname = \"edge\"\nproducts = [\"tool\"]\nreleases = \"current\"");
    point(&mut world, "stable", "2.0");
    assert_eq!(wanted(&mut world, at(0)), ["2.0", "2.0-rc.1"], "nothing is waited for any more");
}

#[test]
fn what_grows_old_is_not_wanted_any_more() {
    let mut world =
        with_tier("[[tier]]\nname = \"edge\"\nproducts = [\"tool\"]\nreleases = { within = \"4d\" }");
    point(&mut world, "stable", "2.0");
    assert_eq!(wanted(&mut world, at(0)), ["1.1", "1.2", "1.3", "2.0", "2.0-rc.1"]);
    assert_eq!(wanted(&mut world, at(2)), ["1.3", "2.0", "2.0-rc.1"]);
    assert_eq!(wanted(&mut world, at(90)), ["2.0", "2.0-rc.1"]);
}

#[test]
fn the_retention_leaves_what_is_new_or_young_or_in_use_and_the_release_before() {
    let all = "[[tier]]\nname = \"edge\"\nproducts = [\"tool\"]\nreleases = \"all\"\n";
    let cases: [(&str, &[&str]); 4] = [
        ("", &["1.0", "1.1", "1.2", "1.3", "2.0", "2.0-rc.1"]),
        ("newest = 1", &["1.1", "1.2", "1.3", "2.0", "2.0-rc.1"]),
        ("age = \"1d\"", &["1.1", "1.2", "1.3", "2.0", "2.0-rc.1"]),
        ("newest = 1\nage = \"5d\"", &["1.0", "1.1", "1.2", "1.3", "2.0", "2.0-rc.1"]),
    ];
    for (retention, expected) in cases {
        let mut world = with_tier(&format!("{all}[retention]\n{retention}"));
        assert_eq!(wanted(&mut world, at(0)), expected, "{retention}");
    }
    let mut world = with_tier(&format!("{all}[retention]\nnewest = 1"));
    assert_eq!(unwanted(&mut world), [json!(["1.0", "retention"]), json!(["7.0", "tier"])]);
    // From 1.2 to 2.0: 1.2 is the release before now, and 1.1 is not.
    point(&mut world, "stable", "2.0");
    assert_eq!(wanted(&mut world, at(0)), ["1.2", "2.0", "2.0-rc.1"]);
    withdraw(&mut world, "1.2");
    assert_eq!(
        wanted(&mut world, at(0)),
        ["1.1", "2.0", "2.0-rc.1"],
        "the one before that is the last good one"
    );
}

#[test]
fn the_retention_leaves_what_a_rollback_leads_to() {
    let mut world = with_tier(
        "[[tier]]\nname = \"edge\"\nproducts = [\"tool\"]\nreleases = \"all\"\n[retention]\nnewest = 1",
    );
    // To 2.0, and back to 1.2 because it was bad: from there it would go back to 1.1.
    point(&mut world, "stable", "2.0");
    point(&mut world, "stable", "1.2");
    assert_eq!(wanted(&mut world, at(0)), ["1.1", "1.2", "1.3", "2.0", "2.0-rc.1"]);
}

#[test]
fn nobody_is_to_hold_what_is_withdrawn_and_it_counts_for_nothing() {
    let mut world = with_tier(
        "[[tier]]\nname = \"edge\"\nchannels = [\"stable\"]\nproducts = [\"tool\"]\nreleases = { newest = 4 }",
    );
    assert_eq!(wanted(&mut world, at(0)), ["1.1", "1.2", "1.3", "2.0"]);
    withdraw(&mut world, "2.0");
    assert_eq!(wanted(&mut world, at(0)), ["1.0", "1.1", "1.2", "1.3"]);
    assert!(unwanted(&mut world).contains(&json!(["2.0", "withdrawn"])));
}

#[test]
fn the_gate_hears_of_drift_only_once_somebody_listed_and_only_where_the_release_is_wanted() {
    use waypost::fetch::ListingKind;
    use waypost::workers::inventory::{Drift, FolderListed, FolderOutcome};
    let mut world = with_tier("[[tier]]\nname = \"edge\"\nreleases = \"current\"");
    let id = |version: &str| ReleaseId {
        product: ProductName::new("tool").unwrap(),
        version: Version::parse(version).unwrap(),
    };
    let listed = |version: &str, outcome| {
        let (mirror, release) = (MirrorName::new("m").unwrap(), id(version));
        Fact::Listed(FolderListed { mirror, release, assets: 1, complete: false, outcome })
    };
    wanted(&mut world, at(0));
    assert_eq!(world.drift_of(&id("2.0")), None);
    world.apply(listed("2.0", FolderOutcome::NoListing), at(0));
    assert_eq!(world.drift_of(&id("2.0")), None);
    world.apply(listed("2.0", FolderOutcome::Listed(ListingKind::S3, Drift::default())), at(0));
    assert_eq!(world.drift_of(&id("2.0")).unwrap(), [""; 0]);
    let unexpected: Vec<String> = (0..12).map(|n| format!("old-{n:02}")).collect();
    let drift = Drift { unexpected, unexpected_count: 12, missing: vec![0], wrong_size: vec![] };
    world.apply(listed("2.0", FolderOutcome::Listed(ListingKind::S3, drift.clone())), at(0));
    world.apply(listed("2.0", FolderOutcome::Unreachable), at(0));
    let lines = world.drift_of(&id("2.0")).unwrap();
    assert_eq!((&*lines[0], &*lines[10], lines.len()), ("m: unexpected old-00", "m: and 3 more", 11));
    world.apply(listed("1.0", FolderOutcome::Listed(ListingKind::S3, drift)), at(0));
    assert_eq!(world.drift_of(&id("1.0")), None, "it is not to hold that one");
    assert_eq!(world.drift_of(&id("9.9")), None);
}
