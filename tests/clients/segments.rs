//! aria2 fetches from several signed mirrors at once, and goes on with the others when one dies.

use crate::nginx::SLOW;
use crate::place::{Desk, IMAGE, Mirrors, Place};
use crate::tokens::token;

const PLAIN: [&str; 3] = ["--no-conf", "--show-console-readout=false", "--file-allocation=none"];
/// Two connections to a mirror, so that one mirror will not do for all four.
const SEGMENTS: [&str; 5] = ["-s4", "-x2", "-k1M", "-U", SLOW];

/// By the duplicates of a redirect and by a list.
async fn a_mirror_dies(which: usize, list: &str) {
    let (mut place, desk) = (Place::start(Mirrors::Pair).await, Desk::new());
    let header = format!("--header=Authorization: Bearer {}", token());
    let url = format!("{}{list}", place.stable(IMAGE));
    let arguments = [&PLAIN[..], &SEGMENTS, &[&header, &url]].concat();
    let fetching = desk.run("aria2c", &arguments);
    let (ended, ()) = tokio::join!(fetching, place.kill_when_all_serve(which));
    let said = ended.ok();
    assert!(said.contains("Verification finished successfully"), "{said}");
    assert!(desk.has(place.bytes(IMAGE)), "{said}");
}

#[tokio::test]
async fn aria2_outlives_a_signed_mirror_of_a_redirect() {
    a_mirror_dies(0, "").await;
    a_mirror_dies(1, "").await;
}

#[tokio::test]
async fn aria2_outlives_a_signed_mirror_of_a_metalink() {
    a_mirror_dies(0, ".meta4").await;
    a_mirror_dies(1, ".meta4").await;
}

/// A bucket and an nginx: each link is signed by its own mirror's key.
#[tokio::test]
async fn aria2_takes_segments_from_mirrors_that_sign_in_different_ways() {
    for list in ["?ticket=", ".meta4?ticket="] {
        let (place, desk) = (Place::start(Mirrors::Both).await, Desk::new());
        let url = place.ticket(IMAGE, &token()).await.replace("?ticket=", list);
        let said = desk.run("aria2c", &[&PLAIN[..], &SEGMENTS, &[&url]].concat()).await.ok();
        assert!(said.contains("Verification finished successfully"), "{said}");
        assert!(desk.has(place.bytes(IMAGE)), "{said}");
        let parts = place.until_asked(0).await;
        assert!(parts.iter().all(|part| part.status == 206), "{parts:?}");
        let by_nginx: u64 = parts.iter().map(|part| part.sent).sum();
        assert!(
            by_nginx > 0 && by_nginx < place.bytes(IMAGE).len() as u64,
            "the bucket gave the rest: {parts:?}"
        );
    }
}
