//! Real mirrors: an nginx each, a process of its own on an address of its own.

#![allow(dead_code, missing_docs, clippy::unwrap_used)]

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicU32, Ordering};

use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::process::Child;

use super::process::{command, spawn, until};

/// A client that names itself so gets the first MiB at once and the rest slowly, so that it can be interrupted.
pub const SLOW: &str = "slow-client";
/// With which a mirror's links are signed.
pub const LINK_SECRET: &str = "5c0c2f6f7a3e4d1b9a8877665544332211ffeeddccbbaa99";

/// An address of the loopback network that no other test has, in this process or in one beside it.
pub fn own_address() -> Ipv4Addr {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let n = std::process::id().wrapping_mul(256).wrapping_add(COUNT.fetch_add(1, Ordering::Relaxed));
    let part = |n: u32| u8::try_from(1 + n % 253).unwrap();
    Ipv4Addr::new(127, part(n / 253 / 253), part(n / 253), part(n))
}

/// A port that is free there. nginx cannot say which port it got, so it is told one; on an address of one's own nobody
/// takes it in between.
pub fn free_port(address: Ipv4Addr) -> SocketAddr {
    TcpListener::bind((address, 0)).unwrap().local_addr().unwrap()
}

/// A certificate chain and its key, as files.
#[derive(Debug, Clone)]
pub struct TlsFiles {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

/// One line of the access log.
#[derive(Debug, Clone)]
pub struct Request {
    pub status: u16,
    pub method: String,
    pub path: String,
    /// Bytes of the answer's body.
    pub sent: u64,
    /// The `Range` header; `-` where there was none.
    pub range: String,
    pub user_agent: String,
    /// The `Authorization` header; `-` where there was none.
    pub authorization: String,
    /// The `Cookie` header; `-` where there was none.
    pub cookie: String,
    /// The `Referer` header; `-` where there was none.
    pub referer: String,
}

pub struct Nginx {
    folder: TempDir,
    address: SocketAddr,
    tls: bool,
    process: Option<Child>,
}

impl Nginx {
    /// Starts one with an empty root; it answers when this returns.
    pub async fn start(address: Ipv4Addr, tls: Option<&TlsFiles>) -> Self {
        Self::start_with(address, tls, "").await
    }

    /// The same with further lines in its `server`.
    pub async fn start_with(address: Ipv4Addr, tls: Option<&TlsFiles>, lines: &str) -> Self {
        Self::start_http(address, tls.is_some(), |address, _| server(address, tls, lines)).await
    }

    /// The same with what `http` makes of its address and folder as the whole of its servers.
    pub async fn start_http(
        address: Ipv4Addr,
        tls: bool,
        http: impl FnOnce(SocketAddr, &Path) -> String,
    ) -> Self {
        let folder = tempfile::Builder::new().prefix("waypost-nginx-").tempdir().unwrap();
        fs::create_dir(folder.path().join("files")).unwrap();
        let address = free_port(address);
        let http = configuration(&http(address, folder.path()));
        fs::write(folder.path().join("nginx.conf"), http).unwrap();
        let mut nginx = Self { folder, address, tls, process: None };
        nginx.run().await;
        nginx
    }

    async fn run(&mut self) {
        let folder = self.folder.path();
        let mut command = command("nginx", folder);
        command.args(["-p", folder.to_str().unwrap(), "-c", "nginx.conf", "-e", "error.log"]);
        let log = fs::File::create(folder.join("start.log")).unwrap();
        let mut process = spawn(command.stdout(Stdio::null()).stderr(log));
        until("nginx answers", async || {
            assert!(process.try_wait().unwrap().is_none(), "nginx ended: {}", self.complaints());
            TcpStream::connect(self.address).await.is_ok()
        })
        .await;
        self.process = Some(process);
    }

    /// Dies at once, with all its connections.
    pub async fn kill(&mut self) {
        self.process.take().expect("it runs").kill().await.unwrap();
    }

    /// Comes back where it was.
    pub async fn restart(&mut self) {
        assert!(self.process.is_none(), "it runs already");
        self.run().await;
    }

    /// Where its files begin, with a slash.
    pub fn url(&self) -> String {
        format!("{}://{}/", if self.tls { "https" } else { "http" }, self.address)
    }

    /// The folder that it serves.
    pub fn files(&self) -> PathBuf {
        self.folder.path().join("files")
    }

    /// What it was asked so far and has answered to the end.
    pub fn requests(&self) -> Vec<Request> {
        let log = fs::read_to_string(self.folder.path().join("access.log")).unwrap_or_default();
        let lines = log.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n'));
        lines.map(request).collect()
    }

    /// What went wrong, for a test that fails.
    pub fn complaints(&self) -> String {
        let read = |name| fs::read_to_string(self.folder.path().join(name)).unwrap_or_default();
        read("start.log") + &read("error.log")
    }
}

/// Lines of a server that gives its files to signed links alone: as in deploy/nginx-signed-mirror.conf, with one secret.
pub fn secure_link() -> String {
    format!(
        "secure_link $arg_md5,$arg_expires;
         secure_link_md5 \"$secure_link_expires$uri {LINK_SECRET}\";
         if ($secure_link = \"\") {{ return 403; }}
         if ($secure_link = \"0\") {{ return 410; }}"
    )
}

fn request(line: &str) -> Request {
    let fields: Vec<&str> = line.split('\t').collect();
    let [status, method, path, sent, range, user_agent, authorization, cookie, referer] = fields[..] else {
        panic!("not a line of the access log: {line}")
    };
    Request {
        status: status.parse().unwrap(),
        method: method.to_owned(),
        path: path.to_owned(),
        sent: sent.parse().unwrap(),
        range: range.to_owned(),
        user_agent: user_agent.to_owned(),
        authorization: authorization.to_owned(),
        cookie: cookie.to_owned(),
        referer: referer.to_owned(),
    }
}

fn server(address: SocketAddr, tls: Option<&TlsFiles>, lines: &str) -> String {
    let (ssl, files) = match tls {
        None => ("", String::new()),
        Some(TlsFiles { certificate, key }) => {
            let (certificate, key) = (certificate.display(), key.display());
            (
                " ssl",
                format!(
                    "ssl_certificate {certificate}; ssl_certificate_key {key}; ssl_protocols TLSv1.2 TLSv1.3;"
                ),
            )
        }
    };
    format!(
        r#"
    server {{
        listen {address}{ssl};
        {files}
        root files;
        {lines}
    }}
"#
    )
}

fn configuration(http: &str) -> String {
    format!(
        r#"
daemon off;
master_process off;
pid nginx.pid;
error_log error.log notice;
events {{ worker_connections 256; }}
http {{
    log_format fields escape=none "$status\t$request_method\t$uri\t$body_bytes_sent\t$bytes_asked\t$http_user_agent\t$authorization\t$cookie\t$referer";
    map $http_range $bytes_asked {{ "" "-"; default $http_range; }}
    map $http_authorization $authorization {{ "" "-"; default $http_authorization; }}
    map $http_cookie $cookie {{ "" "-"; default $http_cookie; }}
    map $http_referer $referer {{ "" "-"; default $http_referer; }}
    map $http_user_agent $rate {{ "{SLOW}" 128k; default 0; }}
    access_log access.log fields;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    types {{ application/gzip gz; text/html html; text/plain txt; }}
    default_type application/octet-stream;
    sendfile on;
    limit_rate $rate;
    limit_rate_after 1m;
    {http}
}}
"#
    )
}
