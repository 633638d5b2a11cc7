//! Where files are not what their pipeline said of them: everything of one run, in bounded memory.

use super::CreateError;
use super::stage::Hashes;
use super::walk::Found;
use crate::catalog::json::PROBLEMS_MAX;

/// The first twenty mismatches, and how many more there are.
#[derive(Debug, Default)]
pub(in crate::catalog) struct Mismatches {
    first: Vec<String>,
    more: usize,
}

impl Mismatches {
    pub fn push(&mut self, problem: String) {
        if self.first.len() < PROBLEMS_MAX {
            self.first.push(problem);
        } else {
            self.more += 1;
        }
    }

    pub fn is_empty(&self) -> bool {
        self.first.is_empty()
    }

    /// Holds what the files hash to against what was told.
    pub(super) fn compare(&mut self, files: &[Found], hashes: &[Hashes]) {
        for (file, hashes) in files.iter().zip(hashes) {
            let Some(told) = &file.told else { continue };
            let name = &file.name;
            if let Some((said, by)) = &told.sha256
                && *said != hashes.sha256
            {
                let has = hashes.sha256;
                self.push(format!("{name}: has SHA-256 {has}, but {by} says {said}"));
            }
            if let (Some((said, by)), Some(has)) = (&told.sha512, &hashes.sha512)
                && said != has
            {
                self.push(format!("{name}: has SHA-512 {has}, but {by} says {said}"));
            }
        }
    }

    /// # Errors
    /// When there is a mismatch.
    pub(super) fn finish(mut self) -> Result<(), CreateError> {
        if self.is_empty() {
            return Ok(());
        }
        if self.more > 0 {
            self.first.push(format!("and {} more", self.more));
        }
        Err(CreateError::Mismatch { problems: self.first })
    }
}
