//! Who may do what on the admin listener, and that everything that was done can be read again.

#![allow(clippy::unwrap_used, missing_docs)]

#[path = "support/site.rs"]
mod site;

use std::process::{Command, Output};

use http::{Method, StatusCode};
use serde_json::{Value, json};
use site::{Answer, Builder, EU, Site, sha256};

const LOOK: &str = "look-3Yl0pQ";
const RELEASE: &str = "release-8fK2";
const OPERATE: &str = "operate-Zq7x";

/// One mirror with a release, and a token for each role.
fn guarded(look: &str) -> Builder {
    let mut tables = format!("[admin]\nlook = {look:?}\n");
    for (name, role, token) in
        [("dashboard", "look", LOOK), ("ci", "release", RELEASE), ("ops", "operate", OPERATE)]
    {
        let hash = sha256(token.as_bytes());
        tables += &format!("[[admin.token]]\nname = {name:?}\nrole = {role:?}\nsha256 = {hash:?}\n");
    }
    Site::builder()
        .mirror("fra", |m| m.region("eu"))
        .release("tool", "1.0", &[("tool", b"the tool")], &["stable"])
        .config(&tables)
}

async fn started(builder: Builder) -> Site {
    let site = builder.start().await;
    site.until_channel("tool", "stable", "1.0").await;
    site.until_redirected("/tool/1.0/tool", EU, "fra").await;
    site
}

async fn post(site: &Site, token: Option<&str>, path: &str) -> Answer {
    site.admin_as(token, Method::POST, path, &json!({ "reason": "a test" })).await
}

const DRAIN: &str = "/v1/mirrors/fra/drain";
const HOLD: &str = "/v1/channels/tool/stable/hold";

#[tokio::test]
async fn each_role_may_what_those_before_it_may_and_no_more() {
    let site = started(guarded("open")).await;
    for (token, hold, drain) in [
        (None, 401, 401),
        (Some("wrong"), 401, 401),
        (Some(""), 401, 401),
        (Some(LOOK), 403, 403),
        (Some(RELEASE), 200, 403),
        (Some(OPERATE), 200, 200),
    ] {
        let got =
            (post(&site, token, HOLD).await.status.as_u16(), post(&site, token, DRAIN).await.status.as_u16());
        assert_eq!(got, (hold, drain), "{token:?}");
        let looked = site.admin_as(token, Method::GET, "/v1/mirrors", &Value::Null).await.status;
        // A token that is not known is refused even where none is needed: whoever sends it believes it counts.
        let expected = if hold == 401 && token.is_some() { 401 } else { 200 };
        assert_eq!(looked.as_u16(), expected, "{token:?}");
    }
    let refused = post(&site, None, DRAIN).await;
    assert!(refused.header("www-authenticate").starts_with("Bearer"), "{:?}", refused.headers);
}

#[tokio::test]
async fn reading_can_need_a_token_while_health_and_metrics_stay_open() {
    let site = started(guarded("token")).await;
    for path in ["/healthz", "/readyz", "/metrics"] {
        assert_eq!(site.admin(path).await.status, StatusCode::OK, "{path}");
    }
    for path in ["/v1/mirrors", "/v1/releases", "/v1/audit", "/v1/explain?path=/tool/1.0/tool&ip=10.1.0.1"] {
        assert_eq!(site.admin(path).await.status, StatusCode::UNAUTHORIZED, "{path}");
        let with = site.admin_as(Some(LOOK), Method::GET, path, &Value::Null).await;
        assert_eq!(with.status, StatusCode::OK, "{path}: {}", with.text());
    }
    assert_eq!(site.local(Method::GET, "/v1/mirrors").await.status, StatusCode::OK, "the socket needs none");
}

#[tokio::test]
async fn a_reload_takes_a_token_back() {
    let mut site = started(guarded("open")).await;
    assert_eq!(post(&site, Some(RELEASE), HOLD).await.status, StatusCode::OK);
    site.plan.more = site.plan.more.replace(&sha256(RELEASE.as_bytes()), &sha256(b"another"));
    site.write_config();
    site.reload();
    site.until("the token is not known any more", async || {
        (post(&site, Some(RELEASE), HOLD).await.status == StatusCode::UNAUTHORIZED).then_some(())
    })
    .await;
}

