//! cargo-dist's `dist-manifest.json` (<https://docs.rs/cargo-dist-schema>): the artifacts of an announcement, by name, and
//! which app's release each belongs to.

use std::collections::BTreeSet;

use serde::de::MapAccess;
use serde_json::Value;

use super::Format;
use super::source::{Listed, Source, document, labelled, tell_apart, version_in};
use crate::catalog::checksums::FileDigest;
use crate::catalog::json::Need::{self, Optional, Required};
use crate::catalog::json::{At, Here, List, Object, Reader, Seed, Shape, Slot, Text, line};
use crate::catalog::manifest::ASSETS_MAX;
use crate::catalog::publish::label;
use crate::model::{ProductName, Sha256, Sha512};

/// What the list is called.
pub(super) const FILE: &str = "dist-manifest.json";

/// Most apps of one announcement.
const RELEASES_MAX: usize = 10_000;
/// Most target triples of one artifact.
const TRIPLES_MAX: usize = 256;

/// Reads `dist-manifest.json`. Of several apps' releases the one of `product` counts, or all, if none is.
pub(super) fn read(bytes: &[u8], product: Option<&ProductName>) -> Result<Source, String> {
    let DistManifest { tag, mut releases, artifacts } = document(bytes, Object::<DistManifest>::new())?;
    let is_wanted = |release: &Release| release.app_name.as_deref() == product.map(ProductName::as_str);
    if releases.iter().any(is_wanted) {
        releases.retain(is_wanted);
    }
    let own: BTreeSet<&str> =
        releases.iter().flat_map(|release| &release.artifacts).map(|name| &**name).collect();
    let mut source = Source::of(Format::CargoDist, FILE, Vec::new());
    for artifact in artifacts {
        // Without a name it is no file, such as a hint to `cargo install`.
        let Some(name) = &artifact.name else { continue };
        if releases.is_empty() || own.contains(&**name) {
            source.listed.push(artifact.listed(name));
        } else {
            source.passed_over.push(name.to_string());
        }
    }
    let known: BTreeSet<&str> = source.listed.iter().map(|listed| listed.name.as_str()).collect();
    if let Some(name) = own.iter().find(|name| !known.contains(*name)) {
        return Err(format!("releases name {name:?}, which is not among its artifacts"));
    }
    source.notes = tell_apart(&mut source.listed);
    if let [release] = &releases[..] {
        source.product = release.app_name.as_deref().map(str::to_owned);
    }
    let versions = releases.iter().filter_map(|release| release.app_version.as_deref());
    source.versions = versions.chain(tag.as_deref()).filter_map(version_in).collect();
    Ok(source)
}

#[derive(Default)]
struct DistManifest {
    tag: Option<Box<str>>,
    releases: Vec<Release>,
    artifacts: Vec<Artifact>,
}

impl<'de> Shape<'de> for DistManifest {
    const KEYS: &'static [(&'static str, Need)] =
        &[("announcement_tag", Optional), ("releases", Optional), ("artifacts", Required)];

    fn field<A: MapAccess<'de>>(&mut self, key: &'static str, slot: Slot<'_, A>) -> Result<(), A::Error> {
        match key {
            "announcement_tag" => self.tag = slot.read(Text(line::<256>))?,
            "releases" => {
                let of = Object::<Release>::new();
                self.releases = slot.read(List { max: RELEASES_MAX, of })?.unwrap_or_default();
            }
            _ => self.artifacts = slot.read(ByName)?.unwrap_or_default(),
        }
        Ok(())
    }

    fn keep(&mut self, _: String, _: Value) {}
}

#[derive(Default)]
struct Release {
    app_name: Option<Box<str>>,
    app_version: Option<Box<str>>,
    artifacts: Vec<Box<str>>,
}

impl<'de> Shape<'de> for Release {
    const KEYS: &'static [(&'static str, Need)] =
        &[("app_name", Required), ("app_version", Required), ("artifacts", Optional)];

    fn field<A: MapAccess<'de>>(&mut self, key: &'static str, slot: Slot<'_, A>) -> Result<(), A::Error> {
        match key {
            "app_name" => self.app_name = slot.read(Text(line::<256>))?,
            "app_version" => self.app_version = slot.read(Text(line::<256>))?,
            _ => {
                let of = Text(line::<4096>);
                self.artifacts = slot.read(List { max: ASSETS_MAX, of })?.unwrap_or_default();
            }
        }
        Ok(())
    }

    fn keep(&mut self, _: String, _: Value) {}
}

/// The object of artifacts, each key once.
struct ByName;

impl<'de> Reader<'de> for ByName {
    type Value = Vec<Artifact>;
    const EXPECTED: &'static str = "an object of artifacts";

