//! IS IT THERE: what observations say of a mirror and of its copies. Pure folds; no I/O, no clock.

mod blocks;
mod copies;
mod standing;

pub use blocks::{BlockDigest, BlockHasher, Blocks, block_count, block_digest, block_range};
pub use copies::{Copies, CopyState, Evidence, Tally, Trouble, marks_per_release};
pub use standing::{Look, Standing, State};
