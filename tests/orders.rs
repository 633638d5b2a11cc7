//! What an order may say, and how it is told afterwards.

#![allow(clippy::unwrap_used, missing_docs)]

#[path = "support/program.rs"]
mod program;
#[path = "support/site.rs"]
mod site;

use http::{Method, StatusCode};
use program::waypost;
use serde_json::{Value, json};
use site::{Builder, EU, Site};

const TOOL: &[u8] = b"the tool";
const OTHER: &[u8] = b"another tool";

fn one_mirror() -> Builder {
    Site::builder()
        .mirror("fra", |m| m.region("eu"))
        .release("tool", "v1.0", &[("tool.tar.gz", TOOL)], &["stable"])
        .release("tool", "2.0", &[("tool.tar.gz", OTHER)], &["stable"])
}

async fn started() -> Site {
    let site = one_mirror().start().await;
    site.until_channel("tool", "stable", "2.0").await;
    site
}

const WITHDRAW: &str = "/v1/releases/tool/2.0/withdraw";
const HOLD: &str = "/v1/channels/tool/stable/hold";

#[tokio::test]
async fn a_withdrawal_needs_a_reason() {
    let site = started().await;
    for said in [json!({}), json!({ "reason": null }), json!({ "reason": " \n" })] {
        let answer = site.post(WITHDRAW, &said).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{said}");
        assert!(answer.text().contains("reason"), "{}", answer.text());
    }
    assert_eq!(site.local(Method::POST, WITHDRAW).await.status, StatusCode::BAD_REQUEST);
    assert_eq!(site.get("/tool/2.0/tool.tar.gz", EU).await.status, StatusCode::FOUND);
    assert_eq!(site.post(WITHDRAW, &json!({ "reason": "bad" })).await.status, StatusCode::OK);
}

#[tokio::test]
async fn what_is_too_long_or_of_another_shape_is_the_callers_mistake() {
    let site = started().await;
    let order = site.post(HOLD, &json!({ "reason": "r".repeat(4096), "actor": "a".repeat(256) })).await;
    assert_eq!(order.status, StatusCode::OK, "{}", order.text());
    for said in [
        json!({ "reason": "r".repeat(4097) }),
        json!({ "actor": "a".repeat(257) }),
        json!([]),
        json!(["ada", "because"]),
        json!("because"),
        Value::Null,
    ] {
        let answer = site.post(HOLD, &said).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{}", answer.text());
    }
    let audit = site.admin("/v1/audit").await.json();
    let holds = audit["orders"].as_array().unwrap().iter().filter(|o| o["action"]["kind"] == "channel_hold");
    assert_eq!(holds.count(), 1, "{audit}");
}

#[tokio::test]
async fn nobody_at_the_socket_is_taken_for_the_service_or_the_origin() {
    let site = started().await;
    for (claimed, recorded) in
        [("waypost", "waypost (socket)"), ("origin", "origin (socket)"), ("", "socket"), ("ada", "ada")]
    {
        let order = site.post(HOLD, &json!({ "actor": claimed })).await.json()["order"].clone();
        assert_eq!(order["actor"], recorded);
        assert!(order["at"].as_str().unwrap().ends_with('Z'), "{order}");
    }
}

#[tokio::test]
async fn a_reason_is_one_line_without_controls_for_those_who_read_text() {
    let site = started().await;
    site.post(WITHDRAW, &json!({ "reason": "it deletes\nhomes \u{1b}[31m\u{85}now" })).await;
    let path = "/tool/2.0/tool.tar.gz";
    let answer = site.request(Method::GET, path, &[("accept", "text/plain")]).await;
    assert_eq!(answer.status, StatusCode::GONE);
    assert_eq!(answer.text(), "Gone: it deletes homes [31m now\n");
}

#[tokio::test]
async fn channels_of_a_product_that_there_is_not_are_not_found() {
    let site = started().await;
    assert_eq!(site.admin("/v1/channels/nothing").await.status, StatusCode::NOT_FOUND);
    assert_eq!(site.admin("/v1/channels/tool").await.status, StatusCode::OK);
}

#[tokio::test]
async fn waiting_for_a_withdrawn_release_names_no_replacement_that_is_withdrawn_as_well() {
    let site = started().await;
    let why = async || site.admin("/v1/releases/tool/2.0?wait=5").await.text().to_owned();
    site.post(WITHDRAW, &json!({ "reason": "bad", "replacement": "1.0" })).await;
    let told = why().await;
    assert!(told.contains("take 1.0 instead"), "{told}");
    site.post("/v1/releases/tool/1.0/withdraw", &json!({ "reason": "bad too" })).await;
    let told = why().await;
    assert!(told.contains("withdrawn: bad") && !told.contains("instead"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_reach_the_service_while_its_file_is_half_edited_and_nobody_else() {
    let mut site = started().await;
    let written = std::fs::read_to_string(site.config_file()).unwrap();
    for wrong in ["[redirect]\nstatus = 301\n", "[[mirror]\nname ="] {
        std::fs::write(site.config_file(), format!("{written}\n{wrong}")).unwrap();
        let ran = waypost(&site, &["channel", "hold", "tool", "stable"]).await;
        assert_eq!(ran.code, 0, "{ran:?}");
        assert!(ran.err.contains("warning") && ran.err.contains("not in order"), "{ran:?}");
    }
    let checked = waypost(&site, &["check"]).await;
    assert_eq!(checked.code, 2, "{checked:?}");
    site.stop().await.unwrap();
    let _ = std::fs::remove_file(site.state().join("admin.sock"));
    let ran = waypost(&site, &["channel", "hold", "tool", "stable"]).await;
    assert_eq!((ran.code, ran.err.contains("the configuration has")), (2, true), "{ran:?}");
}
