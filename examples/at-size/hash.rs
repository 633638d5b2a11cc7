//! How fast the program hashes on one core, without network and disk.

use std::hint::black_box;
use std::time::{Duration, Instant};

use serde_json::json;
use waypost::model::Sha256;

use super::Failure;

/// Bytes that are hashed at once: what `openssl speed -bytes 16384` hashes.
const CHUNK: usize = 16 * 1024;
/// Chunks of one file.
const CHUNKS: usize = 4096;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Rounds of half a second each
    #[arg(long, default_value_t = 7)]
    rounds: usize,
}

/// Prints bytes per second of each round.
pub fn measure(arguments: &Arguments) -> Result<(), Failure> {
    let chunk = vec![0x5a; CHUNK];
    let rates: Vec<f64> = (0..arguments.rounds).map(|_| rate(&chunk)).collect();
    println!("{}", json!({ "bytes_per_second": rates }));
    Ok(())
}

/// Files of 64 MiB for half a second, as `Response::hash_beside` hashes what arrives.
fn rate(chunk: &[u8]) -> f64 {
    let began = Instant::now();
    let mut bytes = 0;
    while began.elapsed() < Duration::from_millis(500) {
        let mut hash = Sha256::begin();
        for _ in 0..CHUNKS {
            hash.update(black_box(chunk));
        }
        black_box(Sha256::end(hash));
        bytes += CHUNK * CHUNKS;
    }
    bytes as f64 / began.elapsed().as_secs_f64()
}
