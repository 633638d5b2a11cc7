//! nginx's `ngx_http_secure_link_module`: `?md5=…&expires=…`
//! (<https://nginx.org/en/docs/http/ngx_http_secure_link_module.html>). `deploy/nginx-signed-mirror.conf` is the other side.

use std::path::Path;

use data_encoding::BASE64URL_NOPAD;
use ipnet::IpNet;
use md5::{Digest, Md5};

use super::period::{Period, put_number};
use super::{SignerError, key_file, url};

pub(super) struct SecureLink {
    /// A space and the secret.
    tail: Vec<u8>,
    /// The message names the client's network.
    binds: bool,
}

impl SecureLink {
    pub(super) fn load(secret: &Path, binds: bool) -> Result<Self, SignerError> {
        let tail = [b" ", &*key_file::read(secret)?].concat();
        Ok(Self { tail, binds })
    }

    /// The md5 of `<expires><path> <secret>`, or `<expires> <network><path> <secret>`. nginx knows the path decoded
    /// (`$uri`). This service's own links name an empty network.
    pub(super) fn sign(&self, out: &mut Vec<u8>, start: usize, period: &Period, network: Option<IpNet>) {
        let (_, path) = url::parts(out, start);
        let mut message = Vec::with_capacity(64 + path.len() + self.tail.len());
        put_number(&mut message, period.until);
        let until = ..message.len();
        if self.binds {
            message.push(b' ');
            message.extend(network.iter().flat_map(|network| network.to_string().into_bytes()));
        }
        url::put_decoded(&mut message, &out[path]);
        message.extend_from_slice(&self.tail);
        let mut md5 = [0; 22];
        BASE64URL_NOPAD.encode_mut(&Md5::digest(&message), &mut md5);
        out.extend_from_slice(b"?md5=");
        out.extend_from_slice(&md5);
        out.extend_from_slice(b"&expires=");
        out.extend_from_slice(&message[until]);
    }
}
