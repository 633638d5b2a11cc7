//! From a checked configuration to everything that answers need of it: files are read and compiled here, at start and
//! at every reload, before anything that is in force is touched.

use std::sync::Arc;

use http::HeaderValue;

use crate::catalog::signature::TrustedKeys;
use crate::catalog::{Aliases, encode_path};
use crate::client::{Forwarded, GeoRanges, LocateError, Locator};
use crate::config::{Config, Host};
use crate::deliveries::Recording;
use crate::metrics::{DeliveryMeters, Metrics, ProductMeters, RegionMeters};
use crate::routing::{Mirrors, Rankings};
use crate::snapshot::{HostView, Settings};

use super::believed::{self, Believed, BelievedError, TicketSecret};

/// A configuration, compiled.
#[derive(Debug)]
pub struct Prepared {
    /// What the operator said.
    pub config: Arc<Config>,
    /// What answers need of it.
    pub settings: Arc<Settings>,
    /// Its mirrors.
    pub mirrors: Arc<Mirrors>,
    /// Whose signatures are believed.
    pub keys: Arc<TrustedKeys>,
    /// What it says about private downloads.
    pub believed: Arc<Believed>,
    /// Its networks and databases.
    pub locator: Arc<Locator>,
    /// The order of mirrors per place.
    pub rankings: Arc<Rankings>,
    /// Labels of its regions and mirrors.
    pub delivery: Arc<DeliveryMeters>,
    /// Durations of answers.
    pub timing: Arc<RegionMeters>,
    /// Counters for requests that name no product.
    pub unnamed: Arc<ProductMeters>,
    /// Where deliveries are recorded; `None`: nowhere, as while it was not said: a file is opened once all else is good.
    pub recording: Option<Recording>,
}

/// Why a configuration cannot come into force.
#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    /// A GeoIP database or a range file.
    #[error(transparent)]
    Locate(#[from] LocateError),
    /// A file of keys.
    #[error(transparent)]
    Believed(#[from] BelievedError),
}

impl Prepared {
    /// Compiles a configuration. `geoip` are ranges that are compiled already and whose files did not change. Tickets are
    /// sealed with `ticket_secret` where the configuration names no file for that.
    ///
    /// # Errors
    ///
    /// All problems with GeoIP databases, range files and files of keys at once.
    pub fn new(
        config: Arc<Config>,
        geoip: Option<Arc<GeoRanges>>,
        ticket_secret: &TicketSecret,
        metrics: &Arc<Metrics>,
    ) -> Result<Self, Vec<PrepareError>> {
        let locator = match geoip {
            Some(geoip) => Locator::with_geoip(geoip, &config.client_networks, &config.regions),
            None => Locator::build(&config.geoip, &config.client_networks, &config.regions),
        };
        let (mut errors, mut locate_errors) = (Vec::new(), Vec::new());
        let locator = locator.map_err(|all| locate_errors = all);
        let believed = Believed::read(&config, ticket_secret).map_err(|all| errors.extend(all));
        let signers = believed::signers(&config).map_err(|all| errors.extend(all));
        let (Ok(locator), Ok(believed), Ok(signers)) = (locator, believed, signers) else {
            let keys = errors.into_iter().map(PrepareError::from);
            return Err(locate_errors.into_iter().map(PrepareError::from).chain(keys).collect());
        };
        let mirrors = Mirrors::new(&config.mirrors, signers);
        let rankings = Rankings::new(&mirrors, locator.places(), &config.regions, &config.routing);
        let regions = config.regions.iter().map(|region| region.name.as_str());
        let names = config.mirrors.iter().map(|mirror| mirror.name.as_str());
        let issuers = config.issuers.iter().map(|issuer| issuer.name.as_str());
        let delivery = Arc::new(DeliveryMeters::new(Arc::clone(metrics), regions, names, issuers));
        Ok(Self {
            settings: Arc::new(settings(&config)),
            mirrors: Arc::new(mirrors),
            keys: Arc::new(TrustedKeys::new(&config.origin.trusted_keys)),
            believed: Arc::new(believed),
            locator: Arc::new(locator),
            rankings: Arc::new(rankings),
            timing: Arc::new(delivery.per_region()),
            unnamed: Arc::new(delivery.per_product("", std::iter::empty())),
            delivery,
            recording: None,
            config,
        })
    }
}

fn host_view(host: &Host) -> HostView {
    HostView {
        product: host.product.clone(),
        prefix: host.prefix.as_str().into(),
        link_open: format!("<{}/", encode_path(&host.prefix)).into(),
    }
}

fn settings(config: &Config) -> Settings {
    let ttl = config.redirect.ttl.as_secs();
    let public_url = config.server.public_url.as_ref().map(|url| url.as_str().trim_end_matches('/'));
    let cache_control = HeaderValue::from_str(&format!("private, max-age={ttl}"))
        .unwrap_or(HeaderValue::from_static("no-store"));
    Settings {
        redirects: crate::redirect::redirects(config.redirect.status, &cache_control),
        cache_control,
        alternates: config.redirect.alternates,
        session: config.tickets.session,
        access_log: config.log.access,
        public_https: public_url.is_some_and(|url| url.starts_with("https:")),
        link_open: format!("<{}/", public_url.unwrap_or_default()).into(),
        public_url: public_url.unwrap_or_default().into(),
        forwarded: Forwarded::new(&config.server.trusted_proxies, config.server.client_header),
        regions: config.regions.iter().map(|region| region.name.clone()).collect(),
        aliases: Aliases::new(&config.aliases),
        hosts: config.hosts.iter().map(|host| (host.name.as_str().into(), host_view(host))).collect(),
    }
}
