//! `waypost manifest create`: folders into releases, whole or not at all.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use tempfile::TempDir;
use waypost::catalog::folder::list_manifests;
use waypost::catalog::index::Index;
use waypost::catalog::manifest::{Expects, Manifest};
use waypost::catalog::publish::{CreateError, CreateOptions, Created, Outcome, Placement, Progress, create};
use waypost::model::{ChannelName, ProductName, Timestamp, Version};

/// A build folder and an origin.
struct Site {
    _root: TempDir,
    build: PathBuf,
    origin: PathBuf,
}

impl Site {
    fn new(files: &[(&str, &str)]) -> Self {
        let root = tempfile::tempdir().unwrap();
        let (build, origin) = (root.path().join("build"), root.path().join("origin"));
        fs::create_dir_all(&build).unwrap();
        let site = Self { _root: root, build, origin };
        files.iter().for_each(|(name, text)| site.put(name, text));
        site
    }

    fn put(&self, name: &str, text: &str) {
        write(&self.build.join(name), text);
    }

    fn options(&self, version: &str) -> CreateOptions {
        CreateOptions {
            folder: self.build.clone(),
            origin: self.origin.clone(),
            product: ProductName::new("tool").unwrap(),
            version: Version::parse(version).unwrap(),
            channels: vec![ChannelName::new("stable").unwrap()],
            expects: Expects::default(),
            published_at: None,
            now: Timestamp::from_millis(1_700_000_000_000),
            placement: Placement::Copy,
        }
    }

    fn create(&self, version: &str) -> Result<Created, CreateError> {
        create(&self.options(version), &())
    }

    fn refused(&self, version: &str) -> String {
        self.create(version).unwrap_err().to_string()
    }

    fn index(&self) -> Index {
        Index::parse(&fs::read(self.origin.join("index.json")).unwrap()).unwrap().index
    }

    /// Every path below the origin but the lock, with the content of files.
    fn origin_files(&self) -> Vec<(String, String)> {
        let mut files = Vec::new();
        collect(&self.origin, &self.origin, &mut files);
        files.retain(|(name, _)| name != ".waypost-lock");
        files.sort();
        files
    }
}

fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn collect(root: &Path, folder: &Path, into: &mut Vec<(String, String)>) {
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
        if path.is_dir() {
            collect(root, &path, into);
            into.push((name, String::new()));
        } else {
            into.push((name, fs::read_to_string(&path).unwrap()));
        }
    }
}

fn names(manifest: &Manifest) -> Vec<&str> {
    manifest.assets.iter().map(|asset| asset.name.as_str()).collect()
}

/// SHA-256 of `abc`, FIPS 180-2 appendix B.1.
const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

#[test]
fn a_tree_becomes_a_release_with_manifest_and_index() {
    let site = Site::new(&[
        ("tool_linux_amd64.tar.gz", "abc"),
        ("tool_linux_amd64.tar.gz.minisig", "signed"),
        ("share/doc/läs mig.txt", "hej"),
        ("empty", ""),
        (".DS_Store", "junk"),
        (".git/config", "junk"),
    ]);
    let created = site.create("1.8.2").unwrap();
    assert_eq!((created.outcome, created.added, created.sequence), (Outcome::New, 4, 1));
    assert_eq!(created.notes.len(), 2, "{:?}", created.notes);
    let bytes = fs::read(&created.manifest_file).unwrap();
    let manifest = Manifest::parse(&bytes).unwrap().manifest;
    assert_eq!(manifest, created.manifest);
    assert_eq!(
        names(&manifest),
        ["empty", "share/doc/läs mig.txt", "tool_linux_amd64.tar.gz", "tool_linux_amd64.tar.gz.minisig"]
    );
    let archive = &manifest.assets[2];
    assert_eq!((archive.size, archive.sha256.to_string().as_str()), (3, ABC));
    assert_eq!((archive.kind.as_deref(), &*archive.platforms[0]), (Some("archive"), "linux-amd64"));
    assert_eq!(archive.sidecars, [manifest.assets[3].name.clone()]);
    assert_eq!(manifest.published_at, Some(Timestamp::from_millis(1_700_000_000_000)));
    let paths: Vec<String> = site.origin_files().into_iter().map(|(name, _)| name).collect();
    assert_eq!(
        paths,
        [
            "index.json",
            "tool",
            "tool/1.8.2",
            "tool/1.8.2/empty",
            "tool/1.8.2/manifest.json",
            "tool/1.8.2/share",
            "tool/1.8.2/share/doc",
            "tool/1.8.2/share/doc/läs mig.txt",
            "tool/1.8.2/tool_linux_amd64.tar.gz",
            "tool/1.8.2/tool_linux_amd64.tar.gz.minisig",
        ]
    );
    assert_eq!(site.index().manifests[0].path.to_string(), "tool/1.8.2/manifest.json");
    assert_eq!(list_manifests(&site.origin).unwrap().manifests.len(), 1);
}

