//! Floods over HTTP/2, frame by frame as no library would send them: each ends, and others are served meanwhile.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use waypost::config::Limits;
use waypost::server::Timeout;

use crate::{SHORT, Site, soon};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Frame types and flags (RFC 9113, section 6).
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
/// GET / over http, of the host "x", from HPACK's static table (RFC 7541, appendix A).
const GET: &[u8] = &[0x82, 0x86, 0x84, 0x01, 1, b'x'];
/// The same with POST.
const POST: &[u8] = &[0x83, 0x86, 0x84, 0x01, 1, b'x'];

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u32).to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// The number of the nth stream that a client opens.
fn stream(n: usize) -> u32 {
    2 * n as u32 + 1
}

/// Sends `round(0)`, `round(1)` and so on, a thousand at a time, for as long as the server takes it. Reads all that comes
/// if it `reads`, else nothing. Somebody else is served during the flood and after it.
async fn flood(site: &Site, reads: bool, round: impl Fn(usize) -> Vec<u8>) {
    let mut stream = site.connect_narrow().await.stream;
    stream.write_all(&[PREFACE, &frame(SETTINGS, 0, 0, &[])].concat()).await.unwrap();
    let (mut reading, mut writing) = stream.split();
    let write = async {
        for thousand in 0.. {
            let bytes: Vec<u8> = (0..1000).flat_map(|n| round(1000 * thousand + n)).collect();
            if writing.write_all(&bytes).await.is_err() {
                return;
            }
            if thousand == 0 {
                site.is_well().await;
            }
        }
    };
    let read = async {
        let mut bytes = vec![0; 64 << 10];
        while reads && reading.read(&mut bytes).await.is_ok_and(|read| read > 0) {}
    };
    soon(async { tokio::join!(write, read) }).await;
    site.is_well().await;
    site.until(|seen| seen.open() == 0).await;
}

#[tokio::test]
async fn requests_that_are_reset_at_once_end_the_connection() {
    let site = Site::start(Limits::default());
    let reset = |n| {
        let headers = frame(HEADERS, END_STREAM | END_HEADERS, stream(n), GET);
        [headers, frame(RST_STREAM, 0, stream(n), &8u32.to_be_bytes())].concat()
    };
    flood(&site, true, reset).await;
    // CVE-2023-44487: what was reset before it was looked at cost no answer.
    assert!(site.counters.requests() < 1000, "{}", site.counters.requests());
    site.stop().await;
}

#[tokio::test]
async fn requests_that_the_server_has_to_reset_end_the_connection() {
    // An endless body that is sent on after the answer: "MadeYouReset", CVE-2025-8671.
    let site = Site::start(Limits::default());
    let provoked = |n| {
        let headers = frame(HEADERS, END_HEADERS, stream(n), POST);
        [headers, frame(WINDOW_UPDATE, 0, stream(n), &0u32.to_be_bytes())].concat()
    };
    flood(&site, true, provoked).await;
    site.stop().await;
}

#[tokio::test]
async fn a_head_that_goes_on_for_ever_ends_the_connection() {
    let site = Site::start(Limits::default());
    let more = |n| match n {
        0 => frame(HEADERS, 0, 1, GET),
        // A header with a name and a value of one byte each that is not remembered.
        _ => frame(CONTINUATION, 0, 1, &[0, 1, b'a', 1, b'b']),
    };
    flood(&site, true, more).await;
    let empty = |n| if n == 0 { frame(HEADERS, 0, 1, GET) } else { frame(CONTINUATION, 0, 1, &[]) };
    flood(&site, true, empty).await;
    assert_eq!(site.counters.requests(), 4, "those of others");
    site.stop().await;
}

#[tokio::test]
async fn pings_keep_nothing_open() {
    let site = Site::start(Limits { idle: SHORT, write: SHORT, ..Limits::default() });
    flood(&site, true, |_| frame(PING, 0, 0, &[0; 8])).await;
    assert_eq!(site.counters.timeouts(Timeout::Idle), 1);
    site.stop().await;
}

#[tokio::test]
async fn settings_and_windows_keep_nothing_open() {
    let site = Site::start(Limits { idle: SHORT, write: SHORT, ..Limits::default() });
    flood(&site, true, |_| frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 1])).await;
    assert_eq!(site.counters.timeouts(Timeout::Idle), 1);
    flood(&site, true, |_| frame(WINDOW_UPDATE, 0, 0, &1u32.to_be_bytes())).await;
    site.stop().await;
}

#[tokio::test]
async fn who_makes_the_server_write_and_never_reads_is_cut() {
    for (name, kind) in [("pings", PING), ("settings", SETTINGS)] {
        let site = Site::start(Limits { write: Duration::from_millis(300), ..Limits::default() });
        flood(&site, false, |_| frame(kind, 0, 0, if kind == PING { &[0; 8] } else { &[] })).await;
        assert_eq!(site.counters.timeouts(Timeout::Write), 1, "{name}");
        site.stop().await;
    }
}

#[tokio::test]
async fn requests_over_http2_are_not_answered_beyond_what_their_client_reads() {
    let site = Site::start(Limits { write: Duration::from_millis(300), ..Limits::default() });
    flood(&site, false, |n| frame(HEADERS, END_STREAM | END_HEADERS, stream(n), GET)).await;
    // At most those that may be open at once, and two of others.
    assert!(site.counters.requests() <= 102, "{}", site.counters.requests());
    site.stop().await;
}

#[tokio::test]
async fn a_body_that_nobody_asked_for_ends() {
    let site = Site::start(Limits { idle: SHORT, write: SHORT, ..Limits::default() });
    let body = |n| match n {
        0 => frame(HEADERS, END_HEADERS, 1, POST),
        _ => frame(DATA, 0, 1, &[b'x'; 100]),
    };
    flood(&site, true, body).await;
    site.stop().await;
}
