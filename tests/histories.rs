//! Never an unverified copy: over random histories no answer leads to a copy that was never hashed whole or that an
//! observation has contradicted since, nor to a mirror known to be down, nor anywhere that was not seen since the start,
//! nor to a withdrawn release; no channel moves but as it is promised; and when nothing hostile happens any more, everything comes right by itself.
//!
//! `WAYPOST_HISTORIES=1000000` asks for that many events, `WAYPOST_HISTORY=17` for one history again.
#![allow(clippy::unwrap_used, missing_docs)]

#[path = "histories/event.rs"]
mod event;
#[path = "histories/history.rs"]
mod history;
#[path = "histories/memory.rs"]
mod memory;
#[path = "histories/oracle.rs"]
mod oracle;
#[path = "histories/promises.rs"]
mod promises;
#[path = "histories/scale.rs"]
mod scale;
#[path = "histories/service.rs"]
mod service;
#[path = "histories/site.rs"]
mod site;

use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};

use event::{Chance, Event, Harm, Reads, shrink};
use history::{History, Size};
use memory::Memory;
use waypost::workers::fact::Fact;

/// Events of one history.
const EVENTS: usize = 250;

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().unwrap())
}

fn size(seed: u64) -> Size {
    let mut chance = Chance::new(seed ^ 0xa55e7);
    let assets = match chance.below(8) {
        0 => 64 + chance.below(16),
        1 => 17 + chance.below(6),
        _ => 1 + chance.below(5),
    };
    Size { mirrors: 3 + chance.below(3), releases: 1 + chance.below(3), assets }
}

fn events(seed: u64) -> Vec<Event> {
    let mut chance = Chance::new(seed);
    (0..EVENTS).map(|_| chance.event()).collect()
}

fn run(seed: u64, events: &[Event], memory: Memory) -> Result<(), String> {
    let lived = catch_unwind(AssertUnwindSafe(|| {
        let mut history = History::new(size(seed), seed, memory);
        for (at, event) in events.iter().enumerate() {
            history.step(event).map_err(|why| format!("after event {at}, {event:?}: {why}"))?;
        }
        history.calm_down().map_err(|why| format!("in the calm afterwards: {why}"))
    }));
    lived.unwrap_or_else(|_| Err("a panic".into()))
}

fn hold(seed: u64, memory: fn() -> Memory) {
    let events = events(seed);
    if let Err(why) = run(seed, &events, memory()) {
        let fails = |events: &[Event]| run(seed, events, Memory::ram()).is_err();
        let least = if fails(&events) { shrink(events, fails) } else { events };
        let last = run(seed, &least, memory()).unwrap_err();
        panic!("history {seed}, {:?}: {why}\n{least:#?}\nends with: {last}", size(seed));
    }
}

#[test]
fn no_history_leads_to_a_copy_that_is_not_known_to_be_right() {
    let wanted = number("WAYPOST_HISTORIES").unwrap_or(10_000);
    let seeds = match number("WAYPOST_HISTORY") {
        Some(seed) => seed..seed + 1,
        None => 0..wanted.div_ceil(EVENTS as u64),
    };
    seeds.for_each(|seed| hold(seed, Memory::ram));
}

#[test]
fn nor_does_any_with_the_real_store() {
    (1_000_000..1_000_004).for_each(|seed| hold(seed, Memory::disk));
}

/// A mirror with one release of two files, nothing looked at yet.
fn small() -> History {
    History::new(Size { mirrors: 1, releases: 1, assets: 2 }, 0, Memory::ram())
}

fn happen(history: &mut History, events: &[Event]) {
    for event in events {
        history.step(event).unwrap();
    }
}

#[test]
fn one_bad_file_does_not_keep_a_mirror_out() {
    let mut history = small();
    happen(&mut history, &[Event::File { mirror: 0, release: 0, asset: 0, harm: Harm::Truncate }]);
    history.half_a_day().unwrap();
    assert_eq!(history.leads_to("/tool/1.0/f1").len(), 1);
    assert!(history.leads_to("/tool/1.0/f0").is_empty());
}

#[test]
fn probes_come_to_every_copy_that_a_mirror_holds_before_they_repeat_one() {
    let mut history = History::new(Size { mirrors: 1, releases: 3, assets: 4 }, 0, Memory::ram());
    history.site.sources.iter_mut().for_each(|source| source.listed = true);
    let (listing, now) = (history.site.listing(true), history.service.now);
    history.service.world.apply(Fact::Origin(listing), now);
    history.fill(0, 2);
    history.half_a_day().unwrap();
    let mut probed = HashSet::new();
    for turn in 0..2 * 4 {
        let target = history.service.world.probe_target(&service::name(0)).unwrap();
        assert!(probed.insert(target.url.clone()), "{} again, at turn {turn}", target.url);
        let again = history.service.world.probe_target(&service::name(0)).unwrap();
        assert_eq!(again.url, target.url, "a question alone turns nothing");
        happen(
            &mut history,
            &[Event::ProbeBegins { mirror: 0, reads: Reads::AtItsEnd }, Event::ProbeEnds { mirror: 0 }],
        );
    }
    assert!(probed.iter().all(|url| !url.path().starts_with("/tool/1.1/")), "{probed:?}");
}

