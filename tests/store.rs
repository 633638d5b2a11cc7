//! The store's promises: what was acknowledged is never lost, what was seen comes back after a restart, and every
//! way in which a state folder can be bad has a clear answer.
#![allow(clippy::unwrap_used, missing_docs)]

#[path = "support/disk.rs"]
mod disk;
#[path = "store/folder.rs"]
mod folder;
#[path = "store/survival.rs"]
mod survival;

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use waypost::model::{ChannelName, MirrorName, ProductName, Timestamp, Version};
use waypost::store::{
    Action, BODY_MAX, KnownManifest, Loaded, NewOrder, Observation, OpenNote, Order, Store, StoreError,
};

const JOURNAL: &str = "orders.jsonl";
const DATABASE: &str = "waypost.db";

fn product(n: u8) -> ProductName {
    ProductName::new(&format!("tool-{n}")).unwrap()
}

fn mirror(n: u8) -> MirrorName {
    MirrorName::new(&format!("mirror-{n}")).unwrap()
}

fn version(n: u8) -> Version {
    Version::parse(&format!("v1.{n}")).unwrap()
}

fn order(n: u64) -> NewOrder {
    let name = mirror((n % 5) as u8);
    let action = match n % 4 {
        0 => Action::MirrorDrain { mirror: name },
        1 => Action::MirrorUndrain { mirror: name },
        2 => Action::MirrorVerify { mirror: name },
        _ => Action::ChannelMove {
            product: product(1),
            channel: ChannelName::new("stable").unwrap(),
            from: (n % 8 == 3).then(|| version(1)),
            to: version(2),
            above: (n % 16 == 3).then(|| version(3)),
        },
    };
    let at = Timestamp::from_millis(1_000 + n as i64);
    NewOrder { at, actor: format!("ci-{n}"), reason: format!("reason\n{n} ü"), action }
}

fn manifest(p: u8, v: u8, body: u8) -> Observation {
    Observation::Manifest(KnownManifest {
        product: product(p),
        version: version(v),
        body: vec![body; 40].into(),
        first_seen: Timestamp::from_millis(i64::from(body)),
    })
}

fn copies(m: u8, p: u8, v: u8, body: u8) -> Observation {
    Observation::Copies { mirror: mirror(m), product: product(p), version: version(v), body: vec![body; 9] }
}

fn open(folder: &Path) -> (Store, Loaded) {
    Store::open(folder).unwrap_or_else(|error| panic!("{error}"))
}

/// A folder in which `count` orders were acknowledged, and those.
fn used(count: u64) -> (tempfile::TempDir, Vec<Order>) {
    let folder = tempfile::tempdir().unwrap();
    let (mut store, _) = open(folder.path());
    let orders = (1..=count).map(|n| store.append(order(n)).unwrap()).collect();
    (folder, orders)
}

fn append_to(path: &Path, bytes: &[u8]) {
    OpenOptions::new().append(true).open(path).unwrap().write_all(bytes).unwrap();
}

fn aside(folder: &Path, name: &str) -> Vec<PathBuf> {
    let files = fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
    let prefix = format!("{name}.damaged-");
    files.filter(|file| file.file_name().unwrap().to_str().unwrap().starts_with(&prefix)).collect()
}

// What every kind of store promises. A second one is opened by a function of its own and joins at the end.

type Open = fn(&Path) -> (Store, Loaded);

fn orders_come_back_as_given_and_numbered(open: Open) {
    let folder = tempfile::tempdir().unwrap();
    let (mut store, loaded) = open(folder.path());
    assert!(loaded.orders.is_empty() && loaded.notes.is_empty() && !loaded.state_lost);
    let mut given = Vec::new();
    for n in 1..=6 {
        let new = order(n);
        let got = store.append(new.clone()).unwrap();
        let Order { id, at, actor, reason, action } = got.clone();
        assert_eq!((id, NewOrder { at, actor, reason, action }), (n, new));
        given.push(got);
        if n % 2 == 0 {
            drop(store);
            let (again, loaded) = open(folder.path());
            store = again;
            assert_eq!(loaded.orders, given);
            assert_eq!(loaded.notes, []);
        }
    }
}

