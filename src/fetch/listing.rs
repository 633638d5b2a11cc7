//! What a listing of a folder says: pages of nginx and Apache, nginx's JSON, and S3's ListObjectsV2. Pure; nothing that a
//! listing says leads out of its folder.

mod html;

use std::collections::HashSet;

use percent_encoding::percent_decode_str;
use rusty_s3::actions::ListObjectsV2;
use serde::Deserialize;
use url::Url;

use crate::model::AssetPath;

/// Longest listing that is read, in bytes.
pub const LISTING_MAX: usize = 8 << 20;
/// Most names in one.
pub const LISTED_MAX: usize = 100_000;
/// Where a page says that it is a listing, in bytes.
const TITLE_WITHIN: usize = 16 << 10;

/// What kind of listing it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListingKind {
    /// A page of nginx' `autoindex` or Apache's `mod_autoindex`.
    Autoindex,
    /// nginx' `autoindex_format json`.
    Json,
    /// S3's ListObjectsV2.
    S3,
}

impl ListingKind {
    /// As reports name it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Autoindex => "autoindex",
            Self::Json => "json",
            Self::S3 => "s3",
        }
    }
}

/// A file or folder in a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedEntry {
    /// Its name, decoded: one segment in a folder's listing, a path in that of a bucket.
    pub name: String,
    /// Whether it is a folder.
    pub is_folder: bool,
    /// Its length in bytes, where the listing has the exact one.
    pub size: Option<u64>,
}

/// A listed folder, or one page of a bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FolderListing {
    /// What kind of listing it is.
    pub kind: ListingKind,
    /// What is there, each name once.
    pub entries: Vec<ListedEntry>,
    /// With what to ask for the next page, where there is one.
    pub next: Option<String>,
}

impl FolderListing {
    /// Reads what was answered at `folder`, a URL that ends with a slash. `None` where that is no listing.
    pub fn read(body: &[u8], folder: &Url) -> Option<Self> {
        if body.len() > LISTING_MAX {
            return None;
        }
        let (kind, entries) = match body.trim_ascii_start().first()? {
            b'[' => (ListingKind::Json, json(body)?),
            b'<' => (ListingKind::Autoindex, page(body, folder)?),
            _ => return None,
        };
        let mut seen = HashSet::new();
        let unique: Vec<bool> = entries.iter().map(|entry| seen.insert(entry.name.as_str())).collect();
        let entries = entries.into_iter().zip(unique).filter(|(_, first)| *first).map(|(entry, _)| entry);
        let entries: Vec<_> = entries.take(LISTED_MAX + 1).collect();
        (entries.len() <= LISTED_MAX).then_some(Self { kind, entries, next: None })
    }

    /// Reads a bucket's answer to a question for the keys that begin with `prefix`. Names are those after it. `None` where
    /// that is no such answer.
    ///
    /// <https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectsV2.html>
    pub fn read_bucket(body: &[u8], prefix: &str) -> Option<Self> {
        let text = std::str::from_utf8(body).ok().filter(|text| text.len() <= LISTING_MAX)?;
        // Anything else is not worth parsing.
        let begin: String = text.chars().take(500).collect();
        let answer =
            begin.contains("<ListBucketResult").then(|| ListObjectsV2::parse_response(text))?.ok()?;
        let mut entries = Vec::new();
        for object in answer.contents {
            // A key that does not begin so was not asked for: whoever answers does not know the question.
            let name = object.key.strip_prefix(prefix)?;
            // What ends with a slash stands for a folder, and holds nothing.
            if AssetPath::new(name).is_ok() && entries.len() < LISTED_MAX {
                entries.push(ListedEntry { name: name.to_owned(), is_folder: false, size: object.size });
            }
        }
        Some(Self { kind: ListingKind::S3, entries, next: answer.next_continuation_token })
    }
}

/// nginx: <https://nginx.org/en/docs/http/ngx_http_autoindex_module.html#autoindex_format>
fn json(body: &[u8]) -> Option<Vec<ListedEntry>> {
    #[derive(Deserialize)]
    struct Entry {
        name: String,
        r#type: String,
        size: Option<u64>,
    }
    let entries: Vec<Entry> = serde_json::from_slice(body).ok()?;
    let entries = entries.into_iter().filter(|entry| is_name(&entry.name));
    let entries = entries.map(|entry| {
        let is_folder = entry.r#type == "directory";
        ListedEntry { name: entry.name, is_folder, size: entry.size.filter(|_| !is_folder) }
    });
    Some(entries.collect())
}

fn page(body: &[u8], folder: &Url) -> Option<Vec<ListedEntry>> {
    let begin = body[..body.len().min(TITLE_WITHIN)].to_ascii_lowercase();
    let begin = String::from_utf8_lossy(&begin);
    // Both servers say so in both places. Any other page, such as one that stands for an error, lists nothing.
    if !begin.contains("<title>index of") && !begin.contains("<h1>index of") {
        return None;
    }
    let html = String::from_utf8_lossy(body);
    let entry = |link: html::Link| {
        let (name, is_folder) = named(&link.href, folder)?;
        Some(ListedEntry { name, is_folder, size: link.size.filter(|_| !is_folder) })
    };
    Some(html.lines().flat_map(html::links).filter_map(entry).collect())
}

/// The file or folder that a link means, where it lies right in the folder: not the links to the folder above, to another
/// order of the same page, or to elsewhere.
fn named(href: &str, folder: &Url) -> Option<(String, bool)> {
    let target = folder.join(href).ok()?;
    let here = |url: &Url| (url.scheme().to_owned(), url.host_str().map(str::to_owned), url.port());
    if here(&target) != here(folder) || target.query().is_some() {
        return None;
    }
    let rest = target.path().strip_prefix(folder.path())?;
    let (segment, is_folder) = rest.strip_suffix('/').map_or((rest, false), |segment| (segment, true));
    let name = percent_decode_str(segment).decode_utf8().ok()?.into_owned();
    is_name(&name).then_some((name, is_folder))
}

/// Whether it could be a segment of an asset's name.
fn is_name(text: &str) -> bool {
    !text.contains('/') && AssetPath::new(text).is_ok()
}

#[cfg(test)]
#[path = "listing/tests.rs"]
mod tests;
