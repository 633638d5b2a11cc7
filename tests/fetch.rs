//! Outgoing requests: what a mirror may do to us, and what we say about it.
#![allow(clippy::unwrap_used, missing_docs)]

#[path = "fetch/hostile.rs"]
mod hostile;
#[path = "fetch/redirects.rs"]
mod redirects;
#[path = "fetch/secure.rs"]
mod secure;
#[path = "fetch/server.rs"]
mod server;

use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use tokio::time::timeout;
use url::Url;
use waypost::config::Outgoing;
use waypost::fetch::{Expected, Failure, Fetcher, Get, NamedHosts, Pace, Response, looks_like_html};
use waypost::model::{CopyFault, Sha256};

use server::{Reply, Server, Then, found, hang, ok, reply};

/// Longer than anything here takes.
const LONG: Duration = Duration::from_secs(20);
/// Shorter than anything here waits for.
const SHORT: Duration = Duration::from_millis(150);

fn outgoing() -> Outgoing {
    Outgoing { ca_file: None, proxy: None, max_redirects: 3 }
}

fn fetcher(named: &[&Server]) -> Fetcher {
    let urls: Vec<Url> = named.iter().map(|server| server.url("/")).collect();
    Fetcher::new(&outgoing(), NamedHosts::of(&urls)).unwrap()
}

async fn get(server: &Server, path: &str) -> Result<Response, Failure> {
    fetcher(&[server]).get(&Get::new(&server.url(path), LONG)).await
}

async fn fault_of(server: &Server, path: &str) -> CopyFault {
    get(server, path).await.unwrap_err().fault
}

fn sha256(bytes: &[u8]) -> Sha256 {
    Sha256::new(digest(&SHA256, bytes).as_ref().try_into().unwrap())
}

/// Bytes that repeat in no obvious way.
fn file(size: usize) -> Vec<u8> {
    (0..size).map(|i| (i * 31 + i / 251) as u8).collect()
}

fn expected(size: usize) -> Expected {
    Expected { size: size as u64, range: None, validator: None, html_is_fine: false }
}

#[tokio::test]
async fn a_file_is_hashed_and_its_phases_are_timed_apart() {
    let bytes = file(3 << 20);
    let served = bytes.clone();
    let server = Server::start("127.0.0.1", move |_| ok(&served)).await;
    let url: Url = format!("http://localhost:{}/file?a=b#c", server.address.port()).parse().unwrap();
    let response = fetcher(&[]).get(&Get::new(&url, LONG)).await.unwrap();
    assert_eq!(response.look(&expected(bytes.len())).unwrap().length, Some(3 << 20));
    let timings = response.timings;
    assert!(
        timings.dns.is_some() && timings.connect.is_some() && timings.first_byte.is_some(),
        "{timings:?}"
    );
    assert_eq!(timings.tls, None);
    assert!(response.families.unwrap().v4);
    assert_eq!(response.hops, 0);

    let hashed = response.hash(3 << 20, &Pace::unlimited()).await.unwrap();
    assert_eq!((hashed.sha256, hashed.size), (sha256(&bytes), 3 << 20));
    assert_eq!(hashed.first_bytes, bytes[..64]);
    let head = server.heads().remove(0).to_ascii_lowercase();
    assert!(head.starts_with("get /file?a=b http/1.1\r\n"), "{head}");
    for line in [
        format!("host: localhost:{}", server.address.port()),
        format!("user-agent: waypost/{} ", env!("CARGO_PKG_VERSION")),
        "accept: */*\r\n".into(),
        "accept-encoding: identity\r\n".into(),
    ] {
        assert!(head.contains(&line), "{line} in {head}");
    }
}

