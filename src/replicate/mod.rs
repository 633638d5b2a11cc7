//! Copies what a mirror should hold from the origin to a folder or to S3-compatible storage.
//!
//! A [`Plan`] says which files are wanted where; a [`Courier`] brings each into a part file, hashed while it is written and
//! continued where it was interrupted; a [`Target`] gives it its name when it is whole and right. Nothing else ever gets a
//! final name, so that a process that dies at any moment leaves the old file or the new one, and perhaps a part that the
//! next run continues.
//!
//! Within a release a file that belongs to another (`tool.tar.gz.sha256`, `SHA256SUMS`) comes after it, and is held back
//! where that one failed: a sidecar that is there implies its file.

mod courier;
mod folder;
mod order;
mod run;
mod s3;
mod target;
mod wanted;
mod workshop;

pub use courier::Courier;
pub use run::{Options, Outcome, Summary, Watch, run};
pub use s3::{BadS3, S3Place, Uploads, read_credentials};
pub use target::{Target, TargetError};
pub use wanted::{BadPath, Plan, Source, TargetPath, Wanted};
