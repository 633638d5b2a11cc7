//! The public handler: one snapshot, one answer, counted.

use std::cell::OnceCell;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Collected, Limited};
use hyper::body::Incoming;
use tokio::time::timeout;

use crate::client::{self, client_network};
use crate::deliveries::Delivery;
use crate::metrics::{GRANTED, Metrics, Outcome};
use crate::model::{Clock, Denial, RegionId, Timestamp};
use crate::redirect::{
    Answer, Body, FORM_MAX, Facts, Inquiry, Occasion, Passage, SESSION_PATH, answer, begin_session, problem,
    refusal,
};
use crate::server::{Connection, Handler, Peer, Scheme};
use crate::snapshot::{Published, Snapshot};
use crate::workers::{KeyLook, KeyLooks, Status};

/// How long a request waits for an issuer's keys to be fetched, because it names one that is not known.
const KEYS_WITHIN: Duration = Duration::from_secs(3);
/// How long a form may take to arrive.
const FORM_WITHIN: Duration = Duration::from_secs(10);

/// Answers the public port.
pub struct Public {
    /// What answers are made from.
    pub published: Arc<Published>,
    /// What readiness reports.
    pub status: Arc<Status>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Where tokens are counted.
    pub metrics: Arc<Metrics>,
    /// Fetches issuers' keys.
    pub keys: Arc<KeyLooks>,
}

/// When a request is answered.
struct Moment<'a> {
    clock: &'a dyn Clock,
    /// What the clock said when it was first asked.
    now: OnceCell<Timestamp>,
    began: Instant,
}

impl<'a> Moment<'a> {
    fn of(clock: &'a dyn Clock) -> Self {
        Self { clock, now: OnceCell::new(), began: Instant::now() }
    }
}

impl Occasion for Moment<'_> {
    fn now(&self) -> Timestamp {
        *self.now.get_or_init(|| self.clock.now())
    }

    fn instant(&self) -> Instant {
        Instant::now()
    }
}

/// What an answer waits for.
enum Waits {
    /// The issuer may have published another key: then it is another answer.
    ForKeys(Arc<KeyLook>),
    /// It is given once it is recorded.
    ForRecord,
}

/// Whether a request may wait for an issuer's keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Patience {
    /// It may.
    Left,
    /// It has: what is known now decides.
    Spent,
}

impl Public {
    /// The answer, and what it waits for. Inlined, because a response is large: else it is copied once more.
    #[inline(always)]
    fn respond(
        &self,
        request: &Request<Incoming>,
        connection: &Connection,
        patience: Patience,
    ) -> (Response<Body>, Option<Waits>) {
        let looks = matches!(*request.method(), Method::GET | Method::HEAD);
        match request.uri().path() {
            "/-/healthz" if looks => return (probe(StatusCode::OK), None),
            "/-/readyz" if looks => return (probe(self.readiness()), None),
            _ => {}
        }
        let snapshot = self.published.load();
        let Some(snapshot) = snapshot.as_deref() else { return (starting(request), None) };
        let moment = Moment::of(&*self.clock);
        let inquiry = inquiry(snapshot, request, connection, &moment);
        let answer = answer(snapshot, &inquiry);
        if let Some(passage) = &answer.passage {
            if let Some(waits) = self.waits(snapshot, passage, patience) {
                return (answer.response, Some(waits));
            }
            note(snapshot, &inquiry, &answer);
        }
        self.count(snapshot, &inquiry, &answer, moment.began);
        (answer.response, None)
    }

    /// What an answer for a product that is not for everybody waits for: it is counted and logged once, as what it is in
    /// the end.
    fn waits(&self, snapshot: &Snapshot, passage: &Passage, patience: Patience) -> Option<Waits> {
        if passage.hands_out && snapshot.recording.as_ref().is_some_and(|recording| recording.required) {
            return Some(Waits::ForRecord);
        }
        self.missing_keys(snapshot, passage, patience).map(Waits::ForKeys)
    }

    /// Where the caller's issuer may have published a key that is not known yet, and that can still be waited for.
    fn missing_keys(
        &self,
        snapshot: &Snapshot,
        passage: &Passage,
        patience: Patience,
    ) -> Option<Arc<KeyLook>> {
        match (patience, passage.denial) {
            (Patience::Left, Some(Denial::UnknownKey | Denial::NoKeys)) => {
                issuer_of(snapshot, passage).and_then(|issuer| self.keys.of(issuer))
            }
            _ => None,
        }
    }

