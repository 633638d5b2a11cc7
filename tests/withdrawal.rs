//! Withdrawal: nobody is sent to a withdrawn release, whatever happens; and what they are told instead.

#![allow(clippy::unwrap_used, missing_docs)]

#[path = "support/site.rs"]
mod site;

use http::Method;
use serde_json::json;
use site::orders::{hold, promote, restore, rollback, withdraw};
use site::{Answer, Builder, EU, Mirror, Site, own_address, sha256};
use waypost::workers::fact::Refused;

const ONE: &[(&str, &[u8])] = &[("tool-1.0-linux-amd64.tar.gz", b"one"), ("notes.txt", b"notes of one")];
const TWO: &[(&str, &[u8])] =
    &[("tool-2.0-linux-amd64.tar.gz", b"two"), ("notes.txt", b"notes of two"), ("only-two", b"2")];
const LINK: &str = "http://dl.example/tool/";

fn site(promote: &str) -> Builder {
    Site::builder()
        .mirror("fra", |m| m.region("eu"))
        .mirror("sin", |m| m.region("ap"))
        .server("public_url = \"http://dl.example\"")
        .release("tool", "1.0", ONE, &["stable"])
        .config(&format!("[redirect]\nttl = \"1s\"\n[[channel]]\nname = \"stable\"\npromote = {promote:?}\n"))
}

/// Stable came to 1.0 and then to 2.0.
async fn at_two() -> Site {
    let site = site("auto").start().await;
    site.until_channel("tool", "stable", "1.0").await;
    site.publish("tool", "2.0", TWO, &["stable"]);
    site.until_channel("tool", "stable", "2.0").await;
    site.until_everywhere("tool", "2.0").await;
    site
}

async fn at(site: &Site) -> String {
    site.get("/tool/stable/version.txt", EU).await.text().trim().to_owned()
}

fn assert_gone(answer: &Answer, replacement: &str) {
    assert_eq!(answer.status, 410, "{}", answer.text());
    assert_eq!(answer.header("location"), "");
    assert_eq!(answer.header("cache-control"), "private, max-age=1", "for the ttl at most");
    assert_eq!(answer.header("link"), format!("<{LINK}{replacement}>; rel=successor-version"));
}

