//! Real nginx with the configuration that operators get, takes our links and no others.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use http::{Method, StatusCode};
use waypost::catalog::encode_path;
use waypost::config::SignKind;
use waypost::links::{LinkMethod, Signer};

use crate::fetched::fetch;
use crate::nginx::{Nginx, own_address};
use crate::{NAMES, Secrets, long_ago, now, signed_at, signer};

const SECRET: &str = "5e884898da28047151d0e56f8dc62927";
const PREVIOUS: &str = "8d969eef6ecad3c29a3a629280e686cf";

/// What an operator does to the file.
fn edited(address: SocketAddr, folder: &Path, edits: &[(&str, &str)]) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/nginx-signed-mirror.conf");
    let (listen, socket) = (format!("listen {address};"), folder.join("previous.sock"));
    let ours = [
        ("listen 443 ssl;", listen.as_str()),
        ("listen [::]:443 ssl;", ""),
        ("ssl_certificate /etc/nginx/tls/fullchain.pem;", ""),
        ("ssl_certificate_key /etc/nginx/tls/key.pem;", ""),
        ("/srv/mirror", "files"),
        ("/run/nginx-waypost-previous.sock", socket.to_str().unwrap()),
    ];
    let mut text = fs::read_to_string(path).unwrap();
    for (what, by) in ours.iter().chain(edits) {
        assert!(text.contains(what), "the file has no {what}");
        text = text.replace(what, by);
    }
    text
}

struct Mirror {
    nginx: Nginx,
    secrets: Secrets,
}

impl Mirror {
    async fn start(edits: &[(&str, &str)]) -> Self {
        let nginx =
            Nginx::start_http(own_address(), false, |address, folder| edited(address, folder, edits)).await;
        for name in NAMES {
            let path = nginx.files().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "0123456789").unwrap();
        }
        Self { nginx, secrets: Secrets::new() }
    }

    fn signer(&self, secret: &str, bind: bool) -> Signer {
        signer(SignKind::SecureLink { secret: self.secrets.file("secret", secret) }, bind)
    }

    fn url(&self, name: &str) -> String {
        format!("{}{}", self.nginx.url(), encode_path(name))
    }
}

async fn status(link: &str) -> u16 {
    fetch(Method::GET, link, &[]).await.status.as_u16()
}

#[tokio::test]
async fn a_good_link_gives_the_file_whole_or_in_part_whatever_its_name() {
    let mirror = Mirror::start(&[("put the secret here", SECRET)]).await;
    let signer = mirror.signer(SECRET, false);
    assert!(signer.tolerates_authorization());
    for name in NAMES {
        let link = signed_at(&signer, &mirror.url(name), LinkMethod::Get, Some("192.0.2.1"), now());
        let whole = fetch(Method::GET, &link, &[("authorization", "Bearer abc")]).await;
        assert_eq!((whole.status, &*whole.body), (StatusCode::OK, &b"0123456789"[..]), "{name}: {link}");
        assert_eq!(whole.headers["cache-control"], "private, no-store");
        let part = fetch(Method::GET, &link, &[("range", "bytes=2-4")]).await;
        assert_eq!((part.status, &*part.body), (StatusCode::PARTIAL_CONTENT, &b"234"[..]), "{name}");
        let head = fetch(Method::HEAD, &link, &[]).await;
        assert_eq!((head.status, &head.headers["content-length"]), (StatusCode::OK, &"10".parse().unwrap()));
    }
}

#[tokio::test]
async fn an_expired_link_is_gone_and_a_changed_or_missing_one_forbidden() {
    let mirror = Mirror::start(&[("put the secret here", SECRET)]).await;
    let signer = mirror.signer(SECRET, false);
    let [name, other, ..] = NAMES;
    let url = mirror.url(name);
    let link = |now| signed_at(&signer, &url, LinkMethod::Get, None, now);
    assert_eq!(status(&link(long_ago())).await, 410);
    assert_eq!(status(&link(long_ago()).replace("expires=", "expires=9")).await, 403);
    assert_eq!(status(&link(now()).replace(name, &encode_path(other))).await, 403);
    assert_eq!(status(&link(now()).replace("md5=", "md5=x")).await, 403);
    assert_eq!(status(&url).await, 403);
    assert_eq!(fetch(Method::PUT, &link(now()), &[]).await.status, StatusCode::FORBIDDEN);
    for stranger in [PREVIOUS, ""] {
        let secret = if stranger.is_empty() { " " } else { stranger };
        let link = signed_at(&mirror.signer(secret, false), &url, LinkMethod::Get, None, now());
        assert_eq!(status(&link).await, 403, "an empty $waypost_previous is no secret");
    }
    let nowhere = signed_at(&signer, &mirror.url("nowhere"), LinkMethod::Get, None, now());
    assert_eq!(status(&nowhere).await, 404);
}