    /// Counts what became of a caller's token.
    fn count_check(&self, snapshot: &Snapshot, facts: &Facts<'_>, passage: &Passage) {
        let issuer = || issuer_of(snapshot, passage).unwrap_or_default();
        let product = || facts.product.map_or("", |product| product.name.as_str());
        let access = &self.metrics.access;
        access.looked(passage.took);
        match (passage.denial, facts.product, passage.issuer) {
            (Some(denial), ..) => access.checked(product(), issuer(), denial.as_str()),
            (None, Some(product), Some(issuer)) => product.meters.granted(issuer.index()),
            (None, None, Some(_)) => access.checked(product(), issuer(), GRANTED),
            (None, _, None) => {}
        }
        if passage.shut_out {
            access.regressions.with_label_values(&[product()]).inc();
        }
    }

    /// Counts and logs an answer.
    fn count(&self, snapshot: &Snapshot, inquiry: &Inquiry<'_>, answer: &Answer<'_>, began: Instant) {
        let Answer { response, facts, passage } = answer;
        if let Some(passage) = passage {
            self.count_check(snapshot, facts, passage);
        }
        facts.count(snapshot.catalog.unnamed.as_deref(), || self.clock.now());
        snapshot.timing.answered(facts.region.map(RegionId::index), began.elapsed());
        if snapshot.settings.access_log {
            let denial = passage.as_ref().and_then(|passage| passage.denial);
            log(snapshot, inquiry, facts, denial, response.status());
        }
    }

    /// Answers when the issuer's keys were looked for, or that took too long.
    async fn after_keys(
        self: Arc<Self>,
        request: Request<Incoming>,
        connection: Connection,
        keys: Arc<KeyLook>,
    ) -> Response<Body> {
        wait_for(&keys).await;
        match self.respond(&request, &connection, Patience::Spent) {
            (_, Some(Waits::ForRecord)) => self.after_record(request, connection).await,
            // Still unknown: then that is the answer.
            (response, Some(Waits::ForKeys(_)) | None) => response,
        }
    }

    /// Answers anew, and gives the answer once it is recorded.
    async fn after_record(
        self: Arc<Self>,
        request: Request<Incoming>,
        connection: Connection,
    ) -> Response<Body> {
        let Some(snapshot) = self.published.load_full() else { return starting(&request) };
        let began = Instant::now();
        let (mut answer, delivery) = {
            let moment = Moment::of(&*self.clock);
            let inquiry = inquiry(&snapshot, &request, &connection, &moment);
            let answer = answer(&snapshot, &inquiry);
            let delivery = delivery(&snapshot, &inquiry, &answer);
            (answer, delivery)
        };
        let recorded = match (&snapshot.recording, delivery) {
            (Some(recording), Some(delivery)) => recording.to.record(delivery).await,
            // Meanwhile another configuration has come into force, or a release was withdrawn.
            _ => true,
        };
        let moment = Moment::of(&*self.clock);
        let inquiry = inquiry(&snapshot, &request, &connection, &moment);
        if !recorded {
            answer = refuse(answer, Denial::NotRecorded, &inquiry);
        }
        self.count(&snapshot, &inquiry, &answer, began);
        answer.response
    }

    /// The form of the page that takes a token.
    async fn session(self: Arc<Self>, request: Request<Incoming>, connection: Connection) -> Response<Body> {
        let (parts, body) = request.into_parts();
        let form = timeout(FORM_WITHIN, Limited::new(body, FORM_MAX).collect()).await;
        let form = form.ok().and_then(Result::ok).map(Collected::to_bytes);
        let request = Request::from_parts(parts, ());
        match self.begin_session(&request, &connection, form.as_deref(), Patience::Left) {
            (response, None) => response,
            (_, Some(keys)) => {
                wait_for(&keys).await;
                self.begin_session(&request, &connection, form.as_deref(), Patience::Spent).0
            }
        }
    }

    /// Answers the form, and what that waits for.
    fn begin_session(
        &self,
        request: &Request<()>,
        connection: &Connection,
        form: Option<&[u8]>,
        patience: Patience,
    ) -> (Response<Body>, Option<Arc<KeyLook>>) {
        let snapshot = self.published.load();
        let Some(snapshot) = snapshot.as_deref() else { return (starting(request), None) };
        let moment = Moment::of(&*self.clock);
        let inquiry = inquiry(snapshot, request, connection, &moment);
        let answer = begin_session(snapshot, &inquiry, form);
        let keys = answer.passage.as_ref().and_then(|passage| self.missing_keys(snapshot, passage, patience));
        if keys.is_none() {
            self.count(snapshot, &inquiry, &answer, moment.began);
        }
        (answer.response, keys)
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

/// The name of whose token it is, or says it is.
fn issuer_of<'s>(snapshot: &'s Snapshot, passage: &Passage) -> Option<&'s str> {
    passage.issuer.map(|issuer| &*snapshot.entitlements.issuers[issuer.index()].name)
}

