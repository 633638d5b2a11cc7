//! What the writer's work costs: it runs in its thread as in the service, is told facts through its handle, and its
//! thread's time is read from `/proc` once it sleeps again.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use http::HeaderMap;
use serde_json::{Value, json};
use waypost::catalog::index::ManifestPath;
use waypost::client::GeoRanges;
use waypost::config::{self, Config};
use waypost::fetch::fingerprint;
use waypost::health::Evidence;
use waypost::metrics::Metrics;
use waypost::model::{Clock, CopyFault, MirrorName, SystemClock};
use waypost::snapshot::Published;
use waypost::store::Store;
use waypost::workers::fact::{
    Fact, Found, Listed, Listing, NextWork, Probed, ReadManifest, Reading, Verified, Wrong,
};
use waypost::workers::handle::channel;
use waypost::workers::publish::{World, Writer};
use waypost::workers::{Handle, Prepared, Status, TicketSecret, Wakers};

use super::cost::{Cost, cpu, measured, own_cpu, threads};
use super::{Failure, world};

/// Assets of a release that is published while this measures.
const NEW_ASSETS: usize = 1000;
/// The first of their releases; those of the world come before.
const NEW_RELEASE: usize = 5000;
/// Rounds that are made however long they take.
const ROUNDS_AT_LEAST: usize = 3;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The configuration of a world
    config: PathBuf,
    /// Rounds of every kind of change
    #[arg(long, default_value_t = 21)]
    rounds: usize,
    /// Seconds after which a kind gets no more rounds, when it has had three
    #[arg(long, default_value_t = 60)]
    seconds: u64,
}

/// Measures every kind of change and prints the figures.
pub fn measure(arguments: &Arguments) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let (mut site, opened) = Site::open(arguments)?;
        site.see_every_mirror().await?;
        let (down, up) = site.health_changes(arguments).await?;
        let release = site.new_releases(arguments).await?;
        let [kept, new] = site.rebuilds(arguments).await?;
        let figures = json!({
            "opened": opened, "mirror_down": figures(&down), "mirror_up": figures(&up), "release": figures(&release),
            "rebuild": figures(&kept), "rebuild_with_geoip": figures(&new),
        });
        println!("{figures:#}");
        site.close().await
    })
}

fn figures(costs: &[Cost]) -> Value {
    let spread = |of: fn(&Cost) -> Duration| {
        let mut all: Vec<f64> = costs.iter().map(|cost| of(cost).as_secs_f64() * 1e3).collect();
        all.sort_by(f64::total_cmp);
        json!({ "median": all[all.len() / 2], "min": all[0], "max": all[all.len() - 1] })
    };
    json!({ "rounds": costs.len(), "cpu_ms": spread(|cost| cost.cpu), "wall_ms": spread(|cost| cost.wall) })
}

/// The writer, running.
struct Site {
    config: Arc<Config>,
    metrics: Arc<Metrics>,
    geoip: Arc<GeoRanges>,
    handle: Handle,
    status: Arc<Status>,
    published: Arc<Published>,
    writer: JoinHandle<()>,
    /// Its thread under `/proc`.
    thread: PathBuf,
    /// What the origin lists.
    listed: BTreeMap<String, Listed>,
}

