//! From `[[issuer]]`, `[[entitlement]]`, `[tickets]` and `mirror.sign` to what answers need of them: key files are read here.

use std::collections::HashSet;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aws_lc_rs::rand;

use crate::config::{Access, Config, IssuerKeys};
use crate::entitlement::{Entitlements, Issuer, KeyError, KeySet, Rules, Tickets};
use crate::links::{Signer, SignerError};
use crate::model::ProductName;

/// Longest file of keys, in bytes.
const FILE_MAX: u64 = 1 << 20;

/// What the configuration says about private downloads, with its files read.
#[derive(Debug)]
pub struct Believed {
    /// Keys of each issuer that has them in files, in the order of the configuration.
    pub keys: Box<[Option<Arc<KeySet>>]>,
    /// Products that are for entitled callers only.
    pub entitled: HashSet<ProductName>,
    /// What tokens give.
    pub rules: Arc<Rules>,
    /// Seals tickets.
    pub tickets: Arc<Tickets>,
}

/// What tickets are sealed with where no file says. Drawn once and handed to every reload, so that tickets end with the
/// process and not before.
#[derive(Clone)]
pub struct TicketSecret([u8; 32]);

impl TicketSecret {
    /// 256 random bits.
    pub fn random() -> Self {
        let mut bytes = [0; 32];
        rand::fill(&mut bytes)
            .expect("the system's source of randomness does not fail once the library is up");
        Self(bytes)
    }
}

/// Why a file of keys cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BelievedError {
    /// It cannot be read.
    #[error("{} cannot be read: {error}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why not.
        error: std::io::Error,
    },
    /// What is in it are no keys.
    #[error("{} {error}", path.display())]
    BadKeys {
        /// The file.
        path: PathBuf,
        /// Why not.
        error: KeyError,
    },
    /// A mirror's links cannot be signed.
    #[error("mirror {mirror}: {error}")]
    Signer {
        /// Which mirror.
        mirror: String,
        /// Why not.
        error: SignerError,
    },
}

impl Believed {
    /// Reads the files. Tickets are sealed with `ticket_secret` where none is in a file.
    ///
    /// # Errors
    ///
    /// All that cannot be used, at once.
    pub fn read(config: &Config, ticket_secret: &TicketSecret) -> Result<Self, Vec<BelievedError>> {
        let (mut errors, mut keys) = (Vec::new(), Vec::new());
        for issuer in &config.issuers {
            keys.push(keys_of(&issuer.keys).unwrap_or_else(|error| {
                errors.push(error);
                None
            }));
        }
        let tickets = tickets(config, ticket_secret).map_err(|error| errors.push(error));
        match tickets {
            Ok(tickets) if errors.is_empty() => {
                let rules = Arc::new(Rules::new(&config.entitlements));
                Ok(Self { keys: keys.into(), entitled: entitled(config), rules, tickets: Arc::new(tickets) })
            }
            Ok(_) | Err(()) => Err(errors),
        }
    }
}

fn entitled(config: &Config) -> HashSet<ProductName> {
    let entitled = config.products.iter().filter(|product| product.access == Access::Entitled);
    entitled.map(|product| product.name.clone()).collect()
}

impl Believed {
    /// What tokens are held against, as far as files tell: keys that are fetched and revocations are not known.
    pub fn entitlements(&self, config: &Config) -> Entitlements {
        let issuers = config.issuers.iter().zip(&self.keys);
        let issuers = issuers.map(|(issuer, keys)| Issuer::new(issuer, keys.clone())).collect();
        let (rules, tickets) = (Arc::clone(&self.rules), Arc::clone(&self.tickets));
        Entitlements::new(issuers, rules, Arc::default(), tickets, Arc::default())
    }
}

fn keys_of(keys: &IssuerKeys) -> Result<Option<Arc<KeySet>>, BelievedError> {
    let (path, set) = match keys {
        IssuerKeys::Jwks { .. } => return Ok(None),
        IssuerKeys::JwksFile(path) => (path, KeySet::from_jwks(&read(path)?)),
        IssuerKeys::Secrets(paths) => {
            let secrets = paths.iter().map(|path| shared_secret(path)).collect::<Result<Vec<_>, _>>()?;
            (&paths[0], KeySet::from_secrets(&secrets))
        }
    };
    let bad = |error| BelievedError::BadKeys { path: path.clone(), error };
    set.map(|set| Some(Arc::new(set))).map_err(bad)
}

fn tickets(config: &Config, ticket_secret: &TicketSecret) -> Result<Tickets, BelievedError> {
    let secrets =
        config.tickets.secrets.iter().map(|path| shared_secret(path)).collect::<Result<Vec<_>, _>>()?;
    let ttl = config.tickets.ttl;
    Ok(match secrets.split_first() {
        Some((first, others)) => Tickets::new(first, others, ttl),
        None => Tickets::new(&ticket_secret.0, &[], ttl),
    })
}

/// What signs each mirror's links, in the order of the configuration.
///
/// # Errors
///
/// All that cannot be made, at once.
pub fn signers(config: &Config) -> Result<Vec<Option<Arc<Signer>>>, Vec<BelievedError>> {
    let (mut errors, mut signers) = (Vec::new(), Vec::new());
    for mirror in &config.mirrors {
        let signer = mirror.sign.as_ref().map(Signer::load).transpose().map_err(|error| {
            errors.push(BelievedError::Signer { mirror: mirror.name.to_string(), error });
        });
        signers.push(signer.ok().flatten().map(Arc::new));
    }
    if errors.is_empty() { Ok(signers) } else { Err(errors) }
}

/// A secret that somebody else has too: the whole of a file, without the one newline that an editor leaves at its end.
///
/// # Errors
///
/// Where the file cannot be read, or is too short for a secret.
pub fn shared_secret(path: &Path) -> Result<Vec<u8>, BelievedError> {
    let mut secret = read(path)?;
    if secret.last() == Some(&b'\n') {
        secret.pop();
    }
    let checked = KeySet::from_secrets(std::slice::from_ref(&secret));
    let bad = |error| BelievedError::BadKeys { path: path.to_owned(), error };
    checked.map(|_| secret).map_err(bad)
}

fn read(path: &Path) -> Result<Vec<u8>, BelievedError> {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(FILE_MAX + 1).read_to_end(&mut bytes));
    read.map_err(|error| BelievedError::Unreadable { path: path.to_owned(), error })?;
    Ok(bytes)
}
