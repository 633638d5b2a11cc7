//! Who a client of an explanation is by its token, and what that gives it. Never the token.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::config::Allow;
use crate::entitlement::{Grant, Lacking, Question, in_words, lacks};
use crate::model::{Denial, Platform, RegionId};
use crate::redirect::{Answer, Inquiry, status_of};
use crate::snapshot::Snapshot;

/// What the answer has to do with who asks; `null` where a public product is asked for without a token.
pub(super) fn caller(
    snapshot: &Snapshot,
    inquiry: &Inquiry<'_>,
    answer: &Answer<'_>,
    token: Option<&str>,
) -> Value {
    let entitled =
        answer.facts.product.is_some_and(|product| product.guard.as_ref().is_some_and(|g| g.entitled));
    let passage = answer.passage.as_ref();
    if token.is_none() && passage.is_none() {
        return Value::Null;
    }
    let believed = token.map(|token| snapshot.entitlements.grant(token, inquiry.occasion.now()));
    let (grant, disbelief) = match believed {
        Some(Ok(grant)) => (Some(grant), None),
        Some(Err(disbelief)) => (None, Some(disbelief)),
        None => (None, None),
    };
    // A ticket's grant is known by the answer alone.
    let grant = grant.or_else(|| passage.and_then(|passage| passage.grant.clone()));
    let issuer = grant.as_ref().map(|grant| grant.issuer).or(disbelief.and_then(|why| why.issuer));
    let denial = passage.and_then(|passage| passage.denial).or(disbelief.map(|why| why.reason));
    json!({
        "entitled_product": entitled,
        "issuer": issuer.map(|id| &*snapshot.entitlements.issuers[id.index()].name),
        "token_id": grant.as_ref().and_then(|grant| grant.token_id.as_deref()),
        "valid_until": grant.as_ref().map(|grant| grant.valid_until.to_string()),
        "denial": denial.map(Denial::as_str),
        "why": denial.map(|denial| status_of(denial).1),
        "rules": grant.map(|grant| rules(snapshot, inquiry, answer, &grant)).unwrap_or_default(),
    })
}

/// The rules that fit the token, each with what keeps it from giving what is asked for, where that was found.
fn rules(snapshot: &Snapshot, inquiry: &Inquiry<'_>, answer: &Answer<'_>, grant: &Grant) -> Vec<Value> {
    let region = snapshot.router().region(&snapshot.locator.locate(inquiry.client));
    let named = |id: RegionId| snapshot.settings.regions[id.index()].clone();
    let asked = answer.facts.asset.map(|(view, asset)| (&view.release, asset));
    let is_of = |platform: &Platform| asked.and_then(|(release, asset)| release.is_of(asset, platform));
    let question = asked.map(|(release, _)| Question {
        product: &release.id.product,
        version: Some(&release.id.version),
        channels: Some(&release.channels),
        asset: Some(&is_of),
        region,
        now: inquiry.occasion.now(),
    });
    let told = |rule: &Arc<Allow>| {
        let gives = question.as_ref().map(|question| lacks(rule, question));
        json!({
            "allow": in_words(rule, named),
            "gives": gives.map(|lacking| lacking.is_none()),
            "lacks": gives.flatten().map(word),
        })
    };
    grant.rules().iter().map(told).collect()
}

fn word(lacking: Lacking) -> &'static str {
    match lacking {
        Lacking::Product => "product",
        Lacking::Version => "version",
        Lacking::Release => "channel",
        Lacking::Asset => "platform",
        Lacking::Region => "region",
        Lacking::Time => "time",
    }
}
