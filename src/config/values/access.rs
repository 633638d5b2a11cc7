//! The values of private downloads: whose tokens are believed, what they give, how links are signed, what is recorded.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use url::Url;

use super::Config;
use crate::model::{ChannelName, Platform, ProductName, RegionId, Timestamp, VersionRange};

/// Who may have a product.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Access {
    /// Everybody.
    #[default]
    Public,
    /// Whoever a token entitles to it.
    Entitled,
}

/// `[[issuer]]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issuer {
    /// Its name here, unique: what metrics and the audit call it.
    pub name: String,
    /// The `iss` of its tokens, compared as text.
    pub issuer: String,
    /// Tokens have to be for one of these; never empty.
    pub audiences: Vec<String>,
    /// What it may sign with; never empty. All are shared-secret algorithms, or none is.
    pub algorithms: Vec<JwtAlgorithm>,
    /// Where its keys are.
    pub keys: IssuerKeys,
    /// How far its clock may be off. Default 30 s, at most 5 min.
    pub leeway: Duration,
    /// The claim that tells its tokens apart. Default `jti`.
    pub token_id: String,
}

/// A signature algorithm of tokens (RFC 7518 section 3.1; EdDSA: RFC 8037).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)] // The names are those of the RFC.
pub enum JwtAlgorithm {
    Hs256,
    Hs384,
    Hs512,
    Rs256,
    Rs384,
    Rs512,
    Ps256,
    Ps384,
    Ps512,
    Es256,
    Es384,
    EdDsa,
}

impl JwtAlgorithm {
    /// Every algorithm with its name in a token's header.
    pub const NAMES: [(&str, Self); 12] = [
        ("HS256", Self::Hs256),
        ("HS384", Self::Hs384),
        ("HS512", Self::Hs512),
        ("RS256", Self::Rs256),
        ("RS384", Self::Rs384),
        ("RS512", Self::Rs512),
        ("PS256", Self::Ps256),
        ("PS384", Self::Ps384),
        ("PS512", Self::Ps512),
        ("ES256", Self::Es256),
        ("ES384", Self::Es384),
        ("EdDSA", Self::EdDsa),
    ];

    /// Whether whoever can verify a token can make one as well.
    pub fn is_shared_secret(self) -> bool {
        matches!(self, Self::Hs256 | Self::Hs384 | Self::Hs512)
    }
}

/// Most shared secrets of an issuer, or of tickets: two while they are changed, and one to spare. All are tried.
pub const SECRETS_MAX: usize = 3;

/// Where an issuer's keys are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IssuerKeys {
    /// A JWK set (RFC 7517 section 5) that is fetched again and again.
    Jwks {
        /// An https URL, or an http URL on loopback.
        url: Url,
        /// How often. Default 1 h.
        refresh: Duration,
        /// How old keys may become while it cannot be fetched. Default 24 h.
        max_age: Duration,
    },
    /// A JWK set in a file.
    JwksFile(PathBuf),
    /// Shared secrets, each the whole of a file; the first signs what is minted here, all are believed.
    Secrets(Vec<PathBuf>),
}

/// `[[entitlement]]`: what an issuer's tokens give their bearers.
#[derive(Debug, Clone, PartialEq)]
pub struct Entitlement {
    /// Whose tokens: a position in the list of issuers.
    pub issuer: usize,
    /// Claims that must match, all of them.
    pub when: Vec<ClaimMatch>,
    /// What is given.
    pub allow: Vec<Allow>,
}

/// A claim that must have one of some values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimMatch {
    /// The claim's name; parts of nested claims are joined by dots.
    pub claim: String,
    /// Patterns with `*` and `?`, one of which has to fit: the claim itself, or an element where it is a list.
    pub patterns: Vec<glob::Pattern>,
}

/// Products by name.
#[derive(Debug, Clone, PartialEq)]
pub enum ProductPattern {
    /// The one of this name: every request asks, and a pattern would be read letter by letter.
    Name(ProductName),
    /// Those whose names fit, with `*` and `?`.
    Like(glob::Pattern),
}

impl ProductPattern {
    /// Whether a product is one of them.
    pub fn matches(&self, product: &ProductName) -> bool {
        match self {
            Self::Name(name) => name == product,
            Self::Like(pattern) => pattern.matches(product),
        }
    }
}

impl fmt::Display for ProductPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => name.fmt(f),
            Self::Like(pattern) => pattern.fmt(f),
        }
    }
}

/// A part of what is given. What is empty or `None` restricts nothing.
#[derive(Debug, Clone, PartialEq)]
pub struct Allow {
    /// Which products.
    pub product: ProductPattern,
    /// Releases whose manifest names one of these channels.
    pub channels: Vec<ChannelName>,
    /// Their versions.
    pub versions: Option<VersionRange>,
    /// Assets of these platforms, and those of no platform.
    pub platforms: Vec<Platform>,
    /// Clients in these regions.
    pub regions: Vec<RegionId>,
    /// From this moment on.
    pub from: Option<Timestamp>,
    /// Before this moment.
    pub until: Option<Timestamp>,
    /// As many different assets per token id.
    pub assets: Option<u32>,
}

