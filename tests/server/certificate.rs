//! Certificates and clients that trust them.

use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use waypost::config::TlsFiles;

use crate::Site;

/// A self-signed certificate for `localhost` and its key, in PEM and DER.
pub struct Pair {
    pub certificate: String,
    pub key: String,
    pub der: CertificateDer<'static>,
}

impl Pair {
    pub fn new() -> Self {
        Self::until(2090)
    }

    /// Valid from 2020 to the end of a year.
    pub fn until(year: i32) -> Self {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(vec!["localhost".into()]).unwrap();
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(year, 12, 31);
        let certificate = params.self_signed(&key).unwrap();
        Self { certificate: certificate.pem(), key: key.serialize_pem(), der: certificate.der().clone() }
    }

    pub fn write(&self, folder: &Path) {
        std::fs::write(folder.join("chain.pem"), &self.certificate).unwrap();
        std::fs::write(folder.join("key.pem"), &self.key).unwrap();
    }
}

/// A folder with this pair's files.
pub fn folder_with(pair: &Pair) -> (TempDir, TlsFiles) {
    let folder = tempfile::tempdir().unwrap();
    pair.write(folder.path());
    let files =
        TlsFiles { certificate: folder.path().join("chain.pem"), key_file: folder.path().join("key.pem") };
    (folder, files)
}

/// A client that trusts one certificate and offers these protocols.
pub fn client(trusted: &CertificateDer<'static>, alpn: &[&str]) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    TlsConnector::from(Arc::new(config))
}

pub async fn connect(site: &Site, client: &TlsConnector) -> std::io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(site.address).await?;
    crate::soon(client.connect(ServerName::try_from("localhost").unwrap(), stream)).await
}