#[test]
fn doing_it_again_changes_nothing() {
    let site = Site::new(&[("a", "1"), ("b/c", "2")]);
    site.create("1.0").unwrap();
    let before = site.origin_files();
    let later = CreateOptions { now: Timestamp::from_millis(1_800_000_000_000), ..site.options("1.0") };
    let again = create(&later, &()).unwrap();
    assert_eq!((again.outcome, again.added, again.sequence), (Outcome::Unchanged, 0, 1));
    assert_eq!(site.origin_files(), before);
}

#[test]
fn further_files_are_added_and_what_people_wrote_into_the_manifest_stays() {
    let site = Site::new(&[("tool.zip", "1")]);
    let created = site.create("1.0").unwrap();
    let mut edited = created.manifest;
    edited.pipeline = Some("by hand".into());
    edited.assets[0].kind = Some("special".into());
    fs::write(&created.manifest_file, edited.to_json()).unwrap();
    site.put("tool.zip.minisig", "signed");
    site.put("about.txt", "text");
    let again = site.create("1.0").unwrap();
    assert_eq!((again.outcome, again.added, again.sequence), (Outcome::Changed, 2, 2));
    assert_eq!(names(&again.manifest), ["tool.zip", "about.txt", "tool.zip.minisig"]);
    assert_eq!(again.manifest.pipeline.as_deref(), Some("by hand"));
    assert_eq!(again.manifest.assets[0].kind.as_deref(), Some("special"));
    assert_eq!(again.manifest.assets[0].sidecars.len(), 1);
}

#[test]
fn what_a_complete_release_holds_is_said_once_and_stays() {
    let site = Site::new(&[("tool_linux_amd64.tar.gz", "abc")]);
    let (platforms, sidecars) = (vec!["linux-amd64".to_owned()], vec![".minisig".to_owned()]);
    let expects = Expects { platforms, sidecars, ..Expects::default() };
    let options = CreateOptions { expects: expects.clone(), ..site.options("1.8.2") };
    assert_eq!(create(&options, &()).unwrap().manifest.expects, expects);
    let again = site.create("1.8.2").unwrap();
    assert_eq!((again.outcome, again.manifest.expects), (Outcome::Unchanged, expects));
}

#[test]
fn a_published_file_that_differs_or_is_missing_is_refused_and_nothing_moves() {
    let site = Site::new(&[("a", "1"), ("b", "2")]);
    site.create("1.0").unwrap();
    let before = site.origin_files();
    site.put("a", "other");
    site.put("c", "new");
    fs::remove_file(site.build.join("b")).unwrap();
    let said = site.refused("1.0");
    for part in [
        "tool 1.0 is published already",
        "a: was published with 1 bytes and has 5 now",
        "b: was published and is missing",
    ] {
        assert!(said.contains(part), "{part} in {said}");
    }
    assert_eq!(site.origin_files(), before);
    assert!(site.refused("v1.0").contains("is the same version as v1.0"));
}

#[test]
fn what_was_signed_and_has_changed_is_to_be_signed_again_and_with_which_comment() {
    let site = Site::new(&[("a", "1")]);
    let notes = site.create("v1.0").unwrap().notes.join("\n");
    assert!(!notes.contains("sign it again"), "{notes}");
    write(&site.origin.join("index.json.minisig"), "signed");
    write(&site.origin.join("tool/v1.0/manifest.json.minisig"), "signed");
    assert!(site.create("v1.0").unwrap().notes.is_empty(), "nothing changed");
    site.put("b", "2");
    let notes = site.create("v1.0").unwrap().notes.join("\n");
    for comment in ["\"waypost tool 1.0\"", "\"waypost index 2\""] {
        assert!(notes.contains(&format!("sign it again, with the trusted comment {comment}")), "{notes}");
    }
}