#[tokio::test]
async fn nothing_of_a_withdrawn_release_is_answered_but_that_it_is_gone_and_what_to_take() {
    let site = at_two().await;
    let order = site.wish(withdraw("2.0", None), "it eats files").await.unwrap();
    assert_eq!((&*order.actor, &*order.reason), ("ci", "it eats files"));
    for (path, replacement) in [
        ("/tool/2.0/tool-2.0-linux-amd64.tar.gz", "1.0/tool-1.0-linux-amd64.tar.gz"),
        ("/tool/v2.0/tool-2.0-linux-amd64.tar.gz", "1.0/tool-1.0-linux-amd64.tar.gz"),
        ("/tool/2.0/tool-2.0-linux-amd64.tar.gz.sha256", "1.0/tool-1.0-linux-amd64.tar.gz"),
        ("/tool/2.0/tool-2.0-linux-amd64.tar.gz.meta4", "1.0/tool-1.0-linux-amd64.tar.gz"),
        ("/tool/2.0/tool-2.0-linux-amd64.tar.gz?mirrors", "1.0/tool-1.0-linux-amd64.tar.gz"),
        ("/tool/2.0/linux-amd64", "1.0/tool-1.0-linux-amd64.tar.gz"),
        ("/tool/install?version=2.0&platform=linux-amd64", "1.0/tool-1.0-linux-amd64.tar.gz"),
        ("/tool/2.0/notes.txt", "1.0/notes.txt"),
        ("/tool/2.0/only-two", "1.0/SHA256SUMS"),
        ("/tool/2.0/never-was", "1.0/SHA256SUMS"),
        ("/tool/2.0/SHA256SUMS", "1.0/SHA256SUMS"),
        ("/tool/2.0/version.txt", "1.0/SHA256SUMS"),
    ] {
        let answer = site.get(path, EU).await;
        assert_gone(&answer, replacement);
        assert_eq!(answer.header("content-type"), "application/problem+json", "{path}");
        let problem = answer.json();
        assert_eq!((&problem["status"], &problem["title"]), (&json!(410), &json!("Gone")));
        assert_eq!((&problem["detail"], &problem["replacement"]), (&json!("it eats files"), &json!("1.0")));
    }
    // Whoever does not say which platform is told so first.
    assert_eq!(site.get("/tool/install?version=2.0", EU).await.status, 400);
    let headers = [("x-forwarded-for", EU), ("accept", "text/plain")];
    let text = site.request(Method::GET, "/tool/2.0/notes.txt", &headers).await;
    assert_gone(&text, "1.0/notes.txt");
    assert_eq!(text.text(), "Gone: it eats files\n");
    let counted = "waypost_requests_total{channel=\"\",outcome=\"withdrawn\",product=\"tool\",region=\"eu\"}";
    assert_eq!(site.metric(counted).await, 13.0);
    site.wish(withdraw("2.0", None), "it <b>eats</b>\nfiles").await.unwrap();
    let headers = [("x-forwarded-for", EU), ("accept", "text/html,*/*;q=0.8")];
    let page = site.request(Method::GET, "/tool/2.0/notes.txt", &headers).await;
    assert_gone(&page, "1.0/notes.txt");
    assert_eq!(page.header("content-type"), "text/html; charset=utf-8");
    let link = "<a href=\"http://dl.example/tool/1.0/notes.txt\">1.0</a>";
    let told =
        format!("<h1>Gone</h1>\n<p>it &lt;b&gt;eats&lt;/b&gt; files</p>\n<p>Take {link} instead.</p>\n");
    assert!(page.text().ends_with(&told), "{}", page.text());
    let explained = site.admin(&format!("/v1/explain?path=/tool/2.0/notes.txt&ip={EU}")).await.json();
    assert_eq!((&explained["outcome"], &explained["status"]), (&json!("withdrawn"), &json!(410)));
}

#[tokio::test]
async fn channels_step_down_with_the_order_itself() {
    let site = at_two().await;
    site.wish(withdraw("2.0", None), "bad").await.unwrap();
    // The order was acknowledged: there is no moment in between.
    assert_eq!(at(&site).await, "1.0");
    for path in ["/tool/stable/notes.txt.sha256", "/tool/latest/notes.txt.sha256"] {
        assert!(site.get(path, EU).await.text().contains(&sha256(b"notes of one")));
    }
    let line = site.channel_report("stable").await;
    assert_eq!((&line["version"], &line["gone"]), (&json!("1.0"), &json!(false)));
    let orders = site.handle().orders(u64::MAX, 1).await.unwrap().unwrap();
    assert_eq!(
        (&*orders[0].actor, &*orders[0].reason),
        ("waypost", "2.0, which it pointed to, is withdrawn")
    );
    let report = site.release_report("2.0").await;
    let withdrawn = &report["withdrawn"];
    assert_eq!((&withdrawn["actor"], &withdrawn["reason"]), (&json!("ci"), &json!("bad")));
    assert_eq!(report["holders_left"], json!(["fra", "sin"]));
    assert_eq!(site.release_report("1.0").await["withdrawn"], json!(null));
}

#[tokio::test]
async fn a_mirror_that_deletes_withdrawn_files_is_well_and_no_holder_any_more() {
    let site = at_two().await;
    site.obeyed(withdraw("2.0", None)).await;
    for (name, _) in TWO {
        site.mirror("fra").remove(&format!("tool/2.0/{name}"));
    }
    site.until("fra is seen to hold nothing of it", async || {
        (site.release_report("2.0").await["holders_left"] == json!(["sin"])).then_some(())
    })
    .await;
    site.until_probed_again("fra", 6).await;
    assert_eq!(site.mirror_report("fra").await["state"], "healthy");
    assert_eq!(site.get("/tool/stable/notes.txt", EU).await.status, 302);
}

