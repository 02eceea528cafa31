//! The worker process: says hello, then runs one task after the other until it is told to stop.
//!
//! Tasks run on the coroutine that takes them, one at a time, in a runtime with one worker. A task
//! may spawn coroutines of its own, which go on while it, or the next one, waits. While there
//! is no task and no such coroutine, the thread sleeps on the bell itself; else a thread of the
//! blocking pool does, so that they can go on.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use ropewalk_rt::Runtime;
use ropewalk_rt::coroutine;
use ropewalk_rt::executor::panics;
use ropewalk_rt::executor::tasks::{CallError, Output, Overflow, Panic, TaskEntry};
use ropewalk_rt::unblock;

use super::wire::{Code, HELLO_MAX, Hello, KIND, Orders, outcome};
use crate::memory::Region;
use crate::pass;
use crate::ring::bell::Spin;
use crate::ring::payload::{Payload, Writer};
use crate::ring::runner::{Next, Runner, Task};
use crate::start::{Kind, Setup};

inventory::submit! {
    Kind { name: KIND, run }
}

/// A worker that couldn't begin, or whose parent's memory makes no sense.
const EXIT_BROKEN: i32 = 70;

impl Output for Writer {
    fn write(&mut self, bytes: &[u8]) -> Result<(), Overflow> {
        self.write_or_note(bytes).map_err(|()| Overflow)
    }
}

fn run(setup: Setup) -> i32 {
    let mut fds = setup.fds.into_iter();
    let mut next = || fds.next().ok_or("the parent gave too few descriptors");
    let mut begin = || -> Result<_, Box<dyn std::error::Error>> {
        let orders: Orders = postcard::from_bytes(&setup.bytes)?;
        let region = Region::from_fd(next()?)?;
        let bell = Region::from_fd(next()?)?;
        let socket = next()?;
        Ok((orders, region, bell, socket))
    };
    let (orders, region, bell, socket) = match begin() {
        Ok(all) => all,
        Err(error) => {
            eprintln!(
                "ropewalk: the worker \"{}\" can't begin: {error}",
                setup.name
            );
            return EXIT_BROKEN;
        }
    };
    let ready = || -> io::Result<_> {
        let runner = Runner::new(region, orders.layout, socket.try_clone()?, bell)?;
        // Tasks may compute for as long as they like: nobody is to be told.
        let runtime = Runtime::builder().workers(1).watch(None).build()?;
        Ok((runner, runtime))
    };
    let (runner, runtime) = match ready() {
        Ok(both) => both,
        Err(error) => return refuse(&socket, error.to_string()),
    };
    leave_interrupts_to_the_parent();
    let fds: Vec<OwnedFd> = fds.collect();
    let runtime_of_tasks = runtime.handle();
    let tasks = coroutine_of_tasks(orders.stack_size);
    let main = runtime.run(move || {
        tasks.spawn(move || {
            let live = || runtime_of_tasks.live();
            begin_and_serve(runner, &orders, fds, &socket, live)
        })
    });
    match main.map(|handle| handle.join()) {
        Ok(Ok(code)) => code,
        Ok(Err(error)) => {
            eprintln!("ropewalk: the worker \"{}\" failed: {error}", setup.name);
            EXIT_BROKEN
        }
        Err(error) => {
            eprintln!(
                "ropewalk: the worker \"{}\" can't begin: {error}",
                setup.name
            );
            EXIT_BROKEN
        }
    }
}

fn coroutine_of_tasks(stack_size: usize) -> coroutine::Builder {
    coroutine::Builder::new()
        .name("pool task")
        .stack_size(stack_size)
}

/// Says that the worker can't begin.
fn refuse(socket: &OwnedFd, why: String) -> i32 {
    // If the parent is gone, there is nobody to tell.
    let _ = say(socket, &Hello::Failed(why));
    EXIT_BROKEN
}

fn say(socket: &OwnedFd, hello: &Hello) -> io::Result<()> {
    let mut bytes = postcard::to_stdvec(hello).map_err(io::Error::other)?;
    if bytes.len() > HELLO_MAX {
        let short = Hello::Failed("its reason is too long to be told".to_owned());
        bytes = postcard::to_stdvec(&short).map_err(io::Error::other)?;
    }
    rustix::net::send(socket, &bytes, rustix::net::SendFlags::NOSIGNAL)?;
    Ok(())
}

/// Ctrl-C reaches all processes of the terminal's group; what is to happen is the parent's matter,
/// and its death is the worker's. Not by ignoring the signal, which commands that a task
/// starts would inherit.
fn leave_interrupts_to_the_parent() {
    extern "C" fn nothing(_: libc::c_int) {}
    let handler = nothing as extern "C" fn(libc::c_int);
    // SAFETY: a zeroed sigaction is one with an empty mask; the handler does nothing, so it is
    // async-signal-safe.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler as libc::sighandler_t;
        action.sa_flags = libc::SA_RESTART;
        libc::sigaction(libc::SIGINT, &action, std::ptr::null_mut());
    }
}