fn the_last_observation_counts_and_what_is_gone_stays_gone(open: Open) {
    let folder = tempfile::tempdir().unwrap();
    let (mut store, _) = open(folder.path());
    let standing = |m, body| Observation::Standing { mirror: mirror(m), body: vec![body] };
    store.record(&[manifest(1, 1, 1), manifest(1, 2, 1), manifest(2, 1, 1), standing(1, 1)]).unwrap();
    store.record(&[standing(2, 2), standing(1, 3), manifest(1, 1, 9)]).unwrap();
    store.record(&[copies(1, 1, 1, 1), copies(1, 1, 2, 1), copies(2, 1, 1, 1), copies(3, 2, 1, 1)]).unwrap();
    let gone = Observation::CopiesGone { mirror: mirror(2), product: product(1), version: version(1) };
    let retired = Observation::ManifestGone { product: product(2), version: version(1) };
    store.record(&[gone, retired, copies(1, 1, 1, 5)]).unwrap();
    drop(store);
    let (mut store, loaded) = open(folder.path());
    let facts = facts(&loaded);
    let expected =
        ["tool-1/v1.1 [9; 40] 9", "tool-1/v1.2 [1; 40] 1", "mirror-1 [3]", "mirror-2 [2]"].map(String::from);
    let mut expected: Vec<_> = expected.into();
    expected.extend(["mirror-1 tool-1/1.1 [5; 9]", "mirror-1 tool-1/1.2 [1; 9]"].map(String::from));
    expected.sort();
    assert_eq!(facts, expected);
    store.record(&[Observation::MirrorGone { mirror: mirror(1) }]).unwrap();
    drop(store);
    let (_, loaded) = open(folder.path());
    assert_eq!(loaded.standings, vec![(mirror(2), vec![2])]);
    assert!(!crate::facts(&loaded).iter().any(|fact| fact.contains("mirror-1")));
}

/// Observations as sorted lines.
fn facts(loaded: &Loaded) -> Vec<String> {
    let body = |bytes: &[u8]| match bytes {
        [one] => format!("[{one}]"),
        [first, ..] if bytes.iter().all(|b| b == first) => format!("[{first}; {}]", bytes.len()),
        _ => format!("{bytes:?}"),
    };
    let manifests = loaded
        .manifests
        .iter()
        .map(|m| format!("{}/{} {} {}", m.product, m.version, body(&m.body), m.first_seen.as_millis()));
    let standings = loaded.standings.iter().map(|(mirror, bytes)| format!("{mirror} {}", body(bytes)));
    let copies = loaded.copies.releases.iter().flat_map(|held| {
        let mirrors = &loaded.copies.mirrors;
        let line = move |(mirror, bytes): (u32, &[u8])| {
            format!("{} {}/{} {}", mirrors[mirror as usize], held.product, held.version, body(bytes))
        };
        held.within(0..u32::MAX).map(line)
    });
    let mut facts: Vec<String> = manifests.chain(standings).chain(copies).collect();
    facts.sort();
    facts
}

fn a_version_with_and_without_v_is_one_release(open: Open) {
    let folder = tempfile::tempdir().unwrap();
    let (mut store, _) = open(folder.path());
    store.record(&[manifest(1, 1, 1), copies(1, 1, 1, 1)]).unwrap();
    let version = Version::parse("1.1").unwrap();
    store
        .record(&[Observation::Copies {
            mirror: mirror(1),
            product: product(1),
            version: version.clone(),
            body: vec![2],
        }])
        .unwrap();
    drop(store);
    let (mut store, loaded) = open(folder.path());
    assert_eq!(facts(&loaded), ["mirror-1 tool-1/1.1 [2]", "tool-1/v1.1 [1; 40] 1"]);
    store.record(&[Observation::ManifestGone { product: product(1), version }]).unwrap();
    drop(store);
    assert_eq!(facts(&open(folder.path()).1), [""; 0]);
}

