//! The record of what was given to whom: complete through kill -9, full disks and rotation, and without a secret.

#![allow(clippy::unwrap_used, missing_docs)]

#[path = "support/disk.rs"]
mod disk;
#[path = "support/private.rs"]
mod private;
#[path = "cli/process.rs"]
mod process;
#[path = "support/site.rs"]
mod site;

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use disk::SmallDisk;
use http::Method;
use private::{AGENT, ALL, SECRET, SECRET_FILE, bearer, token};
use process::Process;
use serde_json::Value;
use site::{AP, Answer, Behaviour, Builder, EU, PATIENCE, Site};

const FILE: &str = "agent/1.0/agent.tar.gz";
const PATH: &str = "/agent/1.0/agent.tar.gz";
const LINK_SECRET: &str = "5c0c2f6f7a3e4d1b9a8877665544332211ffeeddccbbaa99";

/// `agent` 1.0 on one private mirror, and what the audit is to do.
fn agent(audit: &str) -> Builder {
    Site::builder()
        .mirror("fra", |m| m.region("eu").line("private = true"))
        .release("agent", "1.0", &[("agent.tar.gz", b"for customers")], &["stable"])
        .file(SECRET_FILE, SECRET)
        .config(&format!("{AGENT}{ALL}[audit]\n{audit}\n"))
}

/// Asks as the bearer of a token.
async fn ask(site: &Site, path: &str, token: &str) -> Answer {
    let bearer = bearer(token);
    site.request(Method::GET, path, &[("x-forwarded-for", EU), ("authorization", &bearer)]).await
}

async fn started(builder: Builder) -> Site {
    let site = builder.start().await;
    site.until_copies("fra", "verified", 1).await;
    site.until("the release is out", async || {
        (site.request(Method::HEAD, PATH, &[("authorization", &bearer(&token("look")))]).await.status == 200)
            .then_some(())
    })
    .await;
    site
}

/// The lines of some files, the oldest first; each of them is whole.
fn lines(files: &[&Path]) -> Vec<Value> {
    let text: String = files.iter().map(|file| fs::read_to_string(file).unwrap()).collect();
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"))).collect()
}

fn numbers(lines: &[Value]) -> Vec<u64> {
    lines.iter().map(|line| line["number"].as_u64().unwrap()).collect()
}

fn is_without_gap(numbers: &[u64]) -> bool {
    numbers.windows(2).all(|pair| pair[1] == pair[0] + 1)
}

async fn records(site: &Site, outcome: &str) -> f64 {
    site.metric(&format!("waypost_audit_records_total{{outcome={outcome:?}}}")).await
}

async fn redirected(site: &Site) -> f64 {
    let metrics = site.admin("/metrics").await;
    let is_it =
        |line: &&str| line.starts_with("waypost_requests_total{") && line.contains("outcome=\"redirected\"");
    let counts =
        metrics.text().lines().filter(is_it).filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
    counts.sum()
}

#[tokio::test]
async fn who_was_given_what_is_recorded_and_who_was_not_is_not() {
    let mut site = started(agent("required = true")).await;
    assert_eq!(ask(&site, PATH, &token("alice")).await.status, 302);
    assert_eq!(ask(&site, "/agent/stable/agent.tar.gz?mirrors", &token("bob")).await.status, 200);
    assert_eq!(site.get(PATH, EU).await.status, 401);
    assert_eq!(ask(&site, "/agent/1.0/SHA256SUMS", &token("eve")).await.status, 200);
    assert_eq!(records(&site, "written").await, 2.0);
    site.stop().await.unwrap();
    let lines = lines(&[&site.state().join("deliveries.jsonl")]);
    assert_eq!(numbers(&lines), [0, 1, 2, 3]);
    assert!(lines[0]["started"].is_string() && lines[3]["ended"].is_string(), "{lines:#?}");
    let given = |line: &Value| {
        ["product", "version", "asset", "region", "mirror", "network", "issuer", "token_id", "ticket"]
            .map(|field| line[field].clone())
    };
    let wanted = |mirror: Value, id: &str| {
        let network = "10.1.0.0/24";
        let known = ["agent", "1.0", "agent.tar.gz", "eu"].map(Value::from);
        let [product, version, asset, region] = known;
        [product, version, asset, region, mirror, network.into(), "ci".into(), id.into(), false.into()]
    };
    assert_eq!(given(&lines[1]), wanted("fra".into(), "alice"));
    assert_eq!(given(&lines[2]), wanted(Value::Null, "bob"), "a list names several mirrors");
    assert!(lines[1]["at"].as_str().unwrap().ends_with('Z'), "{}", lines[1]);
}

