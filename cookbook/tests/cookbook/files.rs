//! Rows F: files.

use std::io::ErrorKind;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;

use ropewalk::process::Command;
use ropewalk::{channel, unblock};

use crate::program::{f1_callback, f2_async_io};

/// F1: a thread of the pool reads, the callback is called once with the contents or the error,
/// and the caller goes on meanwhile.
#[ropewalk::test]
fn a_file_is_read_elsewhere_and_the_callback_called() {
    let here = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"));
    let expected = std::fs::read(&here).unwrap();
    let (send, called) = channel::unbounded();
    let reading = f1_callback::read_then(here.clone(), move |loaded| {
        let (bytes, thread) = loaded.as_ref().unwrap();
        send.send((bytes.clone(), thread.clone())).unwrap();
    });
    reading.join().unwrap().unwrap();
    let (bytes, thread) = called.recv().unwrap();
    assert_eq!(bytes, expected);
    assert!(thread.starts_with("ropewalk-blocking-"), "{thread}");
    called.recv().expect_err("called once");

    let turns = Arc::new(AtomicU32::new(0));
    let none = PathBuf::from("/nowhere/at/all");
    let mut counted = f1_callback::count_lines(&[here.clone(), none.clone()], &turns);
    counted.sort();
    let lines = expected.iter().filter(|byte| **byte == b'\n').count();
    let mut right = [(none, Err(ErrorKind::NotFound)), (here, Ok(lines))];
    right.sort();
    assert_eq!(counted, right);

    // A pipe gives nothing before the caller, who has gone on, writes to it.
    let pipe = std::env::temp_dir().join(format!("ropewalk-f1-{}", std::process::id()));
    let made = Command::new("mkfifo").arg(&pipe).status().unwrap();
    assert!(made.success());
    let (send, called) = channel::unbounded();
    let reading = f1_callback::read_then(pipe.clone(), move |loaded| {
        send.send(loaded.as_ref().unwrap().0.clone()).unwrap();
    });
    assert!(!reading.is_finished());
    unblock(|| std::fs::write(&pipe, "late")).unwrap();
    reading.join().unwrap().unwrap();
    assert_eq!(called.recv().unwrap(), b"late");
    std::fs::remove_file(pipe).unwrap();
}

/// F2: all blocks are read, each right, by one thread that runs all the coroutines.
#[test]
fn hundreds_of_reads_from_one_thread() {
    let blocks = 400;
    let read = f2_async_io::demonstrate(blocks).unwrap();
    let expected = (0..blocks).map(|block| u64::from(block as u8)).sum();
    assert_eq!(read.sum, expected);
    assert_eq!(read.threads.len(), 1);
    // How many are in flight at once is up to the page cache: all, if it let go of the file.
    assert!((1..=blocks).contains(&read.most), "{}", read.most);
}
