//! Short-lived signed URLs of mirrors. Every key is local: signing a link asks nobody.
//!
//! A [`Signer`] belongs to one mirror. It is made from `mirror.sign` when the configuration is prepared, which reads its
//! key files, and then only computes. One file per scheme; `presigned` is what S3 and Google Cloud Storage share.

mod azure;
mod cloudfront;
mod gcs;
mod hmac;
mod key_file;
mod period;
mod presigned;
mod private_key;
mod s3;
mod secure_link;
mod signatures;
mod url;

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::config::{Sign, SignKind};
use crate::model::{Timestamp, client_network};

use azure::Azure;
use cloudfront::CloudFront;
use gcs::Gcs;
use hmac::Hmac;
use period::Validity;
use s3::S3;
use secure_link::SecureLink;

/// Why a signer cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum SignerError {
    /// A file with a key or a secret.
    #[error("{} cannot be read: {error}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why not.
        error: std::io::Error,
    },
    /// What is in it is no such key.
    #[error("{} {problem}", path.display())]
    BadKey {
        /// The file.
        path: PathBuf,
        /// What is wrong, and what should be there. Never what is in it.
        problem: &'static str,
    },
}

/// What a link is signed for.
#[derive(Debug, Clone, Copy)]
pub struct LinkFor {
    /// The method: a link signed for one fails with the other, where the scheme signs it.
    pub method: LinkMethod,
    /// Who will use it; `None`: this service itself, so that it is bound to nobody's network.
    pub client: Option<IpAddr>,
    /// The time.
    pub now: Timestamp,
}

/// The methods that links are signed for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkMethod {
    /// GET.
    Get,
    /// HEAD.
    Head,
}

/// Signs a mirror's links.
pub struct Signer {
    scheme: Scheme,
    validity: Validity,
    /// Links are good for the client's network alone, where the scheme can say so.
    bind_network: bool,
}

enum Scheme {
    SecureLink(SecureLink),
    Hmac(Hmac),
    S3(Box<S3>),
    CloudFront(CloudFront),
    Gcs(Box<Gcs>),
    Azure(Azure),
}

impl Signer {
    /// Reads the keys.
    ///
    /// # Errors
    ///
    /// Where a file cannot be read, or holds no such key.
    pub fn load(sign: &Sign) -> Result<Self, SignerError> {
        let scheme = match &sign.kind {
            SignKind::SecureLink { secret } => {
                Scheme::SecureLink(SecureLink::load(secret, sign.bind_network)?)
            }
            SignKind::Hmac { secret, message, query, encoding } => {
                Scheme::Hmac(Hmac::load(secret, message, query, *encoding)?)
            }
            SignKind::S3 { region, access_key, secret } => {
                Scheme::S3(Box::new(S3::load(region, access_key, secret)?))
            }
            SignKind::CloudFront { key_pair, key } => Scheme::CloudFront(CloudFront::load(key_pair, key)?),
            SignKind::Gcs { key } => Scheme::Gcs(Box::new(Gcs::load(key)?)),
            SignKind::Azure { account, key } => Scheme::Azure(Azure::load(account, key)?),
        };
        Ok(Self { scheme, validity: Validity::new(sign.ttl), bind_network: sign.bind_network })
    }

    /// Makes a URL good: `out[start..]` is an absolute URL without a query. What makes it good is appended; where the store
    /// would read the path in another way (S3 takes a `+` for a space), the path is replaced by another form of the same.
    ///
    /// A link is good for at least [`ttl`](Self::ttl) and at most a tenth (or a minute) longer, so that those of one moment are
    /// equal and caches may help.
    pub fn sign(&self, out: &mut Vec<u8>, start: usize, link: &LinkFor) {
        let period = self.validity.period(link.now);
        let network = link.client.filter(|_| self.bind_network).map(client_network);
        match &self.scheme {
            Scheme::SecureLink(scheme) => scheme.sign(out, start, &period, network),
            Scheme::Hmac(scheme) => scheme.sign(out, start, &period, network),
            Scheme::S3(scheme) => scheme.sign(out, start, &period, link.method),
            Scheme::CloudFront(scheme) => scheme.sign(out, start, &period, network),
            Scheme::Gcs(scheme) => scheme.sign(out, start, &period, link.method),
            Scheme::Azure(scheme) => scheme.sign(out, start, &period, network),
        }
    }

    /// Whether the mirror answers a signed link also when an `Authorization` header comes with it. Stores that take
    /// credentials there refuse a request that has two.
    pub fn tolerates_authorization(&self) -> bool {
        match self.scheme {
            Scheme::SecureLink(_) | Scheme::Hmac(_) | Scheme::CloudFront(_) => true,
            Scheme::S3(_) | Scheme::Gcs(_) | Scheme::Azure(_) => false,
        }
    }

    /// How long a link is good at least.
    pub fn ttl(&self) -> Duration {
        self.validity.ttl()
    }
}

/// Without the keys.
impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.scheme {
            Scheme::SecureLink(_) => "secure_link",
            Scheme::Hmac(_) => "hmac",
            Scheme::S3(_) => "s3",
            Scheme::CloudFront(_) => "cloudfront",
            Scheme::Gcs(_) => "gcs",
            Scheme::Azure(_) => "azure",
        };
        let mut debug = f.debug_struct("Signer");
        debug.field("kind", &kind).field("ttl", &self.ttl()).field("bind_network", &self.bind_network);
        debug.finish_non_exhaustive()
    }
}
