//! A private product behind a service and an nginx with `secure_link`, and a wiki that links to it: three sites.

use std::fs;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use tempfile::TempDir;

use crate::certificates::Authority;
use crate::chromium::Chromium;
use crate::nginx::{LINK_SECRET, Nginx, Request, secure_link};
use crate::process::until;
use crate::site::{Site, own_address};
use crate::tokens::{SECRET, tables};

/// The service's name, as the browser knows it.
const DOWNLOADS: &str = "downloads.example";
/// Another site's.
const WIKI: &str = "wiki.example";

/// The private product's files.
pub const ARCHIVE: &str = "agent-1.0-linux-amd64.tar.gz";
pub const MANUAL: &str = "agent-1.0-manual.tar.gz";

pub fn bytes(name: &str) -> Vec<u8> {
    (0..200_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).chain(name.bytes()).collect()
}

pub struct Place {
    pub site: Site,
    mirror: Nginx,
    wiki: Nginx,
    scheme: &'static str,
    _certificates: TempDir,
}

impl Place {
    /// Service and mirror speak https; a browser keeps what is put into the page for `session`.
    pub async fn start(session: Duration) -> Self {
        Self::with("https", session).await
    }

    pub async fn with(scheme: &'static str, session: Duration) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (authority, address) = (Authority::new(), own_address());
        let files = authority.issue(folder.path(), address.into());
        let mirror = Nginx::start_with(address, Some(&files), &secure_link()).await;
        fs::create_dir_all(mirror.files().join("agent/1.0")).unwrap();
        for name in [ARCHIVE, MANUAL] {
            fs::write(mirror.files().join("agent/1.0").join(name), bytes(name)).unwrap();
        }
        let tls = match scheme {
            "https" => authority.settings(&files),
            _ => "[outgoing]\nca_file = \"ca.pem\"\n".to_owned(),
        };
        let (archive, manual) = (bytes(ARCHIVE), bytes(MANUAL));
        let old: [(&str, &[u8]); 1] = [("agent-0.9-linux-amd64.tar.gz", b"an old one")];
        let site = Site::builder()
            .server(&tls)
            .file("ca.pem", authority.certificate())
            .file("issuer.key", SECRET)
            .file("link.secret", LINK_SECRET)
            .release("agent", "1.0", &[(ARCHIVE, &archive), (MANUAL, &manual)], &["stable"])
            .release("agent", "0.9", &old, &[])
            .release("exotic", "1.0", &[("exotic.tar.gz", b"for some")], &["stable"])
            .config(&format!(
                "[[mirror]]\nname = \"nginx\"\nurl = {:?}\nregion = \"eu\"\n\
                 sign = {{ kind = \"secure_link\", secret_file = \"link.secret\" }}\n\
                 [[client_network]]\ncidr = \"127.0.0.0/8\"\nregion = \"eu\"\ncountry = \"KP\"\n\
                 [[product]]\nname = \"exotic\"\ndeny_countries = [\"KP\"]\n[log]\naccess = true\n{}",
                mirror.url(),
                tables("")
            ))
            .amend(move |config| config.tickets.session = session)
            .start()
            .await;
        site.until_channel("agent", "stable", "1.0").await;
        site.until_everywhere("agent", "1.0").await;
        let wiki = Nginx::start(own_address(), None).await;
        let place = Self { site, mirror, wiki, scheme, _certificates: folder };
        let link = |name| format!("<li><a href=\"{}\">{name}</a>", place.file(name));
        let page = format!(
            "<!DOCTYPE html>\n<title>Wiki</title><link rel=icon href=data:,>\n{}{}",
            link(ARCHIVE),
            link(MANUAL)
        );
        fs::write(place.wiki.files().join("index.html"), page).unwrap();
        place
    }

    /// A browser to which all of it has names.
    pub async fn browser(&self) -> Chromium {
        let wiki = self.wiki.url();
        let wiki = wiki.trim_start_matches("http://").trim_end_matches('/').parse().unwrap();
        Chromium::start(&[(DOWNLOADS, self.site.address()), (WIKI, wiki)]).await
    }

    /// A path of the service, as people see it.
    pub fn url(&self, path: &str) -> String {
        format!("{}://{DOWNLOADS}{path}", self.scheme)
    }

    /// A private file's stable URL.
    pub fn file(&self, name: &str) -> String {
        self.url(&format!("/agent/stable/{name}"))
    }

    /// A page of another site with a link to each private file.
    pub fn wiki(&self) -> String {
        format!("http://{WIKI}/index.html")
    }

    /// What browsers have asked the mirror for, once it is so many requests.
    pub async fn asked(&self, count: usize) -> Vec<Request> {
        let asked = || {
            let mut asked = self.mirror.requests();
            asked.retain(|request| request.user_agent.starts_with("Mozilla/"));
            asked
        };
        until(&format!("the mirror was asked {count} times"), async || asked().len() >= count).await;
        asked()
    }
}

/// All that this process has logged.
#[derive(Clone, Default)]
pub struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    /// Keeps what is logged from now on.
    pub fn keep() -> &'static Self {
        static LOG: OnceLock<Log> = OnceLock::new();
        LOG.get_or_init(|| {
            let log = Self::default();
            let into = log.clone();
            let lines = tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE);
            lines.with_writer(move || into.clone()).try_init().unwrap();
            log
        })
    }

    pub fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
