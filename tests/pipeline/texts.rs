//! What the documents tell to run, as they tell it.

use std::fs;
use std::path::Path;

fn read(file: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap()
}

/// The script of a step of the ready-made job.
pub fn step(name: &str) -> String {
    let job = read("deploy/ci-github.yml");
    let (_, after) = job.split_once(&format!("- name: {name}\n")).unwrap_or_else(|| panic!("no step {name}"));
    let (_, script) = after.split_once("run: |\n").unwrap();
    let deep = script.len() - script.trim_start().len();
    let is_its = |line: &&str| line.len() > deep && line[..deep].trim().is_empty();
    script.lines().take_while(is_its).fold(String::new(), |text, line| text + &line[deep..] + "\n")
}

/// The first block of commands below a heading of the document on releases.
pub fn block(heading: &str) -> String {
    let document = read("docs/releases.md");
    let (_, after) = document.split_once(&format!("# {heading}\n")).unwrap_or_else(|| panic!("no {heading}"));
    let (_, block) = after.split_once("```sh\n").unwrap();
    block.split_once("```").unwrap().0.to_owned()
}

/// The paths that the document on releases names as URLs.
pub fn paths() -> Vec<String> {
    let document = read("docs/releases.md");
    let spans = document.split('`').skip(1).step_by(2);
    let is_path = |span: &&str| span.starts_with('/') && !span.starts_with("/etc/") && !span.contains('\n');
    spans.filter(is_path).map(str::to_owned).collect()
}