impl Site {
    /// Opens everything that the service opens, one after the other, and says how much work each part is.
    fn open(arguments: &Arguments) -> Result<(Self, Value), Failure> {
        let mut laps = Laps(Duration::ZERO);
        laps.lap()?;
        let config = config::load(&arguments.config).map_err(|problems| problems.to_string())?.config;
        let (config, metrics) = (Arc::new(config), Arc::new(Metrics::new()));
        let config_ms = laps.lap()?;
        let prepared = prepare(&config, None, &metrics)?;
        let geoip = Arc::clone(prepared.locator.geoip());
        let prepared_ms = laps.lap()?;
        let (store, loaded) = Store::open(&config.server.state)?;
        let store_ms = laps.lap()?;
        let unchanged = |path: ManifestPath| (path.to_string(), Listed::Unchanged);
        let path = |known: &waypost::store::KnownManifest| ManifestPath {
            product: known.product.clone(),
            version: known.version.clone(),
        };
        let listed = loaded.manifests.iter().map(path).map(unchanged).collect();
        laps.lap()?;
        let world = World::new(Box::new(prepared), loaded, SystemClock.now());
        let world_ms = laps.lap()?;
        let (handle, messages) = channel();
        let (status, published) =
            (Arc::new(Status::new(config.admin.clone())), Arc::new(Published::default()));
        let writer = Writer {
            world,
            store,
            published: Arc::clone(&published),
            wakers: Arc::new(Wakers::default()),
            status: Arc::clone(&status),
            metrics: Arc::clone(&metrics),
            clock: Arc::new(SystemClock),
        };
        let before = threads()?;
        let writer = std::thread::Builder::new().name("publish".to_owned()).spawn(|| writer.run(messages))?;
        let thread = threads()?.into_iter().find(|thread| !before.contains(thread));
        let thread = thread.ok_or("the writer has no thread")?;
        let opened = json!({
            "config_ms": config_ms, "prepared_ms": prepared_ms, "store_ms": store_ms, "world_ms": world_ms,
        });
        Ok((Self { config, metrics, geoip, handle, status, published, writer, thread, listed }, opened))
    }

    /// Ends the writer.
    async fn close(self) -> Result<(), Failure> {
        drop(self.handle);
        self.writer.join().map_err(|_| "the writer panicked".into())
    }

    /// The first good probe of every mirror, as after a start.
    async fn see_every_mirror(&self) -> Result<(), Failure> {
        let mirrors: Vec<MirrorName> = self.config.mirrors.iter().map(|mirror| mirror.name.clone()).collect();
        for mirror in &mirrors {
            self.handle.tell(probed(mirror, None)).await;
        }
        self.quiet().await?;
        let snapshot = self.published.load();
        let exclusions = snapshot.as_ref().map(|snapshot| &snapshot.availability.exclusions);
        match exclusions.map(|all| all.iter().filter(|exclusion| exclusion.is_none()).count()) {
            Some(up) if up == mirrors.len() => Ok(()),
            up => Err(format!("{up:?} of {} mirrors are up", mirrors.len()).into()),
        }
    }

