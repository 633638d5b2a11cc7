//! What a mirror is to hold, in the forms that replicators read.

use std::fmt::Write;

use http::header::CONTENT_TYPE;
use http::{HeaderValue, Response, Uri};
use serde::{Serialize, Serializer};
use url::Url;

use crate::health::CopyState;
use crate::model::{MirrorName, ProductName, TierName};
use crate::workers::replication::{MirrorFiles, UnwantedRelease, WantedFile, lies_as_at_origin};

use super::{Admin, Body, Refusal, no, product, query};

/// In which form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    /// Everything that is known of each file.
    Json,
    /// Paths below the origin, one a line.
    List,
    /// The same for `rsync --files-from=-`.
    Rsync,
    /// Where the files can be fetched from: a list of mirrors as apt-transport-mirror(1) reads it.
    Apt,
}

/// Which of a mirror's files.
#[derive(Debug)]
struct Filter {
    /// Only those that are not verified there.
    missing: bool,
    /// Only those of this product.
    product: Option<ProductName>,
}

impl Filter {
    fn files<'a>(&self, all: &'a MirrorFiles) -> impl Iterator<Item = WantedFile<'a>> {
        all.files().filter(|file| {
            let of_product = |product: &ProductName| file.release.id.product == *product;
            (!self.missing || file.state != CopyState::Verified)
                && self.product.as_ref().is_none_or(of_product)
        })
    }
}

impl Admin {
    /// `?format=json` (the default), `list`, `rsync` or `apt`; `&missing=true`; `&product=NAME`.
    pub(super) async fn files(&self, mirror: MirrorName, uri: &Uri) -> Result<Response<Body>, Refusal> {
        let format = match query(uri, "format").as_deref() {
            None | Some("json") => Format::Json,
            Some("list") => Format::List,
            Some("rsync") => Format::Rsync,
            Some("apt") => Format::Apt,
            Some(_) => return Err(Refusal::BadRequest("format is json, list, rsync or apt".to_owned())),
        };
        let missing = match query(uri, "missing").as_deref() {
            None | Some("false" | "0") => false,
            Some("" | "true" | "1") => true,
            Some(_) => return Err(Refusal::BadRequest("missing is true or false".to_owned())),
        };
        let product = query(uri, "product").map(|name| product(&name)).transpose()?;
        let files = self.handle.files(&mirror).await;
        let files = files.ok_or_else(|| Refusal::Unavailable("the service is stopping".to_owned()))?;
        let files = files.ok_or_else(|| no("mirror", &mirror))?;
        let filter = Filter { missing, product };
        // A large catalogue makes a long text: away from the threads that answer.
        let text = tokio::task::spawn_blocking(move || text(format, &files, &filter)).await;
        let text = text.map_err(|error| Refusal::Unavailable(format!("the list failed: {error}")))??;
        let mut response = Response::new(Body::from(text));
        let kind = match format {
            Format::Json => "application/json",
            Format::List | Format::Rsync | Format::Apt => "text/plain; charset=utf-8",
        };
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        Ok(response)
    }
}

fn text(format: Format, files: &MirrorFiles, filter: &Filter) -> Result<String, Refusal> {
    match format {
        Format::Json => Ok(json(files, filter)),
        Format::List => Ok(lines(filter.files(files).map(|file| file.origin_path()))),
        Format::Rsync if lies_as_at_origin(&files.layout) => {
            Ok(lines(filter.files(files).map(|file| unlike_a_comment(file.origin_path()))))
        }
        Format::Rsync => Err(Refusal::Conflict(format!(
            "rsync copies files to the same paths, and the layout of mirror {} is another one than the origin's; \
             format=json names both paths of each file",
            files.mirror
        ))),
        Format::Apt => apt(files),
    }
}

fn lines(paths: impl Iterator<Item = String>) -> String {
    // A name holds no control character, so each is a line.
    paths.fold(String::new(), |text, path| text + &path + "\n")
}

/// rsync takes a line that begins with `#` or `;` for a comment.
fn unlike_a_comment(path: String) -> String {
    if path.starts_with(['#', ';']) { format!("./{path}") } else { path }
}

fn apt(files: &MirrorFiles) -> Result<String, Refusal> {
    let origin = files.origin.iter().filter(|origin| !files.sources.contains(origin));
    let mut text = String::new();
    for (priority, source) in (1..).zip(files.sources.iter().chain(origin)) {
        // Writing to a text does not fail.
        let _ = writeln!(text, "{source}\tpriority:{priority}");
    }
    match text.is_empty() {
        false => Ok(text),
        true => Err(Refusal::Conflict(format!(
            "no other mirror in rotation holds all that {} is to hold, and the origin is a folder",
            files.mirror
        ))),
    }
}

#[derive(Serialize)]
struct Page<'a> {
    mirror: &'a MirrorName,
    tier: &'a TierName,
    #[serde(serialize_with = "each_file")]
    files: (&'a MirrorFiles, &'a Filter),
    bytes: u64,
    unwanted: Vec<&'a UnwantedRelease>,
}

#[derive(Serialize)]
struct File<'a> {
    path: String,
    origin: String,
    url: Option<String>,
    size: u64,
    sha256: String,
    product: &'a str,
    version: &'a str,
    asset: &'a str,
    state: &'static str,
}

fn json(files: &MirrorFiles, filter: &Filter) -> String {
    let of_product =
        |release: &&UnwantedRelease| filter.product.as_ref().is_none_or(|p| release.product == *p);
    let page = Page {
        mirror: &files.mirror,
        tier: &files.tier,
        files: (files, filter),
        bytes: filter.files(files).map(|file| file.asset.size).fold(0, u64::saturating_add),
        unwanted: files.unwanted.iter().filter(of_product).collect(),
    };
    let mut text = serde_json::to_string(&page).unwrap_or_default();
    text.push('\n');
    text
}

/// One file after the other, so that they are never all in memory beside the text.
fn each_file<S: Serializer>((all, filter): &(&MirrorFiles, &Filter), to: S) -> Result<S::Ok, S::Error> {
    to.collect_seq(filter.files(all).map(|file| line(&file, all)))
}

fn line<'a>(file: &WantedFile<'a>, all: &MirrorFiles) -> File<'a> {
    let WantedFile { release, asset, state } = *file;
    File {
        path: file.path(&all.layout),
        origin: file.origin_path(),
        url: all.origin.as_ref().map(|origin: &Url| file.url(origin)),
        size: asset.size,
        sha256: asset.sha256.to_string(),
        product: &release.id.product,
        version: release.id.version.as_str(),
        asset: &asset.name,
        state: match state {
            CopyState::Verified => "verified",
            CopyState::Pending => "pending",
            CopyState::Missing => "missing",
            CopyState::Corrupt => "corrupt",
        },
    }
}
