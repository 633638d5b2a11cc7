//! The site that the table asks: five mirrors, four products, and clients in known places.

use waypost::model::Exclusion;
use waypost::snapshot::Snapshot;

use crate::world::{Product, Published, config, snapshot};

pub const EU: &str = "10.1.0.1";
pub const US: &str = "10.2.0.1";
pub const ASIA: &str = "10.3.0.1";
pub const NORTH: &str = "10.4.0.1";

const CONFIG: &str = r#"
[server]
public_url = "https://dl.example"
[origin]
url = "https://origin.example/"
[[region]]
name = "eu"
location = [50.11, 8.68]
[[region]]
name = "us"
location = [40.71, -74.0]
[[region]]
name = "asia"
location = [1.35, 103.82]
[[client_network]]
cidr = "10.1.0.0/16"
region = "eu"
[[client_network]]
cidr = "10.2.0.0/16"
region = "us"
[[client_network]]
cidr = "10.3.0.0/16"
region = "asia"
[[client_network]]
cidr = "10.4.0.0/16"
location = [60.17, 24.94]
[[mirror]]
name = "fra"
url = "https://fra.example.net/releases/"
region = "eu"
country = "DE"
[[mirror]]
name = "nyc"
url = "https://nyc.example.net:8443/pub/"
region = "us"
country = "US"
[[mirror]]
name = "sin"
url = "https://sin.example.net/acme/tool/releases/download/"
region = "asia"
layout = "v{version}/{asset}"
[[mirror]]
name = "hel"
url = "http://hel.example.net/"
location = [60.17, 24.94]
country = "FI"
[[mirror]]
name = "cold"
url = "https://fra.example.net/cold/"
weight = 0
[[host]]
name = "get.example"
product = "tool"
[[host]]
name = "files.example"
prefix = "/releases"
[[host]]
name = "app.example"
product = "app"
prefix = "/dl/"
[[host]]
name = "gone.example"
product = "gone"
[[alias]]
from = "/pub/{product}-{version}-{platform}.tar.gz"
to = "/{product}/{version}/{platform}"
[[alias]]
from = "/pub/{product}-{version}-{platform}.tar.gz"
to = "/{product}/{version}/{product}-{version}-{platform}"
[[alias]]
from = "/téléchargement/{asset}"
to = "/tool/stable/docs/{asset}"
[[alias]]
from = "/a%20b/{channel}.txt"
to = "/tool/{channel}/version.txt"
[[alias]]
from = "/get-it"
to = "/tool/install"
[[alias]]
from = "/get/{version}"
to = "/app/{version}/windows-amd64"
[[alias]]
from = "/tool/old/{version}"
to = "/tool/{version}/linux-amd64"
[[alias]]
from = "/tool/1.8.1/{asset}"
to = "/app/3.1/{asset}"
"#;

pub const TOOL: Product = Product {
    name: "tool",
    channels: &[("stable", Some("1.8.2")), ("beta", Some("2.0.0-rc.1")), ("nightly", None)],
    latest: Some("stable"),
    releases: &[
        Published {
            version: "2.0.0-rc.1",
            files: &[("tool-2.0.0-rc.1-linux-amd64.tar.gz", "archive", "linux-amd64")],
            held_only_by: &[],
        },
        Published {
            version: "1.8.2",
            files: &[
                ("tool-1.8.2-linux-amd64.tar.gz.minisig", "signature", "linux-amd64"),
                ("tool-1.8.2-linux-amd64.rpm", "package", "linux-amd64"),
                ("tool-1.8.2-linux-amd64.run", "installer", "linux-amd64"),
                ("tool-1.8.2-linux-amd64", "binary", "linux-amd64"),
                ("tool-1.8.2-linux-amd64.tar.gz", "archive", "linux-amd64"),
                ("tool_v1.8.2_macOS.bin", "binary", "darwin-arm64"),
                ("clash-1.8.2.zip", "", ""),
                ("clash_1.8.2.zip", "", ""),
                ("docs/guide 100%.pdf", "", ""),
                ("docs/index.html", "", ""),
                ("a&b<c>\"é#?.txt", "", ""),
                ("SHA256SUMS", "checksum", ""),
                ("pinned.bin", "", ""),
                ("pinned.bin.sha256", "checksum", ""),
                ("rare.bin", "", ""),
                ("lost.bin", "", ""),
                ("northern.bin", "", ""),
                ("cold.bin", "", ""),
            ],
            held_only_by: &[
                ("rare.bin", &["sin"]),
                ("lost.bin", &[]),
                ("northern.bin", &["hel"]),
                ("cold.bin", &["cold"]),
            ],
        },
        Published {
            version: "1.8.1",
            files: &[("tool-1.8.1-linux-amd64.tar.gz", "archive", "linux-amd64"), ("docs/a b.txt", "", "")],
            held_only_by: &[],
        },
    ],
};

const APP: Product = Product {
    name: "app",
    channels: &[("old", Some("2.0")), ("main", Some("v3.1"))],
    latest: Some("main"),
    releases: &[
        Published {
            version: "v3.1",
            files: &[("app-v3.1.exe", "binary", "windows-amd64")],
            held_only_by: &[],
        },
        Published { version: "2.0", files: &[("app-2.0.exe", "binary", "windows-amd64")], held_only_by: &[] },
    ],
};

const FRESH: Product = Product {
    name: "fresh",
    channels: &[("edge", None)],
    latest: Some("edge"),
    releases: &[Published { version: "0.1", files: &[("fresh.bin", "", "")], held_only_by: &[] }],
};

const PLAIN: Product = Product {
    name: "plain",
    channels: &[],
    latest: None,
    releases: &[Published { version: "1.0", files: &[("plain.bin", "", "")], held_only_by: &[] }],
};

/// The site with these mirrors out of rotation.
pub fn site(out: &[&str]) -> Snapshot {
    let out: Vec<_> = out.iter().map(|name| (*name, Exclusion::Down)).collect();
    snapshot(&config(CONFIG), &[TOOL, APP, FRESH, PLAIN], &out)
}

/// The name of every file.
pub fn files() -> Vec<&'static str> {
    let files = [TOOL, APP, FRESH, PLAIN].map(|product| product.releases.iter().flat_map(|r| r.files));
    files.into_iter().flatten().map(|(name, ..)| *name).collect()
}
