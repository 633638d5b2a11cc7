//! What mirrors hold that they should not, and what they lack: from real listings, and from asking where there are none.

#![allow(clippy::unwrap_used, missing_docs)]

#[path = "support/nginx.rs"]
mod nginx;
#[path = "support/process.rs"]
mod process;
#[path = "support/site.rs"]
mod site;

use std::fs;
use std::path::Path;

use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use nginx::Nginx;
use s3s::service::S3ServiceBuilder;
use s3s_fs::FileSystem;
use serde_json::{Value, json};
use site::{Builder, Site, own_address};
use tokio::net::TcpListener;
use waypost::workers::report::Topic;

const FILES: &[(&str, &[u8])] =
    &[("tool.tar.gz", b"the tool"), ("docs/man/read me.txt", b"read me"), ("c++.deb", b"deb")];

/// A folder is listed every tenth of a second.
const QUICK: &str = "[verify]\nrecheck = \"6s\"\n[[channel]]\nname = \"stable\"\nready = \"10%\"\n";

fn mirror(name: &str, url: &str) -> String {
    format!("[[mirror]]\nname = {name:?}\nurl = {url:?}\n")
}

fn quick(mirrors: &str) -> Builder {
    Site::builder().config(&format!("{QUICK}{mirrors}")).release("tool", "1.0", FILES, &["stable"])
}

fn write(root: &Path, path: &str, bytes: &[u8]) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

fn fill(root: &Path) {
    for (name, bytes) in FILES {
        write(root, &format!("tool/1.0/{name}"), bytes);
    }
    write(root, "tool/1.0/manifest.json", b"{}");
    write(root, "tool/1.0/manifest.json.minisig", b"");
}

async fn inventory(site: &Site, name: &str) -> Value {
    site.report(Topic::Inventory(waypost::model::MirrorName::new(name).unwrap())).await
}

/// Waits until the one release's inventory says something.
async fn until(site: &Site, name: &str, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
    site.until(&format!("{name}: {what}"), async || {
        Some(inventory(site, name).await["releases"][0].clone()).filter(&is_so)
    })
    .await
}

fn first(of: &Value) -> Value {
    json!([of["unexpected"]["first"], of["missing"]["first"], of["wrong_size"]["first"]])
}

/// What every mirror that lists its folders shows: nothing odd, then a file too many, then one too few.
async fn drifts(name: &str, url: &str, root: &Path, source: &str) {
    fill(root);
    let site = quick(&mirror(name, url)).start().await;
    let clean = until(&site, name, "is listed", |of| of["source"] == source).await;
    assert_eq!(first(&clean), json!([[], [], []]));
    write(root, "tool/1.0/old & odd#.tar.gz", b"old");
    write(root, "tool/1.0/docs/man/old.txt", b"old");
    let more = until(&site, name, "has more", |of| of["unexpected"]["count"] == 2).await;
    assert_eq!(more["unexpected"]["first"], json!(["docs/man/old.txt", "old & odd#.tar.gz"]));
    assert_eq!(site.metric(&format!("waypost_unexpected_files{{mirror={name:?}}}")).await, 2.0);
    fs::remove_file(root.join("tool/1.0/docs/man/read me.txt")).unwrap();
    let less = until(&site, name, "lacks one", |of| of["missing"]["count"] == 1).await;
    assert_eq!(less["missing"]["first"], json!(["docs/man/read me.txt"]));
    fs::remove_file(root.join("tool/1.0/docs/man/old.txt")).unwrap();
    fill(root);
    until(&site, name, "is as it was", |of| of["missing"]["count"] == 0 && of["unexpected"]["count"] == 1)
        .await;
}

#[tokio::test]
async fn drift_is_seen_in_the_pages_of_nginx() {
    let nginx = Nginx::start_with(nginx::own_address(), None, "autoindex on;").await;
    drifts("real", &nginx.url(), &nginx.files(), "autoindex").await;
}

#[tokio::test]
async fn drift_is_seen_in_the_json_of_nginx() {
    let lines = "autoindex on; autoindex_format json;";
    let nginx = Nginx::start_with(nginx::own_address(), None, lines).await;
    drifts("real", &nginx.url(), &nginx.files(), "json").await;
}

