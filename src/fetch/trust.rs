//! Whose certificates are believed.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use tokio_rustls::TlsConnector;

use super::fetcher::FetcherError;

/// Largest `outgoing.ca_file`, in bytes. The bundle of a Debian system has 220 KB.
const CA_FILE_MAX: u64 = 4 << 20;

/// A TLS client that believes the system's roots, for whoever speaks HTTP/1.1 over a connection of their own.
///
/// # Errors
///
/// Where TLS cannot be set up at all.
pub fn connector() -> Result<TlsConnector, FetcherError> {
    client_config(None).map(|(config, _)| config.into())
}

/// TLS as a client: the system's roots and those of `ca_file`. Also gives how many there are.
pub(super) fn client_config(ca_file: Option<&Path>) -> Result<(Arc<ClientConfig>, usize), FetcherError> {
    let system = rustls_native_certs::load_native_certs();
    for error in &system.errors {
        tracing::debug!(%error, "a system root certificate cannot be read");
    }
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(system.certs);
    if let Some(path) = ca_file {
        for certificate in read_certificates(path)? {
            let bad = |error| FetcherError::BadCertificate { path: path.to_owned(), error };
            roots.add(certificate).map_err(bad)?;
        }
    }
    let count = roots.len();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(FetcherError::Tls)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok((Arc::new(config), count))
}

fn read_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, FetcherError> {
    let path_buf = || PathBuf::from(path);
    let mut pem = Vec::new();
    File::open(path)
        .and_then(|file| file.take(CA_FILE_MAX + 1).read_to_end(&mut pem))
        .map_err(|error| FetcherError::UnreadableCaFile { path: path_buf(), error })?;
    if pem.len() as u64 > CA_FILE_MAX {
        return Err(FetcherError::NoCertificate { path: path_buf() });
    }
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    match certificates {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        _ => Err(FetcherError::NoCertificate { path: path_buf() }),
    }
}
