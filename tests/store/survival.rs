//! What survives being killed, and any history of use and harm.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use proptest::prelude::*;
use waypost::store::{Observation, OpenNote, Order};

use crate::{DATABASE, JOURNAL, append_to, copies, facts, manifest, mirror, open, order, product, version};

const CHILD: &str = "WAYPOST_STORE_TEST_CHILD";

/// Not a test of its own: what the next one starts and kills. Says each order's number once it is acknowledged.
#[test]
fn child_that_gives_orders_until_it_is_killed() {
    let Some(folder) = std::env::var_os(CHILD) else { return };
    let (mut store, _) = open(Path::new(&folder));
    loop {
        let order = store.append(order(7)).unwrap();
        println!("\nacknowledged {}", order.id);
        store.record(&[copies(1, 1, (order.id % 50) as u8, 1), manifest(1, 1, 1)]).unwrap();
    }
}

#[test]
fn no_acknowledged_order_is_lost_when_the_process_is_killed_and_a_file_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let (journal, database) = (folder.path().join(JOURNAL), folder.path().join(DATABASE));
    let mut seed = 0x9e37_79b9_u64;
    let mut last = 0;
    for round in 0..15 {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        last = kill_after((seed >> 33) % 12, (seed >> 40) % 100_000, folder.path()).unwrap_or(last);
        match round % 5 {
            1 => fs::remove_file(&database).unwrap_or_default(),
            2 => fs::remove_file(&journal).unwrap_or_default(),
            3 => fs::write(&database, vec![round; 30_000]).unwrap(),
            4 => append_to(&journal, br#"{"sum":"01234"#),
            _ => {}
        }
        let (_, loaded) = open(folder.path());
        let ids: Vec<u64> = loaded.orders.iter().map(|order| order.id).collect();
        assert!(ids.iter().copied().eq(1..=ids.len() as u64), "round {round}: {ids:?}");
        assert!(ids.len() as u64 >= last, "round {round}: {last} was acknowledged, {} are there", ids.len());
        assert!(!loaded.state_lost, "round {round}: {:?}", loaded.notes);
    }
    assert!(last > 30, "the child got somewhere: {last}");
}

/// Starts a child, kills it after so many acknowledgements and spins, and says the last one it acknowledged.
fn kill_after(acknowledgements: u64, spins: u64, folder: &Path) -> Option<u64> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "survival::child_that_gives_orders_until_it_is_killed", "--nocapture"])
        .env(CHILD, folder)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut ids = lines.filter_map(|line| line.unwrap().strip_prefix("acknowledged ")?.parse().ok());
    let before = ids.by_ref().take(acknowledgements as usize).last();
    (0..spins).for_each(|_| std::hint::spin_loop());
    child.kill().unwrap();
    let after = ids.last();
    child.wait().unwrap();
    after.or(before)
}

// What any history comes to.

