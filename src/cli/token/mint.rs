//! `waypost token mint`: a token of an issuer with a shared secret.

use std::time::Duration;

use aws_lc_rs::rand;
use data_encoding::HEXLOWER;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Map, Value, json};

use crate::cli::config_file::ConfigFile;
use crate::cli::outcome::{CliError, Exit, complain, print, printable};
use crate::cli::span;
use crate::config::{Config, Issuer, IssuerKeys, JwtAlgorithm};
use crate::entitlement::TOKEN_MAX;
use crate::model::{Clock, SystemClock, Timestamp};
use crate::redirect::status_of;
use crate::workers::believed::shared_secret;

/// Longest time of a token: ten years, so that somebody has to renew it.
const TTL_MAX: Duration = Duration::from_secs(3653 * 86_400);
/// Claims that are made here.
const OWN: [&str; 5] = ["iss", "aud", "iat", "nbf", "exp"];

/// `waypost token mint`
#[derive(Debug, clap::Args)]
pub struct MintArgs {
    #[command(flatten)]
    config: ConfigFile,
    /// The issuer's name in the configuration; it has a secret_file
    #[arg(long, value_name = "NAME")]
    issuer: String,
    /// Whom it is for, one of the issuer's audiences [default: the first]
    #[arg(long)]
    audience: Option<String>,
    /// Who it is about (`sub`)
    #[arg(long)]
    subject: Option<String>,
    /// A further claim, as often as needed; a value that reads as JSON is JSON, and else text
    #[arg(long = "claim", value_name = "NAME=VALUE", value_parser = claim)]
    claims: Vec<(String, Value)>,
    /// How long it is good, such as 1h or 30d
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = ttl)]
    ttl: Duration,
    /// Prints JSON: the token, its id and its end
    #[arg(long)]
    json: bool,
}

fn claim(text: &str) -> Result<(String, Value), String> {
    let (name, value) =
        text.split_once('=').filter(|(name, _)| !name.is_empty()).ok_or("write it as NAME=VALUE")?;
    if OWN.contains(&name) {
        return Err(format!("{name} is set by --issuer, --audience and --ttl"));
    }
    let value = serde_json::from_str(value).unwrap_or_else(|_| Value::from(value));
    Ok((name.to_owned(), value))
}

fn ttl(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(ttl) if ttl < Duration::from_secs(1) => Err("it would be over at once: 1s at least".to_owned()),
        Ok(ttl) if ttl > TTL_MAX => Err("that is for ever: ten years at most".to_owned()),
        Ok(ttl) => Ok(ttl),
        Err(_) => Err("write a number and its unit: 1h, 30d".to_owned()),
    }
}

/// Makes a token.
///
/// # Errors
///
/// Where the issuer has no shared secret, or is not for the audience.
pub fn run(args: &MintArgs) -> Result<Exit, CliError> {
    let config = args.config.load()?.config;
    let issuer = issuer(&config, &args.issuer)?;
    let secret = secret(issuer)?;
    let now = SystemClock.now();
    // Tokens count in seconds.
    let until = Timestamp::from_millis(now.after(args.ttl).as_millis() / 1000 * 1000);
    let token = sign(issuer, &claims(args, issuer, now, until)?, &secret)?;
    // It is made to be believed; what can be in the way are claims of the wrong kind, such as an object as its id.
    let grant = super::entitlements(&config)?.grant(&token, now);
    let grant = grant.map_err(|why| {
        CliError::Usage(format!("the service would not believe it: {}", status_of(why.reason).1))
    })?;
    let id = grant.token_id.as_deref();
    if args.json {
        print(json!({ "token": token, "token_id": id, "valid_until": until.to_string() }).to_string());
    } else {
        print(&token);
        let known = id.map_or_else(
            || format!("has no claim {}, so that it can be neither revoked nor counted", issuer.token_id),
            |id| format!("has the id {}", printable(id, 1100)),
        );
        complain(format!("That is the token, good for {}; it {known}.", span::words(args.ttl)));
    }
    if grant.rules().is_empty() {
        complain("warning: no [[entitlement]] fits it, so it gives nothing; --claim adds claims");
    }
    Ok(Exit::Done)
}

