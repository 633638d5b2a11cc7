//! `sign` of a mirror: how its links are signed, and with which keys.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use url::Url;

use super::reader::{Section, Spot};
use super::value::{Value, quoted};
use super::values::{LinkPart, LinkTemplate, Sign, SignKind, SignatureEncoding};

const TTL: std::ops::RangeInclusive<Duration> = Duration::from_secs(30)..=Duration::from_secs(7 * 86_400);
const TTL_DEFAULT: Duration = Duration::from_secs(300);
/// Longest id, template or name, in bytes.
const TEXT_MAX: usize = 512;

/// Keys of one kind or another.
const KEYS: &[&str] = &[
    "secret_file",
    "message",
    "query",
    "encoding",
    "region",
    "access_key_file",
    "key_pair_id",
    "key_file",
    "account",
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    SecureLink,
    Hmac,
    S3,
    CloudFront,
    Gcs,
    Azure,
}

impl Kind {
    const NAMES: [(&str, Self); 6] = [
        ("secure_link", Self::SecureLink),
        ("hmac", Self::Hmac),
        ("s3", Self::S3),
        ("cloudfront", Self::CloudFront),
        ("gcs", Self::Gcs),
        ("azure", Self::Azure),
    ];

    fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(_, kind)| *kind == self).map_or("", |(name, _)| name)
    }

    /// Its keys beside kind, ttl and bind.
    fn keys(self) -> &'static [&'static str] {
        match self {
            Self::SecureLink => &["secret_file"],
            Self::Hmac => &["secret_file", "message", "query", "encoding"],
            Self::S3 => &["region", "access_key_file", "secret_file"],
            Self::CloudFront => &["key_pair_id", "key_file"],
            Self::Gcs => &["key_file"],
            Self::Azure => &["account", "key_file"],
        }
    }

    /// Whether its links can be bound to a network.
    fn binds(self) -> bool {
        !matches!(self, Self::S3 | Self::Gcs)
    }
}

/// `sign = { … }` of the mirror at `mirror`.
pub(super) fn sign(mut section: Section<'_>, mirror: Option<&Url>) -> Option<Sign> {
    let spot = section.spot.clone();
    let kind = section.require("kind", "\"secure_link\"", |value| value.word(&Kind::NAMES));
    let ttl = section.get("ttl", |value| value.duration(TTL)).unwrap_or(TTL_DEFAULT);
    let bind = section.take("bind");
    let given = KEYS.iter().filter_map(|key| Some((*key, section.take(key)?))).collect();
    section.finish();
    let kind = kind?;
    let bind_network = match bind {
        None => false,
        Some(value) => bound(value, kind)?,
    };
    let mut keys = Keys { given, kind, spot: spot.clone() };
    keys.refuse_others();
    let kind = keys.read(bind_network)?;
    if matches!(kind, SignKind::Azure { .. }) && mirror.is_some_and(|url| url.scheme() != "https") {
        return spot
            .refuse("signs links that Azure takes by https alone", "write the mirror's url with https");
    }
    Some(Sign { kind, ttl, bind_network })
}

fn bound(value: Value<'_>, kind: Kind) -> Option<bool> {
    let spot = value.spot().clone();
    value.word(&[("network", ())])?;
    if kind.binds() {
        return Some(true);
    }
    let message = format!("links of kind \"{}\" cannot be bound to a network", kind.name());
    spot.refuse(message, "remove it, and make ttl short")
}

/// The keys that are given, for one kind.
struct Keys<'a> {
    given: BTreeMap<&'static str, Value<'a>>,
    kind: Kind,
    spot: Spot<'a>,
}

impl<'a> Keys<'a> {
    /// Refuses what belongs to other kinds.
    fn refuse_others(&mut self) {
        let (name, known) = (self.kind.name(), self.kind.keys());
        for (key, value) in &self.given {
            if !known.contains(key) {
                let remedy = format!("remove it; kind \"{name}\" has {}", known.join(", "));
                value.spot().refuse::<()>(format!("is no key of kind \"{name}\""), remedy);
            }
        }
    }

    fn read(mut self, bind_network: bool) -> Option<SignKind> {
        match self.kind {
            Kind::SecureLink => Some(SignKind::SecureLink { secret: self.file("secret_file")? }),
            Kind::Hmac => self.hmac(bind_network),
            Kind::S3 => {
                let region = self.require("region", "\"eu-central-1\"", |value| id(&value, "a region"));
                let access_key = self.file("access_key_file");
                let secret = self.file("secret_file");
                Some(SignKind::S3 { region: region?, access_key: access_key?, secret: secret? })
            }
            Kind::CloudFront => {
                let key_pair = self.require("key_pair_id", "\"K2JCJMDEHXQW5F\"", |v| id(&v, "a key's id"));
                let key = self.file("key_file");
                Some(SignKind::CloudFront { key_pair: key_pair?, key: key? })
            }
            Kind::Gcs => Some(SignKind::Gcs { key: self.file("key_file")? }),
            Kind::Azure => {
                let account = self.require("account", "\"storageaccount\"", |v| id(&v, "an account's name"));
                let key = self.file("key_file");
                Some(SignKind::Azure { account: account?, key: key? })
            }
        }
    }

