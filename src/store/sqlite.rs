//! The database: embedded SQLite. Another database takes this place by having the same three
//! methods: `open`, `insert_orders` and `record`.

mod access;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, OptionalExtension, Row, Transaction, params};

use super::order::{Sealed, Unreadable};
use super::{
    Folder, KnownKeys, KnownManifest, Loaded, Observation, OpenNote, ReleaseCopies, StoreError, StoredCopies,
};
use crate::entitlement::Counted;
use crate::model::{MirrorName, ProductName, Sha256, Timestamp, Version};

const NAME: &str = "waypost.db";
/// Scripts that each take the schema one version further; `user_version` counts those that were run.
const MIGRATIONS: [&str; 5] = [
    include_str!("schema/0001_orders_and_observations.sql"),
    include_str!("schema/0002_examined_blocks_singles.sql"),
    include_str!("schema/0003_numbered_copies.sql"),
    include_str!("schema/0004_issuer_keys_and_counts.sql"),
    include_str!("schema/0005_counted_until.sql"),
];

/// The database, open.
#[derive(Debug)]
pub(super) struct Database {
    connection: Connection,
    path: PathBuf,
}

/// Everything in the database.
#[derive(Debug, Default)]
pub(super) struct Contents {
    pub orders: Vec<Sealed>,
    pub manifests: Vec<KnownManifest>,
    pub standings: Vec<(MirrorName, Vec<u8>)>,
    pub copies: StoredCopies,
    pub examined: Vec<(ProductName, Version, Vec<u8>)>,
    pub blocks: Vec<Sha256>,
    pub singles: Vec<(String, Vec<u8>)>,
    pub issuer_keys: Vec<KnownKeys>,
    pub counted: Vec<Counted>,
}

impl From<Contents> for Loaded {
    fn from(contents: Contents) -> Self {
        let Contents { manifests, standings, copies, examined, blocks, singles, .. } = contents;
        let Contents { issuer_keys, counted, .. } = contents;
        Self {
            manifests,
            standings,
            copies,
            examined,
            blocks,
            singles,
            issuer_keys,
            counted,
            ..Self::default()
        }
    }
}

/// What was found in the database's place.
#[derive(Debug)]
pub(super) enum Fate {
    /// A sound database.
    Sound,
    /// Nothing, or an empty file.
    Missing,
    /// Something else, kept under another name, and the orders that could still be read from it.
    Damaged { why: String, kept: PathBuf, salvaged: Vec<Sealed> },
}

impl Fate {
    pub fn salvaged(&self) -> &[Sealed] {
        match self {
            Self::Damaged { salvaged, .. } => salvaged,
            Self::Sound | Self::Missing => &[],
        }
    }

    /// Says what happened; a database that is missing from a new folder is nothing to speak of.
    pub fn note(&self, known: bool, notes: &mut Vec<OpenNote>) {
        match self {
            Self::Damaged { why, kept, .. } => {
                notes.push(OpenNote::DatabaseDamaged { why: why.clone(), kept: kept.clone() });
            }
            Self::Missing if known => notes.push(OpenNote::DatabaseMissing),
            Self::Missing | Self::Sound => {}
        }
    }
}

/// How long a transaction lasts through a loss of power.
enum Durability {
    /// On disk before it is committed.
    Full,
    /// In the order of being committed, the last ones perhaps lost.
    Ordered,
}

impl Database {
    /// Opens the database and reads it whole; makes a new one where there is none or a damaged one.
    pub fn open(folder: &Folder) -> Result<(Self, Contents, Fate), StoreError> {
        let path = folder.file(NAME);
        if !path.try_exists().map_err(StoreError::io("look for", &path))? {
            // A write-ahead log without its database must not meet a new one.
            set_aside(folder)?;
        }
        match Self::try_open(&path) {
            Err(StoreError::Damaged { why, .. }) => {
                let salvaged = salvage(&path)?;
                let kept = set_aside(folder)?;
                let (database, contents, _) = Self::try_open(&path)?;
                folder.sync()?;
                Ok((database, contents, Fate::Damaged { why, kept, salvaged }))
            }
            opened => {
                folder.sync()?;
                opened
            }
        }
    }

