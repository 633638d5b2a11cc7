//! Files that are enormous, damaged or no configuration at all: refused in bounded time, never a panic.

use std::fs;
use std::path::Path;

use proptest::prelude::*;
use waypost::config::{load, parse};

use super::{BASE, FILE, folder, project_file, read, refused};

#[test]
fn files_that_are_no_configuration_are_refused_as_a_whole() {
    let folder = folder(&[]);
    let file = folder.path().join("waypost.toml");
    let message = |bytes: &[u8]| {
        fs::write(&file, bytes).unwrap();
        load(&file).unwrap_err().to_string()
    };
    assert!(message(b"# \xff").contains("is not UTF-8 (line 1)"));
    assert!(message(&vec![b'#'; (16 << 20) + 1]).contains("larger than 16 MiB"));
    assert!(load(folder.path()).unwrap_err().to_string().contains("not a regular file"));
    assert!(load(&folder.path().join("none")).unwrap_err().to_string().contains("cannot be read"));
    assert!(load(Path::new("/dev/zero")).unwrap_err().to_string().contains("not a regular file"));
    let deep = format!("{BASE}layout = {}", "[".repeat(100_000));
    assert!(!message(deep.as_bytes()).is_empty());
    // A byte order mark, as some editors write it.
    fs::write(&file, format!("\u{feff}{BASE}")).unwrap();
    load(&file).unwrap();
}

#[test]
fn counts_are_bounded() {
    let many = |count: usize, line: &dyn Fn(usize) -> String| (0..count).map(line).collect::<String>();
    let mirrors = many(4096, &|i| format!("[[mirror]]\nname = \"m{i}\"\nurl = \"https://m.example\"\n"));
    refused(&format!("{BASE}{mirrors}"), "12291:1: mirror[4096]:", "more than 4096");
    let regions = many(1025, &|i| format!("[[region]]\nname = \"r{i}\"\n"));
    refused(&format!("{BASE}{regions}"), "2054:1: region[1024]:", "more than 1024");
    let networks = many(10_001, &|i| format!("\"10.{}.{}.0/24\",", i / 256, i % 256));
    refused(
        &format!("{BASE}[[client_network]]\nasn = 1\ncidr = [{networks}]\n"),
        "6:1: client_network[0]:",
        "more than 10000",
    );
    let unknown = many(5000, &|i| format!("k{i} = 1\n"));
    assert_eq!(read(&format!("{BASE}{unknown}")).unwrap_err().len(), 1000);
    // In one line, where the place of each is far from the line's beginning.
    let bad = "1,".repeat(500_000);
    assert_eq!(read(&format!("{BASE}[server]\ntrusted_proxies = [{bad}]")).unwrap_err().len(), 1000);
    let names = many(200_000, &|i| format!("\"c{i}\","));
    read(&format!("{BASE}[[product]]\nname = \"p\"\nchannels = [{names}]")).unwrap();
    assert_eq!(read(&"= ".repeat(500_000)).unwrap_err().len(), 1);
}

#[test]
fn a_message_is_one_line_whatever_the_file_holds() {
    for more in [
        "\"a\\nb\" = 1",
        "region = \"a\\nb\"",
        "layout = \"\\n\"",
        "[log]\nlevel = \"a\\nb=c\"",
        "country = \"\\n\"",
    ] {
        let text = format!("{BASE}{more}");
        let problems = parse(&text, Path::new(FILE)).unwrap_err();
        assert_eq!(problems.to_string().lines().count(), problems.iter().count(), "{problems}");
    }
    let long = format!("{BASE}region = \"{}\"", "x".repeat(100_000));
    assert!(read(&long).unwrap_err()[0].to_string().len() < 300);
}

/// Whatever `text` is, reading ends with values or with problems that have a place in it.
fn never_panics(text: &str) {
    if let Err(problems) = parse(text, Path::new(FILE)) {
        assert!(problems.iter().count() > 0);
        let lines = text.split('\n').count();
        for problem in problems.iter() {
            assert!((1..=lines).contains(&problem.line) && problem.column > 0, "{problem}\n{text}");
            assert!(!problem.message.is_empty() && !problem.remedy.is_empty());
        }
    }
}

fn reference() -> String {
    fs::read_to_string(project_file("reference.toml")).unwrap()
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in "\\PC{0,200}") {
        never_panics(&text);
    }

    #[test]
    fn any_toml_like_text_is_read_or_refused(
        words in proptest::collection::vec(
            proptest::sample::select(vec![
                "[", "]", "[[mirror]]", "[server]", "include", "=", "\"*\"", "\n", "{", "}", ",", ".", "1", "\"a\"",
                "url", "origin", "'", "\"\"\"", "#", "é", "\r", "regions", "only", "layout", "1.5", "true",
            ]),
            0..60,
        ),
    ) {
        never_panics(&words.concat());
    }

    #[test]
    fn a_damaged_reference_is_read_or_refused(
        cuts in proptest::collection::vec((any::<proptest::sample::Index>(), 0usize..40, "\\PC{0,6}"), 1..5),
    ) {
        let mut text: Vec<char> = reference().chars().collect();
        for (at, length, insert) in cuts {
            let at = at.index(text.len());
            let end = (at + length).min(text.len());
            text.splice(at..end, insert.chars());
        }
        never_panics(&text.into_iter().collect::<String>());
    }
}