#[tokio::test]
async fn rotation_under_load_loses_nothing() {
    let mut site = started(agent("required = false\nrotate = \"2KiB\"\nkeep = 0")).await;
    let clients = (0..4).map(|client| {
        let site = &site;
        async move {
            for n in 0..30 {
                assert_eq!(ask(site, PATH, &token(&format!("{client}-{n}"))).await.status, 302);
            }
        }
    });
    let mut clients = clients.map(Box::pin).collect::<Vec<_>>();
    let [a, b, c, d] = &mut clients[..] else { unreachable!("there are four") };
    tokio::join!(a, b, c, d);
    drop(clients);
    site.stop().await.unwrap();
    let mut files: Vec<_> = fs::read_dir(site.state()).unwrap().map(|file| file.unwrap().path()).collect();
    files.retain(|file| file.file_name().unwrap().to_str().unwrap().starts_with("deliveries"));
    // The one without a time is the newest.
    files.sort_by_key(|file| (file.ends_with("deliveries.jsonl"), file.clone()));
    assert!(files.len() > 1, "{files:?}");
    let lines = lines(&files.iter().map(|file| &**file).collect::<Vec<_>>());
    assert_eq!(numbers(&lines), (0..122).collect::<Vec<_>>());
}

#[tokio::test]
async fn on_a_full_disk_nothing_is_given_that_has_to_be_recorded() {
    let Some(disk) = SmallDisk::mount() else { return };
    let file = disk.path().join("deliveries.jsonl");
    let mut site = started(agent(&format!("file = {file:?}\nrequired = true"))).await;
    disk.fill(0);
    let mut given = BTreeSet::new();
    let refused = site
        .until("the disk is full", async || {
            let id = format!("t{}", given.len());
            let answer = ask(&site, PATH, &token(&id)).await;
            if answer.status == 302 {
                given.insert(id);
                return None;
            }
            Some(answer)
        })
        .await;
    assert_eq!((refused.status.as_u16(), refused.header("location")), (503, ""));
    assert_eq!(refused.header("cache-control"), "no-store");
    assert!(refused.text().contains("have to be recorded"), "{}", refused.text());
    assert!(records(&site, "refused").await >= 1.0);
    let check = "waypost_entitlement_checks_total{issuer=\"ci\",product=\"agent\",reason=\"not_recorded\"}";
    assert_eq!(site.metric(check).await, 1.0);
    assert_eq!(redirected(&site).await, given.len() as f64, "what was not given is no redirect");
    let ready = site.admin("/readyz").await;
    assert!(
        ready.status == 200 && ready.text().contains("deliveries cannot be recorded"),
        "{}",
        ready.text()
    );
    disk.make_room();
    assert_eq!(ask(&site, PATH, &token("after")).await.status, 302);
    assert!(!site.admin("/readyz").await.text().contains("recorded"));
    let lines = lines(&[&file]);
    given.insert("after".to_owned());
    let recorded: BTreeSet<String> =
        lines.iter().filter_map(|line| line["token_id"].as_str().map(str::to_owned)).collect();
    assert_eq!(recorded, given);
    assert!(is_without_gap(&numbers(&lines)), "nothing was given and lost: {:?}", numbers(&lines));
    // So that nobody has a file open there.
    site.stop().await.unwrap();
}

