//! `waypost token`: tokens that entitle to private downloads.

mod inspect;
mod mint;

use std::io::Read;

use clap::Subcommand;
use serde_json::{Value, json};

use super::outcome::{CliError, Exit, printable};
use super::service::{Reason, Service};
use crate::config::Config;
use crate::entitlement::{Entitlements, TOKEN_MAX};
use crate::workers::believed::{Believed, TicketSecret};

/// What to do.
#[derive(Debug, Subcommand)]
pub enum TokenCommand {
    /// Makes a token of an issuer with a shared secret, and prints it once
    #[command(after_help = "\
It needs the issuer's secret_file, and not the running service. Standard output has the token alone.

Examples:
  waypost token mint --issuer customers --subject acme --claim plan=gold --ttl 30d > token
  waypost token mint --issuer customers --claim 'groups=[\"beta\", \"eu\"]' --json")]
    Mint(mint::MintArgs),
    /// Tells what a token says, and with --config whether the service would believe it and what it gives
    #[command(after_help = "\
Without --config nothing is verified. Exit code 1: it is no token, or would not be believed; 3: that cannot be found out
here, because the running service fetches the issuer's keys (`waypost explain --token` asks it).

Examples:
  waypost token inspect < token
  waypost token inspect --config /etc/waypost/waypost.toml --json < token")]
    Inspect(inspect::InspectArgs),
    /// Has a token believed no more, whatever its time
    #[command(after_help = "\
`waypost token inspect` tells a token's id. It is an order: it is on disk before it is obeyed, and holds over restarts.

Example:
  waypost token revoke customers 7f3a9c5e2b81d406 --reason \"the laptop was stolen\"")]
    Revoke(RevokeArgs),
}

/// `waypost token revoke`
#[derive(Debug, clap::Args)]
pub struct RevokeArgs {
    /// The issuer's name in the configuration
    issuer: String,
    /// The token's id, not the token
    token_id: String,
    #[command(flatten)]
    reason: Reason,
    #[command(flatten)]
    service: Service,
}

/// Runs one of them.
///
/// # Errors
///
/// Where the configuration is wrong, the token is none, or the service refuses or does not answer.
pub async fn run(command: TokenCommand) -> Result<Exit, CliError> {
    match command {
        TokenCommand::Mint(args) => mint::run(&args),
        TokenCommand::Inspect(args) => inspect::run(&args),
        TokenCommand::Revoke(RevokeArgs { issuer, token_id, reason, service }) => {
            let body = json!({ "issuer": issuer, "token_id": token_id });
            let told = |action: &Value| {
                let text = |key: &str| printable(action[key].as_str().unwrap_or_default(), 1100);
                format!("the token {} of {} is not believed any more", text("token_id"), text("issuer"))
            };
            service.order("/v1/tokens/revoke", &reason, body, told).await
        }
    }
}

/// A token as an argument gives it: itself, or `-` for standard input, without the line end there.
///
/// # Errors
///
/// Where standard input cannot be read, is empty, or is longer than any token.
pub fn given(argument: &str) -> Result<String, CliError> {
    if argument != "-" {
        return Ok(argument.to_owned());
    }
    let mut text = String::new();
    let read = std::io::stdin().lock().take(TOKEN_MAX as u64 + 3).read_to_string(&mut text);
    read.map_err(|error| CliError::Usage(format!("standard input holds no token: {error}")))?;
    match text.trim_ascii() {
        "" => Err(CliError::Usage("standard input is empty: it should hold the token".to_owned())),
        token if token.len() > TOKEN_MAX => {
            Err(CliError::Usage(format!("standard input is longer than any token: {TOKEN_MAX} bytes")))
        }
        token => Ok(token.to_owned()),
    }
}

/// What a configuration says of tokens, as far as its files tell.
fn entitlements(config: &Config) -> Result<Entitlements, CliError> {
    let believed = Believed::read(config, &TicketSecret::random()).map_err(|errors| {
        let errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
        CliError::Usage(errors.join("\n"))
    })?;
    Ok(believed.entitlements(config))
}
