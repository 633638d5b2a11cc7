//! What the background tasks tell the one writer, and what they ask of it.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::oneshot;
use url::Url;

use crate::catalog::index::IndexWithdrawal;
use crate::catalog::manifest::Manifest;
use crate::catalog::signature::TrustedKeys;
use crate::catalog::{Release, ReleaseId};
use crate::entitlement::KeySet;
use crate::fetch::Families;
use crate::health::{BlockDigest, Blocks, Evidence};
use crate::model::{
    AssetIndex, ChannelName, CopyFault, Fingerprint, MirrorName, OriginFault, ProductName, Sha256,
    SignatureState, Timestamp, Version,
};
use crate::store::{Action, Order};

use super::inventory::{FolderListed, NextListing};
use super::prepare::Prepared;
use super::replication::{MirrorFiles, Needed};
use super::report::{Report, Topic};

/// One copy of one asset, at one state of knowledge: a result of an epoch before the last contradiction is about bytes
/// that may have been replaced since.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct CopyRef {
    /// Where.
    pub mirror: MirrorName,
    /// Of which release.
    pub release: ReleaseId,
    /// Which asset.
    pub asset: AssetIndex,
    /// The state of knowledge when the look began.
    pub epoch: u64,
}

/// What a look at a copy found wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wrong {
    /// The reason.
    pub fault: CopyFault,
    /// What was seen.
    pub evidence: Evidence,
}

/// A probe that ended.
#[derive(Debug, Clone)]
pub struct Probed {
    /// Of which mirror.
    pub mirror: MirrorName,
    /// The copy that was asked for; `None`: the mirror's own URL, because there is no release.
    pub copy: Option<CopyRef>,
    /// What was found.
    pub outcome: Result<(), Wrong>,
    /// The address families that the mirror's name resolved to.
    pub families: Option<Families>,
    /// The host that the answer came from after redirects, where it is another.
    pub final_host: Option<String>,
}

/// Why a copy is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// It is not verified (any more).
    First,
    /// Its mirror was down and is coming back.
    Return,
    /// It was verified long ago, or somebody asked.
    Recheck,
    /// One of its blocks is compared, between full passes.
    Sample,
}

impl Purpose {
    /// The purpose as a label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::First => "first",
            Self::Return => "return",
            Self::Recheck => "recheck",
            Self::Sample => "sample",
        }
    }
}

/// What was found beside the digest while a whole file went by.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Found {
    /// The digests of its blocks, where they were asked for.
    pub blocks: Option<Blocks>,
    /// What its signature is worth, where it was asked for and could be read.
    pub signature: Option<SignatureState>,
    /// For a published file of checksums: how it contradicts the manifest, or that it does not.
    pub checksums: Option<Result<(), String>>,
}

/// A copy that was hashed.
#[derive(Debug, Clone)]
pub struct Verified {
    /// Which.
    pub copy: CopyRef,
    /// Why.
    pub purpose: Purpose,
    /// What the server said of it, or what is wrong.
    pub outcome: Result<Fingerprint, Wrong>,
    /// Bytes that were read.
    pub bytes: u64,
    /// What else was found in a whole file that is right.
    pub found: Found,
}

/// A manifest as it was read.
#[derive(Debug, Clone)]
pub struct ReadManifest {
    /// What it says.
    pub manifest: Arc<Manifest>,
    /// Its bytes.
    pub body: Bytes,
    /// Their digest.
    pub sha256: Sha256,
    /// What is odd about it.
    pub warnings: Vec<String>,
}

/// A look at the origin.
#[derive(Debug, Clone)]
pub enum Reading {
    /// It could not be read or believed; nothing changes.
    Unreadable(OriginRefusal),
    /// Its index has this sequence, lower than the lowest that is believed; 0 as well where an index was and is gone.
    /// Nothing changes.
    WentBack(u64),
    /// What it says.
    Listing(Listing),
}

