//! N2, known as the non-blocking server on one thread: a list of sockets, `setblocking(False)`,
//! `except BlockingIOError`, what could not be sent yet, and clients to be removed.
//!
//! Written on the raw sockets of `std`, to show what it takes: what a peer did not take must be
//! kept and sent later, one that takes nothing must not be read from either, a peer may
//! reset its connection at any call, and asking all sockets again and again costs a
//! processor even if nothing happens. Beside it the same server with a coroutine for each
//! client, which has none of that.

use std::io::{self, ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use ropewalk::net::server::TcpServer;
use ropewalk::{Runtime, coroutine, net, thread, time::Duration};
use rustix::time::{ClockId, clock_gettime};

/// What may wait to be sent to a client before it is read from no more.
const PENDING_MAX: usize = 256 * 1024;

/// What the polling server counts.
#[derive(Debug, Default)]
pub struct Counts {
    /// Clients there are.
    pub open: AtomicUsize,
    /// Those that went by an error.
    pub reset: AtomicUsize,
    /// Sends that found no room.
    pub full: AtomicUsize,
    /// Calls that found nothing to do.
    pub fruitless: AtomicUsize,
}

fn count(counter: &AtomicUsize) {
    counter.fetch_add(1, Ordering::SeqCst);
}

struct Client {
    stream: std::net::TcpStream,
    pending: Vec<u8>,
    /// It sends no more: to be removed when all is sent.
    ended: bool,
}

enum Fate {
    Stays,
    Goes,
}

impl Client {
    /// Does what can be done without waiting.
    fn turn(&mut self, buf: &mut [u8], counts: &Counts) -> io::Result<Fate> {
        if !self.pending.is_empty() {
            match self.stream.write(&self.pending) {
                Ok(sent) => drop(self.pending.drain(..sent)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => count(&counts.full),
                Err(error) => return Err(error),
            }
        }
        if self.ended && self.pending.is_empty() {
            return Ok(Fate::Goes);
        }
        if self.ended || self.pending.len() > PENDING_MAX {
            return Ok(Fate::Stays);
        }
        match self.stream.read(buf) {
            Ok(0) => self.ended = true,
            Ok(read) => self.pending.extend(buf[..read].to_ascii_uppercase()),
            Err(error) if error.kind() == ErrorKind::WouldBlock => count(&counts.fruitless),
            Err(error) => return Err(error),
        }
        Ok(Fate::Stays)
    }
}

/// Polls the listener and all clients, round and round, until `stop`.
///
/// # Errors
///
/// The listener's; those of clients end the client.
pub fn poll_all(
    listener: &std::net::TcpListener,
    stop: &AtomicBool,
    counts: &Counts,
) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let mut clients: Vec<Client> = Vec::new();
    let mut buf = vec![0; 64 * 1024];
    while !stop.load(Ordering::SeqCst) {
        match listener.accept() {
            Ok((stream, _)) => {
                stream.set_nonblocking(true)?;
                clients.push(Client {
                    stream,
                    pending: Vec::new(),
                    ended: false,
                });
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => count(&counts.fruitless),
            Err(error) if error.kind() == ErrorKind::ConnectionAborted => {}
            Err(error) => return Err(error),
        }
        // In Python removing from the list that is walked through leaves some out.
        clients.retain_mut(|client| match client.turn(&mut buf, counts) {
            Ok(Fate::Stays) => true,
            Ok(Fate::Goes) => false,
            Err(_) => {
                count(&counts.reset);
                false
            }
        });
        counts.open.store(clients.len(), Ordering::SeqCst);
    }
    Ok(())
}

/// A polling server in a thread.
pub struct Polling {
    /// Its address.
    pub addr: SocketAddr,
    /// Its counts.
    pub counts: Arc<Counts>,
    stop: Arc<AtomicBool>,
    thread: ropewalk::JoinHandle<io::Result<Duration>>,
}

impl Polling {
    /// Starts it.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn start() -> io::Result<Polling> {
        let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
        let addr = listener.local_addr()?;
        let (counts, stop) = <(Arc<Counts>, Arc<AtomicBool>)>::default();
        let (theirs, stopping) = (Arc::clone(&counts), Arc::clone(&stop));
        let thread = thread::spawn(move || {
            poll_all(&listener, &stopping, &theirs)?;
            Ok(cpu_time())
        });
        Ok(Polling {
            addr,
            counts,
            stop,
            thread,
        })
    }

    /// Stops it; gives the processor time it took.
    ///
    /// # Errors
    ///
    /// The server's.
    pub fn stop(self) -> io::Result<Duration> {
        self.stop.store(true, Ordering::SeqCst);
        self.thread.join().expect("it doesn't panic")
    }
}

/// The processor time of the calling thread.
fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Connects some clients, most of which say nothing, for a while.
///
/// # Errors
///
/// The system's.
pub fn quiet_clients(addr: SocketAddr) -> io::Result<()> {
    let mut clients = Vec::new();
    for _ in 0..20 {
        clients.push(std::net::TcpStream::connect(addr)?);
    }
    for _ in 0..20 {
        clients[0].write_all(b"still here?")?;
        let mut answer = [0; 11];
        clients[0].read_exact(&mut answer)?;
        assert_eq!(&answer, b"STILL HERE?");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    Ok(())
}

/// The processor time that quiet clients cost a server with a coroutine for each.
///
/// # Errors
///
/// The system's.
pub fn cost_with_coroutines() -> io::Result<Duration> {
    let runtime = Runtime::builder().workers(1).build()?;
    let server = TcpServer::bind("127.0.0.1:0", |stream: net::TcpStream, _| upper(&stream))?;
    let (addr, handle) = (server.local_addr()?, server.handle());
    let serving = runtime.spawn(move || {
        let before = cpu_time();
        server.serve_forever()?;
        // One worker: all was done by this thread.
        io::Result::Ok(cpu_time() - before)
    });
    quiet_clients(addr)?;
    handle
        .shutdown(Duration::from_secs(10))
        .map_err(io::Error::other)?;
    let cost = serving.join().expect("it doesn't panic");
    runtime
        .shutdown(Duration::from_secs(10))
        .map_err(io::Error::other)?;
    cost
}

/// One client of the server with coroutines: all there is to write.
fn upper(mut stream: &net::TcpStream) -> io::Result<()> {
    let mut buf = vec![0; 64 * 1024];
    loop {
        let read = stream.read(&mut buf)?;
        if read == 0 {
            return Ok(());
        }
        stream.write_all(&buf[..read].to_ascii_uppercase())?;
    }
}

/// The processor time that they cost the polling server.
///
/// # Errors
///
/// The system's.
pub fn cost_of_polling() -> io::Result<Duration> {
    let server = Polling::start()?;
    quiet_clients(server.addr)?;
    server.stop()
}

/// Waits for something to become so.
fn until(mut condition: impl FnMut() -> bool) {
    while !condition() {
        coroutine::sleep(Duration::from_millis(1));
    }
}

/// A client that sends and doesn't read, one that resets its connection, and a third that must
/// not suffer from them; gives the third's answer, and how many bytes the first got in the
/// end of so many that it sent.
///
/// # Errors
///
/// The system's.
pub fn troublesome_clients(server: &Polling) -> io::Result<(String, usize, usize)> {
    let greedy = std::net::TcpStream::connect(server.addr)?;
    greedy.set_nonblocking(true)?;
    let chunk = vec![b'x'; 64 * 1024];
    let mut sent = 0;
    // Until nobody takes any more: the server's answers have nowhere to go.
    while server.counts.full.load(Ordering::SeqCst) == 0 || sent == 0 {
        match (&greedy).write(&chunk) {
            Ok(written) => sent += written,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                coroutine::sleep(Duration::from_millis(1));
            }
            Err(error) => return Err(error),
        }
    }

    let resets = net::TcpStream::connect(server.addr)?;
    until(|| server.counts.open.load(Ordering::SeqCst) == 2);
    resets.set_linger(Some(Duration::ZERO))?;
    drop(resets);
    until(|| server.counts.reset.load(Ordering::SeqCst) == 1);

    let mut third = net::TcpStream::connect(server.addr)?;
    third.write_all(b"and me?")?;
    let mut answer = [0; 7];
    third.read_exact(&mut answer)?;

    greedy.set_nonblocking(false)?;
    greedy.shutdown(std::net::Shutdown::Write)?;
    let mut got = Vec::new();
    (&greedy).read_to_end(&mut got)?;
    drop((greedy, third));
    until(|| server.counts.open.load(Ordering::SeqCst) == 0);
    Ok((
        String::from_utf8_lossy(&answer).into_owned(),
        got.len(),
        sent,
    ))
}

fn main() -> io::Result<()> {
    let server = Polling::start()?;
    let (answer, got, sent) = troublesome_clients(&server)?;
    println!("beside a full client and a reset one: {answer}");
    println!("nothing is lost to the full one: {}", got == sent);
    server.stop()?;

    let polling = cost_of_polling()?;
    let coroutines = cost_with_coroutines()?;
    println!("processor time, polling: {polling:?}, coroutines: {coroutines:?}");
    println!(
        "polling costs more than 5 times as much: {}",
        polling > 5 * coroutines
    );
    Ok(())
}
