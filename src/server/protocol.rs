//! Which protocol a connection speaks when nobody agreed on one.

use std::io;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt};

/// The protocols that are served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    /// HTTP/1.0 and HTTP/1.1.
    Http1,
    /// HTTP/2, agreed on by ALPN or by prior knowledge (RFC 9113, section 3.3).
    Http2,
}

/// The name of HTTP/2 in ALPN.
pub(super) const ALPN_HTTP2: &[u8] = b"h2";
/// The name of HTTP/1.1 in ALPN.
pub(super) const ALPN_HTTP1: &[u8] = b"http/1.1";

/// What a client of HTTP/2 sends first (RFC 9113, section 3.4).
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Most bytes read at first: the usual head of a request fits in.
const FIRST_READ: usize = 1024;

/// Reads until the protocol is clear: at once, unless the client sends a part of the preface. Has no deadline of its
/// own. Returns what was read; nothing where the client closed.
pub(super) async fn detect(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<(Protocol, Bytes)> {
    let mut first = [0; FIRST_READ];
    let mut filled = 0;
    loop {
        let read = stream.read(&mut first[filled..]).await?;
        filled += read;
        let compared = filled.min(PREFACE.len());
        let (protocol, clear) = match first[..compared] == PREFACE[..compared] {
            true => (Protocol::Http2, compared == PREFACE.len()),
            false => (Protocol::Http1, true),
        };
        if clear {
            return Ok((protocol, Bytes::copy_from_slice(&first[..filled])));
        }
        if read == 0 {
            return Ok((Protocol::Http1, Bytes::copy_from_slice(&first[..filled])));
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;

    use super::*;

    async fn detected(pieces: &[&[u8]]) -> (Protocol, Bytes) {
        let (mut client, mut server) = tokio::io::duplex(4096);
        let client = async {
            for piece in pieces {
                client.write_all(piece).await.unwrap();
                tokio::task::yield_now().await;
            }
            drop(client);
        };
        tokio::join!(client, detect(&mut server)).1.unwrap()
    }

    #[tokio::test]
    async fn the_preface_means_http2_also_in_pieces_and_anything_else_does_not() {
        let whole = detected(&[PREFACE, b"more"]).await;
        assert_eq!(whole, (Protocol::Http2, Bytes::from_static(PREFACE)));
        let pieces = detected(&[&PREFACE[..3], &PREFACE[3..20], &PREFACE[20..]]).await;
        assert_eq!(pieces, (Protocol::Http2, Bytes::from_static(PREFACE)));
        for other in
            [&b"GET / HTTP/1.1\r\n"[..], b"PUT / HTTP/1.1\r\n", b"PRI * HTTP/1.1\r\n\r\n........", b"\0"]
        {
            assert_eq!(detected(&[other]).await, (Protocol::Http1, Bytes::copy_from_slice(other)));
        }
    }

    #[tokio::test]
    async fn a_client_that_closes_early_is_not_waited_for() {
        assert_eq!(detected(&[]).await, (Protocol::Http1, Bytes::new()));
        assert_eq!(detected(&[b"PRI"]).await, (Protocol::Http1, Bytes::from_static(b"PRI")));
    }
}
