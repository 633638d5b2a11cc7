//! A folder as the target.

use std::fs;
use std::net::Ipv4Addr;
use std::os::unix::fs::symlink;

use serde_json::{Value, json};

use crate::disk::SmallDisk;
use crate::nginx::{Nginx, own_address};
use crate::process::run;
use crate::{Place, WAYPOST, count, files, noise, reason, summary};

const NAMES: [&str; 5] = ["tool.tar.gz", "tool.tar.gz.sha256", "SHA256SUMS", "a b/c#1%25+ü?.txt", "empty"];

async fn published() -> Place {
    let place = Place::new();
    let bytes = |name: &str| if name == "empty" { Vec::new() } else { noise(name.len() as u64, 100_000) };
    let release: Vec<(&str, Vec<u8>)> = NAMES.iter().map(|name| (*name, bytes(name))).collect();
    place.publish("tool", "1.8.2", &release).await;
    place.publish("agent", "2.0", &[("agent", noise(9, 5000))]).await;
    place
}

/// An origin over HTTP with the same files.
async fn serve(place: &Place) -> Nginx {
    let nginx = Nginx::start(own_address(), None).await;
    fs::remove_dir(nginx.files()).unwrap();
    symlink(place.origin(), nginx.files()).unwrap();
    nginx
}

#[tokio::test]
async fn a_target_gets_all_that_the_origin_lists_and_a_second_run_moves_nothing() {
    let place = published().await;
    let nginx = serve(&place).await;
    let url = nginx.url();
    for origin in ["origin", url.as_str()] {
        let copy = ["--origin", origin, "--to", "target", "--json"];
        let first = summary(place.replicate(&copy).await);
        assert_eq!((count(&first, "copied"), first["fetched_bytes"].as_u64()), (6, Some(405_000)), "{first}");
        let expected: Vec<String> = [vec!["agent/2.0/agent".to_owned()], {
            let mut names: Vec<String> = NAMES.iter().map(|name| format!("tool/1.8.2/{name}")).collect();
            names.sort();
            names
        }]
        .concat();
        assert_eq!(files(&place.target("")), expected);
        assert!(expected.iter().all(|path| place.has(path)));
        let before = nginx.requests().len();
        let again = summary(place.replicate(&copy).await);
        assert_eq!((again["kept"].as_u64(), count(&again, "copied")), (Some(6), 0), "{again}");
        assert!(nginx.requests()[before..].iter().all(|request| request.path.ends_with(".json")));
        fs::remove_dir_all(place.target("")).unwrap();
    }
}

#[tokio::test]
async fn what_is_wanted_can_be_chosen_and_what_is_withdrawn_is_not() {
    let place = published().await;
    // One that its manifest withdraws, one that the index does.
    place.publish("tool", "1.8.3", &[("tool.tar.gz", noise(3, 10))]).await;
    place.publish("tool", "1.8.4", &[("tool.tar.gz", noise(4, 10))]).await;
    edit(&place, "tool/1.8.3/manifest.json", |manifest| manifest["withdrawn"] = json!("broken"));
    edit(&place, "index.json", |index| {
        index["manifests"] = json!(
            ["agent/2.0", "tool/1.8.2", "tool/1.8.3", "tool/1.8.4"].map(|at| format!("{at}/manifest.json"))
        );
        index["withdrawn"] = json!([{ "product": "tool", "version": "1.8.4", "reason": "broken" }]);
    });

    assert_eq!(place.copy(&["--product", "tool", "--dry-run"]).await["wanted"], 5);
    assert_eq!(place.copy(&["--version", "2.0", "--dry-run"]).await["wanted"], 1);
    assert_eq!(place.copy(&["--channel", "stable", "--dry-run"]).await["wanted"], 6);
    assert!(!place.target("").exists(), "a dry run leaves nothing behind");
    // A misspelt choice is no wish to hold nothing.
    place.copy(&[]).await;
    let held = files(&place.target(""));
    for (choice, why) in [
        (["--product", "other"], "no such product"),
        (["--channel", "stabel"], "no release of that"),
        (["--version", "2.1"], "no release of that"),
    ] {
        let from = [&["--origin", "origin", "--to", "target", "--delete"], &choice[..]].concat();
        let (code, said) = place.replicate(&from).await.failed();
        assert_eq!((code, said.contains(why)), (1, true), "{said}");
    }
    assert_eq!(files(&place.target("")), held);
}