#[tokio::test]
async fn on_a_full_disk_what_need_not_be_recorded_is_given_and_its_loss_is_counted_and_leaves_a_gap() {
    let Some(disk) = SmallDisk::mount() else { return };
    let file = disk.path().join("deliveries.jsonl");
    let mut site = started(agent(&format!("file = {file:?}"))).await;
    disk.fill(0);
    site.until("records are lost", async || {
        assert_eq!(ask(&site, PATH, &token("somebody")).await.status, 302);
        (records(&site, "lost").await >= 3.0).then_some(())
    })
    .await;
    disk.make_room();
    assert_eq!(ask(&site, PATH, &token("after")).await.status, 302);
    site.until("records are written", async || {
        fs::read_to_string(&file).unwrap().contains("\"after\"").then_some(())
    })
    .await;
    let lost = records(&site, "lost").await;
    site.stop().await.unwrap();
    let numbers = numbers(&lines(&[&file]));
    assert!(!is_without_gap(&numbers));
    let missing = numbers.last().unwrap() + 1 - numbers.len() as u64;
    assert_eq!(missing as f64, lost, "the gaps are as long as what was lost: {numbers:?}");
}

#[tokio::test]
async fn whoever_may_have_the_release_before_and_not_the_one_that_is_out_now_is_counted() {
    let rule = "[[entitlement]]\nissuer = \"ci\"\nallow = [{ product = \"agent\", versions = \"<2.0\" }]\n";
    let builder = Site::builder()
        .mirror("fra", |m| m.region("eu").line("private = true"))
        .release("agent", "1.0", &[("agent.tar.gz", b"for customers")], &["stable"])
        .file(SECRET_FILE, SECRET)
        .config(&format!("{AGENT}{rule}"));
    let site = started(builder).await;
    let regressions = "waypost_entitlement_regressions_total{product=\"agent\"}";
    let latest = "/agent/latest/agent.tar.gz";
    assert_eq!(ask(&site, latest, &token("alice")).await.status, 302);
    assert_eq!(ask(&site, "/agent/3.0/agent.tar.gz", &token("alice")).await.status, 403);
    assert_eq!(site.metric(regressions).await, 0.0, "what was never published was never to be had");
    site.publish("agent", "2.0", &[("agent.tar.gz", b"the next one")], &["stable"]);
    site.until_channel("agent", "stable", "2.0").await;
    assert_eq!(ask(&site, latest, &token("alice")).await.status, 403);
    assert_eq!(ask(&site, PATH, &token("alice")).await.status, 302);
    assert_eq!(site.get(latest, EU).await.status, 401);
    assert_eq!(site.metric(regressions).await, 1.0);
}

/// `agent` 1.0 for everybody, on a mirror that could serve it to some.
fn open_to_all() -> Builder {
    Site::builder()
        .mirror("fra", |m| m.region("eu").line("private = true"))
        .release("agent", "1.0", &[("agent.tar.gz", b"for customers")], &["stable"])
        .file(SECRET_FILE, SECRET)
}

#[tokio::test]
async fn a_reload_closes_a_product_that_was_public_and_begins_the_record_and_another_one_ends_it() {
    let mut site = open_to_all().start().await;
    site.until_redirected(PATH, EU, "fra").await;
    let file = site.state().join("deliveries.jsonl");
    assert!(!file.exists(), "nothing is entitled yet");
    let public = site.plan.more.clone();
    site.plan.more = format!("{AGENT}{ALL}[audit]\nrequired = true\n");
    site.write_config();
    site.reload();
    site.until_status(PATH, EU, 401).await;
    assert_eq!(ask(&site, PATH, &token("alice")).await.status, 302);
    assert_eq!(lines(&[&file]).last().unwrap()["token_id"], "alice");
    site.plan.more = public;
    site.write_config();
    site.reload();
    site.until_status(PATH, EU, 302).await;
    site.until("the record has ended", async || {
        lines(&[&file]).last().unwrap()["ended"].is_string().then_some(())
    })
    .await;
    site.stop().await.unwrap();
    assert_eq!(numbers(&lines(&[&file])), [0, 1, 2]);
}

