//! Lists and files: what a list names must lie there and match; what lies there and is named by no list stays behind.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use super::source::{Listed, Source};
use super::{Format, ImportOptions, cargo_dist, github, goreleaser};
use crate::catalog::Kind;
use crate::catalog::json::shortened;
use crate::catalog::publish::label::{self, Label};
use crate::catalog::publish::mismatch::Mismatches;
use crate::catalog::publish::walk::{Found, Walk};
use crate::catalog::publish::{Batch, Placement};
use crate::model::AssetPath;

/// How many files a note names.
const NAMED: usize = 5;

/// Files on their way from lying there to being part of the release.
pub(super) struct Join<'a> {
    options: &'a ImportOptions,
    /// Named by no list yet, by their place in the folder.
    lying: BTreeMap<AssetPath, Found>,
    /// By their name in the release.
    taken: BTreeMap<AssetPath, Found>,
    problems: Mismatches,
    notes: Vec<String>,
}

impl<'a> Join<'a> {
    pub fn new(lying: Walk, options: &'a ImportOptions) -> Self {
        let files = lying.files.into_iter().map(|file| (file.name.clone(), file)).collect();
        Self {
            options,
            lying: files,
            taken: BTreeMap::new(),
            problems: Mismatches::default(),
            notes: lying.notes,
        }
    }

    /// The release: what the lists name, the lists of checksums themselves, and sidecars of all of these.
    pub fn all(mut self, sources: Vec<Source>) -> Batch {
        let others: Vec<&str> = sources.iter().skip(1).map(|source| &*source.file).collect();
        if !others.is_empty() {
            self.notes.push(format!("{}: held against the files as well", named(&others)));
        }
        let mut passed_over = HashSet::new();
        let mut own = Vec::new();
        for source in sources {
            own.extend_from_slice(own_files(source.format));
            self.notes.extend(source.notes);
            for listed in source.listed {
                let name = listed.name.as_str();
                if self.taken.contains_key(name) || !passed_over.contains(name) {
                    self.take(listed, &source.file);
                }
            }
            if source.format == Format::Sha256sums {
                let label = Some(Label { kind: Some("checksum"), platforms: Vec::new() });
                self.take(Listed { label, ..Listed::new(&source.file) }, &source.file);
            }
            passed_over.extend(source.passed_over);
        }
        self.note_unsaid();
        self.take_sidecars();
        self.leave(&own);
        Batch {
            files: self.taken.into_values().collect(),
            problems: self.problems,
            notes: self.notes,
            ..Batch::default()
        }
    }

    fn take(&mut self, listed: Listed, by: &Arc<str>) {
        let name = match AssetPath::new(&listed.name) {
            Ok(name) => name,
            Err(bad) => {
                let remedy = if listed.name.contains('\\') { "write folders with /" } else { "rename it" };
                let name = shortened(&listed.name);
                return self.problems.push(format!("{by}: {name:?}: as an asset its name {bad}; {remedy}"));
            }
        };
        if !self.taken.contains_key(&name) {
            let Some(place) = self.place_of(&listed) else {
                let hidden = name.split('/').any(|part| part.starts_with('.'));
                let hint = if hidden { " (hidden files are passed over)" } else { "" };
                return self.problems.push(format!("{name}: is listed by {by}, but not there{hint}"));
            };
            if self.options.placement == Placement::InPlace && place != name {
                self.problems.push(format!("{name}: lies at {place}; import it without --in-place"));
            }
            if let Some(found) = self.lying.remove(&place) {
                self.taken.insert(name.clone(), Found { name: name.clone(), ..found });
            }
        }
        if let Some(found) = self.taken.get_mut(&name) {
            tell(found, listed, by, &mut self.problems);
        }
    }

