//! Tickets: any text, and any body and seal that are rightly encoded.
#![no_main]

use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use data_encoding::BASE64URL_NOPAD;
use libfuzzer_sys::fuzz_target;
use waypost::entitlement::{Counts, Entitlements, Revoked, Rules, SealedFor, Tickets};
use waypost::model::{ProductName, Timestamp, Version};

static BELIEVING: LazyLock<Entitlements> = LazyLock::new(|| {
    let tickets = Tickets::new(&[0xa5; 32], &[], Duration::from_secs(300));
    let (rules, revoked) = (Arc::new(Rules::default()), Arc::new(Revoked::default()));
    Entitlements::new(Box::default(), rules, revoked, Arc::new(tickets), Arc::new(Counts::default()))
});

fn look(ticket: &str) {
    let (product, version) = (ProductName::new("agent"), Version::parse("1.0"));
    let (Ok(product), Ok(version)) = (product, version) else { return };
    let client = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let sealed_for = SealedFor { product: &product, version: &version, asset: "a.tar.gz", client, region: None };
    let redeemed = BELIEVING.redeem(ticket, &sealed_for, Timestamp::from_millis(0));
    assert!(redeemed.is_err(), "nobody sealed this");
}

fuzz_target!(|bytes: &[u8]| {
    if let Ok(text) = std::str::from_utf8(bytes) {
        look(text);
    }
    let parts: Vec<String> = bytes.split(|byte| *byte == 0).map(|part| BASE64URL_NOPAD.encode(part)).collect();
    look(&parts.join("."));
});
