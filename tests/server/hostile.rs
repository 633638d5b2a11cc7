//! What badly behaved clients get: a clear answer or a closed connection, and nobody else suffers.

use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use waypost::client::Proxies;
use waypost::config::Limits;
use waypost::server::{Server, Timeout};

use crate::http_versions::{get, http2_on};
use crate::{BIG, PATIENCE, SHORT, Site, soon};

const PREFACE: &str = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

#[tokio::test]
async fn a_silent_client_is_closed_after_the_first_byte_bound() {
    let site = Site::start(Limits { first_byte: SHORT, ..Limits::default() });
    assert_eq!(site.connect().await.until_closed().await, "");
    assert_eq!(site.counters.timeouts(Timeout::FirstByte), 1);
    let mut raw = site.connect().await;
    raw.send(&PREFACE[..10]).await;
    assert_eq!(raw.until_closed().await, "", "a part of the HTTP/2 preface is not waited for longer");
    assert_eq!(site.counters.timeouts(Timeout::FirstByte), 2);
    site.stop().await;
}

#[tokio::test]
async fn a_head_that_does_not_end_is_closed_after_the_header_bound() {
    let site = Site::start(Limits { header: SHORT, ..Limits::default() });
    for start in ["G", "GET / HTTP/1.1\r\nHost: x\r\n", "\r\n"] {
        assert_eq!(site.exchange(start).await, "");
    }
    assert_eq!(site.counters.timeouts(Timeout::Header), 3);

    let mut raw = site.connect().await;
    assert_eq!(raw.get("/").await.body, "hello");
    raw.send("GET / HT").await;
    assert_eq!(raw.until_closed().await, "", "the second head of a connection is bounded too");
    assert_eq!(site.counters.timeouts(Timeout::Header), 4);
    site.stop().await;
}

#[tokio::test]
async fn bytes_that_trickle_do_not_move_the_header_bound() {
    let site = Site::start(Limits { header: Duration::from_millis(300), ..Limits::default() });
    let mut raw = site.connect().await;
    raw.send("GET / HTTP/1.1\r\n").await;
    let trickle = async {
        let mut tick = tokio::time::interval(Duration::from_millis(20));
        while raw.stream.write_all(b"X: y\r\n").await.is_ok() {
            tick.tick().await;
        }
    };
    soon(trickle).await;
    assert_eq!(site.counters.timeouts(Timeout::Header), 1);
    site.stop().await;
}

#[tokio::test]
async fn a_kept_connection_without_requests_is_closed_after_the_idle_bound() {
    let site = Site::start(Limits { idle: SHORT, first_byte: 2 * PATIENCE, ..Limits::default() });
    let mut raw = site.connect().await;
    assert_eq!(raw.get("/").await.body, "hello");
    assert_eq!(raw.until_closed().await, "");
    assert_eq!(site.counters.timeouts(Timeout::Idle), 1);

    let (mut send, connection) = http2_on(TcpStream::connect(site.address).await.unwrap()).await;
    assert_eq!(get(&mut send, "/").await.unwrap(), "hello");
    soon(connection).await.unwrap().unwrap();
    assert_eq!(site.counters.timeouts(Timeout::Idle), 2);
    site.stop().await;
}

#[tokio::test]
async fn an_http2_client_that_never_asks_is_closed() {
    let site = Site::start(Limits { idle: SHORT, write: SHORT, ..Limits::default() });
    let mut raw = site.connect().await;
    raw.send(PREFACE).await;
    raw.until_closed().await;
    assert_eq!(site.counters.timeouts(Timeout::Idle), 1);
    site.stop().await;
}

#[tokio::test]
async fn a_client_that_does_not_read_its_answer_is_cut_after_the_write_bound() {
    let site = Site::start(Limits { write: SHORT, ..Limits::default() });
    let mut raw = site.connect().await;
    raw.send("GET /big HTTP/1.1\r\nHost: x\r\n\r\n").await;
    site.until(|seen| seen.timeouts(Timeout::Write) == 1 && seen.open() == 0).await;
    assert!(raw.until_closed().await.len() < BIG);
    site.stop().await;
}

