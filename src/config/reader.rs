//! Tables that are read key by key: what nobody asked for is refused at the end.

use std::collections::BTreeMap;
use std::ops::Range;

use toml::de::{DeTable, DeValue};

use super::source::{Notes, Source};
use super::value::Value;

/// A place in a file, and its key.
#[derive(Debug, Clone)]
pub(super) struct Spot<'a> {
    pub(super) source: &'a Source,
    pub(super) notes: &'a Notes,
    /// Dotted path, such as `mirror[1].url`.
    pub(super) path: String,
    pub(super) span: Range<usize>,
    /// Where the first syntax error of the file is.
    sound_until: usize,
}

impl<'a> Spot<'a> {
    /// Notes a problem here. `None`, so that a reader can end with it.
    pub(super) fn refuse<T>(&self, message: impl Into<String>, remedy: impl Into<String>) -> Option<T> {
        // What stands at or after a syntax error may be read wrongly, so only the syntax error is reported.
        if self.span.end < self.sound_until && !self.notes.is_full() {
            self.notes.problem(self.source.problem(&self.span, &self.path, message, remedy));
        }
        None
    }

    /// Notes that something is not there; only where the whole file could be read.
    pub(super) fn lacks<T>(&self, message: impl Into<String>, remedy: impl Into<String>) -> Option<T> {
        if self.sound_until == usize::MAX { self.refuse(message, remedy) } else { None }
    }

    /// Notes a warning here.
    pub(super) fn warn(&self, message: impl Into<String>, remedy: impl Into<String>) {
        self.notes.warning(self.source.problem(&self.span, &self.path, message, remedy));
    }

    /// A place below this one.
    pub(super) fn below(&self, path: String, span: Range<usize>) -> Spot<'a> {
        Spot { path, span, ..self.clone() }
    }

    /// Where this is, for a message about another place: `file:line`.
    pub(super) fn place(&self) -> String {
        format!("{}:{}", self.source.path().display(), self.source.line(self.span.start))
    }
}

/// A table whose keys are taken out one by one. [`Section::finish`] refuses the rest.
#[derive(Debug)]
pub(super) struct Section<'a> {
    pub(super) spot: Spot<'a>,
    entries: BTreeMap<String, (Range<usize>, Value<'a>)>,
    asked: Vec<&'static str>,
}

impl<'a> Section<'a> {
    /// The whole of a file.
    pub(super) fn root(source: &'a Source, notes: &'a Notes) -> Self {
        let (table, sound_until) = source.parse(notes);
        let spot = Spot { source, notes, path: String::new(), span: 0..0, sound_until };
        Self::new(spot, table)
    }

    /// A table.
    pub(super) fn new(spot: Spot<'a>, table: DeTable<'a>) -> Self {
        let entries = table.into_iter().map(|(key, value)| {
            let value_spot = spot.below(join(&spot.path, key.get_ref()), value.span());
            let key_span = key.span();
            (key.into_inner().into_owned(), (key_span, Value::new(value_spot, value.into_inner())))
        });
        Self { entries: entries.collect(), asked: Vec::new(), spot }
    }

    /// A table that the file does not have: every key has its default.
    pub(super) fn absent(&self, key: &'static str) -> Self {
        let spot = self.spot.below(join(&self.spot.path, key), self.spot.span.clone());
        Self { spot, entries: BTreeMap::new(), asked: Vec::new() }
    }

