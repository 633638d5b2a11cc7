//! Who asks, and what they may do.

use arc_swap::ArcSwap;
use aws_lc_rs::constant_time::verify_slices_are_equal;
use http::HeaderMap;
use http::header::AUTHORIZATION;

use crate::config;
use crate::model::{Role, Sha256};

use super::Refusal;

/// The way in.
#[derive(Clone)]
pub enum Door {
    /// The socket in the state folder: whoever can open it may do everything.
    Socket,
    /// The admin listener: named tokens, as the configuration in force has them.
    Network(std::sync::Arc<ArcSwap<config::Admin>>),
}

/// Who gives an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Caller {
    /// Whoever opened the socket; their own word for who they are is taken.
    Local,
    /// The bearer of a token of this name.
    Token(String),
}

impl Door {
    /// Whether whoever sends these headers may do what needs `role`.
    pub(super) fn admit(&self, headers: &HeaderMap, role: Role) -> Result<Caller, Refusal> {
        let admin = match self {
            Self::Socket => return Ok(Caller::Local),
            Self::Network(admin) => admin.load(),
        };
        let given = bearer(headers);
        let named = given.and_then(|token| find(&admin.tokens, token));
        match named {
            Some(token) if token.role >= role => Ok(Caller::Token(token.name.clone())),
            Some(token) => Err(Refusal::Forbidden(format!(
                "the token {} has the role {}, and this needs {role}",
                token.name, token.role
            ))),
            None if given.is_none() && role == Role::Look && admin.open_look => Ok(Caller::Local),
            None if given.is_none() => Err(Refusal::Unauthorized(
                "this needs a token here: Authorization: Bearer …, or --token-file FILE".to_owned(),
            )),
            None => Err(Refusal::Unauthorized("this token is not known here".to_owned())),
        }
    }
}

/// The token of `Authorization: Bearer …` (RFC 6750 section 2.1).
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let text = headers.get(AUTHORIZATION)?.to_str().ok()?;
    // A scheme without a token is a token that is not known.
    let (scheme, token) = text.split_once(' ').unwrap_or((text, ""));
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// The entry of a token. Every entry is compared, each in constant time.
fn find<'a>(tokens: &'a [config::AdminToken], token: &str) -> Option<&'a config::AdminToken> {
    let hash = Sha256::of(token.as_bytes());
    let same = |known: &&config::AdminToken| {
        verify_slices_are_equal(known.sha256.as_bytes(), hash.as_bytes()).is_ok()
    };
    tokens.iter().filter(same).fold(None, |_, token| Some(token))
}
