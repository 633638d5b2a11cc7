//! From what a release pipeline wrote beside its files to a release at an origin folder.
//!
//! Each reader is pure: bytes to a `Source`, a list of files with what is said of them. `join` holds the lists against the
//! files that lie there; hashing and publishing is [`super::publish`]'s.

mod cargo_dist;
mod github;
mod goreleaser;
mod join;
mod source;
mod sums;

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use super::manifest::Expects;
use super::publish::walk::{Walk, walk};
use super::publish::{
    self, Batch, CreateError, CreateOptions, Created, Placement, Places, Progress, read_bounded,
    source_folder,
};
use crate::model::{ChannelName, ProductName, Timestamp, Version};
use join::Join;
use source::Source;

/// Largest JSON file of a pipeline that is read, in bytes.
const JSON_BYTES_MAX: usize = 64 << 20;

/// Who wrote what is imported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Files of checksums alone.
    Sha256sums,
    /// goreleaser's dist folder: `artifacts.json`, `metadata.json`.
    Goreleaser,
    /// cargo-dist's `dist-manifest.json`.
    CargoDist,
    /// The GitHub API's JSON of a release, or of a list of releases.
    Github,
}

impl Format {
    /// The name on the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sha256sums => "sha256sums",
            Self::Goreleaser => "goreleaser",
            Self::CargoDist => "cargo-dist",
            Self::Github => "github",
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Format {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        [Self::Sha256sums, Self::Goreleaser, Self::CargoDist, Self::Github]
            .into_iter()
            .find(|format| format.as_str() == text)
            .ok_or("expected sha256sums, goreleaser, cargo-dist or github")
    }
}

/// What is to be imported, and where to.
#[derive(Debug, Clone)]
pub struct ImportOptions {
    /// The folder with the files and what the pipeline wrote.
    pub folder: PathBuf,
    /// The origin's folder; created where it is missing.
    pub origin: PathBuf,
    /// Whose release. `None`: what the pipeline says.
    pub product: Option<ProductName>,
    /// Which release. `None`: what the pipeline says; given, the pipeline has to agree.
    pub version: Option<Version>,
    /// Its channels. Empty: those it has, or none.
    pub channels: Vec<ChannelName>,
    /// When it was published. `None`: what the pipeline or the manifest says, or `now`.
    pub published_at: Option<Timestamp>,
    /// The moment it is.
    pub now: Timestamp,
    /// Where the files are.
    pub placement: Placement,
    /// Who wrote it. `None`: told by the files that lie there.
    pub from: Option<Format>,
    /// The GitHub API's JSON, where it is not `release.json` in the folder.
    pub github: Option<PathBuf>,
    /// Whether files that no list names are published too.
    pub all: bool,
    /// What a complete release holds; what is empty leaves the manifest's.
    pub expects: Expects,
}

/// An imported release.
#[derive(Debug, Clone)]
pub struct Imported {
    /// The release.
    pub created: Created,
    /// Whose list was taken.
    pub format: Format,
    /// The file with the list.
    pub list: String,
}

/// Why nothing was imported.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The folder does not tell what was not said.
    #[error("{0}")]
    Unclear(String),
    /// A file of the pipeline that cannot be taken at its word.
    #[error("{file}: {why}")]
    Source {
        /// Which.
        file: String,
        /// Why.
        why: String,
    },
    /// What can happen to every publication.
    #[error(transparent)]
    Create(#[from] CreateError),
}

/// Publishes what a pipeline's lists name, if all of it is there and matches. Doing it again changes nothing.
///
/// # Errors
/// When no list is found or one is broken, when lists contradict each other, the options or the files (all of that is
/// told at once), and whenever [`publish::create`] fails. The origin then shows what it showed before.
pub fn import(options: &ImportOptions, progress: &dyn Progress) -> Result<Imported, ImportError> {
    let folder = source_folder(&options.folder)?;
    let lying = walk(&folder)?;
    let sources = read_sources(options, &folder, &lying)?;
    let (format, first) = match sources.first() {
        Some(source) => (source.format, source.file.to_string()),
        None => return Err(nothing_found(&folder)),
    };
    if sources.iter().all(|source| source.listed.is_empty()) {
        return Err(ImportError::Source { file: first, why: "names no file to publish".into() });
    }
    let create = create_options(options, &sources)?;
    let notes_url = sources.iter().find_map(|source| source.notes_url.clone());
    let batch = Join::new(lying, options).all(sources);
    let batch = Batch { notes_url, ..batch };
    let created = publish::put(&create, &Places::find(&create)?, batch, progress)?;
    Ok(Imported { created, format, list: first })
}