#[tokio::test]
async fn a_slow_but_steady_reader_gets_all() {
    let limits = Limits { idle: SHORT, header: SHORT, first_byte: SHORT, ..Limits::default() };
    let site = Site::start(Limits { write: Duration::from_secs(20), ..limits });
    let mut raw = site.connect_narrow().await;
    raw.send("GET /big HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
    assert!(raw.until_closed().await.len() > BIG);
    site.stop().await;
}

#[tokio::test]
async fn an_http2_stream_whose_window_never_opens_holds_no_connection() {
    let site = Site::start(Limits { idle: SHORT, write: SHORT, ..Limits::default() });
    let (mut send, connection) = http2_on(TcpStream::connect(site.address).await.unwrap()).await;
    soon(send.ready()).await.unwrap();
    let request = http::Request::get("http://localhost/big").body(http_body_util::Empty::new()).unwrap();
    // The body is held and never read, so its window stays shut while the library answers pings.
    let unread = soon(send.send_request(request)).await.unwrap();
    assert!(soon(connection).await.unwrap().is_err() || site.counters.open() == 0);
    assert_eq!(site.counters.timeouts(Timeout::Idle), 1);
    assert_eq!(site.counters.timeouts(Timeout::Write), 1);
    drop(unread);
    site.stop().await;
}

#[tokio::test]
async fn one_connection_too_many_is_closed_at_once_and_a_place_becomes_free_again() {
    let site = Site::start(Limits { connections: 1, ..Limits::default() });
    let mut first = site.connect().await;
    assert_eq!(first.get("/").await.body, "hello");
    assert_eq!(site.connect().await.until_closed().await, "");
    assert_eq!(site.counters.refused_over_limit(), 1);
    assert_eq!(first.get("/").await.body, "hello", "who was there is not disturbed");
    drop(first);
    site.until(|seen| seen.open() == 0).await;
    site.is_well().await;
    site.stop().await;
}

#[tokio::test]
async fn one_client_cannot_take_all_places() {
    let site = Site::start(Limits { connections: 10, connections_per_client: 2, ..Limits::default() });
    let mut own = [site.connect_from(1).await, site.connect_from(1).await];
    for raw in &mut own {
        assert_eq!(raw.get("/").await.body, "hello");
    }
    assert_eq!(site.connect_from(1).await.until_closed().await, "");
    assert_eq!((site.counters.refused_over_client_limit(), site.counters.refused_over_limit()), (1, 0));
    let mut other = site.connect_from(2).await;
    assert_eq!(other.get("/").await.body, "hello", "others have their own");
    drop(own);
    site.until(|seen| seen.open() == 1).await;
    assert_eq!(site.connect_from(1).await.get("/").await.body, "hello", "places become free again");
    drop(other);
    site.stop().await;
}

#[tokio::test]
async fn who_speaks_for_many_clients_may_have_any_number_of_connections() {
    let limits = Limits { connections_per_client: 1, ..Limits::default() };
    let server = Server::bind("test", &["127.0.0.1:0".parse().unwrap()], limits, None).unwrap();
    let site =
        Site::run(server.exempting(Proxies::new(&["::ffff:127.0.0.2/128".parse().unwrap()])), PATIENCE);
    let mut open = Vec::new();
    for _ in 0..5 {
        open.push(site.connect_from(2).await);
        assert_eq!(open.last_mut().unwrap().get("/").await.body, "hello");
    }
    assert_eq!(site.counters.refused_over_client_limit(), 0);
    drop(open);
    site.stop().await;
}

#[tokio::test]
async fn requests_are_not_answered_beyond_what_their_client_reads() {
    const REQUESTS: usize = 2000;
    let site = Site::start(Limits { write: Duration::from_millis(500), ..Limits::default() });
    let mut raw = site.connect_narrow().await;
    raw.send("GET /head HTTP/1.1\r\n\r\n".repeat(REQUESTS)).await;
    site.until(|seen| seen.timeouts(Timeout::Write) == 1 && seen.open() == 0).await;
    // What the system's buffers hold, some megabytes, and not all of the 64 MB.
    assert!(site.counters.requests() < REQUESTS as u64 / 2, "{} were answered", site.counters.requests());
    drop(raw);
    site.stop().await;
}

#[tokio::test]
async fn who_asks_much_ahead_and_reads_late_is_answered_all_of_it() {
    const REQUESTS: usize = 1000;
    let site = Site::start(Limits::default());
    let mut raw = site.connect_narrow().await;
    let request = "GET /head HTTP/1.1\r\n\r\n";
    raw.send(request.repeat(REQUESTS)).await;
    raw.send("GET / HTTP/1.1\r\nConnection: close\r\n\r\n").await;
    let all = raw.until_closed().await;
    assert_eq!(all.matches("HTTP/1.1 200 OK").count(), REQUESTS + 1);
    assert!(all.ends_with("hello"));
    site.stop().await;
}

#[tokio::test]
async fn absurd_heads_are_refused_with_a_status() {
    let site = Site::start(Limits::default());
    let many: String = (0..200).map(|n| format!("X-{n}: y\r\n")).collect();
    let cases = [
        (
            "a path of 64 KiB",
            format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "a".repeat(64 << 10)),
            &["414", "431"][..],
        ),
        (
            "a path just over the bound",
            format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "a".repeat(16 << 10)),
            &["414", "431"],
        ),
        ("a header of 64 KiB", format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "a".repeat(64 << 10)), &["431"]),
        ("200 headers", format!("GET / HTTP/1.1\r\n{many}\r\n"), &["431"]),
        ("no colon", "GET / HTTP/1.1\r\nnonsense\r\n\r\n".into(), &["400"]),
        ("NUL in the path", "GET /\0 HTTP/1.1\r\nHost: x\r\n\r\n".into(), &["400"]),
        ("NUL in a header", "GET / HTTP/1.1\r\nHost: \0\r\n\r\n".into(), &["400"]),
        ("two lengths", "GET / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n".into(), &["400"]),
        ("an unknown version", "GET / HTTP/7.3\r\n\r\n".into(), &["400", "505"]),
        ("a TLS hello", "\x16\x03\x01\x02\0\x01\0\x01".into(), &["400"]),
        ("garbage", "\u{1}\u{2}\u{fe}\u{7f} \r\n\r\n".into(), &["400"]),
    ];
    for (name, bytes, statuses) in cases {
        let answer = site.exchange(bytes).await;
        let status = answer.get(9..12).unwrap_or_default();
        assert!(statuses.contains(&status), "{name}: {answer:?}");
    }
    assert_eq!(site.counters.requests(), 0);
    site.is_well().await;
    site.stop().await;
}

