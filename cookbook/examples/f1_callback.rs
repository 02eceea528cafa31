//! F1, known as reading a file in a worker thread, with a callback when it is there.
//!
//! `unblock` has a thread of the blocking pool read, whatever the library that does it; a
//! coroutine waits for that, and `on_done` has the callback called with what came of it. The
//! caller goes on at once. (`fs::read` needs neither thread nor callback: see F2.)

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use ropewalk::channel;
use ropewalk::{JoinHandle, coroutine, spawn, unblock};

/// What was read, and the name of the thread that read it.
pub type Loaded = (Vec<u8>, String);

/// Reads `path` on a thread of the pool and calls `callback` with the outcome.
///
/// The callback may send, set events and spawn, but not wait.
pub fn read_then(
    path: PathBuf,
    callback: impl FnOnce(&io::Result<Loaded>) + Send + 'static,
) -> JoinHandle<io::Result<Loaded>> {
    let reading = spawn(move || {
        unblock(|| {
            let bytes = std::fs::read(path)?;
            let thread = std::thread::current();
            Ok((bytes, thread.name().unwrap_or_default().to_string()))
        })
    });
    reading.on_done(move |outcome| match outcome {
        Ok(loaded) => callback(loaded),
        Err(stopped) => callback(&Err(io::Error::other(stopped.to_string()))),
    });
    reading
}

/// Reads `paths` all at once, and counts how often the caller had its turn meanwhile. Gives
/// for each path in the order they came: the path, and the lines or the error's kind.
pub fn count_lines(
    paths: &[PathBuf],
    turns: &Arc<AtomicU32>,
) -> Vec<(PathBuf, Result<usize, io::ErrorKind>)> {
    let (send, counted) = channel::unbounded();
    for path in paths {
        let (send, of) = (send.clone(), path.clone());
        read_then(path.clone(), move |loaded| {
            let lines = match loaded {
                Ok((bytes, _)) => Ok(bytes.iter().filter(|byte| **byte == b'\n').count()),
                Err(error) => Err(error.kind()),
            };
            send.send((of, lines)).expect("it is awaited");
        });
    }
    drop(send);
    let mut all = Vec::new();
    while all.len() < paths.len() {
        match counted.try_recv() {
            Ok(one) => all.push(one),
            Err(_) => {
                turns.fetch_add(1, Ordering::Relaxed);
                coroutine::yield_now();
            }
        }
    }
    all
}

#[ropewalk::main]
fn main() {
    let mut paths: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    if paths.is_empty() {
        paths = vec!["/proc/self/status".into(), "/nowhere/at/all".into()];
    }
    let turns = Arc::new(AtomicU32::new(0));
    let mut counted = count_lines(&paths, &turns);
    counted.sort();
    for (path, lines) in counted {
        match lines {
            Ok(lines) => println!("{}: {lines} lines", path.display()),
            Err(kind) => println!("{}: {kind}", path.display()),
        }
    }
    let had_turns = turns.load(Ordering::Relaxed) > 0;
    println!("the caller went on meanwhile: {had_turns}");
}