#[tokio::test]
async fn the_replacement_is_the_one_that_was_named_while_it_is_good() {
    let site = at_two().await;
    site.publish("tool", "1.5", ONE, &[]);
    site.until_everywhere("tool", "1.5").await;
    for (replacement, why) in [
        ("9.9", "9.9 cannot replace it: it is not published"),
        ("2.0", "2.0 cannot replace it: it is the release that is to be withdrawn"),
    ] {
        match site.refused(withdraw("2.0", Some(replacement))).await {
            Refused::Forbidden(text) => assert!(text.ends_with(why), "{text}"),
            other => panic!("{other}"),
        }
    }
    site.obeyed(withdraw("2.0", None)).await;
    assert_gone(&site.get("/tool/2.0/notes.txt", EU).await, "1.0/notes.txt");
    // Again, to say more.
    site.wish(withdraw("2.0", Some("1.5")), "see the notes").await.unwrap();
    let answer = site.get("/tool/2.0/notes.txt", EU).await;
    assert_gone(&answer, "1.5/notes.txt");
    assert_eq!(answer.json()["detail"], "see the notes");
    site.obeyed(withdraw("1.5", None)).await;
    assert_gone(&site.get("/tool/2.0/notes.txt", EU).await, "1.0/notes.txt");
    let refused = site.refused(withdraw("2.0", Some("1.5"))).await;
    assert!(refused.to_string().ends_with("1.5 cannot replace it: it is withdrawn itself"), "{refused}");
    assert!(matches!(site.refused(withdraw("9.9", None)).await, Refused::Unknown(_)));
    let refused = site.refused(promote("2.0", "stable")).await;
    assert!(matches!(&refused, Refused::Forbidden(why) if why.contains("see the notes")), "{refused}");
}

#[tokio::test]
async fn a_channel_with_nothing_left_is_gone_until_there_is_something() {
    let site = site("auto").start().await;
    site.until_channel("tool", "stable", "1.0").await;
    site.obeyed(withdraw("1.0", None)).await;
    for path in ["/tool/stable/notes.txt", "/tool/latest/notes.txt", "/tool/stable/version.txt"] {
        let answer = site.get(path, EU).await;
        assert_eq!((answer.status.as_u16(), answer.header("link")), (410, ""), "{path}");
    }
    assert_eq!(site.channel_report("stable").await["gone"], true);
    let counted =
        "waypost_requests_total{channel=\"stable\",outcome=\"withdrawn\",product=\"tool\",region=\"eu\"}";
    assert_eq!(site.metric(counted).await, 3.0);
    site.obeyed(restore("1.0")).await;
    assert_eq!(at(&site).await, "1.0", "with the order");
    site.obeyed(withdraw("1.0", None)).await;
    // A lower one will do.
    site.publish("tool", "0.9", ONE, &["stable"]);
    site.until_channel("tool", "stable", "0.9").await;
    assert_eq!(at(&site).await, "0.9");
}

#[tokio::test]
async fn a_held_or_manual_channel_steps_down_as_well_and_never_up() {
    for promote in ["auto", "manual"] {
        let site = site(promote).start().await;
        site.until_everywhere("tool", "1.0").await;
        site.obeyed(site::orders::promote("1.0", "stable")).await;
        for version in ["2.0", "3.0"] {
            site.publish("tool", version, TWO, &["stable"]);
            site.until_everywhere("tool", version).await;
            if version == "2.0" {
                site.obeyed(site::orders::promote("2.0", "stable")).await;
                site.obeyed(hold("stable")).await;
            }
        }
        site.obeyed(withdraw("2.0", None)).await;
        assert_eq!(at(&site).await, "1.0");
        site.obeyed(withdraw("1.0", None)).await;
        assert_eq!(site.get("/tool/stable/notes.txt", EU).await.status, 410, "3.0 is not for it to take");
    }
}