fn a_batch_is_recorded_whole_or_not_at_all_and_what_is_too_long_is_refused(open: Open) {
    let folder = tempfile::tempdir().unwrap();
    let (mut store, _) = open(folder.path());
    let enormous = Observation::Standing { mirror: mirror(1), body: vec![0; BODY_MAX + 1] };
    let error = store.record(&[manifest(1, 1, 1), enormous]).unwrap_err();
    assert!(matches!(error, StoreError::TooLong { max: BODY_MAX, .. }), "{error}");
    let long = |n| "x".repeat(n + 1);
    for new in [
        NewOrder { actor: long(NewOrder::ACTOR_MAX), ..order(1) },
        NewOrder { reason: long(NewOrder::REASON_MAX), ..order(1) },
    ] {
        assert!(matches!(store.append(new), Err(StoreError::TooLong { .. })));
    }
    let longest = NewOrder { reason: "\u{1}".repeat(NewOrder::REASON_MAX), ..order(1) };
    let kept = store.append(longest).unwrap();
    drop(store);
    let (_, loaded) = open(folder.path());
    assert_eq!((facts(&loaded).len(), loaded.orders), (0, vec![kept]));
}

macro_rules! promises {
    ($kind:ident, $open:path: $($promise:ident),+ $(,)?) => {
        mod $kind {
            $(#[test]
            fn $promise() {
                super::$promise($open);
            })+
        }
    };
}

promises!(sqlite, super::open:
    orders_come_back_as_given_and_numbered,
    the_last_observation_counts_and_what_is_gone_stays_gone,
    a_version_with_and_without_v_is_one_release,
    a_batch_is_recorded_whole_or_not_at_all_and_what_is_too_long_is_refused,
);

// What the journal and the database promise together.

#[test]
fn a_store_can_be_given_to_the_thread_that_writes() {
    let (folder, mut orders) = used(1);
    let (mut store, _) = open(folder.path());
    orders.push(std::thread::spawn(move || store.append(order(2)).unwrap()).join().unwrap());
    assert_eq!(open(folder.path()).1.orders, orders);
}

#[test]
fn either_file_alone_brings_every_order_back_and_the_other_file_too() {
    let (folder, orders) = used(5);
    for (lost, note) in [
        (DATABASE, [OpenNote::DatabaseMissing, OpenNote::DatabaseRefilled { orders: 5 }]),
        (JOURNAL, [OpenNote::JournalMissing, OpenNote::JournalRefilled { orders: 5 }]),
        (DATABASE, [OpenNote::DatabaseMissing, OpenNote::DatabaseRefilled { orders: 5 }]),
    ] {
        fs::remove_file(folder.path().join(lost)).unwrap();
        let (_, loaded) = open(folder.path());
        assert_eq!((&loaded.orders, &loaded.notes[..]), (&orders, &note[..]), "without {lost}");
        assert!(!loaded.state_lost);
        assert_eq!(open(folder.path()).1.notes, [], "repaired once");
    }
}

#[test]
fn a_garbage_database_is_set_aside_and_filled_again_from_the_journal() {
    for garbage in [&b"not a database at all, only text"[..], &[0; 8192], &[0xa5; 100_000]] {
        let (folder, orders) = used(3);
        fs::write(folder.path().join(DATABASE), garbage).unwrap();
        let (mut store, loaded) = open(folder.path());
        assert_eq!(loaded.orders, orders);
        let [OpenNote::DatabaseDamaged { kept, .. }, OpenNote::DatabaseRefilled { orders: 3 }] =
            &loaded.notes[..]
        else {
            panic!("{:?}", loaded.notes)
        };
        assert_eq!(fs::read(kept).unwrap(), garbage);
        assert_eq!(aside(folder.path(), DATABASE), std::slice::from_ref(kept));
        assert_eq!(store.append(order(4)).unwrap().id, 4);
    }
}

#[test]
fn any_byte_of_the_database_header_may_be_wrong() {
    let (folder, orders) = used(2);
    let path = folder.path().join(DATABASE);
    let sound = fs::read(&path).unwrap();
    for at in 0..100 {
        let mut spoilt = sound.clone();
        spoilt[at] = !spoilt[at];
        fs::write(&path, &spoilt).unwrap();
        match Store::open(folder.path()) {
            Ok((_, loaded)) => assert_eq!(loaded.orders, orders, "byte {at}"),
            // The schema's version: nothing tells it from a newer program's.
            Err(StoreError::NewerSchema { .. }) => assert!((60..64).contains(&at), "byte {at}"),
            Err(error) => panic!("byte {at}: {error}"),
        }
    }
    // Garbage from there on is no newer schema.
    let mut spoilt = sound.clone();
    spoilt[60..4096].fill(0x55);
    fs::write(&path, &spoilt).unwrap();
    assert_eq!(open(folder.path()).1.orders, orders);
}

