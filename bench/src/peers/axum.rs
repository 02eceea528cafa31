//! axum: a router with one route, served in two ways.

use std::io;

use axum::Router;
use axum::routing::get;
use axum::serve::ListenerExt;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;

use super::{HELLO, tokio};

fn router() -> Router {
    Router::new().route("/", get(|| async { HELLO }))
}

/// Serves HTTP with `axum::serve` and `TCP_NODELAY`, both as its documentation shows them. The
/// answer has `content-type`, `content-length` and `date`.
pub(super) fn serve_http() -> io::Result<u16> {
    tokio::serve(|listener| async move {
        let listener = listener.tap_io(|stream| {
            // A connection without it is slower, not wrong.
            let _ = stream.set_nodelay(true);
        });
        // `axum::serve` retries what fails and returns only if told to shut down.
        let _ = axum::serve(listener, router()).await;
    })
}

/// Serves HTTP with the same router under hyper's own connections, because `axum::serve` has no
/// way to turn `pipeline_flush` on.
pub(super) fn serve_pipelined_http() -> io::Result<u16> {
    tokio::serve(|listener| async move {
        let service = TowerToHyperService::new(router());
        while let Ok((stream, _)) = listener.accept().await {
            // A connection without it is slower, not wrong.
            let _ = stream.set_nodelay(true);
            let service = service.clone();
            ::tokio::spawn(async move {
                http1::Builder::new()
                    .pipeline_flush(true)
                    .serve_connection(TokioIo::new(stream), service)
                    .await
            });
        }
    })
}
