//! The admin interface over a running site: explanations, reports, metrics, orders, and a log without addresses.

#![allow(clippy::unwrap_used, missing_docs)]

#[path = "support/site.rs"]
mod site;

use std::io::Write;
use std::sync::{Arc, Mutex};

use http::Method;
use serde_json::Value;
use site::{AP, Behaviour, Builder, EU, Site};
use tokio::net::TcpStream;

const TOOL: &[u8] = b"the tool, byte for byte";
const FILE: &str = "tool/1.8.2/tool.tar.gz";
const LINK: &str = "/tool/stable/tool.tar.gz";

fn mirrors() -> Builder {
    Site::builder()
        .mirror("fra", |m| m.region("eu"))
        .mirror("sin", |m| m.region("ap"))
        .config("[[channel]]\nname = \"stable\"\nready = \"10%\"\n")
        .release("tool", "1.8.2", &[("tool.tar.gz", TOOL)], &["stable"])
}

#[tokio::test]
async fn explain_lists_every_mirror_with_its_distance_and_the_reason() {
    let site = mirrors()
        .mirror("bad", |m| m.region("eu"))
        .mirror("dead", |m| m.region("eu"))
        .mirror("drained", |m| m.region("us"))
        .mirror("japan-only", |m| m.region("ap").line("only = { countries = [\"JP\"] }"))
        .mirror("not-eu", |m| m.region("us").line("never = { regions = [\"eu\"] }"))
        .mirror("resort", |m| m.region("eu").weight(0))
        .corrupt("bad", FILE)
        .stopped("dead")
        .start()
        .await;
    for mirror in ["fra", "sin", "drained", "japan-only", "not-eu", "resort"] {
        site.until_copies(mirror, "verified", 1).await;
    }
    site.until_copies("bad", "corrupt", 1).await;
    site.until_mirror("dead", "is down", |m| m["state"] == "down").await;
    site.order("drained", "drain").await;

    let explained = site.admin(&format!("/v1/explain?path={LINK}&ip={EU}")).await.json();
    assert_eq!(explained["status"], 302);
    assert_eq!(explained["location"], format!("{}{FILE}", site.mirror("fra").url()));
    assert_eq!((&explained["version"], &explained["channel"]), (&"1.8.2".into(), &"stable".into()));
    assert_eq!(explained["client"]["region"], "eu");
    let candidates = explained["candidates"].as_array().unwrap();
    let one = |name: &str| {
        candidates.iter().find(|c| c["mirror"] == name).unwrap_or_else(|| panic!("{name} is missing"))
    };
    assert_eq!(candidates.len(), 8);
    assert_eq!((&candidates[0]["mirror"], &candidates[0]["verdict"]), (&"fra".into(), &"chosen".into()));
    assert_eq!(candidates[0]["distance_km"], 0.0);
    let far = one("sin")["distance_km"].as_f64().unwrap();
    assert!((10_000.0..10_600.0).contains(&far), "{far} km from Frankfurt to Singapore");
    assert_eq!(one("sin")["verdict"], "eligible");
    assert_eq!(
        (&one("resort")["verdict"], &one("resort")["last_resort"]),
        (&"eligible".into(), &true.into())
    );
    for (name, exclusion) in [
        ("bad", "no_verified_copy"),
        ("dead", "down"),
        ("drained", "drained"),
        ("japan-only", "only"),
        ("not-eu", "never"),
    ] {
        let candidate = one(name);
        assert_eq!(candidate["verdict"], "excluded", "{candidate}");
        assert_eq!(candidate["exclusion"], exclusion, "{candidate}");
        assert!(candidate["reason"].as_str().unwrap().starts_with("excluded: "), "{candidate}");
    }
    // What explain says is what happens.
    assert_eq!(site.get(LINK, EU).await.mirror(), Some("fra"));
    for bad in ["/v1/explain", "/v1/explain?path=/x", "/v1/explain?path=/x&ip=nowhere"] {
        assert_eq!(site.admin(bad).await.status, 400, "{bad}");
    }
}

