//! The program, run against a site.

#![allow(dead_code, missing_docs, clippy::unwrap_used)]

use std::path::Path;
use std::process::Stdio;

use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStderr, Command};
use tokio::time::timeout;

use super::site::{PATIENCE, Site};

/// What a command printed, and its exit code.
#[derive(Debug)]
pub struct Ran {
    pub code: i32,
    pub out: String,
    pub err: String,
}

fn command(site: &Site, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_waypost"));
    command.args(args).arg("--config").arg(site.config_file()).env_remove("RUST_LOG");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs `waypost` over the site's socket to its end.
pub async fn waypost(site: &Site, args: &[&str]) -> Ran {
    ended(command(site, args)).await
}

/// Runs `waypost` over the site's admin listener to its end, with the token in a file, and with this in its standard input.
pub async fn waypost_from_elsewhere(site: &Site, token_file: &Path, input: &Path, args: &[&str]) -> Ran {
    let mut command = Command::new(env!("CARGO_BIN_EXE_waypost"));
    command.args(args).arg("--admin").arg(format!("http://{}", site.admin_address()));
    command.arg("--token-file").arg(token_file).env_remove("RUST_LOG");
    command.stdin(std::fs::File::open(input).unwrap()).stdout(Stdio::piped()).stderr(Stdio::piped());
    ended(command).await
}

async fn ended(mut command: Command) -> Ran {
    let run = command.kill_on_drop(true).spawn().unwrap();
    let output = timeout(PATIENCE * 3, run.wait_with_output()).await.expect("it ends").unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ran { code: output.status.code().unwrap(), out: text(output.stdout), err: text(output.stderr) }
}

/// `waypost` while it runs.
pub struct Running {
    child: Child,
    err: Lines<BufReader<ChildStderr>>,
    seen: Vec<String>,
}

impl Running {
    pub fn start(site: &Site, args: &[&str]) -> Self {
        let mut child = command(site, args).kill_on_drop(true).spawn().unwrap();
        let err = BufReader::new(child.stderr.take().unwrap()).lines();
        Self { child, err, seen: Vec::new() }
    }

    /// The next line on standard error that holds this.
    pub async fn says(&mut self, part: &str) -> String {
        loop {
            let line = timeout(PATIENCE, self.err.next_line()).await;
            let line = line.unwrap_or_else(|_| panic!("no line with {part:?}: {:#?}", self.seen)).unwrap();
            let line = line.unwrap_or_else(|| panic!("it ended without {part:?}: {:#?}", self.seen));
            self.seen.push(line.clone());
            if line.contains(part) {
                return line;
            }
        }
    }

    pub async fn ends(mut self) -> Ran {
        while let Ok(Ok(Some(line))) = timeout(PATIENCE, self.err.next_line()).await {
            self.seen.push(line);
        }
        let output = timeout(PATIENCE, self.child.wait_with_output()).await.expect("it ends").unwrap();
        let out = String::from_utf8(output.stdout).unwrap();
        Ran { code: output.status.code().unwrap(), out, err: self.seen.join("\n") }
    }
}
