//! Where redirects may lead.

use super::*;

#[tokio::test]
async fn redirects_are_followed_to_named_hosts_and_the_first_hop_is_what_is_timed() {
    let target = Server::start("127.0.0.2", |_| ok(b"abcd")).await;
    let there = target.url("/file");
    let server = Server::start("127.0.0.1", move |path| match path {
        "/first" => found("second#fragment"),
        _ => found(there.as_str()),
    })
    .await;
    let url = server.url("/first");
    let response = fetcher(&[&server, &target]).get(&Get::new(&url, LONG)).await.unwrap();
    assert_eq!((response.hops, &response.final_url), (2, &target.url("/file")));
    assert!(response.timings.first_byte.is_some());
    assert_eq!(response.read(4).await.unwrap(), "abcd");
}

#[tokio::test]
async fn circles_and_long_chains_are_left() {
    let server = Server::start("127.0.0.1", |path| match path {
        "/a" => found("/b"),
        "/b" => found("/a#again"),
        "/3" => ok(b"ok"),
        n => found(&format!("/{}", n[1..].parse::<i32>().unwrap() + 1)),
    })
    .await;
    assert_eq!(fault_of(&server, "/a").await, CopyFault::RedirectLoop);
    assert_eq!(server.heads().len(), 2, "a circle is noticed before it is gone round again");
    assert_eq!(get(&server, "/0").await.unwrap().hops, 3);
    let failure = get(&server, "/-1").await.unwrap_err();
    assert_eq!(failure.fault, CopyFault::RedirectLoop);
    assert_eq!(failure.evidence.status.unwrap(), 302);
}

#[tokio::test]
async fn redirects_to_private_places_that_nobody_named_are_refused_unasked() {
    let secret = Server::start("127.0.0.9", |_| ok(b"secret")).await;
    let port = secret.address.port();
    let server = Server::start("127.0.0.1", move |path| {
        found(&match path {
            "/ip" => format!("http://127.0.0.9:{port}/"),
            "/spelled" => format!("http://0x7f.9:{port}/"),
            "/mapped" => format!("http://[::ffff:127.0.0.9]:{port}/"),
            "/name" => format!("http://localhost:{port}/"),
            "/cloud" => "http://169.254.169.254/latest/meta-data/".into(),
            "/scheme" => "ftp://127.0.0.1/".into(),
            _ => "file:///etc/passwd".into(),
        })
    })
    .await;
    for path in ["/ip", "/spelled", "/mapped", "/name", "/cloud", "/scheme", "/file"] {
        assert_eq!(fault_of(&server, path).await, CopyFault::ForbiddenRedirect, "{path}");
    }
    assert!(secret.heads().is_empty());
}

#[tokio::test]
async fn a_redirect_without_a_usable_target_is_no_file() {
    let server = Server::start("127.0.0.1", |path| match path {
        "/none" => reply("302 Found", b""),
        _ => found("http://[nonsense"),
    })
    .await;
    let fault = get(&server, "/none").await.unwrap().look(&expected(1)).unwrap_err().fault;
    assert_eq!(fault, CopyFault::UnexpectedStatus);
    assert_eq!(fault_of(&server, "/nonsense").await, CopyFault::Broken);
}
