//! Products that are not for everybody: who is given what, and what the others are told.

#![allow(clippy::unwrap_used, missing_docs)]

#[path = "support/site.rs"]
mod site;
#[path = "support/tokens.rs"]
mod tokens;

use std::fs;

use bytes::Bytes;
use http::{Method, Request};
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::json;
use site::{Answer, Builder, EU, Site, US};
use tokens::{SECRET, tables, token, with};
use tokio::net::TcpStream;
use waypost::model::{Clock, SystemClock};

const FILES: &[(&str, &[u8])] = &[
    ("agent-1.0-linux-amd64.tar.gz", b"agent one"),
    ("agent-1.0-darwin-arm64.tar.gz", b"agent one, mac"),
    ("notes.txt", b"notes"),
];
const BETA: &[(&str, &[u8])] = &[("agent-2.0-rc.1-linux-amd64.tar.gz", b"agent two")];
const FILE: &str = "/agent/1.0/agent-1.0-linux-amd64.tar.gz";
const BROWSER: [(&str, &str); 2] = [
    ("user-agent", "Mozilla/5.0 (X11; Linux x86_64) Gecko/20100101 Firefox/140.0"),
    ("accept", "text/html,*/*;q=0.8"),
];

fn site(allow: &str) -> Builder {
    nameless(allow).server("public_url = \"http://dl.example\"")
}

/// Without a public URL.
fn nameless(allow: &str) -> Builder {
    Site::builder()
        .mirror("fra", |m| m.region("eu").line("private = true"))
        .mirror("open", |m| m.region("eu"))
        .file("issuer.key", format!("{SECRET}\n"))
        .release("agent", "1.0", FILES, &["stable"])
        .release("agent", "2.0-rc.1", BETA, &["beta"])
        .release("tool", "1.0", &[("tool.tar.gz", b"tool")], &["stable"])
        .config(&tables(allow))
}

async fn started(allow: &str) -> Site {
    let site = site(allow).start().await;
    site.until_channel("agent", "stable", "1.0").await;
    site.until_everywhere("agent", "1.0").await;
    site.until_everywhere("agent", "2.0-rc.1").await;
    site.until_everywhere("tool", "1.0").await;
    site
}

async fn ask(site: &Site, method: Method, path: &str, token: &str, more: &[(&str, &str)]) -> Answer {
    let bearer = format!("Bearer {token}");
    let headers =
        [&[("x-forwarded-for", EU), ("authorization", &*bearer), ("user-agent", "curl/7.88.1")], more]
            .concat();
    site.request(method, path, &headers).await
}

async fn get(site: &Site, path: &str, token: &str) -> Answer {
    ask(site, Method::GET, path, token, &[]).await
}

#[tokio::test]
async fn without_a_token_every_path_below_the_product_is_401_and_other_products_are_as_they_were() {
    let site = started("").await;
    for path in [
        FILE,
        "/agent/stable/linux-amd64",
        "/agent/1.0/SHA256SUMS",
        "/agent/1.0/notes.txt.sha256",
        "/agent/releases.json",
        "/agent/stable/version.txt",
        "/agent/install?platform=linux-amd64",
        "/agent/never/was",
        "/agent/9.9/x",
    ] {
        let answer = site.get(path, EU).await;
        assert_eq!(answer.status, 401, "{path}");
        let challenges: Vec<_> =
            answer.headers.get_all("www-authenticate").iter().map(|v| v.to_str().unwrap()).collect();
        assert_eq!(
            challenges,
            ["Basic realm=\"waypost\", charset=\"UTF-8\"", "Bearer realm=\"waypost\""],
            "{path}"
        );
        assert_eq!(answer.header("cache-control"), "no-store");
        assert_eq!(answer.header("location"), "");
    }
    assert_eq!(site.get("/tool/1.0/tool.tar.gz", EU).await.status, 302);
    assert_eq!(site.get("/nothing/1.0/x", EU).await.status, 404);
}

