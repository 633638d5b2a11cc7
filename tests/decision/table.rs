//! The rows.

use super::site::{ASIA, NORTH, US};
use super::{Row, get};

const ARCHIVE: &str = "tool-1.8.2-linux-amd64.tar.gz";
const AT_FRA: &str = "https://fra.example.net/releases/tool/1.8.2/tool-1.8.2-linux-amd64.tar.gz";
const AT_NYC: &str = "https://nyc.example.net:8443/pub/tool/1.8.2/tool-1.8.2-linux-amd64.tar.gz";
const AT_SIN: &str =
    "https://sin.example.net/acme/tool/releases/download/v1.8.2/tool-1.8.2-linux-amd64.tar.gz";
const AT_COLD: &str = "https://fra.example.net/cold/tool/1.8.2/tool-1.8.2-linux-amd64.tar.gz";
const AT_HEL: &str = "http://hel.example.net/tool/1.8.2/tool-1.8.2-linux-amd64.tar.gz";
const BINARY: &str = "https://fra.example.net/releases/tool/1.8.2/tool-1.8.2-linux-amd64";
const MAC: &str = "https://fra.example.net/releases/tool/1.8.2/tool_v1.8.2_macOS.bin";
const CHROME: &str = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8";

const PROBLEM: &str = "content-type: application/problem+json";
const LINE: &str = "content-type: text/plain; charset=utf-8";
const METALINK: &str = "content-type: application/metalink4+xml";
const JSON: &str = "content-type: application/json";

fn archive() -> String {
    format!("/tool/1.8.2/{ARCHIVE}")
}

pub fn rows() -> Vec<Row> {
    let ways = [releases(), names(), platforms(), places(), avoiding(), aliases(), hosts()].concat();
    [ways, lists(), exports(), accepts(), refusals(), bad_paths()].concat()
}

fn releases() -> Vec<Row> {
    vec![
        get("by version", archive()).to(AT_FRA),
        get("by version with v", format!("/tool/v1.8.2/{ARCHIVE}")).to(AT_FRA),
        get("by channel", format!("/tool/stable/{ARCHIVE}")).to(AT_FRA),
        get("latest is stable", format!("/tool/latest/{ARCHIVE}")).to(AT_FRA),
        get("an older release", "/tool/1.8.1/tool-1.8.1-linux-amd64.tar.gz")
            .to("https://fra.example.net/releases/tool/1.8.1/tool-1.8.1-linux-amd64.tar.gz"),
        get("latest is the configured channel", "/app/latest/app-v3.1.exe")
            .to("https://fra.example.net/releases/app/v3.1/app-v3.1.exe"),
        get("a version published with v, asked without", "/app/3.1/app-v3.1.exe")
            .to("https://fra.example.net/releases/app/v3.1/app-v3.1.exe"),
        get("a version published without v, asked with", "/app/v2.0/app-2.0.exe")
            .to("https://fra.example.net/releases/app/2.0/app-2.0.exe"),
        get("a channel that points nowhere", "/tool/nightly/linux-amd64")
            .is(503, &[PROBLEM, "retry-after: "]),
        get("latest that points nowhere", "/fresh/latest/fresh.bin").is(503, &[PROBLEM]),
        get("a release beside it", "/fresh/0.1/fresh.bin")
            .to("https://fra.example.net/releases/fresh/0.1/fresh.bin"),
        get("no channels, so no latest", "/plain/latest/plain.bin").is(404, &[]),
        get("no such version", format!("/tool/1.8.3/{ARCHIVE}")).is(404, &[]),
        get("two v are no version", format!("/tool/vv1.8.2/{ARCHIVE}")).is(404, &[]),
        get("no such channel", format!("/tool/daily/{ARCHIVE}")).is(404, &[]),
        get("names are spelled as published", format!("/Tool/1.8.2/{ARCHIVE}")).is(404, &[]),
    ]
}

