//! The values of a release's life: channels, products, names, gates, tiers, and who may change them.

use std::time::Duration;

use super::Access;
use crate::model::{ChannelName, Check, Country, ProductName, Role, Sha256, TierName};

/// `[[channel]]`
#[derive(Debug, Clone, PartialEq)]
pub struct Channel {
    /// Its name.
    pub name: ChannelName,
    /// When a release is ready for it.
    pub ready: Ready,
    /// Whether it moves by itself. Default: automatically.
    pub promote: Promote,
}

/// Who moves a channel up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Promote {
    /// It moves by itself as soon as a release is ready.
    #[default]
    Auto,
    /// Only an operator or a pipeline moves it.
    Manual,
}

/// When a release is everywhere it should be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Ready {
    /// In each region that has mirrors, at least this many hold the whole release.
    EachRegion(usize),
    /// All mirrors hold it.
    All,
    /// This share of the mirrors holds it, in per cent.
    Share(f64),
}

impl Default for Ready {
    fn default() -> Self {
        Self::EachRegion(1)
    }
}

/// `[[product]]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Product {
    /// Its name.
    pub name: ProductName,
    /// Its channels; the first is what `latest` means. Empty: as the manifests name them.
    pub channels: Vec<ChannelName>,
    /// Who may have it. Default: everybody.
    pub access: Access,
    /// Countries to which it may not be served.
    pub deny_countries: Vec<Country>,
}

/// `[[alias]]`: a link that was published before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alias {
    /// The old path; begins with `/`.
    pub from: Template,
    /// The path that it means; begins with `/`, and names no placeholder that `from` lacks.
    pub to: Template,
}

/// A path with placeholders, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template(pub Vec<TemplatePart>);

/// A part of a path template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TemplatePart {
    /// Text as it is, decoded.
    Literal(String),
    /// A placeholder.
    Hole(Placeholder),
}

/// What a placeholder of an alias stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Placeholder {
    /// `{product}`
    Product,
    /// `{version}`: a version or a channel.
    Version,
    /// `{channel}`
    Channel,
    /// `{platform}`
    Platform,
    /// `{asset}`; may hold `/`.
    Asset,
}

/// `[[host]]`: a further public name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    /// The host, in lower case, without a port.
    pub name: String,
    /// The product whose own host it is: its URLs leave the product out. `None`: the same URLs as everywhere.
    pub product: Option<ProductName>,
    /// What stands before every path, such as `/releases`; empty: nothing. No slash at its end.
    pub prefix: String,
}

/// `[[gate]]`: what a check of the scorecard decides, and who answers for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gate {
    /// Which check.
    pub check: Check,
    /// Whether a pipeline stops when it fails.
    pub mode: GateMode,
    /// Who is to be asked; empty: nobody is named.
    pub owner: String,
    /// Of which products; empty: of all.
    pub products: Vec<ProductName>,
}

/// What a failed check does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GateMode {
    /// The gate fails.
    Gate,
    /// It is shown.
    Informational,
}

impl GateMode {
    /// What a check does where the operator says nothing: what makes a download impossible or wrong stops a pipeline.
    pub const fn default_of(check: Check) -> Self {
        match check {
            Check::Completeness | Check::Hashes | Check::Mirrors | Check::Verification | Check::Origin => {
                Self::Gate
            }
            Check::Metadata
            | Check::Signatures
            | Check::Provenance
            | Check::Rollback
            | Check::Propagation
            | Check::Inventory => Self::Informational,
        }
    }
}

/// `[[tier]]`: what a mirror of this tier is to hold. A release is wanted where any line of its tier wants it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tier {
    /// Its name.
    pub name: TierName,
    /// Of which products; empty: of all.
    pub products: Vec<ProductName>,
    /// Of releases that these channels point to, wait for, or that are labelled with them; empty: of all channels.
    pub channels: Vec<ChannelName>,
    /// Which releases.
    pub releases: Kept,
}

/// Which releases are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// All of them.
    All,
    /// What a channel points to, and what it waits for.
    Current,
    /// These, and this many of the newest besides, per product.
    Newest(usize),
    /// These, and those published within this time.
    Within(Duration),
    /// None.
    Nothing,
}

/// `[retention]`: what no mirror is to hold any more, whatever its tier. What a channel points to, its predecessor and
/// what it waits for are always kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Retention {
    /// The newest releases of a product that are kept; `None`: all.
    pub newest: Option<usize>,
    /// Releases younger than this are kept; `None`: of any age.
    pub age: Option<Duration>,
}

/// `[admin]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admin {
    /// Whether `/v1/…` on the admin listener may be read without a token. Default: yes.
    pub open_look: bool,
    /// Who may do what there.
    pub tokens: Vec<AdminToken>,
}

/// `[[admin.token]]`: the token itself is nowhere in the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdminToken {
    /// Who it is, as the audit names them.
    pub name: String,
    /// SHA-256 of the token.
    pub sha256: Sha256,
    /// What it may do.
    pub role: Role,
}
