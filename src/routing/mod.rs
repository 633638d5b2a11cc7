//! WHICH mirror, with reasons. Everything that depends only on the configuration is prepared ahead per place; what is
//! left for a request is a walk down a short ranking and one look into a table.

mod choose;
mod explain;
mod filter;
mod holders;
mod mirrors;
mod ranking;
mod spread;

pub use choose::{ALTERNATES_MAX, Ask, Availability, Pick, Router};
pub use explain::{Candidate, Verdict};
pub use holders::Holders;
pub use mirrors::{Mirror, Mirrors, write_path};
pub use ranking::{Nearness, Ranking, Rankings};

/// Scrambles a number so that all its bits depend on all bits of the input (the finaliser of SplitMix64).
#[inline]
pub(crate) fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}
