//! What a token gives, and whether that is what is asked for.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::Disbelief;
use super::ticket::Told;
use super::token::valid_at;
use crate::config::Allow;
use crate::model::{ChannelName, IssuerId, Platform, ProductName, RegionId, Timestamp, Version};

/// What a verified token gives, as the rules in force say.
#[derive(Debug, Clone, PartialEq)]
pub struct Grant {
    /// Whose token it is.
    pub issuer: IssuerId,
    /// What tells it from others, where it says so.
    pub token_id: Option<Arc<str>>,
    /// From when on.
    pub valid_from: Timestamp,
    /// Until when.
    pub valid_until: Timestamp,
    rights: Rights,
}

#[derive(Debug, Clone, PartialEq)]
enum Rights {
    /// What the rules say.
    Rules(Arc<[Arc<Allow>]>),
    /// The one file that a ticket was sealed for: whether it may be had was asked then.
    Ticket,
}

/// Whether an asset is of a platform; `None`: it is of none.
pub type IsOf<'a> = dyn Fn(&Platform) -> Option<bool> + 'a;

/// What is asked for. A version, channels or an asset that are `None` are not asked about: any will do.
#[derive(Clone, Copy)]
pub struct Question<'a> {
    /// The product.
    pub product: &'a ProductName,
    /// The release's version.
    pub version: Option<&'a Version>,
    /// The channels that its manifest names.
    pub channels: Option<&'a [ChannelName]>,
    /// What is known of the asset.
    pub asset: Option<&'a IsOf<'a>>,
    /// The client's region.
    pub region: Option<RegionId>,
    /// The time.
    pub now: Timestamp,
}

/// How far the rules come short of a question, from the farthest to the nearest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lacking {
    /// None speaks of the product.
    Product,
    /// None speaks of the version.
    Version,
    /// None speaks of a channel that the release is in.
    Release,
    /// None speaks of the asset's platform.
    Asset,
    /// One would from another region.
    Region,
    /// One would at another time.
    Time,
}

impl Grant {
    /// By rules.
    pub(super) fn of_rules(token: super::Token, rules: Arc<[Arc<Allow>]>) -> Self {
        let super::Token { issuer, token_id, valid_from, valid_until, claims: _ } = token;
        Self { issuer, token_id, valid_from, valid_until, rights: Rights::Rules(rules) }
    }

    /// By a ticket that was opened.
    pub(super) fn of_ticket(issuer: IssuerId, told: Told) -> Self {
        Self {
            issuer,
            token_id: told.token_id.map(Arc::from),
            valid_from: Timestamp::from_millis(i64::MIN),
            valid_until: told.until,
            rights: Rights::Ticket,
        }
    }

    /// Whether it is valid at a moment.
    ///
    /// # Errors
    ///
    /// Where it is not any more, or not yet.
    pub fn valid_at(&self, now: Timestamp) -> Result<(), Disbelief> {
        let valid = valid_at(self.valid_from, self.valid_until, now);
        valid.map_err(|reason| Disbelief { reason, issuer: Some(self.issuer) })
    }

    /// Whether it is a ticket's.
    pub fn is_ticket(&self) -> bool {
        self.rights == Rights::Ticket
    }

    /// The rules that fit the token; none for a ticket, which was sealed by them.
    pub fn rules(&self) -> &[Arc<Allow>] {
        match &self.rights {
            Rights::Rules(rules) => rules,
            Rights::Ticket => &[],
        }
    }

    /// Whether it gives what is asked for, and how many different assets the token may take where that is counted:
    /// the most that a rule allows.
    ///
    /// # Errors
    ///
    /// How far the rule that comes nearest comes short.
    pub fn gives(&self, question: &Question<'_>) -> Result<Option<u32>, Lacking> {
        let Rights::Rules(rules) = &self.rights else { return Ok(None) };
        let mut nearest = Lacking::Product;
        let mut most: Option<u32> = None;
        for rule in rules.iter() {
            match lacks(rule, question) {
                Some(lacking) => nearest = nearest.max(lacking),
                None => match rule.assets {
                    None => return Ok(None),
                    Some(count) => most = Some(most.unwrap_or(0).max(count)),
                },
            }
        }
        most.map(Some).ok_or(nearest)
    }

    /// How long the rules that give what is asked for go on giving it, `until` at the latest, and in which regions until
    /// then; `None`: in all. A rule that counts does not prolong what another one gives uncounted.
    pub fn lasts(
        &self,
        question: &Question<'_>,
        until: Timestamp,
    ) -> (Timestamp, Option<BTreeSet<RegionId>>) {
        let giving: Vec<&Allow> =
            self.rules().iter().map(|rule| &**rule).filter(|rule| lacks(rule, question).is_none()).collect();
        let counted = giving.iter().all(|rule| rule.assets.is_some());
        let giving = giving.into_iter().filter(|rule| counted || rule.assets.is_none());
        let end = |rule: &Allow| rule.until.unwrap_or(until).min(until);
        let until = giving.clone().map(end).max().unwrap_or(until);
        let mut lasting = giving.filter(|rule| end(rule) == until);
        let regions = lasting.try_fold(BTreeSet::new(), |mut regions, rule| {
            regions.extend(&rule.regions);
            (!rule.regions.is_empty()).then_some(regions)
        });
        (until, regions)
    }
}

/// What keeps a rule from giving what is asked for.
pub fn lacks(rule: &Allow, question: &Question<'_>) -> Option<Lacking> {
    if !rule.product.matches(question.product) {
        return Some(Lacking::Product);
    }
    if question.version.is_some_and(|version| !in_range(rule, version)) {
        return Some(Lacking::Version);
    }
    if question.channels.is_some_and(|of| !in_channels(rule, of)) {
        return Some(Lacking::Release);
    }
    if question.asset.is_some_and(|is_of| !of_platforms(&rule.platforms, is_of)) {
        return Some(Lacking::Asset);
    }
    if !any_or_all(&rule.regions, |region| question.region == Some(*region)) {
        return Some(Lacking::Region);
    }
    (!in_time(rule, question.now)).then_some(Lacking::Time)
}

fn in_range(rule: &Allow, version: &Version) -> bool {
    rule.versions.as_ref().is_none_or(|range| range.has(version))
}

fn in_channels(rule: &Allow, channels: &[ChannelName]) -> bool {
    any_or_all(&rule.channels, |channel| channels.contains(channel))
}

/// Whether one of a list fits; an empty list restricts nothing.
fn any_or_all<T>(list: &[T], fits: impl FnMut(&T) -> bool) -> bool {
    list.is_empty() || list.iter().any(fits)
}

/// Whether an asset is of one of the platforms, or of none (a signature, checksums).
fn of_platforms(platforms: &[Platform], is_of: &IsOf<'_>) -> bool {
    any_or_all(platforms, |platform| is_of(platform).unwrap_or(true))
}

fn in_time(rule: &Allow, now: Timestamp) -> bool {
    rule.from.is_none_or(|from| now >= from) && rule.until.is_none_or(|until| now < until)
}
