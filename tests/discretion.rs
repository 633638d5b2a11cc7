//! What a caller may not have cannot be told from what is not there, by whatever path, host or old link it is asked for.

#![allow(clippy::unwrap_used, missing_docs)]

#[path = "support/site.rs"]
mod site;
#[path = "support/tokens.rs"]
mod tokens;

use std::fs;

use http::Method;
use site::orders::{product, version};
use site::{Answer, Builder, EU, Site};
use tokens::{SECRET, tables, token};
use waypost::store::Action;
use waypost::workers::fact::Wish;

const HOSTS: &str = "[[host]]\nname = \"get.example\"\nproduct = \"agent\"\n\
                     [[host]]\nname = \"files.example\"\nprefix = \"/v9\"\n\
                     [[alias]]\nfrom = \"/pub/{product}-{version}-{platform}.tar.gz\"\nto = \"/{product}/{version}/{platform}\"\n";

fn site(allow: &str) -> Builder {
    Site::builder()
        .mirror("fra", |m| m.region("eu").line("private = true"))
        .file("issuer.key", format!("{SECRET}\n"))
        .release("agent", "1.0", &[("agent-1.0-linux-amd64.tar.gz", b"one")], &["stable"])
        .release("agent", "2.0", &[("agent-2.0-linux-amd64.tar.gz", b"two"), ("two-only", b"2")], &["beta"])
        .config(HOSTS)
        .config(&tables(allow))
}

async fn started(allow: &str) -> Site {
    let site = site(allow).start().await;
    site.until_channel("agent", "stable", "1.0").await;
    site.until_channel("agent", "beta", "2.0").await;
    site
}

async fn ask(site: &Site, host: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
    let asked = [("host", host), ("x-forwarded-for", EU), ("user-agent", "curl/8")];
    site.request(Method::GET, path, &[&asked, headers].concat()).await
}

/// All that a caller sees of a refusal.
fn told(answer: &Answer) -> (u16, String, Vec<(String, String)>) {
    let headers = answer.headers.iter().filter(|(name, _)| *name != "date" && *name != "content-length");
    let headers =
        headers.map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned())).collect();
    (answer.status.as_u16(), answer.text().to_owned(), headers)
}

/// Ways to ask for a file of a version.
const WAYS: [(&str, &str); 10] = [
    ("", "/agent/VERSION/agent-VERSION-linux-amd64.tar.gz"),
    ("", "/agent/VERSION/linux-amd64"),
    ("", "/agent/vVERSION/SHA256SUMS"),
    ("", "/%61gent/VERSION/nothing"),
    ("", "/agent/install?version=VERSION&platform=linux-amd64"),
    ("", "/agent/install?version=VERSION"),
    ("", "/pub/agent-VERSION-linux-amd64.tar.gz"),
    ("get.example", "/VERSION/linux-amd64"),
    ("files.example", "/v9/agent/VERSION/linux-amd64"),
    ("files.example", "/v9/pub/agent-VERSION-linux-amd64.tar.gz"),
];

async fn assert_alike(site: &Site, there: &str, absent: &str, headers: &[(&str, &str)], status: Option<u16>) {
    for (host, way) in WAYS {
        let host = if host.is_empty() { "dl.example" } else { host };
        let encoded = |version: &str| version.replace('.', "%2E");
        for (there, absent) in [(there.to_owned(), absent.to_owned()), (encoded(there), encoded(absent))] {
            let (one, other) = (way.replace("VERSION", &there), way.replace("VERSION", &absent));
            let (one, other) = (ask(site, host, &one, headers).await, ask(site, host, &other, headers).await);
            assert_eq!(told(&one), told(&other), "{host}{way} of {there} and {absent}");
            assert!(status.is_none_or(|status| one.status == status), "{host}{way}: {}", one.status);
        }
    }
}

#[tokio::test]
async fn without_a_token_every_way_to_a_product_is_401_whether_or_not_it_leads_somewhere() {
    let site = started("").await;
    assert_alike(&site, "1.0", "7.0", &[], Some(401)).await;
}

#[tokio::test]
async fn a_version_beyond_the_rules_is_refused_alike_whether_or_not_it_is_there() {
    let site = started(", versions = \"<2\"").await;
    let bearer = format!("Bearer {}", token());
    assert_alike(&site, "2.0", "7.0", &[("authorization", &bearer)], None).await;
}

#[tokio::test]
async fn a_version_of_another_channel_is_refused_alike_whether_or_not_it_is_there() {
    let site = started(", channels = [\"stable\"]").await;
    let bearer = format!("Bearer {}", token());
    let headers = [("authorization", &*bearer)];
    assert_alike(&site, "2.0", "7.0", &headers, None).await;
    for (one, other) in [
        ("/agent/beta/agent-2.0-linux-amd64.tar.gz", "/agent/beta/agent-7.0-linux-amd64.tar.gz"),
        ("/agent/beta/two-only", "/agent/beta/seven-only"),
        ("/agent/install?version=beta", "/agent/install?version=beta&platform=plan9-mips"),
    ] {
        let (one, other) = (ask(&site, "", one, &headers).await, ask(&site, "", other, &headers).await);
        assert_eq!((told(&one), one.status.as_u16()), (told(&other), 403));
    }
}

