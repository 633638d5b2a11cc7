//! Operations: read with care, because a body is read here.

use std::time::Duration;

use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use serde::{Deserialize, Deserializer};
use serde_json::json;
use tokio::time::timeout;

use crate::catalog::ReleaseId;
use crate::model::{ChannelName, MirrorName, ProductName, Role, Version, is_reserved_actor};
use crate::store::{Action, NewOrder};
use crate::workers::fact::{Instruction, Refused, Wish};
use crate::workers::report::Topic;

use super::audit::shown;
use super::auth::Caller;
use super::{Admin, Body, Refusal, answers, mirror, no, product};

/// Largest body of an order, in bytes.
const BODY_MAX: usize = 16 * 1024;
/// Longest id of a token, in bytes: most have 20 to 40.
const TOKEN_ID_MAX: usize = 1024;
/// How long a body may take.
const BODY_DEADLINE: Duration = Duration::from_secs(10);

/// How long a look at the origin is waited for.
const POLL_DEADLINE: Duration = Duration::from_secs(60);

/// An operation, as its path names it.
#[derive(Debug)]
pub(super) enum Operation {
    /// `/v1/mirrors/{name}/…`
    Mirror(MirrorVerb, MirrorName),
    /// `/v1/releases/{product}/{version}/…`
    Release(ReleaseVerb, ReleaseId),
    /// `/v1/channels/{product}/{channel}/…`
    Channel(ChannelVerb, ProductName, ChannelName),
    /// `/v1/origin/poll`
    Poll,
    /// `/v1/origin/accept`
    Accept,
    /// `/v1/tokens/revoke`
    Revoke,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum MirrorVerb {
    Drain,
    Undrain,
    Verify,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum ReleaseVerb {
    Promote,
    Withdraw,
    Restore,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum ChannelVerb {
    Hold,
    Release,
    Rollback,
}

/// What an order's body says; each operation asks for what it needs.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Said {
    /// Who gives it; believed on the socket only.
    actor: Option<String>,
    reason: Option<String>,
    /// Where a release is promoted to.
    channel: Option<ChannelName>,
    /// Only if the channel points there now; `null`: only if it points nowhere.
    #[serde(deserialize_with = "given")]
    expected: Option<Option<Version>>,
    /// Although gating checks fail.
    force: bool,
    /// What to take instead of a withdrawn release.
    replacement: Option<Version>,
    /// The sequence to accept; absent: the one that the origin shows now.
    sequence: Option<u64>,
    /// Whose token is revoked, by the issuer's name in the configuration.
    issuer: Option<String>,
    /// Which token; never the token itself.
    token_id: Option<String>,
}

/// A field that is there, be it `null`.
fn given<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Option<Version>>, D::Error> {
    Option::<Version>::deserialize(from).map(Some)
}

impl Said {
    /// What is too long to be written down is refused as what it is: the caller's mistake.
    fn check_lengths(&self) -> Result<(), Refusal> {
        for (what, text, most) in [
            ("actor", &self.actor, NewOrder::ACTOR_MAX),
            ("reason", &self.reason, NewOrder::REASON_MAX),
            ("token's id", &self.token_id, TOKEN_ID_MAX),
        ] {
            if text.as_ref().is_some_and(|text| text.len() > most) {
                return Err(Refusal::BadRequest(format!("the {what} is too long: at most {most} bytes")));
            }
        }
        Ok(())
    }
}

impl Operation {
    /// The operation that a path names; `None` where it names none.
    pub(super) fn of(segments: &[&str]) -> Option<Result<Self, Refusal>> {
        Some(match *segments {
            ["v1", "mirrors", name, verb] => {
                let verb = match verb {
                    "drain" => MirrorVerb::Drain,
                    "undrain" => MirrorVerb::Undrain,
                    "verify" => MirrorVerb::Verify,
                    "files" | "inventory" => return None,
                    _ => return Some(Err(no("operation", verb))),
                };
                mirror(name).map(|mirror| Self::Mirror(verb, mirror))
            }
            ["v1", "releases", name, version, verb] => {
                let verb = match verb {
                    "promote" => ReleaseVerb::Promote,
                    "withdraw" => ReleaseVerb::Withdraw,
                    "restore" => ReleaseVerb::Restore,
                    "gate" => return None,
                    _ => return Some(Err(no("operation", verb))),
                };
                let version = Version::parse(version).map_err(|_| no("release", version));
                product(name)
                    .and_then(|product| Ok(Self::Release(verb, ReleaseId { product, version: version? })))
            }
            ["v1", "channels", name, channel, verb] => {
                let verb = match verb {
                    "hold" => ChannelVerb::Hold,
                    "release" => ChannelVerb::Release,
                    "rollback" => ChannelVerb::Rollback,
                    _ => return Some(Err(no("operation", verb))),
                };
                let channel = ChannelName::new(channel).map_err(|_| no("channel", channel));
                product(name).and_then(|product| Ok(Self::Channel(verb, product, channel?)))
            }
            ["v1", "origin", "poll"] => Ok(Self::Poll),
            ["v1", "origin", "accept"] => Ok(Self::Accept),
            ["v1", "tokens", "revoke"] => Ok(Self::Revoke),
            _ => return None,
        })
    }

    /// What somebody needs to be to ask for it.
    fn role(&self) -> Role {
        match self {
            Self::Mirror(..) | Self::Accept | Self::Revoke => Role::Operate,
            Self::Release(..) | Self::Channel(..) | Self::Poll => Role::Release,
        }
    }

    /// What it asks of the writer; `None` for what is no order.
    fn wish(self, said: &Said) -> Result<Option<Wish>, Refusal> {
        let plain = |action| Ok(Some(Wish::Plain(action)));
        match self {
            Self::Mirror(MirrorVerb::Drain, mirror) => plain(Action::MirrorDrain { mirror }),
            Self::Mirror(MirrorVerb::Undrain, mirror) => plain(Action::MirrorUndrain { mirror }),
            Self::Mirror(MirrorVerb::Verify, mirror) => plain(Action::MirrorVerify { mirror }),
            Self::Release(ReleaseVerb::Promote, release) => {
                let channel = said.channel.clone();
                let channel =
                    channel.ok_or_else(|| Refusal::BadRequest("say to which channel".to_owned()))?;
                let expected = said.expected.clone();
                Ok(Some(Wish::Promote { release, channel, expected, force: said.force }))
            }
            Self::Release(ReleaseVerb::Withdraw, ReleaseId { product, version }) => {
                if said.reason.as_deref().is_none_or(|reason| reason.trim().is_empty()) {
                    return Err(Refusal::BadRequest("say the reason: visitors read it".to_owned()));
                }
                let replacement = said.replacement.clone();
                plain(Action::ReleaseWithdraw { product, version, replacement })
            }
            Self::Release(ReleaseVerb::Restore, ReleaseId { product, version }) => {
                plain(Action::ReleaseRestore { product, version })
            }
            Self::Channel(ChannelVerb::Hold, product, channel) => {
                plain(Action::ChannelHold { product, channel })
            }
            Self::Channel(ChannelVerb::Release, product, channel) => {
                plain(Action::ChannelRelease { product, channel })
            }
            Self::Channel(ChannelVerb::Rollback, product, channel) => {
                Ok(Some(Wish::Rollback { product, channel, expected: said.expected.clone() }))
            }
            Self::Accept => Ok(Some(Wish::AcceptOrigin(said.sequence))),
            Self::Revoke => {
                let given = |text: &Option<String>, what: &str| {
                    let text = text.clone().filter(|text| !text.is_empty());
                    text.ok_or_else(|| Refusal::BadRequest(format!("say {what}")))
                };
                let issuer = given(&said.issuer, "the issuer, by its name in the configuration")?;
                let token_id = given(&said.token_id, "the token's id, which `waypost token inspect` tells")?;
                if token_id.split('.').count() == 3 && token_id.starts_with("eyJ") {
                    let why = "that is a token, and its id is asked for: `waypost token inspect` tells it";
                    return Err(Refusal::BadRequest(why.to_owned()));
                }
                plain(Action::TokenRevoke { issuer, token_id })
            }
            Self::Poll => Ok(None),
        }
    }
}

impl Admin {
    pub(super) async fn operate(
        &self,
        operation: Operation,
        request: Request<Incoming>,
    ) -> Result<Response<Body>, Refusal> {
        let caller = self.door.admit(request.headers(), operation.role())?;
        let mut said = read(request).await?;
        let looks_again = matches!(operation, Operation::Accept);
        let Some(wish) = operation.wish(&said)? else { return self.poll().await };
        let actor = match caller {
            Caller::Token(name) => name,
            Caller::Local => local(said.actor.take().unwrap_or_default()),
        };
        let instruction = Instruction { actor, reason: said.reason.unwrap_or_default(), wish };
        match self.handle.order(instruction).await {
            Ok(order) => {
                if looks_again {
                    self.poll.notify_one();
                }
                Ok(answers::json(StatusCode::OK, &json!({ "order": shown(&order) })))
            }
            Err(refused) => Err(refused.into()),
        }
    }

    /// Has the origin looked at now; the answer comes when a look that began after the question was published.
    async fn poll(&self) -> Result<Response<Body>, Refusal> {
        let mut looks = self.status.looks.subscribe();
        let begun = looks.borrow_and_update().begun;
        self.poll.notify_one();
        let published = looks.wait_for(|looks| looks.published > begun);
        // The sender lives as long as the status.
        if timeout(POLL_DEADLINE, published).await.is_err() {
            let seconds = POLL_DEADLINE.as_secs();
            return Err(Refusal::TooLate(format!(
                "the origin was not read within {seconds} s; the look goes on, and /v1/releases tells how it ends"
            )));
        }
        self.report(Topic::Origin, "origin").await
    }
}

impl From<Refused> for Refusal {
    fn from(refused: Refused) -> Self {
        let text = refused.to_string();
        match refused {
            Refused::Unknown(_) => Self::NotFound(text),
            Refused::Forbidden(_) => Self::Conflict(text),
            Refused::Conflict(_) => Self::PreconditionFailed(text),
            Refused::NotDurable(_) | Refused::Stopping => Self::Unavailable(text),
        }
    }
}

/// Who is at the socket, by their own word. The names of the service and of the origin, who give orders as well, are
/// nobody else's.
fn local(name: String) -> String {
    match &*name {
        "" => "socket".to_owned(),
        name if is_reserved_actor(name) => format!("{name} (socket)"),
        _ => name,
    }
}

async fn read(request: Request<Incoming>) -> Result<Said, Refusal> {
    let body = timeout(BODY_DEADLINE, Limited::new(request.into_body(), BODY_MAX).collect()).await;
    let bad = |why: String| Refusal::BadRequest(why);
    let body = body.map_err(|_| bad("the body did not arrive in time".to_owned()))?;
    let body = body.map_err(|error| bad(format!("the body cannot be read: {error}")))?.to_bytes();
    if body.is_empty() {
        return Ok(Said::default());
    }
    // A list would be taken for the fields in their order.
    if !body.trim_ascii_start().starts_with(b"{") {
        return Err(bad("the body is not what it should be: a JSON object".to_owned()));
    }
    let said: Said = serde_json::from_slice(&body)
        .map_err(|error| bad(format!("the body is not what it should be: {error}")))?;
    said.check_lengths().map(|()| said)
}
