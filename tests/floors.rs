//! The house rules that a machine can check: a room imports from lower floors only, files and functions stay short,
//! and no test sleeps or is skipped.
#![allow(clippy::unwrap_used, missing_docs)]

use std::fs;
use std::path::{Path, PathBuf};

/// Every room and its floor. A new room gets its line here first.
const FLOORS: &[(&str, u8)] = &[
    ("main", 7),
    ("cli", 7),
    ("app", 6),
    ("admin", 5),
    ("workers", 4),
    ("redirect", 3),
    ("store", 3),
    ("server", 3),
    ("replicate", 2),
    ("routing", 2),
    ("snapshot", 2),
    ("client", 1),
    ("catalog", 1),
    ("health", 1),
    ("entitlement", 1),
    ("links", 1),
    ("deliveries", 1),
    ("config", 1),
    ("fetch", 1),
    ("model", 0),
    ("metrics", 0),
    ("tasks", 0),
];

const MOST_LINES_IN_A_FILE: usize = 500;
const MOST_LINES_IN_A_FUNCTION: usize = 80;

#[test]
fn rooms_import_from_lower_floors_only() {
    report(sources("src").iter().flat_map(|(path, text)| floor_faults(path, text)));
}

#[test]
fn files_and_functions_stay_short() {
    report(sources("src").iter().flat_map(|(path, text)| length_faults(path, text)));
}

#[test]
fn the_reference_of_the_configuration_stays_short() {
    report(
        length_faults(Path::new("config/reference.toml"), include_str!("../config/reference.toml"))
            .into_iter(),
    );
}

#[test]
fn no_test_sleeps_or_is_ignored() {
    let tests = sources("tests");
    assert!(!tests.is_empty());
    report(tests.iter().flat_map(|(path, text)| sleep_faults(path, text)));
    report(sources("src").iter().flat_map(|(path, text)| ignore_faults(path, text)));
}

// The checkers: each takes a path relative to the package and the text of the file, and names the faults.

fn floor_faults(path: &Path, text: &str) -> Vec<String> {
    let Some(room) = room_of(path) else { return Vec::new() };
    let Some(own) = floor_of(&room) else {
        return vec![format!("{}: the room `{room}` has no floor: add it to FLOORS", path.display())];
    };
    let code = without_comments_and_literals(text);
    let mut faults = Vec::new();
    for (line, target) in crate_references(&code) {
        let place = format!("{}:{line}", path.display());
        match floor_of(&target) {
            _ if target == room || target == "self" => {}
            None => {
                faults.push(format!("{place}: `crate::{target}` is no room: name the room it comes from"))
            }
            Some(floor) if floor < own || is_neighbour_allowed(&room, own, &target) => {}
            Some(floor) => {
                faults.push(format!("{place}: `{room}` (floor {own}) uses `{target}` (floor {floor})"))
            }
        }
    }
    faults.extend(root_reached_by_super(path, &code));
    faults
}

/// The two references between rooms of one floor that the design allows.
fn is_neighbour_allowed(room: &str, floor: u8, target: &str) -> bool {
    (floor == 1 && target == "config") && room != "config" || (room == "snapshot" && target == "routing")
}

/// `use super::…` that climbs out of its room; it would hide a reference from the check of floors.
fn root_reached_by_super(path: &Path, code: &str) -> Vec<String> {
    let depth = module_depth(path);
    let climbs = |line: &&str| {
        // Inline modules are indented and one level deeper; rustfmt sees to that.
        let path = line.trim_start_matches("pub ").strip_prefix("use ");
        path.is_some_and(|path| path.matches("super::").count() >= depth)
    };
    let lines = code.lines().enumerate().filter(|(_, line)| climbs(line));
    lines.map(|(n, _)| format!("{}:{}: write `crate::` for another room", path.display(), n + 1)).collect()
}

