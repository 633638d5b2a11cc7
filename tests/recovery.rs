//! The real program, killed at any moment: what was acknowledged stays, what was withdrawn never comes back.

#![allow(clippy::unwrap_used, missing_docs)]

#[path = "cli/process.rs"]
mod process;
#[path = "support/site.rs"]
mod site;

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use process::Process;
use serde_json::Value;
use site::Site;

/// Far beyond anything that a test waits for.
const PATIENCE: Duration = Duration::from_secs(60);

/// A site whose service is a process of its own.
struct Outside {
    site: Site,
    service: Option<Process>,
    /// Where it listens now; it is another port after every start.
    public: Arc<Mutex<Option<SocketAddr>>>,
}

impl Outside {
    fn new(site: Site) -> Self {
        Self { site, service: None, public: Arc::default() }
    }

    fn config(&self) -> PathBuf {
        self.site.config_file()
    }

    fn start(&mut self) {
        let config = self.config();
        let mut service = Process::start(self.site.dir(), &["serve", "--config", config.to_str().unwrap()]);
        let line = service.line(&["\"listening\"", "\"public\""]);
        let line: Value = serde_json::from_str(&line).unwrap();
        service.line(&["\"listening\"", "admin.sock"]);
        *self.public.lock().unwrap() = Some(line["address"].as_str().unwrap().parse().unwrap());
        self.service = Some(service);
    }

    /// From one moment to the next.
    fn kill(&mut self) {
        let mut service = self.service.take().unwrap();
        service.signal("KILL");
        service.ended();
        *self.public.lock().unwrap() = None;
    }

    fn run(&self, args: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_waypost"));
        command.args(args).arg("--config").arg(self.config()).output().unwrap()
    }

    fn get(&self, path: &str) -> Option<String> {
        get((*self.public.lock().unwrap())?, path)
    }

    /// Waits for an answer that begins with this status.
    fn until_status(&self, path: &str, status: u16) -> String {
        let begun = Instant::now();
        loop {
            let answer = self.get(path);
            match answer.filter(|answer| answer.starts_with(&format!("HTTP/1.1 {status}"))) {
                Some(answer) => return answer,
                None => assert!(begun.elapsed() < PATIENCE, "{path} is not {status}: {:?}", self.get(path)),
            }
        }
    }
}

/// An answer's text; `None` where none came, as when the service is killed.
fn get(address: SocketAddr, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect(address).ok()?;
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nhost: x\r\nx-forwarded-for: 10.1.0.7\r\nconnection: close\r\n\r\n"
    )
    .ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    answer.starts_with("HTTP/1.1 ").then_some(answer)
}

/// Clients that ask without pause, and what they got.
struct Load {
    stop: Arc<AtomicBool>,
    /// Set once the withdrawal was acknowledged.
    withdrawn: Arc<AtomicBool>,
    answers: Arc<AtomicU64>,
    bad: Arc<Mutex<Vec<String>>>,
    clients: Vec<std::thread::JoinHandle<()>>,
}

impl Load {
    fn begin(
        public: &Arc<Mutex<Option<SocketAddr>>>,
        paths: &'static [&str],
        withdrawn_path: &'static str,
    ) -> Self {
        let load = Self {
            stop: Arc::default(),
            withdrawn: Arc::default(),
            answers: Arc::default(),
            bad: Arc::default(),
            clients: Vec::new(),
        };
        let clients = (0..4).map(|client: usize| {
            let (public, stop, withdrawn) =
                (Arc::clone(public), Arc::clone(&load.stop), Arc::clone(&load.withdrawn));
            let (answers, bad) = (Arc::clone(&load.answers), Arc::clone(&load.bad));
            std::thread::spawn(move || {
                for turn in client.. {
                    if stop.load(Ordering::Acquire) {
                        return;
                    }
                    let address = *public.lock().unwrap();
                    let path = paths[turn % paths.len()];
                    let forbidden = withdrawn.load(Ordering::Acquire);
                    let Some(answer) = address.and_then(|address| get(address, path)) else {
                        std::thread::yield_now();
                        continue;
                    };
                    answers.fetch_add(1, Ordering::Relaxed);
                    let head = answer.split("\r\n\r\n").next().unwrap_or_default();
                    if forbidden && head.contains(withdrawn_path) {
                        bad.lock().unwrap().push(answer);
                    }
                }
            })
        });
        let clients = clients.collect();
        Self { clients, ..load }
    }

