//! Azure Blob Storage: a service SAS for one blob
//! (<https://learn.microsoft.com/en-us/rest/api/storageservices/create-service-sas>).

use std::path::Path;

use aws_lc_rs::hmac;
use data_encoding::BASE64;
use ipnet::{IpNet, Ipv4Net};

use super::period::{Period, rfc3339};
use super::{SignerError, key_file, url};

/// The version of the service that the signature is made and read by (`sv`). Its form is the same since 2020-12-06.
const VERSION: &str = "2024-11-04";

pub(super) struct Azure {
    key: hmac::Key,
    /// `/blob/<account>`, in front of the path.
    resource: String,
}

impl Azure {
    pub(super) fn load(account: &str, path: &Path) -> Result<Self, SignerError> {
        let key = BASE64.decode(&key_file::read(path)?).ok().filter(|key| !key.is_empty());
        let problem = "is no key in base64: put key1 or key2 of the storage account into it as it is shown";
        let key = key.ok_or_else(|| key_file::bad(path, problem))?;
        Ok(Self { key: hmac::Key::new(hmac::HMAC_SHA256, &key), resource: format!("/blob/{account}") })
    }

    /// The path is signed decoded: `/<container>/<blob>`. Ranges of addresses are of IPv4 alone: clients that came by IPv6
    /// get a link that is bound to none.
    pub(super) fn sign(&self, out: &mut Vec<u8>, start: usize, period: &Period, network: Option<IpNet>) {
        let (_, path) = url::parts(out, start);
        let until = rfc3339(period.until);
        let addresses = match network {
            Some(IpNet::V4(network)) => range(network),
            Some(IpNet::V6(_)) | None => String::new(),
        };
        // Permissions, start, expiry, resource, policy's id, addresses, protocol, version, kind of resource, snapshot,
        // encryption scope, and five headers of the answer.
        let mut message = Vec::with_capacity(256);
        message.extend_from_slice(format!("r\n\n{until}\n{}", self.resource).as_bytes());
        url::put_decoded(&mut message, &out[path]);
        message.extend_from_slice(format!("\n\n{addresses}\nhttps\n{VERSION}\nb\n\n\n\n\n\n\n").as_bytes());
        let query = format!("?sv={VERSION}&spr=https&sr=b&sp=r&se=");
        out.extend_from_slice(query.as_bytes());
        url::put_value(out, until.as_bytes());
        if !addresses.is_empty() {
            out.extend_from_slice(b"&sip=");
            out.extend_from_slice(addresses.as_bytes());
        }
        out.extend_from_slice(b"&sig=");
        url::put_value(out, BASE64.encode(hmac::sign(&self.key, &message).as_ref()).as_bytes());
    }
}

/// Such as `203.0.113.0-203.0.113.255`.
fn range(network: Ipv4Net) -> String {
    format!("{}-{}", network.network(), network.broadcast())
}
