//! JSON Web Tokens (RFC 7519): signed by a known issuer with an algorithm that it may use, for this audience, and valid
//! now. In that order: nothing that an unsigned token says is told back but whose it claims to be.

use std::sync::Arc;
use std::time::Duration;

use data_encoding::BASE64URL_NOPAD;
use jsonwebtoken::{Algorithm, crypto};
use serde_json::Value;

use super::Disbelief;
use super::claims::Claims;
use super::keys::{KeySet, algorithm_of};
use crate::config;
use crate::config::{JwtAlgorithm, SECRETS_MAX};
use crate::model::{Denial, IssuerId, Timestamp};

/// Longest token that is looked at, in bytes. Identity providers' tokens have 1 to 4 KB.
pub const TOKEN_MAX: usize = 8 * 1024;
/// Longest id of a token, in bytes: counts, revocations, tickets and the record carry it.
const TOKEN_ID_MAX: usize = 256;
/// How long it is known what the bearer of an id has taken that comes with many tokens.
const COUNTED_FOR: Duration = Duration::from_secs(400 * 24 * 60 * 60);
/// Most keys that are tried for a token: one costs more than all the rest of an answer (`load-tests/run --only private`), and
/// whoever makes up tokens that name no key has all of them tried.
const TRIED_MAX: usize = 3;
const _: () = assert!(SECRETS_MAX <= TRIED_MAX, "every shared secret is believed");

/// Somebody whose tokens are believed.
#[derive(Debug, Clone)]
pub struct Issuer {
    /// Its name here.
    pub name: Arc<str>,
    /// Its `iss`.
    pub issuer: Box<str>,
    /// One of these has to be in `aud`.
    pub audiences: Box<[String]>,
    /// What it may sign with.
    pub algorithms: Box<[(&'static str, Algorithm)]>,
    /// How far its clock may be off.
    pub leeway: Duration,
    /// The claim that tells its tokens apart.
    pub token_id: Box<str>,
    /// Its keys; `None` while they are not known.
    pub keys: Option<Arc<KeySet>>,
}

impl Issuer {
    /// A configured issuer with the keys that are known of it.
    pub fn new(issuer: &config::Issuer, keys: Option<Arc<KeySet>>) -> Self {
        let algorithm = |wanted: &JwtAlgorithm| {
            let named = JwtAlgorithm::NAMES.iter().find(|(_, algorithm)| algorithm == wanted);
            named.map(|(name, algorithm)| (*name, algorithm_of(*algorithm)))
        };
        Self {
            name: issuer.name.as_str().into(),
            issuer: issuer.issuer.as_str().into(),
            audiences: issuer.audiences.clone().into(),
            algorithms: issuer.algorithms.iter().filter_map(algorithm).collect(),
            leeway: issuer.leeway,
            token_id: issuer.token_id.as_str().into(),
            keys,
        }
    }

    /// Until when it matters what a token takes that is valid until then. A `jti` is that token's alone (RFC 7519 section
    /// 4.1.7), and ends with it; any other claim, such as a person's or a pod's, stands in the next token again.
    pub fn counted_until(&self, valid_until: Timestamp, now: Timestamp) -> Timestamp {
        if &*self.token_id == "jti" { valid_until } else { now.after(COUNTED_FOR) }
    }

    /// Whether a token is for one of its audiences.
    fn is_meant_by(&self, claims: &Claims) -> bool {
        claims.get("aud").is_some_and(|aud| is_for(aud, &self.audiences))
    }
}

/// A token that is believed.
#[derive(Debug, Clone, PartialEq)]
pub struct Token {
    /// Whose it is.
    pub issuer: IssuerId,
    /// What tells it from others, where it says so.
    pub token_id: Option<Arc<str>>,
    /// From when on it is valid, leeway included.
    pub valid_from: Timestamp,
    /// Until when, leeway included.
    pub valid_until: Timestamp,
    /// Everything it says.
    pub claims: Claims,
}

/// The parts of a token, unverified.
struct Parts<'t> {
    /// What was signed.
    message: &'t str,
    signature: &'t str,
    header: Claims,
    claims: Claims,
}

fn parts(token: &str) -> Result<Parts<'_>, Denial> {
    let (message, signature) = token.rsplit_once('.').ok_or(Denial::Malformed)?;
    let (header, claims) = message.split_once('.').ok_or(Denial::Malformed)?;
    let read = |part: &str| {
        let bytes = BASE64URL_NOPAD.decode(part.as_bytes()).map_err(|_| Denial::Malformed)?;
        Claims::read(&bytes)
    };
    let header = read(header)?;
    // An extension that has to be understood and is not (RFC 7515 section 4.1.11).
    if header.get("crit").is_some() {
        return Err(Denial::Malformed);
    }
    Ok(Parts { message, signature, header, claims: read(claims)? })
}

/// Header and claims of a token, believed or not: for those who hold it and want to know what it says.
///
/// # Errors
///
/// Where it is none.
pub fn decode(token: &str) -> Result<(Claims, Claims), Denial> {
    if token.len() > TOKEN_MAX {
        return Err(Denial::TooLarge);
    }
    parts(token).map(|parts| (parts.header, parts.claims))
}

