//! Names that already exist, and what other programs read: aliases, further hosts, and the documents of a site.

#![allow(clippy::unwrap_used, missing_docs)]

#[path = "support/site.rs"]
mod site;

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::Empty;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Value, json};
use site::orders::{product, version};
use site::{Answer, Behaviour, Builder, EU, Mirror, Site, own_address, sha256};
use tokio::net::TcpStream;
use waypost::store::Action;
use waypost::workers::fact::Wish;

const OLD: &[u8] = b"the old tool";
const NEW: &[u8] = b"the new tool";
const ARCHIVE: &str = "my-tool-linux-amd64.tar.gz";

fn one_mirror() -> Builder {
    Site::builder().mirror("fra", |m| m.region("eu")).server("public_url = \"http://dl.example\"").release(
        "my-tool",
        "1.8.2",
        &[(ARCHIVE, OLD)],
        &["stable"],
    )
}

async fn started(builder: Builder) -> Site {
    let site = builder.start().await;
    site.until_status(&format!("/my-tool/stable/{ARCHIVE}"), EU, 302).await;
    site
}

/// Asks one of the service's names.
async fn at(site: &Site, host: &str, path: &str) -> Answer {
    site.request(Method::GET, path, &[("host", host), ("x-forwarded-for", EU)]).await
}

const ALIAS: &str = "[[alias]]\nfrom = \"/pub/{product}-{version}-{platform}.tar.gz\"\n\
                     to = \"/{product}/{version}/{platform}\"\n";

#[tokio::test]
async fn a_link_from_before_is_answered_as_the_canonical_one_and_counted_under_its_product() {
    let site = started(one_mirror().config(ALIAS)).await;
    let canonical = site.get(&format!("/my-tool/stable/{ARCHIVE}"), EU).await;
    let old = site.get("/pub/my-tool-stable-linux-amd64.tar.gz", EU).await;
    assert_eq!((old.status, &old.headers["location"]), (canonical.status, &canonical.headers["location"]));
    assert_eq!(site::fetch(old.header("location")).await, OLD, "one hop from the old link to the file");
    let links = |answer: &Answer| -> Vec<String> {
        answer.headers.get_all("link").iter().map(|link| link.to_str().unwrap().to_owned()).collect()
    };
    assert_eq!(links(&old), links(&canonical));
    let checksum = site.get("/pub/my-tool-1.8.2-linux-amd64.tar.gz.sha256", EU).await;
    assert_eq!(checksum.text(), format!("{}  {ARCHIVE}\n", sha256(OLD)));
    let count = |channel: &str, outcome: &str| {
        let labels = format!("channel={channel:?},outcome={outcome:?},product=\"my-tool\",region=\"eu\"");
        let line = format!("waypost_requests_total{{{labels}}}");
        let site = &site;
        async move { site.metric(&line).await }
    };
    let before = count("stable", "redirected").await;
    site.get("/pub/my-tool-stable-linux-amd64.tar.gz", EU).await;
    assert_eq!(count("stable", "redirected").await, before + 1.0);
    assert_eq!(count("", "metadata").await, 1.0);
    let explained = site.admin("/v1/explain?path=/pub/my-tool-stable-linux-amd64.tar.gz&ip=10.1.0.7").await;
    assert_eq!(
        (&explained.json()["product"], &explained.json()["channel"]),
        (&json!("my-tool"), &json!("stable"))
    );
}

#[tokio::test]
async fn an_alias_moves_with_its_channel() {
    let site = started(one_mirror().config(ALIAS)).await;
    let digest = async || {
        let answer = site.get("/pub/my-tool-stable-linux-amd64.tar.gz", EU).await;
        answer.header("location").to_owned()
    };
    assert!(digest().await.contains("/1.8.2/"));
    site.publish("my-tool", "2.0", &[(ARCHIVE, NEW)], &["stable"]);
    site.until_channel("my-tool", "stable", "2.0").await;
    assert!(digest().await.contains("/2.0/"));
}

