//! The server room over real sockets: what it serves, what it withstands, how it ends.
#![allow(clippy::unwrap_used, missing_docs)]

mod certificate;
mod floods;
mod hostile;
mod http_versions;
mod lifecycle;
mod tls;

use std::future::Future;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use waypost::config::Limits;
use waypost::server::{Connection, Handler, Server, ServerCounters, TlsStore};
use waypost::tasks::{Trigger, shutdown};

/// Far beyond anything that a test waits for.
const PATIENCE: Duration = Duration::from_secs(30);
/// A bound that a test waits to be reached.
const SHORT: Duration = Duration::from_millis(100);
/// What `/big` answers; more than the sockets' buffers hold.
const BIG: usize = 32 << 20;
/// How long the head of what `/head` answers is at least; the answer has no body.
const HEAD: usize = 32 << 10;

/// Waits for an event, not for a time.
async fn soon<T>(event: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, event).await.expect("the event came")
}

/// Answers by path; `/wait` waits for a permit of `gate` after it has given one to `entered`.
struct Answers {
    gate: Semaphore,
    entered: Semaphore,
}

impl Handler for Answers {
    type Body = Full<Bytes>;

    fn handle(
        self: &Arc<Self>,
        request: Request<Incoming>,
        connection: &Connection,
    ) -> impl Future<Output = Response<Full<Bytes>>> + Send + Unpin + use<> {
        assert_ne!(request.uri().path(), "/panic-at-once", "as the test asked");
        let (answers, connection) = (Arc::clone(self), *connection);
        Box::pin(async move { answers.answer(request, connection).await })
    }
}

impl Answers {
    async fn answer(&self, request: Request<Incoming>, connection: Connection) -> Response<Full<Bytes>> {
        let body: Bytes = match request.uri().path() {
            "/peer" => format!("{connection:?}").into(),
            "/method" => request.method().to_string().into(),
            "/head" => {
                let wide = HeaderValue::from_bytes(&[b'x'; HEAD]).unwrap();
                return Response::builder().header("x-wide", wide).body(Full::default()).unwrap();
            }
            "/big" => Bytes::from(vec![b'x'; BIG]),
            "/panic" => panic!("as the test asked"),
            "/body" => {
                request.into_body().collect().await.map_or_else(|_| "cut".into(), |body| body.to_bytes())
            }
            "/wait" => {
                self.entered.add_permits(1);
                self.gate.acquire().await.unwrap().forget();
                "waited".into()
            }
            _ => "hello".into(),
        };
        Response::new(Full::new(body))
    }
}

/// A running server.
struct Site {
    address: SocketAddr,
    counters: Arc<ServerCounters>,
    answers: Arc<Answers>,
    trigger: Trigger,
    running: JoinHandle<()>,
}

impl Site {
    fn start(limits: Limits) -> Self {
        Self::on("127.0.0.1:0", limits, None)
    }

    fn on(address: &str, limits: Limits, tls: Option<Arc<TlsStore>>) -> Self {
        Self::run(Server::bind("test", &[address.parse().unwrap()], limits, tls).unwrap(), PATIENCE)
    }

    fn local(path: &Path) -> Self {
        Self::run(Server::bind_local("test", path, Limits::default()).unwrap(), PATIENCE)
    }

    fn run(server: Server, drain: Duration) -> Self {
        let address = server.addresses().first().copied().unwrap_or(([127, 0, 0, 1], 0).into());
        let counters = server.counters();
        let answers = Arc::new(Answers { gate: Semaphore::new(0), entered: Semaphore::new(0) });
        let (trigger, signal) = shutdown();
        let running = tokio::spawn(server.run(Arc::clone(&answers), signal, drain));
        Self { address, counters, answers, trigger, running }
    }

    async fn connect(&self) -> Raw<TcpStream> {
        Raw::new(TcpStream::connect(self.address).await.unwrap())
    }

    /// A client that takes little of what it is sent.
    async fn connect_narrow(&self) -> Raw<TcpStream> {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(64 << 10).unwrap();
        Raw::new(socket.connect(self.address).await.unwrap())
    }

    /// A client at another address of the loopback network, 127.0.0.`host`.
    async fn connect_from(&self, host: u8) -> Raw<TcpStream> {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(([127, 0, 0, host], 0).into()).unwrap();
        Raw::new(socket.connect(self.address).await.unwrap())
    }

    /// Waits until a request has reached `/wait`.
    async fn entered(&self) {
        soon(self.answers.entered.acquire()).await.unwrap().forget();
    }

    /// What one request on a connection of its own is answered, up to the end of the connection.
    async fn exchange(&self, bytes: impl AsRef<[u8]>) -> String {
        let mut raw = self.connect().await;
        // The server may answer and close before it has taken all.
        let _ = raw.stream.write_all(bytes.as_ref()).await;
        raw.until_closed().await
    }

    /// Waits until the counters show it.
    async fn until(&self, shown: impl Fn(&ServerCounters) -> bool) {
        soon(async {
            while !shown(&self.counters) {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }

    /// The server still serves.
    async fn is_well(&self) {
        let mut raw = self.connect().await;
        assert_eq!(raw.get("/").await.body, "hello");
    }

    async fn stop(self) {
        self.trigger.pull();
        soon(self.running).await.unwrap();
    }
}

/// Bytes as they are, on any stream.
struct Raw<S> {
    stream: S,
    unread: Vec<u8>,
}

/// An HTTP/1.1 answer.
#[derive(Debug)]
struct Answer {
    head: String,
    body: String,
}

impl Answer {
    fn status(&self) -> &str {
        &self.head[9..12]
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Raw<S> {
    fn new(stream: S) -> Self {
        Self { stream, unread: Vec::new() }
    }

    async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).await.unwrap();
        self.stream.flush().await.unwrap();
    }

    async fn get(&mut self, path: &str) -> Answer {
        self.send(format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n")).await;
        self.answer().await
    }

    /// Reads one answer that has a length.
    async fn answer(&mut self) -> Answer {
        let end = loop {
            if let Some(at) = self.unread.windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
            self.more().await;
        };
        let head = String::from_utf8(self.unread[..end].to_vec()).unwrap();
        let mut answer = Answer { head, body: String::new() };
        let length: usize = answer.header("content-length").unwrap().parse().unwrap();
        while self.unread.len() < end + length {
            self.more().await;
        }
        answer.body = String::from_utf8(self.unread[end..end + length].to_vec()).unwrap();
        self.unread.drain(..end + length);
        answer
    }

    async fn more(&mut self) {
        let read = soon(self.stream.read_buf(&mut self.unread)).await.unwrap();
        assert!(read > 0, "closed after {:?}", String::from_utf8_lossy(&self.unread));
    }

    /// All that comes until the server closes, by FIN or by reset.
    async fn until_closed(mut self) -> String {
        let mut bytes = std::mem::take(&mut self.unread);
        loop {
            match soon(self.stream.read_buf(&mut bytes)).await {
                Ok(0) | Err(_) => return String::from_utf8_lossy(&bytes).into_owned(),
                Ok(_) => {}
            }
        }
    }
}
