//! An origin over HTTP: `index.json` lists the manifests, and each is asked for again only if it may have changed.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ETAG, HeaderName, LAST_MODIFIED};
use http::{HeaderMap, StatusCode};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use url::Url;

use crate::catalog::index::{Index, IndexEntry};
use crate::fetch::{Fetcher, Get};
use crate::model::{OriginFault, Sha256};
use crate::workers::fact::{Listed, Listing, OriginRefusal};

use super::{INDEX_MAX, MANIFEST_MAX, Notes, listed, refused, unreadable};

/// Requests under way at once.
const AT_ONCE: usize = 8;
/// How long the origin may take to begin an answer.
const DEADLINE: Duration = Duration::from_secs(30);

/// What is remembered of an answer, to ask whether it changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Validators {
    etag: Option<String>,
    last_modified: Option<String>,
}

impl Validators {
    fn of(headers: &HeaderMap) -> Self {
        let text = |name: HeaderName| headers.get(name).and_then(|v| v.to_str().ok()).map(str::to_owned);
        Self { etag: text(ETAG), last_modified: text(LAST_MODIFIED) }
    }
}

#[derive(Debug, Clone)]
struct Seen {
    validators: Validators,
    sha256: Option<Sha256>,
}

/// Reads an origin over HTTP.
pub(super) struct RemoteReader {
    url: Url,
    fetcher: Fetcher,
    seen: HashMap<String, Seen>,
    notes: Notes,
}

/// An answer to a conditional request.
enum Fetched {
    Unchanged,
    Body(Bytes, Validators),
}

impl RemoteReader {
    pub(super) fn new(url: Url, fetcher: Fetcher) -> Self {
        Self { url, fetcher, seen: HashMap::new(), notes: Notes::default() }
    }

    /// One look.
    pub(super) async fn read(&mut self) -> Result<Listing, OriginRefusal> {
        self.look().await.map_err(unreadable)
    }

    async fn look(&mut self) -> Result<Listing, String> {
        let url = self.url.join("index.json").map_err(|error| format!("index.json: {error}"))?;
        let index = match fetch(&self.fetcher, &url, INDEX_MAX, &Validators::default()).await {
            Ok(Fetched::Body(body, _)) => body,
            Ok(Fetched::Unchanged) => return Err(format!("{url}: 304 was not asked for")),
            Err(why) => return Err(format!("{url}: {why}")),
        };
        let parsed = Index::parse(&index).map_err(|error| format!("{url}: {error}"))?;
        let index = self.notes.heed(parsed);
        let places = Arc::new(Semaphore::new(AT_ONCE));
        let mut asking = JoinSet::new();
        for entry in index.manifests {
            let (path, places) = (entry.path.to_string(), Arc::clone(&places));
            let (fetcher, seen) = (self.fetcher.clone(), self.seen.remove(&path));
            let url = self.url.join(&path);
            asking.spawn(async move {
                let _place = places.acquire().await;
                let (became, now_seen) = match url {
                    Ok(url) => look(&fetcher, &url, &entry, seen).await,
                    Err(error) => (refused(OriginFault::Invalid, error.to_string()), None),
                };
                (path, became, now_seen)
            });
        }
        let mut listing = BTreeMap::new();
        self.seen.clear();
        while let Some(asked) = asking.join_next().await {
            let (path, became, now_seen) =
                asked.map_err(|error| format!("reading the origin failed: {error}"))?;
            if let Some(seen) = now_seen {
                self.seen.insert(path.clone(), seen);
            }
            listing.insert(path, became);
        }
        Ok(Listing { manifests: listing, withdrawn: index.withdrawn, ..Listing::default() })
    }
}

async fn look(
    fetcher: &Fetcher,
    url: &Url,
    entry: &IndexEntry,
    seen: Option<Seen>,
) -> (Listed, Option<Seen>) {
    // An index that gives digests saves the request.
    if entry.sha256.is_some() && seen.as_ref().is_some_and(|seen| seen.sha256 == entry.sha256) {
        return (Listed::Unchanged, seen);
    }
    let validators = seen.as_ref().map(|seen| seen.validators.clone()).unwrap_or_default();
    match fetch(fetcher, url, MANIFEST_MAX, &validators).await {
        Ok(Fetched::Unchanged) => (Listed::Unchanged, seen),
        Ok(Fetched::Body(body, validators)) => {
            let became = listed(body, entry.sha256);
            let sha256 = match &became {
                Listed::Read(read) => Some(read.sha256),
                Listed::Unchanged | Listed::Refused(_) => None,
            };
            (became, Some(Seen { validators, sha256 }))
        }
        Err(why) => (refused(OriginFault::Unreadable, format!("it cannot be read: {why}")), None),
    }
}

async fn fetch(fetcher: &Fetcher, url: &Url, max: u64, validators: &Validators) -> Result<Fetched, String> {
    let get = Get {
        if_none_match: validators.etag.as_deref(),
        if_modified_since: validators.last_modified.as_deref(),
        ..Get::new(url, DEADLINE)
    };
    let response = fetcher.get(&get).await.map_err(|failure| failure.to_string())?;
    match response.status {
        StatusCode::NOT_MODIFIED => return Ok(Fetched::Unchanged),
        StatusCode::OK => {}
        status => return Err(format!("it answered {status}")),
    }
    let validators = Validators::of(&response.headers);
    let body = response.read(max as usize).await.map_err(|failure| failure.to_string())?;
    Ok(Fetched::Body(body, validators))
}
