//! S3-compatible storage as the target.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;

use crate::process::{Ended, start, until};
use crate::s3_server::{KEY, S3Server, SECRET};
use crate::{Place, WAYPOST, count, files, noise, reason, summary};

const MIB: usize = 1 << 20;

/// An origin with a release, and the credentials.
async fn place(secret: &str) -> Place {
    let place = Place::new();
    place.publish("tool", "1.0", &[("a b.txt", noise(1, 1000)), ("bin/tool", noise(2, 300_000))]).await;
    let text = format!("[default]\naws_access_key_id = {KEY}\naws_secret_access_key = {secret}\n");
    fs::write(place.path().join("credentials"), text).unwrap();
    place
}

/// Every key.
fn keys(server: &S3Server) -> Vec<String> {
    files(&server.object(""))
}

/// The command line, for `to`, in front of `more`.
fn args<'a>(server: &'a S3Server, to: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let args = ["--origin", "origin", "--to", to, "--endpoint", &server.url, "--path-style"];
    [&args[..], &["--credentials-file", "credentials", "--work", "work", "--json"], more].concat()
}

async fn copy(place: &Place, server: &S3Server, more: &[&str]) -> Ended {
    place.replicate(&args(server, "s3://bucket/pub/releases", more)).await
}

#[tokio::test]
async fn objects_appear_whole_and_a_second_run_sends_nothing() {
    let (place, server) = (place(SECRET).await, S3Server::start().await);
    let first = summary(copy(&place, &server, &[]).await);
    assert_eq!((count(&first, "copied"), first["fetched_bytes"].as_u64()), (2, Some(301_000)), "{first}");
    assert_eq!(keys(&server), ["pub/releases/tool/1.0/a b.txt", "pub/releases/tool/1.0/bin/tool"]);
    assert_eq!(fs::read(server.object("pub/releases/tool/1.0/bin/tool")).unwrap(), noise(2, 300_000));
    assert_eq!(server.asked("PUT"), 2);
    let again = summary(copy(&place, &server, &[]).await);
    assert_eq!((again["kept"].as_u64(), server.asked("PUT")), (Some(2), 0), "{again}");

    fs::remove_file(server.object("pub/releases/tool/1.0/bin/tool")).unwrap();
    let repaired = summary(copy(&place, &server, &[]).await);
    assert_eq!(repaired["copied"], serde_json::json!(["tool/1.0/bin/tool"]), "{repaired}");
    assert_eq!(server.asked("PUT"), 1);
}

#[tokio::test]
async fn an_object_of_the_right_size_that_says_it_is_another_is_replaced() {
    let (ours, server) = (place(SECRET).await, S3Server::start().await);
    let theirs = place(SECRET).await;
    theirs.publish("tool", "2.0", &[("a", noise(1, 1000))]).await;
    ours.publish("tool", "2.0", &[("a", noise(2, 1000))]).await;
    summary(copy(&ours, &server, &[]).await);
    assert_eq!(count(&summary(copy(&theirs, &server, &[]).await), "copied"), 1);
    assert_eq!(fs::read(server.object("pub/releases/tool/2.0/a")).unwrap(), noise(1, 1000));
    let again = summary(copy(&ours, &server, &[]).await);
    assert_eq!(again["copied"], serde_json::json!(["tool/2.0/a"]), "{again}");
    assert_eq!(fs::read(server.object("pub/releases/tool/2.0/a")).unwrap(), noise(2, 1000));
}

#[tokio::test]
async fn wrong_bytes_at_the_origin_are_never_sent() {
    let (place, server) = (place(SECRET).await, S3Server::start().await);
    fs::write(place.origin().join("tool/1.0/bin/tool"), noise(9, 300_000)).unwrap();
    let ended = copy(&place, &server, &[]).await;
    let said: Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(ended.failed().0, 1);
    assert!(reason(&said, "tool/1.0/bin/tool").contains("other bytes"), "{said}");
    assert_eq!((keys(&server), server.asked("PUT")), (vec!["pub/releases/tool/1.0/a b.txt".to_owned()], 1));
}

#[tokio::test]
async fn what_the_store_refuses_is_told_with_its_code_and_what_to_do() {
    let (place, server) = (place("wrong").await, S3Server::start().await);
    let (code, said) = copy(&place, &server, &[]).await.failed();
    assert_eq!((code, said.contains("403 SignatureDoesNotMatch")), (2, true), "{said}");
    let text = format!("[default]\naws_access_key_id = {KEY}\naws_secret_access_key = {SECRET}\n");
    fs::write(place.path().join("credentials"), text).unwrap();
    let (code, said) = place.replicate(&args(&server, "s3://other", &[])).await.failed();
    assert_eq!(
        (code, said.contains("404 NoSuchBucket") && said.contains("create the bucket")),
        (2, true),
        "{said}"
    );
    assert!(keys(&server).is_empty());

    let nobody = format!("http://{}", crate::nginx::free_port(std::net::Ipv4Addr::LOCALHOST));
    let elsewhere = ["--origin", "origin", "--to", "s3://bucket", "--endpoint", &nobody, "--path-style"];
    let elsewhere = [&elsewhere[..], &["--credentials-file", "credentials", "--work", "work"]].concat();
    let (code, said) = place.replicate(&elsewhere).await.failed();
    assert_eq!((code, said.contains("does not answer")), (3, true), "{said}");
}

