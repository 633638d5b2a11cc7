//! Which header lines of a request can change the answer.

use http::header::ACCEPT;
use http::{HeaderMap, HeaderName};

/// The header that says the same as `?avoid=`.
pub static AVOID: HeaderName = HeaderName::from_static("waypost-avoid");

/// What of that a request has. Nearly none has any, and to ask the map for each of them means to hash their names.
#[derive(Debug, Clone, Copy, Default)]
pub struct Lines {
    /// An `Accept` that is not `*/*`, as most tools say.
    pub accept: bool,
    /// A `Waypost-Avoid`.
    pub avoid: bool,
}

impl Lines {
    /// Looks at every line once.
    #[inline]
    pub fn of(headers: &HeaderMap) -> Self {
        let mut lines = Self::default();
        for (name, value) in headers {
            lines.accept |= *name == ACCEPT && value.as_bytes() != b"*/*";
            lines.avoid |= *name == AVOID;
        }
        lines
    }
}
