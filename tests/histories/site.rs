//! The world outside: an origin, and hosts that serve something or other at every URL.

use std::collections::HashMap;

use aws_lc_rs::digest::{SHA256, digest};
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG};
use http::{HeaderMap, StatusCode};
use url::Url;
use waypost::catalog::index::IndexWithdrawal;
use waypost::catalog::{Asset, Release};
use waypost::fetch::{Expected, look};
use waypost::model::{CopyFault, Fingerprint, OriginFault, Sha256, Version};
use waypost::workers::fact::{Listed, Listing, OriginRefusal, ReadManifest, Reading};

use super::event::Harm;

pub const SIZE: u64 = 1000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Content {
    /// Bytes of this digest.
    Bytes(Sha256),
    Page,
    PageInDisguise,
    Truncated,
    Encoded(Sha256),
    Absent,
}

#[derive(Debug, Clone, Copy)]
pub struct File {
    content: Content,
    validator: u64,
}

const ABSENT: File = File { content: Content::Absent, validator: 0 };

/// A release at the origin.
#[derive(Debug, Clone)]
pub struct Source {
    pub version: String,
    pub names: Vec<String>,
    /// Changes with every rewriting.
    pub edition: u32,
    pub channels: Vec<&'static str>,
    pub listed: bool,
    /// By the index.
    pub withdrawn: bool,
}

impl Source {
    pub fn path(&self) -> String {
        format!("tool/{}/manifest.json", self.version)
    }

    pub fn sha256(&self, name: &str) -> Sha256 {
        let text = format!("{} {name} {}", self.version.trim_start_matches('v'), self.edition);
        Sha256::new(digest(&SHA256, text.as_bytes()).as_ref().try_into().unwrap())
    }

    fn withdrawal(&self) -> IndexWithdrawal {
        IndexWithdrawal {
            product: "tool".parse().unwrap(),
            version: Version::parse(&self.version).unwrap(),
            reason: None,
            replacement: None,
            extra: serde_json::Map::new(),
        }
    }

    fn manifest(&self) -> ReadManifest {
        let asset = |name: &String| serde_json::json!({ "name": name, "size": SIZE, "sha256": self.sha256(name).to_string() });
        let assets: Vec<_> = self.names.iter().map(asset).collect();
        let manifest = serde_json::json!({
            "schema": 1, "product": "tool", "version": self.version, "channels": self.channels, "assets": assets,
        });
        ReadManifest::parse(serde_json::to_vec(&manifest).unwrap().into()).unwrap()
    }
}

/// Ways of being down.
const DOWN: [CopyFault; 4] =
    [CopyFault::Timeout, CopyFault::Connect, CopyFault::ServerError, CopyFault::Denied];

/// Everything outside.
#[derive(Debug, Default)]
pub struct Site {
    files: HashMap<String, File>,
    down: HashMap<String, CopyFault>,
    pub sources: Vec<Source>,
    validators: u64,
}

impl Site {
    pub fn new(sources: Vec<Source>) -> Self {
        Self { sources, ..Self::default() }
    }

    pub fn file(&self, url: &str) -> File {
        self.files.get(url).copied().unwrap_or(ABSENT)
    }

    pub fn harm(&mut self, url: String, sha256: Sha256, harm: Harm) {
        self.validators += 1;
        let before = self.file(&url);
        let other = Sha256::new([0; 32]);
        let (content, validator) = match harm {
            Harm::Corrupt => (Content::Bytes(other), self.validators),
            Harm::CorruptUnseen => (Content::Bytes(other), before.validator),
            Harm::Page => (Content::Page, self.validators),
            Harm::PageInDisguise => (Content::PageInDisguise, before.validator),
            Harm::Truncate => (Content::Truncated, before.validator),
            Harm::Encode => (Content::Encoded(sha256), before.validator),
            Harm::Remove => (Content::Absent, 0),
            Harm::Touch => (before.content, self.validators),
            Harm::Restore => (Content::Bytes(sha256), self.validators),
        };
        self.files.insert(url, File { content, validator });
    }

