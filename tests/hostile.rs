//! What clients and mirrors may do to the running service without anybody else noticing.

#![allow(clippy::unwrap_used, missing_docs)]

#[path = "support/site.rs"]
mod site;

use std::time::Duration;

use site::{AP, Behaviour, Builder, EU, PATIENCE, Site, US};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

const TOOL: &[u8] = b"the tool, byte for byte";
const LINK: &str = "/tool/stable/tool.tar.gz";

fn one_mirror() -> Builder {
    Site::builder().mirror("fra", |m| m.region("eu")).release(
        "tool",
        "1.8.2",
        &[("tool.tar.gz", TOOL)],
        &["stable"],
    )
}

async fn started(builder: Builder) -> Site {
    let site = builder.start().await;
    site.until_redirected(LINK, EU, "fra").await;
    site
}

/// Sends bytes as they are, on a connection of their own, and reads what comes until the service closes. With
/// `Connection: close` in a request that is after its answer.
async fn say(site: &Site, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(site.address()).await.unwrap();
    let (mut reading, mut writing) = stream.split();
    let mut answer = Vec::new();
    let conversation = async {
        // The service may answer and close before all was sent; a reset after the answer is as good as an end.
        let (_, _) = tokio::join!(writing.write_all(bytes), reading.read_to_end(&mut answer));
    };
    timeout(PATIENCE, conversation).await.expect("the connection is closed");
    String::from_utf8_lossy(&answer).into_owned()
}

async fn get(site: &Site, path: &[u8], headers: &[u8]) -> String {
    let request =
        [b"GET ", path, b" HTTP/1.1\r\nhost: x\r\nconnection: close\r\n", headers, b"\r\n"].concat();
    say(site, &request).await
}

fn status(answer: &str) -> u16 {
    answer.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok()).unwrap_or(0)
}

async fn is_well(site: &Site) {
    assert_eq!(site.get(LINK, EU).await.mirror(), Some("fra"), "others are served as ever");
    assert_eq!(site.metric("waypost_connections_total{event=\"panic\",listener=\"public\"}").await, 0.0);
}

