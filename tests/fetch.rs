//! Outgoing requests: what a mirror may do to us, and what we say about it.
#![allow(clippy::unwrap_used, missing_docs)]

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use url::Url;
use waypost::config::Outgoing;
use waypost::fetch::{
    Expected, Failure, Fetcher, FetcherError, Get, NamedHosts, Pace, Response, looks_like_html,
};
use waypost::model::{CopyFault, Sha256};

/// Longer than anything here takes.
const LONG: Duration = Duration::from_secs(20);
/// Shorter than anything here waits for.
const SHORT: Duration = Duration::from_millis(150);

/// What a server sends for a request, and what it does then.
struct Reply(Vec<u8>, Then);

#[derive(Clone)]
enum Then {
    Close,
    /// Waits for the client to close, and tells that it did.
    Hang(Arc<Notify>),
    /// Sends this again and again.
    Repeat(Vec<u8>),
    /// Sends a byte at a time, this far apart.
    Drip(Duration),
}

fn hang() -> Then {
    Then::Hang(Arc::default())
}

fn reply(head: &str, body: &[u8]) -> Reply {
    let head = format!("HTTP/1.1 {head}\r\ncontent-length: {}\r\n\r\n", body.len());
    Reply([head.as_bytes(), body].concat(), Then::Close)
}

fn ok(body: &[u8]) -> Reply {
    reply("200 OK", body)
}

fn found(location: &str) -> Reply {
    reply(&format!("302 Found\r\nlocation: {location}"), b"elsewhere")
}

/// A server that remembers the heads of its requests; it ends when dropped.
struct Server {
    address: SocketAddr,
    scheme: &'static str,
    heads: Arc<Mutex<Vec<String>>>,
    _tasks: JoinSet<()>,
}

impl Server {
    async fn start(ip: &str, answer: impl Fn(&str) -> Reply + Send + Sync + 'static) -> Self {
        Self::listen(ip, None, answer).await
    }

    async fn listen(
        ip: &str,
        tls: Option<TlsAcceptor>,
        answer: impl Fn(&str) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind((ip, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let scheme = if tls.is_some() { "https" } else { "http" };
        let heads: Arc<Mutex<Vec<String>>> = Arc::default();
        let (seen, answer, mut tasks) = (Arc::clone(&heads), Arc::new(answer), JoinSet::new());
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (seen, answer, tls) = (Arc::clone(&seen), Arc::clone(&answer), tls.clone());
                connections.spawn(async move {
                    match tls {
                        None => converse(stream, &seen, &*answer).await,
                        Some(tls) => match tls.accept(stream).await {
                            Ok(stream) => converse(stream, &seen, &*answer).await,
                            Err(_) => None,
                        },
                    }
                });
            }
        });
        Self { address, scheme, heads, _tasks: tasks }
    }

    fn url(&self, path: &str) -> Url {
        format!("{}://{}{path}", self.scheme, self.address).parse().unwrap()
    }

    fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }
}

async fn read_head(stream: &mut (impl AsyncRead + Unpin)) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    String::from_utf8(head).ok()
}

async fn converse(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    seen: &Mutex<Vec<String>>,
    answer: &(impl Fn(&str) -> Reply + ?Sized),
) -> Option<()> {
    let head = read_head(&mut stream).await?;
    let Reply(bytes, then) = answer(head.split(' ').nth(1)?);
    seen.lock().unwrap().push(head);
    stream.write_all(&bytes).await.ok()?;
    match then {
        Then::Close => stream.shutdown().await.ok(),
        Then::Hang(gone) => {
            stream.flush().await.ok()?;
            let _ = stream.read_u8().await;
            gone.notify_one();
            Some(())
        }
        Then::Repeat(more) => loop {
            stream.write_all(&more).await.ok()?;
        },
        Then::Drip(apart) => {
            let mut beat = tokio::time::interval(apart);
            loop {
                beat.tick().await;
                stream.write_all(b"x").await.ok()?;
                stream.flush().await.ok()?;
            }
        }
    }
}

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

// What is fetched.

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

// Bodies that are not the file.

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
        let failure =
            get(&server, path).await.unwrap().hash(1_000_001, &Pace::unlimited()).await.unwrap_err();
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

// Silence and noise.