fn length_faults(path: &Path, text: &str) -> Vec<String> {
    let mut faults = Vec::new();
    let lines = text.lines().count();
    if lines > MOST_LINES_IN_A_FILE {
        faults.push(format!("{}: {lines} lines, more than {MOST_LINES_IN_A_FILE}", path.display()));
    }
    for function in functions(&without_comments_and_literals(text)) {
        if function.lines > MOST_LINES_IN_A_FUNCTION {
            let Function { name, line, lines } = function;
            let limit = MOST_LINES_IN_A_FUNCTION;
            faults.push(format!("{}:{line}: `{name}` has {lines} lines, more than {limit}", path.display()));
        }
    }
    faults
}

fn sleep_faults(path: &Path, text: &str) -> Vec<String> {
    let code = without_comments_and_literals(text);
    let sleeps = words(&code).filter(|(_, word)| ["sleep", "sleep_until"].contains(word));
    let mut faults: Vec<String> = sleeps
        .map(|(at, _)| {
            format!(
                "{}:{}: a test that sleeps: wait for what it waits for",
                path.display(),
                line_at(&code, at)
            )
        })
        .collect();
    faults.extend(ignore_faults(path, text));
    faults
}

fn ignore_faults(path: &Path, text: &str) -> Vec<String> {
    let code = without_comments_and_literals(text);
    let ignored = code.match_indices("#[ignore");
    ignored.map(|(at, _)| format!("{}:{}: an ignored test", path.display(), line_at(&code, at))).collect()
}

// Reading Rust as far as the checks need it.

/// The room that a file belongs to; none for `src/lib.rs`, which only lists the rooms.
fn room_of(path: &Path) -> Option<String> {
    let first = path.strip_prefix("src").ok()?.components().next()?.as_os_str().to_str()?;
    let room = first.trim_end_matches(".rs");
    (room != "lib").then(|| room.to_owned())
}

fn floor_of(room: &str) -> Option<u8> {
    FLOORS.iter().find(|(name, _)| *name == room).map(|(_, floor)| *floor)
}

/// How many `super::` lead from a file's module to the crate's root.
fn module_depth(path: &Path) -> usize {
    path.components().count() - 1 - usize::from(path.ends_with("mod.rs"))
}

/// Line and first segment of every `crate::…` path, those in `crate::{…}` groups included.
fn crate_references(code: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (at, _) in words(code).filter(|(_, word)| *word == "crate") {
        let Some(rest) = code[at..].strip_prefix("crate::") else { continue };
        let line = line_at(code, at);
        match rest.strip_prefix('{') {
            Some(group) => found.extend(group_heads(group).into_iter().map(|head| (line, head))),
            None => found.push((line, leading_word(rest))),
        }
    }
    found
}

/// The first word of each item of a `{…}` group that is already open.
fn group_heads(group: &str) -> Vec<String> {
    let (mut depth, mut start, mut heads) = (0_usize, 0, Vec::new());
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            ',' | '}' if depth == 0 => {
                heads.push(leading_word(group[start..at].trim_start()));
                start = at + 1;
                if c == '}' {
                    break;
                }
            }
            _ => {}
        }
    }
    heads.retain(|head| !head.is_empty());
    heads
}

#[derive(Debug, PartialEq)]
struct Function {
    name: String,
    line: usize,
    lines: usize,
}

/// Every function with a body, and how many lines it takes from its `fn` to its closing brace.
fn functions(code: &str) -> Vec<Function> {
    let mut found = Vec::new();
    for (at, _) in words(code).filter(|(_, word)| *word == "fn") {
        let name = leading_word(code[at + 2..].trim_start());
        let Some(length) = body_end(&code[at..]).filter(|_| !name.is_empty()) else { continue };
        found.push(Function { name, line: line_at(code, at), lines: line_at(&code[at..], length) });
    }
    found
}

/// Where the first `{…}` outside of parentheses and brackets closes; none when a `;` comes first.
fn body_end(code: &str) -> Option<usize> {
    let (mut inner, mut braces) = (0_i32, 0_i32);
    for (at, c) in code.char_indices() {
        match c {
            '(' | '[' => inner += 1,
            ')' | ']' => inner -= 1,
            ';' if inner == 0 && braces == 0 => return None,
            '{' => braces += 1,
            '}' => {
                braces -= 1;
                if braces == 0 && inner == 0 {
                    return Some(at);
                }
            }
            _ => {}
        }
    }
    None
}

