//! The yardstick of `load-tests/run`: a hyper server that answers every request with one constant answer.
//!
//! It parses HTTP/1.1, keeps connections alive and bounds the wait for headers as the service does, and decides nothing.
//! The answer is read from a file as `curl --include` writes it, so that both servers send the same bytes.

use std::convert::Infallible;
use std::error::Error;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use clap::Parser;
use http::{HeaderName, HeaderValue, Response, StatusCode, header};
use http_body_util::Full;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};

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
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse();
    let answer = read_answer(&arguments.answer)?;
    let mut runtime = match arguments.threads {
        1 => tokio::runtime::Builder::new_current_thread(),
        _ => tokio::runtime::Builder::new_multi_thread(),
    };
    let runtime = runtime.worker_threads(arguments.threads.max(1)).enable_all().build()?;
    runtime.block_on(serve(arguments.port, answer))
}

/// Accepts connections until the process is stopped.
async fn serve(port: u16, answer: Response<Bytes>) -> Result<(), Box<dyn Error>> {
    let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).await?;
    println!("listening on {}", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::spawn(answer_all(stream, answer.clone()));
    }
}

/// Answers the requests of one connection.
async fn answer_all(stream: TcpStream, answer: Response<Bytes>) {
    let service = service_fn(|_request| {
        let answer = answer.clone().map(Full::new);
        async { Ok::<_, Infallible>(answer) }
    });
    let mut connection = http1::Builder::new();
    connection.timer(TokioTimer::new()).header_read_timeout(Duration::from_secs(10));
    // A client that goes away in the middle is no matter for a yardstick.
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