    fn try_open(path: &Path) -> Result<(Self, Contents, Fate), StoreError> {
        let mut database = Self { connection: connect(path)?, path: path.into() };
        let fate = database.migrate()?;
        database.check()?;
        let contents = database.load()?;
        Ok((database, contents, fate))
    }

    /// Adds orders in one transaction that is on disk when this returns.
    pub fn insert_orders(&mut self, orders: &[&Sealed]) -> Result<(), StoreError> {
        self.transaction("write", Durability::Full, |transaction| {
            let mut insert = transaction.prepare_cached("INSERT INTO orders (id, line) VALUES (?1, ?2)")?;
            orders.iter().try_for_each(|sealed| {
                insert.execute(params![sealed.order.id.cast_signed(), sealed.line])?;
                Ok(())
            })
        })
    }

    /// Writes observations in one transaction.
    pub fn record(&mut self, batch: &[Observation]) -> Result<(), StoreError> {
        self.transaction("write", Durability::Ordered, |transaction| {
            batch.iter().try_for_each(|observation| write(transaction, observation))
        })
    }

    /// Reads everything. Whatever is not as it was written is damage.
    fn load(&self) -> Result<Contents, StoreError> {
        Ok(Contents {
            orders: self.load_orders()?,
            manifests: self.rows("SELECT product, spelled, body, first_seen FROM manifests", |row| {
                Some(KnownManifest {
                    product: ProductName::new(&text(row, 0)?).ok()?,
                    version: Version::parse(&text(row, 1)?).ok()?,
                    body: bytes(row, 2)?.into(),
                    first_seen: Timestamp::from_millis(row.get(3).ok()?),
                })
            })?,
            standings: self.rows("SELECT mirror, body FROM standings", |row| {
                Some((MirrorName::new(&text(row, 0)?).ok()?, bytes(row, 1)?))
            })?,
            copies: self.load_copies()?,
            examined: self.rows("SELECT product, spelled, body FROM examined", |row| {
                Some((
                    ProductName::new(&text(row, 0)?).ok()?,
                    Version::parse(&text(row, 1)?).ok()?,
                    bytes(row, 2)?,
                ))
            })?,
            blocks: self.rows("SELECT sha256 FROM blocks", |row| {
                Some(Sha256::new(bytes(row, 0)?.try_into().ok()?))
            })?,
            singles: self
                .rows("SELECT name, body FROM singles", |row| Some((text(row, 0)?, bytes(row, 1)?)))?,
            issuer_keys: self.rows(access::KEYS, access::keys)?,
            counted: self.rows(access::COUNTED, access::counted)?,
        })
    }

    /// The digests of a file's blocks.
    pub fn blocks(&self, sha256: &Sha256) -> Result<Option<Vec<u8>>, StoreError> {
        let mut select = self
            .connection
            .prepare_cached("SELECT body FROM blocks WHERE sha256 = ?1")
            .map_err(StoreError::sql("read", &self.path))?;
        let found = select.query_row(params![&sha256.as_bytes()[..]], |row| row.get(0)).optional();
        found.map_err(StoreError::sql("read", &self.path))
    }

    /// Orders below a number, the newest first, at most `most`.
    pub fn orders_before(&self, id: u64, most: usize) -> Result<Vec<Sealed>, StoreError> {
        let failed = StoreError::sql("read", &self.path);
        let sql = "SELECT line FROM orders WHERE id < ?1 ORDER BY id DESC LIMIT ?2";
        let mut select = self.connection.prepare_cached(sql).map_err(&failed)?;
        let below = i64::try_from(id).unwrap_or(i64::MAX);
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        let lines = select.query_map(params![below, most], |row| row.get::<_, String>(0)).map_err(&failed)?;
        let read = |line: rusqlite::Result<String>| {
            let line = line.map_err(&failed)?;
            Sealed::read(line.as_bytes()).map_err(|_| self.damaged("an order does not fit its checksum"))
        };
        lines.map(read).collect()
    }

