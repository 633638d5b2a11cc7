//! A target that is S3-compatible storage.
//!
//! A file is brought into the work folder and hashed there before anything of it is sent; an object appears under its name
//! only when it is complete, and carries its digest as `x-amz-meta-waypost-sha256`, so that the next run knows it without
//! reading it.

mod credentials;
mod store;
mod upload;

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use data_encoding::HEXLOWER;
use rusty_s3::{Bucket, Credentials, UrlStyle};
use url::Url;

use super::target::{Standing, TargetError};
use super::wanted::{Plan, TargetPath, Wanted};
use super::workshop::{Mark, Workshop};
use crate::fetch::{Fetcher, Pace};
use crate::model::Sha256;

pub use credentials::read as read_credentials;
pub use store::StoreError;
use store::{Seen, Store};

/// Why a place in S3 cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BadS3 {
    /// Not what it should look like.
    #[error("{0:?} is no place in S3: write s3://BUCKET or s3://BUCKET/PREFIX")]
    Place(String),
    /// The endpoint does not go with the bucket.
    #[error("{endpoint} and the bucket {bucket:?} make no URL: {why}; --path-style may help")]
    Endpoint {
        /// The endpoint.
        endpoint: String,
        /// The bucket.
        bucket: String,
        /// Why not.
        why: String,
    },
    /// No credentials, or unreadable ones.
    #[error("{0}")]
    Credentials(String),
    /// A region that cannot be part of AWS's endpoint.
    #[error("{0:?} is no region; name the service with --endpoint")]
    Region(String),
    /// No folder for files on their way.
    #[error("name a folder for files on their way with --work: there is no cache folder (HOME is not set)")]
    NoWork,
}

/// Which files are sent in parts, and how large the parts are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Uploads {
    /// Larger files are sent in parts, in bytes.
    pub whole_max: u64,
    /// The least size of a part but the last, in bytes; S3 wants 5 MiB at least.
    pub part: u64,
}

impl Default for Uploads {
    /// 64 MiB whole, parts of 16 MiB.
    fn default() -> Self {
        Self { whole_max: 64 << 20, part: 16 << 20 }
    }
}

/// A place in S3-compatible storage.
#[derive(Debug, Clone)]
pub struct S3Place {
    /// The bucket.
    pub bucket: String,
    /// What comes before every key, without a slash at its end; may be empty.
    pub prefix: String,
    /// Where the service is, http or https.
    pub endpoint: Url,
    /// Its region.
    pub region: String,
    /// Whether the bucket is part of the path, not of the host's name.
    pub path_style: bool,
    /// Who asks.
    pub credentials: Credentials,
    /// How fast it may be sent.
    pub pace: Pace,
    /// Which files are sent in parts.
    pub uploads: Uploads,
}

impl S3Place {
    /// Reads `s3://BUCKET/PREFIX`.
    ///
    /// # Errors
    ///
    /// Where it is anything else, or the prefix is no path.
    pub fn parse(text: &str) -> Result<(String, String), BadS3> {
        let bad = || BadS3::Place(text.to_owned());
        let rest = text.strip_prefix("s3://").ok_or_else(bad)?;
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let prefix = prefix.trim_end_matches('/');
        if TargetPath::new(bucket).is_err() || (!prefix.is_empty() && TargetPath::new(prefix).is_err()) {
            return Err(bad());
        }
        Ok((bucket.to_owned(), prefix.to_owned()))
    }

    /// AWS's endpoint in a region.
    ///
    /// # Errors
    ///
    /// Where the region cannot be part of a host's name.
    pub fn amazon(region: &str) -> Result<Url, BadS3> {
        let plain = region.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        let url = plain.then(|| format!("https://s3.{region}.amazonaws.com").parse().ok()).flatten();
        url.ok_or_else(|| BadS3::Region(region.to_owned()))
    }

    fn bucket(&self) -> Result<Bucket, BadS3> {
        let style = if self.path_style { UrlStyle::Path } else { UrlStyle::VirtualHost };
        let bucket = Bucket::new(self.endpoint.clone(), style, self.bucket.clone(), self.region.clone());
        bucket.map_err(|error| BadS3::Endpoint {
            endpoint: self.endpoint.to_string(),
            bucket: self.bucket.clone(),
            why: error.to_string(),
        })
    }
}

/// A place in S3, its work folder, and what was listed there.
pub(super) struct S3 {
    store: Store,
    prefix: String,
    pub(super) workshop: Workshop,
    uploads: Uploads,
    listed: Mutex<HashMap<TargetPath, Seen>>,
}