#[tokio::test]
async fn a_record_that_cannot_be_opened_refuses_the_reload_and_what_was_in_force_stays() {
    let mut site = started(agent("required = true")).await;
    let before = site.plan.more.clone();
    let elsewhere = "file = \"no/such/folder/deliveries.jsonl\"\nrequired = true\n";
    site.plan.more = format!("{AGENT}{ALL}[audit]\n{elsewhere}");
    site.write_config();
    site.reload();
    site.until("the reload is refused", async || {
        let answer = site.admin("/readyz").await;
        let text = answer.text();
        (text.contains("audit.file") && text.contains("no/such/folder")).then_some(())
    })
    .await;
    assert_eq!(ask(&site, PATH, &token("alice")).await.status, 302);
    site.plan.more = before;
    site.write_config();
    site.reload();
    site.until("the reload is accepted", async || {
        (!site.admin("/readyz").await.text().contains("audit.file")).then_some(())
    })
    .await;
    assert_eq!(ask(&site, PATH, &token("bob")).await.status, 302);
    site.stop().await.unwrap();
    let lines = lines(&[&site.state().join("deliveries.jsonl")]);
    assert_eq!(numbers(&lines), [0, 1, 2, 3], "it is the same run");
}

// The program itself, killed.

/// A request by a bearer, over a connection of its own; `None` where no whole answer came.
fn get(address: SocketAddr, path: &str, token: &str) -> Option<String> {
    let mut stream = TcpStream::connect(address).ok()?;
    let head = format!("GET {path} HTTP/1.1\r\nhost: x\r\nx-forwarded-for: {EU}\r\nconnection: close\r\n");
    write!(stream, "{head}authorization: {}\r\n\r\n", bearer(token)).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    answer.contains("\r\n\r\n").then_some(answer)
}

/// Starts the program and waits until it gives the file out.
fn serve(site: &Site, ids: &AtomicU64) -> (Process, SocketAddr) {
    let config = site.config_file();
    let mut service = Process::start(site.dir(), &["serve", "--config", config.to_str().unwrap()]);
    let line = service.line(&["\"listening\"", "\"public\""]);
    let line: Value = serde_json::from_str(&line).unwrap();
    let address = line["address"].as_str().unwrap().parse().unwrap();
    let begun = Instant::now();
    while !get(address, PATH, &next(ids).1).is_some_and(|answer| answer.starts_with("HTTP/1.1 302")) {
        assert!(begun.elapsed() < PATIENCE * 3, "it gives nothing out");
    }
    (service, address)
}

