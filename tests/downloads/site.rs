//! A site as an operator would build it: a release published into an origin folder, nginx mirrors that hold it, and the
//! service in front of them.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tempfile::TempDir;
use tokio::task::JoinHandle;
use waypost::app::{App, AppError};
use waypost::catalog::manifest::Expects;
use waypost::catalog::publish::{CreateOptions, Placement, create};
use waypost::config;
use waypost::model::{SystemClock, Timestamp};
use waypost::tasks::{Trigger, shutdown};

use crate::certificates::Authority;
use crate::nginx::{Nginx, free_port, own_address};
use crate::process::{Ended, run, until};

/// The files of release 1.8.2.
pub const LINUX: &str = "tool-1.8.2-linux-amd64.tar.gz";
pub const DARWIN: &str = "tool-1.8.2-darwin-arm64.tar.gz";
pub const NOTES: &str = "NOTES.txt";
const FILES: [(&str, usize); 3] = [(LINUX, 6_000_011), (DARWIN, 2_500_003), (NOTES, 1234)];

/// Clients, as a trusted proxy in front would name them. Who comes without a proxy is in `eu`, too.
pub const EU: &str = "X-Forwarded-For: 192.0.2.7";
pub const US: &str = "X-Forwarded-For: 198.51.100.7";
pub const AP: &str = "X-Forwarded-For: 203.0.113.7";

/// A mirror: its name, its region, the region's centre.
pub type At = (&'static str, &'static str, (f64, f64));
const EU_CENTRE: (f64, f64) = (50.11, 8.68);
/// One mirror in each of three regions. From `eu` and from `ap`, `fra` is nearer than `iad`.
pub const THREE: [At; 3] =
    [("fra", "eu", EU_CENTRE), ("iad", "us", (39.04, -77.49)), ("sin", "ap", (1.35, 103.82))];
/// Three in one place, so that a choice among equals is seen.
pub const EQUALS: [At; 3] = [("fra", "eu", EU_CENTRE), ("muc", "eu", EU_CENTRE), ("ber", "eu", EU_CENTRE)];

/// What a site is made of.
pub struct Plan {
    pub mirrors: Vec<At>,
    /// How often mirrors are looked at. By default so seldom that nothing is noticed while a test runs.
    pub interval: &'static str,
    /// Everything by https, with certificates of this authority.
    pub tls: Option<Authority>,
    /// Further lines of the configuration.
    pub more: String,
}

impl Default for Plan {
    fn default() -> Self {
        let more = "[[client_network]]\ncidr = [\"192.0.2.0/24\", \"127.0.0.0/8\"]\nregion = \"eu\"\n\
                    [[client_network]]\ncidr = \"198.51.100.0/24\"\nregion = \"us\"\n\
                    [[client_network]]\ncidr = \"203.0.113.0/24\"\nregion = \"ap\"\n";
        Self { mirrors: THREE.to_vec(), interval: "1h", tls: None, more: more.to_owned() }
    }
}

pub struct Site {
    /// Where the service is, with a slash.
    pub url: String,
    mirrors: Vec<(&'static str, Nginx)>,
    /// A client's folder.
    desk: TempDir,
    _folder: TempDir,
    stop: Trigger,
    service: JoinHandle<Result<(), AppError>>,
}

impl Site {
    /// Three mirrors; every copy on them verified.
    pub async fn start() -> Self {
        Self::with(Plan::default()).await
    }

