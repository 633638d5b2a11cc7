//! `waypost manifest import`: what pipelines wrote into releases, or refused with everything that does not match.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;
use waypost::catalog::import::{Format, ImportError, ImportOptions, Imported, import};
use waypost::catalog::manifest::{Expects, Manifest};
use waypost::catalog::publish::{CreateError, Outcome, Placement, Progress};
use waypost::model::{ProductName, Timestamp, Version};

/// SHA-256 and SHA-512 of `abc`, FIPS 180-2 appendixes B.1 and C.1.
const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
const ABC512: &str = "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a\
                      2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f";

/// A folder as a pipeline left it, and an origin.
struct Site {
    _root: TempDir,
    files: PathBuf,
    origin: PathBuf,
}

impl Site {
    fn new(files: &[(&str, &str)]) -> Self {
        let root = tempfile::tempdir().unwrap();
        let (folder, origin) = (root.path().join("files"), root.path().join("origin"));
        fs::create_dir_all(&folder).unwrap();
        let site = Self { _root: root, files: folder, origin };
        files.iter().for_each(|(name, text)| site.put(name, text));
        site
    }

    /// A copy of a folder of `tests/fixtures/import`.
    fn fixture(name: &str) -> Self {
        let site = Self::new(&[]);
        let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/import").join(name);
        copy(&from, &site.files);
        site
    }

    fn put(&self, name: &str, text: &str) {
        let path = self.files.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.files.join(name)).unwrap()
    }

    fn remove(&self, name: &str) {
        fs::remove_file(self.files.join(name)).unwrap();
    }

    /// Changes a JSON file of the folder.
    fn edit(&self, name: &str, change: impl FnOnce(&mut Value)) {
        let mut value = serde_json::from_str(&self.read(name)).unwrap();
        change(&mut value);
        self.put(name, &value.to_string());
    }

    /// All that the lists tell is left to them.
    fn told(&self) -> ImportOptions {
        ImportOptions {
            folder: self.files.clone(),
            origin: self.origin.clone(),
            product: None,
            version: None,
            channels: Vec::new(),
            published_at: None,
            now: Timestamp::from_millis(1_700_000_000_000),
            placement: Placement::Copy,
            from: None,
            github: None,
            all: false,
            expects: Expects::default(),
        }
    }

    fn options(&self) -> ImportOptions {
        let product = Some(ProductName::new("tool").unwrap());
        ImportOptions { product, version: Some(Version::parse("1.8.2").unwrap()), ..self.told() }
    }

    fn import(&self) -> Imported {
        import(&self.options(), &()).unwrap_or_else(|error| panic!("{error}"))
    }

    /// What is said when nothing is imported; the origin stays as it is.
    fn refused_with(&self, options: &ImportOptions) -> String {
        let before = everything(&self.origin);
        let said = import(options, &()).unwrap_err().to_string();
        assert_eq!(everything(&self.origin), before, "{said}");
        assert!(said.len() < 20_000 && said.chars().all(|c| c == '\n' || !c.is_control()), "{said:?}");
        said
    }

    fn refused(&self) -> String {
        self.refused_with(&self.options())
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &target);
        } else {
            fs::copy(&path, &target).unwrap();
        }
    }
}

/// Every path below a folder with its content.
fn everything(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut all = BTreeMap::new();
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.extend(everything(&path));
            all.insert(path, Vec::new());
        } else {
            all.insert(path.clone(), fs::read(&path).unwrap());
        }
    }
    all
}

fn names(manifest: &Manifest) -> Vec<&str> {
    manifest.assets.iter().map(|asset| asset.name.as_str()).collect()
}

/// Name, kind and platforms of every asset.
fn labels(manifest: &Manifest) -> Vec<String> {
    let label = |asset: &waypost::catalog::manifest::ManifestAsset| {
        let kind = asset.kind.as_deref().unwrap_or("-");
        format!("{} {kind} {}", asset.name, asset.platforms.join(" ")).trim_end().to_owned()
    };
    manifest.assets.iter().map(label).collect()
}

fn all_of(said: &str, parts: &[&str]) {
    parts.iter().for_each(|part| assert!(said.contains(part), "{part} in {said}"));
}

