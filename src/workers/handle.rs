//! How everybody else talks to the writer.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use tokio::sync::{Notify, mpsc, oneshot, watch};

use crate::config;
use crate::model::MirrorName;
use crate::store::Order;

use super::fact::{Call, Fact, FetchedKeys, Instruction, NextWork, OriginLook, ProbeTarget, Probed, Refused};
use super::inventory::NextListing;
use super::replication::{MirrorFiles, Needed};
use super::report::{Report, Topic};

/// Messages that may wait for the writer; whoever sends more waits.
const QUEUE: usize = 1024;

/// What reaches the writer.
#[derive(Debug)]
pub enum Message {
    /// Something that happened.
    Fact(Box<Fact>),
    /// A question or an order.
    Call(Call),
}

/// The way to the writer. Every method gives up quietly once the writer has stopped, because then the service stops.
#[derive(Debug, Clone)]
pub struct Handle(mpsc::Sender<Message>);

/// A handle, and what the writer reads from.
pub fn channel() -> (Handle, mpsc::Receiver<Message>) {
    let (sender, receiver) = mpsc::channel(QUEUE);
    (Handle(sender), receiver)
}

impl Handle {
    /// Tells what happened.
    pub async fn tell(&self, fact: Fact) {
        // A writer that is gone needs no facts.
        let _ = self.0.send(Message::Fact(Box::new(fact))).await;
    }

    async fn ask<T>(&self, call: impl FnOnce(oneshot::Sender<T>) -> Call) -> Option<T> {
        let (reply, answer) = oneshot::channel();
        self.0.send(Message::Call(call(reply))).await.ok()?;
        answer.await.ok()
    }

    /// Begins a look at the origin; `None` once the writer has stopped.
    pub async fn begin_look(&self) -> Option<OriginLook> {
        self.ask(Call::BeginLook).await
    }

    /// What to probe a mirror with; `None` where it is not configured any more.
    pub async fn probe_target(&self, mirror: &MirrorName) -> Option<ProbeTarget> {
        self.ask(|reply| Call::ProbeTarget(mirror.clone(), reply)).await.flatten()
    }

    /// Tells of a probe and asks how long to wait before the next one; `None` where the mirror is not configured any more.
    pub async fn probed(&self, probed: Probed) -> Option<Duration> {
        self.ask(|reply| Call::Probed(Box::new(probed), reply)).await.flatten()
    }

    /// What to hash on a mirror; `None` once the writer has stopped.
    pub async fn next_work(&self, mirror: &MirrorName) -> Option<NextWork> {
        self.ask(|reply| Call::NextWork(mirror.clone(), reply)).await
    }

    /// How things are; `None` once the writer has stopped.
    pub async fn report(&self, topic: Topic) -> Option<Report> {
        self.ask(|reply| Call::Report(topic, reply)).await
    }

    /// Orders below a number, the newest first, at most so many; `None` once the writer has stopped.
    pub async fn orders(&self, before: u64, most: usize) -> Option<Result<Vec<Order>, String>> {
        self.ask(|reply| Call::Orders(before, most, reply)).await
    }

    /// What a mirror is to hold; within, `None` where there is no such mirror.
    pub async fn files(&self, mirror: &MirrorName) -> Option<Option<MirrorFiles>> {
        self.ask(|reply| Call::Files(mirror.clone(), reply)).await
    }

    /// What a mirror lacks; `None` where it is not configured any more.
    pub async fn needed(&self, mirror: &MirrorName) -> Option<Needed> {
        self.ask(|reply| Call::Needed(mirror.clone(), reply)).await.flatten()
    }

    /// What to list on a mirror; `None` where it is not configured any more.
    pub async fn next_listing(&self, mirror: &MirrorName) -> Option<NextListing> {
        self.ask(|reply| Call::NextListing(mirror.clone(), reply)).await.flatten()
    }

    /// Tells of an issuer's keys; they are published when this returns. `None` once the writer has stopped.
    pub async fn keys(&self, keys: FetchedKeys) -> Option<()> {
        self.ask(|reply| Call::Keys(Box::new(keys), reply)).await
    }

    /// Gives an order; durable when this returns.
    ///
    /// # Errors
    ///
    /// Where it names something unknown, or could not be made durable.
    pub async fn order(&self, instruction: Instruction) -> Result<Order, Refused> {
        let order = self.ask(|reply| Call::Order(Box::new(instruction), reply)).await;
        order.unwrap_or(Err(Refused::Stopping))
    }
}