#[tokio::test]
async fn hostile_paths_are_no_alias() {
    let site = started(one_mirror().config(&ALIAS.repeat(1000))).await;
    for path in [
        format!("/pub/{}.tar.gz", "-".repeat(8000)),
        format!("/pub/{}.tar.gz", "a-".repeat(4000)),
        format!("/pub/{}.tar.gz", "%2D%C3%A9".repeat(900)),
        format!("/pub/my-tool-1.8.2{}-linux-amd64.tar.gz", "-1.8.2".repeat(1000)),
        "/pub/../my-tool-1.8.2-linux-amd64.tar.gz".to_owned(),
        "/pub/..-..-...tar.gz".to_owned(),
    ] {
        assert_eq!(site.get(&path, EU).await.status, 404, "{path}");
    }
    assert_eq!(site.get("/pub/my-tool-1.8.2-linux-amd64.tar.gz", EU).await.status, 302);
}

const HOSTS: &str = "[[host]]\nname = \"get.example\"\nproduct = \"my-tool\"\n\
                     [[host]]\nname = \"files.example\"\nprefix = \"/releases\"\n";

#[tokio::test]
async fn further_hosts_are_told_apart_by_the_host_header() {
    let site = started(one_mirror().config(HOSTS)).await;
    for (host, path, status) in [
        ("get.example", "/v1.8.2/my-tool-linux-amd64.tar.gz", 302),
        ("GET.example:80", "/stable/linux-amd64", 302),
        ("get.example", "/install?platform=linux-amd64", 302),
        ("get.example", "/my-tool/stable/linux-amd64", 404),
        ("get.example", "/releases.json", 200),
        ("get.example", "/hosts.json", 200),
        ("files.example", "/releases/my-tool/stable/linux-amd64", 302),
        ("files.example", "/my-tool/stable/linux-amd64", 404),
        ("files.example", "/-/healthz", 200),
        ("files.example", "/-/readyz", 200),
        ("dl.example", "/my-tool/stable/linux-amd64", 302),
        ("nobody.example", "/my-tool/stable/linux-amd64", 302),
        ("nobody.example", "/stable/linux-amd64", 404),
    ] {
        assert_eq!(at(&site, host, path).await.status, status, "{host}{path}");
    }
    let answer = at(&site, "get.example", "/stable/linux-amd64").await;
    let link = answer.headers.get_all("link").iter().next_back().unwrap().to_str().unwrap();
    assert!(link.starts_with("<http://dl.example/my-tool/1.8.2/"), "links stay canonical: {link}");
}

#[tokio::test]
async fn without_a_public_url_links_lead_back_to_the_host_that_was_asked() {
    let hosts = HOSTS.replace("product = \"my-tool\"", "product = \"my-tool\"\nprefix = \"/get it\"");
    let site = Site::builder()
        .mirror("fra", |m| m.region("eu"))
        .config(&hosts)
        .release("my-tool", "1.8.2", &[(ARCHIVE, OLD)], &["stable"])
        .release("my-tool", "1.9.0", &[(ARCHIVE, NEW)], &["stable"]);
    let site = site.start().await;
    site.until_channel("my-tool", "stable", "1.9.0").await;
    let link = async |host: &str, path: &str, relation: &str| {
        let answer = at(&site, host, path).await;
        let links = answer.headers.get_all("link").iter().map(|link| link.to_str().unwrap().to_owned());
        let link = links.into_iter().find(|link| link.contains(relation)).unwrap();
        link[1..link.find('>').unwrap()].to_owned()
    };
    let names = [
        ("get.example", "/get%20it", "/get%20it"),
        ("files.example", "/releases/my-tool", "/releases/my-tool"),
        ("nobody.example", "/my-tool", "/my-tool"),
    ];
    for (host, asked, led_to) in names {
        let described = link(host, &format!("{asked}/stable/linux-amd64"), "describedby").await;
        assert_eq!(described, format!("{led_to}/1.9.0/{ARCHIVE}.meta4"));
        assert_eq!(at(&site, host, &described).await.status, 200, "{host}{described}");
    }
    site.post("/v1/releases/my-tool/1.9.0/withdraw", &json!({ "reason": "it eats files" })).await;
    for (host, asked, led_to) in names {
        for (path, name, status) in [("linux-amd64", ARCHIVE, 302), ("SHA256SUMS", "SHA256SUMS", 200)] {
            let successor = link(host, &format!("{asked}/1.9.0/{path}"), "successor-version").await;
            assert_eq!(successor, format!("{led_to}/1.8.2/{name}"));
            assert_eq!(at(&site, host, &successor).await.status, status, "{host}{successor}");
        }
    }
}

