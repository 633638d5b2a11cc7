//! Mirrors that die and come back.

#![allow(clippy::unwrap_used, missing_docs)]

#[path = "support/site.rs"]
mod site;

use site::{EU, Site};

const TOOL: &[u8] = b"the tool, byte for byte";

#[tokio::test]
async fn a_client_is_sent_to_the_nearest_mirror() {
    let site = Site::builder()
        .mirror("fra", |m| m.region("eu"))
        .mirror("sin", |m| m.region("ap"))
        .release("tool", "1.8.2", &[("tool.tar.gz", TOOL)], &["stable"])
        .start()
        .await;
    site.until_everywhere("tool", "1.8.2").await;
    let answer = site.until_redirected("/tool/stable/tool.tar.gz", EU, "fra").await;
    assert_eq!(answer.status, 302);
    assert_eq!(site::fetch(answer.header("location")).await, TOOL);
}
