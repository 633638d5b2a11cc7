//! The big world of `load-tests/run`: makes it, and measures what the writer does in it. Uses what the library makes
//! public and nothing else.

mod cost;
mod hash;
mod publish;
mod random;
mod world;

use std::error::Error;

use clap::Parser;

/// Anything that ends the program with a message.
type Failure = Box<dyn Error + Send + Sync>;

/// Makes a world of a given size, and measures the writer in it.
#[derive(Debug, Parser)]
enum Command {
    /// Writes an origin, the mirrors and a warm state folder for a configuration that includes `world.toml`
    World(world::Arguments),
    /// Opens the state as `serve` does and prints what the writer's work costs, as JSON; changes the state
    Publish(publish::Arguments),
    /// Hashes memory as verification does and prints the rate, as JSON
    Hash(hash::Arguments),
}

fn main() -> Result<(), Failure> {
    match Command::parse() {
        Command::World(arguments) => world::make(&arguments),
        Command::Publish(arguments) => publish::measure(&arguments),
        Command::Hash(arguments) => hash::measure(&arguments),
    }
}
