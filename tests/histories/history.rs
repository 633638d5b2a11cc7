//! A history: a site, a service, and what happens to them; after every round the answers are held against the oracle.

use std::net::IpAddr;
use std::task::{Context, Poll, Waker};

use http::{HeaderMap, Method, Response, StatusCode, Uri};
use http_body_util::BodyExt;
use waypost::catalog::ReleaseId;
use waypost::health::CopyState;
use waypost::model::{ChannelName, ProductName, Sha256, Timestamp, Version};
use waypost::redirect::{Body, Inquiry, answer};
use waypost::snapshot::{ReleaseView, Snapshot};
use waypost::store::Action;
use waypost::workers::fact::{Fact, Reading, Wish};

use super::event::{Chance, Event, Harm, Reads};
use super::memory::Memory;
use super::service::{Service, Setup, name};
use super::site::{Site, Source};

const CLIENTS: [&str; 3] = ["10.1.2.3", "10.2.3.4", "2001:db8::7"];
pub const CHANNELS: [&str; 2] = ["stable", "beta"];
/// Looks at the origin after which an unlisted release is gone.
const POLLS: usize = 3;

/// The size of a history's world.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    pub mirrors: usize,
    pub releases: usize,
    pub assets: usize,
}

pub struct History {
    pub site: Site,
    pub service: Service,
    size: Size,
    chance: Chance,
}

type Broken = String;

impl History {
    pub fn new(size: Size, seed: u64, memory: Memory) -> Self {
        let mut chance = Chance::new(seed);
        let ready = ["{ each_region = 1 }", "\"all\"", "\"50%\""][chance.below(3)];
        let setup = Setup { configured: vec![true; size.mirrors], places: vec![0; size.mirrors], ready };
        let source = |release: usize| Source {
            version: format!("1.{release}"),
            names: (0..size.assets).map(|asset| format!("f{asset}")).collect(),
            edition: 0,
            channels: vec!["stable"],
            listed: release == 0,
            withdrawn: false,
        };
        let site = Site::new((0..size.releases).map(source).collect());
        let mut history = Self { site, service: Service::start(setup, memory), size, chance };
        history.service.world.apply(Fact::Origin(history.site.listing(true)), history.service.now);
        for mirror in 0..size.mirrors {
            history.fill(mirror, 0);
        }
        history.service.settle();
        history
    }

    /// Lets one thing happen and looks at what is answered then.
    pub fn step(&mut self, event: &Event) -> Result<(), Broken> {
        self.happen(event);
        match event {
            Event::Settle | Event::Restart { .. } | Event::Crash => self.check(),
            _ => Ok(()),
        }
    }

