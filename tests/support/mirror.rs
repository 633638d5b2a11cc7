//! A mirror whose every file can be made to misbehave while it runs, and that remembers who looked.

#![allow(dead_code, missing_docs, clippy::unwrap_used)]

use std::collections::{BTreeMap, HashMap};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

/// What a mirror does when it is asked for a path.
#[derive(Debug, Clone)]
pub enum Behaviour {
    /// Other bytes of the same length, the validators unchanged.
    Corrupt,
    /// The first half, as if that were all.
    Truncated,
    /// Announces everything, sends half and closes.
    Broken,
    /// A page with status 200, whatever was asked for.
    Page,
    /// The same page, sent as `application/octet-stream` and padded to the length of the file.
    PagePadded,
    /// The bytes with `Content-Encoding: gzip`.
    Gzip,
    /// The right bytes, all of them whatever range was asked for.
    NoRanges,
    /// An error.
    Status(u16),
    /// 500, one each time the gate is opened; until then it says nothing.
    Failing(Arc<tokio::sync::Semaphore>),
    /// 302 to there.
    Redirect(String),
    /// 200 and bytes without end, no length announced.
    EndlessBody,
    /// Header lines without end.
    EndlessHead,
    /// Takes the request and says nothing.
    Silent,
    /// A head and then a byte now and then.
    Drip,
    /// The right bytes, a whole answer each time the gate is opened; probes pass.
    Gated(Arc<tokio::sync::Semaphore>),
}

#[derive(Debug, Clone)]
struct File {
    bytes: Bytes,
    /// Counts the changes that show: it is in ETag and Last-Modified.
    edition: u32,
}

/// A request as the mirror saw it.
#[derive(Debug, Clone)]
pub struct Look {
    pub method: String,
    /// Without the leading slash, and with the query.
    pub path: String,
    pub range: Option<String>,
}

#[derive(Default)]
struct State {
    files: BTreeMap<String, File>,
    everywhere: Option<Behaviour>,
    behaviours: HashMap<String, Behaviour>,
    looks: Vec<Look>,
}

#[derive(Clone)]
pub struct Mirror(Arc<Inner>);

struct Inner {
    address: SocketAddr,
    tls: Option<TlsAcceptor>,
    state: Mutex<State>,
    /// Connections that came, whether or not anything was asked.
    connections: AtomicU64,
    serving: Mutex<Option<JoinSet<()>>>,
}

impl Mirror {
    /// Listens on a free port of this address.
    pub async fn start(ip: Ipv4Addr, tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind((ip, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let inner = Inner {
            address,
            tls,
            state: Mutex::default(),
            connections: AtomicU64::new(0),
            serving: Mutex::new(None),
        };
        let mirror = Self(Arc::new(inner));
        mirror.serve(listener);
        mirror
    }

    fn serve(&self, listener: TcpListener) {
        let mut serving = JoinSet::new();
        // Weak, so that a mirror ends when the last test handle goes.
        let inner = Arc::downgrade(&self.0);
        serving.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let Some(inner) = inner.upgrade() else { return };
                inner.connections.fetch_add(1, Ordering::SeqCst);
                connections.spawn(async move { inner.converse(stream).await });
                while connections.try_join_next().is_some() {}
            }
        });
        *self.0.serving.lock().unwrap() = Some(serving);
    }

    /// From now on connections are refused, and those that are open break.
    pub async fn stop(&self) {
        let serving = self.0.serving.lock().unwrap().take();
        if let Some(mut serving) = serving {
            serving.shutdown().await;
        }
    }

    /// Listens again where it did before.
    pub fn resume(&self) {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_reuseaddr(true).unwrap();
        socket.bind(self.0.address).unwrap();
        self.serve(socket.listen(64).unwrap());
    }

    pub fn address(&self) -> SocketAddr {
        self.0.address
    }

    /// Where the mirror's tree begins.
    pub fn url(&self) -> String {
        let scheme = if self.0.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}/", self.0.address)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap()
    }

    /// A file is there, with these bytes; its validators change where it was there before.
    pub fn put(&self, path: &str, bytes: impl Into<Bytes>) {
        let mut state = self.state();
        let edition = state.files.get(path).map_or(1, |file| file.edition + 1);
        state.files.insert(path.to_owned(), File { bytes: bytes.into(), edition });
    }

    /// Other bytes under the old validators.
    pub fn swap_in_silence(&self, path: &str, bytes: impl Into<Bytes>) {
        self.state().files.get_mut(path).unwrap().bytes = bytes.into();
    }

    /// The same bytes under new validators.
    pub fn touch(&self, path: &str) {
        self.state().files.get_mut(path).unwrap().edition += 1;
    }

    pub fn remove(&self, path: &str) {
        self.state().files.remove(path).unwrap();
    }

    pub fn bytes(&self, path: &str) -> Bytes {
        self.state().files[path].bytes.clone()
    }

    pub fn behave(&self, path: &str, behaviour: Behaviour) {
        self.state().behaviours.insert(path.to_owned(), behaviour);
    }

    /// From now on every path does this. Says how many looks there were until then.
    pub fn behave_everywhere(&self, behaviour: Behaviour) -> usize {
        let mut state = self.state();
        state.everywhere = Some(behaviour);
        state.looks.len()
    }

    /// All files are served as they are.
    pub fn recover(&self) {
        let mut state = self.state();
        state.behaviours.clear();
        state.everywhere = None;
    }

    /// All requests so far.
    pub fn looks(&self) -> Vec<Look> {
        self.state().looks.clone()
    }

    /// How many requests for the whole file there were.
    pub fn whole_gets(&self, path: &str) -> usize {
        self.state().looks.iter().filter(|look| look.path == path && look.range.is_none()).count()
    }

    /// How often somebody connected.
    pub fn connections(&self) -> u64 {
        self.0.connections.load(Ordering::SeqCst)
    }
}

