//! `waypost channel`: where channels point, and orders to them.

use clap::Subcommand;
use serde::Deserialize;
use serde_json::{Value, json};

use super::admin_client::Answer;
use super::outcome::{CliError, Exit, print, printable};
use super::release::{Expected, expected};
use super::service::{Reason, Service};
use super::span;
use super::table::{Align, Table};
use crate::catalog::encode_path;
use crate::model::{ChannelName, Clock, ProductName, SystemClock, Timestamp};

/// What to do with channels.
#[derive(Debug, Subcommand)]
pub enum ChannelCommand {
    /// All channels: where they point, since when, and what they wait for
    #[command(after_help = "\
Example:
  waypost channel list")]
    List(Service),
    /// A product's channels, with where they pointed before
    #[command(after_help = "\
Example:
  waypost channel show tool stable")]
    Show(ShowArgs),
    /// Keeps a channel from moving up by itself until it is released
    #[command(after_help = "\
Example:
  waypost channel hold tool stable --reason \"release freeze\"")]
    Hold(OrderArgs),
    /// Lets a held channel move by itself again
    #[command(after_help = "\
Example:
  waypost channel release tool stable")]
    Release(OrderArgs),
    /// Points a channel to the release before, the last one that is still good
    #[command(after_help = "\
Example:
  waypost channel rollback tool stable --reason \"1.8.2 does not start on Windows\"")]
    Rollback(RollbackArgs),
}

/// `waypost channel show`
#[derive(Debug, clap::Args)]
pub struct ShowArgs {
    /// The product
    product: ProductName,
    /// The channel; without it, all of the product's
    channel: Option<ChannelName>,
    #[command(flatten)]
    service: Service,
}

/// `waypost channel hold` and `release`
#[derive(Debug, clap::Args)]
pub struct OrderArgs {
    /// The product
    product: ProductName,
    /// The channel
    channel: ChannelName,
    #[command(flatten)]
    reason: Reason,
    #[command(flatten)]
    service: Service,
}

/// `waypost channel rollback`
#[derive(Debug, clap::Args)]
pub struct RollbackArgs {
    #[command(flatten)]
    order: OrderArgs,
    /// Only if the channel points to this version now
    #[arg(long, value_name = "VERSION", value_parser = expected)]
    expect: Option<Expected>,
}

#[derive(Debug, Deserialize)]
struct Listing {
    channels: Vec<Channel>,
}

#[derive(Debug, Deserialize)]
struct Channel {
    product: String,
    channel: String,
    version: Option<String>,
    since: Option<String>,
    #[serde(default)]
    promote: String,
    #[serde(default)]
    held: bool,
    above: Option<String>,
    #[serde(default)]
    gone: bool,
    #[serde(default)]
    retired: bool,
    #[serde(default)]
    history: Vec<String>,
    #[serde(default)]
    waiting: Vec<Waiting>,
}

#[derive(Debug, Deserialize)]
struct Waiting {
    version: String,
    #[serde(default)]
    lacking: Vec<String>,
    #[serde(default)]
    blocked: Vec<String>,
}

/// Runs one of them.
///
/// # Errors
///
/// Where there is no such channel, the service refuses, or does not answer.
pub async fn run(command: ChannelCommand) -> Result<Exit, CliError> {
    match command {
        ChannelCommand::List(service) => {
            let answer = service.client()?.get("/v1/channels").await?;
            service.show(&answer, |listing: &Listing| table(&listing.channels, SystemClock.now()))?;
            Ok(Exit::Done)
        }
        ChannelCommand::Show(args) => show(&args).await,
        ChannelCommand::Hold(args) => {
            order(&args, "hold", "does not move up by itself until it is released").await
        }
        ChannelCommand::Release(args) => order(&args, "release", "is not held any more").await,
        ChannelCommand::Rollback(args) => rollback(&args).await,
    }
}

async fn show(args: &ShowArgs) -> Result<Exit, CliError> {
    let ShowArgs { product, channel, service } = args;
    let answer = service.client()?.get(&format!("/v1/channels/{}", encode_path(product))).await?;
    let mut listing: Listing = answer.read()?;
    if let Some(channel) = channel {
        listing.channels.retain(|one| *one.channel == **channel);
        if listing.channels.is_empty() {
            return Err(CliError::No(format!("there is no channel {product} {channel}")));
        }
    }
    match service.json {
        true => print(chosen(&answer, channel.as_ref())?.to_string()),
        false => {
            let now = SystemClock.now();
            let pages: Vec<String> = listing.channels.iter().map(|channel| page(channel, now)).collect();
            print(pages.join("\n"));
        }
    }
    Ok(Exit::Done)
}

/// The service's JSON, of the one channel where one was asked for.
fn chosen(answer: &Answer, channel: Option<&ChannelName>) -> Result<Value, CliError> {
    let mut report: Value = answer.read()?;
    if let (Some(channel), Some(channels)) = (channel, report["channels"].as_array_mut()) {
        channels.retain(|one| one["channel"] == **channel);
    }
    Ok(report)
}

