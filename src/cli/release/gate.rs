//! `waypost release gate`: whether a release may be announced.

use serde::Deserialize;

use super::orders::Subject;
use crate::cli::outcome::{CliError, Exit, print, printable};
use crate::cli::service::Service;
use crate::cli::table::{Align, Table};

/// `waypost release gate`
#[derive(Debug, clap::Args)]
pub struct GateArgs {
    #[command(flatten)]
    subject: Subject,
    #[command(flatten)]
    service: Service,
}

#[derive(Debug, Deserialize)]
struct Gate {
    passed: bool,
    checks: Vec<Check>,
}

#[derive(Debug, Deserialize)]
struct Check {
    check: String,
    mode: String,
    owner: String,
    ok: Option<bool>,
    summary: String,
    missing: Vec<String>,
    missing_count: usize,
}

impl Check {
    fn verdict(&self) -> &'static str {
        match self.ok {
            Some(true) => "ok",
            Some(false) => "FAILED",
            None => "unknown",
        }
    }

    fn stops(&self) -> bool {
        self.mode == "gate" && self.ok != Some(true)
    }
}

/// Asks and tells.
///
/// # Errors
///
/// Where there is no such release, or the service does not answer.
pub async fn run(args: GateArgs) -> Result<Exit, CliError> {
    let GateArgs { subject, service } = args;
    let answer = service.client()?.get(&format!("{}/gate", subject.path())).await?;
    let gate: Gate = answer.read()?;
    match service.json {
        true => print(answer.text()),
        false => print(page(&subject.words(), &gate)),
    }
    Ok(if gate.passed { Exit::Done } else { Exit::No })
}

fn page(release: &str, gate: &Gate) -> String {
    let mut table = Table::new(&[
        ("CHECK", Align::Left),
        ("VERDICT", Align::Left),
        ("MODE", Align::Left),
        ("OWNER", Align::Left),
        ("SUMMARY", Align::Left),
    ]);
    for check in &gate.checks {
        let Check { check: name, mode, owner, summary, .. } = check;
        let verdict = check.verdict().to_owned();
        table.row([name.clone(), verdict, mode.clone(), owner.clone(), summary.clone()]);
    }
    let mut text = table.render();
    for check in gate.checks.iter().filter(|check| !check.missing.is_empty()) {
        text += &format!("\n{}:\n", printable(&check.check, 50));
        for item in &check.missing {
            text += &format!("  {}\n", printable(item, 500));
        }
        let more = check.missing_count.saturating_sub(check.missing.len());
        if more > 0 {
            text += &format!("  and {more} more\n");
        }
    }
    let stopping: Vec<&str> =
        gate.checks.iter().filter(|check| check.stops()).map(|check| check.check.as_str()).collect();
    text += &match gate.passed {
        true => format!("\n{release} passes\n"),
        false => format!("\n{release} does not pass: {}\n", printable(&stopping.join(", "), 500)),
    };
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_stops_a_release_is_said_last_and_what_is_missing_is_listed() {
        let check = |check: &str, mode: &str, ok: Option<bool>, missing: &[&str]| {
            json!({ "check": check, "mode": mode, "owner": "qa", "ok": ok, "summary": "so it is",
                "missing": missing, "missing_count": missing.len() * 2 })
        };
        let gate = json!({ "passed": false, "checks": [
            check("completeness", "gate", Some(true), &[]),
            check("mirrors", "gate", Some(false), &["fra"]),
            check("verification", "gate", None, &[]),
            check("signatures", "informational", Some(false), &["tool: unsigned"]),
        ] });
        let text = page("tool 1.8.2", &serde_json::from_value(gate).unwrap());
        assert!(text.ends_with("tool 1.8.2 does not pass: mirrors, verification\n"), "{text}");
        for part in
            ["mirrors       FAILED", "verification  unknown", "  fra\n  and 1 more", "  tool: unsigned"]
        {
            assert!(text.contains(part), "{part}: {text}");
        }
    }
}