/// `[tickets]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tickets {
    /// Secrets that tickets are sealed with: the first seals, all are believed. Empty: a random one that ends with the
    /// process.
    pub secrets: Vec<PathBuf>,
    /// How long a ticket is good. Default 5 min, at most 1 h.
    pub ttl: Duration,
    /// How long a browser keeps a token that was put into the page. Default 15 min, at most 12 h.
    pub session: Duration,
}

impl Default for Tickets {
    fn default() -> Self {
        Self { secrets: Vec::new(), ttl: Duration::from_secs(300), session: Duration::from_secs(900) }
    }
}

/// `[audit]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Audit {
    /// JSON lines. Default `deliveries.jsonl` in the state folder; `None`: nothing is recorded.
    pub file: Option<PathBuf>,
    /// An answer that cannot be recorded is not given. Default false.
    pub required: bool,
    /// A file that has grown to this many bytes is put aside. Default 100 MiB.
    pub rotate: u64,
    /// How many of those are kept. Default 10; 0: all.
    pub keep: usize,
}

/// `mirror.sign`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sign {
    /// How.
    pub kind: SignKind,
    /// How long a link is good. Default 5 min; at least 30 s, at most 7 days.
    pub ttl: Duration,
    /// A link is good for the client's network alone, where the kind can say so.
    pub bind_network: bool,
}

/// A scheme of signed URLs, with its keys: those that sign. While keys are changed it is the mirror that believes two.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SignKind {
    /// nginx `ngx_http_secure_link_module`: `?md5=…&expires=…`.
    SecureLink {
        /// The secret.
        secret: PathBuf,
    },
    /// HMAC-SHA256 of a template, for CDNs and mirrors of one's own.
    Hmac {
        /// The secret.
        secret: PathBuf,
        /// What is signed. Default `{expires}{path}`, bound to a network `{expires} {network}{path}`.
        message: LinkTemplate,
        /// What is appended to the URL. Default `?expires={expires}&signature={signature}`.
        query: LinkTemplate,
        /// How the signature is written.
        encoding: SignatureEncoding,
    },
    /// Amazon S3 and what speaks like it: a presigned URL (SigV4 in the query).
    S3 {
        /// The bucket's region.
        region: String,
        /// File with the access key's id.
        access_key: PathBuf,
        /// File with the secret access key.
        secret: PathBuf,
    },
    /// Amazon CloudFront: a signed URL.
    CloudFront {
        /// The public key's id at CloudFront.
        key_pair: String,
        /// PEM file with the private key: RSA 2048 or ECDSA P-256.
        key: PathBuf,
    },
    /// Google Cloud Storage: a V4 signed URL.
    Gcs {
        /// File with the service account's JSON key.
        key: PathBuf,
    },
    /// Azure Blob Storage: a service SAS for one blob.
    Azure {
        /// The storage account.
        account: String,
        /// File with the account's key in base64.
        key: PathBuf,
    },
}

/// How a signature is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SignatureEncoding {
    /// Hexadecimal, lower case.
    #[default]
    Hex,
    /// Base64 for URLs, without padding (RFC 4648 section 5).
    Base64Url,
}

/// A text with places to fill in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkTemplate(pub Vec<LinkPart>);

/// A part of such a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LinkPart {
    /// Text as it is.
    Literal(String),
    /// Until when the link is good: seconds since 1970.
    Expires,
    /// The URL's path as it is asked for, percent-encoded.
    Path,
    /// The client's network, such as `203.0.113.0/24`; empty for what this service asks for itself.
    Network,
    /// The signature.
    Signature,
}

impl SignKind {
    /// The files with its keys.
    pub fn files(&self) -> impl Iterator<Item = &PathBuf> {
        let (one, other) = match self {
            Self::SecureLink { secret } | Self::Hmac { secret, .. } => (secret, None),
            Self::S3 { access_key, secret, .. } => (access_key, Some(secret)),
            Self::CloudFront { key, .. } | Self::Gcs { key } | Self::Azure { key, .. } => (key, None),
        };
        [Some(one), other].into_iter().flatten()
    }
}

impl IssuerKeys {
    /// The files with its keys.
    pub fn files(&self) -> &[PathBuf] {
        match self {
            Self::Jwks { .. } => &[],
            Self::JwksFile(file) => std::slice::from_ref(file),
            Self::Secrets(files) => files,
        }
    }
}

impl Config {
    /// Every file that holds keys or secrets of private downloads.
    pub fn key_files(&self) -> impl Iterator<Item = &PathBuf> {
        let signers = self.mirrors.iter().filter_map(|mirror| mirror.sign.as_ref());
        let issuers = self.issuers.iter().flat_map(|issuer| issuer.keys.files());
        signers.flat_map(|sign| sign.kind.files()).chain(issuers).chain(&self.tickets.secrets)
    }
}
