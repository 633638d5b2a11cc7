//! A look at the origin that somebody asks for, over the socket and with the command, and `waypost check`.

use std::path::Path;

use http::Method;
use serde_json::{Value, json};
use tokio::net::TcpStream;

use super::keys::{Keys, sign_manifest};
use super::process;
use super::site::{EU, Site, ask};
use super::{MANIFEST, NEW, OLD_MANIFEST, TOOL, trusting};

const WAYPOST: &str = env!("CARGO_BIN_EXE_waypost");

/// A site that looks at its origin at its start and then once a day.
async fn patient(keys: &Keys) -> Site {
    let mut site =
        trusting(&[keys]).origin("poll = \"1day\"").release("tool", "1.0", TOOL, &["stable"]).lay_out().await;
    sign_manifest(&site, keys, OLD_MANIFEST, "waypost tool 1.0");
    site.run().await.unwrap();
    site.until_channel("tool", "stable", "1.0").await;
    site
}

async fn poll(site: &Site) -> Value {
    let answer = site.local(Method::POST, "/v1/origin/poll").await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

/// Runs the command; its exit code, and what it printed.
async fn waypost(words: &[&str], config: &Path) -> (i32, String) {
    let words = [words, &["--config", config.to_str().unwrap()]].concat();
    let ended = process::run(WAYPOST, &words, config.parent().unwrap()).await;
    (ended.status.code().unwrap(), ended.stdout + &ended.stderr)
}

#[tokio::test]
async fn a_look_that_is_asked_for_is_published_when_it_is_answered() {
    let keys = Keys::new();
    let site = patient(&keys).await;
    site.publish("tool", "1.1", NEW, &["stable"]);
    let found = poll(&site).await;
    assert_eq!(
        (&found["outcome"], &found["manifests"], &found["sequence"]),
        (&json!("ok"), &json!(2), &json!(null))
    );
    assert_eq!(found["refused"][0]["manifest"], MANIFEST);
    assert_eq!(found["refused"][0]["reason"], "unsigned");
    sign_manifest(&site, &keys, MANIFEST, "waypost tool 1.1");
    let found = poll(&site).await;
    assert_eq!(found["refused"], json!([]));
    // A release that is known is 503 until a mirror has it, and 302 from then on.
    assert_ne!(site.get("/tool/1.1/tool", EU).await.status, 404);

    // Several ask at once, each about a release of its own.
    let ask_about = async |version: &str| {
        site.publish("tool", version, NEW, &[]);
        sign_manifest(
            &site,
            &keys,
            &format!("tool/{version}/manifest.json"),
            &format!("waypost tool {version}"),
        );
        poll(&site).await;
        assert_ne!(site.get(&format!("/tool/{version}/tool"), EU).await.status, 404, "{version}");
    };
    tokio::join!(ask_about("2.0"), ask_about("2.1"), ask_about("2.2"), ask_about("2.3"), ask_about("2.4"));

    std::fs::rename(site.origin(), site.dir().join("elsewhere")).unwrap();
    let found = poll(&site).await;
    assert_eq!((&found["outcome"], &found["reason"]), (&json!("refused"), &json!("unreadable")));
}

#[tokio::test]
async fn a_look_is_for_those_who_may_release() {
    let site = patient(&Keys::new()).await;
    let stream = TcpStream::connect(site.admin_address()).await.unwrap();
    assert_eq!(ask(stream, Method::POST, "/v1/origin/poll", &[]).await.status, 401);
    assert_eq!(site.local(Method::GET, "/v1/origin/poll").await.status, 405);
}

#[tokio::test]
async fn the_commands_exit_as_the_origin_is_believed() {
    let keys = Keys::new();
    let site = patient(&keys).await;
    let config = site.config_file();
    let (code, said) = waypost(&["origin", "poll"], &config).await;
    assert_eq!((code, said.as_str()), (0, "the origin was read: 1 manifests\n"));
    assert_eq!(waypost(&["origin", "accept"], &config).await.0, 1, "nothing is refused");

    site.publish("tool", "1.1", NEW, &["stable"]);
    let (code, said) = waypost(&["origin", "poll"], &config).await;
    assert!(code == 1 && said.contains("refused: tool/1.1/manifest.json: unsigned"), "{code}: {said}");
    let (code, said) = waypost(&["origin", "poll", "--json"], &config).await;
    let found: Value = serde_json::from_str(&said).unwrap();
    assert_eq!((code, &found["refused"][0]["reason"]), (1, &json!("unsigned")));

    sign_manifest(&site, &keys, MANIFEST, "waypost tool 1.1");
    for sequence in [7, 6] {
        let index = json!({ "schema": 1, "sequence": sequence, "manifests": [OLD_MANIFEST, MANIFEST] });
        site.write_origin("index.json", index.to_string().as_bytes());
        sign_manifest(&site, &keys, "index.json", &format!("waypost index {sequence}"));
        let (code, said) = waypost(&["origin", "poll"], &config).await;
        match sequence {
            7 => {
                assert_eq!((code, said.as_str()), (0, "the origin was read: 2 manifests\nindex sequence 7\n"))
            }
            _ => assert!(code == 1 && said.contains("sequence_went_back"), "{code}: {said}"),
        }
    }
    let (code, said) =
        waypost(&["origin", "accept", "--sequence", "6", "--reason", "a backup"], &config).await;
    assert!(code == 0 && said.contains("6 is accepted"), "{code}: {said}");
    let (code, said) = waypost(&["origin", "poll"], &config).await;
    assert!(code == 0 && said.contains("index sequence 6"), "{code}: {said}");
    let order = site.handle().orders(u64::MAX, 10).await.unwrap().unwrap().into_iter();
    let order = order.into_iter().find(|order| order.reason == "a backup").unwrap();
    assert_eq!(
        serde_json::to_value(order.action).unwrap(),
        json!({ "kind": "origin_accept", "sequence": 6 })
    );
}

#[tokio::test]
async fn a_check_tells_what_is_badly_signed() {
    let (keys, stranger) = (Keys::new(), Keys::new());
    let site = trusting(&[&keys]).release("tool", "1.0", TOOL, &["stable"]).lay_out().await;
    let config = site.config_file();
    let (code, said) = waypost(&["check"], &config).await;
    assert!(code == 1 && said.contains("manifest.json: unsigned") && said.contains("minisign -S"), "{said}");
    sign_manifest(&site, &stranger, OLD_MANIFEST, "waypost tool 1.0");
    let (code, said) = waypost(&["check"], &config).await;
    assert!(code == 1 && said.contains("bad_signature"), "{said}");
    sign_manifest(&site, &keys, OLD_MANIFEST, "waypost tool 1.0");
    let (code, said) = waypost(&["check"], &config).await;
    assert_eq!(code, 0, "{said}");
    site.write_origin(
        "index.json",
        json!({ "schema": 1, "sequence": 1, "manifests": [] }).to_string().as_bytes(),
    );
    let (code, said) = waypost(&["check"], &config).await;
    assert!(code == 1 && said.contains("origin.url: unsigned"), "{said}");
}
