//! Digests of files: 32 or 64 bytes, spelled out only when written.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::digest;
use data_encoding::{BASE64, HEXLOWER, HEXLOWER_PERMISSIVE};

/// Why a text is not a digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected {hex_digits} hexadecimal digits")]
pub struct BadDigest {
    /// How many digits the digest has.
    pub hex_digits: usize,
}

macro_rules! digest {
    ($name:ident, $bytes:literal, $about:literal) => {
        #[doc = $about]
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name([u8; $bytes]);

        impl $name {
            /// Wraps the raw bytes of a finished digest.
            pub const fn new(bytes: [u8; $bytes]) -> Self {
                Self(bytes)
            }

            /// The raw bytes.
            pub const fn as_bytes(&self) -> &[u8; $bytes] {
                &self.0
            }

            /// Base64 with padding (RFC 4648 section 4), as `Digest` (RFC 3230) wants it.
            pub fn to_base64(&self) -> String {
                BASE64.encode(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = BadDigest;

            fn from_str(text: &str) -> Result<Self, BadDigest> {
                let bad = BadDigest { hex_digits: $bytes * 2 };
                let bytes = HEXLOWER_PERMISSIVE.decode(text.as_bytes()).map_err(|_| bad)?;
                Ok(Self(bytes.try_into().map_err(|_| bad)?))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&HEXLOWER.encode(&self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }
    };
}

digest!(Sha256, 32, "A SHA-256 digest (FIPS 180-4).");

impl Sha256 {
    /// The digest of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        let mut hash = Self::begin();
        hash.update(bytes);
        Self::end(hash)
    }

    /// A digest of bytes that come one after the other; [`Sha256::end`] ends it.
    pub fn begin() -> digest::Context {
        digest::Context::new(&digest::SHA256)
    }

    /// The digest of all that was hashed since [`Sha256::begin`].
    pub fn end(hash: digest::Context) -> Self {
        let bytes = hash.finish().as_ref().first_chunk().copied();
        Self(bytes.expect("a SHA-256 digest has 32 bytes"))
    }
}
digest!(Sha512, 64, "A SHA-512 digest (FIPS 180-4).");

/// A short digest of what a server says of a file's identity (ETag, Last-Modified, length): two answers with different
/// fingerprints are not about the same bytes. The same in every process and version of this program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Fingerprint(pub u64);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_is_read_in_either_case_and_written_in_lower() {
        let digest: Sha256 = "AB".repeat(32).parse().unwrap();
        assert_eq!(digest.to_string(), "ab".repeat(32));
        assert_eq!(digest.as_bytes(), &[0xab; 32]);
    }

    #[test]
    fn bytes_are_hashed_at_once_or_one_after_the_other() {
        let mut hash = Sha256::begin();
        [b"a", b"b", b"c"].iter().for_each(|part| hash.update(*part));
        assert_eq!(Sha256::end(hash), Sha256::of(b"abc"));
        // FIPS 180-4's first example.
        assert!(Sha256::of(b"abc").to_string().starts_with("ba7816bf8f01cfea414140de5dae2223"));
    }

    #[test]
    fn anything_but_the_right_number_of_hex_digits_is_refused() {
        for text in ["", "ab", &"a".repeat(63), &"a".repeat(65), &"g".repeat(64), &"é".repeat(32)] {
            assert_eq!(text.parse::<Sha256>(), Err(BadDigest { hex_digits: 64 }), "{text}");
        }
    }
}