#[tokio::test]
async fn the_audit_names_who_what_when_and_why_and_survives_a_restart() {
    let mut site = started(guarded("open")).await;
    let said = json!({ "reason": "hot fix", "actor": "somebody else" });
    site.admin_as(Some(RELEASE), Method::POST, HOLD, &said).await;
    site.post(DRAIN, &json!({ "reason": "disk swap", "actor": "ada" })).await;
    post(&site, Some(LOOK), DRAIN).await;
    site.restart().await;
    let audit = site.admin("/v1/audit").await.json();
    let orders = audit["orders"].as_array().unwrap();
    let line = |order: &Value| {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        (text(&order["actor"]), text(&order["action"]["kind"]), text(&order["reason"]))
    };
    let expected = [
        ("ada", "mirror_drain", "disk swap"),
        // The token's name, whatever its bearer claims.
        ("ci", "channel_hold", "hot fix"),
        ("waypost", "channel_move", "the release is ready"),
    ];
    let got: Vec<_> = orders.iter().map(line).collect();
    let expected: Vec<_> = expected.iter().map(|(a, b, c)| ((*a).into(), (*b).into(), (*c).into())).collect();
    assert_eq!(got, expected, "the newest first, and nothing that was refused");
    assert!(orders.iter().all(|order| order["at"].as_str().unwrap().ends_with('Z')), "{audit}");
}

#[tokio::test]
async fn the_audit_comes_in_pages() {
    let site = started(guarded("open")).await;
    for _ in 0..5 {
        site.order("fra", "drain").await;
        site.order("fra", "undrain").await;
    }
    let (mut ids, mut next) = (Vec::new(), Some(u64::MAX));
    while let Some(before) = next {
        let page = site.admin(&format!("/v1/audit?limit=4&before={before}")).await.json();
        ids.extend(page["orders"].as_array().unwrap().iter().map(|order| order["id"].as_u64().unwrap()));
        next = page["next"].as_u64();
    }
    assert_eq!(ids, (1..=11).rev().collect::<Vec<u64>>());
    assert_eq!(site.admin("/v1/audit?limit=x").await.status, StatusCode::BAD_REQUEST);
}

/// Runs the program against a site's admin listener.
async fn waypost(site: &Site, token: Option<&str>, args: &[&str]) -> Output {
    let file = site.dir().join("token");
    let mut command = Command::new(env!("CARGO_BIN_EXE_waypost"));
    command.args(args).args(["--admin", &format!("http://{}", site.admin_address())]);
    if let Some(token) = token {
        std::fs::write(&file, format!("{token}\n")).unwrap();
        command.arg("--token-file").arg(file);
    }
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_in_a_file_gives_orders_from_elsewhere() {
    let site = started(guarded("token")).await;
    let code = |output: &Output| output.status.code().unwrap();
    let told = |output: &Output| {
        String::from_utf8_lossy(&[&output.stdout[..], &output.stderr].concat()).into_owned()
    };
    let hold = ["channel", "hold", "tool", "stable", "--reason", "wait for the translators"];
    let without = waypost(&site, None, &hold).await;
    assert_eq!(code(&without), 2, "{}", told(&without));
    let with = waypost(&site, Some(RELEASE), &hold).await;
    assert_eq!(code(&with), 0, "{}", told(&with));
    let listed = waypost(&site, Some(LOOK), &["channel", "list"]).await;
    assert!(told(&listed).contains("held"), "{}", told(&listed));
    let drained = waypost(&site, Some(RELEASE), &["mirror", "drain", "fra"]).await;
    assert_eq!(code(&drained), 2);
    assert!(told(&drained).contains("operate"), "the role that is needed is named: {}", told(&drained));
    let audit = waypost(&site, Some(LOOK), &["audit", "--actor", "ci"]).await;
    assert!(told(&audit).contains("wait for the translators"), "{}", told(&audit));
    for output in [&with, &drained, &audit] {
        assert!(!told(output).contains(RELEASE), "the token is not shown");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_minted_token_fits_the_entry_that_is_printed_with_it() {
    let minted = Command::new(env!("CARGO_BIN_EXE_waypost"))
        .args(["admin", "token", "build \"7\"", "--role", "operate"])
        .output()
        .unwrap();
    let token = String::from_utf8(minted.stdout).unwrap().trim().to_owned();
    let told = String::from_utf8(minted.stderr).unwrap();
    let entry = &told[told.find("[[admin.token]]").unwrap()..];
    assert!(!told.contains(&token), "the entry holds a hash only");
    let site = started(guarded("open").config(entry)).await;
    assert_eq!(post(&site, Some(&token), DRAIN).await.status, StatusCode::OK);
    let audit = site.admin("/v1/audit?limit=1").await.json();
    assert_eq!(audit["orders"][0]["actor"], "build \"7\"");
}