/// What a readable origin says.
#[derive(Debug, Clone, Default)]
pub struct Listing {
    /// A path such as `tool/1.8.2/manifest.json`, and what became of the manifest.
    pub manifests: BTreeMap<String, Listed>,
    /// The index's sequence; `None` where there is no index.
    pub sequence: Option<u64>,
    /// Releases that the index withdraws.
    pub withdrawn: Vec<IndexWithdrawal>,
}

/// Something that the origin says and that is not believed.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct OriginRefusal {
    /// The reason.
    pub reason: OriginFault,
    /// In words.
    pub detail: String,
}

impl std::fmt::Display for OriginRefusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.reason, self.detail)
    }
}

/// What a look at the origin begins with.
#[derive(Debug, Clone, Default)]
pub struct OriginLook {
    /// The lowest sequence of an index that is believed.
    pub lowest: u64,
    /// Manifests that were refused, by path: they are read again, changed or not.
    pub again: Vec<String>,
    /// The digests of the manifests that are known, by path: whoever finds the same bytes there need not take them apart.
    /// Empty where they have to be signed.
    pub known: HashMap<String, Sha256>,
}

/// One manifest of a listing.
#[derive(Debug, Clone)]
pub enum Listed {
    /// As it is known.
    Unchanged,
    /// New or changed.
    Read(ReadManifest),
    /// It cannot be used, and why.
    Refused(OriginRefusal),
}

/// The keys of an issuer, as its JWK set has them.
#[derive(Debug, Clone)]
pub struct FetchedKeys {
    /// Whose: the issuer's name.
    pub issuer: String,
    /// Where they were fetched from.
    pub url: Url,
    /// They.
    pub keys: Arc<KeySet>,
    /// The set as it was read.
    pub body: Bytes,
    /// When.
    pub at: Timestamp,
}

/// Something that happened.
#[derive(Debug)]
pub enum Fact {
    /// The origin was looked at.
    Origin(Reading),
    /// A mirror was looked at.
    Probed(Probed),
    /// A copy was hashed.
    Verified(Verified),
    /// A release's folder on a mirror was listed, or could not be.
    Listed(FolderListed),
    /// The configuration or a GeoIP database changed.
    Reloaded(Box<Prepared>),
    /// Time passed.
    Tick,
}

/// What to ask a mirror for, to see whether it is there.
#[derive(Debug, Clone)]
pub struct ProbeTarget {
    /// Where.
    pub url: Url,
    /// What is expected there; `None`: any answer will do.
    pub expects: Option<ExpectedCopy>,
}

/// A copy that is expected at a URL.
#[derive(Debug, Clone)]
pub struct ExpectedCopy {
    /// Which.
    pub copy: CopyRef,
    /// Its release.
    pub release: Arc<Release>,
    /// What the server said of it when it was verified.
    pub mark: Option<Fingerprint>,
}

/// A copy to hash.
#[derive(Debug, Clone)]
pub struct Work {
    /// Which.
    pub copy: CopyRef,
    /// Its release.
    pub release: Arc<Release>,
    /// Where.
    pub url: Url,
    /// Why.
    pub purpose: Purpose,
    /// What to look at beside the digest.
    pub examine: Examine,
}

/// What to look at while a whole file goes by, or instead of it.
#[derive(Debug, Clone, Default)]
pub struct Examine {
    /// Record the digests of its blocks.
    pub blocks: bool,
    /// Verify its signature, which is in this sidecar.
    pub signature: Option<Sidecar>,
    /// Hold a published file of checksums against the manifest.
    pub checksums: bool,
    /// For [`Purpose::Sample`]: which block to compare.
    pub sample: Option<Sample>,
}

/// The signature of an asset, and what it is verified with.
#[derive(Debug, Clone)]
pub struct Sidecar {
    /// Where it lies on the same mirror.
    pub url: Url,
    /// Which asset it is.
    pub asset: AssetIndex,
    /// Whose signatures are believed.
    pub keys: Arc<TrustedKeys>,
}