fn has(notes: &[String], part: &str) -> bool {
    notes.iter().any(|note| note.contains(part))
}

// cargo-dist

#[test]
fn a_folder_of_cargo_dist_tells_product_version_platforms_and_kinds() {
    let site = Site::fixture("cargo-dist");
    let imported = import(&site.told(), &()).unwrap();
    assert_eq!((imported.format, &*imported.list), (Format::CargoDist, "dist-manifest.json"));
    let Imported { created, .. } = imported;
    let manifest = &created.manifest;
    assert_eq!((&*manifest.product, manifest.version.as_str()), ("greet", "1.8.2"));
    assert_eq!(
        labels(manifest),
        [
            "greet-x86_64-unknown-linux-gnu.tar.xz archive linux-amd64",
            "greet-x86_64-unknown-linux-gnu.tar.xz.sha256 checksum",
            "sha256.sum checksum",
            "source.tar.gz source",
            "source.tar.gz.sha256 checksum",
        ]
    );
    assert_eq!(manifest.assets[0].sidecars, [manifest.assets[1].name.clone()]);
    assert!(has(&created.notes, "sha256.sum"), "{:?}", created.notes);
    assert_eq!(import(&site.told(), &()).unwrap().created.outcome, Outcome::Unchanged);
}

#[test]
fn variants_of_a_platform_get_a_platform_of_their_own() {
    let site = Site::fixture("");
    fs::rename(site.files.join("cargo-dist-plan.json"), site.files.join("dist-manifest.json")).unwrap();
    for rest in ["cargo-dist", "goreleaser", "github"] {
        fs::remove_dir_all(site.files.join(rest)).unwrap();
    }
    let said = site.refused_with(&site.told());
    all_of(
        &said,
        &["greet-aarch64-apple-darwin.tar.xz: is listed by dist-manifest.json, but not there", "sha256.sum"],
    );
    let plan: Value = serde_json::from_str(&site.read("dist-manifest.json")).unwrap();
    for name in plan["artifacts"].as_object().unwrap().keys() {
        let text = match name.as_str() {
            name if name.ends_with(".sha256") => format!("{ABC} *{}\n", &name[..name.len() - 7]),
            "sha256.sum" => format!("{ABC} *source.tar.gz\n"),
            _ => "abc".into(),
        };
        site.put(name, &text);
    }
    let created = import(&site.told(), &()).unwrap().created;
    let labels = labels(&created.manifest);
    for label in [
        "greet-aarch64-apple-darwin.tar.xz archive darwin-arm64",
        "greet-installer.sh installer",
        "greet-x86_64-pc-windows-msvc.zip archive windows-amd64",
        "greet-x86_64-unknown-linux-gnu.tar.xz archive linux-amd64",
        "greet-x86_64-unknown-linux-musl.tar.xz archive linux-amd64-musl",
    ] {
        assert!(labels.iter().any(|one| one == label), "{label} in {labels:#?}");
    }
    assert!(has(&created.notes, "greet-x86_64-unknown-linux-musl.tar.xz: is linux-amd64-musl"));
}

#[test]
fn of_several_apps_the_one_of_the_product_is_imported() {
    let artifact =
        |name: &str| json!({ "name": name, "kind": "executable-zip", "checksums": { "sha256": ABC } });
    let list = json!({
        "announcement_tag": "v1.8.2",
        "releases": [
            { "app_name": "tool", "app_version": "1.8.2", "artifacts": ["tool.zip"] },
            { "app_name": "agent", "app_version": "0.3.0", "artifacts": ["agent.zip"] },
        ],
        "artifacts": { "tool.zip": artifact("tool.zip"), "agent.zip": artifact("agent.zip"),
                       "hint": { "kind": "unknown", "install_hint": "cargo install" } },
    });
    let site = Site::new(&[("dist-manifest.json", &list.to_string()), ("tool.zip", "abc")]);
    // What belongs to the other app may be named by the list for all of them.
    site.put("sha256.sum", &format!("{ABC}  tool.zip\n{ABC}  agent.zip\n"));
    let created = site.import().created;
    assert_eq!(names(&created.manifest), ["sha256.sum", "tool.zip"]);
    let other = ImportOptions { version: Some(Version::parse("1.8.3").unwrap()), ..site.options() };
    assert!(site.refused_with(&other).contains("dist-manifest.json: is about version 1.8.2, not 1.8.3"));
}

