//! Answers in JSON, and the listeners' counters as metrics.

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Response, StatusCode};
use http_body_util::Full;
use serde_json::Value;

use crate::metrics::Metrics;
use crate::server::{ServerCounters, Timeout};

/// A JSON answer.
pub fn json(status: StatusCode, value: &Value) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(format!("{value}\n")));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// Copies a listener's counters into the metrics.
pub fn show_listener(metrics: &Metrics, listener: &str, counters: &ServerCounters) {
    let set = |event: &str, count: u64| {
        let shown = metrics.connections.with_label_values(&[listener, event]);
        shown.inc_by(count.saturating_sub(shown.get()));
    };
    let open = i64::try_from(counters.open()).unwrap_or(i64::MAX);
    metrics.connections_open.with_label_values(&[listener]).set(open);
    set("accepted", counters.accepted());
    set("refused_over_limit", counters.refused_over_limit());
    set("refused_over_client_limit", counters.refused_over_client_limit());
    set("tls_failure", counters.tls_failures());
    set("accept_error", counters.accept_errors());
    set("panic", counters.panics());
    set("request", counters.requests());
    for timeout in Timeout::ALL {
        set(&format!("timeout_{}", timeout.name()), counters.timeouts(timeout));
    }
}
