//! `waypost check`: everything that the service would load, loaded once, and all that is wrong with it.

mod trial;

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use bytesize::ByteSize;
use serde::Serialize;
use serde_json::json;

use super::config_file::ConfigFile;
use super::outcome::{CliError, Exit, complain, print, printable};
use super::span;
use crate::app::SOCKET;
use crate::config::{self, Access, Audit, Config, IssuerKeys, Loaded, OriginAt, Problem};
use crate::fetch::{Fetcher, shown};
use crate::metrics::Metrics;
use crate::model::{Clock, KeyFault, OriginFault, SystemClock};
use crate::server::TlsStore;
use crate::workers::believed::BelievedError;
use crate::workers::fact::{Listed, ReadManifest, Reading};
use crate::workers::issuers;
use crate::workers::origin::look_once;
use crate::workers::supervise::fetcher;
use crate::workers::{PrepareError, Prepared, TicketSecret};

/// Longest path of a local socket, in bytes.
const SOCKET_PATH_MAX: usize = 107;

/// `waypost check`
#[derive(Debug, clap::Args)]
pub struct CheckArgs {
    #[command(flatten)]
    config: ConfigFile,
    /// Prints problems, warnings and the summary as JSON
    #[arg(long)]
    json: bool,
}

/// Something wrong, where, and what to do about it.
#[derive(Debug, Serialize)]
struct Finding {
    /// The file.
    file: String,
    /// From 1; 0 where it is the file as a whole.
    line: usize,
    /// From 1; 0 where it is the file as a whole.
    column: usize,
    /// The configuration's key that leads there.
    key: String,
    /// What is wrong.
    message: String,
    /// What to do; empty where the message says it.
    remedy: String,
}

impl Finding {
    fn new(file: impl fmt::Display, key: &str, message: impl fmt::Display, remedy: &str) -> Self {
        let (file, key, remedy) = (file.to_string(), key.to_owned(), remedy.to_owned());
        Self { file, line: 0, column: 0, key, message: message.to_string(), remedy }
    }
}

impl From<&Problem> for Finding {
    fn from(problem: &Problem) -> Self {
        let Problem { file, line, column, key, message, remedy } = problem;
        Self { line: *line, column: *column, ..Self::new(file.display(), key, message, remedy) }
    }
}

/// One line, as the configuration's own problems look.
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, line, column, key, message, remedy } = self;
        write!(f, "{}:", printable(file, 1000))?;
        if *line > 0 {
            write!(f, "{line}:{column}:")?;
        }
        if !key.is_empty() {
            write!(f, " {key}:")?;
        }
        write!(f, " {}", message.replace('\n', " "))?;
        if remedy.is_empty() { Ok(()) } else { write!(f, "; {remedy}") }
    }
}

/// What the service would work with.
#[derive(Debug, Default, Serialize)]
struct Summary {
    mirrors: usize,
    regions: usize,
    /// Address ranges of the GeoIP databases.
    ranges: usize,
    /// Networks that rules name.
    network_rules: usize,
    /// Distinct places of clients.
    places: usize,
    releases: usize,
    assets: usize,
    /// All releases once.
    release_bytes: u64,
    /// Bytes that the first verification reads from all mirrors together.
    verification_bytes: u64,
    /// Hours that it takes; mirrors work at the same time, each at `verify.bandwidth`.
    verification_hours: f64,
}

/// All that was found.
#[derive(Debug, Default)]
struct Report {
    problems: Vec<Finding>,
    warnings: Vec<Finding>,
    summary: Option<Summary>,
    exit: Option<Exit>,
}

