//! See the room's files.

pub mod manifest;
