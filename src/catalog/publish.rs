//! From a folder of files to a release at an origin folder: hashed, copied, described, entered into the index.
//!
//! The manifest is written after all files and the index after the manifest, each whole or not at all: whoever looks at
//! the origin meanwhile sees the state before or the state after.

mod enter;
pub(super) mod label;
pub(super) mod mismatch;
mod stage;
pub(super) mod walk;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::index::{IndexError, ManifestPath};
use super::manifest::{
    Expects, ImmutabilityBreach, MANIFEST_BYTES_MAX, MANIFEST_FILE, Manifest, ManifestAsset, ManifestError,
    additions,
};
use super::signature::{TrustedComment, signature_of};
use crate::model::{ChannelName, ProductName, Sha256, Timestamp, Version};
pub use label::kind_of_name;
use mismatch::Mismatches;
use stage::{Hashes, Staging};
use walk::Found;

/// Where the files are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Placement {
    /// Elsewhere; they are copied into the origin.
    Copy,
    /// In the release's folder of the origin already.
    InPlace,
}

/// What is to be published, and where.
#[derive(Debug, Clone)]
pub struct CreateOptions {
    /// The folder with the files.
    pub folder: PathBuf,
    /// The origin's folder; created where it is missing.
    pub origin: PathBuf,
    /// Whose release.
    pub product: ProductName,
    /// Which release.
    pub version: Version,
    /// Its channels. Empty: those it has, or none.
    pub channels: Vec<ChannelName>,
    /// What a complete release holds; what is empty leaves the manifest's.
    pub expects: Expects,
    /// When it was published. `None`: what its manifest says, or `now`.
    pub published_at: Option<Timestamp>,
    /// The moment it is.
    pub now: Timestamp,
    /// Where the files are.
    pub placement: Placement,
}

/// Hears how far the hashing is; called from several threads.
pub trait Progress: Sync {
    /// So much is to be hashed.
    fn begin(&self, files: usize, bytes: u64);
    /// So much more was hashed.
    fn advance(&self, bytes: u64);
}

/// Nobody listens.
impl Progress for () {
    fn begin(&self, _: usize, _: u64) {}
    fn advance(&self, _: u64) {}
}

/// What became of the release.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It is new.
    New,
    /// Assets, channels or labels changed.
    Changed,
    /// It was published just so already.
    Unchanged,
}

/// A published release.
#[derive(Debug, Clone)]
pub struct Created {
    /// The manifest.
    pub manifest: Manifest,
    /// The manifest's file.
    pub manifest_file: PathBuf,
    /// The index's file.
    pub index_file: PathBuf,
    /// The index's sequence now.
    pub sequence: u64,
    /// What became of the release.
    pub outcome: Outcome,
    /// How many assets are new.
    pub added: usize,
    /// What the operator should know; bounded.
    pub notes: Vec<String>,
}

/// Why nothing was published.
#[derive(Debug, thiserror::Error)]
pub enum CreateError {
    /// The folders do not fit together.
    #[error("{0}")]
    Places(String),
    /// A file or folder that a release cannot hold.
    #[error("{}: {why}", path.display())]
    Refused {
        /// Which.
        path: PathBuf,
        /// Why, and what to do.
        why: String,
    },
    /// Nothing to publish.
    #[error("{}: holds no files; a release needs at least one", folder.display())]
    Empty {
        /// The folder.
        folder: PathBuf,
    },
    /// Another process publishes the same release.
    #[error("{}: another process is publishing this release; wait for it to finish", release.display())]
    Busy {
        /// The release's folder.
        release: PathBuf,
    },
    /// A file was written to meanwhile.
    #[error("{}: changed while it was read; try again when the build has finished", path.display())]
    Changed {
        /// Which file.
        path: PathBuf,
    },
    /// A file could not be read or written.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// With which file.
        path: PathBuf,
        /// What came of it.
        source: io::Error,
    },
    /// A manifest that is there, or the one that would be, is not valid.
    #[error("{}: {source}", path.display())]
    Manifest {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        source: ManifestError,
    },
    /// Files are not what their pipeline said of them.
    #[error("the files are not what was said of them, and nothing is published:{}", lines(problems))]
    Mismatch {
        /// What differs; bounded.
        problems: Vec<String>,
    },
    /// The index that is there is not valid.
    #[error("{}: {source}; repair it, or remove it to have it made anew", path.display())]
    Index {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        source: IndexError,
    },
    /// The release is published with other files.
    #[error("{release} is published already and releases never change:{}", lines(breaches))]
    Immutable {
        /// Product and version.
        release: String,
        /// What differs; bounded.
        breaches: Vec<ImmutabilityBreach>,
    },
}

impl CreateError {
    fn io(action: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io { action, path: path.to_owned(), source }
    }
}

fn lines(breaches: &[impl fmt::Display]) -> String {
    breaches.iter().map(|breach| format!("\n  {breach}")).collect()
}