impl Inner {
    async fn converse(&self, stream: TcpStream) -> Option<()> {
        match &self.tls {
            None => self.answer(stream).await,
            Some(tls) => self.answer(tls.accept(stream).await.ok()?).await,
        }
    }

    async fn answer(&self, mut stream: impl AsyncReadExt + AsyncWrite + Unpin) -> Option<()> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.ok()?);
        }
        let head = String::from_utf8(head).ok()?;
        let mut words = head.split(' ');
        let (method, path) = (words.next()?.to_owned(), words.next()?.trim_start_matches('/').to_owned());
        let range = head.lines().find_map(|line| line.strip_prefix("range: ")).map(str::to_owned);
        let (behaviour, file) = {
            let mut state = self.state.lock().unwrap();
            let look = Look { method: method.clone(), path: path.clone(), range: range.clone() };
            state.looks.push(look);
            // A signature is not looked at.
            let path = path.split('?').next().unwrap_or_default().to_owned();
            let behaviour = state.behaviours.get(&path).or(state.everywhere.as_ref()).cloned();
            (behaviour, state.files.get(&path).cloned())
        };
        let reply = Reply { stream: &mut stream, is_head: method == "HEAD", range };
        reply.send(behaviour, file).await?;
        stream.shutdown().await.ok()
    }
}

struct Reply<'a, S> {
    stream: &'a mut S,
    is_head: bool,
    range: Option<String>,
}

