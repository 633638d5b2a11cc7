//! The admin interface: health, metrics, explanations and reports for everybody who can reach it, operations for whoever
//! can open the socket in the state folder. JSON throughout.

mod answers;
mod explain;
mod operations;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};
use tokio::time::{Instant, timeout_at};

use crate::metrics::Metrics;
use crate::model::{Clock, MirrorName, ProductName};
use crate::server::{Connection, Handler, ServerCounters};
use crate::snapshot::Published;
use crate::workers::report::Topic;
use crate::workers::{Handle, Status};

/// What a listener lets its clients do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Look.
    Look,
    /// Look, and give orders.
    Operate,
}

/// Answers one admin listener.
pub struct Admin {
    access: Access,
    published: Arc<Published>,
    handle: Handle,
    status: Arc<Status>,
    metrics: Arc<Metrics>,
    clock: Arc<dyn Clock>,
    listeners: Vec<(&'static str, Arc<ServerCounters>)>,
}

type Body = Full<Bytes>;

/// Why a request is not answered with what it asks for.
#[derive(Debug)]
enum Refusal {
    /// No such thing.
    NotFound(String),
    /// The request makes no sense.
    BadRequest(String),
    /// Not on this listener.
    Forbidden,
    /// Another method is needed.
    BadMethod(&'static str),
    /// The service cannot answer just now.
    Unavailable(String),
}

/// Longest wait that `?wait=` may ask for.
const WAIT_MAX: Duration = Duration::from_secs(3600);
/// How often a waiting request looks again although nothing was published: time alone leaves a mirror out that has
/// been down for long.
const LOOK_EVERY: Duration = Duration::from_secs(10);

impl Admin {
    /// Answers from the snapshot and from the writer.
    pub fn new(
        access: Access,
        published: Arc<Published>,
        handle: Handle,
        status: Arc<Status>,
        metrics: Arc<Metrics>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self { access, published, handle, status, metrics, clock, listeners: Vec::new() }
    }

    /// Shows these listeners' counters in the metrics.
    #[must_use]
    pub fn with_listeners(mut self, listeners: Vec<(&'static str, Arc<ServerCounters>)>) -> Self {
        self.listeners = listeners;
        self
    }

    async fn respond(&self, request: Request<Incoming>) -> Result<Response<Body>, Refusal> {
        let path = request.uri().path().to_owned();
        let segments: Vec<String> = path.split('/').skip(1).map(decoded).collect();
        let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
        if let ["v1", "mirrors", name, verb] = *segments {
            if request.method() != Method::POST {
                return Err(Refusal::BadMethod("POST"));
            }
            return self.operate_mirror(name, verb, request).await;
        }
        if request.method() != Method::GET && request.method() != Method::HEAD {
            return Err(Refusal::BadMethod("GET, HEAD"));
        }
        match *segments {
            ["healthz"] => Ok(answers::json(StatusCode::OK, &json!({ "status": "ok" }))),
            ["readyz"] => Ok(self.readiness()),
            ["metrics"] => Ok(self.render_metrics().await),
            ["v1", "explain"] => self.explain(request.uri()),
            ["v1", "mirrors"] => self.report(Topic::Mirrors, "mirrors").await,
            ["v1", "mirrors", name] => {
                let mirror = MirrorName::new(name).map_err(|_| no("mirror", name))?;
                self.report(Topic::Mirror(mirror), &format!("mirror {name}")).await
            }
            ["v1", "releases"] => self.report(Topic::Releases, "releases").await,
            ["v1", "releases", product] => self.releases_of(product).await,
            ["v1", "releases", product, version] => self.release(product, version, request.uri()).await,
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

    async fn releases_of(&self, product: &str) -> Result<Response<Body>, Refusal> {
        let mut report = self.ask(Topic::Releases, "releases").await?;
        for list in ["releases", "channels"] {
            if let Some(Value::Array(lines)) = report.get_mut(list) {
                lines.retain(|line| line["product"] == product);
            }
        }
        if report["releases"].as_array().is_none_or(Vec::is_empty) {
            return Err(no("product", product));
        }
        Ok(answers::json(StatusCode::OK, &report))
    }

    /// One release; with `?wait=600` the answer comes when every mirror that counts holds it, or after that many
    /// seconds with 504.
    async fn release(
        &self,
        product: &str,
        version: &str,
        uri: &http::Uri,
    ) -> Result<Response<Body>, Refusal> {
        let what = format!("release {product} {version}");
        let product =
            ProductName::new(product).map_err(|_| Refusal::NotFound(format!("there is no {what}")))?;
        let wait = match query(uri, "wait").map(|text| text.parse::<u64>()) {
            None => return self.report(Topic::Release(product, version.to_owned()), &what).await,
            Some(Ok(seconds)) => Duration::from_secs(seconds).min(WAIT_MAX),
            Some(Err(_)) => return Err(Refusal::BadRequest("wait is a number of seconds".to_owned())),
        };
        let until = Instant::now() + wait;
        let mut changed = self.status.changed.subscribe();
        loop {
            // Marked as seen before the question, so that what comes after the answer is not missed.
            changed.borrow_and_update();
            let report = self.ask(Topic::Release(product.clone(), version.to_owned()), &what).await;
            match report {
                Ok(report) if is_everywhere(&report) => return Ok(answers::json(StatusCode::OK, &report)),
                Ok(_) | Err(Refusal::NotFound(_)) => {}
                Err(other) => return Err(other),
            }
            let stopping = self.status.draining.load(Ordering::Acquire);
            if stopping || Instant::now() >= until {
                let body = report.unwrap_or(Value::Null);
                return Ok(answers::json(StatusCode::GATEWAY_TIMEOUT, &body));
            }
            let next_look = until.min(Instant::now() + LOOK_EVERY);
            // Told or not, it looks again; the sender lives as long as the status.
            let _ = timeout_at(next_look, changed.changed()).await;
        }
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

/// Whether every mirror that counts holds the release, whatever the channels' policies.
fn is_everywhere(report: &Value) -> bool {
    report["mirrors_lacking"].as_array().is_some_and(Vec::is_empty)
}

fn no(what: &str, name: &str) -> Refusal {
    Refusal::NotFound(format!("there is no {what} {name}"))
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
            Refusal::Forbidden => {
                (StatusCode::FORBIDDEN, "orders are taken on the socket in the state folder, not here")
            }
            Refusal::BadMethod(allowed) => (StatusCode::METHOD_NOT_ALLOWED, *allowed),
            Refusal::Unavailable(detail) => (StatusCode::SERVICE_UNAVAILABLE, detail.as_str()),
        };
        let title = status.canonical_reason().unwrap_or("Error");
        let problem =
            json!({ "type": "about:blank", "title": title, "status": status.as_u16(), "detail": detail });
        let mut response = answers::json(status, &problem);
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Refusal::BadMethod(allowed) = refusal {
            headers.insert(ALLOW, HeaderValue::from_static(allowed));
        }
        response
    }
}

impl Handler for Admin {
    type Body = Body;

    async fn handle(&self, request: Request<Incoming>, _connection: &Connection) -> Response<Body> {
        let mut response = self.respond(request).await.unwrap_or_else(Response::from);
        response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }
}
