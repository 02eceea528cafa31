//! C5, known as `gevent.Timeout` and `kill`.
//!
//! Nothing is thrown into a coroutine, and nobody unwinds it from outside. A deadline, or a
//! cancellation, ends what it waits for with an error; it returns by its own `?`, and
//! everything it holds is given back on the way: locks, permits, connections.

use std::io::{self, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use ropewalk::cancel::{self, Cancelled, Token};
use ropewalk::channel;
use ropewalk::net::{TcpListener, TcpStream};
use ropewalk::sync::{Event, Mutex, Semaphore};
use ropewalk::time::{Duration, Instant};
use ropewalk::{Group, JoinError, spawn};

/// What jobs hold while they wait.
#[derive(Debug)]
pub struct Resources {
    permits: Semaphore,
    lock: Mutex<u32>,
    open: AtomicUsize,
}

/// Something that must be closed.
struct File<'a>(&'a Resources);

impl Drop for File<'_> {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Default for Resources {
    /// Three permits, a lock and no file.
    fn default() -> Resources {
        Resources {
            permits: Semaphore::new(3),
            lock: Mutex::new(0),
            open: AtomicUsize::new(0),
        }
    }
}

impl Resources {
    fn open(&self) -> File<'_> {
        self.open.fetch_add(1, Ordering::SeqCst);
        File(self)
    }

    /// Takes one of each, says so, and waits for what never comes.
    ///
    /// # Errors
    ///
    /// If the wait is cancelled: it has no other end.
    pub fn hold(&self, held: &Event) -> Result<(), Cancelled> {
        let _permit = self.permits.acquire()?;
        let _file = self.open();
        let mut count = self.lock.lock();
        *count += 1;
        held.set();
        Event::new().wait()
    }

    /// Whether nobody holds any of them.
    pub fn are_free(&self) -> bool {
        let permits = self.permits.available_permits() == 3;
        permits && self.lock.try_lock().is_some() && self.open.load(Ordering::SeqCst) == 0
    }
}

/// `with Timeout(limit):` gives whether the time ended the wait, and whether everything was
/// given back. The rest of the caller's life is not concerned: it may wait as before.
pub fn out_of_time(limit: Duration) -> (bool, bool) {
    let resources = Resources::default();
    let held = Event::new();
    let result = cancel::timeout(limit, || resources.hold(&held));
    let timed_out = result.is_err_and(|late| late.into_inner().is_err_and(|e| e.is_timeout()));
    assert_eq!(cancel::check(), Ok(()));
    (timed_out && held.is_set(), resources.are_free())
}

/// Which of two nested time limits was it?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Late {
    /// Neither.
    Neither,
    /// The inner one: the outer closure could go on.
    Inner,
    /// The outer one.
    Outer,
}

/// Waits inside two time limits for what never comes.
pub fn nested(outer: Duration, inner: Duration) -> Late {
    let (_sender, receiver) = channel::bounded::<()>(1);
    let both = cancel::timeout(outer, || {
        cancel::timeout(inner, || receiver.recv()).is_err()
    });
    match both {
        Ok(true) => Late::Inner,
        Ok(false) => Late::Neither,
        Err(_) => Late::Outer,
    }
}

/// `kill`: cancels a coroutine that holds things. Gives what it returned, and whether
/// everything was given back.
pub fn killed() -> (Result<(), Cancelled>, bool) {
    let resources = Arc::new(Resources::default());
    let held = Arc::new(Event::new());
    let victim = spawn({
        let (resources, held) = (Arc::clone(&resources), Arc::clone(&held));
        move || resources.hold(&held)
    });
    held.wait().expect("nobody cancels us");
    victim.cancel();
    let result = victim.join().expect("it returned");
    (result, resources.are_free())
}

