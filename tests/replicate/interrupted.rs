//! Copies that are interrupted: nothing half, and nothing twice.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::path::Path;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::nginx::{Nginx, own_address};
use crate::process::{start, until};
use crate::{Place, WAYPOST, count, files, noise, summary};

const SEED: u64 = 20_261_121;
const ROUNDS: u64 = 10;

/// Bytes of all files below a folder.
fn bytes_below(folder: &Path) -> u64 {
    files(folder).iter().map(|path| fs::metadata(folder.join(path)).map_or(0, |about| about.len())).sum()
}

#[tokio::test]
async fn killed_at_any_moment_it_leaves_no_wrong_file_and_goes_on_where_it_was() {
    let place = Place::new();
    let contents: BTreeMap<String, Vec<u8>> =
        (0..6).map(|n| (format!("file{n}"), noise(n, 500_000 + 7_919 * n as usize))).collect();
    let release: Vec<(&str, Vec<u8>)> = contents.iter().map(|(n, b)| (n.as_str(), b.clone())).collect();
    place.publish("tool", "1.0", &release).await;
    let total = contents.values().map(|bytes| bytes.len() as u64).sum::<u64>();
    let nginx = Nginx::start(own_address(), None).await;
    fs::remove_dir(nginx.files()).unwrap();
    symlink(place.origin(), nginx.files()).unwrap();

    let url = nginx.url();
    let slow = ["replicate", "--origin", &url, "--to", "target", "--jobs", "2", "--bandwidth", "600KB"];
    let (root, parts) = (place.target(""), place.target(".waypost-replicate/parts"));
    let there = || bytes_below(&root) + bytes_below(&parts);
    let mut chance = noise(SEED, 8 * ROUNDS as usize).into_iter();
    let mut round = 0;
    // A last kill between two files would show nothing of parts.
    while round < ROUNDS || bytes_below(&parts) == 0 {
        round += 1;
        let random = u64::from(chance.next().unwrap()) * 256 + u64::from(chance.next().unwrap());
        let goal = there() + 1 + random * (total / ROUNDS) / 65_536;
        let mut process = start(WAYPOST, &slow, place.path());
        until(&format!("round {round} of seed {SEED} has {goal} bytes"), async || {
            process.try_wait().unwrap().is_some() || there() >= goal
        })
        .await;
        process.kill().await.unwrap();
        for path in files(&root) {
            let name = path.strip_prefix("tool/1.0/").unwrap();
            assert!(fs::read(root.join(&path)).unwrap() == contents[name], "round {round}: {path} is wrong");
        }
    }
    let before = there();
    assert!(before < total, "seed {SEED}: nothing is left to copy");
    let asked = nginx.requests().len();
    let last = summary(place.replicate(&["--origin", &url, "--to", "target", "--json"]).await);
    assert_eq!(last["fetched_bytes"].as_u64(), Some(total - before), "seed {SEED}: {last}");
    let sent =
        nginx.requests()[asked..].iter().filter(|r| r.path.contains("/file")).map(|r| r.sent).sum::<u64>();
    assert_eq!(sent, total - before);
    assert_eq!(files(&root).len(), contents.len());
    assert!(contents.keys().all(|name| place.has(&format!("tool/1.0/{name}"))));
    assert_eq!(bytes_below(&parts), 0);
}

/// Where the only part lies.
fn only_part(place: &Place) -> std::path::PathBuf {
    let parts = place.target(".waypost-replicate/parts");
    let names = files(&parts);
    assert_eq!(names.len(), 1, "{names:?}");
    parts.join(&names[0])
}

/// Interrupts a copy of the one file of a release somewhere in its middle.
async fn interrupted(place: &Place, url: &str) {
    let slow = ["replicate", "--origin", url, "--to", "target", "--bandwidth", "500KB"];
    let mut process = start(WAYPOST, &slow, place.path());
    let parts = place.target(".waypost-replicate/parts");
    until("a part grows", async || {
        assert!(process.try_wait().unwrap().is_none(), "it ended before it was interrupted");
        parts.exists() && bytes_below(&parts) > 100_000
    })
    .await;
    process.kill().await.unwrap();
}

#[tokio::test]
async fn a_part_that_does_not_fit_is_begun_again_once_and_one_that_nobody_wants_goes() {
    let place = Place::new();
    place.publish("tool", "1.0", &[("a", noise(1, 1_000_000))]).await;
    interrupted(&place, "origin").await;
    let part = only_part(&place);
    let length = fs::metadata(&part).unwrap().len();
    fs::OpenOptions::new().write(true).open(&part).unwrap().write_all(b"something else").unwrap();
    let copied = place.copy(&[]).await;
    assert_eq!(copied["fetched_bytes"].as_u64(), Some(2_000_000 - length), "{copied}");
    assert!(place.has("tool/1.0/a"));

    place.publish("tool", "1.1", &[("b", noise(2, 1_000_000))]).await;
    interrupted(&place, "origin").await;
    only_part(&place);
    place.copy(&["--version", "1.0"]).await;
    assert_eq!(files(&place.target(".waypost-replicate/parts")), [""; 0]);
}

/// An origin that breaks off every answer for a file after so many bytes; with `ranges` it goes on where it is asked to.
async fn unsteady(place: &Place, after: usize, ranges: bool) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let origin = place.origin();
    tokio::spawn(async move {
        let mut left = 3;
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await.unwrap());
            }
            let head = String::from_utf8(head).unwrap().to_lowercase();
            let path = head.split(' ').nth(1).unwrap().trim_start_matches('/').to_owned();
            let body = fs::read(origin.join(&path)).unwrap();
            let range = head.split("range: bytes=").nth(1).filter(|_| ranges);
            let from: usize = range.map_or(0, |range| range.split('-').next().unwrap().parse().unwrap());
            let size = body.len();
            let line = match range {
                Some(_) => format!("206 Partial\r\ncontent-range: bytes {from}-{}/{size}", size - 1),
                None => "200 OK".to_owned(),
            };
            let answer = format!("HTTP/1.1 {line}\r\ncontent-length: {}\r\n\r\n", size - from);
            let breaks = !path.ends_with("json") && left > 0;
            left -= usize::from(breaks);
            let until = if breaks { (from + after).min(size) } else { size };
            let _ = stream.write_all(answer.as_bytes()).await;
            let _ = stream.write_all(&body[from..until]).await;
            let _ = stream.shutdown().await;
        }
    });
    url
}

#[tokio::test]
async fn an_unsteady_origin_is_asked_again_for_the_rest() {
    let place = Place::new();
    place.publish("tool", "1.0", &[("a", noise(1, 1_000_000))]).await;
    for (ranges, fetched) in [(true, 1_000_000), (false, 1_600_000)] {
        let url = unsteady(&place, 200_000, ranges).await;
        let said = summary(place.replicate(&["--origin", &url, "--to", "target", "--json"]).await);
        assert_eq!((count(&said, "copied"), said["fetched_bytes"].as_u64()), (1, Some(fetched)), "{said}");
        assert!(place.has("tool/1.0/a"));
        fs::remove_dir_all(place.target("")).unwrap();
    }
}
