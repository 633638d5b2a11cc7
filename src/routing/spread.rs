//! How mirrors of the same nearness share their clients: a table of places, some of them empty, each mirror at one place.
//!
//! A client's number leads to one place after the other, the same ones every time, and the first mirror there that may
//! serve it does (as in DxHash, Dong and Wang 2021): a mirror that comes or goes moves only its own clients. A look-up costs
//! the same whatever the number of mirrors, and a table is filled in one pass over its members, so that tens of thousands
//! of places on earth can each have their own. Where weights differ, a mirror takes a client that came to it only as often
//! as its weight is of the largest.

use crate::model::MirrorId;

use super::mix;

/// How many places are tried before all members are gone through.
const TRIES: usize = 16;
/// An empty place.
const EMPTY: MirrorId = MirrorId(u16::MAX);

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

/// A table of places.
#[derive(Debug)]
pub struct Spread {
    /// At most three quarters are taken, but for that of a single member.
    places: Box<[MirrorId]>,
    /// The largest weight; 0 where all are the same.
    heaviest: u32,
}

impl Spread {
    /// Puts each member at its place. `members` are in the order of their ids: one that is added at the end of the
    /// configuration takes a place that was empty, as long as the table need not grow.
    pub fn new(members: &[Member]) -> Self {
        let count = if members.len() < 2 { 1 } else { (members.len() * 4 / 3 + 1).next_power_of_two() };
        let mut places = vec![EMPTY; count].into_boxed_slice();
        for member in members {
            let mut attempts = (0..).map(|attempt| place(mix(member.sticky.wrapping_add(attempt)), count));
            // Some place is always empty.
            if let Some(free) = attempts.find(|place| places[*place] == EMPTY) {
                places[free] = member.mirror;
            }
        }
        let heaviest = members.iter().map(|member| member.weight).max().unwrap_or(0);
        let even = members.iter().all(|member| member.weight == heaviest);
        Self { places, heaviest: if even { 0 } else { heaviest } }
    }

    /// The mirror for a client: the same one as long as it is eligible and none that the client prefers to it becomes
    /// so. `None` where trying did not find it: then it is the [`winner`].
    #[inline]
    pub fn pick(
        &self,
        client: u64,
        eligible: impl Fn(MirrorId) -> bool,
        weight: impl Fn(MirrorId) -> u32,
    ) -> Option<MirrorId> {
        pick_from(&self.places, self.heaviest, client, eligible, weight)
    }
}

/// The same where there is no table and each mirror is at its position among the members: a change of the configuration
/// moves more clients.
#[inline]
pub fn pick_from(
    places: &[MirrorId],
    heaviest: u32,
    client: u64,
    eligible: impl Fn(MirrorId) -> bool,
    weight: impl Fn(MirrorId) -> u32,
) -> Option<MirrorId> {
    let taken_by = |at: u64| {
        let mirror = places[place(at, places.len())];
        let takes = |mirror| heaviest == 0 || takes(at, weight(mirror), heaviest);
        Some(mirror).filter(|mirror| *mirror != EMPTY && eligible(*mirror) && takes(*mirror))
    };
    match taken_by(client) {
        None => try_on(client, taken_by),
        taken => taken,
    }
}

/// The tries after the first. On their own, because a compiler that unrolls them mixes the numbers of all of them ahead.
#[cold]
fn try_on(client: u64, taken_by: impl Fn(u64) -> Option<MirrorId>) -> Option<MirrorId> {
    let next = |at: &u64| Some(mix(at.wrapping_add(0x9e37_79b9_7f4a_7c15)));
    std::iter::successors(next(&client), next).take(TRIES - 1).find_map(taken_by)
}

/// The place that a number leads to, by its lower half.
#[inline]
fn place(number: u64, count: usize) -> usize {
    (((number & 0xffff_ffff) * count as u64) >> 32) as usize
}

/// Whether a mirror takes the client that came to it by this number, by its upper half.
#[inline]
fn takes(number: u64, weight: u32, heaviest: u32) -> bool {
    (number >> 32) * u64::from(heaviest) < u64::from(weight) << 32
}

