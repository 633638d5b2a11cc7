//! Who may have what: the keys that are believed now, and the tokens that are not.

use std::collections::HashMap;
use std::sync::Arc;

use url::Url;

use crate::config::IssuerKeys;
use crate::entitlement::{Counts, Entitlements, Issuer, KeySet, Revoked};
use crate::model::Timestamp;
use crate::workers::fact::{FetchedKeys, Refused};
use crate::workers::prepare::Prepared;

use super::world::World;

/// What is known beside the configuration, and what is published of both.
#[derive(Debug)]
pub(super) struct AccessState {
    /// Keys by where they were fetched from, and when that was.
    fetched: HashMap<Url, (Arc<KeySet>, Timestamp)>,
    revoked: Arc<Revoked>,
    counts: Arc<Counts>,
    /// What is published.
    pub entitlements: Arc<Entitlements>,
}

impl AccessState {
    /// Nothing was fetched or revoked yet.
    pub fn new(prepared: &Prepared) -> Self {
        let (fetched, revoked, counts) = (HashMap::new(), Arc::default(), Arc::default());
        let entitlements = Arc::new(entitlements(prepared, &fetched, &revoked, &counts));
        Self { fetched, revoked, counts, entitlements }
    }
}

fn entitlements(
    prepared: &Prepared,
    fetched: &HashMap<Url, (Arc<KeySet>, Timestamp)>,
    revoked: &Arc<Revoked>,
    counts: &Arc<Counts>,
) -> Entitlements {
    let believed = &prepared.believed;
    let keys_of = |at: usize, keys: &IssuerKeys| match keys {
        IssuerKeys::Jwks { url, .. } => fetched.get(url).map(|(keys, _)| Arc::clone(keys)),
        IssuerKeys::JwksFile(_) | IssuerKeys::Secrets(_) => believed.keys.get(at).cloned().flatten(),
    };
    let issuers = prepared.config.issuers.iter().enumerate();
    let issuers = issuers.map(|(at, issuer)| Issuer::new(issuer, keys_of(at, &issuer.keys))).collect();
    let (rules, tickets) = (Arc::clone(&believed.rules), Arc::clone(&believed.tickets));
    Entitlements::new(issuers, rules, Arc::clone(revoked), tickets, Arc::clone(counts))
}

impl World {
    /// Makes anew what is published: all that was remembered of tokens is forgotten with it.
    pub(super) fn renew_access(&mut self) {
        let AccessState { fetched, revoked, counts, .. } = &self.access;
        self.access.entitlements = Arc::new(entitlements(&self.prepared, fetched, revoked, counts));
        self.views.touch_access();
    }

    /// An issuer's keys were fetched. The same keys again only become younger.
    pub(super) fn keys_were_fetched(&mut self, FetchedKeys { url, keys, at }: FetchedKeys) {
        let before = self.access.fetched.insert(url, (Arc::clone(&keys), at));
        if !before.is_some_and(|(before, _)| before.same(&keys)) {
            self.renew_access();
        }
    }

    /// Keys that are older than their issuer's keys may become are not believed any more.
    pub(super) fn forget_old_keys(&mut self, now: Timestamp) {
        let ages = self.prepared.config.issuers.iter().filter_map(|issuer| match &issuer.keys {
            IssuerKeys::Jwks { url, max_age, .. } => Some((url, *max_age)),
            IssuerKeys::JwksFile(_) | IssuerKeys::Secrets(_) => None,
        });
        let too_old = |(url, max_age)| {
            let (_, at) = self.access.fetched.get(url)?;
            (now.since(*at) > max_age).then(|| Url::clone(url))
        };
        let old: Vec<Url> = ages.filter_map(too_old).collect();
        if old.is_empty() {
            return;
        }
        old.iter().for_each(|url| drop(self.access.fetched.remove(url)));
        self.renew_access();
    }

    /// A token is not believed any more.
    pub(super) fn revoke(&mut self, issuer: &str, token_id: &str) {
        Arc::make_mut(&mut self.access.revoked).insert((issuer.to_owned(), token_id.to_owned()));
        self.renew_access();
    }

    /// Whether somebody of this name is configured.
    pub(super) fn check_issuer(&self, issuer: &str) -> Result<(), Refused> {
        let known = self.prepared.config.issuers.iter().any(|configured| configured.name == issuer);
        if known { Ok(()) } else { Err(Refused::Unknown(format!("issuer {issuer}"))) }
    }
}
