//! Names that come from outside: bounded UTF-8 without anything that a path, a header or a log could trip over.

use std::borrow::Borrow;
use std::fmt;
use std::ops::Deref;
use std::str::FromStr;
use std::sync::Arc;

use super::Version;

/// Longest name of a product, channel, mirror or region, in bytes.
const NAME_MAX: usize = 128;
/// Longest asset name, in bytes; with a base URL it stays below what proxies accept as a request line.
const ASSET_MAX: usize = 1024;

/// Why a text is not a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadName {
    /// Nothing there.
    #[error("must not be empty")]
    Empty,
    /// Longer than the bound.
    #[error("longer than {0} bytes")]
    TooLong(usize),
    /// A control character, a backslash, or (outside asset names) a slash.
    #[error("holds a character that names may not hold (control characters, \\, and / outside asset names)")]
    Character,
    /// `.`, `..` or an empty path segment.
    #[error("holds \".\", \"..\" or an empty path segment")]
    Segment,
    /// A name that the URL space keeps for itself.
    #[error("is reserved (latest, install, v1, and anything ending in .json)")]
    Reserved,
    /// A channel that could be mistaken for a version.
    #[error("reads as a version, which a channel name must not")]
    Version,
    /// More than letters, digits and `-_.`.
    #[error("holds more than letters, digits and the characters - _ .")]
    Label,
}

fn segment(text: &str) -> Result<(), BadName> {
    match text {
        "" | "." | ".." => Err(BadName::Segment),
        _ if holds_bad_character(text) => Err(BadName::Character),
        _ => Ok(()),
    }
}

fn holds_bad_character(text: &str) -> bool {
    match text.is_ascii() {
        // As bytes, and all of them at a time: a catalog may have millions of names.
        true => text.bytes().fold(false, |bad, b| bad | b.is_ascii_control() | (b == b'\\') | (b == b'/')),
        false => text.chars().any(|c| c.is_control() || c == '\\' || c == '/'),
    }
}

fn plain(text: &str) -> Result<(), BadName> {
    match text.len() {
        0 => Err(BadName::Empty),
        n if n > NAME_MAX => Err(BadName::TooLong(NAME_MAX)),
        _ => segment(text),
    }
}

fn label(text: &str) -> Result<(), BadName> {
    plain(text)?;
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if text.chars().all(fits) { Ok(()) } else { Err(BadName::Label) }
}

fn unreserved(text: &str) -> Result<(), BadName> {
    plain(text)?;
    // `-` starts the paths of the service itself (`/-/healthz`).
    if matches!(text, "latest" | "install" | "v1" | "-") || text.ends_with(".json") {
        return Err(BadName::Reserved);
    }
    Ok(())
}

fn channel(text: &str) -> Result<(), BadName> {
    unreserved(text)?;
    if Version::parse(text).is_ok() { Err(BadName::Version) } else { Ok(()) }
}

fn asset(text: &str) -> Result<(), BadName> {
    match text.len() {
        0 => Err(BadName::Empty),
        n if n > ASSET_MAX => Err(BadName::TooLong(ASSET_MAX)),
        _ => text.split('/').try_for_each(segment),
    }
}

macro_rules! name {
    ($name:ident, $check:path, $about:literal) => {
        #[doc = $about]
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize)]
        #[serde(transparent)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Checks the text and keeps it.
            pub fn new(text: &str) -> Result<Self, BadName> {
                $check(text)?;
                Ok(Self(text.into()))
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = BadName;

            fn from_str(text: &str) -> Result<Self, BadName> {
                Self::new(text)
            }
        }

        impl Deref for $name {
            type Target = str;

            fn deref(&self) -> &str {
                &self.0
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &*self.0)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                let text = String::deserialize(from)?;
                Self::new(&text).map_err(|bad| serde::de::Error::custom(format_args!("{text:?} {bad}")))
            }
        }
    };
}

name!(ProductName, unreserved, "A product: the first segment of its URLs.");
name!(ChannelName, channel, "A channel such as `stable`: points to one release, never reads as a version.");
name!(MirrorName, label, "A mirror, as the operator named it: letters, digits and `-_.`, safe in a header.");
name!(RegionName, label, "A region, as the operator named it: letters, digits and `-_.`.");
name!(TierName, label, "A tier of mirrors, as the operator named it: letters, digits and `-_.`.");
name!(
    AssetPath,
    asset,
    "An asset's name within its release; may hold `/`, never `.`, `..` or an empty segment."
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn asset_names_may_be_trees_but_never_climb() {
        for good in ["a", "bin/tool", "dir/sub/файл.tar.gz", "a b+c~1"] {
            assert!(AssetPath::new(good).is_ok(), "{good}");
        }
        for (bad, why) in [
            ("", BadName::Empty),
            ("../x", BadName::Segment),
            ("a/../b", BadName::Segment),
            ("/a", BadName::Segment),
            ("a//b", BadName::Segment),
            ("a/", BadName::Segment),
            ("a\\b", BadName::Character),
            ("a\nb", BadName::Character),
            ("a\0b", BadName::Character),
        ] {
            assert_eq!(AssetPath::new(bad), Err(why), "{bad:?}");
        }
        assert_eq!(AssetPath::new(&"x".repeat(1025)), Err(BadName::TooLong(1024)));
    }

    #[test]
    fn names_the_url_space_keeps_are_refused() {
        for bad in ["latest", "install", "v1", "hosts.json", "-"] {
            assert_eq!(ProductName::new(bad), Err(BadName::Reserved), "{bad}");
            assert_eq!(ChannelName::new(bad), Err(BadName::Reserved), "{bad}");
        }
        assert_eq!(ChannelName::new("1.2"), Err(BadName::Version));
        assert!(ChannelName::new("1.x").is_ok());
        assert!(ProductName::new("1.2").is_ok());
        assert_eq!(MirrorName::new("a b"), Err(BadName::Label));
    }
}
