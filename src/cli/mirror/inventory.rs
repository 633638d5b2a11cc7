//! `waypost mirror inventory`: what lies on a mirror that should not, and what does not that should.

use serde::Deserialize;

use crate::catalog::encode_path;
use crate::cli::outcome::{CliError, Exit, printable};
use crate::cli::service::Service;
use crate::cli::span;
use crate::cli::table::{Align, Table};
use crate::model::{Clock, MirrorName, SystemClock, Timestamp};

/// `waypost mirror inventory`
#[derive(Debug, clap::Args)]
pub struct InventoryArgs {
    /// The mirror
    name: MirrorName,
    #[command(flatten)]
    service: Service,
}

#[derive(Debug, Deserialize)]
struct Inventory {
    releases: Vec<Release>,
    unwanted: Vec<Unwanted>,
}

#[derive(Debug, Deserialize)]
struct Release {
    product: String,
    version: String,
    at: Option<String>,
    source: String,
    unexpected: Names,
    missing: Names,
    wrong_size: Names,
}

#[derive(Debug, Deserialize)]
struct Names {
    count: u64,
    first: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Unwanted {
    product: String,
    version: String,
    reason: String,
    copies: u64,
}

/// Prints it.
///
/// # Errors
///
/// Where there is no such mirror, or the service does not answer.
pub async fn run(args: &InventoryArgs) -> Result<Exit, CliError> {
    let target = format!("/v1/mirrors/{}/inventory", encode_path(&args.name));
    let answer = args.service.client()?.get(&target).await?;
    args.service.show(&answer, |inventory| page(inventory, SystemClock.now()))?;
    Ok(Exit::Done)
}

fn page(inventory: &Inventory, now: Timestamp) -> String {
    let mut table = Table::new(&[
        ("RELEASE", Align::Left),
        ("KNOWN FROM", Align::Left),
        ("LISTED", Align::Left),
        ("MISSING", Align::Right),
        ("UNEXPECTED", Align::Right),
        ("WRONG SIZE", Align::Right),
    ]);
    for release in &inventory.releases {
        table.row([
            format!("{} {}", release.product, release.version),
            release.source.clone(),
            release.at.as_ref().map_or_else(|| "never".to_owned(), |at| span::relative(at, now)),
            release.missing.count.to_string(),
            release.unexpected.count.to_string(),
            release.wrong_size.count.to_string(),
        ]);
    }
    let mut text = table.render();
    for release in &inventory.releases {
        let of = printable(&format!("{} {}", release.product, release.version), 300);
        for (what, names) in [
            ("missing", &release.missing),
            ("unexpected", &release.unexpected),
            ("wrong size", &release.wrong_size),
        ] {
            for name in &names.first {
                text += &format!("{of}: {what} {}\n", printable(name, 1100));
            }
            let more = names.count.saturating_sub(names.first.len() as u64);
            if more > 0 {
                text += &format!("{of}: {what}: and {more} more\n");
            }
        }
    }
    for Unwanted { product, version, reason, copies } in &inventory.unwanted {
        let of = printable(&format!("{product} {version}"), 300);
        text += &format!("{of}: {copies} copies that it is not to hold ({})\n", printable(reason, 100));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_page_names_what_is_amiss_without_its_control_characters() {
        let report = json!({ "mirror": "fra",
            "releases": [{ "product": "tool", "version": "1.0", "at": "2026-11-20T11:57:00Z", "source": "autoindex",
                "unexpected": { "count": 3, "first": ["old\u{1b}[2J", "older"] }, "missing": { "count": 1, "first": ["a"] },
                "wrong_size": { "count": 0, "first": [] } },
              { "product": "tool", "version": "2.0", "at": null, "source": "asked",
                "unexpected": { "count": 0, "first": [] }, "missing": { "count": 0, "first": [] }, "wrong_size": { "count": 0, "first": [] } }],
            "unwanted": [{ "product": "tool", "version": "0.9", "reason": "withdrawn", "copies": 2 }] });
        let now = Timestamp::parse_rfc3339("2026-11-20T12:00:00Z").unwrap();
        let text = page(&serde_json::from_value(report).unwrap(), now);
        for part in [
            "3 min ago",
            "never",
            "tool 1.0: missing a\n",
            "tool 1.0: unexpected old\\u{1b}[2J\n",
            "tool 1.0: unexpected: and 1 more\n",
            "tool 0.9: 2 copies that it is not to hold (withdrawn)\n",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }
}
