//! Commands as texts show them, and whether the program takes them.

use clap::Parser;
use clap::error::ErrorKind;
use waypost::cli::Cli;

/// How a text shows a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum As {
    /// As a line to type: all of it has to be there.
    Line,
    /// In a sentence, where arguments may be left out.
    Mention,
}

/// Why the program does not take a command; `None` where it does.
pub fn refusal(words: &[String], shown: As) -> Option<String> {
    let error = Cli::try_parse_from(words).err()?;
    let is_fine = match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => true,
        ErrorKind::MissingRequiredArgument | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            shown == As::Mention
        }
        _ => false,
    };
    (!is_fine).then(|| format!("{}: {error}", words.join(" ")))
}

/// Every `waypost` in the lines of a script, as words.
pub fn in_script(script: &str) -> Vec<Vec<String>> {
    let joined = script.replace("\\\n", " ");
    joined.lines().flat_map(simple_commands).filter_map(after_prefixes).collect()
}

/// What stands in backticks and begins with `waypost`. Where a table's row begins with one, what follows after a comma, as
/// in "`waypost mirror drain NAME`, `undrain`", is another verb of the same noun.
pub fn mentioned(text: &str) -> Vec<Vec<String>> {
    let mut found: Vec<Vec<String>> = Vec::new();
    for line in text.lines() {
        let parts: Vec<&str> = line.split('`').collect();
        let mut row_of = None;
        for (before, span) in parts.chunks(2).filter_map(|pair| Some((pair[0], *pair.get(1)?))) {
            row_of = row_of.filter(|_| before == ", ");
            let words = simple_commands(span).into_iter().next().unwrap_or_default();
            match (&words[..], &row_of) {
                ([program, noun, ..], _) if program == "waypost" => {
                    row_of = (before == "| ").then(|| [program.clone(), noun.clone()]);
                    found.push(words);
                }
                ([_, ..], Some(noun)) => found.push([&noun[..], &words].concat()),
                _ => {}
            }
        }
    }
    found
}

/// Cuts a line of a script at what separates commands, each into words; without redirections and comments.
fn simple_commands(line: &str) -> Vec<Vec<String>> {
    let (mut commands, mut words, mut word) = (Vec::new(), Vec::new(), String::new());
    let (mut quote, mut is_quoted) = (None, false);
    let mut chars = line.chars().peekable();
    let end_word = |words: &mut Vec<String>, word: &mut String, is_quoted: &mut bool| {
        if *is_quoted || !matches!(word.as_str(), "" | "…" | "...") {
            words.push(filled(word, *is_quoted));
        }
        word.clear();
        *is_quoted = false;
    };
    while let Some(c) = chars.next() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (Some('"'), '$') if chars.peek() == Some(&'(') => word.push(c),
            (Some(_), c) => word.push(c),
            (None, '"' | '\'') => (quote, is_quoted) = (Some(c), true),
            (None, '#') if word.is_empty() && !is_quoted => break,
            (None, '|' | ';' | '&' | '(' | ')') => {
                end_word(&mut words, &mut word, &mut is_quoted);
                commands.push(std::mem::take(&mut words));
            }
            (None, c) if c.is_whitespace() => end_word(&mut words, &mut word, &mut is_quoted),
            (None, c) => word.push(c),
        }
    }
    end_word(&mut words, &mut word, &mut is_quoted);
    commands.push(words);
    for words in &mut commands {
        let redirection =
            words.iter().position(|word| word.starts_with(['>', '<']) || word.starts_with("2>"));
        words.truncate(redirection.unwrap_or(words.len()));
    }
    commands
}

/// A word with a value where a text has a placeholder or a variable; brackets around what may be left out go.
fn filled(word: &str, is_quoted: bool) -> String {
    let word = if is_quoted { word } else { word.trim_matches(['[', ']']) };
    let name = word.trim_start_matches(['$', '{']).trim_end_matches('}');
    let is_placeholder = word.contains('$') || word.chars().all(|c| c.is_ascii_uppercase() || c == '_');
    match name {
        _ if !is_placeholder => word.replace('…', "x"),
        _ if name.contains("VERSION") => "1.8.2".to_owned(),
        _ if name.contains("ADMIN") || name.contains("URL") => "https://waypost.example".to_owned(),
        "IP" => "203.0.113.5".to_owned(),
        "ROLE" => "release".to_owned(),
        _ => word.to_owned(),
    }
}

/// The command without what stands before it: a list's dash, YAML's `run:`, a prompt, settings, `sudo`.
fn after_prefixes(mut words: Vec<String>) -> Option<Vec<String>> {
    while let Some(first) = words.first() {
        let count = match first.as_str() {
            "waypost" => return Some(words),
            "sudo" => 3,
            "-" | "$" | "run:" | "exec" | "if" | "!" => 1,
            setting if setting.contains('=') => 1,
            _ => return None,
        };
        words.drain(..count.min(words.len()));
    }
    None
}

#[test]
fn commands_are_found_wherever_a_shell_would_find_them() {
    let script = "# waypost none\n$ sudo -u waypost waypost check   # all\nUSER=ann waypost audit > out\n- run: waypost demo\n\
                  waypost mirror files fra \\\n  --missing | rsync -t 'waypost x' && waypost origin poll; echo waypost\n\
                  waypost release withdraw tool $VERSION --reason \"it's # bad\" [--replacement 1.8.3]";
    let found: Vec<String> = in_script(script).iter().map(|words| words.join("·")).collect();
    assert_eq!(
        found,
        [
            "waypost·check",
            "waypost·audit",
            "waypost·demo",
            "waypost·mirror·files·fra·--missing",
            "waypost·origin·poll",
            "waypost·release·withdraw·tool·1.8.2·--reason·it's # bad·--replacement·1.8.3",
        ]
    );
    let text = "| `waypost mirror drain NAME`, `undrain` or `x` | `waypost_copies`, `x` | `waypost check`, `y` |\n\
                `x` in `waypost release gate`, `y` in `waypost.db`";
    let found: Vec<String> = mentioned(text).iter().map(|words| words.join(" ")).collect();
    assert_eq!(
        found,
        ["waypost mirror drain NAME", "waypost mirror undrain", "waypost check", "waypost release gate"]
    );
}

#[test]
fn a_command_that_the_program_does_not_take_is_noticed() {
    let refused = |line: &str, shown| in_script(line).iter().any(|words| refusal(words, shown).is_some());
    for line in [
        "waypost mirrors list",
        "waypost mirror lst",
        "waypost release gate tool 1.8.2 --wait",
        "waypost release gate tool stable",
        "waypost mirror files fra --format tar",
    ] {
        assert!(refused(line, As::Line) && refused(line, As::Mention), "{line}");
    }
    assert!(refused("waypost release gate", As::Line) && !refused("waypost release gate", As::Mention));
    assert!(!refused("waypost release gate tool 1.8.2", As::Line));
}
