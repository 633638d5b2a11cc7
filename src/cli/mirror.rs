//! `waypost mirror`: what mirrors hold, and orders to them.

mod files;
mod inventory;

use bytesize::ByteSize;
use clap::Subcommand;
use serde::Deserialize;
use serde_json::{Value, json};

use super::outcome::{CliError, Exit, printable};
use super::service::{Reason, Service};
use super::span;
use super::table::{Align, Table};
use crate::model::{Clock, MirrorName, SystemClock, Timestamp};
use files::FilesArgs;
use inventory::InventoryArgs;

/// What to do with mirrors.
#[derive(Debug, Subcommand)]
pub enum MirrorCommand {
    /// All mirrors: state, copies, last look
    #[command(after_help = "\
Example:
  waypost mirror list")]
    List(Service),
    /// One mirror: what it holds of each release, and what is wrong with its copies
    #[command(after_help = "\
Example:
  waypost mirror show fra")]
    Show(ShowArgs),
    /// Sends nobody to a mirror until it is undrained
    #[command(after_help = "\
Example:
  waypost mirror drain fra --reason \"disk swap\"")]
    Drain(OrderArgs),
    /// Uses a drained mirror again
    #[command(after_help = "\
Example:
  waypost mirror undrain fra")]
    Undrain(OrderArgs),
    /// Hashes every copy on a mirror again
    #[command(after_help = "\
Example:
  waypost mirror verify fra")]
    Verify(OrderArgs),
    /// What a mirror is to hold, by its tier and the retention: for rsync, apt or a script
    #[command(after_help = "\
Examples:
  waypost mirror files fra --missing
  waypost mirror files fra --format rsync | rsync -a --files-from=- /srv/origin/ fra.example.net:/srv/mirror/")]
    Files(FilesArgs),
    /// What lies on a mirror that should not, and what does not that should: from its directory listings where it has any
    #[command(after_help = "\
Example:
  waypost mirror inventory fra")]
    Inventory(InventoryArgs),
}

/// `waypost mirror show`
#[derive(Debug, clap::Args)]
pub struct ShowArgs {
    /// The mirror
    name: MirrorName,
    #[command(flatten)]
    service: Service,
}

/// `waypost mirror drain`, `undrain` and `verify`
#[derive(Debug, clap::Args)]
pub struct OrderArgs {
    /// The mirror
    name: MirrorName,
    #[command(flatten)]
    reason: Reason,
    #[command(flatten)]
    service: Service,
}

#[derive(Debug, Deserialize)]
struct Mirrors {
    mirrors: Vec<Mirror>,
}

#[derive(Debug, Deserialize)]
struct Mirror {
    name: String,
    url: String,
    region: Option<String>,
    country: Option<String>,
    weight: u32,
    state: Option<String>,
    drained: bool,
    reason: Option<String>,
    last_fault: Option<String>,
    since: Option<String>,
    probed_at: Option<String>,
    copies: Option<Copies>,
    #[serde(default)]
    hosts: Vec<String>,
    verification: Option<Verification>,
    #[serde(default)]
    releases: Vec<Holding>,
}

/// What looking at its copies again costs.
#[derive(Debug, Deserialize)]
struct Verification {
    today_bytes: u64,
    budget_bytes: u64,
    samples_today: u64,
    last_sample_at: Option<String>,
    last_full_pass_at: Option<String>,
    asked_to_verify: bool,
}

/// How many copies are in which state.
#[derive(Debug, Default, Clone, Copy, Deserialize)]
pub(super) struct Copies {
    /// Verified.
    pub verified: u64,
    /// Not looked at yet.
    pub pending: u64,
    /// Not there.
    pub missing: u64,
    /// Something else is there.
    pub corrupt: u64,
}

#[derive(Debug, Deserialize)]
struct Holding {
    product: String,
    version: String,
    complete: bool,
    copies: Copies,
    trouble: Option<Vec<Trouble>>,
}

/// A copy in trouble.
#[derive(Debug, Deserialize)]
pub(super) struct Trouble {
    asset: String,
    reason: String,
    since: String,
    tries: u32,
    next_try: String,
    evidence: Option<Evidence>,
}

#[derive(Debug, Deserialize)]
struct Evidence {
    #[serde(default)]
    detail: String,
    status: Option<u16>,
    size: Option<u64>,
    sha256: Option<String>,
    first_bytes: Option<String>,
    final_url: Option<String>,
}

