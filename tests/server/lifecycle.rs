//! Beginning and end: listeners, drain, the local socket.

use std::os::unix::fs::PermissionsExt;

use tokio::net::{TcpStream, UnixListener, UnixStream};
use waypost::config::Limits;
use waypost::server::{BindError, Server};

use crate::http_versions::{get, http2_on};
use crate::{PATIENCE, Raw, SHORT, Site, soon};

#[tokio::test]
async fn a_stop_finishes_what_is_in_flight_and_closes_what_is_idle() {
    let site = Site::start(Limits::default());
    let mut idle = site.connect().await;
    assert_eq!(idle.get("/").await.body, "hello");
    let silent = site.connect().await;
    let mut busy = site.connect().await;
    busy.send("GET /wait HTTP/1.1\r\nHost: x\r\n\r\n").await;
    site.entered().await;
    let (mut send, connection) = http2_on(TcpStream::connect(site.address).await.unwrap()).await;
    let busy_http2 = tokio::spawn(async move { get(&mut send, "/wait").await });
    site.entered().await;

    site.trigger.pull();
    assert_eq!(idle.until_closed().await, "");
    assert_eq!(silent.until_closed().await, "");
    assert!(TcpStream::connect(site.address).await.is_err(), "the listener is closed while others finish");
    assert!(!site.running.is_finished());
    site.answers.gate.add_permits(2);
    let answer = busy.answer().await;
    assert_eq!((answer.body.as_str(), answer.header("connection")), ("waited", Some("close")));
    assert_eq!(soon(busy_http2).await.unwrap().unwrap(), "waited");
    soon(connection).await.unwrap().unwrap();
    soon(site.running).await.unwrap();
    assert_eq!(site.counters.open(), 0);
}

#[tokio::test]
async fn a_stop_ends_within_its_bound_though_a_handler_does_not() {
    let server = Server::bind("test", &["127.0.0.1:0".parse().unwrap()], Limits::default(), None).unwrap();
    let site = Site::run(server, SHORT);
    let mut raw = site.connect().await;
    raw.send("GET /wait HTTP/1.1\r\nHost: x\r\n\r\n").await;
    site.entered().await;
    let counters = site.counters.clone();
    site.stop().await;
    assert_eq!(raw.until_closed().await, "");
    assert_eq!(counters.open(), 0);
}

#[tokio::test]
async fn several_addresses_share_one_limit_and_one_stop() {
    let any = "127.0.0.1:0".parse().unwrap();
    let limits = Limits { connections: 1, ..Limits::default() };
    let server = Server::bind("test", &[any, any], limits, None).unwrap();
    let addresses = server.addresses();
    assert_eq!(addresses.len(), 2);
    let site = Site::run(server, PATIENCE);
    let mut first = Raw::new(TcpStream::connect(addresses[0]).await.unwrap());
    assert_eq!(first.get("/").await.body, "hello");
    assert_eq!(Raw::new(TcpStream::connect(addresses[1]).await.unwrap()).until_closed().await, "");
    site.stop().await;
    for address in addresses {
        assert!(TcpStream::connect(address).await.is_err());
    }
}

#[tokio::test]
async fn an_address_in_use_is_an_error_that_names_it() {
    let site = Site::start(Limits::default());
    let error = Server::bind("test", &[site.address], Limits::default(), None).unwrap_err();
    assert!(error.to_string().contains(&site.address.to_string()), "{error}");
    site.stop().await;
}

#[tokio::test]
async fn the_local_socket_is_this_users_only_and_goes_with_the_server() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("admin.sock");
    let site = Site::local(&path);
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let mut raw = Raw::new(UnixStream::connect(&path).await.unwrap());
    assert_eq!(raw.get("/peer").await.body, "Connection { peer: Local, scheme: Http }");
    drop(raw);
    site.stop().await;
    assert!(!path.exists());
}

#[tokio::test]
async fn a_stale_local_socket_is_replaced_and_a_live_one_or_a_file_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("admin.sock");
    drop(UnixListener::bind(&path).unwrap());
    assert!(path.exists(), "what a killed process leaves behind");
    let site = Site::local(&path);
    let second = Server::bind_local("test", &path, Limits::default());
    assert!(matches!(second, Err(BindError::Answered { .. })), "{second:?}");
    let mut raw = Raw::new(UnixStream::connect(&path).await.unwrap());
    assert_eq!(raw.get("/").await.body, "hello");
    drop(raw);
    site.stop().await;

    std::fs::write(&path, "precious").unwrap();
    let third = Server::bind_local("test", &path, Limits::default());
    assert!(matches!(third, Err(BindError::InTheWay { .. })), "{third:?}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
}

#[tokio::test]
async fn a_path_too_long_for_a_socket_is_an_error_that_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a".repeat(120));
    let error = Server::bind_local("test", &path, Limits::default()).unwrap_err();
    assert!(error.to_string().contains("at most 107 bytes"), "{error}");
}

#[tokio::test]
async fn a_dropped_server_cuts_everything() {
    let site = Site::start(Limits::default());
    let mut raw = site.connect().await;
    assert_eq!(raw.get("/").await.body, "hello");
    site.running.abort();
    assert_eq!(soon(raw.until_closed()).await, "");
    let closed = async {
        while TcpStream::connect(site.address).await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    soon(closed).await;
}