#[tokio::test]
async fn while_the_secret_is_changed_links_of_both_are_good() {
    let previous = format!("map \"\" $waypost_previous {{\n    default \"{PREVIOUS}\"");
    let edits = [
        ("put the secret here", SECRET),
        ("map \"\" $waypost_previous {\n    default \"\"", previous.as_str()),
    ];
    let mirror = Mirror::start(&edits).await;
    for (secret, good) in [(SECRET, true), (PREVIOUS, true), ("neither of them", false)] {
        let signer = mirror.signer(secret, false);
        for name in NAMES {
            let url = mirror.url(name);
            let link = |now| signed_at(&signer, &url, LinkMethod::Get, None, now);
            let [fresh, old] = if good { [200, 410] } else { [403, 403] };
            assert_eq!((status(&link(now())).await, status(&link(long_ago())).await), (fresh, old), "{name}");
            let part = fetch(Method::GET, &link(now()), &[("range", "bytes=2-4")]).await;
            assert_eq!(part.status.as_u16(), if good { 206 } else { 403 });
            assert!(!good || &*part.body == b"234");
            let head = fetch(Method::HEAD, &link(now()), &[]).await;
            assert_eq!(head.status.as_u16(), fresh);
            assert!(!good || head.headers["content-length"] == "10");
        }
    }
}

/// The file with links bound to networks. Clients say who they are, so that there are many.
fn bound() -> [(&'static str, &'static str); 5] {
    [
        ("put the secret here", SECRET),
        ("set $waypost_bound \"\";", "set $waypost_bound $waypost_network;"),
        ("# \"192.0.2.10\" ", "\"192.0.2.10\" "),
        (
            "server_name mirror.example.net;",
            "set_real_ip_from 127.0.0.0/8; real_ip_header X-Client; server_name x;",
        ),
        ("    default \"\";", "    default \"8d969eef6ecad3c29a3a629280e686cf\";"),
    ]
}

#[tokio::test]
async fn a_bound_link_is_good_for_the_clients_network_and_no_other() {
    let mirror = Mirror::start(&bound()).await;
    let from = async |client: &str, link: &str| {
        fetch(Method::GET, link, &[("x-client", client)]).await.status.as_u16()
    };
    for secret in [SECRET, PREVIOUS] {
        let signer = mirror.signer(secret, true);
        let url = mirror.url(NAMES[1]);
        let link = |client| signed_at(&signer, &url, LinkMethod::Get, client, now());
        for (client, neighbour, stranger) in [
            ("203.0.113.7", "203.0.113.200", "203.0.114.7"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:ffff::1", "2001:db8:2::1"),
            ("2001:db8::1", "2001:db8:0:7::1", "2001:db8:1::1"),
            ("2001:db8:0:1:2:3:4:5", "2001:db8::9", "2001:db8:7::9"),
            ("2001::1", "2001:0:0:8:7:6:5:4", "2001:0:1::1"),
            ("2001:0:1::5", "2001:0:1:5::", "2001::5"),
            ("2001:0:0:1:0:0:0:1", "2001::1:2:3", "2001:1::1"),
        ] {
            let link = link(Some(client));
            assert_eq!(from(client, &link).await, 200, "{client}");
            assert_eq!(from(neighbour, &link).await, 200, "{neighbour} is beside {client}");
            assert_eq!(from(stranger, &link).await, 403, "{stranger} is elsewhere than {client}");
        }
        // This service's own requests, from the address that the file names.
        assert_eq!(from("192.0.2.10", &link(None)).await, 200);
        assert_eq!(from("192.0.2.11", &link(None)).await, 403);
        assert_eq!(from("::1", &link(None)).await, 403);
    }
}
