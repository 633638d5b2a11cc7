//! What a caller may have of a guarded product.
//!
//! What a caller may not have is refused in two ways. Where the request by itself tells that it is beyond the caller's
//! rights (another product, a version out of range, a channel, a place, a time), the answer is 403, and the same whether
//! or not there is such a thing. Where only what is published tells it, the answer is that of something that is not there.

use std::sync::Arc;

use crate::catalog::Release;
use crate::config::Allow;
use crate::entitlement::{Grant, Lacking, Question, lacks};
use crate::model::{AssetIndex, ChannelName, Denial, Platform, Version};
use crate::snapshot::{ReleaseView, WithdrawnView};

use super::exports::Shown;
use super::guarded::{Refused, Visit};
use super::names;
use super::resolve::{Meaning, Missing, Why};

impl<'s> Visit<'_, 's> {
    /// Whether the grant gives what is asked for, and how many different files the token may take where that is counted;
    /// where there is no such thing, whether its bearer may be told so.
    pub(super) fn permit(
        &self,
        grant: &Grant,
        meaning: &Result<Meaning<'s>, Missing<'s>>,
    ) -> Result<Option<u32>, Refused> {
        let refused = |lacking, hidden| Refused {
            reason: match lacking {
                Lacking::Product | Lacking::Version | Lacking::Release | Lacking::Asset => {
                    Denial::NotEntitled
                }
                Lacking::Region => Denial::Region,
                Lacking::Time => Denial::Time,
            },
            issuer: Some(grant.issuer),
            hidden,
        };
        let given = match meaning {
            Ok(Meaning::Release(found)) => self.gives(grant, &found.release.release, found.target.asset()),
            Err(Missing { channel: None, why: Why::Withdrawn(view, _), .. }) => {
                self.gives_withdrawn(grant, view, &[]).map(|()| None)
            }
            Ok(Meaning::Releases(_) | Meaning::Hosts) | Err(_) => Ok(None),
        };
        // Nearly every request ends here.
        if let (Ok(most), Ok(Meaning::Release(_))) = (given, meaning) {
            return Ok(most);
        }
        self.reaches(grant, meaning).map_err(|lacking| refused(lacking, false))?;
        given.map_err(|lacking| refused(lacking, true))
    }

    /// Whether the grant gives anything of the product or version that a path names, there or not, or of the release that
    /// a channel leads to: a channel's name is no secret, which names it leads to is.
    fn reaches(&self, grant: &Grant, meaning: &Result<Meaning<'s>, Missing<'s>>) -> Result<(), Lacking> {
        let (channel, found) = match meaning {
            Ok(Meaning::Release(found)) => (found.channel, Some(&found.release.release.id.version)),
            Ok(Meaning::Releases(_) | Meaning::Hosts) => (None, None),
            Err(missing) => (missing.channel, None),
        };
        if let Some(channel) = channel.map(|at| &self.product.channels[at]) {
            return match (&channel.target, &channel.gone) {
                (Some(view), _) => self.gives(grant, &view.release, None).map(drop),
                (None, Some(view)) => self.gives_withdrawn(grant, view, std::slice::from_ref(&channel.name)),
                (None, None) => grant.gives(&self.question(None)).map(drop),
            };
        }
        let asked = match (found, meaning) {
            (None, Err(_)) => {
                names::version_asked(self.snapshot, self.inquiry, &self.product.name, self.query)
            }
            _ => None,
        };
        grant.gives(&self.question(found.or(asked.as_ref()))).map(drop)
    }

    /// Whether what is asked for is where `latest` points to, and the grant gives only the release before it in that
    /// channel: the rules have not kept up with what was published.
    pub(super) fn is_shut_out(&self, grant: &Grant, meaning: &Result<Meaning<'s>, Missing<'s>>) -> bool {
        let Ok(Meaning::Release(found)) = meaning else { return false };
        let asked = &found.release.release;
        let is_asked = |view: &Arc<ReleaseView>| Arc::ptr_eq(&view.release, asked);
        let latest = self.product.latest.map(|at| &self.product.channels[at]);
        let Some(latest) = latest.filter(|latest| latest.target.as_ref().is_some_and(is_asked)) else {
            return false;
        };
        let mut older = self.product.releases.iter().skip_while(|view| !is_asked(view)).skip(1);
        let before = older.find(|view| view.release.channels.contains(&latest.name));
        self.gives(grant, asked, None).is_err()
            && before.is_some_and(|before| self.gives(grant, &before.release, None).is_ok())
    }

    /// For anything of the product, or of a version of it.
    fn question<'q>(&'q self, version: Option<&'q Version>) -> Question<'q> {
        let (product, region, now) = (&self.product.name, self.region, self.now);
        Question { product, version, channels: None, asset: None, region, now }
    }

    /// The rules that give something of the product to this client's region now.
    pub(super) fn rules_in_force(&self, grant: &Grant) -> Vec<Arc<Allow>> {
        let question = self.question(None);
        grant.rules().iter().filter(|rule| lacks(rule, &question).is_none()).cloned().collect()
    }

    /// Whether the grant gives a release, or one of its assets.
    pub(super) fn gives(
        &self,
        grant: &Grant,
        release: &Release,
        asset: Option<AssetIndex>,
    ) -> Result<Option<u32>, Lacking> {
        self.ask(release, asset, |question| grant.gives(question))
    }

    /// Asks for a release, or one of its assets.
    pub(super) fn ask<T>(
        &self,
        release: &Release,
        asset: Option<AssetIndex>,
        ask: impl FnOnce(&Question<'_>) -> T,
    ) -> T {
        let is_of = |platform: &Platform| asset.and_then(|asset| release.is_of(asset, platform));
        ask(&Question {
            channels: Some(&release.channels),
            asset: asset.is_some().then_some(&is_of),
            ..self.question(Some(&release.id.version))
        })
    }

    /// Of a withdrawn release the channels are not known any more, but for the one that led to it: a rule that asks for
    /// another does not give it.
    fn gives_withdrawn(
        &self,
        grant: &Grant,
        view: &WithdrawnView,
        channels: &[ChannelName],
    ) -> Result<(), Lacking> {
        let question = Question { channels: Some(channels), ..self.question(Some(&view.version)) };
        grant.gives(&question).map(drop)
    }
}

/// What of a product may be told to a caller.
pub(super) struct Given<'v, 'a, 's> {
    pub(super) visit: &'v Visit<'a, 's>,
    pub(super) grant: &'v Grant,
}

impl Shown for Given<'_, '_, '_> {
    fn release(&self, view: &ReleaseView) -> bool {
        self.visit.gives(self.grant, &view.release, None).is_ok()
    }

    fn asset(&self, release: &Release, asset: AssetIndex) -> bool {
        self.visit.gives(self.grant, release, Some(asset)).is_ok()
    }

    fn withdrawn(&self, view: &WithdrawnView) -> bool {
        self.visit.gives_withdrawn(self.grant, view, &[]).is_ok()
    }
}
