//! Where log lines go, and how they look.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt;

use crate::config::{Log, LogFormat};

/// Sets logging up for the process: to standard error, as the configuration says. The variable `RUST_LOG`, a filter such
/// as `info,waypost::workers=debug`, outweighs `log.level`.
pub fn set_up(log: &Log) {
    let (filter, ignored) = match std::env::var("RUST_LOG").map(|text| EnvFilter::try_new(calmed(&text))) {
        Ok(Ok(filter)) => (filter, None),
        Ok(Err(error)) => (EnvFilter::new(calmed(&log.level)), Some(error)),
        Err(_) => (EnvFilter::new(calmed(&log.level)), None),
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

/// A filter's text without what strangers can fill the log with: rustls warns of every handshake with an address as its
/// server name. What the text says of rustls itself stands.
fn calmed(text: &str) -> String {
    if text == "off" { text.to_owned() } else { format!("rustls=error,{text}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rustls_is_heard_when_it_is_asked_for() {
        let filter = |text: &str| EnvFilter::new(calmed(text)).to_string();
        assert_eq!(filter("info"), "rustls=error,info");
        assert_eq!(filter("info,rustls=debug"), "rustls=debug,info");
        assert_eq!(filter("off"), "off");
    }
}
