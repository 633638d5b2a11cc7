//! The `waypost` command.

use std::process::ExitCode;

use clap::Parser;
use waypost::cli::Cli;

fn main() -> ExitCode {
    Cli::parse().run()
}
