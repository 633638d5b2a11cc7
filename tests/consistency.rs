//! While a channel moves, back and forth, under a stream of requests: every answer speaks of one release alone, and what a
//! client gets by following it is that release's file.

#![allow(clippy::unwrap_used, missing_docs)]

#[path = "support/site.rs"]
mod site;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Instant;

use bytes::Bytes;
use data_encoding::{BASE64, HEXLOWER};
use http::{HeaderMap, Request};
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use site::{EU, Site, fetch, sha256};
use tokio::net::TcpStream;
use waypost::catalog::ReleaseId;
use waypost::model::{ChannelName, ProductName, Version};
use waypost::workers::Handle;
use waypost::workers::fact::{Instruction, Wish};

/// Clients at once, each with a connection that is kept alive.
const CLIENTS: usize = 8;
/// Answers that each follows.
const ROUNDS: usize = 400;
const VERSIONS: [&str; 2] = ["7.8.1", "7.8.2"];

/// What a release of this version holds: names that carry the version, as most do.
fn files(version: &str) -> [(String, Vec<u8>); 2] {
    let bytes = |what: &str| format!("{what} {version} ").repeat(50).into_bytes();
    [
        (format!("tool-{version}-linux-amd64.tar.gz"), bytes("linux")),
        (format!("tool-{version}-darwin-arm64.tar.gz"), bytes("darwin")),
    ]
}

/// By version: SHA-256 of the file that every path below means.
type Digests = Arc<BTreeMap<String, String>>;

struct Client {
    sender: SendRequest<Empty<Bytes>>,
    digests: Digests,
}

impl Client {
    async fn connect(site: &Site, digests: &Digests) -> Self {
        let stream = TcpStream::connect(site.address()).await.unwrap();
        let (sender, connection) = handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        Self { sender, digests: Arc::clone(digests) }
    }

    async fn get(&mut self, path: &str) -> (HeaderMap, String) {
        self.sender.ready().await.unwrap();
        let request = Request::get(path).header("host", "waypost.test").header("x-forwarded-for", EU);
        let answer = self.sender.send_request(request.body(Empty::new()).unwrap()).await.unwrap();
        assert!(answer.status().is_success() || answer.status() == 302, "{path}: {}", answer.status());
        let (head, body) = answer.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        (head.headers, String::from_utf8(body.to_vec()).unwrap())
    }

    /// The version that all versions in a text agree on.
    fn one_version(&self, path: &str, text: &str) -> String {
        let named: Vec<&String> =
            self.digests.keys().filter(|version| text.contains(version.as_str())).collect();
        assert_eq!(named.len(), 1, "{path} speaks of {named:?}: {text}");
        named[0].clone()
    }

    /// A redirect, and the file behind it.
    async fn follow(&mut self, path: &str) -> String {
        let (headers, _) = self.get(path).await;
        let lines = |name: &str| headers.get_all(name).iter().map(|v| v.to_str().unwrap().to_owned());
        let places: Vec<String> = lines("location").chain(lines("link")).collect();
        assert!(places.len() >= 3, "{path}: {places:?}");
        let version = self.one_version(path, &places.join("\n"));
        let digest = HEXLOWER.decode(self.digests[&version].as_bytes()).unwrap();
        assert_eq!(headers["digest"], format!("SHA-256={}", BASE64.encode(&digest)), "{path} {version}");
        let bytes = fetch(headers["location"].to_str().unwrap()).await;
        assert_eq!(sha256(&bytes), self.digests[&version], "{path}");
        version
    }

    /// A document that names a version and a digest.
    async fn read(&mut self, path: &str) -> String {
        let (_, text) = self.get(path).await;
        let version = self.one_version(path, &text);
        assert!(text.contains(&self.digests[&version]), "{path}: {text}");
        version
    }

    async fn list(&mut self, path: &str) -> String {
        let (_, text) = self.get(path).await;
        let list: Value = serde_json::from_str(&text).unwrap();
        let version = list["version"].as_str().unwrap().to_owned();
        assert_eq!(list["sha256"], self.digests[&version], "{path}: {text}");
        assert_eq!(self.one_version(path, &text), version);
        version
    }