    fn object<A: MapAccess<'de>>(
        &mut self,
        mut map: A,
        here: Here<'_>,
    ) -> Result<Option<Vec<Artifact>>, A::Error> {
        let Here { at, report } = here;
        let mut seen = BTreeSet::new();
        let mut artifacts = Vec::new();
        while let Some(key) = map.next_key::<String>()? {
            let at = At::Key(&at, &key);
            if seen.contains(&key) {
                report.problem(&at, "is given twice");
            } else if seen.len() == ASSETS_MAX {
                report.problem(&at, format_args!("is one of more than {ASSETS_MAX}"));
            }
            let here = Here { at, report: &mut *report };
            let seed = Seed { reader: &mut Object::<Artifact>::new(), need: Required, here };
            artifacts.extend(map.next_value_seed(seed)?);
            seen.insert(key);
        }
        Ok(Some(artifacts))
    }
}

#[derive(Default)]
struct Artifact {
    name: Option<Box<str>>,
    kind: Option<Box<str>>,
    triples: Vec<Box<str>>,
    checksums: Checksums,
}

impl Artifact {
    fn listed(&self, name: &str) -> Listed {
        let kind = match self.kind.as_deref() {
            Some("executable-zip") => Some("archive"),
            Some("installer") => Some("installer"),
            Some("checksum" | "unified-checksum") => Some("checksum"),
            Some("source-tarball") => Some("source"),
            Some("symbols") => Some("symbols"),
            Some("updater") => Some("updater"),
            Some("sbom") => Some("sbom"),
            _ => None,
        };
        // An installer lists all that it can install, and an updater is no use without what it updates.
        let triples = if kind == Some("archive") { &self.triples[..] } else { &[] };
        let mut listed = Listed::new(name);
        for digest in
            [self.checksums.sha256.map(FileDigest::Sha256), self.checksums.sha512.map(FileDigest::Sha512)]
        {
            listed = digest.into_iter().fold(listed, Listed::with);
        }
        Listed {
            label: kind.map(|kind| {
                labelled(name, Some(kind), triples.iter().flat_map(|triple| platforms(triple)).collect())
            }),
            variant: triples.first().and_then(|triple| variant(triple)),
            ..listed
        }
    }
}

/// `linux-amd64` of `x86_64-unknown-linux-gnu`; a triple without such a name is its own.
fn platforms(triple: &str) -> Vec<String> {
    let triple = triple.to_ascii_lowercase();
    let known = label::platforms(&triple);
    if known.is_empty() { vec![triple] } else { known }
}

/// The environment, unless it is the one that most have: `gnu` on Linux, `msvc` on Windows.
fn variant(triple: &str) -> Option<String> {
    let mut parts = triple.split('-').skip(2);
    let (system, environment) = (parts.next()?, parts.next()?);
    let is_usual = environment == "msvc" || (system == "linux" && environment.starts_with("gnu"));
    (!is_usual).then(|| environment.to_owned())
}

impl<'de> Shape<'de> for Artifact {
    const KEYS: &'static [(&'static str, Need)] =
        &[("name", Optional), ("kind", Required), ("target_triples", Optional), ("checksums", Optional)];

    fn field<A: MapAccess<'de>>(&mut self, key: &'static str, slot: Slot<'_, A>) -> Result<(), A::Error> {
        match key {
            "name" => self.name = slot.read(Text(line::<4096>))?,
            "kind" => self.kind = slot.read(Text(line::<256>))?,
            "target_triples" => {
                let of = Text(line::<256>);
                self.triples = slot.read(List { max: TRIPLES_MAX, of })?.unwrap_or_default();
            }
            _ => self.checksums = slot.read(Object::<Checksums>::new())?.unwrap_or_default(),
        }
        Ok(())
    }

    fn keep(&mut self, _: String, _: Value) {}
}

/// By algorithm; others than these two are not used.
#[derive(Default)]
struct Checksums {
    sha256: Option<Sha256>,
    sha512: Option<Sha512>,
}

impl<'de> Shape<'de> for Checksums {
    const KEYS: &'static [(&'static str, Need)] = &[("sha256", Optional), ("sha512", Optional)];

    fn field<A: MapAccess<'de>>(&mut self, key: &'static str, slot: Slot<'_, A>) -> Result<(), A::Error> {
        match key {
            "sha256" => self.sha256 = slot.read(Text(str::parse::<Sha256>))?,
            _ => self.sha512 = slot.read(Text(str::parse::<Sha512>))?,
        }
        Ok(())
    }

    fn keep(&mut self, _: String, _: Value) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn triples_are_platforms() {
        for (triple, platform, variant_of) in [
            ("x86_64-unknown-linux-gnu", "linux-amd64", None),
            ("x86_64-unknown-linux-musl", "linux-amd64", Some("musl")),
            ("armv7-unknown-linux-gnueabihf", "linux-armv7", None),
            ("aarch64-apple-darwin", "darwin-arm64", None),
            ("x86_64-pc-windows-msvc", "windows-amd64", None),
            ("x86_64-pc-windows-gnu", "windows-amd64", Some("gnu")),
            ("wasm32-wasip1", "wasm32-wasip1", None),
        ] {
            assert_eq!(platforms(triple), [platform], "{triple}");
            assert_eq!(variant(triple).as_deref(), variant_of, "{triple}");
        }
    }
}