#[tokio::test]
async fn a_token_is_taken_from_bearer_and_from_basic_and_leads_to_a_private_mirror_alone() {
    let site = started("").await;
    let basic = |pair: String| format!("Basic {}", data_encoding::BASE64.encode(pair.as_bytes()));
    for authorization in
        [format!("Bearer {}", token()), basic(format!("ci:{}", token())), basic(format!("{}:", token()))]
    {
        let headers =
            [("x-forwarded-for", EU), ("authorization", &*authorization), ("user-agent", "curl/7.88.1")];
        let answer = site.request(Method::GET, FILE, &headers).await;
        assert_eq!((answer.status.as_u16(), answer.mirror()), (302, Some("fra")), "{}", answer.text());
        assert_eq!(answer.header("cache-control"), "no-store");
        let links: Vec<_> = answer.headers.get_all("link").iter().map(|v| v.to_str().unwrap()).collect();
        assert!(links.iter().all(|link| !link.contains(&site.mirror("open").url())), "{links:?}");
    }
    for bad in ["Bearer x", "Bearer a.b.c", "Basic !", "Negotiate abc"] {
        let headers = [("x-forwarded-for", EU), ("authorization", bad)];
        let answer = site.request(Method::GET, FILE, &headers).await;
        assert_eq!(answer.status, 401, "{bad}");
        assert!(
            answer
                .headers
                .get_all("www-authenticate")
                .iter()
                .any(|v| v.to_str().unwrap().contains("invalid_token"))
        );
    }
}

#[tokio::test]
async fn head_is_answered_from_the_catalogue_and_nobody_is_sent_anywhere() {
    let site = started("").await;
    let answer = ask(&site, Method::HEAD, FILE, &token(), &[]).await;
    assert_eq!(answer.status, 200);
    let sha256 = data_encoding::HEXLOWER.decode(site::sha256(FILES[0].1).as_bytes()).unwrap();
    let digest = data_encoding::BASE64.encode(&sha256);
    for (name, value) in [
        ("content-length", "9"),
        ("accept-ranges", "bytes"),
        ("digest", &*format!("SHA-256={digest}")),
        ("repr-digest", &*format!("sha-256=:{digest}:")),
        ("cache-control", "no-store"),
        ("location", ""),
    ] {
        assert_eq!(answer.header(name), value, "{name}");
    }
    assert_eq!(ask(&site, Method::HEAD, FILE, "x", &[]).await.status, 401);
}

#[tokio::test]
async fn what_the_rules_do_not_give_is_403_or_is_not_there_and_stands_in_no_list() {
    let site =
        started(", channels = [\"stable\"], versions = \">=1.0\", platforms = [\"linux-amd64\"]").await;
    for (path, status) in [
        (FILE, 302),
        ("/agent/stable/agent-linux-amd64.tar.gz", 302),
        ("/agent/1.0/notes.txt", 302),
        ("/agent/1.0/darwin-arm64", 404),
        ("/agent/1.0/agent-1.0-darwin-arm64.tar.gz", 404),
        ("/agent/1.0/never-was", 404),
        ("/agent/2.0-rc.1/agent-2.0-rc.1-linux-amd64.tar.gz", 404),
        ("/agent/3.0/never-was", 404),
        ("/agent/0.1/never-was", 403),
        ("/agent/beta/linux-amd64", 403),
    ] {
        let answer = get(&site, path, &token()).await;
        assert_eq!(answer.status.as_u16(), status, "{path}: {}", answer.text());
        assert!(status == 302 || answer.header("location").is_empty());
    }
    let hidden = get(&site, "/agent/2.0-rc.1/agent-2.0-rc.1-linux-amd64.tar.gz", &token()).await;
    let absent = get(&site, "/agent/3.0/never-was", &token()).await;
    let told = |answer: &Answer| {
        (answer.text().to_owned(), answer.headers.len(), answer.header("cache-control").to_owned())
    };
    assert_eq!(told(&hidden), told(&absent), "what is not theirs looks like what is not there");
    let releases = get(&site, "/agent/releases.json", &token()).await;
    assert!(
        !releases.text().contains("2.0-rc.1")
            && !releases.text().contains("darwin")
            && releases.text().contains("notes.txt")
    );
    assert_eq!(releases.header("cache-control"), "no-store");
    let sums = get(&site, "/agent/1.0/SHA256SUMS", &token()).await;
    assert!(!sums.text().contains("darwin") && sums.text().contains("linux-amd64"), "{}", sums.text());
    let stranger = with(json!({ "team": "other" }));
    for path in [FILE, "/agent/9.9/x", "/agent/releases.json", "/agent/stable/version.txt"] {
        assert_eq!(get(&site, path, &stranger).await.status, 403, "{path}: there or not");
    }
}

