//! Files with keys and secrets, bounded in size.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use super::SignerError;

/// Longest file, in bytes.
const FILE_MAX: u64 = 64 << 10;

/// The whole of a file, without the one newline that an editor leaves at its end; never empty.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, SignerError> {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(FILE_MAX + 1).read_to_end(&mut bytes));
    let length = read.map_err(|error| SignerError::Unreadable { path: path.to_owned(), error })?;
    if length as u64 > FILE_MAX {
        return Err(bad(path, "has more than 64 KiB: name the file that holds the key"));
    }
    if bytes.last() == Some(&b'\n') {
        bytes.pop();
    }
    if bytes.is_empty() {
        return Err(bad(path, "is empty: put the key into it"));
    }
    Ok(bytes)
}

/// A word of visible ASCII, such as the id of a key.
pub(super) fn word(path: &Path) -> Result<String, SignerError> {
    let word = String::from_utf8(read(path)?).ok();
    let word = word.filter(|word| word.bytes().all(|byte| byte.is_ascii_graphic()));
    word.ok_or_else(|| bad(path, "is not one word: put the key's id into it, and nothing else"))
}

pub(super) fn bad(path: &Path, problem: &'static str) -> SignerError {
    SignerError::BadKey { path: path.to_owned(), problem }
}
