//! What has been published: the index and manifests from a folder or over HTTP, believed only where they are signed as
//! the configuration asks, and read again only where they changed or were refused.

mod folder;
mod remote;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Notify;
use tokio::time::sleep;

use crate::catalog::index::{INDEX_BYTES_MAX, INDEX_FILE, Index, ParsedIndex};
use crate::catalog::manifest::{MANIFEST_BYTES_MAX, MANIFEST_FILE};
use crate::catalog::signature::{SIGNATURE_BYTES_MAX, SIGNATURE_SUFFIX, TrustedComment, TrustedKeys};
use crate::config::{Origin, OriginAt};
use crate::fetch::Fetcher;
use crate::metrics::Metrics;
use crate::model::{OriginFault, Sha256};

use super::fact::{Fact, Listed, OriginLook, OriginRefusal, ReadManifest, Reading};
use super::handle::Handle;

/// Largest manifest that is read, in bytes.
const MANIFEST_MAX: u64 = MANIFEST_BYTES_MAX as u64;
/// Largest index that is read, in bytes.
const INDEX_MAX: u64 = INDEX_BYTES_MAX as u64;
/// Largest signature that is read, in bytes.
const SIGNATURE_MAX: u64 = SIGNATURE_BYTES_MAX as u64;

/// What was said of the index, so that it is said again only when it changes.
#[derive(Debug, Default)]
struct Notes(Vec<String>);

impl Notes {
    /// The index, after a word to the operator on what is odd about it.
    fn heed(&mut self, parsed: ParsedIndex) -> Index {
        if parsed.warnings != self.0 {
            parsed.warnings.iter().for_each(|note| tracing::warn!(note, "{INDEX_FILE}"));
            self.0 = parsed.warnings;
        }
        parsed.index
    }
}

/// Reads one origin, and remembers what it read.
enum Reader {
    Folder(folder::FolderReader),
    Remote(remote::RemoteReader),
}

impl Reader {
    fn new(origin: &Origin, fetcher: Fetcher) -> Self {
        let keys = TrustedKeys::new(&origin.trusted_keys);
        match &origin.at {
            OriginAt::Folder(folder) => Self::Folder(folder::FolderReader::new(folder.clone(), keys)),
            OriginAt::Url(url) => Self::Remote(remote::RemoteReader::new(url.clone(), keys, fetcher)),
        }
    }

    /// One look. An index with a sequence below the lowest is not gone into.
    async fn read(&mut self, look: OriginLook) -> Reading {
        let reading = match self {
            Self::Folder(reader) => reader.read(look).await,
            Self::Remote(reader) => reader.read(look).await,
        };
        reading.unwrap_or_else(Reading::Unreadable)
    }
}

/// Reads the index and every manifest once, for a check before the service runs. What is refused is in the reading.
pub async fn look_once(origin: &Origin, fetcher: &Fetcher) -> Reading {
    Reader::new(origin, fetcher.clone()).read(OriginLook::default()).await
}

/// Looks at the origin at every interval, and whenever it is woken; the first time at once. Ends with the writer.
pub async fn run(origin: Origin, fetcher: Fetcher, handle: Handle, wake: Arc<Notify>, metrics: Arc<Metrics>) {
    let poll: Duration = origin.poll;
    let mut reader = Reader::new(&origin, fetcher);
    while let Some(look) = handle.begin_look().await {
        let reading = reader.read(look).await;
        metrics.origin_polls.with_label_values(&[outcome(&reading)]).inc();
        handle.tell(Fact::Origin(reading)).await;
        tokio::select! {
            () = wake.notified() => {}
            () = sleep(poll) => {}
        }
    }
}

/// A look as the metrics tell it.
fn outcome(reading: &Reading) -> &'static str {
    match reading {
        Reading::Listing(_) => "ok",
        Reading::Unreadable(why) if matches!(why.reason, OriginFault::Unreadable | OriginFault::Invalid) => {
            "unreadable"
        }
        Reading::Unreadable(_) | Reading::WentBack(_) => "refused",
    }
}

/// A signature's file: its bytes, `None` where there is none, or why it cannot be read.
type SignatureFile = Result<Option<Bytes>, String>;

