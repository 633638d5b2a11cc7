//! What strangers are told: a stable status for each reason, a reason in the metrics, and nothing of what they sent.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::json;

use crate::guarded::{FILE, Guarded, SELDOM, token};
use crate::signer::{AUD, ISS, Signer};
use crate::site::EU;

#[tokio::test]
async fn every_hostile_token_has_its_status_and_its_reason_and_nothing_of_it_is_told() {
    let (key, forger) = (Signer::p256(), Signer::p256());
    let guarded = Guarded::start(SELDOM, &[key.jwk("k1")]).await;
    let good = token(&key, "k1", "t1");
    guarded.until_status(&good, 302).await;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let claims = |more: &str| format!("{{\"iss\":\"{ISS}\",\"aud\":\"{AUD}\",\"exp\":{}{more}}}", now + 600);
    let signed = |claims: &str| key.token_of("ES256", r#"{"alg":"ES256","kid":"k1"}"#, claims);
    let headed = |header: &str| key.token_of("ES256", header, &claims(""));
    let secret = "confidential-claim";
    for (issuer, reason, token) in [
        ("", "malformed", "no-token-at-all".to_owned()),
        ("", "malformed", headed(r#"{"alg":"ES256","crit":["exp"]}"#)),
        ("", "duplicate_claim", signed(&claims(",\"aud\":\"x\""))),
        ("", "too_large", signed(&claims(&format!(",\"x\":\"{}\"", "y".repeat(7000))))),
        ("", "missing_claim", signed("{}")),
        ("", "unknown_issuer", signed(&json!({ "iss": secret }).to_string())),
        ("ci", "wrong_algorithm", headed(r#"{"alg":"none"}"#)),
        ("ci", "wrong_algorithm", headed(r#"{"alg":"HS256","kid":"k1"}"#)),
        ("ci", "unknown_key", headed(r#"{"alg":"ES256","kid":"confidential-kid"}"#)),
        ("ci", "bad_signature", forger.token_of("ES256", r#"{"alg":"ES256","kid":"k1"}"#, &claims(""))),
        ("ci", "missing_claim", signed(&json!({ "iss": ISS, "aud": AUD }).to_string())),
        ("ci", "wrong_audience", signed(&json!({ "iss": ISS, "aud": secret, "exp": now + 600 }).to_string())),
        ("ci", "expired", signed(&json!({ "iss": ISS, "aud": AUD, "exp": now - 600 }).to_string())),
        ("ci", "not_yet_valid", signed(&claims(&format!(",\"nbf\":{}", now + 600)))),
    ] {
        let before = guarded.denied(issuer, reason).await;
        let bearer = format!("Bearer {token}");
        let headers = [("x-forwarded-for", EU), ("authorization", bearer.as_str())];
        let answer = guarded.site.request(http::Method::GET, FILE, &headers).await;
        assert_eq!(answer.status, 401, "{reason}");
        assert!(guarded.denied(issuer, reason).await > before, "{reason}");
        let told = format!("{} {:?}", answer.text(), answer.headers);
        let metrics = guarded.site.admin("/metrics").await;
        for part in token.split('.').chain([secret, "confidential-kid"]).filter(|part| part.len() > 4) {
            assert!(!told.contains(part) && !metrics.text().contains(part), "{reason}: {part}");
        }
    }
    assert_eq!(guarded.status(FILE, &good).await, 302);
}
