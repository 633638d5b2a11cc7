//! One request to one answer, from one snapshot. Pure: no I/O, no clock, and it cannot fail, it can only answer.
//!
//! 1. Another method than GET or HEAD: 405.
//! 2. A path that is no text, or holds control characters: 400.
//! 3. No snapshot yet: 503 (decided before, in the composition root).
//! 4. The first segment names no product: 404.
//! 5. `install`: the platform's asset of a version or channel; without a platform 400.
//! 6. The second segment is a version, a channel or `latest`: else 404; a channel that points nowhere yet: 503; a withdrawn
//!    version, or a channel whose release is withdrawn with nothing to fall back to: 410, with the replacement.
//! 7. The rest is an asset's name; by a channel also its name without the version.
//! 8. Else `SHA256SUMS`, `version.txt`, an asset's `.sha256` or `.meta4`, or a platform; else 404.
//! 9. A list is wanted (`?mirrors`, or an Accept that prefers one): the ranked mirrors.
//! 10. The nearest healthy mirror that holds a verified copy: 302. None: 503.

mod accept;
mod answer;
mod headers;
mod lists;
mod problem;
mod query;
mod resolve;

pub use accept::{Wanted, wanted};
pub use answer::{Answer, Body, Facts, Inquiry, answer, ask_of};
pub use headers::templates;
pub use problem::problem;
pub use resolve::{Found, Missing, Target, resolve};