    fn load_orders(&self) -> Result<Vec<Sealed>, StoreError> {
        let lines = self.rows("SELECT id, line FROM orders ORDER BY id", |row| {
            Some((row.get::<_, i64>(0).ok()?.cast_unsigned(), text(row, 1)?))
        })?;
        let read = |(id, line): (u64, String)| match Sealed::read(line.as_bytes()) {
            Ok(sealed) if sealed.order.id == id => Ok(sealed),
            Ok(_) | Err(Unreadable::Damaged) => Err(self.damaged("an order does not fit its checksum")),
            Err(Unreadable::Unknown) => Err(StoreError::NewerOrder { path: self.path.clone(), line: id }),
        };
        lines.into_iter().map(read).collect()
    }

    fn load_copies(&self) -> Result<StoredCopies, StoreError> {
        let mirrors = self.rows("SELECT id, name FROM mirrors", |row| {
            Some((row.get::<_, i64>(0).ok()?, MirrorName::new(&text(row, 1)?).ok()?))
        })?;
        let releases = self.rows("SELECT id, product, version FROM releases", |row| {
            let product = ProductName::new(&text(row, 1)?).ok()?;
            Some((row.get::<_, i64>(0).ok()?, product, Version::parse(&text(row, 2)?).ok()?))
        })?;
        let places: HashMap<i64, u32> = mirrors.iter().map(|(id, _)| *id).zip(0..).collect();
        let mut copies = StoredCopies::of(mirrors.into_iter().map(|(_, name)| name).collect());
        let failed = StoreError::sql("read", &self.path);
        let sql = "SELECT mirror, body FROM copies WHERE release = ?1 ORDER BY mirror";
        let mut select = self.connection.prepare(sql).map_err(&failed)?;
        for (id, product, version) in releases {
            let mut held = ReleaseCopies::new(product, version);
            let mut rows = select.query(params![id]).map_err(&failed)?;
            while let Some(row) = rows.next().map_err(&failed)? {
                let place = row.get(0).ok().and_then(|mirror: i64| places.get(&mirror));
                let body = row.get_ref(1).ok().and_then(|body| body.as_blob().ok());
                let (place, body) = place.zip(body).ok_or_else(|| self.damaged("a row cannot be read"))?;
                held.push(*place, body);
            }
            copies.releases.push(held);
        }
        Ok(copies)
    }