#[tokio::test]
async fn who_ends_the_stream_with_the_request_is_answered() {
    let site = started(one_mirror()).await;
    let mut stream = TcpStream::connect(site.address()).await.unwrap();
    let request = format!("GET {LINK} HTTP/1.1\r\nhost: x\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut answer = String::new();
    timeout(PATIENCE, stream.read_to_string(&mut answer)).await.expect("the connection is closed").unwrap();
    assert_eq!(status(&answer), 302, "{answer}");
}

#[tokio::test]
async fn odd_paths_get_a_clear_answer() {
    let site = started(one_mirror()).await;
    let long = [b"/".as_slice(), &vec![b'a'; 64 << 10]].concat();
    let deep = b"/a".repeat(4000);
    let table: [(&[u8], &[u16]); 24] = [
        (b"/tool/1.8.2/%2e%2e/%2e%2e/etc/passwd", &[404]),
        (b"/tool/1.8.2/../../etc/passwd", &[404]),
        (b"/tool/1.8.2/..%2f..%2fetc%2fpasswd", &[404]),
        (b"/%2e%2e/%2e%2e/etc/passwd", &[404]),
        (b"//tool/stable/tool.tar.gz", &[404]),
        (b"/tool//stable/tool.tar.gz", &[404]),
        (b"/tool/stable//tool.tar.gz", &[404]),
        (b"//evil.example/%2f..", &[404]),
        (b"/tool/stable/tool.tar.gz/", &[404]),
        (b"/tool/stable/tool.tar.gz%00", &[400]),
        (b"/tool/stable/tool.tar.gz\0", &[400]),
        (b"/tool/stable/%0d%0aSet-Cookie:%20x", &[400]),
        (b"/tool/stable/%ff%fe", &[400]),
        (b"/tool/stable/%", &[404]),
        (b"/tool/stable/%zz", &[404]),
        (b"/tool\\stable\\tool.tar.gz", &[400]),
        (b"/tool/1.8.2/\xc3\xa4", &[400, 404]),
        (b"/", &[404]),
        (b"*", &[400, 404]),
        (b"tool/stable/tool.tar.gz", &[400]),
        (b"http://x/tool/stable/tool.tar.gz", &[302]),
        (b"/tool/stable/tool.tar.gz?a=b&&&=&%zz&mirrors%00", &[302]),
        (&deep, &[404]),
        (&long, &[400, 414, 431]),
    ];
    for (path, allowed) in table {
        let answer = get(&site, path, b"").await;
        let path = String::from_utf8_lossy(&path[..path.len().min(60)]);
        assert!(allowed.contains(&status(&answer)), "{path:?}: {answer:.300}");
        assert!(!answer.to_ascii_lowercase().contains("\r\nset-cookie"), "{path:?}: {answer:.300}");
    }
    is_well(&site).await;
}

#[tokio::test]
async fn odd_headers_get_a_clear_answer() {
    let site = started(one_mirror().mirror("sin", |m| m.region("ap"))).await;
    site.until_redirected(LINK, AP, "sin").await;
    let many = b"x-more: and more\r\n".repeat(1000);
    let wide = [b"x-wide: ".as_slice(), &vec![b'w'; 256 << 10], b"\r\n"].concat();
    let chain = [b"x-forwarded-for: ".as_slice(), &b"127.0.0.1, ".repeat(500), b"10.3.0.7\r\n"].concat();
    let table: [(&[u8], &[u16]); 16] = [
        (b"x-forwarded-for: \xff\xfe\x80, \xe2\x98\x83\r\n", &[302]),
        (b"x-forwarded-for: 10.1.0.7\r\nx-forwarded-for: \xff\r\n", &[302]),
        (b"x-forwarded-for:\r\n", &[302]),
        (b"x-forwarded-for: ,,,,,\r\n", &[302]),
        (b"x-forwarded-for: 999.999.999.999, [::1, ::::, 10.1.0.7:99999999\r\n", &[302]),
        (&chain, &[302]),
        (b"x-forwarded-proto: gopher\r\n", &[302]),
        (b"accept: ;;;q=q=q,,*/*;q=99999999999999999999\r\n", &[302]),
        (b"range: bytes=9999999999999999999999-\r\nif-range: \"x\"\r\n", &[302]),
        (b"waypost-avoid: ,,,\xff,http://[::1,fra fra\r\n", &[302]),
        (b"host: y\r\n", &[302, 400]),
        (b"content-length: 0\r\ncontent-length: 0\r\n", &[302, 400]),
        (b"content-length: -1\r\n", &[400]),
        (b"transfer-encoding: chunked\r\ncontent-length: 4\r\n", &[302, 400]),
        (&many, &[431]),
        (&wide, &[431]),
    ];
    for (headers, allowed) in table {
        let answer = get(&site, LINK.as_bytes(), headers).await;
        let headers = String::from_utf8_lossy(&headers[..headers.len().min(60)]);
        assert!(allowed.contains(&status(&answer)), "{headers:?}: {answer:.300}");
    }
    // What a client wrote to the left of what the proxy saw is not believed.
    let answer = get(&site, LINK.as_bytes(), b"x-forwarded-for: 10.1.0.7, 10.3.0.7\r\n").await;
    assert!(answer.contains("waypost-mirror: sin"), "{answer}");
    let answer =
        get(&site, LINK.as_bytes(), b"x-forwarded-for: 10.1.0.7\r\nx-forwarded-for: 10.3.0.7\r\n").await;
    assert!(answer.contains("waypost-mirror: sin"), "{answer}");
    is_well(&site).await;
}

#[tokio::test]
async fn unknown_methods_and_bodies_get_a_clear_answer() {
    let site = started(one_mirror()).await;
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "BREW"] {
        let request = format!("{method} {LINK} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        let answer = say(&site, request.as_bytes()).await;
        assert_eq!(status(&answer), 405, "{method}: {answer}");
        assert!(answer.contains("allow: GET, HEAD"), "{method}: {answer}");
        let request = format!("{method} /-/readyz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        assert_eq!(status(&say(&site, request.as_bytes()).await), 405, "{method} to a look");
    }
    let with_body = |body: &[u8], header: &str| {
        let head = format!("GET {LINK} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{header}\r\n\r\n");
        [head.as_bytes(), body].concat()
    };
    assert_eq!(status(&say(&site, &with_body(b"hello", "content-length: 5")).await), 302);
    let endless = vec![b'x'; 8 << 20];
    assert_eq!(status(&say(&site, &with_body(&endless, "content-length: 999999999999")).await), 302);
    assert_eq!(status(&say(&site, &with_body(b"zz\r\n", "transfer-encoding: chunked")).await), 302);
    let head = say(&site, format!("HEAD {LINK} HTTP/1.0\r\n\r\n").as_bytes()).await;
    assert!(head.contains(" 302 ") && head.ends_with("\r\n\r\n"), "{head}");
    for garbage in [
        &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..],
        b"\0\0\0\0\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
    ] {
        assert!([0, 400].contains(&status(&say(&site, garbage).await)), "{garbage:?}");
    }
    is_well(&site).await;
}

#[tokio::test]
async fn slow_silent_and_half_open_clients_are_closed_and_keep_nobody_waiting() {
    let limits = "[limits]\nfirst_byte = \"300ms\"\nheader = \"300ms\"\nidle = \"300ms\"\nconnections = 64\n";
    let site = started(one_mirror().config(limits)).await;
    let mut crowd = Vec::new();
    for n in 0..30 {
        let mut stream = TcpStream::connect(site.address()).await.unwrap();
        match n % 3 {
            0 => {}
            1 => stream.write_all(b"GET /tool/sta").await.unwrap(),
            // Half open: nothing more will come, and the answer is never read.
            _ => {
                stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
                stream.shutdown().await.unwrap();
            }
        }
        crowd.push(stream);
    }
    is_well(&site).await;
    for mut stream in crowd {
        let mut rest = Vec::new();
        let closed = timeout(Duration::from_secs(10), stream.read_to_end(&mut rest)).await;
        closed.expect("the service closes it").unwrap();
    }
    let total = "waypost_connections_total{event=\"timeout_first_byte\",listener=\"public\"}";
    assert!(site.metric(total).await >= 10.0);
    is_well(&site).await;
}

#[tokio::test]
async fn a_client_that_asks_and_never_reads_holds_nobody_up() {
    let site = started(one_mirror().config("[limits]\nwrite = \"300ms\"\n")).await;
    let mut stream = TcpStream::connect(site.address()).await.unwrap();
    let request = format!("GET {LINK} HTTP/1.1\r\nhost: x\r\n\r\n").repeat(64);
    // Until the service gives up on it; each answer is many times what fits into a window that is never opened.
    let flooding = async { while stream.write_all(request.as_bytes()).await.is_ok() {} };
    timeout(PATIENCE, flooding).await.expect("the service gives up");
    is_well(&site).await;
}

#[tokio::test]
async fn mirrors_that_never_end_or_lead_in_circles_keep_no_other_from_being_verified() {
    use Behaviour::*;
    let mut site = Site::builder()
        .probe("timeout = \"300ms\"")
        .mirror("fra", |m| m.region("eu"))
        .mirror("endless-body", |m| m.region("us"))
        .mirror("endless-head", |m| m.region("us"))
        .mirror("circle", |m| m.region("us"))
        .mirror("silent", |m| m.region("us"))
        .mirror("drip", |m| m.region("us"))
        .release("tool", "1.8.2", &[("tool.tar.gz", TOOL)], &[])
        .lay_out()
        .await;
    site.mirror("endless-body").behave_everywhere(EndlessBody);
    site.mirror("endless-head").behave_everywhere(EndlessHead);
    site.mirror("silent").behave_everywhere(Silent);
    site.mirror("drip").behave_everywhere(Drip);
    let circle = site.mirror("circle");
    circle.behave_everywhere(Redirect(format!("{}tool/1.8.2/tool.tar.gz", circle.url())));
    site.run().await.unwrap();
    for version in ["1.8.2", "1.9", "2.0", "2.1"] {
        if version != "1.8.2" {
            site.publish("tool", version, &[("tool.tar.gz", TOOL)], &[]);
        }
        site.until_redirected(&format!("/tool/{version}/tool.tar.gz"), US, "fra").await;
    }
    site.until_mirror("silent", "is down", |m| m["state"] == "down" && m["last_fault"] == "timeout").await;
    site.until_mirror("circle", "is down", |m| m["state"] == "down" && m["last_fault"] == "redirect_loop")
        .await;
    site.until_mirror("endless-body", "is corrupt", |m| m["copies"]["corrupt"].as_u64() > Some(0)).await;
    assert_eq!(site.get("/tool/2.1/tool.tar.gz", US).await.mirror(), Some("fra"));
}

#[tokio::test]
async fn when_all_weights_are_zero_each_is_a_last_resort_and_somebody_serves() {
    let site = Site::builder()
        .mirror("fra", |m| m.region("eu").weight(0))
        .mirror("sin", |m| m.region("ap").weight(0))
        .release("tool", "1.8.2", &[("tool.tar.gz", TOOL)], &["stable"])
        .start()
        .await;
    site.until_everywhere("tool", "1.8.2").await;
    site.until_channel("tool", "stable", "1.8.2").await;
    for client in [EU, US, AP] {
        assert_eq!(site.get(LINK, client).await.status, 302);
    }
    site.mirror("fra").stop().await;
    site.until_redirected(LINK, EU, "sin").await;
}

#[tokio::test]
async fn hundreds_of_connections_beyond_the_limit_are_refused_and_served_again_later() {
    let site = started(one_mirror().config("[limits]\nconnections = 16\nfirst_byte = \"500ms\"\n")).await;
    let mut crowd = Vec::new();
    for _ in 0..200 {
        crowd.push(TcpStream::connect(site.address()).await.unwrap());
    }
    let over = "waypost_connections_total{event=\"refused_over_limit\",listener=\"public\"}";
    site.until("some are refused", async || (site.metric(over).await > 100.0).then_some(())).await;
    assert_eq!(site.admin("/healthz").await.status, 200, "the admin interface has its own limit");
    drop(crowd);
    site.until("others are served again", async || {
        let answer = get(&site, LINK.as_bytes(), b"x-forwarded-for: 10.1.0.7\r\n").await;
        (status(&answer) == 302).then_some(())
    })
    .await;
    is_well(&site).await;
}

/// What a connection of an attacker does; it stays open as long as it may.
async fn attack(site: &Site, n: usize) -> TcpStream {
    let mut stream = TcpStream::connect(site.address()).await.unwrap();
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    // A header block that does not end (RFC 9113 section 6.2).
    let block = b"\0\0\x03\x01\0\0\0\0\x01\x82\x86\x84";
    let said = match n % 6 {
        0 => Vec::new(),
        1 => b"GET /tool/sta".to_vec(),
        2 => format!("GET {LINK} HTTP/1.1\r\nhost: x\r\n\r\n").repeat(100).into_bytes(),
        3 => preface.to_vec(),
        4 => [&preface[..], block].concat(),
        // A body that is announced and never comes.
        _ => format!("POST {LINK} HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000\r\n\r\n").into_bytes(),
    };
    stream.write_all(&said).await.unwrap();
    stream
}

#[tokio::test]
async fn good_requests_are_answered_while_hundreds_of_connections_misbehave() {
    let site = started(one_mirror()).await;
    let mut kept = TcpStream::connect(site.address()).await.unwrap();
    let mut crowd = Vec::new();
    for n in 0..600 {
        crowd.push(attack(&site, n).await);
    }
    for n in 0..50 {
        let path = format!("{LINK}?{n}");
        assert_eq!(site.get(&path, EU).await.mirror(), Some("fra"), "on a connection of its own");
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n");
        kept.write_all(request.as_bytes()).await.unwrap();
        let mut answer = [0; 13];
        kept.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"HTTP/1.1 302 ", "on one that was there before");
        while !answer.ends_with(b"\r\n\r\n") {
            answer.rotate_left(1);
            answer[12] = kept.read_u8().await.unwrap();
        }
    }
    assert!(site.metric("waypost_connections_open{listener=\"public\"}").await >= 400.0);
    drop(crowd);
    is_well(&site).await;
}

