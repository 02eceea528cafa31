//! C9, known as `loop.run_in_executor(None, f)` and `asyncio.to_thread`: a blocking client
//! beside the loop.
//!
//! What blocks its thread and can't be made to wait in our way (a foreign library, a
//! computation, std's own sockets) goes into `unblock`: a thread of the blocking pool runs it,
//! and only the coroutine that asked for it waits.

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ropewalk::net::TcpListener;
use ropewalk::{coroutine, unblock};

/// A client as other people write them: std's socket, and the thread stands still.
fn blocking_get(addr: SocketAddr) -> io::Result<String> {
    let mut stream = std::net::TcpStream::connect(addr)?;
    stream.write_all(b"?")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

/// Asks a server `n` times at once with the blocking client. The server answers nobody
/// before all have asked, and a coroutine of ours counts meanwhile: on one worker none of
/// this could happen if a call blocked it. Gives the answers and the count.
///
/// # Errors
///
/// The network's.
pub fn ask_all(n: usize) -> io::Result<(Vec<String>, usize)> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let addr = listener.local_addr()?;
    let server = coroutine::spawn(move || -> io::Result<()> {
        let mut asking = Vec::new();
        while asking.len() < n {
            let (mut stream, _) = listener.accept()?;
            stream.read_exact(&mut [0])?;
            asking.push(stream);
        }
        for (number, mut stream) in asking.into_iter().enumerate() {
            write!(stream, "answer {number}")?;
        }
        Ok(())
    });

    let (asking, beats) = (AtomicUsize::new(n), AtomicUsize::new(0));
    let mut answers = coroutine::scope(|s| {
        s.spawn(|| {
            while asking.load(Ordering::Relaxed) > 0 {
                beats.fetch_add(1, Ordering::Relaxed);
                coroutine::sleep(Duration::from_millis(1));
            }
        });
        let asked: Vec<_> = (0..n)
            .map(|_| {
                s.spawn(|| {
                    let answer = unblock(move || blocking_get(addr));
                    asking.fetch_sub(1, Ordering::Relaxed);
                    answer
                })
            })
            .collect();
        let answers = asked.into_iter().map(|one| one.join().expect("no panic"));
        answers.collect::<io::Result<Vec<_>>>()
    })?;
    server.join().expect("no panic")?;
    answers.sort();
    Ok((answers, beats.into_inner()))
}

#[ropewalk::main(workers = 1)]
fn main() -> io::Result<()> {
    let (answers, beats) = ask_all(5)?;
    for answer in answers {
        println!("{answer}");
    }
    println!("the heart beat meanwhile: {}", beats > 0);
    Ok(())
}
