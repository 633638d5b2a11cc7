//! Every command says in its help what it does, and its examples are ones that the program takes.

use clap::{Command, CommandFactory};
use waypost::cli::Cli;

use super::commands::{As, in_script, refusal};
use super::waypost;

/// Every command with its path, the program itself first.
fn all() -> Vec<(Vec<String>, Command)> {
    let mut found = vec![(Vec::new(), Cli::command())];
    let mut at = 0;
    while let Some((path, command)) = found.get(at).cloned() {
        let below = command.get_subcommands().map(|one| {
            let name = one.get_name().to_owned();
            (path.iter().cloned().chain([name]).collect(), one.clone())
        });
        found.extend(below);
        at += 1;
    }
    found
}

#[test]
fn every_command_and_every_argument_says_what_it_does() {
    let commands = all();
    assert!(commands.len() > 30, "{}", commands.len());
    for (path, command) in &commands {
        let about = command.get_about().map(ToString::to_string).unwrap_or_default();
        assert!(about.len() > 10 && !about.ends_with('.') && !about.contains('\n'), "{path:?}: {about:?}");
        for argument in command.get_arguments() {
            let help = argument.get_help().map(ToString::to_string).unwrap_or_default();
            assert!(help.len() > 5, "{path:?} {}: {help:?}", argument.get_id());
        }
        let args: Vec<&str> = path.iter().map(String::as_str).chain(["--help"]).collect();
        let ran = waypost(&args);
        // A long line is wrapped.
        let said = ran.out.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(ran.code == 0 && said.starts_with(&about), "{path:?}: {said}");
    }
}

#[test]
fn every_example_in_the_help_is_one_that_the_program_takes() {
    let mut examples = 0;
    for (path, command) in all() {
        let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        for words in in_script(&help) {
            examples += 1;
            assert_eq!(refusal(&words, As::Line), None, "{path:?}");
        }
    }
    assert!(examples >= 20, "{examples}");
}