// goreleaser

#[test]
fn a_dist_folder_of_goreleaser_is_published_as_goreleaser_would() {
    let site = Site::fixture("goreleaser/dist");
    let created = import(&site.told(), &()).unwrap().created;
    let manifest = &created.manifest;
    assert_eq!((&*manifest.product, manifest.version.as_str()), ("greet", "1.8.2"));
    assert_eq!(
        labels(manifest),
        [
            "greet-1.8.2.tar.gz source",
            "greet_1.8.2_checksums.txt checksum",
            "greet_1.8.2_checksums.txt.sig signature",
            "greet_1.8.2_darwin_all.tar.gz archive darwin-amd64 darwin-arm64",
            "greet_1.8.2_linux_386.tar.gz archive linux-386",
            "greet_1.8.2_linux_amd64.deb package linux-amd64",
            "greet_1.8.2_linux_amd64.tar.gz archive linux-amd64",
            "greet_1.8.2_linux_amd64.tar.gz.sbom.json sbom",
            "greet_1.8.2_linux_amd64v3.tar.gz archive linux-amd64-v3",
            "greet_1.8.2_linux_arm64 binary linux-arm64",
            "greet_1.8.2_linux_armv7.tar.gz archive linux-armv7",
            "greet_1.8.2_windows_amd64.zip archive windows-amd64",
        ]
    );
    // The raw binary lies elsewhere and under another name.
    let raw = fs::read(site.origin.join("greet/1.8.2/greet_1.8.2_linux_arm64")).unwrap();
    assert_eq!(raw, b"binary linux_arm64\n");
    assert!(has(&created.notes, "greet_1.8.2_checksums.txt: held against"), "{:?}", created.notes);
    assert!(has(&created.notes, "7 files that no list names are left out"), "{:?}", created.notes);
    // Downloaded into one folder, the same comes out.
    let flat = Site::new(&[]);
    copy(&site.origin.join("greet/1.8.2"), &flat.files);
    for name in ["artifacts.json", "metadata.json"] {
        fs::copy(site.files.join(name), flat.files.join(name)).unwrap();
    }
    assert_eq!(import(&flat.told(), &()).unwrap().created.manifest.assets, manifest.assets);
}

#[test]
fn goreleaser_has_to_agree_with_itself_and_with_the_version_that_was_said() {
    let site = Site::fixture("goreleaser/dist");
    let v = |text: &str| ImportOptions { version: Some(Version::parse(text).unwrap()), ..site.told() };
    assert!(site.refused_with(&v("1.9.0")).contains("artifacts.json: is about version 1.8.2, not 1.9.0"));
    site.put("greet_1.8.2_windows_amd64.zip", "changed");
    site.remove("greet_1.8.2_linux_amd64.deb");
    let sums =
        site.read("greet_1.8.2_checksums.txt").replace("greet_1.8.2_linux_386", "greet_1.8.2_linux_mips");
    site.put("greet_1.8.2_checksums.txt", &sums);
    let said = site.refused_with(&site.told());
    all_of(
        &said,
        &[
            "greet_1.8.2_windows_amd64.zip: has SHA-256 ",
            "but artifacts.json says ",
            "greet_1.8.2_linux_amd64.deb: is listed by artifacts.json, but not there",
            "greet_1.8.2_linux_mips.tar.gz: is listed by greet_1.8.2_checksums.txt, but not there",
        ],
    );
    // Without metadata.json nobody knows.
    let site = Site::fixture("goreleaser/dist");
    site.remove("metadata.json");
    assert!(site.refused_with(&site.told()).contains("does not tell the product; say --product"));
    assert_eq!(site.import().created.outcome, Outcome::New);
}

// GitHub

