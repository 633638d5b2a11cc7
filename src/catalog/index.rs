//! The origin's index: which manifests there are, for origins that cannot be listed (contract section 3).

use std::collections::HashSet;
use std::fmt;

use serde::de::MapAccess;
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::{Map, Value};

use super::ReleaseId;
use super::json::Need::{Optional, Required};
use super::json::{
    At, Here, List, Need, Number, Object, Problems, Reader, Report, Shape, Slot, Text, document, line,
};
use super::manifest::MANIFEST_FILE;
use crate::model::{ProductName, Sha256, Version};

/// Largest index that is read, in bytes.
pub const INDEX_BYTES_MAX: usize = 64 << 20;
/// Most manifests of an index.
pub const INDEX_ENTRIES_MAX: usize = 1_000_000;
/// Largest sequence: what JSON numbers carry exactly everywhere (RFC 8259 section 6).
pub const SEQUENCE_MAX: u64 = 1 << 53;
/// What the index is called in the origin's folder.
pub const INDEX_FILE: &str = "index.json";

/// Why bytes are not an index.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IndexError {
    /// More than [`INDEX_BYTES_MAX`].
    #[error("the index has {bytes} bytes, more than the {INDEX_BYTES_MAX} that are read")]
    TooLarge {
        /// How many there are.
        bytes: usize,
    },
    /// Broken, cut short, nested too deeply or followed by more.
    #[error("the index is not valid JSON: {0}")]
    Syntax(String),
    /// A schema of the future.
    #[error("schema: the index has schema {found}, this version reads schema 1; update Waypost")]
    Schema {
        /// The schema it has.
        found: u64,
    },
    /// JSON, but not an index.
    #[error("{0}")]
    Invalid(Problems),
}

/// Where a release's manifest lies below the origin: `<product>/<version>/manifest.json`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ManifestPath {
    /// The product: the first segment.
    pub product: ProductName,
    /// The version as its folder is called: the second.
    pub version: Version,
}

impl ManifestPath {
    /// Where the manifest of a release lies.
    pub fn of(release: &ReleaseId) -> Self {
        let ReleaseId { product, version } = release.clone();
        Self { product, version }
    }

    /// Reads `<product>/<version>/manifest.json`.
    ///
    /// # Errors
    /// When the text is anything else; the message says what is expected.
    pub fn parse(text: &str) -> Result<Self, String> {
        let parts: Vec<&str> = text.splitn(4, '/').collect();
        let [product, version, MANIFEST_FILE] = parts[..] else {
            return Err(format!("expected <product>/<version>/{MANIFEST_FILE}"));
        };
        Ok(Self {
            product: ProductName::new(product).map_err(|bad| format!("product {bad}"))?,
            version: Version::parse(version).map_err(|bad| format!("version: {bad}"))?,
        })
    }
}

impl fmt::Display for ManifestPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{MANIFEST_FILE}", self.product, self.version)
    }
}

/// One manifest of an index.
#[derive(Debug, Clone, PartialEq)]
pub struct IndexEntry {
    /// Where it lies.
    pub path: ManifestPath,
    /// Its SHA-256, where the index gives one.
    pub sha256: Option<Sha256>,
    /// Keys that this version does not know.
    pub extra: Option<Box<Map<String, Value>>>,
}

impl IndexEntry {
    /// An entry that gives the path only.
    pub fn new(path: ManifestPath) -> Self {
        Self { path, sha256: None, extra: None }
    }
}

/// A release that the index withdraws.
#[derive(Debug, Clone, PartialEq)]
pub struct IndexWithdrawal {
    /// Whose release.
    pub product: ProductName,
    /// Which release.
    pub version: Version,
    /// Why.
    pub reason: Option<String>,
    /// Which release to take instead.
    pub replacement: Option<Version>,
    /// Keys that this version does not know.
    pub extra: Map<String, Value>,
}

/// An index and what was odd about it.
#[derive(Debug, Clone, PartialEq)]
pub struct ParsedIndex {
    /// The index.
    pub index: Index,
    /// Unknown keys, bounded; for the operator.
    pub warnings: Vec<String>,
}

