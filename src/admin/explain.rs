//! Why a request is answered as it is: the same snapshot, the same choice, in words.

use std::net::IpAddr;

use http::header::{AUTHORIZATION, HOST};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, Uri};
use serde_json::{Value, json};

use crate::client::{Place, Whereabouts};
use crate::model::{Clock, Exclusion, Timestamp};
use crate::redirect::{Facts, Inquiry, Occasion, answer, ask_of};
use crate::routing::{Candidate, Verdict};
use crate::snapshot::Snapshot;

use super::{Admin, Body, Refusal, answers, caller, query};

/// Where the token stands that the client of an explanation would bring.
pub const TOKEN_HEADER: &str = "waypost-token";

impl Admin {
    /// `?path=/tool/stable/x&ip=203.0.113.5`, `&https=1` for a client that came by https, and `&host=get.example.com`
    /// for the name that it asked for. The token that the client would bring stands in `Waypost-Token`: `Authorization` is
    /// for whoever asks this.
    pub(super) fn explain(&self, uri: &Uri, asking: &HeaderMap) -> Result<Response<Body>, Refusal> {
        let bad = |why: &str| Refusal::BadRequest(why.to_owned());
        let path = query(uri, "path").ok_or_else(|| bad("say which path: ?path=/product/version/asset"))?;
        let ip = query(uri, "ip").ok_or_else(|| bad("say from which address: ?ip=203.0.113.5"))?;
        let ip: IpAddr = ip.parse().map_err(|_| bad("ip is not an address"))?;
        let asked: Uri = path.parse().map_err(|_| bad("path cannot stand in a request"))?;
        let snapshot = self.published.load();
        let snapshot = snapshot.as_deref();
        let snapshot = snapshot.ok_or_else(|| Refusal::Unavailable("no snapshot yet".to_owned()))?;
        let https = match query(uri, "https").as_deref() {
            Some("1" | "true") => true,
            Some(_) => false,
            None => snapshot.settings.public_https,
        };
        let ip = ip.to_canonical();
        let mut headers = HeaderMap::new();
        if let Some(host) = query(uri, "host") {
            headers.insert(HOST, host.parse().map_err(|_| bad("host cannot stand in a request"))?);
        }
        let token = asking.get(TOKEN_HEADER).map(|token| token.to_str()).transpose();
        let token = token.map_err(|_| bad("Waypost-Token holds characters that no token has"))?;
        if let Some(token) = token {
            let bearer = HeaderValue::from_str(&format!("Bearer {token}"));
            headers
                .insert(AUTHORIZATION, bearer.map_err(|_| bad("Waypost-Token cannot stand in a request"))?);
        }
        let inquiry = Inquiry {
            method: &Method::GET,
            uri: &asked,
            headers: &headers,
            client: ip,
            https,
            occasion: &Rehearsal(&*self.clock),
        };
        Ok(answers::json(StatusCode::OK, &explanation(snapshot, &path, &inquiry, token)))
    }
}

/// Nothing comes of an explanation.
struct Rehearsal<'a>(&'a dyn Clock);

impl Occasion for Rehearsal<'_> {
    fn now(&self) -> Timestamp {
        self.0.now()
    }

    fn is_rehearsal(&self) -> bool {
        true
    }
}

fn explanation(snapshot: &Snapshot, path: &str, inquiry: &Inquiry<'_>, token: Option<&str>) -> Value {
    let (ip, https) = (inquiry.client, inquiry.https);
    let answer = answer(snapshot, inquiry);
    let caller = caller::caller(snapshot, inquiry, &answer, token);
    let facts = answer.facts;
    // A ticket is as good as a token.
    let path =
        path.split_once('?').filter(|(_, query)| query.contains("ticket=")).map_or(path, |(path, _)| path);
    let location = answer.response.headers().get(http::header::LOCATION).and_then(|l| l.to_str().ok());
    // What a signed link carries behind its path is not for whoever reads explanations.
    let location = location.map(|url| url.split_once('?').map_or(url, |(url, _)| url));
    let whereabouts = snapshot.locator.locate(ip);
    let place = snapshot.locator.places().get(whereabouts.place.index()).copied().unwrap_or_default();
    let asset = facts.asset.map(|(release, asset)| &*release.release.asset(asset).name);
    let version = facts.asset.map(|(release, _)| release.release.id.version.as_str());
    json!({
        "path": path,
        "ip": ip.to_string(),
        "client": client(snapshot, &whereabouts, &place),
        "caller": caller,
        "product": facts.product.map(|product| product.name.as_str()),
        "version": version,
        "channel": facts.product.zip(facts.channel).map(|(product, at)| product.channels[at].name.as_str()),
        "asset": asset,
        "outcome": facts.outcome.as_str(),
        "status": answer.response.status().as_u16(),
        "location": location,
        "generation": snapshot.generation,
        "candidates": candidates(snapshot, &facts, ip, whereabouts, &place, https),
    })
}

