//! TLS: what is agreed on, and the exchange of certificates while the server runs.

use std::sync::Arc;

use rustls::HandshakeKind;
use tokio::io::AsyncWriteExt;
use waypost::config::Limits;
use waypost::model::Timestamp;
use waypost::server::{Timeout, TlsError, TlsStore, TlsWarning};

use crate::certificate::{Pair, client, connect, folder_with};
use crate::http_versions::{get, http2_on};
use crate::{Raw, SHORT, Site};

fn site(store: &Arc<TlsStore>) -> Site {
    Site::on("127.0.0.1:0", Limits::default(), Some(Arc::clone(store)))
}

#[tokio::test]
async fn http2_and_http1_are_agreed_on_over_tls() {
    let pair = Pair::new();
    let (_folder, files) = folder_with(&pair);
    let site = site(&Arc::new(TlsStore::load(&files).unwrap()));

    let stream = connect(&site, &client(&pair.der, &["h2", "http/1.1"])).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let (mut send, _connection) = http2_on(stream).await;
    assert!(get(&mut send, "/peer").await.unwrap().contains("scheme: Https"));

    for offered in [&["http/1.1"][..], &[]] {
        let mut raw = Raw::new(connect(&site, &client(&pair.der, offered)).await.unwrap());
        assert!(raw.get("/peer").await.body.contains("scheme: Https"));
        assert_eq!(raw.get("/").await.body, "hello");
    }
    drop(send);
    site.stop().await;
}

#[tokio::test]
async fn a_reload_changes_what_new_connections_see_and_keeps_the_old_ones() {
    let (old, new) = (Pair::new(), Pair::new());
    let (folder, files) = folder_with(&old);
    let store = Arc::new(TlsStore::load(&files).unwrap());
    let site = site(&store);
    let mut before = Raw::new(connect(&site, &client(&old.der, &[])).await.unwrap());
    assert!(!store.reload().unwrap(), "nothing has changed");

    new.write(folder.path());
    assert!(store.reload().unwrap());
    assert!(!store.reload().unwrap());
    let mut after = Raw::new(connect(&site, &client(&new.der, &[])).await.unwrap());
    assert_eq!(after.get("/").await.body, "hello");
    assert_eq!(before.get("/").await.body, "hello");
    assert!(connect(&site, &client(&old.der, &[])).await.is_err());
    drop((before, after));
    site.stop().await;
}

#[tokio::test]
async fn broken_files_are_errors_and_the_last_good_pair_stays() {
    let (good, other) = (Pair::new(), Pair::new());
    let (folder, files) = folder_with(&good);
    let store = Arc::new(TlsStore::load(&files).unwrap());
    let site = site(&store);
    let (chain, key) = (folder.path().join("chain.pem"), folder.path().join("key.pem"));

    std::fs::write(&key, &other.key).unwrap();
    let error = store.reload().unwrap_err();
    assert!(matches!(error, TlsError::Mismatch { .. }), "{error}");
    assert!(error.to_string().contains("does not belong to"), "{error}");
    std::fs::write(&key, "nothing").unwrap();
    assert!(matches!(store.reload(), Err(TlsError::Key { .. })));
    good.write(folder.path());
    std::fs::write(&chain, &good.certificate[..good.certificate.len() / 2]).unwrap();
    assert!(matches!(store.reload(), Err(TlsError::Certificate { .. })));
    std::fs::write(&chain, "").unwrap();
    assert!(matches!(store.reload(), Err(TlsError::Certificate { .. })));
    std::fs::write(&chain, vec![b'x'; (1 << 20) + 1]).unwrap();
    assert!(matches!(store.reload(), Err(TlsError::TooLarge { .. })));
    std::fs::remove_file(&chain).unwrap();
    assert!(matches!(store.reload(), Err(TlsError::Read { .. })));

    let mut raw = Raw::new(connect(&site, &client(&good.der, &[])).await.unwrap());
    assert_eq!(raw.get("/").await.body, "hello");
    drop(raw);
    site.stop().await;
}

#[test]
fn a_certificate_outside_its_time_is_served_with_a_warning() {
    let at = |text| Timestamp::parse_rfc3339(text).unwrap();
    let (_folder, files) = folder_with(&Pair::until(2030));
    let store = TlsStore::load(&files).unwrap();
    let end = at("2030-12-31T00:00:00Z");
    assert_eq!(store.not_after(), Some(end));
    assert_eq!(store.warning(at("2025-01-01T00:00:00Z")), None);
    assert_eq!(store.warning(at("2031-01-01T00:00:00Z")), Some(TlsWarning::Expired(end)));
    let begin = at("2020-01-01T00:00:00Z");
    assert_eq!(store.warning(at("2019-01-01T00:00:00Z")), Some(TlsWarning::NotYetValid(begin)));
}

#[tokio::test]
async fn a_session_is_resumed() {
    let pair = Pair::new();
    let (_folder, files) = folder_with(&pair);
    let site = site(&Arc::new(TlsStore::load(&files).unwrap()));
    let client = client(&pair.der, &[]);
    for kind in [HandshakeKind::Full, HandshakeKind::Resumed] {
        let mut raw = Raw::new(connect(&site, &client).await.unwrap());
        // The ticket comes with the first answer.
        assert_eq!(raw.get("/").await.body, "hello");
        assert_eq!(raw.stream.get_ref().1.handshake_kind(), Some(kind));
    }
    site.stop().await;
}

#[tokio::test]
async fn a_handshake_that_fails_or_never_ends_is_counted_and_closed() {
    let pair = Pair::new();
    let (_folder, files) = folder_with(&pair);
    let store = Arc::new(TlsStore::load(&files).unwrap());
    let site = Site::on("127.0.0.1:0", Limits { first_byte: SHORT, ..Limits::default() }, Some(store));
    site.exchange("GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert_eq!(site.counters.tls_failures(), 1);
    site.exchange("\x16\x03\x01\x02\0\x01").await;
    assert_eq!((site.counters.tls_failures(), site.counters.timeouts(Timeout::FirstByte)), (1, 1));

    let mut silent = connect(&site, &client(&pair.der, &["h2"])).await.unwrap();
    silent.flush().await.unwrap();
    Raw::new(silent).until_closed().await;
    assert_eq!(site.counters.timeouts(Timeout::FirstByte), 2);
    site.stop().await;
}
