//! GET requests with their redirects.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::header::{
    ACCEPT, ACCEPT_ENCODING, CONNECTION, HOST, IF_MODIFIED_SINCE, IF_NONE_MATCH, LOCATION,
    PROXY_AUTHORIZATION, RANGE, USER_AGENT,
};
use http::{HeaderValue, Method, Request, StatusCode, request};
use http_body_util::{BodyExt, Empty};
use tokio::time::{Instant, timeout};
use url::{Position, Url};

use super::dial::{Dialer, Reach};
use super::exchange::{Body, Cargo, exchange};
use super::failure::{Evidence, Failure, Timings, Trouble};
use super::hosts::NamedHosts;
use super::proxy::Proxy;
use super::response::Response;
use super::trust;
use crate::config::Outgoing;
use crate::model::CopyFault;

/// How mirrors know who asks.
const AGENT: &str = concat!("waypost/", env!("CARGO_PKG_VERSION"), " (+mirror check)");

/// How long a body may be silent.
pub(super) const IDLE: Duration = Duration::from_secs(30);

/// Why requests cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum FetcherError {
    /// The file does not open.
    #[error("outgoing.ca_file: {} cannot be read: {error}", path.display())]
    UnreadableCaFile {
        /// The file.
        path: PathBuf,
        /// Why not.
        error: std::io::Error,
    },
    /// The file is not what it should be.
    #[error("outgoing.ca_file: {} has no readable PEM certificates (or more than 4 MiB)", path.display())]
    NoCertificate {
        /// The file.
        path: PathBuf,
    },
    /// A certificate in it cannot be a root.
    #[error("outgoing.ca_file: a certificate in {} cannot be used: {error}", path.display())]
    BadCertificate {
        /// The file.
        path: PathBuf,
        /// Why not.
        error: rustls::Error,
    },
    /// Another kind of proxy.
    #[error(
        "outgoing.proxy: only an http:// URL with a host will do; https targets go through it by CONNECT"
    )]
    Proxy,
    /// TLS itself.
    #[error("TLS cannot be set up: {0}")]
    Tls(rustls::Error),
}

/// Makes outgoing requests. Cheap to clone.
#[derive(Clone)]
pub struct Fetcher(pub(super) Arc<Inner>);

pub(super) struct Inner {
    pub(super) dialer: Dialer,
    named: NamedHosts,
    max_redirects: usize,
    roots: usize,
}

/// A request for a URL.
#[derive(Debug, Clone, Copy)]
pub struct Get<'a> {
    /// An http or https URL from the configuration; user and fragment are not sent.
    pub url: &'a Url,
    /// First and last byte, both included (RFC 9110 section 14.2).
    pub range: Option<(u64, u64)>,
    /// From DNS to the head of the final answer, redirects included.
    pub deadline: Duration,
    /// How long the body may be silent. Default 30 s.
    pub idle: Duration,
    /// An ETag as it was received.
    pub if_none_match: Option<&'a str>,
    /// A Last-Modified as it was received.
    pub if_modified_since: Option<&'a str>,
    /// The URL's query is a signature: what is refused is that, see [`CopyFault::SignatureRefused`].
    pub signed: bool,
}

impl<'a> Get<'a> {
    /// The whole of it, whether or not it changed.
    pub fn new(url: &'a Url, deadline: Duration) -> Self {
        let (if_none_match, if_modified_since) = (None, None);
        Self { url, range: None, deadline, idle: IDLE, if_none_match, if_modified_since, signed: false }
    }
}

impl Fetcher {
    /// Reads the root certificates. `named` are the hosts of mirrors and the origin: where redirects may lead although the
    /// address is private.
    pub fn new(outgoing: &Outgoing, named: NamedHosts) -> Result<Self, FetcherError> {
        let (tls, roots) = trust::client_config(outgoing.ca_file.as_deref())?;
        let proxy = outgoing.proxy.as_ref().map(Proxy::new).transpose()?;
        let dialer = Dialer::new(tls, proxy);
        Ok(Self(Arc::new(Inner { dialer, named, max_redirects: outgoing.max_redirects, roots })))
    }

    /// How many root certificates are believed. With none, every https request fails with `Tls`: worth a warning where
    /// there are https mirrors (install the ca-certificates package, or set `outgoing.ca_file`).
    pub fn roots(&self) -> usize {
        self.0.roots
    }

    /// Asks, follows redirects, and returns with the head of the final answer, whatever its status.
    ///
    /// 301, 302, 303, 307 and 308 with a `Location` are followed. `RedirectLoop`: more of them than allowed, or one that
    /// leads back; `ForbiddenRedirect`: from https to http, to another scheme, or to a host that the configuration does
    /// not name and that has any address which is not globally routable.
    pub async fn get(&self, get: &Get<'_>) -> Result<Response, Failure> {
        let mut evidence = Evidence::default();
        let outcome = timeout(get.deadline, self.0.follow(get, &mut evidence)).await;
        let (answer, final_url, hops) = match outcome {
            Ok(Ok(answer)) => answer,
            Ok(Err(trouble)) => return Err(trouble.with(evidence)),
            Err(_) => {
                let phase = phase(&evidence.timings);
                let detail = format!("no answer within {:?}, {phase}", get.deadline);
                return Err(Trouble::new(CopyFault::Timeout, detail).with(evidence));
            }
        };
        let mut response = Response::new(answer, final_url, hops, &evidence, get.idle);
        // Whoever was redirected to goes by another signature, if any.
        response.signed = get.signed && hops == 0;
        Ok(response)
    }
}

