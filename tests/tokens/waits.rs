//! Requests that wait for a key are one request: in the metrics, in the access log, and for who made them.

use std::sync::{Arc, Mutex};

use http::Method;
use serde_json::Value;

use crate::guarded::{FILE, Guarded, SELDOM, Terms, token};
use crate::signer::{Signer, jwks};

const LOGGED: Terms = Terms { access_log: true, ..SELDOM };
/// A client of these tests alone: the log is that of all tests in this process.
const CLIENT: &str = "198.51.100.7";
const FORM_CLIENT: &str = "203.0.113.7";

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// What the access log says of a network: method, status and reason of each request.
fn logged(network: &str) -> Vec<(String, u64, String)> {
    let text = String::from_utf8(log().0.lock().unwrap().clone()).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["fields"].clone());
    let of = lines.filter(|fields| fields["network"] == network);
    let told = |fields: Value| {
        let text = |name: &str| fields[name].as_str().unwrap_or_default().to_owned();
        (text("method"), fields["status"].as_u64().unwrap(), text("reason"))
    };
    of.map(told).collect()
}

/// Begins to keep the access log.
fn log() -> &'static Lines {
    static LINES: std::sync::LazyLock<Lines> = std::sync::LazyLock::new(|| {
        let lines = Lines::default();
        let into = lines.clone();
        let log = tracing_subscriber::fmt().json().with_env_filter("waypost::access=info");
        log.with_writer(move || into.clone()).init();
        lines
    });
    &LINES
}

fn line(method: &str, status: u64, reason: &str) -> (String, u64, String) {
    (method.to_owned(), status, reason.to_owned())
}

/// What a metric counted of a product, by reason or outcome.
async fn counted(guarded: &Guarded, name: &str, product: &str) -> Vec<(String, f64)> {
    let metrics = guarded.site.admin("/metrics").await;
    let lines = metrics.text().lines().filter(|line| line.starts_with(name));
    let lines = lines.filter(|line| line.contains(&format!("product=\"{product}\"")));
    let lines = lines.map(|line| line.rsplit_once(' ').unwrap());
    let label = |labels: &str| {
        let rest = labels.split_once("reason=\"").or_else(|| labels.split_once("outcome=\"")).unwrap().1;
        rest.split('"').next().unwrap().to_owned()
    };
    let counts = lines.map(|(labels, count)| (label(labels), count.parse().unwrap()));
    let mut counts: Vec<(String, f64)> = counts.filter(|(_, count)| *count > 0.0).collect();
    counts.sort_by(|a, b| a.0.cmp(&b.0));
    counts
}

const CHECKS: &str = "waypost_entitlement_checks_total";
const REQUESTS: &str = "waypost_requests_total";
const DURATIONS: &str = "waypost_entitlement_duration_seconds_count";

fn all(counts: &[(&str, f64)]) -> Vec<(String, f64)> {
    counts.iter().map(|(label, count)| ((*label).to_owned(), *count)).collect()
}

/// The first key is known, and another one is published since.
async fn until_rotated(guarded: &Guarded, new: &Signer) {
    let known = async || guarded.site.metric("waypost_issuer_keys{issuer=\"ci\"}").await == 1.0;
    guarded.site.until("the old key is known", async || known().await.then_some(())).await;
    guarded.publisher.put("jwks", jwks(&[new.jwk("new")]));
}

async fn ask(guarded: &Guarded, token: &str) -> u16 {
    let bearer = format!("Bearer {token}");
    let headers = [("x-forwarded-for", CLIENT), ("authorization", &*bearer), ("user-agent", "curl/8")];
    guarded.site.request(Method::GET, FILE, &headers).await.status.as_u16()
}

#[tokio::test]
async fn a_request_that_waits_for_a_key_is_counted_and_logged_once_with_what_it_is_answered() {
    log();
    let (old, new) = (Signer::p256(), Signer::p256());
    let guarded = Guarded::start(LOGGED, &[old.jwk("old")]).await;
    until_rotated(&guarded, &new).await;
    let before = counted(&guarded, REQUESTS, "agent").await;
    assert_eq!(before, all(&[]), "nobody has asked yet");
    assert_eq!(ask(&guarded, &token(&new, "new", "t1")).await, 302);
    assert_eq!(logged("198.51.100.0/24"), [line("GET", 302, "")]);
    assert_eq!(counted(&guarded, CHECKS, "agent").await, all(&[("granted", 1.0)]));
    assert_eq!(counted(&guarded, REQUESTS, "agent").await, all(&[("redirected", 1.0)]));
    assert_eq!(guarded.site.metric(DURATIONS).await, 1.0);
    assert_eq!(ask(&guarded, &token(&old, "never", "t1")).await, 401);
    assert_eq!(logged("198.51.100.0/24"), [line("GET", 302, ""), line("GET", 401, "unknown_key")]);
    let checks = all(&[("granted", 1.0), ("unknown_key", 1.0)]);
    assert_eq!(counted(&guarded, CHECKS, "agent").await, checks);
    let requests = all(&[("denied", 1.0), ("redirected", 1.0)]);
    assert_eq!(counted(&guarded, REQUESTS, "agent").await, requests);
    assert_eq!(guarded.site.metric(DURATIONS).await, 2.0);
}

#[tokio::test]
async fn the_form_waits_for_a_key_and_is_counted_and_logged_like_a_request() {
    log();
    let (old, new) = (Signer::p256(), Signer::p256());
    let guarded = Guarded::start(LOGGED, &[old.jwk("old")]).await;
    until_rotated(&guarded, &new).await;
    let post = async |token: &str| {
        let form = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("token", token)
            .append_pair("path", FILE)
            .finish();
        guarded.site.form("/-/session", &form, &[("x-forwarded-for", FORM_CLIENT)]).await
    };
    let answer = post(&token(&new, "new", "t1")).await;
    assert_eq!((answer.status.as_u16(), answer.header("location")), (303, FILE), "{}", answer.text());
    assert!(answer.header("set-cookie").starts_with("waypost_token="));
    assert_eq!(counted(&guarded, CHECKS, "").await, all(&[("granted", 1.0)]));
    assert_eq!(post(&token(&old, "never", "t1")).await.status, 401);
    assert_eq!(post("nonsense").await.status, 401);
    assert_eq!(post(&"x".repeat(100_000)).await.status, 400);
    let checks = all(&[("granted", 1.0), ("malformed", 1.0), ("unknown_key", 1.0)]);
    assert_eq!(counted(&guarded, CHECKS, "").await, checks);
    let requests = all(&[("bad_request", 1.0), ("denied", 2.0), ("metadata", 1.0)]);
    assert_eq!(counted(&guarded, REQUESTS, "").await, requests);
    let lines = [
        line("POST", 303, ""),
        line("POST", 401, "unknown_key"),
        line("POST", 401, "malformed"),
        line("POST", 400, ""),
    ];
    assert_eq!(logged("203.0.113.0/24"), lines);
    let text = String::from_utf8(log().0.lock().unwrap().clone()).unwrap();
    assert!(!text.contains("nonsense") && !text.contains("eyJ"), "{text}");
}
