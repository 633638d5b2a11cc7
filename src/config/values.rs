//! The checked values. Paths are absolute or relative to the working directory (the file's folder is joined already).

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use http::HeaderName;
use ipnet::IpNet;
use url::Url;

use crate::model::{Asn, Country, Location, MirrorName, RegionId, RegionName, TierName};

mod access;
mod release;

pub use access::*;
pub use release::*;

/// Everything the operator said, with defaults filled in.
#[derive(Debug, Clone)]
pub struct Config {
    /// Listeners, public name, proxies, state.
    pub server: Server,
    /// Where the truth about releases is.
    pub origin: Origin,
    /// GeoIP databases.
    pub geoip: GeoIp,
    /// Regions, in the order of the file; `RegionId` is a position in this list.
    pub regions: Vec<Region>,
    /// Networks whose place the operator knows better.
    pub client_networks: Vec<ClientNetwork>,
    /// Mirrors, in the order of the file; `MirrorId` is a position in this list. Never empty. With `origin.serve` the
    /// last one is the origin itself, named `origin`, with weight 0.
    pub mirrors: Vec<Mirror>,
    /// How nearness becomes a choice.
    pub routing: Routing,
    /// What a redirect looks like.
    pub redirect: Redirect,
    /// Requests that the service makes.
    pub outgoing: Outgoing,
    /// Bounds on what clients may take.
    pub limits: Limits,
    /// Logging.
    pub log: Log,
    /// Liveness of mirrors.
    pub probe: Probe,
    /// Verification of copies.
    pub verify: Verify,
    /// Channels with a policy of their own; others have `ChannelPolicy::default()`.
    pub channels: Vec<Channel>,
    /// Products with settings of their own.
    pub products: Vec<Product>,
    /// Links that were published before Waypost, in the order in which they are tried.
    pub aliases: Vec<Alias>,
    /// Further public names.
    pub hosts: Vec<Host>,
    /// Checks with a mode or an owner of their own; others have [`GateMode::default_of`] and no owner.
    pub gates: Vec<Gate>,
    /// What mirrors are to hold; the built-in tier `all` included.
    pub tiers: Vec<Tier>,
    /// What no mirror is to hold any more.
    pub retention: Retention,
    /// Who may use the admin listener.
    pub admin: Admin,
    /// Whose tokens are believed; `IssuerId` is a position in this list.
    pub issuers: Vec<Issuer>,
    /// What tokens give their bearers.
    pub entitlements: Vec<Entitlement>,
    /// Tickets: short-lived URLs that stand for a token.
    pub tickets: Tickets,
    /// The record of what was given to whom.
    pub audit: Audit,
}

/// `[server]`
#[derive(Debug, Clone)]
pub struct Server {
    /// Public listeners; never empty.
    pub listen: Vec<SocketAddr>,
    /// Admin listener (reading only); `None` where the operator gave none.
    pub admin: Option<SocketAddr>,
    /// The public URL; it has no path, so it ends with the `/` of an empty one. `None`: taken from the request's Host.
    pub public_url: Option<Url>,
    /// Peers whose client header is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// The one header that is read for the client's address.
    pub client_header: ClientHeader,
    /// Folder for the store, the socket and the journal.
    pub state: PathBuf,
    /// How long connections in flight may take to finish after SIGTERM. Default 10 s.
    pub drain: Duration,
    /// TLS on the public listeners.
    pub tls: Option<TlsFiles>,
}

/// Which header carries the client's address behind a trusted proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientHeader {
    /// `X-Forwarded-For`, a list, read from the right.
    XForwardedFor,
    /// `Forwarded` (RFC 7239), the `for` parameters, read from the right.
    Forwarded,
}

impl ClientHeader {
    /// The header's name.
    pub fn name(self) -> HeaderName {
        match self {
            Self::XForwardedFor => HeaderName::from_static("x-forwarded-for"),
            Self::Forwarded => http::header::FORWARDED,
        }
    }
}

/// `[server.tls]`: PEM files, reloaded when they change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// Certificate chain, leaf first.
    pub certificate: PathBuf,
    /// Private key.
    pub key_file: PathBuf,
}

/// `[origin]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// Where the index and the manifests are.
    pub at: OriginAt,
    /// How often it is looked at. Default 30 s.
    pub poll: Duration,
    /// minisign public keys, as the second line of a `.pub` file has them. Empty: signatures are not asked for.
    pub trusted_keys: Vec<MinisignKey>,
}

/// A minisign public key: base64 that was read once, so that it cannot be wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MinisignKey(String);

