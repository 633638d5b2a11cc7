//! What goreleaser leaves behind, for any version.

use std::fs;
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{SHA256, digest};
use serde_json::Value;

/// The version of the fixture.
const FIXTURE: &str = "1.8.2";

/// Copies the fixture to `to` as if goreleaser had built this version: names, contents, lists and digests.
pub fn goreleaser(version: &str, to: &Path) {
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/import/goreleaser/dist");
    let mut digests = Vec::new();
    let of_version = |text: &str| text.replace(FIXTURE, version);
    for path in files(&from) {
        let old = fs::read(&path).unwrap();
        let name = path.strip_prefix(&from).unwrap().to_str().unwrap();
        let is_list =
            name.ends_with(".json") && !name.ends_with(".sbom.json") || name.ends_with("checksums.txt");
        let mut new = old.clone();
        if !is_list {
            new.extend_from_slice(format!("of version {version}\n").as_bytes());
            digests.push((hex(&old), hex(&new)));
        }
        let target = to.join(of_version(name));
        fs::create_dir_all(target.parent().unwrap()).unwrap();
        fs::write(target, new).unwrap();
    }
    for list in ["artifacts.json", "metadata.json", &format!("greet_{version}_checksums.txt")] {
        let file = to.join(list);
        let mut text = of_version(&fs::read_to_string(&file).unwrap());
        for (old, new) in &digests {
            text = text.replace(old, new);
        }
        fs::write(file, text).unwrap();
    }
    let told: Value = serde_json::from_slice(&fs::read(to.join("metadata.json")).unwrap()).unwrap();
    assert_eq!(told["version"], version);
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { all.extend(files(&path)) } else { all.push(path) }
    }
    all
}

fn hex(bytes: &[u8]) -> String {
    digest(&SHA256, bytes).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}
