//! minisign signatures of manifests and of the index: whose they are, and what they say they sign.
//!
//! A signature file has four lines: an untrusted comment, the signature, a trusted comment, and the signature of the
//! first signature together with that comment (<https://jedisct1.github.io/minisign/#signature-format>). The trusted
//! comment is therefore as good as the file itself, and binds the bytes to one release or one state of the index:
//! `waypost PRODUCT VERSION`, `waypost index SEQUENCE`. Both forms are read, prehashed (the program's default) and legacy.

use std::fmt;
use std::path::{Path, PathBuf};

use minisign_verify::{Error, PublicKey, Signature};

use crate::config::MinisignKey;
use crate::model::{ProductName, Version};

/// Largest signature file that is read, in bytes.
pub const SIGNATURE_BYTES_MAX: usize = 64 << 10;
/// What a signature's file is called: the name of what it signs, and this.
pub const SIGNATURE_SUFFIX: &str = ".minisig";

/// Where the signature of a file lies.
pub fn signature_of(file: &Path) -> PathBuf {
    let mut beside = file.as_os_str().to_owned();
    beside.push(SIGNATURE_SUFFIX);
    beside.into()
}

/// Whether a name is that of a file or of its signature.
pub fn is_or_signs(name: &str, file: &str) -> bool {
    name.strip_suffix(SIGNATURE_SUFFIX).unwrap_or(name) == file
}

/// Longest trusted comment that is shown, in characters.
const SHOWN_MAX: usize = 200;

/// Keys whose signatures are believed.
#[derive(Debug, Clone, Default)]
pub struct TrustedKeys(Vec<PublicKey>);

/// Why a signature is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// It is too long, no text, or has other lines than a signature has.
    #[error("is no minisign signature")]
    Unreadable,
    /// None of the keys has the identifier that it names.
    #[error("was made with a key that is not among origin.trusted_keys")]
    AnotherKey,
    /// It is of other bytes, or was tampered with.
    #[error("is no signature of these bytes: was the file changed after it was signed?")]
    Wrong,
}

impl TrustedKeys {
    /// The keys as they are configured.
    pub fn new(keys: &[MinisignKey]) -> Self {
        // A key was read once when the configuration was.
        Self(keys.iter().filter_map(|key| PublicKey::from_base64(key.as_str()).ok()).collect())
    }

    /// Whether there are none, so that signatures are not asked for.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The keys.
    pub fn iter(&self) -> impl Iterator<Item = &PublicKey> {
        self.0.iter()
    }

    /// What a signature of these bytes says that it signs.
    ///
    /// # Errors
    ///
    /// Where none of the keys made it, of these bytes and of its trusted comment.
    pub fn verify(&self, bytes: &[u8], signature: &[u8]) -> Result<TrustedComment, SignatureError> {
        let signature = read_signature(signature)?;
        let mut why = SignatureError::AnotherKey;
        for key in &self.0 {
            match key.verify(bytes, &signature, true) {
                Ok(()) => return Ok(TrustedComment(signature.trusted_comment().to_owned())),
                Err(Error::UnexpectedKeyId) => {}
                Err(_) => why = SignatureError::Wrong,
            }
        }
        Err(why)
    }
}

/// Reads a signature file, whoever made it.
///
/// # Errors
///
/// [`SignatureError::Unreadable`].
pub fn read_signature(bytes: &[u8]) -> Result<Signature, SignatureError> {
    let text = std::str::from_utf8(bytes).ok().filter(|text| text.len() <= SIGNATURE_BYTES_MAX);
    text.and_then(|text| Signature::decode(text).ok()).ok_or(SignatureError::Unreadable)
}

/// The trusted comment of a signature that was verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustedComment(String);

impl TrustedComment {
    /// What a release's manifest has. `1.8.2` and `v1.8.2` are the same version here as everywhere.
    pub fn of_release(product: &ProductName, version: &Version) -> Self {
        Self(format!("waypost {product} {}", version.bare()))
    }

    /// What the index of a sequence has.
    pub fn of_index(sequence: u64) -> Self {
        Self(format!("waypost index {sequence}"))
    }

