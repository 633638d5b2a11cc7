//! What a site of entitled products is configured with, and tokens for it.

#![allow(dead_code, missing_docs, clippy::unwrap_used)]

use std::time::{SystemTime, UNIX_EPOCH};

use jsonwebtoken::{EncodingKey, Header, encode};
use serde_json::{Value, json};

/// The shared secret of the issuer `ci`.
pub const SECRET: &str = "a-shared-secret-of-the-issuer-ci-which-nobody-may-see";
/// The file beside the configuration that it is in.
pub const SECRET_FILE: &str = "ci.secret";
/// `agent` is for those to whom `ci` gives a token, of which the rules say no more.
pub const AGENT: &str = "
[[product]]
name = \"agent\"
access = \"entitled\"
[[issuer]]
name = \"ci\"
issuer = \"https://ci.example\"
audience = \"downloads.example\"
algorithms = [\"HS256\"]
secret_file = \"ci.secret\"
";
/// The rule that gives all of it.
pub const ALL: &str = "
[[entitlement]]
issuer = \"ci\"
allow = [{ product = \"agent\" }]
";

/// A token of `ci` with this id, good for an hour.
pub fn token(id: &str) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    signed(&json!({ "iss": "https://ci.example", "aud": "downloads.example", "exp": now + 3600, "jti": id }))
}

/// A token of `ci` that says this.
pub fn signed(claims: &Value) -> String {
    encode(&Header::default(), claims, &EncodingKey::from_secret(SECRET.as_bytes())).unwrap()
}

/// As it stands in a request.
pub fn bearer(token: &str) -> String {
    format!("Bearer {token}")
}
