//! The decision table of the contract: who asks what, and the whole answer. In the manner of registry.k8s.io's archeio.
#![allow(clippy::unwrap_used, missing_docs)]

#[path = "decision/documents.rs"]
mod documents;
#[path = "decision/site.rs"]
mod site;
#[path = "decision/stickiness.rs"]
mod stickiness;
#[path = "decision/table.rs"]
mod table;
#[path = "support/world.rs"]
mod world;

use std::net::IpAddr;

use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use http_body_util::BodyExt;
use percent_encoding::percent_decode_str;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use waypost::model::Timestamp;
use waypost::redirect::{Answer, Inquiry, answer};
use waypost::snapshot::Snapshot;

use site::{EU, site};
use world::sha256;

/// A request and what the contract says of it.
#[derive(Debug, Clone)]
pub struct Row {
    name: &'static str,
    method: &'static str,
    uri: String,
    headers: Vec<(&'static str, &'static [u8])>,
    client: &'static str,
    https: bool,
    out: &'static [&'static str],
    status: u16,
    location: &'static str,
    says: Vec<&'static str>,
}

/// A request from Europe by https.
pub fn get(name: &'static str, uri: impl Into<String>) -> Row {
    Row {
        name,
        method: "GET",
        uri: uri.into(),
        headers: vec![],
        client: EU,
        https: true,
        out: &[],
        status: 302,
        location: "",
        says: vec![],
    }
}

impl Row {
    pub fn method(self, method: &'static str) -> Self {
        Self { method, ..self }
    }

    pub fn from(self, client: &'static str) -> Self {
        Self { client, ..self }
    }

    pub fn plain_http(self) -> Self {
        Self { https: false, ..self }
    }