fn issuer<'c>(config: &'c Config, name: &str) -> Result<&'c Issuer, CliError> {
    config.issuers.iter().find(|issuer| issuer.name == name).ok_or_else(|| {
        let names: Vec<&str> = config.issuers.iter().map(|issuer| issuer.name.as_str()).collect();
        let known = match names.is_empty() {
            true => "the configuration has no [[issuer]]".to_owned(),
            false => format!("there are: {}", names.join(", ")),
        };
        CliError::Usage(format!("there is no issuer {}; {known}", printable(name, 200)))
    })
}

fn secret(issuer: &Issuer) -> Result<Vec<u8>, CliError> {
    let path = match &issuer.keys {
        IssuerKeys::Secrets(paths) => paths.first().expect("an issuer with secrets has one at least"),
        IssuerKeys::Jwks { .. } | IssuerKeys::JwksFile(_) => {
            return Err(CliError::Usage(format!(
                "{} signs with a key of its own: only tokens of an issuer with a secret_file are made here",
                issuer.name
            )));
        }
    };
    shared_secret(path).map_err(|error| CliError::Usage(error.to_string()))
}

fn claims(
    args: &MintArgs,
    issuer: &Issuer,
    now: Timestamp,
    until: Timestamp,
) -> Result<Map<String, Value>, CliError> {
    let audience = args.audience.as_ref().or(issuer.audiences.first()).expect("an issuer has an audience");
    if !issuer.audiences.contains(audience) {
        let (name, known) = (&issuer.name, issuer.audiences.join(" or "));
        let why = format!("tokens of {name} have to be for {known}, or the service refuses them");
        return Err(CliError::Usage(why));
    }
    let mut id = [0; 16];
    rand::fill(&mut id).map_err(|_| CliError::Unknown("the system gives no random bytes".to_owned()))?;
    let seconds = |moment: Timestamp| json!(moment.as_millis() / 1000);
    let mut claims = Map::from_iter([
        ("iss".to_owned(), json!(issuer.issuer)),
        ("aud".to_owned(), json!(audience)),
        ("iat".to_owned(), seconds(now)),
        ("nbf".to_owned(), seconds(now)),
        ("exp".to_owned(), seconds(until)),
        ("jti".to_owned(), json!(HEXLOWER.encode(&id))),
    ]);
    claims.extend(args.subject.iter().map(|subject| ("sub".to_owned(), json!(subject))));
    for (at, (name, value)) in args.claims.iter().enumerate() {
        let twice = args.claims[..at].iter().any(|(before, _)| before == name);
        if twice || (name == "sub" && args.subject.is_some()) {
            return Err(CliError::Usage(format!("the claim {} is given twice", printable(name, 200))));
        }
        claims.insert(name.clone(), value.clone());
    }
    Ok(claims)
}

fn sign(issuer: &Issuer, claims: &Map<String, Value>, secret: &[u8]) -> Result<String, CliError> {
    let algorithm = match issuer.algorithms.first() {
        Some(JwtAlgorithm::Hs384) => Algorithm::HS384,
        Some(JwtAlgorithm::Hs512) => Algorithm::HS512,
        _ => Algorithm::HS256,
    };
    let token = encode(&Header::new(algorithm), claims, &EncodingKey::from_secret(secret))
        .map_err(|error| CliError::Usage(format!("the token cannot be signed: {error}")))?;
    match token.len() {
        0..=TOKEN_MAX => Ok(token),
        length => Err(CliError::Usage(format!(
            "the token would have {length} bytes, and {TOKEN_MAX} are accepted: leave claims out"
        ))),
    }
}
