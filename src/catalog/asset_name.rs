//! Names of assets: there may be millions, so that those of a release lie in one text.

use std::borrow::{Borrow, Cow};
use std::cmp::Ordering;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use super::release::encode_path;
use crate::model::AssetPath;

/// Where a text is full and another one begins, in bytes: places in it have 32 bits.
const TEXT_FULL: usize = 1 << 20;

/// An asset's name within its release, as it is and as it stands in a URL; may hold `/`.
#[derive(Clone)]
pub struct AssetName {
    names: Arc<Names>,
    at: u32,
    len: u16,
    /// Bytes of the encoded form, which follows where it is another.
    encoded: u16,
}

/// Names, one after the other, each with its encoded form where that differs.
struct Names(Box<str>);

impl AssetName {
    /// A name by itself.
    pub fn new(name: &str) -> Self {
        let mut text = Text::default();
        text.push(name);
        text.end().next().expect("one was pushed")
    }

    /// Names of one release, in the same order. Each was checked when its manifest was read.
    pub fn all<'n>(names: impl Iterator<Item = &'n str>) -> Vec<Self> {
        let mut all = Vec::with_capacity(names.size_hint().0);
        let mut text = Text::default();
        for name in names {
            text.push(name);
            if text.text.len() >= TEXT_FULL {
                all.extend(std::mem::take(&mut text).end());
            }
        }
        all.extend(text.end());
        all
    }

    #[inline]
    fn part(&self, from: u16, len: u16) -> &str {
        let from = self.at as usize + usize::from(from);
        &self.names.0[from..from + usize::from(len)]
    }

    /// The name as it stands in a URL.
    #[inline]
    pub fn encoded(&self) -> &str {
        if self.encoded == 0 { self } else { self.part(self.len, self.encoded) }
    }
}

/// A text that is being written.
#[derive(Default)]
struct Text {
    text: String,
    /// Where each name begins, its length and that of its encoded form.
    places: Vec<(u32, u16, u16)>,
}

impl Text {
    fn push(&mut self, name: &str) {
        let encoded = match encode_path(name) {
            Cow::Borrowed(_) => String::new(),
            Cow::Owned(encoded) => encoded,
        };
        let length =
            |text: &str| u16::try_from(text.len()).expect("a name has at most 1024 bytes, encoded 3072");
        self.places.push((self.text.len() as u32, length(name), length(&encoded)));
        self.text.push_str(name);
        self.text.push_str(&encoded);
    }

    fn end(self) -> impl Iterator<Item = AssetName> {
        let names = Arc::new(Names(self.text.into_boxed_str()));
        let name = move |(at, len, encoded)| AssetName { names: Arc::clone(&names), at, len, encoded };
        self.places.into_iter().map(name)
    }
}

impl Deref for AssetName {
    type Target = str;

    #[inline]
    fn deref(&self) -> &str {
        self.part(0, self.len)
    }
}

impl fmt::Display for AssetName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self)
    }
}

impl fmt::Debug for AssetName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &**self)
    }
}

impl Borrow<str> for AssetName {
    fn borrow(&self) -> &str {
        self
    }
}

impl PartialEq for AssetName {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for AssetName {}

impl PartialOrd for AssetName {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for AssetName {
    fn cmp(&self, other: &Self) -> Ordering {
        (**self).cmp(&**other)
    }
}

impl serde::Serialize for AssetName {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for AssetName {
    /// A name by itself: one that is kept is better taken from its release.
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        AssetPath::new(&text).map_err(serde::de::Error::custom)?;
        Ok(Self::new(&text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_its_own_however_many_there_are() {
        let texts: Vec<String> =
            (0..3000).map(|n| format!("{n}-{}", ["a b", "é", "plain"][n % 3].repeat(n % 200))).collect();
        let names = AssetName::all(texts.iter().map(String::as_str));
        assert_eq!(names.len(), texts.len());
        for (name, text) in names.iter().zip(&texts) {
            assert_eq!((&**name, name.encoded()), (text.as_str(), &*encode_path(text)));
        }
        let texts: usize = texts.iter().map(|text| text.len() + encode_path(text).len()).sum();
        assert!(texts > TEXT_FULL, "more than one text");
    }
}
