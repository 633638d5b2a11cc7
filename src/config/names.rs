//! `[[alias]]` and `[[host]]`: names that existed before, and further ones.

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
    let from = section.require("from", "\"/pub/{product}-{version}-{platform}.tar.gz\"", template);
    let to = section.require("to", "\"/{product}/{version}/{platform}\"", template);
    section.finish();
    let (from, to) = (from?, to?);
    let given: Vec<Placeholder> = holes(&from).collect();
    if let Some(lacking) = holes(&to).find(|hole| !given.contains(hole)) {
        let name = HOLES.iter().find(|(_, hole)| *hole == lacking).map_or("", |(name, _)| name);
        return spot.refuse(format!("`to` uses {{{name}}}, and `from` does not have it"), "use it in both");
    }
    Some(Alias { from, to })
}

fn holes(template: &Template) -> impl Iterator<Item = Placeholder> {
    template.0.iter().filter_map(|part| match part {
        TemplatePart::Hole(hole) => Some(*hole),
        TemplatePart::Literal(_) => None,
    })
}

fn template(value: Value<'_>) -> Option<Template> {
    let text = value.text("a path such as \"/pub/{product}-{version}.tar.gz\"")?;
    match parse(text) {
        Ok(template) => Some(template),
        Err(why) => {
            let remedy = "write a path from /, with {product}, {version}, {channel}, {platform} and {asset}, each once";
            value.spot().refuse(format!("{} {why}", quoted(text)), remedy)
        }
    }
}

fn parse(text: &str) -> Result<Template, String> {
    if !text.starts_with('/') || text.len() > PATH_MAX || text.chars().any(|c| c.is_control() || c == '\\') {
        return Err("is no path".to_owned());
    }
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some((literal, after)) = rest.split_once('{') {
        let (name, tail) = after.split_once('}').ok_or("has a { without its }")?;
        let hole = HOLES.iter().find(|(known, _)| *known == name);
        let (_, hole) = hole.ok_or_else(|| format!("has an unknown placeholder {{{name}}}"))?;
        if parts.contains(&TemplatePart::Hole(*hole)) {
            return Err(format!("has {{{name}}} twice"));
        }
        if literal.is_empty() && matches!(parts.last(), Some(TemplatePart::Hole(_))) {
            return Err("has two placeholders with nothing between them".to_owned());
        }
        if !literal.is_empty() {
            parts.push(TemplatePart::Literal(literal.to_owned()));
        }
        parts.push(TemplatePart::Hole(*hole));
        rest = tail;
    }
    if rest.contains('}') {
        return Err("has a } without its {".to_owned());
    }
    if !rest.is_empty() {
        parts.push(TemplatePart::Literal(rest.to_owned()));
    }
    Ok(Template(parts))
}

/// Every `[[host]]`.
pub(super) fn hosts(documents: &mut Documents<'_>) -> Vec<Host> {
    let mut names = Unique::default();
    documents
        .tables("host", ENTRIES_MAX)
        .into_iter()
        .filter_map(|section| host(section, &mut names))
        .collect()
}

fn host(mut section: Section<'_>, names: &mut Unique) -> Option<Host> {
    let name = section.require("name", "\"get.example.com\"", |value| {
        let spot = value.spot().clone();
        let text = value.text("\"get.example.com\"")?.to_ascii_lowercase();
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_' | ':' | '[' | ']');
        let with_port =
            text.rsplit_once(':').is_some_and(|(host, _)| !host.contains(':') || host.ends_with(']'));
        if text.is_empty() || text.len() > 253 || !text.chars().all(fits) || with_port {
            return spot
                .refuse("is no host name", "write it without scheme, port and path: \"get.example.com\"");
        }
        names.claim(&spot, &text).map(|()| text)
    });
    let product = section.get("product", |v| v.parsed("\"tool\""));
    let prefix = section.get("prefix", |value| {
        let text = value.text("\"/releases\"")?.trim_end_matches('/');
        let bad = |c: char| c.is_control() || matches!(c, '\\' | '?' | '#' | '{' | '}');
        if !text.is_empty() && !text.starts_with('/') || text.len() > PATH_MAX || text.contains(bad) {
            return value.spot().refuse("is no path", "write it from /, such as \"/releases\"");
        }
        Some(text.to_owned())
    });
    section.finish();
    Some(Host { name: name?, product, prefix: prefix.unwrap_or_default() })
}