fn begin_and_serve(
    runner: Runner,
    orders: &Orders,
    fds: Vec<OwnedFd>,
    socket: &OwnedFd,
    live: impl Fn() -> u64,
) -> i32 {
    if let Err(why) = initialize(orders, fds) {
        return refuse(socket, why);
    }
    if say(socket, &Hello::Ready).is_err() {
        return EXIT_BROKEN;
    }
    match serve(runner, orders, live) {
        Ok(()) => 0,
        // The parent is gone, and this process soon too.
        Err(_) => EXIT_BROKEN,
    }
}

fn initialize(orders: &Orders, fds: Vec<OwnedFd>) -> Result<(), String> {
    let Some((index, args)) = &orders.initializer else {
        return Ok(());
    };
    let entry = TaskEntry::by_index(*index).ok_or("there is no such initialiser")?;
    let mut output = Vec::new();
    let call = || pass::with_incoming(fds, || entry.run(args, &mut output));
    match panics::catch(call) {
        // What it returns is nobody's.
        Ok(Ok(()) | Err(CallError::Encode(_) | CallError::Overflow)) => Ok(()),
        Ok(Err(error)) => Err(format!("the initialiser \"{}\": {error}", entry.name())),
        Err(panic) => {
            let at = panic.location.unwrap_or_default();
            Err(format!(
                "the initialiser \"{}\" panicked at {at}: {}",
                entry.name(),
                panic.message
            ))
        }
    }
}

/// Runs tasks until the parent says that there will be no more.
fn serve(mut runner: Runner, orders: &Orders, live: impl Fn() -> u64) -> io::Result<()> {
    /// How large a buffer is kept from one task to the next.
    const KEPT: usize = 64 << 10;
    let mut input = Vec::new();
    let mut output = Vec::new();
    let mut spin = Spin::new(orders.spin_ns);
    let mut memory = orders.memory_max.map(Resident::new);
    loop {
        match runner.take(&mut input)? {
            Next::Task(task) => {
                let (code, payload) = call(&task, &input, output, runner.layout().arena_max());
                drop(task);
                runner.finish(code, &payload)?;
                output = match payload {
                    Payload::Bytes(bytes) if bytes.capacity() <= KEPT => bytes,
                    _ => Vec::new(),
                };
                if input.capacity() > KEPT {
                    input = Vec::new();
                }
                if let Some(memory) = &mut memory
                    && let Some(bytes) = memory.look()
                {
                    runner.set_resident(bytes, memory.max);
                }
            }
            Next::Stop => return Ok(()),
            // The others in this process are those that tasks have left behind.
            Next::Nothing if live() > 1 => {
                coroutine::yield_now();
                if !runner.has_some() {
                    unblock(|| runner.sleep());
                }
            }
            Next::Nothing => {
                if !spin.until(|| runner.has_some()) {
                    runner.sleep();
                }
            }
        }
    }
}

/// Calls a task; how it came out.
fn call(task: &Task, input: &[u8], output: Vec<u8>, memory_max: usize) -> (u32, Payload) {
    let code = Code(task.code);
    let mut writer = Writer::new(output, memory_max, None);
    let failed = |why: String| (outcome::FAILED, Payload::Bytes(why.into_bytes()));
    let Some(entry) = TaskEntry::by_index(code.index()) else {
        return failed("the worker has no such task".to_owned());
    };
    let run = || {
        let bytes = task.payload.bytes(input);
        if code.is_chunk() {
            entry.run_chunk(bytes, &mut writer)
        } else {
            entry.run(bytes, &mut writer)
        }
    };
    match panics::catch(run) {
        Ok(Ok(())) => match writer.finish() {
            Ok(payload) => (outcome::VALUE, payload),
            Err(error) => failed(format!("there is no room for the result: {error}")),
        },
        Ok(Err(error)) => failed(match writer.take_error() {
            Some(error) => format!("there is no room for the result: {error}"),
            None => format!("task \"{}\": {error}", entry.name()),
        }),
        Err(panic) => {
            // Text always can be.
            let bytes = postcard::to_stdvec(&Panic::from(panic)).unwrap_or_default();
            (outcome::PANIC, Payload::Bytes(bytes))
        }
    }
}

/// Looks at the resident memory of this process, from /proc/self/statm.
struct Resident {
    file: Option<std::fs::File>,
    next_ns: u64,
    page: u64,
    max: u64,
}

impl Resident {
    /// At most so often: the look costs a few microseconds.
    const PAUSE_NS: u64 = 1_000_000;

    fn new(max: u64) -> Resident {
        Resident {
            file: std::fs::File::open("/proc/self/statm").ok(),
            next_ns: 0,
            page: rustix::param::page_size() as u64,
            max,
        }
    }

    fn look(&mut self) -> Option<u64> {
        let now = crate::ring::now_ns();
        if now < self.next_ns {
            return None;
        }
        self.next_ns = now + Self::PAUSE_NS;
        let mut text = [0; 128];
        let read = rustix::io::pread(self.file.as_ref()?.as_fd(), &mut text, 0).ok()?;
        let text = std::str::from_utf8(&text[..read]).ok()?;
        let pages: u64 = text.split(' ').nth(1)?.parse().ok()?;
        Some(pages * self.page)
    }
}
