//! `[[entitlement]]`: what an issuer's tokens give their bearers.

use glob::Pattern;

use super::document::{Documents, Unique};
use super::issuer::{Issuers, owners, some_of};
use super::reader::Section;
use super::region::Regions;
use super::release::{Products, channel_name};
use super::value::{Value, quoted};
use super::values::{Allow, ClaimMatch, Entitlement, Mirror, ProductPattern};
use crate::model::ProductName;

/// Most entitlements.
const ENTRIES_MAX: usize = 10_000;
/// Most claims that one asks for.
const CLAIMS_MAX: usize = 1000;
/// Longest pattern, in bytes.
const PATTERN_MAX: usize = 1024;

/// Every `[[entitlement]]`.
pub(super) fn entitlements(
    documents: &mut Documents<'_>,
    issuers: &Issuers,
    regions: &Regions,
    products: &Products<'_>,
) -> Vec<Entitlement> {
    let sections = documents.tables("entitlement", ENTRIES_MAX);
    sections.into_iter().filter_map(|section| entitlement(section, issuers, regions, products)).collect()
}

fn entitlement(
    mut section: Section<'_>,
    issuers: &Issuers,
    regions: &Regions,
    products: &Products<'_>,
) -> Option<Entitlement> {
    let spot = section.spot.clone();
    let issuer = section.require("issuer", "\"ci\"", |v| issuers.named(v));
    let given = section.has("when");
    let when = section.get("when", claims);
    // A `when` that is bad is the problem, and not the openness which follows from it.
    let is_open = !given || when.as_ref().is_some_and(|when| when.iter().all(is_anything));
    let gives = section.has("allow");
    let allow = parts(&mut section).into_iter().filter_map(|part| allow(part, regions, products)).collect();
    section.finish();
    if !gives {
        return spot.lacks("`allow` is missing", "add allow = [{ product = \"agent\" }]");
    }
    let issuer = issuer?;
    let owners = issuers.list.get(issuer).and_then(owners);
    if is_open && owners.is_some() {
        return spot.refuse(
            "gives this to everybody who has an account at the issuer",
            "say with `when` whose tokens: when = { repository_owner = \"acme\" }, { namespace_path = \"acme\" } or \
             { email = \"ci@acme.iam.gserviceaccount.com\" }",
        );
    }
    let when = when.unwrap_or_default();
    if let Some(owners) = owners.filter(|owners| when.iter().all(|one| !owners.contains(&&*one.claim))) {
        spot.warn(
            "no claim in `when` says whose tokens: whoever has an account at the issuer may make one that fits",
            format!("add one of {}", owners.join(", ")),
        );
    }
    Some(Entitlement { issuer, when, allow })
}

/// `{ claim = "pattern", … }`, or lists of patterns.
fn claims(value: Value<'_>) -> Option<Vec<ClaimMatch>> {
    let section = value.section()?;
    let spot = section.spot.clone();
    let entries = section.into_entries();
    if entries.len() > CLAIMS_MAX {
        return spot.refuse(format!("names more than {CLAIMS_MAX} claims"), "remove some");
    }
    // All are read before the first bad one ends it, so that every problem is noted.
    let read = |(claim, value)| Some(ClaimMatch { claim, patterns: some_of(value, pattern)? });
    let claims: Vec<Option<ClaimMatch>> = entries.into_iter().map(read).collect();
    claims.into_iter().collect()
}

/// Whether any value will do.
fn is_anything(claim: &ClaimMatch) -> bool {
    claim.patterns.iter().any(|pattern| pattern.as_str().bytes().all(|byte| byte == b'*'))
}

/// A text in which `*` stands for any text and `?` for any character; nothing else is special.
fn pattern(value: Value<'_>) -> Option<Pattern> {
    let text = value.text("a text in quotes; * stands for any text")?;
    let read = (text.len() <= PATTERN_MAX).then(|| Pattern::new(&text.replace('[', "[[]")));
    match read {
        Some(Ok(pattern)) => Some(pattern),
        Some(Err(_)) => value
            .spot()
            .refuse(format!("{} is no pattern", quoted(text)), "write one * for any text, / included"),
        None => value.spot().refuse(format!("is longer than {PATTERN_MAX} bytes"), "make it shorter"),
    }
}

fn parts<'a>(section: &mut Section<'a>) -> Vec<Section<'a>> {
    match section.take("allow") {
        Some(value) => some_of(value, Value::section).unwrap_or_default(),
        None if section.spot.notes.is_specimen() => vec![section.absent("allow")],
        None => Vec::new(),
    }
}

fn allow(mut section: Section<'_>, regions: &Regions, products: &Products<'_>) -> Option<Allow> {
    let spot = section.spot.clone();
    let product = section.require("product", "\"agent\"", |v| product(v, products));
    let mut own = Unique::default();
    // A list that is given and empty could mean all or nothing, so `some_of` refuses it.
    let channels = section.get("channels", |v| some_of(v, |v| channel_name(v, &mut own)));
    let versions = section.get("versions", |v| v.parsed("\">=1.0, <2.0\""));
    let platforms = section.get("platforms", |v| some_of(v, |v| v.parsed("\"linux-amd64\"")));
    let named = section.get("regions", |v| some_of(v, |v| regions.named(v)));
    let (from, until) = (section.get("from", Value::moment), section.get("until", Value::moment));
    let assets = section.get("assets", |v| v.integer(1..=u32::MAX));
    section.finish();
    if from.zip(until).is_some_and(|(from, until)| from >= until) {
        return spot.refuse("`until` is not after `from`, so this is never given", "correct one of them");
    }
    Some(Allow {
        product: product?,
        channels: channels.unwrap_or_default(),
        versions,
        platforms: platforms.unwrap_or_default(),
        regions: named.unwrap_or_default(),
        from,
        until,
        assets,
    })
}

/// A product's name, or a pattern.
fn product(value: Value<'_>, products: &Products<'_>) -> Option<ProductPattern> {
    let text = value.text("\"agent\"")?.to_owned();
    if text.contains(['*', '?']) {
        return pattern(value).map(ProductPattern::Like);
    }
    let spot = value.spot().clone();
    let name: ProductName = value.parsed("\"agent\" or \"agent-*\"")?;
    if !products.entitled.iter().any(|(entitled, _)| *entitled == name) {
        spot.warn(
            format!("{} is public, so everybody has it without a token", quoted(&text)),
            "add access = \"entitled\" to its [[product]], or remove it here",
        );
    }
    Some(ProductPattern::Name(name))
}

/// Warns of entitled products that nobody could have.
pub(super) fn check_reach(products: &Products<'_>, entitlements: &[Entitlement], mirrors: &[Mirror]) {
    let served = mirrors.iter().any(|mirror| mirror.private || mirror.sign.is_some());
    let allowed = || entitlements.iter().flat_map(|entitlement| &entitlement.allow);
    for (name, spot) in &products.entitled {
        if !allowed().any(|allow| allow.product.matches(name)) {
            spot.warn(
                "no [[entitlement]] gives this product, so nobody can have it",
                "add one: issuer = \"…\", allow = [{ product = \"…\" }]",
            );
        }
        if !served {
            spot.warn(
                "no mirror signs its links or is private, so nobody is sent to a file of this product",
                "add `sign` to a [[mirror]], or private = true where only its users reach it",
            );
        }
    }
}
