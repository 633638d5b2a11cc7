//! A disk that can be filled to the last page.

#![allow(dead_code, missing_docs, clippy::unwrap_used)]

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::process::Command;

/// A file system of its own, 512 KiB in memory.
pub struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    /// `None` where nobody here may mount and that was said, as tests/run does; it then tells what was not tested.
    pub fn mount() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mount = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=512k", "tmpfs"])
            .arg(folder.path())
            .output();
        if mount.as_ref().is_ok_and(|output| output.status.success()) {
            return Some(Self(folder));
        }
        assert!(
            std::env::var_os("WAYPOST_TEST_NO_SMALL_DISK").is_some(),
            "this test fills a tmpfs, and only root may mount one: run it as root, or set \
             WAYPOST_TEST_NO_SMALL_DISK=1 to do without ({mount:?})"
        );
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