impl S3 {
    pub fn open(place: S3Place, work: &Path, fetcher: Fetcher, only_look: bool) -> Result<Self, TargetError> {
        let bucket = place.bucket()?;
        let prefix = if place.prefix.is_empty() { String::new() } else { format!("{}/", place.prefix) };
        // A folder for each target, so that one work folder serves several.
        let whole = bucket.object_url(&prefix);
        let name = HEXLOWER.encode(&Sha256::of(whole.as_str().as_bytes()).as_bytes()[..8]);
        let workshop = Workshop::open(work.join(name), only_look)?;
        let store = Store { bucket, credentials: place.credentials, fetcher, pace: place.pace };
        Ok(Self { store, prefix, workshop, uploads: place.uploads, listed: Mutex::default() })
    }

    /// Lists the place, and ends uploads that nobody goes on with.
    pub async fn survey(&self, plan: &Arc<Plan>, check: bool) -> Result<Vec<Standing>, TargetError> {
        let mut listed = HashMap::new();
        for (key, seen) in self.store.list(&self.prefix).await? {
            // Other keys were never written from here, and are nobody's business.
            if let Some(path) = key.strip_prefix(&self.prefix).and_then(|path| TargetPath::new(path).ok()) {
                listed.insert(path, seen);
            }
        }
        let standing = |wanted: &Wanted| match listed.get(&wanted.path) {
            Some(Seen { size, etag }) if *size == wanted.size => match etag {
                Some(etag) if !check && self.workshop.knows(&wanted.path, &mark(etag, wanted)) => {
                    Standing::Right
                }
                _ => Standing::Doubtful,
            },
            _ => Standing::Missing,
        };
        let standings = plan.files().iter().map(standing).collect();
        *self.listed() = listed;
        Ok(standings)
    }

    /// Whether the object there says that it is the wanted one.
    pub async fn is_right(&self, wanted: &Wanted) -> Result<bool, TargetError> {
        let Some(head) = self.store.head(&self.key(&wanted.path)).await? else { return Ok(false) };
        let right = head.size == Some(wanted.size) && head.sha256 == Some(wanted.sha256);
        if let (true, Some(etag)) = (right, &head.etag) {
            self.workshop.remember(&wanted.path, mark(etag, wanted));
        }
        Ok(right)
    }

    /// Sends a part, and removes it here when the object is there.
    pub async fn place(
        &self,
        wanted: &Wanted,
        part: &Path,
        told: &(dyn Fn(u64) + Sync),
    ) -> Result<(), TargetError> {
        let key = self.key(&wanted.path);
        if wanted.size <= self.uploads.whole_max {
            self.store.put(&key, part, wanted.size, wanted.sha256).await?;
            told(wanted.size);
        } else {
            self.send_in_parts(wanted, &key, part, told).await?;
        }
        if !self.is_right(wanted).await? {
            return Err(StoreError::Odd(format!("{key} was sent, and is not what is there then")).into());
        }
        tokio::fs::remove_file(part).await.map_err(|error| TargetError::io("remove", part, error))
    }

    /// Of what was listed, what should not be there.
    pub fn strays(&self, plan: &Plan) -> Vec<TargetPath> {
        let listed = self.listed();
        let mut found: Vec<TargetPath> = listed.keys().filter(|path| plan.is_stray(path)).cloned().collect();
        found.sort();
        found
    }

    pub async fn remove(&self, path: &TargetPath) -> Result<(), TargetError> {
        self.store.delete(&self.key(path)).await?;
        self.workshop.forget(path);
        Ok(())
    }

    fn key(&self, path: &TargetPath) -> String {
        format!("{}{path}", self.prefix)
    }

    fn listed(&self) -> MutexGuard<'_, HashMap<TargetPath, Seen>> {
        self.listed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn mark(etag: &str, wanted: &Wanted) -> Mark {
    Mark::new(wanted.size, etag.to_owned(), wanted.sha256)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_a_bucket_and_perhaps_a_prefix() {
        let parse = |text| S3Place::parse(text).ok();
        let place = |bucket: &str, prefix: &str| Some((bucket.to_owned(), prefix.to_owned()));
        assert_eq!(parse("s3://b"), place("b", ""));
        assert_eq!(parse("s3://b/"), place("b", ""));
        assert_eq!(parse("s3://b/a/c/"), place("b", "a/c"));
        for bad in ["s3://", "s3:///a", "b/a", "s3://b/../c", "s3://b//c", "s3://../c"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
