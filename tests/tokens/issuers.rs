//! Issuers that publish their keys: rotation, floods, outages, and what is published instead of keys.

use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use serde_json::json;

use crate::guarded::{FILE, Guarded, OFTEN, SELDOM, Terms, token};
use crate::signer::{Signer, jwks};
use crate::site::EU;
use crate::site::mirror::Behaviour;

/// Waits for all, which run side by side.
async fn side_by_side<T>(all: Vec<impl Future<Output = T>>) -> Vec<T> {
    let mut all: Vec<_> = all.into_iter().map(Box::pin).collect();
    let mut done: Vec<Option<T>> = all.iter().map(|_| None).collect();
    poll_fn(|context| {
        for (future, done) in all.iter_mut().zip(&mut done).filter(|(_, done)| done.is_none()) {
            if let Poll::Ready(output) = future.as_mut().poll(context) {
                *done = Some(output);
            }
        }
        if done.iter().all(Option::is_some) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    done.into_iter().flatten().collect()
}

#[tokio::test]
async fn a_flood_of_unknown_key_ids_is_one_fetch() {
    let key = Signer::p256();
    let guarded = Guarded::start(SELDOM, &[key.jwk("k1")]).await;
    let good = token(&key, "k1", "t1");
    guarded.until_status(&good, 302).await;
    let before = guarded.publisher.looks().len();
    let forger = Signer::p256();
    for round in 0..4 {
        let tokens: Vec<_> = (0..100).map(|n| token(&forger, &format!("forged-{round}-{n}"), "t")).collect();
        let asking = tokens.iter().map(|token| guarded.status(FILE, token)).collect();
        assert_eq!(side_by_side(asking).await, [401; 100]);
    }
    assert_eq!(guarded.publisher.looks().len() - before, 1, "one fetch, not four hundred");
    assert_eq!(guarded.status(FILE, &good).await, 302);
    assert!(guarded.denied("ci", "unknown_key").await >= 400.0);
}

#[tokio::test]
async fn the_first_request_with_a_new_key_is_answered_with_it_and_those_with_the_old_one_stay() {
    let (old, new) = (Signer::p256(), Signer::p256());
    let guarded = Guarded::start(SELDOM, &[old.jwk("old")]).await;
    let (of_old, of_new) = (token(&old, "old", "t1"), token(&new, "new", "t2"));
    guarded.until_status(&of_old, 302).await;
    guarded.publisher.put("jwks", jwks(&[new.jwk("new"), old.jwk("old")]));
    let asking = (0..60).map(|n| guarded.status(FILE, if n % 3 == 0 { &of_new } else { &of_old })).collect();
    assert_eq!(side_by_side(asking).await, [302; 60]);
}

#[tokio::test]
async fn the_page_takes_the_first_token_with_a_new_key_as_well() {
    let (old, new) = (Signer::p256(), Signer::p256());
    let guarded = Guarded::start(SELDOM, &[old.jwk("old")]).await;
    guarded.until_status(&token(&old, "old", "t1"), 302).await;
    guarded.publisher.put("jwks", jwks(&[new.jwk("new")]));
    let form = format!("path={FILE}&token={}", token(&new, "new", "t2"));
    assert_eq!(guarded.site.form("/-/session", &form, &[]).await.status, 303);
}

#[tokio::test]
async fn a_key_that_left_the_set_is_not_believed_any_more() {
    let (old, new) = (Signer::p256(), Signer::p256());
    let guarded = Guarded::start(OFTEN, &[old.jwk("old"), new.jwk("new")]).await;
    let (of_old, of_new) = (token(&old, "old", "t1"), token(&new, "new", "t2"));
    guarded.until_status(&of_old, 302).await;
    guarded.publisher.put("jwks", jwks(&[new.jwk("new")]));
    let both = guarded.site.until("the old key is gone", async || {
        assert_eq!(guarded.status(FILE, &of_new).await, 302);
        (guarded.status(FILE, &of_old).await == 401).then_some(())
    });
    both.await;
    for _ in 0..10 {
        assert_eq!((guarded.status(FILE, &of_new).await, guarded.status(FILE, &of_old).await), (302, 401));
    }
}

#[tokio::test]
async fn whatever_is_published_instead_of_keys_the_last_good_ones_stay_also_through_a_restart() {
    let key = Signer::p256();
    let mut guarded = Guarded::start(OFTEN, &[key.jwk("k1")]).await;
    let good = token(&key, "k1", "t1");
    guarded.until_status(&good, 302).await;
    let secret = Signer::Secret(vec![7; 64]).jwk("k1");
    let set = |text: String| (text.into_bytes(), None);
    for ((bytes, behaviour), outcome) in [
        (set("not json".to_owned()), "invalid"),
        (set("{}".to_owned()), "invalid"),
        (set("[".repeat(100_000)), "invalid"),
        (set(json!({ "keys": [] }).to_string()), "no_usable_key"),
        (set(json!({ "keys": [secret] }).to_string()), "no_usable_key"),
        (set(json!({ "keys": [], "x": "y".repeat(2 << 20) }).to_string()), "too_long"),
        ((vec![], Some(Behaviour::Page)), "invalid"),
        ((vec![], Some(Behaviour::EndlessBody)), "too_long"),
        ((vec![], Some(Behaviour::Status(500))), "unexpected_status"),
        ((vec![], Some(Behaviour::Status(204))), "unexpected_status"),
        ((vec![], Some(Behaviour::Broken)), "unreachable"),
        ((vec![], Some(Behaviour::Redirect("/jwks".to_owned()))), "unreachable"),
        ((vec![], Some(Behaviour::Redirect("http://192.0.2.1/jwks".to_owned()))), "unreachable"),
    ] {
        guarded.publisher.recover();
        guarded.publisher.put("jwks", if bytes.is_empty() { jwks(&[key.jwk("k1")]) } else { bytes });
        if let Some(behaviour) = behaviour {
            guarded.publisher.behave("jwks", behaviour);
        }
        guarded.until_fetched(outcome, 2.0).await;
        assert_eq!(guarded.status(FILE, &good).await, 302, "{outcome}");
    }
    guarded.publisher.stop().await;
    guarded.until_fetched("unreachable", 2.0).await;
    guarded.site.restart().await;
    guarded.site.until_status("/tool/1.0/tool.tar.gz", EU, 302).await;
    assert_eq!(guarded.status(FILE, &good).await, 302, "the keys outlive a restart");
    assert_eq!(guarded.site.metric("waypost_issuer_keys{issuer=\"ci\"}").await, 1.0);
    guarded.publisher.resume();
    guarded.publisher.recover();
    guarded.publisher.put("jwks", jwks(&[key.jwk("k1")]));
    guarded.until_fetched("ok", 1.0).await;
    assert_eq!(guarded.status(FILE, &good).await, 302);
}

#[tokio::test]
async fn keys_that_grew_too_old_are_not_believed_until_they_can_be_fetched_again() {
    let key = Signer::p256();
    let terms = Terms { max_age: Duration::from_millis(400), ..OFTEN };
    let guarded = Guarded::start(terms, &[key.jwk("k1")]).await;
    let good = token(&key, "k1", "t1");
    guarded.until_status(&good, 302).await;
    guarded.publisher.behave("jwks", Behaviour::Status(503));
    guarded.until_status(&good, 503).await;
    assert!(guarded.denied("ci", "no_keys").await >= 1.0);
    assert_eq!(guarded.site.metric("waypost_issuer_keys{issuer=\"ci\"}").await, 0.0);
    assert_eq!(guarded.site.get("/-/readyz", EU).await.status, 200, "readiness does not depend on issuers");
    assert_eq!(guarded.site.get("/tool/1.0/tool.tar.gz", EU).await.status, 302, "nor do other products");
    guarded.publisher.recover();
    guarded.until_status(&good, 302).await;
}

#[tokio::test]
async fn an_issuer_that_was_never_reached_denies_its_tokens_and_nothing_else() {
    let key = Signer::p256();
    let guarded = Guarded::start(SELDOM, &[]).await;
    let good = token(&key, "k1", "t1");
    guarded.publisher.behave("jwks", Behaviour::Silent);
    // It waits for a fetch as long as a request may wait, and is told what is the matter.
    assert_eq!(guarded.status(FILE, &good).await, 503);
    assert_eq!(guarded.site.get("/-/readyz", EU).await.status, 200);
    assert_eq!(guarded.site.get("/tool/1.0/tool.tar.gz", EU).await.status, 302);
}

#[tokio::test]
async fn nothing_is_shown_any_more_of_an_issuer_that_left() {
    let key = Signer::p256();
    let guarded = Guarded::start(OFTEN, &[key.jwk("k1")]).await;
    guarded.until_status(&token(&key, "k1", "t1"), 302).await;
    let shown = async || {
        let metrics = guarded.site.admin("/metrics").await;
        metrics
            .text()
            .lines()
            .filter(|line| line.starts_with("waypost_issuer_") && line.contains("ci"))
            .count()
    };
    assert_eq!(shown().await, 3, "keys, when they were fetched, how often");
    guarded.site.reload();
    guarded.site.until("it is gone", async || (shown().await == 0).then_some(())).await;
}
