//! A mirror that says whatever a test wants it to, byte for byte.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use url::Url;

/// What a server sends for a request, and what it does then.
pub struct Reply(pub Vec<u8>, pub Then);

#[derive(Clone)]
pub enum Then {
    Close,
    /// Waits for the client to close, and tells that it did.
    Hang(Arc<Notify>),
    /// Sends this again and again.
    Repeat(Vec<u8>),
    /// Sends a byte at a time, this far apart.
    Drip(Duration),
}

pub fn hang() -> Then {
    Then::Hang(Arc::default())
}

pub fn reply(head: &str, body: &[u8]) -> Reply {
    let head = format!("HTTP/1.1 {head}\r\ncontent-length: {}\r\n\r\n", body.len());
    Reply([head.as_bytes(), body].concat(), Then::Close)
}

pub fn ok(body: &[u8]) -> Reply {
    reply("200 OK", body)
}

pub fn found(location: &str) -> Reply {
    reply(&format!("302 Found\r\nlocation: {location}"), b"elsewhere")
}

/// A server that remembers the heads of its requests; it ends when dropped.
pub struct Server {
    pub address: SocketAddr,
    scheme: &'static str,
    heads: Arc<Mutex<Vec<String>>>,
    _tasks: JoinSet<()>,
}

impl Server {
    pub async fn start(ip: &str, answer: impl Fn(&str) -> Reply + Send + Sync + 'static) -> Self {
        Self::listen(ip, None, answer).await
    }

    pub async fn listen(
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

    pub fn url(&self, path: &str) -> Url {
        format!("{}://{}{path}", self.scheme, self.address).parse().unwrap()
    }

    pub fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }
}

pub async fn read_head(stream: &mut (impl AsyncRead + Unpin)) -> Option<String> {
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
