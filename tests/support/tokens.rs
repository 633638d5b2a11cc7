//! Tokens of an issuer that shares its secret, and the tables that believe them.

#![allow(dead_code, missing_docs, clippy::unwrap_used)]

use aws_lc_rs::hmac;
use data_encoding::BASE64URL_NOPAD;
use serde_json::{Value, json};

/// The issuer's secret, as its file has it.
pub const SECRET: &str = "a secret of thirty-two bytes or more, for tests";
pub const ISSUER: &str = "https://issuer.example";
pub const AUDIENCE: &str = "dl.example";
/// Far in the future: 2100-01-01.
pub const LATER: i64 = 4_102_444_800;

/// `agent` for whoever has a token of the issuer, with what `allow` says of it beside the product.
pub fn tables(allow: &str) -> String {
    format!(
        "[[issuer]]\nname = \"ci\"\nissuer = {ISSUER:?}\naudience = {AUDIENCE:?}\nalgorithms = [\"HS256\"]\nsecret_file = \"issuer.key\"\n\
         [[entitlement]]\nissuer = \"ci\"\nwhen = {{ team = \"acme*\" }}\nallow = [{{ product = \"agent\"{allow} }}]\n\
         [[product]]\nname = \"agent\"\naccess = \"entitled\"\n"
    )
}

/// The claims of a token that is believed.
pub fn claims() -> Value {
    json!({ "iss": ISSUER, "aud": AUDIENCE, "exp": LATER, "sub": "runner", "jti": "token-1", "team": "acme-build" })
}

/// The same with some of them replaced; `null` takes one out.
pub fn with(changes: Value) -> String {
    let mut claims = claims();
    for (name, value) in changes.as_object().unwrap() {
        match value {
            Value::Null => drop(claims.as_object_mut().unwrap().remove(name)),
            value => claims[name] = value.clone(),
        }
    }
    signed(&claims)
}

/// A token that is believed.
pub fn token() -> String {
    signed(&claims())
}

pub fn signed(claims: &Value) -> String {
    let part = |value: &Value| BASE64URL_NOPAD.encode(value.to_string().as_bytes());
    let message = format!("{}.{}", part(&json!({ "alg": "HS256", "typ": "JWT" })), part(claims));
    let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes());
    let seal = hmac::sign(&key, message.as_bytes());
    format!("{message}.{}", BASE64URL_NOPAD.encode(seal.as_ref()))
}