    fn happen(&mut self, event: &Event) {
        let service = &mut self.service;
        let mirror_of = |mirror: usize| mirror % self.size.mirrors;
        let release_of = |release: usize| release % self.size.releases;
        match *event {
            Event::ProbeBegins { mirror, reads } => {
                service.probe_begins(mirror_of(mirror), reads, &self.site)
            }
            Event::ProbeEnds { mirror } => drop(service.probe_ends(mirror_of(mirror), &self.site)),
            Event::HashBegins { mirror, reads } => {
                service.hash_begins(mirror_of(mirror), reads, &self.site);
            }
            Event::HashEnds { which } => drop(service.hash_ends(which, false, &self.site)),
            Event::HashBreaks { which } => drop(service.hash_ends(which, true, &self.site)),
            Event::File { mirror, release, asset, harm } => {
                let (mirror, release) = (mirror_of(mirror), release_of(release));
                let names = &self.site.sources[release].names;
                let name = names[asset % names.len()].clone();
                self.file(mirror, release, &name, harm);
            }
            Event::Fill { mirror, release } => self.fill(mirror_of(mirror), release_of(release)),
            Event::HostDown { mirror, how } => {
                self.site.take_down(&service.setup.host(mirror_of(mirror)), how);
            }
            Event::HostUp { mirror } => self.site.bring_up(&service.setup.host(mirror_of(mirror))),
            Event::Publish { release } => self.site.sources[release_of(release)].listed = true,
            Event::Unlist { release } => self.site.sources[release_of(release)].listed = false,
            Event::Grow { release, at } => {
                let names = &mut self.site.sources[release_of(release)].names;
                let name = format!("g{}", names.len());
                if names.len() < self.size.assets + 8 {
                    names.insert(at % (names.len() + 1), name);
                }
            }
            Event::Relabel { release } => {
                let source = &mut self.site.sources[release_of(release)];
                source.channels = match &source.channels[..] {
                    ["stable"] => vec!["stable", "beta"],
                    ["stable", "beta"] => vec!["beta"],
                    _ => vec!["stable"],
                };
            }
            Event::Respell { release } => {
                let version = &mut self.site.sources[release_of(release)].version;
                *version = match version.strip_prefix('v') {
                    Some(bare) => bare.to_owned(),
                    None => format!("v{version}"),
                };
            }
            Event::Rewrite { release } => self.site.sources[release_of(release)].edition += 1,
            Event::Poll { readable } => {
                service.world.apply(Fact::Origin(self.site.listing(readable)), service.now)
            }
            Event::Drain { mirror } => service.order(Action::MirrorDrain { mirror: name(mirror_of(mirror)) }),
            Event::Undrain { mirror } => {
                service.order(Action::MirrorUndrain { mirror: name(mirror_of(mirror)) })
            }
            Event::VerifyAll { mirror } => {
                service.order(Action::MirrorVerify { mirror: name(mirror_of(mirror)) })
            }
            Event::Withdraw { .. }
            | Event::Restore { .. }
            | Event::Promote { .. }
            | Event::Rollback { .. }
            | Event::Hold { .. }
            | Event::Free { .. } => {
                let wish = self.wish_of(event);
                self.service.wish(wish);
            }
            Event::Index { release, withdraws } => {
                self.site.sources[release_of(release)].withdrawn = withdraws;
            }
            Event::Clock { seconds } => self.pass(seconds),
            Event::Reload { mirrors, moves } => service.reload(changed(&service.setup, mirrors, moves)),
            Event::Restart { mirrors, moves } => service.restart(changed(&service.setup, mirrors, moves)),
            Event::Crash => service.crash(),
            Event::Settle => service.settle(),
        }
    }

    /// What an operator asks for.
    fn wish_of(&self, event: &Event) -> Wish {
        let product = || ProductName::new("tool").unwrap();
        let version = |release: usize| {
            Version::parse(&self.site.sources[release % self.size.releases].version).unwrap()
        };
        let channel = |channel: usize| ChannelName::new(CHANNELS[channel]).unwrap();
        Wish::Plain(match *event {
            Event::Promote { release, channel: at, force } => {
                let release = ReleaseId { product: product(), version: version(release) };
                return Wish::Promote { release, channel: channel(at), expected: None, force };
            }
            Event::Rollback { channel: at } => {
                return Wish::Rollback { product: product(), channel: channel(at), expected: None };
            }
            Event::Withdraw { release, replacement } => Action::ReleaseWithdraw {
                product: product(),
                version: version(release),
                replacement: replacement.map(version),
            },
            Event::Restore { release } => {
                Action::ReleaseRestore { product: product(), version: version(release) }
            }
            Event::Hold { channel: at } => Action::ChannelHold { product: product(), channel: channel(at) },
            Event::Free { channel: at } => {
                Action::ChannelRelease { product: product(), channel: channel(at) }
            }
            _ => unreachable!("nobody asks for {event:?}"),
        })
    }

    fn pass(&mut self, seconds: i64) {
        let now = self.service.now.as_millis() + seconds * 1000;
        self.service.now = waypost::model::Timestamp::from_millis(now);
        self.service.world.apply(Fact::Tick, self.service.now);
    }

    fn file(&mut self, mirror: usize, release: usize, name: &str, harm: Harm) {
        let source = &self.site.sources[release];
        let url = format!("{}tool/{}/{name}", self.service.setup.base(mirror), source.version);
        let sha256 = source.sha256(name);
        self.site.harm(url, sha256, harm);
    }

    pub fn fill(&mut self, mirror: usize, release: usize) {
        for name in self.site.sources[release].names.clone() {
            self.file(mirror, release, &name, Harm::Restore);
        }
    }

