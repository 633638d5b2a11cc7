//! One request to one answer, from one snapshot. Pure: no I/O, no clock, and it cannot fail, it can only answer.
//!
//! 1. Another method than GET or HEAD: 405.
//! 2. A path that is no text, or holds control characters: 400.
//! 3. No snapshot yet: 503 (decided before, in the composition root).
//! 4. On a further public name (`[[host]]`): its prefix is taken off, and a product's own host stands for its name.
//! 5. `hosts.json`. Else the first segment names no product: 404.
//! 6. `install`: the platform's asset of a version or channel; without a platform 400. `releases.json`.
//! 7. The second segment is a version, a channel or `latest`: else 404; a channel that points nowhere yet: 503; a withdrawn
//!    version, or a channel whose release is withdrawn with nothing to fall back to: 410, with the replacement.
//! 8. The rest is an asset's name; by a channel also its name without the version.
//! 9. Else `SHA256SUMS`, `version.txt`, an asset's `.sha256` or `.meta4`, or a platform.
//! 10. What was a 404 until here: the first alias by which it leads somewhere; else 404.
//! 11. Of a product that is not for everybody: a country that it may not be served to: 451. No token or ticket, or one that
//!     is not believed: 401; one that does not give this: 403, or 404 where even the name is not the caller's to know.
//! 12. A list is wanted (`?mirrors`, or an Accept that prefers one): the ranked mirrors.
//! 13. The nearest healthy mirror that holds a verified copy: 302; HEAD where its link would be signed: 200. None: 503.

mod accept;
mod answer;
mod base64;
mod body;
mod documents;
mod exports;
mod guarded;
mod headers;
mod lines;
mod lists;
mod names;
mod page;
mod problem;
mod query;
mod refused;
mod resolve;
mod rights;
mod session;
mod tools;

pub use accept::{Wanted, wanted};
pub use answer::{Answer, Facts, Inquiry, Occasion, answer, ask_of};
pub use body::Body;
pub use exports::hosts_json;
pub use guarded::Passage;
pub use headers::redirects;
pub use problem::problem;
pub use refused::{SESSION_PATH, refusal, status_of};
pub use resolve::{Found, Meaning, Missing, Target};
pub use session::{FORM_MAX, begin as begin_session};
