//! Counters, gauges and histograms, by name. Label values are bounded by configuration and catalogue; no visitor can
//! make a new one.

mod access;
mod delivery;
mod durations;
mod families;
mod releases;
mod replication;

pub use access::{AccessMetrics, GRANTED};
pub use delivery::{DeliveryMeters, Outcome, ProductMeters, RegionMeters};
pub use durations::{Durations, DurationsVec};
pub use families::{Metrics, PHASES, Verification};
pub use releases::ReleaseGauges;
pub use replication::ReplicationMetrics;
