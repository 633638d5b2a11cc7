//! Requests as clients make them, one connection each, and what comes back.

#![allow(dead_code, missing_docs, clippy::unwrap_used)]

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::PATIENCE;

/// An answer.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Answer {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// The mirror that a redirect leads to.
    pub fn mirror(&self) -> Option<&str> {
        self.headers.get("waypost-mirror").map(|name| name.to_str().unwrap())
    }
}

/// Asks over a connection that is open.
pub async fn ask(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    method: Method,
    path: &str,
    headers: &[(&str, &str)],
) -> Answer {
    ask_with(stream, method, path, headers, Bytes::new()).await
}

/// The same, with a body.
pub async fn ask_with(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    method: Method,
    path: &str,
    headers: &[(&str, &str)],
    body: Bytes,
) -> Answer {
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake::<_, Full<Bytes>>(TokioIo::new(stream)).await.unwrap();
    let driver = tokio::spawn(connection);
    let mut request = Request::builder().method(method).uri(path);
    if headers.iter().all(|(name, _)| *name != "host") {
        request = request.header("host", "waypost.test");
    }
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let answering = async {
        let response = sender.send_request(request.body(Full::new(body)).unwrap()).await.unwrap();
        let (head, body) = response.into_parts();
        Answer { status: head.status, headers: head.headers, body: body.collect().await.unwrap().to_bytes() }
    };
    let answer = timeout(PATIENCE, answering).await.expect("an answer");
    driver.abort();
    answer
}

/// Fetches a URL as a client that was redirected would.
pub async fn fetch(url: &str) -> Bytes {
    let url: url::Url = url.parse().unwrap();
    let stream = TcpStream::connect(&*url.socket_addrs(|| None).unwrap()).await.unwrap();
    ask(stream, Method::GET, url.path(), &[]).await.body
}
