//! Names beside the canonical ones: further hosts, and links that were published before. Where none is configured, a
//! request pays two branches for them.

use http::HeaderMap;
use http::header::HOST;
use rustc_hash::FxHashMap;

use crate::model::Version;
use crate::snapshot::{CatalogView, HostView, Snapshot};

use super::answer::Inquiry;
use super::query::Query;
use super::resolve::{Meaning, Missing, Why, decode, resolve, resolve_within, selector};

/// Finds what a decoded path means on the host that the request is for; where that is nothing, by the aliases.
pub fn find<'s>(
    snapshot: &'s Snapshot,
    inquiry: &Inquiry<'_>,
    path: &str,
    query: Query<'_>,
) -> Result<Meaning<'s>, Missing<'s>> {
    let (settings, catalog) = (&*snapshot.settings, &*snapshot.catalog);
    let host = if settings.hosts.is_empty() { None } else { host(&settings.hosts, inquiry) };
    let found = match host {
        None => resolve(catalog, path, query),
        Some(host) => resolve_on(host, catalog, path, query),
    };
    match found {
        Err(Missing { why: Why::NotFound, .. }) if !settings.aliases.is_empty() => {}
        found => return found,
    }
    let canonical = host.and_then(|host| canonical(host, path));
    let paths = [canonical.as_deref().unwrap_or(path), path];
    let paths = if canonical.is_some() { &paths[..] } else { &paths[1..] };
    let mut guarded = None;
    let meaning = |path: &str| match resolve(catalog, path, query) {
        Err(missing @ Missing { why: Why::NotFound, .. }) => {
            // Nor is it for everybody to know where an old link leads nowhere.
            let is_guarded = missing.product.is_some_and(|product| product.guard.is_some());
            guarded = guarded.or(is_guarded.then_some(missing));
            None
        }
        found => Some(found),
    };
    let meant = settings.aliases.find(paths, meaning);
    meant.or(guarded.map(Err)).unwrap_or(found)
}

/// The version for which a product is asked by name, whether or not there is one.
pub fn version_asked(
    snapshot: &Snapshot,
    inquiry: &Inquiry<'_>,
    product: &str,
    query: Query<'_>,
) -> Option<Version> {
    let settings = &*snapshot.settings;
    let path = decode(inquiry.uri.path())?;
    let canonical = host(&settings.hosts, inquiry).and_then(|host| canonical(host, &path));
    let asked = |path: &str| Version::parse(&selector(path, product, query)?).ok();
    let canonical = canonical.as_deref().unwrap_or(&path);
    asked(canonical).or_else(|| settings.aliases.find(&[canonical, &path], asked))
}

/// The configured host on which links have to be told for the names of that host: where there is no public URL that
/// they could begin with.
pub fn linking<'s>(snapshot: &'s Snapshot, inquiry: &Inquiry<'_>) -> Option<&'s HostView> {
    let settings = &*snapshot.settings;
    if settings.hosts.is_empty() || !settings.public_url.is_empty() {
        return None;
    }
    host(&settings.hosts, inquiry)
}

/// The configured host that a request is for: by `:authority` or an absolute request target, else by the Host header
/// (RFC 9112 section 3.2).
fn host<'s>(hosts: &'s FxHashMap<Box<str>, HostView>, inquiry: &Inquiry<'_>) -> Option<&'s HostView> {
    let name = inquiry.uri.host().or_else(|| host_header(inquiry.headers))?;
    let name = name.strip_suffix('.').unwrap_or(name);
    if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return hosts.get(&*name.to_ascii_lowercase());
    }
    hosts.get(name)
}

/// The Host header without its port.
fn host_header(headers: &HeaderMap) -> Option<&str> {
    let text = headers.get(HOST)?.to_str().ok()?;
    let is_port = |port: &str| port.bytes().all(|byte| byte.is_ascii_digit());
    Some(text.rsplit_once(':').filter(|(_, port)| is_port(port)).map_or(text, |(host, _)| host))
}

/// The path below the host's prefix; begins with `/`.
fn below<'p>(host: &HostView, path: &'p str) -> Option<&'p str> {
    path.strip_prefix(&*host.prefix).filter(|rest| rest.starts_with('/'))
}

/// What a path means on a configured host. A product's own host leaves the product out.
fn resolve_on<'s>(
    host: &HostView,
    catalog: &'s CatalogView,
    path: &str,
    query: Query<'_>,
) -> Result<Meaning<'s>, Missing<'s>> {
    let missing = Missing { product: None, channel: None, why: Why::NotFound };
    let path = below(host, path).ok_or(missing)?;
    match &host.product {
        Some(product) if path != "/hosts.json" => {
            resolve_within(catalog.products.get(product).ok_or(missing)?, &path[1..], query)
        }
        _ => resolve(catalog, path, query),
    }
}

/// The path as it would be on the service's first name.
fn canonical(host: &HostView, path: &str) -> Option<String> {
    let path = below(host, path)?;
    Some(match &host.product {
        Some(product) => format!("/{product}{path}"),
        None => path.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_read_without_its_port() {
        for (line, host) in [
            ("get.example.com", "get.example.com"),
            ("get.example.com:8443", "get.example.com"),
            ("get.example.com:", "get.example.com"),
            ("[::1]", "[::1]"),
            ("[::1]:80", "[::1]"),
            ("a:b", "a:b"),
            (":80", ""),
        ] {
            let headers = HeaderMap::from_iter([(HOST, line.parse().unwrap())]);
            assert_eq!(host_header(&headers), Some(host), "{line}");
        }
        assert_eq!(host_header(&HeaderMap::new()), None);
    }
}
