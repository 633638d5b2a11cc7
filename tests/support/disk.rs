//! A disk that can be filled to the last page.

#![allow(dead_code, missing_docs, clippy::unwrap_used)]

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::process::Command;

/// A file system of its own, 512 KiB in memory.
pub struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    /// `None`, loudly, where this process may not mount.
    pub fn mount() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mount = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=512k", "tmpfs"])
            .arg(folder.path())
            .output();
        if mount.as_ref().is_ok_and(|output| output.status.success()) {
            return Some(Self(folder));
        }
        eprintln!(
            "\n*** NOT TESTED on a small disk: mounting a tmpfs needs root ({mount:?}). Only the simulation in"
        );
        eprintln!("*** store::sqlite::tests (a database that cannot grow) ran.\n");
        None
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Leaves so many pages of 4 KiB free.
    pub fn fill(&self, pages: usize) {
        let path = self.path().join("filler");
        let mut filler = OpenOptions::new().create(true).append(true).open(path).unwrap();
        while filler.write(&[0; 4096]).is_ok() {}
        let length = filler.metadata().unwrap().len();
        filler.set_len(length.saturating_sub(pages as u64 * 4096)).unwrap();
    }

    pub fn make_room(&self) {
        fs::remove_file(self.path().join("filler")).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.path()).status();
    }
}
