//! The control plane: supervised background tasks that send facts to one writer, which records and publishes them.
//!
//! `origin` reads manifests, `probe` asks whether mirrors are there, `verify` hashes what they serve (`examine` and
//! `signature` look on), `inventory` lists what lies there, `notify` tells what is missing, `issuers` fetches keys, `reload`
//! watches files and signals; `publish` is the writer. `fact`, `replication` and `report` are what they say to each other,
//! `handle` how; `supervise` starts the mirrors' tasks, `prepare` compiles a configuration for all of them, `believed` reads
//! its keys, `signing` signs what is asked of mirrors that want it.

pub mod believed;
mod examine;
pub mod fact;
pub mod handle;
pub mod inventory;
pub mod issuers;
pub mod notify;
pub mod origin;
pub mod prepare;
pub mod probe;
pub mod publish;
pub mod reload;
pub mod replication;
pub mod report;
mod signature;
pub mod signing;
pub mod supervise;
pub mod verify;

pub use believed::TicketSecret;
pub use handle::{Handle, KeyLook, KeyLooks, Status, Wakers};
pub use prepare::{PrepareError, Prepared};
