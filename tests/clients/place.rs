//! A private product on mirrors that sign their links: an nginx with `secure_link`, an S3 server, or both.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::nginx::{LINK_SECRET, Nginx, Request, SLOW, secure_link};
use crate::process::{self, Ended};
use crate::s3_server::{self, S3Server};
use crate::site::{Site, own_address, sha256};
use crate::tokens::{SECRET, tables};

/// The release's files.
pub const ARCHIVE: &str = "agent-1.0-linux-amd64.tar.gz";
/// Large enough for four of aria2's segments.
pub const IMAGE: &str = "agent-1.0.img";
pub const WHEEL: &str = "agent-1.0-py3-none-any.whl";
pub const PACKAGE: &str = "agent_1.0_all.deb";

/// Which mirrors there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mirrors {
    Nginx,
    /// Two of these.
    Pair,
    /// Two without signatures, that say `private = true`.
    Private,
    S3,
    /// The bucket is the nearer one.
    Both,
}

impl Mirrors {
    fn nginx(self) -> &'static [&'static str] {
        match self {
            Self::Nginx | Self::Both => &["nginx"],
            Self::Pair | Self::Private => &["nginx", "other"],
            Self::S3 => &[],
        }
    }

    fn has_bucket(self) -> bool {
        matches!(self, Self::S3 | Self::Both)
    }
}

pub struct Place {
    pub site: Site,
    nginx: Vec<Nginx>,
    _store: Option<S3Server>,
    files: Vec<(&'static str, Vec<u8>)>,
}

impl Place {
    pub async fn start(mirrors: Mirrors) -> Self {
        let files = files().await;
        let (mut nginx, mut store, mut text) = (Vec::new(), None, String::new());
        for name in mirrors.nginx() {
            let (lines, promise) = match mirrors {
                Mirrors::Private => (String::new(), "private = true"),
                _ => (signed_lines(), "sign = { kind = \"secure_link\", secret_file = \"link.secret\" }"),
            };
            let mirror = Nginx::start_with(own_address(), None, &lines).await;
            put(&mirror.files().join("agent/1.0"), &files);
            text += &format!(
                "[[mirror]]\nname = {name:?}\nurl = {:?}\nregion = \"us\"\n{promise}\n",
                mirror.url()
            );
            nginx.push(mirror);
        }
        if mirrors.has_bucket() {
            let bucket = S3Server::start().await;
            put(&bucket.object("agent/1.0"), &files);
            text += &format!(
                "[[mirror]]\nname = \"s3\"\nurl = \"{}/bucket/\"\nregion = \"eu\"\n\
                 sign = {{ kind = \"s3\", region = \"us-east-1\", access_key_file = \"id\", secret_file = \"key\" }}\n",
                bucket.url
            );
            store = Some(bucket);
        }
        let here = "[[client_network]]\ncidr = \"127.0.0.0/8\"\nregion = \"eu\"\n\
                    [[channel]]\nname = \"stable\"\nready = \"all\"\n";
        let published: Vec<(&str, &[u8])> = files.iter().map(|(name, bytes)| (*name, &**bytes)).collect();
        let site = Site::builder()
            .release("agent", "1.0", &published, &["stable"])
            .file("issuer.key", SECRET)
            .file("link.secret", LINK_SECRET)
            .file("id", s3_server::KEY)
            .file("key", s3_server::SECRET)
            .config(&format!("{text}{here}{}", tables("")))
            .start()
            .await;
        site.until_channel("agent", "stable", "1.0").await;
        site.until_everywhere("agent", "1.0").await;
        Self { site, nginx, _store: store, files }
    }

    /// The canonical URL of a file of the channel's release.
    pub fn stable(&self, name: &str) -> String {
        format!("http://{}/agent/stable/{name}", self.site.address())
    }

    /// A URL with a ticket, as curl gets it for a token.
    pub async fn ticket(&self, name: &str, token: &str) -> String {
        let desk = Desk::new();
        let (header, url) =
            (format!("Authorization: Bearer {token}"), format!("{}?ticket", self.stable(name)));
        desk.run("curl", &["-fsS", "-H", &header, &url]).await.ok().trim().to_owned()
    }

    /// What clients, not the service, have asked nginx for.
    pub fn asked(&self) -> Vec<Request> {
        let mut asked: Vec<_> = self.nginx.iter().flat_map(Nginx::requests).collect();
        asked.retain(|request| !request.user_agent.starts_with("waypost"));
        asked
    }

    /// The same beyond the first `before`, once there is more: nginx writes its log after the client has everything.
    pub async fn until_asked(&self, before: usize) -> Vec<Request> {
        process::until("nginx was asked", async || self.asked().len() > before).await;
        self.asked().split_off(before)
    }

