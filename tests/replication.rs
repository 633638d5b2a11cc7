//! Who should hold what: tiers, retention, the lists for replicators, and who is told.

#![allow(clippy::unwrap_used, missing_docs)]

#[path = "support/nginx.rs"]
mod nginx;
#[path = "support/process.rs"]
mod process;
#[path = "support/site.rs"]
mod site;
#[path = "replication/tiers.rs"]
mod tiers;

use std::time::Duration;

use http::{Method, StatusCode};
use nginx::Nginx;
use serde_json::{Value, json};
use site::{Builder, Site, own_address, sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use waypost::model::{ProductName, Version};
use waypost::store::Action;
use waypost::workers::fact::{Instruction, Wish};

const TOOL: &[(&str, &[u8])] = &[("tool.tar.gz", b"the tool"), ("docs/read me.txt", b"read me")];

fn mirrors() -> Builder {
    Site::builder()
        .mirror("fra", |m| m.region("eu"))
        .mirror("ams", |m| m.region("eu"))
        .mirror("sin", |m| m.region("ap"))
        .release("tool", "1.0", TOOL, &["stable"])
}

async fn files(site: &Site, mirror: &str, query: &str) -> String {
    let answer = site.admin(&format!("/v1/mirrors/{mirror}/files{query}")).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    answer.text().to_owned()
}

async fn withdraw(site: &Site, version: &str) {
    let (product, version) = (ProductName::new("tool").unwrap(), Version::parse(version).unwrap());
    let action = Action::ReleaseWithdraw { product, version, replacement: None };
    let instruction =
        Instruction { actor: "test".into(), reason: "it is bad".into(), wish: Wish::Plain(action) };
    site.handle().order(instruction).await.unwrap();
}

#[tokio::test]
async fn a_list_has_each_file_where_it_lies_and_how_it_is_there() {
    let site = mirrors()
        .mirror("flat", |m| m.region("us").line("layout = \"v{version}/{product}-{asset}\""))
        .mirror("none", |m| m.region("us").line("tier = \"nothing\""))
        .config("[[tier]]\nname = \"nothing\"\nreleases = \"none\"\n")
        .start()
        .await;
    site.mirror("ams").behave("tool/1.0/docs/read%20me.txt", site::Behaviour::Status(404));
    site.until_copies("fra", "verified", 1).await;
    let json: Value = serde_json::from_str(&files(&site, "flat", "").await).unwrap();
    assert_eq!((&json["mirror"], &json["tier"], &json["bytes"]), (&json!("flat"), &json!("all"), &json!(15)));
    let file = &json["files"][1];
    assert_eq!(file["path"], "v1.0/tool-docs/read me.txt");
    assert_eq!(file["origin"], "tool/1.0/docs/read me.txt");
    assert_eq!(file["url"], Value::Null, "the origin is a folder");
    assert_eq!((&file["size"], &file["sha256"]), (&json!(7), &json!(sha256(b"read me"))));
    assert_eq!(
        (&file["product"], &file["version"], &file["asset"]),
        (&json!("tool"), &json!("1.0"), &json!("docs/read me.txt"))
    );
    assert!(["missing", "pending"].contains(&file["state"].as_str().unwrap()), "{file}");
    let none: Value = serde_json::from_str(&files(&site, "none", "").await).unwrap();
    assert_eq!(none["files"], json!([]));
    assert_eq!(none["unwanted"][0]["reason"], "tier");
    assert_eq!(
        files(&site, "fra", "?format=list").await,
        "tool/1.0/tool.tar.gz\ntool/1.0/docs/read me.txt\n"
    );
    assert_eq!(files(&site, "fra", "?format=list&product=agent").await, "");

    let refused = site.admin("/v1/mirrors/flat/files?format=rsync").await;
    assert_eq!(refused.status, StatusCode::CONFLICT);
    assert!(refused.text().contains("layout"), "{}", refused.text());
    for (path, status) in
        [("nobody/files", 404), ("fra/files?format=zip", 400), ("fra/files?missing=maybe", 400)]
    {
        assert_eq!(site.admin(&format!("/v1/mirrors/{path}")).await.status, status, "{path}");
    }
    assert_eq!(site.local(Method::POST, "/v1/mirrors/fra/files").await.status, 405);
}

#[tokio::test]
async fn what_is_withdrawn_leaves_the_lists_at_once() {
    let site = mirrors().start().await;
    site.publish("tool", "2.0", &TOOL[..1], &["stable"]);
    site.until_channel("tool", "stable", "2.0").await;
    assert!(files(&site, "fra", "?format=list").await.contains("tool/2.0/"));
    withdraw(&site, "2.0").await;
    assert!(!files(&site, "fra", "?format=list").await.contains("tool/2.0/"));
    let json: Value = serde_json::from_str(&files(&site, "fra", "").await).unwrap();
    let unwanted = json["unwanted"][0].clone();
    assert_eq!((&unwanted["version"], &unwanted["reason"]), (&json!("2.0"), &json!("withdrawn")));
    assert_eq!(unwanted["copies"], 1, "it still holds it");
}

#[tokio::test]
async fn apt_is_sent_to_mirrors_of_the_region_that_hold_everything_and_then_to_the_origin() {
    let origin = site::Mirror::start(own_address(), None).await;
    let mut site = mirrors()
        .mirror("flat", |m| m.region("eu").line("layout = \"{version}/{asset}\""))
        .mirror("late", |m| m.region("eu").lacks("tool/1.0/tool.tar.gz"))
        .origin(&format!("url = {:?}", origin.url()))
        .lay_out()
        .await;
    let manifest = std::fs::read(site.origin().join("tool/1.0/manifest.json")).unwrap();
    origin.put("tool/1.0/manifest.json", manifest);
    origin.put(
        "index.json",
        json!({ "schema": 1, "sequence": 1, "manifests": ["tool/1.0/manifest.json"] }).to_string(),
    );
    // The site's mirror takes paths as they are asked for.
    for name in ["fra", "ams", "sin", "late"] {
        site.mirror(name).put("tool/1.0/docs/read%20me.txt", TOOL[1].1.to_vec());
    }
    site.run().await.unwrap();
    for name in ["fra", "ams", "sin"] {
        site.until_copies(name, "verified", 2).await;
    }
    let url = |name: &str| site.mirror(name).url();
    let expected =
        format!("{}\tpriority:1\n{}\tpriority:2\n{}\tpriority:3\n", url("ams"), url("sin"), origin.url());
    assert_eq!(files(&site, "fra", "?format=apt").await, expected);
    let json: Value = serde_json::from_str(&files(&site, "fra", "").await).unwrap();
    assert_eq!(json["files"][1]["url"], format!("{}tool/1.0/docs/read%20me.txt", origin.url()));
}

#[tokio::test]
async fn rsync_fills_a_mirror_from_the_list_and_its_copies_become_verified() {
    let nginx = Nginx::start(nginx::own_address(), None).await;
    let mirror = format!("[[mirror]]\nname = \"real\"\nurl = {:?}\n", nginx.url());
    let mut site = Site::builder().config(&mirror).lay_out().await;
    let odd: &[(&str, &[u8])] =
        &[("tool.tar.gz", b"the tool"), ("docs/read me.txt", b"read me"), ("ü;#", b"odd")];
    for (name, bytes) in odd {
        site.write_origin(&format!("#odd/1.0/{name}"), bytes);
        site.write_origin(&format!("tool/1.0/{name}"), bytes);
    }
    site.publish("#odd", "1.0", odd, &["stable"]);
    site.publish("tool", "1.0", odd, &["stable"]);
    site.run().await.unwrap();
    site.until_copies("real", "missing", 6).await;
    let list = files(&site, "real", "?format=rsync&missing=true").await;
    assert!(list.contains("./#odd/1.0/ü;#\n"), "{list}");
    std::fs::write(site.dir().join("list"), &list).unwrap();
    let (from, to) = (format!("{}/", site.origin().display()), nginx.files().display().to_string());
    process::run("rsync", &["-a", "--files-from=list", &from, &to], site.dir()).await.ok();
    site.order("real", "verify").await;
    site.until_copies("real", "verified", 6).await;
    assert_eq!(files(&site, "real", "?format=rsync&missing=true").await, "");
}

#[tokio::test]
async fn the_command_line_prints_the_lists_and_the_inventory() {
    let site = mirrors().mirror("flat", |m| m.line("layout = \"{version}/{asset}\"")).start().await;
    site.until_copies("fra", "verified", 1).await;
    let admin = format!("http://{}", site.admin_address());
    let waypost = async |arguments: &[&str]| {
        let arguments = [&["mirror"], arguments, &["--admin", &admin]].concat();
        process::run(env!("CARGO_BIN_EXE_waypost"), &arguments, site.dir()).await
    };
    let list = waypost(&["files", "fra"]).await.ok();
    assert_eq!(list, "tool/1.0/tool.tar.gz\ntool/1.0/docs/read me.txt\n");
    let missing =
        waypost(&["files", "fra", "--format", "rsync", "--missing", "--product", "tool"]).await.ok();
    assert_eq!(missing, "tool/1.0/docs/read me.txt\n");
    assert_eq!(waypost(&["files", "fra", "--product", "none"]).await.ok(), "");
    let json: Value = serde_json::from_str(&waypost(&["files", "fra", "--json"]).await.ok()).unwrap();
    assert_eq!(json["files"][0]["state"], "verified");
    let (exit, why) = waypost(&["files", "flat", "--format", "rsync"]).await.failed();
    assert!(exit == 1 && why.contains("layout"), "{exit}: {why}");
    assert!(waypost(&["inventory", "fra"]).await.ok().contains("tool 1.0"));
    let json: Value = serde_json::from_str(&waypost(&["inventory", "fra", "--json"]).await.ok()).unwrap();
    assert_eq!(json["releases"][0]["source"], "asked");
    assert_eq!(waypost(&["inventory", "nobody"]).await.failed().0, 1);
}

/// Answers each POST with the next status, the last one for ever; gives the bodies.
async fn webhook(statuses: &'static [u16]) -> (String, mpsc::UnboundedReceiver<Value>) {
    let listener = TcpListener::bind((own_address(), 0)).await.unwrap();
    let url = format!("http://{}/hook?secret=1", listener.local_addr().unwrap());
    let (sender, receiver) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        for turn in 0.. {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut text = String::new();
            let mut buffer = [0; 4096];
            while !text.ends_with('}') {
                let read = stream.read(&mut buffer).await.unwrap();
                text.push_str(std::str::from_utf8(&buffer[..read]).unwrap());
            }
            let (head, body) = text.split_once("\r\n\r\n").unwrap();
            assert!(head.starts_with("POST /hook?secret=1 HTTP/1.1\r\n"), "{head}");
            assert!(head.contains("content-type: application/json"), "{head}");
            let status = statuses.get(turn).or(statuses.last()).unwrap();
            let answer = format!("HTTP/1.1 {status} X\r\nlocation: /elsewhere\r\ncontent-length: 0\r\n\r\n");
            stream.write_all(answer.as_bytes()).await.unwrap();
            sender.send(serde_json::from_str(body).unwrap()).unwrap();
        }
    });
    (url, receiver)
}