fn names() -> Vec<Row> {
    vec![
        get("a channel finds names without their version", "/tool/stable/tool-linux-amd64.tar.gz").to(AT_FRA),
        get("latest too", "/tool/latest/tool-linux-amd64.tar.gz").to(AT_FRA),
        get("with v and its separator", "/tool/stable/tool_macOS.bin").to(MAC),
        get("beta", "/tool/beta/tool-linux-amd64.tar.gz")
            .to("https://fra.example.net/releases/tool/2.0.0-rc.1/tool-2.0.0-rc.1-linux-amd64.tar.gz"),
        get("a version does not", "/tool/1.8.2/tool-linux-amd64.tar.gz").is(404, &[]),
        get("two that collide", "/tool/stable/clash.zip").is(404, &[]),
        get("the whole name of one of them", "/tool/stable/clash_1.8.2.zip")
            .to("https://fra.example.net/releases/tool/1.8.2/clash_1.8.2.zip"),
        get("another release's name", "/tool/stable/tool-1.8.1-linux-amd64.tar.gz").is(404, &[]),
        get("a tree", "/tool/1.8.2/docs/index.html")
            .to("https://fra.example.net/releases/tool/1.8.2/docs/index.html"),
        get("a folder is no file", "/tool/1.8.2/docs").is(404, &[]),
        get("nor with a slash", "/tool/1.8.2/docs/").is(404, &[]),
        get("names are encoded again", "/tool/1.8.2/docs/guide%20100%25.pdf")
            .to("https://fra.example.net/releases/tool/1.8.2/docs/guide%20100%25.pdf"),
        get("not the plus of forms", "/tool/1.8.2/docs/guide+100%25.pdf").is(404, &[]),
        get("all that URLs, HTML and shells trip over", "/tool/1.8.2/a&b%3Cc%3E%22%C3%A9%23%3f.txt")
            .to("https://fra.example.net/releases/tool/1.8.2/a%26b%3Cc%3E%22%C3%A9%23%3F.txt"),
        get("encoded letters are letters", "/t%6fol/%31.8.2/docs/index.html")
            .to("https://fra.example.net/releases/tool/1.8.2/docs/index.html"),
        get("a published SHA256SUMS wins", "/tool/1.8.2/SHA256SUMS")
            .to("https://fra.example.net/releases/tool/1.8.2/SHA256SUMS"),
        get("a published .sha256 wins", "/tool/1.8.2/pinned.bin.sha256")
            .to("https://fra.example.net/releases/tool/1.8.2/pinned.bin.sha256"),
        get("a signature", "/tool/stable/tool-linux-amd64.tar.gz.minisig")
            .to("https://fra.example.net/releases/tool/1.8.2/tool-1.8.2-linux-amd64.tar.gz.minisig"),
        get("unknown parameters mean nothing", format!("{}?utm_source=x&%ff=%ff&&=", archive())).to(AT_FRA),
    ]
}

