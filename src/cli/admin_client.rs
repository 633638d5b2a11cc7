//! Talks to the running service: over its local socket, or over its admin listener.

use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use http::{HeaderValue, Method, Request, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls_pki_types::ServerName;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use url::{Host, Url};

use super::outcome::{CliError, printable};
use crate::admin::TOKEN_HEADER;
use crate::app::SOCKET;

/// From connecting to the last byte of the answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// Largest answer, in bytes.
const ANSWER_MAX: usize = 64 << 20;

/// A service's admin interface; each request has a connection of its own.
#[derive(Debug, Clone)]
pub enum AdminClient {
    /// The local socket.
    Local(PathBuf),
    /// A listener, and the token that opens it further.
    Remote(Url, Option<HeaderValue>),
}

/// An answer of 200.
#[derive(Debug, Clone)]
pub struct Answer(Bytes);

impl Answer {
    /// The JSON as it came.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.0).into_owned()
    }

    /// The JSON's values.
    ///
    /// # Errors
    ///
    /// Where it is something else: another program answers, or another version.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, CliError> {
        serde_json::from_slice(&self.0).map_err(|error| {
            CliError::Unknown(format!(
                "the answer is not understood ({error}); is the service of another version?"
            ))
        })
    }
}

/// What came of a question that waits.
#[derive(Debug, Clone)]
pub enum Waited {
    /// What was waited for.
    Done(Answer),
    /// It is not so yet; how things are.
    NotYet(Answer),
}

impl AdminClient {
    /// The service whose state is in this folder.
    pub fn local(state: &Path) -> Self {
        Self::Local(state.join(SOCKET))
    }

    /// The service whose admin listener, or a proxy before it, answers at this URL.
    ///
    /// # Errors
    ///
    /// Where the URL is of another kind, or the token cannot stand in a header.
    pub fn remote(url: &Url, token: Option<&str>) -> Result<Self, CliError> {
        if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
            let text = format!("{url} is no http or https URL; write it like http://10.0.0.5:9180");
            return Err(CliError::Usage(text));
        }
        let header = token.map(|token| secret(&format!("Bearer {token}"))).transpose()?;
        Ok(Self::Remote(url.clone(), header))
    }

    /// Asks.
    ///
    /// # Errors
    ///
    /// `No` where there is no such thing, `Unknown` where no answer came or the service is not well.
    pub async fn get(&self, target: &str) -> Result<Answer, CliError> {
        self.ask(question(Method::GET, target, Bytes::new())?, PATIENCE).await
    }

    /// Asks how somebody who brings a token would be answered. It stands in a header of its own: `Authorization` is for
    /// whoever asks.
    ///
    /// # Errors
    ///
    /// As for [`AdminClient::get`], and where the token cannot stand in a header.
    pub async fn get_for(&self, target: &str, token: &str) -> Result<Answer, CliError> {
        let mut request = question(Method::GET, target, Bytes::new())?;
        request.headers_mut().insert(TOKEN_HEADER, secret(token)?);
        self.ask(request, PATIENCE).await
    }

    /// Gives an order.
    ///
    /// # Errors
    ///
    /// As for [`AdminClient::get`].
    pub async fn post(&self, target: &str, body: &Value) -> Result<Answer, CliError> {
        self.post_patiently(target, body, PATIENCE).await
    }

    /// Gives an order that takes its time.
    ///
    /// # Errors
    ///
    /// As for [`AdminClient::get`].
    pub async fn post_patiently(
        &self,
        target: &str,
        body: &Value,
        patience: Duration,
    ) -> Result<Answer, CliError> {
        self.ask(question(Method::POST, target, body.to_string().into())?, patience).await
    }

    /// Asks what the service answers only when it is so, or after `wait`: then with 504.
    ///
    /// # Errors
    ///
    /// As for [`AdminClient::get`].
    pub async fn wait(&self, target: &str, wait: Duration) -> Result<Waited, CliError> {
        match self.answered(question(Method::GET, target, Bytes::new())?, wait + PATIENCE).await? {
            (StatusCode::GATEWAY_TIMEOUT, body) => Ok(Waited::NotYet(Answer(body))),
            (status, body) => answer(status, body).map(Waited::Done),
        }
    }

    async fn ask(&self, request: Request<Full<Bytes>>, patience: Duration) -> Result<Answer, CliError> {
        let (status, body) = self.answered(request, patience).await?;
        answer(status, body)
    }

    async fn answered(
        &self,
        request: Request<Full<Bytes>>,
        patience: Duration,
    ) -> Result<(StatusCode, Bytes), CliError> {
        match tokio::time::timeout(patience, self.exchange(request)).await {
            Ok(Ok(answered)) => Ok(answered),
            Ok(Err(why)) => Err(self.silent(&why)),
            Err(_) => Err(self.silent(&format!("no answer within {} s", patience.as_secs()))),
        }
    }

    fn silent(&self, why: &str) -> CliError {
        CliError::Unknown(match self {
            Self::Local(socket) => format!(
                "the service does not answer on {}: {why}; is it running (`waypost serve`), and with this \
                 configuration and user?",
                socket.display()
            ),
            Self::Remote(url, _) => {
                format!(
                    "the service does not answer on {url}: {why}; is it running, with `[server] admin` there?"
                )
            }
        })
    }

    async fn exchange(&self, mut request: Request<Full<Bytes>>) -> Result<(StatusCode, Bytes), String> {
        let host = match self {
            Self::Local(_) => "localhost",
            Self::Remote(url, _) => &url[url::Position::BeforeHost..url::Position::AfterPort],
        };
        let host = HeaderValue::from_str(host).map_err(|error| error.to_string())?;
        request.headers_mut().insert(HOST, host);
        let url = match self {
            Self::Local(socket) => {
                let stream = UnixStream::connect(socket).await.map_err(|error| error.to_string())?;
                return send(stream, request).await;
            }
            Self::Remote(url, token) => {
                request.headers_mut().extend(token.clone().map(|token| (AUTHORIZATION, token)));
                url
            }
        };
        let stream = connect(url).await.map_err(|error| error.to_string())?;
        if url.scheme() == "http" {
            return send(stream, request).await;
        }
        let name = url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        let name = ServerName::try_from(name).map_err(|error| error.to_string())?;
        let connector = crate::fetch::connector().map_err(|error| error.to_string())?;
        send(connector.connect(name, stream).await.map_err(|error| error.to_string())?, request).await
    }
}

