//! A release from the build machine to the user and back, with real programs only: nginx for the origin and the mirrors,
//! the service and its commands, minisign, rsync, curl and sha256sum. What `docs/releases.md` tells is done here.
#![allow(clippy::unwrap_used, missing_docs)]

#[path = "pipeline/build.rs"]
mod build;
#[path = "support/nginx.rs"]
mod nginx;
#[path = "support/process.rs"]
mod process;
#[path = "pipeline/site.rs"]
mod site;
#[path = "pipeline/texts.rs"]
mod texts;

use std::fs;

use serde_json::{Value, json};

use process::until;
use site::{MIRRORS, Site, Waiting};

/// What a user asks for below a channel: the same name for every version.
const ASSET: &str = "tool/stable/greet_linux_amd64.tar.gz";

/// The same file by its own name.
fn asset(version: &str) -> String {
    format!("tool/{version}/greet_{version}_linux_amd64.tar.gz")
}

#[tokio::test]
async fn a_release_goes_everywhere_before_it_is_announced_and_is_gone_everywhere_when_it_is_withdrawn() {
    let site = Site::start().await;
    the_first_release_is_waited_for_and_arrives(&site).await;
    a_forged_release_changes_nothing(&site).await;
    the_next_release_moves_the_channel(&site).await;
    a_withdrawn_release_is_gone(&site).await;
    a_strange_file_is_noticed_and_cleared_away(&site).await;
    a_restored_release_comes_back_and_the_channel_can_go_back(&site).await;
    other_programs_can_read_what_became_of_it(&site).await;
    the_audit_knows_who_did_it_and_why(&site).await;
    the_ready_made_job_publishes_a_release(&site).await;
    the_document_tells_what_works(&site).await;
    the_job_may_run_again(&site).await;
}

async fn the_first_release_is_waited_for_and_arrives(site: &Site) {
    site.build("1.8.1");
    let mut waiting = Waiting::start(site, "1.8.1");
    waiting.says("not published yet").await;
    site.import("1.8.1").await;
    site.sign("1.8.1", "release").await;
    site.sign_index("release").await;
    let said = site.waypost("origin poll").await.ok();
    assert!(said.starts_with("the origin was read: 1 manifests\nindex sequence 1\n"), "{said}");

    let (code, said) = site.waypost("release gate tool 1.8.1").await.failed();
    assert!(
        code == 1 && said.ends_with("tool 1.8.1 does not pass: mirrors, verification\n"),
        "{code}: {said}"
    );
    for name in MIRRORS {
        assert!(said.contains(&format!("\n  {name}\n")), "{name} is not named: {said}");
    }
    assert_eq!(site.curl(ASSET).await.0, 503);
    assert_eq!(site.curl(&asset("1.8.1")).await.0, 503, "no copy is verified");

    site.fill_by_rsync("fra").await;
    site.fill_by_rsync("iad").await;
    until("only sin lacks it", async || {
        let (_, said) = site.waypost("release gate tool 1.8.1").await.failed();
        said.contains("\nmirrors:\n  sin\n")
    })
    .await;
    assert_eq!(site.curl(&asset("1.8.1")).await.0, 200, "by its own name already");
    assert_eq!(site.curl(ASSET).await.0, 503, "all mirrors are asked for");
    site.replicate("sin", "").await;
    let said = waiting.ends().await;
    assert!(said.starts_with("tool 1.8.1 is everywhere: on 3 mirrors; t50 "), "{said}");

    let said = site.waypost("release gate tool 1.8.1").await.ok();
    assert!(said.ends_with("tool 1.8.1 passes\n"), "{said}");
    assert_eq!(site.stable().await, "1.8.1");
    site.download_and_check(ASSET, "1.8.1").await;
    site.download_and_check(&asset("1.8.1"), "1.8.1").await;

    let (code, said) = site.waypost("mirror drain fra").await.failed();
    assert_eq!(code, 2, "{said}");
    assert!(said.contains("the token ci has the role release, and this needs operate"), "{said}");
}

