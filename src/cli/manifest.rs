//! `waypost manifest`: releases into an origin folder.

use std::io::IsTerminal;
use std::path::PathBuf;

use bytesize::ByteSize;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::json;

use super::outcome::{Exit, complain, print};
use crate::catalog::import::{self, Format, ImportError, ImportOptions, Imported};
use crate::catalog::manifest::Expects;
use crate::catalog::publish::{self, CreateError, CreateOptions, Created, Outcome, Placement, Progress};
use crate::model::Platform;
use crate::model::{ChannelName, Clock, ProductName, SystemClock, Timestamp, Version};

/// Hashes a folder's files into an origin folder, as a release with its manifest, and enters it into the index.
#[derive(Debug, clap::Args)]
pub struct CreateArgs {
    /// The folder with the release's files; subfolders become part of the names
    #[arg(value_name = "DIR")]
    pub folder: PathBuf,
    /// The origin's folder
    #[arg(long, value_name = "DIR")]
    pub origin: PathBuf,
    /// The product
    #[arg(long)]
    pub product: ProductName,
    /// The version, such as 1.8.2 or 2.0.0-rc.1
    #[arg(long, value_parser = Version::parse)]
    pub version: Version,
    /// A channel that the release is meant for; may be repeated
    #[arg(long = "channel", value_name = "CHANNEL")]
    pub channels: Vec<ChannelName>,
    /// What a complete release holds.
    #[command(flatten)]
    pub expected: ExpectedArgs,
    /// The files lie in ORIGIN/PRODUCT/VERSION already; nothing is copied
    #[arg(long)]
    pub in_place: bool,
    /// When it was published (RFC 3339), instead of now
    #[arg(long, value_name = "MOMENT", value_parser = moment)]
    pub published_at: Option<Timestamp>,
    /// Prints the result as JSON
    #[arg(long)]
    pub json: bool,
}

/// Publishes what a pipeline's own list of files names, if all of it is there and matches.
#[derive(Debug, clap::Args)]
pub struct ImportArgs {
    /// The folder with the release's files and the list
    #[arg(value_name = "DIR")]
    pub folder: PathBuf,
    /// The origin's folder
    #[arg(long, value_name = "DIR")]
    pub origin: PathBuf,
    /// The product; goreleaser and cargo-dist tell it
    #[arg(long)]
    pub product: Option<ProductName>,
    /// The version, where the list does not tell it; where it does, both have to be the same
    #[arg(long, value_parser = Version::parse)]
    pub version: Option<Version>,
    /// A channel that the release is meant for; may be repeated
    #[arg(long = "channel", value_name = "CHANNEL")]
    pub channels: Vec<ChannelName>,
    /// Which list to take: sha256sums, goreleaser, cargo-dist or github; without, the one that lies there
    #[arg(long, value_name = "FORMAT")]
    pub from: Option<Format>,
    /// The GitHub API's JSON of the release, instead of DIR/release.json
    #[arg(long, value_name = "FILE")]
    pub github: Option<PathBuf>,
    /// Publishes files that no list names as well
    #[arg(long)]
    pub all: bool,
    /// What a complete release holds.
    #[command(flatten)]
    pub expected: ExpectedArgs,
    /// The files lie in ORIGIN/PRODUCT/VERSION already; nothing is copied
    #[arg(long)]
    pub in_place: bool,
    /// When it was published (RFC 3339), instead of what the list says, or now
    #[arg(long, value_name = "MOMENT", value_parser = moment)]
    pub published_at: Option<Timestamp>,
    /// Prints the result as JSON
    #[arg(long)]
    pub json: bool,
}

/// What a complete release holds: while something of it is missing, no channel moves to the release.
#[derive(Debug, clap::Args)]
pub struct ExpectedArgs {
    /// A platform that a complete release has; may be repeated
    #[arg(long = "expect-platform", value_name = "PLATFORM", value_parser = platform)]
    platforms: Vec<String>,
    /// A suffix such as .minisig that every file of a complete release has a sidecar with; may be repeated
    #[arg(long = "expect-sidecar", value_name = "SUFFIX", value_parser = suffix)]
    sidecars: Vec<String>,
}

