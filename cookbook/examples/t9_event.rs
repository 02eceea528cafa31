//! T9, known as `Event`: workers wait for a service to be ready, and give up after three tries.
//!
//! The service is a real one, a Redis server on a free port that comes up late; without one on
//! this machine only the waiting in vain is shown. `t9_event 0.5` has each try last half a second
//! rather than one.

use std::io::{self, BufRead, BufReader, Write};
use std::net::SocketAddr;

use ropewalk::coroutine;
use ropewalk::net::{TcpListener, TcpStream};
use ropewalk::process::{Child, Command, Stdio};
use ropewalk::sync::Event;
use ropewalk::time::{Duration, Instant};

/// How often a worker tries.
pub const TRIES: u32 = 3;

/// Waits for the event, `patience` a try, and logs each try that was in vain with the caller's
/// name. Gives the number of the try that saw it, or `None` after the last.
pub fn wait_ready(
    ready: &Event,
    patience: Duration,
    log: &(impl Fn(String) + Sync),
) -> Option<u32> {
    let name = coroutine::current().name().unwrap_or_default();
    for number in 1..=TRIES {
        if ready.wait_timeout(patience).is_ok() {
            return Some(number);
        }
        log(format!("{name}: not ready after try {number}"));
    }
    log(format!("{name}: gives up"));
    None
}

/// Has so many named workers wait; each does `work` if the service is ready in time. Gives what
/// they had of it.
pub fn workers<T: Send>(
    count: usize,
    ready: &Event,
    patience: Duration,
    log: &(impl Fn(String) + Sync),
    work: impl Fn() -> T + Sync,
) -> Vec<Option<T>> {
    coroutine::scope(|s| {
        let work = &work;
        let workers: Vec<_> = (1..=count)
            .map(|number| {
                let worker = coroutine::Builder::new().name(format!("worker {number}"));
                let run = move || wait_ready(ready, patience, log).map(|_| work());
                worker.spawn_scoped(s, run).expect("memory for a stack")
            })
            .collect();
        let joined = workers.into_iter().map(|w| w.join().expect("no panic"));
        joined.collect()
    })
}

/// Asks a Redis server one thing, and gives the line it answers.
///
/// # Errors
///
/// The connection's.
pub fn ask(addr: SocketAddr, command: &str) -> io::Result<String> {
    let stream = TcpStream::connect(addr)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    write!(&stream, "{command}\r\n")?;
    let mut line = String::new();
    BufReader::new(&stream).read_line(&mut line)?;
    Ok(line.trim_end().to_owned())
}

/// Says whether there is a Redis server to be started on this machine.
pub fn is_installed() -> bool {
    let version = Command::new("redis-server").arg("--version").output();
    version.is_ok_and(|output| output.status.success())
}

/// Starts a Redis server on a free port, in memory only; it ends when the child is dropped.
///
/// # Errors
///
/// The system's.
pub fn start_redis() -> io::Result<(Child, SocketAddr)> {
    // On a loopback address that others don't use: they could get the port in between.
    let addr = TcpListener::bind("127.0.1.3:0")?.local_addr()?;
    let (host, port) = (addr.ip().to_string(), addr.port().to_string());
    let child = Command::new("redis-server")
        .args(["--bind", &host, "--port", &port])
        .args(["--save", "", "--appendonly", "no"])
        .current_dir(std::env::temp_dir())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn()?;
    Ok((child, addr))
}

/// Asks until it answers, for `limit` at most.
pub fn is_up_within(addr: SocketAddr, limit: Duration) -> bool {
    let start = Instant::now();
    while start.elapsed() < limit {
        if ask(addr, "PING").is_ok_and(|answer| answer == "+PONG") {
            return true;
        }
        coroutine::sleep(Duration::from_millis(10));
    }
    false
}

/// Three workers wait for a server that is started only once one of them has waited in vain. Each
/// counts itself in it. Gives their numbers, sorted.
///
/// # Errors
///
/// The server's.
pub fn late_redis(patience: Duration, log: &(impl Fn(String) + Sync)) -> io::Result<Vec<String>> {
    let (ready, late) = (Event::new(), Event::new());
    let port = ropewalk::sync::OnceLock::new();
    coroutine::scope(|s| {
        let server = s.spawn(|| {
            late.wait()?;
            let (redis, addr) = start_redis()?;
            // As long as the workers wait for it after their first try.
            if is_up_within(addr, patience * (TRIES - 1)) {
                port.set(addr).expect("one server");
                ready.set();
            }
            io::Result::Ok(redis)
        });
        let log = |line: String| {
            log(line);
            late.set();
        };
        let work = || ask(*port.get().expect("ready"), "INCR workers");
        let numbers = workers(3, &ready, patience, &log, work);
        let _redis = server.join().expect("no panic")?;
        let mut numbers: Vec<String> = numbers
            .into_iter()
            .map(|number| number.unwrap_or_else(|| Err(io::ErrorKind::TimedOut.into())))
            .collect::<io::Result<_>>()?;
        numbers.sort();
        Ok(numbers)
    })
}

#[ropewalk::main]
fn main() -> io::Result<()> {
    let seconds = std::env::args().nth(1);
    let seconds = seconds.map_or(Ok(1.0), |text| text.parse());
    let patience = Duration::from_secs_f64(seconds.map_err(io::Error::other)?);
    let log = |line: String| println!("{line}");

    println!("nobody sets it:");
    let never = Event::new();
    let gave_up = workers(2, &never, patience / 10, &log, || ());
    println!("all gave up: {}", gave_up.iter().all(Option::is_none));

    let already = Event::new();
    already.set();
    println!("set already: {:?}", wait_ready(&already, patience, &log));

    if is_installed() {
        println!("Redis comes up late:");
        println!("counted: {:?}", late_redis(patience, &log)?);
    } else {
        println!("skipped: redis-server not installed");
    }
    Ok(())
}