fn platforms() -> Vec<Row> {
    let spelled = |text| get("a spelling", format!("/tool/1.8.2/{text}")).to(AT_FRA);
    let mac = |text| get("a spelling", format!("/tool/stable/{text}")).to(MAC);
    let mut rows: Vec<Row> =
        ["linux-amd64", "linux-x86_64", "linux_x64", "x86_64-linux", "amd64_linux", "Linux-x86_64"]
            .map(spelled)
            .to_vec();
    rows.extend(["darwin-arm64", "macos-aarch64", "arm64_macos", "aarch64-darwin"].map(mac));
    rows.extend([
        get("no such platform", "/tool/1.8.2/windows-amd64").is(404, &[]),
        get("a kind", "/tool/1.8.2/linux-amd64?kind=binary").to(BINARY),
        get("a kind of its own", "/tool/1.8.2/linux-amd64?kind=installer")
            .to("https://fra.example.net/releases/tool/1.8.2/tool-1.8.2-linux-amd64.run"),
        get("another one", "/tool/1.8.2/linux-amd64?kind=package")
            .to("https://fra.example.net/releases/tool/1.8.2/tool-1.8.2-linux-amd64.rpm"),
        get("a signature where one is asked for", "/tool/1.8.2/linux-amd64?kind=signature")
            .to("https://fra.example.net/releases/tool/1.8.2/tool-1.8.2-linux-amd64.tar.gz.minisig"),
        get("not another sidecar", "/tool/1.8.2/linux-amd64?kind=sbom").is(404, &[]),
        get("a kind that there is not", "/tool/1.8.2/linux-amd64?kind=image").is(404, &[]),
        get("an empty kind is none", "/tool/1.8.2/linux-amd64?kind=").to(AT_FRA),
        get("install", "/tool/install?platform=linux-amd64").to(AT_FRA),
        get("install a version", "/app/install?platform=win64&version=v2.0")
            .to("https://fra.example.net/releases/app/2.0/app-2.0.exe"),
        get("install a channel", "/tool/install?version=stable&platform=macos_arm64").to(MAC),
        get("install without a version that was set", "/tool/install?version=&platform=x64-linux").to(AT_FRA),
        get("install a kind", "/tool/install?platform=linux-amd64&kind=binary").to(BINARY),
        get("install without a platform", "/tool/install").is(400, &[PROBLEM, "?platform=linux-amd64"]),
        get("install with an empty one", "/tool/install?platform=")
            .with("accept", "text/plain")
            .is(400, &[LINE, "?platform=linux-amd64"]),
        get("install for nobody", "/tool/install?platform=plan9-mips").is(404, &[]),
        get("install a version that is not", "/tool/install?platform=linux-amd64&version=9").is(404, &[]),
        get("install before anything is ready", "/fresh/install?platform=linux-amd64").is(503, &[]),
        get("install lists mirrors too", "/tool/install?platform=linux-amd64&mirrors=text")
            .is(200, &[AT_FRA]),
    ]);
    rows
}

fn places() -> Vec<Row> {
    vec![
        get("America", archive()).from(US).to(AT_NYC),
        get("Asia, another layout", archive()).from(ASIA).to(AT_SIN),
        get("an IPv4 client in IPv6 clothes", archive()).from("::ffff:10.3.0.1").to(AT_SIN),
        get("a near http mirror is no choice by https", archive()).from(NORTH).to(AT_FRA),
        get("it is by http", archive()).from(NORTH).plain_http().to(AT_HEL).saying(&["waypost-mirror: hel"]),
        get("http may lead to https", archive()).from(US).plain_http().to(AT_NYC),
        get("the next when the nearest is down", archive()).without(&["fra"]).to(AT_NYC),
        get("the last resort", archive()).without(&["fra", "nyc", "sin"]).to(AT_COLD),
        get("all down", archive()).without(&["fra", "nyc", "sin", "hel", "cold"]).is(503, &[PROBLEM]),
        get("only the http one left", archive()).without(&["fra", "nyc", "sin", "cold"]).is(503, &[]),
        get("held far away", "/tool/1.8.2/rare.bin")
            .to("https://sin.example.net/acme/tool/releases/download/v1.8.2/rare.bin")
            .saying(&["!pri=2"]),
        get("held by the last resort", "/tool/1.8.2/cold.bin")
            .to("https://fra.example.net/cold/tool/1.8.2/cold.bin"),
        get("held by nobody", "/tool/1.8.2/lost.bin").is(503, &[PROBLEM]),
        get("a list of nobody", "/tool/1.8.2/lost.bin?mirrors").is(503, &[PROBLEM]),
        get("a Metalink of nobody", "/tool/1.8.2/lost.bin.meta4").is(503, &[PROBLEM]),
        get("held by http only", "/tool/1.8.2/northern.bin").is(503, &[]),
        get("range and validators pass through", archive())
            .with("range", "bytes=5-9")
            .with("if-range", "\"x\"")
            .with("if-none-match", "*")
            .with("if-modified-since", "Sat, 21 Nov 2026 12:00:00 GMT")
            .to(AT_FRA),
    ]
}

