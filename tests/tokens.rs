//! Tokens, tickets and keys of strangers: what is believed, and the reason for which everything else is not.
#![allow(clippy::unwrap_used, missing_docs)]

#[path = "tokens/ages.rs"]
mod ages;
#[path = "tokens/algorithms.rs"]
mod algorithms;
#[path = "tokens/answers.rs"]
mod answers;
#[path = "tokens/clock.rs"]
mod clock;
#[path = "tokens/guarded.rs"]
mod guarded;
#[path = "tokens/hostile.rs"]
mod hostile;
#[path = "tokens/issuers.rs"]
mod issuers;
#[path = "tokens/keys.rs"]
mod keys;
#[path = "tokens/listings.rs"]
mod listings;
#[path = "tokens/openssl.rs"]
mod openssl;
#[path = "tokens/remembered.rs"]
mod remembered;
#[path = "tokens/revoked.rs"]
mod revoked;
#[path = "tokens/rules.rs"]
mod rules;
#[path = "tokens/signer.rs"]
mod signer;
#[path = "support/site.rs"]
mod site;
#[path = "tokens/tickets.rs"]
mod tickets;
#[path = "tokens/waits.rs"]
mod waits;
#[path = "support/world.rs"]
mod world;