#[test]
fn a_release_of_github_brings_its_digests_sizes_notes_and_moment() {
    let site = Site::fixture("github");
    let options = ImportOptions { version: None, ..site.options() };
    let imported = import(&options, &()).unwrap();
    assert_eq!(imported.format, Format::Github);
    let Imported { created, .. } = imported;
    assert_eq!(created.manifest.version.as_str(), "v1.8.2");
    assert_eq!(created.manifest.published_at, Timestamp::parse_rfc3339("2026-11-20T10:00:00Z"));
    let notes_url = created.manifest.notes_url.as_deref();
    assert_eq!(notes_url, Some("https://github.com/example/greet/releases/tag/v1.8.2"));
    assert_eq!(
        labels(&created.manifest),
        [
            "SHA256SUMS checksum",
            "greet-1.8.2-linux-amd64.tar.gz archive linux-amd64",
            "greet-1.8.2-linux-amd64.tar.gz.minisig signature",
            "greet-1.8.2-windows-amd64.zip archive windows-amd64",
        ]
    );
    assert!(!has(&created.notes, "no list has a checksum"), "{:?}", created.notes);
    assert!(site.refused_with(&site.told()).contains("say --product"));
}

#[test]
fn a_list_of_releases_is_asked_for_the_version() {
    let site = Site::fixture("github");
    let release: Value = serde_json::from_str(&site.read("release.json")).unwrap();
    let older = json!({ "tag_name": "greet-v1.8.1", "draft": false, "assets": [] });
    let elsewhere = tempfile::tempdir().unwrap();
    let file = elsewhere.path().join("releases.json");
    fs::write(&file, json!([older, release]).to_string()).unwrap();
    site.remove("release.json");
    let options = ImportOptions { github: Some(file.clone()), ..site.options() };
    let unknown = ImportOptions { version: None, ..options.clone() };
    assert!(site.refused_with(&unknown).contains("holds 2 releases; say --version"));
    let missing = ImportOptions { version: Some(Version::parse("3").unwrap()), ..options.clone() };
    assert!(site.refused_with(&missing).contains("holds no release with this version"));
    let empty = ImportOptions { version: Some(Version::parse("1.8.1").unwrap()), ..options.clone() };
    // The list of checksums that lies there counts, whatever GitHub names.
    assert_eq!(import(&empty, &()).unwrap().created.manifest.assets.len(), 4);
    assert_eq!(import(&options, &()).unwrap().created.manifest.assets.len(), 4);
    let gone = ImportOptions { github: Some(elsewhere.path().join("none.json")), ..options };
    assert!(matches!(import(&gone, &()), Err(ImportError::Unclear(why)) if why.contains("is missing")));
}

#[test]
fn drafts_half_uploads_and_other_bytes_are_refused() {
    type Change = fn(&mut Value);
    let cases: [(Change, &str); 5] = [
        (|r| r["draft"] = json!(true), "v1.8.2 is a draft"),
        (|r| r["assets"][0]["state"] = json!("starter"), "is not uploaded completely"),
        (|r| r["assets"][1]["size"] = json!(17), "windows-amd64.zip: has 16 bytes, but release.json says 17"),
        (|r| r["assets"][1]["digest"] = json!(format!("sha256:{ABC}")), "release.json says ba7816bf"),
        (|r| *r = json!({ "message": "Not Found", "status": "404" }), "release.json: tag_name: is required"),
    ];
    for (change, expected) in cases {
        let site = Site::fixture("github");
        site.edit("release.json", change);
        all_of(&site.refused(), &[expected]);
    }
    let site = Site::fixture("github");
    site.edit("release.json", |r| r["prerelease"] = json!(true));
    // Older assets have no digest; the list of checksums that lies there has.
    site.edit("release.json", |r| (0..4).for_each(|i| r["assets"][i]["digest"] = Value::Null));
    let notes = site.import().created.notes;
    assert!(has(&notes, "v1.8.2 is marked as a pre-release") && !has(&notes, "no list has"), "{notes:?}");
    let site = Site::fixture("github");
    site.edit("release.json", |r| r["assets"][0]["digest"] = json!("blake3:1"));
    site.remove("SHA256SUMS");
    site.edit("release.json", |r| drop(r["assets"].as_array_mut().unwrap().pop()));
    let notes = site.import().created.notes;
    assert!(has(&notes, "greet-1.8.2-linux-amd64.tar.gz: no list has a checksum"), "{notes:?}");
}

// Checksums

