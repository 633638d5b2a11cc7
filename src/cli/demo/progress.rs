//! Waits until the demonstration's mirrors are verified, and tells how far they are.

use std::time::Duration;

use serde::Deserialize;

use super::scenery::{FILES, MIRRORS, PRODUCT, VERSION};
use crate::cli::admin_client::AdminClient;
use crate::cli::outcome::{CliError, print};

/// How often it looks.
const LOOK_EVERY: Duration = Duration::from_millis(100);

#[derive(Debug, Deserialize)]
struct Mirrors {
    mirrors: Vec<Mirror>,
}

#[derive(Debug, Deserialize)]
struct Mirror {
    healthy: bool,
    copies: Option<Copies>,
}

#[derive(Debug, Default, Deserialize)]
struct Copies {
    verified: usize,
    corrupt: usize,
}

#[derive(Debug, Deserialize)]
struct Releases {
    channels: Vec<Channel>,
}

#[derive(Debug, Deserialize)]
struct Channel {
    version: String,
}

#[derive(Debug, Deserialize)]
struct Explanation {
    location: Option<String>,
}

/// Where things are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Progress {
    healthy: usize,
    verified: usize,
    corrupt: usize,
    /// The channel points to the newest release, and requests are answered so.
    served: bool,
}

impl Progress {
    /// Everything is verified but the one copy that cannot be.
    fn is_done(&self) -> bool {
        let copies = MIRRORS.len() * FILES * 2;
        self.healthy == MIRRORS.len() && self.corrupt == 1 && self.verified + 1 == copies && self.served
    }
}

/// Returns when all is verified that can be, and the corrupt copy was found. A service that does not answer is about to
/// stop, which others notice.
pub async fn until_verified(client: &AdminClient) {
    let mut told = Progress::default();
    loop {
        let now = look(client).await.unwrap_or(told);
        if now != told {
            let Progress { healthy, verified, corrupt, .. } = now;
            let (mirrors, copies) = (MIRRORS.len(), MIRRORS.len() * FILES * 2);
            print(format!(
                "{healthy} of {mirrors} mirrors answer, {verified} of {copies} copies verified, {corrupt} corrupt"
            ));
            told = now;
        }
        if now.is_done() {
            return;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

async fn look(client: &AdminClient) -> Result<Progress, CliError> {
    let mut progress = Progress::default();
    let mirrors: Mirrors = client.get("/v1/mirrors").await?.read()?;
    for mirror in mirrors.mirrors {
        let copies = mirror.copies.unwrap_or_default();
        progress.healthy += usize::from(mirror.healthy);
        progress.verified += copies.verified;
        progress.corrupt += copies.corrupt;
    }
    let releases: Releases = client.get("/v1/releases").await?.read()?;
    if releases.channels.iter().any(|channel| channel.version == VERSION) {
        let asked = format!("/v1/explain?path=/{PRODUCT}/stable/README.txt&ip=192.0.2.10");
        progress.served = client.get(&asked).await?.read::<Explanation>()?.location.is_some();
    }
    Ok(progress)
}
