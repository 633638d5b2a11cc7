//! The one writer: folds facts, makes them durable, publishes what changed. A thread of its own, because the store
//! waits for the disk.
//!
//! The order of a round is: fold everything that has arrived; write it down; publish; wake whoever has work. A
//! contradiction is therefore on disk before anybody sees it, and a restart cannot bring the copy back. When the disk
//! refuses, the round is published all the same (what is known to be wrong is not served) and written again later;
//! an order is not acknowledged.

mod access;
mod channels;
mod decide;
mod examined;
mod gate;
mod holding;
mod inventory;
mod mirrors;
mod numbers;
mod origin;
mod propagation;
mod releases;
mod remembered;
mod replaced;
mod reports;
mod sampling;
mod view;
mod wanted;
mod withdrawals;
mod work;
mod world;

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use crate::health::Blocks;
use crate::metrics::Metrics;
use crate::model::{Clock, Version};
use crate::snapshot::{Published, Snapshot};
use crate::store::{Action, NewOrder, Order, Store, StoreError};

use self::replaced::Replaced;

pub use self::channels::{Due, Readiness};
pub use self::remembered::Remembered;
pub use self::world::{Effects, World};

use super::fact::{Call, Fact, Instruction, NextWork, Refused, Sample, Work};
use super::handle::{Message, Status, Wakers};

/// Messages that are folded into one round at most.
const ROUND_MAX: usize = 4096;

/// The writer and all that it writes to.
pub struct Writer {
    /// What is known.
    pub world: World,
    /// Where it is kept.
    pub store: Store,
    /// Where it is published.
    pub published: Arc<Published>,
    /// Whom to wake.
    pub wakers: Arc<Wakers>,
    /// What readiness reports.
    pub status: Arc<Status>,
    /// Gauges.
    pub metrics: Arc<Metrics>,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

/// Somebody who waits for the round to be published.
enum Acknowledgement {
    /// With an order.
    Order(oneshot::Sender<Result<Order, Refused>>, Box<Order>),
    /// With an issuer's keys.
    Keys(oneshot::Sender<()>),
}

impl Acknowledgement {
    /// Whoever asked may have gone; the order stands.
    fn give(self) {
        match self {
            Self::Order(reply, order) => drop(reply.send(Ok(*order))),
            Self::Keys(reply) => drop(reply.send(())),
        }
    }
}

impl Writer {
    /// Works until all senders are gone.
    pub fn run(mut self, mut messages: mpsc::Receiver<Message>) {
        let mut replaced = Replaced::default();
        self.settle(&mut replaced);
        while let Some(first) = messages.blocking_recv() {
            let mut acknowledgements = Vec::new();
            self.take(first, &mut acknowledgements);
            for _ in 1..ROUND_MAX {
                let Ok(message) = messages.try_recv() else { break };
                self.take(message, &mut acknowledgements);
            }
            self.settle(&mut replaced);
            let published = self.world.looks.published;
            self.status
                .looks
                .send_if_modified(|looks| std::mem::replace(&mut looks.published, published) != published);
            acknowledgements.into_iter().for_each(Acknowledgement::give);
        }
        self.settle(&mut replaced);
    }

    /// Takes one message in. Whoever asked and has gone needs no answer.
    fn take(&mut self, message: Message, acknowledgements: &mut Vec<Acknowledgement>) {
        let now = self.clock.now();
        match message {
            Message::Fact(fact) => {
                let is_look = matches!(*fact, Fact::Origin(_));
                self.world.apply(*fact, now);
                if is_look {
                    let error = self.world.origin.error.as_ref().map(|why| Arc::new(why.to_string()));
                    self.status.origin_error.store(error);
                    // A refusal changes no snapshot, and somebody may wait for what was refused.
                    self.status.changed.send_replace(());
                }
            }
            Message::Call(Call::BeginLook(reply)) => {
                let look = self.world.begin_look();
                // Known before the look begins: whoever asks for a later one waits for one that begins later.
                self.status.looks.send_modify(|looks| looks.begun = self.world.looks.begun);
                let _ = reply.send(look);
            }
            Message::Call(Call::ProbeTarget(mirror, reply)) => {
                drop(reply.send(self.world.probe_target(&mirror)))
            }
            Message::Call(Call::Probed(probed, reply)) => {
                let mirror = probed.mirror.clone();
                self.world.apply(Fact::Probed(*probed), now);
                let _ = reply.send(self.world.next_probe_in(&mirror));
            }
            Message::Call(Call::NextWork(mirror, reply)) => {
                // Mirrors must not foresee what is looked at.
                let draw = RandomState::new().hash_one(());
                let mut next = self.world.next_work(&mirror, now, draw);
                if let NextWork::Now(work) = &mut next {
                    self.complete_sample(work);
                }
                let _ = reply.send(next);
            }
            Message::Call(Call::Report(topic, reply)) => {
                drop(reply.send(self.world.report(&topic, now, &self.metrics)))
            }
            Message::Call(Call::Files(mirror, reply)) => {
                drop(reply.send(self.world.mirror_files(&mirror, now)))
            }
            Message::Call(Call::Needed(mirror, reply)) => drop(reply.send(self.world.needed(&mirror, now))),
            Message::Call(Call::NextListing(mirror, reply)) => {
                drop(reply.send(self.world.next_listing(&mirror, now)))
            }
            Message::Call(Call::Orders(before, most, reply)) => {
                let orders = self.store.orders_before(before, most).map_err(|error| error.to_string());
                let _ = reply.send(orders);
            }
            Message::Call(Call::Order(instruction, reply)) => match self.order(*instruction) {
                Ok(order) => acknowledgements.push(Acknowledgement::Order(reply, Box::new(order))),
                Err(refused) => drop(reply.send(Err(refused))),
            },
            Message::Call(Call::Keys(keys, reply)) => {
                self.world.keys_were_fetched(*keys);
                acknowledgements.push(Acknowledgement::Keys(reply));
            }
        }
    }

