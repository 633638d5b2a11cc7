//! A mirror for the demonstration: files of a folder over HTTP, with what download tools ask for.

use std::fs::Metadata;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::header::{
    ACCEPT_RANGES, ALLOW, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, IF_RANGE, LAST_MODIFIED, RANGE,
};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use percent_encoding::percent_decode_str;
use tokio::fs::File;
use tokio::io::{AsyncRead, AsyncSeekExt, ReadBuf};

use crate::server::{Connection, Handler};

/// Bytes read at once.
const CHUNK: usize = 128 * 1024;

/// Serves a folder's files: GET and HEAD, `ETag`, `Last-Modified`, one range (RFC 9110 section 14).
#[derive(Debug)]
pub struct StaticServer {
    root: PathBuf,
}

impl StaticServer {
    /// Serves what lies in `root`.
    pub fn new(root: PathBuf) -> Self {
        Self { root }
    }

    async fn answer(&self, request: &Request<Incoming>) -> io::Result<Response<FileBody>> {
        if request.method() != Method::GET && request.method() != Method::HEAD {
            let mut response = status_only(StatusCode::METHOD_NOT_ALLOWED);
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return Ok(response);
        }
        let Some(path) = inside(&self.root, request.uri().path()) else {
            return Ok(status_only(StatusCode::NOT_FOUND));
        };
        let mut file = File::open(&path).await?;
        let about = file.metadata().await?;
        if !about.is_file() {
            return Ok(status_only(StatusCode::NOT_FOUND));
        }
        let (length, marks) = (about.len(), Validators::of(&about));
        let asked = asked_range(request.headers(), &marks, length);
        let (status, range) = match &asked {
            Asked::Whole => (StatusCode::OK, 0..length),
            Asked::Part(range) => (StatusCode::PARTIAL_CONTENT, range.clone()),
            Asked::Beyond => (StatusCode::RANGE_NOT_SATISFIABLE, 0..0),
        };
        let size = range.end - range.start;
        let body = if request.method() == Method::HEAD || size == 0 {
            FileBody::default()
        } else {
            file.seek(io::SeekFrom::Start(range.start)).await?;
            FileBody::new(file, size)
        };
        let mut response = Response::new(body);
        *response.status_mut() = status;
        let headers = response.headers_mut();
        match asked {
            Asked::Whole => {}
            Asked::Part(Range { start, end }) => {
                set(headers, CONTENT_RANGE, &format!("bytes {start}-{}/{length}", end - 1));
            }
            Asked::Beyond => set(headers, CONTENT_RANGE, &format!("bytes */{length}")),
        }
        headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        headers.insert(CONTENT_LENGTH, HeaderValue::from(size));
        let is_text = path.extension().is_some_and(|extension| extension == "txt" || extension == "csv");
        let kind = if is_text { "text/plain; charset=utf-8" } else { "application/octet-stream" };
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        set(headers, ETAG, &marks.etag);
        set(headers, LAST_MODIFIED, &marks.last_modified);
        Ok(response)
    }
}

impl Handler for StaticServer {
    type Body = FileBody;

    fn handle(
        self: &Arc<Self>,
        request: Request<Incoming>,
        _: &Connection,
    ) -> impl Future<Output = Response<FileBody>> + Send + Unpin + use<> {
        let server = Arc::clone(self);
        Box::pin(async move {
            server.answer(&request).await.unwrap_or_else(|error| match error.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => status_only(StatusCode::NOT_FOUND),
                _ => status_only(StatusCode::INTERNAL_SERVER_ERROR),
            })
        })
    }
}

fn set(headers: &mut HeaderMap, name: http::HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

fn status_only(status: StatusCode) -> Response<FileBody> {
    let mut response = Response::new(FileBody::default());
    *response.status_mut() = status;
    response
}

/// The file that a path names; `None` where the path leads out of the folder or is none.
fn inside(root: &Path, path: &str) -> Option<PathBuf> {
    let path = percent_decode_str(path.strip_prefix('/')?).decode_utf8().ok()?;
    let plain = |segment: &str| !matches!(segment, "" | "." | "..") && !segment.contains(['\0', '\\']);
    path.split('/').all(plain).then(|| root.join(&*path))
}

/// What tells one state of a file from another.
struct Validators {
    etag: String,
    last_modified: String,
}

impl Validators {
    fn of(about: &Metadata) -> Self {
        let modified = about.modified().unwrap_or(UNIX_EPOCH);
        let nanos = modified.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
        // A date of the future would be no validator (RFC 9110 section 8.8.2.1).
        let date = httpdate::fmt_http_date(modified.clamp(UNIX_EPOCH, SystemTime::now().max(UNIX_EPOCH)));
        Self { etag: format!("\"{nanos:x}-{:x}\"", about.len()), last_modified: date }
    }
}

/// What of a file is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Asked {
    Whole,
    /// At least one byte.
    Part(Range<u64>),
    Beyond,
}

