use super::*;
use proptest::prelude::*;

const NOW: Timestamp = Timestamp::from_millis(1_000_000);
const PACE: Duration = Duration::from_secs(15);
const MARK: Fingerprint = Fingerprint(7);

fn whole(assets: AssetIndex) -> Copies {
    let mut copies = Copies::unknown(assets);
    (0..assets).for_each(|asset| copies.verify(asset, MARK, NOW));
    copies
}

#[test]
fn a_release_is_complete_when_its_last_copy_is_verified() {
    for assets in [1, 63, 64, 65, 200] {
        let mut copies = Copies::unknown(assets);
        for asset in (0..assets).rev() {
            assert!(!copies.is_complete());
            copies.verify(asset, MARK, NOW);
        }
        assert!(copies.is_complete());
        assert_eq!(copies.tally(), Tally { verified: assets.into(), ..Tally::default() });
    }
}

#[test]
fn a_release_keeps_the_moment_when_it_first_became_whole_until_assets_are_added() {
    let later = NOW.after(PACE);
    let mut copies = whole(2);
    assert_eq!(copies.completed_at(), Some(NOW));
    copies.fail(1, CopyFault::WrongDigest, None, NOW, PACE);
    copies.set_pending();
    assert_eq!(copies.completed_at(), Some(NOW));
    (0..2).for_each(|asset| copies.verify(asset, MARK, later));
    assert_eq!(copies.completed_at(), Some(NOW));
    assert_eq!(copies.moved(&[1, 0], 2).completed_at(), Some(NOW), "other labels, the same assets");
    let mut grown = copies.moved(&[0, 1], 3);
    assert_eq!(grown.completed_at(), None);
    grown.verify(2, MARK, later);
    assert_eq!(grown.completed_at(), Some(later));
    let read = Copies::from_bytes(&grown.to_bytes(), 3).unwrap();
    assert_eq!(read.completed_at(), Some(later));
}

#[test]
fn the_verified_copies_are_counted_through() {
    for assets in [1, 64, 130] {
        let mut copies = whole(assets);
        assert!((0..assets).all(|n| copies.nth_held(n) == Some(n)) && copies.nth_held(assets).is_none());
        copies.fail(assets / 2, CopyFault::Missing, None, NOW, PACE);
        let counted: Vec<_> = (0..assets).map_while(|n| copies.nth_held(n)).collect();
        assert_eq!(counted, copies.held().collect::<Vec<_>>());
        assert_eq!(copies.nth_held(assets - 1), None);
    }
}

#[test]
fn a_corrupt_copy_is_out_at_once_and_tried_again_ever_later() {
    let mut copies = whole(3);
    copies.fail(1, CopyFault::WrongDigest, Some(Evidence::default()), NOW, PACE);
    assert_eq!((copies.holds(1), copies.state(1)), (false, CopyState::Corrupt));
    assert_eq!((copies.holds(0), copies.holds(2)), (true, true));
    assert_eq!(copies.next_pending(NOW, |_| false), None);
    assert_eq!(copies.next_retry(NOW, |_| false), Some(NOW.after(PACE)));
    let later = NOW.after(PACE);
    assert_eq!(copies.next_pending(later, |_| false), Some(1));
    copies.fail(1, CopyFault::WrongDigest, None, later, PACE);
    assert_eq!(copies.next_retry(later, |_| false), Some(later.after(PACE * 2)));
    (0..40).for_each(|_| copies.fail(1, CopyFault::WrongDigest, None, later, PACE));
    assert_eq!(copies.next_retry(later, |_| false), Some(later.after(RETRY_MAX)));
    copies.verify(1, MARK, later);
    assert!(copies.is_complete());
}

#[test]
fn a_clock_that_goes_back_delays_no_retry_and_no_pass() {
    let mut copies = whole(2);
    copies.fail(1, CopyFault::WrongDigest, None, NOW, PACE);
    let before = Timestamp::from_millis(NOW.as_millis() - 86_400_000);
    assert_eq!(copies.next_pending(before, |_| false), Some(1));
    assert_eq!(copies.next_retry(before, |_| false), Some(before));
    assert!(copies.is_stale(before, PACE) && !copies.is_stale(before, RETRY_MAX * 25));
}

