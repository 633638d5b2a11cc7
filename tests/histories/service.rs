//! The service of a history: the writer's world, its workers' looks that are under way, and what it remembers.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use waypost::catalog::ReleaseId;
use waypost::config;
use waypost::health::{CopyState, Evidence};
use waypost::metrics::Metrics;
use waypost::model::{CopyFault, MirrorName, Timestamp};
use waypost::snapshot::Snapshot;
use waypost::store::{Action, NewOrder};
use waypost::workers::fact::{
    Fact, Found, NextWork, ProbeTarget, Probed, Purpose, Verified, Wish, Work, Wrong,
};
use waypost::workers::publish::{Due, Effects, World};
use waypost::workers::{Prepared, TicketSecret};

use super::event::Reads;
use super::memory::Memory;
use super::oracle::{FAIL_AFTER, Oracle, RECOVER_AFTER, base_of};
use super::promises::Promises;
use super::site::{File, Site, hash};

/// Hashes at once on a mirror.
const CONCURRENCY: usize = 4;

/// What is configured: for each mirror whether it is, and at which of its places it serves.
#[derive(Debug, Clone)]
pub struct Setup {
    pub configured: Vec<bool>,
    pub places: Vec<usize>,
    pub ready: &'static str,
}

impl Setup {
    pub fn base(&self, mirror: usize) -> String {
        format!("http://{}/", self.host(mirror))
    }

    pub fn host(&self, mirror: usize) -> String {
        format!("m{mirror}-{}.example", self.places[mirror])
    }

    /// The configured mirrors.
    pub fn mirrors(&self) -> Vec<usize> {
        (0..self.configured.len()).filter(|mirror| self.configured[*mirror]).collect()
    }

    fn prepare(&self, metrics: &Arc<Metrics>) -> Box<Prepared> {
        let mut text = format!(
            "[server]\nlisten = [\"127.0.0.1:0\"]\npublic_url = \"http://dl.example\"\nstate = \"state\"\n\
             [origin]\nurl = \"http://origin.example/\"\nserve = false\n\
             [probe]\nfail_after = {FAIL_AFTER}\nrecover_after = {RECOVER_AFTER}\n\
             [verify]\nrecheck = \"30d\"\n\
             [[channel]]\nname = \"stable\"\nready = {}\n\
             [[region]]\nname = \"eu\"\nlocation = [50.0, 8.0]\n[[region]]\nname = \"us\"\nlocation = [39.0, -77.0]\n\
             [[client_network]]\ncidr = \"10.1.0.0/16\"\nregion = \"eu\"\n\
             [[client_network]]\ncidr = \"10.2.0.0/16\"\nregion = \"us\"\n",
            self.ready
        );
        for mirror in self.mirrors() {
            let region = ["eu", "us"][mirror % 2];
            let weight = [100, 10, 0, 100][mirror % 4];
            text.push_str(&format!(
                "[[mirror]]\nname = \"m{mirror}\"\nurl = \"{}\"\nregion = \"{region}\"\nweight = {weight}\n",
                self.base(mirror)
            ));
        }
        let loaded = config::parse(&text, Path::new("/history/waypost.toml")).unwrap();
        Box::new(Prepared::new(Arc::new(loaded.config), None, &TicketSecret::random(), metrics).unwrap())
    }
}

pub fn name(mirror: usize) -> MirrorName {
    format!("m{mirror}").parse().unwrap()
}

/// A probe that is under way.
#[derive(Debug)]
struct Probing {
    target: ProbeTarget,
    seen: Option<Result<(), CopyFault>>,
}

/// A hash that is under way.
#[derive(Debug)]
struct Hashing {
    mirror: usize,
    work: Work,
    began: u64,
    head: Option<Result<File, CopyFault>>,
    body: Option<Result<File, CopyFault>>,
}

/// Whether a mirror's verifier sleeps, and until when unless it is woken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verifier {
    Awake,
    Asleep(Option<Timestamp>),
}

pub struct Service {
    pub setup: Setup,
    pub world: World,
    pub memory: Memory,
    pub oracle: Oracle,
    pub promises: Promises,
    /// The oracle when the last round was written down.
    written: Oracle,
    pub now: Timestamp,
    pub snapshot: Option<Arc<Snapshot>>,
    metrics: Arc<Metrics>,
    probing: Vec<Option<Probing>>,
    hashing: Vec<Hashing>,
    verifiers: Vec<Verifier>,
    /// Chooses what is sampled.
    draw: u64,
}

