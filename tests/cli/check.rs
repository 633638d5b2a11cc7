//! `waypost check`: everything that is wrong in one run, and what the first verification takes.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::thread;

use serde_json::Value;

use super::disk::SmallDisk;
use super::{Ran, config, site, waypost_in};

fn summary(json: &str) -> Value {
    serde_json::from_str::<Value>(json).unwrap()["summary"].clone()
}

#[test]
fn a_good_site_is_0_with_bytes_and_hours_of_the_first_verification() {
    let site = site("");
    let ran = waypost_in(site.path(), &["check"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.out.contains("in order") && ran.err.contains("geoip"), "{ran:?}");

    let slow = format!("{}[verify]\nbandwidth = \"1KiB\"\n", config(""));
    fs::write(site.path().join("slow.toml"), slow).unwrap();
    let ran = waypost_in(site.path(), &["check", "--config", "slow.toml", "--json"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    let summary = summary(&ran.out);
    for (key, value) in [("mirrors", 2), ("releases", 1), ("assets", 1), ("verification_bytes", 2000)] {
        assert_eq!(summary[key], value, "{key}: {summary}");
    }
    let hours = summary["verification_hours"].as_f64().unwrap();
    assert!((hours - 1000.0 / 1024.0 / 3600.0).abs() < 1e-9, "{summary}");
    assert!(!site.path().join("state").exists(), "nothing is changed");
}

#[test]
fn a_wrong_configuration_is_2_with_every_problem_in_its_line() {
    let site = site("lisen = 3\nstate = 7");
    fs::write(site.path().join("waypost.toml"), "[server]\nlisen = 3\n[origin]\nurl = \"o\"\npoll = 4\n")
        .unwrap();
    let ran = waypost_in(site.path(), &["check"]);
    assert_eq!((ran.code, ran.out.as_str()), (2, ""), "{ran:?}");
    assert!(ran.err.contains("waypost.toml:2:") && ran.err.contains("waypost.toml:5:"), "{ran:?}");
    let ran = waypost_in(site.path(), &["check", "--json"]);
    assert_eq!(ran.code, 2);
    let found: Value = serde_json::from_str(&ran.out).unwrap();
    let problems = found["problems"].as_array().unwrap();
    assert_eq!(
        problems.iter().map(|problem| problem["line"].as_u64().unwrap()).collect::<Vec<_>>(),
        [1, 2, 5]
    );
    assert!(problems.iter().all(|problem| !problem["remedy"].as_str().unwrap().is_empty()), "{found}");
}

#[test]
fn bad_files_are_1_and_all_of_them_are_told_at_once() {
    let more = "[server.tls]\ncertificate = \"no.pem\"\nkey_file = \"no.key\"\n\
                [geoip]\ncity = \"no.mmdb\"\n[outgoing]\nca_file = \"\"\n";
    let site = site(more);
    let folder = site.path().join("origin/tool/1.9.0");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("manifest.json"), "{ \"schema\": 1, ").unwrap();
    let index = site.path().join("origin/index.json");
    let listed = fs::read_to_string(&index)
        .unwrap()
        .replace("\"manifests\": [", "\"manifests\": [ \"tool/1.9.0/manifest.json\",");
    assert!(listed.contains("1.9.0"), "{listed}");
    fs::write(&index, listed).unwrap();
    fs::write(site.path().join("state"), "not a folder").unwrap();
    let ran = waypost_in(site.path(), &["check"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    for part in
        ["no.pem", "no.mmdb", "origin/tool/1.9.0/manifest.json", "state is not a folder", "4 problems"]
    {
        assert!(ran.err.contains(part), "{part}: {ran:?}");
    }
    // The good release is counted all the same.
    let ran = waypost_in(site.path(), &["check", "--json"]);
    assert_eq!(summary(&ran.out)["releases"], 1, "{ran:?}");
}

#[test]
fn an_origin_that_cannot_be_read_is_1() {
    let site = site("");
    fs::remove_dir_all(site.path().join("origin")).unwrap();
    let ran = waypost_in(site.path(), &["check"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.err.contains("origin.url") && ran.err.contains("manifest create"), "{ran:?}");
}

#[test]
fn an_entitled_product_that_nobody_publishes_under_that_name_is_warned_of() {
    let warned = |name: &str| {
        let site = site(&format!("[[product]]\nname = {name:?}\naccess = \"entitled\"\n"));
        let ran = waypost_in(site.path(), &["check"]);
        assert_eq!(ran.code, 0, "{ran:?}");
        ran.err.contains(&format!("no release of {name}"))
    };
    assert_eq!([warned("Tool"), warned("tool")], [true, false]);
}

/// What is wrong with a record at `file`; the product is entitled.
fn of_record(folder: &Path, file: &str) -> Ran {
    let more = format!("[[product]]\nname = \"tool\"\naccess = \"entitled\"\n[audit]\nfile = {file:?}\n");
    fs::write(folder.join("waypost.toml"), config(&more)).unwrap();
    waypost_in(folder, &["check"])
}

#[test]
fn a_record_that_could_not_be_written_is_1_and_one_that_could_is_left_as_it_is() {
    let site = site("");
    fs::create_dir(site.path().join("log")).unwrap();
    let file = site.path().join("log/deliveries.jsonl");
    assert_eq!(of_record(site.path(), "state/deliveries.jsonl").code, 0, "the service makes the folder");
    assert_eq!(of_record(site.path(), "log/deliveries.jsonl").code, 0);
    assert_eq!(fs::read_dir(site.path().join("log")).unwrap().count(), 0, "nothing is left behind");
    fs::write(&file, "a line\n").unwrap();
    assert_eq!(of_record(site.path(), "log/deliveries.jsonl").code, 0);
    assert_eq!(fs::read_to_string(&file).unwrap(), "a line\n");
    for (file, why) in [("nowhere/deliveries.jsonl", "there is no folder"), ("log", "cannot be written")] {
        let ran = of_record(site.path(), file);
        assert_eq!(ran.code, 1, "{file}: {ran:?}");
        assert!(
            ["audit.file", why, "name another file"].iter().all(|part| ran.err.contains(part)),
            "{ran:?}"
        );
    }
}

#[test]
fn a_record_on_a_full_disk_is_1() {
    let Some(disk) = SmallDisk::mount() else { return };
    let site = site("");
    let file = disk.path().join("deliveries.jsonl");
    fs::write(&file, "").unwrap();
    disk.fill(0);
    let ran = of_record(site.path(), file.to_str().unwrap());
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.err.contains("audit.file") && ran.err.contains("leave room"), "{ran:?}");
    disk.make_room();
}

/// Answers each request with this body, until the test ends.
fn answers(status: &'static str, body: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for mut stream in listener.incoming().map(Result::unwrap) {
            let mut head = [0; 4096];
            let _ = stream.read(&mut head);
            let length = body.len();
            let _ = write!(
                stream,
                "HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
            );
        }
    });
    address
}

#[test]
fn keys_that_are_none_are_1_and_an_issuer_that_is_away_is_a_warning() {
    const KEYS: &str = "{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"use\":\"sig\",\"alg\":\"ES256\",\"kid\":\"1\",\
        \"x\":\"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4\",\"y\":\"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM\"}]}";
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for (address, why) in [
        (answers("200 OK", KEYS), None),
        (answers("200 OK", "<html>"), Some("what is there")),
        (answers("404 Not Found", ""), Some("it answered 404")),
        (nobody, Some("warning")),
    ] {
        let issuer = format!(
            "[[issuer]]\nname = \"ci\"\nissuer = \"https://ci.example\"\naudience = \"dl.example\"\n\
             algorithms = [\"ES256\"]\njwks = \"http://{address}/jwks\"\n"
        );
        let site = site(&issuer);
        let ran = waypost_in(site.path(), &["check"]);
        assert_eq!(ran.code, i32::from(why.is_some_and(|why| why != "warning")), "{ran:?}");
        if let Some(why) = why {
            for part in ["issuer.jwks", "the keys of ci", why, "jwks_file", &address.to_string()] {
                assert!(ran.err.contains(part), "{part}: {ran:?}");
            }
        }
    }
}
