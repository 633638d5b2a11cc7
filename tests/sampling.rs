//! Between full passes random blocks are compared, and what they cost is seen and bounded.

#![allow(clippy::unwrap_used, missing_docs)]

#[path = "support/site.rs"]
mod site;

use site::builder::Builder;
use site::mirror::corrupted;
use site::{Behaviour, EU, Site};

const FILE: &str = "tool/1.8.2/tool.tar.gz";
const LINK: &str = "/tool/stable/tool.tar.gz";
const NOTES: &[u8] = b"one block";
/// A sample every half second, and no full pass while a test runs.
const OFTEN: &str = "[verify]\nrecheck = \"30s\"\nbudget = \"1PiB\"\n";

/// Two blocks.
fn tool() -> Vec<u8> {
    (0..300_000_u32).map(|at| (at ^ (at >> 8)) as u8).collect()
}

/// A mirror near the European client, one far away, and a release of a large file and a small one on both.
fn two_mirrors(verify: &str) -> Builder {
    Site::builder()
        .mirror("fra", |m| m.region("eu"))
        .mirror("sin", |m| m.region("ap"))
        .release("tool", "1.8.2", &[("tool.tar.gz", &tool()), ("notes", NOTES)], &["stable"])
        .config(verify)
}

async fn started(builder: Builder) -> Site {
    let site = builder.start().await;
    site.until_everywhere("tool", "1.8.2").await;
    site.until_redirected(LINK, EU, "fra").await;
    site
}

async fn samples(site: &Site, mirror: &str, outcome: &str) -> f64 {
    site.metric(&format!("waypost_samples_total{{mirror=\"{mirror}\",outcome=\"{outcome}\"}}")).await
}

async fn bytes(site: &Site, mirror: &str, purpose: &str) -> f64 {
    let line = format!("waypost_verification_bytes_total{{mirror=\"{mirror}\",purpose=\"{purpose}\"}}");
    site.metric(&line).await
}

async fn until_sampled(site: &Site, mirror: &str, outcome: &str, times: f64) {
    let wanted = samples(site, mirror, outcome).await + times;
    let what = format!("{times} samples of {mirror} are {outcome}");
    site.until(&what, async || (samples(site, mirror, outcome).await >= wanted).then_some(())).await;
}

#[tokio::test]
async fn a_block_that_changed_in_silence_is_found_by_a_sample_and_takes_the_copy_out() {
    let site = started(two_mirrors(OFTEN)).await;
    let fra = site.mirror("fra");
    let notes = fra.whole_gets("tool/1.8.2/notes");
    // The last byte, and nothing that a probe sees.
    fra.swap_in_silence(FILE, corrupted(&tool().into()));
    site.until_redirected(LINK, EU, "sin").await;
    assert_eq!(samples(&site, "fra", "wrong_digest").await, 1.0);
    assert_eq!(bytes(&site, "fra", "recheck").await, 0.0, "no full pass found it");
    site.until_copies("fra", "corrupt", 1).await;
    let again = "the release's other copy is hashed again";
    site.until(again, async || (fra.whole_gets("tool/1.8.2/notes") > notes).then_some(())).await;
    assert_eq!(samples(&site, "sin", "wrong_digest").await, 0.0);
    // A file that was repaired is found by itself.
    fra.swap_in_silence(FILE, tool());
    site.until_redirected(LINK, EU, "fra").await;
}

