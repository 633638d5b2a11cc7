//! A whole site in one process: an origin, mirrors, and the service in front of them, each on an address of its own.
//!
//! ```ignore
//! let site = Site::builder()
//!     .mirror("fra", |m| m.region("eu"))
//!     .mirror("sin", |m| m.region("ap"))
//!     .release("tool", "1.8.2", &[("tool.tar.gz", b"bytes")], &["stable"])
//!     .corrupt("sin", "tool/1.8.2/tool.tar.gz")
//!     .start()
//!     .await;
//! site.until_redirected("/tool/stable/tool.tar.gz", EU, "fra").await;
//! ```
//!
//! Every test gives it a runtime of its own, so that it can be killed; `#[tokio::test]` as it is will do for the test.

#![allow(dead_code, missing_docs, clippy::unwrap_used)]

#[path = "mirror.rs"]
pub mod mirror;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::runtime::Runtime;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use waypost::app::{App, AppError};
use waypost::model::SystemClock;
use waypost::store::StoreError;
use waypost::tasks::{Trigger, shutdown};
use waypost::workers::Handle;
use waypost::workers::report::Topic;

pub use mirror::{Behaviour, Mirror};

/// Clients of the three regions that every site has.
pub const EU: &str = "10.1.0.7";
pub const US: &str = "10.2.0.7";
pub const AP: &str = "10.3.0.7";
const REGIONS: [(&str, &str, &str); 3] = [
    ("eu", "[50.11, 8.68]", "10.1.0.0/16"),
    ("us", "[39.04, -77.49]", "10.2.0.0/16"),
    ("ap", "[1.35, 103.82]", "10.3.0.0/16"),
];

/// How long a test waits for something that is bound to happen within a second.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// An address of the loopback network that nobody else has, neither in this process nor in one beside it.
pub fn own_address() -> Ipv4Addr {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let n = std::process::id().wrapping_mul(251).wrapping_add(count);
    let part = |n: u32| (1 + n % 253) as u8;
    Ipv4Addr::new(127, part(n / 253 / 253), part(n / 253), part(n))
}

/// Looks again and again until there is something to see; fails with what was waited for.
pub async fn soon<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let looking = async {
        let mut beat = tokio::time::interval(Duration::from_millis(10));
        loop {
            beat.tick().await;
            if let Some(seen) = look().await {
                return seen;
            }
        }
    };
    match timeout(PATIENCE, looking).await {
        Ok(seen) => seen,
        Err(_) => panic!("waited in vain: {what}"),
    }
}

/// A mirror as the configuration describes it.
#[derive(Debug, Clone, Default)]
pub struct MirrorPlan {
    lines: Vec<String>,
    url: String,
    secure: bool,
    lacks: Vec<String>,
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
    ip: Ipv4Addr,
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
        let state =
            if server.iter().any(|line| line.starts_with("state")) { "" } else { "state = \"state\"" };
        let url = if origin.iter().any(|line| line.starts_with("url")) { "" } else { "url = \"origin\"" };
        let lines = |lines: &[String]| lines.join("\n");
        write!(
            text,
            "[server]\nlisten = [\"{ip}:0\"]\nadmin = \"{ip}:0\"\ntrusted_proxies = [\"127.0.0.0/8\"]\n{state}\n{}\n\
             [origin]\n{url}\npoll = \"50ms\"\n{}\n[probe]\ninterval = \"50ms\"\n{}\n",
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

#[derive(Debug, Clone)]
struct ReleasePlan {
    product: String,
    version: String,
    assets: Vec<(String, Bytes)>,
    channels: Vec<String>,
}

impl ReleasePlan {
    fn new(product: &str, version: &str, assets: &[(&str, &[u8])], channels: &[&str]) -> Self {
        let assets = assets.iter().map(|(name, bytes)| ((*name).to_owned(), Bytes::copy_from_slice(bytes)));
        Self {
            product: product.to_owned(),
            version: version.to_owned(),
            assets: assets.collect(),
            channels: channels.iter().map(|channel| (*channel).to_owned()).collect(),
        }
    }

    fn manifest(&self) -> Value {
        let asset = |(name, bytes): &(String, Bytes)| json!({ "name": name, "size": bytes.len(), "sha256": sha256(bytes) });
        json!({
            "schema": 1,
            "product": self.product,
            "version": self.version,
            "channels": self.channels,
            "assets": self.assets.iter().map(asset).collect::<Vec<_>>(),
        })
    }

    fn path(&self, asset: &str) -> String {
        format!("{}/{}/{asset}", self.product, self.version)
    }
}

pub fn sha256(bytes: &[u8]) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes);
    data_encoding::HEXLOWER.encode(digest.as_ref())
}

