//! Platforms by their many spellings.

use std::fmt;
use std::str::FromStr;

/// A platform in its one spelling: known names translated, the system first, then the other parts in alphabetical order,
/// joined by `-`.
///
/// `linux-x86_64`, `amd64_linux` and `Linux-x64` are all `linux-amd64`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Platform(Box<str>);

/// Longest text that is looked at as a platform, in bytes.
const PLATFORM_MAX: usize = 64;

/// Spellings and what they mean here. A spelling that holds a separator is replaced before the text is split.
const SPELLINGS: &[(&str, &str)] = &[
    ("x64", "amd64"),
    ("win64", "windows-amd64"),
    ("win32", "windows-386"),
    ("win", "windows"),
    ("aarch64", "arm64"),
    ("armv8", "arm64"),
    ("i386", "386"),
    ("i486", "386"),
    ("i586", "386"),
    ("i686", "386"),
    ("x86", "386"),
    ("armhf", "armv7"),
    ("armv7l", "armv7"),
    ("macos", "darwin"),
    ("osx", "darwin"),
    ("mac", "darwin"),
    ("apple", ""),
    ("pc", ""),
    ("unknown", ""),
];

/// What comes first in a platform, as people write it.
const SYSTEMS: [&str; 9] =
    ["linux", "darwin", "windows", "freebsd", "netbsd", "openbsd", "android", "ios", "illumos"];

impl Platform {
    /// Reads a platform; `None` where the text cannot be one.
    pub fn parse(text: &str) -> Option<Self> {
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if text.is_empty() || text.len() > PLATFORM_MAX || !text.chars().all(fits) {
            return None;
        }
        let mut text = text.to_ascii_lowercase();
        if text.contains("x86") {
            text = text.replace("x86_64", "amd64").replace("x86-64", "amd64");
        }
        let translated: Vec<&str> = text.split(['-', '_']).map(translate).collect();
        let joined = translated.join("-");
        let mut parts: Vec<&str> = joined.split('-').filter(|part| !part.is_empty()).collect();
        parts.sort_unstable_by_key(|part| (!SYSTEMS.contains(part), *part));
        parts.dedup();
        if parts.is_empty() { None } else { Some(Self(parts.join("-").into())) }
    }

    /// The one spelling.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn translate(part: &str) -> &str {
    SPELLINGS.iter().find(|(spelling, _)| *spelling == part).map_or(part, |(_, meaning)| meaning)
}

/// A text that is no platform.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is no platform: at most 64 letters, digits, `-`, `_` and `.`")]
pub struct BadPlatform;

impl FromStr for Platform {
    type Err = BadPlatform;

    fn from_str(text: &str) -> Result<Self, BadPlatform> {
        Self::parse(text).ok_or(BadPlatform)
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_one_platform_are_equal() {
        for same in [
            &[
                "linux-amd64",
                "linux_x86_64",
                "x86_64-linux",
                "Linux-x64",
                "linux-x86-64",
                "x86_64-unknown-linux",
            ][..],
            &["darwin-arm64", "macos_aarch64", "aarch64-apple-darwin", "arm64-osx"],
            &["windows-amd64", "win64", "x64_windows"],
            &["linux-amd64-musl", "x86_64-unknown-linux-musl"],
        ] {
            for text in same {
                assert_eq!(Platform::parse(text), Platform::parse(same[0]), "{text}");
            }
        }
        assert_ne!(Platform::parse("linux-amd64"), Platform::parse("linux-arm64"));
        assert_ne!(Platform::parse("linux-amd64"), Platform::parse("linux-amd64-musl"));
    }

    #[test]
    fn other_texts_are_none() {
        for text in ["", "a b", "a/b", "é", "-", "unknown", &"x".repeat(65)] {
            assert_eq!(Platform::parse(text), None, "{text}");
        }
    }
}
