//! The counters that a request touches: children are found once per label combination, then kept in a table that is
//! indexed by small numbers.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use prometheus::IntCounter;

use super::{Durations, GRANTED, Metrics};

/// What became of a request, as a label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// Sent to a mirror.
    Redirected,
    /// Answered from the catalogue.
    Metadata,
    /// No such thing.
    NotFound,
    /// It exists, and no mirror can serve it now.
    NoMirror,
    /// A channel with no ready release yet.
    NotReady,
    /// It was withdrawn.
    Withdrawn,
    /// Not for this caller, or not for this country.
    Denied,
    /// A request that makes no sense.
    BadRequest,
    /// A method other than GET and HEAD.
    BadMethod,
}

impl Outcome {
    /// Every outcome.
    pub const ALL: [Self; 9] = [
        Self::Redirected,
        Self::Metadata,
        Self::NotFound,
        Self::NoMirror,
        Self::NotReady,
        Self::Withdrawn,
        Self::Denied,
        Self::BadRequest,
        Self::BadMethod,
    ];

    /// The outcome as a label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Redirected => "redirected",
            Self::Metadata => "metadata",
            Self::NotFound => "not_found",
            Self::NoMirror => "no_mirror",
            Self::NotReady => "not_ready",
            Self::Withdrawn => "withdrawn",
            Self::Denied => "denied",
            Self::BadRequest => "bad_request",
            Self::BadMethod => "bad_method",
        }
    }
}

/// What the meters of one configuration are labelled with.
#[derive(Debug)]
pub struct DeliveryMeters {
    metrics: Arc<Metrics>,
    /// Region labels; the last is that of clients without a region.
    regions: Box<[Box<str>]>,
    mirrors: Box<[Box<str>]>,
    issuers: Box<[Box<str>]>,
}

/// Label of a client without a region.
const NO_REGION: &str = "unknown";

impl DeliveryMeters {
    /// For these regions, mirrors and issuers, in the order of their ids.
    pub fn new<'a>(
        metrics: Arc<Metrics>,
        regions: impl Iterator<Item = &'a str>,
        mirrors: impl Iterator<Item = &'a str>,
        issuers: impl Iterator<Item = &'a str>,
    ) -> Self {
        let regions = regions.chain(std::iter::once(NO_REGION)).map(Box::from).collect();
        let [mirrors, issuers] = [mirrors.map(Box::from).collect(), issuers.map(Box::from).collect()];
        Self { metrics, regions, mirrors, issuers }
    }

    fn region_slot(&self, region: Option<usize>) -> usize {
        region.unwrap_or(self.regions.len() - 1).min(self.regions.len() - 1)
    }

    /// Meters that belong to no product.
    pub fn per_region(self: &Arc<Self>) -> RegionMeters {
        RegionMeters { durations: slots(self.regions.len()), delivery: Arc::clone(self) }
    }

    /// Meters of a product with these channels. An empty product stands for requests that name none.
    pub fn per_product<'a>(
        self: &Arc<Self>,
        product: &str,
        channels: impl Iterator<Item = &'a str>,
    ) -> ProductMeters {
        // The last slot is that of requests without a channel.
        let channels: Box<[Box<str>]> = channels.chain(std::iter::once("")).map(Box::from).collect();
        ProductMeters {
            product: product.into(),
            requests: slots(channels.len() * self.regions.len() * Outcome::ALL.len()),
            redirects: slots(self.regions.len() * self.mirrors.len()),
            granted: slots(self.issuers.len()),
            superseded: OnceLock::new(),
            channels,
            delivery: Arc::clone(self),
        }
    }
}

fn slots<T>(count: usize) -> Box<[OnceLock<T>]> {
    std::iter::repeat_with(OnceLock::new).take(count).collect()
}

/// The histogram of answers, per region.
#[derive(Debug)]
pub struct RegionMeters {
    delivery: Arc<DeliveryMeters>,
    durations: Box<[OnceLock<Durations>]>,
}

impl RegionMeters {
    /// Notes how long an answer took.
    #[inline]
    pub fn answered(&self, region: Option<usize>, took: Duration) {
        let slot = self.delivery.region_slot(region);
        let family = &self.delivery.metrics.redirect_duration;
        self.durations[slot]
            .get_or_init(|| family.with_label_values(&[&self.delivery.regions[slot]]))
            .observe(took);
    }
}

