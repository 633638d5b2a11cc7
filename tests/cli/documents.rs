//! What documents tell to type is what the program takes.

use std::fs;
use std::path::Path;

use super::commands::{As, in_script, mentioned, refusal};

/// Documents, and how many commands each has at least: a reader that finds none would be content with anything.
const DOCUMENTS: [(&str, usize); 10] = [
    ("docs/private.md", 6),
    ("docs/releases.md", 25),
    ("docs/signals.md", 3),
    ("README.md", 10),
    ("deploy/README.md", 2),
    ("deploy/ci-github.yml", 4),
    ("deploy/ci-gitlab.yml", 4),
    ("geoip/README.md", 0),
    ("load-tests/README.md", 0),
    ("config/reference.toml", 3),
];

/// The lines of fenced blocks, and everything else.
fn told_apart(markdown: &str) -> (String, String) {
    let (mut blocks, mut rest, mut is_block) = (String::new(), String::new(), false);
    for line in markdown.lines() {
        if line.trim_start().starts_with("```") {
            is_block = !is_block;
            continue;
        }
        let into = if is_block { &mut blocks } else { &mut rest };
        into.push_str(line);
        into.push('\n');
    }
    (blocks, rest)
}

#[test]
fn every_command_in_the_documents_is_one_that_the_program_takes() {
    let mut refused = Vec::new();
    for (name, least) in DOCUMENTS {
        let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap();
        let (lines, mentions) = match name.rsplit_once('.') {
            Some((_, "yml")) => (text, String::new()),
            Some((_, "toml")) => (String::new(), text),
            _ => told_apart(&text),
        };
        let (lines, mentions) = (in_script(&lines), mentioned(&mentions));
        let count = lines.len() + mentions.len();
        assert!(count >= least, "{name}: only {count} commands were found");
        let of = |words: &[String], shown| refusal(words, shown).map(|why| format!("{name}: {why}"));
        refused.extend(lines.iter().filter_map(|words| of(words, As::Line)));
        refused.extend(mentions.iter().filter_map(|words| of(words, As::Mention)));
    }
    assert!(refused.is_empty(), "{}", refused.join("\n"));
}