fn words(code: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut rest = 0;
    std::iter::from_fn(move || {
        let start = rest + code[rest..].find(is_word)?;
        let end = code[start..].find(|c| !is_word(c)).map_or(code.len(), |length| start + length);
        rest = end;
        Some((start, &code[start..end]))
    })
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn leading_word(code: &str) -> String {
    code.chars().take_while(|c| is_word(*c)).collect()
}

fn line_at(code: &str, at: usize) -> usize {
    code[..at].matches('\n').count() + 1
}

/// The text with comments, strings and characters taken out and its line breaks kept.
fn without_comments_and_literals(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let follows_word = code.ends_with(is_word);
        let length = match c {
            '/' if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
            '/' if rest.starts_with("/*") => block_comment_length(rest),
            '"' => quoted_length(rest),
            'r' | 'b' | 'c' if !follows_word => prefixed_literal_length(rest),
            '\'' => character_length(rest),
            _ => 0,
        };
        if length == 0 {
            code.push(c);
            rest = &rest[c.len_utf8()..];
        } else {
            code.extend(rest[..length].chars().filter(|c| *c == '\n'));
            rest = &rest[length..];
        }
    }
    code
}

fn block_comment_length(text: &str) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while let Some(next) = text[at..].find(['/', '*']) {
        at += next;
        if text[at..].starts_with("/*") {
            (depth, at) = (depth + 1, at + 2);
        } else if text[at..].starts_with("*/") {
            (depth, at) = (depth - 1, at + 2);
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    text.len()
}

/// The length of a `"…"`, or of a `'…'` that is known to be a character.
fn quoted_length(text: &str) -> usize {
    let mut characters = text.char_indices();
    let quote = characters.next().map(|(_, c)| c);
    while let Some((at, c)) = characters.next() {
        if c == '\\' {
            characters.next();
        } else if Some(c) == quote {
            return at + 1;
        }
    }
    text.len()
}

/// The length of `r"…"`, `r#"…"#`, `b"…"`, `br"…"`, `b'…'`, `c"…"`; 0 for an ordinary word.
fn prefixed_literal_length(text: &str) -> usize {
    let prefix = text.find(|c| !"rbc".contains(c)).unwrap_or(text.len());
    let hashes = text[prefix..].chars().take_while(|c| *c == '#').count();
    let raw = text[..prefix].ends_with('r');
    let quote = &text[prefix + hashes..];
    if raw && quote.starts_with('"') {
        let end = format!("\"{}", "#".repeat(hashes));
        let body = prefix + hashes + 1;
        return text[body..].find(&end).map_or(text.len(), |at| body + at + end.len());
    }
    match quote.chars().next() {
        Some('"' | '\'') if hashes == 0 && prefix <= 2 => prefix + quoted_length(quote),
        _ => 0,
    }
}

/// The length of `'x'` or `'\n'`; 0 for a lifetime.
fn character_length(text: &str) -> usize {
    let mut inside = text.chars().skip(1);
    match (inside.next(), inside.next()) {
        (Some('\\'), _) | (Some(_), Some('\'')) => quoted_length(text),
        _ => 0,
    }
}

/// The `.rs` files of a folder of this package, with paths relative to the package.
fn sources(folder: &str) -> Vec<(PathBuf, String)> {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (mut folders, mut found) = (vec![package.join(folder)], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                found.push((path.strip_prefix(package).unwrap().to_owned(), text));
            }
        }
    }
    found.sort();
    found
}

fn report(faults: impl Iterator<Item = String>) {
    let faults: Vec<String> = faults.collect();
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}

// The checkers see what they are there for.

#[track_caller]
fn assert_floors(path: &str, text: &str, expected: usize) {
    let faults = floor_faults(Path::new(path), text);
    assert_eq!(faults.len(), expected, "{path}: {text}: {faults:?}");
}