    /// One of the nginx mirrors dies as soon as each of them is answering the slow client.
    pub async fn kill_when_all_serve(&mut self, which: usize) {
        let serves = |nginx: &Nginx| nginx.complaints().contains(&format!("matches \"{SLOW}\""));
        process::until("every mirror serves", async || self.nginx.iter().all(serves)).await;
        self.nginx[which].kill().await;
    }

    /// How many clients were redirected to a mirror.
    pub async fn redirected_to(&self, mirror: &str) -> f64 {
        let text = self.site.admin("/metrics").await;
        let of = |line: &&str| {
            line.starts_with("waypost_redirects_total{") && line.contains(&format!("mirror=\"{mirror}\""))
        };
        text.text()
            .lines()
            .filter(of)
            .map(|line| line.rsplit_once(' ').unwrap().1.parse::<f64>().unwrap())
            .sum()
    }

    /// How many were told that their tool would hand the token on.
    pub async fn told(&self) -> f64 {
        let line =
            "waypost_entitlement_checks_total{issuer=\"ci\",product=\"agent\",reason=\"token_would_leak\"}";
        self.site.metric(line).await
    }

    pub fn bytes(&self, name: &str) -> &[u8] {
        &self.files.iter().find(|(known, _)| *known == name).expect("it was published").1
    }
}

/// The folder that a tool works in, which is its home as well.
pub struct Desk(TempDir);

impl Desk {
    pub fn new() -> Self {
        Self(tempfile::Builder::new().prefix("waypost-desk-").tempdir().unwrap())
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        use std::os::unix::fs::PermissionsExt;
        let path = self.path().join(name);
        fs::write(&path, text).unwrap();
        // Tools refuse passwords that others can read.
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path
    }

    pub async fn run(&self, program: &str, arguments: &[&str]) -> Ended {
        process::run(program, arguments, self.path()).await
    }

    /// Whether one of the files that lie here has these bytes, whatever its name.
    pub fn has(&self, bytes: &[u8]) -> bool {
        let files = fs::read_dir(self.path()).unwrap().map(|entry| entry.unwrap().path());
        files.filter(|path| path.is_file()).any(|path| fs::read(path).unwrap() == bytes)
    }
}

/// A mirror that signs, and says in its log at once that [`SLOW`] came.
fn signed_lines() -> String {
    let rate = format!("if ($http_user_agent ~ {SLOW}) {{ set $limit_rate 512k; }}");
    format!("{} rewrite_log on; limit_rate_after 0; {rate}", secure_link())
}

fn put(folder: &Path, files: &[(&str, Vec<u8>)]) {
    fs::create_dir_all(folder).unwrap();
    for (name, bytes) in files {
        fs::write(folder.join(name), bytes).unwrap();
    }
}

/// The smallest wheel that pip takes.
const MAKE_WHEEL: &str = r#"
import zipfile
info = "agent-1.0.dist-info/"
with zipfile.ZipFile("made.whl", "w") as wheel:
    wheel.writestr("agent.py", "version = '1.0'\n")
    wheel.writestr(info + "METADATA", "Metadata-Version: 2.1\nName: agent\nVersion: 1.0\n")
    wheel.writestr(info + "WHEEL", "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
    wheel.writestr(info + "RECORD", "agent.py,,\n" + info + "METADATA,,\n" + info + "WHEEL,,\n" + info + "RECORD,,\n")
"#;

/// An archive, a wheel, and a repository for apt: it looks at the package's digest alone.
async fn files() -> Vec<(&'static str, Vec<u8>)> {
    let bytes = |length: u32| (0..length).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let (archive, image): (Vec<u8>, Vec<u8>) = (bytes(300_000), bytes(4 << 20));
    let package = b"what stands for a package".to_vec();
    let desk = Desk::new();
    desk.run("python3", &["-I", "-c", MAKE_WHEEL]).await.ok();
    let wheel = fs::read(desk.path().join("made.whl")).unwrap();
    let packages = format!(
        "Package: agent\nVersion: 1.0\nArchitecture: all\nMaintainer: tests\nDescription: tests\n\
         Filename: stable/{PACKAGE}\nSize: {}\nSHA256: {}\n\n",
        package.len(),
        sha256(&package)
    );
    let release =
        format!("Suite: stable\nSHA256:\n {} {} Packages\n", sha256(packages.as_bytes()), packages.len());
    vec![
        (ARCHIVE, archive),
        (IMAGE, image),
        (WHEEL, wheel),
        (PACKAGE, package),
        ("Packages", packages.into_bytes()),
        ("Release", release.into_bytes()),
    ]
}
