//! Time, to the second: leeway at its edges, and while a token is remembered.

use serde_json::json;
use waypost::config::JwtAlgorithm::Es256;
use waypost::model::Denial;

use crate::signer::{NOW, P256, at, claims, one, outcome};

/// Leeway of the tests' issuer, in seconds.
const LEEWAY: i64 = 30;

#[test]
fn exp_and_nbf_hold_to_the_second_with_the_leeway_added() {
    let (from, until) = (NOW - 100, NOW + 100);
    let token = P256.token("ES256", "k1", &claims(json!({ "nbf": from, "exp": until })));
    for (now, expected) in [
        (from - LEEWAY - 1, Some(Denial::NotYetValid)),
        (from - LEEWAY, None),
        (from, None),
        (NOW, None),
        (until, None),
        (until + LEEWAY - 1, None),
        (until + LEEWAY, Some(Denial::Expired)),
        (until + LEEWAY + 1, Some(Denial::Expired)),
        (0, Some(Denial::NotYetValid)),
        (i64::MAX / 1000, Some(Denial::Expired)),
    ] {
        // Verified for the first time then, and remembered from before.
        let fresh = one(&P256, &[Es256]);
        assert_eq!(outcome(&fresh, &token, at(now)).err(), expected, "{} from now", now - NOW);
        let remembering = one(&P256, &[Es256]);
        outcome(&remembering, &token, at(NOW)).unwrap();
        assert_eq!(outcome(&remembering, &token, at(now)).err(), expected, "remembered, {}", now - NOW);
    }
}

#[test]
fn a_token_that_ends_before_it_begins_is_never_valid() {
    let token = P256.token("ES256", "k1", &claims(json!({ "nbf": NOW + 3600, "exp": NOW - 3600 })));
    for now in [NOW - 7200, NOW, NOW + 7200] {
        assert!(outcome(&one(&P256, &[Es256]), &token, at(now)).is_err());
    }
}
