//! `waypost release`: what has been published, where it has arrived, and what becomes of it.

mod gate;
mod orders;
mod wait;

use bytesize::ByteSize;
use clap::Subcommand;
use serde::Deserialize;

use super::admin_client::Answer;
use super::mirror::{Copies, Trouble};
use super::outcome::{CliError, Exit, complain, print, printable};
use super::service::Service;
use super::span;
use super::table::{Align, Table};
use crate::catalog::encode_path;
use crate::model::{Clock, ProductName, SystemClock, Timestamp, Version};

pub(super) use self::orders::{Expected, expected};

/// What to ask about releases, and orders about one.
#[derive(Debug, Subcommand)]
pub enum ReleaseCommand {
    /// All releases and channels
    #[command(after_help = "\
Example:
  waypost release list --json")]
    List(Service),
    /// A product's releases, or one release with its files and the mirrors that hold it
    #[command(after_help = "\
Example:
  waypost release show tool 1.8.2")]
    Show(ShowArgs),
    /// Tells whether a release may be announced: exits 0 where all checks that gate hold, else 1, and says why
    #[command(after_help = "\
Example:
  waypost release gate tool 1.8.2 && ./announce")]
    Gate(gate::GateArgs),
    /// Waits until a release is everywhere: whole on every mirror that is to hold it, and channels have come to it
    #[command(after_help = "\
It may be asked for before it is published, and goes on through restarts of the service. Exits 0 when the release is
everywhere, 1 when it is not in time, withdrawn or refused, 3 when the service does not answer at the end.

Example, at the end of a pipeline:
  waypost release wait tool 1.8.2 --timeout 20m --admin https://downloads-admin.example.com")]
    Wait(wait::WaitArgs),
    /// Points a channel to a release, by hand
    #[command(after_help = "\
From then on the channel moves by itself only to a version that is higher than any known now.

Example:
  waypost release promote tool 1.8.2 --channel stable --expect 1.8.1 --reason \"the field test is over\"")]
    Promote(orders::PromoteArgs),
    /// Takes a release back: nobody is sent to its files any more
    #[command(after_help = "\
Its URLs answer 410 with what to take instead, and its channels fall back to the last good release. It is told which
mirrors still hold the files. Withdrawing it again changes the reason and the replacement.

Example:
  waypost release withdraw tool 1.8.2 --reason \"it deletes home folders\" --replacement 1.8.1")]
    Withdraw(orders::WithdrawArgs),
    /// Hands a withdrawn release out again
    #[command(after_help = "\
Example:
  waypost release restore tool 1.8.2 --reason \"it was the wrong one\"")]
    Restore(orders::RestoreArgs),
}

/// `waypost release show`
#[derive(Debug, clap::Args)]
pub struct ShowArgs {
    /// The product
    product: ProductName,
    /// The version, with or without a leading `v`; without it, all of the product's releases
    #[arg(value_parser = Version::parse)]
    version: Option<Version>,
    #[command(flatten)]
    service: Service,
}

#[derive(Debug, Deserialize)]
struct Listing {
    releases: Vec<Release>,
    #[serde(default)]
    channels: Vec<Channel>,
    #[serde(default)]
    refused: Vec<Refused>,
    origin: Option<Origin>,
}

#[derive(Debug, Deserialize)]
struct Release {
    product: String,
    version: String,
    published_at: String,
    assets: u64,
    bytes: u64,
    channels: Vec<String>,
    #[serde(default)]
    readiness: Vec<Readiness>,
    mirrors_complete: u64,
    mirrors: u64,
    #[serde(default)]
    warnings: Vec<String>,
    #[serde(default)]
    files: Vec<File>,
    #[serde(default)]
    holders: Vec<Holder>,
    withdrawn: Option<Withdrawn>,
    holders_left: Option<Vec<String>>,
}