/// Cancels a coroutine before its first step: it never runs. Gives whether joining says so,
/// and that it didn't run.
pub fn killed_at_birth() -> (bool, bool) {
    let ran = Arc::new(AtomicUsize::new(0));
    let token = Token::new();
    token.cancel();
    let seen = Arc::clone(&ran);
    let unborn = token.run(|| spawn(move || seen.fetch_add(1, Ordering::SeqCst)));
    let told = matches!(unborn.join(), Err(JoinError::Cancelled));
    (told, ran.load(Ordering::SeqCst) == 0)
}

/// Kills a server that waits for its client in a read. Gives what the read gave, and how many
/// bytes the client reads after the reply until the connection's end.
///
/// # Errors
///
/// Those of the sockets.
pub fn killed_in_a_read() -> io::Result<(io::Result<usize>, usize)> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let addr = listener.local_addr()?;
    let server = spawn(move || {
        let (mut stream, _) = listener.accept()?;
        stream.write_all(b"!")?;
        stream.read(&mut [0; 100])
    });
    let mut client = TcpStream::connect(addr)?;
    client.read_exact(&mut [0])?;
    server.cancel();
    let read = server.join().expect("it returned");
    Ok((read, client.read(&mut [0; 100])?))
}

/// `killall`: cancels `count` coroutines that queue for three permits. Gives how many gave
/// themselves up, and whether everything was given back.
pub fn killed_together(count: usize) -> (usize, bool) {
    let resources = Arc::new(Resources::default());
    let held = Arc::new(Event::new());
    let group = Group::new();
    let victims: Vec<_> = (0..count)
        .map(|_| {
            let (resources, held) = (Arc::clone(&resources), Arc::clone(&held));
            group.spawn(move || resources.hold(&held))
        })
        .collect();
    held.wait().expect("nobody cancels us");
    group.cancel();
    group.join().expect("nobody cancels us");
    let gave_up = victims
        .into_iter()
        .map(|victim| victim.join())
        .filter(|result| !matches!(result, Ok(Ok(()))))
        .count();
    (gave_up, resources.are_free())
}

/// A deadline ends waits, not computations: these ask. Gives how long it computed, which is
/// `Elapsed` too, with what was computed so far.
pub fn compute_for(limit: Duration) -> Duration {
    let start = Instant::now();
    let computed = cancel::timeout(limit, || {
        let mut rounds = 0_u64;
        while cancel::check().is_ok() {
            rounds += 1;
        }
        rounds
    });
    let _rounds = computed.expect_err("the time is over").into_inner();
    start.elapsed()
}

/// Cleaning up may wait too, with cancellation held off. Gives whether it waited to the end.
pub fn clean_up() -> bool {
    let (started, begin) = channel::bounded(1);
    let victim = spawn(move || {
        started.send(()).expect("it is awaited");
        let cancelled = cancel::sleep(Duration::from_secs(3600)).is_err();
        let farewell = cancel::shield(|| cancel::sleep(Duration::from_millis(1)));
        cancelled && farewell.is_ok()
    });
    begin.recv().expect("it is sent");
    victim.cancel();
    victim.join().expect("it returned")
}

fn main() -> io::Result<()> {
    let moment = Duration::from_millis(100);
    let (late, free) = out_of_time(moment);
    println!("timed out: {late}, and all given back: {free}");
    let hour = Duration::from_secs(3600);
    println!("the inner of two limits: {:?}", nested(hour, moment));
    println!("the outer of two limits: {:?}", nested(moment, hour));

    let (result, free) = killed();
    println!("killed: {result:?}, and all given back: {free}");
    let (told, never_ran) = killed_at_birth();
    println!("killed before its first step: {told}, it never ran: {never_ran}");
    let (read, rest) = killed_in_a_read()?;
    let error = read.map_or_else(|error| error.to_string(), |n| format!("{n} bytes"));
    println!("killed in a read: {error}; its client then reads {rest} bytes");
    let (gave_up, free) = killed_together(100);
    println!("killed together: {gave_up}, and all given back: {free}");

    println!(
        "computed until it was late: {}",
        compute_for(moment) >= moment
    );
    println!("cleaned up at leisure: {}", clean_up());
    Ok(())
}
