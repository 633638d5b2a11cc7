//! `[[issuer]]`: whose tokens are believed.

use std::path::PathBuf;
use std::time::Duration;

use url::{Host, Url};

use super::document::{Documents, Unique};
use super::gate::name;
use super::reader::{Section, Spot, nearest};
use super::value::{Value, quoted};
use super::values::{Issuer, IssuerKeys, JwtAlgorithm, SECRETS_MAX};

/// Most issuers.
const ISSUERS_MAX: usize = 1000;
/// Most entries of a list: audiences, patterns.
const ENTRIES_MAX: usize = 1000;
/// Longest `iss`, audience and name of a claim, in bytes.
const TEXT_MAX: usize = 1024;
const DAY: Duration = Duration::from_secs(86_400);

/// Ready-made settings; what is given beside them wins.
#[derive(Debug, Clone, Copy)]
struct Preset {
    /// `None`: every installation has its own.
    issuer: Option<&'static str>,
    jwks: PresetKeys,
    algorithms: &'static [JwtAlgorithm],
    token_id: &'static str,
    /// Claims that only one owner's tokens have with the same value.
    owners: &'static [&'static str],
}

#[derive(Debug, Clone, Copy)]
enum PresetKeys {
    /// A path below the issuer's URL.
    Below(&'static str),
    /// A URL of its own.
    At(&'static str),
}

const PRESETS: [(&str, Preset); 4] = [
    // GitHub, "OpenID Connect reference"; GitHub Enterprise Server: `issuer` is https://HOST/_services/token.
    (
        "github",
        Preset {
            issuer: Some("https://token.actions.githubusercontent.com"),
            jwks: PresetKeys::Below(".well-known/jwks"),
            algorithms: &[JwtAlgorithm::Rs256],
            token_id: "jti",
            owners: &[
                "sub",
                "repository",
                "repository_id",
                "repository_owner",
                "repository_owner_id",
                "enterprise",
                "enterprise_id",
                "job_workflow_ref",
                "workflow_ref",
                "actor",
                "actor_id",
            ],
        },
    ),
    // GitLab, "OpenID Connect (OIDC) Authentication Using ID Tokens".
    (
        "gitlab",
        Preset {
            issuer: Some("https://gitlab.com"),
            jwks: PresetKeys::Below("oauth/discovery/keys"),
            algorithms: &[JwtAlgorithm::Rs256],
            token_id: "jti",
            owners: &[
                "sub",
                "project_path",
                "project_id",
                "namespace_path",
                "namespace_id",
                "user_login",
                "user_email",
                "user_id",
                "ci_config_ref_uri",
            ],
        },
    ),
    // Kubernetes, "Service account issuer discovery"; the algorithm follows from the cluster's key. `jti` is there since
    // 1.30 (KEP-4193); for older clusters `kubernetes.io.pod.uid` tells pods apart.
    (
        "kubernetes",
        Preset {
            issuer: None,
            jwks: PresetKeys::Below("openid/v1/jwks"),
            algorithms: &[JwtAlgorithm::Rs256, JwtAlgorithm::Es256, JwtAlgorithm::Es384],
            token_id: "jti",
            owners: &["sub"],
        },
    ),
    // Google, "OpenID Connect"; its identity tokens have no `jti`, so that they are told apart by their account.
    (
        "google",
        Preset {
            issuer: Some("https://accounts.google.com"),
            jwks: PresetKeys::At("https://www.googleapis.com/oauth2/v3/certs"),
            algorithms: &[JwtAlgorithm::Rs256],
            token_id: "sub",
            owners: &["sub", "email", "hd", "azp"],
        },
    ),
];

/// All issuers, by the name of which entitlements speak of them.
#[derive(Debug)]
pub(super) struct Issuers {
    pub(super) list: Vec<Issuer>,
    /// Whether one could not be read, so that a name that is not found proves nothing.
    incomplete: bool,
}

impl Issuers {
    /// The position of the issuer that a value names.
    pub(super) fn named(&self, value: Value<'_>) -> Option<usize> {
        let text = value.text("the name of an [[issuer]] in quotes")?;
        if let Some(at) = self.list.iter().position(|issuer| issuer.name == text) {
            return Some(at);
        }
        if self.incomplete || value.spot().notes.is_incomplete() {
            return None;
        }
        let remedy = match nearest(text, self.list.iter().map(|issuer| issuer.name.as_str())) {
            Some(name) => format!("did you mean `{name}`?"),
            None => "add an [[issuer]] of that name".into(),
        };
        value.spot().refuse(format!("there is no issuer {}", quoted(text)), remedy)
    }
}

/// Claims that tell whose tokens they are, of an issuer where anybody can have an account, so that its signature alone says
/// nothing of who somebody is. `None`: it is no such issuer.
pub(super) fn owners(issuer: &Issuer) -> Option<&'static [&'static str]> {
    let preset = PRESETS.iter().find(|(_, preset)| preset.issuer == Some(&issuer.issuer));
    preset.map(|(_, preset)| preset.owners)
}

/// Every `[[issuer]]`.
pub(super) fn issuers(documents: &mut Documents<'_>) -> Issuers {
    let mut names = Unique::default();
    let sections = documents.tables("issuer", ISSUERS_MAX);
    let given = sections.len();
    let list: Vec<Issuer> = sections.into_iter().filter_map(|section| issuer(section, &mut names)).collect();
    Issuers { incomplete: list.len() < given, list }
}

fn issuer(mut section: Section<'_>, names: &mut Unique) -> Option<Issuer> {
    let spot = section.spot.clone();
    let name = section.require("name", "\"ci\"", |value| {
        let spot = value.spot().clone();
        let name = name(value)?;
        names.claim(&spot, &name).map(|()| name)
    });
    // A preset that cannot be read is the problem, and not that what it would have given is missing.
    let has_preset = section.has("preset");
    let preset = section.get("preset", |v| v.word(&PRESETS));
    let preset = preset.as_ref();
    let has_issuer = has_preset && preset.is_none_or(|preset| preset.issuer.is_some());
    let example = "\"https://token.actions.githubusercontent.com\"";
    let issuer = needed(&mut section, "issuer", has_issuer, example, bounded)
        .or_else(|| preset?.issuer.map(str::to_owned));
    let audiences = section.require("audience", "\"downloads.example.com\"", |v| some_of(v, bounded));
    let algorithms = |v: Value<'_>| some_of(v, |v| v.word(&JwtAlgorithm::NAMES));
    let algorithms = needed(&mut section, "algorithms", has_preset, "[\"RS256\"]", algorithms)
        .or_else(|| Some(preset?.algorithms.to_vec()));
    let keys = keys(&mut section, preset, issuer.as_deref(), has_preset);
    let leeway = section.get("leeway", |v| v.duration(Duration::ZERO..=Duration::from_secs(300)));
    let token_id = section.get("token_id", bounded);
    section.finish();
    let (algorithms, keys) = (algorithms?, keys?);
    fitting(&spot, &algorithms, &keys)?;
    Some(Issuer {
        name: name?,
        issuer: issuer?,
        audiences: audiences?,
        algorithms,
        keys,
        leeway: leeway.unwrap_or(Duration::from_secs(30)),
        token_id: token_id.unwrap_or_else(|| preset.map_or("jti", |preset| preset.token_id).to_owned()),
    })
}

/// A key that must be there, unless something ready-made stands in for it.
fn needed<'a, T>(
    section: &mut Section<'a>,
    key: &'static str,
    has_ready: bool,
    example: &str,
    read: impl FnOnce(Value<'a>) -> Option<T>,
) -> Option<T> {
    if has_ready { section.get(key, read) } else { section.require(key, example, read) }
}

/// Whoever has a key that is published must not be able to sign with it as if it were a secret.
fn fitting(spot: &Spot<'_>, algorithms: &[JwtAlgorithm], keys: &IssuerKeys) -> Option<()> {
    let shared = algorithms.iter().filter(|algorithm| algorithm.is_shared_secret()).count();
    match keys {
        IssuerKeys::Secrets(_) if shared < algorithms.len() => spot.refuse(
            "has `secret_file`, and algorithms that need public keys",
            "with a shared secret write algorithms = [\"HS256\"], or give jwks or jwks_file instead",
        ),
        IssuerKeys::Jwks { .. } | IssuerKeys::JwksFile(_) if shared > 0 => spot.refuse(
            "has public keys, and algorithms that need a shared secret",
            "take HS256, HS384 and HS512 out of `algorithms`, or give secret_file instead",
        ),
        IssuerKeys::Secrets(_) | IssuerKeys::Jwks { .. } | IssuerKeys::JwksFile(_) => Some(()),
    }
}

/// `jwks`, `jwks_file` or `secret_file`, or where the preset's keys are.
fn keys(
    section: &mut Section<'_>,
    preset: Option<&Preset>,
    issuer: Option<&str>,
    has_preset: bool,
) -> Option<IssuerKeys> {
    let spot = section.spot.clone();
    let given = ["jwks", "jwks_file", "secret_file"].iter().filter(|key| section.has(key)).count();
    let jwks = section.get("jwks", jwks);
    let file = section.get("jwks_file", Value::path);
    let secrets = section.get("secret_file", secret_files);
    let times = ["refresh", "max_age"].iter().any(|key| section.has(key));
    let (refresh, max_age) = (age(section, "refresh", DAY / 24), age(section, "max_age", DAY));
    let remedy = "give one of jwks = \"https://…\", jwks_file, or secret_file for HS256";
    if given > 1 {
        return spot.refuse("names several places of its keys", remedy);
    }
    if times && (file.is_some() || secrets.is_some()) {
        let message = "`refresh` and `max_age` are for keys that are fetched";
        return spot.refuse(message, "remove them; files are read again when the service is reloaded");
    }
    match (file, secrets) {
        (Some(file), _) => return Some(IssuerKeys::JwksFile(file)),
        (_, Some(secrets)) => return Some(IssuerKeys::Secrets(secrets)),
        (None, None) => {}
    }
    let url = match (jwks, preset) {
        (Some(url), _) => Some(url),
        (None, Some(preset)) if given == 0 => published(&spot, preset, issuer?),
        (None, None) if given == 0 && !has_preset => spot.lacks("does not say where its keys are", remedy),
        // The key or the preset that is bad is the problem.
        (None, _) => None,
    };
    let (refresh, max_age) = (refresh?, max_age?);
    if max_age < refresh {
        let remedy = "make it at least as long: 24 times `refresh` outlasts a day's outage where that is 1h";
        return spot.refuse("`max_age` is shorter than `refresh`, so keys would come and go", remedy);
    }
    Some(IssuerKeys::Jwks { url: url?, refresh, max_age })
}

/// `None` only where it is bad.
fn age(section: &mut Section<'_>, key: &'static str, default: Duration) -> Option<Duration> {
    match section.take(key) {
        Some(value) => value.duration(Duration::from_millis(10)..=DAY * 30),
        None => Some(default),
    }
}

/// Where a preset's issuer publishes its keys.
fn published(spot: &Spot<'_>, preset: &Preset, issuer: &str) -> Option<Url> {
    let text = match preset.jwks {
        PresetKeys::At(url) => url.to_owned(),
        PresetKeys::Below(path) => format!("{}/{path}", issuer.trim_end_matches('/')),
    };
    let url = Url::parse(&text).ok().filter(is_safe);
    match url {
        Some(url) => Some(url),
        None => spot.refuse(
            "`issuer` is no https URL below which keys could be",
            "write it as its tokens have it in `iss`, or say where the keys are with jwks or jwks_file",
        ),
    }
}

/// Keys decide who is believed, so that nobody on the way may change them.
fn is_safe(url: &Url) -> bool {
    let loopback = match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => return false,
    };
    let bare = url.username().is_empty() && url.password().is_none();
    bare && (url.scheme() == "https" || (url.scheme() == "http" && loopback))
}