#[tokio::test]
async fn what_is_given_elsewhere_or_later_is_refused_alike_whether_or_not_it_is_there() {
    let bearer = format!("Bearer {}", token());
    for rule in [", regions = [\"us\"]", ", from = \"2099-01-01\""] {
        let site = started(rule).await;
        assert_alike(&site, "2.0", "7.0", &[("authorization", &bearer)], Some(403)).await;
    }
}

#[tokio::test]
async fn a_withdrawn_release_leads_nobody_to_one_that_is_not_theirs() {
    let site = started(", versions = \"<2\"").await;
    site.publish("agent", "1.5", &[("agent-1.5-linux-amd64.tar.gz", b"one and a half")], &["stable"]);
    site.until_channel("agent", "stable", "1.5").await;
    let (product, replacement) = (product("agent"), Some(version("2.0")));
    let wish = Wish::Plain(Action::ReleaseWithdraw { product, version: version("1.5"), replacement });
    site.obeyed(wish).await;
    let bearer = format!("Bearer {}", token());
    let headers = [("authorization", &*bearer)];
    let gone = ask(&site, "", "/agent/1.5/linux-amd64", &headers).await;
    assert_eq!((gone.status.as_u16(), gone.header("link")), (410, ""));
    let releases = ask(&site, "", "/agent/releases.json", &headers).await;
    let text = releases.text();
    assert!(text.contains("1.5") && !text.contains("2.0"), "{text}");
}

#[tokio::test]
async fn whoever_has_a_channel_is_told_that_its_release_is_gone() {
    let site = started(", channels = [\"beta\"]").await;
    let (product, version) = (product("agent"), version("2.0"));
    site.obeyed(Wish::Plain(Action::ReleaseWithdraw { product, version, replacement: None })).await;
    let bearer = format!("Bearer {}", token());
    let headers = [("authorization", &*bearer)];
    assert_eq!(ask(&site, "", "/agent/beta/linux-amd64", &headers).await.status, 410);
    assert_eq!(ask(&site, "", "/agent/stable/linux-amd64", &headers).await.status, 403);
}

#[tokio::test]
async fn a_mirror_that_keeps_nobody_out_is_asked_for_nothing_of_a_product_that_is_not_for_everybody() {
    let site = site("")
        .mirror("open", |m| m.region("eu"))
        .release("tool", "1.0", &[("tool.tar.gz", b"tool")], &["stable"])
        .start()
        .await;
    site.until_channel("agent", "stable", "1.0").await;
    site.until_everywhere("agent", "1.0").await;
    site.until_everywhere("tool", "1.0").await;
    let asked: Vec<String> = site.mirror("open").looks().iter().map(|look| look.path.clone()).collect();
    assert!(asked.iter().any(|path| path.contains("tool")), "{asked:?}");
    assert!(!asked.iter().any(|path| path.contains("agent")), "{asked:?}");
    let pending = site.metric("waypost_copies{mirror=\"open\",state=\"pending\"}").await;
    assert_eq!(pending, 0.0, "and nothing of it is waited for");
}

#[tokio::test]
async fn a_product_that_is_public_no_more_is_given_to_nobody_from_the_reload_on() {
    let site = site("").mirror("open", |m| m.region("eu")).start().await;
    let entitled = fs::read_to_string(site.config_file()).unwrap();
    assert!(entitled.contains("access = \"entitled\"\n"));
    fs::write(site.config_file(), entitled.replace("access = \"entitled\"\n", "")).unwrap();
    site.reload();
    let file = "/agent/stable/agent-linux-amd64.tar.gz";
    let open = site.mirror("open").url();
    let list = format!("{file}?mirrors=text");
    site.until("the open mirror has it", async || {
        Some(ask(&site, "", &list, &[]).await).filter(|answer| answer.text().contains(&open))
    })
    .await;
    let ways = [file, "/agent/releases.json", "/agent/1.0/SHA256SUMS", "/agent/stable/linux-amd64.meta4"];
    for way in ways {
        assert!(ask(&site, "", way, &[]).await.status.as_u16() < 400, "{way}");
    }
    fs::write(site.config_file(), entitled).unwrap();
    site.reload();
    site.until_status(file, EU, 401).await;
    for way in ways {
        assert_eq!(ask(&site, "", way, &[]).await.status, 401, "{way}");
    }
    let bearer = format!("Bearer {}", token());
    let given = ask(&site, "", file, &[("authorization", &bearer)]).await;
    assert_eq!((given.status.as_u16(), given.mirror()), (302, Some("fra")), "the open one has it still");
}
