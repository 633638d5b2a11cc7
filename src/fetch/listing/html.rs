//! The links of a line of HTML, as far as listings need it: a scanner that goes over each byte once.

/// A link, and the size that follows the last one of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Link {
    /// Where it leads, entities resolved.
    pub href: String,
    /// The exact size that the line gives.
    pub size: Option<u64>,
}

/// The links of one line.
pub(super) fn links(line: &str) -> Vec<Link> {
    let mut links = Vec::new();
    let mut rest = line;
    while let Some(at) = rest.find('<') {
        rest = &rest[at + 1..];
        let Some(attributes) = rest.strip_prefix(['a', 'A']) else { continue };
        if !attributes.starts_with(|c: char| c.is_ascii_whitespace()) {
            continue;
        }
        let Some((href, after)) = href(attributes) else { break };
        links.extend(href.map(|href| Link { href: resolved(href), size: None }));
        rest = after;
    }
    if let Some(last) = links.last_mut() {
        last.size = line.rsplit_once("</a>").and_then(|(_, after)| exact_size(after));
    }
    links
}

/// Date, time and a plain number of bytes, and nothing else: nginx, and Apache for small files. Rounded sizes (`1.2K`) tell
/// nothing, and a number after more words is part of a description.
fn exact_size(after: &str) -> Option<u64> {
    let mut words = after.split_ascii_whitespace();
    let (date, time, size) = (words.next()?, words.next()?, words.next()?);
    let is_moment = date.matches('-').count() == 2 && time.contains(':');
    let is_number = size.bytes().all(|b| b.is_ascii_digit());
    (is_moment && is_number && words.next().is_none()).then(|| size.parse().ok())?
}

/// The value of `href` among a tag's attributes, and what follows the tag; `None` where the tag does not end.
fn href(mut text: &str) -> Option<(Option<&str>, &str)> {
    let mut found = None;
    loop {
        text = text.trim_start();
        if let Some(after) = text.strip_prefix('>') {
            return Some((found, after));
        }
        let end = text.find(|c: char| c.is_ascii_whitespace() || c == '=' || c == '>')?;
        let (name, after) = text.split_at(end);
        text = after.trim_start();
        let Some(value) = text.strip_prefix('=') else {
            continue;
        };
        let value = value.trim_start();
        let (value, after) = match value.chars().next()? {
            quote @ ('"' | '\'') => value[1..].split_once(quote)?,
            _ => value.split_at(value.find(|c: char| c.is_ascii_whitespace() || c == '>')?),
        };
        if name.eq_ignore_ascii_case("href") {
            found = found.or(Some(value));
        }
        text = after;
    }
}

/// Longest entity that is looked for, in bytes.
const ENTITY_MAX: usize = 10;

/// The text with its entities resolved; those that servers do not write stay as they are.
fn resolved(text: &str) -> String {
    let mut pieces = text.split('&');
    let mut out = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let end = piece.bytes().take(ENTITY_MAX).position(|b| b == b';');
        match end.and_then(|end| Some((entity(&piece[..end])?, &piece[end + 1..]))) {
            Some((character, after)) => {
                out.push(character);
                out.push_str(after);
            }
            None => {
                out.push('&');
                out.push_str(piece);
            }
        }
    }
    out
}

fn entity(name: &str) -> Option<char> {
    match name {
        "amp" => Some('&'),
        "lt" => Some('<'),
        "gt" => Some('>'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        _ => {
            let number = name.strip_prefix('#')?;
            let code = match number.strip_prefix(['x', 'X']) {
                Some(hex) => u32::from_str_radix(hex, 16).ok()?,
                None => number.parse().ok()?,
            };
            char::from_u32(code)
        }
    }
}