#[derive(Debug, Deserialize)]
struct Withdrawn {
    at: String,
    actor: String,
    reason: String,
    replacement: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Readiness {
    channel: String,
    ready: bool,
    lacking: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Channel {
    product: String,
    channel: String,
    version: String,
    since: String,
}

#[derive(Debug, Deserialize)]
struct Refused {
    manifest: String,
    reason: String,
}

#[derive(Debug, Deserialize)]
struct Origin {
    error: Option<String>,
    read_at: Option<String>,
}

#[derive(Debug, Deserialize)]
struct File {
    name: String,
    size: u64,
    sha256: String,
}

#[derive(Debug, Deserialize)]
struct Holder {
    mirror: String,
    region: Option<String>,
    complete: bool,
    copies: Copies,
    trouble: Option<Vec<Trouble>>,
}

impl Withdrawn {
    /// Who withdrew a release, when and why, what to take instead, and which mirrors hold files of it still.
    fn lines(&self, left: &[String], now: Timestamp) -> String {
        let (who, why) = (printable(&self.actor, 200), printable(&self.reason, 2000));
        let mut text = format!("withdrawn  {} by {who}: {why}\n", span::relative(&self.at, now));
        if let Some(replacement) = &self.replacement {
            text += &format!("instead    {}\n", printable(replacement, 200));
        }
        if !left.is_empty() {
            text += &format!("still on   {}\n", printable(&left.join(", "), 2000));
        }
        text
    }
}

/// Runs one of them.
///
/// # Errors
///
/// Where there is no such release, or the service does not answer.
pub async fn run(command: ReleaseCommand) -> Result<Exit, CliError> {
    match command {
        ReleaseCommand::Gate(args) => return gate::run(args).await,
        ReleaseCommand::Wait(args) => return wait::run(args).await,
        ReleaseCommand::Promote(args) => return orders::promote(&args).await,
        ReleaseCommand::Withdraw(args) => return orders::withdraw(&args).await,
        ReleaseCommand::Restore(args) => return orders::restore(&args).await,
        ReleaseCommand::List(service) => {
            let answer = service.client()?.get("/v1/releases").await?;
            listed(&answer, service.json)?;
        }
        ReleaseCommand::Show(ShowArgs { product, version: None, service }) => {
            let answer =
                service.client()?.get(&format!("/v1/releases/{}", encode_path(product.as_str()))).await?;
            if answer.read::<Listing>()?.releases.is_empty() {
                return Err(CliError::No(format!("there is no release of {product}")));
            }
            listed(&answer, service.json)?;
        }
        ReleaseCommand::Show(ShowArgs { product, version: Some(version), service }) => {
            let (product, version) = (encode_path(product.as_str()), encode_path(version.as_str()));
            let answer = service.client()?.get(&format!("/v1/releases/{product}/{version}")).await?;
            service.show(&answer, |release| page(release, SystemClock.now()))?;
        }
    }
    Ok(Exit::Done)
}

fn listed(answer: &Answer, json: bool) -> Result<(), CliError> {
    if json {
        print(answer.text());
        return Ok(());
    }
    let listing: Listing = answer.read()?;
    let now = SystemClock.now();
    print(table(&listing, now));
    for refused in &listing.refused {
        let (manifest, reason) = (printable(&refused.manifest, 500), printable(&refused.reason, 2000));
        complain(format!("refused: {manifest}: {reason}"));
    }
    if let Some(Origin { error: Some(error), read_at }) = &listing.origin {
        let last = read_at.as_ref().map_or_else(|| "never".into(), |at| span::relative(at, now));
        complain(format!("the origin cannot be read: {}; it was last read {last}", printable(error, 2000)));
    }
    Ok(())
}

fn table(listing: &Listing, now: Timestamp) -> String {
    if listing.releases.is_empty() {
        return "no releases\n".into();
    }
    let mut releases = Table::new(&[
        ("PRODUCT", Align::Left),
        ("VERSION", Align::Left),
        ("CHANNELS", Align::Left),
        ("ASSETS", Align::Right),
        ("SIZE", Align::Right),
        ("COMPLETE ON", Align::Left),
        ("PUBLISHED", Align::Left),
        ("WAITING FOR", Align::Left),
        ("REMARKS", Align::Left),
    ]);
    for release in &listing.releases {
        releases.row([
            release.product.clone(),
            release.version.clone(),
            release.channels.join(" "),
            release.assets.to_string(),
            ByteSize::b(release.bytes).display().iec().to_string(),
            format!("{} of {} mirrors", release.mirrors_complete, release.mirrors),
            span::relative(&release.published_at, now),
            waiting(release).join("; "),
            release.withdrawn.as_ref().map_or_else(String::new, |of| format!("withdrawn: {}", of.reason)),
        ]);
    }
    let mut text = releases.render();
    if listing.channels.is_empty() {
        return text;
    }
    let mut channels = Table::new(&[
        ("PRODUCT", Align::Left),
        ("CHANNEL", Align::Left),
        ("POINTS TO", Align::Left),
        ("SINCE", Align::Left),
    ]);
    for channel in &listing.channels {
        let Channel { product, channel, version, since } = channel;
        channels.row([product.clone(), channel.clone(), version.clone(), span::relative(since, now)]);
    }
    text += &format!("\n{}", channels.render());
    text
}

/// The channels that do not point to a release because it is not ready, and the mirrors that lack it.
fn waiting(release: &Release) -> Vec<String> {
    if release.withdrawn.is_some() {
        return Vec::new();
    }
    let pointing = |channel| release.channels.contains(channel);
    let not_ready = release.readiness.iter().filter(|one| !one.ready && !pointing(&one.channel));
    let told = not_ready.map(|readiness| match readiness.lacking.as_slice() {
        [] => readiness.channel.clone(),
        lacking => format!("{}: {}", readiness.channel, lacking.join(", ")),
    });
    told.collect()
}

fn page(release: &Release, now: Timestamp) -> String {
    let Release { product, version, assets, bytes, .. } = release;
    let mut text = format!("{} {}\n", printable(product, 200), printable(version, 200));
    text += &format!("published  {}\n", span::relative(&release.published_at, now));
    text += &format!("assets     {assets}, {}\n", ByteSize::b(*bytes).display().iec());
    let channels = if release.channels.is_empty() { "none".into() } else { release.channels.join(", ") };
    text += &format!("channels   {}\n", printable(&channels, 500));
    if let Some(withdrawn) = &release.withdrawn {
        text += &withdrawn.lines(release.holders_left.as_deref().unwrap_or_default(), now);
    }
    for waiting in waiting(release) {
        text += &format!("waiting    {}\n", printable(&waiting, 1000));
    }
    for warning in &release.warnings {
        text += &format!("warning    {}\n", printable(warning, 1000));
    }
    let mut files = Table::new(&[("FILE", Align::Left), ("SIZE", Align::Right), ("SHA-256", Align::Left)]);
    for file in &release.files {
        files.row([file.name.clone(), file.size.to_string(), file.sha256.clone()]);
    }
    text += &format!("\n{}", files.render());
    let mut holders = Table::new(&[
        ("MIRROR", Align::Left),
        ("REGION", Align::Left),
        ("COMPLETE", Align::Left),
        ("VERIFIED", Align::Right),
        ("PENDING", Align::Right),
        ("MISSING", Align::Right),
        ("CORRUPT", Align::Right),
    ]);
    for holder in &release.holders {
        holders.row([
            holder.mirror.clone(),
            holder.region.clone().unwrap_or_default(),
            if holder.complete { "yes" } else { "no" }.into(),
            holder.copies.verified.to_string(),
            holder.copies.pending.to_string(),
            holder.copies.missing.to_string(),
            holder.copies.corrupt.to_string(),
        ]);
    }
    text += &format!("\n{}", holders.render());
    for holder in &release.holders {
        for trouble in holder.trouble.iter().flatten() {
            text += &format!("\n{}", trouble.page(&holder.mirror, now));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_listing_tells_what_a_release_waits_for() {
        let now = Timestamp::parse_rfc3339("2026-11-20T12:00:00Z").unwrap();
        let report = json!({
            "releases": [{ "product": "tool", "version": "1.8.2", "published_at": "2026-11-20T10:00:00Z",
                "first_seen": "2026-11-20T10:00:10Z", "assets": 2, "bytes": 2048, "channels": [],
                "readiness": [{ "channel": "stable", "ready": false, "lacking": ["fra", "sin"] }],
                "mirrors_complete": 1, "mirrors": 3, "warnings": [] }],
            "channels": [{ "product": "tool", "channel": "stable", "version": "1.8.1", "since": "2026-11-01T00:00:00Z" }],
            "refused": [], "origin": { "error": null, "read_at": "2026-11-20T11:59:59Z" },
        });
        let text = table(&serde_json::from_value(report.clone()).unwrap(), now);
        for part in ["2.0 KiB", "1 of 3 mirrors", "2 h ago", "stable: fra, sin", "1.8.1", "19 d ago"] {
            assert!(text.contains(part), "{part}: {text}");
        }
        let mut withdrawn = report;
        withdrawn["releases"][0]["withdrawn"] = json!({ "at": "2026-11-20T11:00:00Z", "actor": "ada",
            "reason": "it deletes homes", "replacement": "1.8.1" });
        withdrawn["releases"][0]["holders_left"] = json!(["fra"]);
        let listing: Listing = serde_json::from_value(withdrawn).unwrap();
        let text = table(&listing, now);
        assert!(text.contains("withdrawn: it deletes homes") && !text.contains("stable: fra"), "{text}");
        let text = page(&listing.releases[0], now);
        for part in ["1 h ago by ada: it deletes homes", "instead    1.8.1", "still on   fra"] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }
}
