//! The accept loop: TLS, limits, drain. It takes any handler and knows nothing of what is answered.
//!
//! ```text
//! listener → a place free? one for this client? → TLS handshake → which protocol → HTTP/1.1 or HTTP/2 → Handler
//! ```
//!
//! # What bounds what
//!
//! No more connections are open than `connections`, and of each client than `connections_per_client`; one too many is
//! closed at once.
//!
//! One alarm per connection, set lazily, watches over all of them ([`Timeout`] has a counter for each):
//!
//! | bound | from | to | then |
//! |---|---|---|---|
//! | `first_byte` | accept | the first byte of a request, TLS handshake included | cut |
//! | `header` | the first byte of an HTTP/1.1 head | its last | cut |
//! | `idle` | the last answer | the next request | told to finish, cut after `write` |
//! | `write` | a write that has to wait | all that was waiting (16 KiB or so) is taken | cut |
//!
//! On HTTP/2 a header block that never ends and a stream whose window never opens are no requests: such a connection
//! is idle after `idle`. Pings are answered by the peer's library and keep nothing open; unanswered ones close.
//! What a flood can hold is bounded by hyper and h2, and tests hold them to it: requests that are asked ahead are answered
//! one by one as their answers are read; over HTTP/2 a hundred at once, and a connection ends that resets many, or whose
//! header block goes on for ever.
//!
//! While a handler works no bound applies: a handler that waits, or reads a request's body, bounds that itself. A
//! body that nobody reads is never read beyond what came along with the head: the connection closes after the answer.

mod accept;
mod connection;
mod counters;
mod listener;
mod open_files;
mod protocol;
mod stream;
mod tls;
mod validity;
mod watch;

use std::error::Error;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response};
use hyper::body::{Body, Incoming};

pub use accept::Server;
pub use counters::{ServerCounters, Timeout};
pub use listener::BindError;
pub use tls::{TlsError, TlsStore, TlsWarning};

/// Who is at the other end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    /// An address; IPv4 is IPv4 also where it came in over an IPv6 listener.
    Tcp(SocketAddr),
    /// A process on this machine that may open the local socket.
    Local,
}

/// How a connection came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// In clear text.
    Http,
    /// Over TLS.
    Https,
}

/// What all requests of a connection share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Connection {
    /// Who asks.
    pub peer: Peer,
    /// How the connection came in.
    pub scheme: Scheme,
}

/// Answers requests. It is called for every request, of any method and path that HTTP can express.
pub trait Handler: Send + Sync + 'static {
    /// The answer's body; its default is an empty one. On HTTP/1.1 a frame is copied behind the head, so a long body had
    /// better come in pieces.
    type Body: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Default + Send + 'static;

    /// Whether an answer may have to be waited for. Only then it is looked meanwhile whether the client is still there:
    /// a look that costs something with every request, and that takes a client which ends its side of the stream with
    /// its last request for gone.
    const WAITS: bool = true;

    /// Answers one request. A panic ends this connection (HTTP/2: this stream) and nothing else.
    ///
    /// The future outlives the call, so it keeps of the handler and the request only what it has to wait with. What
    /// needs no waiting is best done before it is returned: as [`std::future::ready`] then, an answer costs least. What
    /// waits is boxed.
    fn handle(
        self: &Arc<Self>,
        request: Request<Incoming>,
        connection: &Connection,
    ) -> impl Future<Output = Response<Self::Body>> + Send + Unpin + use<Self>;
}