    /// Asks for some of what there is, as several clients, and holds every URL of every answer against the oracle.
    fn check(&mut self) -> Result<(), Broken> {
        let Some(snapshot) = self.service.snapshot.clone() else { return Ok(()) };
        let Some(product) = snapshot.catalog.products.get("tool") else { return Ok(()) };
        for release in &product.releases {
            let assets = release.release.assets.len();
            for _ in 0..3 {
                let asset = match self.chance.below(4) {
                    0 => 0,
                    1 => assets - 1,
                    _ => self.chance.below(assets),
                };
                self.ask(&snapshot, release, release.release.id.version.as_str(), asset)?;
            }
        }
        for source in &self.site.sources {
            let version = Version::parse(&source.version).unwrap();
            if self.service.promises.is_withdrawn(&version) {
                let path = format!("/tool/{version}/{}", source.names[0]);
                let status =
                    self.answer(&snapshot, &path.parse().unwrap(), CLIENTS[0].parse().unwrap()).status();
                if status != StatusCode::GONE {
                    return Err(format!("{path} is withdrawn and answered with {status}"));
                }
            }
        }
        for channel in &product.channels {
            let Some(release) = &channel.target else { continue };
            self.service.promises.seen(&channel.name, &release.release.id.version)?;
            let asset = self.chance.below(release.release.assets.len());
            self.ask(&snapshot, release, &channel.name, asset)?;
        }
        Ok(())
    }

    fn ask(
        &mut self,
        snapshot: &Snapshot,
        release: &ReleaseView,
        version: &str,
        asset: usize,
    ) -> Result<(), Broken> {
        let asset = &release.release.assets[asset];
        let client: IpAddr = CLIENTS[self.chance.below(CLIENTS.len())].parse().unwrap();
        for ending in ["", ".meta4", "?mirrors=text", "?mirrors"] {
            let uri = format!("/tool/{version}/{}{ending}", asset.name).parse().unwrap();
            for url in urls(self.answer(snapshot, &uri, client)) {
                self.judge(&url, asset.sha256).map_err(|why| format!("{uri} leads to {url}: {why}"))?;
            }
        }
        Ok(())
    }

    /// The URLs that this path leads a client to.
    pub fn leads_to(&self, path: &str) -> Vec<String> {
        let Some(snapshot) = &self.service.snapshot else { return Vec::new() };
        let uri = format!("{path}?mirrors=text").parse().unwrap();
        urls(self.answer(snapshot, &uri, CLIENTS[0].parse().unwrap()))
    }

    fn answer(&self, snapshot: &Snapshot, uri: &Uri, client: IpAddr) -> Response<Body> {
        let headers = HeaderMap::new();
        answer(
            snapshot,
            &Inquiry {
                method: &Method::GET,
                uri,
                headers: &headers,
                client,
                https: false,
                occasion: &Timestamp::default(),
            },
        )
        .response
    }