/// Both copies verified, the mirror in rotation.
fn settled() -> History {
    let mut history = small();
    history.half_a_day().unwrap();
    assert_eq!(history.leads_to("/tool/1.0/f0").len(), 1);
    history
}

#[test]
fn a_pass_that_was_asked_for_goes_on_after_a_restart() {
    let mut history = settled();
    happen(&mut history, &[Event::VerifyAll { mirror: 0 }, Event::Settle, Event::Crash]);
    // Corrupt behind its validator's back: only hashing can tell.
    happen(&mut history, &[Event::File { mirror: 0, release: 0, asset: 1, harm: Harm::CorruptUnseen }]);
    history.half_a_day().unwrap();
    assert!(history.leads_to("/tool/1.0/f1").is_empty());
}

#[test]
fn a_mirror_that_comes_back_and_breaks_is_not_asked_without_end() {
    let mut history = settled();
    let probe = [Event::ProbeBegins { mirror: 0, reads: Reads::AtItsEnd }, Event::ProbeEnds { mirror: 0 }];
    happen(&mut history, &[Event::HostDown { mirror: 0, how: 0 }]);
    (0..3).for_each(|_| happen(&mut history, &probe));
    happen(&mut history, &[Event::HostUp { mirror: 0 }]);
    (0..2).for_each(|_| happen(&mut history, &probe));
    let hash = Event::HashBegins { mirror: 0, reads: Reads::AtItsEnd };
    happen(&mut history, &[hash.clone(), Event::HashBreaks { which: 0 }]);
    assert!(!history.service.hash_begins(0, Reads::AtItsEnd, &history.site));
}

#[test]
fn what_was_hashed_before_an_outage_brings_no_mirror_back() {
    let mut history = settled();
    let probe = [Event::ProbeBegins { mirror: 0, reads: Reads::AtItsEnd }, Event::ProbeEnds { mirror: 0 }];
    let (down, up) = (Event::HostDown { mirror: 0, how: 0 }, Event::HostUp { mirror: 0 });
    happen(&mut history, std::slice::from_ref(&down));
    (0..3).for_each(|_| happen(&mut history, &probe));
    happen(&mut history, std::slice::from_ref(&up));
    (0..2).for_each(|_| happen(&mut history, &probe));
    // Coming back, a hash under way; then it goes away again, and comes back before the hash ends.
    happen(&mut history, &[Event::HashBegins { mirror: 0, reads: Reads::AtItsBeginning }, down]);
    happen(&mut history, &probe);
    happen(&mut history, &[up]);
    (0..2).for_each(|_| happen(&mut history, &probe));
    happen(&mut history, &[Event::HashEnds { which: 0 }, Event::Settle]);
    assert!(history.leads_to("/tool/1.0/f0").is_empty());
    history.half_a_day().unwrap();
    assert_eq!(history.leads_to("/tool/1.0/f0").len(), 1);
}

#[test]
fn a_missing_file_does_not_hold_up_the_others() {
    let mut history = small();
    let probe = [Event::ProbeBegins { mirror: 0, reads: Reads::AtItsEnd }, Event::ProbeEnds { mirror: 0 }];
    happen(&mut history, &[Event::File { mirror: 0, release: 0, asset: 0, harm: Harm::Remove }]);
    happen(&mut history, &probe);
    let hash = Event::HashBegins { mirror: 0, reads: Reads::AtItsEnd };
    happen(&mut history, &[hash.clone(), hash]);
    // The hash of a large file takes longer than the probes' interval.
    (0..2).for_each(|_| happen(&mut history, &probe));
    happen(&mut history, &[Event::HashEnds { which: 1 }, Event::Settle]);
    assert_eq!(history.leads_to("/tool/1.0/f1").len(), 1);
}

/// Nothing else to do, and a sample has just begun.
fn sampling(reads: Reads, harms: &[Event]) -> History {
    let mut history = settled();
    happen(&mut history, harms);
    happen(&mut history, &[Event::Clock { seconds: 120 }]);
    assert!(history.service.hash_begins(0, reads, &history.site), "a block is compared");
    history
}

#[test]
fn a_block_that_is_right_proves_nothing() {
    let mut history = sampling(Reads::AtItsBeginning, &[]);
    // A probe contradicts, and what was being compared is of before.
    let harm = |asset| Event::File { mirror: 0, release: 0, asset, harm: Harm::Page };
    happen(&mut history, &[harm(0), harm(1)]);
    happen(&mut history, &begin()[..2]);
    happen(&mut history, &[Event::HashEnds { which: 0 }, Event::Settle]);
    assert!(history.leads_to("/tool/1.0/f0").is_empty() && history.leads_to("/tool/1.0/f1").is_empty());
}

