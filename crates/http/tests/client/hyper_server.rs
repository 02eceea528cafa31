//! hyper as the other side: an independent reading of the same protocol.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use ropewalk_http::client::{Body, Client};
use ropewalk_rt::coroutine;

use super::script::each_way;

type Reply = Response<BoxBody<Bytes, Infallible>>;

/// hyper on a tokio runtime of its own, which goes with it.
struct Hyper {
    addr: SocketAddr,
    accepted: Arc<AtomicUsize>,
    runtime: Option<tokio::runtime::Runtime>,
}

impl Hyper {
    fn start() -> Hyper {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build();
        let runtime = runtime.unwrap();
        let listener = runtime
            .block_on(tokio::net::TcpListener::bind("127.0.0.1:0"))
            .unwrap();
        let addr = listener.local_addr().unwrap();
        let accepted = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&accepted);
        runtime.spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                count.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(async move {
                    let _ = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service_fn(answer))
                        .await;
                });
            }
        });
        Hyper {
            addr,
            accepted,
            runtime: Some(runtime),
        }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.addr)
    }
}

impl Drop for Hyper {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

async fn answer(request: Request<Incoming>) -> Result<Reply, Infallible> {
    let full = |bytes: Bytes| Full::new(bytes).boxed();
    let reply = match request.uri().path() {
        "/echo" => match request.into_body().collect().await {
            Ok(body) => Response::new(full(body.to_bytes())),
            Err(e) => Response::builder()
                .status(500)
                .body(full(e.to_string().into()))
                .unwrap(),
        },
        "/chunks" => {
            let chunks = (0..100).map(|i| Bytes::from(format!("chunk {i}\n")));
            Response::new(Frames(chunks).boxed())
        }
        "/refuse" => Response::builder()
            .status(StatusCode::PAYLOAD_TOO_LARGE)
            .body(full("no".into()))
            .unwrap(),
        "/headers" => {
            let host = request.headers()["host"].to_str().unwrap().to_owned();
            Response::builder()
                .header("x-host", host)
                .body(full(Bytes::new()))
                .unwrap()
        }
        _ => Response::builder()
            .status(404)
            .body(full("not here".into()))
            .unwrap(),
    };
    Ok(reply)
}

/// A body of frames that are all there.
struct Frames<I>(I);

impl<I: Iterator<Item = Bytes> + Unpin> hyper::body::Body for Frames<I> {
    type Data = Bytes;
    type Error = Infallible;
    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        std::task::Poll::Ready(self.0.next().map(|bytes| Ok(Frame::data(bytes))))
    }
}

#[test]
fn everything_over_one_connection() {
    each_way(|| {
        let server = Hyper::start();
        let client = Client::new();
        let large: Vec<u8> = (0..1_000_000u32).map(|i| (i / 3) as u8).collect();
        for body in [Vec::new(), b"small".to_vec(), large] {
            let echo = client.post(server.url("/echo")).body(body.clone());
            assert!(echo.send().unwrap().bytes().unwrap() == body);
            let reader = Body::reader(std::io::Cursor::new(body.clone()));
            let echo = client.put(server.url("/echo")).body(reader);
            assert!(echo.send().unwrap().bytes().unwrap() == body);
        }
        let text = client
            .get(server.url("/chunks"))
            .send()
            .unwrap()
            .text()
            .unwrap();
        assert_eq!(text.lines().count(), 100);
        let missing = client.get(server.url("/missing")).send().unwrap();
        assert_eq!(missing.status(), 404);
        assert_eq!(missing.text().unwrap(), "not here");
        let head = client.head(server.url("/chunks")).send().unwrap();
        assert_eq!(head.status(), 200);
        let host = client.get(server.url("/headers")).send().unwrap();
        assert_eq!(host.headers()["x-host"], server.addr.to_string());
        assert_eq!(server.accepted.load(Ordering::SeqCst), 1);
    });
}

#[test]
fn it_agrees_to_and_declines_expectations() {
    let server = Hyper::start();
    let client = Client::builder().expect_continue(true).build().unwrap();
    let yes = client
        .post(server.url("/echo"))
        .body("asked first")
        .send()
        .unwrap();
    assert_eq!(yes.text().unwrap(), "asked first");
    let no = client
        .post(server.url("/refuse"))
        .body("asked first")
        .send()
        .unwrap();
    assert_eq!(no.status(), 413);
}

#[test]
fn an_upload_it_refuses_is_cut_short() {
    each_way(|| {
        let server = Hyper::start();
        let endless = Body::reader(std::io::repeat(b'x'));
        let response = Client::new()
            .post(server.url("/refuse"))
            .body(endless)
            .send()
            .unwrap();
        assert_eq!(response.status(), 413);
    });
}

#[test]
fn many_calls_at_once_share_a_bounded_pool() {
    each_way(|| {
        let server = Hyper::start();
        let client = Client::builder()
            .connections_per_host_max(8)
            .build()
            .unwrap();
        let jobs: Vec<_> = (0..64)
            .map(|i| {
                let (client, url) = (client.clone(), server.url("/echo"));
                coroutine::spawn(move || {
                    for j in 0..10 {
                        let body = format!("{i}-{j}");
                        let echo = client.post(&url).body(body.clone()).send().unwrap().text();
                        assert_eq!(echo.unwrap(), body, "answers never get mixed up");
                    }
                })
            })
            .collect();
        for job in jobs {
            job.join().unwrap();
        }
        assert!(server.accepted.load(Ordering::SeqCst) <= 8);
    });
}