fn question(method: Method, target: &str, body: Bytes) -> Result<Request<Full<Bytes>>, CliError> {
    let request = Request::builder().method(method).uri(target).header(CONTENT_TYPE, "application/json");
    request.body(Full::new(body)).map_err(|error| CliError::Usage(format!("this cannot be asked: {error}")))
}

/// A token as a header's value.
fn secret(text: &str) -> Result<HeaderValue, CliError> {
    let mut value = HeaderValue::from_str(text)
        .map_err(|_| CliError::Usage("the token holds characters that no token has".to_owned()))?;
    value.set_sensitive(true);
    Ok(value)
}

async fn connect(url: &Url) -> std::io::Result<TcpStream> {
    let port = url.port_or_known_default().unwrap_or(80);
    match url.host() {
        Some(Host::Domain(name)) => TcpStream::connect((name, port)).await,
        Some(Host::Ipv4(ip)) => TcpStream::connect((ip, port)).await,
        Some(Host::Ipv6(ip)) => TcpStream::connect((ip, port)).await,
        None => Err(std::io::ErrorKind::InvalidInput.into()),
    }
}

async fn send(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    request: Request<Full<Bytes>>,
) -> Result<(StatusCode, Bytes), String> {
    let broken = |error: hyper::Error| error.to_string();
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
    let exchange = async {
        let answer = sender.send_request(request).await.map_err(broken)?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), ANSWER_MAX).collect().await;
        Ok((status, body.map_err(|error| error.to_string())?.to_bytes()))
    };
    tokio::pin!(exchange);
    tokio::select! {
        answer = &mut exchange => answer,
        // The connection's end wakes the exchange, which knows more of what came until then.
        _ = connection => exchange.await,
    }
}

/// The one place where a status becomes an exit code.
fn answer(status: StatusCode, body: Bytes) -> Result<Answer, CliError> {
    if status.is_success() {
        return Ok(Answer(body));
    }
    let problem: Value = serde_json::from_slice(&body).unwrap_or_default();
    let said = ["detail", "title"].iter().find_map(|key| problem[key].as_str());
    let said = said.map_or_else(|| status.to_string(), |said| printable(said, 2000));
    Err(match status {
        StatusCode::NOT_FOUND | StatusCode::CONFLICT | StatusCode::GONE | StatusCode::PRECONDITION_FAILED => {
            CliError::No(said)
        }
        other if other.is_client_error() => CliError::Usage(said),
        other => CliError::Unknown(format!("the service answered {}: {said}", other.as_u16())),
    })
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;
    use crate::cli::outcome::Exit;

    /// A service that answers one request with these bytes and closes.
    async fn service(says: &'static [u8]) -> AdminClient {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await.unwrap());
            }
            stream.write_all(says).await.unwrap();
        });
        AdminClient::remote(&url.parse().unwrap(), None).unwrap()
    }

    #[tokio::test]
    async fn an_answer_is_read_and_a_refusal_becomes_an_exit_code() {
        let well = service(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{\"a\": 17}").await;
        let read: Value = well.get("/v1/mirrors").await.unwrap().read().unwrap();
        assert_eq!(read["a"], 17);
        let cases: [(&'static [u8], Exit, &str); 5] = [
            (
                b"HTTP/1.1 404 Not Found\r\nconnection: close\r\n\r\n{\"detail\": \"no mirror x\"}",
                Exit::No,
                "no mirror x",
            ),
            (
                b"HTTP/1.1 403 Forbidden\r\nconnection: close\r\n\r\n{\"title\": \"role\"}",
                Exit::Usage,
                "role",
            ),
            (b"HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\n\r\nnot json", Exit::Unknown, "503"),
            (b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\ncut", Exit::Unknown, "does not answer"),
            (b"220 mail.example ESMTP\r\n", Exit::Unknown, "does not answer"),
        ];
        for (says, exit, text) in cases {
            let error = service(says).await.get("/").await.unwrap_err();
            assert_eq!(error.exit(), exit, "{error}");
            assert!(error.to_string().contains(text), "{error}");
        }
    }

    #[tokio::test]
    async fn where_nobody_listens_the_message_says_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let error = AdminClient::local(folder.path()).get("/v1/mirrors").await.unwrap_err();
        assert_eq!(error.exit(), Exit::Unknown);
        assert!(error.to_string().contains("admin.sock"), "{error}");
        assert!(error.to_string().contains("is it running"), "{error}");
        for odd in ["ftp://10.0.0.5/", "localhost:9180", "unix:/x"] {
            assert_eq!(AdminClient::remote(&odd.parse().unwrap(), None).unwrap_err().exit(), Exit::Usage);
        }
    }
}