fn avoiding() -> Vec<Row> {
    let avoid = |name, words: &str| get(name, format!("{}?avoid={words}", archive()));
    vec![
        avoid("by name", "fra").to(AT_NYC).saying(&["!fra.example.net/releases"]),
        avoid("by host means all that are there", "fra.example.net").to(AT_NYC).saying(&["!fra.example.net"]),
        avoid("by host in capitals", "FRA.example.NET").to(AT_NYC),
        avoid("by host without its port", "nyc.example.net").from(US).to(AT_FRA),
        avoid("by host and port", "nyc.example.net:8443").from(US).to(AT_FRA),
        avoid("by URL", AT_FRA).to(AT_NYC).saying(&["https://fra.example.net/cold"]),
        avoid("by URL, encoded", "https%3A%2F%2Ffra.example.net%2Freleases%2Ftool%2F1").to(AT_NYC),
        avoid("by URL with port", AT_NYC).from(US).to(AT_FRA),
        avoid("by URL with the port that goes without saying", "https://fra.example.net:443/releases/x")
            .to(AT_NYC),
        avoid("by the URL that the mirror itself led to", "https://sin.example.net/objects/17?token=1")
            .from(ASIA)
            .to(AT_FRA),
        avoid("by another URL there, all that are there", "https://fra.example.net/objects/17")
            .to(AT_NYC)
            .saying(&["!fra.example.net"]),
        avoid("a list", "fra,nyc").to(AT_SIN),
        avoid("a list with spaces", "fra,%20nyc,,").to(AT_SIN),
        avoid("repeated", "fra&avoid=nyc").to(AT_SIN),
        avoid("unknown names", "zzz,https://other.example/x,%ff,://,fra.example").to(AT_FRA),
        avoid("nothing", "").to(AT_FRA),
        avoid("everybody is nobody", "fra,nyc,sin,hel,cold").to(AT_FRA),
        avoid("the only holder", "sin").to(AT_FRA),
        get("the only holder", "/tool/1.8.2/rare.bin?avoid=sin")
            .to("https://sin.example.net/acme/tool/releases/download/v1.8.2/rare.bin"),
        get("by header", archive()).with("waypost-avoid", "fra").to(AT_NYC),
        get("by header lines", archive())
            .with("waypost-avoid", "fra")
            .with("waypost-avoid", "nyc")
            .to(AT_SIN),
        get("by both", format!("{}?avoid=nyc", archive())).with("waypost-avoid", "fra").to(AT_SIN),
        get("by bytes", archive()).with_bytes("waypost-avoid", b"\xff\xfe, fra").to(AT_FRA),
        avoid("a retry loop that never forgot", &format!("{}fra", format!("{AT_NYC},").repeat(30)))
            .to(AT_SIN),
        get(
            "which is long",
            format!("/tool/install?avoid={}&platform=linux-amd64", format!("{AT_NYC},").repeat(80)),
        )
        .from(US)
        .to(AT_FRA),
        avoid("lists leave it out", "fra&mirrors=text").is(200, &[AT_NYC, AT_COLD, "!releases/tool"]),
        avoid("lists name everybody where everybody is avoided", "fra,nyc,sin,hel,cold&mirrors=text")
            .is(200, &[AT_FRA, AT_NYC, AT_SIN, AT_COLD]),
    ]
}

const APP: &str = "https://fra.example.net/releases/app/v3.1/app-v3.1.exe";
const APP_2: &str = "https://fra.example.net/releases/app/2.0/app-2.0.exe";
const INDEX: &str = "https://fra.example.net/releases/tool/1.8.2/docs/index.html";

