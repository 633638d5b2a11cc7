//! goreleaser's dist folder: `artifacts.json`, an array of all that a run made, and `metadata.json`
//! (<https://goreleaser.com/customization/project/#artifacts>, goreleaser's `internal/artifact`).

use serde::de::MapAccess;
use serde_json::Value;

use super::Format;
use super::source::{Listed, Source, document, labelled, prefixed_digest, tell_apart, version_in};
use crate::catalog::checksums::FileDigest;
use crate::catalog::json::Need::{self, Optional, Required};
use crate::catalog::json::{List, Number, Object, Shape, Slot, Text, line};
use crate::catalog::manifest::ASSETS_MAX;

/// What the list is called.
pub(super) const FILE: &str = "artifacts.json";
/// What says project and version.
pub(super) const METADATA: &str = "metadata.json";
/// All that goreleaser writes for itself.
pub(super) const OWN: &[&str] = &[FILE, METADATA, "config.yaml"];

/// `UploadableBinary`; raw binaries have the same type, but stay behind.
const UPLOADABLE_BINARY: u64 = 2;
/// Types that goreleaser uploads to a release, and what they are here; empty: their name tells.
const UPLOADED: &[(&str, &str)] = &[
    ("Archive", "archive"),
    ("File", ""),
    ("Linux Package", "package"),
    ("Source RPM", "source"),
    ("Flatpak", "package"),
    ("Makeself", "installer"),
    ("Checksum", "checksum"),
    ("Signature", "signature"),
    ("Certificate", "certificate"),
    ("Source", "source"),
    ("SBOM", "sbom"),
    ("Wheel", "package"),
    ("Source Dist", "source"),
    ("Installer", "installer"),
    ("MSI", "installer"),
    ("NSIS", "installer"),
    ("DMG", "installer"),
    ("macOS Package", "installer"),
    ("App Image", "binary"),
    ("AppImage", "binary"),
];
/// Kinds that are for a platform.
const INSTALLABLE: &[&str] = &["archive", "binary", "installer", "package"];

/// Reads `artifacts.json`, and `metadata.json` where there is one.
pub(super) fn read(artifacts: &[u8], metadata: Option<&[u8]>) -> Result<Source, String> {
    let artifacts = document(artifacts, List { max: ASSETS_MAX, of: Object::<Artifact>::new() })?;
    let mut source = Source::of(Format::Goreleaser, FILE, Vec::new());
    let mut left_behind = 0;
    for (i, artifact) in artifacts.into_iter().enumerate() {
        let Some(kind) = artifact.uploaded_as() else {
            left_behind += usize::from(artifact.is_unknown());
            continue;
        };
        source
            .listed
            .push(artifact.listed(kind).ok_or_else(|| format!("[{i}].name: is required, but missing"))?);
    }
    if left_behind > 0 {
        source.notes.push(format!(
            "{FILE}: {left_behind} entries are of types that are not known here, and left out"
        ));
    }
    source.notes.extend(tell_apart(&mut source.listed));
    if let Some(metadata) = metadata {
        let metadata =
            document(metadata, Object::<Metadata>::new()).map_err(|why| format!("{METADATA}: {why}"))?;
        source.product = metadata.project_name.map(String::from);
        source.versions = [metadata.version, metadata.tag]
            .into_iter()
            .flatten()
            .filter_map(|text| version_in(&text))
            .collect();
    }
    Ok(source)
}

#[derive(Default)]
struct Artifact {
    name: Option<Box<str>>,
    path: Option<Box<str>>,
    goos: Option<Box<str>>,
    goarch: Option<Box<str>>,
    goarm: Option<Box<str>>,
    goamd64: Option<Box<str>>,
    internal_type: Option<u64>,
    kind: Option<Box<str>>,
    extra: Extra,
}

