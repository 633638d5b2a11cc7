//! What needs a look inside: a database that cannot grow, and how long a large one takes to open.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;

use rusqlite::Connection;

use super::MIGRATIONS;
use crate::entitlement::{Counted, FileKey};
use crate::model::{MirrorName, ProductName, Timestamp, Version};
use crate::store::{
    AccessNote, Action, KnownKeys, NewOrder, Observation, OpenNote, Order, Store, StoreError, StoredCopies,
};

fn drain(reason: String) -> NewOrder {
    let action = Action::MirrorDrain { mirror: MirrorName::new("fra").unwrap() };
    NewOrder { at: Timestamp::from_millis(1), actor: "test".into(), reason, action }
}

#[test]
fn a_database_that_cannot_grow_refuses_orders_and_leaves_no_trace_of_them_until_it_can() {
    let folder = tempfile::tempdir().unwrap();
    let (mut store, _) = Store::open(folder.path()).unwrap();
    let pages: i64 = store.database.connection.query_row("PRAGMA page_count", [], |row| row.get(0)).unwrap();
    let limit = |store: &Store, pages: i64| {
        store.database.connection.pragma_update(None, "max_page_count", pages).unwrap();
    };
    limit(&store, pages);
    let mut acknowledged = Vec::new();
    let mut refused = 0;
    for _ in 0..20 {
        match store.append(drain("x".repeat(3000))) {
            Ok(order) => acknowledged.push(order),
            Err(StoreError::Full { .. }) => refused += 1,
            Err(error) => panic!("{error}"),
        }
    }
    assert!(refused > 10, "{refused}");
    limit(&store, pages + 1000);
    acknowledged.push(store.append(drain("room again".into())).unwrap());
    drop(store);
    let (_, loaded) = Store::open(folder.path()).unwrap();
    assert_eq!(loaded.orders, acknowledged);
    assert_eq!(loaded.notes, []);
}

#[test]
fn a_database_of_a_newer_schema_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let (mut store, _) = Store::open(folder.path()).unwrap();
    store.append(drain("kept".into())).unwrap();
    store.database.connection.pragma_update(None, "user_version", 99).unwrap();
    drop(store);
    let before = std::fs::read(folder.path().join("waypost.db")).unwrap();
    let error = Store::open(folder.path()).unwrap_err();
    assert!(matches!(error, StoreError::NewerSchema { found: 99, .. }), "{error}");
    assert!(error.to_string().contains("run the newer waypost"), "{error}");
    assert_eq!(std::fs::read(folder.path().join("waypost.db")).unwrap(), before);
}

/// Three orders, then damage done by `harm` to the open database and by `hurt` to its file, then no journal.
fn orders_survive(harm: impl Fn(&Connection) -> u64, hurt: impl Fn(&File, u64)) {
    let folder = tempfile::tempdir().unwrap();
    let (mut store, _) = Store::open(folder.path()).unwrap();
    let orders: Vec<Order> = (0..3).map(|n| store.append(drain(format!("{n}"))).unwrap()).collect();
    let offset = harm(&store.database.connection);
    drop(store);
    hurt(&OpenOptions::new().write(true).open(folder.path().join("waypost.db")).unwrap(), offset);
    std::fs::remove_file(folder.path().join("orders.jsonl")).unwrap();
    let (_, loaded) = Store::open(folder.path()).unwrap();
    assert!(matches!(loaded.notes[0], OpenNote::DatabaseDamaged { .. }), "{:?}", loaded.notes);
    assert_eq!(loaded.orders, orders);
    assert!(loaded.state_lost, "nobody knows whether these were all");
}

#[test]
fn damage_beside_the_orders_costs_no_order_even_without_the_journal() {
    let offset_of_manifests = |connection: &Connection| {
        let sql =
            "SELECT (rootpage - 1) * page_size FROM sqlite_schema, pragma_page_size WHERE name = 'manifests'";
        connection.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap().cast_unsigned()
    };
    orders_survive(offset_of_manifests, |file, offset| file.write_all_at(&[0xff; 4096], offset).unwrap());
    let index_without_table = |connection: &Connection| {
        let broken = "PRAGMA writable_schema = ON; DELETE FROM sqlite_schema WHERE name = 'copies';";
        connection.execute_batch(broken).unwrap();
        0
    };
    orders_survive(index_without_table, |_, _| ());
}