    fn rows<T>(&self, sql: &str, read: impl Fn(&Row<'_>) -> Option<T>) -> Result<Vec<T>, StoreError> {
        let failed = StoreError::sql("read", &self.path);
        let mut select = self.connection.prepare(sql).map_err(&failed)?;
        let rows = select.query_map([], |row| Ok(read(row))).map_err(&failed)?;
        rows.map(|row| row.map_err(&failed)?.ok_or_else(|| self.damaged("a row cannot be read"))).collect()
    }

    fn damaged(&self, why: &str) -> StoreError {
        StoreError::Damaged { path: self.path.clone(), why: why.into() }
    }

    fn transaction(
        &mut self,
        doing: &'static str,
        durability: Durability,
        work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<()>,
    ) -> Result<(), StoreError> {
        let synchronous = match durability {
            Durability::Full => "FULL",
            Durability::Ordered => "NORMAL",
        };
        let run = || {
            self.connection.pragma_update(None, "synchronous", synchronous)?;
            let transaction = self.connection.transaction()?;
            work(&transaction)?;
            transaction.commit()
        };
        run().map_err(StoreError::sql(doing, &self.path))
    }

    /// Brings the schema up to date. Nothing is written into a database that is newer.
    fn migrate(&mut self) -> Result<Fate, StoreError> {
        let path = self.path.clone();
        let failed = StoreError::sql("open", &path);
        let found: i64 =
            self.connection.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(&failed)?;
        let known = MIGRATIONS.len() as i64;
        if found > known {
            // A damaged header can look like a newer schema; what follows it seldom fits.
            self.check()?;
            return Err(StoreError::NewerSchema { path: self.path.clone(), found, known });
        }
        self.connection.pragma_update(None, "journal_mode", "WAL").map_err(&failed)?;
        for (version, script) in (1_i64..).zip(MIGRATIONS) {
            if version > found {
                self.transaction("migrate", Durability::Full, |transaction| {
                    transaction.execute_batch(script)?;
                    transaction.pragma_update(None, "user_version", version)
                })?;
            }
        }
        Ok(if found == 0 { Fate::Missing } else { Fate::Sound })
    }

    /// Looks at every page of the file. Reading the rows passes most pages too, but not indexes and free pages: damage in
    /// those would be met by some write later on, which then fails, at every start again. A file of 250 MB with a million
    /// rows costs 0.2 s of one core, while GeoIP databases are compiled on the others; at that price it is not put off.
    fn check(&self) -> Result<(), StoreError> {
        let answer: String = self
            .connection
            .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
            .map_err(StoreError::sql("check", &self.path))?;
        if answer == "ok" { Ok(()) } else { Err(self.damaged(&answer)) }
    }
}

fn connect(path: &Path) -> Result<Connection, StoreError> {
    let open = || {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_CREATE
            | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags)?;
        connection.busy_timeout(Duration::from_secs(5))?;
        // The folder belongs to one process: no shared memory file is needed, and nobody else writes.
        connection.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
        connection.pragma_update(None, "foreign_keys", true)?;
        connection.pragma_update(None, "temp_store", "MEMORY")?;
        connection.pragma_update(None, "journal_size_limit", 64 << 20)?;
        Ok(connection)
    };
    open().map_err(StoreError::sql("open", path))
}

/// The orders that can still be read from a damaged database, from both ends: the journal may be lost too.
fn salvage(path: &Path) -> Result<Vec<Sealed>, StoreError> {
    let mut orders: Vec<Sealed> = Vec::new();
    let Ok(connection) = connect(path) else { return Ok(orders) };
    // With this SQLite reads past what is wrong in the schema; where it does not, there is less to read.
    let _ = connection.pragma_update(None, "writable_schema", true);
    for sql in ["SELECT id, line FROM orders ORDER BY id", "SELECT id, line FROM orders ORDER BY id DESC"] {
        let Ok(mut select) = connection.prepare(sql) else { continue };
        let Ok(lines) = select.query_map([], |row| Ok(text(row, 1).zip(row.get::<_, i64>(0).ok()))) else {
            continue;
        };
        for (line, id) in lines.map_while(Result::ok).flatten() {
            match Sealed::read(line.as_bytes()) {
                Ok(sealed) => orders.push(sealed),
                Err(Unreadable::Damaged) => {}
                Err(Unreadable::Unknown) => {
                    return Err(StoreError::NewerOrder { path: path.into(), line: id.cast_unsigned() });
                }
            }
        }
    }
    orders.sort_by(|a, b| (a.order.id, &a.line).cmp(&(b.order.id, &b.line)));
    orders.dedup_by(|a, b| a.line == b.line);
    Ok(orders)
}

/// Moves the database and its log out of the way, under names that belong together.
fn set_aside(folder: &Folder) -> Result<PathBuf, StoreError> {
    let aside = folder.aside(NAME);
    for suffix in ["", "-wal", "-shm"] {
        let from = folder.file(&format!("{NAME}{suffix}"));
        let mut to = aside.clone().into_os_string();
        to.push(suffix);
        match fs::rename(&from, to) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(StoreError::io("set aside", &from)(error));
            }
            _ => {}
        }
    }
    Ok(aside)
}

fn text(row: &Row<'_>, column: usize) -> Option<String> {
    row.get(column).ok()
}

fn bytes(row: &Row<'_>, column: usize) -> Option<Vec<u8>> {
    row.get(column).ok()
}

