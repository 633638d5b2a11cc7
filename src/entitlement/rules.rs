//! From claims to rights: the `[[entitlement]]` tables of one configuration.

use std::sync::Arc;

use serde_json::Value;

use super::{Claims, Grant, Token};
use crate::config::{Allow, ClaimMatch, Entitlement};

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
        let fits = |rule: &&Rule| {
            rule.issuer == token.issuer.index() && rule.when.iter().all(|when| matches(when, &token.claims))
        };
        let rules = self.0.iter().filter(fits).flat_map(|rule| rule.allow.iter().cloned()).collect();
        Grant::of_rules(token, rules)
    }
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