impl Service {
    pub fn start(setup: Setup, mut memory: Memory) -> Self {
        let metrics = Arc::new(Metrics::new());
        let now = Timestamp::from_millis(1_800_000_000_000);
        let world = World::new(setup.prepare(&metrics), memory.load(), now);
        let mirrors = setup.configured.len();
        let mut service = Self {
            world,
            memory,
            oracle: Oracle::default(),
            promises: Promises::default(),
            written: Oracle::default(),
            now,
            snapshot: None,
            metrics,
            probing: Vec::new(),
            hashing: Vec::new(),
            verifiers: vec![Verifier::Awake; mirrors],
            draw: 1,
            setup,
        };
        service.workers_start();
        service
    }

    fn workers_start(&mut self) {
        let mirrors = self.setup.configured.len();
        self.probing = (0..mirrors).map(|_| None).collect();
        self.hashing.clear();
        self.verifiers = vec![Verifier::Awake; mirrors];
        let bases: Vec<String> = self.setup.mirrors().into_iter().map(|m| self.setup.base(m)).collect();
        self.oracle.configured(bases.into_iter());
    }

    pub fn reload(&mut self, setup: Setup) {
        self.setup = setup;
        self.workers_start();
        self.world.apply(Fact::Reloaded(self.setup.prepare(&self.metrics)), self.now);
    }

    /// Stops in order and starts again.
    pub fn restart(&mut self, setup: Setup) {
        self.settle();
        self.setup = setup;
        self.start_again();
    }

    /// Stops without a word and starts again.
    pub fn crash(&mut self) {
        self.oracle = self.written.clone();
        self.start_again();
    }

    fn start_again(&mut self) {
        self.world = World::new(self.setup.prepare(&self.metrics), self.memory.load(), self.now);
        self.snapshot = None;
        self.oracle.started();
        self.workers_start();
        self.settle();
    }

    /// As the writer ends a round.
    pub fn settle(&mut self) {
        let withdrawals = self.world.due_withdrawals();
        withdrawals.into_iter().for_each(|due| self.carry_out(due));
        let moves = self.world.due_moves(self.now);
        moves.into_iter().for_each(|due| self.carry_out(due));
        let Effects { observations, wake } = self.world.take_effects();
        self.memory.record(&observations);
        self.written = self.oracle.clone();
        if let Some(snapshot) = self.world.next_snapshot(self.now) {
            self.snapshot = Some(Arc::new(snapshot));
        }
        for (mirror, verifier) in self.verifiers.iter_mut().enumerate() {
            if wake.contains(&name(mirror)) {
                *verifier = Verifier::Awake;
            }
        }
    }

    /// Asks for something as an operator would; it may be refused.
    pub fn wish(&mut self, wish: Wish) {
        if let Ok(action) = self.world.decide(wish, self.now) {
            self.promises.moved_by_hand(&action);
            self.order(action);
        }
    }

    pub fn order(&mut self, action: Action) {
        self.carry_out(Due { actor: "history", reason: "because".into(), action });
    }

    pub fn carry_out(&mut self, due: Due) {
        let Due { actor, reason, action } = due;
        let order = self.memory.append(NewOrder { at: self.now, actor: actor.into(), reason, action });
        self.world.obey(&order);
        self.promises.ordered(&order.action);
        // An order is durable by itself.
        let (drain, mirror) = match &order.action {
            Action::MirrorDrain { mirror } => (true, mirror),
            Action::MirrorUndrain { mirror } => (false, mirror),
            _ => return,
        };
        for oracle in [&mut self.oracle, &mut self.written] {
            if drain {
                oracle.drained.insert(mirror.to_string());
            } else {
                oracle.drained.remove(mirror.as_str());
            }
        }
    }

    pub fn probe_begins(&mut self, mirror: usize, reads: Reads, site: &Site) {
        if self.probing[mirror].is_some() {
            return;
        }
        let Some(target) = self.world.probe_target(&name(mirror)) else { return };
        let seen = (reads == Reads::AtItsBeginning).then(|| look(site, &target));
        self.probing[mirror] = Some(Probing { target, seen });
    }

