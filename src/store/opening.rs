//! What opening the store finds: the facts, and what had to be repaired.

use std::fmt;
use std::path::PathBuf;

use super::{KnownKeys, KnownManifest, Order, StoredCopies};
use crate::entitlement::Counted;
use crate::model::{MirrorName, ProductName, Sha256, Version};

/// Everything the store holds, as it was when it was opened.
#[derive(Debug, Default)]
pub struct Loaded {
    /// All orders ever given, by ascending number.
    pub orders: Vec<Order>,
    /// Known manifests, in no particular order.
    pub manifests: Vec<KnownManifest>,
    /// How mirrors stood.
    pub standings: Vec<(MirrorName, Vec<u8>)>,
    /// What mirrors held, one entry per mirror and release.
    pub copies: StoredCopies,
    /// What is known of releases beside their manifests.
    pub examined: Vec<(ProductName, Version, Vec<u8>)>,
    /// Files whose blocks are known; [`super::Store::blocks`] reads them.
    pub blocks: Vec<Sha256>,
    /// Things of which there is one, by name.
    pub singles: Vec<(String, Vec<u8>)>,
    /// Issuers' keys as they were fetched last.
    pub issuer_keys: Vec<KnownKeys>,
    /// Files that tokens have taken, and when that was written down.
    pub counted: Vec<Counted>,
    /// What was found amiss and repaired, for the log.
    pub notes: Vec<OpenNote>,
    /// The folder was in use before, and neither the database nor the journal is whole any more: orders are lost.
    /// Said by the opening that finds it, not by later ones.
    pub state_lost: bool,
}

/// Something that opening the store repaired.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OpenNote {
    /// The folder was in use before and has no database, or an empty one.
    DatabaseMissing,
    /// The database cannot be read.
    DatabaseDamaged {
        /// What is wrong with it.
        why: String,
        /// Where it is kept; the file can be deleted.
        kept: PathBuf,
    },
    /// Orders that were only in the journal are in the database again.
    DatabaseRefilled {
        /// How many.
        orders: usize,
    },
    /// The folder was in use before and has no journal, or an empty one.
    JournalMissing,
    /// The last line was never completed, as a crash leaves it: an order that was not acknowledged.
    JournalTorn {
        /// Bytes that were cut off.
        bytes: u64,
    },
    /// Lines of the journal cannot be read; a journal of the others was written.
    JournalDamaged {
        /// How many lines.
        lines: usize,
        /// Where the damaged journal is kept; the file can be deleted.
        kept: PathBuf,
    },
    /// Orders that were only in the database are in the journal again.
    JournalRefilled {
        /// How many.
        orders: usize,
    },
}

impl fmt::Display for OpenNote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DatabaseMissing => write!(f, "waypost.db is missing; a new one was made"),
            Self::DatabaseDamaged { why, kept } => {
                write!(f, "waypost.db is damaged ({why}); it was set aside as {}", kept.display())
            }
            Self::DatabaseRefilled { orders } => {
                write!(f, "{orders} orders were only in orders.jsonl; they are in waypost.db again")
            }
            Self::JournalMissing => write!(f, "orders.jsonl is missing; a new one was made"),
            Self::JournalTorn { bytes } => {
                write!(f, "the last line of orders.jsonl was incomplete; {bytes} bytes were cut off")
            }
            Self::JournalDamaged { lines, kept } => write!(
                f,
                "orders.jsonl is damaged ({lines} lines cannot be read); it was set aside as {}",
                kept.display()
            ),
            Self::JournalRefilled { orders } => {
                write!(f, "{orders} orders were only in waypost.db; they are in orders.jsonl again")
            }
        }
    }
}