    async fn round(&mut self, turn: usize) -> String {
        const FILE: &str = "/tool/stable/tool-linux-amd64.tar.gz";
        match turn % 9 {
            0 => self.follow(FILE).await,
            1 => self.read(&format!("{FILE}.sha256")).await,
            2 => self.read(&format!("{FILE}.meta4")).await,
            3 => self.list(&format!("{FILE}?mirrors")).await,
            4 => self.follow("/tool/stable/linux-amd64").await,
            5 => self.follow("/tool/install?platform=linux-amd64").await,
            6 => self.read("/tool/latest/SHA256SUMS").await,
            7 => self.follow("/pub/tool-stable-linux-amd64.tgz").await,
            _ => {
                let (_, text) = self.get("/tool/stable/version.txt").await;
                text.trim().to_owned()
            }
        }
    }
}

/// Moves the channel back and forth until told to stop.
async fn flip(handle: Handle, stop: Arc<AtomicBool>) -> usize {
    let product = ProductName::new("tool").unwrap();
    let mut moves = 0;
    while !stop.load(Ordering::Acquire) {
        let version = Version::parse(VERSIONS[moves % 2]).unwrap();
        let wish = Wish::Promote {
            release: ReleaseId { product: product.clone(), version },
            channel: ChannelName::new("stable").unwrap(),
            expected: Some(Some(Version::parse(VERSIONS[(moves + 1) % 2]).unwrap())),
            force: false,
        };
        let instruction = Instruction { actor: "test".into(), reason: "back and forth".into(), wish };
        handle.order(instruction).await.unwrap();
        moves += 1;
    }
    moves
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_answer_mixes_releases_while_a_channel_moves() {
    let contents: Vec<_> = VERSIONS.iter().map(|version| (*version, files(version))).collect();
    let mut builder = Site::builder()
        .mirror("fra", |m| m.region("eu"))
        .mirror("ams", |m| m.region("eu"))
        .mirror("sin", |m| m.region("ap"))
        .config(
            "[[alias]]\nfrom = \"/pub/{product}-{version}-{platform}.tgz\"\nto = \"/{product}/{version}/{platform}\"\n",
        );
    for (version, files) in &contents {
        let assets: Vec<(&str, &[u8])> =
            files.iter().map(|(name, bytes)| (name.as_str(), &bytes[..])).collect();
        builder = builder.release("tool", version, &assets, &["stable"]);
    }
    let site = builder.start().await;
    for version in VERSIONS {
        site.until_everywhere("tool", version).await;
    }
    site.until_channel("tool", "stable", VERSIONS[1]).await;
    let digests: Digests = Arc::new(
        contents.iter().map(|(version, files)| ((*version).to_owned(), sha256(&files[0].1))).collect(),
    );

    let stop = Arc::new(AtomicBool::new(false));
    let flipping = tokio::spawn(flip(site.handle(), Arc::clone(&stop)));
    let began = Instant::now();
    let both = Arc::new([AtomicUsize::new(0), AtomicUsize::new(0)]);
    let mut clients = Vec::new();
    for client in 0..CLIENTS {
        let (mut connection, both) = (Client::connect(&site, &digests).await, Arc::clone(&both));
        clients.push(tokio::spawn(async move {
            for turn in 0..ROUNDS {
                let version = connection.round(client + turn).await;
                let at = VERSIONS.iter().position(|known| *known == version).unwrap();
                both[at].fetch_add(1, Ordering::Relaxed);
            }
        }));
    }
    for client in clients {
        client.await.unwrap();
    }
    let elapsed = began.elapsed();
    stop.store(true, Ordering::Release);
    let moves = flipping.await.unwrap();
    let [old, new] = [0, 1].map(|at| both[at].load(Ordering::Relaxed));
    println!(
        "{} answers followed in {elapsed:.1?}, {moves} moves; {old} of the old release, {new} of the new",
        old + new
    );
    assert_eq!(old + new, CLIENTS * ROUNDS);
    assert!(moves > 10 && old > 0 && new > 0, "the channel moved under the requests: {moves} {old} {new}");
}
