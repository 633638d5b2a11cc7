//! The Python that has the vendors' libraries, requests and pip.

#![allow(dead_code, missing_docs, clippy::unwrap_used)]

use std::path::PathBuf;

/// `tests/run` makes it, or says where it is.
pub fn python() -> String {
    let made = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(".cache/python-signers/bin/python3");
    let python = std::env::var_os("WAYPOST_TEST_PYTHON").map_or(made, PathBuf::from);
    assert!(python.is_file(), "{} is missing: run tests/run, which makes it", python.display());
    python.into_os_string().into_string().unwrap()
}