fn jwks(value: Value<'_>) -> Option<Url> {
    let example = "\"https://token.actions.githubusercontent.com/.well-known/jwks\"";
    let text = value.text(example)?;
    match Url::parse(text).ok().filter(is_safe) {
        Some(url) => Some(url),
        // The text is not repeated: it may hold a password.
        None => value.spot().refuse(
            "is no https URL without user name (http only to a loopback address)",
            format!("write it like {example}, or fetch the keys yourself and name them with jwks_file"),
        ),
    }
}

/// One or more.
pub(super) fn some_of<'a, T>(value: Value<'a>, read: impl FnMut(Value<'a>) -> Option<T>) -> Option<Vec<T>> {
    let spot = value.spot().clone();
    let list = value.one_or_list(read)?;
    match list.len() {
        0 => spot.refuse("is an empty list", "name one at least"),
        1..=ENTRIES_MAX => Some(list),
        _ => spot.refuse(format!("names more than {ENTRIES_MAX}"), "remove some"),
    }
}

/// A text of a token, or the name of a claim.
pub(super) fn bounded(value: Value<'_>) -> Option<String> {
    let text = value.text("a text in quotes")?;
    if text.is_empty() || text.len() > TEXT_MAX || text.chars().any(char::is_control) {
        let remedy = format!("write 1 to {TEXT_MAX} bytes without control characters");
        return value.spot().refuse("is empty, too long, or holds a control character", remedy);
    }
    Some(text.to_owned())
}

/// Files with secrets: the first is used, all are believed.
pub(super) fn secret_files(value: Value<'_>) -> Option<Vec<PathBuf>> {
    let spot = value.spot().clone();
    let files = some_of(value, Value::path)?;
    if files.len() > SECRETS_MAX {
        let remedy =
            "name the new one and the old one, and take out those that nothing is signed with any more";
        return spot.refuse(format!("names more than {SECRETS_MAX} secrets"), remedy);
    }
    Some(files)
}
