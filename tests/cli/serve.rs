//! `waypost serve`: it says where it listens, obeys signals, and refuses to start with a remedy.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::process::Process;
use super::{config, site, waypost_in};

/// A running service's public and admin addresses.
fn addresses(process: &mut Process) -> (SocketAddr, SocketAddr) {
    let mut address = |listener: &str| -> SocketAddr {
        let line = process.line(&["\"listening\"", listener]);
        let line: Value = serde_json::from_str(&line).unwrap();
        line["address"].as_str().unwrap().parse().unwrap()
    };
    let found = (address("\"public\""), address("\"admin\""));
    process.line(&["\"listening\"", "admin.sock"]);
    found
}

/// An answer, head and body.
fn get(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// Waits until it is so; each look is a request.
fn until(is_so: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < Duration::from_secs(60), "it did not come to be so");
    }
}

#[test]
fn it_logs_where_it_listens_and_ends_with_0_on_sigterm_and_sigint() {
    let site = site("");
    for signal in ["TERM", "INT"] {
        let mut service = Process::start(site.path(), &["serve", "--config", "waypost.toml"]);
        let (public, admin) = addresses(&mut service);
        assert!(get(public, "/-/healthz").starts_with("HTTP/1.1 200"));
        assert!(get(admin, "/healthz").starts_with("HTTP/1.1 200"));
        service.signal(signal);
        assert_eq!(service.exit_code(), 0);
        assert!(TcpStream::connect(public).is_err());
        assert!(!site.path().join("state/admin.sock").exists());
    }
}

#[test]
fn a_reload_with_a_broken_file_is_refused_and_the_service_goes_on() {
    let site = site("");
    let mut service = Process::start(site.path(), &["serve"]);
    let (public, admin) = addresses(&mut service);
    fs::write(site.path().join("waypost.toml"), "[server]\nlisen = 3\n").unwrap();
    service.signal("HUP");
    let line = service.line(&["reload is refused"]);
    assert!(line.contains("lisen"), "{line}");
    assert!(get(public, "/-/healthz").starts_with("HTTP/1.1 200"));
    assert!(get(admin, "/v1/mirrors").contains("\"iad\""));
    // The line comes just before what it tells of.
    until(|| get(admin, "/readyz").contains("the last reload was refused"));

    let without_iad = config("").replace("iad", "sin");
    fs::write(site.path().join("waypost.toml"), without_iad).unwrap();
    service.signal("HUP");
    service.line(&["\"reloaded\""]);
    until(|| get(admin, "/v1/mirrors").contains("\"sin\"") && !get(admin, "/readyz").contains("refused"));
    service.signal("TERM");
    assert_eq!(service.exit_code(), 0);
}

#[test]
fn orders_go_through_the_socket_and_the_admin_listener_takes_none() {
    let site = site("");
    let mut service = Process::start(site.path(), &["serve"]);
    let (_, admin) = addresses(&mut service);
    let admin = format!("http://{admin}");
    let run = |args: &[&str]| waypost_in(site.path(), args);

    assert_eq!(run(&["mirror", "drain", "fra", "--reason", "disk swap"]).code, 0);
    for elsewhere in [&["--admin", &admin][..], &[]] {
        let listed = run(&[&["mirror", "list"], elsewhere].concat());
        assert_eq!(listed.code, 0, "{listed:?}");
        assert!(
            listed.out.lines().any(|line| line.starts_with("fra") && line.contains("drained")),
            "{listed:?}"
        );
        let json = run(&[&["mirror", "show", "fra", "--json"], elsewhere].concat());
        let mirror: Value = serde_json::from_str(&json.out).unwrap();
        assert_eq!(mirror["drained"], true);
    }
    let order = run(&["mirror", "undrain", "fra", "--reason", "swapped", "--json"]);
    let order: Value = serde_json::from_str(&order.out).unwrap();
    assert_eq!(order["order"]["reason"], "swapped");
    assert_eq!(run(&["mirror", "drain", "fra", "--admin", &admin]).code, 2);
    for unknown in
        [&["mirror", "verify", "nobody"][..], &["mirror", "show", "nobody"], &["release", "show", "other"]]
    {
        let ran = run(unknown);
        assert_eq!((ran.code, ran.out.as_str()), (1, ""), "{ran:?}");
    }
    let journal = fs::read_to_string(site.path().join("state/orders.jsonl")).unwrap();
    assert!(journal.contains("disk swap") && journal.contains("swapped"), "{journal}");
}

#[test]
fn what_keeps_it_from_starting_is_2_with_a_remedy() {
    let site = site("");
    let mut service = Process::start(site.path(), &["serve"]);
    let (public, _) = addresses(&mut service);
    let second = waypost_in(site.path(), &["serve"]);
    assert_eq!(second.code, 2, "{second:?}");
    assert!(second.err.contains("the state folder is in use"), "{second:?}");

    let taken =
        config("").replace("127.0.0.1:0\"]", &format!("{public}\"]")).replace("\"state\"", "\"other\"");
    fs::write(site.path().join("taken.toml"), taken).unwrap();
    let second = waypost_in(site.path(), &["serve", "--config", "taken.toml"]);
    assert_eq!(second.code, 2, "{second:?}");
    assert!(second.err.contains(&format!("cannot listen on {public}")), "{second:?}");
}

#[test]
fn a_mirror_that_goes_down_is_logged_by_the_names_that_metrics_use() {
    let site = site("[probe]\nfail_after = 1");
    let mut service = Process::start(site.path(), &["serve"]);
    let line = service.line(&["standing changed", "\"fra\""]);
    let line: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(
        (&line["before"], &line["after"], &line["reason"]),
        (&"new".into(), &"down".into(), &"connect".into())
    );
}

#[test]
fn a_second_sigint_does_not_wait_for_connections() {
    let site = site("drain = \"1h\"");
    let mut service = Process::start(site.path(), &["serve"]);
    let (public, _) = addresses(&mut service);
    let mut held = TcpStream::connect(public).unwrap();
    held.write_all(b"GET /-/healthz HTT").unwrap();
    assert!(get(public, "/-/healthz").starts_with("HTTP/1.1 200"));
    service.signal("INT");
    service.line(&["stopping"]);
    service.signal("INT");
    assert_eq!(service.exit_code(), 130);
}
