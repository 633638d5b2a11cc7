//! wget2 1.99 goes by links, and reads no XML where it reads a Metalink.

use std::fs;

use crate::place::{ARCHIVE, Desk, Mirrors, Place};
use crate::tokens::token;

fn header() -> String {
    format!("--header=Authorization: Bearer {}", token())
}

#[tokio::test]
async fn wget2_reads_a_list_of_signed_links_and_checks_the_digest() {
    for mirrors in [Mirrors::Nginx, Mirrors::Pair] {
        let place = Place::start(mirrors).await;
        for name in [ARCHIVE, "linux-amd64"] {
            let desk = Desk::new();
            let ended =
                desk.run("wget2", &["--tries=1", &header(), &format!("{}.meta4", place.stable(name))]).await;
            let said = format!("{ended:?}");
            assert!(said.contains(&format!("Checksum OK for '{ARCHIVE}'")), "{said}");
            assert_eq!(fs::read(desk.path().join(ARCHIVE)).unwrap(), place.bytes(ARCHIVE));
        }
        let asked = place.until_asked(1).await;
        assert!(asked.iter().all(|request| request.status == 206), "nothing was asked for twice: {asked:?}");
    }
}

#[tokio::test]
async fn wget2_reads_a_list_of_presigned_links() {
    let (place, desk) = (Place::start(Mirrors::S3).await, Desk::new());
    let list = place.ticket(ARCHIVE, &token()).await.replace("?ticket=", ".meta4?ticket=");
    desk.run("wget2", &["--tries=1", &list]).await.ok();
    assert_eq!(fs::read(desk.path().join(ARCHIVE)).unwrap(), place.bytes(ARCHIVE));
}

#[tokio::test]
async fn everybody_else_is_given_a_list_that_is_xml() {
    let (place, desk) = (Place::start(Mirrors::Pair).await, Desk::new());
    let (bearer, url) =
        (format!("Authorization: Bearer {}", token()), format!("{}.meta4", place.stable(ARCHIVE)));
    desk.run("curl", &["-fsS", "-H", &bearer, "-o", "list.meta4", &url]).await.ok();
    let parse = "import xml.etree.ElementTree as xml; print(*(e.text for e in xml.parse('list.meta4').iter() if e.tag.endswith('}url')))";
    let links = desk.run("python3", &["-I", "-c", parse]).await.ok();
    assert_eq!(links.matches("&expires=").count(), 2, "{links}");
}

/// What it would take for the list's host is the first part of a path.
#[tokio::test]
async fn wget2_gets_the_file_from_a_service_that_does_not_know_its_own_url() {
    let (place, desk) = (Place::start(Mirrors::Private).await, Desk::new());
    desk.run("wget2", &["--tries=1", &header(), &place.stable(ARCHIVE)]).await.ok();
    assert!(desk.has(place.bytes(ARCHIVE)));
}

#[tokio::test]
async fn wget2_tells_no_mirror_of_the_ticket_by_which_it_came() {
    for mirrors in [Mirrors::Private, Mirrors::Nginx] {
        let (place, desk) = (Place::start(mirrors).await, Desk::new());
        let ticket = place.ticket(ARCHIVE, &token()).await;
        desk.run("wget2", &["--tries=1", &ticket]).await.ok();
        assert!(desk.has(place.bytes(ARCHIVE)), "{mirrors:?}");
        let list = ticket.replace("?ticket=", ".meta4?ticket=");
        desk.run("wget2", &["--tries=1", &list]).await.ok();
        let asked = place.until_asked(1).await;
        assert!(asked.iter().all(|request| request.referer == "-"), "{mirrors:?}: {asked:?}");
    }
}
