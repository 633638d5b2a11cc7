//! `waypost token inspect`: what a token says, and what would become of it.

use serde_json::{Map, Value, json};

use crate::cli::config_file::ConfigFile;
use crate::cli::outcome::{CliError, Exit, complain, print, printable};
use crate::cli::span;
use crate::config::Config;
use crate::entitlement::{Claims, decode, in_words};
use crate::model::{Clock, Denial, IssuerId, RegionId, SystemClock, Timestamp};
use crate::redirect::status_of;

/// `waypost token inspect`
#[derive(Debug, clap::Args)]
pub struct InspectArgs {
    /// The token; - or none: from standard input, so that it does not stand in the shell's history
    #[arg(default_value = "-", hide_default_value = true)]
    token: String,
    #[command(flatten)]
    config: ConfigFile,
    /// Prints JSON
    #[arg(long)]
    json: bool,
}

/// What the service would make of a token.
#[derive(Debug)]
struct Verdict {
    /// Whose it says it is, by the names in the configuration.
    issuer: Option<String>,
    token_id: Option<String>,
    /// Why it would not be believed.
    denial: Option<Denial>,
    /// What the rules that fit its claims give, believed or not.
    rules: Vec<String>,
}

/// Tells what a token says.
///
/// # Errors
///
/// Where it is none, or the configuration is wrong.
pub fn run(args: &InspectArgs) -> Result<Exit, CliError> {
    let config = args.config.load_if_named()?.map(|loaded| loaded.config);
    let token = super::given(&args.token)?;
    let now = SystemClock.now();
    let decoded = decode(&token);
    let (header, claims) =
        decoded.map_err(|denial| CliError::No(format!("{} ({})", status_of(denial).1, denial.as_str())))?;
    let verdict = config.map(|config| judge(&config, &token, &claims, now)).transpose()?;
    match args.json {
        true => print(as_json(&header, &claims, verdict.as_ref()).to_string()),
        false => print(page(&header, &claims, verdict.as_ref(), now)),
    }
    match verdict.and_then(|verdict| verdict.denial) {
        None => Ok(Exit::Done),
        Some(Denial::NoKeys) => {
            complain(
                "the running service fetches this issuer's keys: `waypost explain PATH --from IP --token -` asks it \
                 whether the token is believed",
            );
            Ok(Exit::Unknown)
        }
        Some(_) => Ok(Exit::No),
    }
}

fn judge(config: &Config, token: &str, claims: &Claims, now: Timestamp) -> Result<Verdict, CliError> {
    let entitlements = super::entitlements(config)?;
    let grant = entitlements.grant(token, now);
    let (id, denial) = match &grant {
        Ok(grant) => (Some(grant.issuer), None),
        Err(why) => (why.issuer, Some(why.reason)),
    };
    let issuer = id.and_then(|id: IssuerId| config.issuers.get(id.index()));
    let region = |id: RegionId| config.regions[id.index()].name.clone();
    let fitting = id.into_iter().flat_map(|id| entitlements.rules.fitting(id, claims));
    Ok(Verdict {
        issuer: issuer.map(|issuer| issuer.name.clone()),
        token_id: issuer.and_then(|issuer| claims.at(&issuer.token_id)).map(plain),
        denial,
        rules: fitting.map(|rule| in_words(rule, region)).collect(),
    })
}

fn as_json(header: &Claims, claims: &Claims, verdict: Option<&Verdict>) -> Value {
    let told = |verdict: &Verdict| {
        let believed = match verdict.denial {
            None => Some(true),
            Some(Denial::NoKeys) => None,
            Some(_) => Some(false),
        };
        json!({
            "believed": believed,
            "denial": verdict.denial.map(Denial::as_str),
            "issuer": verdict.issuer,
            "token_id": verdict.token_id,
            "rules": verdict.rules,
        })
    };
    json!({ "header": header.all(), "claims": claims.all(), "verdict": verdict.map(told) })
}

fn page(header: &Claims, claims: &Claims, verdict: Option<&Verdict>, now: Timestamp) -> String {
    let mut text = format!("header\n{}claims\n{}", listed(header.all(), now), listed(claims.all(), now));
    let Some(verdict) = verdict else {
        return text
            + "Nothing of this was verified: --config FILE tells what the service would make of it.\n";
    };
    let by = verdict.issuer.as_ref().map(|name| format!(", issuer {}", printable(name, 200)));
    let by = by.unwrap_or_default();
    text += &match verdict.denial {
        None => format!("believed  yes{by}; whether it was revoked the running service knows\n"),
        Some(Denial::NoKeys) => format!("believed  not known here{by}\n"),
        Some(denial) => format!("believed  no{by}: {} ({})\n", status_of(denial).1, denial.as_str()),
    };
    let id = verdict.token_id.as_deref().map(|id| printable(id, 1100));
    let id = id.unwrap_or_else(|| "none: it can be neither revoked nor counted".to_owned());
    text += &format!("id        {id}\n");
    if verdict.rules.is_empty() {
        text += "gives     nothing: no [[entitlement]] fits its claims\n";
    }
    for rule in &verdict.rules {
        text += &format!("gives     {}\n", printable(rule, 1000));
    }
    text
}

/// A line for each; moments are told in words too.
fn listed(values: &Map<String, Value>, now: Timestamp) -> String {
    let width = values.keys().map(|name| name.chars().count()).max().unwrap_or(0).min(40);
    let line = |(name, value): (&String, &Value)| {
        let seconds = matches!(name.as_str(), "exp" | "nbf" | "iat").then(|| value.as_f64()).flatten();
        let moment = seconds.map(|seconds| {
            let moment = Timestamp::from_millis((seconds * 1000.0) as i64).to_string();
            format!("  {moment}, {}", span::relative(&moment, now))
        });
        let (name, value) = (printable(name, 200), printable(&plain(value), 2000));
        format!("  {name:width$}  {value}{}\n", moment.unwrap_or_default())
    };
    values.iter().map(line).collect()
}

/// Text as it is, anything else as JSON.
fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