fn nothing_found(folder: &Path) -> ImportError {
    ImportError::Unclear(format!(
        "{}: holds no list of files with checksums (dist-manifest.json, artifacts.json, release.json, SHA256SUMS, …); \
         `waypost manifest create` publishes a folder without one",
        folder.display()
    ))
}

/// Every list that counts, the one that was taken first.
fn read_sources(options: &ImportOptions, folder: &Path, lying: &Walk) -> Result<Vec<Source>, ImportError> {
    let mut order = vec![Format::CargoDist, Format::Goreleaser, Format::Github];
    match options.from {
        Some(format) => order.retain(|one| *one == format),
        None if options.github.is_some() => order.rotate_right(1),
        None => {}
    }
    let mut sources = Vec::new();
    for format in order {
        let file = match (format, &options.github) {
            (Format::Github, Some(file)) => file.clone(),
            (Format::Github, None) => folder.join(github::FILE),
            (Format::Goreleaser, _) => folder.join(goreleaser::FILE),
            _ => folder.join(cargo_dist::FILE),
        };
        let is_named = format == Format::Github && options.github.is_some();
        let name = match file.strip_prefix(folder) {
            Ok(inside) => inside.display().to_string(),
            Err(_) => file.display().to_string(),
        };
        let Some(bytes) = read(&file, &name)? else {
            if is_named || options.from == Some(format) {
                return Err(ImportError::Unclear(format!("{}: is missing", file.display())));
            }
            continue;
        };
        let wrong = |why| ImportError::Source { file: name.clone(), why };
        let source = match format {
            Format::CargoDist => cargo_dist::read(&bytes, options.product.as_ref()),
            Format::Goreleaser => {
                let metadata = read(&folder.join(goreleaser::METADATA), goreleaser::METADATA)?;
                goreleaser::read(&bytes, metadata.as_deref())
            }
            _ => github::read(&bytes, options.version.as_ref()),
        };
        sources.push(Source { format, file: name.as_str().into(), ..source.map_err(wrong)? });
    }
    sources.extend(sums::read_all(lying)?);
    Ok(sources)
}

/// A pipeline's file; `None` where it is missing.
fn read(file: &Path, name: &str) -> Result<Option<Vec<u8>>, ImportError> {
    let bytes = read_bounded(file, JSON_BYTES_MAX)?;
    if bytes.as_ref().is_some_and(|bytes| bytes.len() > JSON_BYTES_MAX) {
        let why = format!("has more than the {JSON_BYTES_MAX} bytes that are read");
        return Err(ImportError::Source { file: name.into(), why });
    }
    Ok(bytes)
}

/// What was said and what the lists say, which has to be the same.
fn create_options(options: &ImportOptions, sources: &[Source]) -> Result<CreateOptions, ImportError> {
    let mut version = options.version.clone();
    for source in sources {
        let Some(own) = source.versions.first() else { continue };
        match &version {
            None => version = Some(own.clone()),
            Some(version) if source.versions.contains(version) => {}
            Some(version) => {
                let why = format!("is about version {own}, not {version}");
                return Err(ImportError::Source { file: source.file.to_string(), why });
            }
        }
    }
    let unclear = |what: &str| {
        ImportError::Unclear(format!("{}: does not tell the {what}; say --{what}", options.folder.display()))
    };
    let told = || sources.iter().find_map(|source| ProductName::new(source.product.as_deref()?).ok());
    Ok(CreateOptions {
        folder: options.folder.clone(),
        origin: options.origin.clone(),
        product: options.product.clone().or_else(told).ok_or_else(|| unclear("product"))?,
        version: version.ok_or_else(|| unclear("version"))?,
        channels: options.channels.clone(),
        expects: options.expects.clone(),
        published_at: options.published_at.or_else(|| sources.iter().find_map(|source| source.published_at)),
        now: options.now,
        placement: options.placement,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_bytes_make_a_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = super::super::checksums::parse(&bytes);
            let _ = cargo_dist::read(&bytes, None);
            let _ = goreleaser::read(&bytes, Some(&bytes));
            let _ = github::read(&bytes, None);
        }

        #[test]
        fn no_text_that_looks_like_checksums_makes_the_reader_panic(
            text in "(\u{feff})?(([0-9a-fA-F]{62,66}|SHA(256|512)|[\\\\(\\)=\\-*#./ \t]|-----BEGIN PGP SIGNED MESSAGE-----|é|\r?\n){0,12})",
        ) {
            let _ = super::super::checksums::parse(text.as_bytes());
        }
    }
}
