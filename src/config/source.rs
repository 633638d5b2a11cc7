//! A configuration file in memory, and the notes that are taken while files are read.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read;
use std::ops::Range;
use std::path::{Path, PathBuf};

use toml::de::DeTable;

use super::problem::Problem;

/// Largest file, in bytes.
const FILE_MAX: u64 = 16 << 20;
/// Most problems that are kept; nobody reads more, and a file of garbage must not fill the memory.
const PROBLEMS_MAX: usize = 1000;

/// The text of one file.
#[derive(Debug)]
pub(super) struct Source {
    path: PathBuf,
    text: String,
    line_starts: Vec<usize>,
}

impl Source {
    /// A text that stands, or could stand, in the file `path`.
    pub(super) fn new(path: &Path, text: String) -> Self {
        let line_starts = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Self { path: path.to_owned(), text, line_starts }
    }

    /// Reads a regular file of bounded size. The error is a message and a remedy.
    pub(super) fn read(path: &Path) -> Result<Self, (String, &'static str)> {
        let unreadable = |error: std::io::Error| {
            (format!("cannot be read: {error}"), "check the path and that the service's user may read it")
        };
        // Opening a pipe would wait for a writer.
        if !std::fs::metadata(path).map_err(unreadable)?.is_file() {
            return Err(("is not a regular file".into(), "name a TOML file"));
        }
        let mut bytes = Vec::new();
        File::open(path)
            .and_then(|file| file.take(FILE_MAX + 1).read_to_end(&mut bytes))
            .map_err(unreadable)?;
        if bytes.len() as u64 > FILE_MAX {
            return Err(("is larger than 16 MiB".into(), "split it with server.include"));
        }
        match String::from_utf8(bytes) {
            Ok(text) => Ok(Self::new(path, text)),
            Err(error) => {
                let before = &error.as_bytes()[..error.utf8_error().valid_up_to()];
                let line = 1 + before.iter().filter(|b| **b == b'\n').count();
                Err((format!("is not UTF-8 (line {line})"), "save the file as UTF-8"))
            }
        }
    }

    /// The file's path.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Where relative paths in this file begin.
    pub(super) fn folder(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new(""))
    }

    /// Parses the text. Syntax errors are noted; what stands before the first of them is still returned, and `usize` is
    /// where that part ends.
    pub(super) fn parse(&self, notes: &Notes) -> (DeTable<'_>, usize) {
        let (table, mut errors) = DeTable::parse_recoverable(&self.text);
        errors.sort_by_key(|error| error.span().map(|span| span.start));
        let mut sound_until = usize::MAX;
        let mut lines = BTreeSet::new();
        for error in errors {
            let span = error.span().unwrap_or(0..0);
            sound_until = sound_until.min(span.start);
            // What follows in the same line follows from the first.
            if lines.insert(self.line(span.start)) && !notes.is_full() {
                let message = format!("TOML syntax: {}", error.message().escape_debug());
                notes.problem(self.problem(&span, "", message, "see https://toml.io for the syntax"));
            }
        }
        if sound_until < usize::MAX {
            notes.set_incomplete();
        }
        (table.into_inner(), sound_until)
    }

    /// A problem at a byte range of the text.
    pub(super) fn problem(
        &self,
        span: &Range<usize>,
        key: &str,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Problem {
        let (line, column) = (self.line(span.start), self.column(span.start));
        let (file, key) = (self.path.clone(), key.to_owned());
        Problem { file, line, column, key, message: message.into(), remedy: remedy.into() }
    }

    /// The line of a byte, from 1.
    pub(super) fn line(&self, offset: usize) -> usize {
        self.line_starts.partition_point(|start| *start <= offset)
    }

    /// The column of a byte in characters, from 1. Costs as much as the line is long.
    fn column(&self, offset: usize) -> usize {
        let start = self.line_starts[self.line(offset) - 1];
        1 + self.text.get(start..offset).unwrap_or_default().chars().count()
    }
}

/// What was found while reading.
#[derive(Debug, Default)]
pub(super) struct Notes {
    problems: RefCell<Vec<Problem>>,
    warnings: RefCell<Vec<Problem>>,
    known: RefCell<BTreeSet<String>>,
    incomplete: RefCell<bool>,
    specimen: bool,
}

impl Notes {
    /// Notes of a reading that pretends that every table is there, to learn which keys are known.
    pub(super) fn specimen() -> Self {
        Self { specimen: true, ..Self::default() }
    }

    /// Whether every table is to be read as if it were there.
    pub(super) fn is_specimen(&self) -> bool {
        self.specimen
    }

    /// Notes a problem.
    pub(super) fn problem(&self, problem: Problem) {
        if !self.is_full() {
            self.problems.borrow_mut().push(problem);
        }
    }

    /// Whether further problems are dropped, so that nobody has to find out where they are.
    pub(super) fn is_full(&self) -> bool {
        self.problems.borrow().len() >= PROBLEMS_MAX
    }

    /// Notes a warning.
    pub(super) fn warning(&self, warning: Problem) {
        self.warnings.borrow_mut().push(warning);
    }

    /// Notes that the reader knows a key, by its path without positions, such as `mirror.url`.
    pub(super) fn known(&self, key: String) {
        if self.specimen {
            self.known.borrow_mut().insert(key);
        }
    }

    /// Notes that a part could not be read, so that what refers to it is not blamed.
    pub(super) fn set_incomplete(&self) {
        *self.incomplete.borrow_mut() = true;
    }

    /// Whether a part could not be read.
    pub(super) fn is_incomplete(&self) -> bool {
        *self.incomplete.borrow()
    }

    /// The problems, the warnings, and the known keys.
    pub(super) fn into_parts(self) -> (Vec<Problem>, Vec<Problem>, BTreeSet<String>) {
        (self.problems.into_inner(), self.warnings.into_inner(), self.known.into_inner())
    }
}