/// The counters of one product.
#[derive(Debug)]
pub struct ProductMeters {
    delivery: Arc<DeliveryMeters>,
    product: Box<str>,
    channels: Box<[Box<str>]>,
    requests: Box<[OnceLock<IntCounter>]>,
    redirects: Box<[OnceLock<IntCounter>]>,
    granted: Box<[OnceLock<IntCounter>]>,
    superseded: OnceLock<IntCounter>,
}

impl ProductMeters {
    /// Counts an answer; `channel` is a position in the list that these meters were made with.
    #[inline]
    pub fn answered(&self, channel: Option<usize>, region: Option<usize>, outcome: Outcome) {
        let region = self.delivery.region_slot(region);
        let channel = channel.unwrap_or(self.channels.len() - 1).min(self.channels.len() - 1);
        let slot = (channel * self.delivery.regions.len() + region) * Outcome::ALL.len() + outcome as usize;
        let child = || {
            let labels =
                [&*self.product, &*self.channels[channel], outcome.as_str(), &*self.delivery.regions[region]];
            self.delivery.metrics.requests.with_label_values(&labels)
        };
        self.requests[slot].get_or_init(child).inc();
    }

    /// Counts a request that no mirror could serve, by what kept most of them from it.
    pub fn unserved(&self, reason: &str) {
        self.delivery.metrics.unserved.with_label_values(&[reason]).inc();
    }

    /// Counts a redirect.
    #[inline]
    pub fn redirected(&self, region: Option<usize>, mirror: usize) {
        let region = self.delivery.region_slot(region);
        let slot = region * self.delivery.mirrors.len() + mirror;
        let child = || {
            let labels = [&*self.product, &*self.delivery.regions[region], &*self.delivery.mirrors[mirror]];
            self.delivery.metrics.redirects.with_label_values(&labels)
        };
        self.redirects[slot].get_or_init(child).inc();
    }

    /// Counts a caller who may have what was asked for, by whose token it is.
    #[inline]
    pub fn granted(&self, issuer: usize) {
        let Some((slot, name)) = self.granted.get(issuer).zip(self.delivery.issuers.get(issuer)) else {
            return;
        };
        let checks = &self.delivery.metrics.access.checks;
        slot.get_or_init(|| checks.with_label_values(&[&self.product, name, GRANTED])).inc();
    }

    /// Counts a redirect to a release that is lower than the latest one.
    #[inline]
    pub fn superseded(&self) {
        let child = || self.delivery.metrics.superseded.with_label_values(&[&self.product]);
        self.superseded.get_or_init(child).inc();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_counted_under_their_labels() {
        let metrics = Arc::new(Metrics::new());
        let (regions, mirrors) = (["eu"].into_iter(), ["fra", "sin"].into_iter());
        let delivery = DeliveryMeters::new(Arc::clone(&metrics), regions, mirrors, ["ci"].into_iter());
        let delivery = Arc::new(delivery);
        let product = delivery.per_product("tool", ["stable"].into_iter());
        product.answered(Some(0), Some(0), Outcome::Redirected);
        product.answered(None, None, Outcome::NotFound);
        product.redirected(Some(0), 1);
        product.granted(0);
        delivery.per_region().answered(Some(0), Duration::from_micros(3));
        let text = metrics.render();
        for line in [
            r#"waypost_requests_total{channel="stable",outcome="redirected",product="tool",region="eu"} 1"#,
            r#"waypost_requests_total{channel="",outcome="not_found",product="tool",region="unknown"} 1"#,
            r#"waypost_redirects_total{mirror="sin",product="tool",region="eu"} 1"#,
            r#"waypost_entitlement_checks_total{issuer="ci",product="tool",reason="granted"} 1"#,
            r#"waypost_redirect_duration_seconds_bucket{region="eu",le="0.000005"} 1"#,
        ] {
            assert!(text.contains(line), "{line}\n{text}");
        }
        let again = delivery.per_product("tool", ["stable"].into_iter());
        again.answered(Some(0), Some(0), Outcome::Redirected);
        assert!(metrics.render().contains(r#"outcome="redirected",product="tool",region="eu"} 2"#));
    }
}