/// Runs one of them.
///
/// # Errors
///
/// Where there is no such mirror, or the service does not answer.
pub async fn run(command: MirrorCommand) -> Result<Exit, CliError> {
    match command {
        MirrorCommand::List(service) => list(&service).await,
        MirrorCommand::Show(args) => show(&args).await,
        MirrorCommand::Files(args) => files::run(&args).await,
        MirrorCommand::Inventory(args) => inventory::run(&args).await,
        MirrorCommand::Drain(args) => {
            order(&args, "drain", "drained: nobody is sent there from now on").await
        }
        MirrorCommand::Undrain(args) => order(&args, "undrain", "in use again").await,
        MirrorCommand::Verify(args) => {
            order(&args, "verify", "every copy is hashed again; `waypost mirror show` tells how far it is")
                .await
        }
    }
}

async fn list(service: &Service) -> Result<Exit, CliError> {
    let answer = service.client()?.get("/v1/mirrors").await?;
    service.show(&answer, |report: &Mirrors| listing(&report.mirrors, SystemClock.now()))?;
    Ok(Exit::Done)
}

async fn show(args: &ShowArgs) -> Result<Exit, CliError> {
    let answer = args.service.client()?.get(&target(&args.name, "")).await?;
    args.service.show(&answer, |mirror| page(mirror, SystemClock.now()))?;
    Ok(Exit::Done)
}

async fn order(args: &OrderArgs, verb: &str, done: &str) -> Result<Exit, CliError> {
    let told = |_: &Value| format!("{}: {done}", args.name);
    args.service.order(&target(&args.name, verb), &args.reason, json!({}), told).await
}

fn target(name: &MirrorName, verb: &str) -> String {
    let name = crate::catalog::encode_path(name.as_str());
    if verb.is_empty() { format!("/v1/mirrors/{name}") } else { format!("/v1/mirrors/{name}/{verb}") }
}

fn standing(mirror: &Mirror) -> String {
    let state = mirror.state.as_deref().unwrap_or("unknown");
    if mirror.drained { format!("{state}, drained") } else { state.to_owned() }
}

fn moment(at: Option<&String>, now: Timestamp) -> String {
    at.map_or_else(|| "never".into(), |at| span::relative(at, now))
}

fn listing(mirrors: &[Mirror], now: Timestamp) -> String {
    let mut table = Table::new(&[
        ("MIRROR", Align::Left),
        ("REGION", Align::Left),
        ("STATE", Align::Left),
        ("WEIGHT", Align::Right),
        ("VERIFIED", Align::Right),
        ("PENDING", Align::Right),
        ("MISSING", Align::Right),
        ("CORRUPT", Align::Right),
        ("PROBED", Align::Left),
        ("EXCLUDED FOR", Align::Left),
    ]);
    for mirror in mirrors {
        let copies = mirror.copies.unwrap_or_default();
        table.row([
            mirror.name.clone(),
            mirror.region.clone().unwrap_or_default(),
            standing(mirror),
            mirror.weight.to_string(),
            copies.verified.to_string(),
            copies.pending.to_string(),
            copies.missing.to_string(),
            copies.corrupt.to_string(),
            moment(mirror.probed_at.as_ref(), now),
            mirror.reason.clone().unwrap_or_default(),
        ]);
    }
    table.render()
}

fn page(mirror: &Mirror, now: Timestamp) -> String {
    let mut text = format!("{}  {}\n", mirror.name, printable(&mirror.url, 500));
    let place = [mirror.region.as_deref(), mirror.country.as_deref()];
    let place: Vec<&str> = place.into_iter().flatten().collect();
    text += &format!("place     {}\n", if place.is_empty() { "not given".into() } else { place.join(", ") });
    text += &format!("state     {}, since {}\n", standing(mirror), moment(mirror.since.as_ref(), now));
    text += &format!("probed    {}\n", moment(mirror.probed_at.as_ref(), now));
    if let Some(reason) = &mirror.reason {
        text += &format!("excluded  {}\n", printable(reason, 200));
    }
    if let Some(fault) = &mirror.last_fault {
        text += &format!("last fault  {}\n", printable(fault, 200));
    }
    if !mirror.hosts.is_empty() {
        text += &format!("hosts     {}\n", printable(&mirror.hosts.join(", "), 500));
    }
    if let Some(verification) = &mirror.verification {
        text += &verification.page(now);
    }
    let mut table = Table::new(&[
        ("RELEASE", Align::Left),
        ("COMPLETE", Align::Left),
        ("VERIFIED", Align::Right),
        ("PENDING", Align::Right),
        ("MISSING", Align::Right),
        ("CORRUPT", Align::Right),
    ]);
    for release in &mirror.releases {
        table.row([
            format!("{} {}", release.product, release.version),
            if release.complete { "yes" } else { "no" }.into(),
            release.copies.verified.to_string(),
            release.copies.pending.to_string(),
            release.copies.missing.to_string(),
            release.copies.corrupt.to_string(),
        ]);
    }
    if !table.is_empty() {
        text += &format!("\n{}", table.render());
    }
    for release in &mirror.releases {
        for trouble in release.trouble.iter().flatten() {
            text += &format!("\n{}", trouble.page(&format!("{} {}", release.product, release.version), now));
        }
    }
    text
}