/// A token that was never used.
fn next(ids: &AtomicU64) -> (String, String) {
    let id = format!("t{}", ids.fetch_add(1, Ordering::Relaxed));
    let token = token(&id);
    (id, token)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_redirect_that_a_client_got_is_in_the_file_after_kill_9() {
    const KILLS: usize = 4;
    let site = agent("required = true").lay_out().await;
    let work = move || {
        let (ids, file) = (AtomicU64::new(0), site.state().join("deliveries.jsonl"));
        let mut given = BTreeSet::new();
        for round in 0..KILLS {
            let (mut service, address) = serve(&site, &ids);
            let clients = |_| -> Vec<String> {
                std::iter::from_fn(|| {
                    let (id, token) = next(&ids);
                    let answer = get(address, PATH, &token)?;
                    assert!(answer.starts_with("HTTP/1.1 302"), "{answer}");
                    Some(id)
                })
                .collect()
            };
            let got: Vec<String> = std::thread::scope(|scope| {
                let clients: Vec<_> = (0..4).map(|n| scope.spawn(move || clients(n))).collect();
                let before = ids.load(Ordering::Relaxed);
                while ids.load(Ordering::Relaxed) < before + 100 + 37 * round as u64 {
                    std::thread::yield_now();
                }
                service.signal("KILL");
                clients.into_iter().flat_map(|client| client.join().unwrap()).collect()
            });
            service.ended();
            assert!(got.len() >= 50, "{}", got.len());
            given.extend(got);
            let lines = lines(&[&file]);
            let recorded: BTreeSet<&str> =
                lines.iter().filter_map(|line| line["token_id"].as_str()).collect();
            let lost: Vec<_> = given.iter().filter(|id| !recorded.contains(id.as_str())).collect();
            assert!(lost.is_empty(), "given and not recorded in round {round}: {lost:?}");
            let started = lines.iter().filter(|line| line["started"].is_string()).count();
            assert_eq!(
                (started, lines.iter().filter(|line| line["ended"].is_string()).count()),
                (round + 1, 0)
            );
        }
    };
    tokio::task::spawn_blocking(work).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sighup_changes_the_file_under_load_and_every_redirect_is_in_one_of_them_once() {
    const CHANGES: usize = 6;
    let mut site = agent("required = false").lay_out().await;
    let work = move || {
        let ids = AtomicU64::new(0);
        let (mut service, address) = serve(&site, &ids);
        let done = AtomicBool::new(false);
        let client = || -> Vec<String> {
            std::iter::from_fn(|| {
                let (id, token) = next(&ids);
                (!done.load(Ordering::Relaxed)).then(|| {
                    let answer = get(address, PATH, &token).unwrap();
                    assert!(answer.starts_with("HTTP/1.1 302"), "{answer}");
                    id
                })
            })
            .collect()
        };
        let given: Vec<String> = std::thread::scope(|scope| {
            let clients: Vec<_> = (0..4).map(|_| scope.spawn(client)).collect();
            for change in 1..=CHANGES {
                // There and back again, with and without having to be recorded.
                let (name, required) = (["a", "b"][change % 2], change % 3 == 0);
                let audit = format!("file = \"state/{name}.jsonl\"\nrequired = {required}");
                site.plan.more = format!("{AGENT}{ALL}[audit]\n{audit}\n");
                site.write_config();
                service.signal("HUP");
                service.line(&["\"reloaded\""]);
                let before = ids.load(Ordering::Relaxed);
                while ids.load(Ordering::Relaxed) < before + 50 {
                    std::thread::yield_now();
                }
            }
            done.store(true, Ordering::Relaxed);
            clients.into_iter().flat_map(|client| client.join().unwrap()).collect()
        });
        service.signal("TERM");
        service.ended();
        let files = ["deliveries", "a", "b"].map(|name| site.state().join(format!("{name}.jsonl")));
        let lines = lines(&files.each_ref().map(|file| file.as_path()));
        let recorded: Vec<&str> = lines.iter().filter_map(|line| line["token_id"].as_str()).collect();
        let distinct: BTreeSet<&str> = recorded.iter().copied().collect();
        assert_eq!(recorded.len(), distinct.len(), "no line is there twice");
        let lost: Vec<_> = given.iter().filter(|id| !distinct.contains(id.as_str())).collect();
        assert!(lost.is_empty(), "{lost:?}");
        let of =
            |run: &str| lines.iter().filter(move |line| line["run"] == *run).cloned().collect::<Vec<_>>();
        let runs: BTreeSet<&str> = lines.iter().map(|line| line["run"].as_str().unwrap()).collect();
        for run in &runs {
            let lines = of(run);
            assert_eq!(numbers(&lines), (0..lines.len() as u64).collect::<Vec<_>>(), "{run}");
            assert!(lines[0]["started"].is_string() && lines.last().unwrap()["ended"].is_string());
        }
        assert!(runs.len() > 2, "{runs:?}");
    };
    tokio::task::spawn_blocking(work).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_token_ticket_or_key_is_in_any_output() {
    let builder =
        agent("required = true").config("[log]\nlevel = \"trace\"\naccess = true\nformat = \"json\"\n");
    let site = builder
        .mirror("fra", |m| {
            m.region("eu").line("sign = { kind = \"secure_link\", secret_file = \"link.secret\" }")
        })
        .file("link.secret", LINK_SECRET)
        .server("public_url = \"http://downloads.example\"")
        .lay_out()
        .await;
    let work = move || {
        let ids = AtomicU64::new(0);
        let (mut service, address) = serve(&site, &ids);
        let token = token("alice");
        let signature = token.rsplit('.').next().unwrap();
        // Another letter in the signature, whichever stood there.
        let (begin, end) = token.split_at(token.len() - 10);
        let forged = format!("{begin}{}{}", if end.starts_with('x') { 'y' } else { 'x' }, &end[1..]);
        let ticket = get(address, &format!("{PATH}?ticket"), &token).unwrap();
        let ticket =
            ticket.split("ticket=").nth(1).expect("a ticket").split(['"', '&', '\r', '\n']).next().unwrap();
        assert!(ticket.len() > 40, "{ticket}");
        let with_ticket = format!("{PATH}?ticket={ticket}");
        assert!(get(address, &with_ticket, "none").unwrap().starts_with("HTTP/1.1 302"));
        let location = get(address, PATH, &token).unwrap();
        assert!(location.contains("md5="), "{location}");
        // The mirror refuses what the service asks with.
        site.mirror("fra").behave(FILE, Behaviour::Status(403));
        service.line(&["a probe failed", "signature_refused"]);
        let refusal = get(address, PATH, &forged).unwrap();
        assert!(refusal.starts_with("HTTP/1.1 401"), "{refusal}");
        let mut outputs = vec![
            ("a refusal", refusal),
            ("a refusal of a ticket", get(address, &format!("{PATH}?ticket={ticket}x"), &token).unwrap()),
            ("what is not there", get(address, "/agent/1.0/none", &token).unwrap()),
        ];
        let run = |args: &[&str]| {
            let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_waypost"));
            let output = command.args(args).arg("--config").arg(site.config_file()).output().unwrap();
            String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap()
        };
        outputs.push(("explain", run(&["explain", PATH, "--from", AP, "--json"])));
        outputs.push(("mirror show", run(&["mirror", "show", "fra", "--json"])));
        outputs.push(("release show", run(&["release", "show", "agent", "1.0", "--json"])));
        outputs.push(("audit", run(&["audit", "--json"])));
        outputs.push(("check", run(&["check"])));
        let mut metrics = std::os::unix::net::UnixStream::connect(site.state().join("admin.sock")).unwrap();
        metrics.write_all(b"GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
        let mut text = String::new();
        metrics.read_to_string(&mut text).unwrap();
        assert!(text.contains("waypost_entitlement_checks_total{"), "{text}");
        outputs.push(("metrics", text));
        service.signal("TERM");
        service.ended();
        outputs.push(("the log", service.said().join("\n")));
        let record = fs::read_to_string(site.state().join("deliveries.jsonl")).unwrap();
        assert!(record.contains("\"ticket\":true") && record.contains("alice"), "{record}");
        outputs.push(("the record", record));
        let secrets = [("token", &*token), ("signature", signature), ("ticket", ticket), ("key", SECRET)];
        let looks = site.mirror("fra").looks();
        let signed = looks.iter().map(|look| look.path.split_once("md5=").expect("a signature").1);
        let signatures: BTreeSet<&str> = signed.map(|rest| rest.split('&').next().unwrap()).collect();
        let signed = signatures.into_iter().map(|signature| ("signature of a link", signature));
        let link_key = ("key of a mirror", LINK_SECRET);
        let secrets: Vec<_> = secrets.into_iter().chain([link_key]).chain(signed).collect();
        for (what, output) in &outputs {
            assert!(output.len() > 20, "{what}: {output}");
            for &(kind, secret) in &secrets {
                assert!(!output.contains(secret), "{what} shows the {kind}");
                // Nor any part that would do.
                assert!(!output.contains(&secret[secret.len() / 2..]), "{what} shows a part of the {kind}");
            }
        }
    };
    tokio::task::spawn_blocking(work).await.unwrap();
}
