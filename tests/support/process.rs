//! Programs from Debian, run as a user would, each with a bound on its time.

#![allow(dead_code, missing_docs, clippy::unwrap_used)]

use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::process::{Child, Command};
use tokio::time::{interval, timeout};

/// Far beyond anything that a test waits for.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Debian's own programs first, whatever else an account has.
fn path() -> String {
    format!("/usr/bin:/bin:/usr/sbin:/sbin:{}", std::env::var("PATH").unwrap_or_default())
}

/// A program that works in `folder`, with nobody's settings and no proxy.
pub fn command(program: &str, folder: &Path) -> Command {
    let mut command = Command::new(program);
    command.env_clear().env("PATH", path()).env("HOME", folder).env("LC_ALL", "C.UTF-8");
    command.current_dir(folder).stdin(Stdio::null()).kill_on_drop(true);
    command
}

pub fn spawn(command: &mut Command) -> Child {
    command.spawn().unwrap_or_else(|error| {
        let program = command.as_std().get_program().to_string_lossy().into_owned();
        match error.kind() {
            ErrorKind::NotFound => panic!("{program} is missing: run tests/run, which installs it"),
            _ => panic!("{program}: {error}"),
        }
    })
}

/// What a program said and how it ended.
#[derive(Debug)]
pub struct Ended {
    pub status: ExitStatus,
    pub stdout: String,
    pub stderr: String,
}

impl Ended {
    /// What it printed; the test fails where the program did.
    pub fn ok(self) -> String {
        assert!(self.status.success(), "{self:#?}");
        self.stdout
    }

    /// The exit code; the test fails where the program succeeded.
    pub fn failed(self) -> (i32, String) {
        assert!(!self.status.success(), "{self:#?}");
        (self.status.code().unwrap_or(-1), self.stdout + &self.stderr)
    }
}

/// Runs a program to its end.
pub async fn run(program: &str, arguments: &[&str], folder: &Path) -> Ended {
    let mut command = command(program, folder);
    let child = spawn(command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()));
    let output = timeout(PATIENCE, child.wait_with_output()).await;
    let output = output.unwrap_or_else(|_| panic!("{program} {arguments:?} does not end")).unwrap();
    let [stdout, stderr] = [output.stdout, output.stderr].map(|o| String::from_utf8_lossy(&o).into_owned());
    Ended { status: output.status, stdout, stderr }
}

/// How a program is interrupted.
#[derive(Debug, Clone, Copy)]
pub enum By {
    /// As by Ctrl-C.
    Interrupt,
    /// As by a power cut.
    Kill,
}

/// Runs a program until it has written `bytes` of `file`, and then no longer.
pub async fn interrupt(by: By, program: &str, arguments: &[&str], folder: &Path, file: &str, bytes: u64) {
    let mut child = start(program, arguments, folder);
    let file: PathBuf = folder.join(file);
    until(&format!("{program} writes {}", file.display()), async || {
        assert!(child.try_wait().unwrap().is_none(), "{program} ended before it was interrupted");
        written(&file) >= bytes
    })
    .await;
    match by {
        By::Interrupt => {
            let id = child.id().expect("it runs").to_string();
            run("sh", &["-c", &format!("kill -s INT {id}")], folder).await.ok();
            timeout(PATIENCE, child.wait()).await.expect("it ends").unwrap();
        }
        By::Kill => child.kill().await.unwrap(),
    }
}

/// Starts a program whose words nobody needs.
pub fn start(program: &str, arguments: &[&str], folder: &Path) -> Child {
    let mut command = command(program, folder);
    spawn(command.args(arguments).stdout(Stdio::null()).stderr(Stdio::null()))
}

/// Bytes that are there; a file that was enlarged ahead of its contents has fewer than its length says.
pub fn written(file: &Path) -> u64 {
    std::fs::metadata(file).map_or(0, |about| about.blocks() * 512)
}

/// Looks again and again until it is so.
pub async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let looking = async {
        let mut beat = interval(Duration::from_millis(20));
        loop {
            beat.tick().await;
            if is_so().await {
                return;
            }
        }
    };
    timeout(PATIENCE, looking).await.unwrap_or_else(|_| panic!("waited in vain until {what}"));
}