fn aliases() -> Vec<Row> {
    vec![
        get("an old link", "/pub/tool-1.8.2-linux-amd64.tar.gz").to(AT_FRA).saying(&[
            "<https://dl.example/tool/1.8.2/tool-1.8.2-linux-amd64.tar.gz.meta4>; rel=describedby",
        ]),
        get("by a channel", "/pub/tool-stable-x86_64-linux.tar.gz").to(AT_FRA),
        get("by latest", "/pub/tool-latest-linux_x64.tar.gz").to(AT_FRA),
        get("a version with dashes", "/pub/tool-2.0.0-rc.1-linux-amd64.tar.gz")
            .to("https://fra.example.net/releases/tool/2.0.0-rc.1/tool-2.0.0-rc.1-linux-amd64.tar.gz"),
        get("a kind", "/pub/tool-1.8.2-linux-amd64.tar.gz?kind=binary").to(BINARY),
        get("avoiding", "/pub/tool-1.8.2-linux-amd64.tar.gz?avoid=fra").to(AT_NYC),
        get("its mirrors", "/pub/tool-1.8.2-linux-amd64.tar.gz?mirrors=text").is(200, &[LINE, AT_FRA]),
        get("its checksum", "/pub/tool-1.8.2-linux-amd64.tar.gz.sha256")
            .is(200, &[LINE, "  tool-1.8.2-linux-amd64.tar.gz\n"]),
        get("its Metalink", "/pub/tool-1.8.2-linux-amd64.tar.gz.meta4").is(200, &[METALINK, AT_FRA]),
        get("no other suffix", "/pub/tool-1.8.2-linux-amd64.tar.gz.sig").is(404, &[]),
        get("a second meaning of the same path", "/pub/tool-1.8.1-linux-amd64.tar.gz.tar.gz")
            .to("https://fra.example.net/releases/tool/1.8.1/tool-1.8.1-linux-amd64.tar.gz"),
        get("a channel that points nowhere yet", "/pub/tool-nightly-linux-amd64.tar.gz").is(503, &[PROBLEM]),
        get("no such release", "/pub/tool-9.9-linux-amd64.tar.gz").is(404, &[]),
        get("no such platform", "/pub/tool-1.8.2-plan9-mips.tar.gz").is(404, &[]),
        get("letters beyond ASCII", "/t%C3%A9l%C3%A9chargement/index.html").to(INDEX),
        get("escapes are compared as what they mean", "/%70ub/tool-1.8.2-linux%2damd64.tar.gz").to(AT_FRA),
        get("those of the alias too", "/a%20b/stable.txt").is(200, &["\n\n1.8.2\n"]),
        get("the query stays", "/get-it?platform=linux-amd64").to(AT_FRA),
        get("and is asked for", "/get-it").is(400, &[PROBLEM, "?platform=linux-amd64"]),
        get("what exists is never an alias", "/tool/1.8.2/docs/index.html").to(INDEX),
        get("nor what is not ready", "/tool/nightly/old").is(503, &[]),
        get("what does not may be", "/tool/1.8.1/app-v3.1.exe").to(APP),
        get("below a product too", "/tool/old/1.8.2").to(AT_FRA),
        get("not by another method", "/pub/tool-1.8.2-linux-amd64.tar.gz").method("PUT").is(405, &[]),
        get("8 KiB of dashes", format!("/pub/{}.tar.gz", "-a".repeat(4096))).is(404, &[]),
    ]
}