#[tokio::test]
async fn a_silent_server_is_given_up_at_the_deadline() {
    let server = Server::start("127.0.0.1", |path| match path {
        "/hop" => found("/silent"),
        "/half" => Reply(b"HTTP/1.1 200 OK\r\nx: ".to_vec(), hang()),
        _ => Reply(Vec::new(), hang()),
    })
    .await;
    for path in ["/silent", "/half", "/hop"] {
        let url = server.url(path);
        let failure =
            timeout(LONG, fetcher(&[&server]).get(&Get::new(&url, SHORT))).await.unwrap().unwrap_err();
        assert_eq!(failure.fault, CopyFault::Timeout, "{path}");
        assert!(failure.evidence.timings.connect.is_some(), "what was measured is kept");
        assert_eq!(failure.evidence.timings.first_byte.is_some(), path == "/hop");
    }
}

#[tokio::test]
async fn a_body_that_stalls_or_drips_is_given_up() {
    let head = "HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\nabc";
    let server = Server::start("127.0.0.1", move |path| {
        Reply(head.into(), if path == "/stalls" { hang() } else { Then::Drip(Duration::from_millis(5)) })
    })
    .await;
    for path in ["/stalls", "/drips"] {
        let url = server.url(path);
        let get = Get { idle: SHORT, ..Get::new(&url, LONG) };
        let response = fetcher(&[&server]).get(&get).await.unwrap();
        let failure = timeout(LONG, response.hash(1_000_000, &Pace::unlimited())).await.unwrap().unwrap_err();
        assert_eq!(failure.fault, CopyFault::Timeout, "{path}");
        assert!(failure.evidence.first_bytes.starts_with(b"abc"));
    }
}

#[tokio::test]
async fn heads_without_end_are_left() {
    let server = Server::start("127.0.0.1", |path| {
        let (begin, more) = match path {
            "/lines" => ("HTTP/1.1 200 OK\r\n", "x-a: b\r\n".repeat(500)),
            "/one-line" => ("HTTP/1.1 200 OK\r\nx: ", "x".repeat(5000)),
            "/informational" => ("", "HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n".repeat(100)),
            _ => ("", "\r\n".repeat(100)),
        };
        Reply(begin.into(), Then::Repeat(more.into()))
    })
    .await;
    for path in ["/lines", "/one-line", "/informational", "/blank"] {
        assert_eq!(fault_of(&server, path).await, CopyFault::Broken, "{path}");
    }
}

#[tokio::test]
async fn what_is_not_http_is_broken() {
    let server = Server::start("127.0.0.1", |path| {
        let bytes = match path {
            "/ssh" => b"SSH-2.0-OpenSSH_9.2\r\n".to_vec(),
            "/zeros" => vec![0; 1000],
            "/two-lengths" => b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab".to_vec(),
            _ => Vec::new(),
        };
        Reply(bytes, Then::Close)
    })
    .await;
    for path in ["/ssh", "/zeros", "/two-lengths", "/nothing"] {
        assert_eq!(fault_of(&server, path).await, CopyFault::Broken, "{path}");
    }
}

#[tokio::test]
async fn hosts_that_do_not_resolve_or_listen_have_their_own_names() {
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    for (url, fault) in [
        (format!("http://{free}/"), CopyFault::Connect),
        // A label of 64 bytes, which no resolver asks anybody about (RFC 1035 section 2.3.4).
        (format!("http://{}.invalid/", "a".repeat(64)), CopyFault::Dns),
        ("ftp://127.0.0.1/".into(), CopyFault::Broken),
    ] {
        let failure = fetcher(&[]).get(&Get::new(&url.parse().unwrap(), LONG)).await.unwrap_err();
        assert_eq!(failure.fault, fault, "{failure}");
    }
}

#[tokio::test]
async fn dropping_a_response_closes_its_connection() {
    let gone = Arc::new(Notify::new());
    let then = Then::Hang(Arc::clone(&gone));
    let head = "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc";
    let server = Server::start("127.0.0.1", move |_| Reply(head.into(), then.clone())).await;
    let response = get(&server, "/").await.unwrap();
    assert!(timeout(SHORT, gone.notified()).await.is_err(), "it stays open while the response lives");
    drop(response);
    timeout(LONG, gone.notified()).await.unwrap();
}

