//! The answers that are documents, to the letter.

use std::sync::Arc;

use http::header::HeaderName;
use waypost::model::{Timestamp, Version};
use waypost::snapshot::{ChannelView, ProductView, ReleaseView, WithdrawnView};

use super::get;
use super::site::{TOOL, site};
use super::world::{sha256, size};

const NAME: &str = "tool-1.8.2-linux-amd64.tar.gz";
const PATH: &str = "/tool/1.8.2/tool-1.8.2-linux-amd64.tar.gz";

#[test]
fn a_redirect_carries_exactly_these_headers() {
    let told = get("the whole header", PATH).ask(&site(&[]));
    let file = |base: &str| format!("<{base}/tool-1.8.2-linux-amd64.tar.gz>; rel=duplicate");
    let expected = [
        ("waypost-mirror", "fra".to_owned()),
        ("location", format!("https://fra.example.net/releases/tool/1.8.2/{NAME}")),
        ("digest", format!("SHA-256={}", sha256(NAME).to_base64())),
        ("link", file("https://fra.example.net/releases/tool/1.8.2") + "; pri=1; geo=de"),
        ("link", file("https://nyc.example.net:8443/pub/tool/1.8.2") + "; pri=2; geo=us"),
        ("link", file("https://sin.example.net/acme/tool/releases/download/v1.8.2") + "; pri=3"),
        ("link", file("https://fra.example.net/cold/tool/1.8.2") + "; pri=4"),
        (
            "link",
            format!("<https://dl.example{PATH}.meta4>; rel=describedby; type=\"application/metalink4+xml\""),
        ),
        ("cache-control", "private, max-age=60".to_owned()),
        ("vary", "Accept".to_owned()),
    ];
    let expected: Vec<_> = expected.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    assert_eq!(told.headers, expected);
    assert_eq!((told.status, told.body.as_str()), (302, ""));
    assert!(expected.iter().all(|(name, _)| name.parse::<HeaderName>().is_ok()));
}

#[test]
fn checksums_are_lines_that_sha256sum_reads() {
    let body = |path: &str| get("checksums", path).ask(&site(&[])).body;
    assert_eq!(body(&format!("{PATH}.sha256")), format!("{}  {NAME}\n", sha256(NAME)));
    let sums: Vec<String> = ["tool-1.8.1-linux-amd64.tar.gz", "docs/a b.txt"]
        .map(|name| format!("{}  {name}\n", sha256(name)))
        .to_vec();
    assert_eq!(body("/tool/1.8.1/SHA256SUMS"), sums.concat());
    assert_eq!(body("/tool/beta/version.txt"), "2.0.0-rc.1\n");
}

#[test]
fn the_json_list_says_what_the_file_is_and_where() {
    let told = get("json", format!("{PATH}?mirrors&avoid=sin")).ask(&site(&["cold"]));
    let list: serde_json::Value = serde_json::from_str(&told.body).unwrap();
    let expected = serde_json::json!({
        "product": "tool", "version": "1.8.2", "name": NAME, "size": size(NAME), "sha256": sha256(NAME).to_string(),
        "mirrors": [
            { "name": "fra", "url": format!("https://fra.example.net/releases{PATH}"), "priority": 1, "region": "eu", "country": "DE" },
            { "name": "nyc", "url": format!("https://nyc.example.net:8443/pub{PATH}"), "priority": 2, "region": "us", "country": "US" },
        ],
    });
    assert_eq!(list, expected);
}

#[test]
fn the_text_list_is_one_url_a_line_best_first() {
    let told = get("text", "/tool/1.8.2/docs/guide%20100%25.pdf?mirrors=text").ask(&site(&["sin"]));
    let lines = [
        "https://fra.example.net/releases/tool/1.8.2/docs/guide%20100%25.pdf",
        "https://nyc.example.net:8443/pub/tool/1.8.2/docs/guide%20100%25.pdf",
        "https://fra.example.net/cold/tool/1.8.2/docs/guide%20100%25.pdf",
    ];
    assert_eq!(told.body.lines().collect::<Vec<_>>(), lines);
}

/// The elements of a small XML document: path, attributes and text of each leaf. Panics where it is not well-formed.
fn elements(xml: &str) -> Vec<(String, String, String)> {
    let mut rest = xml.strip_prefix("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n").unwrap();
    let (mut open, mut leaves) = (Vec::<&str>::new(), vec![]);
    let mut attributes = "";
    while let Some(at) = rest.find('<') {
        let (text, tag) = (&rest[..at], &rest[at + 1..]);
        let (tag, after) = tag.split_once('>').unwrap();
        assert!(!tag.contains('<') && !text.contains('>'), "{tag}");
        if let Some(name) = tag.strip_prefix('/') {
            let path = open.join("/");
            assert_eq!(open.pop(), Some(name), "closes what is not open");
            leaves.push((path, attributes.to_owned(), text.to_owned()));
        } else {
            assert_eq!(text.trim(), "", "text between elements");
            let (name, more) = tag.split_once(' ').unwrap_or((tag, ""));
            assert_eq!(more.matches('"').count() % 2, 0, "{tag}");
            open.push(name);
            attributes = more;
        }
        rest = after;
    }
    assert!(open.is_empty() && rest.trim().is_empty());
    for piece in xml.split('&').skip(1) {
        assert!(
            ["amp;", "lt;", "gt;", "quot;", "apos;"].iter().any(|entity| piece.starts_with(entity)),
            "{piece}"
        );
    }
    leaves
}

