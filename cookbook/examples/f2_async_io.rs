//! F2, known as truly asynchronous local I/O: hundreds of reads in flight from one thread.
//!
//! Each coroutine reads as if it were alone. On io_uring the kernel has all reads at once and
//! no thread of ours waits for the disk; with epoll, which knows no files, threads of the
//! blocking pool do. What is in the page cache already is simply taken, which is why the file
//! is put out of it here before.

use std::io::{self, Write};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::ThreadId;

use ropewalk::fs::{self, File};
use ropewalk::{Runtime, scope};

/// How long a block is.
pub const BLOCK_BYTES: usize = 4096;

/// What came of reading.
#[derive(Debug)]
pub struct Read {
    /// The sum of each block's first byte, as a check.
    pub sum: u64,
    /// The most reads that were under way at the same time.
    pub most: usize,
    /// The threads on which the reading coroutines ran.
    pub threads: Vec<ThreadId>,
}

/// Writes a file of `blocks` blocks, each of one byte's copies, and puts it on the disk and out
/// of the page cache.
///
/// # Errors
///
/// The system's.
pub fn make(path: &Path, blocks: usize) -> io::Result<()> {
    let mut file = File::create(path)?;
    for block in 0..blocks {
        file.write_all(&[block as u8; BLOCK_BYTES])?;
    }
    file.sync_all()?;
    rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed)?;
    Ok(())
}

/// Reads all blocks at once, the last first.
///
/// # Errors
///
/// The first of the reads' errors.
pub fn read_all(path: &Path, blocks: usize) -> io::Result<Read> {
    let file = File::open(path)?;
    let (under_way, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let threads = Mutex::new(Vec::new());
    let sum: io::Result<u64> = scope(|s| {
        let readers: Vec<_> = (0..blocks)
            .rev()
            .map(|block| {
                let (file, under_way, most, threads) = (&file, &under_way, &most, &threads);
                s.spawn(move || {
                    let mut bytes = vec![0; BLOCK_BYTES];
                    most.fetch_max(
                        under_way.fetch_add(1, Ordering::SeqCst) + 1,
                        Ordering::SeqCst,
                    );
                    file.read_exact_at(&mut bytes, (block * BLOCK_BYTES) as u64)?;
                    under_way.fetch_sub(1, Ordering::SeqCst);
                    let mut threads = threads.lock().expect("nobody panics");
                    let here = std::thread::current().id();
                    if !threads.contains(&here) {
                        threads.push(here);
                    }
                    Ok(u64::from(bytes[0]))
                })
            })
            .collect();
        readers
            .into_iter()
            .map(|reader| reader.join().expect("no panics"))
            .sum()
    });
    Ok(Read {
        sum: sum?,
        most: most.into_inner(),
        threads: threads.into_inner().expect("nobody panics"),
    })
}

/// Makes a file, reads it all at once on a runtime of one worker, and removes it.
///
/// # Errors
///
/// The system's.
pub fn demonstrate(blocks: usize) -> io::Result<Read> {
    let name = format!("ropewalk-f2-{}", std::process::id());
    let path = std::env::temp_dir().join(name);
    let runtime = Runtime::builder().workers(1).build()?;
    runtime.run(|| {
        make(&path, blocks)?;
        let read = read_all(&path, blocks);
        fs::remove_file(&path)?;
        read
    })
}

fn main() -> io::Result<()> {
    let blocks = 400;
    let read = demonstrate(blocks)?;
    println!("{blocks} blocks, sum of their first bytes: {}", read.sum);
    println!("threads that read: {}", read.threads.len());
    println!("most reads in flight at once: {}", read.most);
    Ok(())
}