    /// Waits until the writer's thread sleeps.
    async fn quiet(&self) -> Result<(), Failure> {
        loop {
            // Lets the channel's other half run first.
            tokio::time::sleep(Duration::from_millis(1)).await;
            let stat = fs::read_to_string(self.thread.join("stat"))?;
            if stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('S')) {
                return Ok(());
            }
        }
    }

    /// Tells facts and waits for the snapshot that comes of them.
    async fn cost_of(&self, facts: Vec<Fact>) -> Result<Cost, Failure> {
        self.quiet().await?;
        let (before, generation) = (cpu(&self.thread)?, self.generation());
        let mut changed = self.status.changed.subscribe();
        let began = Instant::now();
        for fact in facts {
            self.handle.tell(fact).await;
        }
        while self.generation() == generation {
            changed.changed().await?;
        }
        let wall = began.elapsed();
        self.quiet().await?;
        Ok(Cost { cpu: cpu(&self.thread)?.saturating_sub(before), wall })
    }

    fn generation(&self) -> u64 {
        self.published.load().as_ref().map_or(0, |snapshot| snapshot.generation)
    }

    /// Mirrors go down and come back; what is counted is the fact that decides each.
    async fn health_changes(&self, arguments: &Arguments) -> Result<(Vec<Cost>, Vec<Cost>), Failure> {
        let (mut down, mut up) = (Vec::new(), Vec::new());
        let probe = self.config.probe;
        let mut rounds = Rounds::new(arguments);
        while let Some(round) = rounds.next() {
            let mirror = &self.config.mirrors[round * 37 % self.config.mirrors.len()].name;
            for _ in 1..probe.fail_after {
                self.handle.tell(probed(mirror, Some(CopyFault::Connect))).await;
            }
            down.push(self.cost_of(vec![probed(mirror, Some(CopyFault::Connect))]).await?);
            for _ in 0..probe.recover_after {
                self.handle.tell(probed(mirror, None)).await;
            }
            let Some(NextWork::Now(work)) = self.handle.next_work(mirror).await else {
                return Err(format!("{mirror} has no copy to look at").into());
            };
            let asset = work.release.asset(work.copy.asset);
            up.push(
                self.cost_of(vec![Fact::Verified(Verified {
                    outcome: Ok(fingerprint(&HeaderMap::new(), asset.size)),
                    bytes: asset.size,
                    copy: work.copy,
                    purpose: work.purpose,
                    found: Found::default(),
                })])
                .await?,
            );
        }
        Ok((down, up))
    }

    /// Releases appear at the origin.
    async fn new_releases(&mut self, arguments: &Arguments) -> Result<Vec<Cost>, Failure> {
        let mut costs = Vec::new();
        let mut rounds = Rounds::new(arguments);
        while let Some(round) = rounds.next() {
            let manifest = world::manifest(world::product(0)?, NEW_RELEASE + round, NEW_ASSETS)?;
            let path = ManifestPath { product: manifest.product.clone(), version: manifest.version.clone() };
            let read = ReadManifest::parse(manifest.to_json().into())?;
            let mut manifests = self.listed.clone();
            manifests.insert(path.to_string(), Listed::Read(read));
            self.listed.insert(path.to_string(), Listed::Unchanged);
            let listing = Listing { manifests, sequence: Some(2 + round as u64), ..Listing::default() };
            costs.push(self.cost_of(vec![Fact::Origin(Reading::Listing(listing))]).await?);
        }
        Ok(costs)
    }

    /// The same configuration comes into force again: with the compiled ranges that are there, and with new ones.
    async fn rebuilds(&self, arguments: &Arguments) -> Result<[Vec<Cost>; 2], Failure> {
        let mut costs = [Vec::new(), Vec::new()];
        let mut rounds = Rounds::new(arguments);
        while rounds.next().is_some() {
            for (geoip, costs) in [Some(Arc::clone(&self.geoip)), None].into_iter().zip(&mut costs) {
                let (config, metrics) = (Arc::clone(&self.config), Arc::clone(&self.metrics));
                // In a thread of its own, whose whole time is this.
                let (prepared, preparing) =
                    std::thread::spawn(move || measured(|| prepare(&config, geoip, &metrics)))
                        .join()
                        .map_err(|_| "the preparation panicked")??;
                let cost = self.cost_of(vec![Fact::Reloaded(Box::new(prepared))]).await?;
                costs.push(Cost { cpu: cost.cpu + preparing.cpu, wall: cost.wall + preparing.wall });
            }
        }
        Ok(costs)
    }
}

fn prepare(
    config: &Arc<Config>,
    geoip: Option<Arc<GeoRanges>>,
    metrics: &Arc<Metrics>,
) -> Result<Prepared, Failure> {
    Prepared::new(Arc::clone(config), geoip, &TicketSecret::random(), metrics)
        .map_err(|errors| format!("{errors:?}").into())
}

fn probed(mirror: &MirrorName, fault: Option<CopyFault>) -> Fact {
    let wrong = fault.map(|fault| Wrong { fault, evidence: Evidence::default() });
    let outcome = wrong.map_or(Ok(()), Err);
    Fact::Probed(Probed { mirror: mirror.clone(), copy: None, outcome, families: None, final_host: None })
}

/// Milliseconds of this thread from one moment to the next.
struct Laps(Duration);

impl Laps {
    fn lap(&mut self) -> Result<f64, Failure> {
        let before = std::mem::replace(&mut self.0, own_cpu()?);
        Ok((self.0 - before).as_secs_f64() * 1e3)
    }
}

/// So many rounds, or fewer where they take too long.
struct Rounds {
    done: usize,
    most: usize,
    until: Instant,
}

impl Rounds {
    fn new(arguments: &Arguments) -> Self {
        let until = Instant::now() + Duration::from_secs(arguments.seconds);
        Self { done: 0, most: arguments.rounds.max(ROUNDS_AT_LEAST), until }
    }

    fn next(&mut self) -> Option<usize> {
        let goes_on = self.done < ROUNDS_AT_LEAST || (self.done < self.most && Instant::now() < self.until);
        self.done += usize::from(goes_on);
        goes_on.then(|| self.done - 1)
    }
}
