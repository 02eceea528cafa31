//! How a runtime starts: its settings, its threads, and what could not be had.

use std::num::NonZero;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize};
use std::sync::{Arc, Condvar, Mutex, Once, OnceLock, PoisonError};
use std::{io, thread};

use crossbeam_deque::Injector;

use super::spawning::check_name;
use super::{Config, Crew, ON_START, RUNNING, RUNTIMES, Ranked, Runtime, Seat, Shared};
use crate::choices::Choices;
use crate::driver::{Driver, DriverKind, Futures, Signal};
use crate::host::{Host, HostPool};
use crate::places::Places;
use crate::record::LOCAL;
use crate::stack::StackPool;
use crate::wait::WaitQueue;
use crate::watcher::Post;
use crate::worker::{Counts, Deques, Inbox, Sleepers, Worker, WorkerShared};
use crate::{clock, fork, record, stack, wait, watcher};

impl Runtime {
    /// Starts the workers.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for settings (also of the environment) that make no sense,
    /// `Unsupported` or the system's error for a driver that is not to be had, and what
    /// starting a thread gives.
    pub fn new(config: Config) -> io::Result<Runtime> {
        fork::check()?;
        fork::notice();
        let (driver, asked) = driver_of(&config)?;
        match Runtime::with_driver(&config, driver) {
            // A ring for each worker takes locked memory (before Linux 5.12) and descriptors.
            Err(_) if driver == DriverKind::IoUring && !asked => {
                Runtime::with_driver(&config, DriverKind::Epoll)
            }
            result => result,
        }
    }

    fn with_driver(config: &Config, driver: DriverKind) -> io::Result<Runtime> {
        let workers = workers_of(config)?;
        let patience_ns = watcher::patience_of(config.watch)?;
        let stack_bytes = match config.stack_bytes {
            0 => stack::DEFAULT_BYTES,
            bytes => bytes,
        };
        let stack_bytes = stack::usable_bytes_for(stack_bytes)?;
        stack::overflow::describe_with(Host::describe);
        check_name(&config.thread_name)?;
        stack::overflow::install();
        install_panic_hook();
        let mut shared = Vec::with_capacity(workers);
        for index in 0..workers {
            let deque = crossbeam_deque::Worker::new_fifo();
            let jobs = crossbeam_deque::Worker::new_lifo();
            shared.push(WorkerShared {
                inbox: Inbox::new(),
                placed: Injector::new(),
                pinned: Injector::new(),
                stealer: deque.stealer(),
                jobs: jobs.stealer(),
                seat: Seat::new(index, (deque, jobs)),
                asleep: AtomicBool::new(false),
                futures: Futures::new(),
                signal: Signal::new()
                    .map_err(|error| not_started(index, workers, "its eventfd", &error))?,
                letters: Mutex::new(Some(Vec::new())),
                has_letters: AtomicBool::new(false),
                sleeps_for_ever: AtomicBool::new(false),
                visitors: AtomicUsize::new(0),
                post: Post::new(),
                kept: AtomicBool::new(false),
                excused: AtomicBool::new(false),
                counts: Counts::default(),
                beat_ns: AtomicU64::new(clock::now_ns()),
                roused_ns: AtomicU64::new(0),
            });
        }
        let crew = Crew::new(
            workers,
            config.lazy.clone(),
            config.hooks.clone(),
            config.thread_name.clone(),
        );
        let shared = Arc::new(Shared {
            workers: shared.into(),
            injector: Injector::new(),
            ranked: Ranked::default(),
            sleepers: Sleepers::new(workers),
            crew,
            choices: Choices::new(config.seed),
            state: AtomicU8::new(RUNNING),
            injected: AtomicU64::new(0),
            cancelling: AtomicBool::new(false),
            cancelled: AtomicU64::new(0),
            quiet: WaitQueue::new(),
            places: config.coroutines_max.map(|max| Places::new(max.get())),
            driver,
            stack_bytes,
            no_stack_told: AtomicBool::new(false),
            stopped: Mutex::new(0),
            stopped_changed: Condvar::new(),
            closed: AtomicUsize::new(0),
            stall_told: AtomicBool::new(false),
            extension: OnceLock::new(),
        });
        RUNTIMES
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(Arc::downgrade(&shared));
        let runtime = Runtime { shared };
        runtime.shared.seat_all()?;
        if let Some(patience_ns) = patience_ns {
            watcher::watch(&runtime.shared, patience_ns);
        }
        if let Some(started) = ON_START.get() {
            started();
        }
        Ok(runtime)
    }
}

