//! Segments, resumes and sets of files: a client network stays with one mirror per release.

use std::collections::{BTreeSet, HashMap};

use super::get;
use super::site::TOOL;
use super::world::{config, snapshot};
use waypost::model::Exclusion;
use waypost::snapshot::Snapshot;

const MIRRORS: [&str; 4] = ["a", "b", "c", "d"];

/// Four mirrors of which nobody knows which is nearer.
fn even_site(out: &[&str]) -> Snapshot {
    let mirror = |name| format!("[[mirror]]\nname = \"{name}\"\nurl = \"https://{name}.example/\"\n");
    let text = format!("[origin]\nurl = \"https://o.example/\"\n{}", MIRRORS.map(mirror).concat());
    let out: Vec<_> = out.iter().map(|name| (*name, Exclusion::Down)).collect();
    snapshot(&config(&text), &[TOOL], &out)
}

fn mirror(snapshot: &Snapshot, path: &str, client: String) -> String {
    let mut row = get("sticky", path);
    row.client = client.leak();
    row.ask(snapshot).header("waypost-mirror").unwrap().to_owned()
}

const PATHS: [&str; 4] = [
    "/tool/1.8.2/linux-amd64",
    "/tool/v1.8.2/docs/index.html",
    "/tool/stable/pinned.bin",
    "/tool/latest/SHA256SUMS",
];

#[test]
fn a_client_network_gets_all_files_of_a_release_from_one_mirror() {
    let site = even_site(&[]);
    let mut hits: HashMap<String, usize> = HashMap::new();
    for network in 0..200 {
        let v4 = |host| format!("198.{}.{network}.{host}", network % 7);
        let v6 = |host| format!("2001:db8:{network:x}:{host:x}::{host:x}");
        for clients in [[v4(1), v4(77), v4(254)], [v6(1), v6(0xff), v6(0xffff)]] {
            let asked = PATHS.iter().flat_map(|path| clients.iter().map(|c| mirror(&site, path, c.clone())));
            let mirrors: BTreeSet<String> = asked.collect();
            assert_eq!(mirrors.len(), 1, "{clients:?} {mirrors:?}");
            *hits.entry(mirrors.into_iter().next().unwrap()).or_default() += 1;
        }
    }
    assert!(hits.len() == 4 && hits.values().all(|count| (50..150).contains(count)), "{hits:?}");
}

#[test]
fn other_releases_of_a_network_may_come_from_other_mirrors() {
    let site = even_site(&[]);
    let moved = (0..200).filter(|network| {
        let by = |path| mirror(&site, path, format!("203.0.{network}.1"));
        by("/tool/1.8.2/linux-amd64") != by("/tool/1.8.1/linux-amd64")
    });
    assert!((100..200).contains(&moved.count()));
}

#[test]
fn a_mirror_that_goes_moves_only_its_own_networks_and_gets_them_back() {
    let (before, without) = (even_site(&[]), even_site(&["b"]));
    let mut taken_over = BTreeSet::new();
    for network in 0..200 {
        let by = |site| mirror(site, PATHS[0], format!("203.0.{network}.1"));
        match (by(&before), by(&without)) {
            (old, new) if old == "b" => drop(taken_over.insert(new)),
            (old, new) => assert_eq!(old, new),
        }
    }
    assert_eq!(taken_over.iter().map(String::as_str).collect::<Vec<_>>(), ["a", "c", "d"]);
}