#[tokio::test]
async fn a_webhook_is_told_what_a_mirror_lacks_and_again_until_it_takes_it() {
    // A redirect is no success, and is not followed.
    let (url, mut told) = webhook(&[500, 302, 204]).await;
    let site = Site::builder()
        .mirror("ams", |m| m.region("eu"))
        .mirror("fra", |m| m.region("eu").line(&format!("notify = {{ url = {url:?} }}")))
        .release("tool", "1.0", &TOOL[..1], &["stable"])
        .start()
        .await;
    site.until_everywhere("tool", "1.0").await;
    assert!(told.try_recv().is_err(), "a mirror that lacks nothing needs no message");
    site.publish_to("tool", "2.0", &[("a", b"12345"), ("b", b"67")], &["stable"], |m| m == "ams");
    for _ in 0..3 {
        let message = tokio::time::timeout(Duration::from_secs(15), told.recv()).await.unwrap().unwrap();
        assert_eq!(message, json!({ "mirror": "fra", "files": 2, "bytes": 7 }));
    }
    let count = async |outcome| {
        site.metric(&format!("waypost_notifications_total{{mirror=\"fra\",outcome=\"{outcome}\"}}")).await
    };
    site.until("it is counted", async || (count("told").await >= 1.0).then_some(())).await;
    assert_eq!((count("told").await, count("failed").await), (1.0, 2.0));
}

#[tokio::test]
async fn a_command_runs_without_a_shell_and_knows_what_the_mirror_lacks() {
    let site = Site::builder().mirror("fra", |m| m.region("eu")).lay_out().await;
    let said = site.dir().join("said");
    let script = "printf '%s %s %s %s' \"$WAYPOST_MIRROR\" \"$WAYPOST_FILES\" \"$WAYPOST_BYTES\" \"$1\" > \"$0\"; echo done";
    let words = json!(["/bin/sh", "-c", script, said, "$HOME; exit 9"]);
    let mut site = Site::builder()
        .mirror("fra", |m| {
            let m = m.region("eu").lacks("tool/1.0/tool.tar.gz");
            m.line(&format!("notify = {{ command = {words} }}"))
        })
        .release("tool", "1.0", &TOOL[..1], &["stable"])
        .start()
        .await;
    let text = site
        .until("the command has run", async || {
            std::fs::read_to_string(&said).ok().filter(|said| said.ends_with("exit 9"))
        })
        .await;
    assert_eq!(text, "fra 1 8 $HOME; exit 9");
    site.stop().await.unwrap();
}
