//! `waypost admin`: tokens for the admin listener.

use clap::{Subcommand, ValueEnum};
use data_encoding::BASE64URL_NOPAD;
use serde_json::json;

use super::outcome::{CliError, Exit, complain, print};
use crate::model::{Sha256, is_reserved_actor};

/// Random bytes in a token: nobody guesses 256 bits, so a plain hash of it can stand in the configuration.
const TOKEN_BYTES: usize = 32;

/// What to do.
#[derive(Debug, Subcommand)]
pub enum AdminCommand {
    /// Makes a token: prints it once, with the entry for the configuration, which holds only its hash
    #[command(after_help = "\
Example:
  waypost admin token ci --role release > token")]
    Token(TokenArgs),
}

/// `waypost admin token`
#[derive(Debug, clap::Args)]
pub struct TokenArgs {
    /// Who it is for, as the audit names them
    #[arg(value_parser = name)]
    name: String,
    /// What it may do; each role may what those before it may
    #[arg(long, value_enum)]
    role: RoleName,
    /// Prints JSON
    #[arg(long)]
    json: bool,
}

/// The roles, as arguments.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum RoleName {
    /// Read reports
    Look,
    /// Move channels, withdraw and restore releases, have the origin looked at
    Release,
    /// Everything
    Operate,
}

fn name(text: &str) -> Result<String, String> {
    match () {
        () if text.is_empty() || text.len() > 128 || text.chars().any(char::is_control) => {
            Err("write up to 128 bytes of text".to_owned())
        }
        () if is_reserved_actor(text) => Err("the audit names the service or the origin so".to_owned()),
        () => Ok(text.to_owned()),
    }
}

/// Runs it. Nothing is stored: the token is told, and the operator enters its hash.
///
/// # Errors
///
/// Where the system gives no random bytes.
pub fn run(command: AdminCommand) -> Result<Exit, CliError> {
    let AdminCommand::Token(TokenArgs { name, role, json }) = command;
    let mut bytes = [0; TOKEN_BYTES];
    aws_lc_rs::rand::fill(&mut bytes)
        .map_err(|_| CliError::Unknown("the system gives no random bytes".to_owned()))?;
    let token = BASE64URL_NOPAD.encode(&bytes);
    let sha256 = Sha256::of(token.as_bytes()).to_string();
    let role = role.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned());
    if json {
        print(json!({ "name": name, "role": role, "token": token, "sha256": sha256 }).to_string());
        return Ok(Exit::Done);
    }
    print(&token);
    let name = serde_json::Value::from(name);
    complain(format!(
        "That is the token; it is not shown again. Add this to the configuration and reload (SIGHUP):\n\n\
         [[admin.token]]\nname = {name}\nrole = \"{role}\"\nsha256 = \"{sha256}\""
    ));
    Ok(Exit::Done)
}