#[test]
fn the_index_keeps_what_it_holds_and_counts_on() {
    let site = Site::new(&[("a", "1")]);
    let sha256 = "ab".repeat(32);
    let text = format!(
        r#"{{"schema":1,"sequence":41,"manifests":["agent/3/manifest.json",{{"path":"tool/0.9/manifest.json","sha256":"{sha256}"}}],"future":[1]}}"#
    );
    write(&site.origin.join("index.json"), &text);
    assert_eq!(site.create("1.0").unwrap().sequence, 42);
    let index = site.index();
    let paths: Vec<String> = index.manifests.iter().map(|entry| entry.path.to_string()).collect();
    assert_eq!(paths, ["agent/3/manifest.json", "tool/0.9/manifest.json", "tool/1.0/manifest.json"]);
    assert_eq!(index.manifests[1].sha256.unwrap().to_string(), sha256);
    assert!(index.extra.contains_key("future"));
}

#[test]
fn without_an_index_one_is_made_of_all_manifests() {
    let site = Site::new(&[("a", "1")]);
    site.create("1.0").unwrap();
    fs::remove_file(site.origin.join("index.json")).unwrap();
    assert_eq!(site.create("1.1").unwrap().sequence, 1);
    assert_eq!(site.index().manifests.len(), 2);
}

#[test]
fn a_broken_index_or_manifest_is_not_overwritten() {
    let site = Site::new(&[("a", "1")]);
    write(&site.origin.join("index.json"), "{");
    assert!(site.refused("1.0").contains("the index is not valid JSON"));
    assert_eq!(site.origin_files(), [("index.json".to_owned(), "{".to_owned())]);
    fs::remove_file(site.origin.join("index.json")).unwrap();
    write(&site.origin.join("tool/1.0/manifest.json"), "[]");
    assert!(site.refused("1.0").contains("expected an object"));
}

#[test]
fn files_in_place_are_described_where_they_lie() {
    let site = Site::new(&[]);
    let folder = site.origin.join("tool/1.0");
    write(&folder.join("bin/tool"), "abc");
    let options = CreateOptions { folder: folder.clone(), ..site.options("1.0") };
    assert!(create(&options, &()).unwrap_err().to_string().contains("say --in-place"));
    let in_place = CreateOptions { placement: Placement::InPlace, ..options };
    let created = create(&in_place, &()).unwrap();
    assert_eq!(names(&created.manifest), ["bin/tool"]);
    assert_eq!(create(&in_place, &()).unwrap().outcome, Outcome::Unchanged);
    let elsewhere = CreateOptions { folder: site.build.clone(), ..in_place };
    let error = create(&elsewhere, &()).unwrap_err();
    assert!(matches!(&error, CreateError::Places(why) if why.contains("must lie in")), "{error}");
}

#[test]
fn links_are_followed_within_the_folder_only() {
    let site = Site::new(&[("real", "abc")]);
    symlink("real", site.build.join("link")).unwrap();
    let created = site.create("1.0").unwrap();
    assert_eq!(created.manifest.assets[0].sha256.to_string(), ABC);
    assert!(fs::symlink_metadata(site.origin.join("tool/1.0/link")).unwrap().is_file());
    for (target, expected) in
        [("/etc/passwd", "leads out"), ("nothing", "cannot follow the link"), ("sub", "a link to a folder")]
    {
        let site = Site::new(&[("real", "abc"), ("sub/file", "x")]);
        symlink(target, site.build.join("odd")).unwrap();
        let said = site.refused("2.0");
        assert!(said.contains("odd") && said.contains(expected), "{said}");
        assert_eq!(site.origin_files(), []);
    }
}