fn client(snapshot: &Snapshot, whereabouts: &Whereabouts, place: &Place) -> Value {
    let region = snapshot.router().region(whereabouts);
    json!({
        "country": whereabouts.country.or(place.country).map(|country| country.to_string()),
        "asn": whereabouts.asn.map(|asn| asn.0),
        "region": region.map(|region| snapshot.settings.regions[region.index()].as_str()),
        "location": place.location.map(|l| json!([round(l.latitude()), round(l.longitude())])),
        "network_rule": whereabouts.network_rule,
    })
}

fn round(number: f64) -> f64 {
    (number * 10.0).round() / 10.0
}

fn candidates(
    snapshot: &Snapshot,
    facts: &Facts<'_>,
    ip: IpAddr,
    whereabouts: Whereabouts,
    place: &Place,
    https: bool,
) -> Vec<Value> {
    let Some((release, asset)) = facts.asset else { return Vec::new() };
    let ask = ask_of(ip, whereabouts, release, asset, https);
    let candidates = snapshot.router().explain(&ask, place);
    let may = |candidate: &&Candidate| !matches!(candidate.verdict, Verdict::Excluded(_));
    let in_reach: Vec<&Candidate> = candidates.iter().filter(may).collect();
    let entitled = facts.product.is_some_and(|product| product.guard.as_ref().is_some_and(|g| g.entitled));
    let guarded = &snapshot.mirrors.guarded;
    let lines = candidates.iter().map(|candidate| {
        // What they hold of such products was not looked up.
        let verdict = match entitled && !guarded.has(candidate.mirror) {
            true => Verdict::Excluded(Exclusion::NotPrivate),
            false => candidate.verdict,
        };
        line(snapshot, &Candidate { verdict, ..*candidate }, &in_reach)
    });
    lines.collect()
}

fn line(snapshot: &Snapshot, candidate: &Candidate, in_reach: &[&Candidate]) -> Value {
    let mirror = snapshot.mirrors.get(candidate.mirror);
    let near = &candidate.nearness;
    let km = near.km.is_finite().then(|| near.km.round());
    let (verdict, exclusion) = match candidate.verdict {
        Verdict::Chosen => ("chosen", None),
        Verdict::Eligible => ("eligible", None),
        Verdict::Excluded(reason) => ("excluded", Some(reason)),
    };
    json!({
        "mirror": mirror.name,
        "region": mirror.region.map(|region| snapshot.settings.regions[region.index()].as_str()),
        "country": mirror.country.map(|country| country.to_string()),
        "distance_km": km,
        "score": km,
        "group": candidate.group,
        "weight": mirror.weight,
        "same_asn": candidate.same_asn,
        "same_country": near.same_country,
        "last_resort": near.last_resort,
        "refuses_credentials": snapshot.mirrors.refusing.has(candidate.mirror),
        "verdict": verdict,
        "exclusion": exclusion,
        "fault": exclusion.and(snapshot.availability.faults.get(&candidate.mirror)),
        "reason": reason(snapshot, candidate, in_reach),
    })
}

/// The verdict in words.
fn reason(snapshot: &Snapshot, candidate: &Candidate, in_reach: &[&Candidate]) -> String {
    use crate::model::Exclusion::{Down, NotProbed};
    let near = &candidate.nearness;
    match candidate.verdict {
        Verdict::Excluded(reason @ (Down | NotProbed)) => {
            let fault = snapshot.availability.faults.get(&candidate.mirror);
            let fault = fault.map(|fault| format!(" (the last one failed by {fault})")).unwrap_or_default();
            format!("excluded: {}{fault}", words(reason))
        }
        Verdict::Excluded(reason) => format!("excluded: {}", words(reason)),
        Verdict::Eligible => "eligible, and less preferred for this client".to_owned(),
        Verdict::Chosen => {
            let nearness = |c: &&&Candidate| c.group == candidate.group;
            let equals = in_reach.iter().filter(nearness).count();
            let mut why = match (near.last_resort, near.km.is_finite()) {
                (true, _) => "chosen as a last resort".to_owned(),
                (false, true) => "chosen: the nearest that may serve this".to_owned(),
                (false, false) => "chosen: nothing is known of distances".to_owned(),
            };
            if candidate.same_asn {
                why.push_str("; in the client's own network");
            } else if near.same_country {
                why.push_str("; in the client's country");
            }
            if equals > 1 {
                why.push_str(&format!(
                    "; shares with {} as near, by weight and the client's network",
                    equals - 1
                ));
            }
            why
        }
    }
}

/// An exclusion for people.
fn words(reason: Exclusion) -> &'static str {
    use Exclusion::*;
    match reason {
        NotProbed => "no probe has succeeded yet since the service started",
        Down => "down: too many probes in a row failed",
        Returning => "coming back: none of its copies was hashed again yet",
        Drained => "drained by the operator",
        NoVerifiedCopy => "holds no verified copy of this file",
        NotForClient => "its `only` does not name this client",
        NeverForClient => "its `never` names this client",
        Downgrade => "speaks http, and the client came by https",
        AddressFamily => "has only IPv6 addresses, and the client came by IPv4",
        NotPrivate => {
            "would give the files of this product to everybody: it neither signs its links nor is private"
        }
        RefusesCredentials => "refuses the token that this tool repeats to it beside the signed link",
        Avoided => "the client asked to avoid it",
    }
}