#[tokio::test]
async fn what_samples_cost_is_counted_and_told() {
    let site = started(two_mirrors(OFTEN)).await;
    until_sampled(&site, "fra", "right", 3.0).await;
    let first = (tool().len() + NOTES.len()) as f64;
    assert_eq!(bytes(&site, "fra", "first").await, first);
    let report = site
        .until_mirror("fra", "its samples are told", |m| {
            m["verification"]["samples_today"].as_u64() >= Some(3)
        })
        .await;
    let told = &report["verification"];
    assert_eq!((&told["budget_bytes"], &told["asked_to_verify"]), (&(1_u64 << 50).into(), &false.into()));
    assert!(told["last_sample_at"].is_string() && told["last_full_pass_at"].is_string(), "{told}");
    assert!(report["releases"][0]["passed_at"].is_string(), "{report}");
    let today = told["today_bytes"].as_f64().unwrap();
    assert!(today > 0.0 && today <= bytes(&site, "fra", "sample").await, "{told}");
    for look in site.mirror("fra").looks() {
        let ranges =
            [None, Some("bytes=0-0"), Some("bytes=0-8"), Some("bytes=0-262143"), Some("bytes=262144-299999")];
        assert!(ranges.contains(&look.range.as_deref()), "{look:?}");
    }
}

#[tokio::test]
async fn without_a_budget_nothing_is_sampled() {
    let site = started(two_mirrors("[verify]\nrecheck = \"600ms\"\nbudget = \"0B\"\n")).await;
    site.until_probed_again("fra", 30).await;
    assert_eq!(samples(&site, "fra", "right").await, 0.0);
    assert_eq!(site.mirror("fra").whole_gets(FILE), 1);
}

#[tokio::test]
async fn a_small_budget_makes_samples_rare() {
    // Half of it is one block a day.
    let site = started(two_mirrors("[verify]\nrecheck = \"600ms\"\nbudget = \"16B\"\n")).await;
    site.until_probed_again("fra", 30).await;
    let report = site.mirror_report("fra").await;
    assert!(report["verification"]["samples_today"].as_u64() <= Some(1), "{report}");
}

#[tokio::test]
async fn a_server_without_ranges_is_read_whole_and_that_is_counted() {
    let builder = two_mirrors(OFTEN).behave("fra", FILE, Behaviour::NoRanges).behave(
        "fra",
        "tool/1.8.2/notes",
        Behaviour::NoRanges,
    );
    let site = started(builder).await;
    until_sampled(&site, "fra", "no_ranges", 2.0).await;
    assert_eq!(samples(&site, "fra", "right").await, 0.0);
    assert!(bytes(&site, "fra", "recheck").await >= NOTES.len() as f64);
    site.mirror("fra").swap_in_silence(FILE, corrupted(&tool().into()));
    site.until_redirected(LINK, EU, "sin").await;
}

/// What the store remembers of the large file's blocks, made this.
fn set_blocks(site: &Site, sql: &str) {
    let database = rusqlite::Connection::open(site.state().join("waypost.db")).unwrap();
    assert_eq!(database.execute(sql, ()).unwrap(), 1);
}

#[tokio::test]
async fn blocks_are_remembered_over_a_restart_and_no_file_is_hashed_for_them_again() {
    let mut site = started(two_mirrors(OFTEN)).await;
    until_sampled(&site, "fra", "right", 1.0).await;
    site.restart().await;
    until_sampled(&site, "fra", "right", 6.0).await;
    assert_eq!(site.mirror("fra").whole_gets(FILE), 1);
    site.mirror("fra").swap_in_silence(FILE, corrupted(&tool().into()));
    site.until_redirected(LINK, EU, "sin").await;
}

#[tokio::test]
async fn blocks_that_are_damaged_or_lost_are_made_again_and_contradict_nobody() {
    let mut site = started(two_mirrors(OFTEN)).await;
    for sql in ["UPDATE blocks SET body = zeroblob(length(body))", "DELETE FROM blocks"] {
        site.stop().await.unwrap();
        set_blocks(&site, sql);
        let hashed = site.mirror("fra").whole_gets(FILE) + site.mirror("sin").whole_gets(FILE);
        site.run().await.unwrap();
        site.until("the file is hashed again", async || {
            let now = site.mirror("fra").whole_gets(FILE) + site.mirror("sin").whole_gets(FILE);
            (now > hashed).then_some(())
        })
        .await;
        until_sampled(&site, "fra", "right", 4.0).await;
        assert_eq!(samples(&site, "fra", "wrong_digest").await, 0.0);
        assert_eq!(site.get(LINK, EU).await.mirror(), Some("fra"));
    }
}
