//! One release: its assets, and the ways to find one by a name that somebody typed.

use std::borrow::Cow;
use std::collections::HashMap;
use std::hash::{BuildHasher, BuildHasherDefault};
use std::sync::OnceLock;

use bytes::Bytes;
use hashbrown::HashTable;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use rustc_hash::FxHasher;
use url::Url;

use super::AssetName;
use crate::model::{AssetIndex, ChannelName, Platform, ProductName, Sha256, Sha512, Timestamp, Version};

/// What names a release for good.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ReleaseId {
    /// The product.
    pub product: ProductName,
    /// The version; equal with and without a leading `v`.
    pub version: Version,
}

/// What an asset is, as far as choosing one for a platform goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Preferred for a platform.
    Archive,
    /// Next.
    Binary,
    /// Anything else that is a payload (`package`, `installer`, …), in the order of the manifest.
    Other(KindText),
    /// Signatures, checksums and the like: never what a platform means.
    Sidecar(KindText),
}

/// The manifest's word for a kind, hashed: kinds are told apart, never written, and an asset has to stay small.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KindText(u32);

impl KindText {
    fn new(text: &str) -> Self {
        Self((hash(text) >> 32) as u32)
    }
}

impl Kind {
    /// From the manifest's text; absent means [`Kind::Other`].
    pub fn from_manifest(kind: Option<&str>) -> Self {
        let text = kind.unwrap_or_default();
        match text {
            "archive" => Self::Archive,
            "binary" => Self::Binary,
            "signature" | "checksum" | "sbom" | "provenance" | "certificate" | "attestation" => {
                Self::Sidecar(KindText::new(text))
            }
            _ => Self::Other(KindText::new(text)),
        }
    }

    /// The less, the likelier it is what somebody who names only a platform wants.
    const fn rank(self) -> u8 {
        match self {
            Self::Archive => 0,
            Self::Binary => 1,
            Self::Other(_) => 2,
            Self::Sidecar(_) => 3,
        }
    }
}

/// One file of a release. Kept small: a catalog may hold millions.
#[derive(Debug, Clone)]
pub struct Asset {
    /// Its name within the release; may hold `/`.
    pub name: AssetName,
    /// Length in bytes.
    pub size: u64,
    /// SHA-256 of the whole file.
    pub sha256: Sha256,
    /// SHA-512, where the manifest gives it.
    pub sha512: Option<Box<Sha512>>,
    /// What it is.
    pub kind: Kind,
}

/// Characters of a path segment that need no encoding: RFC 3986 section 3.3, without those that shells, HTML or logs
/// trip over. `/` stays, because asset names may be trees.
const PATH: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'/')
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'+')
    .remove(b'@')
    .remove(b':')
    .remove(b'=')
    .remove(b',')
    .remove(b'!');

impl Asset {
    /// An asset; the name was checked when its manifest was read.
    pub fn new(name: &str, size: u64, sha256: Sha256, sha512: Option<Box<Sha512>>, kind: Kind) -> Self {
        Self { name: AssetName::new(name), size, sha256, sha512, kind }
    }

    /// The name as it stands in a URL.
    #[inline]
    pub fn url_path(&self) -> &str {
        self.name.encoded()
    }

    /// The last segment of the name: what a download is saved as.
    pub fn file_name(&self) -> &str {
        self.name.rsplit('/').next().unwrap_or(&self.name)
    }
}

/// Percent-encodes a path, slashes kept.
pub fn encode_path(text: &str) -> Cow<'_, str> {
    utf8_percent_encode(text, PATH).into()
}

/// The URL of a path below a base that ends with `/`. Not joined as links are: a name with a colon would be taken for a
/// scheme, and one with a `?` would end the path.
///
/// # Errors
///
/// Where the text is too long for a URL.
pub fn url_below(base: &Url, path: &str) -> Result<Url, url::ParseError> {
    format!("{base}{}", encode_path(path)).parse()
}

