//! Where log lines go, and how they look.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt;

use crate::config::{Log, LogFormat};

/// Sets logging up for the process: to standard error, as the configuration says. The variable `RUST_LOG`, a filter such
/// as `info,waypost::workers=debug`, outweighs `log.level`.
pub fn set_up(log: &Log) {
    let (filter, ignored) = match std::env::var("RUST_LOG").map(EnvFilter::try_new) {
        Ok(Ok(filter)) => (filter, None),
        Ok(Err(error)) => (EnvFilter::new(&log.level), Some(error)),
        Err(_) => (EnvFilter::new(&log.level), None),
    };
    let lines = fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let text = match log.format {
        LogFormat::Text => true,
        LogFormat::Json => false,
        LogFormat::Auto => std::io::stderr().is_terminal(),
    };
    let done = match text {
        true => lines.with_ansi(std::io::stderr().is_terminal()).try_init(),
        false => lines.json().flatten_event(true).try_init(),
    };
    if let Err(error) = done {
        super::outcome::complain(format!("logging was set up already: {error}"));
    }
    if let Some(error) = ignored {
        tracing::warn!(%error, "RUST_LOG is no filter; log.level is in force");
    }
}