#[tokio::test]
async fn the_metrics_of_the_contract_are_there_with_their_labels() {
    let site = mirrors().corrupt("sin", FILE).start().await;
    site.until_redirected(LINK, EU, "fra").await;
    site.until_copies("sin", "corrupt", 1).await;
    assert_eq!(site.metric("waypost_copies{mirror=\"sin\",state=\"corrupt\"}").await, 1.0);
    site.mirror("sin").behave(FILE, Behaviour::Status(500));
    site.until_mirror("sin", "is down", |m| m["state"] == "down").await;
    site.get("/tool/stable/nothing", AP).await;
    site.get("/tool/stable/version.txt", AP).await;
    site.mirror("fra").stop().await;
    site.until_status(LINK, AP, 503).await;
    let answer = site.admin("/metrics").await;
    assert_eq!(answer.header("content-type"), "text/plain; version=0.0.4; charset=utf-8");
    let text = answer.text();
    for line in [
        "waypost_requests_total{channel=\"stable\",outcome=\"redirected\",product=\"tool\",region=\"eu\"} ",
        "waypost_requests_total{channel=\"stable\",outcome=\"not_found\",product=\"tool\",region=\"ap\"} ",
        "waypost_requests_total{channel=\"stable\",outcome=\"metadata\",product=\"tool\",region=\"ap\"} ",
        "waypost_requests_total{channel=\"stable\",outcome=\"no_mirror\",product=\"tool\",region=\"ap\"} ",
        "waypost_redirects_total{mirror=\"fra\",product=\"tool\",region=\"eu\"} ",
        "waypost_redirect_duration_seconds_bucket{region=\"eu\",le=\"",
        "waypost_redirect_duration_seconds_count{region=\"ap\"} ",
        "waypost_mirror_healthy{mirror=\"sin\",region=\"ap\"} 0",
        "waypost_probe_duration_seconds_bucket{mirror=\"fra\",phase=\"connect\",region=\"eu\",le=\"",
        "waypost_probe_duration_seconds_count{mirror=\"fra\",phase=\"first_byte\",region=\"eu\"} ",
        "waypost_probe_failures_total{mirror=\"sin\",reason=\"server_error\",region=\"ap\"} ",
        "waypost_copies{mirror=\"fra\",state=\"verified\"} 1",
        "waypost_copies{mirror=\"fra\",state=\"pending\"} 0",
        "waypost_copies{mirror=\"fra\",state=\"missing\"} 0",
        "waypost_verifications_total{mirror=\"fra\",outcome=\"verified\"} 1",
        "waypost_verifications_total{mirror=\"sin\",outcome=\"wrong_digest\"} ",
        "waypost_release_ready_seconds{channel=\"stable\",product=\"tool\"} ",
        "waypost_snapshot_generation ",
        "waypost_snapshot_age_seconds ",
        "waypost_state_lost 0",
    ] {
        assert!(text.lines().any(|l| l.starts_with(line)), "{line}\n{text}");
    }
    // What a visitor writes makes no new label.
    for n in 0..20 {
        site.get(&format!("/made-up-{n}/stable/x"), EU).await;
    }
    assert!(!site.admin("/metrics").await.text().contains("made-up"));
}

