//! What a token gives, held against an oracle that goes through every rule word by word.

use std::sync::Arc;

use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};
use waypost::config::{Allow, ClaimMatch, Entitlement, JwtAlgorithm, ProductPattern};
use waypost::entitlement::{Counts, Entitlements, Issuer, Lacking, Question, Revoked, Rules};
use waypost::model::{ChannelName, Platform, ProductName, RegionId, Timestamp, Version};

use crate::signer::{P256, at, claims, configured, key_set, now, tickets};

const PRODUCTS: [&str; 4] = ["agent", "agent-pro", "tool", "tocl"];
const PATTERNS: [&str; 6] = ["agent", "agent*", "*", "to?l", "tool", "none"];
const CHANNELS: [&str; 3] = ["stable", "beta", "edge"];
const PLATFORMS: [&str; 2] = ["linux-amd64", "darwin-arm64"];
const VALUES: [&str; 5] = ["acme", "acme-labs", "7", "true", ""];

/// A part of a rule, in words.
#[derive(Debug, Clone)]
struct Part {
    product: &'static str,
    channels: Vec<&'static str>,
    /// From the first major version to before the second.
    versions: Option<(u64, u64)>,
    platforms: Vec<&'static str>,
    regions: Vec<u16>,
    from: Option<i64>,
    until: Option<i64>,
    assets: Option<u32>,
}

/// A rule: whose tokens, claims with patterns, and what is given.
#[derive(Debug, Clone)]
struct Words {
    issuer: usize,
    when: Vec<(&'static str, Vec<&'static str>)>,
    parts: Vec<Part>,
}

/// A question, in words.
#[derive(Debug, Clone)]
struct Asked {
    claims: [Value; 2],
    product: &'static str,
    version: u64,
    channels: Vec<&'static str>,
    /// `None`: no asset; within, `None`: one of no platform.
    asset: Option<Option<&'static str>>,
    region: Option<u16>,
    now: i64,
}

fn some_of<T: Clone + std::fmt::Debug + 'static>(of: &'static [T]) -> impl Strategy<Value = Vec<T>> {
    proptest::sample::subsequence(of, 0..=of.len().min(2))
}

fn part() -> impl Strategy<Value = Part> {
    let times = || proptest::option::weighted(0.3, 0i64..20);
    (
        select(&PATTERNS[..]),
        some_of(&CHANNELS),
        proptest::option::of((0u64..4, 0u64..5)),
        some_of(&PLATFORMS),
        some_of(&[0u16, 1, 2]),
        times(),
        times(),
        proptest::option::of(0u32..4),
    )
        .prop_map(|(product, channels, versions, platforms, regions, from, until, assets)| Part {
            product,
            channels,
            versions,
            platforms,
            regions,
            from,
            until,
            assets,
        })
}

fn words() -> impl Strategy<Value = Words> {
    let patterns = proptest::collection::vec(select(&["acme", "acme*", "?", "tr*", "*", "none"][..]), 1..3);
    let when = proptest::collection::vec((select(&["org", "a.b"][..]), patterns), 0..3);
    (0..2usize, when, proptest::collection::vec(part(), 1..4)).prop_map(|(issuer, when, parts)| Words {
        issuer,
        when,
        parts,
    })
}

fn claim() -> impl Strategy<Value = Value> {
    let text = || select(&VALUES[..]).prop_map(Value::from);
    prop_oneof![
        text(),
        Just(json!(7)),
        Just(json!(true)),
        Just(Value::Null),
        Just(json!({ "acme": "acme" })),
        proptest::collection::vec(prop_oneof![text(), Just(json!(["acme"])), Just(json!(7))], 0..3)
            .prop_map(Value::from),
    ]
}

fn asked() -> impl Strategy<Value = Asked> {
    (
        [claim(), claim()],
        select(&PRODUCTS[..]),
        0u64..5,
        some_of(&CHANNELS),
        proptest::option::of(proptest::option::of(select(&PLATFORMS[..]))),
        proptest::option::of(0u16..3),
        0i64..20,
    )
        .prop_map(|(claims, product, version, channels, asset, region, now)| Asked {
            claims,
            product,
            version,
            channels,
            asset,
            region,
            now,
        })
}

// ---- the oracle ----

/// `*` any text, `?` any letter.
fn fits(pattern: &str, text: &str) -> bool {
    let (mut pattern_letters, mut letters) = (pattern.chars(), text.chars());
    match (pattern_letters.next(), letters.next()) {
        (None, None) => true,
        (Some('*'), None) => fits(pattern_letters.as_str(), text),
        (Some('*'), Some(_)) => fits(pattern_letters.as_str(), text) || fits(pattern, letters.as_str()),
        (Some('?'), Some(_)) => fits(pattern_letters.as_str(), letters.as_str()),
        (Some(a), Some(b)) => a == b && fits(pattern_letters.as_str(), letters.as_str()),
        (Some(_), None) | (None, Some(_)) => false,
    }
}

fn claim_fits(claim: &Value, patterns: &[&str]) -> bool {
    let texts: Vec<String> = match claim {
        Value::Array(values) => values.iter().filter_map(plain).collect(),
        value => plain(value).into_iter().collect(),
    };
    texts.iter().any(|text| patterns.iter().any(|pattern| fits(pattern, text)))
}

