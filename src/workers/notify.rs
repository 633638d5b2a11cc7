//! Tells whoever feeds a mirror that there is something to fetch: by a webhook or a command, never both, and one message
//! at a time for each mirror.

use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method};
use serde_json::json;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader};
use tokio::process::Command;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use url::Url;

use crate::config::Notify;
use crate::fetch::{Fetcher, Pace, Payload, Sending};
use crate::metrics::Metrics;
use crate::model::MirrorName;

use super::handle::Handle;
use super::replication::Needed;

/// Between two messages to the same mirror.
const QUIET: Duration = Duration::from_secs(30);
/// Between two looks at what a mirror lacks, while much changes.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// After a message that failed; doubles up to the longest.
const RETRY_FIRST: Duration = Duration::from_secs(1);
const RETRY_MAX: Duration = Duration::from_secs(600);
/// How long a webhook may take to answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// How long a command may run.
const RUN_MAX: Duration = Duration::from_secs(3600);
/// Longest line of a command's output that is logged, in bytes.
const LINE_MAX: u64 = 2000;

/// One mirror's messenger. What it has said is forgotten with it: a service that starts says it again.
pub struct Notifier {
    /// Which mirror.
    pub mirror: MirrorName,
    /// Whom to tell.
    pub notify: Notify,
    /// Makes the requests.
    pub fetcher: Fetcher,
    /// Knows what the mirror lacks.
    pub handle: Handle,
    /// Told after every publication.
    pub changed: watch::Receiver<()>,
    /// Where counts go.
    pub metrics: Arc<Metrics>,
}

impl Notifier {
    /// Tells until the mirror leaves the configuration or the writer stops.
    pub async fn run(mut self) {
        let mut told = Needed::default();
        let mut retry = RETRY_FIRST;
        loop {
            // Marked as seen before the question, so that what comes after the answer is not missed.
            self.changed.borrow_and_update();
            let Some(needed) = self.handle.needed(&self.mirror).await else { return };
            if needed.files == 0 || needed == told {
                told = needed;
                sleep(LOOK_EVERY).await;
                if self.changed.changed().await.is_err() {
                    return;
                }
                continue;
            }
            let outcome = self.tell(needed).await;
            let label = if outcome.is_ok() { "told" } else { "failed" };
            self.metrics.replication.notifications.with_label_values(&[self.mirror.as_str(), label]).inc();
            let Needed { files, bytes, .. } = needed;
            match outcome {
                Ok(()) => {
                    tracing::info!(mirror = %self.mirror, files, bytes, "whoever feeds a mirror was told what it lacks");
                    (told, retry) = (needed, RETRY_FIRST);
                    sleep(QUIET).await;
                }
                Err(why) => {
                    tracing::warn!(mirror = %self.mirror, files, bytes, why, again_in = ?retry, "whoever feeds a mirror could not be told what it lacks");
                    sleep(retry).await;
                    retry = retry.saturating_mul(2).min(RETRY_MAX);
                }
            }
        }
    }

    async fn tell(&self, needed: Needed) -> Result<(), String> {
        match &self.notify {
            Notify::Webhook(url) => self.post(url, needed).await,
            Notify::Command(words) => self.command(words, needed).await,
        }
    }

    // The URL may hold a secret, so it is not part of what is logged.
    async fn post(&self, url: &Url, needed: Needed) -> Result<(), String> {
        let body = json!({ "mirror": self.mirror, "files": needed.files, "bytes": needed.bytes });
        let message = Sending {
            method: Method::POST,
            url,
            headers: &[(CONTENT_TYPE, HeaderValue::from_static("application/json"))],
            payload: Payload::Bytes(body.to_string().into()),
            pace: &Pace::unlimited(),
            patience: ANSWER_WITHIN,
        };
        match self.fetcher.send(&message).await {
            Ok(answer) if answer.status.is_success() => Ok(()),
            Ok(answer) => Err(format!("the webhook answered {}", answer.status.as_u16())),
            Err(failure) => Err(format!("the webhook cannot be reached: {}", failure.fault)),
        }
    }

    async fn command(&self, words: &[String], needed: Needed) -> Result<(), String> {
        let (program, arguments) = words.split_first().ok_or("the command is empty")?;
        let mut child = Command::new(program)
            .args(arguments)
            .env("WAYPOST_MIRROR", self.mirror.as_str())
            .env("WAYPOST_FILES", needed.files.to_string())
            .env("WAYPOST_BYTES", needed.bytes.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| format!("{program} cannot be started: {error}"))?;
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let listen = async { tokio::join!(self.log(stdout), self.log(stderr)) };
        let running = async {
            // Something that it left running in the background may keep the output open: its own end counts.
            tokio::pin!(listen);
            let mut speaks = true;
            loop {
                tokio::select! {
                    ended = child.wait() => {
                        if speaks {
                            let _ = timeout(LOOK_EVERY, listen).await;
                        }
                        return ended;
                    }
                    _ = &mut listen, if speaks => speaks = false,
                }
            }
        };
        match timeout(RUN_MAX, running).await {
            Ok(Ok(status)) => success(program, status),
            Ok(Err(error)) => Err(format!("{program}: {error}")),
            Err(_) => Err(format!("{program} did not end within {} s and is killed", RUN_MAX.as_secs())),
        }
    }

    /// Logs what a command says, line by line, until it closes its output.
    async fn log(&self, output: Option<impl AsyncRead + Unpin>) {
        let Some(output) = output else { return };
        let mut output = BufReader::new(output);
        let mut line = Vec::new();
        while let Ok(1..) = (&mut output).take(LINE_MAX).read_until(b'\n', &mut line).await {
            let said = String::from_utf8_lossy(&line);
            tracing::debug!(mirror = %self.mirror, said = said.trim_end(), "a notified command says");
            line.clear();
        }
    }
}

fn success(program: &str, status: ExitStatus) -> Result<(), String> {
    if status.success() { Ok(()) } else { Err(format!("{program} ended with {status}")) }
}
