//! Rankings: for every place where clients are, the mirrors in order of preference, computed ahead.
//!
//! The order depends on the configuration and the places alone, never on health, so a health change costs nothing
//! here. Mirrors of one ranking fall into groups of the same nearness: a group begins with the nearest mirror that is
//! left and takes in all that are at most `same_nearness` farther. Groups are cut over all mirrors, not over those that
//! happen to be up: a client stays with its mirror when another one of the group goes or comes back. Within a group,
//! those in the client's country form a tier of their own before the others; each tier shares its clients by weight.

use std::hash::{BuildHasher, BuildHasherDefault, Hash};
use std::num::NonZero;

use hashbrown::HashTable;
use rustc_hash::{FxHashMap, FxHashSet, FxHasher};

use crate::client::Place;
use crate::config::{Region, Routing};
use crate::model::{Direction, Location, MirrorId, RegionId};

use super::Mirrors;
use super::spread::{Member, Spread, pick_from, winner};

/// How many (place, mirror) pairs are ranked at most; with more, places that lie close together share a ranking.
const PAIRS_MAX: usize = 1 << 24;
/// Grid sizes in degrees that are tried in turn; 0: every place on its own.
const GRIDS: [f64; 6] = [0.0, 0.1, 0.25, 0.5, 1.0, 3.0];
/// Tiers that begin among this many of the nearest mirrors have a table. Clients get to the others only where none of
/// those may serve them.
const NEAR: usize = 64;
/// In place of a table's number: the tier has none.
const NO_TABLE: u32 = u32::MAX;

/// Mirrors from `start of the tier` to `end` in the order of a ranking.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Tier {
    /// Where it ends in the order (exclusive).
    pub end: u16,
    /// The nearness group that it belongs to.
    pub group: u16,
    /// Its table in [`Rankings`]; none where it is far.
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
    /// The largest weight of a mirror.
    heaviest: u32,
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

    /// How far the group goes that this one is the nearest of, in kilometres.
    fn reach(&self, routing: &Routing) -> f64 {
        (self.km * (1.0 + routing.same_nearness_percent / 100.0)).max(self.km + routing.same_nearness_km)
    }

    /// Whether this is as near as `nearest`, the first of a group that goes so far.
    fn within(&self, nearest: &Self, reach: f64) -> bool {
        (self.last_resort, self.other_region) == (nearest.last_resort, nearest.other_region)
            && self.km <= reach
    }
}

/// Puts mirrors in order and cuts the order into (end, group) tiers.
pub fn rank(nearness: &[Nearness], routing: &Routing) -> (Vec<MirrorId>, Vec<(usize, usize)>) {
    let near = |id: &MirrorId| &nearness[id.index()];
    let mut keys: Vec<u64> =
        (0..).map(MirrorId).zip(nearness).map(|(id, nearness)| key(nearness, id)).collect();
    keys.sort_unstable();
    let mut order: Vec<MirrorId> = keys.into_iter().map(|key| MirrorId(key as u16)).collect();
    let mut tiers = Vec::new();
    let (mut start, mut group) = (0, 0);
    while start < order.len() {
        let first = *near(&order[start]);
        let reach = first.reach(routing);
        let len = order[start..].iter().take_while(|id| near(id).within(&first, reach)).count();
        let members = &mut order[start..start + len];
        let at_home = members.iter().filter(|id| near(id).same_country).count();
        if at_home > 0 && at_home < len {
            // Stable: within the tiers the order by distance stays.
            members.sort_by_key(|id| !near(id).same_country);
            tiers.push((start + at_home, group));
        }
        start += len;
        tiers.push((start, group));
        group += 1;
    }
    (order, tiers)
}

/// A number that is less for whoever comes before: by class, then by distance to a fraction of a millimetre, then by id.
fn key(nearness: &Nearness, id: MirrorId) -> u64 {
    let class = u64::from(nearness.last_resort) << 63 | u64::from(nearness.other_region) << 62;
    // The bits of numbers that are not negative are in the order of their values.
    class | nearness.km.to_bits() >> 1 & !0xffff | u64::from(id.0)
}

/// Collects rankings, equal ones once.
#[derive(Default)]
struct Interner {
    rankings: Vec<Ranking>,
    ranking_ids: HashTable<u32>,
    spreads: Vec<Spread>,
    spread_ids: FxHashMap<Box<[MirrorId]>, u32>,
}

