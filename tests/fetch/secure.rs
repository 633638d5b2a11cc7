//! TLS, and the proxy.

use std::net::SocketAddr;
use std::sync::Arc;

use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use waypost::fetch::FetcherError;

use super::server::read_head;
use super::*;

struct Authority {
    pem: tempfile::NamedTempFile,
    acceptor: TlsAcceptor,
}

fn authority() -> Authority {
    let issued =
        rcgen::generate_simple_self_signed(["127.0.0.1".to_owned(), "localhost".to_owned()]).unwrap();
    let pem = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(pem.path(), issued.cert.pem()).unwrap();
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(issued.signing_key.serialize_der()));
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![issued.cert.der().clone()], key)
        .unwrap();
    Authority { pem, acceptor: TlsAcceptor::from(Arc::new(config)) }
}

fn trusting(authority: &Authority, proxy: Option<Url>) -> Fetcher {
    let outgoing = Outgoing { ca_file: Some(authority.pem.path().into()), proxy, ..outgoing() };
    Fetcher::new(&outgoing, NamedHosts::of(&["http://127.0.0.1/".parse().unwrap()])).unwrap()
}

#[tokio::test]
async fn https_is_trusted_by_ca_file_and_refused_without() {
    let authority = authority();
    let server = Server::listen("127.0.0.1", Some(authority.acceptor.clone()), |_| ok(b"abcd")).await;
    let url = server.url("/");
    let trusting = trusting(&authority, None);
    assert!(trusting.roots() > 0);
    let response = trusting.get(&Get::new(&url, LONG)).await.unwrap();
    assert!(response.timings.tls.is_some());
    assert_eq!(response.hash(4, &Pace::unlimited()).await.unwrap().sha256, sha256(b"abcd"));

    let failure = fetcher(&[]).get(&Get::new(&url, LONG)).await.unwrap_err();
    assert_eq!(failure.fault, CopyFault::Tls);
    assert!(failure.detail.contains("certificate"), "{failure}");
}

#[tokio::test]
async fn a_certificate_for_another_name_and_a_server_without_tls_are_refused() {
    let authority = authority();
    let other = Server::listen("127.0.0.2", Some(authority.acceptor.clone()), |_| ok(b"abcd")).await;
    let plain = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let https_to_plain: Url = format!("https://{}/", plain.local_addr().unwrap()).parse().unwrap();
    let _plain = tokio::spawn(async move {
        let (mut stream, _) = plain.accept().await.unwrap();
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
        stream.read_to_end(&mut Vec::new()).await
    });
    for url in [other.url("/"), https_to_plain] {
        let failure = trusting(&authority, None).get(&Get::new(&url, LONG)).await.unwrap_err();
        assert_eq!(failure.fault, CopyFault::Tls, "{failure}");
    }
}

#[tokio::test]
async fn https_never_goes_down_to_http_and_http_may_go_up() {
    let authority = authority();
    let plain = Server::start("127.0.0.1", |_| ok(b"abcd")).await;
    let down = plain.url("/");
    let secure = Server::listen("127.0.0.1", Some(authority.acceptor.clone()), move |path| match path {
        "/down" => found(down.as_str()),
        _ => ok(b"abcd"),
    })
    .await;
    let up_to = secure.url("/file");
    let up = Server::start("127.0.0.1", move |_| found(up_to.as_str())).await;
    let fetcher = trusting(&authority, None);
    let failure = fetcher.get(&Get::new(&secure.url("/down"), LONG)).await.unwrap_err();
    assert_eq!(failure.fault, CopyFault::ForbiddenRedirect);
    assert!(plain.heads().is_empty());
    assert_eq!(fetcher.get(&Get::new(&up.url("/"), LONG)).await.unwrap().final_url, secure.url("/file"));
}

#[test]
fn a_bad_ca_file_or_proxy_is_an_error_with_a_remedy() {
    let empty = tempfile::NamedTempFile::new().unwrap();
    let with = |ca_file: &std::path::Path| {
        let outgoing = Outgoing { ca_file: Some(ca_file.into()), ..outgoing() };
        Fetcher::new(&outgoing, NamedHosts::default()).err().unwrap()
    };
    assert!(matches!(with(empty.path()), FetcherError::NoCertificate { .. }));
    assert!(matches!(with("/does/not/exist".as_ref()), FetcherError::UnreadableCaFile { .. }));
    let junk = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    std::fs::write(empty.path(), junk).unwrap();
    assert!(matches!(with(empty.path()), FetcherError::BadCertificate { .. }));
    let socks = Outgoing { proxy: Some("socks5://127.0.0.1:1/".parse().unwrap()), ..outgoing() };
    assert!(matches!(Fetcher::new(&socks, NamedHosts::default()), Err(FetcherError::Proxy)));
}