#[tokio::test]
async fn one_client_has_its_share_of_the_connections_and_a_trusted_proxy_any_number() {
    let limits = "[limits]\nconnections = 100\nconnections_per_client = 5\n";
    let site = started(one_mirror().server("trusted_proxies = \"127.0.0.9\"").config(limits)).await;
    let open = async |from: [u8; 4]| {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind((from, 0).into()).unwrap();
        let mut stream = socket.connect(site.address()).await.unwrap();
        let request = format!("GET {LINK} HTTP/1.1\r\nhost: x\r\n\r\n");
        let _ = stream.write_all(request.as_bytes()).await;
        let answered = stream.read(&mut [0; 12]).await.is_ok_and(|read| read > 0);
        (stream, answered)
    };
    let (mut crowd, mut answered) = (Vec::new(), 0);
    for _ in 0..8 {
        let (stream, is_answered) = open([127, 0, 0, 8]).await;
        answered += usize::from(is_answered);
        crowd.push(stream);
    }
    assert_eq!(answered, 5);
    let refused = "waypost_connections_total{event=\"refused_over_client_limit\",listener=\"public\"}";
    assert_eq!(site.metric(refused).await, 3.0);
    for _ in 0..8 {
        let (stream, is_answered) = open([127, 0, 0, 9]).await;
        assert!(is_answered, "the proxy speaks for many");
        crowd.push(stream);
    }
    assert_eq!(site.metric(refused).await, 3.0);
}