#[test]
fn a_block_that_is_wrong_takes_the_whole_release_there_out_until_it_is_hashed_again() {
    let harm = |asset| Event::File { mirror: 0, release: 0, asset, harm: Harm::CorruptUnseen };
    let mut history = sampling(Reads::AtItsEnd, &[harm(0), harm(1)]);
    happen(&mut history, &[Event::HashEnds { which: 0 }, Event::Settle]);
    assert!(history.leads_to("/tool/1.0/f0").is_empty() && history.leads_to("/tool/1.0/f1").is_empty());
    let restore = |asset| Event::File { mirror: 0, release: 0, asset, harm: Harm::Restore };
    happen(&mut history, &[restore(0), restore(1)]);
    history.half_a_day().unwrap();
    assert_eq!(history.leads_to("/tool/1.0/f0").len(), 1);
}

#[test]
fn a_sample_that_breaks_off_changes_nothing() {
    let mut history = sampling(Reads::AtItsEnd, &[]);
    happen(&mut history, &[Event::HashBreaks { which: 0 }, Event::Settle]);
    assert_eq!(history.leads_to("/tool/1.0/f0").len(), 1);
    assert_eq!(history.leads_to("/tool/1.0/f1").len(), 1);
}

// What random histories found, as short as it gets.

fn begin() -> [Event; 3] {
    let reads = Reads::AtItsBeginning;
    let (probe, end) = (Event::ProbeBegins { mirror: 0, reads }, Event::ProbeEnds { mirror: 0 });
    [probe, end, Event::HashBegins { mirror: 0, reads }]
}

#[test]
fn a_mirror_that_moves_is_another_mirror() {
    for moves in [Event::Reload { mirrors: 1, moves: Some(0) }, Event::Restart { mirrors: 1, moves: Some(0) }]
    {
        let mut history = settled();
        happen(&mut history, &[moves, Event::Settle]);
        happen(&mut history, &begin()[..2]);
        happen(&mut history, &[Event::Settle]);
        assert!(history.leads_to("/tool/1.0/f0").is_empty());
    }
}

#[test]
fn a_hash_of_a_release_that_was_retired_meanwhile_proves_nothing() {
    let mut history = small();
    happen(&mut history, &begin());
    let poll = Event::Poll { readable: true };
    let (unlist, publish) = (Event::Unlist { release: 0 }, Event::Publish { release: 0 });
    let rewrite = Event::Rewrite { release: 0 };
    happen(&mut history, &[unlist, poll.clone(), poll.clone(), rewrite, publish, poll]);
    happen(&mut history, &[Event::HashEnds { which: 0 }, Event::Settle]);
    assert!(history.leads_to("/tool/1.0/f0").is_empty());
}

#[test]
fn a_late_result_is_not_booked_under_an_assets_old_position() {
    let mut history = small();
    happen(&mut history, &begin());
    happen(&mut history, &[Event::HashEnds { which: 0 }, Event::VerifyAll { mirror: 0 }, Event::Settle]);
    assert_eq!(history.leads_to("/tool/1.0/f0").len(), 1);
    let harm = Harm::CorruptUnseen;
    happen(&mut history, &[Event::File { mirror: 0, release: 0, asset: 0, harm }]);
    let hash = Event::HashBegins { mirror: 0, reads: Reads::AtItsBeginning };
    // The file that is still unverified, then the one that is rechecked and was changed.
    happen(&mut history, &[hash.clone(), Event::HashEnds { which: 0 }, hash]);
    happen(&mut history, &[Event::Grow { release: 0, at: 0 }, Event::Poll { readable: true }]);
    happen(&mut history, &[Event::HashEnds { which: 0 }, Event::Settle]);
    assert!(history.leads_to("/tool/1.0/f0").is_empty());
}

#[test]
fn a_version_in_another_spelling_moves_no_release() {
    let mut history = settled();
    happen(&mut history, &[Event::Respell { release: 0 }, Event::Poll { readable: true }, Event::Settle]);
    assert_eq!(history.leads_to("/tool/v1.0/f0"), ["http://m0-0.example/tool/1.0/f0"]);
}

#[test]
fn a_hash_proves_nothing_that_a_probe_contradicted_meanwhile() {
    let mut history = small();
    happen(&mut history, &begin());
    happen(&mut history, &begin()[2..]);
    // Both files are being hashed; the next probe looks at the second.
    happen(&mut history, &[Event::File { mirror: 0, release: 0, asset: 1, harm: Harm::Page }]);
    happen(&mut history, &begin()[..2]);
    happen(&mut history, &[Event::HashEnds { which: 1 }, Event::HashEnds { which: 0 }, Event::Settle]);
    assert!(history.leads_to("/tool/1.0/f1").is_empty());
    assert_eq!(history.leads_to("/tool/1.0/f0").len(), 1);
}
