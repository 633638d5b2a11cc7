//! A mirror dies: what clients can do before it is noticed, and what happens after.

use std::fs;

use crate::nginx::SLOW;
use crate::process::{start, until, written};
use crate::site::{LINUX, NOTES, Plan, Site};

/// The loop of the README, as people copy it.
fn retry_loop(url: &str) -> String {
    let readme = include_str!("../../README.md");
    let from = readme.find("url=https://downloads.example.com").expect("the README has the loop");
    let script = readme[from..].split("```").next().expect("the block ends");
    script.replace("https://downloads.example.com/tool/stable/linux-amd64", url)
}

async fn effective_url(site: &Site) -> String {
    let arguments = ["-fsSL", "-o", "got", "-w", "%{url_effective}", &site.stable("linux-amd64")];
    site.run("curl", &arguments).await.stdout
}

#[tokio::test]
async fn the_readme_loop_gets_the_file_past_dead_mirrors_that_nobody_noticed() {
    let mut site = Site::start().await;
    let script = retry_loop(&site.stable("linux-amd64"));
    for (dead, served_by) in [(None, "fra"), (Some("fra"), "iad"), (Some("iad"), "sin")] {
        if let Some(dead) = dead {
            site.mirror_mut(dead).kill().await;
        }
        let ended = site.run("sh", &["-c", &format!("{script}\necho \"$failed\"")]).await.ok();
        assert_eq!(ended.trim(), format!("{}tool/1.8.2/{LINUX}", site.mirror(served_by).url()));
        site.assert_has("tool.tar.gz", LINUX);
        fs::remove_file(site.desk().join("tool.tar.gz")).unwrap();
    }
    // The service still recommends the first: nothing but the client knew.
    assert!(effective_url(&site).await.starts_with(&site.mirror("fra").url()));
    site.stop().await;
}

#[tokio::test]
async fn a_download_cut_by_the_death_of_its_mirror_goes_on_from_the_next() {
    let mut site = Site::start().await;
    let (url, fra) = (site.stable("linux-amd64"), site.mirror("fra").url());
    let got = site.desk().join("got");
    let mut download = start("curl", &["-fsSL", "-A", SLOW, "-o", "got", &url], site.desk());
    until("half a MiB has arrived", async || written(&got) >= 500_000).await;
    site.mirror_mut("fra").kill().await;
    assert!(!download.wait().await.unwrap().success());
    let had = fs::metadata(&got).unwrap().len();

    let avoiding = format!("{url}?avoid={fra}tool/1.8.2/{LINUX}");
    site.run("curl", &["-fsSL", "-C", "-", "-o", "got", &avoiding]).await.ok();
    site.assert_has("got", LINUX);
    let (mirror, request) = site.until_asked("curl", 1).await.remove(0);
    assert_eq!((mirror, request.status, request.range), ("iad", 206, format!("bytes={had}-")));
    site.stop().await;
}

#[tokio::test]
async fn once_it_is_noticed_everybody_goes_elsewhere_until_it_is_back() {
    let mut site = Site::with(Plan { interval: "50ms", ..Plan::default() }).await;
    let [fra, iad] = ["fra", "iad"].map(|name| site.mirror(name).url());
    assert!(effective_url(&site).await.starts_with(&fra));

    site.mirror_mut("fra").kill().await;
    until("clients are sent to the next", async || effective_url(&site).await.starts_with(&iad)).await;
    for program in [&["curl", "-fsSL", "-o", "got"][..], &["wget", "-q", "-O", "got"]] {
        site.run(program[0], &[&program[1..], &[&site.stable(NOTES)]].concat()).await.ok();
        site.assert_has("got", NOTES);
    }

    site.mirror_mut("fra").restart().await;
    until("it is back", async || effective_url(&site).await.starts_with(&fra)).await;
    site.assert_has("got", LINUX);
    // It came back only after one of its files was read whole again.
    let whole = |request: &crate::nginx::Request| request.status == 200 && request.range == "-";
    let hashed = site.mirror("fra").requests().into_iter().filter(whole);
    assert!(hashed.filter(|request| request.user_agent.starts_with("waypost")).count() > 3);
    site.stop().await;
}
