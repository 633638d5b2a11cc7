//! curl, and the scripts that people write around it.

use std::fs;

use crate::certificates::Authority;
use crate::nginx::SLOW;
use crate::process::{By, interrupt};
use crate::site::{AP, DARWIN, EU, LINUX, NOTES, Plan, Site, US};

#[tokio::test]
async fn curl_gets_the_file_under_each_of_its_names() {
    let site = Site::start().await;
    for (name, file) in [
        ("tool/1.8.2/tool-1.8.2-linux-amd64.tar.gz", LINUX),
        ("tool/v1.8.2/linux-amd64", LINUX),
        ("tool/stable/tool-1.8.2-darwin-arm64.tar.gz", DARWIN),
        ("tool/stable/tool-darwin-arm64.tar.gz", DARWIN),
        ("tool/latest/macos-aarch64", DARWIN),
        ("tool/install?platform=linux-x86_64", LINUX),
        ("tool/install?version=v1.8.2&platform=darwin-arm64", DARWIN),
        ("tool/stable/NOTES.txt", NOTES),
    ] {
        site.run("curl", &["-fsSL", "-o", "got", &format!("{}{name}", site.url)]).await.ok();
        site.assert_has("got", file);
    }
    site.run("curl", &["-fsSL", "-O", &site.stable("tool-linux-amd64.tar.gz")]).await.ok();
    site.assert_has("tool-linux-amd64.tar.gz", LINUX);
    site.stop().await;
}

#[tokio::test]
async fn each_client_is_sent_to_the_mirror_of_its_region() {
    let site = Site::start().await;
    for (client, mirror) in [(EU, "fra"), (US, "iad"), (AP, "sin"), ("X-Nothing: here", "fra")] {
        let arguments =
            ["-fsSL", "-o", "got", "-H", client, "-w", "%{url_effective}", &site.stable("linux-amd64")];
        let from = site.run("curl", &arguments).await.ok();
        assert_eq!(from, format!("{}tool/1.8.2/{LINUX}", site.mirror(mirror).url()));
        site.assert_has("got", LINUX);
    }
    site.stop().await;
}

#[tokio::test]
async fn curl_resumes_a_download_that_was_cut() {
    let site = Site::start().await;
    let url = site.stable("linux-amd64");
    interrupt(By::Kill, "curl", &["-fsSL", "-A", SLOW, "-o", "got", &url], site.desk(), "got", 500_000).await;
    let had = fs::metadata(site.desk().join("got")).unwrap().len();
    site.run("curl", &["-fsSL", "-C", "-", "-o", "got", &url]).await.ok();
    site.assert_has("got", LINUX);

    let resumed = site.until_asked("curl", 1).await;
    let (mirror, request) = &resumed[0];
    assert_eq!((*mirror, request.status), ("fra", 206), "{request:?}");
    assert_eq!(request.range, format!("bytes={had}-"));
    site.stop().await;
}

#[tokio::test]
async fn sha256sum_accepts_the_checksums() {
    let site = Site::start().await;
    for name in [LINUX, NOTES] {
        site.run("curl", &["-fsSL", "-O", &site.stable(name)]).await.ok();
    }
    // Beside the file, and 200 at once: bootstrap tools follow no redirect for it.
    let (sum, url) = (format!("{LINUX}.sha256"), site.stable("linux-amd64.sha256"));
    let status = site.run("curl", &["-fsS", "-o", &sum, "-w", "%{http_code}", &url]).await.ok();
    assert_eq!(status, "200");
    assert_eq!(site.run("sha256sum", &["-c", &sum]).await.ok(), format!("{LINUX}: OK\n"));

    site.run("curl", &["-fsSL", "-O", &format!("{}tool/1.8.2/SHA256SUMS", site.url)]).await.ok();
    let checked = site.run("sha256sum", &["-c", "--strict", "--ignore-missing", "SHA256SUMS"]).await.ok();
    assert_eq!(checked, format!("{NOTES}: OK\n{LINUX}: OK\n"));
    assert_eq!(fs::read_to_string(site.desk().join("SHA256SUMS")).unwrap().lines().count(), 3);

    let version = site.run("curl", &["-fsS", &site.stable("version.txt")]).await.ok();
    assert_eq!(version, "1.8.2\n");
    site.stop().await;
}

#[tokio::test]
async fn curl_head_sees_the_redirect_and_behind_it_the_file() {
    let site = Site::start().await;
    let head = site.run("curl", &["-sSI", &site.stable("linux-amd64")]).await.ok();
    let fra = site.mirror("fra").url();
    assert!(head.starts_with("HTTP/1.1 302 "), "{head}");
    for line in [
        format!("location: {fra}tool/1.8.2/{LINUX}"),
        "waypost-mirror: fra".to_owned(),
        "vary: Accept".to_owned(),
        "digest: SHA-256=".to_owned(),
        format!("link: <{fra}tool/1.8.2/{LINUX}>; rel=duplicate; pri=1"),
    ] {
        assert!(head.contains(&line), "{line} is missing:\n{head}");
    }
    let both = site.run("curl", &["-sSIL", &site.stable("linux-amd64")]).await.ok();
    assert!(both.contains("HTTP/1.1 200 OK") && both.contains("Content-Length: 6000011"), "{both}");
    site.stop().await;
}

#[tokio::test]
async fn curl_speaks_http2_without_tls_to_the_service() {
    let site = Site::start().await;
    let format = "%{http_version} %{http_code} %{redirect_url}";
    let arguments =
        ["-sS", "--http2-prior-knowledge", "-o", "empty", "-w", format, &site.stable("linux-amd64")];
    let answer = site.run("curl", &arguments).await.ok();
    let target = format!("{}tool/1.8.2/{LINUX}", site.mirror("fra").url());
    assert_eq!(answer, format!("2 302 {target}"));
    // And by the upgrade of HTTP/1.1, which nobody has to take up.
    site.run("curl", &["-fsSL", "--http2", "-o", "got", &site.stable("linux-amd64")]).await.ok();
    site.assert_has("got", LINUX);
    site.stop().await;
}

#[tokio::test]
async fn curl_goes_all_the_way_by_https_with_a_private_authority() {
    let site = Site::with(Plan { tls: Some(Authority::new()), ..Plan::default() }).await;
    let url = site.stable("linux-amd64");
    for (versions, spoken) in [("--http2", "2"), ("--http1.1", "1.1"), ("--tlsv1.3", "2")] {
        let (ca, one) = (["--cacert", "ca.pem"], ["-sS", "-o", "empty", "-w", "%{http_version}"]);
        let arguments = [&ca[..], &one, &[versions, &url]].concat();
        assert_eq!(site.run("curl", &arguments).await.ok(), spoken, "{versions}");
        let arguments = [&ca[..], &["-fsSL", "--proto", "=https", "-o", "got", versions, &url]].concat();
        site.run("curl", &arguments).await.ok();
        site.assert_has("got", LINUX);
    }
    let (code, _) = site.run("curl", &["-fsSL", "-o", "got", &url]).await.failed();
    assert_eq!(code, 60, "an authority that is not trusted");
    site.stop().await;
}