impl<S: AsyncWrite + Unpin> Reply<'_, S> {
    async fn send(mut self, behaviour: Option<Behaviour>, file: Option<File>) -> Option<()> {
        let file = match behaviour {
            Some(Behaviour::Page) => return self.plain("200 OK\r\ncontent-type: text/html", PAGE).await,
            Some(Behaviour::Status(status)) => return self.plain(&format!("{status} No"), b"no").await,
            Some(Behaviour::Failing(gate)) => {
                gate.acquire().await.ok()?.forget();
                return self.plain("500 No", b"no").await;
            }
            Some(Behaviour::Redirect(to)) => {
                return self.plain(&format!("302 Found\r\nlocation: {to}"), b"").await;
            }
            Some(Behaviour::Silent) => return std::future::pending().await,
            Some(Behaviour::EndlessHead) => return self.endless_head().await,
            _ => match file {
                Some(file) => file,
                None => return self.plain("404 Not Found", b"no such file").await,
            },
        };
        match behaviour {
            None => self.file(&file).await,
            Some(Behaviour::NoRanges) => {
                self.range = None;
                self.file(&file).await
            }
            Some(Behaviour::Corrupt) => self.file(&File { bytes: corrupted(&file.bytes), ..file }).await,
            Some(Behaviour::Truncated) => {
                let bytes = file.bytes.slice(..file.bytes.len() / 2);
                self.file(&File { bytes, ..file }).await
            }
            Some(Behaviour::PagePadded) => {
                let mut page = PAGE.to_vec();
                page.resize(file.bytes.len(), b' ');
                self.file(&File { bytes: page.into(), ..file }).await
            }
            Some(Behaviour::Gzip) => self.plain("200 OK\r\ncontent-encoding: gzip", &file.bytes).await,
            Some(Behaviour::Broken) => {
                let head = format!("200 OK\r\ncontent-length: {}", file.bytes.len());
                self.write_head(&head).await?;
                self.write(&file.bytes[..file.bytes.len() / 2]).await
            }
            Some(Behaviour::EndlessBody) => {
                self.write_head("200 OK\r\nconnection: close").await?;
                loop {
                    self.write(&[b'x'; 4096]).await?;
                }
            }
            Some(Behaviour::Drip) => {
                self.write_head(&format!("200 OK\r\ncontent-length: {}", file.bytes.len())).await?;
                let mut beat = tokio::time::interval(Duration::from_millis(200));
                for byte in &file.bytes {
                    beat.tick().await;
                    self.write(&[*byte]).await?;
                }
                Some(())
            }
            Some(Behaviour::Gated(gate)) => {
                if self.range.is_none() {
                    gate.acquire().await.ok()?.forget();
                }
                self.file(&file).await
            }
            Some(_) => unreachable!("answered above"),
        }
    }

    async fn file(&mut self, file: &File) -> Option<()> {
        let total = file.bytes.len();
        let day = 1 + file.edition % 28;
        let validators = format!(
            "etag: \"{}-{total}\"\r\nlast-modified: Thu, {day:02} Jan 2026 10:00:00 GMT\r\naccept-ranges: bytes\r\n\
             content-type: application/octet-stream",
            file.edition
        );
        match self.range.as_deref().map(|range| asked(range, total)) {
            None => self.plain(&format!("200 OK\r\n{validators}"), &file.bytes).await,
            Some(Some((first, last))) => {
                let head = format!(
                    "206 Partial Content\r\n{validators}\r\ncontent-range: bytes {first}-{last}/{total}"
                );
                self.plain(&head, &file.bytes[first..=last]).await
            }
            Some(None) => {
                let head = format!("416 Range Not Satisfiable\r\ncontent-range: bytes */{total}");
                self.plain(&head, b"").await
            }
        }
    }

    async fn plain(&mut self, head: &str, body: &[u8]) -> Option<()> {
        self.write_head(&format!("{head}\r\ncontent-length: {}", body.len())).await?;
        if self.is_head { Some(()) } else { self.write(body).await }
    }

    async fn endless_head(&mut self) -> Option<()> {
        self.write(b"HTTP/1.1 200 OK\r\n").await?;
        loop {
            self.write(b"x-more: and more and more and more\r\n").await?;
        }
    }

    async fn write_head(&mut self, head: &str) -> Option<()> {
        self.write(format!("HTTP/1.1 {head}\r\n\r\n").as_bytes()).await
    }

    async fn write(&mut self, bytes: &[u8]) -> Option<()> {
        self.stream.write_all(bytes).await.ok()?;
        self.stream.flush().await.ok()
    }
}

const PAGE: &[u8] = b"<!DOCTYPE html><html><title>Welcome</title><p>Please log in.</html>";

/// The same length, another last byte.
pub fn corrupted(bytes: &Bytes) -> Bytes {
    let mut bytes = bytes.to_vec();
    *bytes.last_mut().unwrap() ^= 1;
    bytes.into()
}

/// `bytes=3-` or `bytes=3-9`, cut at the end; `None` where nothing of it is there.
fn asked(range: &str, total: usize) -> Option<(usize, usize)> {
    let (first, last) = range.trim().strip_prefix("bytes=")?.split_once('-')?;
    let first: usize = first.parse().ok()?;
    let last = last.parse().unwrap_or(usize::MAX).min(total.checked_sub(1)?);
    (first <= last).then_some((first, last))
}
