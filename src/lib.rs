//! Waypost: a region-aware download redirect service.
//!
//! Two rivers that meet in one place:
//!
//! ```text
//! request:     server → redirect → client (who, where) → catalog (what) → routing (which) → Answer
//! background:  origin | probe | verify | inventory | reload  →  publish (the one writer)  →  store, snapshot
//!                                 they meet at snapshot.rs and nowhere else
//! ```
//!
//! A request is answered from one immutable [`snapshot`] behind one pointer. Deciding is pure: no I/O, no clock, and it
//! cannot fail. Everything slow, fallible or remote happens in background tasks, which send facts to one writer; the
//! writer makes them durable and publishes the next snapshot. Parts that did not change are shared between snapshots.
//! What a person, a pipeline or the origin wants of a release (promote, hold, withdraw, …) is an order: the writer
//! decides whether it may be, and it is on disk before it is obeyed.
//!
//! # Rooms and floors
//!
//! A module imports from lower floors only; `tests/floors.rs` reads the imports and fails otherwise.
//!
//! | floor | room | what |
//! |---|---|---|
//! | 7 | [`cli`] | arguments, logging, exit codes; one file per command |
//! | 6 | [`app`] | the composition root: `App::bind` gives bound addresses, `run` serves and stops in order |
//! | 5 | [`admin`] | health, metrics, explain, reports, operations by role; asks the writer through its handle |
//! | 4 | [`workers`] | `origin`, `probe`, `verify`, `inventory`, `notify`, `reload`; `publish` owns world and store |
//! | 3 | [`redirect`] | one request to one answer: the numbered list of steps, headers, lists, exports, problems |
//! | 3 | [`store`] | SQLite and the journal: orders that are never lost, observations that can be made again |
//! | 3 | [`server`] | accept loop, TLS, limits, drain; takes any handler |
//! | 2 | [`replicate`] | what a mirror should hold, from the origin to a folder or S3, whole or not at all |
//! | 2 | [`routing`], [`snapshot`] | WHICH mirror, with reasons: rankings per place, the pick, explanations; the published view |
//! | 1 | [`client`] | WHO and WHERE: forwarded addresses, network rules, GeoIP compiled to ranges |
//! | 1 | [`catalog`] | WHAT: manifests, indexes, signatures; how a name or an old link finds an asset; publishing, importing |
//! | 1 | [`health`] | IS IT THERE: a mirror's standing and its copies' ledger, as folds over what was seen |
//! | 1 | [`entitlement`] | WHO MAY: tokens verified and remembered, rules from claims to rights, tickets, counts |
//! | 1 | [`links`] | signed URLs of mirrors, made with local keys |
//! | 1 | [`deliveries`] | the record of what was given to whom: numbered lines, a thread for each file |
//! | 1 | [`config`], [`fetch`] | file to checked values (every floor above may read the values); bounded outgoing HTTP |
//! | 0 | [`model`], [`metrics`], [`tasks`] | plain types and reasons; counters; named tasks, shutdown, work on all cores |
//!
//! # Where to look
//!
//! - Why was this mirror chosen? [`routing`], then `routing/choose.rs`; in words `routing/explain.rs`.
//! - What does a path mean? `redirect/resolve.rs`; on further hosts and by old links `redirect/names.rs`.
//! - What is believed of the origin? `workers/origin.rs` reads, `catalog/signature.rs` verifies,
//!   `workers/publish/origin.rs` remembers, `workers/publish/releases.rs` holds it against what was published.
//! - When is a copy out? `health/copies.rs` for the ledger, `workers/publish/mirrors.rs` for what folds into it, `holding.rs`
//!   for which looks count.
//! - What is hashed or sampled next? `workers/publish/work.rs`, `sampling.rs`; what is looked at meanwhile `examined.rs`.
//! - When does a channel move? `workers/publish/channels.rs`; by hand `decide.rs`; what stops it `gate.rs`.
//! - What becomes of a withdrawn release? `workers/publish/withdrawals.rs`.
//! - What should a mirror hold, what lies there? `workers/publish/wanted.rs`, `inventory.rs`; copying it: [`replicate`].
//! - How far is a release? `workers/publish/propagation.rs`, and the scorecard in `workers/publish/gate/`.
//! - Whose tokens are believed now? `workers/issuers.rs` fetches keys, `workers/publish/access.rs` says how long they hold.
//! - What survives a crash? [`store`]; how a start makes the world of it: `workers/publish/remembered.rs`.
//! - What does a request cost, and how does that not grow? `redirect/headers.rs` and `lines.rs`, `routing/spread.rs`,
//!   `client/ranges.rs`, `metrics/durations.rs`; `load-tests/run` measures it.
//!
//! Tests state promises, in files named after them under `tests/`; `tests/support` starts whole sites.

pub mod admin;
pub mod app;
pub mod catalog;
pub mod cli;
pub mod client;
pub mod config;
pub mod deliveries;
pub mod entitlement;
pub mod fetch;
pub mod health;
pub mod links;
pub mod metrics;
pub mod model;
pub mod redirect;
pub mod replicate;
pub mod routing;
pub mod server;
pub mod snapshot;
pub mod store;
pub mod tasks;
pub mod workers;