    /// Whether it names this release.
    pub fn names_release(&self, product: &ProductName, version: &Version) -> bool {
        let words = self.0.strip_prefix("waypost ").and_then(|rest| rest.strip_prefix(product.as_str()));
        let named = words.and_then(|rest| rest.strip_prefix(' '));
        named.is_some_and(|named| named.strip_prefix('v').unwrap_or(named) == version.bare())
    }

    /// Whether it names the index of this sequence.
    pub fn names_index(&self, sequence: u64) -> bool {
        *self == Self::of_index(sequence)
    }
}

/// Fit for a log: cut, and without control characters.
impl fmt::Display for TrustedComment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown: String = self.0.chars().take(SHOWN_MAX).collect();
        write!(f, "\"{}\"", shown.escape_debug())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use minisign::KeyPair;

    use super::*;

    const BYTES: &[u8] = b"{ \"schema\": 1 }";

    fn pair() -> (KeyPair, TrustedKeys) {
        let pair = KeyPair::generate_unencrypted_keypair().unwrap();
        let key = PublicKey::from_base64(&pair.pk.to_base64()).unwrap();
        (pair, TrustedKeys(vec![key]))
    }

    fn signed(pair: &KeyPair, comment: &str) -> String {
        minisign::sign(None, &pair.sk, Cursor::new(BYTES), Some(comment), None).unwrap().into_string()
    }

    #[test]
    fn a_signature_by_any_of_the_keys_is_believed_and_its_trusted_comment_is_what_it_says() {
        let ((one, mut keys), (two, other)) = (pair(), pair());
        let text = signed(&two, "waypost tool 1.8.2");
        assert_eq!(keys.verify(BYTES, text.as_bytes()), Err(SignatureError::AnotherKey));
        keys.0.extend(other.0);
        for pair in [&one, &two] {
            let text = signed(pair, "waypost tool 1.8.2");
            let comment = keys.verify(BYTES, text.as_bytes()).unwrap();
            assert_eq!(comment.0, "waypost tool 1.8.2");
            assert_eq!(keys.verify(b"{}", text.as_bytes()), Err(SignatureError::Wrong));
            let renamed = text.replace("1.8.2", "1.8.3");
            assert_eq!(keys.verify(BYTES, renamed.as_bytes()), Err(SignatureError::Wrong), "the comment");
            let carried = text.replace('\n', "\r\n");
            assert_eq!(keys.verify(BYTES, carried.as_bytes()).unwrap().0, "waypost tool 1.8.2", "CRLF");
        }
        assert_eq!(
            TrustedKeys::default().verify(BYTES, signed(&one, "x").as_bytes()),
            Err(SignatureError::AnotherKey)
        );
    }

    /// The examples that the format's author published: legacy and prehashed.
    #[test]
    fn both_forms_of_the_format_are_read() {
        let key = PublicKey::from_base64("RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3").unwrap();
        let keys = TrustedKeys(vec![key]);
        let legacy = "untrusted comment: signature from minisign secret key\n\
            RWQf6LRCGA9i59SLOFxz6NxvASXDJeRtuZykwQepbDEGt87ig1BNpWaVWuNrm73YiIiJbq71Wi+dP9eKL8OC351vwIasSSbXxwA=\n\
            trusted comment: timestamp:1555779966\tfile:test\n\
            QtKMXWyYcwdpZAlPF7tE2ENJkRd1ujvKjlj1m9RtHTBnZPa5WKU5uWRs5GoP5M/VqE81QFuMKI5k/SfNQUaOAA==\n";
        let prehashed = "untrusted comment: signature from minisign secret key\n\
            RUQf6LRCGA9i559r3g7V1qNyJDApGip8MfqcadIgT9CuhV3EMhHoN1mGTkUidF/z7SrlQgXdy8ofjb7bNJJylDOocrCo8KLzZwo=\n\
            trusted comment: timestamp:1556193335\tfile:test\n\
            y/rUw2y8/hOUYjZU71eHp/Wo1KZ40fGy2VJEDl34XMJM+TX48Ss/17u3IvIfbVR1FkZZSNCisQbuQY+bHwhEBg==\n";
        for text in [legacy, prehashed] {
            assert!(keys.verify(b"test", text.as_bytes()).is_ok());
            assert_eq!(keys.verify(b"Test", text.as_bytes()), Err(SignatureError::Wrong));
        }
    }

    #[test]
    fn a_trusted_comment_names_one_release_or_one_index() {
        let (tool, version) = (ProductName::new("tool").unwrap(), Version::parse("v1.8.2").unwrap());
        let names = |text: &str| TrustedComment(text.to_owned()).names_release(&tool, &version);
        assert!(names("waypost tool 1.8.2") && names("waypost tool v1.8.2"));
        for odd in [
            "waypost tool 1.8.20",
            "waypost tool 1.8.2 ",
            "waypost tool vv1.8.2",
            "waypost  tool 1.8.2",
            "waypost tool1.8.2",
            "Waypost tool 1.8.2",
            "waypost tools 1.8.2",
            "waypost index 1.8.2",
            "tool 1.8.2",
            "",
        ] {
            assert!(!names(odd), "{odd:?}");
        }
        assert!(TrustedComment::of_release(&tool, &version).names_release(&tool, &version));
        let index = |text: &str| TrustedComment(text.to_owned()).names_index(42);
        assert!(index("waypost index 42"));
        assert!(!index("waypost index 042") && !index("waypost index 4") && !index("waypost index 42\u{a0}"));
    }

    #[test]
    fn what_is_no_signature_is_said_to_be_none_and_nothing_panics() {
        let (pair, keys) = pair();
        let good = signed(&pair, "waypost index 42").into_bytes();
        for cut in 0..good.len() - 1 {
            assert!(keys.verify(BYTES, &good[..cut]).is_err(), "cut at {cut}");
        }
        let text = String::from_utf8(good.clone()).unwrap();
        let first_line = text.find('\n').unwrap();
        for at in first_line + 1..good.len() - 1 {
            for flip in [0x01, 0x80] {
                let mut changed = good.clone();
                changed[at] ^= flip;
                assert!(keys.verify(BYTES, &changed).is_err(), "byte {at}");
            }
        }
        let huge = "x".repeat(SIGNATURE_BYTES_MAX + 1);
        let lines = "\n".repeat(SIGNATURE_BYTES_MAX);
        let long = format!("a\n{}\ntrusted comment: \n{}\n", "A".repeat(30_000), "A".repeat(30_000));
        let short = "a\nRWQ=\ntrusted comment: \nAAAA\n";
        for odd in [&b""[..], b"\0\xff\xfe", b"\r\n\r\n\r\n\r\n", huge.as_bytes(), lines.as_bytes()] {
            assert_eq!(keys.verify(BYTES, odd), Err(SignatureError::Unreadable));
        }
        for odd in [long.as_str(), short] {
            assert_eq!(keys.verify(BYTES, odd.as_bytes()), Err(SignatureError::Unreadable));
        }
        let padded = [&good[..], &vec![b' '; SIGNATURE_BYTES_MAX]].concat();
        assert_eq!(keys.verify(BYTES, &padded), Err(SignatureError::Unreadable), "too long");
    }

    /// Signatures and keys that decode to no point of the curve, or to odd ones.
    #[test]
    fn any_bits_in_the_place_of_a_signature_are_refused() {
        use data_encoding::BASE64;
        use proptest::prelude::*;
        let (pair, keys) = pair();
        let good = signed(&pair, "waypost index 42");
        let bits = BASE64.decode(good.lines().nth(1).unwrap().as_bytes()).unwrap();
        proptest!(|(noise in proptest::collection::vec(any::<u8>(), 64), edge in 0..3_u8)| {
            let noise = match edge { 0 => noise, 1 => vec![0; 64], _ => vec![0xff; 64] };
            let forged = BASE64.encode(&[&bits[..10], &noise].concat());
            let text = format!("a\n{forged}\ntrusted comment: x\n{}\n", BASE64.encode(&noise));
            prop_assert_eq!(keys.verify(BYTES, text.as_bytes()), Err(SignatureError::Wrong));
        });
    }

    #[test]
    fn a_comment_that_is_shown_has_an_end_and_no_control_characters() {
        let shown = TrustedComment(format!("waypost\u{1b}[2J{}", "x".repeat(1000))).to_string();
        assert!(shown.len() < 250 && !shown.contains('\u{1b}'), "{shown}");
    }
}