#[tokio::test]
async fn a_host_is_known_over_http2_and_by_an_absolute_target_too() {
    let site = started(one_mirror().config(HOSTS)).await;
    let stream = TokioIo::new(TcpStream::connect(site.address()).await.unwrap());
    let (mut send, connection) = http2::handshake(TokioExecutor::new(), stream).await.unwrap();
    let connection = tokio::spawn(connection);
    for (uri, status) in [
        ("http://get.example/stable/linux-amd64", StatusCode::FOUND),
        ("http://GET.EXAMPLE:8080/stable/linux-amd64", StatusCode::FOUND),
        ("http://dl.example/stable/linux-amd64", StatusCode::NOT_FOUND),
        ("http://files.example/releases/my-tool/stable/linux-amd64", StatusCode::FOUND),
    ] {
        let request = Request::get(uri).body(Empty::<Bytes>::new()).unwrap();
        send.ready().await.unwrap();
        assert_eq!(send.send_request(request).await.unwrap().status(), status, "{uri}");
    }
    connection.abort();
    let absolute = at(&site, "dl.example", "http://get.example/stable/linux-amd64").await;
    assert_eq!(absolute.status, 302);
}

#[tokio::test]
async fn explain_takes_the_host_and_names_come_and_go_with_a_reload() {
    let mut site = started(one_mirror()).await;
    let explain = "/v1/explain?path=/stable/linux-amd64&ip=10.1.0.7&host=get.example";
    assert_eq!(site.admin(explain).await.json()["outcome"], "not_found");
    site.plan.more = HOSTS.to_owned();
    site.write_config();
    site.reload();
    site.until("the host is known", async || {
        (at(&site, "get.example", "/stable/linux-amd64").await.status == 302).then_some(())
    })
    .await;
    let explained = site.admin(explain).await.json();
    assert_eq!((&explained["outcome"], &explained["asset"]), (&json!("redirected"), &json!(ARCHIVE)));
    assert_eq!(site.admin(&explain.replace("get.example", "a%0Ab")).await.status, 400);
}

