//! What a path means: steps 5 to 9 of the room's list.

use std::borrow::Cow;
use std::sync::Arc;

use percent_encoding::percent_decode_str;

use crate::catalog::versionless;
use crate::model::AssetIndex;
use crate::model::Platform;
use crate::snapshot::{CatalogView, ProductView, ReleaseView, WithdrawnView};

use super::query::Query;

/// The path as text.
///
/// `None` where it is not UTF-8 after decoding, or holds control characters or a backslash.
pub fn decode(path: &str) -> Option<Cow<'_, str>> {
    // Nearly every path is visible ASCII that stands for itself. Found out without an early end, so that many bytes are
    // looked at at once.
    let plain = |byte: u8| (0x21..0x7f).contains(&byte) & (byte != b'%') & (byte != b'\\');
    if path.bytes().fold(true, |all, byte| all & plain(byte)) {
        return Some(path.into());
    }
    let text = if path.contains('%') { percent_decode_str(path).decode_utf8().ok()? } else { path.into() };
    (!text.contains(|c: char| c.is_control() || c == '\\')).then_some(text)
}

/// What a path leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// The file itself.
    File(AssetIndex),
    /// `<hex>  <name>` of one file.
    Sha256(AssetIndex),
    /// Metalink of one file.
    Metalink(AssetIndex),
    /// The checksums of all files.
    Sums,
    /// The version as text.
    VersionText,
}

impl Target {
    /// The file that it is about.
    pub fn asset(self) -> Option<AssetIndex> {
        match self {
            Self::File(asset) | Self::Sha256(asset) | Self::Metalink(asset) => Some(asset),
            Self::Sums | Self::VersionText => None,
        }
    }
}

/// A path that leads somewhere.
#[derive(Debug, Clone, Copy)]
pub struct Found<'s> {
    /// The product.
    pub product: &'s ProductView,
    /// The channel, where the path names one.
    pub channel: Option<usize>,
    /// The release.
    pub release: &'s Arc<ReleaseView>,
    /// What of it.
    pub target: Target,
}

/// What a path means.
#[derive(Debug, Clone, Copy)]
pub enum Meaning<'s> {
    /// Something of a release.
    Release(Found<'s>),
    /// A product's releases.
    Releases(&'s ProductView),
    /// Every host that a redirect can lead to.
    Hosts,
}

/// A path that leads nowhere, and how far it came.
#[derive(Debug, Clone, Copy)]
pub struct Missing<'s> {
    /// The product, where the path names one.
    pub product: Option<&'s ProductView>,
    /// The channel, where the path names one.
    pub channel: Option<usize>,
    /// Why.
    pub why: Why<'s>,
}

/// Why a path leads nowhere.
#[derive(Debug, Clone, Copy)]
pub enum Why<'s> {
    /// Nothing is called so.
    NotFound,
    /// A channel that points nowhere yet.
    NotReady,
    /// `install` without a platform.
    NoPlatform,
    /// The release is withdrawn; and which asset of its replacement is like the one that was asked for.
    Withdrawn(&'s WithdrawnView, Option<AssetIndex>),
    /// The same, and what to take instead is not for this caller.
    WithdrawnAlone(&'s WithdrawnView),
}

impl Missing<'_> {
    /// Looks for what was asked for in the replacement of a withdrawn release: the same name, or the same without the
    /// versions.
    fn or_in_replacement(mut self, name: &str, query: Query<'_>) -> Self {
        if let Why::Withdrawn(withdrawn, asset) = &mut self.why
            && let Some(replacement) = &withdrawn.replacement
        {
            let asset_of = |name: &str| find(replacement, name, true, query)?.asset();
            let short = || versionless(name, withdrawn.version.bare());
            *asset = asset_of(name).or_else(|| asset_of(&short()?));
        }
        self
    }
}

/// Finds what a decoded path means.
pub fn resolve<'s>(
    catalog: &'s CatalogView,
    path: &str,
    query: Query<'_>,
) -> Result<Meaning<'s>, Missing<'s>> {
    let missing = Missing { product: None, channel: None, why: Why::NotFound };
    let path = path.strip_prefix('/').ok_or(missing)?;
    let Some((product, path)) = cut(path) else {
        return if path == "hosts.json" { Ok(Meaning::Hosts) } else { Err(missing) };
    };
    resolve_within(catalog.products.get(product).ok_or(missing)?, path, query)
}

