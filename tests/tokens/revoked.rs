//! What takes a token's rights away: revocation, and its count.

use waypost::store::Action;
use waypost::workers::fact::{Instruction, Wish};

use crate::guarded::{FILE, Guarded, SELDOM, Terms, token};
use crate::signer::Signer;
use crate::site::EU;

async fn revoke(guarded: &Guarded, issuer: &str, token_id: &str) -> bool {
    let action = Action::TokenRevoke { issuer: issuer.to_owned(), token_id: token_id.to_owned() };
    let (actor, reason) = ("tester".to_owned(), "it leaked".to_owned());
    let instruction = Instruction { actor, reason, wish: Wish::Plain(action) };
    guarded.site.handle().order(instruction).await.is_ok()
}

#[tokio::test]
async fn a_revoked_token_is_refused_from_the_acknowledgement_on_and_after_every_restart() {
    let key = Signer::p256();
    let mut guarded = Guarded::start(SELDOM, &[key.jwk("k1")]).await;
    let (revoked, other) = (token(&key, "k1", "t1"), token(&key, "k1", "t2"));
    guarded.until_status(&revoked, 302).await;
    let bearer = format!("Bearer {revoked}");
    let headers = [("x-forwarded-for", EU), ("authorization", bearer.as_str())];
    let ticket = guarded.site.request(http::Method::GET, &format!("{FILE}?ticket"), &headers).await;
    assert_eq!(ticket.status, 200, "{}", ticket.text());
    let with_ticket = format!("{FILE}?{}", ticket.text().trim().split_once('?').unwrap().1);
    assert_eq!(guarded.site.get(&with_ticket, EU).await.status, 302);
    assert!(!revoke(&guarded, "nobody", "t1").await);
    assert!(revoke(&guarded, "ci", "t1").await);
    for _ in 0..2 {
        assert_eq!(guarded.status(FILE, &revoked).await, 401);
        assert_eq!(guarded.status(FILE, &other).await, 302);
        assert_eq!(guarded.site.get(&with_ticket, EU).await.status, 401);
        guarded.site.restart().await;
        guarded.until_status(&other, 302).await;
    }
}

#[tokio::test]
async fn a_count_holds_for_redirects_and_tickets_alike_and_through_a_restart() {
    let key = Signer::p256();
    let mut guarded = Guarded::start(Terms { assets: Some(2), ..SELDOM }, &[key.jwk("k1")]).await;
    let (a, b, c) = (FILE, "/agent/1.0/b.tar.gz", "/agent/1.0/c.tar.gz");
    let (first, second) = (token(&key, "k1", "t1"), token(&key, "k1", "t2"));
    guarded.until_status(&first, 302).await;
    assert_eq!(guarded.status(&format!("{b}?ticket"), &first).await, 200, "a ticket counts");
    for _ in 0..3 {
        for (path, expected) in [(a, 302), (b, 302), (c, 403)] {
            assert_eq!(guarded.status(path, &first).await, expected, "{path}");
        }
        assert_eq!(guarded.status(&format!("{b}?ticket"), &first).await, 200);
        assert_eq!(guarded.status(&format!("{c}?ticket"), &first).await, 403);
        guarded.site.restart().await;
        guarded.until_status(&first, 302).await;
    }
    assert_eq!(guarded.status(c, &second).await, 302, "another token has a count of its own");
}

#[tokio::test]
async fn a_token_that_nothing_tells_from_others_takes_nothing_that_is_counted() {
    let key = Signer::p256();
    let guarded = Guarded::start(Terms { assets: Some(2), ..SELDOM }, &[key.jwk("k1")]).await;
    guarded.until_status(&token(&key, "k1", "t1"), 302).await;
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let claims = crate::signer::claims(serde_json::json!({ "exp": since.as_secs() + 600, "jti": null }));
    assert_eq!(guarded.status(FILE, &key.token("ES256", "k1", &claims)).await, 403);
}
