//! C10, known as choosing libev's back end by `LIBEV_FLAGS`: select, poll or epoll.
//!
//! What the runtime asks the kernel with is chosen by the environment, without a change to the
//! program: `ROPEWALK_DRIVER` is `io_uring`, `epoll`, `poll` or `select`, and
//! `ROPEWALK_WORKERS` the number of workers. A name that is none, and a back end that doesn't
//! work here, are refused by name; without a name the best one that works is taken.

use std::io::{self, Read, Write};

use ropewalk::net::{TcpListener, TcpStream};
use ropewalk::{DriverKind, Runtime, coroutine};

/// Starts a runtime as the environment has it.
///
/// # Errors
///
/// Says which variable is wrong, or which back end doesn't work and why.
pub fn start() -> io::Result<Runtime> {
    Runtime::new()
}

/// The names there are, and for each whether it works here.
pub fn back_ends() -> Vec<(&'static str, bool)> {
    DriverKind::ALL
        .into_iter()
        .map(|kind| (kind.as_str(), kind.check().is_ok()))
        .collect()
}

/// Has `clients` connections say a number each and hear its double, all at the same time.
///
/// # Errors
///
/// The system's.
pub fn doubles(clients: u8) -> io::Result<Vec<u8>> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let addr = listener.local_addr()?;
    coroutine::scope(|scope| {
        let server = scope.spawn(move || {
            for _ in 0..clients {
                let (mut stream, _) = listener.accept()?;
                drop(coroutine::spawn(move || {
                    let mut number = [0];
                    stream.read_exact(&mut number)?;
                    stream.write_all(&[number[0] * 2])
                }));
            }
            Ok::<(), io::Error>(())
        });
        let asking: Vec<_> = (0..clients)
            .map(|number| {
                scope.spawn(move || {
                    let mut stream = TcpStream::connect(addr)?;
                    stream.write_all(&[number])?;
                    let mut answer = [0];
                    stream.read_exact(&mut answer)?;
                    Ok(answer[0])
                })
            })
            .collect();
        let answers = asking
            .into_iter()
            .map(|each| each.join().expect("no panic"));
        let answers = answers.collect();
        server.join().expect("no panic")?;
        answers
    })
}

fn main() -> io::Result<()> {
    for (name, works) in back_ends() {
        println!("{name}: {}", if works { "works here" } else { "doesn't" });
    }
    let runtime = start()?;
    println!("runs on {}", runtime.driver().as_str());
    println!("workers: {}", runtime.workers());
    println!("doubles: {:?}", runtime.run(|| doubles(8))?);
    Ok(())
}
