//! `waypost explain`: why a client is sent where it is sent.

use std::net::IpAddr;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use url::{Position, Url};

use super::outcome::{CliError, Exit, print, printable};
use super::service::Service;
use super::table::{Align, Table};
use super::{span, token};
use crate::model::{Clock, SystemClock};

/// `waypost explain`
#[derive(Debug, clap::Args)]
pub struct ExplainArgs {
    /// A download URL, or its path; a URL's scheme and host tell how the client came
    #[arg(value_name = "URL_OR_PATH")]
    asked: String,
    /// The client's address
    #[arg(long, value_name = "IP")]
    from: IpAddr,
    /// The token that the client brings; - reads it from standard input, so that it does not stand in the shell's history
    #[arg(long, value_name = "TOKEN")]
    token: Option<String>,
    #[command(flatten)]
    service: Service,
}

#[derive(Debug, Deserialize)]
struct Explanation {
    path: String,
    ip: String,
    client: Client,
    caller: Option<Caller>,
    product: Option<String>,
    version: Option<String>,
    channel: Option<String>,
    asset: Option<String>,
    outcome: String,
    location: Option<String>,
    candidates: Vec<Candidate>,
}

#[derive(Debug, Deserialize)]
struct Client {
    country: Option<String>,
    asn: Option<u32>,
    region: Option<String>,
    location: Option<(f64, f64)>,
    network_rule: bool,
}

/// Who the client is by its token.
#[derive(Debug, Deserialize)]
struct Caller {
    entitled_product: bool,
    issuer: Option<String>,
    token_id: Option<String>,
    valid_until: Option<String>,
    denial: Option<String>,
    why: Option<String>,
    rules: Vec<Rule>,
}

