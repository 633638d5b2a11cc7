//! Mirrors that serve signed links only: the service looks at them as their clients do, and a signature that they refuse
//! is no missing file.

use std::fs;
use std::path::Path;

use http::Method;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use url::{Position, Url};
use waypost::workers::report::Topic;

use crate::nginx::{LINK_SECRET, Nginx, secure_link};
use crate::private::{AGENT, ALL, SECRET, SECRET_FILE, bearer, token};
use crate::s3_server::{self, S3Server};
use crate::site::{Answer, Behaviour, Builder, EU, Site, ask, own_address};

const FILE: &str = "agent/1.0/agent.tar.gz";
const BYTES: &[u8] = b"for customers";
/// A sample every half second, and no full pass while a test runs.
pub const OFTEN: &str = "[verify]\nrecheck = \"30s\"\nbudget = \"1PiB\"\n";

/// It would list its folders to whoever may see them.
async fn signed_nginx() -> Nginx {
    let lines = format!("autoindex on; {}", secure_link());
    let nginx = Nginx::start_with(own_address(), None, &lines).await;
    put(&nginx.files(), FILE, BYTES);
    nginx
}

pub fn put(root: &Path, path: &str, bytes: &[u8]) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

/// `agent` 1.0 on a mirror that signs with this secret.
fn behind(nginx: &Nginx, secret: &str) -> Builder {
    let mirror = format!(
        "[[mirror]]\nname = \"fra\"\nurl = {:?}\nregion = \"eu\"\n\
         sign = {{ kind = \"secure_link\", secret_file = \"link.secret\" }}\n",
        nginx.url()
    );
    Site::builder()
        .release("agent", "1.0", &[("agent.tar.gz", BYTES)], &["stable"])
        .file(SECRET_FILE, SECRET)
        .file("link.secret", secret)
        .config(&format!("{mirror}{AGENT}{ALL}{OFTEN}"))
}

async fn download(site: &Site) -> Answer {
    let bearer = bearer(&token("alice"));
    let path = format!("/{FILE}");
    site.request(Method::GET, &path, &[("x-forwarded-for", EU), ("authorization", &bearer)]).await
}

pub async fn until_given(site: &Site) -> Answer {
    site.until("it is given out", async || Some(download(site).await).filter(|answer| answer.status == 302))
        .await
}

/// Asks a mirror for a URL with its query, as a client does.
async fn fetch(url: &Url) -> Answer {
    let stream = TcpStream::connect(&*url.socket_addrs(|| None).unwrap()).await.unwrap();
    ask(stream, Method::GET, &url[Position::BeforePath..Position::AfterQuery], &[]).await
}

pub async fn metric(site: &Site, name: &str, label: &str, value: &str) -> f64 {
    let text = site.admin("/metrics").await;
    let wanted = format!("{label}=\"{value}\"");
    let of = |line: &&str| line.starts_with(&format!("{name}{{")) && line.contains(&wanted);
    let numbers = text.text().lines().filter(of).map(|line| line.rsplit_once(' ').unwrap().1);
    numbers.map(|number| number.parse::<f64>().unwrap()).sum()
}

#[tokio::test]
async fn a_mirror_that_signs_is_looked_at_with_signed_links_and_its_clients_get_such() {
    let nginx = signed_nginx().await;
    let site = behind(&nginx, LINK_SECRET).start().await;
    let location: Url = until_given(&site).await.header("location").parse().unwrap();
    assert_eq!(fetch(&location).await.body, BYTES);
    let mut bare = location.clone();
    bare.set_query(None);
    assert_eq!(fetch(&bare).await.status, 403, "the mirror gives it to nobody else");
    site.until("blocks are compared as well", async || {
        (metric(&site, "waypost_samples_total", "outcome", "right").await >= 1.0).then_some(())
    })
    .await;
    assert_eq!(metric(&site, "waypost_probe_failures_total", "mirror", "fra").await, 0.0);
    assert_eq!(metric(&site, "waypost_verifications_total", "outcome", "verified").await, 1.0);
}

#[tokio::test]
async fn a_bucket_that_checks_signatures_is_looked_at_whatever_its_files_are_called() {
    const FILES: &[(&str, &[u8])] =
        &[("c++.deb", b"deb"), ("docs/read me~.txt", b"read"), ("100%@1:2.txt", b"100")];
    let store = S3Server::start().await;
    for (name, bytes) in FILES {
        put(&store.object("releases"), &format!("agent/1.0/{name}"), bytes);
    }
    let mirror = format!(
        "[[mirror]]\nname = \"fra\"\nurl = \"{}/bucket/releases/\"\n\
         sign = {{ kind = \"s3\", region = \"us-east-1\", access_key_file = \"id\", secret_file = \"key\" }}\n",
        store.url
    );
    let site = Site::builder()
        .release("agent", "1.0", FILES, &["stable"])
        .file("id", s3_server::KEY)
        .file("key", s3_server::SECRET)
        .config(&format!("{mirror}{OFTEN}"))
        .start()
        .await;
    site.until_copies("fra", "verified", FILES.len() as u64).await;
    site.until("blocks are compared as well", async || {
        (metric(&site, "waypost_samples_total", "outcome", "right").await >= 2.0).then_some(())
    })
    .await;
    assert_eq!(metric(&site, "waypost_probe_failures_total", "reason", "signature_refused").await, 0.0);
    fs::write(site.dir().join("key"), "another key").unwrap();
    site.reload();
    let report = site.until_mirror("fra", "is down", |mirror| mirror["state"] == "down").await;
    assert_eq!(
        (&report["last_fault"], &report["copies"]["verified"]),
        (&json!("signature_refused"), &json!(3))
    );
}

