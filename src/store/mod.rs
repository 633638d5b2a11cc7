//! What the service remembers: orders, which are never lost, and observations, which can be made again.
//!
//! An order is on disk in two places before it is acknowledged: in the journal, an append-only file of checksummed
//! lines, and in the database. At every start each of the two is filled up from the other, so that losing or damaging
//! one of them loses nothing. Observations are in the database alone; the last ones before a loss of power may be missing.
//!
//! ```text
//! state/waypost.lock    held by the one process that uses the folder
//! state/orders.jsonl    the journal
//! state/waypost.db      the database (with waypost.db-wal while it is in use)
//! state/state.id        tells a new folder from one that lost both
//! state/*.damaged-*     what was found damaged, kept for whoever wants to look
//! ```
//!
//! All calls block, on disk where they write. One thread owns the [`Store`].

mod access;
mod error;
mod folder;
mod journal;
mod observation;
mod opening;
mod order;
mod sqlite;
mod stored_copies;

use std::collections::{BTreeMap, HashSet};
use std::path::Path;

use crate::model::Sha256;

pub use access::{AccessNote, KnownKeys};
pub use error::StoreError;
pub use observation::{BODY_MAX, KnownManifest, Observation};
pub use opening::{Loaded, OpenNote};
pub use order::{Action, NewOrder, Order};
pub use stored_copies::{ReleaseCopies, StoredCopies};

use folder::Folder;
use journal::Journal;
use order::Sealed;
use sqlite::{Database, Fate};

/// The open store. Dropping it lets the folder go.
#[derive(Debug)]
pub struct Store {
    journal: Journal,
    database: Database,
    /// The number of the last order; 0 before the first.
    last: u64,
    // Dropped last, so that the folder is ours until the database is closed.
    _folder: Folder,
}

impl Store {
    /// Opens the store in `folder`, which is made when missing, repairs what can be repaired and reads everything.
    ///
    /// # Errors
    /// Another process has the folder; it cannot be written or is full; a newer program wrote it; the journal and the
    /// database contradict each other. No error loses anything.
    pub fn open(folder: &Path) -> Result<(Self, Loaded), StoreError> {
        let folder = Folder::open(folder)?;
        let known = folder.is_marked()?;
        let found = Journal::open(&folder)?;
        let (mut database, contents, fate) = Database::open(&folder)?;
        let state_lost = known && found.journal.is_none() && !matches!(fate, Fate::Sound);

        let mut notes = Vec::new();
        let history = merge(&folder, [&found.orders, &contents.orders, fate.salvaged()])?;
        fate.note(known, &mut notes);
        let unstored = missing(&history, &contents.orders);
        if !unstored.is_empty() {
            database.insert_orders(&unstored)?;
            notes.push(OpenNote::DatabaseRefilled { orders: unstored.len() });
        }
        found.note_torn(&mut notes);
        let unwritten = missing(&history, &found.orders);
        let journal = match found.journal {
            Some(journal) => journal.extended(&unwritten)?,
            None => {
                let (journal, kept) = Journal::create(&folder, history.values().copied())?;
                match kept {
                    Some(kept) => notes.push(OpenNote::JournalDamaged { lines: found.damaged.max(1), kept }),
                    None if known => notes.push(OpenNote::JournalMissing),
                    None => {}
                }
                journal
            }
        };
        if !unwritten.is_empty() {
            notes.push(OpenNote::JournalRefilled { orders: unwritten.len() });
        }
        if !known {
            folder.mark()?;
        }
        let last = history.keys().last().copied().unwrap_or(0);
        let orders = history.values().map(|sealed| sealed.order.clone()).collect();
        let loaded = Loaded { orders, notes, state_lost, ..contents.into() };
        Ok((Self { journal, database, last, _folder: folder }, loaded))
    }

    /// Gives an order its number and writes it down. It is on disk, in the journal and in the database, when this
    /// returns; costs two waits for the disk.
    ///
    /// # Errors
    /// The actor or the reason is too long, the disk is full or failing. The order is then in neither place (but for
    /// a loss of power at that moment, after which it may be there), and the next one may succeed.
    pub fn append(&mut self, order: NewOrder) -> Result<Order, StoreError> {
        bounded("an actor", order.actor.len(), NewOrder::ACTOR_MAX)?;
        bounded("a reason", order.reason.len(), NewOrder::REASON_MAX)?;
        // At the largest number the database refuses the second one of its kind.
        let sealed = Sealed::new(order.numbered(self.last.saturating_add(1)));
        let before = self.journal.end();
        self.journal.append(&sealed.line)?;
        if let Err(error) = self.database.insert_orders(&[&sealed]) {
            self.journal.rewind(before);
            return Err(error);
        }
        self.last = sealed.order.id;
        Ok(sealed.order)
    }

    /// Orders below a number, the newest first, at most `most`: the audit, page by page.
    ///
    /// # Errors
    /// The database cannot be read.
    pub fn orders_before(&self, id: u64, most: usize) -> Result<Vec<Order>, StoreError> {
        Ok(self.database.orders_before(id, most)?.into_iter().map(|sealed| sealed.order).collect())
    }

    /// The digests of a file's blocks, as they were recorded; `None` where they never were.
    ///
    /// # Errors
    /// The database cannot be read.
    pub fn blocks(&self, sha256: &Sha256) -> Result<Option<Vec<u8>>, StoreError> {
        self.database.blocks(sha256)
    }

    /// Writes observations, all or none, in the order of the batch. They outlive the process when this returns, and a
    /// loss of power some time later.
    ///
    /// # Errors
    /// A body is too long, the disk is full or failing. Nothing of the batch is written.
    pub fn record(&mut self, batch: &[Observation]) -> Result<(), StoreError> {
        for observation in batch {
            bounded("an observation", observation.body_len(), BODY_MAX)?;
        }
        if batch.is_empty() { Ok(()) } else { self.database.record(batch) }
    }
}

fn bounded(what: &'static str, bytes: usize, max: usize) -> Result<(), StoreError> {
    if bytes > max { Err(StoreError::TooLong { what, bytes, max }) } else { Ok(()) }
}

/// Orders by number.
type History<'a> = BTreeMap<u64, &'a Sealed>;

/// All orders of all places. Two different ones with the same number are not ours to choose from.
fn merge<'a>(folder: &Folder, places: [&'a [Sealed]; 3]) -> Result<History<'a>, StoreError> {
    let mut history = History::new();
    for sealed in places.into_iter().flatten() {
        let id = sealed.order.id;
        if history.insert(id, sealed).is_some_and(|other| other.line != sealed.line) {
            return Err(StoreError::TwoHistories { folder: folder.path().into(), id });
        }
    }
    Ok(history)
}

/// The orders that are not in `place`.
fn missing<'a>(history: &History<'a>, place: &[Sealed]) -> Vec<&'a Sealed> {
    let there: HashSet<u64> = place.iter().map(|sealed| sealed.order.id).collect();
    history.values().copied().filter(|sealed| !there.contains(&sealed.order.id)).collect()
}
