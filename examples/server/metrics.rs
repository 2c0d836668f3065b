//! What is counted, for Prometheus, on a port of its own: what it says is for operators, and nobody presents a key for it.

use std::io;

use axum::{Router, http::header::CONTENT_TYPE, routing::get};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use tokio::net::TcpListener;

/// For the times of the store, in seconds.
const BUCKETS: [f64; 9] = [0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0];
const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Begins to count. What is built before counts for nobody.
pub(crate) fn install() -> Result<PrometheusHandle, BuildError> {
    PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &BUCKETS)?
        .install_recorder()
}

/// Serves what was counted at `/metrics` for as long as the program runs.
pub(crate) async fn serve(address: &str, counted: PrometheusHandle) -> io::Result<()> {
    let listener = TcpListener::bind(address).await?;
    tracing::info!(address = %listener.local_addr()?, "metrics at /metrics");
    let text = move || {
        counted.run_upkeep();
        let text = counted.render();
        async move { ([(CONTENT_TYPE, TEXT)], text) }
    };
    let app = Router::new().route("/metrics", get(text));
    tokio::spawn(async move { axum::serve(listener, app).await });
    Ok(())
}
