//! tokio: its multi-thread runtime with one worker, and its current-thread runtime.

use std::future::Future;
use std::hint::black_box;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};

use super::gate::Gate;
use super::{ECHO_BUFFER_BYTES, Tasks, YieldSite};
use crate::memory::{ASLEEP, BUFFER_BYTES, SLEEP};

/// A multi-thread runtime with one worker.
pub(super) fn multi_thread() -> io::Result<Runtime> {
    Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
}

/// Serves on the worker of a multi-thread runtime: binds, then has `accept` take connections
/// for as long as the process lives.
pub(super) fn serve<F>(accept: impl FnOnce(TcpListener) -> F) -> io::Result<u16>
where
    F: Future<Output = ()> + Send + 'static,
{
    let runtime = multi_thread()?;
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0"))?;
    let port = listener.local_addr()?.port();
    runtime.spawn(accept(listener));
    // A runtime that is dropped stops; this one is to serve until the process ends.
    std::mem::forget(runtime);
    Ok(port)
}

/// Tasks of either runtime.
pub(super) struct TokioTasks {
    runtime: Runtime,
}

impl TokioTasks {
    /// On the multi-thread runtime.
    pub(super) fn multi_thread() -> TokioTasks {
        TokioTasks {
            runtime: multi_thread().expect("a runtime"),
        }
    }

    /// On the current-thread runtime.
    pub(super) fn current_thread() -> TokioTasks {
        let runtime = Builder::new_current_thread().enable_all().build();
        TokioTasks {
            runtime: runtime.expect("a runtime"),
        }
    }

    /// Runs `future` as a task, so that on the multi-thread runtime it is on the worker.
    fn run<F>(&self, future: F) -> F::Output
    where
        F: Future<Output: Send> + Send + 'static,
    {
        self.runtime
            .block_on(async { tokio::spawn(future).await.expect("a task without panics") })
    }
}

impl Tasks for TokioTasks {
    fn switch(&self, tasks: usize, yields: u64, site: YieldSite) -> Duration {
        let gate = Arc::new(Gate::new(tasks));
        let shared = gate.clone();
        self.run(async move {
            let spawn_one = |_| {
                let gate = shared.clone();
                tokio::spawn(async move {
                    gate.arrive();
                    let mut left = yields;
                    while left > 0 {
                        match site {
                            YieldSite::Loop => tokio::task::yield_now().await,
                            YieldSite::TwoCallsDown => yield_two_calls_down().await,
                        }
                        left -= gate.toll();
                    }
                    gate.finish();
                })
            };
            let handles: Vec<_> = (0..tasks).map(spawn_one).collect();
            for handle in handles {
                handle.await.expect("a task that yields does not panic");
            }
        });
        gate.elapsed()
    }

    fn spawn_and_join(&self, batch: usize, batches: u64) -> Duration {
        self.run(async move {
            let mut handles = Vec::with_capacity(batch);
            let start = Instant::now();
            for _ in 0..batches {
                handles.extend((0..batch).map(|i| tokio::spawn(async move { black_box(i) })));
                for handle in handles.drain(..) {
                    black_box(handle.await.expect("a task that returns does not panic"));
                }
            }
            start.elapsed()
        })
    }

    fn put_to_sleep(&self, count: usize, buffer: bool) {
        let before = ASLEEP.load(Ordering::Acquire);
        self.run(async move {
            for _ in 0..count {
                if buffer {
                    tokio::spawn(sleep_holding());
                } else {
                    tokio::spawn(sleep());
                }
            }
            while ASLEEP.load(Ordering::Acquire) < before + count {
                tokio::task::yield_now().await;
            }
        });
    }
}

#[inline(never)]
async fn yield_two_calls_down() {
    yield_one_call_down().await;
    black_box(());
}

#[inline(never)]
async fn yield_one_call_down() {
    tokio::task::yield_now().await;
    black_box(());
}

async fn sleep() {
    ASLEEP.fetch_add(1, Ordering::AcqRel);
    tokio::time::sleep(SLEEP).await;
}

async fn sleep_holding() {
    let mut held = [1u8; BUFFER_BYTES];
    black_box(&mut held);
    sleep().await;
    black_box(&mut held);
}

/// Serves an echo with a task for each connection.
pub(super) fn serve_echo() -> io::Result<u16> {
    serve(|listener| async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(echo(stream));
        }
    })
}

/// A peer that goes away ends its task, whatever way it went.
async fn echo(mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = [0; ECHO_BUFFER_BYTES];
    loop {
        match stream.read(&mut buffer).await? {
            0 => return Ok(()),
            length => stream.write_all(&buffer[..length]).await?,
        }
    }
}
