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

#![allow(dead_code, unused_imports, missing_docs, clippy::unwrap_used)]

#[path = "answer.rs"]
pub mod answer;
#[path = "builder.rs"]
pub mod builder;
#[path = "mirror.rs"]
pub mod mirror;
#[path = "orders.rs"]
pub mod orders;
#[path = "plan.rs"]
pub mod plan;
#[path = "waiting.rs"]
pub mod waiting;

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use http::{Method, StatusCode};
use serde_json::Value;
use tempfile::TempDir;
use tokio::net::{TcpStream, UnixStream};
use tokio::runtime::Runtime;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use waypost::app::{App, AppError};
use waypost::config::Config;
use waypost::model::SystemClock;
use waypost::store::StoreError;
use waypost::tasks::{Trigger, shutdown};
use waypost::workers::Handle;
use waypost::workers::report::Topic;

pub use answer::{Answer, ask, ask_with, fetch};
pub use builder::Builder;
pub use mirror::{Behaviour, Mirror};
pub use plan::{MirrorPlan, Plan, ReleasePlan, sha256};

/// Clients of the three regions that every site has.
pub const EU: &str = "10.1.0.7";
pub const US: &str = "10.2.0.7";
pub const AP: &str = "10.3.0.7";
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

pub struct Site {
    dir: TempDir,
    pub plan: Plan,
    mirrors: BTreeMap<String, Mirror>,
    certificates: String,
    amend: Option<Amend>,
    running: Option<Running>,
}

/// What a test makes of the configuration at every start, beyond its text. A reload reads the text alone.
pub type Amend = Box<dyn Fn(&mut Config) + Send>;

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
            amend: None,
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
        let mut loaded = waypost::config::parse(&self.plan.text(self.dir()), &self.config_file())
            .unwrap_or_else(|problems| panic!("{problems}"));
        if let Some(amend) = &self.amend {
            amend(&mut loaded.config);
        }
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

    /// Starts the service after [`Site::kill`], as soon as the state folder and the record of deliveries are free.
    pub async fn run_again(&mut self) {
        soon("the state folder is free", async || match self.run().await {
            Ok(()) => Some(()),
            Err(AppError::Store(StoreError::InUse { .. }) | AppError::Record(_)) => None,
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

    /// A form, as a browser sends it.
    pub async fn form(&self, path: &str, form: &str, headers: &[(&str, &str)]) -> Answer {
        let stream = TcpStream::connect(self.address()).await.unwrap();
        let headers = [headers, &[("content-type", "application/x-www-form-urlencoded")]].concat();
        ask_with(stream, Method::POST, path, &headers, form.to_owned().into()).await
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

    /// An order over the socket, with what it says.
    pub async fn post(&self, path: &str, said: &Value) -> Answer {
        let stream = UnixStream::connect(&self.running().socket).await.unwrap();
        ask_with(stream, Method::POST, path, &[], said.to_string().into()).await
    }

    /// A request to the admin listener, with a token or without.
    pub async fn admin_as(&self, token: Option<&str>, method: Method, path: &str, said: &Value) -> Answer {
        let stream = TcpStream::connect(self.admin_address()).await.unwrap();
        let bearer = token.map(|token| format!("Bearer {token}"));
        let headers: Vec<(&str, &str)> = bearer.iter().map(|b| ("authorization", b.as_str())).collect();
        ask_with(stream, method, path, &headers, said.to_string().into()).await
    }

    /// `drain`, `undrain` or `verify` a mirror.
    pub async fn order(&self, mirror: &str, verb: &str) {
        let answer = self.local(Method::POST, &format!("/v1/mirrors/{mirror}/{verb}")).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    }

    /// The way to the writer. The service ends only after it was dropped.
    pub fn handle(&self) -> Handle {
        self.running().handle.clone()
    }

    pub async fn report(&self, topic: Topic) -> Value {
        self.running().handle.report(topic).await.expect("the writer works").unwrap_or(Value::Null)
    }

    pub async fn mirror_report(&self, name: &str) -> Value {
        self.report(Topic::Mirror(waypost::model::MirrorName::new(name).unwrap())).await
    }

    pub async fn releases_report(&self) -> Value {
        self.report(Topic::Releases(None)).await
    }

    /// The value of a metric, with its labels as they stand in the text; 0 where it is not there.
    pub async fn metric(&self, line: &str) -> f64 {
        let answer = self.admin("/metrics").await;
        let value = answer.text().lines().find_map(|l| l.strip_prefix(line)?.strip_prefix(' '));
        value.map_or(0.0, |value| value.parse().unwrap())
    }
}