/// Runs a real tool in the folder and gives what it prints.
fn tool(site: &Site, command: &[&str]) -> String {
    let run = Command::new(command[0]).args(&command[1..]).current_dir(&site.files).output().unwrap();
    assert!(run.status.success(), "{run:?}");
    String::from_utf8(run.stdout).unwrap()
}

#[test]
fn what_real_tools_print_is_understood() {
    let both: &[&str] = &["tool.zip", "share/läs mig.txt"];
    for (list, command) in [
        ("SHA256SUMS", &["sha256sum"][..]),
        ("sha256sum.txt", &["sha256sum", "-b"]),
        ("checksums.txt", &["sha256sum", "--tag"]),
        ("tool_1.8.2_checksums.txt", &["shasum", "-a", "256"]),
        ("tool_1.8.2_SHA256SUMS", &["shasum", "-a", "256", "-b"]),
        ("SHA512SUMS", &["sha512sum"]),
        ("sha512.sum", &["sha512sum", "--tag"]),
    ] {
        let site = Site::new(&[("tool.zip", "abc"), ("share/läs mig.txt", "hej"), ("notes.txt", "mine")]);
        site.put(list, &tool(&site, &[command, both].concat()));
        let created = site.import().created;
        let mut expected = vec!["share/läs mig.txt", "tool.zip", list];
        expected.sort_unstable();
        assert_eq!(names(&created.manifest), expected, "{command:?}");
        let zip = created.manifest.assets.iter().find(|asset| &*asset.name == "tool.zip").unwrap();
        assert_eq!(zip.sha256.to_string(), ABC);
        let is_512 = command[0].contains("512");
        assert_eq!(
            zip.sha512.as_ref().map(ToString::to_string),
            is_512.then(|| ABC512.into()),
            "{command:?}"
        );
        assert!(has(&created.notes, "1 files that no list names are left out (notes.txt)"));
        site.put("tool.zip", "abd");
        let said = site.refused();
        all_of(&said, &["tool.zip: has SHA-", list]);
    }
    let site = Site::new(&[("tool.zip", "abc")]);
    site.put("SHA256SUMS", &tool(&site, &["sha256sum", "-z", "tool.zip"]));
    assert!(site.refused().contains("SHA256SUMS: holds NUL bytes; make it without --zero"));
    site.put("SHA256SUMS", &tool(&site, &["md5sum", "tool.zip"]));
    assert!(site.refused().contains("SHA256SUMS: names no file to publish"));
}

#[test]
fn checksums_beside_a_file_may_be_bare_or_name_it_but_no_other() {
    let lines = [
        ABC.to_owned(),
        format!("{ABC}  -\n"),
        format!("{ABC}  dist/tool.zip\n"),
        format!("SHA256 (tool.zip) = {ABC}"),
    ];
    for text in lines {
        let site =
            Site::new(&[("tool.zip", "abc"), ("tool.zip.sha256", &text), ("tool.zip.sha256.asc", "signed")]);
        let created = site.import().created;
        assert_eq!(names(&created.manifest), ["tool.zip", "tool.zip.sha256", "tool.zip.sha256.asc"]);
        assert_eq!(created.manifest.assets[0].sidecars.len(), 1);
    }
    let site = Site::new(&[("tool.zip", "abc"), ("tool.zip.sha256", &format!("{ABC}  other.zip"))]);
    assert!(site.refused().contains("tool.zip.sha256: speaks of \"other.zip\", not of \"tool.zip\""));
    let site = Site::new(&[("renamed.zip", "abc"), ("tool.zip.sha256", ABC)]);
    assert!(site.refused().contains("tool.zip: is listed by tool.zip.sha256, but not there"));
    let site = Site::new(&[("tool.zip", "abc"), ("tool.zip.sha256", "")]);
    assert!(site.refused().contains("tool.zip.sha256: holds no checksum"));
}