#[test]
fn an_import_from_a_higher_floor_is_found() {
    assert_floors("src/client/mod.rs", "use crate::redirect::Answer;", 1);
    assert_floors("src/client/mod.rs", "fn f() -> crate::redirect::Answer {}", 1);
    assert_floors("src/model/name.rs", "use crate::{model::Digest, tasks::Tasks};", 1);
    assert_floors("src/routing/pick.rs", "use crate::{\n    model::{Digest, Name},\n    app::App,\n};", 1);
    assert_floors("src/redirect/mod.rs", "use crate::{client::Place, routing::{pick, rank}};", 0);
    assert_floors("src/app.rs", "pub(crate) use crate::workers::Handle;", 0);
}

#[test]
fn an_import_from_a_neighbour_is_found_unless_the_design_allows_it() {
    assert_floors("src/client/mod.rs", "use crate::health::Standing;", 1);
    assert_floors("src/client/mod.rs", "use crate::config::GeoIp;", 0);
    assert_floors("src/config/file.rs", "use crate::client::Place;", 1);
    assert_floors("src/snapshot.rs", "use crate::routing::Ranking;", 0);
    assert_floors("src/routing/mod.rs", "use crate::snapshot::Snapshot;", 1);
    assert_floors("src/main.rs", "use crate::cli::run;", 1);
}

#[test]
fn an_unknown_room_and_a_way_around_the_floors_are_found() {
    assert_floors("src/utils/mod.rs", "", 1);
    assert_floors("src/client/mod.rs", "use crate::Answer;", 1);
    assert_floors("src/client/mod.rs", "use super::redirect::Answer;", 1);
    assert_floors("src/client/network.rs", "use super::super::redirect::Answer;", 1);
    assert_floors(
        "src/client/network.rs",
        "use super::Place;\nmod tests {\n    use super::super::Place;\n}",
        0,
    );
    assert_floors("src/lib.rs", "pub mod app;", 0);
}

#[test]
fn comments_and_literals_are_no_references() {
    assert_floors("src/model/name.rs", "/// See [`crate::redirect`].\n/* crate::app /* crate::cli */ */", 0);
    assert_floors(
        "src/model/name.rs",
        r####"const A: &str = "\"crate::app"; const B: &str = r#""crate::app"#;"####,
        0,
    );
    assert_floors("src/model/name.rs", "const Q: char = '\"'; use crate::app::App; const R: char = '\"';", 1);
    assert_floors("src/model/name.rs", "fn f<'a>(x: &'a str, b: u8) { b == b'\"' } use crate::app::App;", 1);
}

#[test]
fn a_long_file_and_a_long_function_are_found() {
    let path = Path::new("src/model/name.rs");
    assert!(length_faults(path, &"\n".repeat(MOST_LINES_IN_A_FILE)).is_empty());
    assert_eq!(length_faults(path, &"\n".repeat(MOST_LINES_IN_A_FILE + 1)).len(), 1);

    let function = |lines| format!("fn long(x: [u8; 3]) -> u8 {{\n{}}}\n", "    \"}\";\n".repeat(lines - 2));
    assert!(length_faults(path, &function(MOST_LINES_IN_A_FUNCTION)).is_empty());
    assert_eq!(length_faults(path, &function(MOST_LINES_IN_A_FUNCTION + 1)).len(), 1);
}

#[test]
fn functions_are_measured_from_their_name_to_their_closing_brace() {
    let code = "trait T {\n    fn none(&self);\n    fn one() {}\n}\nstruct S(fn(u8));\nfn three() {\n    if x {}\n}\n";
    let found = functions(code);
    let expected = [("one", 3, 1), ("three", 6, 3)];
    let expected = expected.map(|(name, line, lines)| Function { name: name.to_owned(), line, lines });
    assert_eq!(found, expected);
}

#[test]
fn a_sleeping_or_ignored_test_is_found() {
    let path = Path::new("tests/x.rs");
    let faults = |text| sleep_faults(path, text).len();
    assert_eq!(faults("std::thread::sleep(second);"), 1);
    assert_eq!(faults("use tokio::time::{self, sleep};"), 1);
    assert_eq!(faults("#[ignore = \"slow\"]\n#[test]"), 1);
    assert_eq!(faults("// thread::sleep\nlet program = \"sleep\";\ntokio::time::timeout(second, work);"), 0);
}
