//! Files that aren't on a disk: FIFOs, pipes, sockets.

use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicUsize, Ordering};

use ropewalk_rt::coroutine;
use ropewalk_rt::fs::File;
use ropewalk_rt::spawn;

use crate::process::well_alone;
use crate::scratch::Scratch;
use crate::stage::{on_each, until};

#[test]
fn opening_a_fifo_waits_for_the_other_end() {
    on_each(|| {
        let scratch = Scratch::new();
        for reader_first in [true, false] {
            let path = scratch.fifo(if reader_first { "r" } else { "w" });
            let there = path.clone();
            let opening = spawn(move || {
                let mut options = File::options();
                options.read(reader_first).write(!reader_first);
                options.open(there).unwrap()
            });
            // Others go on meanwhile, on the same worker too.
            for _ in 0..100 {
                coroutine::yield_now();
            }
            assert!(!opening.is_finished(), "nobody is at the other end");
            let mut options = File::options();
            let other = options.read(!reader_first).write(reader_first).open(&path);
            let (mut one, mut other) = (opening.join().unwrap(), other.unwrap());
            for file in [&one, &other] {
                // SAFETY: no pointers.
                let flags = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_GETFL) };
                assert_eq!(flags & libc::O_NONBLOCK, 0);
            }
            let (reader, writer) = if reader_first {
                (&mut one, &mut other)
            } else {
                (&mut other, &mut one)
            };
            writer.write_all(b"through").unwrap();
            let mut read = [0; 7];
            reader.read_exact(&mut read).unwrap();
            assert_eq!(&read, b"through");
        }
    });
}

#[test]
fn creating_over_a_fifo_waits_for_a_reader() {
    on_each(|| {
        let scratch = Scratch::new();
        let path = scratch.fifo("f");
        let there = path.clone();
        let creating = spawn(move || File::create(there).unwrap());
        for _ in 0..100 {
            coroutine::yield_now();
        }
        assert!(!creating.is_finished());
        let mut reader = File::open(&path).unwrap();
        creating.join().unwrap().write_all(b"x").unwrap();
        let mut all = Vec::new();
        reader.read_to_end(&mut all).unwrap();
        assert_eq!(all, b"x");
    });
}

// In a process of its own: while another test starts one, that has the closed descriptor for a moment,
// too.
#[test]
fn a_fifo_for_both_or_without_waiting_opens_at_once() {
    well_alone(&[], || {
        on_each(|| {
            let scratch = Scratch::new();
            let path = scratch.fifo("f");
            let mut both = File::options().read(true).write(true).open(&path).unwrap();
            both.write_all(b"self").unwrap();
            let mut read = [0; 4];
            both.read_exact(&mut read).unwrap();
            assert_eq!(&read, b"self");
            drop(both);
            let mut options = File::options();
            options.custom_flags(libc::O_NONBLOCK);
            let reader = options.read(true).open(&path).unwrap();
            // Its flag stays, and a read waits all the same; without a writer there is the end.
            assert_eq!((&reader).read(&mut read).unwrap(), 0);
            drop(reader);
            let error = options.read(false).write(true).open(&path).unwrap_err();
            assert_eq!(error.raw_os_error(), Some(libc::ENXIO));
        });
    });
}

#[test]
fn many_fifos_wait_beside_each_other_and_beside_files() {
    on_each(|| {
        let scratch = Scratch::new();
        let paths: Vec<_> = (0..40)
            .map(|number| scratch.fifo(&number.to_string()))
            .collect();
        let opened = AtomicUsize::new(0);
        coroutine::scope(|s| {
            for path in &paths {
                let opened = &opened;
                s.spawn(move || {
                    let mut reader = File::open(path).unwrap();
                    opened.fetch_add(1, Ordering::SeqCst);
                    let mut text = String::new();
                    reader.read_to_string(&mut text).unwrap();
                    assert_eq!(text, "now");
                });
            }
            // Files are not held up by them.
            let file = scratch.path("file");
            File::create(&file).unwrap().write_all(b"x").unwrap();
            ropewalk_rt::fs::rename(&file, scratch.path("other")).unwrap();
            assert_eq!(opened.load(Ordering::SeqCst), 0);
            let writers: Vec<_> = paths
                .iter()
                .map(|path| File::options().write(true).open(path).unwrap())
                .collect();
            until(|| opened.load(Ordering::SeqCst) == paths.len());
            for mut writer in writers {
                writer.write_all(b"now").unwrap();
            }
        });
    });
}

#[test]
fn a_reader_of_a_pipe_leaves_the_worker_to_others() {
    on_each(|| {
        let (reader, writer) = std::io::pipe().unwrap();
        let (mut reader, mut writer) = (
            File::from(OwnedFd::from(reader)),
            File::from(OwnedFd::from(writer)),
        );
        let reading = spawn(move || {
            let mut all = Vec::new();
            reader.read_to_end(&mut all).unwrap();
            all
        });
        for _ in 0..10 {
            coroutine::yield_now();
            writer.write_all(b"tick ").unwrap();
        }
        assert!(!reading.is_finished());
        drop(writer);
        assert_eq!(reading.join().unwrap(), b"tick ".repeat(10));
    });
}

// In a process of its own, as above.
#[test]
fn a_broken_pipe_is_an_error() {
    well_alone(&[], || {
        on_each(|| {
            let (reader, writer) = std::io::pipe().unwrap();
            drop(reader);
            let error = File::from(OwnedFd::from(writer)).write(b"x").unwrap_err();
            assert_eq!(error.kind(), ErrorKind::BrokenPipe);
        });
    });
}

#[test]
fn a_socket_as_a_file_reads_while_it_writes() {
    on_each(|| {
        let (one, other) = std::os::unix::net::UnixStream::pair().unwrap();
        let one = File::from(OwnedFd::from(one));
        coroutine::scope(|s| {
            let reading = s.spawn(|| {
                let mut read = [0; 4];
                (&one).read_exact(&mut read).unwrap();
                read
            });
            // The reader waits and holds no lock that this needs.
            (&one).write_all(b"ping").unwrap();
            let mut read = [0; 4];
            let mut other = File::from(OwnedFd::from(other));
            other.read_exact(&mut read).unwrap();
            assert_eq!(&read, b"ping");
            other.write_all(b"pong").unwrap();
            assert_eq!(&reading.join().unwrap(), b"pong");
        });
    });
}

#[test]
fn o_nonblock_set_by_somebody_else_makes_no_difference() {
    on_each(|| {
        let (reader, mut writer) = std::io::pipe().unwrap();
        // SAFETY: no pointers.
        unsafe { libc::fcntl(reader.as_raw_fd(), libc::F_SETFL, libc::O_NONBLOCK) };
        let mut reader = File::from(OwnedFd::from(reader));
        let reading = spawn(move || {
            let mut read = [0; 4];
            reader.read_exact(&mut read).unwrap();
            read
        });
        coroutine::yield_now();
        writer.write_all(b"late").unwrap();
        assert_eq!(&reading.join().unwrap(), b"late");
    });
}