#[test]
fn a_copy_that_is_being_hashed_is_not_waited_for() {
    let mut copies = whole(2);
    copies.fail(1, CopyFault::WrongDigest, None, NOW, PACE);
    assert_eq!(copies.next_retry(NOW, |asset| asset == 1), None);
}

#[test]
fn a_mirror_that_cannot_be_reached_takes_back_nothing_it_served() {
    let mut copies = whole(2);
    let seen = Evidence { detail: "other bytes".into(), ..Evidence::default() };
    copies.fail(0, CopyFault::WrongDigest, Some(seen.clone()), NOW, PACE);
    let later = NOW.after(PACE);
    copies.fail(0, CopyFault::Timeout, Some(Evidence::default()), later, PACE);
    assert_eq!(copies.state(0), CopyState::Corrupt);
    let (_, trouble) = copies.trouble().next().unwrap();
    assert_eq!((trouble.since, trouble.evidence.as_deref()), (NOW, Some(&seen)));
    assert_eq!(trouble.retry_at, later.after(PACE * 2));
}

#[test]
fn a_mirror_that_cannot_be_reached_contradicts_nothing() {
    let mut copies = whole(2);
    copies.fail(0, CopyFault::Timeout, None, NOW, PACE);
    assert!(copies.is_complete());
    let mut copies = Copies::unknown(2);
    copies.fail(0, CopyFault::Timeout, None, NOW, PACE);
    assert_eq!(copies.state(0), CopyState::Pending);
    assert_eq!(copies.next_pending(NOW, |_| false), Some(1));
}

#[test]
fn a_release_that_is_not_there_is_asked_for_by_a_few_copies_only() {
    let mut copies = Copies::unknown(1000);
    for asset in 0..ABSENT_AFTER as u32 {
        assert_eq!(copies.next_pending(NOW, |_| false), Some(asset));
        copies.fail(asset, CopyFault::Missing, None, NOW, PACE);
    }
    assert_eq!(copies.next_pending(NOW, |_| false), None);
    copies.retry_missing(NOW);
    assert_eq!(copies.next_pending(NOW, |a| a < 3), Some(3));
    copies.verify(3, MARK, NOW);
    copies.fail(0, CopyFault::Missing, None, NOW, PACE);
    assert!(copies.next_pending(NOW, |a| a < 16).is_some_and(|a| a == 16));
}

#[test]
fn a_pass_hashes_every_verified_copy_once_and_keeps_it_in_rotation() {
    let mut copies = whole(3);
    assert!(copies.is_stale(NOW.after(PACE), PACE) && !copies.is_stale(NOW, PACE));
    copies.begin_pass();
    let later = NOW.after(PACE);
    for asset in 0..3 {
        assert_eq!(copies.next_of_pass(later), Some(asset));
        assert!(copies.is_complete());
        copies.verify(asset, MARK, later);
    }
    assert_eq!(copies.next_of_pass(later), None);
    assert!(!copies.is_stale(later, PACE));
}

#[test]
fn a_copy_that_cannot_be_read_is_passed_over_and_stays_in_rotation() {
    let mut copies = whole(2);
    copies.begin_pass();
    for asset in 0..2 {
        assert_eq!(copies.next_of_pass(NOW), Some(asset));
        copies.fail(asset, CopyFault::Broken, None, NOW, PACE);
    }
    assert_eq!(copies.next_of_pass(NOW), None);
    assert!(copies.is_complete());
}

#[test]
fn copies_of_a_release_that_never_becomes_whole_grow_old_as_well() {
    let mut copies = Copies::unknown(2);
    copies.verify(0, MARK, NOW);
    assert!(copies.is_stale(NOW.after(PACE), PACE));
}