#[test]
fn everything_that_does_not_match_is_told_in_one_run() {
    let other = "0".repeat(64);
    let site = Site::new(&[
        ("a", "abc"),
        ("b", "changed"),
        ("d", "abc"),
        (
            "SHA256SUMS",
            &format!(
                "{ABC}  a\n{ABC}  b\n{ABC}  c\n{ABC}  d\n{ABC}  ../up\n{ABC}  /etc/passwd\n{ABC}  dist\\tool.exe\n{ABC}  .hidden\n"
            ),
        ),
        ("d.sha256", &other),
        ("e.sha512", &other),
    ]);
    let said = site.refused();
    all_of(
        &said,
        &[
            "b: has SHA-256",
            "c: is listed by SHA256SUMS, but not there",
            &format!("d: SHA256SUMS says {ABC}, but d.sha256 says {other}"),
            "\"../up\": as an asset its name holds \".\", \"..\"",
            "\"/etc/passwd\": as an asset its name",
            "write folders with /",
            ".hidden: is listed by SHA256SUMS, but not there (hidden files are passed over)",
            "e: is listed by e.sha512",
        ],
    );
    assert!(!said.contains("\n  a: "), "{said}");
    let mut sums = String::new();
    (0..100).for_each(|i| sums += &format!("{ABC}  missing{i}\n"));
    let site = Site::new(&[("a", "abc"), ("SHA256SUMS", &sums)]);
    assert!(site.refused().contains("and 80 more"));
}

#[test]
fn a_folder_without_a_list_says_what_to_do() {
    let site = Site::new(&[("tool.zip", "abc")]);
    let error = import(&site.options(), &()).unwrap_err();
    assert!(
        matches!(&error, ImportError::Unclear(why) if why.contains("waypost manifest create")),
        "{error}"
    );
    let forced = ImportOptions { from: Some(Format::Goreleaser), ..site.options() };
    assert!(
        matches!(import(&forced, &()), Err(ImportError::Unclear(why)) if why.ends_with("artifacts.json: is missing"))
    );
    // A file that only has the name of a list is passed by, when another one is asked for.
    let site = Site::new(&[
        ("tool.zip", "abc"),
        ("release.json", "{}"),
        ("SHA256SUMS", &format!("{ABC}  tool.zip")),
    ]);
    assert!(site.refused().contains("release.json: tag_name"));
    let forced = ImportOptions { from: Some(Format::Sha256sums), ..site.options() };
    assert_eq!(names(&import(&forced, &()).unwrap().created.manifest), ["SHA256SUMS", "tool.zip"]);
}

#[test]
fn what_no_list_names_comes_with_all_and_sidecars_come_anyhow() {
    let site = Site::new(&[
        ("tool.zip", "abc"),
        ("tool.zip.minisig", "signed"),
        ("tool.zip.sigstore", "{}"),
        ("tool.zip.sbom", "{}"),
        ("tool.zip.sbom.asc", "signed"),
        ("other.zip.minisig", "signed"),
        ("SHA256SUMS", &format!("{ABC}  tool.zip\n{}  SHA256SUMS\n", "0".repeat(64))),
        ("SHA256SUMS.asc", "-----BEGIN PGP SIGNATURE-----\n"),
    ]);
    let expects = Expects {
        platforms: vec!["linux-amd64".into()],
        sidecars: vec![".minisig".into()],
        ..Expects::default()
    };
    let options = ImportOptions { expects: expects.clone(), ..site.options() };
    let created = import(&options, &()).unwrap().created;
    assert_eq!(
        names(&created.manifest),
        [
            "SHA256SUMS",
            "SHA256SUMS.asc",
            "tool.zip",
            "tool.zip.minisig",
            "tool.zip.sbom",
            "tool.zip.sbom.asc",
            "tool.zip.sigstore"
        ]
    );
    assert_eq!(created.manifest.assets[2].sidecars.len(), 3);
    assert_eq!(created.manifest.expects, expects);
    // Said once, it stays.
    let all = ImportOptions { all: true, ..site.options() };
    let again = import(&all, &()).unwrap().created;
    assert_eq!((again.outcome, again.added), (Outcome::Changed, 1));
    assert_eq!(again.manifest.expects, expects);
}

