//! N1, known as the blocking echo server with a `ThreadPoolExecutor(3)`, and its client.
//!
//! A server that answers each line in upper case, with a pool of three: a fourth client is
//! connected, but waits its turn. How the pool's tasks are started is an argument: threads
//! or coroutines, the code is one and the same. A restarted server gets its address again
//! at once, although connections of the old one still linger in the kernel.

use std::io::{self, BufRead, BufReader, ErrorKind, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use ropewalk::channel;
use ropewalk::net::{TcpListener, TcpStream};
use ropewalk::time::Duration;
use ropewalk::{JoinHandle, coroutine, thread};

/// What a task runs here.
pub type Work = Box<dyn FnOnce() + Send>;

/// `thread::spawn` or `coroutine::spawn`.
pub type Start = fn(Work) -> JoinHandle<()>;

/// The two ways to start the server's tasks.
pub const STARTS: [(&str, Start); 2] = [
    ("threads", thread::spawn::<Work, ()>),
    ("coroutines", coroutine::spawn::<Work, ()>),
];

/// How many clients are served at once.
pub const POOL: usize = 3;

/// How many clients there are, and have been.
#[derive(Debug, Default)]
pub struct Counts {
    /// Being served.
    pub now: AtomicUsize,
    /// The most that were ever served at the same time.
    pub most: AtomicUsize,
}

/// A running server.
pub struct Server {
    addr: SocketAddr,
    counts: Arc<Counts>,
    stop: Arc<AtomicBool>,
    tasks: Vec<JoinHandle<()>>,
}

impl Server {
    /// Binds to `addr` and starts the tasks: one that accepts, three that serve.
    ///
    /// # Errors
    ///
    /// The system's, if the address can't be had.
    pub fn start(addr: SocketAddr, start: Start) -> io::Result<Server> {
        let listener = TcpListener::bind(addr)?;
        let addr = listener.local_addr()?;
        let counts = Arc::new(Counts::default());
        let stop = Arc::new(AtomicBool::new(false));

        // Nothing fits into a channel of no capacity: a client is handed over when one of
        // the three is free.
        let (hand, handed) = channel::bounded::<TcpStream>(0);
        let mut tasks = Vec::new();
        for _ in 0..POOL {
            let (handed, counts) = (handed.clone(), Arc::clone(&counts));
            tasks.push(start(Box::new(move || {
                for stream in handed.iter() {
                    let now = counts.now.fetch_add(1, Ordering::SeqCst) + 1;
                    counts.most.fetch_max(now, Ordering::SeqCst);
                    // A client that breaks off concerns no other.
                    if let Err(error) = echo(&stream) {
                        eprintln!("a client was lost: {error}");
                    }
                    counts.now.fetch_sub(1, Ordering::SeqCst);
                }
            })));
        }
        let stopping = Arc::clone(&stop);
        tasks.push(start(Box::new(move || {
            for stream in listener.incoming() {
                if stopping.load(Ordering::SeqCst) {
                    break;
                }
                match stream {
                    Ok(stream) => hand.send(stream).expect("the three wait for clients"),
                    Err(error) => eprintln!("not accepted: {error}"),
                }
            }
        })));
        Ok(Server {
            addr,
            counts,
            stop,
            tasks,
        })
    }

    /// The address it listens at.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// How many clients are served, and were at most.
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Stops accepting, and waits for the clients that are being served.
    ///
    /// # Errors
    ///
    /// The system's, for the connection that wakes the accepting task.
    pub fn stop(self) -> io::Result<()> {
        self.stop.store(true, Ordering::SeqCst);
        TcpStream::connect(self.addr)?;
        for task in self.tasks {
            task.join().expect("no task of the server panics");
        }
        Ok(())
    }
}

/// Serves one client: each line back in upper case, until it leaves or says "bye".
fn echo(stream: &TcpStream) -> io::Result<()> {
    let mut lines = BufReader::new(stream);
    let mut line = String::new();
    while lines.read_line(&mut line)? > 0 {
        let mut writer = stream;
        writer.write_all(line.to_uppercase().as_bytes())?;
        if line == "bye\n" {
            break;
        }
        line.clear();
    }
    Ok(())
}

/// A client.
pub struct Client {
    stream: BufReader<TcpStream>,
}

impl Client {
    /// Connects; the kernel accepts for the server, even if that has no hand free.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn connect(addr: SocketAddr) -> io::Result<Client> {
        let stream = BufReader::new(TcpStream::connect(addr)?);
        Ok(Client { stream })
    }

    /// Sends a line.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn send(&mut self, line: &str) -> io::Result<()> {
        let stream = self.stream.get_mut();
        stream.write_all(format!("{line}\n").as_bytes())
    }

    /// Waits for a line; an empty one is the end.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn receive(&mut self) -> io::Result<String> {
        let mut line = String::new();
        self.stream.read_line(&mut line)?;
        Ok(line.trim_end().to_string())
    }

    /// Sends a line and waits for the answer.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn ask(&mut self, line: &str) -> io::Result<String> {
        self.send(line)?;
        self.receive()
    }

    /// Waits for the beginning of an answer, which stays to be received, for `patience` at
    /// most; says whether it came.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn answered_within(&mut self, patience: Duration) -> io::Result<bool> {
        let stream = self.stream.get_ref();
        stream.set_read_timeout(Some(patience))?;
        let peeked = stream.peek(&mut [0]);
        stream.set_read_timeout(None)?;
        match peeked {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == ErrorKind::TimedOut => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Says goodbye, and waits until the server has closed: so it is the server's port that
    /// the kernel keeps in `TIME_WAIT`.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn leave(mut self) -> io::Result<()> {
        self.ask("bye")?;
        assert_eq!(self.receive()?, "", "the server closes");
        Ok(())
    }
}

