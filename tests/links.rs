//! Signed links are those that the vendors' libraries sign, and real servers that check them take them and nothing else.
#![allow(clippy::unwrap_used, missing_docs)]

#[path = "links/fetched.rs"]
mod fetched;
#[path = "links/libraries.rs"]
mod libraries;
#[path = "support/nginx.rs"]
mod nginx;
#[path = "support/process.rs"]
mod process;
#[path = "support/python.rs"]
mod python;
#[path = "links/redirect.rs"]
mod redirect;
#[path = "links/refusals.rs"]
mod refusals;
#[path = "links/remembered.rs"]
mod remembered;
#[path = "links/s3.rs"]
mod s3;
#[path = "support/s3_server.rs"]
mod s3_server;
#[path = "links/secure_link.rs"]
mod secure_link;
#[path = "support/world.rs"]
mod world;

use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;
use waypost::config::{Sign, SignKind};
use waypost::links::{LinkFor, LinkMethod, Signer};
use waypost::model::{Clock, SystemClock, Timestamp};

/// A multiple of every step, so that periods begin with it.
const NOW: u64 = 1_792_000_020;
/// Until when a link with the ttl of [`signer`] is good that is signed then.
const UNTIL: u64 = NOW + 300 + 30;

const KEY: &str = "a/secret+that=nobody";

/// Names that schemes write in different ways.
const NAMES: [&str; 4] =
    ["tool/1.8.2/tool_linux_amd64.tar.gz", "a b/1.0+build~5/x@y:z=w,v!.txt", "ü/1/100%.txt", "p/1/$&'()*;[]"];

fn signer(kind: SignKind, bind_network: bool) -> Signer {
    Signer::load(&Sign { kind, ttl: Duration::from_secs(300), bind_network }).unwrap()
}

/// The URL, signed for a client at [`NOW`].
fn signed(signer: &Signer, url: &str, method: LinkMethod, client: Option<&str>) -> String {
    let now = Timestamp::from_millis(NOW as i64 * 1000 + 500);
    signed_at(signer, url, method, client, now)
}

fn signed_at(signer: &Signer, url: &str, method: LinkMethod, client: Option<&str>, now: Timestamp) -> String {
    let client = client.map(|client| client.parse::<IpAddr>().unwrap());
    // Something stands before it, as in a header line.
    let mut out = b"<".to_vec();
    out.extend_from_slice(url.as_bytes());
    signer.sign(&mut out, 1, &LinkFor { method, client, now });
    String::from_utf8(out.split_off(1)).unwrap()
}

fn now() -> Timestamp {
    SystemClock.now()
}

/// Longer ago than any link of [`signer`] is good.
fn long_ago() -> Timestamp {
    Timestamp::from_millis(now().as_millis() - 400_000)
}

/// A folder for secrets.
struct Secrets(TempDir);

impl Secrets {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// A file as an editor leaves it, with a newline at its end.
    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path().join(name);
        fs::write(&path, format!("{text}\n")).unwrap();
        path
    }
}
