//! The journal: an append-only file of orders, one line each, beside the database.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::order::{Sealed, Unreadable};
use super::{Folder, OpenNote, StoreError};

const NAME: &str = "orders.jsonl";
const DRAFT: &str = "orders.jsonl.new";
/// The first line. A journal is made under another name and renamed when it has this, so an empty file is a lost one.
const HEADER: &str = r#"{"journal":"waypost orders"}"#;

/// The journal, open for appending.
#[derive(Debug)]
pub(super) struct Journal {
    file: File,
    path: PathBuf,
    /// Where the last complete line ends.
    end: u64,
    /// Whether there may be something after `end` that a failed write left.
    unsettled: bool,
}

/// What was found in the journal's place.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// The journal; `None` where a new one must be written.
    pub journal: Option<Journal>,
    /// The orders that can be read.
    pub orders: Vec<Sealed>,
    /// Lines that cannot be read.
    pub damaged: usize,
    /// Bytes of a last line that was never completed; they were cut off.
    pub torn: u64,
}

impl Found {
    pub fn note_torn(&self, notes: &mut Vec<OpenNote>) {
        if self.torn > 0 && self.journal.is_some() {
            notes.push(OpenNote::JournalTorn { bytes: self.torn });
        }
    }
}

impl Journal {
    /// Reads what is there. A torn last line is cut off; anything worse leaves the file as it is, for `create`.
    pub fn open(folder: &Folder) -> Result<Found, StoreError> {
        let path = folder.file(NAME);
        let file = match OpenOptions::new().read(true).write(true).open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Found::default()),
            Err(error) => return Err(StoreError::io("open", &path)(error)),
        };
        let mut journal = Self { file, path, end: 0, unsettled: false };
        let mut found = Found::default();
        let shape = journal.read(&mut found)?;
        if shape.headed && found.damaged == 0 {
            journal.end = shape.end;
            journal.unsettled = found.torn > 0;
            journal.settle()?;
            if shape.unterminated {
                journal.append("")?;
            }
            found.journal = Some(journal);
        }
        Ok(found)
    }

    /// Writes a new journal that holds `orders`. A file in its place is kept under the name that is returned.
    pub fn create<'a>(
        folder: &Folder,
        orders: impl Iterator<Item = &'a Sealed>,
    ) -> Result<(Self, Option<PathBuf>), StoreError> {
        let (path, draft) = (folder.file(NAME), folder.file(DRAFT));
        let mut text = String::from(HEADER);
        orders.for_each(|order| {
            text.push('\n');
            text.push_str(&order.line);
        });
        text.push('\n');
        let mut file = File::create(&draft).map_err(StoreError::io("create", &draft))?;
        file.write_all(text.as_bytes())
            .and_then(|()| file.sync_all())
            .map_err(StoreError::io("write", &draft))?;
        let kept = keep(folder, &path)?;
        fs::rename(&draft, &path).map_err(StoreError::io("put in place", &path))?;
        folder.sync()?;
        Ok((Self { file, path, end: text.len() as u64, unsettled: false }, kept))
    }

    /// Where the journal ends now, for `rewind`.
    pub fn end(&self) -> u64 {
        self.end
    }

    /// Writes a line (or several, joined by newlines) and waits until it is on disk. After an error the journal is
    /// as it was before.
    pub fn append(&mut self, line: &str) -> Result<(), StoreError> {
        self.settle()?;
        let text = format!("{line}\n");
        self.unsettled = true;
        let written = self
            .file
            .write_all_at(text.as_bytes(), self.end)
            .and_then(|()| self.file.sync_data())
            .map_err(StoreError::io("write", &self.path));
        match written {
            Ok(()) => {
                self.end += text.len() as u64;
                self.unsettled = false;
                Ok(())
            }
            Err(error) => {
                self.rewind(self.end);
                Err(error)
            }
        }
    }

    /// The journal with more orders at its end.
    pub fn extended(mut self, orders: &[&Sealed]) -> Result<Self, StoreError> {
        if !orders.is_empty() {
            let lines: Vec<&str> = orders.iter().map(|sealed| sealed.line.as_str()).collect();
            self.append(&lines.join("\n"))?;
        }
        Ok(self)
    }

    /// Takes back what was written after `end`. Where that fails it is done before the next line is written.
    pub fn rewind(&mut self, end: u64) {
        self.end = end;
        self.unsettled = true;
        if let Err(error) = self.settle() {
            tracing::warn!(%error, "an order that failed is still in the journal; it is cut off before the next one");
        }
    }

    fn settle(&mut self) -> Result<(), StoreError> {
        if self.unsettled {
            self.file
                .set_len(self.end)
                .and_then(|()| self.file.sync_data())
                .map_err(StoreError::io("cut", &self.path))?;
            self.unsettled = false;
        }
        Ok(())
    }

    fn read(&self, found: &mut Found) -> Result<Shape, StoreError> {
        let mut input = BufReader::new(&self.file);
        let mut shape = Shape::default();
        let mut piece = Vec::new();
        for number in 1.. {
            piece.clear();
            let bytes = (&mut input)
                .take(Sealed::LINE_MAX as u64)
                .read_until(b'\n', &mut piece)
                .map_err(StoreError::io("read", &self.path))?;
            if bytes == 0 {
                break;
            }
            let line = piece.strip_suffix(b"\n");
            shape.unterminated = line.is_none();
            if number == 1 && line == Some(HEADER.as_bytes()) {
                shape.headed = true;
            } else {
                match Sealed::read(line.unwrap_or(&piece)) {
                    Ok(order) => found.orders.push(order),
                    Err(Unreadable::Unknown) => {
                        return Err(StoreError::NewerOrder { path: self.path.clone(), line: number });
                    }
                    // Only the last piece can be torn, and it is shorter than the longest line.
                    Err(Unreadable::Damaged) if line.is_none() && bytes < Sealed::LINE_MAX => {
                        shape.unterminated = false;
                        found.torn = bytes as u64;
                        break;
                    }
                    Err(Unreadable::Damaged) => found.damaged += 1,
                }
            }
            shape.end += bytes as u64;
        }
        Ok(shape)
    }
}

/// Gives the file a second name, where it exists and holds anything.
fn keep(folder: &Folder, path: &Path) -> Result<Option<PathBuf>, StoreError> {
    match fs::metadata(path) {
        Ok(file) if file.len() > 0 => {}
        Ok(_) => return Ok(None),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(StoreError::io("look at", path)(error)),
    }
    let aside = folder.aside(NAME);
    // A link, so that there is a journal under its name at every moment; not every file system has links.
    fs::hard_link(path, &aside)
        .or_else(|_| fs::copy(path, &aside).map(drop))
        .map_err(StoreError::io("keep", &aside))?;
    Ok(Some(aside))
}

/// How the file is laid out.
#[derive(Debug, Default)]
struct Shape {
    /// Whether it begins with the header.
    headed: bool,
    /// Where the last complete line ends.
    end: u64,
    /// Whether that line is whole but for its newline.
    unterminated: bool,
}