    /// Where a file lies: where the pipeline had it, as far as that path leads into the folder, or by its name.
    fn place_of(&self, listed: &Listed) -> Option<AssetPath> {
        let path = listed.path.as_deref().unwrap_or_default().replace('\\', "/");
        let mut rest = Some(path.as_str());
        while let Some(end) = rest.filter(|end| end.contains('/') || **end == *listed.name) {
            if let Some((place, _)) = self.lying.get_key_value(end) {
                return Some(place.clone());
            }
            rest = end.split_once('/').map(|(_, rest)| rest);
        }
        self.lying.get_key_value(listed.name.as_str()).map(|(place, _)| place.clone())
    }

    /// Names the files that were listed without a digest. Signatures and the like seldom have one.
    fn note_unsaid(&mut self) {
        let is_bare = |found: &&Found| {
            let told = found.told.as_deref();
            let label = told.and_then(|told| told.label.clone()).unwrap_or_else(|| label::read(&found.name));
            !matches!(Kind::from_manifest(label.kind), Kind::Sidecar(_))
                && told.is_none_or(|told| told.sha256.is_none() && told.sha512.is_none())
        };
        let bare: Vec<&str> = self.taken.values().filter(is_bare).map(|found| found.name.as_str()).collect();
        if !bare.is_empty() {
            self.notes.push(format!("{}: no list has a checksum; taken as they are", named(&bare)));
        }
    }

    /// A sidecar sorts behind the file that it is named after, so that one pass finds sidecars of sidecars too.
    fn take_sidecars(&mut self) {
        for name in self.lying.keys().cloned().collect::<Vec<_>>() {
            if label::bases(&name).any(|base| self.taken.contains_key(base))
                && let Some(found) = self.lying.remove(&name)
            {
                self.taken.entry(name).or_insert(found);
            }
        }
    }

    /// What no list names: taken with `--all`, except for what pipelines write for themselves.
    fn leave(&mut self, own: &[&str]) {
        self.lying.retain(|name, _| !own.contains(&name.as_str()));
        let behind = std::mem::take(&mut self.lying);
        if self.options.all {
            for (name, found) in behind {
                self.taken.entry(name).or_insert(found);
            }
        } else if !behind.is_empty() {
            let names: Vec<&str> = behind.keys().take(NAMED).map(AssetPath::as_str).collect();
            let more = if behind.len() > names.len() { ", …" } else { "" };
            let (count, names) = (behind.len(), names.join(", "));
            self.notes.push(format!(
                "{count} files that no list names are left out ({names}{more}); --all takes them"
            ));
        }
    }
}

/// The first few names.
fn named(names: &[&str]) -> String {
    let more = if names.len() > NAMED { ", …" } else { "" };
    names[..names.len().min(NAMED)].join(", ") + more
}

/// Files that a pipeline writes for itself.
fn own_files(format: Format) -> &'static [&'static str] {
    match format {
        Format::Goreleaser => goreleaser::OWN,
        Format::CargoDist => &[cargo_dist::FILE],
        Format::Github => &[github::FILE],
        Format::Sha256sums => &[],
    }
}

/// Adds what a list says of a file to what is known already.
fn tell(found: &mut Found, listed: Listed, by: &Arc<str>, problems: &mut Mismatches) {
    let name = &found.name;
    if let Some(size) = listed.size.filter(|size| *size != found.size) {
        problems.push(format!("{name}: has {} bytes, but {by} says {size}", found.size));
    }
    let told = found.told.get_or_insert_default();
    claim(&mut told.sha256, listed.sha256, name, by, problems);
    claim(&mut told.sha512, listed.sha512, name, by, problems);
    if told.label.is_none() {
        told.label = listed.label;
    }
}

fn claim<D: PartialEq + std::fmt::Display>(
    known: &mut Option<(D, Arc<str>)>,
    said: Option<D>,
    name: &AssetPath,
    by: &Arc<str>,
    problems: &mut Mismatches,
) {
    match (&known, said) {
        (_, None) => {}
        (None, Some(said)) => *known = Some((said, by.clone())),
        (Some((first, _)), Some(said)) if *first == said => {}
        (Some((first, who)), Some(said)) => {
            problems.push(format!("{name}: {who} says {first}, but {by} says {said}"));
        }
    }
}
