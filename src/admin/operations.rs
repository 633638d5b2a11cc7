//! Operations: read with care, because a body is read here.

use std::time::Duration;

use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use serde::Deserialize;
use serde_json::json;
use tokio::time::timeout;

use crate::model::MirrorName;
use crate::store::Action;
use crate::workers::fact::{Instruction, Refused};

use super::{Access, Admin, Body, Refusal, answers, no};

/// Largest body of an order, in bytes.
const BODY_MAX: usize = 16 * 1024;
/// How long a body may take.
const BODY_DEADLINE: Duration = Duration::from_secs(10);

/// What an order's body says; both may be missing.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Said {
    actor: Option<String>,
    reason: Option<String>,
}

impl Admin {
    pub(super) async fn operate_mirror(
        &self,
        name: &str,
        verb: &str,
        request: Request<Incoming>,
    ) -> Result<Response<Body>, Refusal> {
        let mirror = MirrorName::new(name).map_err(|_| no("mirror", name))?;
        let action = match verb {
            "drain" => Action::MirrorDrain { mirror },
            "undrain" => Action::MirrorUndrain { mirror },
            "verify" => Action::MirrorVerify { mirror },
            _ => return Err(no("operation", verb)),
        };
        if self.access != Access::Operate {
            return Err(Refusal::Forbidden);
        }
        let said = read(request).await?;
        let instruction = Instruction {
            actor: said.actor.unwrap_or_else(|| "socket".to_owned()),
            reason: said.reason.unwrap_or_default(),
            action,
        };
        match self.handle.order(instruction).await {
            Ok(order) => Ok(answers::json(StatusCode::OK, &json!({ "order": order }))),
            Err(refused @ Refused::Unknown(_)) => Err(Refusal::NotFound(refused.to_string())),
            Err(refused @ (Refused::NotDurable(_) | Refused::Stopping)) => {
                Err(Refusal::Unavailable(refused.to_string()))
            }
        }
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
    serde_json::from_slice(&body).map_err(|error| bad(format!("the body is not what it should be: {error}")))
}
