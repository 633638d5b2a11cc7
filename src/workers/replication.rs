//! What a mirror is to hold and what it lacks, as the writer tells it.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use percent_encoding::percent_decode;
use serde::Serialize;
use url::Url;

use crate::catalog::{Asset, Release};
use crate::config::Layout;
use crate::health::{Copies, CopyState};
use crate::model::{AssetIndex, MirrorName, ProductName, TierName, Version};
use crate::routing::write_path;

/// Whether a mirror keeps its files under the same paths as the origin.
pub fn lies_as_at_origin(layout: &Layout) -> bool {
    *layout == Layout::default()
}

/// What a mirror is to hold and what not.
#[derive(Debug, Clone)]
pub struct MirrorFiles {
    /// Which mirror.
    pub mirror: MirrorName,
    /// Its tier.
    pub tier: TierName,
    /// Where it keeps files.
    pub layout: Layout,
    /// What it is to hold, the most important first.
    pub wanted: Vec<WantedRelease>,
    /// Published releases that it is not to hold.
    pub unwanted: Vec<UnwantedRelease>,
    /// The origin, where it can be asked for files.
    pub origin: Option<Url>,
    /// Mirrors that hold all of it under the origin's paths, the nearest first.
    pub sources: Vec<Url>,
}

/// A release that a mirror is to hold.
#[derive(Debug, Clone)]
pub struct WantedRelease {
    /// What it holds.
    pub release: Arc<Release>,
    /// What is there; `None`: nobody has looked.
    pub copies: Option<Copies>,
}

/// A release that a mirror is not to hold.
#[derive(Debug, Clone, Serialize)]
pub struct UnwantedRelease {
    /// Of which product.
    pub product: ProductName,
    /// Which one.
    pub version: Version,
    /// Why not.
    pub reason: Unwanted,
    /// Verified copies that it holds all the same.
    pub copies: u64,
}

/// Why a mirror is not to hold a release.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Unwanted {
    /// It is withdrawn.
    Withdrawn,
    /// No mirror is to hold it any more.
    Retention,
    /// It is not for mirrors of this tier.
    Tier,
    /// It is for entitled callers, and the mirror would give it to everybody.
    Open,
}

impl Unwanted {
    /// Every reason.
    pub const ALL: [Self; 4] = [Self::Withdrawn, Self::Retention, Self::Tier, Self::Open];

    /// As metrics name it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Withdrawn => "withdrawn",
            Self::Retention => "retention",
            Self::Tier => "tier",
            Self::Open => "open",
        }
    }
}

/// A file that a mirror is to hold.
#[derive(Debug, Clone, Copy)]
pub struct WantedFile<'a> {
    /// Of which release.
    pub release: &'a Release,
    /// Which one.
    pub asset: &'a Asset,
    /// What is there.
    pub state: CopyState,
}

impl WantedFile<'_> {
    /// Where it lies below the origin, decoded: `product/version/asset`.
    pub fn origin_path(&self) -> String {
        format!("{}/{}/{}", self.release.id.product, self.release.id.version, self.asset.name)
    }

    /// Where it lies below a mirror's URL, decoded.
    pub fn path(&self, layout: &Layout) -> String {
        let mut path = Vec::new();
        write_path(layout, self.release, self.asset, &mut path);
        percent_decode(&path).decode_utf8_lossy().into_owned()
    }

    /// Its URL below a base that has the origin's paths.
    pub fn url(&self, base: &Url) -> String {
        format!("{base}{}{}", self.release.url_prefix, self.asset.url_path())
    }
}

impl MirrorFiles {
    /// The files, release by release in the order of the manifests.
    pub fn files(&self) -> impl Iterator<Item = WantedFile<'_>> {
        self.wanted.iter().flat_map(|WantedRelease { release, copies }| {
            let state = |asset| copies.as_ref().map_or(CopyState::Pending, |copies| copies.state(asset));
            let assets = (0..).zip(&release.assets);
            assets.map(move |(index, asset): (AssetIndex, _)| WantedFile {
                release,
                asset,
                state: state(index),
            })
        })
    }
}

/// Files that a mirror should hold and does not.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Needed {
    /// How many.
    pub files: u64,
    /// How large they are together.
    pub bytes: u64,
    /// A number that is another one for other files, and the same for the same in any order.
    pub mark: u64,
}

impl Needed {
    /// Adds what is missing of a release: the files that are missing or wrong, and where nothing of it was found, all that
    /// was not looked at yet either, because not each of many absent ones is asked for.
    pub fn add(&mut self, release: &Release, copies: &Copies) {
        let is_wrong = |state| matches!(state, CopyState::Missing | CopyState::Corrupt);
        if !copies.trouble().any(|(asset, _)| is_wrong(copies.state(asset))) {
            return;
        }
        let is_absent = !copies.holds_any();
        let lacks = |asset: AssetIndex| match copies.state(asset) {
            CopyState::Missing | CopyState::Corrupt => true,
            CopyState::Pending => is_absent,
            CopyState::Verified => false,
        };
        let mut hasher = DefaultHasher::new();
        release.id.hash(&mut hasher);
        for (index, asset) in (0..).zip(&release.assets).filter(|(index, _)| lacks(*index)) {
            self.files += 1;
            self.bytes = self.bytes.saturating_add(asset.size);
            index.hash(&mut hasher);
        }
        self.mark = self.mark.wrapping_add(hasher.finish());
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::catalog::{Kind, ReleaseId, ReleaseParts};
    use crate::model::{CopyFault, Sha256, Timestamp};

    fn release(version: &str) -> Release {
        let asset = |name| Asset::new(name, 7, Sha256::new([0; 32]), None, Kind::from_manifest(None));
        Release::new(ReleaseParts {
            id: ReleaseId {
                product: ProductName::new("tool").unwrap(),
                version: Version::parse(version).unwrap(),
            },
            published_at: None,
            notes_url: None,
            channels: vec![],
            assets: ["a", "b"].map(asset).into(),
            platforms: vec![],
            manifest_sha256: Sha256::new([0; 32]),
        })
    }

    #[test]
    fn the_same_files_are_the_same_need_in_whichever_order_their_releases_stand() {
        let lacking = |asset| {
            let mut copies = Copies::unknown(2);
            copies.verify(1 - asset, crate::model::Fingerprint(1), Timestamp::default());
            copies.fail(asset, CopyFault::Missing, None, Timestamp::default(), Duration::from_secs(1));
            copies
        };
        let (one, two) = ((release("1.0"), lacking(0)), (release("2.0"), lacking(1)));
        let needed = |all: &[&(Release, Copies)]| {
            let mut needed = Needed::default();
            all.iter().for_each(|(release, copies)| needed.add(release, copies));
            needed
        };
        assert_eq!(needed(&[&one, &two]), needed(&[&two, &one]));
        assert_eq!((needed(&[&one, &two]).files, needed(&[&one, &two]).bytes), (2, 14));
        let other = (release("1.0"), lacking(1));
        assert_ne!(needed(&[&one]), needed(&[&other]), "another file of the same release");
    }
}
