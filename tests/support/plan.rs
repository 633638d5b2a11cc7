//! What a site is made of: its configuration and its releases.

#![allow(dead_code, missing_docs, clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fmt::Write;
use std::net::Ipv4Addr;
use std::path::Path;

use bytes::Bytes;
use serde_json::{Value, json};

const REGIONS: [(&str, &str, &str); 3] = [
    ("eu", "[50.11, 8.68]", "10.1.0.0/16"),
    ("us", "[39.04, -77.49]", "10.2.0.0/16"),
    ("ap", "[1.35, 103.82]", "10.3.0.0/16"),
];

/// A mirror as the configuration describes it.
#[derive(Debug, Clone, Default)]
pub struct MirrorPlan {
    lines: Vec<String>,
    pub(super) url: String,
    pub(super) secure: bool,
    pub(super) lacks: Vec<String>,
}

impl MirrorPlan {
    pub fn region(self, name: &str) -> Self {
        self.line(&format!("region = {name:?}"))
    }

    pub fn weight(self, weight: u32) -> Self {
        self.line(&format!("weight = {weight}"))
    }

    /// Any line of its table.
    pub fn line(mut self, line: &str) -> Self {
        self.lines.push(line.to_owned());
        self
    }

    /// It speaks https, with a certificate that the site believes.
    pub fn secure(mut self) -> Self {
        self.secure = true;
        self
    }

    /// It does not get this file.
    pub fn lacks(mut self, path: &str) -> Self {
        self.lacks.push(path.to_owned());
        self
    }
}

/// What the configuration file says.
#[derive(Debug, Clone)]
pub struct Plan {
    pub(super) ip: Ipv4Addr,
    pub server: Vec<String>,
    pub origin: Vec<String>,
    pub probe: Vec<String>,
    pub mirrors: BTreeMap<String, MirrorPlan>,
    /// Further tables, as they are.
    pub more: String,
}

impl Plan {
    pub fn text(&self, dir: &Path) -> String {
        let Self { ip, server, origin, probe, mirrors, more } = self;
        let mut text = String::new();
        let unless = |key: &str, line| if server.iter().any(|own| own.starts_with(key)) { "" } else { line };
        let state = unless("state", "state = \"state\"");
        let trusted = unless("trusted_proxies", "trusted_proxies = [\"127.0.0.0/8\"]");
        let url = if origin.iter().any(|line| line.starts_with("url")) { "" } else { "url = \"origin\"" };
        let poll = if origin.iter().any(|line| line.starts_with("poll")) { "" } else { "poll = \"50ms\"" };
        let lines = |lines: &[String]| lines.join("\n");
        write!(
            text,
            "[server]\nlisten = [\"{ip}:0\"]\nadmin = \"{ip}:0\"\n{trusted}\n{state}\n{}\n\
             [origin]\n{url}\n{poll}\n{}\n[probe]\ninterval = \"50ms\"\n{}\n",
            lines(server),
            lines(origin),
            lines(probe),
        )
        .unwrap();
        if mirrors.values().any(|mirror| mirror.secure) {
            writeln!(text, "[outgoing]\nca_file = {:?}", dir.join("mirrors.pem")).unwrap();
        }
        for (name, location, cidr) in REGIONS {
            writeln!(text, "[[region]]\nname = {name:?}\nlocation = {location}").unwrap();
            writeln!(text, "[[client_network]]\ncidr = {cidr:?}\nregion = {name:?}").unwrap();
        }
        for (name, mirror) in mirrors {
            let MirrorPlan { lines, url, .. } = mirror;
            writeln!(text, "[[mirror]]\nname = {name:?}\nurl = {url:?}\n{}", lines.join("\n")).unwrap();
        }
        text + more
    }
}

/// Assets whose names hold one of these are for that platform.
const PLATFORMS: [&str; 2] = ["linux-amd64", "darwin-arm64"];

/// A release as its manifest describes it, with its bytes.
#[derive(Debug, Clone)]
pub struct ReleasePlan {
    product: String,
    version: String,
    pub(super) assets: Vec<(String, Bytes)>,
    channels: Vec<String>,
}

impl ReleasePlan {
    pub fn new(product: &str, version: &str, assets: &[(&str, &[u8])], channels: &[&str]) -> Self {
        let assets = assets.iter().map(|(name, bytes)| ((*name).to_owned(), Bytes::copy_from_slice(bytes)));
        Self {
            product: product.to_owned(),
            version: version.to_owned(),
            assets: assets.collect(),
            channels: channels.iter().map(|channel| (*channel).to_owned()).collect(),
        }
    }

    pub fn manifest(&self) -> Value {
        let asset = |(name, bytes): &(String, Bytes)| {
            let mut asset = json!({ "name": name, "size": bytes.len(), "sha256": sha256(bytes) });
            if let Some(platform) = PLATFORMS.into_iter().find(|platform| name.contains(platform)) {
                asset["platform"] = platform.into();
            }
            asset
        };
        json!({
            "schema": 1,
            "product": self.product,
            "version": self.version,
            "channels": self.channels,
            "assets": self.assets.iter().map(asset).collect::<Vec<_>>(),
        })
    }

    pub fn path(&self, asset: &str) -> String {
        format!("{}/{}/{asset}", self.product, self.version)
    }
}

pub fn sha256(bytes: &[u8]) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes);
    data_encoding::HEXLOWER.encode(digest.as_ref())
}