async fn a_forged_release_changes_nothing(site: &Site) {
    site.build("1.8.2");
    site.import("1.8.2").await;
    site.sign("1.8.2", "stranger").await;
    let (code, said) = site.waypost("origin poll").await.failed();
    assert!(
        code == 1 && said.contains("the origin is refused, and nothing changes: bad_signature"),
        "{said}"
    );
    site.sign_index("release").await;
    let (code, said) = site.waypost("origin poll").await.failed();
    assert!(code == 1 && said.contains("refused: tool/1.8.2/manifest.json: bad_signature"), "{said}");
    let (code, _) = site.waypost("release show tool 1.8.2").await.failed();
    assert_eq!((code, site.stable().await.as_str()), (1, "1.8.1"));
    assert_eq!(site.curl(&asset("1.8.2")).await.0, 404);
    let files = site.waypost("mirror files fra --format rsync").await.ok();
    assert!(files.contains("tool/1.8.1/") && !files.contains("1.8.2"), "{files}");
}

async fn the_next_release_moves_the_channel(site: &Site) {
    site.sign("1.8.2", "release").await;
    let said = site.waypost("origin poll").await.ok();
    assert!(said.starts_with("the origin was read: 2 manifests\nindex sequence 2\n"), "{said}");
    let mut waiting = Waiting::start(site, "1.8.2");
    waiting.says("0 of 3 mirrors, waiting for fra, iad, sin").await;
    assert_eq!(site.stable().await, "1.8.1");
    for name in MIRRORS {
        site.fill_by_rsync(name).await;
    }
    waiting.ends().await;
    site.waypost("release gate tool 1.8.2").await.ok();
    assert_eq!(site.stable().await, "1.8.2");
    site.download_and_check(ASSET, "1.8.2").await;
    site.download_and_check(&asset("1.8.1"), "1.8.1").await;
}

async fn a_withdrawn_release_is_gone(site: &Site) {
    let ended = site.waypost("release withdraw tool 1.8.2 --reason 'deletes home folders'").await;
    assert_eq!(
        (ended.stdout.as_str(), ended.status.code()),
        ("tool 1.8.2 is withdrawn\n", Some(0)),
        "{ended:?}"
    );
    assert!(ended.stderr.starts_with("still on fra, iad, sin: "), "{ended:?}");
    let (status, page) = site.curl(&asset("1.8.2")).await;
    assert!(status == 410 && page.contains("deletes home folders"), "{status}: {page}");
    let head = site.sh(&format!("curl -sSI {}{}", site.url, asset("1.8.2"))).await.ok();
    let successor = format!("/{}>; rel=successor-version", asset("1.8.1"));
    assert!(head.contains(&successor), "{head}");
    assert_eq!(site.stable().await, "1.8.1");
    site.download_and_check(ASSET, "1.8.1").await;

    let (code, said) = site.waypost("release wait tool 1.8.2 --timeout 20m").await.failed();
    assert!(code == 1 && said.contains("withdrawn"), "{code}: {said}");
    for name in MIRRORS {
        let files = site.waypost(&format!("mirror files {name} --format rsync")).await.ok();
        assert!(files.contains("tool/1.8.1/") && !files.contains("1.8.2"), "{files}");
    }
    let said = site.waypost("mirror inventory fra").await.ok();
    assert!(said.contains("tool 1.8.2: ") && said.contains("(withdrawn)"), "{said}");
}