fn through(address: SocketAddr) -> Url {
    format!("http://us%20er:pass@{address}").parse().unwrap()
}

#[tokio::test]
async fn http_goes_through_a_proxy_in_absolute_form() {
    let proxy = Server::start("127.0.0.1", |target| match target {
        "http://mirror.invalid:8080/file" => ok(b"abcd"),
        "http://mirror.invalid/private" => found("http://10.1.2.3/"),
        _ => reply("502 Bad Gateway", b""),
    })
    .await;
    let outgoing = Outgoing { proxy: Some(through(proxy.address)), ..outgoing() };
    let fetcher = Fetcher::new(&outgoing, NamedHosts::default()).unwrap();
    let url = "http://mirror.invalid:8080/file".parse().unwrap();
    let response = fetcher.get(&Get::new(&url, LONG)).await.unwrap();
    assert_eq!(response.families, None, "the proxy resolves");
    assert_eq!(response.read(4).await.unwrap(), "abcd");
    let head = proxy.heads().remove(0);
    assert!(head.contains("host: mirror.invalid:8080\r\n"), "{head}");
    assert!(head.contains("proxy-authorization: Basic dXMgZXI6cGFzcw==\r\n"), "{head}");

    let url = "http://mirror.invalid/private".parse().unwrap();
    let failure = fetcher.get(&Get::new(&url, LONG)).await.unwrap_err();
    assert_eq!(failure.fault, CopyFault::ForbiddenRedirect);
}

#[tokio::test]
async fn https_goes_through_a_proxy_by_connect() {
    let authority = authority();
    let server = Server::listen("127.0.0.1", Some(authority.acceptor.clone()), |_| ok(b"abcd")).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let proxy = listener.local_addr().unwrap();
    let tunnel = tokio::spawn(async move {
        let (mut client, _) = listener.accept().await.unwrap();
        let head = read_head(&mut client).await.unwrap();
        let mut upstream = TcpStream::connect(head.split(' ').nth(1).unwrap()).await.unwrap();
        client.write_all(b"HTTP/1.1 200 Connection established\r\nx: y\r\n\r\n").await.unwrap();
        let _ = tokio::io::copy_bidirectional(&mut client, &mut upstream).await;
        head
    });
    let response =
        trusting(&authority, Some(through(proxy))).get(&Get::new(&server.url("/"), LONG)).await.unwrap();
    assert!(response.timings.tls.is_some());
    assert_eq!(response.read(4).await.unwrap(), "abcd");
    let head = timeout(LONG, tunnel).await.unwrap().unwrap();
    assert!(head.starts_with(&format!("CONNECT {} HTTP/1.1\r\n", server.address)), "{head}");
    assert!(head.contains("Proxy-Authorization: Basic dXMgZXI6cGFzcw==\r\n"), "{head}");
    let inner = server.heads().remove(0);
    assert!(!inner.to_ascii_lowercase().contains("proxy-"), "the mirror does not see the proxy's password");
}

#[tokio::test]
async fn a_proxy_that_refuses_or_babbles_is_a_failure_to_connect() {
    for answer in [Reply(b"HTTP/1.1 407 Who\r\n\r\n".to_vec(), Then::Close), Reply(vec![b'x'; 9000], hang())]
    {
        let Reply(bytes, then) = answer;
        let proxy = Server::start("127.0.0.1", move |_| Reply(bytes.clone(), then.clone())).await;
        let outgoing = Outgoing { proxy: Some(through(proxy.address)), ..outgoing() };
        let fetcher = Fetcher::new(&outgoing, NamedHosts::default()).unwrap();
        let failure =
            fetcher.get(&Get::new(&"https://mirror.invalid/".parse().unwrap(), LONG)).await.unwrap_err();
        assert_eq!(failure.fault, CopyFault::Connect, "{failure}");
    }
}
