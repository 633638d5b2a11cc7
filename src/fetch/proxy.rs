//! The http proxy that all requests may have to pass.

use data_encoding::BASE64;
use http::HeaderValue;
use percent_encoding::percent_decode_str;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use url::{Position, Url};

use super::failure::Trouble;
use super::fetcher::FetcherError;
use crate::model::CopyFault;

/// Longest answer to a CONNECT, in bytes.
const ANSWER_MAX: usize = 8 * 1024;

/// An http proxy (RFC 9110 sections 3.7 and 9.3.6).
#[derive(Debug)]
pub(super) struct Proxy {
    /// Where it is.
    pub(super) url: Url,
    /// `Proxy-Authorization`, where its URL has a user and a password.
    pub(super) authorization: Option<HeaderValue>,
}

impl Proxy {
    pub(super) fn new(url: &Url) -> Result<Self, FetcherError> {
        if url.scheme() != "http" || url.host().is_none() {
            return Err(FetcherError::Proxy);
        }
        let authorization = match (url.username(), url.password()) {
            ("", None) => None,
            (user, password) => Some(basic(user, password.unwrap_or(""))?),
        };
        Ok(Self { url: url.clone(), authorization })
    }

    /// Asks the proxy for a tunnel to the host of `url`.
    pub(super) async fn tunnel(&self, stream: &mut TcpStream, url: &Url) -> Result<(), Trouble> {
        let host = &url[Position::BeforeHost..Position::AfterHost];
        let port = url.port_or_known_default().unwrap_or(443);
        let mut request = format!("CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\n").into_bytes();
        if let Some(value) = &self.authorization {
            request.extend_from_slice(b"Proxy-Authorization: ");
            request.extend_from_slice(value.as_bytes());
            request.extend_from_slice(b"\r\n");
        }
        request.extend_from_slice(b"\r\n");
        let broken = |error| Trouble::new(CopyFault::Connect, format_args!("the proxy: {error}"));
        stream.write_all(&request).await.map_err(broken)?;
        // Byte by byte, so that nothing of the tunnel is swallowed.
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            answer.push(stream.read_u8().await.map_err(broken)?);
            if answer.len() > ANSWER_MAX {
                return Err(Trouble::new(CopyFault::Connect, "the proxy's answer to CONNECT is too long"));
            }
        }
        match answer.get(..10) {
            Some([b'H', b'T', b'T', b'P', b'/', b'1', b'.', _, b' ', b'2']) => Ok(()),
            _ => {
                let line = String::from_utf8_lossy(&answer);
                let line = line.lines().next().unwrap_or_default();
                Err(Trouble::new(CopyFault::Connect, format_args!("the proxy refused a tunnel: {line}")))
            }
        }
    }
}

/// `Basic` credentials (RFC 7617).
fn basic(user: &str, password: &str) -> Result<HeaderValue, FetcherError> {
    let mut pair: Vec<u8> = percent_decode_str(user).collect();
    pair.push(b':');
    pair.extend(percent_decode_str(password));
    let mut value =
        HeaderValue::try_from(format!("Basic {}", BASE64.encode(&pair))).map_err(|_| FetcherError::Proxy)?;
    value.set_sensitive(true);
    Ok(value)
}
