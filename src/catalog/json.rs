//! Reading JSON from outside: every problem of a document at once, each with its path, in bounded memory.
//!
//! A [`Reader`] takes one value. What it did not expect becomes a [`Problem`] and is skipped without being built, so that
//! a wrong type costs no memory and hides no later problem. Only broken syntax ends the reading.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

/// How many problems are spelled out; the others are counted.
pub(super) const PROBLEMS_MAX: usize = 20;
/// How many unknown keys are named in warnings.
const WARNINGS_MAX: usize = 20;
/// How many values the unknown keys of one document may hold together: some hundred megabytes at worst.
const KEPT_MAX: usize = 4_000_000;
/// How much of a wrong text or unknown key is repeated in a message, in characters.
const QUOTE_MAX: usize = 80;

/// One thing that is wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The path in the document, such as `assets[3].sha256`; empty: the document itself.
    pub at: String,
    /// What is wrong and what was expected.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.at.as_str() {
            "" => f.write_str(&self.message),
            at => write!(f, "{at}: {}", self.message),
        }
    }
}

/// What is wrong with a document: the first twenty problems, and how many more there are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Problems {
    /// In the order of the document.
    pub first: Vec<Problem>,
    /// How many are not listed.
    pub more: usize,
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, problem) in self.first.iter().enumerate() {
            write!(f, "{}{problem}", if i == 0 { "" } else { "; " })?;
        }
        if self.more > 0 { write!(f, "; and {} more", self.more) } else { Ok(()) }
    }
}

/// What the reading of one document finds.
#[derive(Debug, Default)]
pub(super) struct Report {
    pub problems: Problems,
    unknown: Vec<String>,
    unknown_more: bool,
    kept: usize,
}

impl Report {
    pub fn problem(&mut self, at: &At<'_>, message: impl fmt::Display) {
        if self.problems.first.len() < PROBLEMS_MAX {
            self.problems.first.push(Problem { at: at.to_string(), message: message.to_string() });
        } else {
            self.problems.more += 1;
        }
    }

    pub fn is_clean(&self) -> bool {
        self.problems.first.is_empty()
    }

    fn unknown(&mut self, at: &At<'_>) {
        // `{:#}` leaves positions out, so that a key unknown in a million assets is one warning.
        let path = format!("{at:#}");
        if self.unknown.contains(&path) {
        } else if self.unknown.len() < WARNINGS_MAX {
            self.unknown.push(path);
        } else {
            self.unknown_more = true;
        }
    }

    pub fn warnings(self) -> Vec<String> {
        let warn = |path| format!("unknown key `{path}` is kept, but means nothing to this version");
        let more = self.unknown_more.then(|| "there are more unknown keys".to_owned());
        self.unknown.into_iter().map(warn).chain(more).collect()
    }
}

/// A place in a document; a list on the stack, spelled out only when there is something to say.
#[derive(Clone, Copy)]
pub(super) enum At<'a> {
    Root,
    Key(&'a At<'a>, &'a str),
    Item(&'a At<'a>, usize),
}

impl fmt::Display for At<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            At::Root => Ok(()),
            At::Key(parent, key) => {
                parent.fmt(f)?;
                let dot = if matches!(parent, At::Root) { "" } else { "." };
                write!(f, "{dot}{}", shortened(key).escape_debug())
            }
            At::Item(parent, _) if f.alternate() => write!(f, "{parent:#}[]"),
            At::Item(parent, i) => write!(f, "{parent}[{i}]"),
        }
    }
}

/// The first eighty characters: what a message repeats of a text from outside.
pub(super) fn shortened(text: &str) -> Cow<'_, str> {
    match text.char_indices().nth(QUOTE_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]).into(),
        None => text.into(),
    }
}

/// Where a reader stands, and where it tells its problems.
pub(super) struct Here<'a> {
    pub at: At<'a>,
    pub report: &'a mut Report,
}

impl Here<'_> {
    pub fn problem(&mut self, message: impl fmt::Display) {
        self.report.problem(&self.at, message);
    }

    fn unexpected(&mut self, expected: &str, found: &str) {
        self.problem(format_args!("expected {expected}, found {found}"));
    }
}