    /// These mirrors are down.
    pub fn without(self, out: &'static [&'static str]) -> Self {
        Self { out, ..self }
    }

    pub fn with(mut self, name: &'static str, value: &'static str) -> Self {
        self.headers.push((name, value.as_bytes()));
        self
    }

    pub fn with_bytes(mut self, name: &'static str, value: &'static [u8]) -> Self {
        self.headers.push((name, value));
        self
    }

    pub fn to(self, location: &'static str) -> Self {
        Self { status: 302, location, ..self }
    }

    /// The status, and fragments of the answer as it stands on the wire; `!` before those that must not be there.
    pub fn is(self, status: u16, says: &[&'static str]) -> Self {
        Self { status, says: says.to_vec(), ..self }
    }

    pub fn saying(self, says: &[&'static str]) -> Self {
        Self { says: says.to_vec(), ..self }
    }

    pub fn ask(&self, snapshot: &Snapshot) -> Told {
        let mut headers = HeaderMap::new();
        for (name, value) in &self.headers {
            headers.append(HeaderName::from_static(name), HeaderValue::from_bytes(value).unwrap());
        }
        let inquiry = Inquiry {
            method: &Method::from_bytes(self.method.as_bytes()).unwrap(),
            uri: &self.uri.parse::<Uri>().unwrap(),
            headers: &headers,
            client: self.client.parse().unwrap(),
            https: self.https,
            occasion: &Timestamp::default(),
        };
        tell(answer(snapshot, &inquiry))
    }

    /// What is wrong with the answer, if anything.
    fn check(&self, snapshot: &Snapshot) -> Option<String> {
        let told = self.ask(snapshot);
        let wire = told.wire();
        let about = format!("{}: {} {}\n{wire}", self.name, self.method, self.uri);
        told.check_rules(&about);
        let location = told.header("location").unwrap_or("");
        if (told.status, location) != (self.status, self.location) {
            return Some(format!("expected {} {}, found {about}", self.status, self.location));
        }
        let fits = |fragment: &str| match fragment.strip_prefix('!') {
            Some(absent) => !wire.contains(absent),
            None => wire.contains(fragment),
        };
        self.says
            .iter()
            .find(|fragment| !fits(fragment))
            .map(|fragment| format!("expected {fragment}, found {about}"))
    }
}

/// An answer as it stands on the wire.
pub struct Told {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

pub fn tell(answer: Answer<'_>) -> Told {
    let (parts, body) = answer.response.into_parts();
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let headers = parts.headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let body = runtime.block_on(body.collect()).unwrap().to_bytes();
    Told { status: parts.status.as_u16(), headers, body: String::from_utf8(body.to_vec()).unwrap() }
}

impl Told {
    pub fn all(&self, name: &str) -> Vec<&str> {
        self.headers.iter().filter(|(n, _)| n == name).map(|(_, value)| value.as_str()).collect()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.all(name).first().copied()
    }

    pub fn wire(&self) -> String {
        let lines = self.headers.iter().map(|(name, value)| format!("{name}: {value}\n"));
        format!("{}\n{}\n{}", self.status, lines.collect::<String>(), self.body)
    }

    /// What holds for every answer of its kind.
    fn check_rules(&self, about: &str) {
        assert!(![301, 304, 308].contains(&self.status), "{about}");
        let cache = self.header("cache-control").unwrap_or_else(|| panic!("no cache-control: {about}"));
        assert_eq!(cache, if self.status == 503 { "no-store" } else { "private, max-age=60" }, "{about}");
        assert_eq!(self.header("retry-after").is_some(), self.status == 503, "{about}");
        assert_eq!(self.header("allow").is_some(), self.status == 405, "{about}");
        assert_eq!(self.header("vary"), Some("Accept"), "{about}");
        assert_eq!(self.header("location").is_some(), self.status == 302, "{about}");
        if self.status == 302 {
            let location = self.header("location").unwrap();
            let last = location.rsplit('/').next().unwrap();
            let last = percent_decode_str(last).decode_utf8().unwrap();
            let files = site::files();
            let digest = |file: &str| format!("SHA-256={}", sha256(file).to_base64());
            let file = files.iter().find(|file| self.header("digest") == Some(&digest(file)));
            let file = file.unwrap_or_else(|| panic!("the digest of no file: {about}"));
            assert_eq!(file.rsplit('/').next().unwrap(), last, "{about}");
        }
    }
}

#[test]
fn every_row_of_the_table_is_answered_as_the_contract_says() {
    let wrong: Vec<String> = table::rows().iter().filter_map(|row| row.check(&site(row.out))).collect();
    assert!(wrong.is_empty(), "{} rows are wrong\n\n{}", wrong.len(), wrong.join("\n\n"));
}

#[test]
fn head_is_answered_as_get_is() {
    let snapshot = site(&[]);
    for row in table::rows().into_iter().filter(|row| row.method == "GET" && row.out.is_empty()) {
        assert_eq!(
            row.ask(&snapshot).wire(),
            row.clone().method("HEAD").ask(&snapshot).wire(),
            "{}",
            row.name
        );
    }
}

fn path() -> impl Strategy<Value = Vec<u8>> {
    const WORDS: [&str; 25] = [
        "tool",
        "app",
        "fresh",
        "plain",
        "stable",
        "latest",
        "nightly",
        "1.8.2",
        "v1.8.2",
        "v3.1",
        "vv1.8.2",
        "install",
        "SHA256SUMS",
        "version.txt",
        "linux-amd64",
        "x86_64_linux",
        "docs",
        "index.html",
        "pinned.bin",
        "rare.bin",
        "tool-linux-amd64.tar.gz",
        "tool-1.8.2-linux-amd64.tar.gz",
        "..",
        "%2e%2e",
        "",
    ];
    const JOINTS: [&str; 12] =
        ["/", "/", "/", "/", "//", "%2F", ".sha256", ".meta4", "%00", "%ff", "%", "\\"];
    let known = vec((select(&JOINTS[..]), select(&WORDS[..])), 0..6).prop_map(|parts| {
        parts
            .iter()
            .flat_map(|(joint, word)| [joint.as_bytes(), word.as_bytes()].concat())
            .collect::<Vec<u8>>()
    });
    prop_oneof![4 => known, 1 => vec(any::<u8>(), 0..60)]
        .prop_map(|path| if path.starts_with(b"/") { path } else { [&b"/"[..], &path].concat() })
}

fn query() -> impl Strategy<Value = Vec<u8>> {
    const WORDS: [&str; 14] = [
        "avoid=",
        "fra",
        "nyc,sin",
        "https://fra.example.net/releases/x",
        "mirrors",
        "mirrors=text",
        "platform=linux-amd64",
        "version=",
        "stable",
        "kind=binary",
        "&",
        "=",
        "%",
        "%ff",
    ];
    prop_oneof![
        vec(select(&WORDS[..]), 0..8).prop_map(|words| words.concat().into_bytes()),
        vec(any::<u8>(), 0..60),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_asked_nothing_panics_and_redirects_lead_to_copies_of_the_asset(
        (path, query, long) in (path(), query(), proptest::bool::weighted(0.02)),
        (accept, avoid) in (vec(any::<u8>(), 0..50), vec(any::<u8>(), 0..50)),
        (client, https, method) in (any::<IpAddr>(), any::<bool>(), select(&["GET", "HEAD", "POST", "X"][..])),
    ) {
        let mut uri = [&path[..], b"?", &query[..]].concat();
        if long {
            uri.extend(std::iter::repeat_n(b'a', 8192));
        }
        let Ok(uri) = Uri::try_from(uri) else { return Ok(()) };
        let mut headers = HeaderMap::new();
        for (name, bytes) in [("accept", accept), ("waypost-avoid", avoid)] {
            if let Ok(value) = HeaderValue::from_bytes(&bytes) {
                headers.append(HeaderName::from_static(name), value);
            }
        }
        thread_local!(static SITE: Snapshot = site(&["sin"]));
        SITE.with(|snapshot| {
            let method = Method::from_bytes(method.as_bytes()).unwrap();
            let inquiry = Inquiry { method: &method, uri: &uri, headers: &headers, client, https, occasion: &Timestamp::default() };
            let answer = answer(snapshot, &inquiry);
            let facts = answer.facts;
            let (asset, mirror) = (facts.asset, facts.mirror);
            let told = tell(answer);
            told.check_rules(&format!("{uri}"));
            if told.status == 302 {
                let ((release, asset), mirror) = (asset.unwrap(), mirror.unwrap());
                let url = snapshot.mirrors.get(mirror).url(&release.release, release.release.asset(asset));
                assert_eq!(told.header("location"), Some(url.as_str()));
                assert!(release.holders.of(asset).has(mirror) && snapshot.availability.routable.has(mirror));
                assert!(!https || url.starts_with("https:"));
            }
            assert!([200, 302, 400, 404, 405, 503].contains(&told.status), "{}", told.status);
        });
    }
}