/// What the fourth client saw.
#[derive(Debug, PartialEq, Eq)]
pub struct Fourth {
    /// The first three's answers.
    pub first: Vec<String>,
    /// Whether it was answered while all three were served.
    pub early: bool,
    /// What it was answered after one of them had left.
    pub answer: String,
    /// The most that the server has served at once.
    pub most: usize,
}

/// Four clients for a pool of three.
///
/// # Errors
///
/// The system's.
pub fn fourth_waits(server: &Server) -> io::Result<Fourth> {
    let mut clients = Vec::new();
    let mut first = Vec::new();
    for word in ["one", "two", "three"] {
        let mut client = Client::connect(server.addr())?;
        first.push(client.ask(word)?);
        clients.push(client);
    }
    let mut fourth = Client::connect(server.addr())?;
    fourth.send("four")?;
    let early = fourth.answered_within(Duration::from_millis(100))?;

    clients.remove(0).leave()?;
    let answer = fourth.receive()?;
    clients.push(fourth);
    for client in clients {
        client.leave()?;
    }
    Ok(Fourth {
        first,
        early,
        answer,
        most: server.counts().most.load(Ordering::SeqCst),
    })
}

/// Says whether the kernel keeps closed connections of a local port (most often in `TIME_WAIT`),
/// because of which a plain `bind` would be refused.
///
/// # Errors
///
/// If `/proc/net/tcp` can't be read.
pub fn lingers(port: u16) -> io::Result<bool> {
    const LISTEN: &str = "0A";
    let local = format!(":{port:04X}");
    let table = std::fs::read_to_string("/proc/net/tcp")?;
    Ok(table.lines().any(|line| {
        let mut fields = line.split_whitespace().skip(1);
        let at_port = fields.next().is_some_and(|addr| addr.ends_with(&local));
        at_port && fields.nth(1) != Some(LISTEN)
    }))
}

/// Stops the server, starts another at the same address at once, and asks it something:
/// whether connections of the old one lingered, and the answer.
///
/// # Errors
///
/// The system's.
pub fn restart(server: Server, start: Start) -> io::Result<(bool, String)> {
    let addr = server.addr();
    server.stop()?;
    let lingering = lingers(addr.port())?;
    let server = Server::start(addr, start)?;
    let mut client = Client::connect(addr)?;
    let answer = client.ask("again")?;
    client.leave()?;
    server.stop()?;
    Ok((lingering, answer))
}

fn main() -> io::Result<()> {
    for (kind, start) in STARTS {
        let server = Server::start(SocketAddr::from(([127, 0, 0, 1], 0)), start)?;
        let fourth = fourth_waits(&server)?;
        println!("a pool of {POOL} {kind}:");
        println!("  the first three: {:?}", fourth.first);
        println!("  the fourth was served at once: {}", fourth.early);
        println!("  and after one had left: {:?}", fourth.answer);
        println!("  served at the same time, at most: {}", fourth.most);
        let (lingering, answer) = restart(server, start)?;
        println!("  restarted while old connections linger ({lingering}): {answer:?}");
    }
    Ok(())
}