/// The files to publish, and what is known beside them.
#[derive(Debug, Default)]
pub(super) struct Batch {
    /// Ordered by name, each name once.
    pub files: Vec<Found>,
    /// What is wrong with them already.
    pub problems: Mismatches,
    /// What the operator should know.
    pub notes: Vec<String>,
    /// Release notes, where the manifest has none yet.
    pub notes_url: Option<String>,
}

/// Publishes a folder's files as a release. Doing it again with the same files changes nothing; further files are added.
///
/// # Errors
/// When a file cannot be read or written or has no place in a release, when the release is published with other
/// files, or when the index or manifest that is there is broken. The origin then shows what it showed before.
pub fn create(options: &CreateOptions, progress: &dyn Progress) -> Result<Created, CreateError> {
    let places = Places::find(options)?;
    let walk = walk::walk(&places.folder)?;
    put(options, &places, Batch { files: walk.files, notes: walk.notes, ..Batch::default() }, progress)
}

/// Publishes a batch that lies in `places`. Files that are not what was said of them are all told at once.
pub(super) fn put(
    options: &CreateOptions,
    places: &Places,
    mut batch: Batch,
    progress: &dyn Progress,
) -> Result<Created, CreateError> {
    enter::current(&places.origin)?;
    let staging = Staging::take(&places.release)?;
    let manifest_file = places.release.join(MANIFEST_FILE);
    let old = published(&manifest_file)?;
    let sizes: HashMap<&str, u64> =
        old.iter().flat_map(|old| &old.assets).map(|asset| (&*asset.name, asset.size)).collect();
    let is_there = |file: &Found| {
        let lies =
            || fs::symlink_metadata(places.release.join(file.name.as_str())).map(|about| about.len()).ok();
        sizes.get(file.name.as_str()).is_some_and(|size| *size == file.size && lies() == Some(*size))
    };
    progress.begin(batch.files.len(), batch.files.iter().map(|file| file.size).sum());
    let good = batch.problems.is_empty();
    let copies = |file: &Found| good && options.placement == Placement::Copy && !is_there(file);
    let hashes = staging.fill(&batch.files, copies, progress)?;
    batch.problems.compare(&batch.files, &hashes);
    std::mem::take(&mut batch.problems).finish()?;

    let manifest = assemble(options, old.as_ref(), &batch, &hashes);
    let added = match &old {
        None => manifest.assets.len(),
        Some(old) => additions(&old.published(), &manifest, false).map_err(|breaches| {
            let release = format!("{} {}", options.product, options.version);
            CreateError::Immutable { release, breaches }
        })?,
    };
    let outcome = match &old {
        None => Outcome::New,
        Some(old) if *old == manifest => Outcome::Unchanged,
        Some(_) => Outcome::Changed,
    };
    let text = manifest.to_json();
    Manifest::parse(text.as_bytes())
        .map_err(|source| CreateError::Manifest { path: manifest_file.clone(), source })?;
    staging.release(&batch.files)?;
    if outcome != Outcome::Unchanged {
        stage::write_atomically(&manifest_file, text.as_bytes())?;
    }
    drop(staging);

    let path = ManifestPath { product: options.product.clone(), version: options.version.clone() };
    let entered = enter::enter(&places.origin, path, text.as_bytes(), outcome)?;
    let mut notes = batch.notes;
    notes.extend(entered.notes);
    if outcome == Outcome::Changed && added > 0 {
        notes.push(
            "assets were added: a service refuses them once a channel has pointed to the release".into(),
        );
    }
    if outcome == Outcome::Changed && signature_of(&manifest_file).exists() {
        let comment = TrustedComment::of_release(&options.product, &options.version);
        notes.push(format!("the manifest has changed: sign it again, with the trusted comment {comment}"));
    }
    let (index_file, sequence) = (entered.file, entered.sequence);
    Ok(Created { manifest, manifest_file, index_file, sequence, outcome, added, notes })
}

/// A folder with files, links resolved.
pub(super) fn source_folder(folder: &Path) -> Result<PathBuf, CreateError> {
    let real = fs::canonicalize(folder)
        .map_err(|error| CreateError::Places(format!("{}: {error}", folder.display())))?;
    if !real.is_dir() {
        return Err(CreateError::Places(format!("{}: is not a folder", real.display())));
    }
    Ok(real)
}

/// The folders, links resolved.
pub(super) struct Places {
    folder: PathBuf,
    origin: PathBuf,
    release: PathBuf,
}

