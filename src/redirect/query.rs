//! The query parameters that mean something here; others are ignored.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

/// Most parameters that are looked at: what means something here stands among them, and a head has room for thousands.
const PARAMETERS_MAX: usize = 256;

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
        let value = move |pair: &'a str| match pair.strip_prefix(name)? {
            "" => Some(""),
            rest => rest.strip_prefix('='),
        };
        let values = self.0.split('&').take(PARAMETERS_MAX).filter_map(value);
        values.map(|value| percent_decode_str(value).decode_utf8_lossy())
    }

    /// The first value of a parameter.
    #[inline]
    pub fn first(self, name: &'a str) -> Option<Cow<'a, str>> {
        if self.is_empty() { None } else { self.all(name).next() }
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
        assert_eq!((query.first("avoi"), query.first("mirrors&k")), (None, None));
    }

    #[test]
    fn of_thousands_the_first_are_looked_at() {
        let uri: http::Uri = format!("/x?{}avoid=fra", "a&".repeat(255)).parse().unwrap();
        assert_eq!(Query::of(&uri).first("avoid").as_deref(), Some("fra"));
        let uri: http::Uri = format!("/x?{}avoid=fra", "a&".repeat(7000)).parse().unwrap();
        assert_eq!(Query::of(&uri).first("avoid"), None);
    }
}