// Redirects.

#[tokio::test]
async fn redirects_are_followed_to_named_hosts_and_the_first_hop_is_what_is_timed() {
    let target = Server::start("127.0.0.2", |_| ok(b"abcd")).await;
    let there = target.url("/file");
    let server = Server::start("127.0.0.1", move |path| match path {
        "/first" => found("second#fragment"),
        _ => found(there.as_str()),
    })
    .await;
    let url = server.url("/first");
    let response = fetcher(&[&server, &target]).get(&Get::new(&url, LONG)).await.unwrap();
    assert_eq!((response.hops, &response.final_url), (2, &target.url("/file")));
    assert!(response.timings.first_byte.is_some());
    assert_eq!(response.read(4).await.unwrap(), "abcd");
}

#[tokio::test]
async fn circles_and_long_chains_are_left() {
    let server = Server::start("127.0.0.1", |path| match path {
        "/a" => found("/b"),
        "/b" => found("/a#again"),
        "/3" => ok(b"ok"),
        n => found(&format!("/{}", n[1..].parse::<i32>().unwrap() + 1)),
    })
    .await;
    assert_eq!(fault_of(&server, "/a").await, CopyFault::RedirectLoop);
    assert_eq!(server.heads().len(), 2, "a circle is noticed before it is gone round again");
    assert_eq!(get(&server, "/0").await.unwrap().hops, 3);
    let failure = get(&server, "/-1").await.unwrap_err();
    assert_eq!(failure.fault, CopyFault::RedirectLoop);
    assert_eq!(failure.evidence.status.unwrap(), 302);
}

#[tokio::test]
async fn redirects_to_private_places_that_nobody_named_are_refused_unasked() {
    let secret = Server::start("127.0.0.9", |_| ok(b"secret")).await;
    let port = secret.address.port();
    let server = Server::start("127.0.0.1", move |path| {
        found(&match path {
            "/ip" => format!("http://127.0.0.9:{port}/"),
            "/spelled" => format!("http://0x7f.9:{port}/"),
            "/mapped" => format!("http://[::ffff:127.0.0.9]:{port}/"),
            "/name" => format!("http://localhost:{port}/"),
            "/cloud" => "http://169.254.169.254/latest/meta-data/".into(),
            "/scheme" => "ftp://127.0.0.1/".into(),
            _ => "file:///etc/passwd".into(),
        })
    })
    .await;
    for path in ["/ip", "/spelled", "/mapped", "/name", "/cloud", "/scheme", "/file"] {
        assert_eq!(fault_of(&server, path).await, CopyFault::ForbiddenRedirect, "{path}");
    }
    assert!(secret.heads().is_empty());
}

#[tokio::test]
async fn a_redirect_without_a_usable_target_is_no_file() {
    let server = Server::start("127.0.0.1", |path| match path {
        "/none" => reply("302 Found", b""),
        _ => found("http://[nonsense"),
    })
    .await;
    let fault = get(&server, "/none").await.unwrap().look(&expected(1)).unwrap_err().fault;
    assert_eq!(fault, CopyFault::UnexpectedStatus);
    assert_eq!(fault_of(&server, "/nonsense").await, CopyFault::Broken);
}

// TLS.

struct Authority {
    pem: tempfile::NamedTempFile,
    acceptor: TlsAcceptor,
}

fn authority() -> Authority {
    let issued =
        rcgen::generate_simple_self_signed(["127.0.0.1".to_owned(), "localhost".to_owned()]).unwrap();
    let pem = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(pem.path(), issued.cert.pem()).unwrap();
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(issued.signing_key.serialize_der()));
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![issued.cert.der().clone()], key)
        .unwrap();
    Authority { pem, acceptor: TlsAcceptor::from(Arc::new(config)) }
}

fn trusting(authority: &Authority, proxy: Option<Url>) -> Fetcher {
    let outgoing = Outgoing { ca_file: Some(authority.pem.path().into()), proxy, ..outgoing() };
    Fetcher::new(&outgoing, NamedHosts::of(&["http://127.0.0.1/".parse().unwrap()])).unwrap()
}

