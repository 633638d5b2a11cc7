//! One connection, from accept to its end.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use hyper::body::{Body, Incoming};
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::{sleep_until, timeout_at};
use tokio_rustls::TlsAcceptor;

use super::listener::Accepted;
use super::protocol::{ALPN_HTTP2, Protocol, detect};
use super::stream::Watched;
use super::watch::{Alarm, Finish, Watch};
use super::{Connection, Handler, Peer, Scheme, ServerCounters, Timeout, TlsStore};
use crate::client::Proxies;
use crate::config::Limits;

/// Requests at once on an HTTP/2 connection.
const STREAMS: u32 = 100;
/// How often an HTTP/2 connection is asked whether somebody is there, and how long the answer may take.
const PING_INTERVAL: Duration = Duration::from_secs(20);
const PING_TIMEOUT: Duration = Duration::from_secs(10);
/// HTTP/2 windows: requests carry hardly any body, so the protocol's default suffices.
const WINDOW: u32 = 65_535;
/// The least that hyper takes as a buffer.
const MIN_BUFFER: usize = 8192;

/// Tells connections to finish.
#[derive(Debug, Default)]
pub(super) struct Stop {
    told: AtomicBool,
    notify: Notify,
}

impl Stop {
    pub(super) fn tell(&self) {
        self.told.store(true, Ordering::SeqCst);
        self.notify.notify_waiters();
    }

    fn is_told(&self) -> bool {
        self.told.load(Ordering::SeqCst)
    }

    async fn told(&self) {
        let notified = self.notify.notified();
        if !self.is_told() {
            notified.await;
        }
    }
}

/// What all connections of a server share.
pub(super) struct Plan<H> {
    pub(super) handler: Arc<H>,
    pub(super) limits: Limits,
    pub(super) tls: Option<Arc<TlsStore>>,
    pub(super) counters: Arc<ServerCounters>,
    pub(super) stop: Stop,
    /// Who may have any number of connections.
    pub(super) exempt: Proxies,
    http1: http1::Builder,
    http2: http2::Builder<TokioExecutor>,
}

impl<H: Handler> Plan<H> {
    pub(super) fn new(
        handler: Arc<H>,
        limits: Limits,
        tls: Option<Arc<TlsStore>>,
        counters: Arc<ServerCounters>,
        exempt: Proxies,
    ) -> Self {
        let (http1, http2) = (http1_builder(&limits, H::WAITS), http2_builder(&limits));
        Self { handler, limits, tls, counters, stop: Stop::default(), exempt, http1, http2 }
    }

    /// Serves a connection to its end.
    pub(super) async fn serve(self: Arc<Self>, accepted: Accepted) {
        let watch = Arc::new(Watch::new(self.limits));
        match accepted {
            Accepted::Local(stream) => self.serve_clear(stream, Peer::Local, watch).await,
            Accepted::Tcp(stream, peer) => {
                // Without it an answer may wait for the acknowledgement of the one before.
                if let Err(error) = stream.set_nodelay(true) {
                    tracing::debug!(%peer, %error, "TCP_NODELAY was refused");
                }
                match self.tls.clone() {
                    None => self.serve_clear(stream, Peer::Tcp(peer), watch).await,
                    Some(tls) => self.serve_tls(stream, Peer::Tcp(peer), &tls, watch).await,
                }
            }
        }
    }