fn hosts() -> Vec<Row> {
    let on = |host, name, path: &str| get(name, path).with("host", host);
    let own = |name, path| on("get.example", name, path);
    let below = |name, path| on("files.example", name, path);
    let app = |name, path| on("app.example", name, path);
    vec![
        own("its own host leaves the product out", "/stable/linux-amd64")
            .to(AT_FRA)
            .saying(&["<https://dl.example/tool/1.8.2/tool-1.8.2-linux-amd64.tar.gz.meta4>"]),
        own("a version with v", "/v1.8.2/docs/index.html").to(INDEX),
        own("install", "/install?platform=linux-amd64").to(AT_FRA),
        own("install says how", "/install").is(400, &["?platform=linux-amd64"]),
        own("a channel that points nowhere", "/nightly/x").is(503, &[]),
        own("its releases", "/releases.json").is(200, &[JSON, "\"product\":\"tool\""]),
        own("all hosts", "/hosts.json").is(200, &[JSON, "fra.example.net"]),
        own("its version", "/latest/version.txt").is(200, &["\n\n1.8.2\n"]),
        own("a Metalink names the canonical URL", "/stable/linux-amd64.meta4")
            .is(200, &["https://dl.example/tool/1.8.2/"]),
        own("the product's name is no channel", "/tool/stable/linux-amd64").is(404, &[]),
        own("nor another's", "/app/latest/app-v3.1.exe").is(404, &[]),
        own("the root", "/").is(404, &[]),
        own("an alias of the translated path", "/old/1.8.2").to(AT_FRA),
        own("an alias of the path as it is", "/pub/tool-1.8.2-linux-amd64.tar.gz").to(AT_FRA),
        own("an alias of either", "/get/2.0").to(APP_2),
        on("GET.Example", "in capitals", "/stable/linux-amd64").to(AT_FRA),
        on("get.example:8443", "with a port", "/stable/linux-amd64").to(AT_FRA),
        on("get.example.", "with the root's dot", "/stable/linux-amd64").to(AT_FRA),
        on("get.example.evil", "another host", "/stable/linux-amd64").is(404, &[]),
        on("", "none", "/tool/stable/linux-amd64").to(AT_FRA),
        get("bytes", "/tool/stable/linux-amd64").with_bytes("host", b"get.example\xff").to(AT_FRA),
        get("by an absolute target", "http://get.example:8080/stable/linux-amd64").to(AT_FRA),
        get("which wins over the header", "http://dl.example/tool/stable/linux-amd64")
            .with("host", "get.example")
            .to(AT_FRA),
        get("a forwarded host means nothing", "/stable/linux-amd64")
            .with("x-forwarded-host", "get.example")
            .is(404, &[]),
        below("below a prefix", "/releases/tool/stable/linux-amd64").to(AT_FRA),
        below("not beside it", "/tool/stable/linux-amd64").is(404, &[]),
        below("nor where it only begins so", "/releases2/tool/stable/linux-amd64").is(404, &[]),
        below("nor at it", "/releases").is(404, &[]),
        below("its documents are below it too", "/releases/hosts.json").is(200, &[JSON]),
        below("and not beside it", "/hosts.json").is(404, &[]),
        below("aliases below it", "/releases/pub/tool-1.8.2-linux-amd64.tar.gz").to(AT_FRA),
        app("a product below a prefix", "/dl/v3.1/app-v3.1.exe").to(APP),
        app("by latest", "/dl/latest/win64").to(APP),
        app("not beside it", "/v3.1/app-v3.1.exe").is(404, &[]),
        on("gone.example", "a product that is not there (yet)", "/1.0/x").is(404, &[]),
    ]
}

fn exports() -> Vec<Row> {
    vec![
        get("releases.json", "/tool/releases.json").is(200, &[JSON, "\"latest\":\"stable\""]),
        get("releases.json of nothing", "/nothing/releases.json").is(404, &[]),
        get("releases.json of a release", "/tool/1.8.2/releases.json").is(404, &[]),
        get("releases.json as a folder", "/tool/releases.json/").is(404, &[]),
        get("hosts.json", "/hosts.json").is(200, &[JSON, "nyc.example.net"]),
        get("hosts.json whatever is up", "/hosts.json").without(&["nyc"]).is(200, &["nyc.example.net"]),
        get("hosts.json of a product", "/tool/hosts.json").is(404, &[]),
        get("another document", "/mirrors.json").is(404, &[]),
    ]
}