#[tokio::test]
async fn rules_hold_for_regions_and_times_and_each_refusal_has_its_reason() {
    let site = started(", regions = [\"us\"]").await;
    assert_eq!(get(&site, FILE, &token()).await.status, 403);
    let elsewhere = [
        ("x-forwarded-for", US),
        ("authorization", &*format!("Bearer {}", token())),
        ("user-agent", "curl/8"),
    ];
    assert_eq!(site.request(Method::GET, FILE, &elsewhere).await.status, 302);
    let at = site
        .metric("waypost_entitlement_checks_total{issuer=\"ci\",product=\"agent\",reason=\"region\"}")
        .await;
    assert_eq!(at, 1.0);
    let site = started(", until = \"2020-01-01T00:00:00Z\"").await;
    assert_eq!(get(&site, FILE, &token()).await.status, 403);
    assert_eq!(
        site.metric("waypost_entitlement_checks_total{issuer=\"ci\",product=\"agent\",reason=\"time\"}")
            .await,
        1.0
    );
}

#[tokio::test]
async fn a_token_takes_as_many_different_files_as_it_may() {
    let site = started(", assets = 1").await;
    assert_eq!(get(&site, FILE, &token()).await.status, 302);
    assert_eq!(get(&site, FILE, &token()).await.status, 302, "the same file again");
    assert_eq!(get(&site, "/agent/1.0/notes.txt", &token()).await.status, 403);
    assert_eq!(get(&site, "/agent/1.0/notes.txt", &with(json!({ "jti": "token-2" }))).await.status, 302);
    assert_eq!(
        get(&site, FILE, &with(json!({ "jti": null }))).await.status,
        403,
        "nothing tells it from others"
    );
}

/// By a protocol that does not take the body of an answer to HEAD away by itself.
async fn head_by_http2(site: &Site, path: &str) -> (u16, Bytes) {
    let stream = TcpStream::connect(site.address()).await.unwrap();
    let (mut send, connection) =
        http2::handshake::<_, _, Empty<Bytes>>(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let request = Request::head(format!("http://dl.example{path}"));
    let request =
        request.header("x-forwarded-for", EU).header("authorization", format!("Bearer {}", token()));
    let answer = send.send_request(request.body(Empty::new()).unwrap()).await.unwrap();
    let status = answer.status().as_u16();
    (status, answer.into_body().collect().await.unwrap().to_bytes())
}

#[tokio::test]
async fn a_head_counts_nothing_and_tells_no_link_by_either_protocol() {
    let site = started(", assets = 1").await;
    let authorization = format!("Bearer {}", token());
    let headers = [("x-forwarded-for", EU), ("authorization", authorization.as_str())];
    for path in ["?ticket", "?mirrors", "?mirrors=text", ".meta4"].map(|end| format!("{FILE}{end}")) {
        let answer = site.request(Method::HEAD, &path, &headers).await;
        assert_eq!((answer.status.as_u16(), answer.text()), (200, ""), "{path}");
        assert_ne!(answer.header("content-length"), "0", "{path}");
        assert_eq!(head_by_http2(&site, &path).await, (200, Bytes::new()), "{path}");
    }
    let other = "/agent/1.0/notes.txt";
    assert_eq!(get(&site, other, &token()).await.status, 302, "nothing was counted");
    for path in ["", "?ticket", "?mirrors", ".meta4"].map(|end| format!("{FILE}{end}")) {
        assert_eq!(site.request(Method::HEAD, &path, &headers).await.status, 403, "{path}: as GET would");
    }
    let recorded = "waypost_audit_records_total{outcome=\"written\"}";
    site.until("the one delivery is recorded", async || (site.metric(recorded).await == 1.0).then_some(()))
        .await;
}

#[tokio::test]
async fn a_ticket_stands_for_the_token_for_one_file() {
    let site = started("").await;
    let answer = get(&site, &format!("{FILE}?ticket"), &token()).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("cache-control"), "no-store");
    let url = answer.text().trim();
    let path = url.strip_prefix("http://dl.example").unwrap();
    assert!(path.starts_with(&format!("{FILE}?ticket=")) && !path.contains(&token()), "{url}");
    let redirect = site.get(path, EU).await;
    assert_eq!((redirect.status.as_u16(), redirect.mirror()), (302, Some("fra")));
    assert_eq!(redirect.header("cache-control"), "no-store");
    let described = |answer: &Answer| {
        let links = answer.headers.get_all("link").iter();
        links.filter(|link| link.to_str().unwrap().contains("rel=describedby")).count()
    };
    let with_token = get(&site, FILE, &token()).await;
    assert_eq!(
        (described(&with_token), described(&redirect)),
        (1, 0),
        "to where the ticket does not go along"
    );
    let ticket = path.split_once('=').unwrap().1;
    assert_eq!(site.get(&format!("{FILE}.sha256?ticket={ticket}"), EU).await.status, 200);
    assert_eq!(
        site.get(&format!("/agent/stable/linux-amd64?ticket={ticket}"), EU).await.status,
        302,
        "the same file"
    );
    for path in [
        "/agent/1.0/notes.txt",
        "/agent/2.0-rc.1/agent-2.0-rc.1-linux-amd64.tar.gz",
        "/agent/releases.json",
        "/agent/1.0/SHA256SUMS",
    ] {
        assert_eq!(site.get(&format!("{path}?ticket={ticket}"), EU).await.status, 401, "{path}");
    }
    let bound = get(&site, &format!("{FILE}?ticket&bind=network"), &token()).await;
    let path = bound.text().trim().strip_prefix("http://dl.example").unwrap().to_owned();
    assert_eq!(site.get(&path, EU).await.status, 302);
    assert_eq!(site.get(&path, US).await.status, 401, "from another network");
    assert_eq!(site.get(&format!("{FILE}?ticket"), EU).await.status, 401, "a ticket costs a token");
    let as_json =
        ask(&site, Method::GET, &format!("{FILE}?ticket"), &token(), &[("accept", "application/json")]).await;
    assert!(
        as_json.json()["url"].as_str().unwrap().contains("?ticket=")
            && as_json.json()["expires_at"].is_string()
    );
}