    fn hmac(mut self, bind_network: bool) -> Option<SignKind> {
        let secret = self.file("secret_file");
        let default = match bind_network {
            true => "{expires} {network}{path}",
            false => "{expires}{path}",
        };
        let message = self.template("message", default, |template, spot| {
            has(template, &[LinkPart::Expires, LinkPart::Path], spot)?;
            match template.0.contains(&LinkPart::Network) {
                bound if bound == bind_network => Some(()),
                true => spot.refuse("holds {network}", "add bind = \"network\", or remove it"),
                false => spot.refuse("lacks {network}", "add it, or remove `bind`"),
            }
        });
        let default = "?expires={expires}&signature={signature}";
        let query = self.template("query", default, |template, spot| {
            has(template, &[LinkPart::Expires, LinkPart::Signature], spot)?;
            match template.0.first() {
                Some(LinkPart::Literal(text)) if text.starts_with('?') => Some(()),
                _ => spot.refuse("does not begin with ?", format!("write it like \"{default}\"")),
            }
        });
        let encoding = match self.given.remove("encoding") {
            None => Some(SignatureEncoding::default()),
            Some(value) => {
                value.word(&[("hex", SignatureEncoding::Hex), ("base64url", SignatureEncoding::Base64Url)])
            }
        };
        Some(SignKind::Hmac { secret: secret?, message: message?, query: query?, encoding: encoding? })
    }

    fn template(
        &mut self,
        key: &str,
        default: &str,
        check: impl FnOnce(&LinkTemplate, &Spot<'a>) -> Option<()>,
    ) -> Option<LinkTemplate> {
        let allowed: &[(&str, LinkPart)] = match key {
            "message" => &MESSAGE_PARTS,
            _ => &QUERY_PARTS,
        };
        let Some(value) = self.given.remove(key) else { return parse(default, allowed).ok() };
        let text = value.text("a template such as \"{expires}{path}\"")?;
        match parse(text, allowed) {
            Ok(template) => check(&template, value.spot()).map(|()| template),
            Err(message) => {
                let names: Vec<_> = allowed.iter().map(|(name, _)| format!("{{{name}}}")).collect();
                value.spot().refuse(message, format!("write it from {} and plain text", names.join(", ")))
            }
        }
    }

    fn file(&mut self, key: &str) -> Option<PathBuf> {
        self.require(key, "\"secret\"", Value::path)
    }

    fn require<T>(
        &mut self,
        key: &str,
        example: &str,
        read: impl FnOnce(Value<'a>) -> Option<T>,
    ) -> Option<T> {
        match self.given.remove(key) {
            Some(value) => read(value),
            None => {
                let message = format!("`{key}` is missing, which kind \"{}\" needs", self.kind.name());
                self.spot.lacks(message, format!("add {key} = {example}"))
            }
        }
    }
}

/// A word that may stand in a URL as it is.
fn id(value: &Value<'_>, what: &str) -> Option<String> {
    let text = value.text(what)?;
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if text.is_empty() || text.len() > TEXT_MAX || !text.bytes().all(fits) {
        let remedy = format!("write {what}: letters, digits and - _ .");
        return value.spot().refuse(format!("{} is not {what}", quoted(text)), remedy);
    }
    Some(text.to_owned())
}

const MESSAGE_PARTS: [(&str, LinkPart); 3] =
    [("expires", LinkPart::Expires), ("path", LinkPart::Path), ("network", LinkPart::Network)];
const QUERY_PARTS: [(&str, LinkPart); 2] =
    [("expires", LinkPart::Expires), ("signature", LinkPart::Signature)];

/// Reads a template; says what is wrong with it.
fn parse(text: &str, allowed: &[(&str, LinkPart)]) -> Result<LinkTemplate, String> {
    // What is written for a query ends up in header lines between < and >; the message need only be text.
    let fits = |c: char| c == ' ' && allowed.len() == MESSAGE_PARTS.len() || c.is_ascii_graphic();
    if text.len() > TEXT_MAX || text.contains(['<', '>', '"', '#']) || !text.chars().all(fits) {
        return Err(format!("{} is too long, or holds what no URL does", quoted(text)));
    }
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find(['{', '}']) {
        let (literal, tail) = rest.split_at(at);
        let name = tail.strip_prefix('{').and_then(|tail| tail.split_once('}'));
        let part = name.and_then(|(name, _)| allowed.iter().find(|(allowed, _)| *allowed == name));
        let (Some((_, after)), Some((_, part))) = (name, part) else {
            return Err(format!("{} is no placeholder", quoted(tail)));
        };
        if !literal.is_empty() {
            parts.push(LinkPart::Literal(literal.to_owned()));
        }
        parts.push(part.clone());
        rest = after;
    }
    if !rest.is_empty() {
        parts.push(LinkPart::Literal(rest.to_owned()));
    }
    Ok(LinkTemplate(parts))
}

fn has(template: &LinkTemplate, needed: &[LinkPart], spot: &Spot<'_>) -> Option<()> {
    match needed.iter().find(|part| !template.0.contains(part)) {
        None => Some(()),
        Some(part) => {
            let mut all = MESSAGE_PARTS.iter().chain(&QUERY_PARTS);
            let name = all.find(|(_, other)| other == part).map_or("", |(name, _)| *name);
            let message =
                format!("lacks {{{name}}}, without which a link would be good for more than it should");
            spot.refuse(message, format!("add {{{name}}}"))
        }
    }
}