/// Takes one value. `None` means that a problem was told.
pub(super) trait Reader<'de>: Sized {
    type Value;
    const EXPECTED: &'static str;

    fn text(&mut self, _: &str, mut here: Here<'_>) -> Option<Self::Value> {
        here.unexpected(Self::EXPECTED, "text");
        None
    }

    fn number(&mut self, _: u64, mut here: Here<'_>) -> Option<Self::Value> {
        here.unexpected(Self::EXPECTED, "a number");
        None
    }

    fn boolean(&mut self, _: bool, mut here: Here<'_>) -> Option<Self::Value> {
        here.unexpected(Self::EXPECTED, "a boolean");
        None
    }

    fn list<A: SeqAccess<'de>>(
        &mut self,
        mut seq: A,
        mut here: Here<'_>,
    ) -> Result<Option<Self::Value>, A::Error> {
        here.unexpected(Self::EXPECTED, "an array");
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(None)
    }

    fn object<A: MapAccess<'de>>(
        &mut self,
        mut map: A,
        mut here: Here<'_>,
    ) -> Result<Option<Self::Value>, A::Error> {
        here.unexpected(Self::EXPECTED, "an object");
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(None)
    }
}

/// Whether an object can do without a key (or have it as `null`).
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Need {
    Required,
    Optional,
}

/// Drives a reader from any deserializer.
pub(super) struct Seed<'a, R> {
    pub reader: &'a mut R,
    pub need: Need,
    pub here: Here<'a>,
}

impl<'de, R: Reader<'de>> DeserializeSeed<'de> for Seed<'_, R> {
    type Value = Option<R::Value>;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Self::Value, D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de, R: Reader<'de>> Visitor<'de> for Seed<'_, R> {
    type Value = Option<R::Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(R::EXPECTED)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Self::Value, E> {
        Ok(self.reader.boolean(value, self.here))
    }

    fn visit_i64<E: Error>(mut self, _: i64) -> Result<Self::Value, E> {
        self.here.unexpected(R::EXPECTED, "a negative number");
        Ok(None)
    }

    fn visit_f64<E: Error>(mut self, _: f64) -> Result<Self::Value, E> {
        self.here.unexpected(R::EXPECTED, "a fraction or a number beyond bounds");
        Ok(None)
    }

    fn visit_unit<E: Error>(mut self) -> Result<Self::Value, E> {
        if self.need == Need::Required {
            self.here.unexpected(R::EXPECTED, "null");
        }
        Ok(None)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(self.reader.text(text, self.here))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Self::Value, E> {
        Ok(self.reader.number(number, self.here))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Self::Value, A::Error> {
        self.reader.list(seq, self.here)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        self.reader.object(map, self.here)
    }
}

/// Text that passes a check.
pub(super) struct Text<F>(pub F);

impl<'de, T, E: fmt::Display, F: FnMut(&str) -> Result<T, E>> Reader<'de> for Text<F> {
    type Value = T;
    const EXPECTED: &'static str = "text";

    fn text(&mut self, text: &str, mut here: Here<'_>) -> Option<T> {
        (self.0)(text).map_err(|why| here.problem(format_args!("{:?}: {why}", shortened(text)))).ok()
    }
}

/// A whole number up to a bound.
pub(super) struct Number {
    pub max: u64,
}

impl<'de> Reader<'de> for Number {
    type Value = u64;
    const EXPECTED: &'static str = "a whole number, 0 or more";

    fn number(&mut self, number: u64, mut here: Here<'_>) -> Option<u64> {
        let fits = number <= self.max;
        if !fits {
            here.problem(format_args!("{number} is more than {}", self.max));
        }
        fits.then_some(number)
    }
}

/// `true` or `false`.
pub(super) struct Flag;

impl<'de> Reader<'de> for Flag {
    type Value = bool;
    const EXPECTED: &'static str = "true or false";

    fn boolean(&mut self, value: bool, _: Here<'_>) -> Option<bool> {
        Some(value)
    }
}

/// An array of bounded length; items that have problems are left out.
pub(super) struct List<R> {
    pub max: usize,
    pub of: R,
}

impl<'de, R: Reader<'de>> Reader<'de> for List<R> {
    type Value = Vec<R::Value>;
    const EXPECTED: &'static str = "an array";

    fn list<A: SeqAccess<'de>>(
        &mut self,
        mut seq: A,
        mut here: Here<'_>,
    ) -> Result<Option<Self::Value>, A::Error> {
        let mut items = Vec::new();
        for i in 0..self.max {
            let at = At::Item(&here.at, i);
            let here = Here { at, report: &mut *here.report };
            match seq.next_element_seed(Seed { reader: &mut self.of, need: Need::Required, here })? {
                Some(Some(item)) => items.push(item),
                Some(None) => {}
                None => return Ok(Some(items)),
            }
        }
        if seq.next_element::<IgnoredAny>()?.is_some() {
            here.problem(format_args!("holds more than {} entries", self.max));
            while seq.next_element::<IgnoredAny>()?.is_some() {}
        }
        Ok(Some(items))
    }
}