/// The manifests of an origin.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Index {
    /// Counts the index's changes; never goes back.
    pub sequence: u64,
    /// One entry for each release.
    pub manifests: Vec<IndexEntry>,
    /// Releases that are withdrawn.
    pub withdrawn: Vec<IndexWithdrawal>,
    /// Keys that this version does not know.
    pub extra: Map<String, Value>,
}

impl Index {
    /// Reads an index, strictly: what is wrong in it is reported together, up to twenty problems.
    ///
    /// # Errors
    /// When the bytes are too many, not JSON, of another schema, or break a rule of contract section 3.
    pub fn parse(bytes: &[u8]) -> Result<ParsedIndex, IndexError> {
        if bytes.len() > INDEX_BYTES_MAX {
            return Err(IndexError::TooLarge { bytes: bytes.len() });
        }
        let mut report = Report::default();
        let raw: Option<RawIndex> =
            document(bytes, &mut report).map_err(|error| IndexError::Syntax(error.to_string()))?;
        if let Some(found) = raw.as_ref().and_then(|raw| raw.schema).filter(|found| *found != 1) {
            return Err(IndexError::Schema { found });
        }
        match raw {
            Some(raw) if report.is_clean() => {
                Ok(ParsedIndex { index: raw.index, warnings: report.warnings() })
            }
            _ => Err(IndexError::Invalid(report.problems)),
        }
    }

    /// The index as indented JSON with a newline at its end.
    pub fn to_json(&self) -> String {
        let mut text = serde_json::to_string_pretty(self)
            .expect("keys are strings and no Serialize implementation here fails");
        text.push('\n');
        text
    }
}

#[derive(Default)]
struct RawIndex {
    schema: Option<u64>,
    index: Index,
}

impl<'de> Shape<'de> for RawIndex {
    const KEYS: &'static [(&'static str, Need)] =
        &[("schema", Required), ("sequence", Required), ("manifests", Required), ("withdrawn", Optional)];

    fn field<A: MapAccess<'de>>(&mut self, key: &'static str, slot: Slot<'_, A>) -> Result<(), A::Error> {
        let max = INDEX_ENTRIES_MAX;
        match key {
            "schema" => self.schema = slot.read(Number { max: u64::MAX })?,
            "sequence" => self.index.sequence = slot.read(Number { max: SEQUENCE_MAX })?.unwrap_or_default(),
            "manifests" => {
                let of = EntryReader { seen: HashSet::new() };
                self.index.manifests = slot.read(List { max, of })?.unwrap_or_default();
            }
            _ => self.index.withdrawn = slot.read(List { max, of: WithdrawalReader })?.unwrap_or_default(),
        }
        Ok(())
    }

    fn keep(&mut self, key: String, value: Value) {
        self.index.extra.insert(key, value);
    }
}

#[derive(Default)]
struct RawEntry {
    path: Option<ManifestPath>,
    sha256: Option<Sha256>,
    extra: Option<Box<Map<String, Value>>>,
}

impl<'de> Shape<'de> for RawEntry {
    const KEYS: &'static [(&'static str, Need)] = &[("path", Required), ("sha256", Optional)];

    fn field<A: MapAccess<'de>>(&mut self, key: &'static str, slot: Slot<'_, A>) -> Result<(), A::Error> {
        match key {
            "path" => self.path = slot.read(Text(ManifestPath::parse))?,
            _ => self.sha256 = slot.read(Text(str::parse::<Sha256>))?,
        }
        Ok(())
    }

    fn keep(&mut self, key: String, value: Value) {
        self.extra.get_or_insert_default().insert(key, value);
    }
}

/// A path, or an object with one.
struct EntryReader {
    seen: HashSet<ManifestPath>,
}

impl EntryReader {
    fn once(&mut self, path: &ManifestPath, at: &At<'_>, report: &mut Report) {
        if !self.seen.insert(path.clone()) {
            report.problem(at, format_args!("{path} is listed twice (a leading v makes no other version)"));
        }
    }
}

impl<'de> Reader<'de> for EntryReader {
    type Value = IndexEntry;
    const EXPECTED: &'static str = "a path or an object";