#[tokio::test]
async fn the_bounds_on_a_head_are_the_configured_ones() {
    let site = Site::start(Limits { headers: 3, header_bytes: 8192, ..Limits::default() });
    let head = |headers: &str| format!("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}\r\n");
    assert!(site.exchange(head("A: b\r\n")).await.starts_with("HTTP/1.1 200"));
    assert!(site.exchange(head("A: b\r\nC: d\r\n")).await.starts_with("HTTP/1.1 431"));
    let filler = |length: usize| head(&format!("A: {}\r\n", "b".repeat(length)));
    let rest = filler(0).len();
    assert!(site.exchange(filler(8192 - rest)).await.starts_with("HTTP/1.1 200"));
    assert!(site.exchange(filler(8193 - rest)).await.starts_with("HTTP/1.1 431"));
    site.stop().await;
}

#[tokio::test]
async fn a_panic_in_a_handler_costs_its_own_connection_only() {
    let site = Site::start(Limits::default());
    let mut other = site.connect().await;
    assert_eq!(other.get("/").await.body, "hello");
    let (mut send, _connection) = http2_on(TcpStream::connect(site.address).await.unwrap()).await;
    for path in ["/panic", "/panic-at-once"] {
        assert_eq!(site.exchange(format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n")).await, "");
        assert_eq!(other.get("/").await.body, "hello");
        assert!(get(&mut send, path).await.is_err());
        assert_eq!(get(&mut send, "/").await.unwrap(), "hello", "on HTTP/2 its stream only");
    }
    assert_eq!(site.counters.panics(), 4);
    drop((send, other));
    site.stop().await;
}

#[tokio::test]
async fn a_client_that_vanishes_frees_its_place() {
    let site = Site::start(Limits::default());
    let mut raw = site.connect().await;
    raw.send("GET /wait HTTP/1.1\r\nHost: x\r\n\r\n").await;
    site.entered().await;
    drop(raw);
    site.until(|seen| seen.open() == 0).await;
    site.stop().await;
}
