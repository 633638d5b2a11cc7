//! Layout templates such as `v{version}/{asset}`.

use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};

use super::values::{Layout, LayoutPart};

/// Longest template, in bytes.
const TEMPLATE_MAX: usize = 1024;
/// What RFC 3986 section 3.3 does not allow in a path; `%` is not among them, so that text which is encoded already
/// stays as it is.
const ENCODED: &AsciiSet =
    &CONTROLS.add(b' ').add(b'"').add(b'<').add(b'>').add(b'[').add(b']').add(b'^').add(b'`').add(b'|');

/// Reads a template. The error says what is wrong with it.
pub(super) fn parse(template: &str) -> Result<Layout, String> {
    if template.len() > TEMPLATE_MAX {
        return Err(format!("is longer than {TEMPLATE_MAX} bytes"));
    }
    if let Some(bad) = template.chars().find(|c| matches!(c, '?' | '#' | '\\') || c.is_control()) {
        return Err(format!("holds {bad:?}, which a path must not"));
    }
    if template.starts_with('/') {
        return Err("begins with a slash, but the mirror's url ends with one already".into());
    }
    for segment in template.split('/') {
        let decoded = percent_decode_str(segment).decode_utf8_lossy();
        if matches!(&*decoded, "" | "." | "..") {
            return Err("has an empty segment, \".\" or \"..\"".into());
        }
    }
    let parts = parts(template)?;
    for (part, name) in [(LayoutPart::Version, "version"), (LayoutPart::Asset, "asset")] {
        if !parts.contains(&part) {
            return Err(format!("lacks {{{name}}}, so different files would have one URL"));
        }
    }
    Ok(Layout(parts))
}

fn parts(template: &str) -> Result<Vec<LayoutPart>, String> {
    let mut parts = Vec::new();
    let mut rest = template;
    while !rest.is_empty() {
        let (text, after) = rest.split_once('{').map_or((rest, None), |(text, after)| (text, Some(after)));
        if text.contains('}') {
            return Err("has a } without its {".into());
        }
        if !text.is_empty() {
            parts.push(LayoutPart::Literal(encoded(text)));
        }
        let Some(after) = after else { break };
        let (name, after) = after.split_once('}').ok_or("has a { without its }")?;
        parts.push(match name {
            "product" => LayoutPart::Product,
            "version" => LayoutPart::Version,
            "asset" => LayoutPart::Asset,
            other => return Err(format!("has an unknown placeholder {:?}", format!("{{{other}}}"))),
        });
        rest = after;
    }
    Ok(parts)
}

/// The text as it stands in a URL: escapes stay, a lone `%` becomes `%25`.
fn encoded(text: &str) -> String {
    let mut pieces = text.split('%');
    let mut url = utf8_percent_encode(pieces.next().unwrap_or_default(), ENCODED).to_string();
    for piece in pieces {
        let is_escape = piece.len() >= 2 && piece.bytes().take(2).all(|b| b.is_ascii_hexdigit());
        url.push_str(if is_escape { "%" } else { "%25" });
        url.extend(utf8_percent_encode(piece, ENCODED));
    }
    url
}