/// Makes a site.
pub struct Builder {
    plan: Plan,
    releases: Vec<ReleasePlan>,
    behaviours: Vec<(String, String, Behaviour)>,
    stopped: Vec<String>,
    unreadable_origin: bool,
    files: Vec<(String, Vec<u8>)>,
}

impl Builder {
    pub fn mirror(mut self, name: &str, describe: impl FnOnce(MirrorPlan) -> MirrorPlan) -> Self {
        self.plan.mirrors.insert(name.to_owned(), describe(MirrorPlan::default()));
        self
    }

    /// Published at the origin, and on every mirror.
    pub fn release(
        mut self,
        product: &str,
        version: &str,
        assets: &[(&str, &[u8])],
        channels: &[&str],
    ) -> Self {
        self.releases.push(ReleasePlan::new(product, version, assets, channels));
        self
    }

    pub fn behave(mut self, mirror: &str, path: &str, behaviour: Behaviour) -> Self {
        self.behaviours.push((mirror.to_owned(), path.to_owned(), behaviour));
        self
    }

    pub fn corrupt(self, mirror: &str, path: &str) -> Self {
        self.behave(mirror, path, Behaviour::Corrupt)
    }

    /// A mirror that refuses connections from the start.
    pub fn stopped(mut self, mirror: &str) -> Self {
        self.stopped.push(mirror.to_owned());
        self
    }

    /// A line of `[server]`.
    pub fn server(mut self, line: &str) -> Self {
        self.plan.server.push(line.to_owned());
        self
    }

    /// A line of `[origin]`.
    pub fn origin(mut self, line: &str) -> Self {
        self.plan.origin.push(line.to_owned());
        self
    }

    /// A line of `[probe]`.
    pub fn probe(mut self, line: &str) -> Self {
        self.plan.probe.push(line.to_owned());
        self
    }

    /// Further tables.
    pub fn config(mut self, tables: &str) -> Self {
        self.plan.more.push_str(tables);
        self
    }

    /// A file beside the configuration.
    pub fn file(mut self, name: &str, bytes: impl Into<Vec<u8>>) -> Self {
        self.files.push((name.to_owned(), bytes.into()));
        self
    }

    /// The origin cannot be read until [`Site::restore_origin`].
    pub fn unreadable_origin(mut self) -> Self {
        self.unreadable_origin = true;
        self
    }

    pub async fn start(self) -> Site {
        self.try_start().await.unwrap_or_else(|error| panic!("the site does not start: {error}"))
    }

    /// Everything but the service is there whether or not it starts.
    pub async fn try_start(self) -> Result<Site, AppError> {
        let mut site = self.lay_out().await;
        site.run().await.map(|()| site)
    }

    /// Everything but the service.
    pub async fn lay_out(self) -> Site {
        let dir = tempfile::tempdir().unwrap();
        for (name, bytes) in &self.files {
            std::fs::write(dir.path().join(name), bytes).unwrap();
        }
        std::fs::create_dir(dir.path().join("origin")).unwrap();
        let mut site = Site {
            dir,
            plan: self.plan,
            mirrors: BTreeMap::new(),
            certificates: String::new(),
            running: None,
        };
        for name in site.plan.mirrors.keys().cloned().collect::<Vec<_>>() {
            site.open_mirror(&name).await;
        }
        for release in &self.releases {
            site.spread(release, |_| true);
            site.write_manifest(release);
        }
        for (mirror, path, behaviour) in self.behaviours {
            site.mirrors[&mirror].behave(&path, behaviour);
        }
        for name in &self.stopped {
            site.mirrors[name].stop().await;
        }
        if self.unreadable_origin {
            site.break_origin();
        }
        site.write_config();
        site
    }
}

/// The service while it runs.
struct Running {
    public: SocketAddr,
    admin: SocketAddr,
    socket: PathBuf,
    handle: Handle,
    reload: Arc<Notify>,
    stop: Trigger,
    end: JoinHandle<Result<(), AppError>>,
    runtime: Option<Runtime>,
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// An answer.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Answer {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// The mirror that a redirect leads to.
    pub fn mirror(&self) -> Option<&str> {
        self.headers.get("waypost-mirror").map(|name| name.to_str().unwrap())
    }
}

pub struct Site {
    dir: TempDir,
    pub plan: Plan,
    mirrors: BTreeMap<String, Mirror>,
    certificates: String,
    running: Option<Running>,
}