/// Loads everything and tells what it found. The answer is no where a file that the configuration names is bad.
///
/// # Errors
///
/// Where no configuration is named or found.
pub async fn run(args: CheckArgs) -> Result<Exit, CliError> {
    let file = args.config.path()?;
    let report = match config::load(&file) {
        Ok(loaded) => examine(&file, loaded).await,
        Err(problems) => Report {
            problems: problems.iter().map(Finding::from).collect(),
            exit: Some(Exit::Usage),
            ..Report::default()
        },
    };
    let bad = if report.problems.is_empty() { Exit::Done } else { Exit::No };
    match args.json {
        true => print(report.json().to_string()),
        false => report.show(&file),
    }
    Ok(report.exit.unwrap_or(bad))
}

async fn examine(file: &Path, loaded: Loaded) -> Report {
    let mut report =
        Report { warnings: loaded.warnings.iter().map(Finding::from).collect(), ..Report::default() };
    let config = Arc::new(loaded.config);
    let mut summary =
        Summary { mirrors: config.mirrors.len(), regions: config.regions.len(), ..Summary::default() };
    report.clients(file, &config, &mut summary).await;
    report.certificate(file, &config);
    report.state(file, &config.server.state);
    report.record(file, &config.audit, &config.server.state);
    match fetcher(&config) {
        Err(error) => report.problem(Finding::new(file.display(), "outgoing", error, "")),
        Ok(fetcher) => {
            report.roots(file, &config, &fetcher);
            report.origin(&config, &fetcher, &mut summary).await;
            report.issuers(&config, &fetcher).await;
        }
    }
    report.summary = Some(summary);
    report
}

impl Report {
    fn problem(&mut self, finding: Finding) {
        self.problems.push(finding);
    }

    async fn clients(&mut self, file: &Path, config: &Arc<Config>, summary: &mut Summary) {
        let config = Arc::clone(config);
        let work = move || Prepared::new(config, None, &TicketSecret::random(), &Arc::new(Metrics::new()));
        match tokio::task::spawn_blocking(work).await {
            Err(error) => self.problem(Finding::new(file.display(), "geoip", error, "")),
            Ok(Err(errors)) => {
                let finding = |error| Finding::new(file.display(), key_of(&error), error, "");
                self.problems.extend(errors.into_iter().map(finding));
            }
            Ok(Ok(prepared)) => {
                let sources = prepared.locator.sources();
                summary.ranges = sources.ranges;
                summary.network_rules = sources.network_rules;
                summary.places = sources.places;
                if !prepared.locator.has_geoip() {
                    let message = "no database: clients outside the configured networks are spread evenly";
                    let remedy = "set geoip.city; geoip/README.md tells where to get one";
                    self.warnings.push(Finding::new(file.display(), "geoip", message, remedy));
                }
            }
        }
    }

    fn certificate(&mut self, file: &Path, config: &Config) {
        match config.server.tls.as_ref().map(TlsStore::load).transpose() {
            Err(error) => self.problem(Finding::new(file.display(), "server.tls", error, "")),
            Ok(store) => {
                if let Some(warning) = store.and_then(|store| store.warning(SystemClock.now())) {
                    self.warnings.push(Finding::new(file.display(), "server.tls", warning, ""));
                }
            }
        }
    }

    fn state(&mut self, file: &Path, state: &Path) {
        if let Err(why) = trial::writable(state) {
            let remedy = "make it writable for the service's user, or name another folder";
            self.problem(Finding::new(file.display(), "server.state", why, remedy));
        }
        let socket = state.join(SOCKET);
        let length = socket.as_os_str().len();
        if length > SOCKET_PATH_MAX {
            let why = format!(
                "{} has {length} bytes; a socket's path has at most {SOCKET_PATH_MAX}",
                socket.display()
            );
            self.problem(Finding::new(
                file.display(),
                "server.state",
                why,
                "name a folder with a shorter path",
            ));
        }
    }

