//! From claims to rights: the `[[entitlement]]` tables of one configuration.

use std::fmt;
use std::sync::Arc;

use serde_json::Value;

use super::{Claims, Grant, Token};
use crate::config::{Allow, ClaimMatch, Entitlement};
use crate::model::{IssuerId, RegionId};

/// What tokens give their bearers.
#[derive(Debug, Default)]
pub struct Rules(Box<[Rule]>);

#[derive(Debug)]
struct Rule {
    issuer: usize,
    when: Box<[ClaimMatch]>,
    allow: Box<[Arc<Allow>]>,
}

impl Rules {
    /// The configured ones.
    pub fn new(entitlements: &[Entitlement]) -> Self {
        let rule = |entitlement: &Entitlement| Rule {
            issuer: entitlement.issuer,
            when: entitlement.when.clone().into(),
            allow: entitlement.allow.iter().cloned().map(Arc::new).collect(),
        };
        Self(entitlements.iter().map(rule).collect())
    }

    /// What a token gives by all rules whose claims it has.
    pub fn grant(&self, token: Token) -> Grant {
        let rules = self.fitting(token.issuer, &token.claims).cloned().collect();
        Grant::of_rules(token, rules)
    }

    /// What an issuer's tokens with these claims give.
    pub fn fitting(&self, issuer: IssuerId, claims: &Claims) -> impl Iterator<Item = &Arc<Allow>> {
        let fits = move |rule: &&Rule| {
            rule.issuer == issuer.index() && rule.when.iter().all(|when| matches(when, claims))
        };
        self.0.iter().filter(fits).flat_map(|rule| &rule.allow)
    }
}

/// A part of what is given, in words for the operator: `agent, channels stable, versions >=1.0`. `region` names regions.
pub fn in_words<N: fmt::Display>(allow: &Allow, region: impl Fn(RegionId) -> N) -> String {
    fn listed<T: fmt::Display>(what: &str, names: impl Iterator<Item = T>) -> Option<String> {
        let names: Vec<String> = names.map(|name| name.to_string()).collect();
        (!names.is_empty()).then(|| format!("{what} {}", names.join(" ")))
    }
    let parts = [
        Some(allow.product.to_string()),
        listed("channels", allow.channels.iter()),
        listed("versions", allow.versions.iter()),
        listed("platforms", allow.platforms.iter()),
        listed("regions", allow.regions.iter().map(|id| region(*id))),
        allow.from.map(|from| format!("from {from}")),
        allow.until.map(|until| format!("until {until}")),
        allow.assets.map(|count| format!("at most {count} files")),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

/// Whether the claim, or an element of it where it is a list, has one of the wanted values. What is no text, number or
/// truth value has none.
fn matches(when: &ClaimMatch, claims: &Claims) -> bool {
    let fits = |text: &str| when.patterns.iter().any(|pattern| pattern.matches(text));
    let has = |value: &Value| match value {
        Value::String(text) => fits(text),
        Value::Number(number) => fits(&number.to_string()),
        Value::Bool(truth) => fits(if *truth { "true" } else { "false" }),
        Value::Null | Value::Array(_) | Value::Object(_) => false,
    };
    match claims.at(&when.claim) {
        Some(Value::Array(values)) => values.iter().any(has),
        Some(value) => has(value),
        None => false,
    }
}
