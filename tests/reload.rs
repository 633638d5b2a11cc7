//! What changes while the service runs, and what is refused then.

#![allow(clippy::unwrap_used, missing_docs)]

#[path = "support/mmdb.rs"]
mod mmdb;
#[path = "support/site.rs"]
mod site;

use std::sync::Arc;
use std::time::Duration;

use http::Method;
use mmdb::Database;
use rustls::pki_types::{CertificateDer, ServerName};
use site::{AP, Behaviour, EU, Mirror, Site, ask, own_address};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use waypost::config::{Sign, SignKind};
use waypost::links::{LinkFor, LinkMethod, Signer};
use waypost::model::{Clock, SystemClock};

const TOOL: &[u8] = b"the tool, byte for byte";
const FILE: &str = "tool/1.8.2/tool.tar.gz";
const LINK: &str = "/tool/stable/tool.tar.gz";

async fn site_with(tables: &str) -> Site {
    let site = Site::builder()
        .mirror("fra", |m| m.region("eu"))
        .mirror("sin", |m| m.region("ap"))
        .release("tool", "1.8.2", &[("tool.tar.gz", TOOL)], &["stable"])
        .config(tables)
        .start()
        .await;
    site.until_everywhere("tool", "1.8.2").await;
    site
}

#[tokio::test]
async fn a_new_mirror_is_verified_and_used_and_a_removed_one_is_gone() {
    let mut site = site_with("").await;
    site.add_mirror("ams", |m| m.region("eu")).await;
    site.mirror("ams").put(FILE, TOOL);
    site.remove_mirror("fra");
    site.reload();
    site.until_redirected(LINK, EU, "ams").await;
    assert_eq!(site.mirror("ams").whole_gets(FILE), 1, "verified before it was used");
    assert_eq!(site.admin("/v1/mirrors/fra").await.status, 404);
    assert_eq!(site.metric("waypost_reloads_total{outcome=\"ok\"}").await, 1.0);
    // Nobody looks at it any more.
    let looks = site.mirror("fra").looks().len();
    site.until_probed_again("ams", 4).await;
    assert_eq!(site.mirror("fra").looks().len(), looks);
    assert_eq!(site.get(LINK, AP).await.mirror(), Some("sin"), "the others go on");
    assert_eq!(site.mirror("sin").whole_gets(FILE), 1, "and are not hashed again");
}

#[tokio::test]
async fn a_broken_configuration_is_refused_and_the_old_one_stays_in_force() {
    let mut site = site_with("").await;
    site.plan.more.push_str("[redirect]\nstatus = 301\n");
    site.write_config();
    site.reload();
    site.until("the reload is refused", async || {
        (site.metric("waypost_reload_refused").await == 1.0).then_some(())
    })
    .await;
    let ready = site.admin("/readyz").await;
    assert_eq!(ready.status, 200, "it still serves");
    let warning = ready.json()["warnings"][0].as_str().unwrap().to_owned();
    assert!(
        warning.contains("reload") && warning.contains("301") && warning.contains("302 or 307"),
        "{warning}"
    );
    assert_eq!(site.get(LINK, EU).await.mirror(), Some("fra"));

    site.plan.more.clear();
    site.plan.more.push_str("[redirect]\nstatus = 307\n");
    site.write_config();
    site.reload();
    site.until_status(LINK, EU, 307).await;
    assert_eq!(site.metric("waypost_reload_refused").await, 0.0);
    assert!(site.admin("/readyz").await.json()["warnings"].as_array().unwrap().is_empty());
}

/// A mirror at another place that holds the file and lets nobody have it yet.
async fn another_place() -> (Mirror, Arc<Semaphore>) {
    let (mirror, gate) = (Mirror::start(own_address(), None).await, Arc::new(Semaphore::new(0)));
    mirror.put(FILE, TOOL);
    mirror.behave(FILE, Behaviour::Gated(Arc::clone(&gate)));
    (mirror, gate)
}