fn asked_range(headers: &HeaderMap, marks: &Validators, length: u64) -> Asked {
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let same = text(IF_RANGE).is_none_or(|mark| mark == marks.etag || mark == marks.last_modified);
    match text(RANGE) {
        Some(range) if same => parse_range(range, length),
        _ => Asked::Whole,
    }
}

/// One range of `bytes=`; what is not understood, several ranges among it, is answered with the whole file.
fn parse_range(text: &str, length: u64) -> Asked {
    let Some((first, last)) = text.strip_prefix("bytes=").and_then(|range| range.trim().split_once('-'))
    else {
        return Asked::Whole;
    };
    let number = |text: &str| text.parse::<u64>().ok();
    let range = match (number(first), number(last)) {
        (Some(first), None) if last.is_empty() => first..length,
        (Some(first), Some(last)) if first <= last => first..last.saturating_add(1).min(length),
        (None, Some(suffix)) if first.is_empty() => length.saturating_sub(suffix)..length,
        _ => return Asked::Whole,
    };
    if range.start >= range.end { Asked::Beyond } else { Asked::Part(range) }
}

/// A part of a file, read as it is sent.
#[derive(Debug, Default)]
pub struct FileBody {
    file: Option<File>,
    left: u64,
    buffer: Vec<u8>,
}

impl FileBody {
    fn new(file: File, left: u64) -> Self {
        Self { file: Some(file), left, buffer: vec![0; CHUNK] }
    }
}

impl Body for FileBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let Self { file: Some(file), left, buffer } = &mut *self else { return Poll::Ready(None) };
        if *left == 0 {
            return Poll::Ready(None);
        }
        let wanted = CHUNK.min(usize::try_from(*left).unwrap_or(CHUNK));
        let mut read = ReadBuf::new(&mut buffer[..wanted]);
        ready!(Pin::new(file).poll_read(cx, &mut read))?;
        if read.filled().is_empty() {
            // The file became shorter; what was promised cannot be kept.
            return Poll::Ready(Some(Err(io::ErrorKind::UnexpectedEof.into())));
        }
        *left -= read.filled().len() as u64;
        Poll::Ready(Some(Ok(Frame::data(Bytes::copy_from_slice(read.filled())))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_never_leads_out_of_the_folder() {
        let root = Path::new("/srv");
        assert_eq!(inside(root, "/a/b%20c"), Some("/srv/a/b c".into()));
        for bad in
            ["", "/", "a", "//a", "/../a", "/%2e%2e/a", "/a/..%2f..", "/a//b", "/a%00", "/%ff", "/a%5cb"]
        {
            assert_eq!(inside(root, bad), None, "{bad}");
        }
    }

    #[test]
    fn ranges_are_read_as_the_standard_says() {
        for (text, asked) in [
            ("bytes=0-0", Asked::Part(0..1)),
            ("bytes=2-", Asked::Part(2..10)),
            ("bytes=-3", Asked::Part(7..10)),
            ("bytes=-30", Asked::Part(0..10)),
            ("bytes=8-99", Asked::Part(8..10)),
            ("bytes=10-", Asked::Beyond),
            ("bytes=-0", Asked::Beyond),
            ("bytes=5-4", Asked::Whole),
            ("bytes=0-1,4-5", Asked::Whole),
            ("bytes=-", Asked::Whole),
            ("items=0-1", Asked::Whole),
        ] {
            assert_eq!(parse_range(text, 10), asked, "{text}");
        }
        assert_eq!(parse_range("bytes=0-", 0), Asked::Beyond);
    }

    #[test]
    fn a_range_of_another_state_of_the_file_is_the_whole_file() {
        let marks = Validators { etag: "\"1\"".into(), last_modified: "then".into() };
        let headers = |mark: &str| {
            [(RANGE, "bytes=1-2"), (IF_RANGE, mark)]
                .map(|(n, v)| (n, v.parse().unwrap()))
                .into_iter()
                .collect()
        };
        assert_eq!(asked_range(&headers("\"1\""), &marks, 10), Asked::Part(1..3));
        assert_eq!(asked_range(&headers("\"2\""), &marks, 10), Asked::Whole);
    }
}