impl Site {
    pub fn builder() -> Builder {
        let plan = Plan {
            ip: own_address(),
            server: Vec::new(),
            origin: Vec::new(),
            probe: Vec::new(),
            mirrors: BTreeMap::new(),
            more: String::new(),
        };
        Builder {
            plan,
            releases: Vec::new(),
            behaviours: Vec::new(),
            stopped: Vec::new(),
            unreadable_origin: false,
            files: Vec::new(),
        }
    }

    // What is around the service.

    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub fn state(&self) -> PathBuf {
        self.dir().join("state")
    }

    pub fn origin(&self) -> PathBuf {
        self.dir().join("origin")
    }

    pub fn mirror(&self, name: &str) -> &Mirror {
        &self.mirrors[name]
    }

    async fn open_mirror(&mut self, name: &str) {
        let ip = own_address();
        let tls = self.plan.mirrors[name].secure.then(|| self.certify(ip));
        let mirror = Mirror::start(ip, tls).await;
        self.plan.mirrors.get_mut(name).unwrap().url = mirror.url();
        self.mirrors.insert(name.to_owned(), mirror);
    }

    fn certify(&mut self, ip: Ipv4Addr) -> tokio_rustls::TlsAcceptor {
        let key = rcgen::KeyPair::generate().unwrap();
        let params = rcgen::CertificateParams::new(vec![ip.to_string()]).unwrap();
        let certificate = params.self_signed(&key).unwrap();
        self.certificates.push_str(&certificate.pem());
        std::fs::write(self.dir().join("mirrors.pem"), &self.certificates).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let key = rustls::pki_types::PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap();
        Arc::new(config).into()
    }

    fn spread(&self, release: &ReleasePlan, to: impl Fn(&str) -> bool) {
        for (name, mirror) in self.mirrors.iter().filter(|(name, _)| to(name)) {
            for (asset, bytes) in &release.assets {
                let path = release.path(asset);
                if !self.plan.mirrors[name].lacks.contains(&path) {
                    mirror.put(&path, bytes.clone());
                }
            }
        }
    }

    fn write_manifest(&self, release: &ReleasePlan) {
        let text = release.manifest().to_string();
        self.write_origin(&release.path("manifest.json"), text.as_bytes());
    }

    /// A file at the origin, there at once and whole.
    pub fn write_origin(&self, path: &str, bytes: &[u8]) {
        let path = self.origin().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let aside = self.dir().join("being-written");
        std::fs::write(&aside, bytes).unwrap();
        std::fs::rename(aside, path).unwrap();
    }

    /// A new release at the origin and on every mirror.
    pub fn publish(&self, product: &str, version: &str, assets: &[(&str, &[u8])], channels: &[&str]) {
        self.publish_to(product, version, assets, channels, |_| true);
    }

    /// A new release at the origin and on some mirrors.
    pub fn publish_to(
        &self,
        product: &str,
        version: &str,
        assets: &[(&str, &[u8])],
        channels: &[&str],
        to: impl Fn(&str) -> bool,
    ) {
        let release = ReleasePlan::new(product, version, assets, channels);
        self.spread(&release, to);
        self.write_manifest(&release);
    }

    pub fn unpublish(&self, product: &str, version: &str) {
        std::fs::remove_dir_all(self.origin().join(product).join(version)).unwrap();
    }

    pub fn break_origin(&self) {
        std::fs::rename(self.origin(), self.dir().join("elsewhere")).unwrap();
    }

    pub fn restore_origin(&self) {
        std::fs::rename(self.dir().join("elsewhere"), self.origin()).unwrap();
    }

    // The configuration.

    pub fn config_file(&self) -> PathBuf {
        self.dir().join("waypost.toml")
    }

    pub fn write_config(&self) {
        std::fs::write(self.config_file(), self.plan.text(self.dir())).unwrap();
    }

    /// A further mirror, in the configuration file and not yet in force.
    pub async fn add_mirror(&mut self, name: &str, describe: impl FnOnce(MirrorPlan) -> MirrorPlan) {
        self.plan.mirrors.insert(name.to_owned(), describe(MirrorPlan::default()));
        self.open_mirror(name).await;
        self.write_config();
    }

    /// One mirror less, in the configuration file and not yet in force.
    pub fn remove_mirror(&mut self, name: &str) {
        self.plan.mirrors.remove(name).unwrap();
        self.write_config();
    }

