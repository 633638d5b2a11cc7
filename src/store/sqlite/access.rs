//! Issuers' keys and what was counted, in the database.

use rusqlite::{Row, Transaction, params};

use crate::entitlement::{Counted, FileKey};
use crate::model::Timestamp;
use crate::store::{AccessNote, KnownKeys};

use super::{bytes, text};

/// Reads [`keys`].
pub(super) const KEYS: &str = "SELECT issuer, url, fetched_at, body FROM issuer_keys";
/// Reads [`counted`].
pub(super) const COUNTED: &str = "SELECT issuer, token_id, file, until FROM counted";

pub(super) fn keys(row: &Row<'_>) -> Option<KnownKeys> {
    let (issuer, url, body) = (text(row, 0)?, text(row, 1)?, bytes(row, 3)?.into());
    Some(KnownKeys { issuer, url, fetched_at: Timestamp::from_millis(row.get(2).ok()?), body })
}

pub(super) fn counted(row: &Row<'_>) -> Option<Counted> {
    let file = FileKey(bytes(row, 2)?.try_into().ok()?);
    let until = Timestamp::from_millis(row.get(3).ok()?);
    Some(Counted { issuer: text(row, 0)?.into(), token_id: text(row, 1)?.into(), file, until })
}

pub(super) fn write(transaction: &Transaction<'_>, note: &AccessNote) -> rusqlite::Result<()> {
    let run = |sql: &str, values: &[&dyn rusqlite::ToSql]| {
        transaction.prepare_cached(sql)?.execute(values).map(drop)
    };
    match note {
        AccessNote::Keys(KnownKeys { issuer, url, fetched_at, body }) => run(
            "INSERT INTO issuer_keys (issuer, url, fetched_at, body) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT DO UPDATE SET url = ?2, fetched_at = ?3, body = ?4",
            params![issuer, url, fetched_at.as_millis(), &body[..]],
        ),
        AccessNote::KeysGone { issuer } => run("DELETE FROM issuer_keys WHERE issuer = ?1", params![issuer]),
        AccessNote::Counted(Counted { issuer, token_id, file, until }) => run(
            "INSERT INTO counted (issuer, token_id, file, until) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT DO UPDATE SET until = ?4",
            params![&**issuer, &**token_id, &file.0[..], until.as_millis()],
        ),
        AccessNote::CountedGone { now } => {
            run("DELETE FROM counted WHERE until <= ?1", params![now.as_millis()])
        }
    }
}
