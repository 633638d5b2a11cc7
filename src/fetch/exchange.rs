//! One request and its answer on one connection, which is driven by whoever waits for the answer.

use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::{Body as _, Frame, Incoming};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::failure::Trouble;
use crate::model::CopyFault;

/// Longest head of an answer and longest trailers, in bytes.
const HEAD_MAX: usize = 32 * 1024;

/// Most lines of a head.
const HEAD_LINES_MAX: usize = 100;

/// Read buffer, in bytes; so also the longest chunk of a body.
const BUFFER: usize = 256 * 1024;

/// What may arrive until the final head is complete, 1xx answers (RFC 9110 section 15.2) included, of which a server may
/// send any number.
const BEFORE_HEAD_MAX: u64 = 256 * 1024;

/// A byte stream in both directions: TCP, or TLS over it.
pub(super) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// What a request carries.
pub(super) type Cargo = UnsyncBoxBody<Bytes, Infallible>;

type Connection = http1::Connection<TokioIo<Metered>, Cargo>;

/// The body of an answer, and the connection that it comes from. Dropping it closes the connection.
pub(super) struct Body {
    incoming: Incoming,
    /// `None` once it has ended; what it had read is then in `incoming`.
    connection: Option<Connection>,
}

/// Sends `request` and waits for the head of the final answer.
pub(super) async fn exchange(
    stream: Box<dyn Stream>,
    request: Request<Cargo>,
) -> Result<Response<Body>, Trouble> {
    let broken = |error: hyper::Error| Trouble::of(CopyFault::Broken, &error);
    let allowance = Arc::new(AtomicU64::new(BEFORE_HEAD_MAX));
    let io = TokioIo::new(Metered { stream, allowance: Arc::clone(&allowance) });
    let mut builder = http1::Builder::new();
    builder.max_buf_size(BUFFER).max_header_size(HEAD_MAX).max_headers(HEAD_LINES_MAX);
    let (mut sender, connection) = builder.handshake(io).await.map_err(broken)?;

    let mut connection = Some(connection);
    let mut answer = std::pin::pin!(sender.send_request(request));
    let answer = poll_fn(|cx| {
        drive(&mut connection, cx);
        answer.as_mut().poll(cx)
    });
    let answer = answer.await.map_err(broken)?;
    allowance.store(u64::MAX, Ordering::Relaxed);
    Ok(answer.map(|incoming| Body { incoming, connection }))
}

/// Lets the connection do what it can. Its error reaches the answer or its body as well.
fn drive(connection: &mut Option<Connection>, cx: &mut Context<'_>) {
    if let Some(running) = connection
        && Pin::new(running).poll(cx).is_ready()
    {
        *connection = None;
    }
}

impl Body {
    /// How long the body is, where the head says so.
    pub(super) fn length(&self) -> Option<u64> {
        self.incoming.size_hint().exact()
    }

    /// The next part; `None` at the end.
    pub(super) async fn frame(&mut self) -> Option<Result<Frame<Bytes>, Trouble>> {
        let frame = poll_fn(|cx| {
            // Asking first tells the connection that there is room.
            if let Poll::Ready(frame) = Pin::new(&mut self.incoming).poll_frame(cx) {
                return Poll::Ready(frame);
            }
            drive(&mut self.connection, cx);
            Pin::new(&mut self.incoming).poll_frame(cx)
        });
        let frame = frame.await?;
        Some(frame.map_err(|error| Trouble::of(CopyFault::Broken, &error)))
    }
}

/// A stream that gives only so much until the allowance is raised.
struct Metered {
    stream: Box<dyn Stream>,
    allowance: Arc<AtomicU64>,
}

impl AsyncRead for Metered {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        std::task::ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        let read = (buf.filled().len() - before) as u64;
        let left = self.allowance.load(Ordering::Relaxed);
        if left < read {
            return Poll::Ready(Err(io::Error::other("too many bytes without a complete head")));
        }
        if left < u64::MAX {
            self.allowance.store(left - read, Ordering::Relaxed);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Metered {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