impl MinisignKey {
    /// Reads the second line of a `.pub` file. `None` where the text is no such key.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        minisign_verify::PublicKey::from_base64(text).is_ok().then(|| Self(text.to_owned()))
    }

    /// The key in base64.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A folder or a URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OriginAt {
    /// A folder on this machine.
    Folder(PathBuf),
    /// An http or https URL that ends with `/`.
    Url(Url),
}

/// `[geoip]`: each a list of files (IPv4 and IPv6 may be separate); empty: none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GeoIp {
    /// City or country databases.
    pub city: Vec<PathBuf>,
    /// ASN databases.
    pub asn: Vec<PathBuf>,
}

/// `[[region]]`
#[derive(Debug, Clone)]
pub struct Region {
    /// Its name.
    pub name: RegionName,
    /// Its centre.
    pub location: Option<Location>,
    /// Clients from these countries belong to it; others to the region with the nearest location.
    pub countries: Vec<Country>,
}

/// `[[client_network]]`
#[derive(Debug, Clone)]
pub struct ClientNetwork {
    /// Which addresses.
    pub source: NetworkSource,
    /// What is known of them.
    pub place: NetworkPlace,
}

/// Which addresses a rule speaks of.
#[derive(Debug, Clone)]
pub enum NetworkSource {
    /// One network.
    Cidr(IpNet),
    /// A range file as a provider publishes it.
    File {
        /// Its path.
        path: PathBuf,
        /// Its format.
        format: RangeFormat,
        /// Provider region (a glob such as `eu-*`) to region, first match wins. Empty: every network has `place`; for
        /// geofeeds the file's own country is used where `place` says nothing.
        regions: Vec<(String, RegionId)>,
    },
}

/// Formats of range files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RangeFormat {
    /// AWS `ip-ranges.json`.
    Aws,
    /// Google `cloud.json`.
    Gcp,
    /// Azure service tags.
    Azure,
    /// RFC 8805 geofeed (CSV).
    Geofeed,
    /// One network a line, `#` comments.
    Cidr,
}

/// What a network rule says; at least one field is given, or the file gives it.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct NetworkPlace {
    /// The operator's region: its mirrors come first.
    pub region: Option<RegionId>,
    /// Coordinates; default the region's.
    pub location: Option<Location>,
    /// Country.
    pub country: Option<Country>,
    /// Autonomous system.
    pub asn: Option<Asn>,
}

/// `[[mirror]]`
#[derive(Debug, Clone)]
pub struct Mirror {
    /// Its name, unique.
    pub name: MirrorName,
    /// Where the layout begins; ends with `/`; http or https.
    pub url: Url,
    /// Its region.
    pub region: Option<RegionId>,
    /// Its coordinates: its own, else the region's.
    pub location: Option<Location>,
    /// Its country.
    pub country: Option<Country>,
    /// Its autonomous system.
    pub asn: Option<Asn>,
    /// Share among mirrors that are equally near; 0: only as a last resort. Default 100.
    pub weight: u32,
    /// Clients it is for; empty: all. A client that matches any entry is let in.
    pub only: ClientSet,
    /// Clients it is not for. A client that matches any entry is kept out.
    pub never: ClientSet,
    /// A CDN: as near as the nearest located mirror.
    pub anycast: bool,
    /// Where it keeps files, below `url`.
    pub layout: Layout,
    /// What it is to hold. Default `all`.
    pub tier: TierName,
    /// Who is told when there is something for it to fetch; `None`: nobody.
    pub notify: Option<Notify>,
    /// How links to it are signed; `None`: they are not.
    pub sign: Option<Sign>,
    /// It can be reached only where its users are, so that links to it need no signature for entitled products.
    pub private: bool,
}

/// Who is told that a mirror lacks something it is to hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notify {
    /// A URL that gets a POST of JSON: `{ "mirror", "files", "bytes" }`.
    Webhook(Url),
    /// A program and its arguments; `WAYPOST_MIRROR`, `WAYPOST_FILES` and `WAYPOST_BYTES` are in its environment.
    Command(Vec<String>),
}

/// A set of clients, by what is known of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClientSet {
    /// Countries.
    pub countries: Vec<Country>,
    /// Regions.
    pub regions: Vec<RegionId>,
    /// Autonomous systems.
    pub asns: Vec<Asn>,
    /// Networks.
    pub networks: Vec<IpNet>,
}

impl ClientSet {
    /// Whether no client is named.
    pub fn is_empty(&self) -> bool {
        self.countries.is_empty()
            && self.regions.is_empty()
            && self.asns.is_empty()
            && self.networks.is_empty()
    }
}

/// A path template: literal text and the parts of a canonical path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout(pub Vec<LayoutPart>);

/// A part of a layout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LayoutPart {
    /// Text as it is (already percent-encoded where needed).
    Literal(String),
    /// The product's name.
    Product,
    /// The version as published.
    Version,
    /// The asset's name, slashes kept.
    Asset,
}

