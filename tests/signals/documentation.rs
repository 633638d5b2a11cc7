//! `docs/signals.md` names every row and every metric, and nothing that is not there; `deploy/alerts.yaml` watches what is.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use super::site::EU;
use super::{FILE, HERE, OLD, SEEN, started, two_mirrors};

/// How many rows each group of signals has, the first number, and the last.
const GROUPS: [(&str, u32, u32); 9] = [
    ("A", 1, 7),
    ("P", 1, 5),
    ("F", 1, 4),
    ("I", 1, 5),
    ("R", 0, 5),
    ("C", 1, 7),
    ("T", 1, 6),
    ("E", 1, 4),
    ("Q", 1, 5),
];
/// What is known of releases and callers without traffic, or from decisions alone.
const SEEN_HERE: [&str; 21] = [
    "A6", "A7", "P4", "I4", "I5", "R1", "R2", "R3", "R4", "R5", "C1", "C2", "C3", "C4", "C5", "C6", "C7",
    "E1", "E2", "E3", "Q3",
];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A metric's name and what stands in braces after it, wherever a text names one; the names of a histogram's series are
/// those of the histogram.
fn named(text: &str) -> Vec<(String, Option<&str>)> {
    let is_name = |c: char| c.is_ascii_lowercase() || c == '_';
    let found = text.match_indices("waypost_").map(|(at, _)| {
        let rest = &text[at..];
        let name = &rest[..rest.find(|c| !is_name(c)).unwrap_or(rest.len())];
        let braces = rest[name.len()..].strip_prefix('{').and_then(|rest| rest.split_once('}'));
        let series = ["_bucket", "_count", "_sum"].iter().find_map(|end| name.strip_suffix(end));
        (series.unwrap_or(name).to_owned(), braces.map(|(labels, _)| labels))
    });
    found.collect()
}

/// Every metric that is registered: their names are constants of the room that registers them.
fn registered() -> BTreeSet<String> {
    let files = fs::read_dir(root().join("src/metrics")).unwrap().map(|file| file.unwrap().path());
    let constants = |file: PathBuf| {
        let text = read(file).split("mod tests").next().unwrap().to_owned();
        let quoted = text.split('"').skip(1).step_by(2).filter(|quoted| quoted.starts_with("waypost_"));
        quoted.map(str::to_owned).collect::<Vec<_>>()
    };
    files.flat_map(constants).collect()
}

fn names(text: &str) -> BTreeSet<String> {
    named(text).into_iter().map(|(name, _)| name).collect()
}

#[test]
fn every_metric_is_documented_and_every_documented_metric_is_there() {
    let (registered, page) = (registered(), names(&read("docs/signals.md")));
    assert!(registered.len() > 30, "{registered:?}");
    let documented: BTreeSet<String> = page.union(&names(&read("README.md"))).cloned().collect();
    let missing: Vec<_> = registered.difference(&documented).collect();
    assert!(missing.is_empty(), "name them in docs/signals.md: {missing:?}");
    for file in [
        "docs/signals.md",
        "docs/private.md",
        "docs/releases.md",
        "README.md",
        "deploy/README.md",
        "deploy/alerts.yaml",
    ] {
        let gone: Vec<String> = names(&read(file)).difference(&registered).cloned().collect();
        assert!(gone.is_empty(), "{file} names what is not registered: {gone:?}");
    }
}

#[test]
fn the_page_has_every_row_once() {
    let page = read("docs/signals.md");
    for (group, first, last) in GROUPS {
        for number in first..=last {
            let row = format!("| {group}{number} | ");
            let lines: Vec<&str> = page.lines().filter(|line| line.starts_with(&row)).collect();
            assert_eq!(lines.len(), 1, "{row}");
            assert_eq!(lines[0].matches(" | ").count(), 2, "a question and an answer: {}", lines[0]);
        }
    }
}

#[test]
fn every_row_that_decisions_and_looks_tell_is_answered_and_seen_to_change_by_a_test_that_is_there() {
    let page = read("docs/signals.md");
    for row in SEEN_HERE {
        let line = page.lines().find(|line| line.starts_with(&format!("| {row} | "))).unwrap();
        let answer = line.rsplit(" | ").next().unwrap();
        assert!(answer.contains('`') && !answer.starts_with("not yet"), "{line}");
        assert!(SEEN.iter().any(|(seen, ..)| *seen == row), "{row}");
    }
    for (row, file, test) in SEEN {
        assert!(SEEN_HERE.contains(row) && (*file == HERE || file.ends_with(".rs")), "{row}");
        let text = read(format!("tests/{file}"));
        assert!(text.contains(&format!("async fn {test}()")), "{row}: {file} has no {test}");
    }
}

/// The labels of each family that a text in Prometheus' format shows.
fn labels_of(metrics: &str) -> BTreeMap<String, BTreeSet<&str>> {
    let mut labels: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
    for line in metrics.lines().filter(|line| !line.starts_with('#')) {
        let (name, braces) = named(line).swap_remove(0);
        labels.entry(name).or_default().extend(braces.into_iter().flat_map(label_names));
    }
    labels
}

/// The labels in braces: `mirror,state`, or `mirror="fra",state=~"a|b"`.
fn label_names(braces: &str) -> impl Iterator<Item = &str> {
    let end = |label: &str| label.find(['=', '!']).unwrap_or(label.len());
    braces.split(',').map(str::trim).map(move |label| &label[..end(label)]).filter(|label| *label != "le")
}

#[tokio::test]
async fn the_labels_that_are_documented_are_those_that_are_there() {
    let site = started(two_mirrors(OLD)).await;
    site.until_redirected("/tool/stable/tool.tar.gz", EU, "fra").await;
    site.get("/tool/1.0/tool.tar.gz", EU).await;
    site.mirror("sin").remove(FILE);
    site.until_copies("sin", "missing", 1).await;
    let metrics = site.admin("/metrics").await;
    let shown = labels_of(metrics.text());
    assert!(shown.len() > 25, "{:?}", shown.keys());
    for file in ["docs/signals.md", "README.md", "deploy/alerts.yaml"] {
        let text = read(file);
        for (name, braces) in named(&text) {
            let (Some(braces), Some(labels)) = (braces, shown.get(&name)) else { continue };
            for label in label_names(braces) {
                assert!(labels.contains(label), "{file}: {name} has no label {label:?}, but {labels:?}");
            }
        }
    }
}
