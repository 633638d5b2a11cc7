//! `waypost demo`: the commands that it prints work as they stand.

use std::process::Command;

use super::process::Process;

/// Runs a printed line in `folder`; it must succeed.
fn shell(folder: &std::path::Path, line: &str) -> String {
    let run = Command::new("bash").args(["-c", line]).current_dir(folder).output().unwrap();
    assert!(run.status.success(), "{line}: {run:?}");
    String::from_utf8(run.stdout).unwrap()
}

fn header<'a>(head: &'a str, name: &str) -> &'a str {
    let line =
        head.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("{name}: {head}"));
    line.trim_start_matches(':').trim()
}

#[test]
fn every_command_that_the_demo_prints_works_and_ctrl_c_ends_it_with_0() {
    let folder = tempfile::tempdir().unwrap();
    let temporary = folder.path().join("tmp");
    std::fs::create_dir(&temporary).unwrap();
    let mut demo = Process::start_with(folder.path(), &["demo"], &[("TMPDIR", temporary.as_path())]);
    let ready = demo.line(&["ready: http://"]);
    let lines = demo.lines_until("release list");
    let commands: Vec<&String> = lines.iter().filter(|line| line.starts_with("  ")).collect();
    let (curls, operator): (Vec<&String>, Vec<&String>) =
        commands.into_iter().partition(|line| line.starts_with("  curl "));

    let mut mirrors = Vec::new();
    for line in curls {
        let out = shell(folder.path(), line);
        if line.contains("curl -sI") || line.contains("' -sI") {
            assert!(out.starts_with("HTTP/1.1 302"), "{line}: {out}");
            mirrors.push(header(&out, "waypost-mirror").to_owned());
        } else if line.contains("sha256sum") {
            assert!(out.contains(": OK"), "{out}");
        }
    }
    // Utrecht, New York, Tokyo, São Paulo; the next one; and not the corrupt copy.
    assert_eq!(mirrors, ["ams", "iad", "sin", "iad", "fra", "fra"]);

    let told: Vec<String> = operator.iter().map(|line| shell(folder.path(), line)).collect();
    assert!(told[0].contains("excluded: holds no verified copy"), "{}", told[0]);
    assert!(told[1].contains("numbers.csv: wrong_digest"), "{}", told[1]);
    assert!(told[2].contains("drained") && told[3].contains("stable"), "{told:?}");

    let url = format!("{}/waypost/stable/numbers.csv", ready.split(' ').nth(1).unwrap());
    assert_eq!(shell(folder.path(), &format!("curl -sL -r 2-7 {url}")), "square");
    assert!(shell(folder.path(), &format!("curl -sIL {url}")).contains("content-length: 7052"));

    demo.signal("INT");
    assert_eq!(demo.exit_code(), 0);
    assert_eq!(std::fs::read_dir(&temporary).unwrap().count(), 0, "it leaves nothing behind");
}

#[test]
fn a_demo_that_is_stopped_before_it_is_ready_cleans_up_too() {
    let folder = tempfile::tempdir().unwrap();
    let temporary = [("TMPDIR", folder.path())];
    let mut demo = Process::start_with(folder.path(), &["demo"], &temporary);
    demo.line(&["making an origin"]);
    demo.signal("TERM");
    assert_eq!(demo.exit_code(), 0);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}
