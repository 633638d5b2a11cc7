//! Asks a mirror what lies in a folder: by its own listing, else as a bucket.

use std::collections::HashSet;
use std::time::Duration;

use http::StatusCode;
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use url::Url;

use crate::catalog::{Release, encode_path};
use crate::fetch::{Fetcher, FolderListing, Get, LISTED_MAX, LISTING_MAX, ListedEntry, ListingKind};
use crate::model::CopyFault;

/// How long a mirror may take to begin an answer.
const HEAD_DEADLINE: Duration = Duration::from_secs(30);
/// Most folders of one release, and most pages of a bucket.
const REQUESTS_MAX: usize = 1000;

/// Why it is not known what lies there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unlisted {
    /// The mirror lists nothing there.
    NoListing,
    /// No answer that tells.
    Unreachable,
}

type Contents = (ListingKind, Vec<ListedEntry>);

/// All that lies in a release's folder, by its path below.
pub(super) async fn contents(
    fetcher: &Fetcher,
    release: &Release,
    folder: &Url,
) -> Result<Contents, Unlisted> {
    let unlisted = match tree(fetcher, release, folder).await {
        Ok(contents) => return Ok(contents),
        // Even where it is no answer at all: what a store of objects says to the name of a folder is its own affair.
        Err(unlisted) => unlisted,
    };
    for (root, prefix) in buckets(folder) {
        if let Ok(contents) = keys(fetcher, &root, &prefix).await {
            return Ok(contents);
        }
    }
    Err(unlisted)
}

/// The folder and those below it that hold assets; any other folder is named and not entered.
async fn tree(fetcher: &Fetcher, release: &Release, folder: &Url) -> Result<Contents, Unlisted> {
    let parents = |name| std::iter::successors(parent(name), |name| parent(name));
    let expected: HashSet<&str> = release.assets.iter().flat_map(|asset| parents(&asset.name)).collect();
    let mut found = Vec::new();
    let (mut kind, mut requests) = (ListingKind::Autoindex, 0);
    let mut open = vec![String::new()];
    while let Some(path) = open.pop() {
        requests += 1;
        let mut url = folder.clone();
        url.set_path(&format!("{}{}", folder.path(), encode_path(&path)));
        let listing = ask(fetcher, &url, FolderListing::read).await?;
        kind = listing.kind;
        for mut entry in listing.entries {
            entry.name.insert_str(0, &path);
            match entry.is_folder && expected.contains(&*entry.name) {
                true => open.push(entry.name + "/"),
                false => found.push(entry),
            }
        }
        if found.len() > LISTED_MAX || (requests == REQUESTS_MAX && !open.is_empty()) {
            return Err(Unlisted::NoListing);
        }
    }
    Ok((kind, found))
}

fn parent(name: &str) -> Option<&str> {
    name.rsplit_once('/').map(|(parent, _)| parent)
}

/// Where a bucket with this folder would be asked: by its own host, or as the first segment of the path.
///
/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/VirtualHosting.html>
fn buckets(folder: &Url) -> Vec<(Url, String)> {
    let path = folder.path().trim_start_matches('/');
    let by_path = path.split_once('/').map(|(bucket, prefix)| (format!("/{bucket}"), prefix));
    let ways = std::iter::once(("/".to_owned(), path)).chain(by_path);
    let way = |(root, prefix): (String, &str)| {
        let mut url = folder.clone();
        url.set_path(&root);
        Some((url, percent_decode_str(prefix).decode_utf8().ok()?.into_owned()))
    };
    ways.filter_map(way).collect()
}

async fn keys(fetcher: &Fetcher, root: &Url, prefix: &str) -> Result<Contents, Unlisted> {
    let encoded = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let mut found = Vec::new();
    let mut token: Option<String> = None;
    for _ in 0..REQUESTS_MAX {
        // Without encoding-type=url: no name holds what XML could not say, and not all stores encode as S3 does.
        let mut query = format!("list-type=2&prefix={}", encoded(prefix));
        if let Some(token) = &token {
            query = format!("continuation-token={}&{query}", encoded(token));
        }
        let mut url = root.clone();
        url.set_query(Some(&query));
        let page = ask(fetcher, &url, |body, _| FolderListing::read_bucket(body, prefix)).await?;
        found.extend(page.entries);
        if found.len() > LISTED_MAX {
            return Err(Unlisted::NoListing);
        }
        match page.next {
            // The same again would go on without end.
            next @ Some(_) if next != token => token = next,
            Some(_) => return Err(Unlisted::NoListing),
            None => return Ok((ListingKind::S3, found)),
        }
    }
    Err(Unlisted::NoListing)
}

async fn ask(
    fetcher: &Fetcher,
    url: &Url,
    read: impl FnOnce(&[u8], &Url) -> Option<FolderListing>,
) -> Result<FolderListing, Unlisted> {
    let answer = fetcher.get(&Get::new(url, HEAD_DEADLINE)).await.map_err(|_| Unlisted::Unreachable)?;
    match answer.status {
        StatusCode::OK => {}
        status if status.is_server_error() => return Err(Unlisted::Unreachable),
        _ => return Err(Unlisted::NoListing),
    }
    let from = answer.final_url.clone();
    let body = answer.read(LISTING_MAX).await.map_err(|failure| match failure.fault {
        CopyFault::WrongLength => Unlisted::NoListing,
        _ => Unlisted::Unreachable,
    })?;
    read(&body, &from).ok_or(Unlisted::NoListing)
}
