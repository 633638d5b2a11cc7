//! HMAC-SHA256 (RFC 2104) of a template, for CDNs and for mirrors of one's own.

use std::path::Path;

use aws_lc_rs::hmac;
use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use ipnet::IpNet;

use crate::config::{LinkPart, LinkTemplate, SignatureEncoding};

use super::period::{Period, put_number};
use super::{SignerError, key_file, url};

pub(super) struct Hmac {
    key: hmac::Key,
    message: LinkTemplate,
    query: LinkTemplate,
    encoding: SignatureEncoding,
}

/// What the parts of a template stand for.
struct Filling<'a> {
    until: u64,
    /// As it is asked for, percent-encoded.
    path: &'a [u8],
    network: &'a str,
    signature: &'a str,
}

impl Hmac {
    pub(super) fn load(
        secret: &Path,
        message: &LinkTemplate,
        query: &LinkTemplate,
        encoding: SignatureEncoding,
    ) -> Result<Self, SignerError> {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &key_file::read(secret)?);
        Ok(Self { key, message: message.clone(), query: query.clone(), encoding })
    }

    pub(super) fn sign(&self, out: &mut Vec<u8>, start: usize, period: &Period, network: Option<IpNet>) {
        let (_, path) = url::parts(out, start);
        let network = network.map(|network| network.to_string()).unwrap_or_default();
        let filling = Filling { until: period.until, path: &out[path], network: &network, signature: "" };
        let mut message = Vec::with_capacity(256);
        fill(&self.message, &filling, &mut message);
        let tag = hmac::sign(&self.key, &message);
        let signature = match self.encoding {
            SignatureEncoding::Hex => HEXLOWER.encode(tag.as_ref()),
            SignatureEncoding::Base64Url => BASE64URL_NOPAD.encode(tag.as_ref()),
        };
        let filling = Filling { until: period.until, path: b"", network: "", signature: &signature };
        fill(&self.query, &filling, out);
    }
}

fn fill(template: &LinkTemplate, filling: &Filling<'_>, out: &mut Vec<u8>) {
    for part in &template.0 {
        match part {
            LinkPart::Literal(text) => out.extend_from_slice(text.as_bytes()),
            LinkPart::Expires => put_number(out, filling.until),
            LinkPart::Path => out.extend_from_slice(filling.path),
            LinkPart::Network => out.extend_from_slice(filling.network.as_bytes()),
            LinkPart::Signature => out.extend_from_slice(filling.signature.as_bytes()),
        }
    }
}
