use super::*;
use proptest::prelude::*;

fn sha256(bytes: &[u8]) -> Sha256 {
    Sha256::new(digest::digest(&digest::SHA256, bytes).as_ref().try_into().unwrap())
}

/// Bytes that differ from block to block.
fn file(size: usize) -> Vec<u8> {
    (0..size).map(|at| (at ^ (at >> 8) ^ (at >> 16)) as u8).collect()
}

fn blocks(file: &[u8], chunk: usize) -> Blocks {
    let mut hasher = BlockHasher::new(file.len() as u64);
    file.chunks(chunk).for_each(|chunk| hasher.update(chunk));
    hasher.finish().unwrap()
}

#[test]
fn blocks_cover_a_file_at_every_edge() {
    const MIB: u64 = 1 << 20;
    const EDGE: u64 = BLOCK_MIN * BLOCKS_MAX;
    let table = [
        (0, 0, BLOCK_MIN),
        (1, 1, BLOCK_MIN),
        (BLOCK_MIN - 1, 1, BLOCK_MIN),
        (BLOCK_MIN, 1, BLOCK_MIN),
        (BLOCK_MIN + 1, 2, BLOCK_MIN),
        (EDGE, 1024, BLOCK_MIN),
        (EDGE + 1, 513, BLOCK_MIN * 2),
        (1 << 30, 1024, MIB),
        ((1 << 30) + 1, 513, 2 * MIB),
        (u64::MAX, 1024, 1 << 54),
    ];
    for (size, count, length) in table {
        assert_eq!((block_count(size), block_length(size)), (count, length), "{size}");
        assert_eq!(block_range(size, count), None, "{size}");
        let mut next = 0;
        for block in 0..count {
            let (first, last) = block_range(size, block).unwrap();
            assert!(first == next && last >= first && last - first < length, "{size}: {block}");
            next = last.wrapping_add(1);
        }
        assert_eq!(next, size);
    }
    assert_eq!(block_range(u64::MAX, u64::MAX), None);
}

#[test]
fn a_files_blocks_are_those_of_its_bytes_however_they_arrive() {
    let size = (BLOCK_MIN * 2 + 1) as usize;
    let file = file(size);
    for chunk in [1000, BLOCK_MIN as usize, BLOCK_MIN as usize + 1, size] {
        let blocks = blocks(&file, chunk);
        for block in 0..3 {
            let (first, last) = block_range(size as u64, block).unwrap();
            let expected = block_digest(&sha256(&file[first as usize..=last as usize]));
            assert_eq!(blocks.digest(block), Some(expected), "{chunk}: {block}");
        }
        assert_eq!(blocks.digest(3), None);
    }
}

#[test]
fn the_block_of_a_small_file_is_the_file() {
    for size in [1, BLOCK_MIN as usize] {
        let file = file(size);
        assert_eq!(Blocks::single(size as u64, &sha256(&file)), Some(blocks(&file, 999)));
        assert!(!Blocks::are_worth_it(size as u64));
    }
    assert_eq!(Blocks::single(0, &sha256(b"")), None);
    assert_eq!(Blocks::single(BLOCK_MIN + 1, &sha256(b"")), None);
    assert!(Blocks::are_worth_it(BLOCK_MIN + 1));
    assert_eq!(BlockHasher::new(0).finish().unwrap().digest(0), None);
}

#[test]
fn a_file_of_another_size_has_no_blocks() {
    for (size, bytes) in [(0, 1), (1, 0), (1, 2), (BLOCK_MIN, BLOCK_MIN + 1), (BLOCK_MIN * 2, BLOCK_MIN)] {
        let mut hasher = BlockHasher::new(size);
        hasher.update(&vec![0; bytes as usize]);
        assert_eq!(hasher.finish(), None, "{size}");
    }
}

proptest! {
    #[test]
    fn what_is_written_is_read_and_no_damage_is(
        count in 0u64..40,
        rest in 0u64..BLOCK_MIN,
        seed in any::<u8>(),
        at in any::<prop::sample::Index>(),
        flip in 1u8..,
        other in any::<u64>(),
    ) {
        let size = count * BLOCK_MIN + rest;
        let digests = (0..block_count(size)).map(|n| [seed ^ n as u8; 16]).collect();
        let blocks = Blocks { size, digests };
        let bytes = blocks.to_bytes();
        prop_assert_eq!(Blocks::from_bytes(&bytes, size), Some(blocks));
        prop_assert_eq!(Blocks::from_bytes(&bytes, other), None);
        let mut damaged = bytes.clone();
        damaged[at.index(bytes.len())] ^= flip;
        prop_assert_eq!(Blocks::from_bytes(&damaged, size), None);
        prop_assert_eq!(Blocks::from_bytes(&bytes[..at.index(bytes.len())], size), None);
    }

    #[test]
    fn nothing_that_is_stored_makes_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..80), size in any::<u64>()) {
        Blocks::from_bytes(&bytes, size);
    }
}
