//! Large files in parts, continued where they were interrupted.
//!
//! Which parts are there is kept in the work folder, not asked for: not every store lists parts with their ETags.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use http::{Method, StatusCode};
use rusty_s3::actions::{CompleteMultipartUploadResponse, CreateMultipartUpload};
use serde::{Deserialize, Serialize};

use super::S3;
use super::store::{Ask, StoreError, about, etag, odd, refused, text};
use crate::fetch::Payload;
use crate::replicate::target::TargetError;
use crate::replicate::wanted::Wanted;
use crate::replicate::workshop::write_atomically;

/// Largest note of an upload that is read, in bytes: an ETag for each part.
const NOTE_MAX: u64 = 16 << 20;
/// Most parts of an object.
const PARTS_MAX: u64 = 10_000;

/// An upload that has begun.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Upload {
    key: String,
    size: u64,
    sha256: String,
    part: u64,
    id: String,
    /// Of the parts that are there, from the first on.
    etags: Vec<String>,
}

impl S3 {
    /// Sends a file in parts.
    pub(super) async fn send_in_parts(
        &self,
        wanted: &Wanted,
        key: &str,
        path: &Path,
        told: &(dyn Fn(u64) + Sync),
    ) -> Result<(), TargetError> {
        let note = self.note_of(path)?;
        if let Some(upload) = read(&note).filter(|upload| self.continues(upload, wanted, key)) {
            match self.go_on(upload, &note, path, told).await {
                // Forgotten there, or ended by a run that died before it noticed.
                Err(TargetError::Store(error)) if error.is_refusal() => {}
                ended => return ended,
            }
            remove(&note)?;
            if self.is_right(wanted).await? {
                return Ok(());
            }
        }
        let mut action = self.store.bucket.create_multipart_upload(Some(&self.store.credentials), key);
        let ask = Ask { headers: about(wanted.sha256), ..Ask::plain(Method::POST) };
        let (_, body) = self.store.ask(&mut action, &ask).await?;
        let created = CreateMultipartUpload::parse_response(text(&body)?).map_err(odd)?;
        let upload = Upload {
            key: key.to_owned(),
            size: wanted.size,
            sha256: wanted.sha256.to_string(),
            part: self.part_size(wanted.size),
            id: created.upload_id().to_owned(),
            etags: Vec::new(),
        };
        write(&note, &upload)?;
        self.go_on(upload, &note, path, told).await
    }

    /// Sends the parts that are missing, and ends the upload.
    async fn go_on(
        &self,
        mut upload: Upload,
        note: &Path,
        path: &Path,
        told: &(dyn Fn(u64) + Sync),
    ) -> Result<(), TargetError> {
        let credentials = Some(&self.store.credentials);
        let mut from = (upload.etags.len() as u64 * upload.part).min(upload.size);
        told(from);
        while from < upload.size {
            let length = upload.part.min(upload.size - from);
            let number = u16::try_from(upload.etags.len() + 1).map_err(odd)?;
            let mut action = self.store.bucket.upload_part(credentials, &upload.key, number, &upload.id);
            let payload = Payload::File { path, from, length };
            let ask = Ask { payload, ..Ask::plain(Method::PUT) };
            let (headers, _) = self.store.ask(&mut action, &ask).await?;
            upload.etags.push(etag(&headers).ok_or_else(|| odd("a part without an ETag"))?);
            write(note, &upload)?;
            from += length;
            told(length);
        }
        let complete = || {
            let etags = upload.etags.iter().map(String::as_str);
            self.store.bucket.complete_multipart_upload(credentials, &upload.key, &upload.id, etags)
        };
        let payload = Payload::Bytes(Bytes::from(complete().body()));
        let ask = Ask { payload, ..Ask::plain(Method::POST) };
        let (_, body) = self.store.ask(&mut complete(), &ask).await?;
        // S3 answers 200 before it knows how it ends.
        if CompleteMultipartUploadResponse::parse(text(&body)?).is_err() {
            return Err(refused(StatusCode::OK, &body).into());
        }
        remove(note)
    }

    /// Ends uploads of other files than those with these parts, so that what was sent is not paid for.
    pub(in crate::replicate) async fn end_stale_uploads(
        &self,
        parts: &HashSet<PathBuf>,
    ) -> Result<(), TargetError> {
        let room = self.workshop.room("uploads")?;
        let current: HashSet<PathBuf> = parts.iter().map(|part| note(&room, part)).collect();
        let failed = |error| TargetError::io("list", &room, error);
        for entry in fs::read_dir(&room).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            if current.contains(&path) {
                continue;
            }
            // A note that was being written when a process died may be of an upload that goes on.
            let is_whole = path.extension().is_none();
            if let Some(upload) = read(&path).filter(|_| is_whole) {
                self.abort(&upload).await?;
            }
            remove(&path)?;
        }
        Ok(())
    }

    async fn abort(&self, upload: &Upload) -> Result<(), StoreError> {
        let credentials = Some(&self.store.credentials);
        let mut action = self.store.bucket.abort_multipart_upload(credentials, &upload.key, &upload.id);
        match self.store.ask(&mut action, &Ask::plain(Method::DELETE)).await {
            // It is gone already.
            Err(error) if error.is_refusal() => Ok(()),
            ended => ended.map(drop),
        }
    }

    fn part_size(&self, size: u64) -> u64 {
        size.div_ceil(PARTS_MAX).next_multiple_of(1 << 20).max(self.uploads.part)
    }

    fn continues(&self, upload: &Upload, wanted: &Wanted, key: &str) -> bool {
        upload.key == key
            && upload.size == wanted.size
            && upload.sha256 == wanted.sha256.to_string()
            && upload.part == self.part_size(wanted.size)
            && upload.etags.len() as u64 <= PARTS_MAX
    }

    /// What is known of a file's upload lies in a file of the same name as its part.
    fn note_of(&self, part: &Path) -> Result<PathBuf, TargetError> {
        Ok(note(&self.workshop.room("uploads")?, part))
    }
}

fn note(room: &Path, part: &Path) -> PathBuf {
    room.join(part.file_name().unwrap_or_default())
}

/// `None` where nothing is known, or nothing that makes sense.
fn read(path: &Path) -> Option<Upload> {
    let mut text = Vec::new();
    File::open(path).ok()?.take(NOTE_MAX).read_to_end(&mut text).ok()?;
    serde_json::from_slice(&text).ok()
}

fn write(path: &Path, upload: &Upload) -> Result<(), TargetError> {
    let text = serde_json::to_vec(upload).map_err(odd)?;
    write_atomically(path, &text).map_err(|error| TargetError::io("write", path, error))
}

fn remove(path: &Path) -> Result<(), TargetError> {
    fs::remove_file(path).map_err(|error| TargetError::io("remove", path, error))
}
