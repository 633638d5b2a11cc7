//! `[audit]`: the record of what was given to whom.

use std::path::Path;

use super::reader::Section;
use super::value::Value;
use super::values::Audit;

/// Name of the file in the state folder, where none is given.
const FILE: &str = "deliveries.jsonl";

/// `[audit]`; `entitled`: whether there is a product of which deliveries are to be recorded.
pub(super) fn audit(mut section: Section<'_>, state: &Path, entitled: bool) -> Audit {
    let spot = section.spot.clone();
    let file = match section.take("file") {
        Some(value) => value.path_or_none(),
        None => entitled.then(|| state.join(FILE)),
    };
    let required = section.get("required", Value::boolean).unwrap_or(false);
    if required && entitled && file.is_none() {
        spot.refuse::<()>(
            "`required` is true, and there is no file to record into, so nothing would be given",
            "name a `file`, or remove `required`",
        );
    }
    let rotate = section.get("rotate", |v| v.size(1 << 10..=1 << 40)).unwrap_or(100 << 20);
    let keep = section.get("keep", |v| v.integer(0..=100_000)).unwrap_or(10);
    section.finish();
    Audit { file, required, rotate, keep }
}