#[tokio::test]
async fn a_channel_that_was_set_back_by_hand_does_not_return_by_a_withdrawal() {
    let site = at_two().await;
    site.publish("tool", "3.0", TWO, &["stable"]);
    site.until_channel("tool", "stable", "3.0").await;
    site.obeyed(rollback("stable")).await;
    site.obeyed(withdraw("2.0", None)).await;
    assert_eq!(at(&site).await, "1.0");
    site.until_probed_again("fra", 3).await;
    assert_eq!(at(&site).await, "1.0", "3.0 was left on purpose");
    assert_eq!(site.channel_report("stable").await["above"], "3.0");
    site.obeyed(withdraw("1.0", None)).await;
    assert_eq!(site.get("/tool/stable/notes.txt", EU).await.status, 410);
    site.publish("tool", "3.1", TWO, &["stable"]);
    site.until_channel("tool", "stable", "3.1").await;
    assert_eq!(site.channel_report("stable").await["above"], json!(null), "it moves by itself again");
}

#[tokio::test]
async fn restoring_lets_a_channel_up_again_by_the_rules() {
    let site = at_two().await;
    for (wish, unknown) in [(restore("9.9"), true), (restore("2.0"), false)] {
        let refused = site.refused(wish).await;
        assert_eq!(matches!(refused, Refused::Unknown(_)), unknown, "{refused}");
    }
    site.obeyed(withdraw("2.0", None)).await;
    site.obeyed(hold("stable")).await;
    site.obeyed(restore("2.0")).await;
    assert_eq!(site.get("/tool/2.0/notes.txt", EU).await.status, 302);
    assert_eq!(at(&site).await, "1.0", "it is held");
    site.obeyed(site::orders::release("stable")).await;
    assert_eq!(at(&site).await, "2.0");
}

fn lose_database(site: &Site) {
    for name in ["waypost.db", "waypost.db-wal", "waypost.db-shm"] {
        let _ = std::fs::remove_file(site.state().join(name));
    }
    assert!(!site.state().join("waypost.db").exists());
}

#[tokio::test]
async fn a_withdrawal_survives_a_kill_an_origin_that_is_away_and_the_loss_of_the_database() {
    let mut site = at_two().await;
    site.wish(withdraw("2.0", None), "it eats files").await.unwrap();
    site.kill();
    site.break_origin();
    site.run_again().await;
    site.until_status("/tool/stable/notes.txt", EU, 302).await;
    assert_gone(&site.get("/tool/2.0/notes.txt", EU).await, "1.0/notes.txt");
    assert_eq!(at(&site).await, "1.0");
    site.stop().await.unwrap();
    lose_database(&site);
    site.run().await.unwrap();
    // Nothing is known of what is published; and nobody is sent anywhere.
    site.until_status("/tool/2.0/notes.txt", EU, 503).await;
    site.restore_origin();
    site.until_status("/tool/stable/notes.txt", EU, 302).await;
    site.until_everywhere("tool", "2.0").await;
    let answer = site.get("/tool/2.0/notes.txt", EU).await;
    assert_gone(&answer, "1.0/notes.txt");
    assert_eq!(answer.json()["detail"], "it eats files");
    assert_eq!(at(&site).await, "1.0");
}

#[tokio::test]
async fn a_withdrawn_release_that_leaves_the_origin_and_comes_back_is_withdrawn() {
    let site = at_two().await;
    site.obeyed(withdraw("2.0", None)).await;
    site.unpublish("tool", "2.0");
    site.until("it is retired", async || site.release_report("2.0").await.is_null().then_some(())).await;
    assert_gone(&site.get("/tool/2.0/notes.txt", EU).await, "1.0/notes.txt");
    site.publish("tool", "2.0", TWO, &["stable"]);
    site.until_everywhere("tool", "2.0").await;
    assert_gone(&site.get("/tool/2.0/notes.txt", EU).await, "1.0/notes.txt");
    assert_eq!(at(&site).await, "1.0");
}