impl Interner {
    fn ranking(&mut self, mirrors: &Mirrors, (order, ends): (Vec<MirrorId>, Vec<(usize, usize)>)) -> u32 {
        let mut tiers = Vec::with_capacity(ends.len());
        let mut start = 0;
        for (end, group) in ends {
            let spread = if start < NEAR { self.spread(mirrors, &order[start..end]) } else { NO_TABLE };
            tiers.push(Tier { end: end as u16, group: group as u16, spread });
            start = end;
        }
        let ranking = Ranking { order: order.into(), tiers: tiers.into() };
        let id = self.rankings.len() as u32;
        let rankings = &self.rankings;
        let hash = |ranking: &Ranking| BuildHasherDefault::<FxHasher>::default().hash_one(ranking);
        let entry = self.ranking_ids.entry(
            hash(&ranking),
            |id| rankings[*id as usize] == ranking,
            |id| hash(&rankings[*id as usize]),
        );
        let id = *entry.or_insert(id).get();
        if id as usize == self.rankings.len() {
            self.rankings.push(ranking);
        }
        id
    }

    fn spread(&mut self, mirrors: &Mirrors, tier: &[MirrorId]) -> u32 {
        let mut key: Box<[MirrorId]> = tier.into();
        key.sort_unstable();
        let Self { spreads, spread_ids, .. } = self;
        *spread_ids.entry(key).or_insert_with_key(|members| {
            spreads.push(Spread::new(&members.iter().map(|id| member(mirrors, *id)).collect::<Vec<_>>()));
            spreads.len() as u32 - 1
        })
    }
}

fn member(mirrors: &Mirrors, id: MirrorId) -> Member {
    let mirror = mirrors.get(id);
    Member { mirror: id, sticky: mirror.sticky, weight: weight(mirror) }
}

/// A mirror's share. Among last resorts everybody counts the same.
fn weight(mirror: &super::Mirror) -> u32 {
    mirror.weight.max(1)
}

impl Rankings {
    /// Ranks all mirrors for all places. `mirrors` is not empty.
    pub fn new(mirrors: &Mirrors, places: &[Place], regions: &[Region], routing: &Routing) -> Self {
        let grid = GRIDS.into_iter().find(|grid| cells(places, *grid) * mirrors.len() <= PAIRS_MAX);
        let grid = grid.unwrap_or(GRIDS[GRIDS.len() - 1]);
        let mut by_cell: FxHashMap<Cell, u32> = FxHashMap::default();
        let mut snapped_places = Vec::new();
        let cell_of = |place: &Place| {
            let snapped = Place { location: place.location.map(|l| snap(l, grid)), ..*place };
            *by_cell.entry(cell(&snapped)).or_insert_with(|| {
                snapped_places.push(snapped);
                snapped_places.len() as u32 - 1
            })
        };
        let cell_of: Vec<u32> = places.iter().map(cell_of).collect();
        let ranked =
            on_half_of_the_cores(&snapped_places, |place| rank(&Nearness::of_all(mirrors, place), routing));
        let mut interner = Interner::default();
        let of_cell: Vec<u32> = ranked.into_iter().map(|ranked| interner.ranking(mirrors, ranked)).collect();
        let regions = Territories::new(regions);
        let standpoint = |(place, cell): (&Place, u32)| Standpoint {
            ranking: of_cell[cell as usize],
            region: regions.of(place),
        };
        Self {
            standpoints: places.iter().zip(cell_of).map(standpoint).collect(),
            rankings: interner.rankings.into(),
            spreads: interner.spreads.into(),
            heaviest: mirrors.iter().map(|(_, mirror)| weight(mirror)).max().unwrap_or(1),
        }
    }

    /// The ranking for a place, and the region it falls into.
    #[inline]
    pub fn at(&self, place: crate::client::PlaceId) -> (&Ranking, Option<RegionId>) {
        let standpoint = &self.standpoints[place.0 as usize];
        (&self.rankings[standpoint.ranking as usize], standpoint.region)
    }

    /// The mirror of a tier for a client: the same one as long as it is eligible and none that the client prefers to it
    /// becomes so. `members` are the tier's. `None` where none is eligible.
    #[inline]
    pub(super) fn pick(
        &self,
        mirrors: &Mirrors,
        tier: &Tier,
        members: &[MirrorId],
        client: u64,
        eligible: impl Fn(MirrorId) -> bool,
    ) -> Option<MirrorId> {
        let weight = |id| weight(mirrors.get(id));
        let found = match self.spreads.get(tier.spread as usize) {
            Some(spread) => spread.pick(client, &eligible, weight),
            None => pick_from(members, self.heaviest, client, &eligible, weight),
        };
        let among = || members.iter().filter(|id| eligible(**id)).map(|id| member(mirrors, *id));
        found.or_else(|| winner(among(), client))
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
    places.iter().map(snapped).collect::<FxHashSet<_>>().len()
}

fn snap(location: Location, grid: f64) -> Location {
    if grid == 0.0 {
        return location;
    }
    let to_grid = |degrees: f64, bound: f64| ((degrees / grid).round() * grid).clamp(-bound, bound);
    Location::new(to_grid(location.latitude(), 90.0), to_grid(location.longitude(), 180.0))
        .unwrap_or(location)
}

/// The operator's regions, as places fall into them.
struct Territories {
    by_country: FxHashMap<crate::model::Country, RegionId>,
    located: Vec<(RegionId, Direction)>,
}

impl Territories {
    fn new(regions: &[Region]) -> Self {
        let ids = || (0..).map(RegionId).zip(regions);
        // No two regions list the same country.
        let by_country =
            ids().flat_map(|(id, region)| region.countries.iter().map(move |c| (*c, id))).collect();
        let located = ids().filter_map(|(id, region)| Some((id, region.location?.direction()))).collect();
        Self { by_country, located }
    }