#[tokio::test]
async fn drift_is_seen_in_a_bucket() {
    let folder = tempfile::tempdir().unwrap();
    let bucket = folder.path().join("bucket");
    fs::create_dir(&bucket).unwrap();
    let service = S3ServiceBuilder::new(FileSystem::new(folder.path()).unwrap()).build();
    let listener = TcpListener::bind((own_address(), 0)).await.unwrap();
    let url = format!("http://{}/bucket/some/where/", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let service = service.clone();
            tokio::spawn(async move {
                let server = auto::Builder::new(TokioExecutor::new());
                let _ = server.serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
    drifts("bucket", &url, &bucket.join("some/where"), "s3").await;
}

#[tokio::test]
async fn without_a_listing_missing_files_are_known_by_asking_for_each() {
    let nginx = Nginx::start(nginx::own_address(), None).await;
    fill(&nginx.files());
    fs::remove_file(nginx.files().join("tool/1.0/c++.deb")).unwrap();
    let site = quick(&mirror("real", &nginx.url())).start().await;
    let asked = until(&site, "real", "was looked at", |of| of["at"].is_string()).await;
    assert_eq!(asked["source"], "asked");
    assert_eq!(first(&asked), json!([[], ["c++.deb"], []]));
    assert_eq!(site.admin("/v1/mirrors/nobody/inventory").await.status, 404);
}

#[tokio::test]
async fn a_verified_file_that_a_listing_lacks_is_hashed_again_once() {
    let site = quick("").mirror("fra", |m| m.region("eu")).start().await;
    let fra = site.mirror("fra");
    for name in ["tool.tar.gz", "c++.deb"] {
        fra.put(&format!("tool/1.0/{name}"), FILES.iter().find(|(n, _)| *n == name).unwrap().1.to_vec());
    }
    fra.put("tool/1.0/docs/man/read%20me.txt", FILES[1].1.to_vec());
    let page = |more: &str| {
        format!(
            "<h1>Index of /tool/1.0/</h1>\n<a href=\"docs/\">docs/</a> 21-Nov-2026 14:30 -\n<a href=\"c++.deb\">c</a> 21-Nov-2026 14:30 99\n{more}"
        )
    };
    fra.put("tool/1.0/docs/", "<h1>Index of</h1><a href=\"man/\">man/</a>");
    fra.put("tool/1.0/docs/man/", "<h1>Index of</h1><a href=\"read%20me.txt\">read me.txt</a>");
    fra.put("tool/1.0/", page("<a href=\"tool.tar.gz\">t</a> 21-Nov-2026 14:30 8"));
    let listed = until(&site, "fra", "is listed", |of| of["source"] == "autoindex").await;
    assert_eq!(first(&listed), json!([[], [], ["c++.deb"]]));
    let before = fra.whole_gets("tool/1.0/tool.tar.gz");
    fra.put("tool/1.0/", page("<a href=\"../../../etc/passwd\">x</a> <a href=\"javascript:alert(1)\">y</a> <a href=\"http://127.0.0.1:9/tool/1.0/z\">z</a>"));
    site.until("it is hashed again", async || {
        (fra.whole_gets("tool/1.0/tool.tar.gz") > before).then_some(())
    })
    .await;
    let listed = until(&site, "fra", "is verified", |of| of["source"] == "autoindex").await;
    assert_eq!(first(&listed), json!([[], [], ["c++.deb"]]), "it is there whatever the listing says");
    let asked = fra.looks();
    let outside = |path: &str| !path.is_empty() && !path.starts_with("tool/1.0/") && !path.starts_with('?');
    assert!(!asked.iter().any(|look| outside(&look.path)), "{asked:?}");
}

#[tokio::test]
async fn copies_of_what_is_not_wanted_are_told_with_the_reason() {
    let site = quick("[[tier]]\nname = \"edge\"\nreleases = \"current\"\n")
        .mirror("fra", |m| m.region("eu"))
        .mirror("sin", |m| m.region("ap").line("tier = \"edge\""))
        .release("tool", "0.9", &FILES[..1], &[])
        .start()
        .await;
    site.until_everywhere("tool", "0.9").await;
    // Nobody waits for a mirror that is not to hold it.
    let holds = |report: &Value| report["unwanted"] != json!([]);
    let report = site.until("sin holds it", async || Some(inventory(&site, "sin").await).filter(holds)).await;
    assert_eq!(
        report["unwanted"],
        json!([{ "product": "tool", "version": "0.9", "reason": "tier", "copies": 1 }])
    );
    assert_eq!(inventory(&site, "fra").await["unwanted"], json!([]));
    assert_eq!(site.metric("waypost_unwanted_copies{mirror=\"sin\",reason=\"tier\"}").await, 1.0);
}

#[tokio::test]
async fn hostile_folders_neither_hang_nor_end_the_service() {
    use site::Behaviour::*;
    let all = [EndlessBody, EndlessHead, Page, Broken, Status(500), Redirect("http://127.0.0.1:9/".into())];
    let mut builder = quick("");
    for n in 0..all.len() {
        builder = builder.mirror(&format!("m{n}"), |m| m.region("eu"));
    }
    let mut site = builder.lay_out().await;
    let html = b"<title>Index of</title><a href=\"../\">x</a><a href=\"x\xff\0\">".to_vec();
    for (n, behaviour) in all.into_iter().enumerate() {
        let mirror = site.mirror(&format!("m{n}"));
        mirror.put("tool/1.0/docs/man/read%20me.txt", FILES[1].1.to_vec());
        mirror.put("tool/1.0/", html.clone());
        mirror.behave("tool/1.0/", behaviour);
    }
    site.run().await.unwrap();
    for n in 0..6 {
        let asked = |look: &site::mirror::Look| look.path == "tool/1.0/";
        let mirror = site.mirror(&format!("m{n}"));
        site.until("it is listed", async || mirror.looks().iter().any(asked).then_some(())).await;
        until(&site, &format!("m{n}"), "is looked at", |of| of["at"].is_string() && of["source"] == "asked")
            .await;
    }
}
