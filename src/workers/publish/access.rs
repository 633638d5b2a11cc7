//! Who may have what: the keys that are believed now, the tokens that are not, and what was counted.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use url::Url;

use crate::config::{Issuer as Configured, IssuerKeys};
use crate::entitlement::{COUNTED_MAX, Counted, Counts, Entitlements, Issuer, KeySet, Revoked};
use crate::metrics::AccessMetrics;
use crate::model::Timestamp;
use crate::store::{AccessNote, KnownKeys, Observation};
use crate::workers::fact::{FetchedKeys, Refused};
use crate::workers::issuers::outcomes;
use crate::workers::prepare::Prepared;

use super::world::World;

/// How often what does not count any more is forgotten.
const FORGET_EVERY: Duration = Duration::from_secs(60);

/// An issuer's keys as they were fetched.
#[derive(Debug)]
struct Fetched {
    url: Url,
    keys: Arc<KeySet>,
    at: Timestamp,
}

/// What is known beside the configuration, and what is published of both.
#[derive(Debug)]
pub(super) struct AccessState {
    /// Keys that were fetched, by the issuer's name: of configured issuers, from where they say, and not too old.
    fetched: BTreeMap<String, Fetched>,
    revoked: Arc<Revoked>,
    counts: Arc<Counts>,
    /// When what does not count any more was last forgotten.
    forgot_counts_at: Option<Timestamp>,
    /// It was said that no more can be counted.
    told_full: bool,
    /// What is published.
    pub entitlements: Arc<Entitlements>,
    /// Issuers whose gauges are shown, and whether what they show is old.
    shown: BTreeSet<String>,
    gauges_are_old: bool,
}

impl AccessState {
    /// Nothing was fetched, revoked or counted yet.
    pub fn new(prepared: &Prepared) -> Self {
        let (fetched, revoked, counts) = (BTreeMap::new(), Arc::default(), Arc::default());
        let entitlements = Arc::new(entitlements(prepared, &fetched, &revoked, &counts));
        Self {
            fetched,
            revoked,
            counts,
            forgot_counts_at: None,
            told_full: false,
            entitlements,
            shown: BTreeSet::new(),
            gauges_are_old: true,
        }
    }
}

/// The keys of each configured issuer, in their order.
fn keys<'a>(
    prepared: &'a Prepared,
    fetched: &'a BTreeMap<String, Fetched>,
) -> impl Iterator<Item = (&'a Configured, Option<&'a Arc<KeySet>>)> {
    prepared.config.issuers.iter().zip(&prepared.believed.keys).map(|(issuer, read)| {
        let keys = match issuer.keys {
            IssuerKeys::Jwks { .. } => fetched.get(&issuer.name).map(|fetched| &fetched.keys),
            IssuerKeys::JwksFile(_) | IssuerKeys::Secrets(_) => read.as_ref(),
        };
        (issuer, keys)
    })
}

fn entitlements(
    prepared: &Prepared,
    fetched: &BTreeMap<String, Fetched>,
    revoked: &Arc<Revoked>,
    counts: &Arc<Counts>,
) -> Entitlements {
    let issuers = keys(prepared, fetched).map(|(issuer, keys)| Issuer::new(issuer, keys.cloned())).collect();
    let (rules, tickets) = (Arc::clone(&prepared.believed.rules), Arc::clone(&prepared.believed.tickets));
    Entitlements::new(issuers, rules, Arc::clone(revoked), tickets, Arc::clone(counts))
}

/// How old an issuer's keys may become; `None` where it is not configured, or its keys are not fetched from there.
fn max_age(prepared: &Prepared, issuer: &str, from: &Url) -> Option<Duration> {
    let configured = prepared.config.issuers.iter().find(|configured| configured.name == issuer)?;
    match &configured.keys {
        IssuerKeys::Jwks { url, max_age, .. } => (url == from).then_some(*max_age),
        IssuerKeys::JwksFile(_) | IssuerKeys::Secrets(_) => None,
    }
}

impl World {
    /// Makes anew what is published: all that was remembered of tokens is forgotten with it.
    pub(super) fn renew_entitlements(&mut self) {
        let AccessState { fetched, revoked, counts, .. } = &self.access;
        self.access.entitlements = Arc::new(entitlements(&self.prepared, fetched, revoked, counts));
    }

    fn touch_access(&mut self) {
        self.access.gauges_are_old = true;
        self.views.touch_access();
    }

    /// Takes in what was known before the restart.
    pub(super) fn load_access(&mut self, keys: Vec<KnownKeys>, counted: Vec<Counted>, now: Timestamp) {
        for KnownKeys { issuer, url, fetched_at, body } in keys {
            // What cannot be read any more is fetched again.
            if let (Ok(url), Ok(keys)) = (Url::parse(&url), KeySet::from_jwks(&body)) {
                self.access.fetched.insert(issuer, Fetched { url, keys: Arc::new(keys), at: fetched_at });
            }
        }
        self.forget_old_keys(now);
        self.access.counts.restore(counted);
        self.forget_counts(now);
    }

