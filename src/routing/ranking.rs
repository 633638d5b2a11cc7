//! Rankings: for every place where clients are, the mirrors in order of preference, computed ahead.
//!
//! The order depends on the configuration and the places alone, never on health, so a health change costs nothing
//! here. Mirrors of one ranking fall into groups of the same nearness: a group begins with the nearest mirror that is
//! left and takes in all that are at most `same_nearness` farther. Groups are cut over all mirrors, not over those that
//! happen to be up: a client stays with its mirror when another one of the group goes or comes back. Within a group,
//! those in the client's country form a tier of their own before the others; each tier shares its clients by weight.

use std::collections::HashMap;

use crate::client::Place;
use crate::config::{Region, Routing};
use crate::model::{Direction, Location, MirrorId, RegionId};

use super::Mirrors;
use super::spread::{Member, Spread};

/// How many (place, mirror) pairs are ranked at most; with more, places that lie close together share a ranking.
const PAIRS_MAX: usize = 1 << 24;
/// Grid sizes in degrees that are tried in turn; 0: every place on its own.
const GRIDS: [f64; 6] = [0.0, 0.1, 0.25, 0.5, 1.0, 3.0];

/// Mirrors from `start of the tier` to `end` in the order of a ranking.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Tier {
    /// Where it ends in the order (exclusive).
    pub end: u16,
    /// The nearness group that it belongs to.
    pub group: u16,
    /// Its table in [`Rankings`].
    spread: u32,
}

/// The mirrors in order of preference for one place.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Ranking {
    /// All mirrors.
    pub order: Box<[MirrorId]>,
    /// How the order falls into tiers.
    pub tiers: Box<[Tier]>,
}

/// A place as answers need it.
#[derive(Debug, Clone, Copy)]
struct Standpoint {
    ranking: u32,
    region: Option<RegionId>,
}

/// The rankings of all places.
#[derive(Debug)]
pub struct Rankings {
    standpoints: Box<[Standpoint]>,
    rankings: Box<[Ranking]>,
    spreads: Box<[Spread]>,
}

/// How near a mirror is to a place.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Nearness {
    /// Only if there is nothing else (weight 0).
    pub last_resort: bool,
    /// Not in the region that a network rule named for the place.
    pub other_region: bool,
    /// Kilometres; infinite where the place or the mirror has no location.
    pub km: f64,
    /// In the client's country.
    pub same_country: bool,
}

impl Nearness {
    /// Of every mirror, seen from a place; indexed by mirror.
    pub fn of_all(mirrors: &Mirrors, place: &Place) -> Vec<Self> {
        let from = place.location.map(|l| l.direction());
        let km = |to: Option<Direction>| match (from, to) {
            (Some(from), Some(to)) => from.distance_km(&to),
            _ => f64::INFINITY,
        };
        // Among last resorts, or in the named region, an anycast mirror is as near as the nearest one there.
        let class = |m: &super::Mirror| (m.weight == 0, place.region.is_some() && m.region != place.region);
        let mut nearest = [[f64::INFINITY; 2]; 2];
        for (_, mirror) in mirrors.iter().filter(|(_, m)| !m.anycast) {
            let (last_resort, other_region) = class(mirror);
            let nearest = &mut nearest[usize::from(last_resort)][usize::from(other_region)];
            *nearest = nearest.min(km(mirror.direction));
        }
        let of = |m: &super::Mirror| {
            let (last_resort, other_region) = class(m);
            let nearest = nearest[usize::from(last_resort)][usize::from(other_region)];
            // With nothing to compare to, an anycast mirror is here.
            let nearest = if from.is_some() && nearest.is_infinite() { 0.0 } else { nearest };
            Self {
                last_resort,
                other_region,
                km: if m.anycast { nearest } else { km(m.direction) },
                same_country: place.country.is_some() && m.country == place.country,
            }
        };
        mirrors.iter().map(|(_, mirror)| of(mirror)).collect()
    }

    /// Whether this is as near as `nearest`, the first of a group.
    fn within(&self, nearest: &Self, routing: &Routing) -> bool {
        let reach = (nearest.km * (1.0 + routing.same_nearness_percent / 100.0))
            .max(nearest.km + routing.same_nearness_km);
        (self.last_resort, self.other_region) == (nearest.last_resort, nearest.other_region)
            && self.km <= reach
    }
}

/// Puts mirrors in order and cuts the order into (end, group) tiers.
pub fn rank(nearness: &[Nearness], routing: &Routing) -> (Vec<MirrorId>, Vec<(usize, usize)>) {
    let near = |id: &MirrorId| &nearness[id.index()];
    let class = |n: &Nearness| (n.last_resort, n.other_region);
    let mut order: Vec<MirrorId> = (0..nearness.len() as u16).map(MirrorId).collect();
    order.sort_by(|a, b| {
        let (x, y) = (near(a), near(b));
        class(x).cmp(&class(y)).then(x.km.total_cmp(&y.km)).then(a.cmp(b))
    });
    let mut tiers = Vec::new();
    let (mut start, mut group) = (0, 0);
    while start < order.len() {
        let first = *near(&order[start]);
        let len = order[start..].iter().take_while(|id| near(id).within(&first, routing)).count();
        let members = &mut order[start..start + len];
        // Stable: within the tiers the order by distance stays.
        members.sort_by_key(|id| !near(id).same_country);
        let at_home = members.iter().filter(|id| near(id).same_country).count();
        if at_home > 0 && at_home < len {
            tiers.push((start + at_home, group));
        }
        start += len;
        tiers.push((start, group));
        group += 1;
    }
    (order, tiers)
}

