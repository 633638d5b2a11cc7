//! Is it there: one task per mirror asks for the first byte of a copy that the mirror should hold.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;
use url::Url;

use crate::fetch::{Expected, Failure, Fetcher, Get, Response, Timings, shown};
use crate::health::Evidence;
use crate::metrics::{Metrics, PHASES};
use crate::model::{AssetPath, CopyFault, MirrorName};

use super::fact::{ExpectedCopy, ProbeTarget, Probed, Wrong};
use super::handle::Handle;
use super::signing::Signing;

/// How much of a parameter's value an answer repeats by more than chance, in bytes.
const REPEATED: usize = 8;

/// One mirror's prober.
#[derive(Clone)]
pub struct Prober {
    /// Which mirror.
    pub mirror: MirrorName,
    /// Its region's label.
    pub region: String,
    /// For one probe, redirects included.
    pub timeout: Duration,
    /// Makes the requests.
    pub fetcher: Fetcher,
    /// Signs them.
    pub signing: Signing,
    /// Where results go.
    pub handle: Handle,
    /// Where durations go.
    pub metrics: Arc<Metrics>,
}

impl Prober {
    /// Probes until the mirror leaves the configuration or the writer stops. The first probe comes at once.
    pub async fn run(self) {
        for turn in 0.. {
            let Some(target) = self.handle.probe_target(&self.mirror).await else { return };
            let probed = self.probe(target).await;
            let Some(next_in) = self.handle.probed(probed).await else { return };
            sleep(jittered(next_in, &self.mirror, turn)).await;
        }
    }

    async fn probe(&self, target: ProbeTarget) -> Probed {
        let ProbeTarget { url, expects } = target;
        let expected = expects.as_ref().map(expectation);
        let signed = self.signing.sign(&url);
        let get = Get { range: expected.and_then(|e| e.range), ..Get::new(&signed, self.timeout) };
        let answer = self.fetcher.get(&self.signing.asking(get)).await;
        let (timings, families, final_host) = match &answer {
            Ok(response) => {
                let host = response.final_url.host_str().filter(|host| Some(*host) != url.host_str());
                (response.timings, response.families, host.map(str::to_owned))
            }
            Err(failure) => (failure.evidence.timings, failure.evidence.families, None),
        };
        let outcome = answer.and_then(|response| judge(&response, expected.as_ref())).map_err(Wrong::from);
        self.measure(&timings, outcome.as_ref().err());
        Probed { mirror: self.mirror.clone(), copy: expects.map(|e| e.copy), outcome, families, final_host }
    }

    fn measure(&self, timings: &Timings, wrong: Option<&Wrong>) {
        let labels = [self.mirror.as_str(), &self.region];
        let durations = [timings.dns, timings.connect, timings.tls, timings.first_byte];
        for (phase, duration) in PHASES.into_iter().zip(durations) {
            if let Some(duration) = duration {
                let labels = [labels[0], labels[1], phase];
                self.metrics.probe_duration.with_label_values(&labels).observe(duration.as_secs_f64());
            }
        }
        if let Some(wrong) = wrong {
            tracing::debug!(mirror = %self.mirror, reason = %wrong.fault, detail = wrong.evidence.detail, "a probe failed");
            let labels = [labels[0], labels[1], wrong.fault.as_str()];
            self.metrics.probe_failures.with_label_values(&labels).inc();
        }
    }
}

fn expectation(copy: &ExpectedCopy) -> Expected {
    let asset = copy.release.asset(copy.copy.asset);
    // The first byte tells as much as all of them: the head names the whole length. An empty file has no first byte.
    let range = (asset.size > 0).then_some((0, 0));
    Expected { range, validator: copy.mark, ..expected_of(&asset.name, asset.size) }
}

/// A whole copy of an asset, whatever its validators.
pub(super) fn expected_of(name: &str, size: u64) -> Expected {
    let html_is_fine = AssetPath::new(name).is_ok_and(|name| crate::fetch::is_html_name(&name));
    Expected { size, range: None, validator: None, html_is_fine }
}

/// With nothing to expect, any answer but an error of the server's shows that it is there.
fn judge(response: &Response, expected: Option<&Expected>) -> Result<(), Failure> {
    match expected {
        Some(expected) => response.look(expected).map(drop),
        None if response.status.is_server_error() => {
            Err(response.failure(CopyFault::ServerError, format_args!("answered {}", response.status)))
        }
        None => Ok(()),
    }
}

/// The wait, shortened by up to a tenth so that mirrors are not all probed at the same moment.
fn jittered(wait: Duration, mirror: &str, turn: u64) -> Duration {
    let seed = mirror.bytes().fold(turn, |seed, byte| seed.wrapping_mul(31).wrapping_add(u64::from(byte)));
    let thousandths = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
    wait - wait / 10 * u32::try_from(thousandths % 1000).unwrap_or(0) / 1000
}

impl From<Failure> for Wrong {
    fn from(failure: Failure) -> Self {
        let Failure { fault, detail, evidence } = failure;
        let evidence = Evidence {
            status: evidence.status.map(|status| status.as_u16()),
            size: (evidence.received > 0).then_some(evidence.received),
            sha256: None,
            first_bytes: printable(&evidence.first_bytes, evidence.final_url.as_ref()),
            final_url: evidence.final_url.as_ref().map(shown),
            detail,
        };
        Self { fault, evidence }
    }
}

/// The first bytes as an operator can read them; none where they repeat what stands in the URL's query, as pages about
/// errors do: it may be a signature.
pub(super) fn printable(bytes: &[u8], url: Option<&Url>) -> Option<String> {
    let text = bytes.escape_ascii().to_string();
    let repeats =
        |(_, value): (_, Cow<'_, str>)| value.get(..REPEATED).is_some_and(|part| text.contains(part));
    (!bytes.is_empty() && !url.is_some_and(|url| url.query_pairs().any(repeats))).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn evidence_holds_no_signature_of_a_link_that_a_mirror_redirected_to() {
        let url = "https://bucket.example/a.zip?X-Amz-Signature=s3cret#part".parse().unwrap();
        let seen = crate::fetch::Evidence { final_url: Some(url), ..Default::default() };
        let failure =
            Failure { fault: CopyFault::Missing, detail: "answered 404".into(), evidence: Box::new(seen) };
        assert_eq!(Wrong::from(failure).evidence.final_url.as_deref(), Some("https://bucket.example/a.zip"));
    }

    #[test]
    fn evidence_is_not_kept_where_it_repeats_the_signature() {
        let url = Some("https://cdn.example/a.zip?md5=_e4Nc3iduzkWRm01TBBNYw&expires=1".parse().unwrap());
        assert_eq!(printable(b"/a.zip?md5=_e4Nc3iduzkWRm0 is wrong", url.as_ref()), None);
        assert_eq!(printable(b"a.zip\n", url.as_ref()).as_deref(), Some("a.zip\\n"));
    }

    #[test]
    fn waits_are_shortened_by_a_tenth_at_most_and_differ() {
        let wait = Duration::from_secs(15);
        let waits: Vec<_> = (0..100).map(|turn| jittered(wait, "fra", turn)).collect();
        assert!(waits.iter().all(|w| *w <= wait && *w >= wait * 9 / 10));
        assert!(waits.iter().collect::<std::collections::HashSet<_>>().len() > 50);
    }
}
