//! What a bad state folder gets: a clear answer, and nothing lost.

use std::fs;
use std::process::Command;

use waypost::store::{NewOrder, Observation, Store, StoreError};

use crate::disk::SmallDisk;
use crate::{JOURNAL, mirror, open, order};

#[test]
fn one_process_at_a_time_and_the_message_names_it() {
    let folder = tempfile::tempdir().unwrap();
    let (store, _) = open(folder.path());
    let error = Store::open(folder.path()).unwrap_err();
    assert!(
        matches!(error, StoreError::InUse { pid: Some(pid), .. } if pid == std::process::id()),
        "{error}"
    );
    assert!(error.to_string().contains("waypost.lock"), "{error}");
    drop(store);
    open(folder.path());
}

#[test]
fn a_missing_folder_is_made_for_its_owner_alone_and_a_file_in_its_place_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("deep/state");
    open(&folder);
    assert_eq!(fs::metadata(&folder).unwrap().permissions().mode() & 0o777, 0o700);
    let file = parent.path().join("file");
    fs::write(&file, "mine").unwrap();
    for path in [file.clone(), file.join("state")] {
        let error = Store::open(&path).unwrap_err();
        assert!(matches!(error, StoreError::NotAFolder { .. }), "{error}");
    }
    assert_eq!(fs::read(&file).unwrap(), b"mine");
}

#[test]
fn a_full_disk_refuses_orders_and_observations_and_all_is_well_once_there_is_room() {
    let Some(disk) = SmallDisk::mount() else { return };
    let folder = disk.path().join("state");
    disk.fill(0);
    assert!(matches!(Store::open(&folder), Err(StoreError::Full { .. })), "a new store has no room");
    disk.make_room();
    let (mut store, loaded) = open(&folder);
    assert!(!loaded.state_lost);
    let mut acknowledged = Vec::new();
    for pages in 0..8 {
        disk.fill(pages);
        let mut refused = 0;
        while refused < 5 {
            match store.append(NewOrder { reason: "x".repeat(3000), ..order(pages as u64) }) {
                Ok(order) => acknowledged.push(order),
                Err(StoreError::Full { .. }) => refused += 1,
                Err(error) => panic!("{error}"),
            }
        }
        let big = Observation::Standing { mirror: mirror(1), body: vec![1; 100_000] };
        assert!(matches!(store.record(&[big]), Err(StoreError::Full { .. })));
        let journal = fs::read_to_string(folder.join(JOURNAL)).unwrap();
        assert_eq!(journal.lines().count(), 1 + acknowledged.len(), "no half line, no refused order");
        assert!(journal.ends_with('\n'));
        disk.make_room();
        acknowledged.push(store.append(order(1)).unwrap());
        store.record(&[Observation::Standing { mirror: mirror(1), body: vec![pages as u8] }]).unwrap();
    }
    disk.fill(0);
    drop(store);
    let (store, loaded) = open(&folder);
    assert_eq!(loaded.orders, acknowledged, "a full disk can be read");
    drop(store);
    disk.make_room();
    let (_, loaded) = open(&folder);
    assert_eq!((&loaded.orders, &loaded.notes[..]), (&acknowledged, &[][..]));
    assert_eq!(loaded.standings, [(mirror(1), vec![7])]);
}

#[test]
fn a_read_only_folder_is_refused_with_what_to_do() {
    let Some(disk) = SmallDisk::mount() else { return };
    let folder = disk.path().join("state");
    open(&folder);
    assert!(Command::new("mount").args(["-o", "remount,ro"]).arg(disk.path()).status().unwrap().success());
    for path in [folder, disk.path().join("another")] {
        let error = Store::open(&path).unwrap_err();
        assert!(matches!(error, StoreError::NotWritable { .. }), "{error}");
        assert!(error.to_string().contains("[server] state"), "{error}");
    }
}
