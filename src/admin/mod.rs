//! The admin interface: health and metrics for everybody who can reach it, explanations and reports for whoever may look,
//! operations for whoever can open the socket in the state folder or has a token with the role. JSON throughout.

mod answers;
mod audit;
mod auth;
mod caller;
mod explain;
mod files;
mod operations;
mod releases;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::metrics::Metrics;
use crate::model::{Clock, MirrorName, ProductName, Role};
use crate::server::{Connection, Handler, ServerCounters};
use crate::snapshot::Published;
use crate::workers::report::Topic;
use crate::workers::{Handle, Status};

pub use self::auth::Door;
pub use self::explain::TOKEN_HEADER;
use self::operations::Operation;

/// Answers one admin listener.
pub struct Admin {
    /// The way in.
    pub door: Door,
    /// What explanations are made from.
    pub published: Arc<Published>,
    /// The way to the writer, who knows the rest.
    pub handle: Handle,
    /// What readiness reports.
    pub status: Arc<Status>,
    /// What `/metrics` shows.
    pub metrics: Arc<Metrics>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Wakes the look at the origin.
    pub poll: Arc<Notify>,
    /// Listeners whose counters the metrics show, by name.
    pub listeners: Vec<(&'static str, Arc<ServerCounters>)>,
}

type Body = Full<Bytes>;

/// Why a request is not answered with what it asks for.
#[derive(Debug)]
enum Refusal {
    /// No such thing.
    NotFound(String),
    /// The request makes no sense.
    BadRequest(String),
    /// Nobody is known to ask.
    Unauthorized(String),
    /// Whoever asks may not have it.
    Forbidden(String),
    /// The state of things forbids it.
    Conflict(String),
    /// Things are not as the order expected them.
    PreconditionFailed(String),
    /// Another method is needed.
    BadMethod(&'static str),
    /// The service cannot answer just now.
    Unavailable(String),
    /// What was waited for did not come in time.
    TooLate(String),
}

impl Admin {
    async fn respond(&self, request: Request<Incoming>) -> Result<Response<Body>, Refusal> {
        let path = request.uri().path().to_owned();
        let segments: Vec<String> = path.split('/').skip(1).map(decoded).collect();
        let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
        let reads = request.method() == Method::GET || request.method() == Method::HEAD;
        match *segments {
            ["healthz" | "readyz" | "metrics"] if !reads => return Err(Refusal::BadMethod("GET, HEAD")),
            ["healthz"] => return Ok(answers::json(StatusCode::OK, &json!({ "status": "ok" }))),
            ["readyz"] => return Ok(self.readiness()),
            ["metrics"] => return Ok(self.render_metrics().await),
            _ => {}
        }
        if let Some(operation) = Operation::of(&segments).transpose()? {
            if request.method() != Method::POST {
                return Err(Refusal::BadMethod("POST"));
            }
            return self.operate(operation, request).await;
        }
        if !reads {
            return Err(Refusal::BadMethod("GET, HEAD"));
        }
        self.door.admit(request.headers(), Role::Look)?;
        self.look(&segments, &path, request.uri(), request.headers()).await
    }

    async fn look(
        &self,
        segments: &[&str],
        path: &str,
        uri: &http::Uri,
        headers: &HeaderMap,
    ) -> Result<Response<Body>, Refusal> {
        match *segments {
            ["v1", "explain"] => self.explain(uri, headers),
            ["v1", "mirrors"] => self.report(Topic::Mirrors, "mirrors").await,
            ["v1", "mirrors", name] => {
                self.report(Topic::Mirror(mirror(name)?), &format!("mirror {name}")).await
            }
            ["v1", "mirrors", name, "files"] => self.files(mirror(name)?, uri).await,
            ["v1", "mirrors", name, "inventory"] => {
                self.report(Topic::Inventory(mirror(name)?), &format!("mirror {name}")).await
            }
            ["v1", "releases"] => self.report(Topic::Releases(None), "releases").await,
            ["v1", "releases", name] => {
                self.report(Topic::Releases(Some(product(name)?)), &format!("product {name}")).await
            }
            ["v1", "releases", product, version] => self.release(product, version, uri).await,
            ["v1", "releases", name, version, "gate"] => {
                let topic = Topic::Gate(product(name)?, version.to_owned());
                self.report(topic, &format!("release {name} {version}")).await
            }
            ["v1", "products", name, "scorecard"] => self.scorecard(product(name)?, uri).await,
            ["v1", "channels"] => self.report(Topic::Channels(None), "channels").await,
            ["v1", "channels", name] => {
                self.report(Topic::Channels(Some(product(name)?)), &format!("product {name}")).await
            }
            ["v1", "audit"] => self.audit(uri).await,
            _ => Err(Refusal::NotFound(format!("there is no {path} here"))),
        }
    }

    async fn ask(&self, topic: Topic, what: &str) -> Result<Value, Refusal> {
        let report = self.handle.report(topic).await;
        let report = report.ok_or_else(|| Refusal::Unavailable("the service is stopping".to_owned()))?;
        report.ok_or_else(|| Refusal::NotFound(format!("there is no {what}")))
    }

    async fn report(&self, topic: Topic, what: &str) -> Result<Response<Body>, Refusal> {
        Ok(answers::json(StatusCode::OK, &self.ask(topic, what).await?))
    }

