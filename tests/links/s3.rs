//! An S3 server that checks signatures takes our links, and no others.

use std::fs;

use http::{Method, StatusCode};
use waypost::catalog::encode_path;
use waypost::config::SignKind;
use waypost::links::{LinkMethod, Signer};
use waypost::model::Timestamp;

use crate::fetched::{Answer, fetch};
use crate::s3_server::{self, S3Server};
use crate::{NAMES, Secrets, long_ago, now, signed_at, signer};

struct Store {
    server: S3Server,
    signer: Signer,
    _secrets: Secrets,
}

async fn store(secret: &str) -> Store {
    let (server, secrets) = (S3Server::start().await, Secrets::new());
    for name in NAMES {
        let path = server.object(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "0123456789").unwrap();
    }
    let (access_key, secret) = (secrets.file("id", s3_server::KEY), secrets.file("secret", secret));
    let signer = signer(SignKind::S3 { region: "us-east-1".into(), access_key, secret }, false);
    Store { server, signer, _secrets: secrets }
}

impl Store {
    fn link(&self, name: &str, method: LinkMethod, now: Timestamp) -> String {
        let url = format!("{}/bucket/{}", self.server.url, encode_path(name));
        signed_at(&self.signer, &url, method, None, now)
    }
}

fn shown(answer: &Answer) -> (u16, &str) {
    (answer.status.as_u16(), std::str::from_utf8(&answer.body).unwrap())
}

#[tokio::test]
async fn a_link_gives_its_object_whole_or_in_part_whatever_its_name() {
    let store = store(s3_server::SECRET).await;
    for name in NAMES {
        let link = store.link(name, LinkMethod::Get, now());
        assert_eq!(shown(&fetch(Method::GET, &link, &[]).await), (200, "0123456789"), "{name}");
        let part = fetch(Method::GET, &link, &[("range", "bytes=2-4")]).await;
        assert_eq!(shown(&part), (206, "234"), "{name}");
        let head = fetch(Method::HEAD, &store.link(name, LinkMethod::Head, now()), &[]).await;
        assert_eq!(shown(&head), (200, ""), "{name}");
    }
}

#[tokio::test]
async fn a_link_that_expired_was_changed_or_is_used_otherwise_is_refused() {
    let store = store(s3_server::SECRET).await;
    let [name, other, ..] = NAMES;
    let refused = async |method, link: &str| fetch(method, link, &[]).await.status == StatusCode::FORBIDDEN;
    assert!(refused(Method::GET, &store.link(name, LinkMethod::Get, long_ago())).await);
    let link = store.link(name, LinkMethod::Get, now());
    assert!(refused(Method::GET, &link.replace(name, &encode_path(other))).await);
    assert!(refused(Method::GET, &link.replace("X-Amz-Expires=330", "X-Amz-Expires=3300")).await);
    assert!(refused(Method::HEAD, &link).await, "it is for GET");
    assert!(refused(Method::DELETE, &link).await, "it is for GET");
    let stranger = self::store("another secret").await;
    let link = stranger.link(name, LinkMethod::Get, now());
    assert!(refused(Method::GET, &link).await);
}

#[tokio::test]
async fn a_second_credential_is_answered_with_400_and_the_signer_says_that_it_would_be() {
    let store = store(s3_server::SECRET).await;
    let link = store.link(NAMES[0], LinkMethod::Get, now());
    let answer = fetch(Method::GET, &link, &[("authorization", "Bearer abc")]).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    assert!(!store.signer.tolerates_authorization());
}
