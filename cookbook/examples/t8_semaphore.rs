//! T8, known as `Semaphore(5)` with 20 tasks, and as a pool of connections.
//!
//! A permit gives itself back when it is dropped, by whichever task. Giving back by hand is
//! there too, and a bounded semaphore refuses what was never taken. The pool keeps real TCP
//! connections to a server of ours, which counts what it sees.

use std::io::{self, BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use ropewalk::net::{TcpListener, TcpStream};
use ropewalk::sync::{BoundedSemaphore, Mutex, Semaphore};
use ropewalk::time::{Duration, sleep};
use ropewalk::{JoinHandle, coroutine, spawn};

/// Counts who is inside, and the most there ever were.
#[derive(Debug, Default)]
pub struct Crowd {
    inside: AtomicUsize,
    most: AtomicUsize,
    ever: AtomicUsize,
}

impl Crowd {
    /// One more is inside.
    pub fn enter(&self) {
        let inside = self.inside.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(inside, Ordering::SeqCst);
        self.ever.fetch_add(1, Ordering::SeqCst);
    }

    /// One has left.
    pub fn leave(&self) {
        self.inside.fetch_sub(1, Ordering::SeqCst);
    }

    /// The most who were ever inside at once, and all who ever were.
    pub fn most_and_all(&self) -> (usize, usize) {
        let [most, ever] = [&self.most, &self.ever].map(|count| count.load(Ordering::SeqCst));
        (most, ever)
    }
}

/// Lets `tasks` in by `permits`; gives the most who were inside at once, and all who were.
pub fn limited(permits: usize, tasks: usize) -> (usize, usize) {
    let (semaphore, crowd) = (Semaphore::new(permits), Crowd::default());
    coroutine::scope(|s| {
        for _ in 0..tasks {
            s.spawn(|| {
                let _permit = semaphore.acquire().expect("nobody cancels");
                crowd.enter();
                sleep(Duration::from_millis(2));
                crowd.leave();
            });
        }
    });
    assert_eq!(semaphore.available_permits(), permits);
    crowd.most_and_all()
}

/// Takes the only permit in one task and gives it back in another: as a value that is handed
/// over, and by hand. Gives how often a third got it.
pub fn released_by_another() -> usize {
    let semaphore = Arc::new(Semaphore::new(1));
    let wait_for_it = || {
        let semaphore = Arc::clone(&semaphore);
        spawn(move || semaphore.acquire().map(drop).is_ok())
    };
    let handed_over = semaphore.acquire_owned().expect("nobody cancels");
    let third = wait_for_it();
    spawn(move || drop(handed_over)).join().expect("no panic");
    let first = third.join().expect("no panic");

    semaphore.acquire().expect("nobody cancels").forget();
    let third = wait_for_it();
    let other = Arc::clone(&semaphore);
    spawn(move || other.release()).join().expect("no panic");
    usize::from(first) + usize::from(third.join().expect("no panic"))
}

/// Gives back once too often; what either sort says to that, and how many permits it then has.
pub fn over_release() -> (usize, Result<(), String>, usize) {
    let plain = Semaphore::new(1);
    plain.release();
    let bounded = BoundedSemaphore::new(1);
    let refused = bounded.release().map_err(|error| error.to_string());
    (
        plain.available_permits(),
        refused,
        bounded.available_permits(),
    )
}

/// Connections to one server, never more than so many, opened when first needed.
#[derive(Debug)]
pub struct Pool {
    addr: SocketAddr,
    permits: BoundedSemaphore,
    idle: Mutex<Vec<BufReader<TcpStream>>>,
}

impl Pool {
    /// A pool without connections yet.
    pub fn new(addr: SocketAddr, connections_max: usize) -> Pool {
        Pool {
            addr,
            permits: BoundedSemaphore::new(connections_max),
            idle: Mutex::default(),
        }
    }

    /// Sends a line and gives the answer's, over a connection of the pool when there is one.
    ///
    /// # Errors
    ///
    /// The connection's, which is then closed and not used again.
    pub fn ask(&self, line: &str) -> io::Result<String> {
        let _permit = self.permits.acquire().map_err(io::Error::other)?;
        let idle = self.idle.lock().pop();
        let mut connection = match idle {
            Some(connection) => connection,
            None => BufReader::new(TcpStream::connect(self.addr)?),
        };
        connection
            .get_mut()
            .write_all(format!("{line}\n").as_bytes())?;
        let mut answer = String::new();
        if connection.read_line(&mut answer)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        // Before the permit goes: whoever gets that finds the connection.
        self.idle.lock().push(connection);
        Ok(answer.trim_end().to_owned())
    }
}

/// A server that answers each line in capitals, hangs up on `quit`, and counts its
/// connections.
#[derive(Debug)]
pub struct LineServer {
    /// Where it listens.
    pub addr: SocketAddr,
    /// Who is connected.
    pub crowd: Arc<Crowd>,
    accepting: JoinHandle<()>,
}

impl LineServer {
    /// Starts it on a free port of 127.0.0.1.
    ///
    /// # Errors
    ///
    /// If there is none.
    pub fn start() -> io::Result<LineServer> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let addr = listener.local_addr()?;
        let crowd = Arc::new(Crowd::default());
        let connected = Arc::clone(&crowd);
        let accepting = spawn(move || {
            while let Ok((stream, _)) = listener.accept() {
                let crowd = Arc::clone(&connected);
                spawn(move || {
                    crowd.enter();
                    // An error is the client's to see.
                    let _ = answer(stream);
                    crowd.leave();
                });
            }
        });
        Ok(LineServer {
            addr,
            crowd,
            accepting,
        })
    }

    /// Accepts no more.
    pub fn stop(self) {
        self.accepting.cancel();
        self.accepting.join().expect("no panic");
    }
}