#[tokio::test]
async fn releases_json_lists_what_there_is_newest_first() {
    let site = started(one_mirror()).await;
    site.publish("my-tool", "2.0-rc.1", &[(ARCHIVE, NEW), ("notes.txt", b"new")], &["beta"]);
    site.until_channel("my-tool", "beta", "2.0-rc.1").await;
    let answer = site.get("/my-tool/releases.json", EU).await;
    assert_eq!((answer.status, answer.header("content-type")), (StatusCode::OK, "application/json"));
    assert_eq!(answer.header("cache-control"), "private, max-age=60");
    let list = answer.json();
    assert_eq!(
        (&list["schema"], &list["product"], &list["latest"]),
        (&json!(1), &json!("my-tool"), &json!("stable"))
    );
    let channels = list["channels"].as_array().unwrap();
    let pointers: Vec<_> = channels.iter().map(|c| (&c["name"], &c["version"])).collect();
    assert_eq!(pointers, [(&json!("beta"), &json!("2.0-rc.1")), (&json!("stable"), &json!("1.8.2"))]);
    assert!(channels.iter().all(|channel| channel["since"].as_str().unwrap().ends_with('Z')));
    let releases = list["releases"].as_array().unwrap();
    let lines: Vec<_> = releases.iter().map(|r| (&r["version"], &r["channels"], &r["labels"])).collect();
    let (beta, stable) = (json!(["beta"]), json!(["stable"]));
    assert_eq!(lines, [(&json!("2.0-rc.1"), &beta, &beta), (&json!("1.8.2"), &stable, &stable)]);
    assert!(releases[0]["published_at"].as_str().unwrap().ends_with('Z'));
    assert_eq!(
        releases[0]["assets"],
        json!([
            { "name": ARCHIVE, "size": NEW.len(), "sha256": sha256(NEW), "platforms": ["linux-amd64"] },
            { "name": "notes.txt", "size": 3, "sha256": sha256(b"new") },
        ])
    );
    // What is listed can be asked for.
    assert_eq!(site.get("/my-tool/2.0-rc.1/amd64-linux", EU).await.status, 302);
    // A channel that moves is seen at once.
    site.publish("my-tool", "2.0", &[(ARCHIVE, NEW)], &["stable"]);
    site.until_channel("my-tool", "stable", "2.0").await;
    let list = site.get("/my-tool/releases.json", EU).await.json();
    assert_eq!(list["releases"][0]["channels"], stable);
    assert_eq!(list["releases"][2]["channels"], json!([]));
}

/// The line of a host in `hosts.json`.
fn line<'v>(hosts: &'v Value, host: &str) -> Option<&'v Value> {
    hosts["hosts"].as_array().unwrap().iter().find(|line| line["host"] == host)
}

#[tokio::test]
async fn hosts_json_names_every_host_that_a_redirect_leads_to() {
    // The origin is no mirror, but one mirror leads to it.
    let origin = Mirror::start(own_address(), None).await;
    let (asset, manifest) = (format!("my-tool/1.8.2/{ARCHIVE}"), "my-tool/1.8.2/manifest.json");
    let leads = Behaviour::Redirect(format!("{}{asset}", origin.url()));
    let mut site = one_mirror()
        .mirror("led", |m| m.region("ap"))
        .mirror("down", |m| m.region("us").secure())
        .stopped("down")
        .behave("led", &asset, leads)
        .origin(&format!("url = {:?}", origin.url()))
        .config("[[channel]]\nname = \"stable\"\nready = \"10%\"\n")
        .lay_out()
        .await;
    origin.put(&asset, OLD);
    origin.put(manifest, std::fs::read(site.origin().join(manifest)).unwrap());
    origin.put("index.json", json!({ "schema": 1, "sequence": 1, "manifests": [manifest] }).to_string());
    site.run().await.unwrap();
    site.until_copies("led", "verified", 1).await;
    let learned = origin.address().ip().to_string();
    let hosts = site
        .until("the host behind `led` is listed", async || {
            let answer = site.get("/hosts.json", EU).await;
            (answer.status == 200 && line(&answer.json(), &learned).is_some()).then_some(answer)
        })
        .await;
    assert_eq!(hosts.header("content-type"), "application/json");
    let hosts = hosts.json();
    assert_eq!(hosts["schema"], 1);
    let expected = json!({ "host": learned, "schemes": ["http", "https"], "mirrors": ["led"] });
    assert_eq!(line(&hosts, &learned), Some(&expected), "its port is not known");
    site.order("fra", "drain").await;
    let hosts = site.get("/hosts.json", EU).await.json();
    for (name, scheme) in [("fra", "http"), ("led", "http"), ("down", "https")] {
        let at = site.mirror(name).address();
        let host = at.ip().to_string();
        let expected = json!({ "host": host, "schemes": [scheme], "ports": [at.port()], "mirrors": [name] });
        assert_eq!(line(&hosts, &host), Some(&expected), "{name} may serve, now or later");
    }
    let names: Vec<_> =
        hosts["hosts"].as_array().unwrap().iter().map(|l| l["host"].as_str().unwrap()).collect();
    assert!(names.len() == 4 && names.is_sorted(), "{names:?}");
    let head = site.request(Method::HEAD, "/hosts.json", &[]).await;
    assert_eq!((head.status, head.body.len()), (StatusCode::OK, 0));
}

