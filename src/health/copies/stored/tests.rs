use super::*;
use crate::model::{AssetSet, CopyFault, Timestamp};
use std::time::Duration;

const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

fn verified(assets: AssetIndex, which: impl Iterator<Item = AssetIndex>) -> Copies {
    let mut copies = Copies::unknown(assets);
    which.for_each(|asset| copies.verify(asset, Fingerprint(7), NOW));
    copies
}

#[test]
fn no_damage_to_a_byte_is_believed() {
    let mut troubled = verified(3, 0..3);
    troubled.fail(1, CopyFault::WrongDigest, None, NOW, Duration::from_secs(15));
    for copies in [verified(1, 0..1), verified(70, 0..69), troubled] {
        let bytes = copies.to_bytes();
        let assets = copies.assets;
        assert_eq!(Copies::from_bytes(&bytes, assets), Some(copies));
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut damaged = bytes.clone();
                damaged[at] ^= 1 << bit;
                assert_eq!(Copies::from_bytes(&damaged, assets), None, "bit {bit} of byte {at}");
            }
            assert_eq!(Copies::from_bytes(&bytes[..at], assets), None, "cut at {at}");
        }
    }
}

/// What is wrong then, and how it becomes so.
type Change<T> = (&'static str, fn(&mut T));

/// Writes the entry with a part exchanged, under a check that fits.
fn forged(copies: &Copies, change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut bytes = copies.to_bytes();
    bytes.truncate(bytes.len() - 4);
    change(&mut bytes);
    let check = check_of(&bytes);
    bytes.extend(check.to_le_bytes());
    bytes
}

#[test]
fn an_entry_whose_parts_contradict_each_other_is_not_believed() {
    let whole = verified(2, 0..2);
    assert_eq!(Copies::from_bytes(&forged(&whole, |_| {}), 2), Some(whole.clone()));
    let changes: [Change<Vec<u8>>; 8] = [
        ("another form", |bytes| bytes[0] = 2),
        ("an unknown flag", |bytes| bytes[1] |= 4),
        ("not whole, and yet marked", |bytes| bytes[1] &= !WHOLE),
        ("unrest that is not there", |bytes| bytes[1] |= UNREST),
        ("another number of assets", |bytes| bytes[2] = 3),
        ("more marks than there are", |bytes| bytes[22] = 3),
        ("a mark beyond the release", |bytes| bytes[35] = 2),
        ("bytes beyond the end", |bytes| bytes.push(0)),
    ];
    for (what, change) in changes {
        assert_eq!(Copies::from_bytes(&forged(&whole, change), 2), None, "{what}");
    }
    let swapped = forged(&whole, |bytes| bytes[23..].rotate_left(12));
    assert_eq!(Copies::from_bytes(&swapped, 2), None, "marks out of order");
}

#[test]
fn unrest_that_does_not_fit_is_not_believed() {
    let troubled = || {
        let mut copies = verified(3, [0, 2].into_iter());
        copies.fail(1, CopyFault::WrongDigest, None, NOW, Duration::from_secs(15));
        copies
    };
    let changes: [Change<Copies>; 6] = [
        ("whole and not", |copies| copies.whole = true),
        ("all of it, and not whole", |copies| {
            copies.unrest().held = AssetSet::first(3);
            copies.unrest().trouble.clear();
        }),
        ("a copy beyond the release", |copies| _ = copies.unrest().held.insert(3)),
        ("trouble with a verified copy", |copies| _ = copies.unrest().held.insert(1)),
        ("trouble beyond the release", |copies| {
            let trouble = copies.unrest().trouble.remove(&1).unwrap();
            copies.unrest().trouble.insert(3, trouble);
        }),
        ("a pass beyond the release", |copies| copies.unrest().pass = Some(3)),
    ];
    for (what, change) in changes {
        let mut copies = troubled();
        assert!(Copies::from_bytes(&copies.to_bytes(), 3).is_some());
        change(&mut copies);
        assert_eq!(Copies::from_bytes(&copies.to_bytes(), 3), None, "{what}");
    }
}
