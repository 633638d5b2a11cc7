//! From bytes to a manifest: strict, and all problems at once.

use std::collections::HashSet;

use serde::de::MapAccess;
use serde_json::{Map, Value};
use url::Url;

use super::{
    ASSETS_MAX, Expects, MANIFEST_BYTES_MAX, MANIFEST_FILE, Manifest, ManifestAsset, ManifestError, Parsed,
    SIZE_MAX,
};
use crate::catalog::json::Need::{Optional, Required};
use crate::catalog::json::{
    At, Here, List, Need, Number, Object, Reader, Report, Shape, Slot, Text, document, line,
};
use crate::catalog::signature::is_or_signs;
use crate::model::{AssetPath, ChannelName, ProductName, Sha256, Sha512, Timestamp, Version};

/// Most channels, expected platforms and sidecars, and platforms and sidecars of one asset.
const LABELS_MAX: usize = 256;
/// Longest platform, kind or suffix, in bytes.
const LABEL_BYTES: usize = 128;
/// Longest line of free text, in bytes.
const LINE_BYTES: usize = 2048;

impl Manifest {
    /// Reads a manifest, strictly: what is wrong in it is reported together, up to twenty problems. Unknown keys are kept
    /// and warned of.
    ///
    /// # Errors
    /// When the bytes are too many, not JSON, of another schema, or break a rule of contract section 3.
    pub fn parse(bytes: &[u8]) -> Result<Parsed, ManifestError> {
        if bytes.len() > MANIFEST_BYTES_MAX {
            return Err(ManifestError::TooLarge { bytes: bytes.len() });
        }
        let mut report = Report::default();
        let raw: Option<RawManifest> =
            document(bytes, &mut report).map_err(|error| ManifestError::Syntax(error.to_string()))?;
        if let Some(found) = raw.as_ref().and_then(|raw| raw.schema).filter(|found| *found != 1) {
            return Err(ManifestError::Schema { found });
        }
        match raw.and_then(|raw| raw.finish(&mut report)) {
            Some(manifest) if report.is_clean() => Ok(Parsed { manifest, warnings: report.warnings() }),
            _ => Err(ManifestError::Invalid(report.problems)),
        }
    }
}

#[derive(Default)]
struct RawManifest {
    schema: Option<u64>,
    product: Option<ProductName>,
    version: Option<Version>,
    channels: Vec<ChannelName>,
    published_at: Option<Timestamp>,
    tagged_at: Option<Timestamp>,
    notes_url: Option<String>,
    pipeline: Option<Box<str>>,
    withdrawn: Option<Box<str>>,
    expects: Expects,
    assets: Vec<ManifestAsset>,
    names: HashSet<AssetPath>,
    extra: Map<String, Value>,
}

impl<'de> Shape<'de> for RawManifest {
    const KEYS: &'static [(&'static str, Need)] = &[
        ("schema", Required),
        ("product", Required),
        ("version", Required),
        ("channels", Optional),
        ("published_at", Optional),
        ("tagged_at", Optional),
        ("notes_url", Optional),
        ("pipeline", Optional),
        ("withdrawn", Optional),
        ("expects", Optional),
        ("assets", Required),
    ];

    fn field<A: MapAccess<'de>>(&mut self, key: &'static str, slot: Slot<'_, A>) -> Result<(), A::Error> {
        match key {
            "schema" => self.schema = slot.read(Number { max: u64::MAX })?,
            "product" => self.product = slot.read(Text(ProductName::new))?,
            "version" => self.version = slot.read(Text(Version::parse))?,
            "channels" => {
                self.channels =
                    slot.read(List { max: LABELS_MAX, of: Text(ChannelName::new) })?.unwrap_or_default()
            }
            "published_at" => self.published_at = slot.read(Text(moment))?,
            "tagged_at" => self.tagged_at = slot.read(Text(moment))?,
            "notes_url" => self.notes_url = slot.read(Text(web_url))?,
            "pipeline" => self.pipeline = slot.read(Text(line::<LINE_BYTES>))?,
            "withdrawn" => self.withdrawn = slot.read(Text(line::<LINE_BYTES>))?,
            "expects" => self.expects = slot.read(Object::<Expects>::new())?.unwrap_or_default(),
            _ => {
                let of = AssetReader { names: &mut self.names };
                self.assets = slot.read(List { max: ASSETS_MAX, of })?.unwrap_or_default();
            }
        }
        Ok(())
    }

    fn keep(&mut self, key: String, value: Value) {
        self.extra.insert(key, value);
    }
}

impl RawManifest {
    /// What one asset cannot know of the others. `None` only when a problem was told.
    fn finish(mut self, report: &mut Report) -> Option<Manifest> {
        if report.is_clean() {
            self.check_assets(report);
        }
        self.assets.shrink_to_fit();
        Some(Manifest {
            product: self.product?,
            version: self.version?,
            channels: self.channels,
            published_at: self.published_at,
            tagged_at: self.tagged_at,
            notes_url: self.notes_url,
            pipeline: self.pipeline.map(String::from),
            withdrawn: self.withdrawn.map(String::from),
            expects: self.expects,
            assets: self.assets,
            extra: self.extra,
        })
    }

