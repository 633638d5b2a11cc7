//! Links that have expired.

use std::fs;
use std::time::Duration;

use waypost::config::{Sign, SignKind};
use waypost::links::{LinkFor, LinkMethod, Signer};
use waypost::model::{Clock, SystemClock, Timestamp};

use crate::place::{ARCHIVE, Desk, Mirrors, Place};
use crate::tokens::token;

/// What was there when the link expired.
const PART: usize = 100_000;

fn bearer() -> String {
    format!("Authorization: Bearer {}", token())
}

/// The link that this place's mirror would have been asked with ten minutes ago.
async fn expired(place: &Place, mirrors: Mirrors) -> String {
    let file = |name| place.site.dir().join(name);
    let kind = match mirrors {
        Mirrors::Nginx => SignKind::SecureLink { secret: file("link.secret") },
        _ => SignKind::S3 { region: "us-east-1".into(), access_key: file("id"), secret: file("key") },
    };
    let signer = Signer::load(&Sign { kind, ttl: Duration::from_secs(300), bind_network: false }).unwrap();
    let desk = Desk::new();
    let arguments = ["-sS", "-H", &bearer(), "-o", "empty", "-w", "%{redirect_url}", &place.stable(ARCHIVE)];
    let fresh = desk.run("curl", &arguments).await.ok();
    let mut link = fresh.split_once('?').expect("it is signed").0.as_bytes().to_vec();
    let now = Timestamp::from_millis(SystemClock.now().as_millis() - 600_000);
    signer.sign(&mut link, 0, &LinkFor { method: LinkMethod::Get, client: None, now });
    String::from_utf8(link).unwrap()
}

/// A file on a desk of which the beginning is there.
fn begun(place: &Place) -> Desk {
    let desk = Desk::new();
    fs::write(desk.path().join(ARCHIVE), &place.bytes(ARCHIVE)[..PART]).unwrap();
    desk
}

fn length(desk: &Desk) -> usize {
    fs::metadata(desk.path().join(ARCHIVE)).unwrap().len() as usize
}

#[tokio::test]
async fn an_expired_link_fails_at_the_mirror_and_the_canonical_url_gives_another_one() {
    for (mirrors, status) in [(Mirrors::Nginx, "410"), (Mirrors::S3, "403")] {
        let place = Place::start(mirrors).await;
        let (desk, link) = (Desk::new(), expired(&place, mirrors).await);
        let refused = desk.run("curl", &["-fsS", "-o", "got", "-w", "%{http_code}", &link]).await.failed();
        assert!(refused.0 == 22 && refused.1.starts_with(status), "{mirrors:?}: {refused:?}");
        desk.run("curl", &["-fsSL", "-H", &bearer(), "-o", "got", &place.stable(ARCHIVE)]).await.ok();
        assert!(desk.has(place.bytes(ARCHIVE)), "{mirrors:?}");
    }
}

#[tokio::test]
async fn a_download_whose_link_has_expired_is_resumed_from_the_canonical_url() {
    for mirrors in [Mirrors::Nginx, Mirrors::S3] {
        let place = Place::start(mirrors).await;
        let (desk, link, bearer) = (begun(&place), expired(&place, mirrors).await, bearer());
        let resume = ["-fsSL", "-C", "-", "-o", ARCHIVE];
        desk.run("curl", &[&resume[..], &[&link]].concat()).await.failed();
        assert_eq!(length(&desk), PART, "nothing of an error was put to it");
        let (url, sent) = (place.stable(ARCHIVE), ["-w", "%{http_code} %{size_download}"]);
        let said = desk.run("curl", &[&resume[..], &sent, &["-H", &bearer, &url]].concat()).await.ok();
        assert_eq!(said, format!("206 {}", place.bytes(ARCHIVE).len() - PART), "the rest and no more");
        assert!(desk.has(place.bytes(ARCHIVE)), "{mirrors:?}");
    }
}

#[tokio::test]
async fn other_tools_resume_from_the_canonical_url_as_well() {
    let place = Place::start(Mirrors::Both).await;
    let (header, url) = (format!("--header={}", bearer()), place.stable(ARCHIVE));
    for (program, arguments) in [
        ("wget", &["-nv", "-c", &header, &url][..]),
        ("aria2c", &["--no-conf", "--show-console-readout=false", "-c", &header, &url]),
        ("wget2", &["-c", &header, &url]),
    ] {
        let (desk, before) = (begun(&place), place.asked().len());
        let ended = desk.run(program, arguments).await;
        assert!(desk.has(place.bytes(ARCHIVE)), "{program}: {ended:#?}");
        // aria2 asks for the whole file first, to know its length, and hangs up.
        let asked = place.until_asked(before).await;
        let resumed = asked.iter().any(|request| request.status == 206);
        assert!(resumed, "{program}: {asked:?}");
    }
}