    fn judge(&self, url: &str, sha256: Sha256) -> Result<(), &'static str> {
        let mirror = url.trim_start_matches("http://").split('-').next().unwrap_or_default();
        self.service.oracle.objection(mirror, url, sha256).map_or(Ok(()), Err)
    }

    /// Nothing hostile happens any more: says what is not well after a day.
    pub fn calm_down(&mut self) -> Result<(), Broken> {
        for mirror in 0..self.size.mirrors {
            self.service.order(Action::MirrorUndrain { mirror: name(mirror) });
        }
        for channel in 0..CHANNELS.len() {
            if self.chance.one_in(2) {
                continue;
            }
            let free = self.wish_of(&Event::Free { channel });
            self.service.wish(free);
        }
        self.site.all_up();
        for _ in 0..POLLS {
            let listing: Reading = self.site.listing(true);
            self.service.world.apply(Fact::Origin(listing), self.service.now);
        }
        self.service.settle();
        self.serve_what_is_published();
        self.half_a_day()?;
        self.all_is_well()
    }

    /// Time passes and nothing happens but what the service does.
    pub fn half_a_day(&mut self) -> Result<(), Broken> {
        (0..24).try_for_each(|_| self.half_an_hour())
    }

    fn serve_what_is_published(&mut self) {
        let Some(snapshot) = self.service.snapshot.clone() else { return };
        for release in snapshot.catalog.products.values().flat_map(|product| &product.releases) {
            for mirror in self.service.setup.mirrors() {
                for asset in &release.release.assets {
                    let base = self.service.setup.base(mirror);
                    let url = format!("{base}tool/{}/{}", release.release.url_version, asset.name);
                    self.site.harm(url, asset.sha256, Harm::Restore);
                }
            }
        }
    }

    /// A few probes of every mirror, and hashes for as long as anybody is awake.
    fn half_an_hour(&mut self) -> Result<(), Broken> {
        self.pass(1800);
        for _ in 0..3 {
            for mirror in self.service.setup.mirrors() {
                self.service.probe_begins(mirror, Reads::AtItsEnd, &self.site);
                self.service.probe_ends(mirror, &self.site);
            }
            self.service.settle();
            let mut left = 50_000;
            loop {
                let mut any = false;
                for mirror in self.service.setup.mirrors() {
                    let service = &mut self.service;
                    while service.is_awake(mirror)
                        && service.hash_begins(mirror, Reads::AtItsBeginning, &self.site)
                    {
                        any = true;
                    }
                }
                while self.service.hash_ends(0, false, &self.site) {
                    any = true;
                    left -= 1;
                }
                self.service.settle();
                if !any {
                    break;
                }
                if left <= 0 {
                    return Err("there is always something more to hash".into());
                }
            }
            self.check()?;
        }
        Ok(())
    }

    fn all_is_well(&mut self) -> Result<(), Broken> {
        let Some(snapshot) = self.service.snapshot.clone() else { return Ok(()) };
        if snapshot.availability.exclusions.iter().any(Option::is_some) {
            return Err(format!("not every mirror is back: {:?}", snapshot.availability.exclusions));
        }
        for (id, assets) in self.service.releases() {
            for mirror in self.service.setup.mirrors() {
                let state = |asset| self.service.world.copy_state(&name(mirror), &id, asset);
                if let Some(asset) = (0..assets).find(|asset| state(*asset) != CopyState::Verified) {
                    let state = state(asset);
                    return Err(format!("m{mirror}: asset {asset} of {} is {state:?} still", id.version));
                }
            }
        }
        for product in snapshot.catalog.products.values() {
            for channel in &product.channels {
                let labelled = product.releases.iter().filter(|r| r.release.channels.contains(&channel.name));
                let newest = labelled.map(|release| &release.release.id.version).next();
                if let Some(newest) = newest
                    && !self.service.promises.has_come_to(&channel.name, newest)
                {
                    let at = channel.target.as_ref().map(|release| &release.release.id.version);
                    return Err(format!("{} is at {at:?}, though {newest} is ready", channel.name));
                }
            }
        }
        Ok(())
    }
}

fn changed(setup: &Setup, mirrors: u64, moves: Option<usize>) -> Setup {
    let mut setup = setup.clone();
    for (mirror, configured) in setup.configured.iter_mut().enumerate() {
        *configured = mirrors >> mirror & 1 == 1;
    }
    // Without any mirror there is nothing to configure.
    setup.configured[0] |= !setup.configured.contains(&true);
    if let Some(mirror) = moves {
        let mirror = mirror % setup.places.len();
        setup.places[mirror] = (setup.places[mirror] + 1) % 2;
    }
    setup
}

/// Every URL on a mirror that an answer names.
fn urls(response: Response<Body>) -> Vec<String> {
    let (parts, body) = response.into_parts();
    let mut text: String =
        parts.headers.values().filter_map(|value| value.to_str().ok()).flat_map(|v| [v, "\n"]).collect();
    text.push_str(&String::from_utf8_lossy(&known_whole(body)));
    let ends = |c: char| matches!(c, '<' | '>' | '"') || c.is_whitespace();
    let found =
        text.match_indices("http://m").map(|(at, _)| text[at..].split(ends).next().unwrap_or_default());
    found.map(str::to_owned).collect()
}

/// The bytes of a body that is known whole, and so there at the first look.
fn known_whole(body: Body) -> bytes::Bytes {
    let mut body = std::pin::pin!(body.collect());
    match body.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(Ok(collected)) => collected.to_bytes(),
        Poll::Ready(Err(never)) => match never {},
        Poll::Pending => unreachable!("a full body waits for nothing"),
    }
}