    /// Tells the writer of the probe that is under way; says in how long the next one is due.
    pub fn probe_ends(&mut self, mirror: usize, site: &Site) -> Option<Duration> {
        let Probing { target, seen } = self.probing[mirror].take()?;
        let outcome = seen.unwrap_or_else(|| look(site, &target));
        let held = target.expects.as_ref().is_some_and(|expects| {
            let copy = &expects.copy;
            self.world.copy_state(&copy.mirror, &copy.release, copy.asset) == CopyState::Verified
        });
        let probed = Probed {
            mirror: name(mirror),
            copy: target.expects.as_ref().map(|expects| expects.copy.clone()),
            outcome: outcome.map_err(wrong),
            families: None,
            final_host: None,
        };
        let of = target.expects.as_ref().map(|expects| &expects.copy.release.version);
        let withdrawn = of.is_some_and(|version| self.promises.is_withdrawn(version));
        self.world.apply(Fact::Probed(probed), self.now);
        let holds_any = self.holds_any(mirror);
        let release = target.expects.as_ref().map(|expects| {
            let release = &expects.release;
            format!("{}{}/{}/", base_of(target.url.as_str()), release.url_product, release.url_version)
        });
        self.oracle.probed(target.url.as_str(), release.as_deref(), outcome, held, holds_any, withdrawn);
        self.world.next_probe_in(&name(mirror))
    }

    fn holds_any(&self, mirror: usize) -> bool {
        let releases = self.releases();
        releases.iter().any(|(id, assets)| {
            (0..*assets).any(|asset| self.world.copy_state(&name(mirror), id, asset) == CopyState::Verified)
        })
    }

    /// The published releases and how many assets each has.
    pub fn releases(&self) -> Vec<(ReleaseId, u32)> {
        let Some(snapshot) = &self.snapshot else { return Vec::new() };
        let releases = snapshot.catalog.products.values().flat_map(|product| &product.releases);
        releases.map(|view| (view.release.id.clone(), view.release.assets.len() as u32)).collect()
    }

    /// Says whether there was something to hash, and place for it.
    pub fn hash_begins(&mut self, mirror: usize, reads: Reads, site: &Site) -> bool {
        if self.hashing.iter().filter(|hashing| hashing.mirror == mirror).count() >= CONCURRENCY {
            return false;
        }
        self.draw = self.draw.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
        match self.world.next_work(&name(mirror), self.now, self.draw >> 16) {
            NextWork::Nothing { until } => {
                self.verifiers[mirror] = Verifier::Asleep(until);
                false
            }
            NextWork::Now(work) => {
                let head = (reads != Reads::AtItsEnd).then(|| site.read(&work.url));
                let body = (reads == Reads::AtItsBeginning).then(|| site.read(&work.url));
                let began = self.oracle.moment();
                self.hashing.push(Hashing { mirror, work: *work, began, head, body });
                true
            }
        }
    }

    /// Whether the mirror's verifier would ask for work by itself now.
    pub fn is_awake(&self, mirror: usize) -> bool {
        match self.verifiers[mirror] {
            Verifier::Awake => true,
            Verifier::Asleep(until) => until.is_some_and(|until| until <= self.now),
        }
    }

    /// Tells the writer of one of the hashes that are under way.
    pub fn hash_ends(&mut self, which: usize, breaks: bool, site: &Site) -> bool {
        if self.hashing.is_empty() {
            return false;
        }
        let Hashing { work, began, head, body, .. } = self.hashing.remove(which % self.hashing.len());
        let (head, body) =
            (head.unwrap_or_else(|| site.read(&work.url)), body.unwrap_or_else(|| site.read(&work.url)));
        let mark = work.examine.sample.and_then(|sample| sample.mark);
        let outcome = match breaks {
            true => Err(CopyFault::Broken),
            false => hash(head, body, &work.release, work.copy.asset, mark),
        };
        let sha256 = work.release.asset(work.copy.asset).sha256;
        let verified = Verified {
            copy: work.copy,
            purpose: work.purpose,
            outcome: outcome.map_err(wrong),
            bytes: super::site::SIZE,
            found: Found::default(),
        };
        self.world.apply(Fact::Verified(verified), self.now);
        // A block that is right proves nothing of the file.
        if work.purpose != Purpose::Sample || outcome.is_err() {
            self.oracle.hashed(work.url.as_str(), sha256, began, outcome.map(drop));
        }
        true
    }
}

fn look(site: &Site, target: &ProbeTarget) -> Result<(), CopyFault> {
    let expects = target.expects.as_ref();
    site.probe(&target.url, expects.map(|expects| (expects.release.asset(expects.copy.asset), expects.mark)))
}

fn wrong(fault: CopyFault) -> Wrong {
    Wrong { fault, evidence: Evidence::default() }
}
