//! Callers with tokens, as the operator sees them: an explanation says who asks and what comes short, a revocation holds,
//! and neither tells the token.

#![allow(clippy::unwrap_used, missing_docs)]

#[path = "support/program.rs"]
mod program;
#[path = "support/site.rs"]
mod site;

use http::Method;
use program::{waypost, waypost_from_elsewhere};
use serde_json::{Value, json};
use site::{AP, EU, Site, sha256};

const TABLES: &str = r#"
[[channel]]
name = "stable"
ready = "all"
[[product]]
name = "agent"
access = "entitled"
deny_countries = "KP"
[[product]]
name = "tool"
deny_countries = "KP"
[[client_network]]
cidr = "10.9.0.0/16"
country = "KP"
[[issuer]]
name = "customers"
issuer = "https://d.example"
audience = "d.example"
algorithms = "HS256"
secret_file = "secret"
[[entitlement]]
issuer = "customers"
when = { plan = "gold" }
allow = [{ product = "agent", regions = "eu" }, { product = "other" }]
"#;

/// An entitled product on a private mirror and on one that is not, for which its channel does not wait; and a public one.
async fn started() -> Site {
    let role = sha256(b"release-token");
    let admin = format!("[[admin.token]]\nname = \"ci\"\nrole = \"release\"\nsha256 = {role:?}\n");
    let site = Site::builder()
        .mirror("fra", |m| m.region("eu").line("private = true"))
        .mirror("sin", |m| m.region("ap"))
        .release("agent", "1.0", &[("agent", b"the agent")], &["stable"])
        .release("tool", "1.0", &[("tool", b"the tool")], &["stable"])
        .config(&format!("{TABLES}{admin}"))
        .file("secret", "correct horse battery staple, 32+")
        .start()
        .await;
    site.until_channel("agent", "stable", "1.0").await;
    site.until_everywhere("agent", "1.0").await;
    site.until_everywhere("tool", "1.0").await;
    site
}

