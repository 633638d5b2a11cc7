//! How fast the program hashes on one core, without network and disk.

use std::hint::black_box;
use std::time::{Duration, Instant};

use serde_json::json;
use waypost::model::Sha256;

use super::Failure;
use super::cost::measured;

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
    let rates = (0..arguments.rounds).map(|_| rate()).collect::<Result<Vec<f64>, Failure>>()?;
    println!("{}", json!({ "bytes_per_second": rates }));
    Ok(())
}

/// Files of 64 MiB for half a second, as `Response::hash_beside` hashes what arrives; by the time on a core, as
/// `openssl speed` counts.
fn rate() -> Result<f64, Failure> {
    let hashing = std::thread::spawn(|| measured(|| Ok(hash_for(Duration::from_millis(500)))));
    let (bytes, cost) = hashing.join().map_err(|_| "the hashing panicked")??;
    Ok(bytes as f64 / cost.cpu.as_secs_f64())
}

/// Returns how many bytes were hashed.
fn hash_for(time: Duration) -> usize {
    let (chunk, began) = (vec![0x5a; CHUNK], Instant::now());
    let mut bytes = 0;
    while began.elapsed() < time {
        let mut hash = Sha256::begin();
        for _ in 0..CHUNKS {
            hash.update(black_box(&chunk));
        }
        black_box(Sha256::end(hash));
        bytes += CHUNK * CHUNKS;
    }
    bytes
}
