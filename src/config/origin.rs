//! `[origin]`, `[geoip]` and `[outgoing]`: what the service reads and how it asks for it.

use std::path::PathBuf;
use std::time::Duration;

use url::Url;

use super::reader::{Section, Spot};
use super::value::{Value, quoted};
use super::values::{GeoIp, MinisignKey, Origin, OriginAt, Outgoing};

/// Most GeoIP files of one kind.
const DATABASES_MAX: usize = 16;

/// `[origin]`; and where `serve = true` stands, if it does. `None` where the URL is missing or bad.
pub(super) fn origin<'a>(mut section: Section<'a>) -> Option<(Origin, Option<Spot<'a>>)> {
    let at = section.require("url", "\"https://origin.example.com/releases/\" or a folder", place);
    let poll = section
        .get("poll", |v| v.duration(Duration::from_millis(10)..=Duration::from_secs(86_400)))
        .unwrap_or(Duration::from_secs(30));
    let serve = section.take("serve").and_then(|value| {
        let spot = value.spot().clone();
        value.boolean()?.then_some(spot)
    });
    let trusted_keys = section.get("trusted_keys", |v| v.one_or_list(minisign_key)).unwrap_or_default();
    section.finish();
    Some((Origin { at: at?, poll, trusted_keys }, serve))
}

fn minisign_key(value: Value<'_>) -> Option<MinisignKey> {
    let text = value.text("\"RWQ…\", the second line of a minisign .pub file")?.trim();
    MinisignKey::parse(text).or_else(|| {
        value.spot().refuse(
            format!("{} is no minisign public key", quoted(text)),
            "write the second line of the .pub file, which begins with RW",
        )
    })
}

fn place(value: Value<'_>) -> Option<OriginAt> {
    let text = value.text("a folder or an http(s) URL in quotes")?;
    match text.split_once("://").map(|(scheme, _)| scheme.to_ascii_lowercase()).as_deref() {
        Some("http" | "https") => Some(OriginAt::Url(value.base_url()?)),
        Some("file") => {
            let folder = Url::parse(text).ok().filter(plain).and_then(|url| url.to_file_path().ok());
            match folder {
                Some(folder) => Some(OriginAt::Folder(folder)),
                None => value
                    .spot()
                    .refuse("is no URL of a folder here", "write file:///absolute/path, or the path alone"),
            }
        }
        Some(_) => {
            value.spot().refuse("has a scheme that is not known", "write a folder, or an http or https URL")
        }
        None => Some(OriginAt::Folder(value.path()?)),
    }
}

fn plain(url: &Url) -> bool {
    url.query().is_none() && url.fragment().is_none()
}

/// `[geoip]`
pub(super) fn geoip(mut section: Section<'_>) -> GeoIp {
    let mut files = |key| section.get(key, databases).unwrap_or_default();
    let geoip = GeoIp { city: files("city"), asn: files("asn") };
    section.finish();
    geoip
}

fn databases(value: Value<'_>) -> Option<Vec<PathBuf>> {
    let spot = value.spot().clone();
    let files = value.one_or_list(Value::path)?;
    if files.len() > DATABASES_MAX {
        return spot.refuse(format!("names more than {DATABASES_MAX} files"), "remove some");
    }
    Some(files)
}

/// `[outgoing]`
pub(super) fn outgoing(mut section: Section<'_>) -> Outgoing {
    let outgoing = Outgoing {
        ca_file: section.get("ca_file", Value::path_or_none),
        proxy: section.get("proxy", proxy),
        max_redirects: section.get("max_redirects", |v| v.integer(0..=20)).unwrap_or(3),
    };
    section.finish();
    outgoing
}

fn proxy(value: Value<'_>) -> Option<Url> {
    if value.as_str() == Some("") {
        return None;
    }
    let http = |text: &str| text.to_ascii_lowercase().starts_with("http://");
    if value.as_str().is_some_and(|text| !http(text)) {
        return value.spot().refuse("is not an http URL", "write it like \"http://proxy.example.net:3128\"");
    }
    value.host_url()
}
