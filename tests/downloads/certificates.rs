//! A private certificate authority, as inside a company.

use std::fs;
use std::net::IpAddr;
use std::path::Path;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

use crate::nginx::TlsFiles;

pub struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub fn new() -> Self {
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(rcgen::DnType::CommonName, "Waypost's tests");
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// The authority's own certificate, in PEM.
    pub fn certificate(&self) -> String {
        self.0.pem()
    }

    /// A certificate for an address, as files in `folder`.
    pub fn issue(&self, folder: &Path, address: IpAddr) -> TlsFiles {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(vec![address.to_string()]).unwrap();
        let certificate = certificate.signed_by(&key, &self.0).unwrap();
        let file = |kind| folder.join(format!("{address}.{kind}"));
        let files = TlsFiles { certificate: file("crt"), key: file("key") };
        fs::write(&files.certificate, certificate.pem()).unwrap();
        fs::write(&files.key, key.serialize_pem()).unwrap();
        fs::write(folder.join("ca.pem"), self.certificate()).unwrap();
        files
    }

    /// The lines of a configuration, beginning within `[server]`, by which a service has this certificate and trusts mirrors
    /// of the same authority.
    pub fn settings(&self, files: &TlsFiles) -> String {
        let (certificate, key) = (files.certificate.display(), files.key.display());
        format!(
            "[server.tls]\ncertificate = \"{certificate}\"\nkey_file = \"{key}\"\n[outgoing]\nca_file = \"ca.pem\"\n"
        )
    }
}