/// Collects rankings, equal ones once.
#[derive(Default)]
struct Interner {
    rankings: Vec<Ranking>,
    ranking_ids: HashMap<Ranking, u32>,
    spreads: Vec<Spread>,
    spread_ids: HashMap<Vec<MirrorId>, u32>,
}

impl Interner {
    fn ranking(&mut self, mirrors: &Mirrors, place: &Place, routing: &Routing) -> u32 {
        let (order, ends) = rank(&Nearness::of_all(mirrors, place), routing);
        let mut tiers = Vec::with_capacity(ends.len());
        let mut start = 0;
        for (end, group) in ends {
            let spread = self.spread(mirrors, &order[start..end]);
            tiers.push(Tier { end: end as u16, group: group as u16, spread });
            start = end;
        }
        let ranking = Ranking { order: order.into(), tiers: tiers.into() };
        if let Some(id) = self.ranking_ids.get(&ranking) {
            return *id;
        }
        let id = self.rankings.len() as u32;
        self.rankings.push(ranking.clone());
        self.ranking_ids.insert(ranking, id);
        id
    }

    fn spread(&mut self, mirrors: &Mirrors, tier: &[MirrorId]) -> u32 {
        let mut key = tier.to_vec();
        key.sort_unstable();
        if let Some(id) = self.spread_ids.get(&key) {
            return *id;
        }
        let member = |id: &MirrorId| {
            let mirror = mirrors.get(*id);
            // Among last resorts everybody counts the same.
            Member { mirror: *id, sticky: mirror.sticky, weight: mirror.weight.max(1) }
        };
        let id = self.spreads.len() as u32;
        self.spreads.push(Spread::new(&key.iter().map(member).collect::<Vec<_>>()));
        self.spread_ids.insert(key, id);
        id
    }
}

impl Rankings {
    /// Ranks all mirrors for all places. `mirrors` is not empty.
    pub fn new(mirrors: &Mirrors, places: &[Place], regions: &[Region], routing: &Routing) -> Self {
        let grid = GRIDS.into_iter().find(|grid| cells(places, *grid) * mirrors.len() <= PAIRS_MAX);
        let grid = grid.unwrap_or(GRIDS[GRIDS.len() - 1]);
        let mut interner = Interner::default();
        let mut by_cell: HashMap<Cell, u32> = HashMap::new();
        let standpoint = |place: &Place| {
            let snapped = Place { location: place.location.map(|l| snap(l, grid)), ..*place };
            let ranking = *by_cell
                .entry(cell(&snapped))
                .or_insert_with(|| interner.ranking(mirrors, &snapped, routing));
            Standpoint { ranking, region: region_of(place, regions) }
        };
        let standpoints = places.iter().map(standpoint).collect();
        Self { standpoints, rankings: interner.rankings.into(), spreads: interner.spreads.into() }
    }

    /// The ranking for a place, and the region it falls into.
    #[inline]
    pub fn at(&self, place: crate::client::PlaceId) -> (&Ranking, Option<RegionId>) {
        let standpoint = &self.standpoints[place.0 as usize];
        (&self.rankings[standpoint.ranking as usize], standpoint.region)
    }

    /// The table of a tier.
    #[inline]
    pub(super) fn spread(&self, tier: &Tier) -> &Spread {
        &self.spreads[tier.spread as usize]
    }

    /// How many different rankings there are.
    pub fn len(&self) -> usize {
        self.rankings.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.rankings.is_empty()
    }
}

/// What a ranking depends on, with coordinates as whole numbers so that it can be a key.
type Cell = (Option<(i32, i32)>, Option<crate::model::Country>, Option<RegionId>);

fn cell(place: &Place) -> Cell {
    let millionths = |degrees: f64| (degrees * 1e6).round() as i32;
    let at = place.location.map(|l| (millionths(l.latitude()), millionths(l.longitude())));
    (at, place.country, place.region)
}

fn cells(places: &[Place], grid: f64) -> usize {
    let snapped = |place: &Place| cell(&Place { location: place.location.map(|l| snap(l, grid)), ..*place });
    places.iter().map(snapped).collect::<std::collections::HashSet<_>>().len()
}

fn snap(location: Location, grid: f64) -> Location {
    if grid == 0.0 {
        return location;
    }
    let to_grid = |degrees: f64, bound: f64| ((degrees / grid).round() * grid).clamp(-bound, bound);
    Location::new(to_grid(location.latitude(), 90.0), to_grid(location.longitude(), 180.0))
        .unwrap_or(location)
}

/// The operator's region that a place falls into: the one that a network rule names, else the one that lists the
/// country, else the one with the nearest location.
fn region_of(place: &Place, regions: &[Region]) -> Option<RegionId> {
    let ids = || (0..).map(RegionId).zip(regions);
    let by_country = || place.country.and_then(|c| ids().find(|(_, r)| r.countries.contains(&c)));
    let by_distance = || {
        let from = place.location?;
        let located = ids().filter_map(|(id, r)| Some((id, from.distance_km(&r.location?))));
        located.min_by(|a, b| a.1.total_cmp(&b.1)).map(|(id, _)| id)
    };
    place.region.or_else(|| by_country().map(|(id, _)| id)).or_else(by_distance)
}
