//! Logs to stderr: one line a request, saying who called and, where they were refused, why.

use std::{
    io::{self, IsTerminal},
    time::Duration,
};

use axum::{
    Router,
    http::{Request, Response},
};
use tower_api_key::{authn::Refusal, event::Notice};
use tower_http::trace::TraceLayer;
use tracing::{Span, field::Empty, level_filters::LevelFilter};
use tracing_subscriber::EnvFilter;

/// Follows `RUST_LOG`; `info` if that is not set.
pub(crate) fn init() {
    let filter = EnvFilter::builder()
        .with_default_directive(LevelFilter::INFO.into())
        .from_env_lossy();
    let filter = [
        // These lines quote what a caller sent, query strings among it.
        "axum::rejection=off",
        // Its span stands between ours and `ApiKeyAuth`, which would name the caller to that one.
        "tower_sessions=warn",
    ]
    .into_iter()
    .filter_map(|directive| directive.parse().ok())
    .fold(filter, EnvFilter::add_directive);
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .init();
}

/// What owners should hear of. A real application writes to them.
pub(crate) fn noticed(notice: &Notice) {
    match notice {
        Notice::Leaked {
            key_id, owner, url, ..
        } => {
            let key_id = key_id.map(|id| id.to_string());
            tracing::warn!(key.id = key_id, key.owner = owner, url, "leaked");
        }
        Notice::Expiring {
            key_id,
            owner,
            within,
            ..
        } => {
            tracing::info!(key.id = %key_id, key.owner = owner, within = within.as_secs(), "ends soon");
        }
        _ => {}
    }
}

pub(crate) fn logged(app: Router) -> Router {
    let layer = TraceLayer::new_for_http()
        .make_span_with(span)
        .on_request(())
        .on_response(line)
        .on_body_chunk(())
        .on_eos(())
        .on_failure(());
    app.layer(layer)
}

/// The path only: query strings hold what people should not have put there. `ApiKeyAuth` fills in who is calling.
fn span<B>(request: &Request<B>) -> Span {
    tracing::info_span!(
        "request",
        method = %request.method(),
        path = request.uri().path(),
        auth.kind = Empty,
        auth.owner = Empty,
        auth.key_id = Empty,
    )
}

fn line<B>(response: &Response<B>, latency: Duration, _span: &Span) {
    let refusal = response.extensions().get::<Refusal>();
    tracing::info!(
        status = response.status().as_u16(),
        refusal = refusal.map(|refusal| refusal.kind().code()),
        ms = latency.as_millis(),
        "answered"
    );
}
