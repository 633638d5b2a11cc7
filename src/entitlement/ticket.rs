//! Tickets: a URL's parameter that stands for a token, for one file, for minutes. Sealed here and opened here, so that their
//! form is nobody else's business: `base64url(claims) "." base64url(HMAC-SHA256)`, the file being part of what is sealed and
//! not of what is carried.

use std::net::IpAddr;
use std::time::Duration;

use aws_lc_rs::hmac;
use data_encoding::BASE64URL_NOPAD;
use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::{Disbelief, Grant};
use crate::model::{Denial, ProductName, RegionName, Timestamp, Version};

/// Longest ticket that is looked at, in bytes: those that are sealed here are shorter, however long the token's id.
const TICKET_MAX: usize = 4096;
/// Most regions that a ticket names: their names have up to 128 bytes each.
const REGIONS_MAX: usize = 8;
/// What this seal is for, so that the same secret cannot be made to seal something else.
const PURPOSE: &str = "waypost ticket 1";

/// What a ticket says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Carried {
    /// Good until then: milliseconds since 1970.
    e: i64,
    /// Name of the issuer whose token it stands for.
    i: String,
    /// That token's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    t: Option<String>,
    /// Good only from this network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    n: Option<IpNet>,
    /// Good only in these regions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    r: Option<Vec<RegionName>>,
}

/// What holds a ticket beside its file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bounds {
    /// Until when it is good.
    pub until: Timestamp,
    /// In which regions alone.
    pub regions: Option<Vec<RegionName>>,
    /// From which network alone.
    pub network: Option<IpNet>,
}

/// What was told by a ticket that could be opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Told {
    pub issuer: String,
    pub token_id: Option<String>,
    pub until: Timestamp,
}

/// The file that a ticket is for, and who shows it.
#[derive(Debug, Clone, Copy)]
pub struct SealedFor<'a> {
    /// The product.
    pub product: &'a ProductName,
    /// The version.
    pub version: &'a Version,
    /// The asset's name.
    pub asset: &'a str,
    /// The client's address.
    pub client: IpAddr,
    /// The client's region.
    pub region: Option<&'a RegionName>,
}

/// Seals and opens tickets.
pub struct Tickets {
    /// The first seals, all open. Never empty.
    keys: Vec<hmac::Key>,
    ttl: Duration,
}

impl std::fmt::Debug for Tickets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Tickets for {:?}", self.ttl)
    }
}

impl Tickets {
    /// With these secrets; the first seals. Without any nothing can be opened that another process sealed, so there has to
    /// be one: a random one will do for a single service.
    pub fn new(first: &[u8], others: &[Vec<u8>], ttl: Duration) -> Self {
        let key = |secret: &[u8]| hmac::Key::new(hmac::HMAC_SHA256, secret);
        let keys = std::iter::once(key(first)).chain(others.iter().map(|secret| key(secret))).collect();
        Self { keys, ttl }
    }

    /// Until when a ticket may be good at the latest: no longer than its token.
    pub fn end(&self, grant: &Grant, now: Timestamp) -> Timestamp {
        now.after(self.ttl).min(grant.valid_until)
    }

    /// A ticket for a file that a token gives. Of more regions than fit into a URL it is good in the client's own.
    pub fn seal(&self, issuer: &str, grant: &Grant, sealed_for: &SealedFor<'_>, bounds: Bounds) -> String {
        let Bounds { until, mut regions, network } = bounds;
        if let Some(regions) = regions.as_mut().filter(|regions| regions.len() > REGIONS_MAX) {
            regions.retain(|region| Some(region) == sealed_for.region);
        }
        let token_id = grant.token_id.as_deref().map(str::to_owned);
        let carried =
            Carried { e: until.as_millis(), i: issuer.to_owned(), t: token_id, n: network, r: regions };
        let text = serde_json::to_vec(&carried).expect("texts and numbers can be written as JSON");
        let body = BASE64URL_NOPAD.encode(&text);
        let seal = hmac::sign(&self.keys[0], message(&body, sealed_for).as_bytes());
        format!("{body}.{}", BASE64URL_NOPAD.encode(seal.as_ref()))
    }

    /// Opens a ticket for a file.
    pub(super) fn open(
        &self,
        ticket: &str,
        sealed_for: &SealedFor<'_>,
        now: Timestamp,
    ) -> Result<Told, Disbelief> {
        let bad = Disbelief { reason: Denial::BadTicket, issuer: None };
        let carried = self.carried(ticket, sealed_for).ok_or(bad)?;
        if carried.n.is_some_and(|network| !network.contains(&sealed_for.client.to_canonical())) {
            return Err(bad);
        }
        let until = Timestamp::from_millis(carried.e);
        if now >= until {
            return Err(Disbelief { reason: Denial::ExpiredTicket, issuer: None });
        }
        let is_here = |regions: &Vec<_>| sealed_for.region.is_some_and(|here| regions.contains(here));
        if !carried.r.as_ref().is_none_or(is_here) {
            return Err(Disbelief { reason: Denial::Region, issuer: None });
        }
        Ok(Told { issuer: carried.i, token_id: carried.t, until })
    }

    /// What a ticket carries, if it was sealed here for this file.
    fn carried(&self, ticket: &str, sealed_for: &SealedFor<'_>) -> Option<Carried> {
        if ticket.len() > TICKET_MAX {
            return None;
        }
        let (body, seal) = ticket.split_once('.')?;
        let seal = BASE64URL_NOPAD.decode(seal.as_bytes()).ok()?;
        let message = message(body, sealed_for);
        // In constant time; only then it is read.
        let sealed = |key: &hmac::Key| hmac::verify(key, message.as_bytes(), &seal).is_ok();
        if !self.keys.iter().any(sealed) {
            return None;
        }
        serde_json::from_slice(&BASE64URL_NOPAD.decode(body.as_bytes()).ok()?).ok()
    }
}

/// What is sealed: no part can run into the next, because names hold no control characters.
fn message(body: &str, sealed_for: &SealedFor<'_>) -> String {
    let SealedFor { product, version, asset, client: _, region: _ } = sealed_for;
    [PURPOSE, product.as_str(), version.bare(), asset, body].join("\n")
}
