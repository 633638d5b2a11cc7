//! wget 1.21 and wget2 1.99.

use std::fs;

use crate::nginx::SLOW;
use crate::process::{By, interrupt};
use crate::site::{DARWIN, LINUX, Plan, Site};

#[tokio::test]
async fn wget_names_the_file_as_the_canonical_url_does() {
    let site = Site::start().await;
    for (name, saved, published) in [
        (LINUX, LINUX, LINUX),
        ("tool-linux-amd64.tar.gz", "tool-linux-amd64.tar.gz", LINUX),
        ("darwin-arm64", "darwin-arm64", DARWIN),
    ] {
        site.run("wget", &["-nv", &site.stable(name)]).await.ok();
        site.assert_has(saved, published);
    }
    // Told to trust the server, it takes the real name from the last segment of `Location`.
    site.run("wget", &["-nv", "--trust-server-names", &site.stable("darwin-arm64")]).await.ok();
    site.assert_has(DARWIN, DARWIN);
    site.stop().await;
}

#[tokio::test]
async fn wget_resumes_a_download_that_was_cut() {
    let site = Site::start().await;
    let url = site.stable("tool-linux-amd64.tar.gz");
    let file = "tool-linux-amd64.tar.gz";
    interrupt(By::Kill, "wget", &["-q", "-U", SLOW, &url], site.desk(), file, 500_000).await;
    let had = fs::metadata(site.desk().join(file)).unwrap().len();
    site.run("wget", &["-nv", "-c", &url]).await.ok();
    site.assert_has(file, LINUX);
    assert_eq!(site.on_desk(), [file], "no second file beside the first");

    let (mirror, request) = site.until_asked("Wget/", 1).await.remove(0);
    assert_eq!((mirror, request.status), ("fra", 206), "{request:?}");
    assert_eq!(request.range, format!("bytes={had}-"));
    site.stop().await;
}

#[tokio::test]
async fn wget2_takes_the_metalink_that_describes_the_redirect_and_checks_the_hash() {
    let site = Site::start().await;
    for url in [
        site.stable("linux-amd64"),
        site.stable("linux-amd64.meta4"),
        format!("{}tool/1.8.2/{LINUX}", site.url),
        format!("{}tool/1.8.2/{LINUX}.meta4", site.url),
    ] {
        let ended = site.run("wget2", &[&url]).await;
        assert!(ended.status.success(), "{ended:?}");
        let said = ended.stdout + &ended.stderr;
        assert!(said.contains(&format!("Checksum OK for '{LINUX}'")), "{url}: {said}");
        site.assert_has(LINUX, LINUX);
        fs::remove_file(site.desk().join(LINUX)).unwrap();
    }
    // Every one from the chosen mirror, and none by way of a list that it would have taken for the file.
    let asked = site.until_asked("wget2", 4).await;
    assert!(asked.iter().all(|(mirror, _)| *mirror == "fra"), "{asked:?}");
    assert_eq!(site.on_desk(), [".wget-ocsp", ".wget-ocsp_hosts"]);
    site.stop().await;
}

#[tokio::test]
async fn wget2_avoids_a_mirror_by_the_metalink() {
    let mut site = Site::start().await;
    site.mirror_mut("fra").kill().await;
    site.run("wget2", &[&site.stable("linux-amd64.meta4?avoid=fra")]).await.ok();
    site.assert_has(LINUX, LINUX);
    let (mirror, _) = site.until_asked("wget2", 1).await.remove(0);
    assert_eq!(mirror, "iad");
    site.stop().await;
}

#[tokio::test]
async fn wget2_finishes_a_download_that_was_cut() {
    let site = Site::start().await;
    let url = site.stable("linux-amd64");
    interrupt(By::Kill, "wget2", &["-q", "-U", SLOW, &url], site.desk(), LINUX, 500_000).await;
    site.run("wget2", &["-c", &url]).await.ok();
    site.assert_has(LINUX, LINUX);
    site.stop().await;
}

/// wget2 1.99 follows neither `Location` nor a link of a 302 that has both `Link` and `Digest` when it may use no Metalinks.
#[tokio::test]
async fn wget2_without_metalinks_needs_status_307() {
    let site = Site::start().await;
    let said = site.run("wget2", &["--no-metalink", &site.stable("linux-amd64")]).await.ok();
    assert_eq!(site.on_desk(), [".wget-ocsp", ".wget-ocsp_hosts"], "{said}");
    site.stop().await;

    let plan = Plan::default();
    let more = format!("[redirect]\nstatus = 307\n{}", plan.more);
    let site = Site::with(Plan { more, ..plan }).await;
    site.run("wget2", &["--no-metalink", &site.stable("linux-amd64")]).await.ok();
    site.assert_has("linux-amd64", LINUX);
    site.stop().await;
}
