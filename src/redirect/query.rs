//! The query parameters that mean something here; others are ignored.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

/// The parameters of a query in order; how long it can be is for the server's bound on request heads. What is not UTF-8
/// after decoding is replaced, not refused: an unknown parameter must not turn an answer into an error.
#[derive(Debug, Clone, Copy)]
pub struct Query<'a>(&'a str);

impl<'a> Query<'a> {
    /// Of a URI.
    pub fn of(uri: &'a http::Uri) -> Self {
        Self(uri.query().unwrap_or_default())
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All values of a parameter; one without `=` has an empty value.
    pub fn all(self, name: &'a str) -> impl Iterator<Item = Cow<'a, str>> {
        let pairs = self.0.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
        pairs
            .filter(move |(key, _)| *key == name)
            .map(|(_, value)| percent_decode_str(value).decode_utf8_lossy())
    }

    /// The first value of a parameter.
    pub fn first(self, name: &'a str) -> Option<Cow<'a, str>> {
        self.all(name).next()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_decoded_and_repeated_ones_kept() {
        let uri: http::Uri = "/x?avoid=fra,sin&mirrors&avoid=https%3A%2F%2Fh%2Fa&k=%ff".parse().unwrap();
        let query = Query::of(&uri);
        assert_eq!(query.all("avoid").collect::<Vec<_>>(), ["fra,sin", "https://h/a"]);
        assert_eq!(query.first("mirrors").as_deref(), Some(""));
        assert_eq!(query.first("k").as_deref(), Some("\u{fffd}"));
        assert_eq!(query.first("nothing"), None);
    }
}
