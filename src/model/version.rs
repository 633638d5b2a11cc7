//! Versions: ordered by their numeric parts, then by the pre-release rules of semantic versioning.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// Longest version, in bytes.
const VERSION_MAX: usize = 128;

/// Why a text is not a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected a version: numbers with dots, then perhaps a pre-release and a build, such as 1.8.2-rc.1+7"
)]
pub struct BadVersion;

/// A release's version, as published. `1.8.2` and `v1.8.2` are the same version.
///
/// `2026.11.2` and `1.2.3.4` are versions; so are `1.2-rc.1`, `1.2rc1` and `1.2+build`. Numeric parts compare as
/// numbers of any length, a missing part as 0, a pre-release as in Semantic Versioning 2.0.0 section 11; build
/// metadata does not order.
#[derive(Clone)]
pub struct Version {
    text: Arc<str>,
    /// Where the numbers begin (after an optional `v`) and end in `text`.
    numbers: (u8, u8),
    /// Where the pre-release ends, which begins after the numbers.
    pre_end: u8,
    /// Of an everyday one, which is compared with every request: its numbers, and 0 for those that are missing.
    everyday: Option<[u32; EVERYDAY]>,
}

/// Most numbers of a version that is compared by numbers alone.
const EVERYDAY: usize = 4;

impl Version {
    /// Reads a version, with or without a leading `v`.
    pub fn parse(text: &str) -> Result<Self, BadVersion> {
        if text.len() > VERSION_MAX {
            return Err(BadVersion);
        }
        let start = usize::from(text.starts_with('v'));
        let end = start + numbers_len(&text.as_bytes()[start..]);
        let rest = &text[end..];
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '+' | '~');
        let begins = |c: char| c.is_ascii_alphabetic() || matches!(c, '-' | '+' | '_' | '~');
        if end == start || !rest.chars().all(fits) || !rest.chars().next().is_none_or(begins) {
            return Err(BadVersion);
        }
        let pre_end = end + rest.find('+').unwrap_or(rest.len());
        let is_release = text[end..pre_end].trim_start_matches(SEPARATORS).is_empty();
        let everyday = if is_release { everyday(&text[start..end]) } else { None };
        Ok(Self { text: text.into(), numbers: (start as u8, end as u8), pre_end: pre_end as u8, everyday })
    }

    /// The version as published, a leading `v` included.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The version without a leading `v`: what versions are looked up by.
    pub fn bare(&self) -> &str {
        &self.text[usize::from(self.numbers.0)..]
    }

    fn numeric(&self) -> &str {
        &self.text[usize::from(self.numbers.0)..usize::from(self.numbers.1)]
    }

    fn pre_release(&self) -> &str {
        self.text[usize::from(self.numbers.1)..usize::from(self.pre_end)].trim_start_matches(SEPARATORS)
    }

    /// Whether it comes before a release proper, such as `1.2-rc.1`.
    pub fn is_pre_release(&self) -> bool {
        !self.pre_release().is_empty()
    }

    /// Which of two versions is newer; equal where only the build or the spelling differs.
    pub fn precedence(&self, other: &Self) -> Ordering {
        if let (Some(ours), Some(theirs)) = (self.everyday, other.everyday) {
            return ours.cmp(&theirs);
        }
        numeric_cmp(self.numeric(), other.numeric())
            .then_with(|| pre_release_cmp(self.pre_release(), other.pre_release()))
    }
}

/// What may stand between the numbers and a pre-release.
const SEPARATORS: [char; 3] = ['-', '_', '~'];

/// Up to four numbers of 32 bits; `None`: there are more of them, or larger ones.
fn everyday(numbers: &str) -> Option<[u32; EVERYDAY]> {
    let mut everyday = [0; EVERYDAY];
    let mut places = everyday.iter_mut();
    for number in numbers.split('.') {
        *places.next()? = number.parse().ok()?;
    }
    Some(everyday)
}

/// How many leading bytes are numbers joined by single dots.
fn numbers_len(bytes: &[u8]) -> usize {
    let mut end = 0;
    let mut at = 0;
    loop {
        let digits = bytes[at..].iter().take_while(|b| b.is_ascii_digit()).count();
        if digits == 0 {
            return end;
        }
        end = at + digits;
        if bytes.get(end) != Some(&b'.') {
            return end;
        }
        at = end + 1;
    }
}