impl Inner {
    async fn follow(
        &self,
        get: &Get<'_>,
        evidence: &mut Evidence,
    ) -> Result<(http::Response<Body>, Url, usize), Trouble> {
        let mut url = bare(get.url.clone());
        if !is_web(&url) {
            return Err(Trouble::new(CopyFault::Broken, "only http and https URLs can be asked"));
        }
        let mut visited: Vec<Url> = Vec::new();
        loop {
            evidence.final_url = Some(url.clone());
            let answer = if visited.is_empty() {
                self.hop(get, &url, Reach::Anywhere, evidence).await?
            } else {
                let reach = if self.named.has(&url) { Reach::Anywhere } else { Reach::GlobalOnly };
                self.hop(get, &url, reach, &mut Evidence::default()).await?
            };
            evidence.status = Some(answer.status());
            let Some(target) = target(&answer, &url)? else {
                return Ok((answer, url, visited.len()));
            };
            visited.push(url);
            self.check_redirect(&visited, &target)?;
            url = target;
        }
    }

    fn check_redirect(&self, visited: &[Url], target: &Url) -> Result<(), Trouble> {
        let from_https = visited.last().is_some_and(|url| url.scheme() == "https");
        if !is_web(target) || (from_https && target.scheme() != "https") {
            let detail =
                format_args!("redirected to {}, from https down or to another scheme", shown(target));
            return Err(Trouble::new(CopyFault::ForbiddenRedirect, detail));
        }
        if visited.contains(target) {
            return Err(Trouble::new(
                CopyFault::RedirectLoop,
                format_args!("redirected back to {}", shown(target)),
            ));
        }
        if visited.len() > self.max_redirects {
            let detail =
                format_args!("more than {} redirects, the last to {}", self.max_redirects, shown(target));
            return Err(Trouble::new(CopyFault::RedirectLoop, detail));
        }
        Ok(())
    }

    async fn hop(
        &self,
        get: &Get<'_>,
        url: &Url,
        reach: Reach,
        evidence: &mut Evidence,
    ) -> Result<http::Response<Body>, Trouble> {
        let request = self.request(get, url)?;
        let stream = self.dialer.dial(url, reach, evidence).await?;
        let began = Instant::now();
        let answer = exchange(stream, request).await?;
        evidence.timings.first_byte = Some(began.elapsed());
        Ok(answer)
    }

    /// A request's first lines.
    pub(super) fn begin(&self, method: Method, url: &Url) -> request::Builder {
        let through = self.dialer.proxy.as_ref().filter(|_| url.scheme() == "http");
        // To a proxy in absolute-form, to the server in origin-form (RFC 9112 section 3.2).
        let begin = if through.is_some() { Position::BeforeScheme } else { Position::BeforePath };
        let mut request = Request::builder()
            .method(method)
            .uri(&url[begin..Position::AfterQuery])
            .header(HOST, &url[Position::BeforeHost..Position::AfterPort])
            .header(USER_AGENT, AGENT)
            .header(ACCEPT, "*/*")
            .header(ACCEPT_ENCODING, "identity")
            .header(CONNECTION, "close");
        if let Some(authorization) = through.and_then(|proxy| proxy.authorization.as_ref()) {
            request = request.header(PROXY_AUTHORIZATION, authorization);
        }
        request
    }

    fn request(&self, get: &Get<'_>, url: &Url) -> Result<Request<Cargo>, Trouble> {
        let mut request = self.begin(Method::GET, url);
        if let Some((first, last)) = get.range {
            request = request.header(RANGE, format!("bytes={first}-{last}"));
        }
        for (name, value) in [(IF_NONE_MATCH, get.if_none_match), (IF_MODIFIED_SINCE, get.if_modified_since)]
        {
            // What cannot be a header was never received as one; asking without a condition is always right.
            if let Some(value) = value.and_then(|value| HeaderValue::from_str(value).ok()) {
                request = request.header(name, value);
            }
        }
        request
            .body(Empty::new().boxed_unsync())
            .map_err(|error| Trouble::new(CopyFault::Broken, format_args!("{}: {error}", shown(url))))
    }
}

/// Where an answer redirects to.
fn target(answer: &http::Response<Body>, from: &Url) -> Result<Option<Url>, Trouble> {
    let redirects = matches!(
        answer.status(),
        StatusCode::MOVED_PERMANENTLY
            | StatusCode::FOUND
            | StatusCode::SEE_OTHER
            | StatusCode::TEMPORARY_REDIRECT
            | StatusCode::PERMANENT_REDIRECT
    );
    let Some(location) = answer.headers().get(LOCATION).filter(|_| redirects) else {
        return Ok(None);
    };
    let text = String::from_utf8_lossy(location.as_bytes());
    match from.join(&text) {
        Ok(url) => Ok(Some(bare(url))),
        Err(error) => {
            // What follows the path may be a signature.
            let text = text.split(['?', '#']).next().unwrap_or_default();
            Err(Trouble::new(CopyFault::Broken, format_args!("redirected to {text:?}: {error}")))
        }
    }
}

/// A URL as it may stand in a report or a log: without its query, which may hold a signature, and cut where it is long.
pub fn shown(url: &Url) -> String {
    url[..Position::AfterPath].chars().take(500).collect()
}

/// A URL as it is asked: without user, password and fragment.
pub(super) fn bare(mut url: Url) -> Url {
    url.set_fragment(None);
    // These fail where a URL cannot have a user; then it has none.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url
}

pub(super) fn is_web(url: &Url) -> bool {
    matches!(url.scheme(), "http" | "https")
}

fn phase(timings: &Timings) -> &'static str {
    match timings {
        Timings { first_byte: Some(_), .. } => "while it followed a redirect",
        Timings { connect: None, dns: None, .. } => "while it resolved the name or connected",
        Timings { connect: None, .. } => "while it connected",
        Timings { .. } => "while it waited for TLS or the answer",
    }
}