impl From<ExpectedArgs> for Expects {
    fn from(ExpectedArgs { platforms, sidecars }: ExpectedArgs) -> Self {
        Self { platforms, sidecars, ..Self::default() }
    }
}

fn moment(text: &str) -> Result<Timestamp, &'static str> {
    Timestamp::parse_rfc3339(text).ok_or("expected an RFC 3339 moment such as 2026-11-20T10:00:00Z")
}

fn platform(text: &str) -> Result<String, &'static str> {
    let known = Platform::parse(text).map(|_| text.to_owned());
    known.ok_or("expected a platform such as linux-amd64")
}

fn suffix(text: &str) -> Result<String, &'static str> {
    let fits = text.len() > 1 && text.len() <= 64 && text.starts_with('.') && !text.contains('/');
    fits.then(|| text.to_owned()).ok_or("expected a suffix such as .minisig")
}

/// `waypost manifest create`. Exit code 0: published, or published just so already; 1: a file is bad or the release
/// is published with other files; 2: the folders do not fit together.
pub fn create(args: CreateArgs) -> Exit {
    let options = CreateOptions {
        folder: args.folder,
        origin: args.origin,
        product: args.product,
        version: args.version,
        channels: args.channels,
        expects: args.expected.into(),
        published_at: args.published_at,
        now: SystemClock.now(),
        placement: if args.in_place { Placement::InPlace } else { Placement::Copy },
    };
    let created = under_a_bar(|bar| publish::create(&options, bar));
    ended(created.map(|created| report(&created, None, args.json)), exit)
}

/// `waypost manifest import`. Exit code 0: published, or published just so already; 1: files, lists and options
/// contradict each other, or the release is published with other files; 2: no list, or it does not tell enough.
pub fn import(args: ImportArgs) -> Exit {
    let options = ImportOptions {
        folder: args.folder,
        origin: args.origin,
        product: args.product,
        version: args.version,
        channels: args.channels,
        published_at: args.published_at,
        now: SystemClock.now(),
        placement: if args.in_place { Placement::InPlace } else { Placement::Copy },
        from: args.from,
        github: args.github,
        all: args.all,
        expects: args.expected.into(),
    };
    let imported = under_a_bar(|bar| import::import(&options, bar));
    let told = |Imported { created, format, list }| report(&created, Some((format, &list)), args.json);
    ended(imported.map(told), |error| match error {
        ImportError::Unclear(_) => Exit::Usage,
        ImportError::Source { .. } => Exit::No,
        ImportError::Create(error) => exit(error),
    })
}

fn under_a_bar<T>(work: impl FnOnce(&Bar) -> T) -> T {
    let bar = Bar::new();
    let done = work(&bar);
    bar.0.finish_and_clear();
    done
}

fn ended<E: std::fmt::Display>(outcome: Result<(), E>, exit: impl FnOnce(&E) -> Exit) -> Exit {
    match outcome {
        Ok(()) => Exit::Done,
        Err(error) => {
            complain(format!("error: {error}"));
            exit(&error)
        }
    }
}

fn exit(error: &CreateError) -> Exit {
    match error {
        CreateError::Places(_) => Exit::Usage,
        CreateError::Refused { .. }
        | CreateError::Empty { .. }
        | CreateError::Busy { .. }
        | CreateError::Changed { .. }
        | CreateError::Io { .. }
        | CreateError::Manifest { .. }
        | CreateError::Mismatch { .. }
        | CreateError::Index { .. }
        | CreateError::Immutable { .. } => Exit::No,
    }
}