#[test]
fn a_release_that_grows_keeps_what_was_verified_wherever_it_stands_now() {
    let mut copies = whole(64);
    copies.fail(63, CopyFault::Missing, None, NOW, PACE);
    let now_at: Vec<_> = (0..64).map(|old| old + 2).collect();
    let copies = copies.moved(&now_at, 66);
    assert!(!copies.holds(0) && !copies.holds(1) && copies.holds(2) && copies.holds(64));
    assert_eq!(copies.state(65), CopyState::Missing);
    assert_eq!((copies.mark_of(2), copies.mark_of(1)), (Some(MARK), None));
    assert_eq!(copies.next_pending(NOW, |_| false), Some(0));
    assert_eq!(Copies::from_bytes(&copies.to_bytes(), 66), Some(copies.clone()));
    assert_eq!(Copies::from_bytes(&copies.to_bytes(), 67), None);
    assert_eq!(Copies::from_bytes(b"garbage", 66), None);
}

#[test]
fn probes_recognise_fewer_copies_of_each_release_where_there_are_many() {
    assert_eq!([0, 1, 8, 16, 256, 257, 1_000_000].map(marks_per_release), [64, 64, 64, 32, 2, 1, 1]);
    let mut copies = whole(100);
    assert_eq!(copies.marked().len(), MARKS_MAX);
    copies.keep_marks(2);
    assert_eq!(copies.marked().collect::<Vec<_>>(), [0, 1]);
    copies.fail(0, CopyFault::WrongDigest, None, NOW, PACE);
    copies.verify(7, MARK, NOW);
    copies.keep_marks(2);
    assert_eq!(copies.marked().collect::<Vec<_>>(), [1, 7]);
}

#[test]
fn a_release_at_rest_needs_no_memory_but_its_entry() {
    assert!(size_of::<Copies>() <= 48);
    let mut copies = whole(1000);
    assert!(copies.unrest.is_none());
    copies.begin_pass();
    (0..1000).for_each(|asset| copies.verify(asset, MARK, NOW));
    assert!(copies.unrest.is_none());
    copies.fail(3, CopyFault::Html, None, NOW, PACE);
    copies.verify(3, MARK, NOW);
    copies.keep_marks(1);
    assert!(copies.unrest.is_none() && matches!(copies.marks, Marks::One(0, MARK)));
    assert_eq!(copies.to_bytes().len(), 39);
    copies.set_pending();
    assert!(copies.unrest.is_none());
}

fn at(seconds: u32) -> Timestamp {
    NOW.after(Duration::from_secs(seconds.into()))
}

/// Everything that one of them can be asked, under both names.
macro_rules! answers {
    ($copies:expr, $assets:expr, $now:expr) => {{
        let (copies, now) = (&$copies, $now);
        let taken = |asset: AssetIndex| asset % 7 == 3;
        let beyond = $assets + 2;
        (
            (0..beyond)
                .map(|asset| (copies.state(asset), copies.holds(asset), copies.mark_of(asset)))
                .collect::<Vec<_>>(),
            (0..beyond).map(|place| copies.nth_held(place)).collect::<Vec<_>>(),
            copies.held().collect::<Vec<_>>(),
            copies.marked().collect::<Vec<_>>(),
            copies.trouble().map(|(asset, trouble)| (asset, trouble.clone())).collect::<Vec<_>>(),
            (copies.is_complete(), copies.holds_any(), copies.tally()),
            (copies.completed_at(), copies.passed_at(), copies.is_stale(now, PACE)),
            (copies.next_pending(now, taken), copies.next_pending(now, |_| false)),
            (copies.next_retry(now, taken), copies.next_retry(now, |_| false)),
        )
    }};
}