    /// Waits until so many more answers came.
    fn more(&self, count: u64) {
        let (from, begun) = (self.answers.load(Ordering::Relaxed), Instant::now());
        while self.answers.load(Ordering::Relaxed) < from + count {
            assert!(begun.elapsed() < PATIENCE, "the clients get no answers");
            std::thread::yield_now();
        }
    }

    fn end(self) -> u64 {
        self.stop.store(true, Ordering::Release);
        self.clients.into_iter().for_each(|client| client.join().unwrap());
        let bad = self.bad.lock().unwrap();
        assert!(bad.is_empty(), "{} answers lead to the withdrawn release: {}", bad.len(), bad[0]);
        self.answers.load(Ordering::Relaxed)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_withdrawn_release_stays_away_through_kill_9_without_its_origin_and_without_its_database() {
    let site = Site::builder()
        .mirror("fra", |m| m.region("eu"))
        .mirror("sin", |m| m.region("ap"))
        .release("tool", "1.8.1", &[("tool", b"the good one")], &["stable"])
        .release("tool", "1.8.2", &[("tool", b"the bad one")], &["stable"])
        .lay_out()
        .await;
    tokio::task::spawn_blocking(move || {
        let mut outside = Outside::new(site);
        outside.start();
        outside.until_status("/tool/1.8.1/tool", 302);
        outside.until_status("/tool/1.8.2/tool", 302);
        let paths =
            &["/tool/stable/tool", "/tool/1.8.2/tool", "/tool/latest/tool", "/tool/v1.8.2/tool.meta4"];
        // What a redirect, its links and a Metalink lead to; the canonical path itself is asked for, not answered.
        let load = Load::begin(&outside.public, paths, "/tool/1.8.2/tool\r\n");
        load.more(200);
        let withdrawn =
            outside.run(&["release", "withdraw", "tool", "1.8.2", "--reason", "it deletes home folders"]);
        load.withdrawn.store(true, Ordering::Release);
        assert!(withdrawn.status.success(), "{withdrawn:?}");
        load.more(500);
        let gone = outside.until_status("/tool/1.8.2/tool", 410);
        assert!(gone.contains("it deletes home folders"), "{gone}");
        assert!(gone.contains("rel=successor-version") && gone.contains("/tool/1.8.1/tool"), "{gone}");
        assert!(outside.until_status("/tool/stable/tool", 302).contains("/tool/1.8.1/tool"));

        outside.kill();
        outside.start();
        outside.until_status("/tool/1.8.1/tool", 302);
        outside.until_status("/tool/1.8.2/tool", 410);
        load.more(500);

        // Neither the origin nor the database: the journal of orders brings the withdrawal back.
        outside.kill();
        outside.site.break_origin();
        outside.start();
        outside.until_status("/tool/stable/tool", 302);
        outside.until_status("/tool/1.8.2/tool", 410);
        load.more(500);
        outside.kill();
        for file in ["waypost.db", "waypost.db-wal"] {
            let _ = std::fs::remove_file(outside.site.state().join(file));
        }
        outside.site.restore_origin();
        outside.start();
        outside.until_status("/tool/stable/tool", 302);
        outside.until_status("/tool/1.8.2/tool", 410);
        load.more(500);
        println!("{} answers, none to the withdrawn release", load.end());
        let shown = outside.run(&["release", "show", "tool", "1.8.2", "--json"]);
        let shown: Value = serde_json::from_slice(&shown.stdout).unwrap();
        assert_eq!(shown["withdrawn"]["reason"], "it deletes home folders");
        assert_eq!(shown["holders_left"], serde_json::json!(["fra", "sin"]), "{shown}");
    })
    .await
    .unwrap();
}

/// Kills the service in the middle of a stream of orders, again and again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_acknowledged_order_is_in_the_audit_after_kill_9_and_none_is_half_obeyed() {
    const KILLS: u64 = 6;
    let site = Site::builder()
        .mirror("fra", |m| m.region("eu"))
        .release("tool", "1.0", &[("tool", b"old")], &["stable"])
        .release("tool", "2.0", &[("tool", b"new")], &["stable"])
        .lay_out()
        .await;
    tokio::task::spawn_blocking(move || {
        let mut outside = Outside::new(site);
        outside.start();
        outside.until_status("/tool/1.0/tool", 302);
        outside.until_status("/tool/2.0/tool", 302);
        let (mut acknowledged, mut given) = (BTreeSet::new(), 0_u64);
        for round in 0..KILLS {
            // The order during which it is killed may or may not have been obeyed; it was not acknowledged.
            let victim = outside.service.as_ref().unwrap().id();
            let after = Duration::from_micros(1_500 * (round * 7 % 5));
            let (count, ids) = orders_until_killed(&outside, given, victim, after);
            given += count;
            acknowledged.extend(ids);
            outside.service.take().unwrap().ended();
            outside.start();
            let audit = outside.run(&["audit", "--limit", "0", "--json"]);
            let audit: Value = serde_json::from_slice(&audit.stdout).unwrap();
            let rows: Vec<&str> = audit["orders"]
                .as_array()
                .unwrap()
                .iter()
                .map(|order| order["reason"].as_str().unwrap())
                .collect();
            let found: BTreeSet<String> = rows.iter().map(|reason| (*reason).to_owned()).collect();
            let lost: Vec<&String> = acknowledged.difference(&found).collect();
            assert!(lost.is_empty(), "lost after round {round}: {lost:?}");
            let doubled = rows.iter().filter(|r| r.starts_with("order ")).count();
            assert_eq!(
                doubled,
                found.iter().filter(|r| r.starts_with("order ")).count(),
                "an order is there twice"
            );
            // What is in force is what the last order in the audit says.
            let last =
                audit["orders"].as_array().unwrap().iter().find(|o| o["actor"] != "waypost").unwrap().clone();
            let shown = outside.run(&["release", "show", "tool", "2.0", "--json"]);
            let shown: Value = serde_json::from_slice(&shown.stdout).unwrap();
            let withdrawn = !shown["withdrawn"].is_null();
            assert_eq!(withdrawn, last["action"]["kind"] == "release_withdraw", "{last} {shown}");
        }
        assert!(acknowledged.len() as u64 >= KILLS, "{acknowledged:?}");
    })
    .await
    .unwrap();
}

/// Withdraws and restores by turns over the socket until the service is gone. Gives how many orders were begun and the
/// reasons of those that were acknowledged.
fn orders_until_killed(outside: &Outside, from: u64, victim: u32, after: Duration) -> (u64, Vec<String>) {
    use std::os::unix::net::UnixStream;
    let socket = outside.site.state().join("admin.sock");
    let shown = outside.run(&["release", "show", "tool", "2.0", "--json"]);
    let shown: Value = serde_json::from_slice(&shown.stdout).unwrap();
    let mut withdrawn = !shown["withdrawn"].is_null();
    let mut acknowledged = Vec::new();
    let mut killer = None;
    for turn in 0.. {
        let reason = format!("order {}", from + turn);
        let verb = if withdrawn { "restore" } else { "withdraw" };
        let body = serde_json::json!({ "reason": reason }).to_string();
        let text = format!(
            "POST /v1/releases/tool/2.0/{verb} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        let answer = UnixStream::connect(&socket).and_then(|mut stream| {
            stream.write_all(text.as_bytes())?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer)?;
            Ok(answer)
        });
        match answer {
            Ok(answer) if answer.starts_with("HTTP/1.1 200") => acknowledged.push(reason),
            Ok(answer) if !answer.is_empty() => panic!("{verb}: {answer}"),
            _ => {
                killer.into_iter().for_each(|thread: std::thread::JoinHandle<()>| thread.join().unwrap());
                return (turn + 1, acknowledged);
            }
        }
        withdrawn = !withdrawn;
        if turn == 3 {
            killer = Some(std::thread::spawn(move || {
                let begun = Instant::now();
                while begun.elapsed() < after {
                    std::hint::spin_loop();
                }
                Command::new("sh").args(["-c", &format!("kill -KILL {victim}")]).status().unwrap();
            }));
        }
    }
    unreachable!("the service is killed")
}