fn plain(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(_) | Value::Bool(_) => Some(value.to_string()),
        _ => None,
    }
}

/// What is wanting, from the farthest to the nearest; all of it.
fn wanting(part: &Part, asked: &Asked) -> Vec<Lacking> {
    let mut wanting = Vec::new();
    let mut unless = |holds: bool, lacking| {
        if !holds {
            wanting.push(lacking)
        }
    };
    unless(fits(part.product, asked.product), Lacking::Product);
    unless(
        part.versions.is_none_or(|(from, to)| from <= asked.version && asked.version < to),
        Lacking::Version,
    );
    let named = asked.channels.iter().any(|channel| part.channels.contains(channel));
    unless(part.channels.is_empty() || named, Lacking::Release);
    let of_platform = match asked.asset {
        None | Some(None) => true,
        Some(Some(platform)) => part.platforms.is_empty() || part.platforms.contains(&platform),
    };
    unless(of_platform, Lacking::Asset);
    let there = asked.region.is_some_and(|region| part.regions.contains(&region));
    unless(part.regions.is_empty() || there, Lacking::Region);
    let begun = part.from.is_none_or(|from| from <= asked.now);
    unless(begun && part.until.is_none_or(|until| asked.now < until), Lacking::Time);
    wanting
}

fn oracle(rules: &[Words], asked: &Asked) -> Result<Option<u32>, Lacking> {
    let claim = |name: &str| if name == "org" { &asked.claims[0] } else { &asked.claims[1] };
    let parts: Vec<&Part> = rules
        .iter()
        .filter(|rule| rule.issuer == 0)
        .filter(|rule| rule.when.iter().all(|(name, patterns)| claim_fits(claim(name), patterns)))
        .flat_map(|rule| &rule.parts)
        .collect();
    let given: Vec<&&Part> = parts.iter().filter(|part| wanting(part, asked).is_empty()).collect();
    if given.is_empty() {
        let nearest = parts.iter().map(|part| wanting(part, asked)[0]).max();
        return Err(nearest.unwrap_or(Lacking::Product));
    }
    match given.iter().any(|part| part.assets.is_none()) {
        true => Ok(None),
        false => Ok(given.iter().filter_map(|part| part.assets).max()),
    }
}

// ---- the program ----

fn pattern(text: &str) -> glob::Pattern {
    glob::Pattern::new(text).unwrap()
}

fn allow(part: &Part) -> Allow {
    let range = |(from, to)| format!(">={from}.0, <{to}.0").parse().unwrap();
    Allow {
        product: match part.product.contains(['*', '?']) {
            true => ProductPattern::Like(pattern(part.product)),
            false => ProductPattern::Name(ProductName::new(part.product).unwrap()),
        },
        channels: part.channels.iter().map(|name| ChannelName::new(name).unwrap()).collect(),
        versions: part.versions.map(range),
        platforms: part.platforms.iter().map(|name| Platform::parse(name).unwrap()).collect(),
        regions: part.regions.iter().copied().map(RegionId).collect(),
        from: part.from.map(at),
        until: part.until.map(at),
        assets: part.assets,
    }
}

fn entitlement(words: &Words) -> Entitlement {
    let when = words.when.iter().map(|(claim, patterns)| ClaimMatch {
        claim: (*claim).to_owned(),
        patterns: patterns.iter().copied().map(pattern).collect(),
    });
    Entitlement { issuer: words.issuer, when: when.collect(), allow: words.parts.iter().map(allow).collect() }
}

fn program(rules: &[Words], asked: &Asked) -> Result<Option<u32>, Lacking> {
    let rules: Vec<Entitlement> = rules.iter().map(entitlement).collect();
    let issuer = Issuer::new(&configured(&[JwtAlgorithm::Es256]), key_set(&[P256.jwk("k1")]));
    let entitlements = Entitlements::new(
        [issuer].into(),
        Arc::new(Rules::new(&rules)),
        Arc::new(Revoked::new()),
        Arc::new(tickets()),
        Arc::new(Counts::default()),
    );
    let mut claims = claims(json!({}));
    claims["org"] = asked.claims[0].clone();
    claims["a"] = json!({ "b": asked.claims[1] });
    let token = P256.token("ES256", "k1", &claims);
    let grant = entitlements.grant(&token, now()).unwrap();
    let platform = asked.asset.flatten();
    let is_of = |wanted: &Platform| platform.map(|platform| platform == wanted.as_str());
    let channels: Vec<_> = asked.channels.iter().map(|name| ChannelName::new(name).unwrap()).collect();
    grant.gives(&Question {
        product: &ProductName::new(asked.product).unwrap(),
        version: Some(&Version::parse(&format!("{}.0", asked.version)).unwrap()),
        channels: Some(&channels),
        asset: asked.asset.is_some().then_some(&is_of),
        region: asked.region.map(RegionId),
        now: Timestamp::from_millis(at(asked.now).as_millis()),
    })
}

proptest! {
    #[test]
    fn what_is_given_is_what_the_rules_say(
        rules in proptest::collection::vec(words(), 0..4),
        asked in asked(),
    ) {
        prop_assert_eq!(program(&rules, &asked), oracle(&rules, &asked));
    }
}
