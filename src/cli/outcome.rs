//! How a command ends: what it prints, and its exit code.

use std::io::Write;
use std::process::ExitCode;

/// How a command ended, as scripts see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// 0: done.
    Done,
    /// 1: the answer is no: a file is bad, or there is no such thing.
    No,
    /// 2: wrong usage or configuration.
    Usage,
    /// 3: could not find out: the service did not answer.
    Unknown,
    /// 130: interrupted twice, as shells number it (128 + SIGINT).
    Interrupted,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Done => 0,
            Exit::No => 1,
            Exit::Usage => 2,
            Exit::Unknown => 3,
            Exit::Interrupted => 130,
        })
    }
}

/// Why a command could not do what it was asked. The message says what to do.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// The answer is no.
    #[error("{0}")]
    No(String),
    /// Wrong usage or configuration.
    #[error("{0}")]
    Usage(String),
    /// The service did not answer.
    #[error("{0}")]
    Unknown(String),
}

impl CliError {
    /// The exit code that goes with it.
    pub fn exit(&self) -> Exit {
        match self {
            Self::No(_) => Exit::No,
            Self::Usage(_) => Exit::Usage,
            Self::Unknown(_) => Exit::Unknown,
        }
    }
}

/// Prints a line, or several, to standard output.
pub fn print(text: impl AsRef<str>) {
    // Nobody is left to tell when it is closed, as `| head` does; so below.
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{}", text.as_ref().trim_end_matches('\n'));
    let _ = out.flush();
}

/// Prints a line, or several, to standard error.
pub fn complain(text: impl AsRef<str>) {
    let _ = writeln!(std::io::stderr(), "{}", text.as_ref().trim_end_matches('\n'));
}

/// Text from elsewhere, fit for a terminal: control characters are written out, and what is longer than `max`
/// characters is cut.
pub fn printable(text: &str, max: usize) -> String {
    let mut shown = String::with_capacity(text.len().min(max));
    for (count, character) in text.chars().enumerate() {
        if count == max {
            shown.push('…');
            break;
        }
        match character.is_control() {
            true => shown.extend(character.escape_default()),
            false => shown.push(character),
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_from_mirrors_cannot_move_the_cursor_and_has_an_end() {
        assert_eq!(printable("<a>\u{1b}[2J\n\u{9b}ü", 80), "<a>\\u{1b}[2J\\n\\u{9b}ü");
        assert_eq!(printable("abcdef", 3), "abc…");
        assert_eq!(printable("abc", 3), "abc");
    }
}