#[tokio::test]
async fn tickets_without_a_secret_file_outlive_reloads_and_end_with_the_process() {
    let mut site = started("").await;
    let answer = get(&site, &format!("{FILE}?ticket"), &token()).await;
    let path = answer.text().trim().strip_prefix("http://dl.example").unwrap();
    let reloads = async |site: &Site, count: f64| {
        let ok = "waypost_reloads_total{outcome=\"ok\"}";
        site.until("it is reloaded", async || (site.metric(ok).await == count).then_some(())).await;
        site.until("the file is given again", async || {
            (get(site, FILE, &token()).await.status == 302).then_some(())
        })
        .await;
    };
    site.reload();
    reloads(&site, 1.0).await;
    assert_eq!(site.get(path, EU).await.status, 302, "after SIGHUP");
    fs::write(site.dir().join("issuer.key"), SECRET).unwrap();
    reloads(&site, 2.0).await;
    assert_eq!(site.get(path, EU).await.status, 302, "after a file changed that is watched");
    site.restart().await;
    site.until("the file is given again", async || {
        (get(&site, FILE, &token()).await.status == 302).then_some(())
    })
    .await;
    assert_eq!(site.get(path, EU).await.status, 401, "after a restart");
}

#[tokio::test]
async fn a_ticket_ends_with_its_rule_and_is_good_where_that_gives_the_file() {
    let soon = waypost::model::Timestamp::from_millis(SystemClock.now().as_millis() + 100_000);
    let site = started(&format!(", regions = [\"eu\", \"ap\"], until = \"{soon}\"")).await;
    let accept = [("accept", "application/json")];
    let told = ask(&site, Method::GET, &format!("{FILE}?ticket"), &token(), &accept).await.json();
    assert_eq!(told["expires_at"], soon.to_string(), "and not five minutes from now");
    let path = told["url"].as_str().unwrap().strip_prefix("http://dl.example").unwrap().to_owned();
    assert_eq!(site.get(&path, EU).await.status, 302);
    assert_eq!(site.get(&path, site::AP).await.status, 302);
    assert_eq!(site.get(&path, US).await.status, 403);
    let region = "waypost_entitlement_checks_total{issuer=\"\",product=\"agent\",reason=\"region\"}";
    assert_eq!(site.metric(region).await, 1.0);
}

/// What the page sends.
fn form(token: &str, path: &str) -> String {
    let mut form = url::form_urlencoded::Serializer::new(String::new());
    form.append_pair("token", token).append_pair("path", path).finish()
}

