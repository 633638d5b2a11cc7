//! `waypost token`: what is minted is what the service believes, and secrets stay where they are.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use super::{Ran, config, site, waypost_in};

const SECRET: &str = "correct horse battery staple, 32+";

const TABLES: &str = r#"
[[region]]
name = "eu"
[[product]]
name = "agent"
access = "entitled"
[[issuer]]
name = "customers"
issuer = "https://d.example"
audience = ["d.example", "e.example"]
algorithms = ["HS384", "HS256"]
secret_file = "secret"
[[issuer]]
name = "ci"
preset = "github"
audience = "d.example"
[[entitlement]]
issuer = "customers"
when = { plan = "gold", "org.groups" = "beta" }
allow = { product = "agent", channels = "stable", versions = ">=1.0", regions = "eu", assets = 3 }
"#;

/// A folder with a configuration that has a shared-secret issuer and one with keys elsewhere.
fn folder() -> tempfile::TempDir {
    let folder = site("");
    fs::write(folder.path().join("waypost.toml"), config("") + TABLES).unwrap();
    fs::write(folder.path().join("secret"), format!("{SECRET}\n")).unwrap();
    folder
}

/// Runs `waypost` with this on standard input.
fn with_input(folder: &Path, args: &[&str], input: &str) -> Ran {
    let mut command = Command::new(env!("CARGO_BIN_EXE_waypost"));
    command.args(args).current_dir(folder);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // Whoever does not read it may have ended before it is written.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let run = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ran { code: run.status.code().unwrap(), out: text(run.stdout), err: text(run.stderr) }
}

fn inspected(folder: &Path, token: &str) -> (i32, Value) {
    let ran = with_input(folder, &["token", "inspect", "--config", "waypost.toml", "--json"], token);
    (ran.code, serde_json::from_str(&ran.out).unwrap_or_else(|_| panic!("{ran:?}")))
}

const MINT: [&str; 4] = ["token", "mint", "--issuer", "customers"];
const GOLD: [&str; 4] = ["--claim", "plan=gold", "--claim", "org={\"groups\": [\"beta\", \"eu\"]}"];

#[test]
fn what_is_minted_is_believed_and_says_what_was_asked_for() {
    let folder = folder();
    let more = ["--subject", "acme", "--audience", "e.example", "--claim", "n=7", "--ttl", "2h"];
    let minted = waypost_in(folder.path(), &[&MINT[..], &GOLD, &more].concat());
    assert_eq!(minted.code, 0, "{minted:?}");
    assert_eq!(minted.out.lines().count(), 1, "standard output has the token alone: {minted:?}");
    assert!(minted.err.contains("good for 2 h") && !minted.err.contains("warning"), "{minted:?}");
    let (code, told) = inspected(folder.path(), &minted.out);
    assert_eq!((code, &told["header"]["alg"]), (0, &json!("HS384")), "{told}");
    let claims = &told["claims"];
    for (claim, value) in [
        ("iss", json!("https://d.example")),
        ("aud", json!("e.example")),
        ("sub", json!("acme")),
        ("plan", json!("gold")),
        ("n", json!(7)),
        ("org", json!({ "groups": ["beta", "eu"] })),
    ] {
        assert_eq!(claims[claim], value, "{claim}");
    }
    let number = |claim: &str| claims[claim].as_i64().unwrap();
    assert_eq!((number("exp") - number("iat"), number("nbf")), (7200, number("iat")));
    let verdict = &told["verdict"];
    assert_eq!((&verdict["believed"], &verdict["issuer"]), (&json!(true), &json!("customers")));
    assert_eq!(verdict["token_id"], claims["jti"]);
    assert_eq!(
        verdict["rules"],
        json!(["agent, channels stable, versions >=1.0, regions eu, at most 3 files"])
    );
    let again = waypost_in(folder.path(), &[&MINT[..], &GOLD].concat());
    assert_ne!(inspected(folder.path(), &again.out).1["claims"]["jti"], claims["jti"]);
}

#[test]
fn a_page_tells_moments_in_words_and_what_was_not_verified() {
    let folder = folder();
    let minted = waypost_in(folder.path(), &[&MINT[..], &["--json", "--ttl", "1d"]].concat());
    assert!(minted.err.contains("no [[entitlement]] fits it"), "{minted:?}");
    let token: Value = serde_json::from_str(&minted.out).unwrap();
    let token = token["token"].as_str().unwrap();
    for (args, parts) in [
        (&["token", "inspect"][..], &["Nothing of this was verified", "in 2"][..]),
        (&["token", "inspect", "-", "--config", "waypost.toml"], &["believed  yes", "gives     nothing"]),
    ] {
        let ran = with_input(folder.path(), args, &format!("{token}\r\n"));
        assert_eq!(ran.code, 0, "{ran:?}");
        for part in parts {
            assert!(ran.out.contains(part), "{part}: {ran:?}");
        }
        assert!(!ran.out.contains(token), "{ran:?}");
    }
    let ran = waypost_in(folder.path(), &["token", "inspect", token]);
    assert_eq!(ran.code, 0, "{ran:?}");
}