fn lists() -> Vec<Row> {
    vec![
        get(".sha256", format!("{}.sha256", archive())).is(200, &[LINE, "  tool-1.8.2-linux-amd64.tar.gz\n"]),
        get(".sha256 by channel", "/tool/stable/tool-linux-amd64.tar.gz.sha256")
            .is(200, &["  tool-1.8.2-linux-amd64.tar.gz\n"]),
        get(".sha256 by platform", "/tool/stable/linux-x64.sha256")
            .is(200, &["  tool-1.8.2-linux-amd64.tar.gz\n"]),
        get(".sha256 of a sidecar", "/tool/1.8.2/SHA256SUMS.sha256").is(200, &["  SHA256SUMS\n"]),
        get(".sha256 needs no mirror", "/tool/1.8.2/lost.bin.sha256").is(200, &["  lost.bin\n"]),
        get(".sha256 in a tree", "/tool/1.8.2/docs/index.html.sha256").is(200, &["  index.html\n", "!docs"]),
        get(".sha256 of nothing", "/tool/1.8.2/nothing.sha256").is(404, &[]),
        get(".sha256 alone", "/tool/1.8.2/.sha256").is(404, &[]),
        get("SHA256SUMS from the catalogue", "/tool/1.8.1/SHA256SUMS")
            .is(200, &[LINE, "  tool-1.8.1-linux-amd64.tar.gz\n", "  docs/a b.txt\n"]),
        get("version.txt", "/tool/stable/version.txt").is(200, &[LINE, "\n\n1.8.2\n"]),
        get("version.txt as published", "/app/latest/version.txt").is(200, &["\n\nv3.1\n"]),
        get("version.txt of nothing", "/fresh/edge/version.txt").is(503, &[]),
        get(".meta4", format!("{}.meta4", archive())).is(200, &[METALINK, AT_FRA]),
        get(".meta4 by channel and platform", "/tool/latest/amd64-linux.meta4").is(200, &[METALINK, AT_FRA]),
        get(".meta4 avoids", format!("{}.meta4?avoid=fra", archive()))
            .is(200, &["priority=\"1\">https://nyc."]),
        get(".meta4 of nothing", "/tool/1.8.2/nothing.meta4").is(404, &[]),
        get("?mirrors", format!("{}?mirrors", archive())).is(200, &[JSON, "\"name\": \"fra\""]),
        get("?mirrors=json", format!("{}?mirrors=json", archive())).is(200, &[JSON]),
        get("?mirrors=text", format!("{}?mirrors=text", archive())).is(200, &[LINE, AT_FRA]),
        get("?mirrors by http", format!("{}?mirrors=text", archive())).plain_http().is(200, &[AT_HEL]),
        get("?mirrors by https", format!("{}?mirrors=text", archive())).is(200, &["!http://"]),
    ]
}

