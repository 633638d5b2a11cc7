//! `waypost demo`: the whole main job on this machine. An origin and mirrors with real files, the service as it is, and
//! commands to try.

mod guide;
mod progress;
mod scenery;
mod static_server;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::admin_client::AdminClient;
use super::logging;
use super::outcome::{CliError, Exit, print};
use super::serve::live;
use super::signals::Signals;
use crate::app::App;
use crate::config;
use crate::model::SystemClock;
use crate::server::Server;
use crate::tasks::{Shutdown, Tasks, shutdown};
use scenery::{CORRUPT_FILE, CORRUPT_MIRROR, MIRRORS, Stage};
use static_server::StaticServer;

/// `waypost demo`
#[derive(Debug, clap::Args)]
pub struct DemoArgs {
    /// Where the redirector listens; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
}

/// Plays until Ctrl-C or SIGTERM, and cleans up.
///
/// # Errors
///
/// Where files cannot be written or addresses not be had.
pub async fn run(args: DemoArgs) -> Result<Exit, CliError> {
    let mut signals = Signals::listen()
        .map_err(|error| CliError::Unknown(format!("signals cannot be listened to: {error}")))?;
    print("making an origin with two releases, and four mirrors with copies of them");
    let stage = tokio::task::spawn_blocking(Stage::set).await;
    let stage = stage.map_err(|error| CliError::No(error.to_string()))??;

    let (mut mirrors, mut addresses) = (Tasks::default(), Vec::new());
    let (end_mirrors, mirrors_end) = shutdown();
    for (position, mirror) in (0..).zip(&MIRRORS) {
        let server = scenery::bind(position).map_err(|error| CliError::Usage(error.to_string()))?;
        addresses.extend(server.addresses());
        mirrors.spawn(mirror.name, serve(server, &stage, mirror.name, mirrors_end.clone()));
    }
    stage.configure(args.listen, &addresses)?;
    let outcome = play(&stage, &mut signals).await;
    end_mirrors.pull();
    mirrors.join().await;
    outcome
}

fn serve(
    server: Server,
    stage: &Stage,
    name: &str,
    end: Shutdown,
) -> impl Future<Output = ()> + Send + 'static {
    server.run(Arc::new(StaticServer::new(stage.mirror(name))), end, Duration::ZERO)
}

/// The service as `waypost serve` runs it.
async fn play(stage: &Stage, signals: &mut Signals) -> Result<Exit, CliError> {
    let file = stage.config_file();
    let loaded = config::load(&file).map_err(|problems| CliError::No(problems.to_string()))?;
    logging::set_up(&loaded.config.log);
    let client = AdminClient::local(&loaded.config.server.state);
    let app = App::bind(loaded, Some(file.clone()), Arc::new(SystemClock)).await;
    let app = app.map_err(|error| CliError::Usage(error.to_string()))?;
    let addresses = app.addresses().clone();
    print(format!(
        "hashing every copy before anybody is sent to it; that of {CORRUPT_FILE} on {CORRUPT_MIRROR} has a wrong byte"
    ));
    let mut living = std::pin::pin!(live(app, signals));
    tokio::select! {
        end = &mut living => return end,
        () = progress::until_verified(&client) => {}
    }
    print(guide::text(&addresses, &file));
    living.await
}
