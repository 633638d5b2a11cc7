//! IS IT THERE: what observations say of a mirror and of its copies. Pure folds; no I/O, no clock.

mod blocks;
mod copies;
mod standing;

pub use blocks::Blocks;
pub use copies::{Copies, CopyState, Evidence, MARKS_MAX, Tally, Trouble};
pub use standing::{Look, Standing, State};
