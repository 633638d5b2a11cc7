//! From what somebody wants to what is done: whether it may be, and what exactly.

use crate::catalog::ReleaseId;
use crate::model::{ChannelName, MirrorName, ProductName, Timestamp, Version};
use crate::store::Action;
use crate::workers::fact::{Refused, Wish};

use super::channels::ChannelKey;
use super::world::World;

/// Most mirrors, and most files of each, that a refusal names.
const NAMED_MAX: usize = 5;

impl World {
    /// What a wish comes to.
    ///
    /// # Errors
    ///
    /// Where it names something unknown, or the state of things forbids it.
    pub fn decide(&self, wish: Wish, now: Timestamp) -> Result<Action, Refused> {
        match wish {
            Wish::Plain(action) => self.check(&action).map(|()| action),
            Wish::AcceptOrigin(sequence) => self.sequence_to_accept(sequence),
            Wish::Promote { release, channel, expected, force } => {
                let id = self.published(&release)?;
                self.may_be_handed_out(id)?;
                let key = (id.product.clone(), channel);
                self.check_expected(&key, expected)?;
                self.check_whole(id)?;
                if !force {
                    self.check_ready(id, &key.1, now)?;
                }
                Ok(self.by_hand(key, id.version.clone()))
            }
            Wish::Rollback { product, channel, expected } => {
                self.check_channel(&product, &channel)?;
                let key = (product, channel);
                self.check_expected(&key, expected)?;
                let to = self.predecessor(&key).ok_or_else(|| {
                    let (product, channel) = &key;
                    Refused::Forbidden(format!(
                        "{product} {channel} has nothing to go back to: no release that it pointed to before is \
                         published, not withdrawn and whole on a mirror in rotation; promote one instead"
                    ))
                })?;
                let to = to.version.clone();
                Ok(self.by_hand(key, to))
            }
        }
    }

    /// A move by hand: from then on the channel moves by itself only above what is known now.
    fn by_hand(&self, key: ChannelKey, to: Version) -> Action {
        let from = self.pointers.get(&key).map(|pointer| pointer.version.clone());
        let (product, channel) = key;
        let above = Some(self.highest(&product, &to).clone());
        Action::ChannelMove { product, channel, from, to, above }
    }

    /// A release in the spelling in which it is published.
    fn published(&self, id: &ReleaseId) -> Result<&ReleaseId, Refused> {
        let unknown = || Refused::Unknown(format!("release {} {}", id.product, id.version));
        self.releases.get(id).map(|known| &known.release.id).ok_or_else(unknown)
    }

    fn may_be_handed_out(&self, id: &ReleaseId) -> Result<(), Refused> {
        let Some(withdrawal) = self.withdrawn.get(id) else { return Ok(()) };
        let ReleaseId { product, version } = id;
        Err(Refused::Forbidden(format!(
            "{product} {version} is withdrawn ({}): restore it first, or take another release",
            withdrawal.reason
        )))
    }

    /// Compare and set.
    fn check_expected(&self, key: &ChannelKey, expected: Option<Option<Version>>) -> Result<(), Refused> {
        let at = self.pointers.get(key).map(|pointer| &pointer.version);
        let Some(expected) = expected.filter(|expected| expected.as_ref() != at) else { return Ok(()) };
        let place = |at: Option<&Version>| at.map_or("nowhere".to_owned(), |version| format!("to {version}"));
        let ((product, channel), expected) = (key, place(expected.as_ref()));
        Err(Refused::Conflict(format!("{product} {channel} points {}, not {expected}", place(at))))
    }

    fn check_whole(&self, id: &ReleaseId) -> Result<(), Refused> {
        if self.is_whole_somewhere(id) {
            return Ok(());
        }
        let in_rotation = self.configured().filter(|mirror| self.exclusion(&mirror.name).is_none());
        let lacks: Vec<String> = in_rotation.take(NAMED_MAX).map(|m| self.what_lacks(&m.name, id)).collect();
        let ReleaseId { product, version } = id;
        let why = if lacks.is_empty() { "none is in rotation".to_owned() } else { lacks.join("; ") };
        Err(Refused::Forbidden(format!("no mirror in rotation holds all of {product} {version}: {why}")))
    }

    fn what_lacks(&self, mirror: &MirrorName, id: &ReleaseId) -> String {
        let copies = self.copies_on(mirror, id);
        let assets = self.releases.get(id).map(|known| &*known.release.assets).unwrap_or_default();
        let lacks = (0..).zip(assets).filter(|(at, _)| !copies.is_some_and(|copies| copies.holds(*at)));
        let mut names: Vec<&str> = lacks.map(|(_, asset)| &*asset.name).collect();
        let more = names.len().saturating_sub(NAMED_MAX);
        names.truncate(NAMED_MAX);
        let names = names.join(", ");
        if more > 0 {
            format!("{mirror} lacks {names} and {more} more")
        } else {
            format!("{mirror} lacks {names}")
        }
    }

    fn check_ready(&self, id: &ReleaseId, channel: &ChannelName, now: Timestamp) -> Result<(), Refused> {
        let mut reasons = self.content_blocks(id);
        let readiness = self.readiness(id, channel, now);
        if !readiness.ready {
            let lacking: Vec<&str> = readiness.lacking.iter().map(MirrorName::as_str).collect();
            reasons.push(format!("not yet on {}", lacking.join(", ")));
        }
        if reasons.is_empty() {
            return Ok(());
        }
        let ReleaseId { product, version } = id;
        let reasons = reasons.join("; ");
        Err(Refused::Forbidden(format!(
            "{product} {version} is not ready for {channel}: {reasons}; it can be forced"
        )))
    }

    /// One that was held stays known, so that it can be released.
    fn check_channel(&self, product: &ProductName, channel: &ChannelName) -> Result<(), Refused> {
        let known = self.channels_of(product).contains(channel)
            || self.held.contains(&(product.clone(), channel.clone()));
        let unknown = || Refused::Unknown(format!("channel {product} {channel}"));
        known.then_some(()).ok_or_else(unknown)
    }

    /// Whether an order may be given.
    fn check(&self, action: &Action) -> Result<(), Refused> {
        match action {
            Action::MirrorDrain { mirror }
            | Action::MirrorUndrain { mirror }
            | Action::MirrorVerify { mirror } => {
                let known = self.configured().any(|configured| configured.name == *mirror);
                if known { Ok(()) } else { Err(Refused::Unknown(format!("mirror {mirror}"))) }
            }
            Action::ChannelMove { product, to: version, .. } => {
                let id = ReleaseId { product: product.clone(), version: version.clone() };
                self.published(&id).and_then(|id| self.may_be_handed_out(id))
            }
            Action::ReleaseWithdraw { product, version, replacement } => {
                let of = |version: &Version| ReleaseId { product: product.clone(), version: version.clone() };
                self.check_withdraw(&of(version), replacement.as_ref().map(of))
            }
            Action::ReleaseRestore { product, version } => {
                self.check_restore(&ReleaseId { product: product.clone(), version: version.clone() })
            }
            Action::ChannelHold { product, channel } | Action::ChannelRelease { product, channel } => {
                self.check_channel(product, channel)
            }
            Action::OriginAccept { .. } => Ok(()),
            Action::TokenRevoke { issuer, .. } => self.check_issuer(issuer),
        }
    }
}
