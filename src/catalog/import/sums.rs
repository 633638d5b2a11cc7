//! Files of checksums in a folder: lists of many files, and `NAME.sha256` beside `NAME`.

use std::collections::BTreeSet;

use super::source::{Listed, Source};
use super::{Format, ImportError};
use crate::catalog::checksums::{self, SUMS_BYTES_MAX, Sums, is_list_name};
use crate::catalog::publish::read_bounded;
use crate::catalog::publish::walk::{Found, Walk};

/// Suffixes of a file of checksums beside the file that it speaks of.
const BESIDE: &[&str] = &[".sha256", ".sha512"];

/// All files of checksums that lie in a folder, lists before single ones. Lists count at the top of the folder only.
pub(super) fn read_all(lying: &Walk) -> Result<Vec<Source>, ImportError> {
    let names: BTreeSet<&str> = lying.files.iter().map(|file| file.name.as_str()).collect();
    let mut sources = Vec::new();
    for file in lying.files.iter().filter(|file| is_list(&file.name)) {
        sources.extend(read(file, None)?);
    }
    for file in &lying.files {
        let Some(beside) = BESIDE.iter().find_map(|suffix| file.name.strip_suffix(suffix)) else { continue };
        let speaks_of = names.get(beside).copied();
        sources.extend(read(file, Some(Beside { name: beside, is_there: speaks_of.is_some() }))?);
    }
    Ok(sources)
}

fn is_list(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    // A clear-signed list may be the only one; a signature alone is told by its content.
    let name = name.strip_suffix(".asc").unwrap_or(&name);
    !name.contains('/') && is_list_name(name)
}

/// The file that a file of checksums is named after.
struct Beside<'a> {
    name: &'a str,
    is_there: bool,
}

fn read(file: &Found, beside: Option<Beside<'_>>) -> Result<Option<Source>, ImportError> {
    let name = file.name.as_str();
    let wrong = |why: String| ImportError::Source { file: name.to_owned(), why };
    let bytes = read_bounded(&file.path, SUMS_BYTES_MAX)?.unwrap_or_default();
    if name.ends_with(".asc") && !bytes.starts_with(b"-----BEGIN PGP SIGNED MESSAGE-----") {
        return Ok(None);
    }
    let sums = checksums::parse(&bytes).map_err(|error| wrong(error.to_string()))?;
    let passed_over = sums.passed_over;
    if sums.entries.is_empty() && passed_over == 0 {
        return Err(wrong("holds no checksum; make it anew, or remove it".into()));
    }
    let listed = match beside {
        Some(beside) if beside.is_there => alone(sums, beside.name).map_err(wrong)?,
        beside => listed(sums, name, beside.map(|beside| beside.name)).map_err(wrong)?,
    };
    let mut source = Source::of(Format::Sha256sums, name, listed);
    if passed_over > 0 {
        source.notes.push(format!("{name}: {passed_over} lines of other algorithms are passed over"));
    }
    Ok(Some(source))
}

/// All entries speak of the one file; whichever folder they were made in.
fn alone(sums: Sums, of: &str) -> Result<Vec<Listed>, String> {
    let last = |path: &str| path.rsplit(['/', '\\']).next().unwrap_or(path).to_owned();
    let mut listed = Vec::new();
    for entry in sums.entries {
        if let Some(name) = entry.name.filter(|name| last(name) != last(of)) {
            return Err(format!("speaks of {name:?}, not of {of:?}; make it anew, or rename it"));
        }
        listed.push(Listed::new(of).with(entry.digest));
    }
    Ok(listed)
}

/// Names count from the folder of the list.
fn listed(sums: Sums, list: &str, beside: Option<&str>) -> Result<Vec<Listed>, String> {
    let folder = list.rsplit_once('/').map_or("", |(folder, _)| folder);
    let mut listed = Vec::new();
    for entry in sums.entries {
        let name = match (entry.name, beside) {
            (Some(name), _) if folder.is_empty() => name,
            (Some(name), _) => format!("{folder}/{name}"),
            (None, Some(beside)) => beside.to_owned(),
            (None, None) => return Err("holds a checksum without a name; write `<hex>  <name>`".into()),
        };
        // `sha256sum * > SHA256SUMS` hashes the list itself, before it is written.
        if name != list {
            listed.push(Listed::new(&name).with(entry.digest));
        }
    }
    Ok(listed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_known_by_their_names() {
        for name in
            ["SHA256SUMS", "sha256sum.txt", "tool_1.8.2_checksums.txt", "tool_1.8.2_SHA256SUMS", "SHA512SUMS"]
        {
            assert!(is_list(name), "{name}");
        }
        for name in ["sub/SHA256SUMS", "MD5SUMS", "checksums.go", "tool.zip.sha256"] {
            assert!(!is_list(name), "{name}");
        }
    }
}