    async fn serve_clear<S>(self: Arc<Self>, mut stream: S, peer: Peer, watch: Arc<Watch>)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let detected = self.opening(&watch, detect(&mut stream)).await;
        if let Some(Ok((protocol, first))) = detected {
            self.serve_http(stream, first, protocol, Connection { peer, scheme: Scheme::Http }, watch).await;
        }
    }

    async fn serve_tls(self: Arc<Self>, stream: TcpStream, peer: Peer, tls: &TlsStore, watch: Arc<Watch>) {
        let handshake = TlsAcceptor::from(tls.current()).accept(stream);
        match self.opening(&watch, handshake).await {
            Some(Ok(stream)) => {
                let protocol = match stream.get_ref().1.alpn_protocol() {
                    Some(ALPN_HTTP2) => Protocol::Http2,
                    _ => Protocol::Http1,
                };
                let connection = Connection { peer, scheme: Scheme::Https };
                self.serve_http(stream, Bytes::new(), protocol, connection, watch).await;
            }
            Some(Err(error)) => {
                self.counters.note_tls_failure();
                tracing::debug!(?peer, %error, "a TLS handshake failed");
            }
            None => {}
        }
    }

    /// What comes before the first byte of a request: bounded, and given up at a stop.
    async fn opening<T>(&self, watch: &Watch, step: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            outcome = timeout_at(watch.first_byte_deadline(), step) => {
                if outcome.is_err() {
                    self.counters.note_timeout(Timeout::FirstByte);
                }
                outcome.ok()
            }
            () = self.stop.told() => None,
        }
    }

    async fn serve_http<S>(
        self: Arc<Self>,
        stream: S,
        first: Bytes,
        protocol: Protocol,
        connection: Connection,
        watch: Arc<Watch>,
    ) where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let stream = Watched::new(stream, first, Arc::clone(&watch));
        let plan = Arc::clone(&self);
        let session = Arc::new(Session { plan, connection, protocol, watch: Arc::clone(&watch) });
        match protocol {
            Protocol::Http1 => {
                let service = service_fn(move |request| session.answer(request));
                let served = self.http1.serve_connection(stream, service);
                self.drive(served, http1::Connection::graceful_shutdown, Protocol::Http1, &watch).await;
            }
            Protocol::Http2 => {
                watch.is_multiplexed();
                let service = service_fn(move |request| {
                    let session = Arc::clone(&session);
                    // Not before the stream has a task of its own, which is all that a panic then costs.
                    async move {
                        let is_head = *request.method() == Method::HEAD;
                        let answered = session.answer(request).await;
                        if is_head { answered.map(without_body) } else { answered }
                    }
                });
                let served = self.http2.serve_connection(stream, service);
                self.drive(served, http2::Connection::graceful_shutdown, Protocol::Http2, &watch).await;
            }
        }
    }

    /// Polls the connection until it ends, runs into a bound, or does not finish when told to.
    async fn drive<C, E>(&self, served: C, tell_to_finish: fn(Pin<&mut C>), protocol: Protocol, watch: &Watch)
    where
        C: Future<Output = Result<(), E>>,
        E: std::error::Error,
    {
        let mut served = pin!(served);
        let mut told = pin!(self.stop.told());
        // Polling `told` takes a lock that connections share: once per waker, not per request.
        let mut told_waker: Option<Waker> = None;
        let mut finish = Finish::No;
        let sleep = pin!(sleep_until(watch.first_byte_deadline()));
        let mut alarm = Alarm::new(sleep, watch);
        poll_fn(|cx| {
            loop {
                if let Poll::Ready(end) = served.as_mut().poll(cx) {
                    if let Err(error) = end {
                        tracing::trace!(%error, "a connection ended early");
                    }
                    return Poll::Ready(());
                }
                if finish == Finish::No {
                    if !told_waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
                        told_waker = Some(cx.waker().clone());
                        let _ = told.as_mut().poll(cx);
                    }
                    let exhausted = protocol == Protocol::Http2 && watch.is_exhausted();
                    if exhausted || self.stop.is_told() {
                        finish = Finish::Since(watch.now());
                        tell_to_finish(served.as_mut());
                        continue;
                    }
                }
                let which = ready!(alarm.poll(cx, finish));
                self.counters.note_timeout(which);
                if which != Timeout::Idle {
                    return Poll::Ready(());
                }
                finish = Finish::Since(watch.now());
                tell_to_finish(served.as_mut());
            }
        })
        .await;
    }
}

/// What a HEAD is told: how long the body would be, and no body (RFC 9110 section 9.3.2). Over HTTP/2 hyper would send it.
fn without_body<B: Body + Default>(response: Response<B>) -> Response<B> {
    let length = response.body().size_hint().exact();
    let mut response = response.map(|_| B::default());
    if let Some(length) = length.filter(|_| !response.headers().contains_key(CONTENT_LENGTH)) {
        response.headers_mut().insert(CONTENT_LENGTH, length.into());
    }
    response
}