/// Verifies a token.
pub(super) fn verify(issuers: &[Issuer], token: &str, now: Timestamp) -> Result<Token, Disbelief> {
    let parts = parts(token).map_err(|reason| Disbelief { reason, issuer: None })?;
    let unknown = |reason| Disbelief { reason, issuer: None };
    let name = parts.claims.text("iss").ok_or(unknown(Denial::MissingClaim))?;
    let named = (0..).zip(issuers).filter(|(_, issuer)| *issuer.issuer == *name);
    // One name may be configured twice, for two audiences: the refusal that counts is that of the one the token is for,
    // because it is that one's keys that may have to be fetched.
    let mut refused = unknown(Denial::UnknownIssuer);
    for (id, issuer) in named {
        let id = IssuerId(id);
        match verify_by(issuer, id, &parts, now) {
            Ok(token) => return Ok(token),
            Err(reason) if refused.issuer.is_none() || issuer.is_meant_by(&parts.claims) => {
                refused = Disbelief { reason, issuer: Some(id) };
            }
            Err(_) => {}
        }
    }
    Err(refused)
}

fn verify_by(issuer: &Issuer, id: IssuerId, parts: &Parts<'_>, now: Timestamp) -> Result<Token, Denial> {
    check_signature(issuer, parts)?;
    let claims = &parts.claims;
    if !is_for(claims.get("aud").ok_or(Denial::MissingClaim)?, &issuer.audiences) {
        return Err(Denial::WrongAudience);
    }
    let until = moment(claims.get("exp").ok_or(Denial::MissingClaim)?)?.after(issuer.leeway);
    let from = match claims.get("nbf") {
        Some(moment_of) => Timestamp::from_millis(
            moment(moment_of)?
                .as_millis()
                .saturating_sub(i64::try_from(issuer.leeway.as_millis()).unwrap_or(0)),
        ),
        None => Timestamp::from_millis(i64::MIN),
    };
    let token_id: Option<Arc<str>> = match claims.at(&issuer.token_id) {
        Some(Value::String(id)) => Some(id.as_str().into()),
        Some(Value::Number(id)) => Some(id.to_string().into()),
        Some(_) => return Err(Denial::MissingClaim),
        None => None,
    };
    if token_id.as_ref().is_some_and(|id| id.len() > TOKEN_ID_MAX) {
        return Err(Denial::TooLarge);
    }
    let token = Token { issuer: id, token_id, valid_from: from, valid_until: until, claims: claims.clone() };
    valid_at(from, until, now).map(|()| token)
}

/// Whether a moment lies in a token's time.
pub(super) fn valid_at(from: Timestamp, until: Timestamp, now: Timestamp) -> Result<(), Denial> {
    if now >= until {
        return Err(Denial::Expired);
    }
    if now < from { Err(Denial::NotYetValid) } else { Ok(()) }
}

fn check_signature(issuer: &Issuer, parts: &Parts<'_>) -> Result<(), Denial> {
    let named = parts.header.text("alg").ok_or(Denial::Malformed)?;
    // What the issuer may use decides; the token only says which of it.
    let allowed = issuer.algorithms.iter().find(|(name, _)| *name == named);
    let (_, algorithm) = *allowed.ok_or(Denial::WrongAlgorithm)?;
    let keys = issuer.keys.as_deref().ok_or(Denial::NoKeys)?;
    let key_id = match parts.header.get("kid") {
        Some(Value::String(id)) => Some(id.as_str()),
        Some(_) => return Err(Denial::Malformed),
        None => None,
    };
    let mut tried = 0;
    for key in keys.candidates(key_id, algorithm).take(TRIED_MAX) {
        tried += 1;
        // An error is a key or a signature of another form: not this one.
        if matches!(crypto::verify(parts.signature, parts.message.as_bytes(), key, algorithm), Ok(true)) {
            return Ok(());
        }
    }
    match tried {
        // The key is there, and is for something else: fetching it again would not help.
        0 if key_id.is_some_and(|id| keys.has(id)) => Err(Denial::WrongAlgorithm),
        0 => Err(Denial::UnknownKey),
        _ => Err(Denial::BadSignature),
    }
}

/// A text, or a list that holds it (RFC 7519 section 4.1.3).
fn is_for(claim: &Value, audiences: &[String]) -> bool {
    let is_ours =
        |claim: &Value| claim.as_str().is_some_and(|name| audiences.iter().any(|ours| ours == name));
    match claim {
        Value::Array(names) => names.iter().any(is_ours),
        name => is_ours(name),
    }
}

/// Seconds since 1970, with or without a fraction (RFC 7519 section 2, NumericDate).
fn moment(claim: &Value) -> Result<Timestamp, Denial> {
    let seconds = claim.as_f64().filter(|seconds| seconds.is_finite()).ok_or(Denial::MissingClaim)?;
    // As far as a 64-bit number of milliseconds reaches; the conversion stops there by itself.
    Ok(Timestamp::from_millis((seconds * 1000.0) as i64))
}