#[tokio::test]
async fn what_was_verified_at_one_place_is_not_verified_at_another() {
    let mut site = site_with("").await;
    let (elsewhere, gate) = another_place().await;
    site.point_mirror("fra", &elsewhere);
    site.reload();
    site.until("its new place is being hashed", async || (elsewhere.whole_gets(FILE) == 1).then_some(()))
        .await;
    assert_eq!(site.get(LINK, EU).await.mirror(), Some("sin"));
    gate.add_permits(1);
    let answer = site.until_redirected(LINK, EU, "fra").await;
    assert_eq!(answer.header("location"), format!("{}{FILE}", elsewhere.url()));
}

#[tokio::test]
async fn a_place_that_changed_while_the_service_was_stopped_is_verified_too() {
    let mut site = site_with("").await;
    site.stop().await.unwrap();
    let (elsewhere, gate) = another_place().await;
    site.point_mirror("fra", &elsewhere);
    site.run().await.unwrap();
    site.until("its new place is being hashed", async || (elsewhere.whole_gets(FILE) == 1).then_some(()))
        .await;
    site.until_redirected(LINK, AP, "sin").await;
    assert_eq!(site.get(LINK, EU).await.mirror(), Some("sin"));
    // Nor is what was verified at the old place believed after one more start.
    site.kill();
    site.run_again().await;
    site.until("its new place is being hashed", async || (elsewhere.whole_gets(FILE) == 2).then_some(()))
        .await;
    site.until_redirected(LINK, AP, "sin").await;
    assert_eq!(site.get(LINK, EU).await.mirror(), Some("sin"));
    gate.add_permits(2);
    site.until_redirected(LINK, EU, "fra").await;
}

/// A city database in which all of 203.0.112.0/20 is at one place.
fn city(latitude: f64, longitude: f64) -> Vec<u8> {
    let network = "203.0.112.0/20".parse().unwrap();
    Database::new(6, vec![(network, mmdb::nested_city(latitude, longitude, "XX"))]).bytes()
}

#[tokio::test]
async fn a_replaced_geoip_database_is_taken_up_and_a_broken_one_is_not() {
    const CLIENT: &str = "203.0.113.9";
    let site = Site::builder()
        .mirror("fra", |m| m.region("eu"))
        .mirror("sin", |m| m.region("ap"))
        .release("tool", "1.8.2", &[("tool.tar.gz", TOOL)], &["stable"])
        .config("[geoip]\ncity = \"city.mmdb\"\n")
        .file("city.mmdb", city(48.1, 11.6))
        .start()
        .await;
    site.until_everywhere("tool", "1.8.2").await;
    assert_eq!(site.get(LINK, CLIENT).await.mirror(), Some("fra"));
    let replace = |bytes: Vec<u8>| {
        std::fs::write(site.dir().join("new.mmdb"), bytes).unwrap();
        std::fs::rename(site.dir().join("new.mmdb"), site.dir().join("city.mmdb")).unwrap();
    };
    // Without a signal: the file is looked at every few seconds.
    replace(city(3.1, 101.7));
    site.until_redirected(LINK, CLIENT, "sin").await;

    replace(b"this is no database".to_vec());
    site.reload();
    site.until("it is refused", async || (site.metric("waypost_reload_refused").await == 1.0).then_some(()))
        .await;
    assert_eq!(site.get(LINK, CLIENT).await.mirror(), Some("sin"), "the last good one stays");
}

