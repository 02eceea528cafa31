//! hyper by itself: HTTP/1 connections on tokio, without a router. For pipelined requests it
//! has `pipeline_flush` on, which gathers the answers to them into one write.

use std::convert::Infallible;
use std::io;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;

use super::{HELLO, PLAIN_TEXT, tokio};

/// Serves HTTP. The answer has `content-type`, `content-length` and `date`.
pub(super) fn serve_http(pipelined: bool) -> io::Result<u16> {
    tokio::serve(move |listener| async move {
        while let Ok((stream, _)) = listener.accept().await {
            // A connection without it is slower, not wrong.
            let _ = stream.set_nodelay(true);
            ::tokio::spawn(async move {
                http1::Builder::new()
                    .pipeline_flush(pipelined)
                    .serve_connection(TokioIo::new(stream), service_fn(hello))
                    .await
            });
        }
    })
}

async fn hello(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let found = request.method() == Method::GET && request.uri().path() == "/";
    let mut response = Response::new(Full::new(Bytes::from_static(HELLO.as_bytes())));
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(PLAIN_TEXT));
    if !found {
        *response.status_mut() = StatusCode::NOT_FOUND;
    }
    Ok(response)
}
