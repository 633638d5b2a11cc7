//! Named tasks and their end: one shutdown signal, and the death of a vital task noticed. And work that is shared between
//! the cores.

use std::future::Future;
use std::num::NonZero;
use std::sync::{Mutex, PoisonError};
use std::thread;

use tokio::sync::watch;
use tokio::task::JoinSet;

/// Tells tasks that it is time to stop. Cloned into every task.
#[derive(Debug, Clone)]
pub struct Shutdown(watch::Receiver<bool>);

/// Starts a shutdown; it starts as well when this is dropped.
#[derive(Debug)]
pub struct Trigger(watch::Sender<bool>);

/// A trigger and the signal it gives.
pub fn shutdown() -> (Trigger, Shutdown) {
    let (trigger, signal) = watch::channel(false);
    (Trigger(trigger), Shutdown(signal))
}

impl Trigger {
    /// Tells everybody to stop.
    pub fn pull(&self) {
        self.0.send_replace(true);
    }
}

impl Shutdown {
    /// Waits until it is time to stop.
    pub async fn triggered(&mut self) {
        // An error means that the trigger is gone, which is a shutdown too.
        let _ = self.0.wait_for(|stop| *stop).await;
    }

    /// Runs `work` to its end or until it is time to stop, whichever comes first.
    pub async fn unless_triggered<T>(&mut self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            () = self.triggered() => None,
            done = work => Some(done),
        }
    }
}

/// The tasks that the service cannot live without.
#[derive(Debug, Default)]
pub struct Tasks {
    running: JoinSet<&'static str>,
}

impl Tasks {
    /// Starts a task under a name.
    pub fn spawn(&mut self, name: &'static str, work: impl Future<Output = ()> + Send + 'static) {
        self.running.spawn(async move {
            work.await;
            name
        });
    }

    /// Waits for the next task to end. `Some(Ok(name))` where it returned, `Some(Err(_))` where it panicked, `None`
    /// when none is left.
    pub async fn next_end(&mut self) -> Option<Result<&'static str, tokio::task::JoinError>> {
        self.running.join_next().await
    }

    /// Waits until all have ended.
    pub async fn join(&mut self) {
        while let Some(end) = self.next_end().await {
            if let Err(error) = end {
                tracing::error!(%error, "a task ended badly while the service stopped");
            }
        }
    }
}

/// Most threads that share a piece of work.
const THREADS_MAX: usize = 16;

/// Does `work` for every item, on as many threads as there are cores; the results come in the order of the items. Blocks,
/// and panics where `work` does.
pub fn on_all_cores<T: Send, R: Send>(
    items: impl IntoIterator<Item = T, IntoIter: ExactSizeIterator + Send>,
    work: impl Fn(T) -> R + Sync,
) -> Vec<R> {
    let items = items.into_iter();
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    let threads = cores.min(THREADS_MAX).min(items.len());
    let queue = Mutex::new(items.enumerate());
    let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).next();
    let run = || std::iter::from_fn(next).map(|(at, item)| (at, work(item))).collect::<Vec<_>>();
    let mut done = thread::scope(|scope| {
        // Where a thread cannot be started, there is one less.
        let start = |_| thread::Builder::new().name("shared".to_owned()).spawn_scoped(scope, run).ok();
        let others: Vec<_> = (1..threads).filter_map(start).collect();
        let mut done = run();
        for other in others {
            done.extend(other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        }
        done
    });
    done.sort_unstable_by_key(|(at, _)| *at);
    done.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shared_work_is_done_once_for_every_item_and_comes_back_in_order() {
        for items in [0, 1, 2, 1000] {
            let expected: Vec<usize> = (0..items).map(|n| n * n).collect();
            assert_eq!(on_all_cores(0..items, |n| n * n), expected);
        }
    }

    #[test]
    #[should_panic(expected = "item 7")]
    fn a_panic_in_shared_work_is_passed_on() {
        on_all_cores(0..20, |n| assert!(n != 7, "item {n}"));
    }
}
