//! The certificate and key in force, from files, and their exchange while the service runs.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use aws_lc_rs::digest::{SHA256, digest};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs::{Ticketer, default_provider};
use rustls::server::ServerSessionMemoryCache;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use super::protocol::{ALPN_HTTP1, ALPN_HTTP2};
use super::validity::Validity;
use crate::config::TlsFiles;
use crate::model::Timestamp;

/// Most bytes of a certificate or key file.
const MAX_FILE: u64 = 1 << 20;
/// Sessions that TLS 1.2 clients without tickets may resume.
const SESSIONS: usize = 1024;

/// Why certificate and key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read {}: {source}; check the path and that this user may read it", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file is larger than any certificate or key.
    #[error("{} is larger than 1 MiB; is it the right file?", .path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// The certificate file has no usable certificate.
    #[error("{} has no certificate chain in PEM: {reason}; give the full chain, leaf first", .path.display())]
    Certificate {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The key file has no usable key.
    #[error("{} has no private key in PEM: {reason}; give an unencrypted PKCS #8, PKCS #1 or SEC1 key", .path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// Key and certificate do not belong together.
    #[error("the key in {} does not belong to the first certificate in {}; give the pair that was issued together, leaf first", .key.display(), .certificate.display())]
    Mismatch {
        /// The certificate file.
        certificate: PathBuf,
        /// The key file.
        key: PathBuf,
    },
    /// The TLS library refused for another reason.
    #[error("certificate {} and key {} were refused: {source}", .certificate.display(), .key.display())]
    Refused {
        /// The certificate file.
        certificate: PathBuf,
        /// The key file.
        key: PathBuf,
        /// What the library said.
        source: rustls::Error,
    },
}

/// What is wrong with a certificate that is served all the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsWarning {
    /// It ended at this moment.
    Expired(Timestamp),
    /// It begins at this moment.
    NotYetValid(Timestamp),
}

impl fmt::Display for TlsWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Expired(end) => write!(f, "the certificate expired at {end}; clients will refuse it"),
            Self::NotYetValid(begin) => {
                write!(f, "the certificate is valid only from {begin}; check the clock")
            }
        }
    }
}

/// The configuration in force and the files it came from. Connections take it at their handshake.
#[derive(Debug)]
pub struct TlsStore {
    files: TlsFiles,
    current: ArcSwap<Loaded>,
    /// Held while files are read, so that an older state never replaces a newer one.
    reloading: Mutex<()>,
}

#[derive(Debug)]
struct Loaded {
    config: Arc<ServerConfig>,
    validity: Option<Validity>,
    /// SHA-256 of both files.
    fingerprint: [u8; 32],
}

impl TlsStore {
    /// Reads certificate and key. Blocks on the file system.
    ///
    /// # Errors
    ///
    /// Where they cannot be read or used. An expired certificate is no error: see [`TlsStore::warning`].
    pub fn load(files: &TlsFiles) -> Result<Self, TlsError> {
        let loaded = Pem::read(files)?.load(files)?;
        let current = ArcSwap::from_pointee(loaded);
        Ok(Self { files: files.clone(), current, reloading: Mutex::new(()) })
    }

    /// Reads the files again; new connections see what is new. Whether they had changed. Blocks on the file system.
    ///
    /// # Errors
    ///
    /// As for `load`; then the last good certificate stays in force.
    pub fn reload(&self) -> Result<bool, TlsError> {
        let _one_at_a_time = self.reloading.lock().unwrap_or_else(PoisonError::into_inner);
        let pem = Pem::read(&self.files)?;
        if pem.fingerprint() == self.current.load().fingerprint {
            return Ok(false);
        }
        self.current.store(Arc::new(pem.load(&self.files)?));
        Ok(true)
    }

    /// What the operator should know of the certificate in force.
    pub fn warning(&self, now: Timestamp) -> Option<TlsWarning> {
        let Validity { not_before, not_after } = self.current.load().validity?;
        if now > not_after {
            Some(TlsWarning::Expired(not_after))
        } else {
            (now < not_before).then_some(TlsWarning::NotYetValid(not_before))
        }
    }

    /// The last moment of the certificate in force, where it could be read.
    pub fn not_after(&self) -> Option<Timestamp> {
        self.current.load().validity.map(|validity| validity.not_after)
    }

    /// The configuration for a handshake.
    pub(super) fn current(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.current.load().config)
    }
}

/// The files as they were read.
struct Pem {
    certificate: Vec<u8>,
    key: Vec<u8>,
}

impl Pem {
    fn read(files: &TlsFiles) -> Result<Self, TlsError> {
        Ok(Self { certificate: read(&files.certificate)?, key: read(&files.key_file)? })
    }

    fn fingerprint(&self) -> [u8; 32] {
        let mut both = [0; 32];
        let of_files = [digest(&SHA256, &self.certificate), digest(&SHA256, &self.key)];
        let joined: Vec<u8> = of_files.iter().flat_map(|one| one.as_ref().iter().copied()).collect();
        both.copy_from_slice(digest(&SHA256, &joined).as_ref());
        both
    }

    fn load(&self, files: &TlsFiles) -> Result<Loaded, TlsError> {
        let bad_certificate = |reason| TlsError::Certificate { path: files.certificate.clone(), reason };
        let chain = CertificateDer::pem_slice_iter(&self.certificate)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| bad_certificate(error.to_string()))?;
        let leaf = chain.first().ok_or_else(|| bad_certificate("there is none in it".into()))?;
        let validity = Validity::of(leaf);
        let key = PrivateKeyDer::from_pem_slice(&self.key)
            .map_err(|error| TlsError::Key { path: files.key_file.clone(), reason: error.to_string() })?;
        let config = server_config(chain, key).map_err(|source| match source {
            rustls::Error::InconsistentKeys(_) => {
                TlsError::Mismatch { certificate: files.certificate.clone(), key: files.key_file.clone() }
            }
            source => TlsError::Refused {
                certificate: files.certificate.clone(),
                key: files.key_file.clone(),
                source,
            },
        })?;
        Ok(Loaded { config: Arc::new(config), validity, fingerprint: self.fingerprint() })
    }
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    let failed = |source| TlsError::Read { path: path.to_owned(), source };
    let mut bytes = Vec::new();
    File::open(path).map_err(failed)?.take(MAX_FILE + 1).read_to_end(&mut bytes).map_err(failed)?;
    match bytes.len() as u64 > MAX_FILE {
        true => Err(TlsError::TooLarge { path: path.to_owned() }),
        false => Ok(bytes),
    }
}

/// TLS 1.2 and 1.3, HTTP/2 and HTTP/1.1. Tickets are sealed with keys of this configuration only, so nobody resumes a
/// session that an older certificate began.
fn server_config(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<ServerConfig, rustls::Error> {
    let mut config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![ALPN_HTTP2.to_vec(), ALPN_HTTP1.to_vec()];
    config.ticketer = Ticketer::new()?;
    config.session_storage = ServerSessionMemoryCache::new(SESSIONS);
    Ok(config)
}
