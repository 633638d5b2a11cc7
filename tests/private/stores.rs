//! Mirrors that check their links as CloudFront, Google, Azure and a gateway of one's own do: `store.py` says how. It is told
//! nothing of what the service signs but the keys to believe.

use std::fs;
use std::path::Path;
use std::process::Stdio;

use data_encoding::BASE64;
use serde_json::json;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Child;
use tokio::time::timeout;
use url::Url;
use waypost::links::{LinkFor, LinkMethod, Signer};
use waypost::model::{Clock, SystemClock, Timestamp};

use crate::mirrors::{OFTEN, metric, put, until_given};
use crate::private::{AGENT, ALL, SECRET, SECRET_FILE};
use crate::process::{self, PATIENCE};
use crate::python::python;
use crate::site::{Builder, Site};

const FILES: &[(&str, &[u8])] = &[("agent.tar.gz", b"for customers"), ("docs/read me~+1.txt", b"read")];

/// What checks.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Hmac,
    CloudFront,
    Gcs,
    Azure,
}

const KINDS: [Kind; 4] = [Kind::Hmac, Kind::CloudFront, Kind::Gcs, Kind::Azure];

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Hmac => "hmac",
            Self::CloudFront => "cloudfront",
            Self::Gcs => "gcs",
            Self::Azure => "azure",
        }
    }

    /// The mirror's keys beside the kind.
    fn sign(self) -> &'static str {
        match self {
            Self::Hmac => "secret_file = \"key\"",
            Self::CloudFront => "key_pair_id = \"first\", key_file = \"key\"",
            Self::Gcs => "key_file = \"key\"",
            Self::Azure => "account = \"account\", key_file = \"key\"",
        }
    }

    /// The status with which a link is refused that was good once.
    fn expired(self) -> &'static str {
        match self {
            Self::Gcs => "400",
            Self::Hmac | Self::CloudFront | Self::Azure => "403",
        }
    }

    async fn key(self, name: &str) -> Key {
        let shared = format!("{name}: a secret of thirty-two bytes or more").into_bytes();
        let same = |key: Vec<u8>| Key { private: key.clone(), public: key };
        match self {
            Self::Hmac => same(shared),
            Self::Azure => same(BASE64.encode(&shared).into_bytes()),
            Self::CloudFront => Key::made("ec").await,
            Self::Gcs => {
                let Key { private, public } = Key::made("rsa").await;
                let private = String::from_utf8(private).unwrap();
                let email = "signer@project.iam.gserviceaccount.com";
                let account = json!({ "client_email": email, "private_key": private });
                Key { private: account.to_string().into_bytes(), public }
            }
        }
    }
}

/// A key, as its file has it and as the store believes it.
struct Key {
    private: Vec<u8>,
    public: Vec<u8>,
}

impl Key {
    async fn made(kind: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        process::run(&python(), &[script(), "key", kind, "made"], folder.path()).await.ok();
        let [private, public] = ["private", "public"].map(|half| format!("made.{half}.pem"));
        let read = |name| fs::read(folder.path().join(name)).unwrap();
        Self { private: read(private), public: read(public) }
    }
}

fn script() -> &'static str {
    concat!(env!("CARGO_MANIFEST_DIR"), "/tests/private/store.py")
}

/// A store that believes one key, `first`.
struct Store {
    kind: Kind,
    folder: TempDir,
    url: String,
    first: Key,
    _process: Child,
}