#[test]
fn what_cannot_be_minted_is_2_with_what_to_do() {
    let folder = folder();
    fs::write(folder.path().join("short.toml"), (config("") + TABLES).replace("\"secret\"", "\"short\""))
        .unwrap();
    fs::write(folder.path().join("short"), "hunter2\n").unwrap();
    let own = |more: &[&'static str]| [&MINT[..], more].concat();
    for (args, part) in [
        (vec!["token", "mint", "--issuer", "nobody"], "there are: customers, ci"),
        (vec!["token", "mint", "--issuer", "ci"], "with a secret_file"),
        (own(&["--audience", "x.example"]), "d.example or e.example"),
        (own(&["--claim", "exp=9999999999"]), "exp is set by"),
        (own(&["--claim", "plan"]), "NAME=VALUE"),
        (own(&["--claim", "a=1", "--claim", "a=2"]), "claim a is given twice"),
        (own(&["--subject", "a", "--claim", "sub=b"]), "claim sub is given twice"),
        (own(&["--claim", "jti={}"]), "would not believe it"),
        (own(&["--ttl", "0s"]), "1s at least"),
        (own(&["--ttl", "11years"]), "ten years"),
        (own(&["--config", "short.toml"]), "shorter than 32 bytes"),
    ] {
        let ran = waypost_in(folder.path(), &args);
        assert_eq!((ran.code, ran.out.as_str()), (2, ""), "{args:?}: {ran:?}");
        assert!(ran.err.contains(part), "{args:?}: {ran:?}");
        assert!(!ran.err.contains("hunter2") && !ran.err.contains("horse"), "{ran:?}");
    }
    let long = format!("a={}", "x".repeat(9000));
    let ran = waypost_in(folder.path(), &[&MINT[..], &["--claim", &long]].concat());
    assert!(ran.code == 2 && ran.err.contains("8192 are accepted"), "{}", ran.err);
}

#[test]
fn what_is_not_believed_is_1_and_what_cannot_be_known_is_3() {
    let folder = folder();
    let minted = waypost_in(folder.path(), &[&MINT[..], &GOLD].concat()).out;
    let token = minted.trim();
    fs::write(folder.path().join("secret"), SECRET.replace("horse", "mouse")).unwrap();
    let (code, told) = inspected(folder.path(), token);
    assert_eq!((code, &told["verdict"]["denial"]), (1, &json!("bad_signature")), "{told}");
    for (input, code) in [("a.b.c", 1), ("", 2), (&"x".repeat(10_000), 2)] {
        let ran = with_input(folder.path(), &["token", "inspect"], input);
        assert_eq!((ran.code, ran.out.as_str()), (code, ""), "{ran:?}");
    }
    let part = |text: &str| data_encoding::BASE64URL_NOPAD.encode(text.as_bytes());
    let github = format!(
        "{}.{}.{}",
        part("{\"alg\":\"RS256\",\"kid\":\"k\"}"),
        part("{\"iss\":\"https://token.actions.githubusercontent.com\",\"aud\":\"d.example\",\"jti\":\"j\"}"),
        part("s")
    );
    let (code, told) = inspected(folder.path(), &github);
    assert_eq!((code, &told["verdict"]["believed"]), (3, &Value::Null), "{told}");
    assert_eq!(told["verdict"]["issuer"], "ci");
}

#[test]
fn check_names_a_secret_that_is_too_short_and_never_what_it_holds() {
    let folder = folder();
    let more = "[tickets]\nsecret_file = \"short\"\n";
    // The keys that are fetched are nowhere.
    let tables = TABLES.replace("\"github\"", "\"github\"\njwks = \"http://127.0.0.1:1/k\"");
    fs::write(folder.path().join("waypost.toml"), config("") + &tables + more).unwrap();
    fs::write(folder.path().join("short"), "hunter2").unwrap();
    fs::remove_file(folder.path().join("secret")).unwrap();
    let ran = waypost_in(folder.path(), &["check"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    for part in ["short is shorter than 32 bytes", "secret cannot be read", "issuer or tickets", "2 problems"]
    {
        assert!(ran.err.contains(part), "{part}: {ran:?}");
    }
    assert!(ran.err.contains("no mirror signs its links or is private"), "{ran:?}");
    assert!(!ran.err.contains("hunter2"), "{ran:?}");
}