    fn text(&mut self, text: &str, here: Here<'_>) -> Option<IndexEntry> {
        let Here { at, report } = here;
        let path = Text(ManifestPath::parse).text(text, Here { at, report: &mut *report })?;
        self.once(&path, &at, report);
        Some(IndexEntry::new(path))
    }

    fn object<A: MapAccess<'de>>(&mut self, map: A, here: Here<'_>) -> Result<Option<IndexEntry>, A::Error> {
        let Here { at, report } = here;
        let raw =
            Object::<RawEntry>::new().object(map, Here { at, report: &mut *report })?.unwrap_or_default();
        let Some(path) = raw.path else { return Ok(None) };
        self.once(&path, &at, report);
        Ok(Some(IndexEntry { path, sha256: raw.sha256, extra: raw.extra }))
    }
}

#[derive(Default)]
struct RawWithdrawal {
    product: Option<ProductName>,
    version: Option<Version>,
    reason: Option<Box<str>>,
    replacement: Option<Version>,
    extra: Map<String, Value>,
}

impl<'de> Shape<'de> for RawWithdrawal {
    const KEYS: &'static [(&'static str, Need)] =
        &[("product", Required), ("version", Required), ("reason", Optional), ("replacement", Optional)];

    fn field<A: MapAccess<'de>>(&mut self, key: &'static str, slot: Slot<'_, A>) -> Result<(), A::Error> {
        match key {
            "product" => self.product = slot.read(Text(ProductName::new))?,
            "version" => self.version = slot.read(Text(Version::parse))?,
            "reason" => self.reason = slot.read(Text(line::<2048>))?,
            _ => self.replacement = slot.read(Text(Version::parse))?,
        }
        Ok(())
    }

    fn keep(&mut self, key: String, value: Value) {
        self.extra.insert(key, value);
    }
}

struct WithdrawalReader;

impl<'de> Reader<'de> for WithdrawalReader {
    type Value = IndexWithdrawal;
    const EXPECTED: &'static str = "an object";

    fn object<A: MapAccess<'de>>(
        &mut self,
        map: A,
        here: Here<'_>,
    ) -> Result<Option<IndexWithdrawal>, A::Error> {
        let raw = Object::<RawWithdrawal>::new().object(map, here)?.unwrap_or_default();
        let (Some(product), Some(version)) = (raw.product, raw.version) else { return Ok(None) };
        let reason = raw.reason.map(String::from);
        Ok(Some(IndexWithdrawal { product, version, reason, replacement: raw.replacement, extra: raw.extra }))
    }
}

impl Serialize for Index {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut map = to.serialize_map(None)?;
        map.serialize_entry("schema", &1)?;
        map.serialize_entry("sequence", &self.sequence)?;
        map.serialize_entry("manifests", &self.manifests)?;
        if !self.withdrawn.is_empty() {
            map.serialize_entry("withdrawn", &self.withdrawn)?;
        }
        extra(&mut map, &self.extra)?;
        map.end()
    }
}

impl Serialize for IndexEntry {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        if self.sha256.is_none() && self.extra.is_none() {
            return to.collect_str(&self.path);
        }
        let mut map = to.serialize_map(None)?;
        map.serialize_entry("path", &format_args!("{}", self.path))?;
        if let Some(sha256) = &self.sha256 {
            map.serialize_entry("sha256", &format_args!("{sha256}"))?;
        }
        if let Some(kept) = &self.extra {
            extra(&mut map, kept)?;
        }
        map.end()
    }
}

impl Serialize for IndexWithdrawal {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut map = to.serialize_map(None)?;
        map.serialize_entry("product", &self.product)?;
        map.serialize_entry("version", &self.version)?;
        if let Some(reason) = &self.reason {
            map.serialize_entry("reason", reason)?;
        }
        if let Some(replacement) = &self.replacement {
            map.serialize_entry("replacement", replacement)?;
        }
        extra(&mut map, &self.extra)?;
        map.end()
    }
}

fn extra<M: SerializeMap>(map: &mut M, kept: &Map<String, Value>) -> Result<(), M::Error> {
    kept.iter().try_for_each(|(key, value)| map.serialize_entry(key, value))
}