/// A file of the origin as it was read, with its signature where keys are trusted.
struct Signed {
    body: Bytes,
    signature: Option<SignatureFile>,
}

impl Signed {
    /// What the file is signed as; `None` where no signature is asked for.
    fn comment(&self, name: &str, keys: &TrustedKeys) -> Result<Option<TrustedComment>, OriginRefusal> {
        let Some(file) = &self.signature else { return Ok(None) };
        let beside = format!("{name}{SIGNATURE_SUFFIX}");
        let bytes = match file {
            Ok(Some(bytes)) => bytes,
            Ok(None) => {
                let detail = format!("there is no {beside}, and origin.trusted_keys asks for one");
                return Err(OriginRefusal { reason: OriginFault::Unsigned, detail });
            }
            Err(why) => return Err(unreadable(format!("{beside} cannot be read: {why}"))),
        };
        let comment = keys.verify(&self.body, bytes).map_err(|why| OriginRefusal {
            reason: OriginFault::BadSignature,
            detail: format!("{beside} {why}"),
        })?;
        Ok(Some(comment))
    }

    /// The index, where it is signed as it should be.
    fn index(self, keys: &TrustedKeys) -> Result<ParsedIndex, OriginRefusal> {
        let comment = self.comment(INDEX_FILE, keys)?;
        let parsed = Index::parse(&self.body).map_err(|error| OriginRefusal {
            reason: OriginFault::Invalid,
            detail: format!("{INDEX_FILE}: {error}"),
        })?;
        let sequence = parsed.index.sequence;
        match comment {
            Some(comment) if !comment.names_index(sequence) => {
                Err(for_another(&comment, &TrustedComment::of_index(sequence)))
            }
            _ => Ok(parsed),
        }
    }

    /// A manifest, held against its signature and what the index says of it; `known` is the digest of the one that is
    /// known there.
    fn manifest(self, sha256: Option<Sha256>, known: Option<Sha256>, keys: &TrustedKeys) -> Listed {
        if known.is_some_and(|known| {
            sha256.is_none_or(|sha256| sha256 == known) && Sha256::of(&self.body) == known
        }) {
            return Listed::Unchanged;
        }
        self.believed(sha256, keys).map_or_else(Listed::Refused, Listed::Read)
    }

    fn believed(self, sha256: Option<Sha256>, keys: &TrustedKeys) -> Result<ReadManifest, OriginRefusal> {
        let comment = self.comment(MANIFEST_FILE, keys)?;
        let read = ReadManifest::parse(self.body)
            .map_err(|detail| OriginRefusal { reason: OriginFault::Invalid, detail })?;
        if sha256.is_some_and(|expected| expected != read.sha256) {
            let detail = format!("its SHA-256 is {}, the index says otherwise", read.sha256);
            return Err(OriginRefusal { reason: OriginFault::WrongDigest, detail });
        }
        let (product, version) = (&read.manifest.product, &read.manifest.version);
        match comment {
            Some(comment) if !comment.names_release(product, version) => {
                Err(for_another(&comment, &TrustedComment::of_release(product, version)))
            }
            _ => Ok(read),
        }
    }
}

fn for_another(found: &TrustedComment, expected: &TrustedComment) -> OriginRefusal {
    let detail = format!("its signature is good, but of {found}; this one's trusted comment is {expected}");
    OriginRefusal { reason: OriginFault::SignatureForAnother, detail }
}

/// It cannot be read at all.
fn unreadable(detail: impl Into<String>) -> OriginRefusal {
    OriginRefusal { reason: OriginFault::Unreadable, detail: detail.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_odd_about_an_index_is_said_once() {
        let mut notes = Notes::default();
        let odd = br#"{ "schema": 1, "sequence": 3, "manifests": [], "odd": 1 }"#;
        assert_eq!(notes.heed(Index::parse(odd).unwrap()).sequence, 3);
        assert_eq!(notes.0.len(), 1);
        notes.heed(Index::parse(br#"{ "schema": 1, "sequence": 4, "manifests": [] }"#).unwrap());
        assert!(notes.0.is_empty());
    }
}