/// A token and its id.
async fn minted(site: &Site, plan: &str) -> (String, String) {
    let claim = format!("plan={plan}");
    let ran = waypost(site, &["token", "mint", "--issuer", "customers", "--json", "--claim", &claim]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    let told: Value = serde_json::from_str(&ran.out).unwrap();
    let text = |key: &str| told[key].as_str().unwrap().to_owned();
    (text("token"), text("token_id"))
}

async fn status(site: &Site, token: &str) -> u16 {
    let bearer = format!("Bearer {token}");
    let headers = [("authorization", bearer.as_str()), ("x-forwarded-for", EU), ("user-agent", "curl/8")];
    site.request(Method::GET, "/agent/1.0/agent", &headers).await.status.as_u16()
}

#[tokio::test]
async fn an_explanation_says_who_asks_what_fits_and_what_comes_short() {
    let site = started().await;
    let (gold, id) = minted(&site, "gold").await;
    let (silver, _) = minted(&site, "silver").await;
    let agent = "/agent/1.0/agent";
    for (path, from, token, code, parts) in [
        (
            agent,
            EU,
            Some(&gold),
            0,
            &[
                &format!("token   by customers, id {id}, ends in"),
                "access  yes, by the token",
                "rule    agent, regions eu: gives this",
                "rule    other: does not fit: product",
                "answer  redirected to ",
                "neither signs its links nor is private",
            ][..],
        ),
        (agent, AP, Some(&gold), 1, &["(region)", "agent, regions eu: does not fit: region"]),
        (agent, EU, Some(&silver), 1, &["by customers", "the token does not give this (not_entitled)"]),
        (agent, EU, Some(&"a.b.c".to_owned()), 1, &["none that is believed", "(malformed)"]),
        (agent, EU, None, 1, &["none that is believed", "(no_token)"]),
        (agent, "10.9.0.1", Some(&gold), 1, &["by customers", "your country (territory)"]),
        ("/tool/1.0/tool", "10.9.0.1", None, 1, &["your country (territory)"]),
        ("/tool/1.0/tool", EU, Some(&gold), 0, &["the product is for everybody", "by customers"]),
    ] {
        let mut args = vec!["explain", path, "--from", from];
        args.extend(token.map(|token| ["--token", token]).into_iter().flatten());
        let ran = waypost(&site, &args).await;
        assert_eq!(ran.code, code, "{args:?}: {ran:?}");
        for part in parts {
            assert!(ran.out.contains(part), "{part}: {ran:?}");
        }
        if path.starts_with("/tool") && token.is_none() {
            assert!(!ran.out.contains("token"), "nobody was asked for one: {ran:?}");
        }
        assert!(!ran.out.contains(&gold) && !ran.out.contains(&silver), "{ran:?}");
    }
    let ran = waypost(&site, &["explain", agent, "--from", EU, "--token", &gold, "--json"]).await;
    let told: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!((&told["caller"]["token_id"], &told["status"]), (&json!(id), &json!(302)), "{told}");
    assert_eq!(told["caller"]["rules"][0]["gives"], true, "{told}");
    let excluded = told["candidates"].as_array().unwrap().iter().find(|one| one["mirror"] == "sin").unwrap();
    assert_eq!(excluded["exclusion"], "not_private", "{told}");
    assert!(!ran.out.contains(&gold), "{ran:?}");
    let ran = waypost(&site, &["explain", "/tool/1.0/tool", "--from", EU]).await;
    assert!(!ran.out.contains("token"), "a public product asked for without a token: {ran:?}");
    let ran = waypost(&site, &["explain", "/agent/1.0/agent?ticket=hunter2", "--from", EU]).await;
    assert!(ran.code == 1 && ran.out.contains("(bad_ticket)") && !ran.out.contains("hunter2"), "{ran:?}");
}

#[tokio::test]
async fn an_explanation_can_be_asked_for_from_elsewhere_with_a_token_of_each_kind() {
    let mut site = started().await;
    site.plan.more += "[admin]\nlook = \"token\"\n";
    site.write_config();
    site.reload();
    let asked = format!("/v1/explain?path=/agent/1.0/agent&ip={EU}");
    site.until("looking takes a token", async || (site.admin(&asked).await.status == 401).then_some(()))
        .await;
    let (gold, id) = minted(&site, "gold").await;
    let file = |name: &str, text: &str| {
        let path = site.dir().join(name);
        std::fs::write(&path, format!("{text}\n")).unwrap();
        path
    };
    let (operator, stranger) = (file("operator", "release-token"), file("stranger", "nobody's"));
    let (bearer, nothing) = (file("bearer", &gold), file("nothing", ""));
    let explain = ["explain", "/agent/1.0/agent", "--from", EU, "--token", "-"];
    for (operator, bearer, code, part) in [
        (&operator, &bearer, 0, format!("token   by customers, id {id}, ends in")),
        // The one is never taken for the other.
        (&operator, &operator, 1, "(malformed)".to_owned()),
        (&bearer, &bearer, 2, String::new()),
        (&stranger, &bearer, 2, String::new()),
        (&operator, &nothing, 2, "standard input is empty".to_owned()),
    ] {
        let ran = waypost_from_elsewhere(&site, operator, bearer, &explain).await;
        assert_eq!(ran.code, code, "{ran:?}");
        let told = format!("{}{}", ran.out, ran.err);
        assert!(told.contains(&part), "{part}: {told}");
        for secret in [gold.as_str(), "release-token", "nobody's"] {
            assert!(!told.contains(secret), "{told}");
        }
    }
}

#[tokio::test]
async fn an_explanation_says_which_mirrors_are_not_for_tools_that_repeat_a_token() {
    let sign = "sign = { kind = \"s3\", region = \"x\", access_key_file = \"id\", secret_file = \"key\" }";
    let site = Site::builder()
        .mirror("bucket", |m| m.region("eu").line(sign))
        .mirror("fra", |m| m.region("eu").line("private = true"))
        .file("id", "AKIAEXAMPLE")
        .file("key", "of the bucket")
        .file("secret", "correct horse battery staple, 32+")
        .release("agent", "1.0", &[("agent", b"the agent")], &["stable"])
        .release("tool", "1.0", &[("tool", b"the tool")], &["stable"])
        .config(TABLES)
        .start()
        .await;
    site.until_everywhere("agent", "1.0").await;
    site.until_everywhere("tool", "1.0").await;
    let (gold, _) = minted(&site, "gold").await;
    let (agent, tool) = ("/agent/1.0/agent", "/tool/1.0/tool");
    let ran = waypost(&site, &["explain", agent, "--from", EU, "--token", &gold]).await;
    let line = |mirror: &str| ran.out.lines().find(|line| line.contains(&format!("  {mirror}  "))).unwrap();
    let part = "not for tools that repeat their token to it (wget, aria2, urllib)";
    assert!(line("bucket").contains(part) && !line("fra").contains(part), "{ran:?}");
    let ran = waypost(&site, &["explain", tool, "--from", EU, "--token", &gold]).await;
    assert!(!ran.out.contains(part), "who brings no token repeats none: {ran:?}");
    let ran = waypost(&site, &["explain", agent, "--from", EU, "--token", &gold, "--json"]).await;
    let told: Value = serde_json::from_str(&ran.out).unwrap();
    for candidate in told["candidates"].as_array().unwrap() {
        assert_eq!(candidate["refuses_credentials"], candidate["mirror"] == "bucket", "{told}");
    }
}

#[tokio::test]
async fn a_revoked_token_is_refused_at_once_and_after_a_restart() {
    let mut site = started().await;
    let (token, id) = minted(&site, "gold").await;
    let (other, _) = minted(&site, "gold").await;
    assert_eq!((status(&site, &token).await, status(&site, &other).await), (302, 302));
    let ran = waypost(&site, &["token", "revoke", "customers", &id, "--reason", "stolen"]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.out.contains(&id), "{ran:?}");
    // The order was acknowledged; the next snapshot follows it.
    site::soon("it is refused", async || (status(&site, &token).await == 401).then_some(())).await;
    assert_eq!(status(&site, &other).await, 302);
    let ran = waypost(&site, &["explain", "/agent/1.0/agent", "--from", EU, "--token", &token]).await;
    assert!(ran.code == 1 && ran.out.contains("(revoked)"), "{ran:?}");
    let ran = waypost(&site, &["audit"]).await;
    assert!(ran.out.contains(&format!("token revoke: issuer customers token_id {id}")), "{ran:?}");
    site.restart().await;
    site.until_everywhere("agent", "1.0").await;
    assert_eq!(status(&site, &token).await, 401);
}

#[tokio::test]
async fn a_revocation_names_a_known_issuer_and_an_id_and_needs_the_role() {
    let site = started().await;
    let (token, id) = minted(&site, "gold").await;
    for (args, code, part) in [
        (["token", "revoke", "nobody", &id], 1, "issuer nobody"),
        (["token", "revoke", "customers", &token], 2, "its id is asked for"),
        (["token", "revoke", "customers", ""], 2, "say the token's id"),
        (["token", "revoke", "customers", &"x".repeat(1025)], 2, "at most 1024 bytes"),
    ] {
        let ran = waypost(&site, &args).await;
        assert_eq!(ran.code, code, "{args:?}: {ran:?}");
        assert!(ran.err.contains(part) && !ran.err.contains(&token), "{args:?}: {ran:?}");
    }
    let said = json!({ "issuer": "customers", "token_id": id });
    for (admin, status) in [(None, 401), (Some("release-token"), 403)] {
        let answer = site.admin_as(admin, Method::POST, "/v1/tokens/revoke", &said).await;
        assert_eq!(answer.status.as_u16(), status, "{}", answer.text());
    }
    assert_eq!(status(&site, &token).await, 302);
}
