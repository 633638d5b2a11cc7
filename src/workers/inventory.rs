//! What lies in a mirror's folders: one release's folder after another is listed, and held against its manifest.

mod drift;
mod folder;

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;
use url::Url;

use crate::catalog::{Release, ReleaseId};
use crate::fetch::{Fetcher, ListingKind};
use crate::model::{AssetIndex, MirrorName};

pub use self::drift::Drift;

use super::fact::Fact;
use super::handle::Handle;

/// Between two listings of a mirror, at least…
const PAUSE: Duration = Duration::from_millis(100);
/// …and between two of all mirrors on average: what lies in folders that nobody asked about must not disturb anything.
const PAUSE_OF_ALL: Duration = Duration::from_millis(20);

/// How long the lister of each of so many mirrors rests after a listing.
pub fn pause(mirrors: usize) -> Duration {
    PAUSE_OF_ALL.saturating_mul(u32::try_from(mirrors).unwrap_or(u32::MAX)).max(PAUSE)
}

/// A release whose folder is to be listed.
#[derive(Debug, Clone)]
pub struct ListingTask {
    /// Which release.
    pub release: Arc<Release>,
    /// Its folder on the mirror; ends with a slash.
    pub folder: Url,
    /// Whether the mirror is known to hold all of it.
    pub complete: bool,
}

/// What to list on a mirror.
#[derive(Debug, Clone)]
pub enum NextListing {
    /// This.
    Now(Box<ListingTask>),
    /// Nothing for now.
    Nothing {
        /// When to ask again.
        again_in: Duration,
    },
}

/// A release's folder that was looked at.
#[derive(Debug, Clone)]
pub struct FolderListed {
    /// On which mirror.
    pub mirror: MirrorName,
    /// Of which release.
    pub release: ReleaseId,
    /// How many assets it had then.
    pub assets: AssetIndex,
    /// As in [`ListingTask`].
    pub complete: bool,
    /// What came of it.
    pub outcome: FolderOutcome,
}

/// What came of a look at a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FolderOutcome {
    /// How it differs from the manifest.
    Listed(ListingKind, Drift),
    /// This mirror does not list it.
    NoListing,
    /// No answer that tells.
    Unreachable,
}

/// One mirror's lister.
pub struct Lister {
    /// Which mirror.
    pub mirror: MirrorName,
    /// Makes the requests.
    pub fetcher: Fetcher,
    /// Where work comes from and results go.
    pub handle: Handle,
    /// How long it rests after a listing; see [`pause`].
    pub pause: Duration,
}

impl Lister {
    /// Lists until the mirror leaves the configuration or the writer stops.
    pub async fn run(self) {
        loop {
            match self.handle.next_listing(&self.mirror).await {
                None => return,
                Some(NextListing::Nothing { again_in }) => sleep(again_in).await,
                Some(NextListing::Now(task)) => {
                    let listed = self.look(&task).await;
                    self.handle.tell(Fact::Listed(listed)).await;
                    sleep(self.pause).await;
                }
            }
        }
    }

    async fn look(&self, task: &ListingTask) -> FolderListed {
        let ListingTask { release, folder, complete } = task;
        let outcome = match folder::contents(&self.fetcher, release, folder).await {
            Ok((kind, found)) => FolderOutcome::Listed(kind, Drift::between(release, &found)),
            Err(folder::Unlisted::NoListing) => FolderOutcome::NoListing,
            Err(folder::Unlisted::Unreachable) => FolderOutcome::Unreachable,
        };
        FolderListed {
            mirror: self.mirror.clone(),
            release: release.id.clone(),
            assets: release.assets.len() as AssetIndex,
            complete: *complete,
            outcome,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_mirrors_are_listed_no_faster_together_than_a_few() {
        assert_eq!([1, 5, 10, 1000].map(|mirrors| pause(mirrors).as_millis()), [100, 100, 200, 20_000]);
    }
}