impl Default for Layout {
    /// `{product}/{version}/{asset}`
    fn default() -> Self {
        let slash = || LayoutPart::Literal("/".into());
        Self(vec![LayoutPart::Product, slash(), LayoutPart::Version, slash(), LayoutPart::Asset])
    }
}

/// `[routing]`
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Routing {
    /// Mirrors at most this much farther than the nearest share its traffic, in per cent of the nearest's distance…
    pub same_nearness_percent: f64,
    /// …or in kilometres, whichever is larger.
    pub same_nearness_km: f64,
}

impl Default for Routing {
    fn default() -> Self {
        Self { same_nearness_percent: 15.0, same_nearness_km: 150.0 }
    }
}

/// `[redirect]`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Redirect {
    /// 302 or 307. Default 302.
    pub status: http::StatusCode,
    /// How long an answer may be reused. Default 60 s.
    pub ttl: Duration,
    /// How many `Link: rel=duplicate` follow the chosen mirror's. Default 3, at most 10.
    pub alternates: usize,
}

impl Default for Redirect {
    fn default() -> Self {
        Self { status: http::StatusCode::FOUND, ttl: Duration::from_secs(60), alternates: 3 }
    }
}

/// `[outgoing]`
#[derive(Debug, Clone)]
pub struct Outgoing {
    /// PEM certificates believed beside the system's.
    pub ca_file: Option<PathBuf>,
    /// An http proxy for all outgoing requests.
    pub proxy: Option<Url>,
    /// Redirects that are followed. Default 3.
    pub max_redirects: usize,
}

impl Default for Outgoing {
    fn default() -> Self {
        Self { ca_file: None, proxy: None, max_redirects: 3 }
    }
}

/// `[limits]`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Connections open at once, over all public listeners. Default 10,000.
    pub connections: usize,
    /// Of these by one client: an IPv4 address or a /64 of IPv6. 0: as many as there are. Default 1,000.
    pub connections_per_client: usize,
    /// Largest request head in bytes. Default 16 KiB; at least 8 KiB.
    pub header_bytes: usize,
    /// Most header lines of a request. Default 100.
    pub headers: usize,
    /// From accept to the first byte, TLS handshake included. Default 10 s.
    pub first_byte: Duration,
    /// From the first byte of a request head to its last. Default 10 s.
    pub header: Duration,
    /// How long a kept-alive connection may be silent. Default 60 s.
    pub idle: Duration,
    /// How long a client may take to read an answer. Default 30 s.
    pub write: Duration,
    /// Requests served on one connection before it is closed. Default 10,000.
    pub requests_per_connection: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 10_000,
            connections_per_client: 1000,
            header_bytes: 16 * 1024,
            headers: 100,
            first_byte: Duration::from_secs(10),
            header: Duration::from_secs(10),
            idle: Duration::from_secs(60),
            write: Duration::from_secs(30),
            requests_per_connection: 10_000,
        }
    }
}

/// `[log]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// Text, JSON, or by whether standard error is a terminal.
    pub format: LogFormat,
    /// Least severe level that is logged, or a `tracing` filter. Default `info`.
    pub level: String,
    /// One line per request. Default false.
    pub access: bool,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// Text on a terminal, else JSON.
    Auto,
    /// Text.
    Text,
    /// JSON, one object a line.
    Json,
}

/// `[probe]`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Probe {
    /// Between two probes of a mirror that is well. Default 15 s.
    pub interval: Duration,
    /// For one probe, redirects included. Default 5 s.
    pub timeout: Duration,
    /// Failures in a row that take a mirror down. Default 3.
    pub fail_after: u32,
    /// Successes in a row that end a mirror's being down (then its bytes are looked at). Default 2.
    pub recover_after: u32,
}

impl Default for Probe {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(15),
            timeout: Duration::from_secs(5),
            fail_after: 3,
            recover_after: 2,
        }
    }
}

/// `[verify]`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verify {
    /// Copies hashed at once per mirror (32 in all). Default 4.
    pub concurrency: usize,
    /// Bytes per second and mirror. Default 50 MiB.
    pub bandwidth: u64,
    /// Bytes per day and mirror for rechecks and samples. Default 20 GiB.
    pub budget: u64,
    /// How often every copy is hashed again. Default 30 d. In between, blocks are sampled every minute, or every
    /// sixtieth of this where that is less.
    pub recheck: Duration,
}

impl Default for Verify {
    fn default() -> Self {
        Self {
            concurrency: 4,
            bandwidth: 50 << 20,
            budget: 20 << 30,
            recheck: Duration::from_secs(30 * 86_400),
        }
    }
}
