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

use crate::catalog::index::{INDEX_FILE, Index, IndexEntry};
use crate::catalog::signature::{SIGNATURE_SUFFIX, TrustedKeys};
use crate::catalog::url_below;
use crate::fetch::{Fetcher, Get};
use crate::model::Sha256;
use crate::workers::fact::{Listed, Listing, OriginLook, OriginRefusal, Reading};

use super::{INDEX_MAX, MANIFEST_MAX, Notes, SIGNATURE_MAX, Signed, unreadable};

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

/// A manifest that was believed.
#[derive(Debug, Clone)]
struct Seen {
    validators: Validators,
    sha256: Sha256,
}

/// Reads an origin over HTTP.
pub(super) struct RemoteReader {
    url: Url,
    asking: Asking,
    seen: HashMap<String, Seen>,
    notes: Notes,
}

/// How files are asked for, and whose signatures are believed.
#[derive(Clone)]
struct Asking {
    fetcher: Fetcher,
    keys: Arc<TrustedKeys>,
}

/// An answer to a request.
enum Fetched {
    Unchanged,
    Missing(StatusCode),
    Body(Bytes, Validators),
}

impl RemoteReader {
    pub(super) fn new(url: Url, keys: TrustedKeys, fetcher: Fetcher) -> Self {
        let asking = Asking { fetcher, keys: Arc::new(keys) };
        Self { url, asking, seen: HashMap::new(), notes: Notes::default() }
    }

    /// One look.
    pub(super) async fn read(&mut self, look: OriginLook) -> Result<Reading, OriginRefusal> {
        for path in &look.again {
            self.seen.remove(path);
        }
        let index = self.index().await?;
        if index.sequence < look.lowest {
            return Ok(Reading::WentBack(index.sequence));
        }
        let manifests = self.manifests(index.manifests, look.known).await?;
        let (sequence, withdrawn) = (Some(index.sequence), index.withdrawn);
        Ok(Reading::Listing(Listing { manifests, sequence, withdrawn }))
    }

    async fn index(&mut self) -> Result<Index, OriginRefusal> {
        let url = url_below(&self.url, INDEX_FILE);
        let url = url.map_err(|error| unreadable(format!("{INDEX_FILE}: {error}")))?;
        let body = match self.asking.fetch(&url, INDEX_MAX, &Validators::default()).await {
            Ok(Fetched::Body(body, _)) => body,
            Ok(Fetched::Unchanged) => return Err(unreadable(format!("{url}: 304 was not asked for"))),
            Ok(Fetched::Missing(status)) => return Err(unreadable(format!("{url}: it answered {status}"))),
            Err(why) => return Err(unreadable(format!("{url}: {why}"))),
        };
        let signed = self.asking.signed(&url, body).await;
        Ok(self.notes.heed(signed.index(&self.asking.keys)?))
    }

    async fn manifests(
        &mut self,
        entries: Vec<IndexEntry>,
        known: HashMap<String, Sha256>,
    ) -> Result<BTreeMap<String, Listed>, OriginRefusal> {
        let places = Arc::new(Semaphore::new(AT_ONCE));
        let mut looks = JoinSet::new();
        for entry in entries {
            let (path, places) = (entry.path.to_string(), Arc::clone(&places));
            let (asking, seen, known) =
                (self.asking.clone(), self.seen.remove(&path), known.get(&path).copied());
            let url = url_below(&self.url, &path);
            looks.spawn(async move {
                let _place = places.acquire().await;
                let (became, now_seen) = match url {
                    Ok(url) => asking.look(&url, &entry, seen, known).await,
                    Err(error) => (Listed::Refused(unreadable(error.to_string())), None),
                };
                (path, became, now_seen)
            });
        }
        let mut listing = BTreeMap::new();
        self.seen.clear();
        while let Some(looked) = looks.join_next().await {
            let (path, became, now_seen) =
                looked.map_err(|error| unreadable(format!("reading the origin failed: {error}")))?;
            self.seen.extend(now_seen.map(|seen| (path.clone(), seen)));
            listing.insert(path, became);
        }
        Ok(listing)
    }
}

impl Asking {
    /// One manifest, and what to remember of it where it is believed.
    /// `known` is the digest of the manifest that is known there.
    async fn look(
        &self,
        url: &Url,
        entry: &IndexEntry,
        seen: Option<Seen>,
        known: Option<Sha256>,
    ) -> (Listed, Option<Seen>) {
        // An index that gives digests saves the request.
        let before = seen.as_ref().map(|seen| seen.sha256).or(known);
        if entry.sha256.is_some() && before == entry.sha256 {
            return (Listed::Unchanged, seen);
        }
        let validators = seen.as_ref().map(|seen| seen.validators.clone()).unwrap_or_default();
        let why = match self.fetch(url, MANIFEST_MAX, &validators).await {
            Ok(Fetched::Unchanged) => return (Listed::Unchanged, seen),
            Ok(Fetched::Body(body, validators)) => {
                let became = self.signed(url, body).await.manifest(entry.sha256, known, &self.keys);
                let now_seen = match &became {
                    Listed::Read(read) => Some(Seen { validators, sha256: read.sha256 }),
                    Listed::Unchanged => known.map(|sha256| Seen { validators, sha256 }),
                    Listed::Refused(_) => None,
                };
                return (became, now_seen);
            }
            Ok(Fetched::Missing(status)) => format!("it answered {status}"),
            Err(why) => why,
        };
        (Listed::Refused(unreadable(format!("it cannot be read: {why}"))), None)
    }

    /// A file with its signature, which is asked for where keys are trusted.
    async fn signed(&self, url: &Url, body: Bytes) -> Signed {
        if self.keys.is_empty() {
            return Signed { body, signature: None };
        }
        let mut beside = url.clone();
        beside.set_path(&format!("{}{SIGNATURE_SUFFIX}", url.path()));
        let signature = match self.fetch(&beside, SIGNATURE_MAX, &Validators::default()).await {
            Ok(Fetched::Body(bytes, _)) => Ok(Some(bytes)),
            Ok(Fetched::Missing(_)) => Ok(None),
            Ok(Fetched::Unchanged) => Err("304 was not asked for".to_owned()),
            Err(why) => Err(why),
        };
        Signed { body, signature: Some(signature) }
    }

    async fn fetch(&self, url: &Url, max: u64, validators: &Validators) -> Result<Fetched, String> {
        let get = Get {
            if_none_match: validators.etag.as_deref(),
            if_modified_since: validators.last_modified.as_deref(),
            ..Get::new(url, DEADLINE)
        };
        let response = self.fetcher.get(&get).await.map_err(|failure| failure.to_string())?;
        match response.status {
            StatusCode::NOT_MODIFIED => return Ok(Fetched::Unchanged),
            status @ (StatusCode::NOT_FOUND | StatusCode::GONE) => return Ok(Fetched::Missing(status)),
            StatusCode::OK => {}
            status => return Err(format!("it answered {status}")),
        }
        let validators = Validators::of(&response.headers);
        let body = response.read(max as usize).await.map_err(|failure| failure.to_string())?;
        Ok(Fetched::Body(body, validators))
    }
}