    fn readiness(&self) -> Response<Body> {
        let snapshot = self.published.load();
        let draining = self.status.draining.load(Ordering::Acquire);
        let mut reasons = Vec::new();
        if draining {
            reasons.push("stopping".to_owned());
        }
        match snapshot.as_deref() {
            None => {
                let error = self.status.origin_error.load();
                let why = error.as_deref().map_or("it was not read yet", String::as_str);
                reasons.push(format!("nothing is known of the origin: {why}"));
            }
            Some(snapshot) if !snapshot.is_settled() => reasons.push("no mirror was seen yet".to_owned()),
            Some(_) => {}
        }
        let mut warnings = Vec::new();
        if self.status.state_lost.load(Ordering::Acquire) {
            warnings.push(
                "state_lost: the store and its journal were lost; earlier orders are not known".to_owned(),
            );
        }
        if let Some(error) = self.status.store_error.load().as_deref() {
            warnings.push(format!("the store cannot be written: {error}"));
        }
        if let Some(error) = self.status.reload_error.load().as_deref() {
            warnings.push(format!("the last reload was refused: {error}"));
        }
        if let Some(error) = self.status.origin_error.load().as_deref() {
            warnings.push(format!("the origin cannot be read: {error}"));
        }
        let recording = snapshot.as_deref().and_then(|snapshot| snapshot.recording.as_ref());
        if let Some(error) = recording.and_then(|recording| recording.to.error()) {
            warnings.push(format!("deliveries cannot be recorded: {error}"));
        }
        // A service without releases or mirrors still answers, truthfully: only starting and stopping are not ready.
        let ready = reasons.is_empty();
        let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        answers::json(status, &json!({ "ready": ready, "reasons": reasons, "warnings": warnings }))
    }

    async fn render_metrics(&self) -> Response<Body> {
        // The report of gauges has no body; it is asked for its effect.
        let _ = self.handle.report(Topic::Gauges).await;
        if let Some(snapshot) = self.published.load().as_deref() {
            let age = self.clock.now().since(snapshot.published_at).as_secs();
            self.metrics.snapshot_age.set(i64::try_from(age).unwrap_or(i64::MAX));
        }
        for (listener, counters) in &self.listeners {
            answers::show_listener(&self.metrics, listener, counters);
        }
        let mut response = Response::new(Body::from(self.metrics.render()));
        let content_type = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
        response.headers_mut().insert(CONTENT_TYPE, content_type);
        response
    }
}

fn no(what: &str, name: &str) -> Refusal {
    Refusal::NotFound(format!("there is no {what} {name}"))
}

fn mirror(name: &str) -> Result<MirrorName, Refusal> {
    MirrorName::new(name).map_err(|_| no("mirror", name))
}

fn product(name: &str) -> Result<ProductName, Refusal> {
    ProductName::new(name).map_err(|_| no("product", name))
}

fn decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

/// The first value of a query parameter.
fn query(uri: &http::Uri, name: &str) -> Option<String> {
    let pairs = uri.query()?.split('&').filter_map(|pair| pair.split_once('='));
    pairs.into_iter().find(|(key, _)| *key == name).map(|(_, value)| decoded(value))
}

impl From<Refusal> for Response<Body> {
    fn from(refusal: Refusal) -> Self {
        let (status, detail) = match &refusal {
            Refusal::NotFound(detail) => (StatusCode::NOT_FOUND, detail.as_str()),
            Refusal::BadRequest(detail) => (StatusCode::BAD_REQUEST, detail.as_str()),
            Refusal::Unauthorized(detail) => (StatusCode::UNAUTHORIZED, detail.as_str()),
            Refusal::Forbidden(detail) => (StatusCode::FORBIDDEN, detail.as_str()),
            Refusal::Conflict(detail) => (StatusCode::CONFLICT, detail.as_str()),
            Refusal::PreconditionFailed(detail) => (StatusCode::PRECONDITION_FAILED, detail.as_str()),
            Refusal::BadMethod(allowed) => (StatusCode::METHOD_NOT_ALLOWED, *allowed),
            Refusal::Unavailable(detail) => (StatusCode::SERVICE_UNAVAILABLE, detail.as_str()),
            Refusal::TooLate(detail) => (StatusCode::GATEWAY_TIMEOUT, detail.as_str()),
        };
        let title = status.canonical_reason().unwrap_or("Error");
        let problem =
            json!({ "type": "about:blank", "title": title, "status": status.as_u16(), "detail": detail });
        let mut response = answers::json(status, &problem);
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        match refusal {
            Refusal::BadMethod(allowed) => drop(headers.insert(ALLOW, HeaderValue::from_static(allowed))),
            Refusal::Unauthorized(_) => {
                headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"waypost admin\""));
            }
            _ => {}
        }
        response
    }
}

impl Handler for Admin {
    type Body = Body;

    fn handle(
        self: &Arc<Self>,
        request: Request<Incoming>,
        _: &Connection,
    ) -> impl Future<Output = Response<Body>> + Send + Unpin + use<> {
        let admin = Arc::clone(self);
        Box::pin(async move {
            let mut response = admin.respond(request).await.unwrap_or_else(Response::from);
            response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
            response
        })
    }
}
