//! The client of `load-tests/run` for latency: sends requests at moments drawn beforehand, and says how long each took.
//!
//! The moments do not wait for answers, and a request's time counts from the moment it was due: a server that stalls pays
//! for every request that came due meanwhile. Where no connection is idle, the request waits, and that counts too.
//! It looks at its connections without pause, so it needs a core of its own.

use std::collections::VecDeque;
use std::error::Error;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Parser;

/// An answer that has not come by then never will.
const PATIENCE: Duration = Duration::from_secs(10);

/// Sends requests to a port on loopback and prints percentiles of the microseconds until their answers, as JSON.
#[derive(Debug, Parser)]
struct Arguments {
    /// Port on 127.0.0.1.
    port: u16,
    /// Lines "PATH ADDRESS", sent one after the other, over and over.
    #[arg(long)]
    requests: PathBuf,
    /// Requests per second, at random moments (a Poisson process).
    #[arg(long)]
    rate: f64,
    /// How long. The first tenth is not counted.
    #[arg(long, default_value_t = 1.0)]
    seconds: f64,
    /// Connections, kept alive.
    #[arg(long, default_value_t = 32)]
    connections: usize,
    /// Of the moments.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// A connection and the moment at which the request that it waits for was due.
struct Connection {
    stream: TcpStream,
    received: Vec<u8>,
    due: Duration,
}

impl Connection {
    fn open(port: u16) -> Result<Self, Box<dyn Error>> {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        Ok(Self { stream, received: Vec::with_capacity(4096), due: Duration::ZERO })
    }

    /// Whether the answer is there, as far as one look says.
    fn is_answered(&mut self) -> Result<bool, Box<dyn Error>> {
        let mut buffer = [0; 4096];
        match self.stream.read(&mut buffer) {
            Ok(0) => return Err("the server closed a connection that it was to keep alive".into()),
            Ok(read) => self.received.extend_from_slice(&buffer[..read]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
            Err(error) => return Err(error.into()),
        }
        let Some(end) = self.received.windows(4).position(|four| four == b"\r\n\r\n") else {
            return Ok(false);
        };
        let (head, body) = self.received.split_at(end + 4);
        if !head.starts_with(b"HTTP/1.1 302") {
            return Err(format!("not a redirect: {}", String::from_utf8_lossy(head)).into());
        }
        if body.len() < content_length(head) {
            return Ok(false);
        }
        self.received.clear();
        Ok(true)
    }
}

/// What the head of an answer says of its body; none where it says nothing.
fn content_length(head: &[u8]) -> usize {
    let mut lines = head.split(|byte| *byte == b'\n').filter_map(|line| std::str::from_utf8(line).ok());
    let length = lines.find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then_some(value.trim())
    });
    length.and_then(|length| length.parse().ok()).unwrap_or(0)
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse();
    let requests = read_requests(&arguments)?;
    let due = moments(&arguments);
    let mut took = send(&arguments, &requests, &due)?;
    took.sort_unstable();
    let at = |share: f64| {
        let index = (took.len() as f64 * share) as usize;
        took.get(index.min(took.len().saturating_sub(1))).map_or(0.0, |time| time.as_secs_f64() * 1e6)
    };
    println!(
        r#"{{"count": {}, "p50": {:.1}, "p90": {:.1}, "p99": {:.1}, "p99.9": {:.1}}}"#,
        took.len(),
        at(0.5),
        at(0.9),
        at(0.99),
        at(0.999)
    );
    Ok(())
}

/// The requests as they go over the wire.
fn read_requests(arguments: &Arguments) -> Result<Vec<Vec<u8>>, Box<dyn Error>> {
    let text = std::fs::read_to_string(&arguments.requests)?;
    let requests = text.lines().map(|line| {
        let (path, address) = line.split_once(' ').ok_or_else(|| format!("no \"PATH ADDRESS\": {line}"))?;
        Ok(format!(
            "GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nUser-Agent: curl/7.88.1\r\nAccept: */*\r\n\
             X-Forwarded-For: {address}\r\n\r\n",
            arguments.port
        )
        .into_bytes())
    });
    let requests = requests.collect::<Result<Vec<_>, Box<dyn Error>>>()?;
    if requests.is_empty() { Err("there are no requests".into()) } else { Ok(requests) }
}

/// When each request is due: intervals of an exponential distribution.
fn moments(arguments: &Arguments) -> Vec<Duration> {
    let mut state = arguments.seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let (mut moments, mut at) = (Vec::new(), 0.0);
    loop {
        // xorshift64
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let uniform = ((state >> 11) as f64 + 1.0) / (1_u64 << 53) as f64;
        at -= uniform.ln() / arguments.rate;
        if at >= arguments.seconds {
            return moments;
        }
        moments.push(Duration::from_secs_f64(at));
    }
}

/// Sends every request when it is due; how long each took that was due after the first tenth.
fn send(
    arguments: &Arguments,
    requests: &[Vec<u8>],
    due: &[Duration],
) -> Result<Vec<Duration>, Box<dyn Error>> {
    let mut connections = (0..arguments.connections)
        .map(|_| Connection::open(arguments.port))
        .collect::<Result<Vec<_>, _>>()?;
    let mut idle: VecDeque<usize> = (0..connections.len()).collect();
    let mut busy: Vec<usize> = Vec::new();
    let mut took = Vec::with_capacity(due.len());
    let counted_from = Duration::from_secs_f64(arguments.seconds / 10.0);
    let (mut sent, start) = (0, Instant::now());
    while sent < due.len() || !busy.is_empty() {
        while sent < due.len() && due[sent] <= start.elapsed() {
            let Some(index) = idle.pop_front() else { break };
            // A request is far smaller than a socket's buffer.
            connections[index].stream.write_all(&requests[sent % requests.len()])?;
            connections[index].due = due[sent];
            busy.push(index);
            sent += 1;
        }
        let mut still = Vec::with_capacity(busy.len());
        for index in busy {
            let connection = &mut connections[index];
            let answered = connection.is_answered()?;
            let waited = start.elapsed().saturating_sub(connection.due);
            if answered {
                if connection.due >= counted_from {
                    took.push(waited);
                }
                idle.push_back(index);
            } else if waited > PATIENCE {
                return Err(format!("no answer within {PATIENCE:?}").into());
            } else {
                still.push(index);
            }
        }
        busy = still;
    }
    Ok(took)
}
