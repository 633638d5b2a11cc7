//! Promises of the configuration: everything wrong in one run, each with its place; nothing is ignored in silence.
#![allow(clippy::unwrap_used, missing_docs)]

#[path = "config/access.rs"]
mod access;
#[path = "config/hostile.rs"]
mod hostile;
#[path = "config/life.rs"]
mod life;
#[path = "config/rules.rs"]
mod rules;
#[path = "config/signing.rs"]
mod signing;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use waypost::config::{
    ClientHeader, LayoutPart, Loaded, LogFormat, NetworkSource, OriginAt, Problem, RangeFormat, Ready,
    known_keys, load, parse,
};
use waypost::model::{Asn, RegionId};

/// Five lines that are a whole configuration; what follows stands in its `[[mirror]]` until another header comes.
const BASE: &str = r#"[origin]
url = "https://o.example/"
[[mirror]]
name = "a"
url = "https://a.example/"
"#;

const FILE: &str = "/etc/waypost/waypost.toml";

fn read(text: &str) -> Result<Loaded, Vec<Problem>> {
    parse(text, Path::new(FILE)).map_err(|problems| problems.iter().cloned().collect())
}

fn with_base(more: &str) -> Loaded {
    read(&format!("{BASE}{more}")).unwrap_or_else(|problems| panic!("{more}: {problems:#?}"))
}

fn lines(problems: &[Problem]) -> Vec<String> {
    problems.iter().map(ToString::to_string).collect()
}

/// Checks that `text` has exactly one problem, which stands at `place` (`line:column: key:`) and says `fragment`.
fn refused(text: &str, place: &str, fragment: &str) {
    let problems = read(text).err().unwrap_or_else(|| panic!("accepted:\n{text}"));
    let lines = lines(&problems);
    assert_eq!(lines.len(), 1, "{text}\n{lines:#?}");
    let start = format!("{FILE}:{place} ");
    assert!(lines[0].starts_with(&start), "{text}\nexpected {start}\nfound    {}", lines[0]);
    assert!(lines[0].contains(fragment), "{text}\nexpected {fragment}\nfound    {}", lines[0]);
}

fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    folder
}

fn project_file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("config").join(name)
}

#[test]
fn the_quickstart_loads_and_the_origin_is_its_last_resort() {
    let loaded = load(&project_file("quickstart.toml")).unwrap();
    assert_eq!(loaded.warnings, []);
    let last = loaded.config.mirrors.last().unwrap();
    assert_eq!((last.name.as_str(), last.weight), ("origin", 0));
    assert_eq!(loaded.config.mirrors.len(), 3);
}

/// Every key that a file holds, as paths without positions.
fn keys(value: &toml::Value, path: &str, found: &mut BTreeSet<String>) {
    match value {
        toml::Value::Table(table) => {
            for (key, value) in table {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                keys(value, &path, found);
                found.insert(path);
            }
        }
        toml::Value::Array(elements) => elements.iter().for_each(|element| keys(element, path, found)),
        _ => {}
    }
}

#[test]
fn the_reference_loads_and_holds_every_known_key() {
    let path = project_file("reference.toml");
    load(&path).unwrap_or_else(|problems| panic!("{problems}"));
    let table: toml::Table = fs::read_to_string(path).unwrap().parse().unwrap();
    let mut found = BTreeSet::new();
    keys(&toml::Value::Table(table), "", &mut found);
    let known = known_keys();
    assert!(known.contains("mirror.only.networks") && known.len() > 80, "{known:?}");
    let missing: Vec<_> = known.difference(&found).collect();
    assert!(missing.is_empty(), "not in reference.toml: {missing:?}");
}

#[test]
fn the_values_in_the_reference_are_the_defaults() {
    let reference = load(&project_file("reference.toml")).unwrap().config;
    let least = with_base("").config;
    assert_eq!(reference.server.listen, least.server.listen);
    assert_eq!(reference.server.admin, least.server.admin);
    assert_eq!(reference.server.client_header, least.server.client_header);
    assert_eq!(reference.server.drain, least.server.drain);
    assert_eq!(reference.origin.poll, least.origin.poll);
    assert_eq!(reference.mirrors[0].weight, least.mirrors[0].weight);
    assert_eq!(reference.mirrors[0].anycast, least.mirrors[0].anycast);
    assert_eq!(reference.mirrors[0].layout, least.mirrors[0].layout);
    assert_eq!(reference.routing, least.routing);
    assert_eq!(reference.redirect, least.redirect);
    assert_eq!(format!("{:?}", reference.outgoing), format!("{:?}", least.outgoing));
    assert_eq!(reference.limits, least.limits);
    assert_eq!(reference.log, least.log);
    assert_eq!(reference.probe, least.probe);
    assert_eq!(reference.verify, least.verify);
    assert_eq!(reference.channels[0].ready, Ready::default());
}