async fn order(args: &OrderArgs, verb: &str, done: &str) -> Result<Exit, CliError> {
    let OrderArgs { product, channel, reason, service } = args;
    let told = |_: &Value| format!("{product} {channel}: {done}");
    service.order(&target(product, channel, verb), reason, json!({}), told).await
}

async fn rollback(args: &RollbackArgs) -> Result<Exit, CliError> {
    let OrderArgs { product, channel, reason, service } = &args.order;
    let mut body = json!({});
    if let Some(Expected(version)) = &args.expect {
        body["expected"] = json!(version);
    }
    let told = |action: &Value| moved(product, channel, action);
    service.order(&target(product, channel, "rollback"), reason, body, told).await
}

/// Where an order has moved a channel, in the release's own spelling.
pub(super) fn moved(product: &ProductName, channel: &ChannelName, action: &Value) -> String {
    let to = action["to"].as_str().unwrap_or_default();
    format!("{product} {channel} points to {}", printable(to, 200))
}

fn target(product: &ProductName, channel: &ChannelName, verb: &str) -> String {
    format!("/v1/channels/{}/{}/{verb}", encode_path(product), encode_path(channel))
}

impl Channel {
    /// What is out of the ordinary about it.
    fn remarks(&self) -> String {
        let mut remarks = Vec::new();
        if self.gone {
            remarks.push("withdrawn, with nothing to fall back to".to_owned());
        }
        if self.retired && !self.gone {
            remarks.push(
                "not published any more, so that downloads fail: publish, promote or roll back".to_owned(),
            );
        }
        if self.held {
            remarks.push("held".to_owned());
        }
        if self.promote == "manual" {
            remarks.push("moved by hand only".to_owned());
        }
        if let Some(above) = &self.above {
            remarks.push(format!("set by hand; moves above {above}"));
        }
        remarks.join(", ")
    }

    fn waits_for(&self) -> String {
        let told = |waiting: &Waiting| {
            let mut why = waiting.blocked.clone();
            if !waiting.lacking.is_empty() {
                why.push(waiting.lacking.join(", "));
            }
            match why.as_slice() {
                [] => waiting.version.clone(),
                why => format!("{}: {}", waiting.version, why.join("; ")),
            }
        };
        self.waiting.iter().map(told).collect::<Vec<_>>().join("; ")
    }
}

fn table(channels: &[Channel], now: Timestamp) -> String {
    if channels.is_empty() {
        return "no channels\n".into();
    }
    let mut table = Table::new(&[
        ("PRODUCT", Align::Left),
        ("CHANNEL", Align::Left),
        ("POINTS TO", Align::Left),
        ("SINCE", Align::Left),
        ("WAITING FOR", Align::Left),
        ("REMARKS", Align::Left),
    ]);
    for channel in channels {
        table.row([
            channel.product.clone(),
            channel.channel.clone(),
            channel.version.clone().unwrap_or_else(|| "nothing yet".into()),
            channel.since.as_ref().map_or_else(String::new, |since| span::relative(since, now)),
            channel.waits_for(),
            channel.remarks(),
        ]);
    }
    table.render()
}

fn page(channel: &Channel, now: Timestamp) -> String {
    let mut text = format!("{} {}\n", printable(&channel.product, 200), printable(&channel.channel, 200));
    let mut line = |what: &str, value: String| {
        if !value.is_empty() {
            text += &format!("{what:<11}{}\n", printable(&value, 2000));
        }
    };
    line("points to", channel.version.clone().unwrap_or_else(|| "nothing yet".into()));
    line("since", channel.since.as_ref().map_or_else(String::new, |since| span::relative(since, now)));
    line("remarks", channel.remarks());
    line("waits for", channel.waits_for());
    line("history", channel.history.join(" → "));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_channel_tells_what_keeps_it_where_it_is() {
        let now = Timestamp::parse_rfc3339("2026-11-20T12:00:00Z").unwrap();
        let report = json!({ "channels": [{
            "product": "tool", "channel": "stable", "version": "1.8.1", "since": "2026-11-20T10:00:00Z",
            "promote": "manual", "held": true, "above": "1.8.2", "gone": false, "history": ["1.8.0", "1.8.1"],
            "waiting": [{ "version": "1.8.2", "lacking": ["fra", "sin"], "blocked": ["hashes: one is wrong"] }],
        }, { "product": "tool", "channel": "beta", "version": null, "since": null }] });
        let listing: Listing = serde_json::from_value(report).unwrap();
        let text = table(&listing.channels, now);
        for part in [
            "2 h ago",
            "1.8.2: hashes: one is wrong; fra, sin",
            "held, moved by hand only, set by hand; moves above 1.8.2",
            "nothing yet",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(page(&listing.channels[0], now).contains("1.8.0 → 1.8.1"));
    }
}
