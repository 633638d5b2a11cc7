//! Tokens that were verified before: what is forgotten, and when.

use std::sync::Arc;

use serde_json::json;
use waypost::config::JwtAlgorithm::Es256;
use waypost::entitlement::{Counts, Entitlements, Issuer, KeySet, REMEMBERED_MAX, Revoked, Rules};
use waypost::model::Denial;

use crate::signer::{
    NOW, P256, Signer, allow, at, claims, configured, denial, entitlement, key_set, now, tickets,
};

fn believing(keys: Option<Arc<KeySet>>, revoked: &[(&str, &str)]) -> Entitlements {
    let revoked: Revoked = revoked.iter().map(|(i, t)| ((*i).to_owned(), (*t).to_owned())).collect();
    let issuers = [Issuer::new(&configured(&[Es256]), keys)];
    let rules = Rules::new(&[entitlement(0, &[], vec![allow("*")])]);
    let (rules, tickets, counts) = (Arc::new(rules), Arc::new(tickets()), Arc::new(Counts::default()));
    Entitlements::new(issuers.into(), rules, Arc::new(revoked), tickets, counts)
}

#[test]
fn a_key_that_left_the_set_takes_its_tokens_with_it_though_they_were_remembered() {
    let (old, new) = (Signer::p256(), Signer::p256());
    let (of_old, of_new) =
        (old.token("ES256", "old", &claims(json!({}))), new.token("ES256", "new", &claims(json!({}))));
    let stages = [
        (vec![old.jwk("old")], [None, Some(Denial::UnknownKey)]),
        (vec![old.jwk("old"), new.jwk("new")], [None, None]),
        (vec![new.jwk("new")], [Some(Denial::UnknownKey), None]),
    ];
    for (keys, expected) in stages {
        let entitlements = believing(key_set(&keys), &[]);
        for _ in 0..2 {
            assert_eq!([&of_old, &of_new].map(|token| denial(&entitlements, token)), expected);
        }
    }
}

#[test]
fn a_token_that_differs_in_one_letter_from_a_remembered_one_is_another() {
    let entitlements = believing(key_set(&[P256.jwk("k1")]), &[]);
    let token = P256.token("ES256", "k1", &claims(json!({})));
    assert_eq!(denial(&entitlements, &token), None);
    let altered = |at: usize| {
        let mut bytes = token.clone().into_bytes();
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        String::from_utf8(bytes).unwrap()
    };
    let others = [token[..token.len() - 1].to_owned(), format!("{token}A"), format!("A{token}")];
    for other in (0..token.len()).map(altered).chain(others) {
        assert!(denial(&entitlements, &other).is_some(), "{other}");
    }
    assert_eq!(denial(&entitlements, &token), None);
}

#[test]
fn a_revoked_id_is_that_of_its_issuer_alone_and_of_every_token_that_has_it() {
    let entitlements = believing(key_set(&[P256.jwk("k1")]), &[("ci", "t1"), ("ci", "7"), ("qa", "t2")]);
    for (id, expected) in [
        (json!("t1"), Some(Denial::Revoked)),
        (json!("7"), Some(Denial::Revoked)),
        (json!(7), Some(Denial::Revoked)),
        (json!("t2"), None),
        (json!("T1"), None),
        (json!(null), None),
    ] {
        let token = P256.token("ES256", "k1", &claims(json!({ "jti": id })));
        for _ in 0..2 {
            assert_eq!(denial(&entitlements, &token), expected, "{id}");
        }
    }
}

#[test]
fn more_tokens_than_are_remembered_are_believed_all_the_same() {
    let secret = Signer::Secret(vec![9; 32]);
    let keys = Some(Arc::new(KeySet::from_secrets(&[vec![9; 32]]).unwrap()));
    let issuer = Issuer::new(&configured(&[waypost::config::JwtAlgorithm::Hs256]), keys);
    let entitlements = crate::signer::entitlements(vec![issuer]);
    let token = |n: usize| secret.token("HS256", "", &claims(json!({ "jti": n })));
    for n in 0..REMEMBERED_MAX + REMEMBERED_MAX / 8 {
        let grant = entitlements.grant(token(n), at(NOW)).unwrap();
        assert_eq!(grant.token_id.as_deref(), Some(n.to_string().as_str()));
    }
    assert!(entitlements.grant(token(0), now()).is_ok());
}
