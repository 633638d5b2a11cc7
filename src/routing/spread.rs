//! How mirrors of the same nearness share their clients: a table of slots, looked up by a client's number.
//!
//! Each slot belongs to the mirror that wins weighted rendezvous hashing for it (Schindelhauer and Schomaker, "Weighted
//! Distributed Hash Tables", 2005), so a mirror that comes or goes moves only the slots that it wins or loses, and the
//! look-up costs the same whatever the number of mirrors (as in Maglev, NSDI 2016, section 3.4).

use crate::model::MirrorId;

use super::mix;

/// Slots of a table for few mirrors: shares are right to about 1.5 %.
const SLOTS: usize = 1 << 10;
/// Slots of a table for many mirrors.
const SLOTS_LARGE: usize = 1 << 14;
/// From how many mirrors on a table is large.
const LARGE_FROM: usize = 33;
/// How many slots are tried before all members are gone through.
const TRIES: u64 = 12;

/// A member of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Member {
    /// Which mirror.
    pub mirror: MirrorId,
    /// A number for its name.
    pub sticky: u64,
    /// Its share; never 0 here.
    pub weight: u32,
}

/// A table of slots.
#[derive(Debug)]
pub enum Spread {
    /// One mirror alone.
    Single(Member),
    /// Several.
    Table {
        /// The winner of each slot; a power of two of them.
        slots: Box<[MirrorId]>,
        /// All members.
        members: Box<[Member]>,
    },
}

impl Spread {
    /// Fills the table. `members` is not empty.
    pub fn new(members: &[Member]) -> Self {
        match members {
            [single] => Self::Single(*single),
            _ => {
                let count = if members.len() < LARGE_FROM { SLOTS } else { SLOTS_LARGE };
                let slots = (0..count as u64).map(|slot| winner(members.iter(), mix(slot + 1)));
                Self::Table { slots: slots.flatten().collect(), members: members.into() }
            }
        }
    }

    /// The mirror for a client: the same one as long as it is eligible and none that the client prefers to it becomes
    /// so. `None` where no member is eligible.
    #[inline]
    pub fn pick(&self, client: u64, eligible: impl Fn(MirrorId) -> bool) -> Option<MirrorId> {
        match self {
            Self::Single(single) => Some(single.mirror).filter(|m| eligible(*m)),
            Self::Table { slots, members } => {
                let mut at = client;
                for _ in 0..TRIES {
                    let mirror = slots[at as usize & (slots.len() - 1)];
                    if eligible(mirror) {
                        return Some(mirror);
                    }
                    at = mix(at.wrapping_add(0x9e37_79b9_7f4a_7c15));
                }
                winner(members.iter().filter(|m| eligible(m.mirror)), client)
            }
        }
    }
}

/// Weighted rendezvous: the member with the least −ln(u)/weight, u being uniform per member and key.
fn winner<'a>(members: impl Iterator<Item = &'a Member>, key: u64) -> Option<MirrorId> {
    let cost = |member: &Member| {
        let uniform = ((mix(member.sticky ^ key) >> 11) as f64 + 0.5) / (1u64 << 53) as f64;
        -uniform.ln() / f64::from(member.weight)
    };
    members.min_by(|a, b| cost(a).total_cmp(&cost(b))).map(|member| member.mirror)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn members(weights: &[u32]) -> Vec<Member> {
        let member = |(i, weight): (u16, &u32)| Member {
            mirror: MirrorId(i),
            sticky: mix(u64::from(i) + 99),
            weight: *weight,
        };
        (0..).zip(weights).map(member).collect()
    }

    fn shares(spread: &Spread, count: usize, eligible: impl Fn(MirrorId) -> bool + Copy) -> Vec<f64> {
        let mut hits = vec![0.0; count];
        for client in 0..40_000u64 {
            hits[spread.pick(mix(client), eligible).unwrap().index()] += 1.0 / 40_000.0;
        }
        hits
    }

    #[test]
    fn shares_follow_the_weights() {
        let spread = Spread::new(&members(&[100, 100, 200]));
        for (share, wanted) in shares(&spread, 3, |_| true).iter().zip([0.25, 0.25, 0.5]) {
            assert!((share - wanted).abs() < 0.05, "{share} {wanted}");
        }
    }

    #[test]
    fn a_mirror_that_goes_moves_only_its_own_clients() {
        let spread = Spread::new(&members(&[100; 5]));
        let gone = MirrorId(2);
        for client in (0..10_000).map(mix) {
            let before = spread.pick(client, |_| true).unwrap();
            let after = spread.pick(client, |m| m != gone).unwrap();
            assert!(if before == gone { after != gone } else { after == before });
        }
        let spread_out = shares(&spread, 5, |m| m != gone);
        assert!(
            spread_out.iter().enumerate().all(|(i, s)| i == 2 || (0.2..0.3).contains(s)),
            "{spread_out:?}"
        );
    }

    #[test]
    fn a_mirror_that_is_added_takes_its_share_and_moves_nobody_else() {
        let (four, five) = (Spread::new(&members(&[100; 4])), Spread::new(&members(&[100; 5])));
        let mut moved = 0;
        for client in (0..10_000).map(mix) {
            let (before, after) = (four.pick(client, |_| true), five.pick(client, |_| true));
            if before != after {
                assert_eq!(after, Some(MirrorId(4)));
                moved += 1;
            }
        }
        assert!((1_700..2_300).contains(&moved), "{moved}");
    }

    #[test]
    fn the_last_eligible_of_many_is_found() {
        let spread = Spread::new(&members(&[1; 500]));
        assert!((0..1_000).all(|c| spread.pick(mix(c), |m| m.0 == 77) == Some(MirrorId(77))));
        assert_eq!(spread.pick(1, |_| false), None);
    }
}