/// A release as published; immutable.
#[derive(Debug)]
pub struct Release {
    /// Which release this is.
    pub id: ReleaseId,
    /// When it was published, as the manifest says.
    pub published_at: Option<Timestamp>,
    /// Channels that the manifest names.
    pub channels: Vec<ChannelName>,
    /// Its assets in the order of the manifest.
    pub assets: Box<[Asset]>,
    /// Release notes, where the manifest names them.
    pub notes_url: Option<Box<str>>,
    /// SHA-256 of the manifest's bytes.
    pub manifest_sha256: Sha256,
    /// The product as it stands in a URL.
    pub url_product: Box<str>,
    /// The version as it stands in a URL.
    pub url_version: Box<str>,
    /// `<product>/<version>/` as it stands in a URL.
    pub url_prefix: Box<str>,
    /// The checksums of all assets, written when first asked for.
    sums: OnceLock<Bytes>,
    /// A number for this release that is the same in every process: part of the stickiness of clients.
    pub sticky: u64,
    by_name: HashTable<AssetIndex>,
    /// Of releases that channels point to; worked out when it is first needed.
    by_versionless: OnceLock<HashTable<AssetIndex>>,
    /// In ascending order.
    by_platform: HashMap<Platform, Box<[AssetIndex]>, Hasher>,
}

type Hasher = BuildHasherDefault<FxHasher>;

fn hash(text: &str) -> u64 {
    // Keys are the operator's; visitors only look up, so a keyed hash would buy nothing.
    Hasher::default().hash_one(text)
}

/// What a release is made from.
#[derive(Debug)]
pub struct ReleaseParts {
    /// Which release.
    pub id: ReleaseId,
    /// When it was published.
    pub published_at: Option<Timestamp>,
    /// Channels named by the manifest.
    pub channels: Vec<ChannelName>,
    /// Assets, names unique.
    pub assets: Vec<Asset>,
    /// Platform labels of assets.
    pub platforms: Vec<(Platform, AssetIndex)>,
    /// Release notes.
    pub notes_url: Option<Box<str>>,
    /// SHA-256 of the manifest's bytes.
    pub manifest_sha256: Sha256,
}

impl Release {
    /// Builds the indexes.
    pub fn new(parts: ReleaseParts) -> Self {
        let mut by_name = HashTable::with_capacity(parts.assets.len());
        let assets = parts.assets.into_boxed_slice();
        for (index, asset) in (0..).zip(assets.iter()) {
            by_name.insert_unique(hash(&asset.name), index, |&i| hash(&assets[i as usize].name));
        }
        let mut by_platform: HashMap<Platform, Vec<AssetIndex>, Hasher> = HashMap::default();
        for (platform, index) in parts.platforms {
            by_platform.entry(platform).or_default().push(index);
        }
        let url_product: Box<str> = encode_path(&parts.id.product).into();
        let url_version: Box<str> = encode_path(parts.id.version.as_str()).into();
        let sticky = hash(&parts.id.product) ^ hash(parts.id.version.bare()).rotate_left(17);
        Self {
            id: parts.id,
            published_at: parts.published_at,
            channels: parts.channels,
            assets,
            notes_url: parts.notes_url,
            manifest_sha256: parts.manifest_sha256,
            url_prefix: format!("{url_product}/{url_version}/").into(),
            url_product,
            url_version,
            sums: OnceLock::new(),
            sticky,
            by_name,
            by_versionless: OnceLock::new(),
            by_platform: by_platform
                .into_iter()
                .map(|(platform, mut assets)| {
                    assets.sort_unstable();
                    (platform, assets.into())
                })
                .collect(),
        }
    }

    /// The asset at an index that this release gave out.
    pub fn asset(&self, index: AssetIndex) -> &Asset {
        &self.assets[index as usize]
    }

    /// How many bytes all assets have together.
    pub fn total_size(&self) -> u64 {
        self.assets.iter().map(|asset| asset.size).sum()
    }

    /// The asset of this very name.
    #[inline]
    pub fn by_name(&self, name: &str) -> Option<AssetIndex> {
        self.by_name.find(hash(name), |&i| *self.asset(i).name == *name).copied()
    }

    /// Works out the names without the version, so that no request has to: only releases that a channel points to are asked
    /// by them, and of a million assets those are few.
    pub fn prepare_for_channels(&self) {
        self.versionless_index();
    }

    fn versionless_index(&self) -> &HashTable<AssetIndex> {
        self.by_versionless.get_or_init(|| versionless_index(&self.assets, self.id.version.bare()))
    }

    /// The asset whose name without the version is this. `None` as well where two collide.
    pub fn by_versionless(&self, name: &str) -> Option<AssetIndex> {
        let version = self.id.version.bare();
        let mut found = self.versionless_index().iter_hash(hash(name)).filter(|&&index| {
            versionless(&self.asset(index).name, version).is_some_and(|short| short == name)
        });
        let first = found.next().copied();
        if found.next().is_some() { None } else { first }
    }