impl Verification {
    fn page(&self, now: Timestamp) -> String {
        let size = |bytes: u64| ByteSize(bytes).display().iec().to_string();
        let (read, budget) = (size(self.today_bytes), size(self.budget_bytes));
        let (sample, pass) = (self.last_sample_at.as_ref(), self.last_full_pass_at.as_ref());
        let mut text = format!("rechecked {read} today, of {budget}\n");
        text += &format!("samples   {} today, the last {}\n", self.samples_today, moment(sample, now));
        text += &format!("hashed    whole {}\n", moment(pass, now));
        if self.asked_to_verify {
            text += "asked     a pass over every copy is under way\n";
        }
        text
    }
}

impl Trouble {
    /// What is wrong with one copy, and what was seen.
    pub(super) fn page(&self, of: &str, now: Timestamp) -> String {
        let Self { asset, reason, since, tries, next_try, evidence } = self;
        let (since, next) = (span::relative(since, now), span::relative(next_try, now));
        let mut text =
            format!("{} {}: {}\n", printable(of, 300), printable(asset, 300), printable(reason, 100));
        text += &format!("  since {since}, tried {tries} times, next try {next}\n");
        let Some(seen) = evidence else { return text };
        let mut line = |what: &str, value: Option<String>| {
            if let Some(value) = value.filter(|value| !value.is_empty()) {
                text += &format!("  {what:<12}{}\n", printable(&value, 500));
            }
        };
        line("detail", Some(seen.detail.clone()));
        line("status", seen.status.map(|status| status.to_string()));
        line("size", seen.size.map(|size| size.to_string()));
        line("sha256", seen.sha256.clone());
        line("first bytes", seen.first_bytes.clone());
        line("final URL", seen.final_url.clone());
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Timestamp {
        Timestamp::parse_rfc3339("2026-11-20T12:00:00Z").unwrap()
    }

    #[test]
    fn a_mirror_nobody_has_looked_at_is_listed_too() {
        let report = json!({ "mirrors": [{
            "name": "fra", "url": "https://m.example/", "region": null, "country": null, "weight": 100,
            "state": null, "healthy": false, "drained": true, "reason": "drained", "last_fault": null,
            "since": null, "probed_at": null, "copies": null,
        }]});
        let mirrors: Mirrors = serde_json::from_value(report).unwrap();
        let text = listing(&mirrors.mirrors, now());
        assert!(
            text.contains("fra") && text.contains("unknown, drained") && text.contains("never"),
            "{text}"
        );
    }

    #[test]
    fn a_page_shows_what_was_seen_of_a_corrupt_copy_without_its_control_characters() {
        let report = json!({
            "name": "sin", "url": "http://m.example/", "region": "ap", "country": "SG", "weight": 100,
            "state": "healthy", "healthy": true, "drained": false, "reason": null, "last_fault": null,
            "since": "2026-11-20T11:57:00Z", "probed_at": "2026-11-20T11:59:55Z",
            "copies": { "verified": 3, "pending": 0, "missing": 0, "corrupt": 1 }, "hosts": ["m.example"],
            "verification": { "today_bytes": 3 << 20, "budget_bytes": 20_u64 << 30, "samples_today": 12,
                "last_sample_at": "2026-11-20T11:59:00Z", "last_full_pass_at": null, "asked_to_verify": true },
            "releases": [{ "product": "tool", "version": "1.8.2", "complete": false,
                "copies": { "verified": 3, "pending": 0, "missing": 0, "corrupt": 1 },
                "trouble": [{ "asset": "a.txt", "reason": "wrong_digest", "since": "2026-11-20T11:58:00Z", "tries": 2,
                    "next_try": "2026-11-20T12:05:00Z",
                    "evidence": { "status": 200, "size": 7, "sha256": "ab", "first_bytes": "\u{1b}[2Jx",
                        "final_url": null, "detail": "hashes to ab" } }] }],
        });
        let text = page(&serde_json::from_value(report).unwrap(), now());
        for part in [
            "since 3 min ago",
            "probed    5 s ago",
            "rechecked 3.0 MiB today, of 20.0 GiB",
            "samples   12 today, the last 1 min ago",
            "hashed    whole never",
            "a pass over every copy is under way",
            "tool 1.8.2 a.txt: wrong_digest",
            "next try in 5 min",
            "\\u{1b}[2Jx",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(!text.contains('\u{1b}'));
    }
}
