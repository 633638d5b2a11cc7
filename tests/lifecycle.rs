//! The service's life: cold and warm starts, graceful and abrupt ends, and what a state folder can do to it.

#![allow(clippy::unwrap_used, missing_docs)]

#[path = "support/disk.rs"]
mod disk;
#[path = "support/site.rs"]
mod site;

use std::sync::Arc;

use disk::SmallDisk;
use site::{AP, Behaviour, Builder, EU, Site};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use waypost::app::AppError;
use waypost::store::{Action, StoreError};
use waypost::workers::fact::{Instruction, Refused, Wish};

const TOOL: &[u8] = b"the tool, byte for byte";
const FILE: &str = "tool/1.8.2/tool-1.8.2-linux-amd64.tar.gz";
const LINK: &str = "/tool/1.8.2/tool-1.8.2-linux-amd64.tar.gz";

fn one_mirror() -> Builder {
    Site::builder().mirror("fra", |m| m.region("eu")).release(
        "tool",
        "1.8.2",
        &[("tool-1.8.2-linux-amd64.tar.gz", TOOL)],
        &["stable"],
    )
}

#[tokio::test]
async fn before_the_origin_was_ever_read_every_link_is_503_and_readyz_says_why() {
    let site = one_mirror().unreadable_origin().start().await;
    site.until("the origin was tried", async || {
        (site.metric("waypost_origin_polls_total{outcome=\"unreadable\"}").await >= 1.0).then_some(())
    })
    .await;
    let answer = site.get(LINK, EU).await;
    assert_eq!(answer.status, 503);
    assert_ne!(answer.header("retry-after"), "");
    assert_eq!(answer.header("cache-control"), "no-store");
    assert_eq!(site.get("/-/readyz", EU).await.status, 503);
    assert_eq!(site.get("/-/healthz", EU).await.status, 200);
    let ready = site.admin("/readyz").await;
    assert_eq!((ready.status.as_u16(), &ready.json()["ready"]), (503, &false.into()));
    let reason = ready.json()["reasons"][0].as_str().unwrap().to_owned();
    assert!(reason.contains("origin") && reason.contains("cannot be listed"), "{reason}");
    assert_eq!(site.admin("/v1/explain?path=/tool/stable/x&ip=10.1.0.1").await.status, 503);

    site.restore_origin();
    site.until_redirected(LINK, EU, "fra").await;
    assert_eq!(site.get("/-/readyz", EU).await.status, 200);
    assert_eq!(site.admin("/readyz").await.status, 200);
}

#[tokio::test]
async fn the_first_redirect_comes_after_the_first_verification() {
    let gate = Arc::new(Semaphore::new(0));
    let site = one_mirror().behave("fra", FILE, Behaviour::Gated(Arc::clone(&gate))).start().await;
    site.until("it is being hashed", async || (site.mirror("fra").whole_gets(FILE) == 1).then_some(())).await;
    site.until_probed_again("fra", 3).await;
    let answer = site.get(LINK, EU).await;
    assert_eq!((answer.status.as_u16(), answer.mirror()), (503, None));
    assert_eq!(site.get("/tool/stable/linux-amd64", EU).await.status, 503);
    gate.add_permits(1);
    site.until_redirected(LINK, EU, "fra").await;
}

#[tokio::test]
async fn every_kind_of_link_leads_to_the_file() {
    let site = one_mirror().start().await;
    site.until_redirected("/tool/stable/linux-amd64", EU, "fra").await;
    let file = format!("{}{FILE}", site.mirror("fra").url());
    for link in [
        LINK,
        "/tool/v1.8.2/tool-1.8.2-linux-amd64.tar.gz",
        "/tool/stable/tool-1.8.2-linux-amd64.tar.gz",
        "/tool/stable/tool-linux-amd64.tar.gz",
        "/tool/latest/tool-linux-amd64.tar.gz",
        "/tool/latest/linux-amd64",
        "/tool/1.8.2/linux-x86_64",
        "/tool/install?platform=linux-amd64",
        "/tool/install?version=1.8.2&platform=x86_64-linux",
    ] {
        let answer = site.get(link, EU).await;
        assert_eq!((answer.status.as_u16(), answer.header("location")), (302, &*file), "{link}");
    }
    assert_eq!(site.get("/tool/stable/version.txt", EU).await.text(), "1.8.2\n");
    let sums = format!("{}  tool-1.8.2-linux-amd64.tar.gz\n", site::sha256(TOOL));
    assert_eq!(site.get(&format!("{LINK}.sha256"), EU).await.text(), sums);
    assert_eq!(site.get("/tool/1.8.2/SHA256SUMS", EU).await.text(), sums);
    assert_eq!(site.get("/tool/install", EU).await.status, 400);
    assert_eq!(site.get("/tool/1.8.3/linux-amd64", EU).await.status, 404);
}