    /// The record of deliveries.
    fn record(&mut self, file: &Path, audit: &Audit, state: &Path) {
        let Some(path) = &audit.file else { return };
        let finding = |why, remedy: &str| Finding::new(file.display(), "audit.file", why, remedy);
        match trial::appendable(path, state) {
            Ok(None) => {}
            Ok(Some(why)) => {
                let remedy =
                    "make the folder writable for the service's user, or put the file aside otherwise";
                self.warnings.push(finding(why, remedy));
            }
            Err(why) => {
                let remedy = "make file and folder writable for the service's user and leave room there, or name another file";
                self.problem(finding(why, remedy));
            }
        }
    }

    /// Keys that are fetched. Without them all tokens of an issuer are refused; that one cannot be reached from here and now
    /// does not say that the service will not either.
    async fn issuers(&mut self, config: &Config, fetcher: &Fetcher) {
        for issuer in &config.issuers {
            let IssuerKeys::Jwks { url, .. } = &issuer.keys else { continue };
            if let Err((fault, why)) = issuers::fetch(url, fetcher).await {
                let message = format!("the keys of {} cannot be had: {why}", issuer.name);
                let remedy = "correct the URL, let this machine reach it (through [outgoing], where there is a proxy), or \
                              name a jwks_file; until then its tokens are refused";
                let finding = Finding::new(shown(url), "issuer.jwks", message, remedy);
                match fault {
                    KeyFault::Unreachable => self.warnings.push(finding),
                    _ => self.problem(finding),
                }
            }
        }
    }

    fn roots(&mut self, file: &Path, config: &Config, fetcher: &Fetcher) {
        let origin = match &config.origin.at {
            OriginAt::Url(url) => Some(url),
            OriginAt::Folder(_) => None,
        };
        let mut urls = config.mirrors.iter().map(|mirror| &mirror.url).chain(origin);
        if fetcher.roots() == 0 && urls.any(|url| url.scheme() == "https") {
            let message = "no root certificates are known here, so every https request will fail";
            let remedy = "install the ca-certificates package, or set outgoing.ca_file";
            self.warnings.push(Finding::new(file.display(), "outgoing", message, remedy));
        }
    }

    async fn origin(&mut self, config: &Config, fetcher: &Fetcher, summary: &mut Summary) {
        let place = match &config.origin.at {
            OriginAt::Folder(folder) => format!("{}/", folder.display().to_string().trim_end_matches('/')),
            OriginAt::Url(url) => url.to_string(),
        };
        let manifests = match look_once(&config.origin, fetcher).await {
            Reading::Listing(listing) => listing.manifests,
            Reading::Unreadable(why) => {
                let remedy = remedy(why.reason).unwrap_or(
                    "`waypost manifest create` makes an index; check the path or URL and who may read it",
                );
                return self.problem(Finding::new(place, "origin.url", why, remedy));
            }
            // No sequence was seen before.
            Reading::WentBack(_) => return,
        };
        let read = self.manifests(&place, manifests);
        if read.is_empty() && self.problems.is_empty() {
            let message = "there is no release yet";
            self.warnings.push(Finding::new(
                &place,
                "origin.url",
                message,
                "publish one with `waypost manifest create`",
            ));
        }
        self.unpublished(&place, config, &read);
        summary.releases = read.len();
        summary.assets = read.iter().map(|read| read.manifest.assets.len()).sum();
        summary.release_bytes = read.iter().fold(0, |sum, read| sum.saturating_add(read.manifest.bytes()));
        summary.verification_bytes = summary.release_bytes.saturating_mul(config.mirrors.len() as u64);
        summary.verification_hours =
            summary.release_bytes as f64 / config.verify.bandwidth.max(1) as f64 / 3600.0;
    }

    /// Warns of products that nobody publishes while they are not for everybody: under another spelling they would be.
    fn unpublished(&mut self, place: &str, config: &Config, read: &[ReadManifest]) {
        let entitled = config.products.iter().filter(|product| product.access == Access::Entitled);
        for product in entitled.filter(|one| read.iter().all(|read| read.manifest.product != one.name)) {
            let message = format!("there is no release of {}, which is entitled", product.name);
            let remedy = "compare its [[product]] with the manifests, letter by letter: what is called otherwise is public";
            self.warnings.push(Finding::new(place, "product", message, remedy));
        }
    }

