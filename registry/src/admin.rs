//! The second port, for operators and probes only: metrics, health, the log level.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::StatusCode;
use http::header::CONTENT_TYPE;
use prometheus_client::registry::Registry;

use crate::metrics;
use crate::telemetry::LogLevel;

/// Whether clients should be sent here.
#[derive(Clone, Debug, Default)]
pub struct Readiness(Arc<AtomicBool>);

impl Readiness {
    /// From now on.
    pub fn set(&self, ready: bool) {
        self.0.store(ready, Ordering::Release);
    }

    fn is_ready(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

#[derive(Clone, Debug)]
struct Admin {
    metrics: Arc<Registry>,
    level: LogLevel,
    readiness: Readiness,
}

/// `/metrics`, `/healthz`, `/readyz`, and `/loglevel` to read (GET) and change (PUT).
pub fn router(metrics: Arc<Registry>, level: LogLevel, readiness: Readiness) -> Router {
    Router::new()
        .route("/metrics", get(show_metrics))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(show_readiness))
        .route("/loglevel", get(show_level).put(change_level))
        .with_state(Admin { metrics, level, readiness })
}

async fn show_metrics(State(admin): State<Admin>) -> Response {
    match metrics::encode(&admin.metrics) {
        Ok(text) => {
            ([(CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], text).into_response()
        }
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

async fn show_readiness(State(admin): State<Admin>) -> Response {
    if admin.readiness.is_ready() {
        "ready\n".into_response()
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "starting or shutting down\n").into_response()
    }
}

async fn show_level(State(admin): State<Admin>) -> String {
    format!("{}\n", admin.level.get())
}

async fn change_level(State(admin): State<Admin>, filter: String) -> Response {
    match admin.level.set(&filter) {
        Ok(()) => {
            tracing::info!(level = admin.level.get(), "the log level was changed");
            format!("{}\n", admin.level.get()).into_response()
        }
        Err(error) => (StatusCode::BAD_REQUEST, format!("{error}\n")).into_response(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use axum::body::Body;
    use http::Request;
    use tower::ServiceExt as _;

    use super::*;
    use crate::telemetry;

    async fn ask(router: &Router, method: &str, path: &str, body: &str) -> (StatusCode, String) {
        let request = Request::builder().method(method).uri(path).body(Body::from(body.to_owned())).unwrap();
        let response = router.clone().oneshot(request).await.unwrap();
        let status = response.status();
        let bytes = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
        (status, String::from_utf8(bytes.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn probes_metrics_and_the_log_level() {
        let mut registry = metrics::registry();
        metrics::HttpMetrics::register(&mut registry);
        let readiness = Readiness::default();
        let (_filter, level) = telemetry::changeable("info").unwrap();
        let router = router(Arc::new(registry), level, readiness.clone());
        let answer = |status: StatusCode, text: &str| (status, text.to_owned());
        assert_eq!(ask(&router, "GET", "/healthz", "").await, answer(StatusCode::OK, "ok\n"));
        assert_eq!(ask(&router, "GET", "/readyz", "").await.0, StatusCode::SERVICE_UNAVAILABLE);
        readiness.set(true);
        assert_eq!(ask(&router, "GET", "/readyz", "").await, answer(StatusCode::OK, "ready\n"));
        assert!(ask(&router, "GET", "/metrics", "").await.1.ends_with("# EOF\n"));
        assert_eq!(ask(&router, "PUT", "/loglevel", "debug\n").await, answer(StatusCode::OK, "debug\n"));
        assert_eq!(ask(&router, "GET", "/loglevel", "").await, answer(StatusCode::OK, "debug\n"));
        assert_eq!(ask(&router, "PUT", "/loglevel", "loud").await.0, StatusCode::BAD_REQUEST);
        assert_eq!(ask(&router, "GET", "/loglevel", "").await, answer(StatusCode::OK, "debug\n"));
    }
}
