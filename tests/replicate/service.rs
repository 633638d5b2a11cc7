//! What a mirror should hold, as the running service says it; and nothing that it says is believed.

use std::fs;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::site::Site;
use crate::{Place, count, files, noise, reason, summary};

/// A service that answers every question with this.
async fn service(says: Value) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await.unwrap());
            }
            assert!(head.starts_with(b"GET /v1/mirrors/fra/files HTTP/1.1\r\n"));
            let body = says.to_string();
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
            stream.write_all((head + &body).as_bytes()).await.unwrap();
        }
    });
    url
}

/// A line of the list: a file of the origin, and where the mirror should have it.
fn line(place: &Place, origin: &str, path: &str) -> Value {
    let text = fs::read_to_string(place.origin().join("tool/1.0/manifest.json")).unwrap();
    let manifest: Value = serde_json::from_str(&text).unwrap();
    let asset = &manifest["assets"][0];
    json!({ "path": path, "origin": origin, "url": null, "size": asset["size"], "sha256": asset["sha256"],
            "product": "tool", "version": "1.0", "asset": asset["name"], "state": "missing" })
}

async fn place() -> Place {
    let place = Place::new();
    place.publish("tool", "1.0", &[("a", noise(1, 1000))]).await;
    place
}

async fn replicate(place: &Place, says: Value, more: &[&str]) -> crate::process::Ended {
    let url = service(says).await;
    let args = ["--mirror", "fra", "--admin", &url, "--to", "target", "--json"];
    place.replicate(&[&args[..], more].concat()).await
}

#[tokio::test]
async fn a_mirror_gets_what_the_service_says_and_loses_what_it_is_not_to_hold() {
    let place = place().await;
    for path in ["tool/0.9/a", "agent/1.0/a", "other/1.0/a"] {
        fs::create_dir_all(place.target(path).parent().unwrap()).unwrap();
        fs::write(place.target(path), "old").unwrap();
    }
    let unwanted = json!([{ "product": "agent", "version": "1.0", "reason": "withdrawn", "copies": 1 }]);
    let says = |path| json!({ "files": [line(&place, "tool/1.0/a", path)], "unwanted": unwanted });
    let more = ["--origin", "origin", "--delete"];
    let did = summary(replicate(&place, says("v1.0/a"), &more).await);
    assert_eq!(
        (count(&did, "copied"), count(&did, "removed")),
        (1, 0),
        "not in a layout that is not known: {did}"
    );
    assert_eq!(fs::read(place.target("v1.0/a")).unwrap(), noise(1, 1000));
    let did = summary(replicate(&place, says("tool/1.0/a"), &more).await);
    assert_eq!((count(&did, "copied"), &did["removed"]), (1, &json!(["agent/1.0/a", "tool/0.9/a"])), "{did}");
    assert_eq!(files(&place.target("")), ["other/1.0/a", "tool/1.0/a", "v1.0/a"]);
}

#[tokio::test]
async fn a_real_service_says_what_its_mirror_should_hold() {
    let release: &[(&str, &[u8])] = &[("tool.tar.gz", b"the tool"), ("docs/read me.txt", b"read me")];
    let site = Site::builder()
        .mirror("fra", |mirror| mirror)
        .mirror("none", |mirror| mirror.line("tier = \"nothing\""))
        .config("[[tier]]\nname = \"nothing\"\nreleases = \"none\"\n")
        .release("tool", "1.0", release, &["stable"])
        .start()
        .await;
    site.until_copies("fra", "verified", 1).await;
    for (name, bytes) in release {
        site.write_origin(&format!("tool/1.0/{name}"), bytes);
    }
    let place = Place::new();
    let admin = format!("http://{}", site.admin_address());
    let origin = site.origin();
    let of = |mirror| {
        [
            "--mirror",
            mirror,
            "--admin",
            &admin,
            "--origin",
            origin.to_str().unwrap(),
            "--to",
            "target",
            "--json",
            "--delete",
        ]
    };
    let did = summary(place.replicate(&of("fra")).await);
    assert_eq!(count(&did, "copied"), 2, "{did}");
    assert_eq!(files(&place.target("")), ["tool/1.0/docs/read me.txt", "tool/1.0/tool.tar.gz"]);
    assert_eq!(fs::read(place.target("tool/1.0/docs/read me.txt")).unwrap(), b"read me");
    let did = summary(place.replicate(&of("none")).await);
    assert_eq!((count(&did, "removed"), files(&place.target("")).len()), (2, 0), "{did}");
    let (code, said) = place.replicate(&of("nowhere")).await.failed();
    assert_eq!((code, said.contains("nowhere")), (1, true), "{said}");
}

#[tokio::test]
async fn paths_that_lead_elsewhere_are_refused_each_by_its_name() {
    let place = place().await;
    let long = "x/".repeat(2000);
    let hostile = [
        "../evil",
        "/etc/evil",
        "a/../../evil",
        "a//b",
        "a\\..\\evil",
        "a\u{7}b",
        "",
        ".waypost-replicate/lock",
        "a/.",
        long.as_str(),
    ];
    let mut lines: Vec<Value> = hostile.iter().map(|path| line(&place, "tool/1.0/a", path)).collect();
    lines.push(line(&place, "../../etc/passwd", "tool/1.0/read"));
    lines.push(line(&place, "tool/1.0/a", "tool/1.0/a"));
    let mut bad = line(&place, "tool/1.0/a", "tool/1.0/digest");
    bad["sha256"] = json!("../x");
    lines.push(bad);
    let says = json!({ "files": lines, "unwanted": [] });
    let ended = replicate(&place, says, &["--origin", "origin", "--delete"]).await;
    let said: Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!((ended.failed().0, count(&said, "failed")), (1, hostile.len() + 2), "{said:#}");
    assert!(reason(&said, "tool/1.0/read").contains("at the origin"), "{said}");
    assert_eq!(files(&place.target("")), ["tool/1.0/a"]);
    let around = files(place.path());
    assert!(
        around.iter().all(|path| path.starts_with("origin/") || path == "target/tool/1.0/a"),
        "{around:?}"
    );
    assert!(place.origin().join("tool/1.0/a").exists());
}

#[tokio::test]
async fn a_service_whose_origin_is_a_folder_elsewhere_needs_to_be_told_where_it_is() {
    let place = place().await;
    let says = json!({ "files": [line(&place, "tool/1.0/a", "tool/1.0/a")], "unwanted": [] });
    let (code, said) = replicate(&place, says, &[]).await.failed();
    assert_eq!((code, said.contains("--origin")), (2, true), "{said}");
    let (code, said) = replicate(&place, json!({ "odd": true }), &[]).await.failed();
    assert_eq!((code, said.contains("another version")), (3, true), "{said}");
}