    pub async fn with(plan: Plan) -> Self {
        let folder = tempfile::Builder::new().prefix("waypost-site-").tempdir().unwrap();
        publish(folder.path());
        let mut mirrors = Vec::new();
        for (name, ..) in &plan.mirrors {
            mirrors.push((*name, mirror(&plan, folder.path()).await));
        }
        // Known ahead because it stands in Metalinks.
        let address = free_port(own_address());
        let url = format!("{}://{address}/", if plan.tls.is_some() { "https" } else { "http" });

        let mut text = format!(
            "[server]\nlisten = \"{address}\"\nadmin = \"off\"\npublic_url = \"{url}\"\ndrain = \"0s\"\n\
             trusted_proxies = [\"127.0.0.0/8\"]\n{}\
             [origin]\nurl = \"origin\"\n[verify]\nbandwidth = \"1GiB\"\n\
             [probe]\ninterval = \"{}\"\ntimeout = \"2s\"\nfail_after = 2\n",
            plan.tls
                .as_ref()
                .map(|ca| ca.settings(&ca.issue(folder.path(), address.ip())))
                .unwrap_or_default(),
            plan.interval,
        );
        text.push_str(&sections(&plan, &mirrors));
        let loaded = config::parse(&text, &folder.path().join("waypost.toml"));
        let loaded = loaded.unwrap_or_else(|problems| panic!("{problems}\n{text}"));
        let app = App::bind(loaded, None, Arc::new(SystemClock)).await.unwrap();
        let (stop, stopping) = shutdown();
        let service = tokio::spawn(app.run(stopping));
        let desk = tempfile::Builder::new().prefix("waypost-desk-").tempdir().unwrap();
        if let Some(authority) = &plan.tls {
            fs::write(desk.path().join("ca.pem"), authority.certificate()).unwrap();
        }
        let site = Self { url, mirrors, desk, _folder: folder, stop, service };
        site.until_all_verified().await;
        site
    }

    async fn until_all_verified(&self) {
        for (name, _) in FILES {
            let url = format!("{}tool/stable/{name}?mirrors=text", self.url);
            let mut seen = None;
            until(&format!("every mirror holds {name}"), async || {
                let ended = self.run("curl", &["-sS", "--cacert", "ca.pem", &url]).await;
                let listed = ended.stdout.lines().filter(|line| line.ends_with(name)).count();
                assert!(!self.service.is_finished(), "the service ended: {seen:?}");
                seen = Some(ended);
                listed == self.mirrors.len()
            })
            .await;
        }
    }

    /// Runs a client in the desk's folder.
    pub async fn run(&self, program: &str, arguments: &[&str]) -> Ended {
        run(program, arguments, self.desk.path()).await
    }

    /// The URL of something in the channel's release: `tool/stable/…`.
    pub fn stable(&self, what: &str) -> String {
        format!("{}tool/stable/{what}", self.url)
    }

    /// A client's folder, empty at first.
    pub fn desk(&self) -> &Path {
        self.desk.path()
    }

    pub fn mirror(&self, name: &str) -> &Nginx {
        let found = self.mirrors.iter().find(|(known, _)| *known == name);
        found.map(|(_, mirror)| mirror).expect("the plan names it")
    }

    pub fn mirror_mut(&mut self, name: &str) -> &mut Nginx {
        let found = self.mirrors.iter_mut().find(|(known, _)| *known == name);
        found.map(|(_, mirror)| mirror).expect("the plan names it")
    }

    /// Whether a file on the desk is, byte for byte, what was published.
    #[track_caller]
    pub fn assert_has(&self, file: &str, published: &str) {
        let path = self.desk.path().join(file);
        let bytes = fs::read(&path).unwrap_or_else(|error| panic!("{file}: {error}; {:?}", self.on_desk()));
        let expected = contents(published);
        assert_eq!(bytes.len(), expected.len(), "{file} has the wrong length");
        assert!(bytes == expected, "{file} has the wrong bytes");
    }

