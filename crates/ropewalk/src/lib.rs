//! Write blocking Rust, get async scale, keep your crates.
//!
//! ```no_run
//! use ropewalk::{coroutine, net::{TcpListener, TcpStream}};
//! use std::io::{self, Read, Write};
//!
//! #[ropewalk::main]
//! fn main() -> io::Result<()> {
//!     let listener = TcpListener::bind("127.0.0.1:7000")?;
//!     for stream in listener.incoming() {
//!         let stream = stream?;
//!         coroutine::spawn(move || echo(stream));
//!     }
//!     Ok(())
//! }
//!
//! fn echo(mut stream: TcpStream) -> io::Result<()> {
//!     let mut buf = [0; 4096];
//!     loop {
//!         let n = stream.read(&mut buf)?; // only this coroutine waits
//!         if n == 0 {
//!             return Ok(());
//!         }
//!         stream.write_all(&buf[..n])?;
//!     }
//! }
//! ```
//!
//! A [coroutine](mod@coroutine) is a closure with a stack of its own. It starts on whichever worker is
//! free, **stays on that worker's thread** to its end, and gives way only where it waits: in a
//! read, a lock, a join, a sleep. Nothing needs to be set up: the first `spawn` starts the global
//! runtime, with a worker for each core; [`Runtime`] is for one of your own. Under [`main`](macro@main) the
//! program waits at its end for all that was spawned and is no daemon; without it, it ends when its `main`
//! returns.
//!
//! # Waiting
//!
//! Whatever waits here may be called from threads, coroutines and `async` code alike, in any
//! mixture: a thread blocks, a coroutine gives way to others, and `async` code awaits, or
//! calls the plain form and holds a stack for that while (as it must for [`sync::Condvar`]). The forms have the same names everywhere:
//!
//! | form | waits |
//! |---|---|
//! | `recv()`, `join()`, `acquire()` | for as long as it takes |
//! | `try_recv()` | not at all |
//! | `recv_timeout(duration)`, `recv_deadline(instant)` | until then |
//! | `recv_async()` | as a future, on any executor; dropped, it has taken nothing |
//!
//! ```
//! use ropewalk::{channel, coroutine, spawn_async, thread};
//!
//! let (sender, receiver) = channel::bounded(1);
//! let (one, two) = (sender.clone(), sender.clone());
//! coroutine::spawn(move || one.send("from a coroutine").unwrap());
//! thread::spawn(move || sender.send("from a thread").unwrap());
//! spawn_async(async move { two.send_async("from an async task").await.unwrap() });
//! assert_eq!(receiver.iter().count(), 3);
//! ```
//!
//! - [`sync`]: locks, conditions, semaphores, events, barriers, one-time initialisation. There is no
//!   poisoning. A guard may be held across a wait, and across an `.await` (where clippy's
//!   `await_holding_lock` takes it for one of a lock that blocks the worker).
//! - [`channel`]: crossbeam-channel's API, with [`select!`] over sends, receives, deadlines and join
//!   handles; [`watch`](channel::watch) and [`broadcast`](channel::broadcast). [`queue`]: Python's
//!   queues, whose [`join`](queue::QueueOf::join) waits until all work is done.
//! - Results: a [`JoinHandle`] can be joined or awaited, and calls you back
//!   ([`on_done`](JoinHandle::on_done)); a [`promise`](mod@promise) is a result that you set by hand.
//!   [`join_all`], [`as_completed`], [`wait_first`] and [`race`] take many of them.
//! - Coroutines that belong together: [`scope`] lets them borrow, [`try_scope`] ends them all with the
//!   first error, and a [`Group`] bounds how many run at once.
//! - [`spawn_async`] runs a future as a task without a stack on the same workers; [`block_on`] waits
//!   for any future; [`unblock`] runs a call that would block the worker on a thread for such
//!   calls.
//!
//! ```
//! use ropewalk::Group;
//!
//! let pool = Group::with_limit(3);
//! let squares: Result<Vec<u64>, _> = pool.map(1..=5, |n: u64| n * n).collect();
//! assert_eq!(squares.unwrap(), [1, 4, 9, 16, 25]);
//! ```
//!
//! # Files, sockets, processes
//!
//! [`fs`], [`net`], [`process`] and [`io`] are shaped like their namesakes in std, with borrowed buffers,
//! deadlines ([`cancel::timeout`]) and nothing else to learn: what can't be waited for by the driver goes
//! to a thread of the blocking pool by itself. [`signal`] waits for Ctrl-C and its kin.
//!
//! ```
//! use ropewalk::{coroutine, fs, process::Command};
//!
//! # fn main() -> std::io::Result<()> {
//! coroutine::scope(|s| {
//!     let text = s.spawn(|| fs::read_to_string("Cargo.toml"));
//!     let child = s.spawn(|| Command::new("tr").args(["a-z", "A-Z"]).output_with_input(b"loud"));
//!     assert!(text.join().unwrap()?.contains("[package]"));
//!     assert_eq!(child.join().unwrap()?.stdout, b"LOUD");
//!     Ok(())
//! })
//! # }
//! ```
//!
//! # Other people's futures
//!
//! [`block_on`] waits for any future that brings its own reactor or needs none, and
//! [`block_on_cancellable`](future::block_on_cancellable) ends with the caller's token. Our streams are
//! `futures-io` streams. Crates that need tokio work through `tokio::wait` (feature `tokio`), which starts one
//! tokio runtime in the background.
//!
//! # Cancellation and deadlines
//!
//! Nothing ever unwinds or kills a coroutine from outside. A cancellation, or a deadline, **ends
//! its waits with an error**: it returns by its own `?`, and gives back what it holds on the way.
//! A value that it has made by then is not thrown away.
//!
//! ```
//! use ropewalk::{cancel, net, spawn};
//! use std::io::{self, Read};
//! use std::time::Duration;
//!
//! # fn main() -> io::Result<()> {
//! let silent = net::TcpListener::bind("127.0.0.1:0")?;
//! let addr = silent.local_addr()?;
//! let read = move || {
//!     let mut stream = net::TcpStream::connect(addr)?;
//!     stream.read(&mut [0; 100])
//! };
//!
//! // For all that waits in the closure, and all that it spawns:
//! let late = cancel::timeout(Duration::from_millis(200), read).unwrap_err();
//! assert_eq!(late.into_inner().unwrap_err().kind(), io::ErrorKind::TimedOut);
//!
//! // One coroutine, from outside:
//! let reader = spawn(read);
//! let _both = (silent.accept()?, silent.accept()?);
//! reader.cancel();
//! assert!(reader.join().unwrap().is_err());
//! # Ok(())
//! # }
//! ```
//!
//! [`JoinHandle::cancel`] is for one task, [`Group::cancel`] for a group, a [`Token`](cancel::Token)
//! for whatever runs under it and the tokens below. A computation asks [`cancel::check`], and
//! [`cancel::shield`] lets a clean-up wait to its end. Locking, one-time initialisation and
//! a scope's wait for its children are not ended; see [`cancel`]. An `async` task that is cancelled
//! is dropped at its next turn.
//!
//! # Pools
//!
//! [`executor::ThreadPool`], [`executor::CoroutinePool`] and, with the feature `process`,
//! `process::ProcessPool` take work in one way: changing the pool is changing one word. A pool of
//! processes is told of functions by name, so they are marked with [`macro@task`]; a worker that crashes,
//! hangs or leaks harms the task it ran and nothing else.
//!
//! ```
//! use ropewalk::executor::{RunTask, ThreadPool};
//!
//! #[ropewalk::task]
//! fn square(n: u64) -> u64 {
//!     n * n
//! }
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let pool = ThreadPool::new(2)?; // or process::ProcessPool::new(2)?
//! let squares: Result<Vec<u64>, _> = pool.map(square, 1..=4).collect();
//! assert_eq!(squares?, [1, 4, 9, 16]);
//! assert_eq!(pool.submit(square, (7,))?.join()?, 49);
//! # Ok(())
//! # }
//! ```
//!
//! Work that is split in halves over and over is [`executor::join`]'s.
//!
//! # Deadlocks
//!
//! In debug builds, tasks that wait for each other's locks in a circle are reported with every
//! stack; and a program under [`main`](macro@main) in which all coroutines are asleep, and nothing is left
//! that could wake one, is ended with a report of who waits for what. See [`deadlock`].
//!
//! # Seeing inside
//!
//! [`inspect::dump`] shows every task with its stack and what it waits for, as text or JSON, also on SIGQUIT
//! ([`inspect::on_sigquit`]); [`inspect::metrics`] counts, for Prometheus too. With `ROPEWALK_INSPECT=1` the
//! command `ropewalk top PID` looks into the live process; only the same user may. A coroutine that
//! keeps its worker for more than 10 ms is told of once on standard error (`ROPEWALK_WATCH=off|20ms`,
//! [`RuntimeBuilder::watch`]).
//!
//! # Limits
//!
//! - **A coroutine that computes without waiting stalls all that started on its worker.** Call
//!   [`coroutine::yield_now`] now and then, or move the work to [`unblock`].
//! - **`std`'s and parking_lot's locks, `LazyLock`, `thread::park` and `std::sync::mpsc` block the
//!   worker**, and two of its coroutines can block each other for ever through them. Use those of
//!   [`sync`] and [`channel`], unless the lock is never held across a wait.
//! - **Scopes in thread-local storage that nest** (set, run a closure, restore) are broken if two
//!   coroutines of one worker interleave inside them; in
//!   [`coroutine::no_wait`] a wait panics instead.
//! - Stacks are 192 KiB in release and 960 KiB in debug builds, of which only the touched pages
//!   cost memory; [`Builder::stack_size`](coroutine::Builder::stack_size) changes that. An overflow
//!   ends the process with the coroutine's name.
//! - A wait inside `Drop` while unwinding lets other coroutines of the worker run, which then see
//!   `std::thread::panicking()`.
//!
//! # Coming from Python
//!
//! | Python | here |
//! |---|---|
//! | `threading.Thread(target=f).start()` | [`coroutine::spawn`]; [`thread::spawn`] if it computes |
//! | daemon threads | [`coroutine::Builder::daemon`], [`thread::Builder::daemon`] |
//! | `Lock`, `RLock`, `Condition` | [`sync::Mutex`], [`sync::ReentrantMutex`], [`sync::Condvar`] |
//! | `Semaphore`, `BoundedSemaphore` | [`sync::Semaphore`], [`sync::BoundedSemaphore`], with permits that give themselves back |
//! | `Event`, `Barrier` | [`sync::Event`], [`sync::Barrier`] |
//! | `queue.Queue`, `LifoQueue`, `PriorityQueue` | [`queue::Queue`], [`queue::LifoQueue`], [`queue::PriorityQueue`] |
//! | `concurrent.futures`: `wait`, `as_completed` | [`results::wait`], [`as_completed`] |
//! | `ThreadPoolExecutor(n)`, `ProcessPoolExecutor(n)`: `submit`, `map`, `shutdown` | [`executor::ThreadPool`], `process::ProcessPool`: [`submit`](executor::RunTask::submit), [`map`](executor::RunTask::map), [`shutdown`](executor::Pool::shutdown) |
//! | `multiprocessing.Pool`: `imap_unordered`, `starmap`, `close`, `terminate`, `join` | [`map_unordered`](executor::RunTask::map_unordered), [`starmap`](executor::RunTask::starmap), [`close`](executor::Pool::close), [`terminate`](executor::Pool::terminate), [`join`](executor::Pool::join) |
//! | `multiprocessing.Process`, `Pipe`, `Queue` | `process::{Process, Pipe, Queue}` |
//! | `multiprocessing.Value`, `Array`, `Lock`, `Event`, … | `process::shared`: as there, and a dead holder is told of |
//! | `multiprocessing.Manager`, `BaseManager` | `process::manager` |
//! | `Future.add_done_callback`, `set_result`, `set_exception` | [`JoinHandle::on_done`], [`Promise::set`], [`Promise::fail`] |
//! | `async def`, `asyncio.create_task` | a plain function and [`spawn`]; or `async fn` and [`spawn_async`] |
//! | `asyncio.run`, `run_in_executor`, `asyncio.to_thread` | [`block_on`], [`unblock`] |
//! | `asyncio.gather`, `TaskGroup` | [`join_all`], [`try_scope`] |
//! | `asyncio.wait_for`, `asyncio.timeout`, `shield` | [`cancel::timeout`], [`cancel::deadline`], [`cancel::shield`] |
//! | `task.cancel()`, `CancelledError` | [`JoinHandle::cancel`], an error of the wait |
//! | `async with lock`, `async for item in …` | `let guard = lock.lock()`, `for item in &receiver`; or [`lock_async`](sync::MutexExt::lock_async), [`recv_async`](channel::Receiver::recv_async) |
//! | `asyncio.sleep(0)`, `gevent.sleep(0)` | [`coroutine::yield_now`] |
//! | `gevent.spawn`, `joinall(timeout=)`, `kill` | [`spawn`], [`results::wait`], [`JoinHandle::cancel`] |
//! | `gevent.pool.Pool(n)`, `Group`, eventlet's `GreenPool` | [`Group`] |
//! | `gevent.Timeout` | [`cancel::timeout`] |
//! | generators, `send`; `greenlet.switch` | [`generator`], [`symmetric`] |
//! | `threading.local()` | [`coroutine_local!`] |
//! | `loop.run_until_complete`, `run_forever`, `stop`, `close` | [`Runtime::run_until_complete`], [`Runtime::run_forever`], [`Runtime::stop`], [`Runtime::close`] |
//! | `call_soon`, `call_soon_threadsafe`, `call_later`, `call_at` | [`Runtime::call_soon`], from any thread, [`Runtime::call_later`], [`Runtime::call_at`] |
//! | `asyncio.start_server`, protocols; `socketserver` | [`net::server`], [`net::protocol`] |
//! | `asyncio.create_subprocess_exec`, `subprocess` | [`process::Command`] |
//! | `aiofiles` | [`fs`] |
//! | `faulthandler`, `asyncio` debug mode | [`inspect`], the watcher |
//!
//! The cookbook in the repository has a program for each.
//!
//! # Features and platforms
//!
//! `http` adds the HTTP/1.1 client and server, `tls` its https; `process` worker processes; `tokio` the bridge to
//! tokio; `tracing` spans and events of tasks; `progress` bars. Linux only: kernel 5.10 and later; io_uring from 6.1.
//! `ROPEWALK_DRIVER=io_uring|epoll|poll|select` chooses, `ROPEWALK_WORKERS=n` sets the number of workers of
//! the global runtime.
#![forbid(unsafe_code)]

#[cfg(feature = "http")]
pub use ropewalk_http as http;
pub use ropewalk_macros::{main, task, test};
pub use ropewalk_rt::*;
// By name too, here and below: then the compiler tells of the feature to who has it switched off.
#[cfg(feature = "tokio")]
pub use ropewalk_rt::tokio;

/// Children: [`Command`](process::Command), and with the feature `process` pools of worker
/// processes, pipes, shared memory and managers.
pub mod process {
    #[cfg(feature = "process")]
    pub use ropewalk_process::*;
    #[cfg(feature = "process")]
    pub use ropewalk_process::{Pipe, Process, ProcessPool, Queue, manager, prefork, shared};
    pub use ropewalk_rt::process::*;
}
