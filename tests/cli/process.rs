//! A `waypost` that runs, and what it prints.

#![allow(dead_code)]

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

/// Far beyond anything that a test waits for.
const PATIENCE: Duration = Duration::from_secs(120);

/// Killed when it is dropped.
pub struct Process {
    child: Child,
    lines: Receiver<String>,
    seen: Vec<String>,
}

impl Process {
    pub fn start(folder: &Path, args: &[&str]) -> Self {
        Self::start_with(folder, args, &[])
    }

    pub fn start_with(folder: &Path, args: &[&str], variables: &[(&str, &Path)]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_waypost"));
        command.args(args).current_dir(folder).env_remove("RUST_LOG").envs(variables.iter().copied());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (sender, lines) = channel();
        forward(child.stdout.take().unwrap(), sender.clone());
        forward(child.stderr.take().unwrap(), sender);
        Self { child, lines, seen: Vec::new() }
    }

    /// The next line, of either stream, that holds all of `parts`.
    pub fn line(&mut self, parts: &[&str]) -> String {
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) => self.seen.push(line.clone()),
                Err(error) => panic!("no line with {parts:?} ({error}): {:#?}", self.seen),
            }
            let last = self.seen.last().unwrap();
            if parts.iter().all(|part| last.contains(part)) {
                return last.clone();
            }
        }
    }

    /// All lines up to the one that holds `part`, from where reading stands.
    pub fn lines_until(&mut self, part: &str) -> Vec<String> {
        let begin = self.seen.len();
        self.line(&[part]);
        self.seen[begin..].to_vec()
    }

    /// Everything that it has printed and that was read.
    pub fn said(&self) -> &[String] {
        &self.seen
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal such as `INT`.
    pub fn signal(&self, name: &str) {
        // The shell's own `kill`: the program is not part of a bare Debian.
        let kill = format!("kill -s {name} {}", self.child.id());
        let sent = Command::new("sh").args(["-c", &kill]).status();
        assert!(sent.unwrap().success());
    }

    /// The exit code, once both streams have ended.
    pub fn exit_code(&mut self) -> i32 {
        self.ended().code().unwrap()
    }

    /// Waits until both streams have ended, and it has.
    pub fn ended(&mut self) -> ExitStatus {
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) => self.seen.push(line),
                Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => break,
                Err(error) => panic!("it does not end ({error}): {:#?}", self.seen),
            }
        }
        self.child.wait().unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn forward(stream: impl Read + Send + 'static, to: Sender<String>) {
    thread::spawn(move || {
        for line in BufReader::new(stream).lines() {
            let Ok(line) = line else { break };
            if to.send(line).is_err() {
                break;
            }
        }
    });
}