/// A rule that fits the token.
#[derive(Debug, Deserialize)]
struct Rule {
    allow: String,
    gives: Option<bool>,
    lacks: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Candidate {
    mirror: String,
    region: Option<String>,
    country: Option<String>,
    distance_km: Option<f64>,
    group: u64,
    score: Option<f64>,
    weight: u32,
    refuses_credentials: bool,
    reason: String,
}

/// Asks the service, and shows every candidate in order. The answer is no where the client gets
/// neither a redirect nor an answer from the catalogue.
///
/// # Errors
///
/// Where the service does not answer, or refuses the question.
pub async fn run(args: ExplainArgs) -> Result<Exit, CliError> {
    let (client, target) = (args.service.client()?, target(&args.asked, args.from));
    let answer = match &args.token {
        Some(given) => client.get_for(&target, &token::given(given)?).await?,
        None => client.get(&target).await?,
    };
    let explanation: Explanation = answer.read()?;
    match args.service.json {
        true => print(answer.text()),
        false => print(page(&explanation)),
    }
    let answered = matches!(explanation.outcome.as_str(), "redirected" | "metadata");
    Ok(if answered { Exit::Done } else { Exit::No })
}

/// The question as a request target.
fn target(asked: &str, from: IpAddr) -> String {
    let url = Url::parse(asked).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
    let encoded = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let (path, more) = match &url {
        Some(url) => {
            let https = u8::from(url.scheme() == "https");
            let host = encoded(url.host_str().unwrap_or_default());
            let path = url[Position::BeforePath..Position::AfterQuery].to_owned();
            (path, format!("&https={https}&host={host}"))
        }
        None => (format!("/{}", asked.trim_start_matches('/')), String::new()),
    };
    format!("/v1/explain?path={}&ip={}{more}", encoded(&path), encoded(&from.to_string()))
}

fn page(explanation: &Explanation) -> String {
    let Explanation { path, ip, client, product, version, channel, asset, outcome, location, .. } =
        explanation;
    let mut text = format!("client  {}: {}\n", printable(ip, 60), place(client));
    text += &format!("asked   {}\n", printable(path, 1000));
    let through = channel.as_ref().map(|channel| format!("(channel {channel})"));
    let found: Vec<&str> =
        [product, version, asset, &through].into_iter().flatten().map(String::as_str).collect();
    if !found.is_empty() {
        text += &format!("found   {}\n", printable(&found.join(" "), 1000));
    }
    text += &format!("answer  {}", printable(outcome, 100));
    if let Some(location) = location {
        text += &format!(" to {}", printable(location, 2000));
    }
    text.push('\n');
    text += &explanation.caller.as_ref().map(caller).unwrap_or_default();
    if explanation.candidates.is_empty() {
        return text;
    }
    let mut table = Table::new(&[
        ("#", Align::Right),
        ("MIRROR", Align::Left),
        ("REGION", Align::Left),
        ("COUNTRY", Align::Left),
        ("DISTANCE", Align::Right),
        ("SCORE", Align::Right),
        ("GROUP", Align::Right),
        ("WEIGHT", Align::Right),
        ("VERDICT", Align::Left),
    ]);
    for (place, candidate) in (1..).zip(&explanation.candidates) {
        table.row([
            u64::to_string(&place),
            candidate.mirror.clone(),
            candidate.region.clone().unwrap_or_default(),
            candidate.country.clone().unwrap_or_default(),
            candidate.distance_km.map(|km| format!("{km:.0} km")).unwrap_or_default(),
            candidate.score.map(|score| format!("{score:.0}")).unwrap_or_default(),
            candidate.group.to_string(),
            candidate.weight.to_string(),
            verdict(candidate, explanation),
        ]);
    }
    text += &format!("\n{}", table.render());
    text
}

/// Which tools a mirror is not for depends on the tool, and an explanation is for none.
fn verdict(candidate: &Candidate, explanation: &Explanation) -> String {
    let reason = &candidate.reason;
    match explanation.caller.as_ref().is_some_and(|caller| caller.entitled_product) {
        true if candidate.refuses_credentials => {
            format!("{reason}; not for tools that repeat their token to it (wget, aria2, urllib)")
        }
        _ => reason.clone(),
    }
}

fn caller(caller: &Caller) -> String {
    let mut who: Vec<String> = Vec::new();
    who.extend(caller.issuer.as_ref().map(|issuer| format!("by {}", printable(issuer, 200))));
    who.extend(caller.token_id.as_ref().map(|id| format!("id {}", printable(id, 1100))));
    let until = |moment: &String| format!("ends {}", span::relative(moment, SystemClock.now()));
    who.extend(caller.valid_until.as_ref().map(until));
    let mut text = match (who.is_empty(), caller.entitled_product) {
        (false, _) => format!("token   {}\n", who.join(", ")),
        (true, true) => "token   none that is believed\n".to_owned(),
        (true, false) => String::new(),
    };
    let access = match (&caller.denial, &caller.why, caller.entitled_product) {
        (Some(denial), Some(why), _) => format!("no: {} ({denial})", printable(why, 500)),
        (_, _, true) => "yes, by the token".to_owned(),
        (_, _, false) => "yes: the product is for everybody".to_owned(),
    };
    text += &format!("access  {access}\n");
    for Rule { allow, gives, lacks } in &caller.rules {
        let verdict = match (gives, lacks) {
            (Some(true), _) => "gives this",
            (Some(false), Some(lacks)) => &format!("does not fit: {lacks}"),
            _ => "fits the token",
        };
        text += &format!("rule    {}: {}\n", printable(allow, 1000), printable(verdict, 100));
    }
    text
}

fn place(client: &Client) -> String {
    let mut parts = Vec::new();
    if let Some(country) = &client.country {
        parts.push(format!("country {country}"));
    }
    if let Some((latitude, longitude)) = client.location {
        parts.push(format!("near {latitude}, {longitude}"));
    }
    if let Some(region) = &client.region {
        parts.push(format!("region {region}"));
    }
    if let Some(asn) = client.asn {
        parts.push(format!("AS{asn}"));
    }
    if client.network_rule {
        parts.push("by a [[client_network]] rule".into());
    }
    if parts.is_empty() {
        "nothing is known of where it is".into()
    } else {
        printable(&parts.join(", "), 300)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_url_tells_path_query_and_scheme_and_a_path_leaves_the_scheme_to_the_service() {
        let ip: IpAddr = "2001:db8::1".parse().unwrap();
        let target = |asked| target(asked, ip);
        let from = "&ip=2001%3Adb8%3A%3A1";
        assert_eq!(target("/tool/1.0/a b"), format!("/v1/explain?path=%2Ftool%2F1%2E0%2Fa%20b{from}"));
        assert_eq!(target("tool/x"), format!("/v1/explain?path=%2Ftool%2Fx{from}"));
        assert_eq!(
            target("https://d.example:8443/tool/x?kind=archive#part"),
            format!("/v1/explain?path=%2Ftool%2Fx%3Fkind%3Darchive{from}&https=1&host=d%2Eexample")
        );
        assert!(target("http://d.example/tool/x").ends_with("&https=0&host=d%2Eexample"));
    }

    #[test]
    fn a_client_of_whom_nothing_is_known_and_a_mirror_without_a_place_are_shown() {
        let explanation = json!({
            "path": "/tool/stable/x", "ip": "203.0.113.5",
            "client": { "country": null, "asn": null, "region": null, "location": null, "network_rule": false },
            "product": "tool", "version": "1.8.2", "channel": "stable", "asset": "x", "outcome": "redirected",
            "location": "https://m.example/x",
            "candidates": [{ "mirror": "fra", "region": null, "country": null, "distance_km": null, "group": 0,
                "score": null, "weight": 100, "same_asn": false, "same_country": false, "refuses_credentials": true, "verdict": "chosen",
                "reason": "chosen: nothing is known of distances" }],
        });
        let text = page(&serde_json::from_value(explanation).unwrap());
        for part in [
            "nothing is known of where it is",
            "found   tool 1.8.2 x (channel stable)",
            "redirected to https://m.example/x",
            "fra",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(!text.contains("token"), "nobody brings one: {text}");
    }
}
