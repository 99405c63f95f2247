//! What Prometheus is told. Typed families, no global state; every label has few values, none chosen by a client.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use http::Method;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use tokio::sync::watch;

use crate::configuration::Status;

/// A registry whose metrics all begin with `berth_`. Rooms register what they count before serving begins.
pub fn registry() -> Registry {
    Registry::with_prefix("berth")
}

/// The text format of a registry.
///
/// # Errors
/// Only when memory runs out.
pub fn encode(registry: &Registry) -> Result<String, std::fmt::Error> {
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, registry)?;
    Ok(text)
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Endpoint {
    endpoint: &'static str,
    method: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    endpoint: &'static str,
    method: &'static str,
    status: u16,
}

/// Requests by endpoint. Cheap to clone.
#[derive(Clone, Debug)]
pub struct HttpMetrics {
    requests: Family<Outcome, Counter>,
    seconds: Family<Endpoint, Histogram, fn() -> Histogram>,
    received: Counter<u64, AtomicU64>,
    sent: Counter<u64, AtomicU64>,
    in_flight: Gauge,
}

impl HttpMetrics {
    /// Makes them known to a registry.
    pub fn register(registry: &mut Registry) -> Self {
        let new = Self {
            requests: Family::default(),
            seconds: Family::new_with_constructor(buckets),
            received: Counter::default(),
            sent: Counter::default(),
            in_flight: Gauge::default(),
        };
        registry.register("http_requests", "Requests answered; status 499: the client left", new.requests.clone());
        registry.register("http_request_seconds", "Time from request to last byte", new.seconds.clone());
        registry.register("http_received_bytes", "Bytes of request bodies", new.received.clone());
        registry.register("http_sent_bytes", "Bytes of response bodies", new.sent.clone());
        registry.register("http_requests_in_flight", "Requests being worked on", new.in_flight.clone());
        new
    }

    pub(crate) fn begun(&self) {
        self.in_flight.inc();
    }

    pub(crate) fn ended(
        &self,
        endpoint: &'static str,
        method: &Method,
        status: u16,
        duration: Duration,
        received: u64,
        sent: u64,
    ) {
        let method = known_method(method);
        self.in_flight.dec();
        self.requests.get_or_create(&Outcome { endpoint, method, status }).inc();
        self.seconds.get_or_create(&Endpoint { endpoint, method }).observe(duration.as_secs_f64());
        self.received.inc_by(received);
        self.sent.inc_by(sent);
    }
}

/// Gauges of the configuration in force; all at 0 is well.
#[derive(Clone, Debug, Default)]
pub struct ConfigurationMetrics {
    problems: Gauge,
    last_document: Gauge,
}

impl ConfigurationMetrics {
    /// Makes them known to a registry.
    pub fn register(registry: &mut Registry) -> Self {
        let new = Self::default();
        let help = "Problems that keep the newest configuration from being in force";
        registry.register("configuration_problems", help, new.problems.clone());
        let help = "1 while the bucket's last document is in force: the operator's has not appeared, and pushes wait";
        registry.register("configuration_last_document", help, new.last_document.clone());
        new
    }
}

/// Keeps them at what is the case until nobody changes the configuration any more; to be spawned once.
pub async fn follow_configuration(metrics: ConfigurationMetrics, mut changes: watch::Receiver<Status>) {
    loop {
        let (problems, last_document) = {
            let status = changes.borrow_and_update();
            (status.problems.len(), status.last_document)
        };
        metrics.problems.set(i64::try_from(problems).unwrap_or(i64::MAX));
        metrics.last_document.set(last_document.into());
        if changes.changed().await.is_err() {
            return;
        }
    }
}

/// From a cached HEAD (a millisecond) to a layer of many gigabytes.
fn buckets() -> Histogram {
    Histogram::new([0.001, 0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0, 600.0])
}

/// Clients may invent methods; labels may not.
fn known_method(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        _ => "other",
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_counted_by_endpoint_method_and_status() {
        let mut registry = registry();
        let http = HttpMetrics::register(&mut registry);
        http.begun();
        http.ended("blob", &Method::GET, 206, Duration::from_millis(7), 0, 10);
        http.begun();
        http.ended("other", &Method::from_bytes(b"BREW").unwrap(), 404, Duration::ZERO, 5, 0);
        http.begun();
        let text = encode(&registry).unwrap();
        for line in [
            "berth_http_requests_total{endpoint=\"blob\",method=\"GET\",status=\"206\"} 1",
            "berth_http_requests_total{endpoint=\"other\",method=\"other\",status=\"404\"} 1",
            "berth_http_received_bytes_total 5",
            "berth_http_sent_bytes_total 10",
            "berth_http_requests_in_flight 1",
        ] {
            assert!(text.lines().any(|written| written == line), "{line}\n{text}");
        }
    }
}