#[tokio::test]
async fn a_replaced_key_signs_the_links_and_a_broken_one_does_not() {
    let site = Site::builder()
        .mirror("fra", |m| m.region("eu").line("sign = { kind = \"secure_link\", secret_file = \"secret\" }"))
        .mirror("sin", |m| m.region("ap"))
        .release("tool", "1.8.2", &[("tool.tar.gz", TOOL)], &["stable"])
        .file("secret", "the first\n")
        .start()
        .await;
    site.until_everywhere("tool", "1.8.2").await;
    let file = site.dir().join("secret");
    let signed_as_by = async |secret: &str| {
        std::fs::write(site.dir().join("other"), secret).unwrap();
        let kind = SignKind::SecureLink { secret: site.dir().join("other") };
        let sign = Sign { kind, ttl: Duration::from_secs(300), bind_network: false };
        let signer = Signer::load(&sign).unwrap();
        let (found, now) = (site.get(LINK, EU).await, SystemClock.now());
        let found = found.header("location").to_owned();
        let mut expected = found.split('?').next().unwrap().as_bytes().to_vec();
        signer.sign(&mut expected, 0, &LinkFor { method: LinkMethod::Get, client: None, now });
        (found.as_bytes() == expected).then_some(())
    };
    site.until("links are signed", async || signed_as_by("the first").await).await;
    // Without a signal: the file is looked at every few seconds.
    std::fs::write(&file, "the second, which is longer\n").unwrap();
    site.until("the new one signs", async || signed_as_by("the second, which is longer").await).await;

    std::fs::write(&file, "").unwrap();
    site.reload();
    site.until("it is refused", async || (site.metric("waypost_reload_refused").await == 1.0).then_some(()))
        .await;
    let warning = site.admin("/readyz").await.json()["warnings"][0].as_str().unwrap().to_owned();
    assert!(warning.contains("mirror fra") && warning.contains("secret is empty"), "{warning}");
    site.until("the last good one stays", async || signed_as_by("the second, which is longer").await).await;
}

/// A certificate for `localhost` in the site's folder.
fn certify(folder: &std::path::Path) -> CertificateDer<'static> {
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate =
        rcgen::CertificateParams::new(vec!["localhost".into()]).unwrap().self_signed(&key).unwrap();
    std::fs::write(folder.join("chain.pem"), certificate.pem()).unwrap();
    std::fs::write(folder.join("key.pem"), key.serialize_pem()).unwrap();
    certificate.der().clone()
}

/// Asks over TLS for a link, believing one certificate. `None` where another one is served.
async fn ask_trusting(site: &Site, certificate: &CertificateDer<'static>) -> Option<site::Answer> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(certificate.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TcpStream::connect(site.address()).await.unwrap();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let stream = connector.connect(ServerName::try_from("localhost").unwrap(), stream).await.ok()?;
    Some(ask(stream, Method::GET, "/-/healthz", &[]).await)
}

#[tokio::test]
async fn a_replaced_certificate_is_served_and_a_broken_one_is_not() {
    let builder = Site::builder()
        .mirror("fra", |m| m.region("eu"))
        .config("[server.tls]\ncertificate = \"chain.pem\"\nkey_file = \"key.pem\"\n");
    let mut site = builder.lay_out().await;
    let first = certify(site.dir());
    site.run().await.unwrap();
    assert_eq!(ask_trusting(&site, &first).await.unwrap().status, 200);

    let second = certify(site.dir());
    site.reload();
    site.until("the new certificate is served", async || ask_trusting(&site, &second).await).await;
    assert!(ask_trusting(&site, &first).await.is_none());

    std::fs::write(site.dir().join("key.pem"), "no key").unwrap();
    site.reload();
    site.until("it is refused", async || (site.metric("waypost_reload_refused").await == 1.0).then_some(()))
        .await;
    assert_eq!(ask_trusting(&site, &second).await.unwrap().status, 200);
}

#[tokio::test]
async fn many_reloads_in_a_row_lose_nothing() {
    let site = site_with("").await;
    for _ in 0..20 {
        site.reload();
        let answer = site.get(LINK, EU).await;
        assert_eq!((answer.status.as_u16(), answer.mirror()), (302, Some("fra")));
    }
    site.until_probed_again("fra", 3).await;
    assert_eq!(site.get(LINK, EU).await.mirror(), Some("fra"));
    assert_eq!(site.mirror("fra").whole_gets(FILE), 1);
}