/// Finds what a decoded path means that stands below a product's name.
pub fn resolve_within<'s>(
    product: &'s ProductView,
    path: &str,
    query: Query<'_>,
) -> Result<Meaning<'s>, Missing<'s>> {
    let missing = Missing { product: Some(product), channel: None, why: Why::NotFound };
    let Some((selector, name)) = cut(path) else {
        return match path {
            "install" => install(product, query).map(Meaning::Release),
            "releases.json" => Ok(Meaning::Releases(product)),
            _ => Err(missing),
        };
    };
    let (release, channel) =
        select(product, selector).map_err(|missing| missing.or_in_replacement(name, query))?;
    let missing = Missing { channel, ..missing };
    let target = find(release, name, channel.is_some(), query).ok_or(missing)?;
    Ok(Meaning::Release(Found { product, channel, release, target }))
}

/// The version or channel of a product that a decoded path names, whether or not there is one.
pub fn selector<'p>(path: &'p str, product: &str, query: Query<'p>) -> Option<Cow<'p, str>> {
    let (_, rest) = cut(path.strip_prefix('/')?).filter(|(named, _)| *named == product)?;
    match cut(rest) {
        Some((selector, _)) => Some(selector.into()),
        None => query.first("version").filter(|_| rest == "install"),
    }
}

/// What stands before the first slash, and what after it. Segments are short: a search made for long texts costs more.
fn cut(path: &str) -> Option<(&str, &str)> {
    let at = path.bytes().position(|byte| byte == b'/')?;
    Some((&path[..at], &path[at + 1..]))
}

/// The release that a version, a channel or `latest` means.
fn select<'s>(
    product: &'s ProductView,
    selector: &str,
) -> Result<(&'s Arc<ReleaseView>, Option<usize>), Missing<'s>> {
    if let Some(release) = product.release(selector) {
        return Ok((release, None));
    }
    let missing = |channel, why| Missing { product: Some(product), channel, why };
    let withdrawn = |view: &'s Arc<WithdrawnView>| Why::Withdrawn(view, None);
    let Some(at) = product.channel(selector) else {
        return Err(missing(None, product.withdrawn(selector).map_or(Why::NotFound, withdrawn)));
    };
    let channel = &product.channels[at];
    let nowhere = || missing(Some(at), channel.gone.as_ref().map_or(Why::NotReady, withdrawn));
    Ok((channel.target.as_ref().ok_or_else(nowhere)?, Some(at)))
}

fn install<'s>(product: &'s ProductView, query: Query<'_>) -> Result<Found<'s>, Missing<'s>> {
    let version = query.first("version").filter(|v| !v.is_empty()).unwrap_or("latest".into());
    let missing = |channel, why| Missing { product: Some(product), channel, why };
    let platform = query.first("platform").filter(|p| !p.is_empty());
    let platform = platform.ok_or_else(|| missing(product.channel(&version), Why::NoPlatform))?;
    let (release, channel) =
        select(product, &version).map_err(|missing| missing.or_in_replacement(&platform, query))?;
    let asset = by_platform(release, &platform, query).ok_or(missing(channel, Why::NotFound))?;
    Ok(Found { product, channel, release, target: Target::File(asset) })
}

/// What a name within a release means. A published asset of the very name wins over everything derived.
fn find(release: &ReleaseView, name: &str, by_channel: bool, query: Query<'_>) -> Option<Target> {
    let release_of = &release.release;
    if let Some(asset) = release_of.by_name(name) {
        return Some(Target::File(asset));
    }
    let file = |name: &str| {
        let short = || if by_channel { release_of.by_versionless(name) } else { None };
        release_of.by_name(name).or_else(short).or_else(|| by_platform(release, name, query))
    };
    match name {
        "SHA256SUMS" => return Some(Target::Sums),
        "version.txt" => return Some(Target::VersionText),
        _ => {}
    }
    if let Some(asset) = file(name) {
        return Some(Target::File(asset));
    }
    if let Some(asset) = name.strip_suffix(".sha256").and_then(file) {
        return Some(Target::Sha256(asset));
    }
    name.strip_suffix(".meta4").and_then(file).map(Target::Metalink)
}

fn by_platform(release: &ReleaseView, text: &str, query: Query<'_>) -> Option<AssetIndex> {
    let platform = Platform::parse(text)?;
    release.release.by_platform(&platform, query.first("kind").as_deref())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The same, character by character.
    fn decoded(path: &str) -> Option<String> {
        let text = String::from_utf8(percent_encoding::percent_decode_str(path).collect()).ok()?;
        text.chars().all(|c| !c.is_control() && c != '\\').then_some(text)
    }

    proptest::proptest! {
        #[test]
        fn a_path_is_decoded_the_same_whether_it_is_plain_or_not(path in "(/|[a-z0-9.+-]{0,20}|%[0-9a-fA-F]{2}|\\PC|.){0,12}") {
            assert_eq!(decode(&path).as_deref(), decoded(&path).as_deref());
        }
    }
}
