//! `[[alias]]` and `[[host]]`: names that existed before, and further ones.

use percent_encoding::percent_decode_str;
use url::Url;

use super::document::{Documents, Unique};
use super::reader::Section;
use super::value::{Value, quoted};
use super::values::{Alias, Host, Placeholder, Template, TemplatePart};

/// Most aliases, and most hosts.
const ENTRIES_MAX: usize = 1000;
/// Longest template and prefix, in bytes.
const PATH_MAX: usize = 1024;

const HOLES: [(&str, Placeholder); 5] = [
    ("product", Placeholder::Product),
    ("version", Placeholder::Version),
    ("channel", Placeholder::Channel),
    ("platform", Placeholder::Platform),
    ("asset", Placeholder::Asset),
];

/// Every `[[alias]]`.
pub(super) fn aliases(documents: &mut Documents<'_>) -> Vec<Alias> {
    documents.tables("alias", ENTRIES_MAX).into_iter().filter_map(alias).collect()
}

fn alias(mut section: Section<'_>) -> Option<Alias> {
    let spot = section.spot.clone();
    let from =
        section.require("from", "\"/pub/{product}-{version}-{platform}.tar.gz\"", |v| template(v, matchable));
    let to = section.require("to", "\"/{product}/{version}/{platform}\"", |v| template(v, Ok));
    section.finish();
    let (from, to) = (from?, to?);
    let given: Vec<Placeholder> = holes(&from).collect();
    if let Some(lacking) = holes(&to).find(|hole| !given.contains(hole)) {
        let message = format!("`to` uses {{{}}}, and `from` does not have it", name_of(lacking));
        return spot.refuse(message, "use it in both, or write out what it stands for");
    }
    Some(Alias { from, to })
}

fn holes(template: &Template) -> impl Iterator<Item = Placeholder> {
    template.0.iter().filter_map(|part| match part {
        TemplatePart::Hole(hole) => Some(*hole),
        TemplatePart::Literal(_) => None,
    })
}

fn name_of(placeholder: Placeholder) -> &'static str {
    HOLES.iter().find(|(_, hole)| *hole == placeholder).map_or("", |(name, _)| name)
}

fn template(value: Value<'_>, check: impl FnOnce(Template) -> Result<Template, String>) -> Option<Template> {
    let text = value.text("a path such as \"/pub/{product}-{version}.tar.gz\"")?;
    match parse(text).and_then(check) {
        Ok(template) => Some(template),
        Err(why) => {
            let remedy =
                "write a path from /, with {product}, {version}, {channel}, {platform} and {asset} in it";
            value.spot().refuse(format!("{} {why}", quoted(text)), remedy)
        }
    }
}

fn parse(text: &str) -> Result<Template, String> {
    let mut parts = Vec::new();
    let mut rest = text;
    check_path(text)?;
    while let Some((before, after)) = rest.split_once('{') {
        let (name, tail) = after.split_once('}').ok_or("has a { without its }")?;
        let hole = HOLES.iter().find(|(known, _)| *known == name);
        let (_, hole) = hole.ok_or_else(|| format!("has an unknown placeholder {{{name}}}"))?;
        parts.extend(literal(before)?);
        parts.push(TemplatePart::Hole(*hole));
        rest = tail;
    }
    parts.extend(literal(rest)?);
    Ok(Template(parts))
}

/// What stands between placeholders.
fn literal(text: &str) -> Result<Option<TemplatePart>, String> {
    if text.contains('}') {
        return Err("has a } without its {".to_owned());
    }
    Ok((!text.is_empty()).then_some(TemplatePart::Literal(decoded(text)?)))
}

fn check_path(text: &str) -> Result<(), String> {
    if text.len() > PATH_MAX {
        return Err(format!("is longer than {PATH_MAX} bytes"));
    }
    if !text.starts_with('/') {
        return Err("does not begin with a slash".to_owned());
    }
    match text.chars().find(|c| matches!(c, '?' | '#' | '\\') || c.is_control()) {
        Some(bad) => Err(format!("holds {bad:?}, which a path must not")),
        None => Ok(()),
    }
}

/// Requests are compared after their escapes were read, so these are read too.
fn decoded(text: &str) -> Result<String, String> {
    let text = percent_decode_str(text).decode_utf8().map_err(|_| "has escapes that are not UTF-8")?;
    if text.contains(|c: char| c.is_control() || c == '\\') {
        return Err("has an escape that no request's path may hold".to_owned());
    }
    Ok(text.into_owned())
}

/// Whether a path can be taken apart by the template: each placeholder once, with something between any two.
fn matchable(template: Template) -> Result<Template, String> {
    for (at, part) in template.0.iter().enumerate() {
        let TemplatePart::Hole(hole) = part else { continue };
        match template.0.get(at + 1) {
            Some(TemplatePart::Hole(_)) => {
                return Err("has two placeholders with nothing between them".to_owned());
            }
            Some(_) if template.0[at + 1..].contains(part) => {
                return Err(format!("has {{{}}} twice", name_of(*hole)));
            }
            Some(_) | None => {}
        }
    }
    Ok(template)
}

/// Every `[[host]]`. `public` is the name that links in answers have, so it cannot mean something else.
pub(super) fn hosts(documents: &mut Documents<'_>, public: Option<&Url>) -> Vec<Host> {
    let mut names = Unique::default();
    let sections = documents.tables("host", ENTRIES_MAX).into_iter();
    sections.filter_map(|section| host(section, public, &mut names)).collect()
}

fn host(mut section: Section<'_>, public: Option<&Url>, names: &mut Unique) -> Option<Host> {
    let spot = section.spot.clone();
    let name = section.require("name", "\"get.example.com\"", |value| {
        let spot = value.spot().clone();
        let text = value.text("\"get.example.com\"")?;
        let Some(name) = host_name(text) else {
            let remedy = "write it without scheme, port and path: \"get.example.com\"";
            return spot.refuse(format!("{} is no host name", quoted(text)), remedy);
        };
        names.claim(&spot, &name).map(|()| name)
    });
    let product = section.get("product", |v| v.parsed("\"tool\""));
    let prefix = section.get("prefix", |value| {
        let text = value.text("\"/releases\"")?.trim_end_matches('/');
        let prefix =
            if text.is_empty() { Ok(String::new()) } else { check_path(text).and_then(|()| decoded(text)) };
        prefix
            .map_err(|why| {
                value
                    .spot()
                    .refuse::<()>(format!("{} {why}", quoted(text)), "write it from /, such as \"/releases\"")
            })
            .ok()
    });
    section.finish();
    let host = Host { name: name?, product, prefix: prefix.unwrap_or_default() };
    if public.and_then(Url::host_str) == Some(&host.name)
        && (host.product.is_some() || !host.prefix.is_empty())
    {
        return spot.refuse(
            "is the host of server.public_url, whose paths are in the links of every answer",
            "use another name, or leave out product and prefix",
        );
    }
    Some(host)
}

/// As it stands in a request: in lower case, other letters in punycode, addresses in their one spelling (and IPv6 in
/// brackets).
fn host_name(text: &str) -> Option<String> {
    let text = text.strip_suffix('.').unwrap_or(text);
    let name = url::Host::parse(text).ok()?.to_string();
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':' | '[' | ']');
    let labels = name.starts_with('[') || name.split('.').all(|label| (1..=63).contains(&label.len()));
    (labels && name.len() <= 253 && name.chars().all(fits)).then_some(name)
}