    /// The asset of a platform: of the wanted kind where one is named, else an archive, else a binary, else another
    /// payload. The first in the manifest where several are as good.
    pub fn by_platform(&self, platform: &Platform, kind: Option<&str>) -> Option<AssetIndex> {
        let wanted = kind.filter(|kind| !kind.is_empty()).map(|kind| Kind::from_manifest(Some(kind)));
        let of_kind = |index: &&AssetIndex| match (wanted, self.asset(**index).kind) {
            (Some(wanted), kind) => kind == wanted,
            (None, kind) => !matches!(kind, Kind::Sidecar(_)),
        };
        let indexes = self.by_platform.get(platform)?.iter().filter(of_kind);
        indexes.min_by_key(|index| (self.asset(**index).kind.rank(), **index)).copied()
    }

    /// Every platform with each of its assets, in no order.
    pub fn platforms(&self) -> impl Iterator<Item = (&Platform, AssetIndex)> {
        self.by_platform.iter().flat_map(|(platform, assets)| assets.iter().map(move |at| (platform, *at)))
    }

    /// Whether an asset is of a platform; `None`: it is of none.
    pub fn is_of(&self, asset: AssetIndex, platform: &Platform) -> Option<bool> {
        let holds = |assets: &[AssetIndex]| assets.binary_search(&asset).is_ok();
        if self.by_platform.get(platform).is_some_and(|assets| holds(assets)) {
            return Some(true);
        }
        self.by_platform.values().any(|assets| holds(assets)).then_some(false)
    }

    /// `<hex>  <name>` of every asset, as `sha256sum -c` reads it.
    pub fn sums(&self) -> Bytes {
        let line = |asset: &Asset| format!("{}  {}\n", asset.sha256, asset.name);
        self.sums.get_or_init(|| self.assets.iter().map(line).collect::<String>().into()).clone()
    }
}

fn versionless_index(assets: &[Asset], version: &str) -> HashTable<AssetIndex> {
    let hash_of = |asset: &Asset| versionless(&asset.name, version).map(|short| hash(&short));
    let hashes = (0..).zip(assets).filter_map(|(index, asset)| Some((hash_of(asset)?, index)));
    let hashes: Vec<(u64, AssetIndex)> = hashes.collect();
    let mut table = HashTable::with_capacity(hashes.len());
    for (hash, index) in hashes {
        // There is room for all: nothing is hashed again.
        table.insert_unique(hash, index, |&i: &AssetIndex| hash_of(&assets[i as usize]).unwrap_or_default());
    }
    table
}

/// The name without the version, an optional `v` before it, and one of `-_.+` beside it: the one before, or at the
/// start of a segment the one after. `None` where the name does not carry the version.
pub fn versionless(name: &str, version: &str) -> Option<String> {
    let mut short = String::with_capacity(name.len());
    let mut rest = name;
    let mut found = false;
    let separator = |c: char| matches!(c, '-' | '_' | '.' | '+');
    while let Some(at) = position(rest, version) {
        let (before, after) = (&rest[..at], &rest[at + version.len()..]);
        let inside_number = before.ends_with(|c: char| c.is_ascii_digit())
            || before.ends_with('.') && before[..at - 1].ends_with(|c: char| c.is_ascii_digit())
            || after.starts_with(|c: char| c.is_ascii_digit())
            || after.strip_prefix('.').is_some_and(|a| a.starts_with(|c: char| c.is_ascii_digit()));
        if inside_number {
            short.push_str(&rest[..at + version.len()]);
            rest = after;
            continue;
        }
        found = true;
        let stem =
            before.strip_suffix('v').filter(|s| s.is_empty() || s.ends_with(|c| separator(c) || c == '/'));
        let stem = stem.unwrap_or(before);
        short.push_str(stem.strip_suffix(separator).unwrap_or(stem));
        let at_start = stem.is_empty() && short.is_empty() || stem.ends_with('/');
        rest = if at_start { after.strip_prefix(separator).unwrap_or(after) } else { after };
    }
    short.push_str(rest);
    let fits = found && !short.is_empty() && short.split('/').all(|s| !matches!(s, "" | "." | ".."));
    fits.then_some(short)
}

