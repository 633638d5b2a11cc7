//! Tokens: any text, and any header and claims that are rightly encoded.
#![no_main]

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use waypost::config::{Issuer as Configured, IssuerKeys, JwtAlgorithm};
use waypost::entitlement::{Counts, Entitlements, Issuer, KeySet, Revoked, Rules, Tickets, decode};
use waypost::model::Timestamp;

/// An issuer that may use every shared-secret algorithm, with a secret that nothing guesses.
static BELIEVING: LazyLock<Entitlements> = LazyLock::new(|| {
    let configured = Configured {
        name: "ci".to_owned(),
        issuer: "a".to_owned(),
        audiences: vec!["a".to_owned()],
        algorithms: vec![JwtAlgorithm::Hs256, JwtAlgorithm::Hs384, JwtAlgorithm::Hs512],
        keys: IssuerKeys::Secrets(vec![]),
        leeway: Duration::from_secs(30),
        token_id: "jti".to_owned(),
    };
    let keys = KeySet::from_secrets(&[vec![0x5a; 32]]).expect("it is long enough");
    let issuer = Issuer::new(&configured, Some(Arc::new(keys)));
    let tickets = Tickets::new(&[0xa5; 32], &[], Duration::from_secs(300));
    let (rules, revoked) = (Arc::new(Rules::default()), Arc::new(Revoked::default()));
    Entitlements::new([issuer].into(), rules, revoked, Arc::new(tickets), Arc::new(Counts::default()))
});

fn look(token: &str) {
    let _ = decode(token);
    let believed = BELIEVING.grant(token, Timestamp::from_millis(0));
    assert!(believed.is_err(), "nobody signed this");
}

fuzz_target!(|bytes: &[u8]| {
    if let Ok(text) = std::str::from_utf8(bytes) {
        look(text);
    }
    // Three parts, divided by NULs.
    let parts: Vec<String> = bytes.split(|byte| *byte == 0).map(encoded).collect();
    look(&parts.join("."));
});

fn encoded(part: &[u8]) -> String {
    data_encoding::BASE64URL_NOPAD.encode(part)
}
