//! Files of checksums in the dialects that tools write (`SHA256SUMS`, `checksums.txt`, `tool.zip.sha256`).
//!
//! | dialect | line |
//! |---|---|
//! | coreutils, text and binary | `HEX  NAME`, `HEX *NAME` |
//! | coreutils, escaped: the name holds `\`, a line feed or a carriage return | `\HEX  NA\\ME` |
//! | BSD, `sha256sum --tag` | `SHA256 (NAME) = HEX` |
//! | `openssl dgst` | `SHA2-256(NAME)= HEX` |
//! | bare, in a file that is named after the one it speaks of | `HEX`, `HEX  -` |
//!
//! Hexadecimal in either case; spaces or tabs; `./` before the name; CRLF; a byte order mark; empty lines and `#`
//! comments; all of it inside of a PGP clear-signed message (RFC 9580 section 7; the signature is not verified here).

use std::collections::HashMap;

use super::json::shortened;
use super::manifest::ASSETS_MAX;
use crate::model::{Sha256, Sha512};

/// Largest file that is read, in bytes.
pub const SUMS_BYTES_MAX: usize = 256 << 20;

/// What a list of checksums is called, in lower case.
const LIST_NAMES: &[&str] = &[
    "sha256sums",
    "sha256sums.txt",
    "sha256sum",
    "sha256sum.txt",
    "sha256.sum",
    "shasums256.txt",
    "sha512sums",
    "sha512sums.txt",
    "sha512sum",
    "sha512sum.txt",
    "sha512.sum",
    "checksums",
    "checksums.txt",
    "checksum.txt",
];

/// How a list that carries the product's name ends, in lower case.
const LIST_ENDS: &[&str] = &[
    "_checksums.txt",
    "-checksums.txt",
    "_sha256sums",
    "-sha256sums",
    "_sha256sums.txt",
    "_sha512sums",
    "-sha512sums",
    "_sha512sums.txt",
];

/// Whether a file of this name lists checksums of other files, as the tools that write such lists name them; any case, in
/// any folder.
pub fn is_list_name(name: &str) -> bool {
    let name = name.rsplit('/').next().unwrap_or(name).to_ascii_lowercase();
    LIST_NAMES.contains(&&*name) || LIST_ENDS.iter().any(|end| name.ends_with(end))
}

/// What a line says of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileDigest {
    /// Its SHA-256.
    Sha256(Sha256),
    /// Its SHA-512.
    Sha512(Sha512),
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Which file; may be any text, a path with `..` included. `None`: the file that the checksums are named after.
    pub name: Option<String>,
    /// What it hashes to.
    pub digest: FileDigest,
}

/// What a file of checksums says: every name once for each algorithm.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sums {
    /// In the order of the file.
    pub entries: Vec<Entry>,
    /// How many lines were of other algorithms (MD5, SHA-1, BLAKE2, …) and passed over.
    pub passed_over: usize,
}

/// Why bytes are not a file of checksums.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SumsError {
    /// More than [`SUMS_BYTES_MAX`].
    #[error("has {0} bytes, more than the {SUMS_BYTES_MAX} that are read")]
    TooLarge(usize),
    /// More lines than a release has files.
    #[error("holds more than {} checksums", 2 * ASSETS_MAX)]
    TooMany,
    /// UTF-16, a NUL between records, or no text at all.
    #[error("{0}")]
    NotText(&'static str),
    /// A line that is none.
    #[error("line {line}: {why}")]
    Line {
        /// Which, from 1.
        line: usize,
        /// What is wrong with it.
        why: String,
    },
}

