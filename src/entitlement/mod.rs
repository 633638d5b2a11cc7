//! WHO MAY: from a token to what it gives, with no I/O.
//!
//! ```text
//! request → Presented (where the token stands) → remembered? → Token → signature and claims → Rules → Grant
//!                                              ↘ Ticket (a URL that stands for a token) ↗
//! ```
//!
//! Everything that a token is held against lies in one immutable [`Entitlements`]: issuers with the keys that are believed
//! now, rules, revocations, and the tokens that were verified with them. When any of it changes, another one is made,
//! so that nothing which was believed before is believed by habit.

mod claims;
mod counts;
mod grant;
mod keys;
mod presented;
mod remembered;
mod rules;
mod ticket;
mod token;

use std::collections::HashSet;
use std::sync::Arc;

pub use claims::Claims;
pub use counts::{COUNTED_MAX, Counted, Counts, FileKey, Take};
pub use grant::{Grant, Lacking, Question, lacks};
pub use keys::{KeyError, KeySet};
pub use presented::{Presented, SESSION_COOKIE, TICKET_PARAMETER};
pub use remembered::REMEMBERED_MAX;
pub use rules::{Rules, in_words};
pub use ticket::{Bounds, SealedFor, Tickets};
pub use token::{Issuer, TOKEN_MAX, Token, decode};

use crate::model::{Denial, IssuerId, Timestamp};
use remembered::Remembered;

/// A token that is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Disbelief {
    /// Why.
    pub reason: Denial,
    /// Whose it says it is, where that is somebody.
    pub issuer: Option<IssuerId>,
}

/// Tokens that were revoked: the issuer's name and the token's id.
pub type Revoked = HashSet<(String, String)>;

/// All that tokens are held against at a moment.
#[derive(Debug)]
pub struct Entitlements {
    /// Whose tokens are believed, in the order of the configuration.
    pub issuers: Box<[Issuer]>,
    /// What they give.
    pub rules: Arc<Rules>,
    /// Which are not believed any more.
    pub revoked: Arc<Revoked>,
    /// Seals tickets.
    pub tickets: Arc<Tickets>,
    /// Which files tokens with a count have taken.
    pub counts: Arc<Counts>,
    remembered: Remembered,
}

impl Entitlements {
    /// Nothing is remembered yet.
    pub fn new(
        issuers: Box<[Issuer]>,
        rules: Arc<Rules>,
        revoked: Arc<Revoked>,
        tickets: Arc<Tickets>,
        counts: Arc<Counts>,
    ) -> Self {
        Self { issuers, rules, revoked, tickets, counts, remembered: Remembered::new() }
    }

    /// What a token gives now.
    ///
    /// # Errors
    ///
    /// Why it is not believed.
    pub fn grant(&self, token: impl AsRef<[u8]>, now: Timestamp) -> Result<Arc<Grant>, Disbelief> {
        let token = token.as_ref();
        if token.len() > TOKEN_MAX {
            return Err(Disbelief { reason: Denial::TooLarge, issuer: None });
        }
        let digest = self.remembered.digest(token);
        if let Some(grant) = self.remembered.find(digest) {
            // Time goes on while it is remembered; everything else changes only together with all that is remembered.
            return grant.valid_at(now).map(|()| grant);
        }
        let malformed = Disbelief { reason: Denial::Malformed, issuer: None };
        let token = std::str::from_utf8(token).map_err(|_| malformed)?;
        let token = token::verify(&self.issuers, token, now)?;
        let grant = self.rules.grant(token);
        self.check_revoked(&grant)?;
        let grant = Arc::new(grant);
        self.remembered.keep(digest, &grant, now);
        Ok(grant)
    }

    /// What a ticket gives now, for the file that it was sealed for.
    ///
    /// # Errors
    ///
    /// Why it is not believed.
    pub fn redeem(
        &self,
        ticket: &str,
        sealed_for: &SealedFor<'_>,
        now: Timestamp,
    ) -> Result<Grant, Disbelief> {
        let told = self.tickets.open(ticket, sealed_for, now)?;
        let id = self.issuers.iter().position(|issuer| *issuer.name == *told.issuer);
        let id = id.and_then(|at| u16::try_from(at).ok()).map(IssuerId);
        let id = id.ok_or(Disbelief { reason: Denial::BadTicket, issuer: None })?;
        let grant = Grant::of_ticket(id, told);
        self.check_revoked(&grant)?;
        Ok(grant)
    }

    fn check_revoked(&self, grant: &Grant) -> Result<(), Disbelief> {
        if self.revoked.is_empty() {
            return Ok(());
        }
        let Some(id) = grant.token_id.as_deref() else { return Ok(()) };
        let issuer = &self.issuers[grant.issuer.index()].name;
        match self.revoked.contains(&(issuer.to_string(), id.to_owned())) {
            true => Err(Disbelief { reason: Denial::Revoked, issuer: Some(grant.issuer) }),
            false => Ok(()),
        }
    }
}
