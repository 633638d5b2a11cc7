//! The public handler: one snapshot, one answer, counted.

use std::future::ready;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;

use crate::client::{self, client_network};
use crate::model::Clock;
use crate::redirect::{Body, Facts, Inquiry, answer, problem};
use crate::server::{Connection, Handler, Peer, Scheme};
use crate::snapshot::{Published, Snapshot};
use crate::workers::Status;

/// Answers the public port.
pub struct Public {
    published: Arc<Published>,
    status: Arc<Status>,
    clock: Arc<dyn Clock>,
    access_log: bool,
}

impl Public {
    /// Answers from whatever is published.
    pub fn new(
        published: Arc<Published>,
        status: Arc<Status>,
        clock: Arc<dyn Clock>,
        access_log: bool,
    ) -> Self {
        Self { published, status, clock, access_log }
    }

    fn respond(&self, request: &Request<Incoming>, connection: &Connection) -> Response<Body> {
        let looks = matches!(*request.method(), Method::GET | Method::HEAD);
        match request.uri().path() {
            "/-/healthz" if looks => return probe(StatusCode::OK),
            "/-/readyz" if looks => return probe(self.readiness()),
            _ => {}
        }
        let snapshot = self.published.load();
        let Some(snapshot) = snapshot.as_deref() else {
            let detail = "the service is starting";
            return problem(StatusCode::SERVICE_UNAVAILABLE, detail, request.headers(), None);
        };
        let began = Instant::now();
        let inquiry = inquiry(snapshot, request, connection);
        let answer = answer(snapshot, &inquiry);
        answer.facts.count(snapshot.catalog.unnamed.as_deref(), || self.clock.now());
        let region = answer.facts.region.map(|region| region.index());
        snapshot.timing.answered(region, began.elapsed());
        if self.access_log {
            log(snapshot, &inquiry, &answer.facts, answer.response.status());
        }
        answer.response
    }

    fn readiness(&self) -> StatusCode {
        let settled = self.published.load().as_deref().is_some_and(|snapshot| snapshot.is_settled());
        if settled && !self.status.draining.load(Ordering::Acquire) {
            StatusCode::OK
        } else {
            StatusCode::SERVICE_UNAVAILABLE
        }
    }
}

fn inquiry<'a>(snapshot: &Snapshot, request: &'a Request<Incoming>, connection: &Connection) -> Inquiry<'a> {
    let peer = match connection.peer {
        Peer::Tcp(address) => Some(address.ip()),
        Peer::Local => None,
    };
    let (client, scheme) = snapshot.settings.forwarded.read(request.headers(), peer);
    let https = match scheme {
        Some(scheme) => scheme == client::Scheme::Https,
        None => connection.scheme == Scheme::Https || snapshot.settings.public_https,
    };
    Inquiry { method: request.method(), uri: request.uri(), headers: request.headers(), client, https }
}

/// For load balancers: status only.
fn probe(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::default());
    *response.status_mut() = status;
    let no_store = http::HeaderValue::from_static("no-store");
    response.headers_mut().insert(http::header::CACHE_CONTROL, no_store);
    response
}

/// One line per request: never a full address, a token or a query.
fn log(snapshot: &Snapshot, inquiry: &Inquiry<'_>, facts: &Facts<'_>, status: StatusCode) {
    let mirror = facts.mirror.map(|id| snapshot.mirrors.get(id).name.as_str());
    let region = facts.region.map(|id| snapshot.settings.regions[id.index()].as_str());
    let asset = facts.asset.map(|(release, asset)| &*release.release.asset(asset).name);
    let version = facts.asset.map(|(release, _)| release.release.id.version.as_str());
    tracing::info!(
        target: "waypost::access",
        method = %inquiry.method,
        status = status.as_u16(),
        product = facts.product.map(|product| product.name.as_str()),
        version,
        asset,
        outcome = facts.outcome.as_str(),
        reason = facts.reason.map(|reason| reason.as_str()),
        region,
        mirror,
        network = %client_network(inquiry.client),
        "request"
    );
}

impl Handler for Public {
    type Body = Body;
    const WAITS: bool = false;

    fn handle(
        self: &Arc<Self>,
        request: Request<Incoming>,
        connection: &Connection,
    ) -> impl Future<Output = Response<Body>> + Send + Unpin + use<> {
        ready(self.respond(&request, connection))
    }
}