/// A block of a file that was verified, to be compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sample {
    /// Its number.
    pub block: u64,
    /// What it has to hash to; `None`: the store has to be asked.
    pub digest: Option<BlockDigest>,
    /// What the server said of the copy when it was verified, where it is still known.
    pub mark: Option<Fingerprint>,
}

/// What there is to hash on a mirror.
#[derive(Debug, Clone)]
pub enum NextWork {
    /// This.
    Now(Box<Work>),
    /// Nothing until then, unless the mirror is woken.
    Nothing {
        /// When a copy in trouble is due.
        until: Option<Timestamp>,
    },
}

/// A question or an order; the answer comes through the channel in it.
#[derive(Debug)]
pub enum Call {
    /// A look at the origin begins; everything that was told before has been folded in.
    BeginLook(oneshot::Sender<OriginLook>),
    /// What to probe a mirror with.
    ProbeTarget(MirrorName, oneshot::Sender<Option<ProbeTarget>>),
    /// A probe ended; answered with how long to wait before the next one, before jitter. `None`: the mirror is not
    /// configured any more.
    Probed(Box<Probed>, oneshot::Sender<Option<Duration>>),
    /// What to hash on a mirror.
    NextWork(MirrorName, oneshot::Sender<NextWork>),
    /// How things are.
    Report(Topic, oneshot::Sender<Report>),
    /// An operator's order: durable before it is answered.
    Order(Box<Instruction>, oneshot::Sender<Result<Order, Refused>>),
    /// An issuer's keys were fetched; answered when they are published.
    Keys(Box<FetchedKeys>, oneshot::Sender<()>),
    /// Orders below a number, the newest first, at most so many: the audit.
    Orders(u64, usize, oneshot::Sender<Result<Vec<Order>, String>>),
    /// What a mirror is to hold.
    Files(MirrorName, oneshot::Sender<Option<MirrorFiles>>),
    /// What a mirror lacks of it.
    Needed(MirrorName, oneshot::Sender<Option<Needed>>),
    /// What to list on a mirror.
    NextListing(MirrorName, oneshot::Sender<Option<NextListing>>),
}

/// Who wants what, and why.
#[derive(Debug, Clone)]
pub struct Instruction {
    /// Who.
    pub actor: String,
    /// Why.
    pub reason: String,
    /// What.
    pub wish: Wish,
}

/// What somebody wants; the writer makes an [`Action`] of it, or says why not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wish {
    /// This, as it is.
    Plain(Action),
    /// An index may have a lower sequence than was seen: this one, or the one that was refused last.
    AcceptOrigin(Option<u64>),
    /// A channel is to point to a release.
    Promote {
        /// Which release.
        release: ReleaseId,
        /// Which channel.
        channel: ChannelName,
        /// Only if it points there now: compare and set. `Some(None)`: only if it points nowhere.
        expected: Option<Option<Version>>,
        /// Although checks that gate it fail.
        force: bool,
    },
    /// A channel is to point to the release before, the last one that is still good.
    Rollback {
        /// Whose channel.
        product: ProductName,
        /// Which channel.
        channel: ChannelName,
        /// Only if it points there now.
        expected: Option<Option<Version>>,
    },
}

/// Why an order was not carried out.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Refused {
    /// It names something that does not exist.
    #[error("there is no {0}")]
    Unknown(String),
    /// The state of things forbids it; the text says what would have to change.
    #[error("{0}")]
    Forbidden(String),
    /// Somebody else was quicker: things are not as the order expected them.
    #[error("{0}")]
    Conflict(String),
    /// It could not be made durable, so it was not acknowledged.
    #[error("the order could not be written down and was not carried out: {0}")]
    NotDurable(String),
    /// The service is stopping.
    #[error("the service is stopping")]
    Stopping,
}
