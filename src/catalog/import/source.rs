//! What a pipeline's list says, whoever wrote it.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Format;
use crate::catalog::checksums::FileDigest;
use crate::catalog::json::{Reader, Report, read};
use crate::catalog::publish::label::{self, Label};
use crate::model::{Platform, Sha256, Sha512, Timestamp, Version};

/// A list of files, and what else it says of the release.
#[derive(Debug)]
pub(super) struct Source {
    pub format: Format,
    /// What it is called in messages.
    pub file: Arc<str>,
    /// Every file that it names.
    pub listed: Vec<Listed>,
    /// Files that it knows and that are not part of the release.
    pub passed_over: Vec<String>,
    pub product: Option<String>,
    /// The version in the spellings that it has, tags included.
    pub versions: Vec<Version>,
    pub published_at: Option<Timestamp>,
    pub notes_url: Option<String>,
    /// What the operator should know.
    pub notes: Vec<String>,
}

impl Source {
    /// A list that says nothing else.
    pub fn of(format: Format, file: &str, listed: Vec<Listed>) -> Self {
        Self {
            format,
            file: file.into(),
            listed,
            passed_over: Vec::new(),
            product: None,
            versions: Vec::new(),
            published_at: None,
            notes_url: None,
            notes: Vec::new(),
        }
    }
}

/// A file as a list names it.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Listed {
    /// Any text.
    pub name: String,
    /// Where the pipeline had it; any text.
    pub path: Option<String>,
    pub size: Option<u64>,
    pub sha256: Option<Sha256>,
    pub sha512: Option<Sha512>,
    /// What it is; without, its name tells.
    pub label: Option<Label>,
    /// What tells it from others for its platform (`musl`, `v3`); `None`: it is what most want.
    pub variant: Option<String>,
}

impl Listed {
    pub fn new(name: &str) -> Self {
        Self { name: name.to_owned(), ..Self::default() }
    }

    pub fn with(mut self, digest: FileDigest) -> Self {
        match digest {
            FileDigest::Sha256(digest) => self.sha256 = Some(digest),
            FileDigest::Sha512(digest) => self.sha512 = Some(digest),
        }
        self
    }
}

/// Reads a whole JSON document; the error says all that is wrong with it.
pub(super) fn document<'de, R: Reader<'de>>(bytes: &'de [u8], reader: R) -> Result<R::Value, String> {
    let mut report = Report::default();
    match read(bytes, reader, &mut report) {
        Err(broken) => Err(format!("is not valid JSON: {broken}")),
        Ok(Some(value)) if report.is_clean() => Ok(value),
        Ok(_) => Err(report.problems.to_string()),
    }
}

/// `sha256:HEX` or `sha512:HEX`; `None`: of another algorithm.
pub(super) fn prefixed_digest(text: &str) -> Result<Option<FileDigest>, String> {
    match text.split_once(':') {
        Some(("sha256", hex)) => {
            hex.parse().map(|digest| Some(FileDigest::Sha256(digest))).map_err(|bad| bad.to_string())
        }
        Some(("sha512", hex)) => {
            hex.parse().map(|digest| Some(FileDigest::Sha512(digest))).map_err(|bad| bad.to_string())
        }
        Some(_) => Ok(None),
        None => Err("expected a digest such as sha256:<hex>".into()),
    }
}

/// The version in a tag: `v1.8.2`, `tool-v1.8.2`, `tool/1.8.2`, `tool@1.8.2`.
pub(super) fn version_in(tag: &str) -> Option<Version> {
    let behind = || {
        let ends = tag.match_indices(['-', '_', '/', '@']);
        ends.take(16).find_map(|(at, _)| Version::parse(&tag[at + 1..]).ok())
    };
    Version::parse(tag).ok().or_else(behind)
}

/// A label with the platforms that can be read as such.
pub(super) fn labelled(name: &str, kind: Option<&'static str>, platforms: Vec<String>) -> Label {
    let mut platforms: Vec<String> =
        platforms.into_iter().filter(|platform| Platform::parse(platform).is_some()).collect();
    platforms.sort_unstable();
    platforms.dedup();
    Label { kind: kind.or_else(|| label::read(name).kind), platforms }
}

/// Where several files of one kind are for one platform, those that are a variant of it get a platform of their own
/// (`linux-amd64-musl`). What was done, for the operator.
pub(super) fn tell_apart(listed: &mut [Listed]) -> Vec<String> {
    let mut groups: BTreeMap<(Option<&'static str>, String), Vec<usize>> = BTreeMap::new();
    for (i, file) in listed.iter().enumerate() {
        if let Some(label) = &file.label {
            for platform in &label.platforms {
                groups.entry((label.kind, platform.clone())).or_default().push(i);
            }
        }
    }
    let mut notes = Vec::new();
    for ((_, platform), group) in groups.into_iter().filter(|(_, group)| group.len() > 1) {
        let keeper = group.iter().copied().find(|&i| listed[i].variant.is_none()).unwrap_or(group[0]);
        for i in group.into_iter().filter(|&i| i != keeper) {
            let Listed { label: Some(label), variant: Some(variant), name, .. } = &mut listed[i] else {
                continue;
            };
            let own = format!("{platform}-{variant}");
            notes.push(format!("{name}: is {own}, because {platform} has another file"));
            label.platforms.iter_mut().filter(|one| **one == platform).for_each(|one| one.clone_from(&own));
        }
    }
    notes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_tell_versions() {
        for (tag, version) in [
            ("v1.8.2", "1.8.2"),
            ("tool-v1.8.2-rc.1", "1.8.2-rc.1"),
            ("my-tool/1.8.2", "1.8.2"),
            ("tool@1.8.2", "1.8.2"),
        ] {
            assert_eq!(version_in(tag), Version::parse(version).ok(), "{tag}");
        }
        assert_eq!(version_in("nightly"), None);
    }
}