/// `list`: what it was imported from.
fn report(created: &Created, list: Option<(Format, &str)>, as_json: bool) {
    let Created { manifest, manifest_file, index_file, sequence, outcome, added, notes } = created;
    let (assets, bytes) = (manifest.assets.len(), manifest.bytes());
    let outcome = match outcome {
        Outcome::New => "new",
        Outcome::Changed => "changed",
        Outcome::Unchanged => "unchanged",
    };
    let text = if as_json {
        let mut text = json!({
            "manifest": manifest_file.to_string_lossy(), "index": index_file.to_string_lossy(), "sequence": sequence,
            "product": manifest.product, "version": manifest.version, "channels": manifest.channels,
            "outcome": outcome, "assets": assets, "bytes": bytes, "added": added, "notes": notes,
        });
        if let Some((format, file)) = list {
            text["from"] = json!({ "format": format.as_str(), "file": file });
        }
        text.to_string()
    } else {
        for note in notes {
            complain(format!("note: {note}"));
        }
        let size = ByteSize::b(bytes).display().iec();
        let (product, version) = (&manifest.product, &manifest.version);
        let file = manifest_file.display();
        let from = list.map_or_else(String::new, |(format, list)| format!("\nfrom {list} ({format})"));
        format!(
            "{product} {version}: {outcome}, {assets} assets ({added} added), {size}{from}\n{file}\nindex sequence {sequence}"
        )
    };
    print(text);
}

/// A progress bar over bytes on a terminal, nothing elsewhere.
struct Bar(ProgressBar);

impl Bar {
    fn new() -> Self {
        if !std::io::stderr().is_terminal() {
            return Self(ProgressBar::hidden());
        }
        let style = ProgressStyle::with_template("{wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta}")
            .unwrap_or_else(|_| ProgressStyle::default_bar());
        Self(ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr()).with_style(style))
    }
}

impl Progress for Bar {
    fn begin(&self, _: usize, bytes: u64) {
        self.0.set_length(bytes);
    }

    fn advance(&self, bytes: u64) {
        self.0.inc(bytes);
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        args: CreateArgs,
    }

    fn line<'a>(folder: &'a str, origin: &'a str, version: &'a str) -> Vec<&'a str> {
        vec![
            "create",
            folder,
            "--origin",
            origin,
            "--product",
            "tool",
            "--version",
            version,
            "--channel",
            "stable",
        ]
    }

    #[test]
    fn names_that_cannot_be_are_wrong_usage() {
        assert!(Line::try_parse_from(line("d", "o", "1.8.2")).is_ok());
        assert!(Line::try_parse_from(line("d", "o", "stable")).is_err());
        let mut odd = line("d", "o", "1");
        odd.extend(["--channel", "1.2"]);
        assert!(Line::try_parse_from(odd).is_err());
        for (expected, fits) in [
            (["--expect-platform", "linux-amd64"], true),
            (["--expect-platform", "linux/amd64"], false),
            (["--expect-sidecar", ".minisig"], true),
            (["--expect-sidecar", "minisig"], false),
        ] {
            let line = [line("d", "o", "1.8.2"), expected.to_vec()].concat();
            assert_eq!(Line::try_parse_from(line).is_ok(), fits, "{expected:?}");
        }
    }

    #[test]
    fn the_exit_code_tells_bad_files_from_wrong_folders() {
        let root = tempfile::tempdir().unwrap();
        let (folder, origin) = (root.path().join("build"), root.path().join("origin"));
        std::fs::create_dir(&folder).unwrap();
        let run = |folder: &std::path::Path| {
            let args = line(folder.to_str().unwrap(), origin.to_str().unwrap(), "1.8.2");
            create(Line::try_parse_from(args).unwrap().args)
        };
        assert_eq!(run(&folder), Exit::No, "empty");
        std::fs::write(folder.join("a"), "x").unwrap();
        assert_eq!(run(&folder), Exit::Done);
        assert_eq!(run(&folder.join("missing")), Exit::Usage);
    }
}