#[tokio::test]
async fn what_is_not_wanted_is_removed_when_asked() {
    let (place, server) = (place(SECRET).await, S3Server::start().await);
    summary(copy(&place, &server, &[]).await);
    for key in ["pub/releases/tool/0.9/old", "pub/releases/other/1.0/x", "pub/tool/1.0/x"] {
        fs::create_dir_all(server.object(key).parent().unwrap()).unwrap();
        fs::write(server.object(key), "x").unwrap();
    }
    let would = summary(copy(&place, &server, &["--delete", "--dry-run"]).await);
    assert_eq!((count(&would, "removed"), server.asked("DELETE")), (1, 0), "{would}");
    let did = summary(copy(&place, &server, &["--delete"]).await);
    assert_eq!((&did["removed"], server.asked("DELETE")), (&serde_json::json!(["tool/0.9/old"]), 1));
    assert_eq!(keys(&server).len(), 4);
}

const PARTS: [&str; 6] = ["--version", "2.0", "--upload-whole", "5MiB", "--upload-part", "5MiB"];

/// Publishes a large file, and interrupts sending it after two of four parts or more; says after how many.
async fn interrupted(place: &Place, server: &S3Server) -> usize {
    place.publish("tool", "2.0", &[("large", noise(4, 18 * MIB))]).await;
    let slow = args(server, "s3://bucket", &[&PARTS[..], &["--bandwidth", "8MiB"]].concat());
    let mut process = start(WAYPOST, &[&["replicate"], &slow[..]].concat(), place.path());
    let etags = || note(place).map_or(0, |(_, upload)| upload["etags"].as_array().unwrap().len());
    until("two parts are there", async || {
        assert!(process.try_wait().unwrap().is_none(), "it ended before it was interrupted");
        etags() >= 2
    })
    .await;
    process.kill().await.unwrap();
    assert!(keys(server).is_empty(), "nothing has a name before it is complete");
    server.asked("PUT");
    etags()
}

/// What is noted of the upload that is under way.
fn note(place: &Place) -> Option<(PathBuf, Value)> {
    let path = within(place, "uploads").pop()?;
    let upload = serde_json::from_str(&fs::read_to_string(&path).ok()?).ok()?;
    Some((path, upload))
}

/// The files in a folder of the only target's work folder.
fn within(place: &Place, name: &str) -> Vec<PathBuf> {
    let Some(Ok(one)) = fs::read_dir(place.path().join("work")).ok().and_then(|mut entries| entries.next())
    else {
        return Vec::new();
    };
    let Ok(entries) = fs::read_dir(one.path().join(name)) else { return Vec::new() };
    entries.map(|entry| entry.unwrap().path()).filter(|path| path.extension().is_none()).collect()
}

#[tokio::test]
async fn a_large_file_goes_in_parts_and_after_a_kill_only_the_missing_ones_are_sent() {
    let (place, server) = (place(SECRET).await, S3Server::start().await);
    let there = interrupted(&place, &server).await;
    let ended = summary(place.replicate(&args(&server, "s3://bucket", &PARTS)).await);
    assert_eq!(ended["fetched_bytes"], 0, "the file was here already: {ended}");
    assert_eq!(server.asked("PUT"), 4 - there);
    assert_eq!(fs::read(server.object("tool/2.0/large")).unwrap(), noise(4, 18 * MIB));
    assert_eq!(within(&place, "uploads").len() + within(&place, "parts").len(), 0);
    let again = summary(place.replicate(&args(&server, "s3://bucket", &PARTS)).await);
    assert_eq!((again["kept"].as_u64(), server.asked("PUT")), (Some(1), 0), "{again}");
}

#[tokio::test]
async fn an_upload_that_the_store_forgot_is_begun_again_and_one_that_nobody_wants_is_ended() {
    let (place, server) = (place(SECRET).await, S3Server::start().await);
    interrupted(&place, &server).await;
    let (path, mut upload) = note(&place).unwrap();
    let real = upload["id"].clone();
    upload["id"] = serde_json::json!("00000000-0000-4000-8000-000000000000");
    fs::write(&path, upload.to_string()).unwrap();
    summary(place.replicate(&args(&server, "s3://bucket", &PARTS)).await);
    assert_eq!(fs::read(server.object("tool/2.0/large")).unwrap(), noise(4, 18 * MIB));

    upload["id"] = real;
    fs::write(&path, upload.to_string()).unwrap();
    summary(place.replicate(&args(&server, "s3://bucket", &["--version", "1.0"])).await);
    assert_eq!((server.asked("DELETE"), within(&place, "uploads").len()), (1, 0));
    assert_eq!(server.leftovers(), 0, "its parts are gone");
}
