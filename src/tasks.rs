//! Named tasks and their end: one shutdown signal, and the death of a vital task noticed.

use std::future::Future;

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
