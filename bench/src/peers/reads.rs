//! The contenders' side of `files`.

use std::fs::File;
use std::io::SeekFrom;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Arc, Once};
use std::time::Duration;

use super::waiting::{Fixed, run_on_tokio, split, timed};
use crate::files::{FILE_BYTES, READ_BYTES, path};

/// Workers of ropewalk's and tokio's runtimes.
const WORKERS: u64 = 2;
/// Threads of `std-pool`, at most.
const POOL: u64 = 8;

/// The places that one of the readers reads at: pages, at random.
struct Places(u64);

impl Places {
    fn of(reader: u64) -> Places {
        Places((reader + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15))
    }

    fn next(&mut self) -> u64 {
        // An xorshift: quick, and random enough to be no pattern to a disk.
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        let pages = FILE_BYTES / READ_BYTES as u64;
        self.0 % pages * READ_BYTES as u64
    }
}

/// Sees that what was read is what stands there.
fn check(part: &[u8], place: u64) {
    assert_eq!(part[0], (place >> 20) as u8);
}

/// Does `n` reads, `in_flight` at a time, as `command` says; `None` if the contender has no such
/// thing.
pub(super) fn run(
    fixed: &mut Fixed,
    contender: &str,
    command: &str,
    [in_flight, owner, n]: [u64; 3],
) -> Option<Duration> {
    let cold = match command {
        "read-warm" => false,
        "read-cold" => true,
        _ => return None,
    };
    let path = path(owner);
    let file = prepare(&path, cold);
    let shares: Vec<u64> = split(n, in_flight).collect();
    Some(match contender {
        "ropewalk" | "ropewalk-epoll" => {
            let file = ropewalk::fs::File::from(file);
            fixed
                .ropewalk(WORKERS)
                .run(|| timed(|| with_coroutines(&file, &shares)))
        }
        "tokio-fs" => run_on_tokio(fixed.tokio(WORKERS), with_tokio_files(path, shares)),
        "tokio-blocking" => run_on_tokio(fixed.tokio(WORKERS), with_spawn_blocking(file, shares)),
        "std-thread" => timed(|| with_threads(&file, &shares)),
        "std-pool" => with_pool(&file, in_flight, n),
        _ => return None,
    })
}

/// Opens the file, and sees to it that it is in the page cache, or that it isn't.
fn prepare(path: &Path, cold: bool) -> File {
    let file = File::open(path).expect("the file is there");
    let advise = |advice| {
        // SAFETY: no pointers.
        unsafe { libc::posix_fadvise(file.as_raw_fd(), 0, 0, advice) };
    };
    if cold {
        advise(libc::POSIX_FADV_DONTNEED);
        advise(libc::POSIX_FADV_RANDOM);
    } else {
        static WARM: Once = Once::new();
        WARM.call_once(|| {
            let mut block = vec![0; 1 << 20];
            for number in 0..FILE_BYTES >> 20 {
                file.read_exact_at(&mut block, number << 20)
                    .expect("readable");
            }
        });
    }
    file
}

fn with_coroutines(file: &ropewalk::fs::File, shares: &[u64]) {
    ropewalk::scope(|s| {
        for (reader, &share) in shares.iter().enumerate() {
            s.spawn(move || {
                let mut places = Places::of(reader as u64);
                let mut part = vec![0; READ_BYTES];
                for _ in 0..share {
                    let place = places.next();
                    file.read_exact_at(&mut part, place).expect("readable");
                    check(&part, place);
                }
            });
        }
    });
}

async fn with_tokio_files(path: std::path::PathBuf, shares: Vec<u64>) -> Duration {
    use tokio::io::{AsyncReadExt, AsyncSeekExt};
    let mut files = Vec::new();
    for _ in &shares {
        let file = tokio::fs::File::open(&path).await.expect("openable");
        // As `prepare` does for the others, which share one.
        // SAFETY: no pointers.
        unsafe { libc::posix_fadvise(file.as_raw_fd(), 0, 0, libc::POSIX_FADV_RANDOM) };
        files.push(file);
    }
    let start = std::time::Instant::now();
    let readers: Vec<_> = files
        .into_iter()
        .zip(shares)
        .enumerate()
        .map(|(reader, (mut file, share))| {
            tokio::spawn(async move {
                let mut places = Places::of(reader as u64);
                let mut part = vec![0; READ_BYTES];
                for _ in 0..share {
                    let place = places.next();
                    file.seek(SeekFrom::Start(place)).await.expect("seekable");
                    file.read_exact(&mut part).await.expect("readable");
                    check(&part, place);
                }
            })
        })
        .collect();
    for reader in readers {
        reader.await.expect("no panics");
    }
    start.elapsed()
}

async fn with_spawn_blocking(file: File, shares: Vec<u64>) -> Duration {
    let file = Arc::new(file);
    let start = std::time::Instant::now();
    let readers: Vec<_> = shares
        .into_iter()
        .enumerate()
        .map(|(reader, share)| {
            let file = Arc::clone(&file);
            tokio::spawn(async move {
                let mut places = Places::of(reader as u64);
                let mut part = vec![0; READ_BYTES];
                for _ in 0..share {
                    let place = places.next();
                    let file = Arc::clone(&file);
                    let reading = tokio::task::spawn_blocking(move || {
                        file.read_exact_at(&mut part, place).expect("readable");
                        part
                    });
                    part = reading.await.expect("no panics");
                    check(&part, place);
                }
            })
        })
        .collect();
    for reader in readers {
        reader.await.expect("no panics");
    }
    start.elapsed()
}

fn with_threads(file: &File, shares: &[u64]) {
    std::thread::scope(|s| {
        for (reader, &share) in shares.iter().enumerate() {
            s.spawn(move || {
                let mut places = Places::of(reader as u64);
                let mut part = vec![0; READ_BYTES];
                for _ in 0..share {
                    let place = places.next();
                    file.read_exact_at(&mut part, place).expect("readable");
                    check(&part, place);
                }
            });
        }
    });
}

fn with_pool(file: &File, in_flight: u64, n: u64) -> Duration {
    let (jobs, taken) = crossbeam_channel::unbounded::<(u64, Vec<u8>)>();
    let (answers, done) = crossbeam_channel::unbounded();
    std::thread::scope(|s| {
        for _ in 0..in_flight.min(POOL) {
            let (taken, answers) = (taken.clone(), answers.clone());
            s.spawn(move || {
                for (place, mut part) in taken {
                    file.read_exact_at(&mut part, place).expect("readable");
                    answers.send((place, part)).expect("somebody waits");
                }
            });
        }
        drop((taken, answers));
        let mut places = Places::of(0);
        let elapsed = timed(|| {
            for _ in 0..in_flight.min(n) {
                let job = (places.next(), vec![0; READ_BYTES]);
                jobs.send(job).expect("somebody works");
            }
            for answered in 1..=n {
                let (place, part) = done.recv().expect("an answer for each");
                check(&part, place);
                if answered + in_flight <= n {
                    jobs.send((places.next(), part)).expect("somebody works");
                }
            }
        });
        drop(jobs);
        elapsed
    })
}
