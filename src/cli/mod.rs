//! The command line: a file for each command.
//!
//! `outcome` is how all of them end; `service` says which running service they mean and `admin_client` talks to it; `table`
//! and `span` are how they speak to people.

pub mod admin;
pub mod admin_client;
pub mod audit;
pub mod channel;
pub mod check;
pub mod config_file;
pub mod demo;
pub mod explain;
pub mod logging;
pub mod manifest;
pub mod mirror;
pub mod origin;
pub mod outcome;
pub mod release;
pub mod replicate;
pub mod serve;
pub mod service;
pub mod signals;
pub mod span;
pub mod table;
pub mod token;

use std::future::Future;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tokio::runtime::Builder;

use outcome::{CliError, Exit, complain};

const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  the answer is no: a file is bad, there is no such thing, nobody is redirected
  2  wrong usage or configuration
  3  could not find out: the service did not answer

Try it without any configuration: waypost demo";

/// A region-aware download redirect service: one stable URL per file, always a near, healthy, verified copy
#[derive(Debug, Parser)]
#[command(name = "waypost", version, after_help = EXIT_CODES, arg_required_else_help = true, max_term_width = 110)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs the service
    #[command(after_help = "\
It stops on SIGTERM or Ctrl-C, after connections in flight have finished (server.drain). SIGHUP reads configuration, GeoIP
and certificates again; what is invalid is refused, and the last good state stays in force.

Example:
  waypost serve --config /etc/waypost/waypost.toml")]
    Serve(serve::ServeArgs),
    /// Loads everything the service would, and tells all that is wrong with it
    #[command(after_help = "\
Configuration, GeoIP, certificates, the origin with its manifests, the state folder. Nothing is changed, and a running
service is not disturbed. It also tells how many bytes and hours the first verification takes.

Example:
  waypost check --config /etc/waypost/waypost.toml")]
    Check(check::CheckArgs),
    /// The whole job on this machine with no configuration: origin, mirrors, real files, redirects
    #[command(after_help = "\
Example:
  waypost demo")]
    Demo(demo::DemoArgs),
    /// Tells why a client is sent where it is sent
    #[command(after_help = "\
Examples:
  waypost explain /tool/stable/linux-amd64 --from 203.0.113.5
  waypost explain /agent/stable/linux-amd64 --from 203.0.113.5 --token - < token
  waypost explain https://downloads.example.com/tool/1.8.2/tool.tar.gz --from 2001:db8::1 --json")]
    Explain(explain::ExplainArgs),
    /// Publishes releases at an origin folder
    #[command(subcommand, arg_required_else_help = true)]
    Manifest(ManifestCommand),
    /// What has been published, and where it has arrived
    #[command(subcommand, arg_required_else_help = true)]
    Release(release::ReleaseCommand),
    /// Where channels point, and orders to them
    #[command(
        subcommand,
        arg_required_else_help = true,
        after_help = "\
Examples:
  waypost channel list
  waypost channel rollback tool stable --reason \"1.8.2 does not start on Windows\""
    )]
    Channel(channel::ChannelCommand),
    /// Who changed what, when and why
    #[command(after_help = "\
Examples:
  waypost audit
  waypost audit --product tool --limit 0 --json")]
    Audit(audit::AuditArgs),
    /// Tokens for the admin listener
    #[command(subcommand, arg_required_else_help = true)]
    Admin(admin::AdminCommand),
    /// The origin: a look at it now, and an older state of it
    #[command(
        subcommand,
        arg_required_else_help = true,
        after_help = "\
Examples:
  waypost origin poll
  waypost origin accept --reason \"the origin was restored from last night's backup\""
    )]
    Origin(origin::OriginCommand),
    /// Tokens that entitle to private downloads
    #[command(subcommand, arg_required_else_help = true)]
    Token(token::TokenCommand),
    /// What mirrors hold, and orders to them
    #[command(subcommand, arg_required_else_help = true)]
    Mirror(mirror::MirrorCommand),
    /// Copies what a mirror should hold from the origin to a folder or to S3-compatible storage
    #[command(after_help = replicate::EXAMPLES)]
    Replicate(Box<replicate::ReplicateArgs>),
}

#[derive(Debug, Subcommand)]
enum ManifestCommand {
    /// Hashes a folder's files into an origin folder, as a release with its manifest, and enters it into the index
    #[command(after_help = "\
Doing it again with the same files changes nothing; a published file never changes.

Examples:
  waypost manifest create dist/ --origin /srv/origin --product tool --version 1.8.2 --channel stable
  waypost manifest create /srv/origin/tool/1.8.2 --in-place --origin /srv/origin --product tool --version 1.8.2")]
    Create(manifest::CreateArgs),
    /// Publishes what a pipeline's own list of files names, if all of it is there and matches
    #[command(after_help = "\
The list is dist-manifest.json (cargo-dist), artifacts.json (goreleaser), release.json (GitHub's API), or files of checksums
(SHA256SUMS, checksums.txt, NAME.sha256, …). All that lie there have to agree; sidecars of listed files come along.

Examples:
  waypost manifest import dist/ --origin /srv/origin --channel stable
  waypost manifest import files/ --origin /srv/origin --product tool --version 1.8.2 --channel stable
  gh api repos/OWNER/REPO/releases/tags/v1.8.2 > files/release.json
  waypost manifest import files/ --origin /srv/origin --product tool --channel stable --expect-platform linux-amd64")]
    Import(manifest::ImportArgs),
}

impl Cli {
    /// Does what was asked.
    pub fn run(self) -> ExitCode {
        let outcome = match self.command {
            Command::Serve(args) => finish(serve::run(args)),
            Command::Check(args) => finish(check::run(args)),
            Command::Demo(args) => finish(demo::run(args)),
            Command::Explain(args) => finish(explain::run(args)),
            Command::Manifest(ManifestCommand::Create(args)) => Ok(manifest::create(args)),
            Command::Manifest(ManifestCommand::Import(args)) => Ok(manifest::import(args)),
            Command::Release(command) => finish(release::run(command)),
            Command::Mirror(command) => finish(mirror::run(command)),
            Command::Channel(command) => finish(channel::run(command)),
            Command::Origin(command) => finish(origin::run(command)),
            Command::Audit(args) => finish(audit::run(args)),
            Command::Admin(command) => admin::run(command),
            Command::Token(command) => finish(token::run(command)),
            Command::Replicate(args) => finish(replicate::run(*args)),
        };
        outcome
            .unwrap_or_else(|error| {
                complain(format!("error: {error}"));
                error.exit()
            })
            .into()
    }
}

/// Runs a command to its end. What still runs in the background then does not hold the process.
fn finish(command: impl Future<Output = Result<Exit, CliError>>) -> Result<Exit, CliError> {
    let runtime = Builder::new_multi_thread().enable_all().build();
    let runtime =
        runtime.map_err(|error| CliError::Unknown(format!("threads cannot be started: {error}")))?;
    let outcome = runtime.block_on(command);
    runtime.shutdown_background();
    outcome
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_tree_of_commands_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_says_what_it_does_with_an_example() {
        fn look(command: &clap::Command, words: &str) {
            assert!(command.get_about().is_some(), "{words} says what it does");
            let mut inner = command.get_subcommands().filter(|inner| inner.get_name() != "help").peekable();
            if inner.peek().is_none() {
                let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
                assert!(help.contains(&format!("  {words}")), "{words} has an example: {help}");
            }
            inner.for_each(|inner| look(inner, &format!("{words} {}", inner.get_name())));
        }
        look(&Cli::command(), "waypost");
    }
}