/// What the requests of one connection need.
struct Session<H> {
    plan: Arc<Plan<H>>,
    connection: Connection,
    protocol: Protocol,
    watch: Arc<Watch>,
}

impl<H: Handler> Session<H> {
    /// Answers a request. The handler is called at once, not when the answer is first polled: an answer that needs no
    /// waiting is then all that is carried further, and the request is gone before hyper makes room for the next read,
    /// which takes a new buffer while any part of the old one is in use.
    fn answer(
        self: &Arc<Self>,
        request: Request<Incoming>,
    ) -> Answering<H, impl Future<Output = Response<H::Body>> + Send + Unpin + use<H>> {
        let in_flight = InFlight::begin(Arc::clone(self));
        // Over HTTP/1.1 hyper has counted them; over HTTP/2 it bounds their size alone.
        let handled = (request.headers().len() <= self.plan.limits.headers)
            .then(|| self.plan.handler.handle(request, &self.connection));
        Answering { handled, in_flight }
    }
}

/// An answer that may have to be waited for. Written out, because an async block moves what it waits for, and its
/// outcome, once more each.
struct Answering<H, F> {
    /// `None` for a request that the handler does not get.
    handled: Option<F>,
    in_flight: InFlight<H>,
}

impl<H: Handler, F: Future<Output = Response<H::Body>> + Unpin> Future for Answering<H, F> {
    type Output = Result<Response<H::Body>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut response = match &mut self.handled {
            Some(handled) => ready!(Pin::new(handled).poll(cx)),
            None => too_many_headers(),
        };
        if self.in_flight.is_last() {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        Poll::Ready(Ok(response))
    }
}

fn too_many_headers<B: Default>() -> Response<B> {
    let mut refused = Response::new(B::default());
    *refused.status_mut() = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
    refused
}

/// A request whose handler works; over as well when the handler panics or its client goes away.
struct InFlight<H> {
    session: Arc<Session<H>>,
    /// The request's number on its connection.
    number: usize,
}

impl<H> InFlight<H> {
    fn begin(session: Arc<Session<H>>) -> Self {
        session.plan.counters.note_request();
        let number = session.watch.note_request();
        Self { session, number }
    }

    /// Whether the connection ends with the answer. Over HTTP/2 that is said in a frame, not in a header.
    fn is_last(&self) -> bool {
        self.session.protocol == Protocol::Http1 && self.session.watch.is_last(self.number)
    }
}

impl<H> Drop for InFlight<H> {
    fn drop(&mut self) {
        self.session.watch.note_answer();
        if std::thread::panicking() {
            self.session.plan.counters.note_panic();
        }
    }
}

fn http1_builder(limits: &Limits, handler_waits: bool) -> http1::Builder {
    let mut builder = http1::Builder::new();
    // The watch bounds the head: hyper's own deadline takes a new timer for every request.
    builder.timer(TokioTimer::new()).header_read_timeout(None);
    builder.max_header_size(limits.header_bytes).max_buf_size(limits.header_bytes.max(MIN_BUFFER));
    builder.half_close(!handler_waits);
    // Head and body in one buffer: to gather them takes an array of 64 slices that is filled anew for every answer.
    builder.writev(false);
    // Up to its default hyper keeps headers on the stack.
    if limits.headers != Limits::default().headers {
        builder.max_headers(limits.headers);
    }
    builder
}

fn http2_builder(limits: &Limits) -> http2::Builder<TokioExecutor> {
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS)
        .max_header_list_size(u32::try_from(limits.header_bytes).unwrap_or(u32::MAX))
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(WINDOW)
        .max_send_buf_size(limits.header_bytes.max(MIN_BUFFER))
        // Resets that were not accepted yet (CVE-2023-44487); beyond it the connection is closed.
        .max_pending_accept_reset_streams(20)
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT);
    builder
}
