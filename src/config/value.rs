//! One value and its readers: each gives a checked value, or notes what is wrong and gives `None`.

use std::fmt::Display;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use bytesize::ByteSize;
use ipnet::IpNet;
use toml::de::DeValue;
use url::Url;

use super::reader::{Section, Spot, kind};
use crate::model::{Asn, Location, Timestamp};

/// A value at its place.
#[derive(Debug)]
pub(super) struct Value<'a> {
    spot: Spot<'a>,
    value: DeValue<'a>,
}

impl<'a> Value<'a> {
    /// A value at its place.
    pub(super) fn new(spot: Spot<'a>, value: DeValue<'a>) -> Self {
        Self { spot, value }
    }

    /// Its place.
    pub(super) fn spot(&self) -> &Spot<'a> {
        &self.spot
    }

    /// Its text, where it is a string.
    pub(super) fn as_str(&self) -> Option<&str> {
        self.value.as_str()
    }

    /// Whether it is a table.
    pub(super) fn is_table(&self) -> bool {
        self.value.is_table()
    }

    fn wrong_kind<T>(&self, expected: &str, example: &str) -> Option<T> {
        self.spot
            .refuse(format!("expected {expected}, found {}", kind(&self.value)), format!("write {example}"))
    }

    /// A string as it is.
    pub(super) fn text(&self, example: &str) -> Option<&str> {
        match self.value.as_str() {
            Some(text) => Some(text),
            None => self.wrong_kind("a string", example),
        }
    }

    /// A string that a type of the model reads; its own error says what is expected.
    pub(super) fn parsed<T: FromStr<Err: Display>>(self, example: &str) -> Option<T> {
        let text = self.text(example)?;
        match text.parse() {
            Ok(value) => Some(value),
            Err(error) => {
                self.spot.refuse(format!("{}: {error}", quoted(text)), format!("write it like {example}"))
            }
        }
    }

    /// One of a few words.
    pub(super) fn word<T: Copy>(self, words: &[(&str, T)]) -> Option<T> {
        let choices = words.iter().map(|(word, _)| format!("\"{word}\"")).collect::<Vec<_>>().join(", ");
        let text = self.text(&choices)?;
        match words.iter().find(|(word, _)| word.eq_ignore_ascii_case(text)) {
            Some((_, value)) => Some(*value),
            None => self.spot.refuse(format!("{} is none of {choices}", quoted(text)), "use one of them"),
        }
    }

    /// True or false.
    pub(super) fn boolean(self) -> Option<bool> {
        match self.value.as_bool() {
            Some(value) => Some(value),
            None => self.wrong_kind("true or false", "true or false, without quotes"),
        }
    }

    /// An integer within bounds.
    pub(super) fn integer<N>(self, bounds: RangeInclusive<N>) -> Option<N>
    where
        N: TryFrom<i128> + PartialOrd + Display,
    {
        let example = format!("an integer from {} to {}", bounds.start(), bounds.end());
        let Some(integer) = self.value.as_integer() else {
            return self.wrong_kind("an integer", &example);
        };
        match i128::from_str_radix(integer.as_str(), integer.radix()).ok().and_then(|i| N::try_from(i).ok()) {
            Some(value) if bounds.contains(&value) => Some(value),
            _ => self.spot.refuse(format!("{integer} is out of range"), format!("write {example}")),
        }
    }

    /// A number, written as an integer or a float, within bounds.
    pub(super) fn number(self, bounds: RangeInclusive<f64>) -> Option<f64> {
        let example = format!("a number from {} to {}", bounds.start(), bounds.end());
        let number = match &self.value {
            DeValue::Float(float) => float.as_str().parse::<f64>().ok(),
            DeValue::Integer(integer) => {
                i64::from_str_radix(integer.as_str(), integer.radix()).ok().map(|i| i as f64)
            }
            _ => return self.wrong_kind("a number", &example),
        };
        // The bounds refuse NaN and infinity as well.
        match number {
            Some(number) if bounds.contains(&number) => Some(number),
            _ => self.spot.refuse("is out of range", format!("write {example}")),
        }
    }

    /// A duration such as `"15s"` within bounds.
    pub(super) fn duration(self, bounds: RangeInclusive<Duration>) -> Option<Duration> {
        let text = self.text("a duration with its unit, such as \"15s\"")?;
        let (least, most) = (spelled(*bounds.start()), spelled(*bounds.end()));
        match humantime::parse_duration(text) {
            Ok(duration) if bounds.contains(&duration) => Some(duration),
            Ok(_) => self.spot.refuse(
                format!("{} is out of range", quoted(text)),
                format!("write a duration from {least} to {most}"),
            ),
            Err(_) => self.spot.refuse(
                format!("{} is not a duration", quoted(text)),
                "write a number and its unit, such as \"15s\", \"5m\", \"30d\"",
            ),
        }
    }

    /// A size such as `"50MiB"` in bytes, within bounds.
    pub(super) fn size(self, bounds: RangeInclusive<u64>) -> Option<u64> {
        let text = self.text("a size with its unit, such as \"50MiB\"")?;
        match text.parse::<ByteSize>() {
            Ok(ByteSize(bytes)) if bounds.contains(&bytes) => Some(bytes),
            Ok(_) => self.spot.refuse(
                format!("{} is out of range", quoted(text)),
                format!("write a size from {} to {}", ByteSize(*bounds.start()), ByteSize(*bounds.end())),
            ),
            Err(_) => self.spot.refuse(
                format!("{} is not a size", quoted(text)),
                "write a number and its unit, such as \"50MiB\" or \"20GiB\"",
            ),
        }
    }

    /// A path, relative to the file's folder.
    pub(super) fn path(self) -> Option<PathBuf> {
        match self.text("a path in quotes")? {
            "" => self.spot.refuse("is an empty path", "name a file or folder, or remove the key"),
            text if text.contains('\0') => self.spot.refuse("holds a NUL character", "name a file or folder"),
            text => Some(self.spot.source.folder().join(Path::new(text))),
        }
    }

    /// The same, where an empty string means none.
    pub(super) fn path_or_none(self) -> Option<PathBuf> {
        if self.as_str() == Some("") { None } else { self.path() }
    }

    /// Every element of an array, read alike; `None` where one of them is bad.
    pub(super) fn list<T>(self, read: impl FnMut(Value<'a>) -> Option<T>) -> Option<Vec<T>> {
        match self.value {
            DeValue::Array(_) => {
                // All are read before the first bad one ends it, so that every problem is noted.
                let elements: Vec<Option<T>> = self.elements().into_iter().map(read).collect();
                elements.into_iter().collect()
            }
            _ => self.wrong_kind("an array", "a list in brackets, such as [\"…\", \"…\"]"),
        }
    }

    /// The same, where a single value may stand for a list of one.
    pub(super) fn one_or_list<T>(self, mut read: impl FnMut(Value<'a>) -> Option<T>) -> Option<Vec<T>> {
        match self.value {
            DeValue::Array(_) => self.list(read),
            _ => Some(vec![read(self)?]),
        }
    }

    fn elements(self) -> Vec<Value<'a>> {
        let DeValue::Array(array) = self.value else { return Vec::new() };
        let place = |(i, element): (usize, toml::Spanned<DeValue<'a>>)| {
            let spot = self.spot.below(format!("{}[{i}]", self.spot.path), element.span());
            Value { spot, value: element.into_inner() }
        };
        array.into_iter().enumerate().map(place).collect()
    }

    /// A table.
    pub(super) fn section(self) -> Option<Section<'a>> {
        match self.value {
            DeValue::Table(table) => Some(Section::new(self.spot, table)),
            _ => {
                let path = &self.spot.path;
                self.wrong_kind("a table", &format!("{path} = {{ … }} or [{path}]"))
            }
        }
    }

    /// An array of tables.
    pub(super) fn sections(self, key: &str) -> Vec<Section<'a>> {
        match self.value {
            DeValue::Array(_) => self.elements().into_iter().filter_map(Value::section).collect(),
            _ => {
                let message = format!("`{key}` is a list of tables, found {}", kind(&self.value));
                self.spot.refuse::<()>(message, format!("write its header as [[{key}]]"));
                Vec::new()
            }
        }
    }

    /// A moment as RFC 3339 has it, or a date, which is its beginning in UTC; as a string or as TOML's own.
    pub(super) fn moment(self) -> Option<Timestamp> {
        let example = "\"2027-01-31T12:00:00Z\" or \"2027-01-31\"";
        let text = match &self.value {
            DeValue::Datetime(moment) => moment.to_string(),
            _ => self.text(example)?.to_owned(),
        };
        let moment = Timestamp::parse_rfc3339(&text)
            .or_else(|| Timestamp::parse_rfc3339(&format!("{text}T00:00:00Z")));
        match moment {
            Some(moment) => Some(moment),
            None => self.spot.refuse(
                format!("{} is neither a moment with its offset nor a date", quoted(&text)),
                format!("write it like {example}"),
            ),
        }
    }

    /// `[latitude, longitude]`.
    pub(super) fn location(self) -> Option<Location> {
        let spot = self.spot.clone();
        let remedy = "write [latitude, longitude] in degrees, such as [50.11, 8.68]";
        let numbers = self.list(|n| n.number(-180.0..=180.0))?;
        match numbers[..] {
            [latitude, longitude] => match Location::new(latitude, longitude) {
                Ok(location) => Some(location),
                Err(error) => spot.refuse(error.to_string(), remedy),
            },
            _ => spot.refuse("is not a pair of two numbers", remedy),
        }
    }

    /// An autonomous system number.
    pub(super) fn asn(self) -> Option<Asn> {
        self.integer(1..=u32::MAX).map(Asn)
    }

    /// A network in CIDR notation, or an address that stands for itself alone.
    pub(super) fn network(self) -> Option<IpNet> {
        let example = "\"10.0.0.0/8\" or \"2001:db8::/32\"";
        let text = self.text(example)?;
        let parsed = text.parse::<IpNet>().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from));
        let Some(network) = parsed else {
            return self.spot.refuse(
                format!("{} is neither a network nor an address", quoted(text)),
                format!("write {example}"),
            );
        };
        if network.trunc() != network {
            let message = format!("{} has bits beyond its prefix", quoted(text));
            return self.spot.refuse(message, format!("write \"{}\"", network.trunc()));
        }
        match network {
            // Clients that come as ::ffff:a.b.c.d are taken for IPv4, so such a network would never match.
            IpNet::V6(v6) if v6.addr().to_ipv4_mapped().is_some() && v6.prefix_len() >= 96 => {
                self.spot.refuse("is IPv4 written as IPv6", "write the IPv4 network, such as \"10.0.0.0/8\"")
            }
            network => Some(network),
        }
    }

    /// An http or https URL without user info, query and fragment; with a trailing slash added where it lacks one.
    pub(super) fn base_url(self) -> Option<Url> {
        let example = "\"https://mirror.example.net/releases/\"";
        let text = self.text(example)?;
        let mut url = match Url::parse(text) {
            Ok(url) if matches!(url.scheme(), "http" | "https") => url,
            // The text is not repeated: it may hold a password.
            Ok(_) => {
                return self.spot.refuse("is not an http or https URL", format!("write it like {example}"));
            }
            Err(error) => {
                return self
                    .spot
                    .refuse(format!("is not a URL: {error}"), format!("write it like {example}"));
            }
        };
        if !url.username().is_empty() || url.password().is_some() {
            return self.spot.refuse("holds a user name or password", "remove what stands before the @");
        }
        if url.query().is_some() || url.fragment().is_some() {
            return self.spot.refuse("holds a query or fragment", "remove everything from ? or # on");
        }
        if !url.path().ends_with('/') {
            url.set_path(&format!("{}/", url.path()));
        }
        Some(url)
    }

    /// The same for a URL that names a host alone; its path is `/`.
    pub(super) fn host_url(self) -> Option<Url> {
        let spot = self.spot.clone();
        let url = self.base_url()?;
        if url.path() != "/" {
            return spot.refuse(
                "has a path",
                format!("write it without one: \"{}\"", url.origin().ascii_serialization()),
            );
        }
        Some(url)
    }
}

/// A text as it may stand in a message: quoted, escaped, and cut where it is long.
pub(super) fn quoted(text: &str) -> String {
    match text.char_indices().nth(80) {
        Some((at, _)) => format!("{:?}…", &text[..at]),
        None => format!("{text:?}"),
    }
}

/// A bound as the reference configuration writes it: whole days as days, however many.
fn spelled(bound: Duration) -> String {
    let (days, rest) = (bound.as_secs() / 86_400, bound.as_secs() % 86_400);
    match (days, rest, bound.subsec_nanos()) {
        (1.., 0, 0) => format!("{days}d"),
        _ => humantime::format_duration(bound).to_string(),
    }
}