#[tokio::test]
async fn https_is_trusted_by_ca_file_and_refused_without() {
    let authority = authority();
    let server = Server::listen("127.0.0.1", Some(authority.acceptor.clone()), |_| ok(b"abcd")).await;
    let url = server.url("/");
    let trusting = trusting(&authority, None);
    assert!(trusting.roots() > 0);
    let response = trusting.get(&Get::new(&url, LONG)).await.unwrap();
    assert!(response.timings.tls.is_some());
    assert_eq!(response.hash(4, &Pace::unlimited()).await.unwrap().sha256, sha256(b"abcd"));

    let failure = fetcher(&[]).get(&Get::new(&url, LONG)).await.unwrap_err();
    assert_eq!(failure.fault, CopyFault::Tls);
    assert!(failure.detail.contains("certificate"), "{failure}");
}

#[tokio::test]
async fn a_certificate_for_another_name_and_a_server_without_tls_are_refused() {
    let authority = authority();
    let other = Server::listen("127.0.0.2", Some(authority.acceptor.clone()), |_| ok(b"abcd")).await;
    let plain = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let https_to_plain: Url = format!("https://{}/", plain.local_addr().unwrap()).parse().unwrap();
    let _plain = tokio::spawn(async move {
        let (mut stream, _) = plain.accept().await.unwrap();
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
        stream.read_to_end(&mut Vec::new()).await
    });
    for url in [other.url("/"), https_to_plain] {
        let failure = trusting(&authority, None).get(&Get::new(&url, LONG)).await.unwrap_err();
        assert_eq!(failure.fault, CopyFault::Tls, "{failure}");
    }
}

#[tokio::test]
async fn https_never_goes_down_to_http_and_http_may_go_up() {
    let authority = authority();
    let plain = Server::start("127.0.0.1", |_| ok(b"abcd")).await;
    let down = plain.url("/");
    let secure = Server::listen("127.0.0.1", Some(authority.acceptor.clone()), move |path| match path {
        "/down" => found(down.as_str()),
        _ => ok(b"abcd"),
    })
    .await;
    let up_to = secure.url("/file");
    let up = Server::start("127.0.0.1", move |_| found(up_to.as_str())).await;
    let fetcher = trusting(&authority, None);
    let failure = fetcher.get(&Get::new(&secure.url("/down"), LONG)).await.unwrap_err();
    assert_eq!(failure.fault, CopyFault::ForbiddenRedirect);
    assert!(plain.heads().is_empty());
    assert_eq!(fetcher.get(&Get::new(&up.url("/"), LONG)).await.unwrap().final_url, secure.url("/file"));
}

#[test]
fn a_bad_ca_file_or_proxy_is_an_error_with_a_remedy() {
    let empty = tempfile::NamedTempFile::new().unwrap();
    let with = |ca_file: &std::path::Path| {
        let outgoing = Outgoing { ca_file: Some(ca_file.into()), ..outgoing() };
        Fetcher::new(&outgoing, NamedHosts::default()).err().unwrap()
    };
    assert!(matches!(with(empty.path()), FetcherError::NoCertificate { .. }));
    assert!(matches!(with("/does/not/exist".as_ref()), FetcherError::UnreadableCaFile { .. }));
    let junk = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    std::fs::write(empty.path(), junk).unwrap();
    assert!(matches!(with(empty.path()), FetcherError::BadCertificate { .. }));
    let socks = Outgoing { proxy: Some("socks5://127.0.0.1:1/".parse().unwrap()), ..outgoing() };
    assert!(matches!(Fetcher::new(&socks, NamedHosts::default()), Err(FetcherError::Proxy)));
}

// The proxy.

fn through(address: SocketAddr) -> Url {
    format!("http://us%20er:pass@{address}").parse().unwrap()
}

