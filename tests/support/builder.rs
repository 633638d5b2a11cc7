//! Makes a site.

#![allow(dead_code, missing_docs, clippy::unwrap_used)]

use std::collections::BTreeMap;

use waypost::app::AppError;
use waypost::config::Config;

use super::mirror::Behaviour;
use super::plan::{MirrorPlan, Plan, ReleasePlan};
use super::{Amend, Site};

/// A site that is being described.
pub struct Builder {
    pub(super) plan: Plan,
    pub(super) releases: Vec<ReleasePlan>,
    pub(super) behaviours: Vec<(String, String, Behaviour)>,
    pub(super) stopped: Vec<String>,
    pub(super) unreadable_origin: bool,
    pub(super) files: Vec<(String, Vec<u8>)>,
    pub(super) amend: Option<Amend>,
}

/// Two mirrors far apart with `tool` 1.0 on both, and a channel that waits for all mirrors.
pub fn two_mirrors(files: &[(&str, &[u8])]) -> Builder {
    Site::builder()
        .mirror("fra", |m| m.region("eu"))
        .mirror("sin", |m| m.region("ap"))
        .release("tool", "1.0", files, &["stable"])
        .config("[[channel]]\nname = \"stable\"\nready = \"all\"\n")
}

/// A site whose `stable` points to `tool` 1.0, which is everywhere.
pub async fn started(builder: Builder) -> Site {
    let site = builder.start().await;
    site.until_channel("tool", "stable", "1.0").await;
    site.until_everywhere("tool", "1.0").await;
    site
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

    /// What is made of the configuration at every start.
    pub fn amend(mut self, amend: impl Fn(&mut Config) + Send + 'static) -> Self {
        self.amend = Some(Box::new(amend));
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
            amend: self.amend,
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