#[test]
fn values_arrive_as_written() {
    let loaded = with_base(
        r#"
        region = "eu"
        weight = 1_000
        layout = "v{version}/a b%20c%/{asset}"
        never = { asns = [64500], networks = "10.1.2.3" }
        [server]
        listen = "127.0.0.1:0"
        admin = "off"
        public_url = "https://get.example"
        trusted_proxies = ["10.0.0.0/8", "::1"]
        client_header = "Forwarded"
        tls = { certificate = "tls/c.pem", key_file = "/k.pem" }
        [[region]]
        name = "eu"
        location = [50, 8.5]
        [[client_network]]
        cidr = ["10.20.0.0/16", "10.30.0.0/16"]
        region = "eu"
        [[client_network]]
        file = "r.json"
        format = "aws"
        regions = { "z-*" = "eu", "a-*" = "eu" }
        [probe]
        interval = "10ms"
        [verify]
        bandwidth = "2MB"
        [[channel]]
        name = "beta"
        ready = "80%"
        promote = "auto"
        [log]
        level = "info,waypost=debug"
        format = "json"
        "#,
    );
    let config = loaded.config;
    assert_eq!(loaded.files, [Path::new(FILE)]);
    assert_eq!(config.server.listen, ["127.0.0.1:0".parse().unwrap()]);
    assert_eq!(config.server.admin, None);
    assert_eq!(config.server.public_url.unwrap().as_str(), "https://get.example/");
    assert_eq!(config.server.trusted_proxies, ["10.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()]);
    assert_eq!(config.server.client_header, ClientHeader::Forwarded);
    assert_eq!(config.server.state, Path::new("/etc/waypost/state"));
    let tls = config.server.tls.unwrap();
    assert_eq!(tls.certificate, Path::new("/etc/waypost/tls/c.pem"));
    assert_eq!(tls.key_file, Path::new("/k.pem"));
    let mirror = &config.mirrors[0];
    assert_eq!((mirror.region, mirror.weight), (Some(RegionId(0)), 1000));
    assert_eq!(mirror.location, config.regions[0].location, "a mirror lies where its region does");
    assert_eq!(mirror.never.asns, [Asn(64500)]);
    assert_eq!(mirror.never.networks, ["10.1.2.3/32".parse().unwrap()]);
    let literal = |text: &str| LayoutPart::Literal(text.into());
    let layout = [literal("v"), LayoutPart::Version, literal("/a%20b%20c%25/"), LayoutPart::Asset];
    assert_eq!(mirror.layout.0, layout);
    assert_eq!(config.client_networks.len(), 3);
    assert_eq!(config.client_networks[1].place.location, config.regions[0].location);
    let NetworkSource::File { path, format, regions } = &config.client_networks[2].source else { panic!() };
    assert_eq!((path.as_path(), *format), (Path::new("/etc/waypost/r.json"), RangeFormat::Aws));
    assert_eq!(
        regions,
        &[("z-*".into(), RegionId(0)), ("a-*".into(), RegionId(0))],
        "in the order of the file"
    );
    assert_eq!(config.probe.interval, Duration::from_millis(10));
    assert_eq!(config.verify.bandwidth, 2_000_000);
    assert_eq!(config.channels[0].ready, Ready::Share(80.0));
    assert_eq!((config.log.level.as_str(), config.log.format), ("info,waypost=debug", LogFormat::Json));
}

#[test]
fn an_origin_is_a_folder_or_a_url() {
    let origin = |url: &str| {
        let text = BASE.replace("\"https://o.example/\"", &format!("{url:?}"));
        read(&text).map(|loaded| loaded.config.origin.at)
    };
    let url = |url: &str| OriginAt::Url(url.parse().unwrap());
    assert_eq!(origin("https://o.example/r").unwrap(), url("https://o.example/r/"));
    assert_eq!(origin("HTTP://o.example").unwrap(), url("http://o.example/"));
    assert_eq!(origin("releases").unwrap(), OriginAt::Folder("/etc/waypost/releases".into()));
    assert_eq!(origin("/srv/releases").unwrap(), OriginAt::Folder("/srv/releases".into()));
    assert_eq!(origin("file:///srv/a%20b").unwrap(), OriginAt::Folder("/srv/a b".into()));
    for bad in
        ["", "ftp://o.example/", "file://elsewhere/srv", "https://", "https://o.example/?a", "file:///srv#a"]
    {
        assert!(origin(bad).is_err(), "{bad}");
    }
}

#[test]
fn a_password_in_a_url_is_refused_and_not_repeated() {
    for text in [
        BASE.replace("https://a.example/", "https://me:hunter2@a.example/"),
        BASE.replace("https://o.example/", "https://me:hunter2@o.example/"),
        format!("{BASE}[outgoing]\nproxy = \"http://me:hunter2@p.example\""),
        BASE.replace("https://a.example/", "ftp://me:hunter2@a.example/"),
        BASE.replace("https://a.example/", "https://me:hunter2@:/"),
    ] {
        let lines = lines(&read(&text).unwrap_err());
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(!lines[0].contains("hunter2"), "{lines:?}");
    }
}

#[test]
fn an_origin_that_serves_is_the_last_mirror() {
    let serving = BASE.replace("[[mirror]]", "serve = true\n[[mirror]]");
    let mirrors = read(&serving).unwrap().config.mirrors;
    assert_eq!(
        mirrors.iter().map(|m| (m.name.as_str(), m.weight)).collect::<Vec<_>>(),
        [("a", 100), ("origin", 0)]
    );
    assert_eq!(mirrors[1].url.as_str(), "https://o.example/");
    refused(
        &serving.replace("https://o.example/", "releases"),
        "3:9: origin.serve:",
        "[[mirror]] with weight = 0",
    );
    refused(&serving.replace("\"a\"", "\"origin\""), "3:9: origin.serve:", "given already");
}

#[test]
fn mirrors_that_all_have_weight_zero_are_warned_of() {
    let loaded = with_base("weight = 0");
    assert_eq!(loaded.warnings.len(), 1);
    assert!(loaded.warnings[0].message.contains("weight 0"), "{}", loaded.warnings[0]);
    assert!(with_base("weight = 1").warnings.is_empty());
}

#[test]
fn what_is_needed_is_asked_for() {
    let problems = read("").unwrap_err();
    let lines = lines(&problems);
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines[0].contains("there is no [[mirror]]"), "{lines:?}");
    assert!(lines[1].contains("origin: `url` is missing"), "{lines:?}");
    let mirror_only = "[[mirror]]\nname = \"a\"\nurl = \"https://a.example\"\n[origin]\npoll = \"1s\"\n";
    refused(mirror_only, "4:1: origin:", "`url` is missing; add url = ");
    refused(
        &BASE.replace("url = \"https://o.example/\"", "url = \"o\"\npoll = \"1ms\""),
        "3:8: origin.poll:",
        "10ms",
    );
}

#[test]
fn keys_of_later_features_are_refused_by_name() {
    for (more, what) in [
        ("[reports]", "[reports]"),
        ("[store]", "[store]"),
        ("[acme]", "[acme]"),
        ("max_share = 0.4", "mirror.max_share"),
    ] {
        let problems = read(&format!("{BASE}{more}")).unwrap_err();
        let expected = format!("`{what}` is not available in this version");
        assert_eq!(problems.len(), 1, "{more}: {problems:?}");
        assert_eq!(problems[0].message, expected);
        assert_eq!(problems[0].line, 5 + more.lines().count().min(if what.starts_with('[') { 1 } else { 9 }));
    }
}

#[test]
fn all_problems_are_reported_at_once_in_the_order_of_the_file() {
    let problems = read(
        r#"[origin]
url = "gopher://o.example"
pol = "1s"
[[mirror]]
name = "a"
weight = -1
[acme]
[probe]
interval = "soon"
"#,
    )
    .unwrap_err();
    let places: Vec<_> = problems.iter().map(|p| (p.line, p.key.as_str())).collect();
    assert_eq!(
        places,
        [
            (2, "origin.url"),
            (3, "origin.pol"),
            (4, "mirror[0]"),
            (6, "mirror[0].weight"),
            (7, "acme"),
            (9, "probe.interval")
        ]
    );
}

#[test]
fn a_syntax_error_hides_no_problem_before_it_and_invents_none_after_it() {
    let problems = read(
        r#"[origin]
url = "https://o.example/"
poll = "never"
[[mirror
name = "a"
url = "https://a.example/"
region = "eu"
[probe]
interval = = "5s"
"#,
    )
    .unwrap_err();
    let places: Vec<_> = problems.iter().map(|p| (p.line, p.key.as_str())).collect();
    assert_eq!(places[0], (3, "origin.poll"), "{problems:#?}");
    assert!(places[1..].iter().all(|(_, key)| key.is_empty()), "{problems:#?}");
    assert!(places.contains(&(4, "")) && places.contains(&(9, "")), "{problems:#?}");
}

#[test]
fn included_files_add_tables_in_order() {
    let folder = folder(&[
        (
            "waypost.toml",
            "[server]\ninclude = [\"regions.toml\", \"mirrors.d/*.toml\", \"none.d/*.toml\", \"*.toml\"]\n\
             [origin]\nurl = \"releases\"\n",
        ),
        ("regions.toml", "[[region]]\nname = \"eu\"\n[probe]\ninterval = \"1s\"\n"),
        ("mirrors.d/b.toml", "[[mirror]]\nname = \"b\"\nurl = \"https://b.example\"\nregion = \"eu\"\n"),
        (
            "mirrors.d/a.toml",
            "[[mirror]]\nname = \"a\"\nurl = \"https://a.example\"\n[geoip]\ncity = \"c.mmdb\"\n",
        ),
        ("mirrors.d/README", "not included"),
    ]);
    let loaded = load(&folder.path().join("waypost.toml")).unwrap();
    let names: Vec<_> = loaded.config.mirrors.iter().map(|m| m.name.as_str()).collect();
    assert_eq!(names, ["a", "b"]);
    assert_eq!(loaded.config.mirrors[1].region, Some(RegionId(0)));
    assert_eq!(loaded.config.probe.interval, Duration::from_secs(1));
    assert_eq!(
        loaded.config.geoip.city,
        [folder.path().join("mirrors.d/c.mmdb")],
        "relative to its own file"
    );
    assert_eq!(loaded.config.origin.at, OriginAt::Folder(folder.path().join("releases")));
    let files: Vec<_> = loaded.files.iter().map(|f| f.strip_prefix(folder.path()).unwrap()).collect();
    assert_eq!(
        files,
        ["waypost.toml", "regions.toml", "mirrors.d/a.toml", "mirrors.d/b.toml"].map(Path::new),
        "the main file first, each once"
    );
}

#[test]
fn included_files_give_no_table_twice_and_no_server() {
    let folder = folder(&[
        ("waypost.toml", &format!("{BASE}[server]\ninclude = \"more.toml\"\n[probe]\n")),
        (
            "more.toml",
            "[server]\ninclude = \"x\"\n[probe]\ninterval = \"1s\"\n[[mirror]]\nname = \"a\"\nurl = 1\n",
        ),
    ]);
    let problems = load(&folder.path().join("waypost.toml")).unwrap_err();
    let found: Vec<_> = problems.iter().map(|p| (p.line, p.key.as_str())).collect();
    assert_eq!(
        found,
        [(1, "server"), (3, "probe"), (6, "mirror[0].name"), (7, "mirror[0].url")],
        "{problems}"
    );
    assert!(problems.iter().all(|p| p.file == folder.path().join("more.toml")));
    assert!(problems.to_string().contains("is given already, at"), "{problems}");
}

#[test]
fn a_missing_include_is_the_only_problem_of_what_it_would_have_held() {
    let text = "[server]\ninclude = [\"regions.toml\", \"mirrors.toml\"]\n[origin]\nurl = \"o\"\n\
                [[client_network]]\ncidr = \"10.0.0.0/8\"\nregion = \"eu\"\n";
    let problems = read(text).unwrap_err();
    assert_eq!(problems.len(), 2, "{problems:#?}");
    assert!(problems.iter().all(|p| p.line == 2 && p.message.contains("cannot be read")), "{problems:#?}");
}
