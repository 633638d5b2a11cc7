//! `[tickets]`: short-lived URLs that stand for a token.

use std::time::Duration;

use super::issuer::secret_files;
use super::reader::Section;
use super::values::Tickets;

const MINUTE: Duration = Duration::from_secs(60);

/// `[tickets]`
pub(super) fn tickets(mut section: Section<'_>) -> Tickets {
    let default = Tickets::default();
    let tickets = Tickets {
        secrets: section.get("secret_file", secret_files).unwrap_or_default(),
        ttl: section.get("ttl", |v| v.duration(MINUTE / 6..=MINUTE * 60)).unwrap_or(default.ttl),
        session: section.get("session", |v| v.duration(MINUTE..=MINUTE * 720)).unwrap_or(default.session),
    };
    section.finish();
    tickets
}
