//! Requests that may carry something, for stores that take uploads.
//!
//! Redirects are not followed: what was signed for one place goes nowhere else.

use std::convert::Infallible;
use std::io::{ErrorKind, SeekFrom};
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_LENGTH;
use http::{HeaderName, HeaderValue, Method};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use tokio::sync::mpsc;
use tokio::time::timeout;
use url::Url;

use super::dial::Reach;
use super::exchange::{Body, Cargo, exchange};
use super::failure::{Evidence, Failure, Trouble};
use super::fetcher::{Fetcher, IDLE, Inner, bare, is_web};
use super::pace::Pace;
use super::response::Response;
use crate::model::CopyFault;

/// How much of a file is read at once, in bytes.
const CHUNK: usize = 64 * 1024;

/// What a request carries.
#[derive(Debug, Clone)]
pub enum Payload<'a> {
    /// Something short.
    Bytes(Bytes),
    /// A part of a file, read while it is sent.
    File {
        /// The file.
        path: &'a Path,
        /// Where the part begins, in bytes.
        from: u64,
        /// How long it is, in bytes.
        length: u64,
    },
}

/// A request to a store.
#[derive(Debug, Clone)]
pub struct Sending<'a> {
    /// What to do.
    pub method: Method,
    /// An http or https URL; user and fragment are not sent.
    pub url: &'a Url,
    /// Beside those that every request has.
    pub headers: &'a [(HeaderName, HeaderValue)],
    /// What goes along.
    pub payload: Payload<'a>,
    /// How fast it may go.
    pub pace: &'a Pace,
    /// How long the connection, each chunk on its way, and the answer's head may take; time spent at our own pace left
    /// out.
    pub patience: Duration,
}

impl Fetcher {
    /// Sends, and returns with the head of the answer, whatever its status.
    ///
    /// # Errors
    ///
    /// No connection, no answer in time; `Broken` as well where the file cannot be read.
    pub async fn send(&self, send: &Sending<'_>) -> Result<Response, Failure> {
        let mut evidence = Evidence::default();
        let url = bare(send.url.clone());
        match self.0.send(send, &url, &mut evidence).await {
            Ok(answer) => Ok(Response::new(answer, url, 0, &evidence, IDLE)),
            Err(trouble) => Err(trouble.with(evidence)),
        }
    }
}

impl Inner {
    async fn send(
        &self,
        send: &Sending<'_>,
        url: &Url,
        evidence: &mut Evidence,
    ) -> Result<http::Response<Body>, Trouble> {
        if !is_web(url) {
            return Err(Trouble::new(CopyFault::Broken, "only http and https URLs can be asked"));
        }
        let (feeder, cargo, length) = load(&send.payload);
        let mut request = self.begin(send.method.clone(), url);
        if matches!(send.method, Method::PUT | Method::POST) {
            // Said even of nothing: stores answer 411 where it is missing.
            request = request.header(CONTENT_LENGTH, length);
        }
        for (name, value) in send.headers {
            request = request.header(name, value);
        }
        let request = request.body(cargo);
        let request = request.map_err(|error| Trouble::new(CopyFault::Broken, error))?;

        let late = |what| Trouble::new(CopyFault::Timeout, format_args!("{what} within {:?}", send.patience));
        let stream = timeout(send.patience, self.dialer.dial(url, Reach::Anywhere, evidence)).await;
        let stream = stream.map_err(|_| late("no connection"))??;
        let mut answer = std::pin::pin!(exchange(stream, request));
        tokio::select! {
            // A refusal may come before all is sent.
            answer = &mut answer => return answer,
            fed = feed(feeder, send) => fed?,
        }
        timeout(send.patience, answer).await.map_err(|_| late("no answer"))?
    }
}

type Feeder = mpsc::Sender<Bytes>;

/// The body, its length, and for a file the way into it.
fn load(payload: &Payload<'_>) -> (Option<Feeder>, Cargo, u64) {
    match payload {
        Payload::Bytes(bytes) => (None, Full::new(bytes.clone()).boxed_unsync(), bytes.len() as u64),
        Payload::File { length, .. } => {
            let (feeder, chunks) = mpsc::channel(1);
            (Some(feeder), Fed { chunks, left: *length }.boxed_unsync(), *length)
        }
    }
}