impl Artifact {
    /// What it is here, if it is uploaded.
    fn uploaded_as(&self) -> Option<&'static str> {
        match self.kind.as_deref()? {
            "Binary" if self.internal_type == Some(UPLOADABLE_BINARY) => Some("binary"),
            kind => UPLOADED.iter().find(|(own, _)| *own == kind).map(|(_, kind)| *kind),
        }
    }

    /// Whether neither uploading nor leaving it behind is known of its type.
    fn is_unknown(&self) -> bool {
        let behind = |kind: &str| {
            let starts = ["Docker", "Homebrew", "Brew", "Scoop", "Krew", "GoFish", "Winget", "Snap", "C "];
            matches!(kind, "Binary" | "Metadata" | "PKGBUILD" | "SRCINFO" | "Nixpkg" | "Chocolatey")
                || starts.iter().any(|start| kind.starts_with(start))
        };
        !self.kind.as_deref().is_some_and(behind)
    }

    fn listed(self, kind: &'static str) -> Option<Listed> {
        let name = self.name.as_deref()?;
        let is_for_platform = INSTALLABLE.contains(&kind);
        let label = labelled(
            name,
            (!kind.is_empty()).then_some(kind),
            if is_for_platform { self.platforms() } else { Vec::new() },
        );
        let mut listed = Listed::new(name);
        if let Some(digest) = self.extra.digest {
            listed = listed.with(digest);
        }
        Some(Listed {
            path: self.path.map(String::from),
            label: (!kind.is_empty()).then_some(label),
            variant: self.goamd64.filter(|level| &**level != "v1").map(String::from),
            ..listed
        })
    }

    /// `linux-armv7` of `linux`, `arm` and `7`; both of a universal macOS file.
    fn platforms(&self) -> Vec<String> {
        let (Some(system), Some(processor)) = (&self.goos, &self.goarch) else { return Vec::new() };
        match (&**processor, &self.goarm) {
            ("all", _) => vec![format!("{system}-amd64"), format!("{system}-arm64")],
            ("arm", Some(version)) => vec![format!("{system}-armv{version}")],
            _ => vec![format!("{system}-{processor}")],
        }
    }
}

impl<'de> Shape<'de> for Artifact {
    const KEYS: &'static [(&'static str, Need)] = &[
        ("name", Optional),
        ("path", Optional),
        ("goos", Optional),
        ("goarch", Optional),
        ("goarm", Optional),
        ("goamd64", Optional),
        ("internal_type", Optional),
        ("type", Required),
        ("extra", Optional),
    ];

    fn field<A: MapAccess<'de>>(&mut self, key: &'static str, slot: Slot<'_, A>) -> Result<(), A::Error> {
        let (long, short) = (Text(line::<4096>), Text(line::<64>));
        match key {
            "name" => self.name = slot.read(long)?,
            "path" => self.path = slot.read(long)?,
            "goos" => self.goos = slot.read(short)?,
            "goarch" => self.goarch = slot.read(short)?,
            "goarm" => self.goarm = slot.read(short)?,
            "goamd64" => self.goamd64 = slot.read(short)?,
            "internal_type" => self.internal_type = slot.read(Number { max: u64::MAX })?,
            "type" => self.kind = slot.read(short)?,
            _ => self.extra = slot.read(Object::<Extra>::new())?.unwrap_or_default(),
        }
        Ok(())
    }

    fn keep(&mut self, _: String, _: Value) {}
}

#[derive(Default)]
struct Extra {
    digest: Option<FileDigest>,
}

impl<'de> Shape<'de> for Extra {
    const KEYS: &'static [(&'static str, Need)] = &[("Checksum", Optional)];

    fn field<A: MapAccess<'de>>(&mut self, _: &'static str, slot: Slot<'_, A>) -> Result<(), A::Error> {
        self.digest = slot.read(Text(prefixed_digest))?.flatten();
        Ok(())
    }

    fn keep(&mut self, _: String, _: Value) {}
}

#[derive(Default)]
struct Metadata {
    project_name: Option<Box<str>>,
    tag: Option<Box<str>>,
    version: Option<Box<str>>,
}

impl<'de> Shape<'de> for Metadata {
    const KEYS: &'static [(&'static str, Need)] =
        &[("project_name", Optional), ("tag", Optional), ("version", Optional)];

    fn field<A: MapAccess<'de>>(&mut self, key: &'static str, slot: Slot<'_, A>) -> Result<(), A::Error> {
        let text = slot.read(Text(line::<256>))?;
        match key {
            "project_name" => self.project_name = text,
            "tag" => self.tag = text,
            _ => self.version = text,
        }
        Ok(())
    }

    fn keep(&mut self, _: String, _: Value) {}
}
