//! The contenders' side of the benchmarks, one file for each way of doing the work.
//!
//! What those of tasks and servers keep to: one worker, the same bytes in and out, `TCP_NODELAY` on, and
//! otherwise what the library sets by itself or its documentation recommends for a server.

mod axum;
mod bare;
mod datagrams;
mod forks;
mod gate;
mod hyper;
mod locks;
mod may;
mod may_minihttp;
mod messages;
pub(crate) mod pools;
mod reads;
mod rings;
mod ropewalk;
mod sleeps;
mod thread_pools;
mod threads;
mod tokio;
mod waiting;

pub(crate) use waiting::Fixed;

use std::io;
use std::time::Duration;

/// The body of every HTTP answer.
pub(crate) const HELLO: &str = "Hello, World!";

/// The content type of every HTTP answer.
const PLAIN_TEXT: &str = "text/plain; charset=utf-8";

/// The buffer an echo server reads into.
const ECHO_BUFFER_BYTES: usize = 1024;

/// Where in a task's code it yields.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum YieldSite {
    /// In the loop of the task itself, where a compiler may inline all of it.
    Loop,
    /// Two calls down that are not inlined, as the wait inside a blocking call is.
    TwoCallsDown,
}

/// A runtime that runs tasks for `switch`, `spawn` and `memory`, on one worker.
pub(crate) trait Tasks {
    /// Has `tasks` tasks yield `yields` times each, from `site`; the time from when all had
    /// arrived until all had finished.
    fn switch(&self, tasks: usize, yields: u64, site: YieldSite) -> Duration;

    /// Spawns and joins `batches` times `batch` tasks, from a task on the worker.
    fn spawn_and_join(&self, batch: usize, batches: u64) -> Duration;

    /// Has `count` more tasks sleep for [`crate::memory::SLEEP`], each holding a written buffer
    /// if `buffer`, and returns when all do.
    fn put_to_sleep(&self, count: usize, buffer: bool);
}

/// The runtime of that name, if it takes part in the task benchmarks.
pub(crate) fn tasks(contender: &str) -> Option<Box<dyn Tasks>> {
    Some(match contender {
        "ropewalk" => Box::new(ropewalk::Coroutines::new()),
        "tokio" => Box::new(tokio::TokioTasks::multi_thread()),
        "tokio-current-thread" => Box::new(tokio::TokioTasks::current_thread()),
        "may" => Box::new(may::Coroutines::new()),
        "std-thread" => Box::new(threads::Threads),
        _ => return None,
    })
}

/// Starts the echo server of that name, if there is one: its port.
pub(crate) fn echo_server(contender: &str) -> Option<io::Result<u16>> {
    Some(match contender {
        "ropewalk" | "ropewalk-epoll" => ropewalk::serve_echo(),
        "tokio" => tokio::serve_echo(),
        "may" => may::serve_echo(),
        "std-thread" => threads::serve_echo(),
        "bare-epoll" => bare::serve_echo(),
        "monoio" => rings::with_monoio::serve_echo(),
        "glommio" => rings::with_glommio::serve_echo(),
        "compio" => rings::with_compio::serve_echo(),
        _ => return None,
    })
}

/// Starts the HTTP server of that name, if there is one: its port. `pipelined` asks for what
/// the library recommends for clients that pipeline.
pub(crate) fn http_server(contender: &str, pipelined: bool) -> Option<io::Result<u16>> {
    Some(match contender {
        "ropewalk" | "ropewalk-epoll" => ropewalk::serve_http(),
        "axum" => axum::serve_http(),
        "axum-pipeline-flush" => axum::serve_pipelined_http(),
        "hyper" => hyper::serve_http(pipelined),
        "may_minihttp" => may_minihttp::serve_http(),
        "bare-epoll" => bare::serve_http(),
        _ => return None,
    })
}

/// The pool of processes of that name, if there is one.
pub(crate) fn pool(contender: &str) -> Option<Box<dyn pools::Pool>> {
    pools::pool(contender)
}

/// The driver that the contender's process is to use, if it is one of Ropewalk's.
pub(crate) fn driver(contender: &str) -> Option<&'static str> {
    match contender {
        "ropewalk" => Some("io_uring"),
        "ropewalk-epoll" => Some("epoll"),
        _ => None,
    }
}