#[derive(Debug, Clone)]
enum Step {
    Append(u64),
    Record(Vec<(u8, u8, u8, u8)>),
    Reopen,
    LoseDatabase,
    LoseJournal,
    SpoilDatabase { at: usize, bytes: usize },
    CutJournal(usize),
    TearJournal(Vec<u8>),
    SpoilJournal(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let observation = (0..6_u8, 0..3_u8, 0..3_u8, 0..=u8::MAX);
    prop_oneof![
        4 => (0..100_u64).prop_map(Step::Append),
        3 => proptest::collection::vec(observation, 1..6).prop_map(Step::Record),
        1 => Just(Step::Reopen),
        1 => Just(Step::LoseDatabase),
        1 => Just(Step::LoseJournal),
        1 => (0..60_000_usize, 1..9000_usize).prop_map(|(at, bytes)| Step::SpoilDatabase { at, bytes }),
        1 => (1..600_usize).prop_map(Step::CutJournal),
        1 => proptest::collection::vec(0..=u8::MAX, 1..50).prop_map(Step::TearJournal),
        1 => (0..2000_usize).prop_map(Step::SpoilJournal),
    ]
}

/// What the store should hold, kept the simplest way.
#[derive(Debug, Default)]
struct Oracle {
    orders: Vec<Order>,
    facts: BTreeMap<String, String>,
    /// A spoilt byte in an observation may go unnoticed until the database is made anew.
    doubtful: bool,
}

impl Oracle {
    /// Chooses an observation and notes what it comes to. Keys are `mirror release` with one of them empty.
    fn observe(&mut self, (kind, a, b, body): (u8, u8, u8, u8)) -> Observation {
        let release = format!("{}/{}", product(a), version(b));
        let (product, version, mirror) = (product(a), version(b), mirror(b));
        match kind {
            0 => {
                self.facts.insert(format!(" {release}"), format!("{release} [{body}; 40] {body}"));
                manifest(a, b, body)
            }
            1 => {
                self.facts.retain(|key, _| !key.ends_with(&format!(" {release}")));
                Observation::ManifestGone { product, version }
            }
            2 => {
                self.facts.insert(format!("{mirror} "), format!("{mirror} [{body}]"));
                Observation::Standing { mirror, body: vec![body] }
            }
            3 => {
                let line = format!("{mirror} {product}/{} [{body}; 9]", version.bare());
                self.facts.insert(format!("{mirror} {release}"), line);
                copies(b, a, b, body)
            }
            4 => {
                self.facts.remove(&format!("{mirror} {release}"));
                Observation::CopiesGone { mirror, product, version }
            }
            _ => {
                self.facts.retain(|key, _| !key.starts_with(&format!("{mirror} ")));
                Observation::MirrorGone { mirror }
            }
        }
    }

    /// Harms the closed store's files.
    fn harm(&mut self, step: &Step, folder: &Path) {
        let (journal, database) = (folder.join(JOURNAL), folder.join(DATABASE));
        let spoil = |path: &Path, at: usize, bytes: usize| {
            let mut text = fs::read(path).unwrap();
            let from = at.min(text.len());
            let to = (from + bytes).min(text.len());
            text[from..to].iter_mut().for_each(|byte| *byte = !*byte);
            fs::write(path, text).unwrap();
        };
        match step {
            Step::LoseDatabase => {
                fs::remove_file(database).unwrap();
                self.facts.clear();
                self.doubtful = false;
            }
            Step::LoseJournal => fs::remove_file(journal).unwrap(),
            Step::SpoilDatabase { at, bytes } => {
                // The schema's version alone must not be hit: it would name a newer one, which is refused.
                let bytes = if *at < 64 { 4096 } else { *bytes };
                spoil(&database, *at, bytes);
                self.doubtful = true;
            }
            Step::CutJournal(bytes) => {
                let text = fs::read(&journal).unwrap();
                fs::write(&journal, &text[..text.len().saturating_sub(*bytes)]).unwrap();
            }
            Step::TearJournal(bytes) => append_to(&journal, bytes),
            Step::SpoilJournal(at) => spoil(&journal, *at, 3),
            Step::Append(_) | Step::Record(_) | Step::Reopen => {}
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn any_history_of_use_and_harm_to_one_file_at_a_time_keeps_every_order(
        steps in proptest::collection::vec(step(), 1..25),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let mut oracle = Oracle::default();
        let mut store = open(folder.path()).0;
        for step in steps.iter().chain([&Step::Reopen]) {
            match step {
                Step::Append(n) => oracle.orders.push(store.append(order(*n)).unwrap()),
                Step::Record(batch) => {
                    let batch: Vec<_> = batch.iter().map(|choice| oracle.observe(*choice)).collect();
                    store.record(&batch).unwrap();
                }
                harm => {
                    drop(store);
                    oracle.harm(harm, folder.path());
                    let (again, loaded) = open(folder.path());
                    store = again;
                    prop_assert_eq!(&loaded.orders, &oracle.orders);
                    prop_assert!(!loaded.state_lost, "{:?}", loaded.notes);
                    if loaded.notes.iter().any(|note| matches!(note, OpenNote::DatabaseDamaged { .. })) {
                        oracle.facts.clear();
                        oracle.doubtful = false;
                    }
                    if !oracle.doubtful {
                        let mut expected: Vec<_> = oracle.facts.values().cloned().collect();
                        expected.sort();
                        prop_assert_eq!(facts(&loaded), expected);
                    }
                }
            }
        }
    }
}