#[tokio::test]
async fn changed_bytes_of_the_same_size_have_another_digest() {
    let server = Server::start("127.0.0.1", |path| ok(if path == "/good" { b"abcd" } else { b"abce" })).await;
    let (fetcher, url) = (fetcher(&[]), server.url("/good"));
    // As the workers do it, in a task of its own.
    let good =
        tokio::spawn(
            async move { fetcher.get(&Get::new(&url, LONG)).await?.hash(4, &Pace::unlimited()).await },
        );
    let good = good.await.unwrap().unwrap();
    let changed = get(&server, "/changed").await.unwrap().hash(4, &Pace::unlimited()).await.unwrap();
    assert_eq!(good.sha256, sha256(b"abcd"));
    assert_ne!(good.sha256, changed.sha256);
}

#[tokio::test]
async fn bodies_in_chunks_until_close_and_without_any_byte_are_whole() {
    let server = Server::start("127.0.0.1", |path| match path {
        "/chunked" => {
            let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x\r\n\r\n";
            Reply(format!("{head}3\r\nabc\r\n1\r\nd\r\n0\r\nx: y\r\n\r\n").into_bytes(), Then::Close)
        }
        "/until-close" => Reply(b"HTTP/1.0 200 OK\r\n\r\nabcd".to_vec(), Then::Close),
        _ => ok(b""),
    })
    .await;
    for path in ["/chunked", "/until-close"] {
        let response = get(&server, path).await.unwrap();
        assert_eq!(response.look(&expected(4)).unwrap().length, None, "{path}");
        assert_eq!(response.hash(4, &Pace::unlimited()).await.unwrap().sha256, sha256(b"abcd"), "{path}");
    }
    let empty = get(&server, "/empty").await.unwrap().hash(0, &Pace::unlimited()).await.unwrap();
    assert_eq!(empty.sha256, sha256(b""));
}

#[tokio::test]
async fn a_range_and_conditions_are_asked_for_and_a_part_is_recognised() {
    let server = Server::start("127.0.0.1", |path| match path {
        "/part" => reply("206 Partial Content\r\ncontent-range: bytes 2-3/10\r\netag: \"e\"", b"cd"),
        _ => Reply(b"HTTP/1.1 304 Not Modified\r\n\r\n".to_vec(), Then::Close),
    })
    .await;
    let fetcher = fetcher(&[&server]);
    let url = server.url("/part");
    let part = fetcher.get(&Get { range: Some((2, 3)), ..Get::new(&url, LONG) }).await.unwrap();
    let asked = Expected { range: Some((2, 3)), ..expected(10) };
    let seen = part.look(&asked).unwrap();
    assert!(seen.partial);
    let wrong = Expected { range: Some((2, 4)), ..expected(10) };
    assert_eq!(part.look(&wrong).unwrap_err().fault, CopyFault::WrongLength);
    assert_eq!(part.look(&Expected { size: 11, ..asked }).unwrap_err().fault, CopyFault::WrongLength);
    assert_eq!(part.read(2).await.unwrap(), "cd");

    let url = server.url("/unchanged");
    let conditional = Get {
        if_none_match: Some("\"e\""),
        if_modified_since: Some("Fri, 20 Nov 2026 10:00:00 GMT"),
        ..Get::new(&url, LONG)
    };
    let unchanged = fetcher.get(&conditional).await.unwrap();
    assert_eq!(unchanged.status, 304);
    assert_eq!(unchanged.read(0).await.unwrap(), "");
    let heads = server.heads();
    assert!(heads[0].contains("range: bytes=2-3\r\n"), "{heads:?}");
    assert!(
        heads[1].contains("if-none-match: \"e\"\r\nif-modified-since: Fri, 20 Nov 2026 10:00:00 GMT\r\n")
    );
}

#[tokio::test]
async fn reading_refuses_more_than_it_was_told() {
    let server = Server::start("127.0.0.1", |path| match path {
        "/announced" => ok(b"abcde"),
        _ => Reply(b"HTTP/1.0 200 OK\r\n\r\nabcde".to_vec(), Then::Close),
    })
    .await;
    for path in ["/announced", "/not-announced"] {
        assert_eq!(get(&server, path).await.unwrap().read(5).await.unwrap(), "abcde");
        let failure = get(&server, path).await.unwrap().read(4).await.unwrap_err();
        assert_eq!(failure.fault, CopyFault::WrongLength, "{path}");
    }
}