fn manifest(site: &Site, version: &str) -> serde_json::Value {
    let path = site.origin().join(format!("tool/{version}/manifest.json"));
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

#[tokio::test]
async fn a_manifest_withdraws_and_leaving_it_out_does_not_restore() {
    let site = at_two().await;
    let good = manifest(&site, "2.0");
    let mut bad = good.clone();
    bad["withdrawn"] = "it eats files".into();
    site.write_origin("tool/2.0/manifest.json", bad.to_string().as_bytes());
    let answer = site.until_status("/tool/2.0/notes.txt", EU, 410).await;
    assert_gone(&answer, "1.0/notes.txt");
    assert_eq!(answer.json()["detail"], "it eats files");
    assert_eq!(at(&site).await, "1.0");
    assert_eq!(site.release_report("2.0").await["withdrawn"]["actor"], "origin");
    let refused = site.refused(restore("2.0")).await;
    assert!(refused.to_string().ends_with("take `withdrawn` out of its manifest first"), "{refused}");
    site.write_origin("tool/2.0/manifest.json", good.to_string().as_bytes());
    site.until("the manifest is read", async || match site.wish(restore("2.0"), "fixed").await {
        Ok(_) => Some(()),
        Err(refused) => {
            assert!(matches!(refused, Refused::Forbidden(_)), "{refused}");
            assert!(site.get("/tool/2.0/notes.txt", EU).await.status == 410);
            None
        }
    })
    .await;
    assert_eq!(at(&site).await, "2.0");
}

#[tokio::test]
async fn an_index_withdraws_what_is_published_and_what_is_not() {
    let origin = Mirror::start(own_address(), None).await;
    let mut site = site("auto").origin(&format!("url = {:?}", origin.url())).lay_out().await;
    let path = "tool/1.0/manifest.json";
    origin.put(path, std::fs::read(site.origin().join(path)).unwrap());
    let index = |sequence: u64, withdrawn: serde_json::Value| {
        let index = json!({ "schema": 1, "sequence": sequence, "manifests": [path], "withdrawn": withdrawn });
        origin.put("index.json", index.to_string());
    };
    index(1, json!([]));
    site.run().await.unwrap();
    site.until_channel("tool", "stable", "1.0").await;
    index(
        2,
        json!([
            { "product": "tool", "version": "v2.0", "reason": "never came" },
            { "product": "gone", "version": "7" },
        ]),
    );
    let answer = site.until_status("/tool/2.0/notes.txt", EU, 410).await;
    assert_gone(&answer, "1.0/notes.txt");
    assert_eq!(answer.json()["detail"], "never came");
    let answer = site.get("/gone/7/anything", EU).await;
    assert_eq!((answer.status.as_u16(), answer.header("link")), (410, ""), "a product that is not known");
    assert_eq!(site.get("/gone/8/anything", EU).await.status, 404);
    index(3, json!([{ "product": "tool", "version": "1.0", "reason": "bad" }]));
    site.until_status("/tool/stable/notes.txt", EU, 410).await;
    let refused = site.refused(restore("1.0")).await;
    assert!(refused.to_string().ends_with("take it out of the index first"), "{refused}");
    // What left the index stays withdrawn, once.
    let orders = site.handle().orders(u64::MAX, 100).await.unwrap().unwrap();
    index(4, json!([{ "product": "tool", "version": "1.0", "reason": "bad", "replacement": "0.9" }]));
    site.until("the index corrects itself", async || {
        (site.release_report("1.0").await["withdrawn"]["replacement"] == "0.9").then_some(())
    })
    .await;
    let looks = origin.whole_gets("index.json");
    site.until("more looks", async || (origin.whole_gets("index.json") >= looks + 3).then_some(())).await;
    let after = site.handle().orders(u64::MAX, 100).await.unwrap().unwrap();
    assert_eq!(after.len(), orders.len() + 1, "an order each, not one with every look");
    assert_eq!(site.get("/tool/2.0/notes.txt", EU).await.status, 410);
    site.restart().await;
    site.until_status("/tool/stable/notes.txt", EU, 410).await;
    assert_eq!(site.get("/gone/7/anything", EU).await.status, 410);
}
