//! `[[gate]]` and `[admin]`: what stops a pipeline, and who may change what.

use super::document::{Documents, Unique};
use super::reader::Section;
use super::value::Value;
use super::values::{Admin, AdminToken, Gate, GateMode};
use crate::model::{Check, Role, Sha256, is_reserved_actor};

/// Most lines of gates, and most tokens.
const ENTRIES_MAX: usize = 1000;
/// Longest owner and token name, in bytes.
const NAME_MAX: usize = 128;

/// Every `[[gate]]`.
pub(super) fn gates(documents: &mut Documents<'_>) -> Vec<Gate> {
    documents.tables("gate", ENTRIES_MAX).into_iter().filter_map(gate).collect()
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

fn name(value: Value<'_>) -> Option<String> {
    let text = value.text("\"release-team\"")?;
    if text.is_empty() || text.len() > NAME_MAX || text.chars().any(char::is_control) {
        let remedy = format!("write up to {NAME_MAX} bytes of text, such as \"release-team\"");
        return value.spot().refuse("is no name", remedy);
    }
    Some(text.to_owned())
}

/// `[admin]`
pub(super) fn admin(mut section: Section<'_>) -> Admin {
    let open_look = section.get("look", |v| v.word(&[("open", true), ("token", false)])).unwrap_or(true);
    let (mut names, mut digests) = (Unique::default(), Unique::default());
    let mut tokens = Vec::new();
    let tables = section.tables("token");
    if let Some(over) = tables.get(ENTRIES_MAX) {
        over.spot.refuse::<()>(format!("there are more than {ENTRIES_MAX} tokens"), "remove some");
    }
    for table in tables.into_iter().take(ENTRIES_MAX) {
        tokens.extend(token(table, &mut names, &mut digests));
    }
    section.finish();
    Admin { open_look, tokens }
}

fn token(mut section: Section<'_>, names: &mut Unique, digests: &mut Unique) -> Option<AdminToken> {
    let name = section.require("name", "\"ci\"", |value| {
        let spot = value.spot().clone();
        let name = name(value)?;
        if is_reserved_actor(&name) {
            let message =
                format!("{name:?} is how the audit names what the service and the origin do by themselves");
            return spot.refuse(message, "use another name");
        }
        names.claim(&spot, &name).map(|()| name)
    });
    let words: Vec<(&str, Role)> = Role::ALL.iter().map(|role| (role.as_str(), *role)).collect();
    let role = section.require("role", "\"release\"", |v| v.word(&words));
    let sha256 =
        section.require("sha256", "\"<the token's SHA-256>\"; `waypost admin token` makes both", |value| {
            let spot = value.spot().clone();
            let Ok(sha256) = value.text("64 hexadecimal digits")?.parse::<Sha256>() else {
                // The text is not repeated: somebody may have written the token itself.
                return spot.refuse("is no SHA-256", "write 64 hexadecimal digits, never the token itself");
            };
            // Two names for one token, and the audit could not tell who it was.
            digests.claim(&spot, &sha256.to_string()).map(|()| sha256)
        });
    section.finish();
    Some(AdminToken { name: name?, sha256: sha256?, role: role? })
}