#[tokio::test]
async fn a_signature_that_is_refused_is_no_word_about_the_copy_and_says_so_everywhere() {
    let nginx = signed_nginx().await;
    let site = behind(&nginx, LINK_SECRET).start().await;
    until_given(&site).await;
    fs::write(site.dir().join("link.secret"), "another-secret-that-the-mirror-does-not-have").unwrap();
    site.reload();
    let report = site.until_mirror("fra", "is down", |mirror| mirror["state"] == "down").await;
    assert_eq!(report["last_fault"], "signature_refused");
    assert_eq!(report["copies"], json!({ "verified": 1, "pending": 0, "missing": 0, "corrupt": 0 }));
    assert_eq!(download(&site).await.status, 503);
    assert!(metric(&site, "waypost_probe_failures_total", "reason", "signature_refused").await >= 3.0);
    let explained = site.admin(&format!("/v1/explain?path=/{FILE}&ip={EU}")).await;
    for shown in [report.to_string(), explained.text().to_owned()] {
        assert!(!shown.contains("md5=") && !shown.contains("expires="), "{shown}");
    }
    // The mirror knows the secret again: nothing has to be found anew.
    fs::write(site.dir().join("link.secret"), LINK_SECRET).unwrap();
    site.reload();
    until_given(&site).await;
}

#[tokio::test]
async fn a_mirror_that_never_took_a_signature_says_why_it_is_not_used() {
    let nginx = signed_nginx().await;
    let site = behind(&nginx, "not-the-secret-of-that-mirror").start().await;
    let told = |answer: Answer| {
        let candidates = answer.json()["candidates"].as_array().cloned().unwrap_or_default();
        candidates.into_iter().find(|candidate| candidate["fault"] == "signature_refused")
    };
    let explain = format!("/v1/explain?path=/{FILE}&ip={EU}");
    let candidate = site.until("explain says why", async || told(site.admin(&explain).await)).await;
    assert_eq!(candidate["verdict"], "excluded");
    assert!(candidate["reason"].as_str().unwrap().contains("signature_refused"), "{candidate}");
    let report = site.mirror_report("fra").await;
    assert_eq!(
        (&report["copies"]["missing"], &report["copies"]["verified"]),
        (&json!(0), &json!(0)),
        "{report:#}"
    );
}

#[tokio::test]
async fn whatever_a_store_says_to_a_signature_that_it_refuses_is_held_against_no_copy() {
    let site = Site::builder()
        .mirror("fra", |m| m.line("sign = { kind = \"secure_link\", secret_file = \"link.secret\" }"))
        .release("agent", "1.0", &[("agent.tar.gz", BYTES)], &["stable"])
        .file("link.secret", LINK_SECRET)
        .start()
        .await;
    for status in [400, 401, 403, 410] {
        site.until_mirror("fra", "is in rotation", |mirror| mirror["state"] == "healthy").await;
        site.until_copies("fra", "verified", 1).await;
        site.mirror("fra").behave(FILE, Behaviour::Status(status));
        let report = site.until_mirror("fra", "is down", |mirror| mirror["state"] == "down").await;
        assert_eq!(report["last_fault"], "signature_refused", "{status}: {report:#}");
        assert_eq!(report["copies"]["verified"], 1, "{status}: {report:#}");
        site.mirror("fra").recover();
    }
    assert!(
        site.mirror("fra").looks().iter().all(|look| look.path.contains("md5=")),
        "all of them were signed"
    );
}

#[tokio::test]
async fn a_file_that_is_not_there_is_missing_also_where_links_are_signed() {
    let nginx = signed_nginx().await;
    let builder = behind(&nginx, LINK_SECRET);
    let builder = builder.release("agent", "2.0", &[("agent.tar.gz", b"not there yet")], &["stable"]);
    let site = builder.start().await;
    until_given(&site).await;
    let report = site.until_copies("fra", "missing", 1).await;
    assert_eq!(report["copies"]["verified"], 1, "{report:#}");
}

#[tokio::test]
async fn folders_of_a_mirror_that_signs_are_not_asked_for() {
    let nginx = signed_nginx().await;
    let site = behind(&nginx, LINK_SECRET).start().await;
    until_given(&site).await;
    site.until("some more probes", async || (nginx.requests().len() > 20).then_some(())).await;
    let asked = nginx.requests();
    let folders: Vec<_> =
        asked.iter().filter(|look| look.path.ends_with('/') && look.path.len() > 1).collect();
    assert!(folders.is_empty(), "{folders:?}");
    let name = waypost::model::MirrorName::new("fra").unwrap();
    let inventory: Value = site.report(Topic::Inventory(name)).await;
    assert_eq!(inventory["releases"][0]["missing"]["count"], 0, "{inventory:#}");
}