/// The member with the least −ln(u)/weight, u being uniform per member and client: weighted rendezvous hashing
/// (Schindelhauer and Schomaker, "Weighted Distributed Hash Tables", 2005). Costs a look at every member.
pub fn winner(members: impl Iterator<Item = Member>, client: u64) -> Option<MirrorId> {
    let cost = |member: &Member| {
        let uniform = ((mix(member.sticky ^ client) >> 11) as f64 + 0.5) / (1u64 << 53) as f64;
        -uniform.ln() / f64::from(member.weight)
    };
    let costs = members.map(|member| (cost(&member), member.mirror));
    costs.min_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, mirror)| mirror)
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

    /// As a request picks.
    fn pick(members: &[Member], client: u64, eligible: impl Fn(MirrorId) -> bool) -> Option<MirrorId> {
        let weight = |id: MirrorId| members[id.index()].weight;
        let found = Spread::new(members).pick(client, &eligible, weight);
        found.or_else(|| winner(members.iter().copied().filter(|m| eligible(m.mirror)), client))
    }

    fn shares(members: &[Member], eligible: impl Fn(MirrorId) -> bool + Copy) -> Vec<f64> {
        let mut hits = vec![0.0; members.len()];
        for client in 0..40_000u64 {
            hits[pick(members, mix(client), eligible).unwrap().index()] += 1.0 / 40_000.0;
        }
        hits
    }

    #[test]
    fn shares_follow_the_weights() {
        for (share, wanted) in shares(&members(&[100, 100, 200]), |_| true).iter().zip([0.25, 0.25, 0.5]) {
            assert!((share - wanted).abs() < 0.02, "{share} {wanted}");
        }
        // One in a thousand: most clients are not taken within the tries.
        let uneven: Vec<u32> = std::iter::once(1000).chain([1; 100]).collect();
        let uneven = shares(&members(&uneven), |_| true);
        assert!((uneven[0] - 1000.0 / 1100.0).abs() < 0.02, "{}", uneven[0]);
        let even = shares(&members(&[7; 50]), |_| true);
        assert!(even.iter().all(|share| (share - 0.02).abs() < 0.005), "{even:?}");
    }

    #[test]
    fn a_mirror_that_goes_moves_only_its_own_clients() {
        let members = members(&[100, 10, 100, 50, 100]);
        let gone = MirrorId(2);
        for client in (0..10_000).map(mix) {
            let before = pick(&members, client, |_| true).unwrap();
            let after = pick(&members, client, |m| m != gone).unwrap();
            assert!(if before == gone { after != gone } else { after == before });
        }
        let spread_out = shares(&members, |m| m != gone);
        let due = [100.0, 10.0, 0.0, 50.0, 100.0].map(|weight| weight / 260.0);
        assert!(spread_out.iter().zip(due).all(|(share, due)| (share - due).abs() < 0.02), "{spread_out:?}");
    }

    #[test]
    fn a_mirror_that_is_added_takes_its_share_and_moves_nobody_else() {
        let (four, five) = (members(&[100; 4]), members(&[100; 5]));
        let mut moved = 0;
        for client in (0..10_000).map(mix) {
            let (before, after) = (pick(&four, client, |_| true), pick(&five, client, |_| true));
            if before != after {
                assert_eq!(after, Some(MirrorId(4)));
                moved += 1;
            }
        }
        assert!((1_700..2_300).contains(&moved), "{moved}");
    }

    #[test]
    fn without_a_table_shares_are_as_even_and_a_mirror_that_goes_moves_only_its_own_clients() {
        let ids: Vec<MirrorId> = (0..10).map(MirrorId).collect();
        let mut hits = [0; 10];
        for client in (0..10_000).map(mix) {
            let before = pick_from(&ids, 0, client, |_| true, |_| 1).unwrap();
            let after = pick_from(&ids, 0, client, |m| m.0 != 3, |_| 1);
            assert!(before.0 == 3 || after == Some(before));
            hits[before.index()] += 1;
        }
        assert!(hits.iter().all(|hits| (850..1150).contains(hits)), "{hits:?}");
    }

    #[test]
    fn the_last_eligible_of_many_is_found() {
        let members = members(&[1; 500]);
        assert!((0..100).all(|c| pick(&members, mix(c), |m| m.0 == 77) == Some(MirrorId(77))));
        assert_eq!(pick(&members, 1, |_| false), None);
    }
}
