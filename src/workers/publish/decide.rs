//! From what somebody wants to what is done: whether it may be, and what exactly.

use crate::catalog::ReleaseId;
use crate::model::Timestamp;
use crate::store::Action;
use crate::workers::fact::{Refused, Wish};

use super::world::World;

impl World {
    /// What a wish comes to.
    ///
    /// # Errors
    ///
    /// Where it names something unknown, or the state of things forbids it.
    pub(super) fn decide(&self, wish: Wish, _now: Timestamp) -> Result<Action, Refused> {
        match wish {
            Wish::Plain(action) => self.check(&action).map(|()| action),
            Wish::Promote { release, channel, .. } => {
                self.known(&release)?;
                let from = self.pointers.get(&(release.product.clone(), channel.clone()));
                let from = from.map(|pointer| pointer.version.clone());
                let ReleaseId { product, version: to } = release;
                Ok(Action::ChannelMove { product, channel, from, above: Some(to.clone()), to })
            }
            Wish::Rollback { product, channel, .. } => {
                Err(Refused::Unknown(format!("release before that of {product} {channel}")))
            }
        }
    }

    fn known(&self, id: &ReleaseId) -> Result<(), Refused> {
        let unknown = || Refused::Unknown(format!("release {} {}", id.product, id.version));
        self.releases.contains_key(id).then_some(()).ok_or_else(unknown)
    }

    /// Whether what an order names exists.
    fn check(&self, action: &Action) -> Result<(), Refused> {
        match action {
            Action::MirrorDrain { mirror }
            | Action::MirrorUndrain { mirror }
            | Action::MirrorVerify { mirror } => {
                let known = self.configured().any(|configured| configured.name == *mirror);
                if known { Ok(()) } else { Err(Refused::Unknown(format!("mirror {mirror}"))) }
            }
            Action::ChannelMove { product, to: version, .. }
            | Action::ReleaseWithdraw { product, version, .. }
            | Action::ReleaseRestore { product, version } => {
                self.known(&ReleaseId { product: product.clone(), version: version.clone() })
            }
            Action::ChannelHold { product, channel } | Action::ChannelRelease { product, channel } => {
                let known = self.channels_of(product).contains(channel);
                let unknown = || Refused::Unknown(format!("channel {product} {channel}"));
                known.then_some(()).ok_or_else(unknown)
            }
            Action::OriginAccept { .. } => Ok(()),
        }
    }
}
