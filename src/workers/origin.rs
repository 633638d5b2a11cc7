//! What has been published: manifests from a folder or over HTTP, read again only where they changed.

mod folder;
mod remote;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Notify;
use tokio::time::sleep;

use crate::catalog::index::{Index, ParsedIndex};
use crate::config::{Origin, OriginAt};
use crate::fetch::Fetcher;
use crate::metrics::Metrics;
use crate::model::OriginFault;

use super::fact::{Fact, Listed, Listing, OriginRefusal, ReadManifest, Reading};
use super::handle::Handle;

/// Largest manifest that is read, in bytes.
const MANIFEST_MAX: u64 = 64 << 20;
/// Largest index that is read, in bytes.
const INDEX_MAX: u64 = 64 << 20;

/// What was said of the index, so that it is said again only when it changes.
#[derive(Debug, Default)]
struct Notes {
    said: Vec<String>,
    sequence: u64,
}

impl Notes {
    /// The index, after a word to the operator on what is odd about it and on what this version does not obey.
    fn heed(&mut self, parsed: ParsedIndex) -> Index {
        let ParsedIndex { index, warnings } = parsed;
        let withdrawn = index.withdrawn.iter().map(|withdrawal| {
            let (product, version) = (&withdrawal.product, &withdrawal.version);
            format!(
                "{product} {version} is withdrawn there, and still handed out: take it out of the manifests"
            )
        });
        let notes: Vec<String> = warnings.into_iter().chain(withdrawn).collect();
        if notes != self.said {
            notes.iter().for_each(|note| tracing::warn!(note, "index.json"));
            self.said = notes;
        }
        if index.sequence < self.sequence {
            let (from, to) = (self.sequence, index.sequence);
            tracing::warn!(
                from,
                to,
                "index.json: the sequence went back; was the origin restored from a backup?"
            );
        }
        self.sequence = index.sequence;
        index
    }
}

/// Reads one origin, and remembers what it read.
enum Reader {
    Folder(folder::FolderReader),
    Remote(remote::RemoteReader),
}

impl Reader {
    fn new(at: OriginAt, fetcher: Fetcher) -> Self {
        match at {
            OriginAt::Folder(folder) => Self::Folder(folder::FolderReader::new(folder)),
            OriginAt::Url(url) => Self::Remote(remote::RemoteReader::new(url, fetcher)),
        }
    }

    async fn read(&mut self) -> Result<Listing, OriginRefusal> {
        match self {
            Self::Folder(reader) => reader.read().await,
            Self::Remote(reader) => reader.read().await,
        }
    }
}

/// Reads the index and every manifest once, for a check before the service runs.
///
/// # Errors
///
/// Why the origin cannot be read. A manifest that cannot is `Listed::Refused`.
pub async fn look_once(origin: &Origin, fetcher: &Fetcher) -> Result<Listing, OriginRefusal> {
    Reader::new(origin.at.clone(), fetcher.clone()).read().await
}

/// Looks at the origin at every interval, and whenever it is woken; the first time at once.
pub async fn run(origin: Origin, fetcher: Fetcher, handle: Handle, wake: Arc<Notify>, metrics: Arc<Metrics>) {
    let poll: Duration = origin.poll;
    let mut reader = Reader::new(origin.at, fetcher);
    loop {
        let listing = reader.read().await;
        let outcome = if listing.is_ok() { "ok" } else { "unreadable" };
        metrics.origin_polls.with_label_values(&[outcome]).inc();
        let reading = listing.map_or_else(Reading::Unreadable, Reading::Listing);
        handle.tell(Fact::Origin(reading)).await;
        tokio::select! {
            () = wake.notified() => {}
            () = sleep(poll) => {}
        }
    }
}

/// A manifest's bytes, read and checked against what the index says of them.
fn listed(body: Bytes, sha256: Option<crate::model::Sha256>) -> Listed {
    match ReadManifest::parse(body) {
        Ok(read) if sha256.is_some_and(|expected| expected != read.sha256) => {
            let detail = format!("its SHA-256 is {}, the index says otherwise", read.sha256);
            refused(OriginFault::WrongDigest, detail)
        }
        Ok(read) => Listed::Read(read),
        Err(why) => refused(OriginFault::Invalid, why),
    }
}

fn refused(reason: OriginFault, detail: impl Into<String>) -> Listed {
    Listed::Refused(OriginRefusal { reason, detail: detail.into() })
}

/// The origin cannot be read at all.
fn unreadable(detail: impl Into<String>) -> OriginRefusal {
    OriginRefusal { reason: OriginFault::Unreadable, detail: detail.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_index_asks_for_in_vain_is_said() {
        let text = br#"{ "schema": 1, "sequence": 3, "manifests": [], "odd": 1,
            "withdrawn": [{ "product": "tool", "version": "1.8.2", "reason": "broken" }] }"#;
        let mut notes = Notes::default();
        notes.heed(Index::parse(text).unwrap());
        assert_eq!((notes.said.len(), notes.sequence), (2, 3));
        assert!(notes.said.iter().any(|note| note.contains("tool 1.8.2 is withdrawn")), "{:?}", notes.said);
        notes.heed(Index::parse(br#"{ "schema": 1, "sequence": 4, "manifests": [] }"#).unwrap());
        assert_eq!((notes.said.len(), notes.sequence), (0, 4));
    }
}
