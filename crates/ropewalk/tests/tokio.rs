//! Crates that need tokio, used from coroutines, threads and async tasks.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ropewalk::cancel::Token;
use ropewalk::http::{App, Request, Server};
use ropewalk::tokio::{handle, init, wait, wait_cancellable, with_context};
use ropewalk::{DriverKind, Runtime, cancel, coroutine};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const HOUR: Duration = Duration::from_secs(3600);
const PATIENCE: Duration = Duration::from_secs(10);

/// Runs `body` on a thread, and in a coroutine of each kind of runtime.
fn on_each(body: impl Fn() + Sync) {
    body();
    for driver in [DriverKind::Epoll, DriverKind::IoUring] {
        if let Err(error) = driver.check() {
            eprintln!("skipped: {error}");
            continue;
        }
        for workers in [1, 2] {
            let runtime = Runtime::builder().driver(driver).workers(workers);
            let runtime = runtime.build().unwrap();
            runtime.run(&body);
            runtime.shutdown(PATIENCE).unwrap();
        }
    }
}

// A client that can't do without tokio, against our own server, from many coroutines at once.
#[test]
fn reqwest_fetches_from_our_server() {
    on_each(|| {
        let app = App::new().get("/double/{n}", |request: &mut Request| {
            let n: u64 = request.param("n").unwrap().parse().unwrap();
            (2 * n).to_string()
        });
        let server = Server::bind("127.0.0.1:0").unwrap();
        let (addr, stop) = (server.local_addr().unwrap(), server.handle());
        let serving = ropewalk::spawn(move || server.serve(app));
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let sum = AtomicUsize::new(0);
        coroutine::scope(|s| {
            for n in 0..20 {
                let (client, sum) = (&client, &sum);
                s.spawn(move || {
                    let text = wait(async {
                        let url = format!("http://{addr}/double/{n}");
                        client.get(url).send().await?.text().await
                    });
                    sum.fetch_add(text.unwrap().parse().unwrap(), Ordering::SeqCst);
                });
            }
        });
        assert_eq!(sum.load(Ordering::SeqCst), 2 * 190);
        drop(client);
        stop.shutdown(PATIENCE).unwrap();
        serving.join().unwrap().unwrap();
    });
}

// Its sockets and timers work, and the future may borrow and need not be `Send`.
#[test]
fn what_waits_may_borrow_and_stay_here() {
    on_each(|| {
        let mut buf = [0; 5];
        let local = Rc::new(Cell::new(0));
        wait(async {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            let addr = listener.local_addr().unwrap();
            let echo = tokio::spawn(async move {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut buf = [0; 5];
                stream.read_exact(&mut buf).await.unwrap();
                stream.write_all(&buf).await.unwrap();
            });
            let mut stream = tokio::net::TcpStream::connect(addr).await.unwrap();
            stream.write_all(b"hello").await.unwrap();
            tokio::time::sleep(Duration::from_millis(1)).await;
            stream.read_exact(&mut buf).await.unwrap();
            local.set(local.get() + 1);
            echo.await.unwrap();
        });
        assert_eq!((&buf, local.get()), (b"hello", 1));
    });
}

// One waits in tokio's timer, and the worker runs the others.
#[test]
fn only_the_coroutine_waits() {
    let runtime = Runtime::builder().workers(1).build().unwrap();
    runtime.run(|| {
        let (sender, receiver) = tokio::sync::oneshot::channel();
        let waiting = coroutine::spawn(move || wait(receiver).unwrap());
        coroutine::yield_now();
        assert!(!waiting.is_finished());
        sender.send(7).unwrap();
        assert_eq!(waiting.join().unwrap(), 7);
    });
    runtime.shutdown(PATIENCE).unwrap();
}

#[test]
fn a_cancelled_wait_drops_the_future() {
    on_each(|| {
        struct Dropped<'a>(&'a Cell<bool>);
        impl Drop for Dropped<'_> {
            fn drop(&mut self) {
                self.0.set(true);
            }
        }
        let dropped = Cell::new(false);
        let guard = Dropped(&dropped);
        let ended = cancel::timeout(Duration::from_millis(2), || {
            wait_cancellable(async move {
                let _guard = guard;
                tokio::time::sleep(HOUR).await;
            })
        });
        assert!(ended.unwrap_err().into_inner().unwrap_err().is_timeout());
        assert!(dropped.get());
        let token = Token::new();
        token.cancel();
        assert!(
            token
                .run(|| wait_cancellable(std::future::pending::<()>()))
                .is_err()
        );
        // Not a cancellation point.
        token.run(|| wait(tokio_sleep(1)));
    });
}

async fn tokio_sleep(ms: u64) {
    tokio::time::sleep(Duration::from_millis(ms)).await;
}

#[test]
fn async_tasks_await_tokio_futures() {
    on_each(|| {
        let tasks: Vec<_> = (1..=20)
            .map(|n| {
                ropewalk::spawn_async(async move {
                    with_context(tokio_sleep(n % 3)).await;
                    // On whichever worker it is by now.
                    with_context(async { tokio::spawn(async move { n }).await.unwrap() }).await
                })
            })
            .collect();
        let sum: u64 = tasks.into_iter().map(|task| task.join().unwrap()).sum();
        assert_eq!(sum, 210);
    });
}

#[test]
fn a_panic_comes_through_and_the_next_wait_works() {
    on_each(|| {
        let panicked = coroutine::spawn(|| {
            wait(async {
                tokio_sleep(1).await;
                std::panic::resume_unwind(Box::new("on purpose"));
            })
        });
        assert!(panicked.join().unwrap_err().is_panic());
        wait(tokio_sleep(1));
    });
}

#[test]
fn tasks_of_tokio_are_joined_by_coroutines() {
    on_each(|| {
        let task = handle().unwrap().spawn(async { 6 * 7 });
        assert_eq!(wait(task).unwrap(), 42);
    });
    assert!(init(handle().unwrap().clone()).is_err(), "it has started");
}

// Coroutines that wait inside a poll, in no order, leave tokio's guards as they are.
#[test]
fn waits_inside_a_poll_may_interleave() {
    let runtime = Runtime::builder().workers(1).build().unwrap();
    runtime.run(|| {
        coroutine::scope(|s| {
            for n in 0..10 {
                s.spawn(move || {
                    wait(async move {
                        for _ in 0..n {
                            coroutine::yield_now();
                        }
                        tokio_sleep(1).await;
                    });
                });
            }
        });
    });
    runtime.shutdown(PATIENCE).unwrap();
}
