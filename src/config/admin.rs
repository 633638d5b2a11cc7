//! `[admin]`: who may look, and who may change what.

use super::document::Unique;
use super::gate::name;
use super::reader::Section;
use super::values::{Admin, AdminToken};
use crate::model::{Role, Sha256, is_reserved_actor};

/// Most tokens.
const TOKENS_MAX: usize = 1000;

/// `[admin]`
pub(super) fn admin(mut section: Section<'_>) -> Admin {
    let open_look = section.get("look", |v| v.word(&[("open", true), ("token", false)])).unwrap_or(true);
    let (mut names, mut digests) = (Unique::default(), Unique::default());
    let mut tokens = Vec::new();
    let tables = section.tables("token");
    if let Some(over) = tables.get(TOKENS_MAX) {
        over.spot.refuse::<()>(format!("there are more than {TOKENS_MAX} tokens"), "remove some");
    }
    for table in tables.into_iter().take(TOKENS_MAX) {
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
