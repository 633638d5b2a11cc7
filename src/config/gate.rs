//! `[[gate]]`: what stops a pipeline, and who answers for it.

use super::document::Documents;
use super::reader::Section;
use super::value::Value;
use super::values::{Gate, GateMode};
use crate::model::Check;

/// Most lines of gates.
const GATES_MAX: usize = 1000;
/// Longest name of somebody, in bytes.
const NAME_MAX: usize = 128;

/// Every `[[gate]]`.
pub(super) fn gates(documents: &mut Documents<'_>) -> Vec<Gate> {
    documents.tables("gate", GATES_MAX).into_iter().filter_map(gate).collect()
}

fn gate(mut section: Section<'_>) -> Option<Gate> {
    let words: Vec<(&str, Check)> = Check::ALL.iter().map(|check| (check.as_str(), *check)).collect();
    let check = section.require("check", "\"signatures\"", |v| v.word(&words));
    let mode = section
        .get("mode", |v| v.word(&[("gate", GateMode::Gate), ("informational", GateMode::Informational)]));
    let owner = section.get("owner", |v| if v.as_str() == Some("") { None } else { name(v) });
    let products = section.get("products", |v| v.one_or_list(|v| v.parsed("\"tool\"")));
    section.finish();
    let check = check?;
    let mode = mode.unwrap_or(GateMode::default_of(check));
    Some(Gate { check, mode, owner: owner.unwrap_or_default(), products: products.unwrap_or_default() })
}

/// Whom to ask, or who did it: a name that reports and the audit show.
pub(super) fn name(value: Value<'_>) -> Option<String> {
    let text = value.text("\"release-team\"")?;
    if text.is_empty() || text.len() > NAME_MAX || text.chars().any(char::is_control) {
        let remedy = format!("write up to {NAME_MAX} bytes of text, such as \"release-team\"");
        return value.spot().refuse("is no name", remedy);
    }
    Some(text.to_owned())
}
