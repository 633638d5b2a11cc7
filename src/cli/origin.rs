//! `waypost origin`: a look at the origin now, and accepting an older state of it.

use std::time::Duration;

use clap::Subcommand;
use serde::Deserialize;
use serde_json::{Value, json};

use super::outcome::{CliError, Exit, print, printable};
use super::service::{Reason, Service};

/// How long a look may take; the service gives up earlier, and says so.
const PATIENCE: Duration = Duration::from_secs(70);

/// What to do with the origin.
#[derive(Debug, Subcommand)]
pub enum OriginCommand {
    /// Has the service look at the origin now, and tells what it found; for the end of a pipeline
    #[command(after_help = "\
Exit code 0: it was read and nothing is refused; 1: it, or a manifest, is refused. What was published before stays.

Example:
  waypost origin poll && waypost release wait tool 1.8.2")]
    Poll(Service),
    /// Accepts an index with a lower sequence than was seen, such as that of an origin restored from a backup
    #[command(after_help = "\
The origin's state is then taken in as any other: releases that it does not list are retired, withdrawn ones stay withdrawn.

Examples:
  waypost origin accept --reason \"restored from last night's backup\"
  waypost origin accept --sequence 41")]
    Accept(AcceptArgs),
}

/// `waypost origin accept`
#[derive(Debug, clap::Args)]
pub struct AcceptArgs {
    /// The sequence [default: the one that the origin shows and that is refused]
    #[arg(long)]
    sequence: Option<u64>,
    #[command(flatten)]
    reason: Reason,
    #[command(flatten)]
    service: Service,
}

/// What a look found.
#[derive(Debug, Deserialize)]
struct Found {
    outcome: String,
    reason: Option<String>,
    detail: Option<String>,
    sequence: Option<u64>,
    manifests: u64,
    refused: Vec<Refused>,
}

#[derive(Debug, Deserialize)]
struct Refused {
    manifest: String,
    reason: String,
    detail: String,
}

/// Runs one of them.
///
/// # Errors
///
/// Where there is nothing to accept, the service refuses, or does not answer.
pub async fn run(command: OriginCommand) -> Result<Exit, CliError> {
    match command {
        OriginCommand::Poll(service) => poll(&service).await,
        OriginCommand::Accept(AcceptArgs { sequence, reason, service }) => {
            let told = |action: &Value| {
                let sequence = &action["sequence"];
                format!(
                    "the sequence {sequence} is accepted, and the origin is looked at now; `waypost origin poll` tells \
                     what comes of it"
                )
            };
            service.order("/v1/origin/accept", &reason, json!({ "sequence": sequence }), told).await
        }
    }
}

async fn poll(service: &Service) -> Result<Exit, CliError> {
    let answer = service.operator()?.post_patiently("/v1/origin/poll", &json!({}), PATIENCE).await?;
    let found: Found = answer.read()?;
    match service.json {
        true => print(answer.text()),
        false => print(found.page()),
    }
    Ok(if found.is_good() { Exit::Done } else { Exit::No })
}

impl Found {
    fn is_good(&self) -> bool {
        self.outcome == "ok" && self.refused.is_empty()
    }

    fn page(&self) -> String {
        let mut text = match self.outcome.as_str() {
            "ok" => format!("the origin was read: {} manifests", self.manifests),
            _ => {
                let [reason, detail] = [&self.reason, &self.detail].map(|text| text.as_deref().unwrap_or(""));
                format!(
                    "the origin is refused, and nothing changes: {}: {}",
                    printable(reason, 100),
                    printable(detail, 1000)
                )
            }
        };
        if let Some(sequence) = self.sequence {
            text += &format!("\nindex sequence {sequence}");
        }
        for Refused { manifest, reason, detail } in &self.refused {
            let [manifest, reason, detail] =
                [(manifest, 300), (reason, 100), (detail, 1000)].map(|(text, max)| printable(text, max));
            text += &format!("\nrefused: {manifest}: {reason}: {detail}");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(json: serde_json::Value) -> Found {
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn only_an_origin_that_is_believed_as_a_whole_is_good() {
        let line =
            json!({ "manifest": "tool/1.0/manifest.json", "reason": "unsigned", "detail": "no\u{1b}[2J" });
        let ok = json!({ "outcome": "ok", "reason": null, "detail": null, "sequence": 42, "manifests": 3, "refused": [] });
        assert!(found(ok.clone()).is_good());
        assert_eq!(found(ok.clone()).page(), "the origin was read: 3 manifests\nindex sequence 42");
        let mut partly = ok.clone();
        partly["refused"] = json!([line]);
        assert!(!found(partly.clone()).is_good());
        let page = found(partly).page();
        assert!(page.ends_with("refused: tool/1.0/manifest.json: unsigned: no\\u{1b}[2J"), "{page}");
        let mut back = ok;
        (back["outcome"], back["reason"]) = (json!("refused"), json!("sequence_went_back"));
        assert!(!found(back.clone()).is_good());
        assert!(found(back).page().contains("nothing changes: sequence_went_back"));
    }
}
