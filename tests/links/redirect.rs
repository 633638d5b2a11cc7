//! Redirects lead to signed links, each mirror's by its own key, however a signer writes the path.

use std::net::{IpAddr, Ipv4Addr};

use http::{HeaderMap, Method, Response, StatusCode, Uri, header};
use waypost::config::{Config, Mirror};
use waypost::links::{LinkFor, LinkMethod, Signer};
use waypost::model::Timestamp;
use waypost::redirect::{Body, Inquiry, answer};
use waypost::snapshot::Snapshot;

use crate::world::{Product, Published, config, snapshot};
use crate::{KEY, NOW, Secrets};

const TOOL: Product = Product {
    name: "tool",
    channels: &[("stable", Some("1.8+b2"))],
    latest: Some("stable"),
    releases: &[Published {
        version: "1.8+b2",
        files: &[("a+b@c.tar.gz", "archive", ""), ("plain.txt", "", "")],
        held_only_by: &[],
    }],
};

const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 1, 2, 3));

fn now() -> Timestamp {
    Timestamp::from_millis(NOW as i64 * 1000)
}

/// A mirror that wants the path in another form is the nearest, before two that take it as it is.
fn site(secrets: &Secrets) -> Config {
    let secret = secrets.file("secret", KEY);
    let id = secrets.file("id", "AKIAEXAMPLE");
    let (secret, id) = (secret.display(), id.display());
    let text = format!(
        r#"
        [origin]
        url = "https://origin.example/"
        [redirect]
        alternates = 4
        [[region]]
        name = "eu"
        location = [50.11, 8.68]
        [[client_network]]
        cidr = "10.0.0.0/8"
        region = "eu"
        [[mirror]]
        name = "s3"
        url = "https://bucket.s3.example/pub/"
        location = [50.11, 8.68]
        sign = {{ kind = "s3", region = "eu-central-1", access_key_file = "{id}", secret_file = "{secret}" }}
        [[mirror]]
        name = "nginx"
        url = "https://nginx.example/releases/"
        location = [40.71, -74.0]
        sign = {{ kind = "secure_link", secret_file = "{secret}" }}
        [[mirror]]
        name = "cdn"
        url = "https://cdn.example/"
        location = [1.35, 103.82]
        sign = {{ kind = "hmac", secret_file = "{secret}" }}
    "#
    );
    config(&text)
}

/// The URL between `<` and `>`.
fn url(link: &str) -> &str {
    link.strip_prefix('<').and_then(|link| link.split_once('>')).unwrap().0
}

#[test]
fn every_link_of_a_redirect_is_signed_by_its_own_mirror_whatever_form_the_one_before_it_has() {
    let secrets = Secrets::new();
    let config = site(&secrets);
    let snapshot = snapshot(&config, &[TOOL], &[]);
    for path in ["tool/1.8+b2/a+b@c.tar.gz", "tool/1.8+b2/plain.txt"] {
        let told = ask(&snapshot, &Method::GET, &format!("/{path}"));
        let headers = told.headers();
        let links = headers.get_all(header::LINK).iter().map(|value| value.to_str().unwrap());
        let links: Vec<_> = links.collect();
        assert!(
            !links.iter().any(|link| link.contains("describedby")),
            "wget2 would ask for ever where one of them is refused: {links:?}"
        );
        let duplicates: Vec<_> =
            links.into_iter().filter(|link| link.contains("rel=duplicate")).map(url).collect();
        let link = LinkFor { method: LinkMethod::Get, client: Some(CLIENT), now: now() };
        let signed = |mirror: &Mirror| {
            let mut url = format!("{}{path}", mirror.url).into_bytes();
            Signer::load(mirror.sign.as_ref().unwrap()).unwrap().sign(&mut url, 0, &link);
            String::from_utf8(url).unwrap()
        };
        let expected: Vec<_> = config.mirrors.iter().map(signed).collect();
        assert_eq!(duplicates, expected);
        assert_eq!(headers[header::LOCATION], expected[0]);
        assert!(expected[0].contains("/pub/tool/1.8%2Bb2/"), "S3 takes a plus for a space: {}", expected[0]);
        assert!(expected[2].contains("/tool/1.8+b2/"), "{}", expected[2]);
    }
}

fn ask(snapshot: &Snapshot, method: &Method, path: &str) -> Response<Body> {
    let inquiry = Inquiry {
        method,
        uri: &path.parse::<Uri>().unwrap(),
        headers: &HeaderMap::new(),
        client: CLIENT,
        https: true,
        occasion: &now(),
    };
    answer(snapshot, &inquiry).response
}

fn asked(method: &Method, path: &str) -> Response<Body> {
    let secrets = Secrets::new();
    ask(&snapshot(&site(&secrets), &[TOOL], &[]), method, path)
}

#[test]
fn signed_links_are_kept_nowhere_by_whatever_list_they_are_given() {
    for path in ["plain.txt", "plain.txt?mirrors", "plain.txt?mirrors=text", "plain.txt.meta4"] {
        let response = asked(&Method::GET, &format!("/tool/stable/{path}"));
        assert_eq!(response.headers()[header::CACHE_CONTROL], "no-store", "{path}");
    }
    let response = asked(&Method::GET, "/tool/stable/plain.txt.sha256");
    assert_ne!(response.headers()[header::CACHE_CONTROL], "no-store", "nothing is signed");
}

#[test]
fn a_head_is_not_sent_to_a_link_that_is_signed_for_get() {
    let response = asked(&Method::HEAD, "/tool/stable/plain.txt");
    assert_eq!((response.status(), response.headers().get(header::LOCATION)), (StatusCode::OK, None));
    assert!(response.headers().contains_key(header::CONTENT_LENGTH));
}