/// Where a short text begins in a name: for names, a look at every place is less work than preparing a search.
fn position(name: &str, text: &str) -> Option<usize> {
    let (first, rest) = text.as_bytes().split_first()?;
    let name = name.as_bytes();
    let begins = |at: &usize| name[*at] == *first && name[*at + 1..].starts_with(rest);
    (0..name.len()).find(begins)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_below_a_url_stays_below_it_whatever_is_in_its_names() {
        let base: Url = "https://origin.example/r/".parse().unwrap();
        for (path, expected) in [
            ("tool/1.0/manifest.json", "https://origin.example/r/tool/1.0/manifest.json"),
            ("a:b/1.0/c", "https://origin.example/r/a:b/1.0/c"),
            ("http:/1.0/c#d?e", "https://origin.example/r/http:/1.0/c%23d%3Fe"),
            ("100%/1.0/ä b", "https://origin.example/r/100%25/1.0/%C3%A4%20b"),
        ] {
            assert_eq!(url_below(&base, path).unwrap().as_str(), expected);
        }
    }

    fn release(names: &[&str]) -> Release {
        let kind = |name: &str| match name {
            n if n.ends_with(".tar.gz") => Some("archive"),
            n if n.ends_with(".minisig") => Some("signature"),
            n if n.ends_with(".exe") => Some("binary"),
            _ => None,
        };
        let kind = |name: &str| Kind::from_manifest(kind(name));
        let assets: Vec<_> =
            names.iter().map(|n| Asset::new(n, 1, Sha256::new([1; 32]), None, kind(n))).collect();
        let linux = Platform::parse("linux-amd64").unwrap();
        let platforms =
            (0..).zip(names).filter(|(_, n)| n.contains("linux")).map(|(i, _)| (linux.clone(), i));
        Release::new(ReleaseParts {
            id: ReleaseId {
                product: ProductName::new("tool").unwrap(),
                version: Version::parse("v1.8.2").unwrap(),
            },
            published_at: None,
            channels: vec![],
            platforms: platforms.collect(),
            assets,
            notes_url: None,
            manifest_sha256: Sha256::new([0; 32]),
        })
    }

    #[test]
    fn names_without_the_version() {
        for (name, short) in [
            ("tool-1.8.2-linux.tar.gz", Some("tool-linux.tar.gz")),
            ("tool_v1.8.2.tar.gz", Some("tool.tar.gz")),
            ("tool-linux-1.8.2.deb", Some("tool-linux.deb")),
            ("1.8.2-tool.zip", Some("tool.zip")),
            ("v1.8.2_tool.zip", Some("tool.zip")),
            ("tool1.8.2.zip", Some("tool.zip")),
            ("dir/tool-1.8.2", Some("dir/tool")),
            ("dir/1.8.2-tool", Some("dir/tool")),
            ("tool-1.8.2+1.8.2", Some("tool")),
            ("tool-11.8.2.zip", None),
            ("tool-1.8.20.zip", None),
            ("tool-1.8.2.1.zip", None),
            ("tool-0.1.8.2.zip", None),
            ("tool.zip", None),
            ("1.8.2", None),
            ("1.8.2/tool", None),
            ("dev1.8.2.zip", Some("dev.zip")),
        ] {
            assert_eq!(versionless(name, "1.8.2").as_deref(), short, "{name}");
        }
    }

    #[test]
    fn colliding_short_names_find_nothing() {
        let r = release(&["tool-1.8.2.zip", "tool_1.8.2.zip", "tool-1.8.2.deb"]);
        assert_eq!(r.by_versionless("tool.zip"), None);
        assert_eq!(r.by_versionless("tool.deb"), Some(2));
        assert_eq!(r.by_name("tool_1.8.2.zip"), Some(1));
        assert_eq!(r.by_name("nothing"), None);
    }

    #[test]
    fn a_platform_means_the_archive_then_the_binary_never_a_signature() {
        let linux = Platform::parse("x86_64_linux").unwrap();
        let r = release(&["linux.minisig", "linux.exe", "linux.tar.gz", "linux.tar.gz.minisig"]);
        assert_eq!(r.by_platform(&linux, None), Some(2));
        assert_eq!(r.by_platform(&linux, Some("binary")), Some(1));
        assert_eq!(r.by_platform(&linux, Some("signature")), Some(0));
        assert_eq!(release(&["linux.minisig"]).by_platform(&linux, None), None);
    }

    #[test]
    fn names_are_encoded_for_urls() {
        let asset = Asset::new("dir/a b%ü?#", 1, Sha256::new([0; 32]), None, Kind::from_manifest(None));
        assert_eq!(asset.url_path(), "dir/a%20b%25%C3%BC%3F%23");
        assert_eq!(asset.file_name(), "a b%ü?#");
        assert_eq!(AssetName::new("tool-1+2.zip").encoded(), "tool-1+2.zip");
    }

    #[test]
    fn an_asset_stays_small() {
        assert!(size_of::<Asset>() <= 72, "a catalog may hold millions");
    }
}
