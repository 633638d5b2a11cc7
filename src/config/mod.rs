//! The configuration: one TOML file (and what it includes) to checked values.
//!
//! `values` is what the rest of the program sees: every field has its meaning, unit and default here, and nothing that
//! stands in it can be wrong. Sections are passed by value to the rooms that need them, never the whole.

mod values;

pub use values::*;