#[tokio::test]
async fn without_a_token_orders_are_taken_on_the_local_socket_alone() {
    let site = mirrors().start().await;
    site.until_redirected(LINK, EU, "fra").await;
    let stream = TcpStream::connect(site.admin_address()).await.unwrap();
    let refused = site::ask(stream, Method::POST, "/v1/mirrors/fra/drain", &[]).await;
    assert_eq!(refused.status, 401);
    assert!(refused.text().contains("--token-file"), "{}", refused.text());
    assert_eq!(site.get(LINK, EU).await.mirror(), Some("fra"));
    assert_eq!(
        site.request(Method::POST, "/v1/mirrors/fra/drain", &[]).await.status,
        405,
        "not on the public port"
    );

    let done = site.local(Method::POST, "/v1/mirrors/fra/drain").await;
    assert_eq!(done.status, 200);
    assert_eq!(done.json()["order"]["action"]["mirror"], "fra");
    assert_eq!(site.get(LINK, EU).await.mirror(), Some("sin"));
    for (method, path, status) in [
        (Method::POST, "/v1/mirrors/nowhere/drain", 404),
        (Method::POST, "/v1/mirrors/fra/explode", 404),
        (Method::GET, "/v1/mirrors/fra/drain", 405),
        (Method::DELETE, "/v1/mirrors", 405),
        (Method::GET, "/v2", 404),
        (Method::GET, "/v1/releases/tool/9.9", 404),
        (Method::GET, "/v1/releases/none", 404),
    ] {
        assert_eq!(site.local(method.clone(), path).await.status, status, "{method} {path}");
    }
    // The socket lets this user alone in.
    let mode = std::os::unix::fs::PermissionsExt::mode(
        &std::fs::metadata(site.state().join("admin.sock")).unwrap().permissions(),
    );
    assert_eq!(mode & 0o777, 0o600);
}

#[tokio::test]
async fn a_pipeline_can_wait_until_a_release_is_everywhere() {
    let mut site = mirrors().lay_out().await;
    site.mirror("sin").remove(FILE);
    site.run().await.unwrap();
    site.until_copies("sin", "missing", 1).await;
    let answer = site.admin("/v1/releases/tool/1.8.2?wait=0").await;
    assert_eq!(answer.status, 504);
    assert_eq!(answer.json()["mirrors_lacking"], serde_json::json!(["sin"]));
    let waiting = site.admin("/v1/releases/tool/v1.8.2?wait=15");
    let arriving = async {
        site.until_probed_again("sin", 2).await;
        site.mirror("sin").put(FILE, TOOL);
    };
    let (answer, ()) = tokio::join!(waiting, arriving);
    assert_eq!((answer.status.as_u16(), &answer.json()["mirrors_complete"]), (200, &2.into()));
    let report = site.admin("/v1/releases/tool").await.json();
    assert_eq!(report["releases"][0]["bytes"], TOOL.len());
    assert_eq!(site.admin("/v1/mirrors").await.json()["mirrors"].as_array().unwrap().len(), 2);
}

/// What was logged.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn the_access_log_names_networks_and_never_addresses_or_queries() {
    const V4: &str = "203.0.113.77";
    const V6: &str = "2001:db8:1234:5678:9abc:def0:1234:5678";
    let lines = Lines::default();
    let into = lines.clone();
    tracing_subscriber::fmt()
        .json()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(move || into.clone())
        .try_init()
        .unwrap();
    let site = mirrors().config("[log]\naccess = true\n").start().await;
    site.until_redirected(LINK, EU, "fra").await;
    for client in [V4, V6] {
        assert_eq!(site.get(&format!("{LINK}?token=geheim"), client).await.status, 302);
        site.get("/tool/stable/no-such-thing?token=geheim", client).await;
    }
    let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    let is_access = |line: &&Value| line["target"] == "waypost::access";
    let logged: Vec<Value> = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let of =
        |network: &str| logged.iter().filter(is_access).filter(|l| l["fields"]["network"] == network).count();
    assert_eq!((of("203.0.113.0/24"), of("2001:db8:1234::/48")), (2, 2), "{text}");
    let redirected =
        logged.iter().filter(is_access).find(|l| l["fields"]["network"] == "203.0.113.0/24").unwrap();
    let fields = &redirected["fields"];
    assert_eq!((&fields["outcome"], &fields["asset"]), (&"redirected".into(), &"tool.tar.gz".into()));
    assert!(fields["mirror"].is_string(), "{fields}");
    for secret in [V4, "5678:9abc", "geheim"] {
        assert!(!text.contains(secret), "{secret} is in the log");
    }
}
