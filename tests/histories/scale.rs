//! A large world: how long each step of the writer takes. Nothing is asserted about time; `WAYPOST_SCALE=200,50,200`
//! (mirrors, releases, assets of each) and `--nocapture` show where it goes.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::event::Reads;
use super::history::{History, Size};
use super::memory::Memory;
use waypost::store::Loaded;
use waypost::workers::fact::Fact;

/// Facts between two rounds.
const ROUND: usize = 32;

#[derive(Default)]
struct Times(BTreeMap<&'static str, (u32, Duration)>);

impl Times {
    fn time<T>(&mut self, what: &'static str, work: impl FnOnce() -> T) -> T {
        let began = Instant::now();
        let outcome = work();
        let (count, total) = self.0.entry(what).or_default();
        (*count, *total) = (*count + 1, *total + began.elapsed());
        outcome
    }
}

fn scale() -> (Size, usize) {
    let numbers = std::env::var("WAYPOST_SCALE").unwrap_or("20,10,70".into());
    let numbers: Vec<usize> = numbers.split(',').map(|number| number.parse().unwrap()).collect();
    let size = Size { mirrors: numbers[0], releases: numbers[1], assets: numbers[2] };
    (size, numbers.get(3).copied().unwrap_or(2000))
}

#[test]
fn a_large_world_is_folded_and_published() {
    let (size, facts) = scale();
    let mut times = Times::default();
    let mut history = History::new(size, 1, Memory::ram());
    for release in 0..size.releases {
        history.site.sources[release].listed = true;
        (0..size.mirrors).for_each(|mirror| history.fill(mirror, release));
    }
    let listing = history.site.listing(true);
    let (site, service) = (&history.site, &mut history.service);
    let now = service.now;
    times.time("fold an origin", || service.world.apply(Fact::Origin(listing), now));
    for mirror in 0..size.mirrors {
        times.time("probe target", || service.probe_begins(mirror, Reads::AtItsEnd, site));
        times.time("fold a probe", || service.probe_ends(mirror, site));
    }
    let mut hashed = 0;
    for mirror in (0..size.mirrors).cycle().take(facts * 2) {
        times.time("next work", || service.hash_begins(mirror, Reads::AtItsEnd, site));
        times.time("fold a hash", || service.hash_ends(0, false, site));
        hashed += 1;
        if hashed % ROUND == 0 {
            let moves = times.time("due moves", || service.world.due_moves(now));
            moves.into_iter().for_each(|due| service.carry_out(due));
            let effects = times.time("take effects", || service.world.take_effects());
            times.time("record in memory", || service.memory.record(&effects.observations));
            let snapshot = times.time("next snapshot", || service.world.next_snapshot(now));
            service.snapshot = snapshot.map(std::sync::Arc::new).or(service.snapshot.take());
            times.time("probe target", || service.probe_begins(mirror, Reads::AtItsEnd, site));
            times.time("fold a probe", || service.probe_ends(mirror, site));
        }
    }
    let loaded: Loaded = service.memory.load();
    assert_eq!(loaded.manifests.len(), size.releases);
    for (what, (count, total)) in times.0 {
        println!("{what:16} {count:7} × {:?}", total / count);
    }
}