#[test]
fn files_in_place_are_imported_where_they_lie() {
    let site = Site::new(&[]);
    let folder = site.origin.join("tool/1.8.2");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("tool.zip"), "abc").unwrap();
    fs::write(folder.join("SHA256SUMS"), format!("{ABC}  tool.zip")).unwrap();
    let options = ImportOptions { folder, placement: Placement::InPlace, ..site.options() };
    assert_eq!(import(&options, &()).unwrap().created.added, 2);
    assert_eq!(import(&options, &()).unwrap().created.outcome, Outcome::Unchanged);
    // What lies elsewhere than it is called cannot be published in place.
    let site = Site::new(&[]);
    let folder = site.origin.join("greet/1.8.2");
    copy(&Site::fixture("goreleaser/dist").files, &folder);
    let options = ImportOptions { folder, placement: Placement::InPlace, ..site.told() };
    let said = site.refused_with(&options);
    assert!(said.contains("greet_1.8.2_linux_arm64: lies at greet_linux_arm64_v8.0/greet"), "{said}");
}

#[test]
fn a_published_release_never_changes() {
    let site = Site::new(&[("tool.zip", "abc"), ("SHA512SUMS", &format!("{ABC512}  tool.zip"))]);
    site.import();
    assert_eq!(site.import().created.outcome, Outcome::Unchanged);
    site.put("tool.zip", "abd");
    site.put("SHA512SUMS", &tool(&site, &["sha512sum", "tool.zip"]));
    all_of(&site.refused(), &["tool 1.8.2 is published already", "tool.zip: was published with SHA-256"]);
}

#[test]
fn links_lead_nowhere_outside_and_files_that_vanish_publish_nothing() {
    let site = Site::new(&[("real.zip", "abc"), ("SHA256SUMS", &format!("{ABC}  link.zip"))]);
    symlink("real.zip", site.files.join("link.zip")).unwrap();
    site.import();
    assert!(fs::symlink_metadata(site.origin.join("tool/1.8.2/link.zip")).unwrap().is_file());
    symlink("/etc/passwd", site.files.join("odd")).unwrap();
    assert!(site.refused().contains("leads out of the folder"));

    struct Thief(PathBuf);
    impl Progress for Thief {
        fn begin(&self, _: usize, _: u64) {
            fs::remove_file(&self.0).unwrap();
        }
        fn advance(&self, _: u64) {}
    }
    let site = Site::new(&[("a", "abc"), ("SHA256SUMS", &format!("{ABC}  a"))]);
    let error = import(&site.options(), &Thief(site.files.join("a"))).unwrap_err();
    assert!(
        matches!(&error, ImportError::Create(CreateError::Io { path, .. }) if path.ends_with("a")),
        "{error}"
    );
    assert!(everything(&site.origin).is_empty());
}

// Hostile

#[test]
fn lists_that_are_cut_short_are_never_taken() {
    for (fixture, list) in [
        ("cargo-dist", "dist-manifest.json"),
        ("goreleaser/dist", "artifacts.json"),
        ("github", "release.json"),
    ] {
        let site = Site::fixture(fixture);
        let whole = fs::read(site.files.join(list)).unwrap();
        let end = whole.iter().rposition(|byte| !byte.is_ascii_whitespace()).unwrap();
        for length in (0..end).step_by(end / 40).chain([end]) {
            fs::write(site.files.join(list), &whole[..length]).unwrap();
            all_of(&site.refused(), &[list, "is not valid JSON"]);
        }
    }
}