#[test]
fn a_torn_last_line_is_cut_off_and_the_next_order_takes_its_place() {
    let (folder, mut orders) = used(3);
    append_to(&folder.path().join(JOURNAL), br#"{"sum":"0123456789abcdef","order":{"id":4,"at"#);
    let (mut store, loaded) = open(folder.path());
    assert_eq!((&loaded.orders, &loaded.notes[..]), (&orders, &[OpenNote::JournalTorn { bytes: 45 }][..]));
    orders.push(store.append(order(4)).unwrap());
    drop(store);
    fs::remove_file(folder.path().join(DATABASE)).unwrap();
    assert_eq!(open(folder.path()).1.orders, orders);
}

#[test]
fn a_last_line_without_its_newline_is_still_an_order() {
    let (folder, mut orders) = used(3);
    let path = folder.path().join(JOURNAL);
    let text = fs::read(&path).unwrap();
    fs::write(&path, &text[..text.len() - 1]).unwrap();
    fs::remove_file(folder.path().join(DATABASE)).unwrap();
    let (mut store, loaded) = open(folder.path());
    assert_eq!(loaded.orders, orders);
    assert_eq!(fs::read(&path).unwrap(), text);
    orders.push(store.append(order(4)).unwrap());
    drop(store);
    fs::remove_file(folder.path().join(DATABASE)).unwrap();
    assert_eq!(open(folder.path()).1.orders, orders);
}

#[test]
fn a_damaged_line_in_the_middle_is_kept_aside_and_the_others_count() {
    let (folder, orders) = used(5);
    let path = folder.path().join(JOURNAL);
    let damaged = fs::read_to_string(&path).unwrap().replace("ci-3", "ci-8");
    fs::write(&path, &damaged).unwrap();
    let (_, loaded) = open(folder.path());
    assert_eq!(loaded.orders, orders, "the database has it");
    let [OpenNote::JournalDamaged { lines: 1, kept }, OpenNote::JournalRefilled { orders: 1 }] =
        &loaded.notes[..]
    else {
        panic!("{:?}", loaded.notes)
    };
    assert_eq!(fs::read_to_string(kept).unwrap(), damaged);
    assert_eq!(open(folder.path()).1.notes, [], "repaired once");

    fs::write(&path, &damaged).unwrap();
    fs::remove_file(folder.path().join(DATABASE)).unwrap();
    let (mut store, loaded) = open(folder.path());
    let others: Vec<_> = orders.into_iter().filter(|order| order.id != 3).collect();
    assert_eq!(loaded.orders, others, "nobody has it");
    assert!(loaded.state_lost, "an order is lost and that is said");
    assert_eq!(store.append(order(6)).unwrap().id, 6);
}

#[test]
fn losing_both_is_said_once_and_a_new_folder_has_lost_nothing() {
    for garbage in [None, Some(&b"garbage\nand more"[..]), Some(&[0x41; 200_000]), Some(&[])] {
        let (folder, _) = used(3);
        for name in [JOURNAL, DATABASE] {
            let path = folder.path().join(name);
            garbage.map_or_else(|| fs::remove_file(&path), |bytes| fs::write(&path, bytes)).unwrap();
        }
        let (mut store, loaded) = open(folder.path());
        assert!(loaded.state_lost && loaded.orders.is_empty(), "{loaded:?}");
        store.append(order(1)).unwrap();
        drop(store);
        let (_, loaded) = open(folder.path());
        assert!(!loaded.state_lost && loaded.notes.is_empty(), "{loaded:?}");
    }
}

#[test]
fn files_of_two_histories_are_refused_and_left_as_they_are() {
    let (one, _) = used(2);
    let (other, orders) = used(3);
    let elsewhere = NewOrder { reason: "another history".into(), ..order(3) };
    open(one.path()).0.append(elsewhere).unwrap();
    fs::copy(one.path().join(JOURNAL), other.path().join(JOURNAL)).unwrap();
    let error = Store::open(other.path()).unwrap_err();
    assert!(matches!(error, StoreError::TwoHistories { id: 3, .. }), "{error}");
    fs::remove_file(other.path().join(JOURNAL)).unwrap();
    assert_eq!(open(other.path()).1.orders, orders, "as the message says");
}
