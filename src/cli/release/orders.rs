//! `waypost release promote|withdraw|restore`: orders about a release.

use clap::builder::NonEmptyStringValueParser;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::catalog::encode_path;
use crate::cli::channel::moved;
use crate::cli::outcome::{CliError, Exit, complain, printable};
use crate::cli::service::{Reason, Service};
use crate::model::{ChannelName, ProductName, Version};

/// Which release.
#[derive(Debug, clap::Args)]
pub struct Subject {
    /// The product
    product: ProductName,
    /// The version, with or without a leading `v`
    #[arg(value_parser = Version::parse)]
    version: Version,
}

impl Subject {
    /// Where the release is at the service.
    pub(super) fn path(&self) -> String {
        let (product, version) = (encode_path(&self.product), encode_path(self.version.as_str()));
        format!("/v1/releases/{product}/{version}")
    }

    /// The release in words.
    pub(super) fn words(&self) -> String {
        format!("{} {}", self.product, self.version)
    }

    fn target(&self, verb: &str) -> String {
        format!("{}/{verb}", self.path())
    }
}

/// `waypost release promote`
#[derive(Debug, clap::Args)]
pub struct PromoteArgs {
    #[command(flatten)]
    subject: Subject,
    /// The channel that is to point to it
    #[arg(long)]
    channel: ChannelName,
    /// Only if the channel points to this version now; `none`: only if it points nowhere
    #[arg(long, value_name = "VERSION", value_parser = expected)]
    expect: Option<Expected>,
    /// Although gating checks fail or mirrors lack it; never without a verified copy
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    reason: Reason,
    #[command(flatten)]
    service: Service,
}

/// Where a channel has to point for an order to be carried out; `None`: nowhere.
#[derive(Debug, Clone)]
pub(in crate::cli) struct Expected(pub Option<Version>);

pub(in crate::cli) fn expected(text: &str) -> Result<Expected, String> {
    match text {
        "none" => Ok(Expected(None)),
        text => {
            Version::parse(text).map(|version| Expected(Some(version))).map_err(|error| error.to_string())
        }
    }
}

/// `waypost release withdraw`
#[derive(Debug, clap::Args)]
pub struct WithdrawArgs {
    #[command(flatten)]
    subject: Subject,
    /// Why; visitors read it
    #[arg(long, value_name = "TEXT", value_parser = NonEmptyStringValueParser::new())]
    reason: String,
    /// What to take instead [default: what its channel falls back to]
    #[arg(long, value_name = "VERSION", value_parser = Version::parse)]
    replacement: Option<Version>,
    #[command(flatten)]
    service: Service,
}

/// `waypost release restore`
#[derive(Debug, clap::Args)]
pub struct RestoreArgs {
    #[command(flatten)]
    subject: Subject,
    #[command(flatten)]
    reason: Reason,
    #[command(flatten)]
    service: Service,
}

/// `waypost release promote`
///
/// # Errors
///
/// Where the service refuses or does not answer.
pub async fn promote(args: &PromoteArgs) -> Result<Exit, CliError> {
    let PromoteArgs { subject, channel, expect, force, reason, service } = args;
    let mut body = json!({ "channel": channel, "force": force });
    if let Some(Expected(version)) = expect {
        body["expected"] = json!(version);
    }
    let told = |action: &Value| moved(&subject.product, channel, action);
    service.order(&subject.target("promote"), reason, body, told).await
}

/// `waypost release withdraw`: also tells which mirrors still hold files of it.
///
/// # Errors
///
/// Where the service refuses or does not answer.
pub async fn withdraw(args: &WithdrawArgs) -> Result<Exit, CliError> {
    let WithdrawArgs { subject, reason, replacement, service } = args;
    let reason = &Reason { text: reason.clone() };
    let body = json!({ "replacement": replacement });
    let told = |_: &Value| format!("{} is withdrawn", subject.words());
    let exit = service.order(&subject.target("withdraw"), reason, body, told).await?;
    if !service.json {
        tell_holders(subject, service).await?;
    }
    Ok(exit)
}

#[derive(Debug, Deserialize)]
struct Withdrawn {
    #[serde(default)]
    holders_left: Vec<String>,
}

async fn tell_holders(subject: &Subject, service: &Service) -> Result<(), CliError> {
    let left: Withdrawn = service.client()?.get(&subject.path()).await?.read()?;
    if !left.holders_left.is_empty() {
        let names = printable(&left.holders_left.join(", "), 2000);
        complain(format!("still on {names}: nobody is sent there for it, but the files can be fetched"));
    }
    Ok(())
}

/// `waypost release restore`
///
/// # Errors
///
/// Where the service refuses or does not answer.
pub async fn restore(args: &RestoreArgs) -> Result<Exit, CliError> {
    let RestoreArgs { subject, reason, service } = args;
    let told = |_: &Value| format!("{} is handed out again", subject.words());
    service.order(&subject.target("restore"), reason, json!({}), told).await
}
