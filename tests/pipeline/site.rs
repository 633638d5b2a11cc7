//! An origin, three mirrors, the service, and the desk of whoever publishes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStderr};
use tokio::time::timeout;

use crate::build;
use crate::nginx::{Nginx, free_port, own_address};
use crate::process::{Ended, PATIENCE, command, run, spawn, until};

const WAYPOST: &str = env!("CARGO_BIN_EXE_waypost");
pub const MIRRORS: [&str; 3] = ["fra", "iad", "sin"];

pub struct Site {
    /// Where the service is, with a slash.
    pub url: String,
    /// Its admin listener.
    pub admin: String,
    pub origin: Nginx,
    mirrors: Vec<Nginx>,
    /// The folder of whoever publishes, with the service's configuration; `house` in it is the service's.
    desk: TempDir,
    _service: Child,
}

impl Site {
    /// An origin with nothing, three empty mirrors, and the service, which trusts the key `release`.
    pub async fn start() -> Self {
        let desk = tempfile::Builder::new().prefix("waypost-desk-").tempdir().unwrap();
        fs::create_dir(desk.path().join("house")).unwrap();
        let origin = Nginx::start(own_address(), None).await;
        let mut mirrors = Vec::new();
        for _ in MIRRORS {
            mirrors.push(Nginx::start_with(own_address(), None, "autoindex on;").await);
        }
        for key in ["release", "stranger"] {
            let made = ["-G", "-W", "-p", &format!("{key}.pub"), "-s", &format!("{key}.key")];
            run("minisign", &made, desk.path()).await.ok();
        }
        let token = run(WAYPOST, &["admin", "token", "ci", "--role", "release"], desk.path()).await;
        let entry = token.stderr[token.stderr.find("[[admin.token]]").unwrap()..].to_owned();
        fs::write(desk.path().join("ci.token"), token.ok()).unwrap();

        let [public, admin] = [own_address(), own_address()].map(free_port);
        let (url, admin) = (format!("http://{public}/"), format!("http://{admin}"));
        let text = config(&url, &admin, &origin, &mirrors, &public_key(desk.path())) + &entry;
        let file = desk.path().join("waypost.toml");
        fs::write(&file, text).unwrap();
        let mut service = command(WAYPOST, desk.path());
        service.args(["serve", "--config", file.to_str().unwrap()]).stdout(Stdio::null());
        let log = fs::File::create(desk.path().join("house/log")).unwrap();
        let service = spawn(service.stderr(log));
        let site = Self { url, admin, origin, mirrors, desk, _service: service };
        until("the service answers", async || site.curl("-/healthz").await.0 == 200).await;
        site
    }

    pub fn desk(&self) -> &Path {
        self.desk.path()
    }

    pub fn mirror(&self, name: &str) -> &Nginx {
        &self.mirrors[MIRRORS.iter().position(|known| *known == name).unwrap()]
    }

    /// Runs a line of bash at the desk; `waypost` is a command there.
    pub async fn sh(&self, line: &str) -> Ended {
        let folder = Path::new(WAYPOST).parent().unwrap().display();
        let line = format!("set -euo pipefail; PATH={folder}:$PATH; {line}");
        run("bash", &["-c", &line], self.desk.path()).await
    }

    /// `waypost` as the pipeline runs it: from afar, with its token.
    pub async fn waypost(&self, arguments: &str) -> Ended {
        self.sh(&self.remote(arguments)).await
    }

    /// Fills all mirrors as soon as the service says that they are to hold a version.
    pub async fn fill_all(&self, version: &str) {
        let part = format!("tool/{version}/");
        for name in MIRRORS {
            until(&format!("{name} is to hold {version}"), async || {
                self.waypost(&format!("mirror files {name}")).await.ok().contains(&part)
            })
            .await;
            self.fill_by_rsync(name).await;
        }
    }

    fn remote(&self, arguments: &str) -> String {
        format!("waypost {arguments} --admin {} --token-file ci.token", self.admin)
    }

    /// `waypost` as an operator runs it on the service's machine.
    pub async fn at_the_service(&self, arguments: &str) -> Ended {
        self.sh(&format!("USER=ann waypost {arguments}")).await
    }

    /// Builds a version into `dist-VERSION`.
    pub fn build(&self, version: &str) {
        build::goreleaser(version, &self.dist(version));
    }

    fn dist(&self, version: &str) -> PathBuf {
        self.desk.path().join(format!("dist-{version}"))
    }

    /// Signs the files, and publishes them at the origin.
    pub async fn import(&self, version: &str) {
        let (dist, origin) = (self.dist(version), self.origin.files());
        let (dist, origin) = (dist.display(), origin.display());
        self.sh(&format!("minisign -S -s release.key -m {dist}/*.tar.gz {dist}/*.zip")).await.ok();
        let said = self
            .sh(&format!(
                "waypost manifest import {dist} --origin {origin} --product tool --channel stable \
                 --expect-platform linux-amd64 --expect-platform windows-amd64"
            ))
            .await
            .ok();
        assert!(said.contains("from artifacts.json (goreleaser)"), "{said}");
    }

    /// Signs a version's manifest.
    pub async fn sign(&self, version: &str, key: &str) {
        let manifest = self.origin.files().join(format!("tool/{version}/manifest.json"));
        let manifest = manifest.display();
        self.sh(&format!("minisign -S -s {key}.key -m {manifest} -t 'waypost tool {version}'")).await.ok();
    }