#[tokio::test]
async fn the_origin_is_no_place_to_copy_to() {
    let place = published().await;
    symlink(place.origin(), place.origin().with_file_name("link")).unwrap();
    let held = files(&place.origin());
    for to in ["origin", "./origin/", "link", "origin/copies/fra", "origin/tool"] {
        let only = ["--version", "2.0", "--delete"];
        let (code, said) =
            place.replicate(&[&["--origin", "origin", "--to", to], &only[..]].concat()).await.failed();
        assert_eq!((code, said.contains("lies in the origin")), (2, true), "{to}: {said}");
    }
    assert_eq!(files(&place.origin()), held);
}

/// Changes a JSON file of the origin.
fn edit(place: &Place, path: &str, change: impl Fn(&mut Value)) {
    let path = place.origin().join(path);
    let mut value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    change(&mut value);
    fs::write(path, value.to_string()).unwrap();
}

#[tokio::test]
async fn with_a_trusted_key_only_what_is_signed_is_believed() {
    let place = Place::new();
    place.publish("tool", "1.0", &[("a", noise(1, 100))]).await;
    let keys = minisign::KeyPair::generate_unencrypted_keypair().unwrap();
    let public = keys.pk.to_base64();
    let trusting = ["--trusted-key", public.as_str()];
    let from = [&["--origin", "origin", "--to", "target"], &trusting[..]].concat();
    let (code, said) = place.replicate(&from).await.failed();
    assert_eq!((code, said.contains("the origin is not believed")), (1, true), "{said}");

    for (path, comment) in [("index.json", "waypost index 1"), ("tool/1.0/manifest.json", "waypost tool 1.0")]
    {
        let bytes = fs::read(place.origin().join(path)).unwrap();
        let signed = minisign::sign(Some(&keys.pk), &keys.sk, &bytes[..], Some(comment), None).unwrap();
        fs::write(place.origin().join(format!("{path}.minisig")), signed.to_bytes()).unwrap();
    }
    assert_eq!(count(&place.copy(&trusting).await, "copied"), 1);
}

#[tokio::test]
async fn a_wrong_file_is_replaced_and_a_changed_one_is_noticed() {
    let place = published().await;
    place.copy(&[]).await;
    // Same size, other bytes; a shorter one; one that was only touched.
    fs::write(place.target("tool/1.8.2/tool.tar.gz"), noise(77, 100_000)).unwrap();
    fs::write(place.target("tool/1.8.2/SHA256SUMS"), "short").unwrap();
    let touched = place.target("agent/2.0/agent");
    fs::write(&touched, fs::read(&touched).unwrap()).unwrap();
    let again = place.copy(&[]).await;
    assert_eq!((count(&again, "copied"), again["kept"].as_u64()), (2, Some(4)), "{again}");
    assert!(place.has("tool/1.8.2/tool.tar.gz") && place.has("tool/1.8.2/SHA256SUMS"));
    assert_eq!(place.copy(&["--check"]).await["kept"], 6);
}

#[tokio::test]
async fn wrong_bytes_at_the_origin_never_get_a_name_nor_does_what_belongs_to_them() {
    let place = published().await;
    fs::write(place.origin().join("tool/1.8.2/tool.tar.gz"), noise(5, 100_000)).unwrap();
    fs::write(place.origin().join("agent/2.0/agent"), noise(5, 6000)).unwrap();
    let nginx = serve(&place).await;
    for origin in ["origin", &nginx.url()] {
        let ended = place.replicate(&["--origin", origin, "--to", "target", "--json"]).await;
        let said: Value = serde_json::from_str(&ended.stdout).unwrap();
        assert_eq!(ended.failed().0, 1);
        let why = reason(&said, "tool/1.8.2/tool.tar.gz");
        assert!(why.contains("other bytes") && why.contains("the manifest says"), "{origin}: {why}");
        for held in ["tool/1.8.2/tool.tar.gz.sha256", "tool/1.8.2/SHA256SUMS"] {
            assert!(reason(&said, held).contains("held back"), "{said}");
        }
        let why = reason(&said, "agent/2.0/agent");
        assert!(why.contains("more than the 5000 bytes") || why.contains("wrong_length"), "{why}");
        assert_eq!(files(&place.target("")), ["tool/1.8.2/a b/c#1%25+ü?.txt", "tool/1.8.2/empty"]);
        assert_eq!(files(&place.target(".waypost-replicate/parts")), [""; 0]);
        fs::remove_dir_all(place.target("")).unwrap();
    }
}