impl Places {
    pub fn find(options: &CreateOptions) -> Result<Self, CreateError> {
        let folder = source_folder(&options.folder)?;
        fs::create_dir_all(&options.origin)
            .map_err(|error| CreateError::io("create", &options.origin, error))?;
        let origin = fs::canonicalize(&options.origin)
            .map_err(|error| CreateError::io("open", &options.origin, error))?;
        let product = origin.join(options.product.as_str());
        let release = product.join(options.version.as_str());
        let twin = match options.version.as_str().strip_prefix('v') {
            Some(bare) => product.join(bare),
            None => product.join(format!("v{}", options.version)),
        };
        if twin.join(MANIFEST_FILE).exists() {
            let why = format!("is the same version as {}, and published; use that spelling", options.version);
            return Err(CreateError::Refused { path: twin, why });
        }
        let lies_there = fs::canonicalize(&release).is_ok_and(|release| release == folder);
        let wrong = match options.placement {
            Placement::InPlace if !lies_there => {
                format!("with --in-place the files must lie in {}", release.display())
            }
            Placement::Copy if lies_there => "the files lie in the origin already; say --in-place".into(),
            Placement::Copy if origin.starts_with(&folder) => {
                format!("the origin {} lies inside it; keep them apart", origin.display())
            }
            _ => return Ok(Self { folder, origin, release }),
        };
        Err(CreateError::Places(format!("{}: {wrong}", folder.display())))
    }
}

/// The manifest that is there.
fn published(file: &Path) -> Result<Option<Manifest>, CreateError> {
    let Some(bytes) = read_bounded(file, MANIFEST_BYTES_MAX)? else { return Ok(None) };
    match Manifest::parse(&bytes) {
        Ok(parsed) => Ok(Some(parsed.manifest)),
        Err(source) => Err(CreateError::Manifest { path: file.to_owned(), source }),
    }
}

/// A file's bytes, at most one more than `max`; `None` where it is missing.
pub(super) fn read_bounded(file: &Path, max: usize) -> Result<Option<Vec<u8>>, CreateError> {
    let opened = match File::open(file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened,
    };
    let mut bytes = Vec::new();
    opened
        .and_then(|opened| opened.take(max as u64 + 1).read_to_end(&mut bytes))
        .map_err(|error| CreateError::io("read", file, error))?;
    Ok(Some(bytes))
}

/// The manifest of what was found. What an earlier one says beyond names, sizes and digests stays.
fn assemble(options: &CreateOptions, old: Option<&Manifest>, batch: &Batch, hashes: &[Hashes]) -> Manifest {
    let mut manifest = old
        .cloned()
        .filter(|old| old.product == options.product && old.version == options.version)
        .unwrap_or_else(|| Manifest::new(options.product.clone(), options.version.clone()));
    if !options.channels.is_empty() {
        manifest.channels.clear();
        for channel in &options.channels {
            if !manifest.channels.contains(channel) {
                manifest.channels.push(channel.clone());
            }
        }
    }
    manifest.published_at = options.published_at.or(manifest.published_at).or(Some(options.now));
    manifest.notes_url = manifest.notes_url.or_else(|| batch.notes_url.clone());
    let Expects { platforms, sidecars, .. } = &options.expects;
    if !platforms.is_empty() {
        manifest.expects.platforms = platforms.clone();
    }
    if !sidecars.is_empty() {
        manifest.expects.sidecars = sidecars.clone();
    }

    let mut known: HashMap<_, _> = std::mem::take(&mut manifest.assets)
        .into_iter()
        .enumerate()
        .map(|(i, asset)| (asset.name.clone(), (i, asset)))
        .collect();
    let mut assets: Vec<(usize, ManifestAsset)> = batch
        .files
        .iter()
        .zip(hashes)
        .map(|(file, hashes)| {
            let (i, mut asset) =
                known.remove(&file.name).unwrap_or_else(|| (usize::MAX, labelled(file, hashes.sha256)));
            if let Some(sha512) = hashes.sha512 {
                asset.sha512 = Some(Box::new(sha512));
            }
            (i, ManifestAsset { size: file.size, sha256: hashes.sha256, ..asset })
        })
        .collect();
    // Stable: known assets keep their order, new ones follow by name.
    assets.sort_by_key(|(i, _)| *i);
    manifest.assets = assets.into_iter().map(|(_, asset)| asset).collect();
    attach_sidecars(&mut manifest.assets);
    manifest
}

fn labelled(file: &Found, sha256: Sha256) -> ManifestAsset {
    let told = file.told.as_ref().and_then(|told| told.label.clone());
    let label = told.unwrap_or_else(|| label::read(&file.name));
    ManifestAsset {
        kind: label.kind.map(Box::from),
        platforms: label.platforms.into_iter().map(Box::from).collect(),
        ..ManifestAsset::new(file.name.clone(), file.size, sha256)
    }
}

fn attach_sidecars(assets: &mut [ManifestAsset]) {
    let names: BTreeMap<&str, usize> =
        assets.iter().enumerate().map(|(i, asset)| (&*asset.name, i)).collect();
    for (base, sidecar) in label::sidecars(&names) {
        let name = assets[sidecar].name.clone();
        if !assets[base].sidecars.contains(&name) {
            assets[base].sidecars.push(name);
        }
    }
}
