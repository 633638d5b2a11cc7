//! Amazon CloudFront's signed URLs
//! (<https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/private-content-signed-urls.html>): a canned policy,
//! or a custom one where the link is bound to a network. The signature is over SHA-256, which the URL has to say.

use std::path::Path;

use data_encoding::BASE64;
use ipnet::IpNet;

use super::period::{Period, put_number};
use super::private_key::PrivateKey;
use super::{SignerError, key_file};

/// The only length that CloudFront takes, in bits.
const RSA_BITS: usize = 2048;

pub(super) struct CloudFront {
    key: PrivateKey,
    /// What follows the signature.
    tail: String,
}

impl CloudFront {
    pub(super) fn load(key_pair: &str, path: &Path) -> Result<Self, SignerError> {
        let key = PrivateKey::from_pem(&key_file::read(path)?);
        let key = key.filter(|key| key.rsa_bits().is_none_or(|bits| bits == RSA_BITS));
        let problem = "is no private key in PEM that CloudFront takes: make one with \
            `openssl ecparam -name prime256v1 -genkey -noout` or `openssl genrsa 2048`";
        let key = key.ok_or_else(|| key_file::bad(path, problem))?;
        Ok(Self { key, tail: format!("&Key-Pair-Id={key_pair}&Hash-Algorithm=SHA256") })
    }

    /// CloudFront compares the URL as it is asked for, and knows networks of IPv4 alone: clients that came by IPv6 get a link
    /// that is bound to none.
    pub(super) fn sign(&self, out: &mut Vec<u8>, start: usize, period: &Period, network: Option<IpNet>) {
        let network = network.filter(|network| network.addr().is_ipv4());
        let mut policy = Vec::with_capacity(160 + out.len() - start);
        policy.extend_from_slice(br#"{"Statement":[{"Resource":""#);
        policy.extend_from_slice(&out[start..]);
        policy.extend_from_slice(br#"","Condition":{"DateLessThan":{"AWS:EpochTime":"#);
        put_number(&mut policy, period.until);
        policy.push(b'}');
        if let Some(network) = network {
            policy.extend_from_slice(format!(r#","IpAddress":{{"AWS:SourceIp":"{network}"}}"#).as_bytes());
        }
        policy.extend_from_slice(b"}}]}");
        match network {
            None => {
                out.extend_from_slice(b"?Expires=");
                put_number(out, period.until);
            }
            Some(_) => {
                out.extend_from_slice(b"?Policy=");
                put_base64(out, &policy);
            }
        }
        out.extend_from_slice(b"&Signature=");
        self.key.sign(&policy, |signature| put_base64(out, signature));
        out.extend_from_slice(self.tail.as_bytes());
    }
}

/// Base64 with the three letters that mean something in a URL replaced.
fn put_base64(out: &mut Vec<u8>, bytes: &[u8]) {
    let start = out.len();
    out.resize(start + BASE64.encode_len(bytes.len()), 0);
    BASE64.encode_mut(bytes, &mut out[start..]);
    for letter in &mut out[start..] {
        *letter = match *letter {
            b'+' => b'-',
            b'=' => b'_',
            b'/' => b'~',
            other => other,
        };
    }
}