fn workers_of(config: &Config) -> io::Result<usize> {
    const WORKERS_MAX: usize = 1024;
    let invalid = |text: String| io::Error::new(io::ErrorKind::InvalidInput, text);
    let (workers, said_by) = match config.workers {
        Some(workers) => (workers, ""),
        None => match std::env::var("ROPEWALK_WORKERS") {
            Err(std::env::VarError::NotUnicode(text)) => {
                return Err(invalid(format!(
                    "ROPEWALK_WORKERS={text:?} is not a number"
                )));
            }
            Ok(text) if !text.is_empty() => {
                let workers = text.parse().map_err(|_| {
                    invalid(format!(
                        "ROPEWALK_WORKERS={text} is not a number of workers"
                    ))
                })?;
                (workers, "ROPEWALK_WORKERS asks for ")
            }
            _ => (thread::available_parallelism().map_or(1, NonZero::get), ""),
        },
    };
    if workers == 0 || workers > WORKERS_MAX {
        return Err(invalid(format!(
            "{said_by}{workers} workers: use 1 to {WORKERS_MAX}"
        )));
    }
    Ok(workers)
}

/// The driver, and whether it was asked for by name.
fn driver_of(config: &Config) -> io::Result<(DriverKind, bool)> {
    let asked = match config.driver {
        Some(driver) => Some(driver),
        None => DriverKind::from_env()?,
    };
    match asked {
        Some(driver) => driver.check().map(|()| (driver, true)),
        None => Ok((DriverKind::probe(), false)),
    }
}

/// Why a runtime could not start.
pub(super) fn not_started(
    index: usize,
    workers: usize,
    what: &str,
    error: &io::Error,
) -> io::Error {
    let hint = match error.raw_os_error() {
        Some(libc::EMFILE) => "; see ulimit -n",
        Some(libc::ENFILE) => "; see fs.file-max",
        Some(libc::EAGAIN) => "; see ulimit -u, and the limits of the cgroup",
        Some(libc::ENOMEM) => "; see ulimit -v and ulimit -l, and the limits of the cgroup",
        _ => "",
    };
    io::Error::new(
        error.kind(),
        format!("worker {index} of {workers} can't have {what}: {error}{hint}"),
    )
}

/// Runs a worker on the calling thread until the runtime stops, or the worker retires: then gives
/// its deques back.
pub(super) fn worker_thread(shared: &Arc<Shared>, index: usize, driver: Driver) -> Option<Deques> {
    let this = &shared.workers[index];
    this.futures.begin();
    if let Some(home) = driver.home() {
        this.futures.serve(home);
    }
    let overflow = stack::overflow::install_thread();
    let hosts = HostPool::new(StackPool::new(), shared.stack_bytes, &raw const *this);
    let deques = this.seat.take_deques();
    let worker = Worker::new(Arc::clone(shared), index, deques, driver, hosts);
    // A panic of the kernel's own must not unwind this thread: rule 1.
    let guard = wait::AbortOnUnwind;
    shared.note_arrived();
    worker.run();
    if !worker.has_retired() {
        worker.take_all(&mut |task| shared.cancel(task));
    }
    std::mem::forget(guard);
    if this.live_started() != 0 {
        // Soundness rule 1: this thread, and the stacks it owns, stay for ever. Its driver is
        // polled no more: descriptors that others use find another home.
        worker.driver.close();
        this.futures.leave();
        this.close_letters();
        shared.note_stopped();
        loop {
            thread::park();
        }
    }
    worker.leave();
    worker.driver.close();
    this.futures.leave();
    this.close_letters();
    let retired = worker.has_retired();
    let deques = worker.into_deques();
    drop(overflow);
    retired.then_some(deques)
}

/// Wraps the panic hook that is there, once: a panic in a coroutine says which one, and
/// a wait inside the hook blocks the thread instead of letting others run.
/// Hooks can't be set by a thread that panics: `take_hook` would panic in the midst of that, which
/// ends the process. A runtime started by one has its hook from its first worker's thread.
pub(super) fn install_panic_hook() {
    static ONCE: Once = Once::new();
    if !ONCE.is_completed() && thread::panicking() {
        return;
    }
    ONCE.call_once(|| {
        let previous = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            wait::mark_panic_hook(|| {
                previous(info);
                tell_coroutine();
            });
        }));
    });
}

fn tell_coroutine() {
    let Some(record) = Worker::current().and_then(Worker::current_record) else {
        return;
    };
    let local = if record.has(LOCAL) { "local " } else { "" };
    if let Some(snapshot) = record::snapshot(record, std::ptr::null()) {
        let name = snapshot.name.as_deref().unwrap_or("unnamed");
        match snapshot.site {
            Some(site) => eprintln!(
                "in {local}coroutine '{name}' (id {}) from {site}",
                snapshot.id
            ),
            None => eprintln!("in {local}coroutine '{name}' (id {})", snapshot.id),
        }
    }
}
