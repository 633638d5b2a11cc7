//! What well-behaved clients get, over each version of HTTP.

use http::Request;
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use waypost::config::Limits;

use crate::{Site, soon};

type Body = Empty<bytes::Bytes>;

/// An HTTP/2 client on a stream, and the task that ends with the connection.
pub async fn http2_on<S>(stream: S) -> (SendRequest<Body>, JoinHandle<hyper::Result<()>>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (send, connection) =
        soon(http2::handshake(TokioExecutor::new(), TokioIo::new(stream))).await.unwrap();
    (send, tokio::spawn(connection))
}

pub async fn get(send: &mut SendRequest<Body>, path: &str) -> hyper::Result<String> {
    soon(send.ready()).await?;
    let request = Request::get(format!("http://localhost{path}")).body(Body::new()).unwrap();
    let answer = soon(send.send_request(request)).await?;
    let body = soon(answer.into_body().collect()).await?.to_bytes();
    Ok(String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test]
async fn a_head_over_http2_is_told_the_length_and_gets_no_body() {
    let site = Site::start(Limits::default());
    let (mut send, _connection) = http2_on(TcpStream::connect(site.address).await.unwrap()).await;
    let request = Request::head("http://localhost/").body(Body::new()).unwrap();
    let answer = soon(send.send_request(request)).await.unwrap();
    assert_eq!(answer.headers()["content-length"], "5");
    assert!(soon(answer.into_body().collect()).await.unwrap().to_bytes().is_empty());
    site.stop().await;
}

#[tokio::test]
async fn a_connection_is_kept_for_further_requests() {
    let site = Site::start(Limits::default());
    let mut raw = site.connect().await;
    for _ in 0..3 {
        let answer = raw.get("/").await;
        assert_eq!((answer.status(), answer.body.as_str()), ("200", "hello"));
        assert_eq!(answer.header("connection"), None);
    }
    assert_eq!((site.counters.accepted(), site.counters.requests(), site.counters.open()), (1, 3, 1));
    site.stop().await;
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let site = Site::start(Limits::default());
    let mut raw = site.connect().await;
    raw.send(
        "GET /method HTTP/1.1\r\nHost: x\r\n\r\nPUT /method HTTP/1.1\r\nHost: x\r\n\r\nGET / HTTP/1.1\r\n",
    )
    .await;
    assert_eq!(raw.answer().await.body, "GET");
    assert_eq!(raw.answer().await.body, "PUT");
    raw.send("Host: x\r\n\r\n").await;
    assert_eq!(raw.answer().await.body, "hello");
    site.stop().await;
}

#[tokio::test]
async fn http2_is_spoken_in_clear_text_by_prior_knowledge() {
    let site = Site::start(Limits::default());
    let (mut send, _connection) = http2_on(TcpStream::connect(site.address).await.unwrap()).await;
    let mut other = send.clone();
    let (one, two) = tokio::join!(get(&mut send, "/"), get(&mut other, "/peer"));
    assert_eq!(one.unwrap(), "hello");
    assert!(two.unwrap().contains("scheme: Http "));
    assert_eq!(site.counters.accepted(), 1);
    drop((send, other));
    site.stop().await;
}

#[tokio::test]
async fn more_header_lines_than_allowed_are_refused_over_http2_as_over_http1() {
    let site = Site::start(Limits { headers: 10, ..Limits::default() });
    let (mut send, _connection) = http2_on(TcpStream::connect(site.address).await.unwrap()).await;
    for (lines, status) in [(10, 200), (11, 431), (10, 200)] {
        let request = Request::get("http://localhost/");
        let request = (0..lines).fold(request, |request, n| request.header(format!("x-{n}"), "1"));
        let answer = soon(send.send_request(request.body(Body::new()).unwrap())).await.unwrap();
        assert_eq!(answer.status(), status, "{lines} lines");
    }
    drop(send);
    site.stop().await;
}

#[tokio::test]
async fn http_1_0_is_answered_and_closed() {
    let site = Site::start(Limits::default());
    assert!(site.exchange("GET / HTTP/1.0\r\n\r\n").await.ends_with("\r\n\r\nhello"));
    site.stop().await;
}

#[tokio::test]
async fn an_unknown_method_reaches_the_handler() {
    let site = Site::start(Limits::default());
    let mut raw = site.connect().await;
    raw.send("BREW /method HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert_eq!(raw.answer().await.body, "BREW");
    site.stop().await;
}

#[tokio::test]
async fn a_body_on_a_get_is_skipped_when_it_came_along_and_ends_the_connection_when_it_did_not() {
    let site = Site::start(Limits::default());
    let mut raw = site.connect().await;
    raw.send("GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbody").await;
    assert_eq!(raw.answer().await.body, "hello");
    assert_eq!(raw.get("/method").await.body, "GET");

    for framing in [
        "Content-Length: 1000000000",
        "Transfer-Encoding: chunked",
        "Expect: 100-continue\r\nContent-Length: 5",
    ] {
        let answer = site.exchange(format!("GET / HTTP/1.1\r\nHost: x\r\n{framing}\r\n\r\n")).await;
        assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("hello"), "{framing}: {answer:?}");
    }
    site.stop().await;
}

#[tokio::test]
async fn a_handler_may_read_a_body() {
    let site = Site::start(Limits::default());
    let mut raw = site.connect().await;
    raw.send("POST /body HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbo").await;
    raw.send("dy").await;
    assert_eq!(raw.answer().await.body, "body");
    site.stop().await;
}

#[tokio::test]
async fn a_client_that_shuts_its_side_still_gets_its_answer() {
    let site = Site::start(Limits::default());
    let mut raw = site.connect().await;
    raw.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
    raw.stream.shutdown().await.unwrap();
    assert!(raw.until_closed().await.ends_with("hello"));
    site.stop().await;
}

#[tokio::test]
async fn the_last_request_of_a_connection_says_so() {
    let site = Site::start(Limits { requests_per_connection: 2, ..Limits::default() });
    let mut raw = site.connect().await;
    assert_eq!(raw.get("/").await.header("connection"), None);
    assert_eq!(raw.get("/").await.header("connection"), Some("close"));
    assert_eq!(raw.until_closed().await, "");

    let (mut send, connection) = http2_on(TcpStream::connect(site.address).await.unwrap()).await;
    for _ in 0..2 {
        assert_eq!(get(&mut send, "/").await.unwrap(), "hello");
    }
    soon(connection).await.unwrap().unwrap();
    assert!(get(&mut send, "/").await.is_err());
    site.stop().await;
}

#[tokio::test]
async fn an_ipv4_client_is_ipv4_on_a_listener_for_both_families() {
    let site = Site::on("[::]:0", Limits::default(), None);
    let stream = TcpStream::connect(("127.0.0.1", site.address.port())).await.unwrap();
    let own = stream.local_addr().unwrap();
    let peer = crate::Raw::new(stream).get("/peer").await.body;
    assert_eq!(peer, format!("Connection {{ peer: Tcp({own:?}), scheme: Http }}"));
    site.stop().await;
}