    pub fn take_down(&mut self, host: &str, how: usize) {
        self.down.insert(host.to_owned(), DOWN[how % DOWN.len()]);
    }

    pub fn bring_up(&mut self, host: &str) {
        self.down.remove(host);
    }

    pub fn all_up(&mut self) {
        self.down.clear();
    }

    fn reach(&self, url: &Url) -> Result<File, CopyFault> {
        match self.down.get(url.host_str().unwrap_or_default()) {
            Some(fault) => Err(*fault),
            None => Ok(self.file(url.as_str())),
        }
    }

    /// What a probe sees: the head of the first byte.
    pub fn probe(&self, url: &Url, expects: Option<(&Asset, Option<Fingerprint>)>) -> Result<(), CopyFault> {
        let file = self.reach(url)?;
        let Some((asset, validator)) = expects else { return Ok(()) };
        let (status, headers) = file.head(true);
        let expected = Expected { size: asset.size, range: Some((0, 0)), validator, html_is_fine: false };
        look(status, &headers, &expected).map(drop)
    }

    /// What a hash sees; `head` and `body` may have been read at different moments.
    pub fn read(&self, url: &Url) -> Result<File, CopyFault> {
        self.reach(url)
    }

    /// What the origin says now.
    pub fn listing(&self, readable: bool) -> Reading {
        if !readable {
            return {
                let detail = "no route to host".into();
                Reading::Unreadable(OriginRefusal { reason: OriginFault::Unreadable, detail })
            };
        }
        let listed = self.sources.iter().filter(|source| source.listed);
        let listed = listed.map(|source| (source.path(), Listed::Read(source.manifest())));
        let withdrawn = self.sources.iter().filter(|source| source.withdrawn).map(Source::withdrawal);
        let withdrawn = withdrawn.collect();
        Reading::Listing(Listing { manifests: listed.collect(), withdrawn, sequence: None })
    }
}

impl File {
    fn head(&self, ranged: bool) -> (StatusCode, HeaderMap) {
        let mut headers = HeaderMap::new();
        let size = match self.content {
            Content::Absent => return (StatusCode::NOT_FOUND, headers),
            Content::Truncated | Content::Page => SIZE - 1,
            Content::Bytes(_) | Content::PageInDisguise | Content::Encoded(_) => SIZE,
        };
        headers.insert(ETAG, format!("\"{}\"", self.validator).parse().unwrap());
        if self.content == Content::Page {
            headers.insert(CONTENT_TYPE, "text/html".parse().unwrap());
        }
        if let Content::Encoded(_) = self.content {
            headers.insert(CONTENT_ENCODING, "gzip".parse().unwrap());
        }
        if !ranged {
            headers.insert(CONTENT_LENGTH, size.into());
            return (StatusCode::OK, headers);
        }
        headers.insert(CONTENT_RANGE, format!("bytes 0-0/{size}").parse().unwrap());
        (StatusCode::PARTIAL_CONTENT, headers)
    }
}

/// What hashing comes to, where the head came from one file and the bytes from another.
pub fn hash(
    head: Result<File, CopyFault>,
    body: Result<File, CopyFault>,
    release: &Release,
    asset: u32,
    validator: Option<Fingerprint>,
) -> Result<Fingerprint, CopyFault> {
    let asset = release.asset(asset);
    let (status, headers) = head?.head(false);
    let expected = Expected { size: asset.size, range: None, validator, html_is_fine: false };
    let seen = look(status, &headers, &expected)?;
    match body?.content {
        Content::Bytes(sha256) if sha256 == asset.sha256 => Ok(seen.fingerprint),
        Content::Bytes(_) | Content::Encoded(_) => Err(CopyFault::WrongDigest),
        Content::Page | Content::PageInDisguise => Err(CopyFault::Html),
        Content::Truncated => Err(CopyFault::WrongLength),
        Content::Absent => Err(CopyFault::Broken),
    }
}