fn accepts() -> Vec<Row> {
    let accept = |name, accept| get(name, archive()).with("accept", accept);
    vec![
        accept("curl", "*/*").to(AT_FRA),
        accept("aria2", "*/*,application/metalink4+xml,application/metalink+xml").to(AT_FRA),
        accept("axios", "application/json, text/plain, */*").to(AT_FRA),
        accept("browsers", CHROME).to(AT_FRA),
        accept("wget2", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8").to(AT_FRA),
        accept("wget", "identity, text/*").to(AT_FRA),
        accept("a preference for Metalink", "application/metalink4+xml, */*;q=0.1").is(200, &[METALINK]),
        accept("Metalink alone", "application/metalink4+xml").is(200, &[METALINK]),
        accept("Metalink in capitals", "Application/Metalink4+XML;Q=1").is(200, &[METALINK]),
        accept("no Metalink", "application/metalink4+xml;q=0, */*;q=0").to(AT_FRA),
        accept("a preference for JSON", "application/json, */*;q=0.5").is(200, &[JSON]),
        accept("JSON alone", "application/json").is(200, &[JSON]),
        accept("JSON rather than Metalink", "application/json, application/metalink4+xml;q=0.9")
            .is(200, &[JSON]),
        accept("neither", "application/octet-stream").to(AT_FRA),
        accept("empty", "").to(AT_FRA),
        get("on two lines", archive())
            .with("accept", "application/json")
            .with("accept", "*/*;q=0.2")
            .is(200, &[JSON]),
        get("two lines of equals", archive())
            .with("accept", "application/json")
            .with("accept", "*/*")
            .to(AT_FRA),
        get("bytes", archive()).with_bytes("accept", b"\xff\xfe").to(AT_FRA),
        get("for a catalogue answer", "/tool/stable/version.txt")
            .with("accept", "application/json")
            .is(200, &[LINE]),
    ]
}

fn refusals() -> Vec<Row> {
    let nothing = |name| get(name, "/tool/1.8.2/nothing");
    let method =
        |method| get("another method", archive()).method(method).is(405, &[PROBLEM, "allow: GET, HEAD\n"]);
    let mut rows = ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "BREW", "get"].map(method).to_vec();
    rows.extend([
        nothing("a problem").is(404, &[PROBLEM, "\"status\":404", "\"title\":\"Not Found\""]),
        nothing("for anything").with("accept", "*/*").is(404, &[PROBLEM]),
        nothing("a line").with("accept", "text/plain").is(404, &[LINE, "\n\nNot Found\n"]),
        nothing("a browser")
            .with("accept", CHROME)
            .is(404, &["content-type: text/html; charset=utf-8", "<h1>Not Found</h1>"]),
        nothing("what is asked for is not repeated").is(404, &["!nothing"]),
        get("503 as a line", "/tool/1.8.2/lost.bin")
            .with("accept", "text/plain")
            .is(503, &[LINE, "Service Unavailable"]),
        get("503 though JSON is wanted", "/tool/nightly/x")
            .with("accept", "application/json")
            .is(503, &[PROBLEM]),
        get("the root", "/").is(404, &[]),
        get("a product", "/tool").is(404, &[]),
        get("a product with slash", "/tool/").is(404, &[]),
        get("a release", "/tool/1.8.2").is(404, &[]),
        get("a release with slash", "/tool/1.8.2/").is(404, &[]),
        get("no product", "/nothing/1.8.2/x").is(404, &[]),
    ]);
    rows
}

fn bad_paths() -> Vec<Row> {
    vec![
        get("dots", "/tool/1.8.2/../1.8.2/docs/index.html").is(404, &[]),
        get("encoded dots", format!("/tool/%2e%2e/tool/1.8.2/{ARCHIVE}")).is(404, &[]),
        get("a doubled slash", format!("//tool/1.8.2/{ARCHIVE}")).is(404, &[]),
        get("a doubled slash within", format!("/tool//1.8.2/{ARCHIVE}")).is(404, &[]),
        get("a doubled slash in a name", "/tool/1.8.2/docs//index.html").is(404, &[]),
        get("NUL", format!("/tool/1.8.2/{ARCHIVE}%00")).is(400, &[PROBLEM]),
        get("a line end", "/tool/1.8.2/x%0d%0aset-cookie:%20a=b").is(400, &["!set-cookie"]),
        get("no UTF-8", "/tool/1.8.2/%ff%fe").is(400, &[]),
        get("overlong UTF-8", "/tool/1.8.2/%c0%ae%c0%ae").is(400, &[]),
        get("a backslash", "/tool/1.8.2/..%5cx").is(400, &[]),
        get("a lone per cent", "/tool/1.8.2/%").is(404, &[]),
        get("encoded twice", "/tool/1.8.2/docs%252Findex.html").is(404, &[]),
        get("8 KiB", format!("/tool/1.8.2/{}", "a".repeat(8192))).is(404, &[]),
        get("8 KiB of per cents", format!("/tool/1.8.2/{}", "%61".repeat(2730))).is(404, &[]),
        get("8 KiB of segments", "/a".repeat(4096)).is(404, &[]),
    ]
}