#[tokio::test]
async fn a_reload_changes_how_long_a_browser_keeps_a_token() {
    let mut site = started("").await;
    let is_kept = async |site: &Site, age: &str| {
        let answer = site.form("/-/session", &form(&token(), FILE), &BROWSER).await;
        answer.header("set-cookie").contains(&format!("; Max-Age={age};"))
    };
    assert!(!is_kept(&site, "120").await);
    site.plan.more += "[tickets]\nsession = \"2m\"\n";
    site.write_config();
    site.reload();
    site.until("it is kept for two minutes", async || is_kept(&site, "120").await.then_some(())).await;
}

#[tokio::test]
async fn a_browser_gets_a_page_that_takes_a_token_and_then_the_file() {
    let site = started("").await;
    let page = site.request(Method::GET, FILE, &[&BROWSER[..], &[("x-forwarded-for", EU)]].concat()).await;
    assert_eq!(page.status, 401);
    assert_eq!(page.headers.get_all("www-authenticate").iter().count(), 1, "no window that asks for a user");
    assert!(page.header("content-type").starts_with("text/html"));
    for part in ["method=\"post\" action=\"/-/session\"", "type=\"password\"", &format!("value=\"{FILE}\"")] {
        assert!(page.text().contains(part), "{part}: {}", page.text());
    }
    let answer = site.form("/-/session", &form(&token(), FILE), &BROWSER).await;
    assert_eq!((answer.status.as_u16(), answer.header("location")), (303, FILE));
    let cookie = answer.header("set-cookie").to_owned();
    for part in ["waypost_token=", "; HttpOnly", "; SameSite=Strict", "; Path=/", "; Max-Age="] {
        assert!(cookie.contains(part), "{part}: {cookie}");
    }
    let pair = cookie.split(';').next().unwrap();
    let headers = [&BROWSER[..], &[("x-forwarded-for", EU), ("cookie", pair)]].concat();
    assert_eq!(site.request(Method::GET, FILE, &headers).await.status, 302);
    let wrong = site.form("/-/session", &form("nonsense", FILE), &BROWSER).await;
    assert_eq!((wrong.status.as_u16(), wrong.header("set-cookie")), (401, ""));
    assert!(wrong.text().contains("role=\"alert\"") && !wrong.text().contains("nonsense"));
    for path in ["//evil.example/", "https://evil.example/", "/\\evil.example", "/a\r\nb"] {
        let answer = site.form("/-/session", &form(&token(), path), &BROWSER).await;
        assert_eq!((answer.status.as_u16(), answer.header("location")), (303, "/"), "{path}");
    }
    let stranger = [&BROWSER[..], &[("sec-fetch-site", "cross-site")]].concat();
    assert_eq!(site.form("/-/session", &form(&token(), FILE), &stranger).await.status, 403);
    let long = "x".repeat(100_000);
    assert_eq!(site.form("/-/session", &form(&long, FILE), &BROWSER).await.status, 400);
}

#[tokio::test]
async fn a_browser_is_led_out_of_an_expired_ticket_and_of_a_token_that_does_not_give_the_file() {
    let site = started("").await;
    let from = [&BROWSER[..], &[("x-forwarded-for", EU)]].concat();
    let page = site.request(Method::GET, &format!("{FILE}?a=b&ticket=old.ticket&c=d"), &from).await;
    assert_eq!(page.status, 401);
    assert!(page.text().contains(&format!("value=\"{FILE}?a=b&amp;c=d\"")), "{}", page.text());
    assert!(
        page.text().contains(&format!("<a href=\"{FILE}?a=b&amp;c=d\">")),
        "the cookie was not looked at"
    );
    let page = site.request(Method::GET, &format!("{FILE}?ticket"), &from).await;
    assert!(page.text().contains(&format!("value=\"{FILE}?ticket\"")), "it is still a ticket that is wanted");
    let cookie = format!("waypost_token={}", with(json!({ "team": "other" })));
    let with_cookie = [&from[..], &[("cookie", &*cookie)]].concat();
    let page = site.request(Method::GET, FILE, &with_cookie).await;
    assert_eq!((page.status.as_u16(), page.header("www-authenticate")), (403, ""));
    assert!(page.text().contains("type=\"password\"") && page.text().contains("role=\"alert\""));
}

