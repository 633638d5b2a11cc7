//! `releases.json` of a product that is not for everybody: written once for all who may have the same of it, and always what
//! it would be if it were written anew, wherever and whenever somebody asks.

use std::sync::Arc;

use http::{HeaderMap, Method, header};
use http_body_util::BodyExt;
use hyper::body::Bytes;
use serde_json::json;
use waypost::config::Allow;
use waypost::config::JwtAlgorithm::Es256;
use waypost::entitlement::{Entitlements, Issuer, Rules};
use waypost::model::{Platform, RegionId, Timestamp, VersionRange};
use waypost::redirect::{Inquiry, answer};
use waypost::snapshot::{CatalogView, Guard, Snapshot};

use crate::signer::{NOW, P256, allow, at, claims, configured, entitlement, key_set, tickets};
use crate::world::{Product, Published, config, snapshot};

const CONFIG: &str = "[server]\nlisten = [\"127.0.0.1:0\"]\n[origin]\nurl = \"origin\"\n\
    [[region]]\nname = \"eu\"\nlocation = [50.11, 8.68]\n[[client_network]]\ncidr = \"10.1.0.0/16\"\nregion = \"eu\"\n\
    [[region]]\nname = \"us\"\nlocation = [40.71, -74.0]\n[[client_network]]\ncidr = \"10.2.0.0/16\"\nregion = \"us\"\n\
    [[mirror]]\nname = \"fra\"\nurl = \"https://fra.example\"\nregion = \"eu\"\nprivate = true\n";

const AGENT: Product = Product {
    name: "agent",
    releases: &[
        Published { version: "2.0", files: FILES, held_only_by: &[] },
        Published { version: "1.0", files: FILES, held_only_by: &[] },
    ],
    channels: &[("stable", Some("2.0"))],
    latest: Some("stable"),
};
const FILES: &[(&str, &str, &str)] = &[("a", "archive", "linux-amd64"), ("m", "archive", "darwin-arm64")];

/// The old versions in Europe for everybody, the new ones there for a hundred seconds, all for Linux in America for gold,
/// and everything everywhere for the staff.
fn rules() -> Rules {
    let versions = |range: &str| Some(range.parse::<VersionRange>().unwrap());
    let old = Allow { versions: versions("<2"), regions: vec![RegionId(0)], ..allow("agent") };
    let (versions, until) = (versions(">=2"), Some(at(NOW + 100)));
    let new = Allow { versions, until, regions: vec![RegionId(0)], ..allow("agent") };
    let platforms = vec![Platform::parse("linux-amd64").unwrap()];
    let linux = Allow { platforms, regions: vec![RegionId(1)], ..allow("agent") };
    Rules::new(&[
        entitlement(0, &[], vec![old, new]),
        entitlement(0, &[("plan", "gold")], vec![linux]),
        entitlement(0, &[("plan", "staff")], vec![allow("*")]),
    ])
}

/// Nothing is written yet.
fn guarded() -> Snapshot {
    let mut snapshot = snapshot(&config(CONFIG), &[AGENT], &[]);
    let issuers = [Issuer::new(&configured(&[Es256]), key_set(&[P256.jwk("k1")]))];
    let (rules, tickets) = (Arc::new(rules()), Arc::new(tickets()));
    let entitlements = Entitlements::new(issuers.into(), rules, Arc::default(), tickets, Arc::default());
    snapshot.entitlements = Arc::new(entitlements);
    let CatalogView { products, .. } = Arc::get_mut(&mut snapshot.catalog).unwrap();
    for product in products.values_mut() {
        let guard = Guard { entitled: true, deny_countries: Box::default() };
        Arc::get_mut(product).unwrap().guard = Some(Box::new(guard));
    }
    snapshot
}

/// What a caller is answered: the status, and the first piece of what is shared of the document.
async fn ask(snapshot: &Snapshot, token: &str, client: &str, now: Timestamp) -> (u16, Bytes) {
    let headers: HeaderMap =
        [(header::AUTHORIZATION, format!("Bearer {token}").parse().unwrap())].into_iter().collect();
    let inquiry = Inquiry {
        method: &Method::GET,
        uri: &"/agent/releases.json".parse().unwrap(),
        headers: &headers,
        client: client.parse().unwrap(),
        https: true,
        occasion: &now,
    };
    let mut response = answer(snapshot, &inquiry).response;
    let piece = response.body_mut().frame().await.unwrap().unwrap().into_data().unwrap();
    (response.status().as_u16(), piece)
}

#[tokio::test]
async fn what_is_kept_is_what_would_be_written_wherever_and_whenever_somebody_asks() {
    let kept = guarded();
    let token = |plan: &str| P256.token("ES256", "k1", &claims(json!({ "plan": plan, "exp": NOW + 9000 })));
    let tokens = ["none", "gold", "staff"].map(token);
    let mut told = Vec::new();
    for _ in 0..2 {
        for now in [NOW, NOW + 99, NOW + 100] {
            for client in ["10.1.0.1", "10.2.0.1", "10.9.0.1"] {
                for token in &tokens {
                    let (status, document) = ask(&kept, token, client, at(now)).await;
                    let expected = ask(&guarded(), token, client, at(now)).await;
                    assert_eq!((status, &document), (expected.0, &expected.1), "{client} {now}");
                    told.push((status, String::from_utf8(document.to_vec()).unwrap()));
                }
            }
        }
    }
    // Europe and America, with and without each rule, before and after: they do differ.
    told.sort();
    told.dedup();
    let shown =
        |part: &str| told.iter().filter(|(status, text)| *status == 200 && text.contains(part)).count();
    assert_eq!((shown("\"1.0\""), shown("\"2.0\""), shown("darwin")), (3, 2, 2), "{told:#?}");
    assert_eq!(told.iter().filter(|(status, _)| *status == 403).count(), 1);
}

#[tokio::test]
async fn it_is_written_once_for_all_tokens_that_give_the_same() {
    let snapshot = guarded();
    let token = |id: &str| P256.token("ES256", "k1", &claims(json!({ "jti": id })));
    let (_, first) = ask(&snapshot, &token("t1"), "10.1.0.1", at(NOW)).await;
    for (id, client, now, same) in [
        ("t1", "10.1.0.1", NOW, true),
        ("t2", "10.1.9.9", NOW + 50, true),
        ("t2", "10.1.0.1", NOW + 100, false),
        ("t1", "10.1.0.1", NOW + 99, true),
    ] {
        let (_, again) = ask(&snapshot, &token(id), client, at(now)).await;
        assert_eq!(again.as_ptr() == first.as_ptr(), same, "{id} from {client} at {now}");
    }
}