    /// Keeps the manifests that the service would accept.
    fn manifests(&mut self, place: &str, listing: BTreeMap<String, Listed>) -> Vec<ReadManifest> {
        let mut good = Vec::new();
        for (path, listed) in listing {
            let file = format!("{place}{path}");
            match listed {
                // Nothing was seen before.
                Listed::Unchanged => {}
                Listed::Refused(why) => {
                    let remedy = remedy(why.reason).unwrap_or("correct it, or publish it again");
                    self.problem(Finding::new(file, "", why, remedy))
                }
                Listed::Read(read) => {
                    let warning = |text: &String| Finding::new(&file, "", text, "");
                    self.warnings.extend(read.warnings.iter().map(warning));
                    let own = format!("{}/{}/manifest.json", read.manifest.product, read.manifest.version);
                    if own == path {
                        good.push(read);
                    } else {
                        let why = format!("it describes {own}");
                        self.problem(Finding::new(
                            file,
                            "",
                            why,
                            "move it there, or correct product and version",
                        ));
                    }
                }
            }
        }
        good
    }

    fn json(&self) -> serde_json::Value {
        json!({ "problems": self.problems, "warnings": self.warnings, "summary": self.summary })
    }

    fn show(&self, file: &Path) {
        for warning in &self.warnings {
            complain(format!("warning: {warning}"));
        }
        for problem in &self.problems {
            complain(problem.to_string());
        }
        if let Some(summary) = &self.summary {
            print(summary.to_string());
        }
        match self.problems.len() {
            0 => print(format!("{} is in order", file.display())),
            1 => complain("error: 1 problem"),
            count => complain(format!("error: {count} problems")),
        }
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let size = |bytes| ByteSize::b(bytes).display().iec();
        let Self { mirrors, regions, ranges, network_rules, places, releases, assets, .. } = self;
        writeln!(f, "mirrors       {mirrors} in {regions} regions")?;
        writeln!(f, "clients       {ranges} address ranges, {network_rules} network rules, {places} places")?;
        writeln!(f, "releases      {releases} with {assets} assets, {}", size(self.release_bytes))?;
        let seconds = std::time::Duration::try_from_secs_f64(self.verification_hours * 3600.0);
        let time = seconds.map_or_else(|_| "very long".into(), span::words);
        let (bytes, hours) = (size(self.verification_bytes), self.verification_hours);
        write!(
            f,
            "verification  {bytes} are read at first, {hours:.2} hours ({time}) with all mirrors at the same time"
        )
    }
}

/// The keys that name the files of which something is wrong.
fn key_of(error: &PrepareError) -> &'static str {
    match error {
        PrepareError::Locate(_) => "geoip or client_network",
        PrepareError::Believed(BelievedError::Signer { .. }) => "mirror.sign",
        PrepareError::Believed(BelievedError::Unreadable { .. } | BelievedError::BadKeys { .. }) => {
            "issuer or tickets"
        }
    }
}

/// What to do where it is about signatures.
fn remedy(reason: OriginFault) -> Option<&'static str> {
    match reason {
        OriginFault::Unsigned | OriginFault::BadSignature | OriginFault::SignatureForAnother => Some(
            "sign it with `minisign -S -m FILE -t COMMENT`, the comment \"waypost PRODUCT VERSION\" for a manifest, \
             \"waypost index SEQUENCE\" for the index; the key belongs into origin.trusted_keys",
        ),
        OriginFault::SequenceWentBack
        | OriginFault::ChangedAfterPublication
        | OriginFault::WrongDigest
        | OriginFault::WrongPlace
        | OriginFault::Invalid
        | OriginFault::Unreadable => None,
    }
}