    /// The region that a network rule names, else the one that lists the country, else the one with the nearest location.
    fn of(&self, place: &Place) -> Option<RegionId> {
        let by_country = || place.country.and_then(|country| self.by_country.get(&country).copied());
        let by_distance = || {
            let from = place.location?.direction();
            let distances = self.located.iter().map(|(id, at)| (from.chord(at), *id));
            distances.min_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, id)| id)
        };
        place.region.or_else(by_country).or_else(by_distance)
    }
}

/// Works on all items, in their order; the other half of the cores answers requests meanwhile.
fn on_half_of_the_cores<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let threads = std::thread::available_parallelism().map_or(1, NonZero::get).div_ceil(2);
    let work = &work;
    std::thread::scope(|scope| {
        let start = |part| scope.spawn(move || <[T]>::iter(part).map(work).collect::<Vec<R>>());
        let running: Vec<_> = items.chunks(items.len().div_ceil(threads).max(1)).map(start).collect();
        running.into_iter().flat_map(|part| part.join().expect("ranking does not panic")).collect()
    })
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::routing::mix;

    /// So many mirrors at each of these longitudes on the equator.
    fn mirrors(groups: &[(usize, i32)]) -> Mirrors {
        let mut text =
            "[server]\nlisten = [\"[::]:0\"]\nstate = \"s\"\n[origin]\nurl = \"http://o.example/\"\n"
                .to_owned();
        let at = groups.iter().flat_map(|(count, longitude)| std::iter::repeat_n(longitude, *count));
        for (n, longitude) in at.enumerate() {
            text += &format!(
                "[[mirror]]\nname = \"m{n}\"\nurl = \"http://m{n}.example/\"\nlocation = [0, {longitude}]\n"
            );
        }
        Mirrors::new(
            &crate::config::parse(&text, std::path::Path::new("/w.toml")).unwrap().config.mirrors,
            Vec::new(),
        )
    }

    #[test]
    fn a_far_group_without_a_table_shares_its_clients_and_loses_only_those_of_a_mirror_that_goes() {
        let mirrors = mirrors(&[(NEAR, 0), (40, 90)]);
        let here = Place { location: Some(Location::new(0.0, 0.0).unwrap()), ..Place::default() };
        let rankings = Rankings::new(&mirrors, &[here], &[], &Routing::default());
        let (ranking, _) = rankings.at(crate::client::PlaceId(0));
        let far = ranking.tiers[1];
        assert_eq!((ranking.tiers.len(), far.spread), (2, NO_TABLE));
        let members = &ranking.order[NEAR..];
        let pick = |client, eligible: &dyn Fn(MirrorId) -> bool| {
            rankings.pick(&mirrors, &far, members, mix(client), eligible)
        };
        let mut chosen = HashSet::new();
        for client in 0..1000 {
            let before = pick(client, &|_| true).unwrap();
            assert!(members.contains(&before));
            let after = pick(client, &|id| id != members[7]);
            assert!(before == members[7] || after == Some(before));
            chosen.insert(before);
            assert_eq!(pick(client, &|id| id == members[9]), Some(members[9]));
            assert_eq!(pick(client, &|_| false), None);
        }
        assert_eq!(chosen.len(), 40);
    }

    #[test]
    fn the_order_is_by_class_then_distance_then_id() {
        let near =
            |last_resort, other_region, km| Nearness { last_resort, other_region, km, same_country: false };
        let sorted = [
            (near(false, false, 0.0), 9),
            (near(false, false, 1e-9), 8),
            (near(false, false, 1.5), 7),
            (near(false, false, 2.0), 6),
            (near(false, false, 2.000_000_1), 5),
            (near(false, false, 19_999.0), 4),
            (near(false, false, f64::INFINITY), 3),
            (near(false, true, 0.0), 2),
            (near(true, false, 0.0), 1),
            (near(true, false, 0.0), 4095),
            (near(true, true, 1.0), 0),
        ];
        assert!(sorted.map(|(nearness, id)| key(&nearness, MirrorId(id))).is_sorted());
    }
}