/// An object with known keys.
pub(super) trait Shape<'de>: Default {
    const KEYS: &'static [(&'static str, Need)];

    /// Takes the value of a known key.
    fn field<A: MapAccess<'de>>(&mut self, key: &'static str, slot: Slot<'_, A>) -> Result<(), A::Error>;

    /// Keeps the value of an unknown key.
    fn keep(&mut self, key: String, value: Value);
}

/// The value of a known key, not yet read.
pub(super) struct Slot<'a, A> {
    map: &'a mut A,
    need: Need,
    here: Here<'a>,
}

impl<'de, A: MapAccess<'de>> Slot<'_, A> {
    pub fn read<R: Reader<'de>>(self, mut reader: R) -> Result<Option<R::Value>, A::Error> {
        self.map.next_value_seed(Seed { reader: &mut reader, need: self.need, here: self.here })
    }
}

#[derive(serde::Deserialize)]
#[serde(transparent)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

/// Reads an object of shape `S`: every known key once, required ones present, unknown ones kept.
pub(super) struct Object<S>(PhantomData<S>);

impl<S> Object<S> {
    pub fn new() -> Self {
        Self(PhantomData)
    }
}

impl<'de, S: Shape<'de>> Reader<'de> for Object<S> {
    type Value = S;
    const EXPECTED: &'static str = "an object";

    fn object<A: MapAccess<'de>>(&mut self, mut map: A, here: Here<'_>) -> Result<Option<S>, A::Error> {
        let Here { at, report } = here;
        let mut shape = S::default();
        let mut seen = 0_u64;
        while let Some(Key(key)) = map.next_key::<Key<'de>>()? {
            let at = At::Key(&at, &key);
            let Some(i) = S::KEYS.iter().position(|(known, _)| *known == key) else {
                report.unknown(&at);
                let value = map.next_value_seed(Kept(report))?;
                shape.keep(key.into_owned(), value);
                continue;
            };
            if seen & (1 << i) != 0 {
                report.problem(&at, "is given twice");
                map.next_value::<IgnoredAny>()?;
                continue;
            }
            seen |= 1 << i;
            let (key, need) = S::KEYS[i];
            shape.field(key, Slot { map: &mut map, need, here: Here { at, report: &mut *report } })?;
        }
        for (i, (key, need)) in S::KEYS.iter().enumerate() {
            if *need == Need::Required && seen & (1 << i) == 0 {
                report.problem(&At::Key(&at, key), "is required, but missing");
            }
        }
        Ok(Some(shape))
    }
}

/// Keeps any value as it is, while there is room; serde_json refuses nesting beyond 128 levels.
struct Kept<'a>(&'a mut Report);

impl<'de> DeserializeSeed<'de> for Kept<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Value, D::Error> {
        self.0.kept += 1;
        if self.0.kept > KEPT_MAX {
            return Err(D::Error::custom(format_args!("unknown keys hold more than {KEPT_MAX} values")));
        }
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Kept<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element_seed(Kept(&mut *self.0))? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(key) = map.next_key::<String>()? {
            let value = map.next_value_seed(Kept(&mut *self.0))?;
            object.insert(key, value);
        }
        Ok(Value::Object(object))
    }
}

/// Reads a whole document of shape `S`; `Err` is broken syntax, trailing text included.
pub(super) fn document<'de, S: Shape<'de>>(
    bytes: &'de [u8],
    report: &mut Report,
) -> Result<Option<S>, serde_json::Error> {
    read(bytes, Object::<S>::new(), report)
}

/// Reads a whole document; `Err` is broken syntax, trailing text included.
pub(super) fn read<'de, R: Reader<'de>>(
    bytes: &'de [u8],
    mut reader: R,
    report: &mut Report,
) -> Result<Option<R::Value>, serde_json::Error> {
    let mut from = serde_json::Deserializer::from_slice(bytes);
    let here = Here { at: At::Root, report };
    let value = Seed { reader: &mut reader, need: Need::Required, here }.deserialize(&mut from)?;
    from.end()?;
    Ok(value)
}

/// One line of text: bounded, without control characters, not empty.
pub(super) fn line<const MAX: usize>(text: &str) -> Result<Box<str>, String> {
    match text.len() {
        0 => Err("must not be empty".into()),
        n if n > MAX => Err(format!("longer than {MAX} bytes")),
        _ if text.chars().any(char::is_control) => Err("holds a control character".into()),
        _ => Ok(text.into()),
    }
}
