//! Durations of answers: a histogram that every request of every thread adds to.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use prometheus::core::{Metric, MetricVec, MetricVecBuilder};
use prometheus::proto::{self, LabelPair, MetricType};
use prometheus::{Error, Opts};

/// From 100 ns to 25 ms: an answer from memory lies in the first buckets, and a machine that swaps in the last.
const BOUNDS_NANOS: [u64; 10] =
    [100, 1_000, 2_500, 5_000, 10_000, 25_000, 100_000, 1_000_000, 10_000_000, 25_000_000];

/// Threads that have a row of their own. More of them share rows, which costs them time and loses nothing.
const ROWS: usize = 16;

/// Hands out rows.
static THREADS: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static ROW: usize = THREADS.fetch_add(1, Relaxed) % ROWS;
}

/// One histogram. Adding to it costs two additions in memory that no other thread writes to; a scrape adds the rows up,
/// and may see one duration counted whose time is not in the sum yet.
#[derive(Debug, Clone)]
pub struct Durations {
    labels: Vec<LabelPair>,
    rows: Arc<[Row; ROWS]>,
}

/// What one thread adds to. Cache lines are fetched in pairs.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Row {
    /// Durations up to each bound and above the one before; the last has those above all.
    buckets: [AtomicU64; BOUNDS_NANOS.len() + 1],
    nanos: AtomicU64,
}

impl Durations {
    fn new(labels: Vec<LabelPair>) -> Self {
        Self { labels, rows: Arc::default() }
    }

    /// Adds one.
    #[inline]
    pub fn observe(&self, duration: Duration) {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        let bucket = BOUNDS_NANOS.iter().position(|bound| nanos <= *bound).unwrap_or(BOUNDS_NANOS.len());
        let row = &self.rows[ROW.with(|row| *row)];
        row.buckets[bucket].fetch_add(1, Relaxed);
        row.nanos.fetch_add(nanos, Relaxed);
    }
}

impl Metric for Durations {
    fn metric(&self) -> proto::Metric {
        let total = |of: &dyn Fn(&Row) -> u64| self.rows.iter().map(of).sum::<u64>();
        let mut count = 0;
        let mut upper = |bucket: usize| {
            count += total(&|row| row.buckets[bucket].load(Relaxed));
            count
        };
        let buckets = BOUNDS_NANOS.iter().enumerate().map(|(at, bound)| {
            let mut bucket = proto::Bucket::default();
            bucket.set_cumulative_count(upper(at));
            bucket.set_upper_bound(seconds(*bound));
            bucket
        });
        let buckets = buckets.collect();
        let mut histogram = proto::Histogram::default();
        histogram.set_bucket(buckets);
        histogram.set_sample_count(upper(BOUNDS_NANOS.len()));
        histogram.set_sample_sum(seconds(total(&|row| row.nanos.load(Relaxed))));
        let mut metric = proto::Metric::from_label(self.labels.clone());
        metric.set_histogram(histogram);
        metric
    }
}

fn seconds(nanos: u64) -> f64 {
    nanos as f64 / 1e9
}

/// A family of such histograms.
pub type DurationsVec = MetricVec<Builder>;

/// Makes the members of a family.
#[derive(Debug, Clone)]
pub struct Builder;

impl Builder {
    /// An empty family.
    pub(super) fn family(opts: Opts, labels: &[&str]) -> Result<DurationsVec, Error> {
        let labels = labels.iter().map(ToString::to_string).collect();
        DurationsVec::create(MetricType::HISTOGRAM, Self, opts.variable_labels(labels))
    }
}

impl MetricVecBuilder for Builder {
    type M = Durations;
    type P = Opts;

    fn build<V: AsRef<str>>(&self, opts: &Opts, values: &[V]) -> prometheus::Result<Durations> {
        let pairs = opts.variable_labels.iter().zip(values).map(|(name, value)| {
            let mut pair = LabelPair::default();
            pair.set_name(name.clone());
            pair.set_value(value.as_ref().to_owned());
            pair
        });
        Ok(Durations::new(pairs.collect()))
    }
}

#[cfg(test)]
mod tests {
    use prometheus::core::Collector;

    use super::*;

    #[test]
    fn what_many_threads_observed_is_counted_once_under_the_first_bound_that_holds_it() {
        let family = Builder::family(Opts::new("test_seconds", "Test"), &["region"]).unwrap();
        let eu = family.with_label_values(&["eu"]);
        let observed = [0, 100, 101, 1_000, 24_999_999, 25_000_000, 25_000_001, 3_000_000_000];
        std::thread::scope(|scope| {
            for _ in 0..ROWS + 3 {
                scope.spawn(|| observed.map(Duration::from_nanos).map(|duration| eu.observe(duration)));
            }
        });
        let threads = (ROWS + 3) as u64;
        let families = family.collect();
        let metric = &families[0].get_metric()[0];
        assert_eq!((metric.get_label()[0].name(), metric.get_label()[0].value()), ("region", "eu"));
        let histogram = metric.get_histogram();
        for bucket in histogram.get_bucket() {
            let below =
                observed.iter().filter(|nanos| seconds(**nanos) <= bucket.upper_bound()).count() as u64;
            assert_eq!(bucket.cumulative_count(), below * threads, "up to {} s", bucket.upper_bound());
        }
        assert_eq!(histogram.get_sample_count(), observed.len() as u64 * threads);
        let sum = seconds(observed.iter().sum::<u64>() * threads);
        assert!(
            (histogram.get_sample_sum() - sum).abs() < 1e-9,
            "{} is not {sum}",
            histogram.get_sample_sum()
        );
    }
}
