//! `files`: 4 KiB reads at random places of one file, so many in flight at a time.
//!
//! `warm-N`: N tasks read and read, of a file that is all in the page cache. `cold-N`: likewise,
//! the page cache emptied of the file before each portion (outside the time) and read-ahead
//! switched off, so that about each read goes to the disk.
//!
//! Ropewalk and tokio have two workers each, on two cores. The contenders:
//!
//! - `ropewalk`, `ropewalk-epoll`: N coroutines, `read_exact_at` of one `fs::File`;
//! - `tokio-fs`: N tasks with a `tokio::fs::File` each, as it has no positioned reads:
//!   `seek`, `read_exact`. Its blocking pool as it is by default, up to 512 threads;
//! - `tokio-blocking`: N tasks, `read_exact_at` of one `std::fs::File` in `spawn_blocking`;
//! - `std-thread`: N threads, each `read_exact_at`: no hand-over at all;
//! - `std-pool`: threads that take jobs from a channel and answer through another, four times
//!   as many as cores (or N), and one that keeps N jobs going.

use std::fs::File;
use std::io::{self, Write};
use std::path::PathBuf;

use serde_json::json;

use crate::arguments::Arguments;
use crate::measure::median;
use crate::paced::{self, Place};
use crate::report::{Better, Measure, Report, rounded};

/// How long the file is.
pub(crate) const FILE_BYTES: u64 = 256 << 20;
/// How long a read is.
pub(crate) const READ_BYTES: usize = 4096;

const MEASURE: Measure = Measure {
    bench: "files",
    unit: "ns/read",
    better: Better::Lower,
};
const CONTENDERS: &[&str] = &[
    "ropewalk",
    "ropewalk-epoll",
    "tokio-fs",
    "tokio-blocking",
    "std-thread",
    "std-pool",
];

/// The file that the benchmark process `owner` has made.
pub(crate) fn path(owner: u64) -> PathBuf {
    std::env::temp_dir().join(format!("ropewalk-bench-files-{owner}"))
}

/// The file; goes with this.
struct Made(u64);

impl Made {
    fn make() -> io::Result<Made> {
        let owner = u64::from(std::process::id());
        let made = Made(owner);
        let mut file = File::create(path(owner))?;
        let mut block = vec![0; 1 << 20];
        for number in 0..FILE_BYTES >> 20 {
            block.fill(number as u8);
            file.write_all(&block)?;
        }
        file.sync_all()?;
        Ok(made)
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(path(self.0));
    }
}

/// Runs the benchmark.
pub(crate) fn run(arguments: &Arguments) -> Report {
    let mut report = Report::new();
    let made = match Made::make() {
        Ok(made) => made,
        Err(error) => {
            eprintln!("files: no file to read: {error}");
            return report;
        }
    };
    let owner = made.0;
    for command in ["read-warm", "read-cold"] {
        for in_flight in [1, 16, 256] {
            let variant = format!("{}-{in_flight}", &command["read-".len()..]);
            let title = format!("files {variant}");
            let line = format!("{command} {in_flight} {owner}");
            let request = move |n: u64| (format!("{line} {n}"), n);
            let entries =
                paced::compare_waiting(&title, arguments, CONTENDERS, &request, Place::AllCores);
            report.add(
                MEASURE,
                variant,
                entries,
                |waited| waited.ns,
                |all| {
                    let cpu: Vec<_> = all.iter().map(|waited| waited.cpu_ns).collect();
                    vec![("cpu_ns", json!(rounded(median(&cpu))))]
                },
            );
        }
    }
    report
}
