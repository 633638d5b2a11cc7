//! Silence and noise: every mirror is left in time, with a name for what it did.

use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::Notify;

use super::*;

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