#[test]
fn a_metalink_has_size_hashes_and_ranked_urls() {
    let told = get("metalink", format!("{PATH}.meta4")).ask(&site(&["sin", "cold"]));
    assert!(told.body.contains("<metalink xmlns=\"urn:ietf:params:xml:ns:metalink\">"));
    let elements = elements(&told.body);
    let leaf = |name: &str, attributes: &str, text: String| {
        (format!("metalink/file/{name}"), attributes.to_owned(), text)
    };
    for expected in [
        leaf("identity", "", "tool".into()),
        leaf("version", "", "1.8.2".into()),
        leaf("size", "", size(NAME).to_string()),
        leaf("hash", "type=\"sha-256\"", sha256(NAME).to_string()),
        leaf("hash", "type=\"sha-512\"", "51".repeat(64)),
    ] {
        assert!(elements.contains(&expected), "{expected:?} {elements:#?}");
    }
    let urls: Vec<_> = elements.iter().filter(|(path, ..)| path == "metalink/file/url").cloned().collect();
    let expected = [
        leaf("url", "location=\"de\" priority=\"1\"", format!("https://fra.example.net/releases{PATH}")),
        leaf("url", "location=\"us\" priority=\"2\"", format!("https://nyc.example.net:8443/pub{PATH}")),
        leaf("url", "priority=\"999999\"", format!("https://dl.example{PATH}")),
    ];
    assert_eq!(urls, expected);
    assert!(told.body.contains(&format!("<file name=\"{NAME}\">")));
}

#[test]
fn a_metalink_of_any_name_is_well_formed() {
    for release in TOOL.releases {
        // Nobody who may serve this client holds these two.
        let served = |name: &str| !matches!(name, "lost.bin" | "northern.bin");
        for (name, ..) in release.files.iter().filter(|(name, ..)| served(name)) {
            let path = waypost::catalog::encode_path(name);
            let told = get("metalink", format!("/tool/{}/{path}.meta4", release.version)).ask(&site(&[]));
            assert_eq!(told.status, 200, "{name}");
            assert!(!elements(&told.body).is_empty());
        }
    }
}

#[test]
fn a_problem_names_type_title_and_status() {
    let told = get("problem", "/tool/install").ask(&site(&[]));
    let problem: serde_json::Value = serde_json::from_str(&told.body).unwrap();
    assert_eq!(problem["type"], "about:blank");
    assert_eq!((&problem["title"], &problem["status"]), (&"Bad Request".into(), &400.into()));
    let line = get("line", "/tool/install").with("accept", "text/plain").ask(&site(&[])).body;
    assert_eq!(line.lines().count(), 1);
    assert!(line.contains(problem["detail"].as_str().unwrap()));
}

/// A product's view as the next snapshot may have it: the same releases, channels and withdrawals.
fn again(view: &ProductView) -> ProductView {
    let channel = |c: &ChannelView| ChannelView {
        name: c.name.clone(),
        target: c.target.clone(),
        gone: c.gone.clone(),
        since: c.since,
    };
    ProductView {
        name: view.name.clone(),
        releases: view.releases.clone(),
        by_version: view.by_version.clone(),
        withdrawn: view.withdrawn.clone(),
        channels: view.channels.iter().map(channel).collect(),
        latest: view.latest,
        meters: Arc::clone(&view.meters),
        guard: None,
        listings: Arc::default(),
    }
}

#[test]
fn the_list_of_releases_is_written_anew_only_when_it_says_something_else() {
    let snapshot = site(&[]);
    let before = &snapshot.catalog.products["tool"];
    let kept = |change: &dyn Fn(&mut ProductView)| {
        let mut after = again(before);
        change(&mut after);
        after.keep_listings(before);
        Arc::ptr_eq(&after.listings, &before.listings)
    };
    assert!(kept(&|_| ()));
    let held_by_nobody = |view: &Arc<ReleaseView>| {
        Arc::new(ReleaseView { holders: Arc::default(), ..ReleaseView::clone(view) })
    };
    assert!(kept(&|after| after.releases.iter_mut().for_each(|view| *view = held_by_nobody(view))));

    let withdrawn = |reason: &str| {
        let version = Version::parse("0.9").unwrap();
        let at = Timestamp::default();
        Arc::new(WithdrawnView { version, at, reason: reason.into(), replacement: None })
    };
    let later = Timestamp::parse_rfc3339("2026-11-20T10:00:00Z");
    let changes: [&dyn Fn(&mut ProductView); 8] = [
        &|after| drop(after.releases.pop()),
        &|after| after.releases.swap(0, 1),
        &|after| {
            let view = ReleaseView::clone(&after.releases[0]);
            after.releases[0] = Arc::new(ReleaseView { published_at: later.unwrap(), ..view });
        },
        &|after| drop(after.channels.pop()),
        &|after| after.channels[0].since = later,
        &|after| after.channels[0].target = None,
        &|after| after.latest = None,
        &|after| drop(after.withdrawn.insert("0.9".into(), withdrawn("it was bad"))),
    ];
    for (n, change) in changes.iter().enumerate() {
        assert!(!kept(change), "change {n}");
    }
    let mut before = again(before);
    before.withdrawn.insert("0.9".into(), withdrawn("it was bad"));
    let mut after = again(&before);
    after.keep_listings(&before);
    assert!(Arc::ptr_eq(&after.listings, &before.listings));
    after = again(&before);
    after.withdrawn.insert("0.9".into(), withdrawn("it is worse"));
    after.keep_listings(&before);
    assert!(!Arc::ptr_eq(&after.listings, &before.listings));
}
