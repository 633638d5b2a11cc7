//! Tokens that another implementation has signed: OpenSSL, from the shell.

use std::path::Path;
use std::process::Command;

use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use serde_json::{Value, json};

/// A key of OpenSSL's, in a folder of its own.
pub struct Key {
    folder: tempfile::TempDir,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    Rsa,
    P256,
    P384,
    Ed25519,
    Secret,
}

fn openssl(folder: &Path, arguments: &[&str]) -> Vec<u8> {
    let done = Command::new("openssl").args(arguments).current_dir(folder).output().unwrap();
    assert!(done.status.success(), "openssl {arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
    done.stdout
}

/// The shared secret.
pub const SECRET: &[u8] = b"a secret of more than thirty-two bytes, for tests";

impl Key {
    pub fn new(kind: Kind) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let algorithm: &[&str] = match kind {
            Kind::Rsa => &["RSA", "-pkeyopt", "rsa_keygen_bits:2048"],
            Kind::P256 => &["EC", "-pkeyopt", "ec_paramgen_curve:P-256"],
            Kind::P384 => &["EC", "-pkeyopt", "ec_paramgen_curve:P-384"],
            Kind::Ed25519 => &["ED25519"],
            Kind::Secret => return Self { folder, kind },
        };
        let arguments = [&["genpkey", "-quiet", "-out", "key.pem", "-algorithm"], algorithm].concat();
        // Older versions do not know how to be quiet.
        let arguments: Vec<&str> = arguments.into_iter().filter(|argument| *argument != "-quiet").collect();
        openssl(folder.path(), &arguments);
        Self { folder, kind }
    }

    /// The public half, taken from what OpenSSL prints of it.
    pub fn jwk(&self, kid: &str) -> Value {
        let b64 = |bytes: &[u8]| BASE64URL_NOPAD.encode(bytes);
        let der = || openssl(self.folder.path(), &["pkey", "-in", "key.pem", "-pubout", "-outform", "DER"]);
        let ec = |curve: &str, length: usize| {
            let der = der();
            let (x, y) = der[der.len() - 2 * length..].split_at(length);
            json!({ "kid": kid, "kty": "EC", "crv": curve, "x": b64(x), "y": b64(y), "use": "sig" })
        };
        match self.kind {
            Kind::Rsa => {
                let printed = openssl(self.folder.path(), &["rsa", "-in", "key.pem", "-noout", "-modulus"]);
                let printed = String::from_utf8(printed).unwrap().trim().to_lowercase();
                let modulus = HEXLOWER.decode(printed.split_once('=').unwrap().1.as_bytes()).unwrap();
                json!({ "kid": kid, "kty": "RSA", "n": b64(&modulus), "e": "AQAB", "use": "sig" })
            }
            Kind::P256 => ec("P-256", 32),
            Kind::P384 => ec("P-384", 48),
            Kind::Ed25519 => {
                let der = der();
                json!({ "kid": kid, "kty": "OKP", "crv": "Ed25519", "x": b64(&der[der.len() - 32..]) })
            }
            Kind::Secret => panic!("a secret has no public half"),
        }
    }

    /// A token.
    pub fn token(&self, alg: &str, kid: &str, claims: &Value) -> String {
        let b64 = |text: String| BASE64URL_NOPAD.encode(text.as_bytes());
        let header = json!({ "alg": alg, "kid": kid });
        let message = format!("{}.{}", b64(header.to_string()), b64(claims.to_string()));
        std::fs::write(self.folder.path().join("message"), &message).unwrap();
        format!("{message}.{}", BASE64URL_NOPAD.encode(&self.sign(alg)))
    }

    fn sign(&self, alg: &str) -> Vec<u8> {
        let hash = format!("-sha{}", &alg[alg.len().saturating_sub(3)..]);
        let run = |arguments: &[&str]| openssl(self.folder.path(), arguments);
        match self.kind {
            Kind::Ed25519 => {
                run(&["pkeyutl", "-sign", "-rawin", "-inkey", "key.pem", "-in", "message", "-out", "signed"]);
                std::fs::read(self.folder.path().join("signed")).unwrap()
            }
            Kind::Secret => {
                let key = format!("hexkey:{}", HEXLOWER.encode(SECRET));
                run(&["dgst", &hash, "-mac", "HMAC", "-macopt", &key, "-binary", "message"])
            }
            Kind::Rsa if alg.starts_with("PS") => {
                let pss = ["-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:digest"];
                run(&[&["dgst", &hash, "-sign", "key.pem"], &pss[..], &["message"]].concat())
            }
            Kind::Rsa => run(&["dgst", &hash, "-sign", "key.pem", "message"]),
            Kind::P256 => fixed(&run(&["dgst", &hash, "-sign", "key.pem", "message"]), 32),
            Kind::P384 => fixed(&run(&["dgst", &hash, "-sign", "key.pem", "message"]), 48),
        }
    }
}

/// A pair of numbers in DER as two numbers of fixed length (RFC 7518 section 3.4).
fn fixed(der: &[u8], length: usize) -> Vec<u8> {
    // 0x30, length, then twice 0x02, length, number; no length here needs a second byte.
    let (mut rest, mut numbers) = (&der[2..], Vec::new());
    for _ in 0..2 {
        let (number, after) = rest[2..].split_at(rest[1].into());
        let number = &number[number.len().saturating_sub(length)..];
        numbers.extend(std::iter::repeat_n(0, length - number.len()));
        numbers.extend_from_slice(number);
        rest = after;
    }
    numbers
}