#[tokio::test]
async fn checksum_lists_and_versions_come_from_the_catalogue_unless_they_are_published() {
    let sums: &[u8] = b"signed elsewhere";
    let builder = one_mirror().release(
        "signed",
        "v3.0",
        &[("a", b"a"), ("SHA256SUMS", sums), ("version.txt", b"mine")],
        &["stable"],
    );
    let site = started(builder).await;
    site.until_status("/signed/stable/a", EU, 302).await;
    let list = site.get("/my-tool/1.8.2/SHA256SUMS", EU).await;
    assert_eq!((list.status, list.text()), (StatusCode::OK, &*format!("{}  {ARCHIVE}\n", sha256(OLD))));
    assert_eq!(site.get("/my-tool/stable/version.txt", EU).await.text(), "1.8.2\n");
    for (path, bytes) in [("SHA256SUMS", sums), ("version.txt", b"mine")] {
        let published = site.get(&format!("/signed/3.0/{path}"), EU).await;
        assert_eq!(published.status, 302, "{path}");
        assert_eq!(site::fetch(published.header("location")).await, bytes, "byte for byte");
    }
}

#[tokio::test]
async fn a_withdrawn_release_is_gone_by_every_name_and_listed_without_files() {
    let site = started(one_mirror().config(ALIAS).config(HOSTS)).await;
    site.publish("my-tool", "2.0", &[(ARCHIVE, NEW)], &["stable"]);
    site.until_channel("my-tool", "stable", "2.0").await;
    let action =
        Action::ReleaseWithdraw { product: product("my-tool"), version: version("2.0"), replacement: None };
    site.wish(Wish::Plain(action), "it eats files").await.unwrap();
    let old = site.get("/pub/my-tool-2.0-linux-amd64.tar.gz", EU).await;
    let own = at(&site, "get.example", "/2.0/linux-amd64").await;
    for answer in [old, own] {
        let link = format!("<http://dl.example/my-tool/1.8.2/{ARCHIVE}>; rel=successor-version");
        assert_eq!((answer.status, answer.header("link")), (StatusCode::GONE, &*link));
    }
    let back = site.get("/pub/my-tool-stable-linux-amd64.tar.gz", EU).await;
    assert!(back.header("location").contains("/1.8.2/"), "aliases fall back with their channel");
    let list = site.get("/my-tool/releases.json", EU).await.json();
    let (gone, good) = (&list["releases"][0], &list["releases"][1]);
    assert_eq!(
        (&gone["version"], &gone["assets"], &gone["channels"]),
        (&json!("2.0"), &json!(null), &json!([]))
    );
    let only = at(&site, "get.example", "/releases.json").await.json();
    assert_eq!(only, list);
    let withdrawn = &gone["withdrawn"];
    assert_eq!((&withdrawn["reason"], &withdrawn["replacement"]), (&json!("it eats files"), &json!("1.8.2")));
    assert!(withdrawn["at"].as_str().unwrap().ends_with('Z'));
    assert_eq!((&good["version"], &good["withdrawn"]), (&json!("1.8.2"), &json!(null)));
    assert_eq!(good["assets"].as_array().unwrap().len(), 1);
    assert_eq!(
        list["channels"],
        json!([{ "name": "stable", "version": "1.8.2", "since": list["channels"][0]["since"] }])
    );
}