async fn a_strange_file_is_noticed_and_cleared_away(site: &Site) {
    let planted = site.mirror("fra").files().join("tool/1.8.1/greet_1.8.1_linux_riscv64.tar.gz");
    fs::write(&planted, "from elsewhere").unwrap();
    let line = "tool 1.8.1: unexpected greet_1.8.1_linux_riscv64.tar.gz";
    until("the planted file is noticed", async || {
        site.waypost("mirror inventory fra").await.ok().contains(line)
    })
    .await;
    for name in MIRRORS {
        site.replicate(name, "--delete").await;
        let left = site.mirror(name).files().join("tool/1.8.2");
        let files: Vec<_> = fs::read_dir(left).into_iter().flatten().collect();
        assert!(files.is_empty(), "{name} still has {files:?}");
    }
    assert!(!planted.exists());
    until("nothing unwanted is left", async || {
        let said = site.waypost("mirror inventory fra").await.ok();
        !said.contains(line) && !said.contains("tool 1.8.2")
    })
    .await;
    site.download_and_check(ASSET, "1.8.1").await;
}

async fn a_restored_release_comes_back_and_the_channel_can_go_back(site: &Site) {
    let said = site.waypost("release restore tool 1.8.2 --reason 'the report was wrong'").await.ok();
    assert_eq!(said, "tool 1.8.2 is handed out again\n");
    let waiting = Waiting::start(site, "1.8.2");
    for name in MIRRORS {
        site.replicate(name, "").await;
    }
    waiting.ends().await;
    assert_eq!(site.stable().await, "1.8.2");
    site.download_and_check(ASSET, "1.8.2").await;

    let said =
        site.at_the_service("channel rollback tool stable --expect 1.8.2 --reason 'slow on arm'").await.ok();
    assert_eq!(said, "tool stable points to 1.8.1\n");
    assert_eq!(site.stable().await, "1.8.1");
    site.download_and_check(&asset("1.8.2"), "1.8.2").await;
    let (code, said) =
        site.waypost("release promote tool 1.8.2 --channel stable --expect 1.8.2").await.failed();
    assert!(code == 1 && said.contains("1.8.1"), "{code}: {said}");
}

async fn other_programs_can_read_what_became_of_it(site: &Site) {
    let json = async |path: &str| -> Value { serde_json::from_str(&site.curl(path).await.1).unwrap() };
    let releases = json("tool/releases.json").await;
    assert_eq!(releases["channels"][0]["version"], "1.8.1", "{releases}");
    let listed: Vec<&str> =
        releases["releases"].as_array().unwrap().iter().map(|it| it["version"].as_str().unwrap()).collect();
    assert_eq!(listed, ["1.8.2", "1.8.1"]);
    let hosts = json("hosts.json").await;
    for name in MIRRORS {
        let url = site.mirror(name).url();
        let host = url.trim_start_matches("http://").split(':').next().unwrap();
        assert!(hosts.to_string().contains(&format!("{host:?}")), "{hosts}");
    }
    site.sh(&format!("mkdir sums && cd sums && curl -fsS {}tool/1.8.1/SHA256SUMS > SHA256SUMS", site.url))
        .await
        .ok();
    let folder = site.origin.files().join("tool/1.8.1");
    site.sh(&format!(
        "cd {} && sha256sum -c --quiet {}/sums/SHA256SUMS",
        folder.display(),
        site.desk().display()
    ))
    .await
    .ok();
}

async fn the_audit_knows_who_did_it_and_why(site: &Site) {
    let audit: Value = serde_json::from_str(&site.waypost("audit --limit 0 --json").await.ok()).unwrap();
    let mut orders = audit["orders"].as_array().unwrap().clone();
    orders.reverse();
    let line = |order: &Value| {
        let action = &order["action"];
        let version = action.get("to").unwrap_or(&action["version"]);
        json!([order["actor"], action["kind"], version, order["reason"]])
    };
    let lines: Vec<Value> = orders.iter().map(line).collect();
    let expected = json!([
        ["waypost", "channel_move", "1.8.1", "the release is ready"],
        ["waypost", "channel_move", "1.8.2", "the release is ready"],
        ["ci", "release_withdraw", "1.8.2", "deletes home folders"],
        ["waypost", "channel_move", "1.8.1", "1.8.2, which it pointed to, is withdrawn"],
        ["ci", "release_restore", "1.8.2", "the report was wrong"],
        ["waypost", "channel_move", "1.8.2", "the release is ready"],
        ["ann", "channel_move", "1.8.1", "slow on arm"],
    ]);
    assert_eq!(json!(lines), expected);
    let said = site.waypost("audit --actor ci").await.ok();
    assert!(said.lines().count() == 3 && said.contains("deletes home folders"), "{said}");
}