impl Store {
    async fn start(kind: Kind) -> Self {
        let folder = tempfile::Builder::new().prefix("waypost-store-").tempdir().unwrap();
        fs::create_dir(folder.path().join("keys")).unwrap();
        for (name, bytes) in FILES {
            put(&folder.path().join("files"), &format!("bucket/agent/1.0/{name}"), bytes);
        }
        let key = rcgen::KeyPair::generate().unwrap();
        let names = rcgen::CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        fs::write(folder.path().join("tls.pem"), names.self_signed(&key).unwrap().pem()).unwrap();
        fs::write(folder.path().join("tls.key"), key.serialize_pem()).unwrap();
        let mut command = process::command(&python(), folder.path());
        let process = command.args([script(), "serve", kind.name(), "."]).stdout(Stdio::piped());
        let mut process = process::spawn(process);
        let mut said = BufReader::new(process.stdout.take().unwrap()).lines();
        let port = timeout(PATIENCE, said.next_line()).await.expect("it listens").unwrap().expect("its port");
        let url = format!("https://127.0.0.1:{port}/bucket/");
        let store = Self { kind, folder, url, first: kind.key("first").await, _process: process };
        store.believe("first", &store.first);
        store
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn believe(&self, name: &str, key: &Key) {
        fs::write(self.path().join("aside"), &key.public).unwrap();
        fs::rename(self.path().join("aside"), self.path().join("keys").join(name)).unwrap();
    }

    fn forget(&self, name: &str) {
        fs::remove_file(self.path().join("keys").join(name)).unwrap();
    }

    /// `agent` 1.0 on this mirror.
    fn site(&self) -> Builder {
        let tables = format!(
            "[outgoing]\nca_file = {:?}\n[[mirror]]\nname = \"fra\"\nurl = {:?}\nregion = \"eu\"\n\
             sign = {{ kind = {:?}, {} }}\n",
            self.path().join("tls.pem"),
            self.url,
            self.kind.name(),
            self.kind.sign()
        );
        Site::builder()
            .release("agent", "1.0", FILES, &["stable"])
            .file(SECRET_FILE, SECRET)
            .file("key", self.first.private.clone())
            .config(&format!("{tables}{AGENT}{ALL}{OFTEN}"))
    }

    /// What curl is told for a link, and what it got.
    async fn fetch(&self, link: &str) -> (String, Vec<u8>) {
        let arguments = ["-sS", "--cacert", "tls.pem", "-o", "got", "-w", "%{http_code}", link];
        let status = process::run("curl", &arguments, self.path()).await.ok();
        (status, fs::read(self.path().join("got")).unwrap())
    }

    async fn status(&self, link: &str) -> String {
        self.fetch(link).await.0
    }
}

/// The same link as it was signed ten minutes ago.
fn long_ago(site: &Site, link: &str) -> String {
    let text = site.plan.text(site.dir());
    let loaded = waypost::config::parse(&text, &site.config_file()).unwrap_or_else(|all| panic!("{all}"));
    let signer = Signer::load(loaded.config.mirrors[0].sign.as_ref().unwrap()).unwrap();
    let now = Timestamp::from_millis(SystemClock.now().as_millis() - 600_000);
    let mut url = link.split_once('?').unwrap().0.as_bytes().to_vec();
    signer.sign(&mut url, 0, &LinkFor { method: LinkMethod::Get, client: None, now });
    String::from_utf8(url).unwrap()
}

async fn link(site: &Site) -> String {
    until_given(site).await.header("location").to_owned()
}

#[tokio::test]
async fn every_kind_of_store_is_looked_at_and_verified_and_gives_its_file_to_a_link_and_nothing_else() {
    for kind in KINDS {
        let store = Store::start(kind).await;
        let site = store.site().start().await;
        let link = link(&site).await;
        assert_eq!(store.fetch(&link).await, ("200".to_owned(), FILES[0].1.to_vec()), "{kind:?}: {link}");
        site.until_copies("fra", "verified", FILES.len() as u64).await;
        site.until("blocks are compared as well", async || {
            (metric(&site, "waypost_samples_total", "outcome", "right").await >= 2.0).then_some(())
        })
        .await;
        let report = site.until_mirror("fra", "is in rotation", |mirror| mirror["state"] == "healthy").await;
        assert_eq!(metric(&site, "waypost_probe_failures_total", "mirror", "fra").await, 0.0, "{report:#}");

        let bare: Url = link.parse().unwrap();
        let bare = bare.as_str().split_once('?').unwrap().0;
        assert_eq!(store.status(bare).await, "403", "{kind:?}");
        let elsewhere = link.replace("agent.tar.gz", "docs/read%20me~+1.txt");
        assert_eq!(store.status(&elsewhere).await, "403", "{kind:?}");
        assert_eq!(store.status(&long_ago(&site, &link)).await, kind.expired(), "{kind:?}");
    }
}

#[tokio::test]
async fn a_key_that_a_store_does_not_believe_is_a_refused_signature_and_no_missing_copy() {
    for kind in KINDS {
        let store = Store::start(kind).await;
        let site = store.site().start().await;
        site.until_copies("fra", "verified", FILES.len() as u64).await;
        fs::write(site.dir().join("key"), kind.key("stranger").await.private).unwrap();
        site.reload();
        let report = site.until_mirror("fra", "is down", |mirror| mirror["state"] == "down").await;
        assert_eq!(report["last_fault"], "signature_refused", "{kind:?}: {report:#}");
        let copies = json!({ "verified": FILES.len(), "pending": 0, "missing": 0, "corrupt": 0 });
        assert_eq!(report["copies"], copies, "{kind:?}");
        let other = metric(&site, "waypost_probe_failures_total", "mirror", "fra").await
            - metric(&site, "waypost_probe_failures_total", "reason", "signature_refused").await;
        assert_eq!(other, 0.0, "{kind:?}: no other reason");
    }
}

#[tokio::test]
async fn while_a_store_believes_both_keys_the_new_one_takes_over_without_a_failure() {
    for kind in KINDS {
        let store = Store::start(kind).await;
        let mut site = store.site().start().await;
        let old = link(&site).await;
        let second = kind.key("second").await;
        store.believe("second", &second);
        fs::write(site.dir().join("key"), &second.private).unwrap();
        site.plan.more = site.plan.more.replace("key_pair_id = \"first\"", "key_pair_id = \"second\"");
        site.write_config();
        site.reload();
        let reloads = "waypost_reloads_total{outcome=\"ok\"}";
        site.until("it has read the new key", async || (site.metric(reloads).await >= 1.0).then_some(()))
            .await;
        let new = link(&site).await;
        assert_eq!([store.status(&old).await, store.status(&new).await], ["200", "200"], "{kind:?}");
        store.forget("first");
        assert_eq!([store.status(&old).await, store.status(&new).await], ["403", "200"], "{kind:?}");
        let looked = metric(&site, "waypost_samples_total", "outcome", "right").await;
        site.until("it is looked at with the new key alone", async || {
            (metric(&site, "waypost_samples_total", "outcome", "right").await > looked).then_some(())
        })
        .await;
        assert_eq!(metric(&site, "waypost_probe_failures_total", "mirror", "fra").await, 0.0, "{kind:?}");
    }
}