#[tokio::test]
async fn a_browser_that_another_site_sends_is_offered_to_go_on_and_never_to_a_third() {
    let hosts = "[[host]]\nname = \"get.example\"\nproduct = \"agent\"\n";
    let site = site("").config(hosts).start().await;
    site.until_everywhere("agent", "1.0").await;
    let page = async |path: &str, from: &'static str| {
        let more = [("x-forwarded-for", EU), ("host", "get.example"), ("sec-fetch-site", from)];
        let page = site.request(Method::GET, path, &[&BROWSER[..], &more].concat()).await;
        assert_eq!(page.status, 401, "{path}");
        page.text().to_owned()
    };
    let file = "/1.0/agent-1.0-linux-amd64.tar.gz";
    let link = format!("<a href=\"{file}\">");
    assert!(page(file, "cross-site").await.contains(&link));
    for from in ["same-origin", "same-site", "none"] {
        assert!(!page(file, from).await.contains("<a "), "{from}: the cookie would have come");
    }
    assert!(!page("//evil.example/1.0", "cross-site").await.contains("<a "));
}

#[tokio::test]
async fn a_tickets_url_leads_back_to_the_host_that_was_asked() {
    let hosts = "[[host]]\nname = \"get.example\"\nproduct = \"agent\"\nprefix = \"/get it\"\n";
    let site = nameless("").config(hosts).start().await;
    site.until_everywhere("agent", "1.0").await;
    let asked = "/get%20it/1.0/agent-1.0-linux-amd64.tar.gz";
    let host = ("host", "get.example");
    let answer = ask(&site, Method::GET, &format!("{asked}?ticket"), &token(), &[host]).await;
    let path = answer.text().trim().strip_prefix("http://get.example").unwrap().to_owned();
    assert!(path.starts_with(&format!("{asked}?ticket=")), "{path}");
    let from = [("x-forwarded-for", EU), host];
    let redirect = site.request(Method::GET, &path, &from).await;
    assert_eq!(redirect.status, 302, "{path}");
}

#[tokio::test]
async fn a_tool_that_repeats_its_header_is_not_sent_to_who_refuses_two_credentials_by_a_ticket_either() {
    let sign = "sign = { kind = \"s3\", region = \"x\", access_key_file = \"id\", secret_file = \"key\" }";
    let files = |site: Builder| site.file("id", "AKIAEXAMPLE").file("key", "of the bucket");
    let site = files(Site::builder().mirror("bucket", |m| m.region("eu").line(sign)))
        .file("issuer.key", format!("{SECRET}\n"))
        .release("agent", "1.0", FILES, &["stable"])
        .config(&tables(""))
        .start()
        .await;
    site.until_everywhere("agent", "1.0").await;
    let ticketed = get(&site, &format!("{FILE}?ticket"), &token()).await;
    let path = format!("{FILE}{}", &ticketed.text().trim()[ticketed.text().find('?').unwrap()..]);
    for (agent, header, status) in [
        ("Wget/1.21", Some("Bearer old"), 400),
        ("Wget/1.21", None, 302),
        ("curl/8", Some("Bearer old"), 302),
        ("my-installer", Some("Bearer old"), 302),
    ] {
        let mut headers = vec![("x-forwarded-for", EU), ("user-agent", agent)];
        headers.extend(header.map(|header| ("authorization", header)));
        let answer = site.request(Method::GET, &path, &headers).await;
        assert_eq!(answer.status.as_u16(), status, "{agent}: {}", answer.text());
    }
}

#[tokio::test]
async fn a_product_is_not_served_to_a_country_that_it_may_not_be_served_to() {
    let site = Site::builder()
        .mirror("fra", |m| m.region("eu"))
        .release("tool", "1.0", &[("tool.tar.gz", b"tool")], &["stable"])
        .config(
            "[[client_network]]\ncidr = \"192.0.2.0/24\"\ncountry = \"KP\"\n\
             [[product]]\nname = \"tool\"\ndeny_countries = [\"KP\"]\n",
        )
        .start()
        .await;
    site.until_everywhere("tool", "1.0").await;
    for path in ["/tool/1.0/tool.tar.gz", "/tool/releases.json", "/tool/9/x"] {
        let answer = site.get(path, "192.0.2.7").await;
        assert_eq!((answer.status.as_u16(), answer.header("location")), (451, ""), "{path}");
    }
    assert_eq!(site.get("/tool/1.0/tool.tar.gz", EU).await.status, 302);
    assert_eq!(site.get("/tool/1.0/tool.tar.gz", "198.51.100.1").await.status, 302, "an unknown country");
}
