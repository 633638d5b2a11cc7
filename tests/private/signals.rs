//! What the metrics say of callers: each reason apart, and how long it took to find out.

use http::Method;
use serde_json::{Value, json};

use crate::private::{AGENT, SECRET, SECRET_FILE, bearer, signed, token};
use crate::site::{EU, Site};

const PATH: &str = "/agent/1.0/agent.tar.gz";
const RULE: &str =
    "[[entitlement]]\nissuer = \"ci\"\nallow = [{ product = \"agent\", versions = \"<2.0\" }]\n";

async fn checks(site: &Site, issuer: &str, reason: &str) -> f64 {
    let labels = format!("issuer={issuer:?},product=\"agent\",reason={reason:?}");
    site.metric(&format!("waypost_entitlement_checks_total{{{labels}}}")).await
}

async fn timed(site: &Site) -> f64 {
    site.metric("waypost_entitlement_duration_seconds_count").await
}

async fn ask(site: &Site, path: &str, token: &str) -> u16 {
    let bearer = bearer(token);
    let headers = [("x-forwarded-for", EU), ("authorization", &*bearer)];
    site.request(Method::GET, path, &headers).await.status.as_u16()
}

/// A token that is good but for these claims.
fn but(claims: &Value) -> String {
    let mut all =
        json!({ "iss": "https://ci.example", "aud": "downloads.example", "exp": 4_000_000_000_u64 });
    all.as_object_mut().unwrap().extend(claims.as_object().unwrap().clone());
    signed(&all)
}

#[tokio::test]
async fn every_refusal_counts_under_its_own_reason_and_every_check_is_timed() {
    let site = Site::builder()
        .mirror("fra", |m| m.region("eu").line("private = true"))
        .release("agent", "1.0", &[("agent.tar.gz", b"for customers")], &["stable"])
        .file(SECRET_FILE, SECRET)
        .config(&format!("{AGENT}{RULE}"))
        .start()
        .await;
    site.until("it is given out", async || (ask(&site, PATH, &token("alice")).await == 302).then_some(()))
        .await;
    let (granted, before) = (checks(&site, "ci", "granted").await, timed(&site).await);
    let good = token("alice");
    assert_eq!(ask(&site, PATH, &good).await, 302);
    assert_eq!(site.get(PATH, EU).await.status, 401);
    let refused = [
        ("", "malformed", PATH, "no.token".to_owned()),
        ("", "unknown_issuer", PATH, but(&json!({ "iss": "https://elsewhere.example" }))),
        ("ci", "bad_signature", PATH, format!("{}AAAA", &good[..good.len() - 4])),
        ("ci", "wrong_audience", PATH, but(&json!({ "aud": "others" }))),
        ("ci", "expired", PATH, but(&json!({ "exp": 1_700_000_000 }))),
        ("ci", "not_yet_valid", PATH, but(&json!({ "nbf": 3_900_000_000_u64 }))),
        ("ci", "not_entitled", "/agent/3.0/agent.tar.gz", good.clone()),
    ];
    for (issuer, reason, path, token) in &refused {
        assert!(matches!(ask(&site, path, token).await, 401 | 403), "{reason}");
        assert_eq!(checks(&site, issuer, reason).await, 1.0, "{reason}");
    }
    assert_eq!(
        (checks(&site, "ci", "granted").await, checks(&site, "", "no_token").await),
        (granted + 1.0, 1.0)
    );
    assert_eq!(timed(&site).await, before + 2.0 + refused.len() as f64);
}