/// Reads a file of checksums. Lines that say the same again are fine.
///
/// # Errors
/// When the bytes are too many or no UTF-8, when a line is none of the dialects, and when two lines give one file
/// different digests.
pub fn parse(text: &[u8]) -> Result<Sums, SumsError> {
    let text = decode(text)?;
    let mut seen: HashMap<(Option<String>, bool), (FileDigest, usize)> = HashMap::new();
    let mut sums = Sums::default();
    let mut wrapper = Wrapper::Outside;
    for (line, raw) in (1..).zip(text.split('\n')) {
        let raw = raw.strip_suffix('\r').unwrap_or(raw);
        let wrong = |why: String| SumsError::Line { line, why };
        let Some(text) = wrapper.line(raw).map_err(|why| wrong(why.into()))? else { continue };
        if text.trim().is_empty() || text.starts_with('#') {
            continue;
        }
        let entry = match tagged(text).or_else(|| plain(text)) {
            None => {
                return Err(wrong(format!(
                    "expected a checksum and a name such as `<hex>  tool.zip`, found {:?}",
                    shortened(text)
                )));
            }
            Some(Line { digest: None, .. }) => {
                sums.passed_over += 1;
                continue;
            }
            Some(Line { name, digest: Some(digest) }) => Entry { name, digest },
        };
        let key = (entry.name.clone(), matches!(entry.digest, FileDigest::Sha512(_)));
        match seen.get(&key) {
            Some((digest, _)) if *digest == entry.digest => {}
            Some((_, first)) => {
                let name = entry.name.as_deref().unwrap_or("the file");
                return Err(wrong(format!("{:?} has another checksum in line {first}", shortened(name))));
            }
            None if sums.entries.len() == 2 * ASSETS_MAX => return Err(SumsError::TooMany),
            None => {
                seen.insert(key, (entry.digest, line));
                sums.entries.push(entry);
            }
        }
    }
    match wrapper {
        Wrapper::Outside | Wrapper::After => Ok(sums),
        _ => Err(SumsError::NotText("ends within a PGP message; it is cut short")),
    }
}

fn decode(bytes: &[u8]) -> Result<&str, SumsError> {
    if bytes.len() > SUMS_BYTES_MAX {
        return Err(SumsError::TooLarge(bytes.len()));
    }
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        return Err(SumsError::NotText("is UTF-16; write it as UTF-8 (PowerShell: Out-File -Encoding utf8)"));
    }
    if bytes.contains(&0) {
        return Err(SumsError::NotText("holds NUL bytes; make it without --zero"));
    }
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    std::str::from_utf8(bytes).map_err(|_| SumsError::NotText("is not UTF-8 text"))
}

/// Where a line stands in a clear-signed message.
enum Wrapper {
    /// No message has begun.
    Outside,
    /// Between the message's first line and the empty one.
    Headers,
    /// What was signed.
    Body,
    /// The signature.
    Signature,
    /// The message has ended.
    After,
}

impl Wrapper {
    /// What the line says of checksums, if anything.
    fn line<'a>(&mut self, text: &'a str) -> Result<Option<&'a str>, &'static str> {
        let text = match self {
            // The trailing blanks of armor lines are not part of them.
            Self::Outside if text.trim_end() == "-----BEGIN PGP SIGNED MESSAGE-----" => {
                *self = Self::Headers;
                return Ok(None);
            }
            Self::Outside => return Ok(Some(text)),
            Self::Headers => {
                if text.trim().is_empty() {
                    *self = Self::Body;
                }
                return Ok(None);
            }
            Self::Body if text.trim_end() == "-----BEGIN PGP SIGNATURE-----" => {
                *self = Self::Signature;
                return Ok(None);
            }
            Self::Body => text,
            Self::Signature => {
                if text.trim_end() == "-----END PGP SIGNATURE-----" {
                    *self = Self::After;
                }
                return Ok(None);
            }
            Self::After if text.trim().is_empty() => return Ok(None),
            Self::After => return Err("stands after the signed message"),
        };
        Ok(Some(text.strip_prefix("- ").unwrap_or(text)))
    }
}

/// A line that was understood; without a digest where it is of another algorithm.
struct Line {
    name: Option<String>,
    digest: Option<FileDigest>,
}