#[test]
fn an_order_changed_inside_the_database_is_noticed_and_taken_from_the_journal() {
    let folder = tempfile::tempdir().unwrap();
    let (mut store, _) = Store::open(folder.path()).unwrap();
    let orders: Vec<Order> = (0..3).map(|n| store.append(drain(format!("why {n}"))).unwrap()).collect();
    let forged = "UPDATE orders SET line = replace(line, 'why', 'wry') WHERE id = 2";
    assert_eq!(store.database.connection.execute(forged, []).unwrap(), 1);
    drop(store);
    let (_, loaded) = Store::open(folder.path()).unwrap();
    assert_eq!(loaded.orders, orders);
    assert!(matches!(loaded.notes[0], OpenNote::DatabaseDamaged { .. }), "{:?}", loaded.notes);
}

#[test]
fn a_hundred_thousand_entries_open_within_a_second_or_so() {
    let folder = tempfile::tempdir().unwrap();
    let (mut store, _) = Store::open(folder.path()).unwrap();
    let batch: Vec<Observation> = (0..100_000)
        .map(|n| Observation::Copies {
            mirror: MirrorName::new(&format!("mirror-{}", n % 100)).unwrap(),
            product: ProductName::new("tool").unwrap(),
            version: Version::parse(&format!("1.{}", n / 100)).unwrap(),
            body: vec![7; 200],
        })
        .collect();
    store.record(&batch).unwrap();
    drop(store);
    let start = std::time::Instant::now();
    let (_, loaded) = Store::open(folder.path()).unwrap();
    let took = start.elapsed();
    let entries: usize = loaded.copies.releases.iter().map(|held| held.within(0..100).count()).sum();
    assert_eq!(entries, batch.len());
    println!("opened 100,000 entries in {took:?}");
    // Generous: an unoptimised build on a busy machine.
    assert!(took.as_secs() < 10, "{took:?}");
}

#[test]
fn a_database_of_any_older_schema_is_brought_up_to_date_with_all_it_holds() {
    for schema in 1..MIGRATIONS.len() {
        let folder = tempfile::tempdir().unwrap();
        let (mut store, _) = Store::open(folder.path()).unwrap();
        let order = store.append(drain("kept".into())).unwrap();
        drop(store);
        let path = folder.path().join("waypost.db");
        let line: String = Connection::open(&path)
            .and_then(|database| database.query_row("SELECT line FROM orders", [], |row| row.get(0)))
            .unwrap();
        std::fs::remove_file(&path).unwrap();
        let database = Connection::open(&path).unwrap();
        database.execute_batch(&MIGRATIONS[..schema].concat()).unwrap();
        database.pragma_update(None, "user_version", schema as i64).unwrap();
        database.execute("INSERT INTO orders VALUES (1, ?1)", [line]).unwrap();
        let copies_then = match schema {
            1..=2 => {
                "INSERT INTO copies VALUES ('fra', 'tool', '1.0', 'v1.0', x'04'), ('sin', 'tool', '1.0', 'v1.0', x'0506'),
                    ('fra', 'tool', '2.0', '2.0', x'07');"
            }
            _ => {
                "INSERT INTO mirrors VALUES (1, 'fra'), (2, 'sin');
                 INSERT INTO releases VALUES (1, 'tool', '1.0'), (2, 'tool', '2.0');
                 INSERT INTO copies VALUES (1, 1, x'04'), (1, 2, x'0506'), (2, 1, x'07');"
            }
        };
        database.execute_batch("INSERT INTO standings VALUES ('fra', x'010203');").unwrap();
        if schema == 4 {
            let counted = "INSERT INTO counted VALUES ('ci', 'a', x'01010101010101010101010101010101', 5);";
            database.execute_batch(counted).unwrap();
        }
        database.execute_batch(copies_then).unwrap();
        drop(database);
        let (mut store, loaded) = Store::open(folder.path()).unwrap();
        assert_eq!((loaded.orders, loaded.notes), (vec![order], vec![]), "schema {schema}");
        assert_eq!(loaded.standings, [(MirrorName::new("fra").unwrap(), vec![1, 2, 3])]);
        let counted_until: Vec<_> = loaded.counted.iter().map(|one| one.until.as_millis()).collect();
        let four_hundred_days = 400 * 24 * 60 * 60 * 1000;
        assert_eq!(counted_until, if schema == 4 { vec![5 + four_hundred_days] } else { vec![] });
        assert_eq!(
            copies(&loaded.copies),
            ["fra tool 1.0 [4]", "fra tool 2.0 [7]", "sin tool 1.0 [5, 6]"],
            "schema {schema}"
        );
        store.record(&[Observation::Single { name: "index_sequence", body: vec![4] }]).unwrap();
        drop(store);
        let (_, loaded) = Store::open(folder.path()).unwrap();
        assert_eq!(loaded.singles, [("index_sequence".to_owned(), vec![4])]);
    }
}