#[test]
fn what_a_release_cannot_hold_is_refused_by_name() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let site = Site::new(&[("only/.hidden", "x")]);
    assert!(site.refused("1.0").contains("holds no files"));
    site.put("back\\slash", "x");
    assert!(site.refused("1.0").contains("back\\slash: as an asset its name holds a character"));
    fs::remove_file(site.build.join("back\\slash")).unwrap();
    fs::write(site.build.join(OsStr::from_bytes(b"bad\xff")), "x").unwrap();
    assert!(site.refused("1.0").contains("not UTF-8"));
    let site = Site::new(&[("file", "x")]);
    let _socket = std::os::unix::net::UnixListener::bind(site.build.join("socket")).unwrap();
    assert!(site.refused("1.0").contains("neither a file nor a folder"));
    let missing = CreateOptions { folder: site.build.join("missing"), ..site.options("1.0") };
    assert!(matches!(create(&missing, &()), Err(CreateError::Places(_))));
    let around = CreateOptions { origin: site.build.join("origin"), ..site.options("1.0") };
    assert!(create(&around, &()).unwrap_err().to_string().contains("lies inside it"));
}

/// Writes to a file when the hashing begins, which is after the folder was walked.
struct Meddler(PathBuf, &'static str);

impl Progress for Meddler {
    fn begin(&self, _: usize, _: u64) {
        fs::write(&self.0, self.1).unwrap();
    }
    fn advance(&self, _: u64) {}
}

#[test]
fn a_file_that_changes_while_it_is_read_publishes_nothing() {
    for text in ["grown and grown", "", "x"] {
        let site = Site::new(&[("a", "abc"), ("b", "2")]);
        let error = create(&site.options("1.0"), &Meddler(site.build.join("a"), text)).unwrap_err();
        assert!(matches!(&error, CreateError::Changed { path } if path.ends_with("a")), "{error}");
        assert_eq!(site.origin_files(), []);
    }
}

#[test]
fn a_release_that_cannot_be_written_names_the_file_and_leaves_no_manifest() {
    let site = Site::new(&[("a", "1"), ("b", "2")]);
    // A folder has the name of a file: the rename fails, for root as well.
    fs::create_dir_all(site.origin.join("tool/1.0/b/full")).unwrap();
    let said = site.refused("1.0");
    assert!(said.contains("cannot write") && said.contains("tool/1.0/b"), "{said}");
    let paths: Vec<String> = site.origin_files().into_iter().map(|(name, _)| name).collect();
    assert!(!paths.iter().any(|path| path.ends_with(".json") || path.contains("staging")), "{paths:?}");
}

#[test]
fn what_a_killed_run_left_is_cleared_and_two_at_once_are_refused() {
    let site = Site::new(&[("a", "1")]);
    let staging = site.origin.join("tool/1.0/.waypost-staging");
    write(&staging.join("7"), "half a fi");
    let held = fs::File::create(staging.join("lock")).unwrap();
    held.lock().unwrap();
    assert!(matches!(site.create("1.0"), Err(CreateError::Busy { .. })));
    drop(held);
    site.create("1.0").unwrap();
    assert!(!staging.exists());
    // A file of an earlier run never takes the name of a published one.
    write(&staging.join("0"), "half a fi");
    site.put("b", "2");
    site.create("1.0").unwrap();
    assert_eq!(fs::read_to_string(site.origin.join("tool/1.0/a")).unwrap(), "1");
}

#[test]
fn many_files_are_all_hashed_and_counted() {
    #[derive(Default)]
    struct Count(AtomicU64, AtomicU64);
    impl Progress for Count {
        fn begin(&self, _: usize, bytes: u64) {
            self.0.store(bytes, Ordering::Relaxed);
        }
        fn advance(&self, bytes: u64) {
            self.1.fetch_add(bytes, Ordering::Relaxed);
        }
    }
    let site = Site::new(&[]);
    for i in 0..300 {
        site.put(&format!("d{}/f{i}", i % 7), &"x".repeat(i));
    }
    site.put("large", &"y".repeat(1 << 20));
    let count = Count::default();
    let created = create(&site.options("1.0"), &count).unwrap();
    assert_eq!(created.manifest.assets.len(), 301);
    assert_eq!(count.0.into_inner(), created.manifest.bytes());
    assert_eq!(count.1.into_inner(), created.manifest.bytes());
}