#[test]
fn absurd_json_is_refused_with_its_place() {
    let deep = "[".repeat(100_000);
    let unknown = format!(r#"{{"unknown":{deep}"#);
    let long = format!(r#"{{"tag_name":"v1","assets":[{{"name":"{}"}}]}}"#, "x".repeat(1 << 20));
    for (list, text, expected) in [
        ("artifacts.json", deep.as_str(), "is not valid JSON"),
        ("release.json", unknown.as_str(), "recursion limit"),
        ("artifacts.json", r#"{"name":1}"#, "expected an array, found an object"),
        ("artifacts.json", r#"[{"name":1,"type":"Archive"}]"#, "[0].name: expected text, found a number"),
        ("artifacts.json", r#"[{"type":"Archive"}]"#, "[0].name: is required"),
        ("artifacts.json", r#"[{"name":"a","name":"b","type":"Archive"}]"#, "[0].name: is given twice"),
        (
            "artifacts.json",
            r#"[{"name":"a","type":"Archive","extra":{"Checksum":"sha256:00"}}]"#,
            "extra.Checksum",
        ),
        ("artifacts.json", r#"[{"name":"a\u0000b","type":"Archive"}]"#, "control character"),
        (
            "artifacts.json",
            r#"[{"name":"../../a","path":"../../../etc/passwd","type":"Archive"}]"#,
            "\"../../a\"",
        ),
        ("artifacts.json", "[]", "names no file to publish"),
        ("dist-manifest.json", "[]", "expected an object, found an array"),
        (
            "dist-manifest.json",
            r#"{"artifacts":{"a":{"kind":"installer"},"a":{"kind":"installer"}}}"#,
            "artifacts.a: is given twice",
        ),
        ("dist-manifest.json", r#"{"artifacts":{"a":[]}}"#, "artifacts.a: expected an object"),
        (
            "dist-manifest.json",
            r#"{"artifacts":{},"releases":[{"app_name":"t","app_version":"1.8.2","artifacts":["x"]}]}"#,
            "releases name \"x\"",
        ),
        ("release.json", r#"{"tag_name":"v1","assets":[{"name":"a","size":1e400}]}"#, "number out of range"),
        (
            "release.json",
            r#"{"tag_name":"v1","assets":[{"name":"a","size":-1}]}"#,
            "assets[0].size: expected a whole number",
        ),
        (
            "release.json",
            r#"{"tag_name":"v1","assets":[{"name":"a","size":18446744073709551615}]}"#,
            "is more than",
        ),
        ("release.json", r#"{"tag_name":"v1","draft":"no","assets":[]}"#, "draft: expected true or false"),
        ("release.json", long.as_str(), "longer than 4096 bytes"),
    ] {
        let site = Site::new(&[("a", "abc"), (list, text)]);
        let said = site.refused();
        assert!(said.contains(expected) && said.len() < 2000, "{expected} in {said}");
    }
}

#[test]
fn a_hundred_thousand_lines_are_one_release() {
    let mut sums = String::new();
    (0..100_000).for_each(|i| sums += &format!("{ABC}  gone/{i}\n"));
    let site = Site::new(&[("a", "abc"), ("SHA256SUMS", &sums)]);
    assert!(site.refused().contains("and 99980 more"));
    let mut sums = String::new();
    for i in 0..300 {
        site.put(&format!("d/{i}"), "abc");
        sums += &format!("{ABC}  d/{i}\n");
    }
    site.put("SHA256SUMS", &sums);
    assert_eq!(site.import().created.manifest.assets.len(), 301);
}

// The command

#[test]
fn the_command_tells_what_it_took_and_exits_by_the_contract() {
    let run = |site: &Site, more: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_waypost"));
        command.args(["manifest", "import"]).arg(&site.files).arg("--origin").arg(&site.origin).args(more);
        let run = command.output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (run.status.code().unwrap(), text(run.stdout), text(run.stderr))
    };
    let site = Site::fixture("goreleaser/dist");
    let (code, out, err) = run(&site, &["--channel", "stable", "--expect-sidecar", ".minisig", "--json"]);
    assert_eq!(code, 0, "{err}");
    let value: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(value["from"], json!({ "format": "goreleaser", "file": "artifacts.json" }));
    assert_eq!(
        (&value["outcome"], &value["assets"], &value["channels"]),
        (&json!("new"), &json!(12), &json!(["stable"]))
    );
    let (code, out, _) = run(&site, &[]);
    assert!(
        code == 0
            && out.contains("greet 1.8.2: unchanged")
            && out.contains("from artifacts.json (goreleaser)"),
        "{out}"
    );
    site.put("greet_1.8.2_windows_amd64.zip", "changed");
    let (code, _, err) = run(&site, &[]);
    assert!(code == 1 && err.contains("greet_1.8.2_windows_amd64.zip: has SHA-256"), "{err}");
    let site = Site::new(&[("a", "abc")]);
    assert_eq!(run(&site, &["--product", "tool", "--version", "1"]).0, 2);
    assert_eq!(run(&site, &["--expect-sidecar", "minisig"]).0, 2);
    assert_eq!(run(&site, &["--from", "make"]).0, 2);
}