    /// Signs the index, with the sequence that it holds.
    pub async fn sign_index(&self, key: &str) {
        let index = self.origin.files().join("index.json");
        let index = index.display();
        let sequence = format!("$(sed -n 's/.*\"sequence\": *\\([0-9]*\\).*/\\1/p' {index})");
        self.sh(&format!("minisign -S -s {key}.key -m {index} -t \"waypost index {sequence}\"")).await.ok();
    }

    /// Fills a mirror as its operator would.
    pub async fn fill_by_rsync(&self, name: &str) {
        let (origin, mirror) = (self.origin.files(), self.mirror(name).files());
        let (origin, mirror) = (origin.display(), mirror.display());
        let list = self.remote(&format!("mirror files {name} --format rsync"));
        self.sh(&format!("{list} | rsync -a --files-from=- {origin}/ {mirror}/")).await.ok();
    }

    /// Fills a mirror for whoever has no replicator.
    pub async fn replicate(&self, name: &str, more: &str) {
        let mirror = self.mirror(name).files();
        self.waypost(&format!("replicate --mirror {name} --to {} {more}", mirror.display())).await.ok();
    }

    /// The status and the body of what a path leads to.
    pub async fn curl(&self, path: &str) -> (u16, String) {
        let ended = self.sh(&format!("curl -sSL -w '\\n%{{http_code}}' '{}{path}'", self.url)).await;
        let Some((body, status)) = ended.stdout.rsplit_once('\n') else { return (0, ended.stderr) };
        (status.parse().unwrap(), body.to_owned())
    }

    /// Where `stable` points.
    pub async fn stable(&self) -> String {
        self.curl("tool/stable/version.txt").await.1.trim().to_owned()
    }

    /// Downloads as a user would and checks the file with its checksum, which names it.
    pub async fn download_and_check(&self, path: &str, version: &str) {
        let url = format!("{}{path}", self.url);
        let said = self
            .sh(&format!(
                "rm -rf got; mkdir got; cd got; curl -fsSL {url}.sha256 > sums; read -r _ name < sums; \
                 curl -fsSL -o $name {url}; sha256sum -c sums; cat $name"
            ))
            .await
            .ok();
        assert!(said.starts_with(&format!("greet_{version}_linux_amd64.tar.gz: OK\n")), "{said}");
        assert!(said.ends_with(&format!("of version {version}\n")), "{said}");
    }
}

fn public_key(desk: &Path) -> String {
    fs::read_to_string(desk.join("release.pub")).unwrap().lines().nth(1).unwrap().to_owned()
}

fn config(url: &str, admin: &str, origin: &Nginx, mirrors: &[Nginx], key: &str) -> String {
    let without_scheme = |url: &str| url.trim_start_matches("http://").trim_end_matches('/').to_owned();
    let (listen, admin, origin) = (without_scheme(url), without_scheme(admin), origin.url());
    // The origin is looked at when it is asked to be, folders are listed twice a second.
    let mut text = format!(
        "[server]\nstate = \"house\"\nlisten = \"{listen}\"\nadmin = \"{admin}\"\npublic_url = \"{url}\"\ndrain = \"0s\"\n\
         [origin]\nurl = \"{origin}\"\npoll = \"1h\"\ntrusted_keys = [\"{key}\"]\n\
         [probe]\ninterval = \"200ms\"\n[verify]\nrecheck = \"30s\"\n\
         [[channel]]\nname = \"stable\"\nready = \"all\"\n\
         [[client_network]]\ncidr = \"127.0.0.0/8\"\nregion = \"eu\"\n"
    );
    for ((name, mirror), region) in MIRRORS.iter().zip(mirrors).zip(["eu", "us", "ap"]) {
        let url = mirror.url();
        text += &format!("[[region]]\nname = \"{region}\"\n");
        text += &format!("[[mirror]]\nname = \"{name}\"\nurl = \"{url}\"\nregion = \"{region}\"\n");
    }
    text
}

/// `waypost release wait` while it waits.
pub struct Waiting {
    child: Child,
    err: Lines<BufReader<ChildStderr>>,
    seen: Vec<String>,
}

impl Waiting {
    pub fn start(site: &Site, version: &str) -> Self {
        let mut wait = command(WAYPOST, site.desk());
        wait.args(["release", "wait", "tool", version, "--timeout", "20m"]);
        wait.args(["--admin", &site.admin, "--token-file", "ci.token"]);
        let mut child = spawn(wait.stdout(Stdio::piped()).stderr(Stdio::piped()));
        let err = BufReader::new(child.stderr.take().unwrap()).lines();
        Self { child, err, seen: Vec::new() }
    }

    /// Waits for a line on standard error that holds this.
    pub async fn says(&mut self, part: &str) {
        loop {
            let line = timeout(PATIENCE, self.err.next_line()).await;
            let line = line.unwrap_or_else(|_| panic!("no line with {part:?}: {:#?}", self.seen)).unwrap();
            let line = line.unwrap_or_else(|| panic!("it ended without {part:?}: {:#?}", self.seen));
            self.seen.push(line);
            if self.seen.last().unwrap().contains(part) {
                return;
            }
        }
    }

    /// What it printed, once it has ended well.
    pub async fn ends(mut self) -> String {
        while let Some(line) = timeout(PATIENCE, self.err.next_line()).await.expect("it ends").unwrap() {
            self.seen.push(line);
        }
        let output = self.child.wait_with_output().await.unwrap();
        assert_eq!(output.status.code(), Some(0), "{:#?}", self.seen);
        String::from_utf8(output.stdout).unwrap()
    }
}
