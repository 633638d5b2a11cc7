//! The GitHub API's JSON of a release, or of the list of a repository's releases
//! (<https://docs.github.com/en/rest/releases/releases>). Digests came in 2025: older assets have `null`.

use serde::de::{MapAccess, SeqAccess};
use serde_json::Value;

use super::Format;
use super::source::{Listed, Source, document, prefixed_digest, version_in};
use crate::catalog::checksums::FileDigest;
use crate::catalog::json::Need::{self, Optional, Required};
use crate::catalog::json::{Flag, Here, List, Number, Object, Reader, Shape, Slot, Text, line};
use crate::catalog::manifest::SIZE_MAX;
use crate::model::{Timestamp, Version};

/// What the list is called.
pub(super) const FILE: &str = "release.json";

/// Most releases of a list, and most assets of a release; GitHub allows a thousand assets.
const ITEMS_MAX: usize = 100_000;

/// Reads a release; of a list the one whose tag is `version`.
pub(super) fn read(bytes: &[u8], version: Option<&Version>) -> Result<Source, String> {
    let mut releases = document(bytes, Releases)?;
    let is_list = releases.len() != 1;
    if is_list {
        let version = version.ok_or_else(|| {
            format!("holds {} releases; say --version, or give the JSON of one", releases.len())
        })?;
        releases.retain(|release| release.tag.as_deref().and_then(version_in).as_ref() == Some(version));
        if releases.len() > 1 {
            return Err(format!("holds several releases with version {version}; give the JSON of one"));
        }
    }
    let release = releases.pop().ok_or("holds no release with this version")?;
    let tag = release.tag.as_deref().unwrap_or_default();
    if release.is_draft {
        return Err(format!("{tag} is a draft; publish it at GitHub first"));
    }
    let mut source = Source::of(Format::Github, FILE, Vec::new());
    for asset in release.assets {
        let Asset { name: Some(name), .. } = &asset else { continue };
        if asset.state.as_deref().is_some_and(|state| state != "uploaded") {
            return Err(format!("{name:?} is not uploaded completely; upload it again"));
        }
        let listed = Listed { size: asset.size, ..Listed::new(name) };
        source.listed.push(asset.digest.into_iter().fold(listed, Listed::with));
    }
    if release.is_prerelease {
        source.notes.push(format!("{tag} is marked as a pre-release"));
    }
    source.versions.extend(version_in(tag));
    source.published_at = release.published_at;
    source.notes_url = release.page.filter(|page| page.starts_with("https://")).map(String::from);
    Ok(source)
}

/// One, or a list.
struct Releases;

impl<'de> Reader<'de> for Releases {
    type Value = Vec<Release>;
    const EXPECTED: &'static str = "a release or an array of releases";

    fn list<A: SeqAccess<'de>>(&mut self, seq: A, here: Here<'_>) -> Result<Option<Self::Value>, A::Error> {
        List { max: ITEMS_MAX, of: Object::<Release>::new() }.list(seq, here)
    }

    fn object<A: MapAccess<'de>>(&mut self, map: A, here: Here<'_>) -> Result<Option<Self::Value>, A::Error> {
        Ok(Object::<Release>::new().object(map, here)?.map(|release| vec![release]))
    }
}

#[derive(Default)]
struct Release {
    tag: Option<Box<str>>,
    is_draft: bool,
    is_prerelease: bool,
    published_at: Option<Timestamp>,
    page: Option<Box<str>>,
    assets: Vec<Asset>,
}

impl<'de> Shape<'de> for Release {
    const KEYS: &'static [(&'static str, Need)] = &[
        ("tag_name", Required),
        ("draft", Optional),
        ("prerelease", Optional),
        ("published_at", Optional),
        ("html_url", Optional),
        ("assets", Required),
    ];

    fn field<A: MapAccess<'de>>(&mut self, key: &'static str, slot: Slot<'_, A>) -> Result<(), A::Error> {
        match key {
            "tag_name" => self.tag = slot.read(Text(line::<256>))?,
            "draft" => self.is_draft = slot.read(Flag)?.unwrap_or_default(),
            "prerelease" => self.is_prerelease = slot.read(Flag)?.unwrap_or_default(),
            "published_at" => {
                let moment = |text: &str| Timestamp::parse_rfc3339(text).ok_or("expected an RFC 3339 moment");
                self.published_at = slot.read(Text(moment))?;
            }
            "html_url" => self.page = slot.read(Text(line::<2048>))?,
            _ => {
                let of = Object::<Asset>::new();
                self.assets = slot.read(List { max: ITEMS_MAX, of })?.unwrap_or_default();
            }
        }
        Ok(())
    }

    fn keep(&mut self, _: String, _: Value) {}
}

#[derive(Default)]
struct Asset {
    name: Option<Box<str>>,
    size: Option<u64>,
    digest: Option<FileDigest>,
    state: Option<Box<str>>,
}

impl<'de> Shape<'de> for Asset {
    const KEYS: &'static [(&'static str, Need)] =
        &[("name", Required), ("size", Optional), ("digest", Optional), ("state", Optional)];

    fn field<A: MapAccess<'de>>(&mut self, key: &'static str, slot: Slot<'_, A>) -> Result<(), A::Error> {
        match key {
            "name" => self.name = slot.read(Text(line::<4096>))?,
            "size" => self.size = slot.read(Number { max: SIZE_MAX })?,
            "digest" => self.digest = slot.read(Text(prefixed_digest))?.flatten(),
            _ => self.state = slot.read(Text(line::<64>))?,
        }
        Ok(())
    }

    fn keep(&mut self, _: String, _: Value) {}
}