    /// The same mirror at the place of another, in the configuration file and not yet in force.
    pub fn point_mirror(&mut self, name: &str, at: &Mirror) {
        self.plan.mirrors.get_mut(name).unwrap().url = at.url();
        self.write_config();
    }

    /// SIGHUP.
    pub fn reload(&self) {
        self.running().reload.notify_one();
    }

    // The service's life.

    fn running(&self) -> &Running {
        self.running.as_ref().expect("the service runs")
    }

    /// Starts the service.
    pub async fn run(&mut self) -> Result<(), AppError> {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let loaded = waypost::config::parse(&self.plan.text(self.dir()), &self.config_file())
            .unwrap_or_else(|problems| panic!("{problems}"));
        let file = self.config_file();
        let bound = runtime.spawn(App::bind(loaded, Some(file), Arc::new(SystemClock))).await.unwrap();
        let app = match bound {
            Ok(app) => app,
            Err(error) => {
                runtime.shutdown_background();
                return Err(error);
            }
        };
        let addresses = app.addresses().clone();
        let (handle, reload) = (app.handle(), app.reloader());
        let (stop, signal) = shutdown();
        let end = runtime.spawn(app.run(signal));
        self.running = Some(Running {
            public: addresses.public[0],
            admin: addresses.admin.unwrap(),
            socket: addresses.socket,
            handle,
            reload,
            stop,
            end,
            runtime: Some(runtime),
        });
        Ok(())
    }

    /// A graceful stop; what the service said at its end.
    pub async fn stop(&mut self) -> Result<(), AppError> {
        self.begin_stop();
        self.ended().await
    }

    /// SIGTERM.
    pub fn begin_stop(&self) {
        self.running().stop.pull();
    }

    /// Waits until the service has ended.
    pub async fn ended(&mut self) -> Result<(), AppError> {
        let mut running = self.running.take().unwrap();
        // The writer ends when the last handle to it is gone, ours too.
        let (handle, _) = waypost::workers::handle::channel();
        running.handle = handle;
        timeout(PATIENCE, &mut running.end).await.expect("the service ends").unwrap()
    }

    /// Stops the service gracefully and starts it again with the same state.
    pub async fn restart(&mut self) {
        self.stop().await.unwrap();
        self.run().await.unwrap();
    }

    /// All of the service's tasks are gone from one moment to the next.
    pub fn kill(&mut self) {
        drop(self.running.take().unwrap());
    }

    /// Starts the service after [`Site::kill`], as soon as the state folder is free.
    pub async fn run_again(&mut self) {
        soon("the state folder is free", async || match self.run().await {
            Ok(()) => Some(()),
            Err(AppError::Store(StoreError::InUse { .. })) => None,
            Err(error) => panic!("{error}"),
        })
        .await;
    }

    pub fn address(&self) -> SocketAddr {
        self.running().public
    }

    pub fn admin_address(&self) -> SocketAddr {
        self.running().admin
    }

    // Requests.

    /// A GET from a client.
    pub async fn get(&self, path: &str, client: &str) -> Answer {
        self.request(Method::GET, path, &[("x-forwarded-for", client)]).await
    }

    pub async fn request(&self, method: Method, path: &str, headers: &[(&str, &str)]) -> Answer {
        let stream = TcpStream::connect(self.address()).await.unwrap();
        ask(stream, method, path, headers).await
    }

    /// A GET of the admin interface.
    pub async fn admin(&self, path: &str) -> Answer {
        let stream = TcpStream::connect(self.admin_address()).await.unwrap();
        ask(stream, Method::GET, path, &[]).await
    }

    /// A request over the socket in the state folder.
    pub async fn local(&self, method: Method, path: &str) -> Answer {
        let stream = UnixStream::connect(&self.running().socket).await.unwrap();
        ask(stream, method, path, &[]).await
    }

    /// `drain`, `undrain` or `verify` a mirror.
    pub async fn order(&self, mirror: &str, verb: &str) {
        let answer = self.local(Method::POST, &format!("/v1/mirrors/{mirror}/{verb}")).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    }

    pub async fn report(&self, topic: Topic) -> Value {
        self.running().handle.report(topic).await.expect("the writer works").unwrap_or(Value::Null)
    }

    pub async fn mirror_report(&self, name: &str) -> Value {
        self.report(Topic::Mirror(waypost::model::MirrorName::new(name).unwrap())).await
    }

    pub async fn releases_report(&self) -> Value {
        self.report(Topic::Releases).await
    }

