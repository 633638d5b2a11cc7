//! The yardstick of `load-tests/run`: a hyper server that answers every request with one constant answer.
//!
//! It parses HTTP/1.1, keeps connections alive and bounds the wait for headers as the service does, and decides nothing.
//! With a certificate it speaks TLS, and HTTP/2 with those who ask for it by ALPN. The answer is read from a file as
//! `curl --include` writes it, so that both servers send the same bytes.

use std::convert::Infallible;
use std::error::Error;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use clap::Parser;
use http::{HeaderName, HeaderValue, Response, StatusCode, header};
use http_body_util::Full;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::ServerConfig;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

/// How long a client may take for the head of a request: the service's own bound.
const HEADERS: Duration = Duration::from_secs(10);
const HTTP2: &[u8] = b"h2";

/// Answers every request on loopback with one constant answer.
#[derive(Debug, Parser)]
struct Arguments {
    /// Port on 127.0.0.1; 0 takes a free one.
    port: u16,
    /// The answer: status line, headers and body, as `curl --include` writes them.
    #[arg(long)]
    answer: PathBuf,
    /// Worker threads; 1 runs everything on one.
    #[arg(long, default_value_t = 1)]
    threads: usize,
    /// Certificate chain and key in PEM: TLS on every connection.
    #[arg(long, num_args = 2, value_names = ["CERTIFICATE", "KEY"])]
    tls: Option<Vec<PathBuf>>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse();
    let answer = read_answer(&arguments.answer)?;
    let tls = match arguments.tls.as_deref() {
        Some([certificate, key]) => Some(acceptor(certificate, key)?),
        _ => None,
    };
    let mut runtime = match arguments.threads {
        1 => tokio::runtime::Builder::new_current_thread(),
        _ => tokio::runtime::Builder::new_multi_thread(),
    };
    let runtime = runtime.worker_threads(arguments.threads.max(1)).enable_all().build()?;
    runtime.block_on(serve(arguments.port, tls, answer))
}

/// TLS as the service has it: aws-lc-rs, TLS 1.2 and 1.3, HTTP/2 and HTTP/1.1.
fn acceptor(certificate: &Path, key: &Path) -> Result<TlsAcceptor, Box<dyn Error>> {
    let chain = CertificateDer::pem_file_iter(certificate)?.collect::<Result<Vec<_>, _>>()?;
    let key = PrivateKeyDer::from_pem_file(key)?;
    let mut config =
        ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![HTTP2.to_vec(), b"http/1.1".to_vec()];
    config.ticketer = rustls::crypto::aws_lc_rs::Ticketer::new()?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// Accepts connections until the process is stopped.
async fn serve(port: u16, tls: Option<TlsAcceptor>, answer: Response<Bytes>) -> Result<(), Box<dyn Error>> {
    let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).await?;
    println!("listening on {}", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let answer = answer.clone();
        match tls.clone() {
            None => tokio::spawn(answer_http1(stream, answer)),
            Some(tls) => tokio::spawn(answer_tls(tls, stream, answer)),
        };
    }
}

/// Makes the handshake, then serves the protocol that was agreed on.
async fn answer_tls(tls: TlsAcceptor, stream: TcpStream, answer: Response<Bytes>) {
    // A client that goes away in the middle is no matter for a yardstick; so below.
    let Ok(stream) = tls.accept(stream).await else { return };
    match stream.get_ref().1.alpn_protocol() {
        Some(HTTP2) => answer_http2(stream, answer).await,
        _ => answer_http1(stream, answer).await,
    }
}

/// Answers the requests of one HTTP/1.1 connection.
async fn answer_http1(stream: impl AsyncRead + AsyncWrite + Unpin, answer: Response<Bytes>) {
    let service = service_fn(|_request| {
        let answer = answer.clone().map(Full::new);
        async { Ok::<_, Infallible>(answer) }
    });
    let mut connection = http1::Builder::new();
    connection.timer(TokioTimer::new()).header_read_timeout(HEADERS);
    let _ = connection.serve_connection(TokioIo::new(stream), service).await;
}

/// Answers the requests of one HTTP/2 connection.
async fn answer_http2(stream: impl AsyncRead + AsyncWrite + Unpin, answer: Response<Bytes>) {
    let service = service_fn(|_request| {
        let answer = answer.clone().map(Full::new);
        async { Ok::<_, Infallible>(answer) }
    });
    let mut connection = http2::Builder::new(TokioExecutor::new());
    // The streams and the pings of the service.
    connection
        .timer(TokioTimer::new())
        .max_concurrent_streams(100)
        .keep_alive_interval(Duration::from_secs(20))
        .keep_alive_timeout(Duration::from_secs(10));
    let _ = connection.serve_connection(TokioIo::new(stream), service).await;
}

/// Reads a recorded answer. `Date` and `Content-Length` are left to hyper, which adds both itself.
fn read_answer(path: &Path) -> Result<Response<Bytes>, Box<dyn Error>> {
    let text = std::fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?;
    let (head, body) = text.split_once("\r\n\r\n").ok_or("the answer has no end of headers")?;
    let mut lines = head.lines();
    let status =
        lines.next().and_then(|line| line.split_whitespace().nth(1)).ok_or("the answer has no status")?;
    let mut answer = Response::new(Bytes::copy_from_slice(body.as_bytes()));
    *answer.status_mut() = status.parse::<StatusCode>()?;
    for line in lines {
        let (name, value) = line.split_once(':').ok_or_else(|| format!("no header line: {line}"))?;
        let name = name.trim().parse::<HeaderName>()?;
        if name != header::DATE && name != header::CONTENT_LENGTH {
            answer.headers_mut().append(name, HeaderValue::from_str(value.trim())?);
        }
    }
    Ok(answer)
}
