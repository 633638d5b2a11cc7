//! Ranges of versions, as rules name them.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use super::Version;

/// Comparisons that a version has to pass, all of them: `>=1.0`, `>=1.0, <2.0`, `=1.8.2`; `*` passes every version.
///
/// Versions compare by their precedence, so `1.0` and `1.0.0` are equal and `2.0-rc.1` is below `2.0`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionRange(Vec<Comparison>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Comparison {
    /// The outcomes of `version.precedence(bound)` that pass.
    passes: &'static [Ordering],
    operator: &'static str,
    bound: Version,
}

/// A text that is no range.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("is no range of versions: write comparisons such as \">=1.0, <2.0\", or \"*\"")]
pub struct BadVersionRange;

/// Most comparisons of one range.
const COMPARISONS_MAX: usize = 16;

/// The longer operators first: `>=1` also begins with `>`.
const OPERATORS: [(&str, &[Ordering]); 5] = [
    (">=", &[Ordering::Greater, Ordering::Equal]),
    ("<=", &[Ordering::Less, Ordering::Equal]),
    (">", &[Ordering::Greater]),
    ("<", &[Ordering::Less]),
    ("=", &[Ordering::Equal]),
];

impl VersionRange {
    /// Whether a version lies in it.
    pub fn has(&self, version: &Version) -> bool {
        self.0.iter().all(|comparison| comparison.passes.contains(&version.precedence(&comparison.bound)))
    }
}

impl FromStr for VersionRange {
    type Err = BadVersionRange;

    fn from_str(text: &str) -> Result<Self, BadVersionRange> {
        if text.trim() == "*" {
            return Ok(Self(Vec::new()));
        }
        let comparison = |part: &str| {
            let part = part.trim();
            let known = OPERATORS
                .iter()
                .find_map(|(operator, passes)| Some((*operator, *passes, part.strip_prefix(operator)?)));
            // A version by itself is that version.
            let (operator, passes, bound) = known.unwrap_or(("=", &[Ordering::Equal], part));
            let bound = Version::parse(bound.trim()).map_err(|_| BadVersionRange)?;
            Ok(Comparison { passes, operator, bound })
        };
        let comparisons: Vec<Comparison> = text.split(',').map(comparison).collect::<Result<_, _>>()?;
        if comparisons.len() > COMPARISONS_MAX { Err(BadVersionRange) } else { Ok(Self(comparisons)) }
    }
}

impl fmt::Display for VersionRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("*");
        }
        for (at, Comparison { operator, bound, .. }) in self.0.iter().enumerate() {
            write!(f, "{}{operator}{bound}", if at > 0 { ", " } else { "" })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn has(range: &str, version: &str) -> bool {
        range.parse::<VersionRange>().unwrap().has(&Version::parse(version).unwrap())
    }

    #[test]
    fn a_version_lies_in_a_range_where_every_comparison_passes() {
        for (range, inside, outside) in [
            (">=1.0", &["1.0", "1.0.0", "v1.2", "10.0"][..], &["0.9", "1.0-rc.1"][..]),
            (">=1.0, <2.0", &["1.0", "1.99", "2.0-rc.1"], &["2.0", "0.1"]),
            ("=1.8.2", &["1.8.2", "v1.8.2"], &["1.8.3"]),
            ("1.8.2", &["1.8.2"], &["1.8"]),
            ("> 1, <= 2", &["1.1", "2.0"], &["1.0", "2.0.1"]),
            ("*", &["0.0.1", "2026.11.2"], &[]),
        ] {
            inside.iter().for_each(|version| assert!(has(range, version), "{version} in {range}"));
            outside.iter().for_each(|version| assert!(!has(range, version), "{version} in {range}"));
        }
    }

    #[test]
    fn what_is_no_range_is_refused_and_what_is_reads_back() {
        for text in ["", ",", ">=", ">=1,", "latest", "~1.0", "^1.0", ">=1 <2"] {
            assert!(text.parse::<VersionRange>().is_err(), "{text}");
        }
        for text in ["*", ">=1.0, <2.0", "=1.8.2"] {
            assert_eq!(text.parse::<VersionRange>().unwrap().to_string(), text);
        }
    }
}
