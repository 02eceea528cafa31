//! axum: a router with one route under `axum::serve`, as its documentation shows it, with
//! `TCP_NODELAY` set the way it shows that too.

use std::io;

use axum::Router;
use axum::routing::get;
use axum::serve::ListenerExt;

use super::{HELLO, tokio};

/// Serves HTTP. The answer has `content-type`, `content-length` and `date`.
pub(super) fn serve_http() -> io::Result<u16> {
    let router = Router::new().route("/", get(|| async { HELLO }));
    tokio::serve(|listener| async move {
        let listener = listener.tap_io(|stream| {
            // A connection without it is slower, not wrong.
            let _ = stream.set_nodelay(true);
        });
        // `axum::serve` retries what fails and returns only if told to shut down.
        let _ = axum::serve(listener, router).await;
    })
}