proptest! {
    #[test]
    fn the_compact_form_answers_as_the_plain_one_and_is_read_as_it_was_written(
        assets in 1u32..140,
        steps in prop::collection::vec((0u8..16, 0u32..150, 0u32..100), 0..120),
    ) {
        let (mut copies, mut naive) = (Copies::unknown(assets), naive::Naive::unknown(assets));
        let mut assets = assets;
        for (step, asset, seconds) in steps {
            let now = at(seconds);
            let fault = CopyFault::ALL[asset as usize % CopyFault::ALL.len()];
            let evidence = (asset % 2 == 0).then(|| Evidence { detail: "seen".into(), ..Evidence::default() });
            match step {
                0..4 => {
                    copies.verify(asset, Fingerprint(seconds.into()), now);
                    naive.verify(asset, Fingerprint(seconds.into()), now);
                }
                // Nearly everything at once, so that releases become whole.
                4 => (0..assets).filter(|other| *other != asset).for_each(|asset| {
                    copies.verify(asset, MARK, now);
                    naive.verify(asset, MARK, now);
                }),
                5 | 6 => {
                    copies.fail(asset, fault, evidence.clone(), now, PACE);
                    naive.fail(asset, fault, evidence, now, PACE);
                }
                7 if asset < 30 => prop_assert_eq!(copies.set_pending(), naive.set_pending()),
                8 => {
                    copies.begin_pass();
                    naive.begin_pass();
                }
                9 => {
                    copies.begin_pass_if_none();
                    naive.begin_pass_if_none();
                }
                10..13 => prop_assert_eq!(copies.next_of_pass(now), naive.next_of_pass(now)),
                13 => {
                    copies.retry_missing(now);
                    naive.retry_missing(now);
                }
                14 if assets < 300 => {
                    let added = asset % 3;
                    let mut now_at: Vec<_> = (0..assets).map(|old| (old + seconds) % assets + added).collect();
                    if let Some(gone) = now_at.get_mut(asset as usize) {
                        *gone = AssetIndex::MAX;
                    }
                    assets += added;
                    copies = copies.moved(&now_at, assets);
                    naive = naive.moved(&now_at, assets);
                }
                _ => {
                    copies.keep_marks(seconds as usize);
                    naive.keep_marks(seconds as usize);
                }
            }
            prop_assert_eq!(answers!(copies, assets, now), answers!(naive, assets, now));
            let read = Copies::from_bytes(&copies.to_bytes(), assets);
            prop_assert_eq!(read.as_ref(), Some(&copies));
            prop_assert_eq!(Copies::from_bytes(&copies.to_bytes(), assets + 1), None);
        }
    }
}

proptest! {
    #[test]
    fn agrees_with_a_row_per_copy(
        assets in 1u32..140,
        steps in prop::collection::vec((0u8..5, 0u32..150), 0..300),
    ) {
        let mut copies = Copies::unknown(assets);
        let mut rows = vec![CopyState::Pending; assets as usize];
        for (step, asset) in steps {
            let row = rows.get_mut(asset as usize);
            match step {
                0 | 1 => {
                    copies.verify(asset, MARK, NOW);
                    row.into_iter().for_each(|row| *row = CopyState::Verified);
                }
                2 => {
                    copies.fail(asset, CopyFault::Missing, None, NOW, PACE);
                    row.into_iter().for_each(|row| *row = CopyState::Missing);
                }
                3 => {
                    copies.fail(asset, CopyFault::Html, None, NOW, PACE);
                    row.into_iter().for_each(|row| *row = CopyState::Corrupt);
                }
                _ if asset == 0 => {
                    copies.set_pending();
                    rows.iter_mut().filter(|r| **r == CopyState::Verified).for_each(|r| *r = CopyState::Pending);
                }
                _ => copies = Copies::from_bytes(&copies.to_bytes(), assets).unwrap(),
            }
            let states: Vec<_> = (0..assets).map(|a| copies.state(a)).collect();
            prop_assert_eq!(&states, &rows);
            let count = |state| rows.iter().filter(|r| **r == state).count() as u64;
            prop_assert_eq!(copies.tally(), Tally {
                verified: count(CopyState::Verified),
                pending: count(CopyState::Pending),
                missing: count(CopyState::Missing),
                corrupt: count(CopyState::Corrupt),
            });
            prop_assert_eq!(copies.is_complete(), rows.iter().all(|r| *r == CopyState::Verified));
        }
    }
}
