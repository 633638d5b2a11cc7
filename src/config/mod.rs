//! The configuration: one TOML file (and what it includes) to checked values.
//!
//! `values` is what the rest of the program sees: every field has its meaning, unit and default here, and nothing that
//! stands in it can be wrong. Sections are passed by value to the rooms that need them, never the whole.
//!
//! Reading goes from the outside in: `load` (files) → `document` (tables over files) → one file per group of tables →
//! `reader` and `value` (keys and values, each knowing its line and column). A reader that meets something wrong notes
//! it and goes on, so that one run reports everything.

mod admin;
mod audit;
mod document;
mod entitlement;
mod gate;
mod issuer;
mod layout;
mod load;
mod mirror;
mod names;
mod network;
mod notify;
mod origin;
mod problem;
mod reader;
mod region;
mod release;
mod routing;
mod server;
mod sign;
mod source;
mod tickets;
mod tier;
mod value;
mod values;

pub use load::{Loaded, known_keys, load, parse, state_folder};
pub use problem::{Problem, Problems};
pub use values::*;