/// `deploy/ci-github.yml`, step by step, in a checkout where goreleaser has left its `dist`.
async fn the_ready_made_job_publishes_a_release(site: &Site) {
    build::goreleaser("1.8.3", &site.desk().join("checkout/dist"));
    step(site, "Import and sign").await;
    step(site, "Upload, the index last").await;
    let (said, ()) = tokio::join!(step(site, "Wait until it is everywhere"), site.fill_all("1.8.3"));
    assert!(said.contains("3 manifests") && said.ends_with("tool 1.8.3 passes\n"), "{said}");
    site.download_and_check(ASSET, "1.8.3").await;
}

/// Runs a step of the job in the checkout.
async fn step(site: &Site, name: &str) -> String {
    let (desk, origin, admin) = (site.desk().display(), site.origin.files(), &site.admin);
    let origin = origin.display();
    let set = format!("PRODUCT=tool VERSION=1.8.3 RUNNER_TEMP={desk} ORIGIN={origin} WAYPOST_ADMIN={admin}");
    site.sh(&format!("cd checkout; export {set}; {}", texts::step(name))).await.ok()
}

/// What was published by 1.8.4 meanwhile stays as well.
async fn the_job_may_run_again(site: &Site) {
    fs::remove_dir_all(site.desk().join("checkout/origin")).unwrap();
    let said = step(site, "Import and sign").await;
    assert!(said.contains("tool 1.8.3: unchanged"), "{said}");
    step(site, "Upload, the index last").await;
    let said = step(site, "Wait until it is everywhere").await;
    assert!(said.contains("4 manifests") && said.ends_with("tool 1.8.3 passes\n"), "{said}");
    assert_eq!(site.stable().await, "1.8.4");
}

/// The blocks of `docs/releases.md` with other folders and another version.
async fn the_document_tells_what_works(site: &Site) {
    let (origin, fra) = (site.origin.files(), site.mirror("fra").files());
    let here = |text: String| {
        let text = text.replace("/srv/origin", origin.to_str().unwrap());
        text.replace("/srv/mirror", fra.to_str().unwrap()).replace("1.8.2", "1.8.4")
    };
    fs::create_dir(site.desk().join("dist")).unwrap();
    fs::write(site.desk().join("dist/tool-1.8.4-linux-amd64.tar.gz"), "the fourth").unwrap();
    site.sh(&here(texts::block("Signing"))).await.ok();
    site.at_the_service("origin poll").await.ok();
    let [publish, fill] =
        ["The life of a release", "Who holds what"].map(|heading| here(texts::block(heading)));
    let fill = fill.lines().next().unwrap();
    let (said, ()) = tokio::join!(site.sh(&publish), async {
        site.sh(fill).await.ok();
        assert!(fra.join("tool/1.8.4/tool-1.8.4-linux-amd64.tar.gz.minisig").exists(), "{fill}");
        site.fill_all("1.8.4").await;
    });
    let said = said.ok();
    assert!(said.starts_with("tool 1.8.4: unchanged") && said.ends_with("tool 1.8.4 passes\n"), "{said}");

    let paths = texts::paths();
    assert!(paths.len() >= 4, "{paths:?}");
    for path in paths {
        let path = here(path);
        let (status, _) = site.curl(path.trim_start_matches('/')).await;
        assert_eq!(status, 200, "{path}");
    }
    let line = site.sh(&format!("curl -fsS {}/v1/products/tool/scorecard", site.admin)).await.ok();
    assert!(line.contains("1.8.4"), "{line}");
}