    /// The names of the files on the desk, in order.
    pub fn on_desk(&self) -> Vec<String> {
        let entries = fs::read_dir(self.desk.path()).unwrap();
        let mut names: Vec<_> =
            entries.map(|e| e.unwrap().file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    /// The mirrors that clients whose `User-Agent` begins so downloaded from, once per request that was answered.
    pub fn asked(&self, agent: &str) -> Vec<(&'static str, crate::nginx::Request)> {
        let of = |(name, mirror): &(&'static str, Nginx)| {
            let requests = mirror.requests().into_iter();
            requests.map(|request| (*name, request)).collect::<Vec<_>>()
        };
        let all = self.mirrors.iter().flat_map(of);
        all.filter(|(_, request)| request.user_agent.starts_with(agent)).collect()
    }

    /// The same, once there are at least so many: a mirror writes its log after the client has everything.
    pub async fn until_asked(
        &self,
        agent: &str,
        requests: usize,
    ) -> Vec<(&'static str, crate::nginx::Request)> {
        until(&format!("{agent} has asked {requests} times"), async || self.asked(agent).len() >= requests)
            .await;
        self.asked(agent)
    }

    /// Changes a byte of a verified copy and neither its length nor its date, as a failing disk would.
    pub fn corrupt(&self, mirror: &str, name: &str, at: usize) {
        let path = self.mirror(mirror).files().join("tool/1.8.2").join(name);
        let modified = fs::metadata(&path).unwrap().modified().unwrap();
        let mut bytes = fs::read(&path).unwrap();
        bytes[at] ^= 0x55;
        fs::write(&path, bytes).unwrap();
        fs::File::options().write(true).open(&path).unwrap().set_modified(modified).unwrap();
    }

    /// Stops the service and sees that it ends well.
    pub async fn stop(self) {
        self.stop.pull();
        self.service.await.unwrap().unwrap();
    }
}

/// A mirror that holds everything, as `rsync` would leave it.
async fn mirror(plan: &Plan, folder: &Path) -> Nginx {
    let address = own_address();
    let tls = plan.tls.as_ref().map(|authority| authority.issue(folder, address.into()));
    let nginx = Nginx::start(address, tls.as_ref()).await;
    let from = folder.join("origin/tool/1.8.2");
    let to: PathBuf = nginx.files().join("tool/1.8.2");
    fs::create_dir_all(&to).unwrap();
    for (name, _) in FILES {
        fs::copy(from.join(name), to.join(name)).unwrap();
    }
    nginx
}

/// Regions and mirrors, each region where its first mirror is.
fn sections(plan: &Plan, mirrors: &[(&str, Nginx)]) -> String {
    let mut text = String::new();
    let mut known = Vec::new();
    for ((name, region, (latitude, longitude)), (_, mirror)) in plan.mirrors.iter().zip(mirrors) {
        if !known.contains(region) {
            known.push(*region);
            text.push_str(&format!(
                "[[region]]\nname = \"{region}\"\nlocation = [{latitude}, {longitude}]\n"
            ));
        }
        let url = mirror.url();
        text.push_str(&format!("[[mirror]]\nname = \"{name}\"\nurl = \"{url}\"\nregion = \"{region}\"\n"));
    }
    text + &plan.more
}

fn publish(folder: &Path) {
    let build = folder.join("build");
    fs::create_dir(&build).unwrap();
    for (name, _) in FILES {
        fs::write(build.join(name), contents(name)).unwrap();
    }
    let options = CreateOptions {
        folder: build,
        origin: folder.join("origin"),
        product: "tool".parse().unwrap(),
        version: waypost::model::Version::parse("1.8.2").unwrap(),
        channels: vec!["stable".parse().unwrap()],
        expects: Expects::default(),
        published_at: None,
        now: Timestamp::from_millis(1_790_000_000_000),
        placement: Placement::Copy,
    };
    create(&options, &()).unwrap();
}

/// A file's bytes: they differ from file to file and nowhere repeat.
fn contents(name: &str) -> Vec<u8> {
    let (_, size) = FILES.iter().find(|(known, _)| *known == name).expect("it was published");
    let mut state =
        name.bytes().fold(0x9e37_79b9_7f4a_7c15u64, |seed, byte| seed.rotate_left(9) ^ u64::from(byte));
    let mut bytes = Vec::with_capacity(size + 8);
    while bytes.len() < *size {
        // xorshift64
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(*size);
    bytes
}