/// Reads the file into the body; returns when all of it is on its way.
async fn feed(feeder: Option<Feeder>, send: &Sending<'_>) -> Result<(), Trouble> {
    let (Some(feeder), Payload::File { path, from, length }) = (feeder, &send.payload) else {
        return Ok(());
    };
    let unreadable =
        |error| Trouble::new(CopyFault::Broken, format_args!("{} cannot be read: {error}", path.display()));
    let mut file = File::open(path).await.map_err(unreadable)?;
    file.seek(SeekFrom::Start(*from)).await.map_err(unreadable)?;
    let mut left = *length;
    let mut chunk = vec![0; CHUNK];
    while left > 0 {
        let most = usize::try_from(left).unwrap_or(CHUNK).min(CHUNK);
        let read = file.read(&mut chunk[..most]).await.map_err(unreadable)?;
        if read == 0 {
            return Err(unreadable(ErrorKind::UnexpectedEof.into()));
        }
        left -= read as u64;
        send.pace.take(read).await;
        match timeout(send.patience, feeder.send(Bytes::copy_from_slice(&chunk[..read]))).await {
            Ok(Ok(())) => {}
            // Nobody reads on: the answer is there, or the connection is broken, which the exchange tells.
            Ok(Err(_)) => return Ok(()),
            Err(_) => {
                let detail = format_args!("the upload stalled after {} of {length} bytes", length - left);
                return Err(Trouble::new(CopyFault::Timeout, detail));
            }
        }
    }
    Ok(())
}

/// A body of known length whose chunks come from elsewhere.
struct Fed {
    chunks: mpsc::Receiver<Bytes>,
    left: u64,
}

impl HttpBody for Fed {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let chunk = ready!(self.chunks.poll_recv(cx));
        Poll::Ready(chunk.map(|chunk| {
            self.left = self.left.saturating_sub(chunk.len() as u64);
            Ok(Frame::data(chunk))
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;
    use tokio::net::TcpListener;

    use super::*;
    use crate::config::Outgoing;
    use crate::fetch::NamedHosts;

    async fn put(url: &Url, length: u64) -> Result<Response, Failure> {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(length).unwrap();
        let fetcher = Fetcher::new(&Outgoing::default(), NamedHosts::default()).unwrap();
        let send = Sending {
            method: Method::PUT,
            url,
            headers: &[],
            payload: Payload::File { path: file.path(), from: 0, length },
            pace: &Pace::unlimited(),
            patience: Duration::from_millis(300),
        };
        fetcher.send(&send).await
    }

    #[tokio::test]
    async fn a_server_that_does_not_read_is_given_up() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap()).parse().unwrap();
        let (ended, _silent) = tokio::join!(put(&url, 1 << 28), listener.accept());
        let failure = ended.unwrap_err();
        assert_eq!(failure.fault, CopyFault::Timeout, "{failure}");
        assert!(failure.detail.contains("stalled"), "{failure}");
    }

    #[tokio::test]
    async fn a_redirect_is_an_answer_and_goes_nowhere() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url: Url = format!("http://{}/", listener.local_addr().unwrap()).parse().unwrap();
        let serving = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = vec![0; 4096];
            while !head.ends_with(b"\r\n\r\n") {
                let read = stream.read(&mut head[..]).await.unwrap();
                head.truncate(read);
            }
            let answer = b"HTTP/1.1 307 Go\r\nlocation: /elsewhere\r\ncontent-length: 0\r\n\r\n";
            stream.write_all(answer).await.unwrap();
            String::from_utf8(head).unwrap()
        };
        let (answer, head) = tokio::join!(put(&url, 0), serving);
        assert_eq!(answer.unwrap().status, 307);
        assert!(head.to_lowercase().contains("content-length: 0\r\n"), "{head}");
    }

    #[tokio::test]
    async fn a_file_that_is_shorter_than_said_is_no_upload() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url: Url = format!("http://{}/", listener.local_addr().unwrap()).parse().unwrap();
        let fetcher = Fetcher::new(&Outgoing::default(), NamedHosts::default()).unwrap();
        let file = tempfile::NamedTempFile::new().unwrap();
        let send = Sending {
            method: Method::PUT,
            url: &url,
            headers: &[],
            payload: Payload::File { path: file.path(), from: 0, length: 10 },
            pace: &Pace::unlimited(),
            patience: Duration::from_secs(5),
        };
        let (ended, _silent) = tokio::join!(fetcher.send(&send), listener.accept());
        assert!(ended.unwrap_err().detail.contains("cannot be read"));
    }
}
