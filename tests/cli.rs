//! The command line's promises, with the real binary: exit codes, messages that say what to do, and a service that does
//! what its signals tell.
#![allow(clippy::unwrap_used, missing_docs)]

#[path = "cli/check.rs"]
mod check;
#[path = "cli/commands.rs"]
mod commands;
#[path = "cli/demo.rs"]
mod demo;
#[path = "support/disk.rs"]
mod disk;
#[path = "cli/documents.rs"]
mod documents;
#[path = "cli/help.rs"]
mod help;
#[path = "cli/process.rs"]
mod process;
#[path = "cli/serve.rs"]
mod serve;
#[path = "cli/token.rs"]
mod token;

use std::fs;
use std::path::Path;
use std::process::Command;

/// What a command printed, and its exit code.
#[derive(Debug)]
struct Ran {
    code: i32,
    out: String,
    err: String,
}

/// Runs `waypost` in `folder` to its end.
fn waypost_in(folder: &Path, args: &[&str]) -> Ran {
    let run = Command::new(env!("CARGO_BIN_EXE_waypost")).args(args).current_dir(folder).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ran { code: run.status.code().unwrap(), out: text(run.stdout), err: text(run.stderr) }
}

fn waypost(args: &[&str]) -> Ran {
    waypost_in(Path::new("/"), args)
}

/// A folder with an origin of one release, and `waypost.toml`, whose `[server]` has `more`.
fn site(more: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("dist")).unwrap();
    fs::write(folder.path().join("dist/tool_linux_amd64.tar.gz"), "x".repeat(1000)).unwrap();
    let create =
        ["manifest", "create", "dist", "--origin", "origin", "--product", "tool", "--version", "1.8.2"];
    let created = waypost_in(folder.path(), &[&create[..], &["--channel", "stable"]].concat());
    assert_eq!(created.code, 0, "{created:?}");
    fs::write(folder.path().join("waypost.toml"), config(more)).unwrap();
    folder
}

fn config(more: &str) -> String {
    format!(
        "[server]\nlisten = [\"127.0.0.1:0\"]\nadmin = \"127.0.0.1:0\"\nstate = \"state\"\n{more}\n\
         [origin]\nurl = \"origin\"\n\
         [[mirror]]\nname = \"fra\"\nurl = \"http://127.0.0.1:9/\"\n\
         [[mirror]]\nname = \"iad\"\nurl = \"http://127.0.0.1:9/\"\n"
    )
}

#[test]
fn help_and_version_are_answers_and_wrong_usage_is_2() {
    for args in [&["--help"][..], &["help", "serve"], &["mirror", "drain", "--help"], &["--version"]] {
        let ran = waypost(args);
        assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{args:?}");
    }
    assert_eq!(waypost(&["--version"]).out, format!("waypost {}\n", env!("CARGO_PKG_VERSION")));
    for command in ["serve", "check", "demo", "explain", "manifest", "release", "mirror"] {
        assert!(waypost(&["--help"]).out.contains(command), "{command}");
    }
    for args in [
        &[][..],
        &["mirror"],
        &["serv"],
        &["serve", "--confg", "x"],
        &["explain", "/tool/stable/x"],
        &["explain", "/tool/stable/x", "--from", "nowhere"],
        &["mirror", "drain"],
        &["release", "show", "tool", "stable"],
        &["mirror", "list", "--config", "x", "--admin", "http://127.0.0.1:9"],
        &["mirror", "list", "--admin", "ftp://127.0.0.1:9"],
        &["mirror", "drain", "fra", "--admin", "http://127.0.0.1:9"],
    ] {
        let ran = waypost(args);
        assert_eq!((ran.code, ran.out.as_str()), (2, ""), "{args:?}: {ran:?}");
        assert!(!ran.err.is_empty(), "{args:?}");
    }
}

#[test]
fn without_a_configuration_the_message_says_how_to_name_one() {
    let folder = tempfile::tempdir().unwrap();
    for args in [&["serve"][..], &["check"], &["mirror", "list"]] {
        let ran = waypost_in(folder.path(), args);
        assert_eq!(ran.code, 2, "{ran:?}");
        // Where the machine has one in /etc, that is what was read.
        assert!(ran.err.contains("--config FILE") || Path::new("/etc/waypost/waypost.toml").exists());
    }
    let ran = waypost(&["serve", "--config", "/nowhere/waypost.toml"]);
    assert_eq!(ran.code, 2);
    assert!(ran.err.contains("/nowhere/waypost.toml"), "{ran:?}");
}

#[test]
fn without_a_service_every_question_is_3_and_says_what_to_do() {
    let site = site("");
    for args in [
        &["mirror", "list"][..],
        &["mirror", "show", "fra", "--json"],
        &["mirror", "drain", "fra", "--reason", "why"],
        &["origin", "poll"],
        &["origin", "accept", "--reason", "why"],
        &["release", "list"],
        &["release", "show", "tool"],
        &["release", "show", "tool", "1.8.2"],
        &["release", "gate", "tool", "1.8.2"],
        &["explain", "/tool/stable/x", "--from", "203.0.113.5"],
    ] {
        let ran = waypost_in(site.path(), args);
        assert_eq!((ran.code, ran.out.as_str()), (3, ""), "{args:?}: {ran:?}");
        assert!(ran.err.contains("admin.sock") && ran.err.contains("waypost serve"), "{ran:?}");
    }
    // Nobody listens on port 1 of a loopback address that nobody uses.
    let ran = waypost(&["mirror", "list", "--admin", "http://127.87.1.1:1"]);
    assert_eq!(ran.code, 3, "{ran:?}");
    assert!(ran.err.contains("127.87.1.1"), "{ran:?}");
}
