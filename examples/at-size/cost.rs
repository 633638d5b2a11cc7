//! What work costs the thread that does it.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::Failure;

/// What a piece of work cost.
#[derive(Debug, Clone, Copy, Default)]
pub struct Cost {
    /// The thread's time on a core.
    pub cpu: Duration,
    /// The clock's time from its beginning to its end.
    pub wall: Duration,
}

/// A thread's time on a core so far; exact while it sleeps, and right after it has.
pub fn cpu(thread: &Path) -> Result<Duration, Failure> {
    let text = fs::read_to_string(thread.join("schedstat"))?;
    let nanoseconds = text.split(' ').next().and_then(|first| first.parse().ok());
    Ok(Duration::from_nanos(nanoseconds.ok_or("schedstat has no number")?))
}

/// Does work and says what it cost. In a thread that is new: its whole time counts.
pub fn measured<T>(work: impl FnOnce() -> Result<T, Failure>) -> Result<(T, Cost), Failure> {
    let began = Instant::now();
    let done = work()?;
    let wall = began.elapsed();
    Ok((done, Cost { cpu: own_cpu()?, wall }))
}

/// This thread's time on a core so far.
pub fn own_cpu() -> Result<Duration, Failure> {
    // The kernel books it when the thread leaves the core.
    std::thread::sleep(Duration::from_millis(1));
    cpu(Path::new("/proc/thread-self"))
}

/// The threads of this process.
pub fn threads() -> Result<Vec<PathBuf>, Failure> {
    fs::read_dir("/proc/self/task")?.map(|entry| Ok(entry?.path())).collect()
}