/// Writes nothing where the mirror or the release has no number yet.
const WRITE_COPIES: &str = "INSERT INTO copies (release, mirror, body)
    SELECT releases.id, mirrors.id, ?4 FROM releases, mirrors
    WHERE mirrors.name = ?1 AND releases.product = ?2 AND releases.version = ?3
    ON CONFLICT DO UPDATE SET body = excluded.body";

fn write(transaction: &Transaction<'_>, observation: &Observation) -> rusqlite::Result<()> {
    let run = |sql: &str, values: &[&dyn rusqlite::ToSql]| {
        transaction.prepare_cached(sql)?.execute(values).map(drop)
    };
    match observation {
        Observation::Manifest(KnownManifest { product, version, body, first_seen }) => run(
            "INSERT INTO manifests (product, version, spelled, first_seen, body) VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT DO UPDATE SET spelled = ?3, first_seen = ?4, body = ?5",
            params![product.as_str(), version.bare(), version.as_str(), first_seen.as_millis(), &body[..]],
        ),
        Observation::ManifestGone { product, version } => {
            let release = params![product.as_str(), version.bare()];
            run("DELETE FROM manifests WHERE product = ?1 AND version = ?2", release)?;
            run("DELETE FROM examined WHERE product = ?1 AND version = ?2", release)?;
            let copies = "DELETE FROM copies
                          WHERE release = (SELECT id FROM releases WHERE product = ?1 AND version = ?2)";
            run(copies, release)?;
            run("DELETE FROM releases WHERE product = ?1 AND version = ?2", release)
        }
        Observation::Standing { mirror, body } => run(
            "INSERT INTO standings (mirror, body) VALUES (?1, ?2) ON CONFLICT DO UPDATE SET body = ?2",
            params![mirror.as_str(), body],
        ),
        Observation::Copies { mirror, product, version, body } => {
            let of = params![mirror.as_str(), product.as_str(), version.bare(), body];
            if transaction.prepare_cached(WRITE_COPIES)?.execute(of)? == 0 {
                run("INSERT INTO mirrors (name) VALUES (?1) ON CONFLICT DO NOTHING", &of[..1])?;
                let release =
                    "INSERT INTO releases (product, version) VALUES (?1, ?2) ON CONFLICT DO NOTHING";
                run(release, &of[1..3])?;
                run(WRITE_COPIES, of)?;
            }
            Ok(())
        }
        Observation::CopiesGone { mirror, product, version } => run(
            "DELETE FROM copies
             WHERE release = (SELECT id FROM releases WHERE product = ?2 AND version = ?3)
               AND mirror = (SELECT id FROM mirrors WHERE name = ?1)",
            params![mirror.as_str(), product.as_str(), version.bare()],
        ),
        Observation::Examined { product, version, body } => run(
            "INSERT INTO examined (product, version, spelled, body) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT DO UPDATE SET spelled = ?3, body = ?4",
            params![product.as_str(), version.bare(), version.as_str(), body],
        ),
        Observation::Blocks { sha256, body } => run(
            "INSERT INTO blocks (sha256, body) VALUES (?1, ?2) ON CONFLICT DO UPDATE SET body = ?2",
            params![&sha256.as_bytes()[..], body],
        ),
        Observation::BlocksGone { sha256 } => {
            run("DELETE FROM blocks WHERE sha256 = ?1", params![&sha256.as_bytes()[..]])
        }
        Observation::Single { name, body } => run(
            "INSERT INTO singles (name, body) VALUES (?1, ?2) ON CONFLICT DO UPDATE SET body = ?2",
            params![name, body],
        ),
        Observation::Access(note) => access::write(transaction, note),
        Observation::MirrorGone { mirror } => {
            let mirror = params![mirror.as_str()];
            run("DELETE FROM standings WHERE mirror = ?1", mirror)?;
            // Release by release, as the rows lie; an index would make the table half as large again.
            let copies = "DELETE FROM copies
                          WHERE release IN (SELECT id FROM releases)
                            AND mirror = (SELECT id FROM mirrors WHERE name = ?1)";
            run(copies, mirror)?;
            run("DELETE FROM mirrors WHERE name = ?1", mirror)
        }
    }
}
