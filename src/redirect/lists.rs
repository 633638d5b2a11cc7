//! Answers from the catalogue: checksums, the version, Metalinks and lists of mirrors.

use std::fmt::Write;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, VARY};
use http::{HeaderValue, Response};
use serde::Serialize;

use crate::catalog::{Asset, Release};
use crate::model::{MirrorId, MirrorName, ProductName, RegionName, Version};
use crate::snapshot::{ProductView, Snapshot};

use super::answer::Inquiry;
use super::body::Body;
use super::exports::{Everything, releases_json};
use super::headers::{own_url, url_for};
use super::tools::follows_links;

/// Most mirrors of a list: nobody tries more, and answers stay small.
pub const LISTED_MAX: usize = 50;

pub(super) fn ok(snapshot: &Snapshot, content_type: &'static str, body: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(Body::new(body.into()));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, snapshot.settings.cache_control.clone());
    headers.insert(VARY, HeaderValue::from_static("Accept"));
    response
}

pub(super) const TEXT: &str = "text/plain; charset=utf-8";

/// `<hex>  <name>`, as `sha256sum -c` reads it beside the file.
pub fn sha256(snapshot: &Snapshot, asset: &Asset) -> Response<Body> {
    ok(snapshot, TEXT, format!("{}  {}\n", asset.sha256, asset.file_name()))
}

/// One such line for every asset, names with their folders.
pub fn sums(snapshot: &Snapshot, release: &Release) -> Response<Body> {
    ok(snapshot, TEXT, release.sums())
}

/// The version, as published.
pub fn version(snapshot: &Snapshot, release: &Release) -> Response<Body> {
    ok(snapshot, TEXT, format!("{}\n", release.id.version))
}

/// A product's releases.
pub fn releases(snapshot: &Snapshot, product: &ProductView) -> Response<Body> {
    let document = product.listings.everything(|| releases_json(product, &Everything));
    ok(snapshot, "application/json", document)
}

/// Every host that a redirect can lead to.
pub fn hosts(snapshot: &Snapshot) -> Response<Body> {
    ok(snapshot, "application/json", snapshot.hosts.clone())
}

/// The client's mirrors, best first, one URL a line.
pub fn mirrors_text(
    snapshot: &Snapshot,
    inquiry: &Inquiry<'_>,
    release: &Release,
    asset: &Asset,
    ranked: &[MirrorId],
) -> Response<Body> {
    let mut text = String::new();
    for id in ranked {
        text.push_str(&url_for(inquiry, snapshot.mirrors.get(*id), release, asset));
        text.push('\n');
    }
    ok(snapshot, TEXT, text)
}

/// `?mirrors`
#[derive(Serialize)]
struct MirrorList<'a> {
    product: &'a ProductName,
    version: &'a Version,
    name: &'a str,
    size: u64,
    sha256: String,
    /// Best first.
    mirrors: Vec<MirrorLine<'a>>,
}

#[derive(Serialize)]
struct MirrorLine<'a> {
    name: &'a MirrorName,
    url: String,
    /// From 1.
    priority: usize,
    region: Option<&'a RegionName>,
    country: Option<String>,
}

/// The client's mirrors, best first, as JSON.
pub fn mirrors_json(
    snapshot: &Snapshot,
    inquiry: &Inquiry<'_>,
    release: &Release,
    asset: &Asset,
    ranked: &[MirrorId],
) -> Response<Body> {
    let line = |(priority, id): (usize, &MirrorId)| {
        let mirror = snapshot.mirrors.get(*id);
        MirrorLine {
            name: &mirror.name,
            url: url_for(inquiry, mirror, release, asset),
            priority,
            region: mirror.region.map(|region| &snapshot.settings.regions[region.index()]),
            country: mirror.country.map(|country| country.to_string()),
        }
    };
    let list = MirrorList {
        product: &release.id.product,
        version: &release.id.version,
        name: &asset.name,
        size: asset.size,
        sha256: asset.sha256.to_string(),
        mirrors: (1..).zip(ranked).map(line).collect(),
    };
    // Numbers, texts and lists of them can always be written.
    let mut text = serde_json::to_vec_pretty(&list).unwrap_or_default();
    text.push(b'\n');
    ok(snapshot, "application/json", text)
}

/// Metalink 4 (RFC 5854) with size, hashes and the client's mirrors. The canonical URL is listed last: it always works.
///
/// wget2 takes what stands in `<url>` for the URL, whatever XML says of `&amp;`, and would ask the mirror for that again and
/// again. It is given URLs as they are: no XML, but what it reads.
pub fn metalink(
    snapshot: &Snapshot,
    inquiry: &Inquiry<'_>,
    release: &Release,
    asset: &Asset,
    ranked: &[MirrorId],
) -> Response<Body> {
    let mut xml = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    // Writing to a String cannot fail.
    let _ = writeln!(xml, "<metalink xmlns=\"urn:ietf:params:xml:ns:metalink\">");
    let _ = writeln!(xml, "  <generator>waypost/{}</generator>", env!("CARGO_PKG_VERSION"));
    let _ = writeln!(xml, "  <file name=\"{}\">", escape(asset.file_name()));
    let _ = writeln!(xml, "    <identity>{}</identity>", escape(&release.id.product));
    let _ = writeln!(xml, "    <version>{}</version>", escape(release.id.version.as_str()));
    let _ = writeln!(xml, "    <size>{}</size>", asset.size);
    let _ = writeln!(xml, "    <hash type=\"sha-256\">{}</hash>", asset.sha256);
    if let Some(sha512) = &asset.sha512 {
        let _ = writeln!(xml, "    <hash type=\"sha-512\">{sha512}</hash>");
    }
    let written = |url: String| if follows_links(inquiry.headers) { url } else { escape(&url) };
    for (priority, id) in (1..).zip(ranked) {
        let mirror = snapshot.mirrors.get(*id);
        let location = mirror.country.map(|c| format!(" location=\"{}\"", c.as_str().to_ascii_lowercase()));
        let url = written(url_for(inquiry, mirror, release, asset));
        let location = location.unwrap_or_default();
        let _ = writeln!(xml, "    <url{location} priority=\"{priority}\">{url}</url>");
    }
    if !snapshot.settings.public_url.is_empty() {
        let canonical = written(own_url(snapshot, None, release, asset));
        let _ = writeln!(xml, "    <url priority=\"999999\">{canonical}</url>");
    }
    xml.push_str("  </file>\n</metalink>\n");
    ok(snapshot, "application/metalink4+xml", xml)
}

/// Text as it may stand in XML and HTML.
pub(super) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
