//! aria2 1.36: segments, digests, Metalinks.

use std::collections::BTreeSet;
use std::fs;

use crate::nginx::SLOW;
use crate::process::{By, Ended, interrupt};
use crate::site::{EQUALS, LINUX, Plan, Site};

/// Nobody's settings, and every byte on disk at once.
const PLAIN: [&str; 4] =
    ["--no-conf", "--show-console-readout=false", "--file-allocation=none", "--disk-cache=0"];
const SEGMENTS: [&str; 3] = ["-s4", "-x4", "-k1M"];
const VERIFIED: &str = "Verification finished successfully";

async fn aria2(site: &Site, arguments: &[&str]) -> Ended {
    site.run("aria2c", &[&PLAIN, arguments].concat()).await
}

#[tokio::test]
async fn aria2_wants_the_file_and_checks_it_against_the_digest_of_the_redirect() {
    let site = Site::start().await;
    // Its Accept names Metalinks beside `*/*`.
    let said = aria2(&site, &[&site.stable("linux-amd64")]).await.ok();
    assert!(said.contains(VERIFIED), "{said}");
    site.assert_has(LINUX, LINUX);
    assert_eq!(site.on_desk(), [LINUX], "named by the last URL, and no list beside it");
    site.stop().await;
}

#[tokio::test]
async fn aria2_refuses_bytes_that_changed_after_they_were_verified() {
    let site = Site::start().await;
    site.corrupt("fra", LINUX, 3_000_000);
    for url in [site.stable("linux-amd64"), site.stable("linux-amd64.meta4")] {
        let (code, said) = aria2(&site, &[&url]).await.failed();
        assert_eq!(code, 32, "{said}");
        assert!(said.contains("Checksum error detected"), "{said}");
        // What it keeps is not taken for a finished file: its control file lies beside it.
        assert!(site.on_desk().contains(&format!("{LINUX}.aria2")));
        for file in site.on_desk() {
            fs::remove_file(site.desk().join(file)).unwrap();
        }
    }
    let next = format!("{}?avoid=fra", site.stable("linux-amd64"));
    assert!(aria2(&site, &[&next]).await.ok().contains(VERIFIED));
    site.assert_has(LINUX, LINUX);
    site.stop().await;
}

#[tokio::test]
async fn aria2_fetches_segments_from_the_chosen_mirror_and_its_duplicates() {
    let site = Site::start().await;
    // Slow enough that no connection could fetch it all before the others have begun.
    let own = ["-U", SLOW, &site.stable("linux-amd64")];
    let said = aria2(&site, &[&SEGMENTS[..], &own].concat()).await.ok();
    assert!(said.contains(VERIFIED), "{said}");
    site.assert_has(LINUX, LINUX);
    let asked = site.until_asked(SLOW, 4).await;
    let mirrors: BTreeSet<_> = asked.iter().map(|(mirror, _)| *mirror).collect();
    assert!(mirrors.contains("fra") && mirrors.len() > 1, "{asked:?}");
    assert!(asked.iter().filter(|(_, request)| request.status == 206).count() >= 3, "{asked:?}");
    site.stop().await;
}

#[tokio::test]
async fn aria2_stays_with_one_of_equally_near_mirrors_for_all_segments() {
    let more = "[redirect]\nalternates = 0\n\
                [[client_network]]\ncidr = [\"192.0.0.0/16\", \"127.0.0.0/8\"]\nregion = \"eu\"\n";
    let site = Site::with(Plan { mirrors: EQUALS.to_vec(), more: more.to_owned(), ..Plan::default() }).await;
    let (mut used, mut requests) = (BTreeSet::new(), 0);
    for network in 0..8 {
        let header = format!("--header=X-Forwarded-For: 192.0.{network}.7");
        let agent = format!("aria2-in-{network}");
        let own = ["-U", &agent, &header, "--allow-overwrite=true", &site.stable("linux-amd64")];
        aria2(&site, &[&SEGMENTS[..], &own].concat()).await.ok();
        site.assert_has(LINUX, LINUX);
        let asked = site.until_asked(&agent, 1).await;
        requests += asked.len();
        let mirrors: BTreeSet<_> = asked.iter().map(|(mirror, _)| *mirror).collect();
        assert_eq!(mirrors.len(), 1, "{asked:?}");
        used.extend(mirrors);
    }
    assert!(used.len() > 1, "client networks are spread");
    assert!(requests > 8, "not one of the eight used segments");
    site.stop().await;
}

/// Its control file, which it saves once a minute, knows of nothing yet: it begins again rather than trust what is there.
#[tokio::test]
async fn aria2_finishes_after_a_power_cut() {
    let site = Site::start().await;
    let url = site.stable("linux-amd64");
    let slow = [&PLAIN[..], &["-U", SLOW, &url]].concat();
    interrupt(By::Kill, "aria2c", &slow, site.desk(), LINUX, 500_000).await;
    assert_eq!(site.on_desk(), [LINUX.to_owned(), format!("{LINUX}.aria2")]);
    assert!(aria2(&site, &["-c", &url]).await.ok().contains(VERIFIED));
    site.assert_has(LINUX, LINUX);
    assert_eq!(site.on_desk(), [LINUX]);
    site.stop().await;
}

#[tokio::test]
async fn aria2_resumes_segments_after_ctrl_c() {
    let site = Site::start().await;
    let url = site.stable("linux-amd64");
    let slow = [&PLAIN[..], &SEGMENTS, &["-U", SLOW, &url]].concat();
    interrupt(By::Interrupt, "aria2c", &slow, site.desk(), LINUX, 1_500_000).await;
    assert_eq!(site.on_desk(), [LINUX.to_owned(), format!("{LINUX}.aria2")]);
    // The beginning is there already. Whoever fetches it again gets the wrong bytes from now on.
    ["fra", "iad", "sin"].iter().for_each(|mirror| site.corrupt(mirror, LINUX, 0));
    let said = aria2(&site, &[&SEGMENTS[..], &["-c", &url]].concat()).await.ok();
    assert!(said.contains(VERIFIED), "{said}");
    site.assert_has(LINUX, LINUX);
    assert_eq!(site.on_desk(), [LINUX]);
    site.stop().await;
}

#[tokio::test]
async fn aria2_accepts_the_metalink() {
    let site = Site::start().await;
    let said = aria2(&site, &[&site.stable("linux-amd64.meta4")]).await.ok();
    assert!(said.contains(VERIFIED), "{said}");
    site.assert_has(LINUX, LINUX);
    // From a file as well, without the service.
    site.run("curl", &["-fsS", "-o", "tool.meta4", &site.stable("linux-amd64.meta4")]).await.ok();
    fs::remove_file(site.desk().join(LINUX)).unwrap();
    let segments = [&SEGMENTS[..], &["-M", "tool.meta4"]].concat();
    assert!(aria2(&site, &segments).await.ok().contains(VERIFIED));
    site.assert_has(LINUX, LINUX);
    site.stop().await;
}

#[tokio::test]
async fn aria2_goes_on_to_the_next_mirror_when_the_first_is_down() {
    let mut site = Site::start().await;
    site.mirror_mut("fra").kill().await;
    for url in [site.stable("linux-amd64"), site.stable("linux-amd64.meta4")] {
        assert!(aria2(&site, &[&url]).await.ok().contains(VERIFIED), "{url}");
        site.assert_has(LINUX, LINUX);
        fs::remove_file(site.desk().join(LINUX)).unwrap();
    }
    let asked = site.until_asked("aria2", 2).await;
    assert!(asked.iter().all(|(mirror, _)| *mirror == "iad"), "{asked:?}");
    site.stop().await;
}
