//! `waypost replicate`: what a mirror should hold, whole or not at all, whatever happens on the way. The real binary, nginx
//! as an origin, and an S3 server that checks signatures.
#![allow(clippy::unwrap_used, missing_docs)]

#[path = "replicate/delete.rs"]
mod delete;
#[path = "support/disk.rs"]
mod disk;
#[path = "replicate/folder.rs"]
mod folder;
#[path = "replicate/interrupted.rs"]
mod interrupted;
#[path = "support/nginx.rs"]
mod nginx;
#[path = "support/process.rs"]
mod process;
#[path = "replicate/s3.rs"]
mod s3;
#[path = "support/s3_server.rs"]
mod s3_server;
#[path = "replicate/service.rs"]
mod service;
#[path = "support/site.rs"]
mod site;

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tempfile::TempDir;

use process::{Ended, run};

const WAYPOST: &str = env!("CARGO_BIN_EXE_waypost");

/// Bytes that look like nothing in particular.
fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    std::iter::repeat_with(next).flatten().take(length).collect()
}

/// A folder with an origin and a target in it.
struct Place {
    folder: TempDir,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("origin")).unwrap();
        Self { folder }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn origin(&self) -> PathBuf {
        self.path().join("origin")
    }

    fn target(&self, path: &str) -> PathBuf {
        self.path().join("target").join(path)
    }

    /// Publishes a release at the origin.
    async fn publish(&self, product: &str, version: &str, files: &[(&str, Vec<u8>)]) {
        let dist = tempfile::tempdir().unwrap();
        for (name, bytes) in files {
            let path = dist.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
        let dist = dist.path().to_str().unwrap();
        let origin = self.origin();
        let args = ["manifest", "create", dist, "--origin", origin.to_str().unwrap(), "--product", product];
        let args = [&args[..], &["--version", version, "--channel", "stable"]].concat();
        run(WAYPOST, &args, self.path()).await.ok();
    }

    /// Runs `waypost replicate`.
    async fn replicate(&self, args: &[&str]) -> Ended {
        run(WAYPOST, &[&["replicate"], args].concat(), self.path()).await
    }

    /// Replicates from the origin's folder to the target; the summary.
    async fn copy(&self, args: &[&str]) -> Value {
        summary(self.replicate(&[&["--origin", "origin", "--to", "target", "--json"], args].concat()).await)
    }

    /// The same where it does not go well: the exit code and the summary.
    async fn copy_badly(&self, args: &[&str]) -> (i32, Value) {
        let args = [&["--origin", "origin", "--to", "target", "--json"], args].concat();
        let ended = self.replicate(&args).await;
        let text = serde_json::from_str(&ended.stdout).unwrap_or_else(|_| panic!("{ended:#?}"));
        (ended.failed().0, text)
    }

    /// Whether the target has exactly the bytes that the origin has.
    fn has(&self, path: &str) -> bool {
        fs::read(self.target(path)).is_ok_and(|bytes| bytes == fs::read(self.origin().join(path)).unwrap())
    }
}

fn summary(ended: Ended) -> Value {
    assert!(ended.status.success(), "{ended:#?}");
    serde_json::from_str(&ended.stdout).unwrap_or_else(|_| panic!("{ended:#?}"))
}

/// How many there are of a summary's `copied`, `removed` or `failed`.
fn count(summary: &Value, key: &str) -> usize {
    summary[key].as_array().unwrap_or_else(|| panic!("{key} in {summary}")).len()
}

/// Why a file failed, as the summary says.
fn reason<'a>(summary: &'a Value, path: &str) -> &'a str {
    let failed = summary["failed"].as_array().unwrap().iter().find(|failed| failed["path"] == path);
    failed.unwrap_or_else(|| panic!("{path} did not fail: {summary:#}"))["reason"].as_str().unwrap()
}

/// Every file below a folder, the replicator's own left out.
fn files(folder: &Path) -> Vec<String> {
    fn walk(root: &Path, folder: &Path, found: &mut Vec<String>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.file_name().unwrap() == ".waypost-replicate" {
            } else if path.is_dir() {
                walk(root, &path, found);
            } else {
                found.push(path.strip_prefix(root).unwrap().to_str().unwrap().to_owned());
            }
        }
    }
    let mut found = Vec::new();
    if folder.exists() {
        walk(folder, folder, &mut found);
    }
    found.sort();
    found
}