/// `SHA256 (NAME) = HEX`.
fn tagged(text: &str) -> Option<Line> {
    let (escaped, text) = text.strip_prefix('\\').map_or((false, text), |text| (true, text));
    let (head, hex) = text.rsplit_once('=')?;
    let (algorithm, name) = head.trim_end().strip_suffix(')')?.split_once('(')?;
    let algorithm = algorithm.trim_end();
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '/');
    if algorithm.is_empty() || !algorithm.chars().all(fits) {
        return None;
    }
    let hex = hex.trim();
    let digest = match algorithm.to_ascii_uppercase().as_str() {
        "SHA256" | "SHA2-256" | "SHA-256" => Some(FileDigest::Sha256(hex.parse().ok()?)),
        "SHA512" | "SHA2-512" | "SHA-512" => Some(FileDigest::Sha512(hex.parse().ok()?)),
        _ => None,
    };
    Some(Line { name: named(name, escaped)?, digest })
}

/// `HEX  NAME`, or `HEX` alone.
fn plain(text: &str) -> Option<Line> {
    let (escaped, text) = text.strip_prefix('\\').map_or((false, text), |text| (true, text));
    let end = text.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(text.len());
    let (hex, rest) = text.split_at(end);
    let digest = match hex.len() {
        64 => Some(FileDigest::Sha256(hex.parse().ok()?)),
        128 => Some(FileDigest::Sha512(hex.parse().ok()?)),
        // CRC-32, MD5, SHA-1, SHA-224, SHA-384.
        8 | 32 | 40 | 56 | 96 => None,
        _ => return None,
    };
    let name = match rest.strip_prefix([' ', '\t']) {
        None if rest.is_empty() => return Some(Line { name: None, digest }),
        None => return None,
        // A second space or the star is the mode; whatever follows is the name, spaces included.
        Some(rest) => rest.strip_prefix([' ', '*']).unwrap_or(rest).trim_start_matches('\t'),
    };
    match name {
        "" => Some(Line { name: None, digest }),
        name => Some(Line { name: named(name, escaped)?, digest }),
    }
}

/// The name that is meant: `None` inside for standard input.
fn named(name: &str, escaped: bool) -> Option<Option<String>> {
    let mut name = if escaped { unescaped(name)? } else { name.to_owned() };
    while let Some(rest) = name.strip_prefix("./") {
        name = rest.to_owned();
    }
    match name.as_str() {
        "" => None,
        "-" => Some(None),
        _ => Some(Some(name)),
    }
}