#[tokio::test]
async fn a_wrong_length_fails_before_the_body_is_read() {
    let head = "HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n";
    let server = Server::start("127.0.0.1", move |_| Reply(head.into(), hang())).await;
    let response = get(&server, "/").await.unwrap();
    assert_eq!(response.look(&expected(100)).unwrap_err().fault, CopyFault::WrongLength);
    let failure = response.hash(100, &Pace::unlimited()).await.unwrap_err();
    assert_eq!(failure.fault, CopyFault::WrongLength);
    assert_eq!(failure.evidence.received, 0);
}

#[tokio::test]
async fn an_endless_body_is_left_at_the_first_byte_too_many() {
    let server = Server::start("127.0.0.1", |path| {
        let coding = if path == "/chunked" { "transfer-encoding: chunked" } else { "server: x" };
        let more = if path == "/chunked" { b"4\r\nabcd\r\n".repeat(1000) } else { b"abcd".repeat(1000) };
        Reply(format!("HTTP/1.1 200 OK\r\n{coding}\r\n\r\n").into(), Then::Repeat(more))
    })
    .await;
    for path in ["/chunked", "/plain"] {
        let response = get(&server, path).await.unwrap();
        let hashed = timeout(LONG, response.hash(1_000_001, &Pace::unlimited())).await.unwrap();
        let failure = hashed.unwrap_err();
        assert_eq!(failure.fault, CopyFault::WrongLength, "{path}");
        let received = failure.evidence.received;
        assert!(received > 1_000_001 && received <= 1_000_001 + (64 << 10), "{received}");
        assert!(get(&server, path).await.unwrap().read(1000).await.is_err());
    }
}

#[tokio::test]
async fn a_truncated_body_is_no_file_and_its_beginning_is_kept_as_evidence() {
    let server = Server::start("127.0.0.1", |path| {
        let length = if path == "/announced" { "content-length: 100" } else { "server: x" };
        Reply(format!("HTTP/1.1 200 OK\r\n{length}\r\n\r\n<html>short").into(), Then::Close)
    })
    .await;
    for (path, fault) in [("/announced", CopyFault::Broken), ("/until-close", CopyFault::WrongLength)] {
        let failure = get(&server, path).await.unwrap().hash(100, &Pace::unlimited()).await.unwrap_err();
        assert_eq!(failure.fault, fault, "{failure}");
        let evidence = failure.evidence;
        assert_eq!((evidence.received, &*evidence.first_bytes), (11, b"<html>short".as_slice()));
        assert!(looks_like_html(&evidence.first_bytes));
        assert_eq!((evidence.status.unwrap().as_u16(), evidence.final_url), (200, Some(server.url(path))));
    }
}

#[tokio::test]
async fn pages_encodings_and_refusals_have_their_own_names() {
    let server = Server::start("127.0.0.1", |path| match path {
        "/html" => reply("200 OK\r\ncontent-type: text/html; charset=utf-8", b"<html>"),
        "/gzip" => reply("200 OK\r\ncontent-encoding: gzip\r\ncontent-type: text/html", b"zip"),
        "/missing" => reply("404 Not Found", b""),
        "/busy" => reply("503 Busy", b""),
        _ => reply("403 No", b""),
    })
    .await;
    for (path, fault) in [
        ("/html", CopyFault::Html),
        ("/gzip", CopyFault::ContentEncoding),
        ("/missing", CopyFault::Missing),
        ("/busy", CopyFault::ServerError),
        ("/denied", CopyFault::Denied),
    ] {
        let failure = get(&server, path).await.unwrap().look(&expected(6)).unwrap_err();
        assert_eq!(failure.fault, fault, "{path}");
        assert!(failure.detail.starts_with("status "), "{failure}");
    }
}