/// Looks at the origin, numbered from 1 as they begin.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Looks {
    /// The last one that has begun.
    pub begun: u64,
    /// The last one that was folded in and published.
    pub published: u64,
}

/// What `/readyz` reports beside the snapshot.
#[derive(Debug)]
pub struct Status {
    /// The store and its journal were lost when the service started.
    pub state_lost: AtomicBool,
    /// Why the origin could not be read at the last look.
    pub origin_error: ArcSwapOption<String>,
    /// The service is stopping.
    pub draining: AtomicBool,
    /// Told after every publication, and when the service begins to stop: what requests wait for.
    pub changed: watch::Sender<()>,
    /// Why the store could not be written at the last try.
    pub store_error: ArcSwapOption<String>,
    /// Who may use the admin listener, as the configuration in force says.
    pub admin: Arc<ArcSwap<config::Admin>>,
    /// How far the looks at the origin are.
    pub looks: watch::Sender<Looks>,
    /// Why the last reload was refused.
    pub reload_error: ArcSwapOption<String>,
}

impl Status {
    /// Nothing has happened yet; `admin` is whom the admin listener lets in.
    pub fn new(admin: config::Admin) -> Self {
        Self {
            state_lost: AtomicBool::new(false),
            origin_error: ArcSwapOption::empty(),
            draining: AtomicBool::new(false),
            changed: watch::Sender::new(()),
            store_error: ArcSwapOption::empty(),
            admin: Arc::new(ArcSwap::from_pointee(admin)),
            looks: watch::Sender::new(Looks::default()),
            reload_error: ArcSwapOption::empty(),
        }
    }

    /// The service begins to stop: readiness turns, and whoever waits for a publication is told.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Release);
        self.changed.send_replace(());
    }
}

/// Those who fetch issuers' keys, by the issuer's name.
#[derive(Debug, Default)]
pub struct KeyLooks(Mutex<HashMap<String, Arc<KeyLook>>>);

impl KeyLooks {
    /// From now on there are those of these issuers, in this order. Whoever waits for one that stays goes on waiting.
    pub fn renew<'i>(&self, issuers: impl Iterator<Item = &'i str>) -> Vec<Arc<KeyLook>> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut before = std::mem::take(&mut *all);
        let look = |issuer: &str| {
            let look = before.remove(issuer).unwrap_or_default();
            Arc::clone(all.entry(issuer.to_owned()).or_insert(look))
        };
        issuers.map(look).collect()
    }

    /// The one of an issuer; `None` where its keys are not fetched.
    pub fn of(&self, issuer: &str) -> Option<Arc<KeyLook>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(issuer).cloned()
    }
}

/// Where a fetch of keys is asked for, and told of.
#[derive(Debug, Default)]
pub struct KeyLook {
    /// Somebody wants the keys to be fetched.
    pub wanted: Notify,
    /// Told when they were, or when it was too early to fetch them again.
    pub looked: watch::Sender<()>,
}

impl KeyLook {
    /// Asks for a fetch and waits until it was made and is published.
    pub async fn look_again(&self) {
        let mut looked = self.looked.subscribe();
        self.wanted.notify_one();
        // The sender is this.
        let _ = looked.changed().await;
    }
}

/// Mirrors' workers that sleep until there is work.
#[derive(Debug, Default)]
pub struct Wakers(Mutex<HashMap<MirrorName, Arc<Notify>>>);

impl Wakers {
    /// What a mirror's worker sleeps on.
    pub fn of(&self, mirror: &MirrorName) -> Arc<Notify> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(all.entry(mirror.clone()).or_default())
    }

    /// Wakes the workers of these mirrors; one that is awake finds out at its next sleep.
    pub fn wake(&self, mirrors: &BTreeSet<MirrorName>) {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        mirrors.iter().filter_map(|mirror| all.get(mirror)).for_each(|notify| notify.notify_one());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_issuers_whose_keys_are_fetched_are_waited_for_and_those_that_stay_keep_who_waits() {
        let looks = KeyLooks::default();
        assert!(looks.of("ci").is_none());
        let first = looks.renew(["ci", "qa"].into_iter());
        assert!(Arc::ptr_eq(&first[0], &looks.of("ci").unwrap()));
        let second = looks.renew(["new", "ci"].into_iter());
        assert!(Arc::ptr_eq(&first[0], &second[1]) && Arc::ptr_eq(&first[0], &looks.of("ci").unwrap()));
        assert!(looks.of("qa").is_none() && looks.of("new").is_some());
    }
}
