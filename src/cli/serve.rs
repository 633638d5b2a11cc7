//! `waypost serve`: the service, from its configuration to its end.

use std::path::Path;
use std::pin::pin;
use std::sync::Arc;

use super::config_file::ConfigFile;
use super::logging;
use super::outcome::{CliError, Exit};
use super::signals::{Signal, Signals};
use crate::app::{Addresses, App, AppError};
use crate::config::Loaded;
use crate::model::SystemClock;
use crate::tasks::shutdown;

/// `waypost serve`
#[derive(Debug, clap::Args)]
pub struct ServeArgs {
    #[command(flatten)]
    config: ConfigFile,
}

/// Serves until SIGTERM or SIGINT; SIGHUP reads the configuration again. A second SIGINT does not wait for the end.
///
/// # Errors
///
/// Where the configuration is wrong or something that it names cannot be had, and where the service died.
pub async fn run(args: ServeArgs) -> Result<Exit, CliError> {
    let mut signals = Signals::listen()
        .map_err(|error| CliError::Unknown(format!("signals cannot be listened to: {error}")))?;
    let file = args.config.path()?;
    let loaded = args.config.load()?;
    logging::set_up(&loaded.config.log);
    let app = tokio::select! {
        app = bind(loaded, &file) => app?,
        () = signals.stop() => return Ok(Exit::Done),
    };
    announce(app.addresses());
    live(app, &mut signals).await
}

async fn bind(loaded: Loaded, file: &Path) -> Result<App, CliError> {
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    let bound = App::bind(loaded, Some(file.to_owned()), Arc::new(SystemClock)).await;
    bound.map_err(|error| CliError::Usage(error.to_string()))
}

fn announce(addresses: &Addresses) {
    let version = env!("CARGO_PKG_VERSION");
    for address in &addresses.public {
        tracing::info!(listener = "public", %address, version, "listening");
    }
    if let Some(address) = addresses.admin {
        tracing::info!(listener = "admin", %address, "listening");
    }
    tracing::info!(listener = "socket", address = %addresses.socket.display(), "listening");
}

/// Runs a service that is bound, and obeys signals until it has ended.
pub(super) async fn live(app: App, signals: &mut Signals) -> Result<Exit, CliError> {
    let (trigger, stop) = shutdown();
    let reloader = app.reloader();
    let mut running = pin!(app.run(stop));
    let mut stopping = false;
    loop {
        let signal = tokio::select! {
            end = &mut running => return end.map(|()| Exit::Done).map_err(died),
            signal = signals.next() => signal,
        };
        match signal {
            Signal::Reload => reloader.notify_one(),
            Signal::Interrupt if stopping => return Ok(Exit::Interrupted),
            Signal::Interrupt | Signal::Terminate => {
                stopping = true;
                trigger.pull();
            }
        }
    }
}

fn died(error: AppError) -> CliError {
    CliError::No(error.to_string())
}