#[tokio::test]
async fn links_in_the_target_lead_nowhere() {
    let place = published().await;
    let outside = tempfile::tempdir().unwrap();
    fs::create_dir_all(place.target("agent")).unwrap();
    symlink(outside.path(), place.target("tool")).unwrap();
    fs::write(outside.path().join("victim"), "mine").unwrap();
    fs::create_dir(place.target("agent/2.0")).unwrap();
    symlink(outside.path().join("victim"), place.target("agent/2.0/agent")).unwrap();
    let (code, said) = place.copy_badly(&["--delete"]).await;
    assert_eq!((code, count(&said, "failed")), (1, 5), "{said}");
    assert!(reason(&said, "tool/1.8.2/empty").contains("nothing is written through it"), "{said}");
    assert_eq!(files(outside.path()), ["victim"]);
    assert_eq!(fs::read_to_string(outside.path().join("victim")).unwrap(), "mine");
    assert!(place.has("agent/2.0/agent"), "the link itself is replaced");
}

#[tokio::test]
async fn a_target_is_for_one_process_at_a_time() {
    let place = published().await;
    fs::create_dir_all(place.target(".waypost-replicate")).unwrap();
    let lock = fs::File::create(place.target(".waypost-replicate/lock")).unwrap();
    lock.try_lock().unwrap();
    let (code, said) = place.replicate(&["--origin", "origin", "--to", "target"]).await.failed();
    assert_eq!((code, said.contains("another replication")), (1, true), "{said}");
    drop(lock);
    assert_eq!(count(&place.copy(&[]).await, "copied"), 6);
}

#[tokio::test]
async fn a_full_disk_is_told_and_what_is_there_stays_whole() {
    let Some(disk) = SmallDisk::mount() else { return };
    let place = Place::new();
    place.publish("tool", "1.0", &[("small", noise(1, 50_000))]).await;
    let to = disk.path().to_str().unwrap();
    let copy = ["replicate", "--origin", "origin", "--to", to, "--json"];
    summary(run(WAYPOST, &copy, place.path()).await);
    place.publish("tool", "1.1", &[("large", noise(2, 800_000)), ("little", noise(3, 20_000))]).await;
    let ended = run(WAYPOST, &copy, place.path()).await;
    let said: Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(ended.failed().0, 1);
    assert!(reason(&said, "tool/1.1/large").contains("make room and run it again"), "{said}");
    // The little one may meet the disk while the large one fills it.
    let mut there = vec!["tool/1.0/small"];
    there.extend(said["copied"].as_array().unwrap().iter().map(|path| path.as_str().unwrap()));
    assert_eq!(files(disk.path()), there, "{said}");
    assert!(there.iter().all(|path| !path.ends_with("large")), "{said}");
    for (path, bytes) in [("tool/1.0/small", noise(1, 50_000)), ("tool/1.1/little", noise(3, 20_000))] {
        assert!(!there.contains(&path) || fs::read(disk.path().join(path)).unwrap() == bytes, "{path}");
    }
}

#[tokio::test]
async fn an_origin_that_is_not_there_is_3_and_wrong_usage_2() {
    let place = published().await;
    let unreachable = format!("http://{}/", crate::nginx::free_port(Ipv4Addr::LOCALHOST));
    let cases: [(&[&str], i32, &str); 7] = [
        (&["--origin", &unreachable, "--to", "target"], 3, "the origin cannot be read"),
        (&["--origin", "nowhere", "--to", "target"], 3, "the origin cannot be read"),
        (&["--origin", "origin"], 2, "--to"),
        (&["--origin", "origin", "--to", "s3://"], 2, "s3://BUCKET/PREFIX"),
        (&["--origin", "origin", "--to", "s3://bucket"], 2, "AWS_ACCESS_KEY_ID"),
        (&["--origin", "origin", "--to", "target", "--bandwidth", "1"], 2, "16KiB"),
        (&["--to", "target", "--admin", "http://127.0.0.1:9"], 2, "--mirror NAME, or --origin"),
    ];
    for (args, code, text) in cases {
        let (ended, said) = place.replicate(args).await.failed();
        assert_eq!((ended, said.contains(text)), (code, true), "{args:?}: {said}");
    }
    assert!(!place.target("").exists());
}
