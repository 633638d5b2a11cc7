//! What the terminal and the service manager tell the process.

use std::io;

use tokio::signal::unix::{Signal as Stream, SignalKind, signal};

/// A signal that means something here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// SIGINT: Ctrl-C.
    Interrupt,
    /// SIGTERM.
    Terminate,
    /// SIGHUP: read the configuration again.
    Reload,
}

/// Signals from the moment that this is made; until then they end the process as usual.
#[derive(Debug)]
pub struct Signals {
    interrupt: Stream,
    terminate: Stream,
    hangup: Stream,
}

impl Signals {
    /// Needs a tokio runtime.
    ///
    /// # Errors
    ///
    /// Where the system refuses.
    pub fn listen() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// Waits for the next one. Nothing is lost when this is dropped.
    pub async fn next(&mut self) -> Signal {
        tokio::select! {
            Some(()) = self.interrupt.recv() => Signal::Interrupt,
            Some(()) = self.terminate.recv() => Signal::Terminate,
            Some(()) = self.hangup.recv() => Signal::Reload,
            else => std::future::pending().await,
        }
    }

    /// Waits for one that ends the process.
    pub async fn stop(&mut self) {
        while self.next().await == Signal::Reload {}
    }
}
