//! `[[tier]]` and `[retention]`: what mirrors are to hold.

use std::time::Duration;

use super::document::{Documents, Unique};
use super::reader::{Section, nearest};
use super::release::channel_name;
use super::value::{Value, quoted};
use super::values::{Kept, Retention, Tier};
use crate::model::TierName;

/// Most lines of tiers.
const TIERS_MAX: usize = 1000;
const DAY: Duration = Duration::from_secs(86_400);

/// All tiers, by the name of which mirrors choose theirs.
#[derive(Debug)]
pub(super) struct Tiers {
    pub(super) list: Vec<Tier>,
    /// Whether a tier could not be read, so that a name that is not found proves nothing.
    incomplete: bool,
}

impl Tiers {
    /// A tier that is given, or the built-in `all`.
    pub(super) fn named(&self, value: Value<'_>) -> Option<TierName> {
        let spot = value.spot().clone();
        let name: TierName = value.parsed("\"all\"")?;
        if self.list.iter().any(|tier| tier.name == name) {
            return Some(name);
        }
        if self.incomplete || spot.notes.is_incomplete() {
            return None;
        }
        let remedy = match nearest(&name, self.list.iter().map(|tier| tier.name.as_str())) {
            Some(name) => format!("did you mean `{name}`?"),
            None => "add a [[tier]] of that name, or write \"all\"".into(),
        };
        spot.refuse(format!("there is no tier {}", quoted(&name)), remedy)
    }
}

/// The built-in tier: every release.
pub(super) fn all() -> TierName {
    TierName::new("all").expect("letters are a tier's name")
}

/// Every `[[tier]]`; `all` is every release where it is not given. Lines of the same name add up.
pub(super) fn tiers(documents: &mut Documents<'_>) -> Tiers {
    let sections = documents.tables("tier", TIERS_MAX);
    let given = sections.len();
    let mut list: Vec<Tier> = sections.into_iter().filter_map(tier).collect();
    let incomplete = list.len() < given;
    if !list.iter().any(|tier| tier.name == all()) {
        list.push(Tier { name: all(), products: Vec::new(), channels: Vec::new(), releases: Kept::All });
    }
    Tiers { list, incomplete }
}

fn tier(mut section: Section<'_>) -> Option<Tier> {
    let name = section.require("name", "\"edge\"", |v| v.parsed("\"edge\""));
    let products = section.get("products", |v| v.one_or_list(|v| v.parsed("\"tool\"")));
    let mut own = Unique::default();
    let channels = section.get("channels", |v| v.one_or_list(|v| channel_name(v, &mut own)));
    let releases = section.require("releases", "\"current\"", kept);
    section.finish();
    Some(Tier {
        name: name?,
        products: products.unwrap_or_default(),
        channels: channels.unwrap_or_default(),
        releases: releases?,
    })
}

/// `"all"`, `"current"`, `"none"`, `{ newest = 3 }` or `{ within = "90d" }`.
fn kept(value: Value<'_>) -> Option<Kept> {
    if !value.is_table() {
        return value.word(&[("all", Kept::All), ("current", Kept::Current), ("none", Kept::Nothing)]);
    }
    let spot = value.spot().clone();
    let mut section = value.section()?;
    let given = section.len();
    let newest = section.get("newest", |v| v.integer(0..=1_000_000));
    let within = section.get("within", |v| v.duration(Duration::ZERO..=DAY * 36_500));
    section.finish();
    let remedy = "write { newest = 3 } or { within = \"90d\" }";
    match (newest, within) {
        (Some(newest), None) => Some(Kept::Newest(newest)),
        (None, Some(within)) => Some(Kept::Within(within)),
        (Some(_), Some(_)) => spot.refuse("names `newest` and `within`", remedy),
        (None, None) if given == 0 => spot.refuse("names no releases", remedy),
        // The key that is unknown or bad is the problem.
        (None, None) => None,
    }
}

/// `[retention]`
pub(super) fn retention(mut section: Section<'_>) -> Retention {
    let retention = Retention {
        newest: section.get("newest", |v| v.integer(1..=1_000_000)),
        age: section.get("age", |v| v.duration(DAY..=DAY * 36_500)),
    };
    section.finish();
    retention
}