/// Waits until an issuer's keys were looked for, or that takes too long.
async fn wait_for(keys: &KeyLook) {
    let looked = timeout(KEYS_WITHIN, keys.look_again()).await;
    tracing::debug!(in_time = looked.is_ok(), "looked for a key");
}

fn starting<B>(request: &Request<B>) -> Response<Body> {
    let detail = "the service is starting";
    problem(StatusCode::SERVICE_UNAVAILABLE, detail, request.headers(), None)
}

fn inquiry<'a, B>(
    snapshot: &Snapshot,
    request: &'a Request<B>,
    connection: &Connection,
    occasion: &'a dyn Occasion,
) -> Inquiry<'a> {
    let peer = match connection.peer {
        Peer::Tcp(address) => Some(address.ip()),
        Peer::Local => None,
    };
    let (client, scheme) = snapshot.settings.forwarded.read(request.headers(), peer);
    let https = match scheme {
        Some(scheme) => scheme == client::Scheme::Https,
        None => connection.scheme == Scheme::Https || snapshot.settings.public_https,
    };
    let (method, uri, headers) = (request.method(), request.uri(), request.headers());
    Inquiry { method, uri, headers, client, https, occasion }
}

/// Refuses what would have been answered.
fn refuse<'s>(answer: Answer<'s>, denial: Denial, inquiry: &Inquiry<'_>) -> Answer<'s> {
    let facts = Facts { outcome: Outcome::Denied, mirror: None, ..answer.facts };
    let passage = answer.passage.map(|passage| Passage { denial: Some(denial), ..passage });
    Answer { response: refusal(denial, inquiry), facts, passage }
}

/// Records an answer that nothing waits for.
fn note(snapshot: &Snapshot, inquiry: &Inquiry<'_>, answer: &Answer<'_>) {
    if let Some(recording) = &snapshot.recording
        && let Some(delivery) = delivery(snapshot, inquiry, answer)
    {
        recording.to.note(delivery);
    }
}

/// What is recorded of an answer that leads to a file of a product that is not for everybody.
fn delivery(snapshot: &Snapshot, inquiry: &Inquiry<'_>, answer: &Answer<'_>) -> Option<Delivery> {
    let Answer { facts, passage, .. } = answer;
    let passage = passage.as_ref().filter(|passage| passage.hands_out)?;
    let ((release, asset), grant) = (facts.asset?, passage.grant.as_deref()?);
    Some(Delivery {
        at: inquiry.occasion.now(),
        product: release.release.id.product.clone(),
        version: release.release.id.version.clone(),
        asset: Box::from(&*release.release.asset(asset).name),
        region: facts.region.map(|id| snapshot.settings.regions[id.index()].clone()),
        mirror: facts.mirror.map(|id| snapshot.mirrors.get(id).name.clone()),
        network: client_network(inquiry.client),
        issuer: Arc::clone(&snapshot.entitlements.issuers[grant.issuer.index()].name),
        token_id: grant.token_id.clone(),
        ticket: grant.is_ticket(),
    })
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
fn log(
    snapshot: &Snapshot,
    inquiry: &Inquiry<'_>,
    facts: &Facts<'_>,
    denial: Option<Denial>,
    status: StatusCode,
) {
    let reason = facts.reason.map(|reason| reason.as_str()).or(denial.map(Denial::as_str));
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
        reason,
        region,
        mirror,
        network = %client_network(inquiry.client),
        "request"
    );
}

/// An answer that is there, or one that has to be waited for.
pub enum Answering {
    /// It is there, until it is taken.
    Now(Option<Response<Body>>),
    /// It will be.
    Later(Pin<Box<dyn Future<Output = Response<Body>> + Send>>),
}

impl Future for Answering {
    type Output = Response<Body>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Response<Body>> {
        match &mut *self {
            Self::Now(response) => Poll::Ready(response.take().expect("an answer is taken once")),
            Self::Later(answering) => answering.as_mut().poll(cx),
        }
    }
}

impl Handler for Public {
    type Body = Body;
    const WAITS: bool = false;

    fn handle(
        self: &Arc<Self>,
        request: Request<Incoming>,
        connection: &Connection,
    ) -> impl Future<Output = Response<Body>> + Send + Unpin + use<> {
        let public = Arc::clone;
        if *request.method() == Method::POST && request.uri().path() == SESSION_PATH {
            return Answering::Later(Box::pin(public(self).session(request, *connection)));
        }
        match self.respond(&request, connection, Patience::Left) {
            (response, None) => Answering::Now(Some(response)),
            (_, Some(Waits::ForKeys(keys))) => {
                Answering::Later(Box::pin(public(self).after_keys(request, *connection, keys)))
            }
            (_, Some(Waits::ForRecord)) => {
                Answering::Later(Box::pin(public(self).after_record(request, *connection)))
            }
        }
    }
}
