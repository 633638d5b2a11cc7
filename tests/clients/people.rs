//! What people and package managers do beside a plain download: the page that takes a token, a look before the download, and
//! what to do when one is told that a tool will not do.

use crate::chromium::{Chromium, ENTER};
use crate::place::{ARCHIVE, Desk, Mirrors, Place, WHEEL};
use crate::python::python;
use crate::site::sha256;
use crate::tokens::token;

#[tokio::test]
async fn a_person_gets_the_file_by_the_page_from_every_kind_of_mirror() {
    for mirrors in [Mirrors::Nginx, Mirrors::S3] {
        let (place, browser) = (Place::start(mirrors).await, Chromium::start(&[]).await);
        browser.open(&place.stable(ARCHIVE)).await;
        browser.until_focus_is_on("textbox", "Token").await;
        browser.paste(&token()).await;
        browser.type_keys(ENTER).await;
        assert!(browser.downloaded(ARCHIVE).await == place.bytes(ARCHIVE), "{mirrors:?}");

        // The browser keeps it for a while: the next link just works, as does one with a ticket in a browser that kept none.
        browser.open(&place.stable(ARCHIVE)).await;
        assert!(browser.downloaded(ARCHIVE).await == place.bytes(ARCHIVE), "{mirrors:?}");
        let another = Chromium::start(&[]).await;
        another.open(&place.ticket(ARCHIVE, &token()).await).await;
        assert!(another.downloaded(ARCHIVE).await == place.bytes(ARCHIVE), "{mirrors:?}");
    }
}

/// Homebrew resolves by HEAD, following redirects, and GETs what it found; a link that is signed for GET refuses HEAD.
#[tokio::test]
async fn a_look_before_the_download_is_answered_without_a_mirror_and_leads_to_the_same_url() {
    let (place, desk) = (Place::start(Mirrors::S3).await, Desk::new());
    let (bearer, url) = (format!("Authorization: Bearer {}", token()), place.stable(ARCHIVE));
    let agent = ["-A", "Homebrew/4.6.0 (Linux; x86_64) curl/7.88.1", "-H", &bearer];
    let look = ["-fsSIL", "-w", "%{http_code} %{num_redirects} %{url_effective}", &url];
    let head = desk.run("curl", &[&agent[..], &look].concat()).await.ok();
    assert!(head.ends_with(&format!("200 0 {url}")), "{head}");
    assert!(head.contains(&format!("content-length: {}\r\n", place.bytes(ARCHIVE).len())), "{head}");
    assert!(head.contains("accept-ranges: bytes\r\n") && head.contains("digest: SHA-256="), "{head}");
    desk.run("curl", &[&agent[..], &["-fsSL", "-o", "got", &url]].concat()).await.ok();
    assert!(desk.has(place.bytes(ARCHIVE)));
}

#[tokio::test]
async fn a_tool_that_is_told_what_works_gets_a_ticket_by_itself_and_the_file_with_it() {
    let (place, desk) = (Place::start(Mirrors::S3).await, Desk::new());
    let (header, url) = (format!("--header=Authorization: Bearer {}", token()), place.stable(ARCHIVE));
    let (_, told) = desk.run("wget", &["-q", "-O-", "--content-on-error", &header, &url]).await.failed();
    assert!(told.contains("this tool repeats the token") && told.contains("?ticket"), "{told}");
    let ticket = desk.run("wget", &["-q", "-O-", &header, &format!("{url}?ticket")]).await.ok();
    desk.run("wget", &["-q", "-O", "got", ticket.trim()]).await.ok();
    assert!(desk.has(place.bytes(ARCHIVE)));
}

/// It goes by links where there are any, and would take the signature for a part of the name.
#[tokio::test]
async fn wget2_names_the_file_as_the_canonical_url_does() {
    let (place, desk) = (Place::start(Mirrors::Nginx).await, Desk::new());
    let header = format!("--header=Authorization: Bearer {}", token());
    desk.run("wget2", &[&header, &place.stable(ARCHIVE)]).await.ok();
    assert_eq!(std::fs::read(desk.path().join(ARCHIVE)).unwrap(), place.bytes(ARCHIVE));
}

#[tokio::test]
async fn a_tool_that_nobody_knows_is_sent_to_a_bucket_only_where_there_is_nothing_else() {
    for (mirrors, from) in [(Mirrors::Both, "nginx"), (Mirrors::S3, "s3")] {
        let (place, desk) = (Place::start(mirrors).await, Desk::new());
        let bearer = format!("Authorization: Bearer {}", token());
        let unknown = ["-fsSL", "-A", "my-installer/1.0", "-H", &bearer, "-o", "got", &place.stable(ARCHIVE)];
        desk.run("curl", &unknown).await.ok();
        assert!(desk.has(place.bytes(ARCHIVE)));
        assert_eq!(place.redirected_to(from).await, 1.0, "{mirrors:?}");
    }
}

/// There is no package index: a requirement that names its URL and its digest needs none.
#[tokio::test]
async fn pip_takes_a_requirement_with_a_url_and_checks_its_digest() {
    let (place, desk) = (Place::start(Mirrors::Both).await, Desk::new());
    let url = place.stable(WHEEL);
    let (address, _) = url["http://".len()..].split_once(':').unwrap();
    desk.write(".netrc", &format!("machine {address} login x password {}\n", token()));
    let pip = [
        "-m",
        "pip",
        "download",
        "--isolated",
        "--no-input",
        "--no-deps",
        "--no-cache-dir",
        "--require-hashes",
    ];
    let python = python();
    for (digest, right) in [(sha256(b"another"), false), (sha256(place.bytes(WHEEL)), true)] {
        desk.write("requirements.txt", &format!("agent @ {url} --hash=sha256:{digest}\n"));
        let ended = desk.run(&python, &[&pip[..], &["-d", "got", "-r", "requirements.txt"]].concat()).await;
        assert_eq!(ended.status.success(), right, "{ended:#?}");
    }
    assert_eq!(std::fs::read(desk.path().join("got").join(WHEEL)).unwrap(), place.bytes(WHEEL));
}