/// Entries as sorted lines.
fn copies(stored: &StoredCopies) -> Vec<String> {
    let lines = stored.releases.iter().flat_map(|held| {
        held.within(0..u32::MAX).map(move |(mirror, body)| {
            format!("{} {} {} {body:?}", stored.mirrors[mirror as usize], held.product, held.version)
        })
    });
    let mut lines: Vec<String> = lines.collect();
    lines.sort();
    lines
}

#[test]
fn rows_of_what_is_gone_leave_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let (mut store, _) = Store::open(folder.path()).unwrap();
    let tool = ProductName::new("tool").unwrap();
    let version = |text: &str| Version::parse(text).unwrap();
    let mirrors = ["fra", "sin"].map(|name| MirrorName::new(name).unwrap());
    let held = mirrors.iter().flat_map(|mirror| {
        ["1.0", "2.0"].map(|text| Observation::Copies {
            mirror: mirror.clone(),
            product: tool.clone(),
            version: version(text),
            body: vec![1],
        })
    });
    store.record(&held.collect::<Vec<_>>()).unwrap();
    let gone = Observation::ManifestGone { product: tool.clone(), version: version("v1.0") };
    store.record(&[gone, Observation::MirrorGone { mirror: mirrors[0].clone() }]).unwrap();
    let count = |sql: &str| store.database.connection.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
    let left = ["copies", "mirrors", "releases"].map(|table| count(&format!("SELECT count(*) FROM {table}")));
    assert_eq!(left, [1, 1, 1]);
    let plan =
        "EXPLAIN QUERY PLAN DELETE FROM copies WHERE release IN (SELECT id FROM releases) AND mirror = 1";
    let mut plan = store.database.connection.prepare(plan).unwrap();
    let steps: Vec<String> = plan.query_map([], |row| row.get(3)).unwrap().map(Result::unwrap).collect();
    assert!(
        steps[0].contains("(release=? AND mirror=?)"),
        "a mirror's rows are not looked for in all: {steps:?}"
    );
}

#[test]
fn issuers_keys_and_counts_are_kept_until_they_go() {
    let folder = tempfile::tempdir().unwrap();
    let (mut store, _) = Store::open(folder.path()).unwrap();
    let at = Timestamp::from_millis;
    let keys = |issuer: &str, body: &'static [u8], fetched_at| KnownKeys {
        issuer: issuer.to_owned(),
        url: "https://ci.example/jwks".to_owned(),
        fetched_at: at(fetched_at),
        body: body.into(),
    };
    let counted = |token_id: &str, file, until| Counted {
        issuer: "ci".into(),
        token_id: token_id.into(),
        file: FileKey([file; 16]),
        until: at(until),
    };
    let count = |token_id, file, until| AccessNote::Counted(counted(token_id, file, until));
    let batch = [
        AccessNote::Keys(keys("ci", b"first", 1)),
        AccessNote::Keys(keys("ci", b"second", 2)),
        AccessNote::Keys(keys("qa", b"other", 1)),
        AccessNote::KeysGone { issuer: "qa".to_owned() },
        count("a", 1, 10),
        count("a", 2, 20),
        count("a", 2, 30),
        count("b", 1, 15),
        AccessNote::CountedGone { now: at(10) },
    ];
    store.record(&batch.map(Observation::Access)).unwrap();
    drop(store);
    let (_, mut loaded) = Store::open(folder.path()).unwrap();
    assert_eq!(loaded.issuer_keys, [keys("ci", b"second", 2)]);
    loaded.counted.sort_by(|a, b| a.token_id.cmp(&b.token_id));
    assert_eq!(loaded.counted, [counted("a", 2, 30), counted("b", 1, 15)]);
}