    /// Reads what a sampled block has to hash to.
    fn complete_sample(&mut self, work: &mut Work) {
        let Some(sample) = work.examine.sample.filter(|sample| sample.digest.is_none()) else { return };
        let asset = work.release.asset(work.copy.asset);
        let stored = self.store.blocks(&asset.sha256).unwrap_or_else(|error| {
            self.note_store_error(&error);
            None
        });
        let blocks = stored.and_then(|body| Blocks::from_bytes(&body, asset.size));
        match blocks.and_then(|blocks| blocks.digest(sample.block)) {
            Some(digest) => work.examine.sample = Some(Sample { digest: Some(digest), ..sample }),
            None => self.world.hash_instead(work),
        }
    }

    fn order(&mut self, instruction: Instruction) -> Result<Order, Refused> {
        let Instruction { actor, reason, wish } = instruction;
        let action = self.world.decide(wish, self.clock.now())?;
        let order = self.append(actor, reason, action);
        let order = order.map_err(|error| Refused::NotDurable(error.to_string()))?;
        self.world.obey(&order);
        Ok(order)
    }

    fn append(&mut self, actor: String, reason: String, action: Action) -> Result<Order, StoreError> {
        let order = self.store.append(NewOrder { at: self.clock.now(), actor, reason, action });
        if let Err(error) = &order {
            self.note_store_error(error);
        }
        order
    }

    fn note_store_error(&mut self, error: &StoreError) {
        self.metrics.store_errors.inc();
        if self.status.store_error.swap(Some(Arc::new(error.to_string()))).is_none() {
            tracing::error!(%error, "the store cannot be written; answers go on, nothing new is remembered");
        }
    }

    /// Gives the orders that are due by themselves. What cannot be made durable is due again: moves when they are looked
    /// for next, withdrawals with the next look at the origin.
    fn carry_out(&mut self, due: Vec<Due>) {
        for Due { actor, reason, action } in due {
            let Ok(order) = self.append(actor.to_owned(), reason, action) else { continue };
            match &order.action {
                Action::ChannelMove { product, channel, from, to, .. } => {
                    let (from, why) = (from.as_ref().map(Version::as_str), &order.reason);
                    tracing::info!(%product, %channel, from, to = to.as_str(), why, "a channel moves");
                }
                Action::ReleaseWithdraw { product, version, .. } => {
                    tracing::warn!(%product, %version, why = order.reason, "the origin withdraws a release");
                }
                _ => {}
            }
            self.world.obey(&order);
        }
    }

    /// Withdraws, moves channels, writes down, publishes, wakes.
    fn settle(&mut self, replaced: &mut Replaced<Snapshot>) {
        let now = self.clock.now();
        let withdrawals = self.world.due_withdrawals();
        self.carry_out(withdrawals);
        if self.world.may_have_moves(now) {
            let moves = self.world.due_moves(now);
            self.carry_out(moves);
        }
        self.world.write_counts_down();
        let Effects { observations, wake } = self.world.take_effects();
        if !observations.is_empty() {
            match self.store.record(&observations) {
                Ok(()) => {
                    if self.status.store_error.swap(None).is_some() {
                        tracing::info!("the store can be written again");
                    }
                }
                Err(error) => {
                    self.note_store_error(&error);
                    self.world.not_recorded(observations);
                }
            }
        }
        if let Some(snapshot) = self.world.next_snapshot(now) {
            self.metrics.snapshot_generation.set(i64::try_from(snapshot.generation).unwrap_or(i64::MAX));
            let before = self.published.swap(Some(Arc::new(snapshot)));
            before.into_iter().for_each(|before| replaced.keep(before));
            self.status.changed.send_replace(());
        }
        self.world.show_issuers(&self.metrics.access);
        replaced.free();
        self.wakers.wake(&wake);
    }
}