fn answer(stream: TcpStream) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    while stream.read_line(&mut line)? > 0 && line.trim_end() != "quit" {
        // As if that were work.
        sleep(Duration::from_millis(1));
        let answer = line.to_uppercase();
        stream.get_mut().write_all(answer.as_bytes())?;
        line.clear();
    }
    Ok(())
}

/// Has `tasks` ask the server twice each through one pool; gives the most connections that
/// were open at once, and all that ever were.
///
/// # Errors
///
/// The server's and the pool's.
pub fn through_a_pool(connections_max: usize, tasks: usize) -> io::Result<(usize, usize)> {
    let server = LineServer::start()?;
    let pool = Pool::new(server.addr, connections_max);
    coroutine::scope(|s| {
        let tasks: Vec<_> = (0..tasks)
            .map(|number| {
                let pool = &pool;
                s.spawn(move || {
                    for question in ["how are you", "and now"] {
                        let line = format!("{number}: {question}");
                        assert_eq!(pool.ask(&line)?, line.to_uppercase());
                    }
                    Ok(())
                })
            })
            .collect();
        tasks
            .into_iter()
            .try_for_each(|task| task.join().expect("no panic"))
    })
    .map_err(|error: io::Error| error)?;
    let seen = server.crowd.most_and_all();
    server.stop();
    Ok(seen)
}

/// A connection that the server closes is an error for one, and the next gets a new one.
///
/// # Errors
///
/// The server's, and the pool's where there should be none.
pub fn broken_connection() -> io::Result<(io::ErrorKind, String)> {
    let server = LineServer::start()?;
    let pool = Pool::new(server.addr, 1);
    pool.ask("hello")?;
    let broken = pool.ask("quit").expect_err("the server hangs up").kind();
    let again = pool.ask("hello again")?;
    server.stop();
    Ok((broken, again))
}

#[ropewalk::main]
fn main() -> io::Result<()> {
    let (most, all) = limited(5, 20);
    println!("{all} tasks, and never more than {most} inside");
    println!("released by another: {} times", released_by_another());
    println!("one too many: {:?}", over_release());
    let (most, all) = through_a_pool(5, 20)?;
    println!("40 questions over {all} connections, at most {most} at once");
    println!("a broken connection: {:?}", broken_connection()?);
    Ok(())
}