    fn note_access(&mut self, note: AccessNote) {
        self.dirty.other.push(Observation::Access(note));
    }

    /// An issuer's keys were fetched. The same keys again only become younger.
    pub(super) fn keys_were_fetched(&mut self, fetched: FetchedKeys) {
        let FetchedKeys { issuer, url, keys, body, at } = fetched;
        if max_age(&self.prepared, &issuer, &url).is_none() {
            return;
        }
        let (name, from) = (issuer.clone(), url.to_string());
        self.note_access(AccessNote::Keys(KnownKeys { issuer: name, url: from, fetched_at: at, body }));
        self.access.gauges_are_old = true;
        let before = self.access.fetched.insert(issuer, Fetched { url, keys: Arc::clone(&keys), at });
        if !before.is_some_and(|before| before.keys.same(&keys)) {
            self.touch_access();
        }
    }

    /// Keys that are older than their issuer's keys may become are not believed any more, nor those of an issuer that is
    /// not configured so any more. A clock that has gone back makes keys old as well.
    pub(super) fn forget_old_keys(&mut self, now: Timestamp) {
        let prepared = &self.prepared;
        let is_old = |(issuer, fetched): &(&String, &Fetched)| {
            max_age(prepared, issuer, &fetched.url).is_none_or(|max_age| now.apart(fetched.at) > max_age)
        };
        let old: Vec<_> =
            self.access.fetched.iter().filter(is_old).map(|(issuer, _)| issuer.clone()).collect();
        for issuer in old {
            self.access.fetched.remove(&issuer);
            self.note_access(AccessNote::KeysGone { issuer });
            self.touch_access();
        }
    }

    /// The configuration changed.
    pub(super) fn reload_access(&mut self, now: Timestamp) {
        self.forget_old_keys(now);
        self.touch_access();
    }

    /// Files that were counted since this was last asked are to be written down: a crash forgets those of a second.
    pub(super) fn write_counts_down(&mut self) {
        for counted in self.access.counts.drain() {
            self.note_access(AccessNote::Counted(counted));
        }
        let is_full = self.access.counts.is_full();
        if is_full && !self.access.told_full {
            tracing::error!(
                most = COUNTED_MAX,
                "tokens that may take a number of files get no others: too many are counted; issue such tokens for a \
                 shorter time, or fewer of them"
            );
        }
        self.access.told_full = is_full;
    }

    /// Time goes on.
    pub(super) fn forget_old_access(&mut self, now: Timestamp) {
        self.forget_old_keys(now);
        if self.access.forgot_counts_at.is_none_or(|at| now.apart(at) >= FORGET_EVERY) {
            self.forget_counts(now);
        }
    }

    /// What a token took does not matter when nobody can come with it any more.
    fn forget_counts(&mut self, now: Timestamp) {
        self.access.forgot_counts_at = Some(now);
        if self.access.counts.forget(now) {
            self.note_access(AccessNote::CountedGone { now });
        }
    }

    /// Shows how much is counted and what is believed of whom, and nothing more of issuers that left.
    pub(super) fn show_issuers(&mut self, metrics: &AccessMetrics) {
        metrics.counted_files.set(i64::try_from(self.access.counts.files()).unwrap_or(i64::MAX));
        if !std::mem::take(&mut self.access.gauges_are_old) {
            return;
        }
        let before = std::mem::take(&mut self.access.shown);
        for (issuer, keys) in keys(&self.prepared, &self.access.fetched) {
            let fetched_at =
                self.access.fetched.get(&issuer.name).map(|fetched| fetched.at.as_millis() / 1000);
            metrics.show_keys(&issuer.name, keys.map_or(0, |keys| keys.len()), fetched_at);
            self.access.shown.insert(issuer.name.clone());
        }
        before.difference(&self.access.shown).for_each(|issuer| metrics.forget_issuer(issuer, outcomes()));
    }

    /// A token is not believed any more.
    pub(super) fn revoke(&mut self, issuer: &str, token_id: &str) {
        Arc::make_mut(&mut self.access.revoked).insert((issuer.to_owned(), token_id.to_owned()));
        self.touch_access();
    }

    /// Whether somebody of this name is configured.
    pub(super) fn check_issuer(&self, issuer: &str) -> Result<(), Refused> {
        let known = self.prepared.config.issuers.iter().any(|configured| configured.name == issuer);
        if known { Ok(()) } else { Err(Refused::Unknown(format!("issuer {issuer}"))) }
    }
}