fn unescaped(name: &str) -> Option<String> {
    let mut plain = String::with_capacity(name.len());
    let mut chars = name.chars();
    while let Some(c) = chars.next() {
        plain.push(match c {
            '\\' => match chars.next()? {
                'n' => '\n',
                'r' => '\r',
                '\\' => '\\',
                _ => return None,
            },
            c => c,
        });
    }
    Some(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex() -> String {
        "ab".repeat(32)
    }

    fn names(text: &str) -> Vec<Option<String>> {
        let sums = parse(text.as_bytes()).unwrap_or_else(|error| panic!("{text:?}: {error}"));
        let expected = FileDigest::Sha256(Sha256::new([0xab; 32]));
        sums.entries
            .into_iter()
            .map(|entry| {
                assert_eq!(entry.digest, expected, "{text:?}");
                entry.name
            })
            .collect()
    }

    #[test]
    fn every_dialect_says_the_same() {
        let (low, up) = (hex(), hex().to_uppercase());
        for (text, name) in [
            (format!("{low}  a b.zip\n"), "a b.zip"),
            (format!("{low} *a b.zip"), "a b.zip"),
            (format!("{up} a b.zip\r\n"), "a b.zip"),
            (format!("{low}\ta b.zip"), "a b.zip"),
            (format!("{low}\t\ta b.zip"), "a b.zip"),
            (format!("\u{feff}# made by hand\n\n{low}  ././a b.zip\n"), "a b.zip"),
            (format!("\\{low}  a\\\\b\\nc\\r"), "a\\b\nc\r"),
            (format!("{low}  a\\b"), "a\\b"),
            (format!("{low}   a"), " a"),
            (format!("SHA256 (a b.zip) = {low}"), "a b.zip"),
            (format!("\\SHA256 (a\\nb) = {low}"), "a\nb"),
            (format!("SHA2-256(a (1) = x)= {up}"), "a (1) = x"),
            (format!("{low}  dir/a"), "dir/a"),
            (format!("{low}  ../a"), "../a"),
        ] {
            assert_eq!(names(&text), [Some(name.to_owned())], "{text:?}");
        }
        for bare in [low.clone(), format!("{low}\n"), format!("{low}  -\n"), format!("SHA256 (-) = {low}")] {
            assert_eq!(names(&bare), [None], "{bare:?}");
        }
    }

    #[test]
    fn a_signed_message_is_unwrapped_and_nothing_may_follow_it() {
        let low = hex();
        let text =
            format!("-----BEGIN PGP SIGNED MESSAGE-----\r\nHash: SHA256\r\n\r\n{low}  a\r\n- -- a line\r\n");
        let end = "-----BEGIN PGP SIGNATURE-----\r\n\r\niQ==\r\n-----END PGP SIGNATURE-----\r\n";
        let dashed = text.replace("- -- a line", &format!("- # comment\r\n{low}  -b")) + end;
        assert_eq!(names(&dashed), [Some("a".into()), Some("-b".into())]);
        assert!(parse((text.clone() + end).as_bytes()).unwrap_err().to_string().contains("line 5"));
        let said = parse((dashed.clone() + &low).as_bytes()).unwrap_err().to_string();
        assert!(said.contains("after the signed message"), "{said}");
        for cut in 40..dashed.len() - "-\r\n".len() {
            assert!(parse(&dashed.as_bytes()[..cut]).is_err(), "cut after {cut} bytes");
        }
    }

    #[test]
    fn other_algorithms_are_passed_over_and_sha512_counts_beside_sha256() {
        let text = format!(
            "{}  a\n{}  a\nMD5 (a) = {}\nSHA1 (a) = {}\n{}  a\n{}  a\n",
            "0".repeat(32),
            "1".repeat(40),
            "0".repeat(32),
            "1".repeat(40),
            hex(),
            "cd".repeat(64),
        );
        let sums = parse(text.as_bytes()).unwrap();
        assert_eq!(sums.passed_over, 4);
        assert_eq!(sums.entries[1].digest, FileDigest::Sha512(Sha512::new([0xcd; 64])));
        assert_eq!(sums.entries.len(), 2);
    }

    #[test]
    fn what_is_none_of_it_is_refused_with_its_line() {
        let low = hex();
        for (text, expected) in [
            (format!("{low}  a\nhello\n"), "line 2: expected a checksum"),
            (format!("{}  a", &low[1..]), "line 1"),
            (format!("{low}x  a"), "line 1"),
            (format!("\\{low}  a\\x"), "line 1"),
            (format!("SHA256 (a) = {}", "ab".repeat(31)), "line 1"),
            (format!("SHA256 () = {low}"), "line 1"),
            (format!("{low}  a\n{}  ./a", "cd".repeat(32)), "line 2: \"a\" has another checksum in line 1"),
            (format!("{low}  a\0"), "without --zero"),
            (format!("{}\n", "x".repeat(1 << 20)), "…"),
        ] {
            let said = parse(text.as_bytes()).unwrap_err().to_string();
            assert!(said.contains(expected) && said.len() < 300, "{said}");
        }
        assert_eq!(names(&format!("{low}  a\n{low}  a\n")).len(), 1);
        assert!(parse(b"\xff\xfea\0").unwrap_err().to_string().contains("UTF-16"));
        assert!(parse(b"\xc3\x28").unwrap_err().to_string().contains("UTF-8"));
    }
}