    /// The value of a key, taken out.
    pub(super) fn take(&mut self, key: &'static str) -> Option<Value<'a>> {
        self.asked.push(key);
        self.spot.notes.known(join(&pattern(&self.spot.path), key));
        Some(self.entries.remove(key)?.1)
    }

    /// The value of a key as `read` makes it; `None` where the key is absent or bad (which is noted).
    pub(super) fn get<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(Value<'a>) -> Option<T>,
    ) -> Option<T> {
        read(self.take(key)?)
    }

    /// The same for a key that must be there.
    pub(super) fn require<T>(
        &mut self,
        key: &'static str,
        example: &str,
        read: impl FnOnce(Value<'a>) -> Option<T>,
    ) -> Option<T> {
        match self.take(key) {
            Some(value) => read(value),
            None => self.spot.lacks(format!("`{key}` is missing"), format!("add {key} = {example}")),
        }
    }

    /// The sub-table of a key, where it is given.
    pub(super) fn table(&mut self, key: &'static str) -> Option<Section<'a>> {
        match self.take(key) {
            Some(value) => value.section(),
            None if self.spot.notes.is_specimen() => Some(self.absent(key)),
            None => None,
        }
    }

    /// The array of tables of a key, each with its position.
    pub(super) fn tables(&mut self, key: &'static str) -> Vec<Section<'a>> {
        match self.take(key) {
            Some(value) => value.sections(key),
            None if self.spot.notes.is_specimen() => vec![self.absent(key)],
            None => Vec::new(),
        }
    }

    /// Refuses a key of a feature that is not here yet.
    pub(super) fn refuse_later(&mut self, keys: &[&str]) {
        for key in keys {
            if let Some((span, _)) = self.entries.remove(*key) {
                let table = pattern(&self.spot.path);
                not_yet(&self.spot.below(join(&self.spot.path, key), span), &join(&table, key));
            }
        }
    }

    /// Refuses a table of a feature that is not here yet; `title` is its header, such as `[[alias]]`.
    pub(super) fn refuse_later_table(&mut self, title: &str) {
        let key = title.trim_matches(['[', ']']);
        if let Some((_, value)) = self.entries.remove(key) {
            not_yet(value.spot(), title);
        }
    }

    /// Whether a key is (still) there.
    pub(super) fn has(&self, key: &str) -> bool {
        self.entries.contains_key(key)
    }

    /// How many keys are (still) there.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Every key and value, for tables whose keys are the operator's, in the order of the file.
    pub(super) fn into_entries(self) -> Vec<(String, Value<'a>)> {
        let mut entries: Vec<_> = self.entries.into_iter().collect();
        entries.sort_by_key(|(_, (span, _))| span.start);
        entries.into_iter().map(|(key, (_, value))| (key, value)).collect()
    }

    /// Refuses every key that nobody asked for.
    pub(super) fn finish(self) {
        for (key, (span, _)) in &self.entries {
            let spot = self.spot.below(join(&self.spot.path, key), span.clone());
            let remedy = match nearest(key, self.asked.iter().copied()) {
                Some(name) => format!("did you mean `{name}`?"),
                None => {
                    let mut asked = self.asked.clone();
                    asked.sort_unstable();
                    format!("remove it; known here: {}", asked.join(", "))
                }
            };
            spot.refuse::<()>("is an unknown key", remedy);
        }
    }
}

/// Refuses what a later version brings.
pub(super) fn not_yet(spot: &Spot<'_>, what: &str) {
    let remedy = "remove it; it is refused so that it is not ignored in silence";
    spot.refuse::<()>(format!("`{what}` is not available in this version"), remedy);
}

/// `path.key`, the key quoted where it is no bare key (TOML 1.0 "Keys").
pub(super) fn join(path: &str, key: &str) -> String {
    let bare = !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_');
    let key = if bare { key.to_owned() } else { super::value::quoted(key) };
    if path.is_empty() { key } else { format!("{path}.{key}") }
}

/// A path without positions: `mirror[1].url` is `mirror.url`.
fn pattern(path: &str) -> String {
    path.split('[').map(|part| part.split_once(']').map_or(part, |(_, rest)| rest)).collect()
}

/// The name that was probably meant: a third of its letters, or two in a short one, may differ.
pub(super) fn nearest<'n>(typed: &str, names: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    // Longer than any key, and the cost grows with the length.
    if typed.len() > 128 {
        return None;
    }
    names
        .map(|name| (edits(typed, name), name))
        .filter(|(edits, name)| *edits <= (name.len() / 3).max(2) && edits * 2 < name.len())
        .min()
        .map(|(_, name)| name)
}

/// Levenshtein distance in characters.
fn edits(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

/// The name of a value's type, with its article.
pub(super) fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "an integer",
        DeValue::Float(_) => "a float",
        DeValue::Boolean(_) => "a boolean",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "an array",
        DeValue::Table(_) => "a table",
    }
}