#[tokio::test]
async fn a_restart_is_warm_it_needs_neither_the_origin_nor_a_new_hash_only_a_look() {
    let mut site = one_mirror().start().await;
    site.until_redirected(LINK, EU, "fra").await;
    for abrupt in [false, true] {
        let fra = site.mirror("fra").clone();
        let hashes = fra.whole_gets(FILE);
        site.break_origin();
        fra.behave_everywhere(Behaviour::Silent);
        if abrupt {
            site.kill();
            site.run_again().await;
        } else {
            site.restart().await;
        }
        let version = site.until_status("/tool/stable/version.txt", EU, 200).await;
        assert_eq!(version.text(), "1.8.2\n", "this needs no mirror");
        let answer = site.get(LINK, EU).await;
        assert_eq!(answer.status, 503, "the mirror was not seen yet, so nobody is sent there");
        assert_ne!(answer.header("retry-after"), "");
        assert_eq!(site.get("/-/readyz", EU).await.status, 503);
        // Probes that are under way give up after their timeout.
        fra.stop().await;
        fra.recover();
        fra.resume();
        site.until_redirected(LINK, EU, "fra").await;
        assert_eq!(fra.whole_gets(FILE), hashes, "abrupt: {abrupt}");
        assert_eq!(site.get("/-/readyz", EU).await.status, 200);
        let warning = site.admin("/readyz").await.json()["warnings"][0].as_str().unwrap().to_owned();
        assert!(warning.contains("the origin cannot be read"), "{warning}");
        site.restore_origin();
    }
}

#[tokio::test]
async fn a_copy_that_was_contradicted_stays_out_over_a_restart() {
    let mut site = one_mirror().mirror("sin", |m| m.region("ap")).start().await;
    site.until_redirected(LINK, EU, "fra").await;
    site.until_redirected(LINK, AP, "sin").await;
    let gate = Arc::new(Semaphore::new(0));
    site.mirror("fra").touch(FILE);
    site.mirror("fra").behave(FILE, Behaviour::Gated(Arc::clone(&gate)));
    site.until_redirected(LINK, EU, "sin").await;
    site.kill();
    site.run_again().await;
    site.until_mirror("fra", "is healthy", |m| m["healthy"] == true).await;
    site.until_redirected(LINK, AP, "sin").await;
    site.until_probed_again("fra", 3).await;
    assert_eq!(site.get(LINK, EU).await.mirror(), Some("sin"));
    gate.add_permits(9);
    site.until_redirected(LINK, EU, "fra").await;
}

#[tokio::test]
async fn a_graceful_stop_finishes_what_was_begun_and_takes_nothing_new() {
    let mut site = one_mirror().start().await;
    site.until_redirected(LINK, EU, "fra").await;
    let mut begun = TcpStream::connect(site.address()).await.unwrap();
    begun.write_all(format!("GET {LINK} HTTP/1.1\r\nhost: x\r\n").as_bytes()).await.unwrap();
    // The service has seen the beginning once it answers somebody who came later.
    assert_eq!(site.get(LINK, EU).await.status, 302);
    let address = site.address();

    site.begin_stop();
    site::soon("new connections are refused", async || TcpStream::connect(address).await.err()).await;
    let ready = site.admin("/readyz").await;
    assert!(ready.status == 503 && ready.text().contains("stopping"), "{}", ready.text());
    let mut answer = String::new();
    begun.write_all(b"\r\n").await.unwrap();
    begun.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 302") && answer.contains("waypost-mirror: fra"), "{answer}");
    site.ended().await.unwrap();
    assert!(!site.state().join("admin.sock").exists());
}