    fn check_assets(&mut self, report: &mut Report) {
        let at = At::Key(&At::Root, "assets");
        if self.assets.is_empty() {
            report.problem(&at, "must name at least one asset");
        }
        let total = self.assets.iter().fold(0_u64, |sum, asset| sum.saturating_add(asset.size));
        if total > SIZE_MAX {
            report.problem(&at, format_args!("sizes add up to {total} bytes, more than {SIZE_MAX}"));
        }
        for (i, asset) in self.assets.iter_mut().enumerate() {
            let at = At::Item(&at, i);
            let at = At::Key(&at, "sidecars");
            for (j, sidecar) in asset.sidecars.iter_mut().enumerate() {
                match self.names.get(sidecar) {
                    Some(_) if *sidecar == asset.name => {
                        report.problem(&At::Item(&at, j), "an asset cannot be its own sidecar");
                    }
                    // The asset's own text: a million names are kept once.
                    Some(name) => *sidecar = name.clone(),
                    None => report.problem(
                        &At::Item(&at, j),
                        format_args!("{sidecar:?} is not an asset of the release"),
                    ),
                }
            }
        }
    }
}

impl<'de> Shape<'de> for Expects {
    const KEYS: &'static [(&'static str, Need)] = &[("platforms", Optional), ("sidecars", Optional)];

    fn field<A: MapAccess<'de>>(&mut self, key: &'static str, slot: Slot<'_, A>) -> Result<(), A::Error> {
        let of = Text(|text: &str| line::<LABEL_BYTES>(text).map(String::from));
        let texts = slot.read(List { max: LABELS_MAX, of })?.unwrap_or_default();
        match key {
            "platforms" => self.platforms = texts,
            _ => self.sidecars = texts,
        }
        Ok(())
    }

    fn keep(&mut self, key: String, value: Value) {
        self.extra.insert(key, value);
    }
}

#[derive(Default)]
struct RawAsset {
    name: Option<AssetPath>,
    size: Option<u64>,
    sha256: Option<Sha256>,
    sha512: Option<Box<Sha512>>,
    platform: Option<Box<str>>,
    platforms: Vec<Box<str>>,
    kind: Option<Box<str>>,
    sidecars: Vec<AssetPath>,
    provenance: Option<Box<str>>,
    extra: Option<Box<Map<String, Value>>>,
}

impl<'de> Shape<'de> for RawAsset {
    const KEYS: &'static [(&'static str, Need)] = &[
        ("name", Required),
        ("size", Required),
        ("sha256", Required),
        ("sha512", Optional),
        ("platform", Optional),
        ("platforms", Optional),
        ("kind", Optional),
        ("sidecars", Optional),
        ("provenance", Optional),
    ];

    fn field<A: MapAccess<'de>>(&mut self, key: &'static str, slot: Slot<'_, A>) -> Result<(), A::Error> {
        let label = line::<LABEL_BYTES>;
        match key {
            "name" => self.name = slot.read(Text(asset_name))?,
            "size" => self.size = slot.read(Number { max: SIZE_MAX })?,
            "sha256" => self.sha256 = slot.read(Text(str::parse::<Sha256>))?,
            "sha512" => self.sha512 = slot.read(Text(str::parse::<Sha512>))?.map(Box::new),
            "platform" => self.platform = slot.read(Text(label))?,
            "platforms" => {
                self.platforms = slot.read(List { max: LABELS_MAX, of: Text(label) })?.unwrap_or_default()
            }
            "kind" => self.kind = slot.read(Text(label))?,
            "sidecars" => {
                self.sidecars =
                    slot.read(List { max: LABELS_MAX, of: Text(AssetPath::new) })?.unwrap_or_default()
            }
            _ => self.provenance = slot.read(Text(line::<LINE_BYTES>))?,
        }
        Ok(())
    }

    fn keep(&mut self, key: String, value: Value) {
        self.extra.get_or_insert_default().insert(key, value);
    }
}

impl RawAsset {
    fn finish(self) -> Option<ManifestAsset> {
        let mut platforms: Vec<Box<str>> = Vec::new();
        for platform in self.platform.into_iter().chain(self.platforms) {
            if !platforms.contains(&platform) {
                platforms.push(platform);
            }
        }
        Some(ManifestAsset {
            name: self.name?,
            size: self.size?,
            sha256: self.sha256?,
            sha512: self.sha512,
            platforms,
            kind: self.kind,
            sidecars: self.sidecars,
            provenance: self.provenance,
            extra: self.extra,
        })
    }
}

struct AssetReader<'a> {
    names: &'a mut HashSet<AssetPath>,
}

impl<'de> Reader<'de> for AssetReader<'_> {
    type Value = ManifestAsset;
    const EXPECTED: &'static str = "an object";

    fn object<A: MapAccess<'de>>(
        &mut self,
        map: A,
        here: Here<'_>,
    ) -> Result<Option<ManifestAsset>, A::Error> {
        let Here { at, report } = here;
        let raw = Object::<RawAsset>::new().object(map, Here { at, report: &mut *report })?;
        if let Some(name) = raw.as_ref().and_then(|raw| raw.name.as_ref())
            && !self.names.insert(name.clone())
        {
            report
                .problem(&At::Key(&at, "name"), format_args!("{name:?} is the name of an earlier asset too"));
        }
        Ok(raw.and_then(RawAsset::finish))
    }
}

fn asset_name(text: &str) -> Result<AssetPath, String> {
    // The manifest and its signature lie in the same folder.
    if is_or_signs(text, MANIFEST_FILE) {
        return Err("is the name of the manifest itself".into());
    }
    AssetPath::new(text).map_err(|bad| bad.to_string())
}

fn moment(text: &str) -> Result<Timestamp, &'static str> {
    Timestamp::parse_rfc3339(text).ok_or("expected an RFC 3339 moment such as 2026-11-20T10:00:00Z")
}

fn web_url(text: &str) -> Result<String, String> {
    line::<LINE_BYTES>(text)?;
    match Url::parse(text) {
        Ok(url) if matches!(url.scheme(), "http" | "https") => Ok(text.into()),
        _ => Err("expected an http or https URL".into()),
    }
}