    /// The value of a metric, with its labels as they stand in the text; 0 where it is not there.
    pub async fn metric(&self, line: &str) -> f64 {
        let answer = self.admin("/metrics").await;
        let value = answer.text().lines().find_map(|l| l.strip_prefix(line)?.strip_prefix(' '));
        value.map_or(0.0, |value| value.parse().unwrap())
    }

    // Waiting.

    /// Waits for something; fails with how things are.
    pub async fn until<T>(&self, what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
        let looking = soon(what, async || look().await);
        match timeout(PATIENCE - Duration::from_secs(1), looking).await {
            Ok(seen) => seen,
            Err(_) => {
                let mut mirrors = Vec::new();
                for name in self.plan.mirrors.keys() {
                    mirrors.push(self.mirror_report(name).await);
                }
                let releases = self.releases_report().await;
                panic!("waited in vain: {what}\n{:#}\n{releases:#}", json!(mirrors));
            }
        }
    }

    /// Waits until a mirror's report says something.
    pub async fn until_mirror(&self, name: &str, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        let what = format!("{name}: {what}");
        self.until(&what, async || Some(self.mirror_report(name).await).filter(&is_so)).await
    }

    /// Waits until a mirror has this many copies in this state.
    pub async fn until_copies(&self, name: &str, state: &str, count: u64) -> Value {
        self.until_mirror(name, &format!("{count} {state}"), |m| m["copies"][state] == count).await
    }

    /// Waits until every mirror that counts holds the whole release.
    pub async fn until_everywhere(&self, product: &str, version: &str) {
        let topic = Topic::Release(waypost::model::ProductName::new(product).unwrap(), version.to_owned());
        let lacking_none = |report: &Value| report["mirrors_lacking"].as_array().is_some_and(Vec::is_empty);
        let what = format!("{product} {version} is everywhere");
        self.until(&what, async || Some(self.report(topic.clone()).await).filter(lacking_none)).await;
    }

    /// Waits until a client is sent to this mirror.
    pub async fn until_redirected(&self, path: &str, client: &str, mirror: &str) -> Answer {
        let what = format!("{client} is sent to {mirror} for {path}");
        self.until(&what, async || Some(self.get(path, client).await).filter(|a| a.mirror() == Some(mirror)))
            .await
    }

    /// Waits until a client gets this status.
    pub async fn until_status(&self, path: &str, client: &str, status: u16) -> Answer {
        let what = format!("{client} gets {status} for {path}");
        self.until(&what, async || Some(self.get(path, client).await).filter(|a| a.status == status)).await
    }

    /// Waits until a channel points to a version.
    pub async fn until_channel(&self, product: &str, channel: &str, version: &str) {
        let what = format!("{product} {channel} is {version}");
        self.until(&what, async || {
            let report = self.releases_report().await;
            let channels = report["channels"].as_array()?.clone();
            let is_it =
                |c: &Value| c["product"] == product && c["channel"] == channel && c["version"] == version;
            channels.iter().any(is_it).then_some(())
        })
        .await;
    }

    /// Waits until every mirror in the plan was looked at this many times more.
    pub async fn until_probed_again(&self, mirror: &str, times: usize) {
        let probes = || self.mirrors[mirror].looks().iter().filter(|look| look.range.is_some()).count();
        let before = probes();
        self.until(&format!("{times} more looks at {mirror}"), async || {
            (probes() >= before + times).then_some(())
        })
        .await;
    }
}

async fn ask(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    method: Method,
    path: &str,
    headers: &[(&str, &str)],
) -> Answer {
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake::<_, Full<Bytes>>(TokioIo::new(stream)).await.unwrap();
    let driver = tokio::spawn(connection);
    let mut request = Request::builder().method(method).uri(path).header("host", "waypost.test");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let answering = async {
        let response = sender.send_request(request.body(Full::default()).unwrap()).await.unwrap();
        let (head, body) = response.into_parts();
        Answer { status: head.status, headers: head.headers, body: body.collect().await.unwrap().to_bytes() }
    };
    let answer = timeout(PATIENCE, answering).await.expect("an answer");
    driver.abort();
    answer
}

/// Fetches a URL as a client that was redirected would.
pub async fn fetch(url: &str) -> Bytes {
    let url: url::Url = url.parse().unwrap();
    let stream = TcpStream::connect(&*url.socket_addrs(|| None).unwrap()).await.unwrap();
    ask(stream, Method::GET, url.path(), &[]).await.body
}

/// What was logged, for tests that read it.
#[derive(Clone, Default)]
pub struct Lines(Arc<Mutex<Vec<u8>>>);

impl Lines {
    pub fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl std::io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