#[tokio::test]
async fn a_client_that_never_finishes_does_not_hold_a_stop_up_beyond_the_drain() {
    let mut site = one_mirror().server("drain = \"100ms\"").start().await;
    let mut silent = TcpStream::connect(site.address()).await.unwrap();
    silent.write_all(b"GET / HTTP/1.1\r\nhost:").await.unwrap();
    assert_eq!(site.get("/-/healthz", EU).await.status, 200);
    let began = std::time::Instant::now();
    site.stop().await.unwrap();
    assert!(began.elapsed().as_secs() < 5, "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_state_folder_that_is_in_use_is_refused_with_the_remedy() {
    let first = one_mirror().start().await;
    let state = format!("state = {:?}", first.state());
    let error = one_mirror().server(&state).try_start().await.err().unwrap();
    assert!(matches!(error, AppError::Store(StoreError::InUse { .. })), "{error}");
    let said = error.to_string();
    assert!(
        said.contains(&std::process::id().to_string()) && said.contains("another [server] state"),
        "{said}"
    );
    first.until_redirected(LINK, EU, "fra").await;
}

#[tokio::test]
async fn a_state_folder_that_cannot_be_is_refused_with_the_remedy() {
    for (path, remedy) in [
        ("/dev/null", "is not a folder"),
        ("/dev/null/state", "is not a folder"),
        ("/sys/waypost", "writable"),
    ] {
        let error = one_mirror().server(&format!("state = {path:?}")).try_start().await.err().unwrap();
        assert!(error.to_string().contains(remedy), "{path}: {error}");
    }
}

#[tokio::test]
async fn a_garbage_database_is_set_aside_and_no_order_is_lost() {
    let mut site = one_mirror().mirror("sin", |m| m.region("ap")).start().await;
    site.until_everywhere("tool", "1.8.2").await;
    site.order("fra", "drain").await;
    site.stop().await.unwrap();
    let hashes = site.mirror("sin").whole_gets(FILE);
    std::fs::write(site.state().join("waypost.db"), vec![0x5a; 64 << 10]).unwrap();
    site.run().await.unwrap();
    site.until_redirected(LINK, EU, "sin").await;
    assert_eq!(site.mirror("sin").whole_gets(FILE), hashes + 1, "what was verified is verified again");
    site.until_copies("fra", "verified", 1).await;
    assert_eq!(site.mirror_report("fra").await["drained"], true);
    assert_eq!(site.get(LINK, EU).await.mirror(), Some("sin"));
    assert_eq!(site.metric("waypost_state_lost").await, 0.0);
    let kept = std::fs::read_dir(site.state()).unwrap();
    assert!(kept.filter_map(Result::ok).any(|e| e.file_name().to_string_lossy().contains("damaged")));
}

#[tokio::test]
async fn when_database_and_journal_are_lost_the_service_starts_and_says_so() {
    let mut site = one_mirror().start().await;
    site.until_redirected(LINK, EU, "fra").await;
    assert_eq!(site.metric("waypost_state_lost").await, 0.0);
    site.stop().await.unwrap();
    for name in ["waypost.db", "orders.jsonl"] {
        std::fs::remove_file(site.state().join(name)).unwrap();
    }
    site.run().await.unwrap();
    site.until_redirected(LINK, EU, "fra").await;
    assert_eq!(site.metric("waypost_state_lost").await, 1.0);
    let warnings = site.admin("/readyz").await.json()["warnings"].to_string();
    assert!(warnings.contains("state_lost"), "{warnings}");
}

#[tokio::test]
async fn on_a_full_disk_answers_go_on_and_no_order_is_acknowledged() {
    let Some(disk) = SmallDisk::mount() else { return };
    let state = format!("state = {:?}", disk.path().join("state"));
    let site = one_mirror().mirror("sin", |m| m.region("ap")).server(&state).start().await;
    site.until_redirected(LINK, EU, "fra").await;
    site.until_redirected(LINK, AP, "sin").await;
    disk.fill(0);
    // Long reasons, so that what is left of a page is soon used up. All but the last are in force and undone again.
    let order = async |action: Action| {
        let instruction =
            Instruction { actor: "test".into(), reason: "x".repeat(3000), wish: Wish::Plain(action) };
        site.handle().order(instruction).await
    };
    let mirror = waypost::model::MirrorName::new("fra").unwrap();
    let refused = site.until("an order is refused", async || {
        match order(Action::MirrorDrain { mirror: mirror.clone() }).await {
            Err(refused) => Some(refused),
            Ok(_) => order(Action::MirrorUndrain { mirror: mirror.clone() }).await.err(),
        }
    });
    let refused = refused.await;
    assert!(
        matches!(refused, Refused::NotDurable(_)) && refused.to_string().contains("make room"),
        "{refused}"
    );
    assert!(site.metric("waypost_store_errors_total").await >= 1.0);
    let warnings = site.admin("/readyz").await.json()["warnings"].to_string();
    assert!(warnings.contains("the store cannot be written"), "{warnings}");
    // What is known to be wrong is not served, whether or not it can be written down.
    site.mirror("sin").behave(FILE, Behaviour::Page);
    let other = if site.mirror_report("fra").await["drained"] == true { None } else { Some("fra") };
    site.until("nobody is sent to the bad copy", async || {
        (site.get(LINK, AP).await.mirror() == other).then_some(())
    })
    .await;

    disk.make_room();
    site.order("fra", "undrain").await;
    site.until_redirected(LINK, AP, "fra").await;
    site.mirror("sin").recover();
    site.until_redirected(LINK, AP, "sin").await;
    site.until("the warning goes", async || {
        site.admin("/readyz").await.json()["warnings"].as_array()?.is_empty().then_some(())
    })
    .await;
}