fn number_cmp(a: &str, b: &str) -> Ordering {
    let (a, b) = (a.trim_start_matches('0'), b.trim_start_matches('0'));
    a.len().cmp(&b.len()).then_with(|| a.cmp(b))
}

/// As numbers joined by dots. Byte by byte: rules ask with every request.
fn numeric_cmp(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a.as_bytes(), b.as_bytes());
    while !a.is_empty() || !b.is_empty() {
        let (x, y) = (next_number(&mut a), next_number(&mut b));
        match x.len().cmp(&y.len()).then_with(|| x.cmp(y)) {
            Ordering::Equal => {}
            other => return other,
        }
    }
    Ordering::Equal
}

/// Takes the next number off, without leading zeros; a missing one is nothing, as 0 is.
fn next_number<'t>(rest: &mut &'t [u8]) -> &'t [u8] {
    let end = rest.iter().position(|byte| *byte == b'.').unwrap_or(rest.len());
    let (number, after) = rest.split_at(end);
    *rest = after.get(1..).unwrap_or_default();
    let zeros = number.iter().take_while(|byte| **byte == b'0').count();
    &number[zeros..]
}

fn pre_release_cmp(a: &str, b: &str) -> Ordering {
    match (a.is_empty(), b.is_empty()) {
        (true, true) => return Ordering::Equal,
        (true, false) => return Ordering::Greater,
        (false, true) => return Ordering::Less,
        (false, false) => {}
    }
    let is_number = |s: &str| !s.is_empty() && s.bytes().all(|c| c.is_ascii_digit());
    let (mut a, mut b) = (a.split('.'), b.split('.'));
    loop {
        let order = match (a.next(), b.next()) {
            (None, None) => return Ordering::Equal,
            (None, Some(_)) => Ordering::Less,
            (Some(_), None) => Ordering::Greater,
            (Some(x), Some(y)) => match (is_number(x), is_number(y)) {
                (true, true) => number_cmp(x, y),
                (true, false) => Ordering::Less,
                (false, true) => Ordering::Greater,
                (false, false) => x.cmp(y),
            },
        };
        if order != Ordering::Equal {
            return order;
        }
    }
}

impl PartialEq for Version {
    fn eq(&self, other: &Self) -> bool {
        self.bare() == other.bare()
    }
}

impl Eq for Version {}

impl Hash for Version {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.bare().hash(state);
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.text)
    }
}

impl serde::Serialize for Version {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&self.text)
    }
}

impl<'de> serde::Deserialize<'de> for Version {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        Self::parse(&text).map_err(|bad| serde::de::Error::custom(format_args!("{text:?}: {bad}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(text: &str) -> Version {
        Version::parse(text).unwrap()
    }

    #[test]
    fn versions_order_as_people_read_them() {
        let ascending = [
            "0.9",
            "1.0.0-alpha",
            "1.0.0-alpha.1",
            "1.0.0-alpha.beta",
            "1.0.0-beta.2",
            "1.0.0-beta.11",
            "1.0.0-rc.1",
            "1.0.0",
            "1.2.3",
            "1.2.3.4",
            "1.2.3.4.0.1",
            "1.2.3.4.5",
            "1.10.0",
            "2026.2.1",
            "2026.11.2",
            "99999999999999999999999999.1",
        ];
        for (i, a) in ascending.iter().enumerate() {
            for (j, b) in ascending.iter().enumerate() {
                assert_eq!(version(a).precedence(&version(b)), i.cmp(&j), "{a} {b}");
            }
        }
        assert_eq!(version("1.0").precedence(&version("1.0.0+7")), Ordering::Equal);
        assert_ne!(version("1.0"), version("1.0.0"));
        assert_eq!(version("1.2rc1").precedence(&version("1.2")), Ordering::Less);
    }

    #[test]
    fn a_leading_v_changes_nothing() {
        assert_eq!(version("v1.8.2"), version("1.8.2"));
        assert_eq!(version("v1.8.2").bare(), "1.8.2");
        assert_eq!(version("v1.8.2").as_str(), "v1.8.2");
    }

    #[test]
    fn other_texts_are_refused() {
        for bad in ["", "v", "stable", "1.x", "1..2", "1.", "1/2", "1 2", "x1", "1.2é", &"1".repeat(129)] {
            assert!(Version::parse(bad).is_err(), "{bad}");
        }
    }
}