#[tokio::test]
async fn http_goes_through_a_proxy_in_absolute_form() {
    let proxy = Server::start("127.0.0.1", |target| match target {
        "http://mirror.invalid:8080/file" => ok(b"abcd"),
        "http://mirror.invalid/private" => found("http://10.1.2.3/"),
        _ => reply("502 Bad Gateway", b""),
    })
    .await;
    let outgoing = Outgoing { proxy: Some(through(proxy.address)), ..outgoing() };
    let fetcher = Fetcher::new(&outgoing, NamedHosts::default()).unwrap();
    let url = "http://mirror.invalid:8080/file".parse().unwrap();
    let response = fetcher.get(&Get::new(&url, LONG)).await.unwrap();
    assert_eq!(response.families, None, "the proxy resolves");
    assert_eq!(response.read(4).await.unwrap(), "abcd");
    let head = proxy.heads().remove(0);
    assert!(head.contains("host: mirror.invalid:8080\r\n"), "{head}");
    assert!(head.contains("proxy-authorization: Basic dXMgZXI6cGFzcw==\r\n"), "{head}");

    let url = "http://mirror.invalid/private".parse().unwrap();
    let failure = fetcher.get(&Get::new(&url, LONG)).await.unwrap_err();
    assert_eq!(failure.fault, CopyFault::ForbiddenRedirect);
}

#[tokio::test]
async fn https_goes_through_a_proxy_by_connect() {
    let authority = authority();
    let server = Server::listen("127.0.0.1", Some(authority.acceptor.clone()), |_| ok(b"abcd")).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let proxy = listener.local_addr().unwrap();
    let tunnel = tokio::spawn(async move {
        let (mut client, _) = listener.accept().await.unwrap();
        let head = read_head(&mut client).await.unwrap();
        let mut upstream = TcpStream::connect(head.split(' ').nth(1).unwrap()).await.unwrap();
        client.write_all(b"HTTP/1.1 200 Connection established\r\nx: y\r\n\r\n").await.unwrap();
        let _ = tokio::io::copy_bidirectional(&mut client, &mut upstream).await;
        head
    });
    let response =
        trusting(&authority, Some(through(proxy))).get(&Get::new(&server.url("/"), LONG)).await.unwrap();
    assert!(response.timings.tls.is_some());
    assert_eq!(response.read(4).await.unwrap(), "abcd");
    let head = timeout(LONG, tunnel).await.unwrap().unwrap();
    assert!(head.starts_with(&format!("CONNECT {} HTTP/1.1\r\n", server.address)), "{head}");
    assert!(head.contains("Proxy-Authorization: Basic dXMgZXI6cGFzcw==\r\n"), "{head}");
    let inner = server.heads().remove(0);
    assert!(!inner.to_ascii_lowercase().contains("proxy-"), "the mirror does not see the proxy's password");
}

#[tokio::test]
async fn a_proxy_that_refuses_or_babbles_is_a_failure_to_connect() {
    for answer in [Reply(b"HTTP/1.1 407 Who\r\n\r\n".to_vec(), Then::Close), Reply(vec![b'x'; 9000], hang())]
    {
        let Reply(bytes, then) = answer;
        let proxy = Server::start("127.0.0.1", move |_| Reply(bytes.clone(), then.clone())).await;
        let outgoing = Outgoing { proxy: Some(through(proxy.address)), ..outgoing() };
        let fetcher = Fetcher::new(&outgoing, NamedHosts::default()).unwrap();
        let failure =
            fetcher.get(&Get::new(&"https://mirror.invalid/".parse().unwrap(), LONG)).await.unwrap_err();
        assert_eq!(failure.fault, CopyFault::Connect, "{failure}");
    }
}

// Whatever comes.

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(64))]
    #[test]
    fn no_answer_makes_it_panic_or_wait(
        lines in proptest::collection::vec(
            "(HTTP/1\\.[01] [1-5][0-9]{2} x|content-length: [0-9a-]{0,20}|transfer-encoding: (chunked|x)|location: \\?[ -~é]{0,30}|\
              content-range: bytes [0-9*/-]{0,9}|[ -~]{0,20}||[0-9a-f]{1,17})\r?\n", 0..12),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let bytes = lines.concat().into_bytes();
            let server = Server::start("127.0.0.1", move |_| Reply(bytes.clone(), Then::Close)).await;
            let whole = async {
                let response = get(&server, "/").await?;
                let _ = response.look(&Expected { range: Some((0, 1)), ..expected(9) });
                response.hash(9, &Pace::unlimited()).await
            };
            let _ = timeout(LONG, whole).await.unwrap();
        });
    }
}

fn expected(size: usize) -> Expected {
    Expected { size: size as u64, range: None, validator: None, html_is_fine: false }
}
