//! Pipes within a process, on each kind of kernel: where "don't wait" is a flag of the call,
//! and where it isn't.

use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::os::fd::AsRawFd;
use std::time::Duration;

use ropewalk_kernel::sys;
use ropewalk_rt::cancel::{Cancelled, Token};
use ropewalk_rt::coroutine;
use ropewalk_rt::io::{PipeReader, PipeWriter, pipe};

use crate::alone::well_alone;
use crate::stage::{in_coroutines, on_each, until_waiting};

/// More than any pipe holds.
const MUCH: usize = 3 << 20;

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|n| (n ^ n >> 8 ^ n >> 16) as u8).collect()
}

fn is_nonblocking(end: &impl AsRawFd) -> bool {
    // SAFETY: no pointers.
    unsafe { libc::fcntl(end.as_raw_fd(), libc::F_GETFL) & libc::O_NONBLOCK != 0 }
}

/// Much goes through while both ends wait for each other, and the end is seen.
fn much_goes_through() {
    let (mut reader, mut writer) = pipe().unwrap();
    let sender = coroutine::spawn(move || {
        writer.write_all(&pattern(MUCH)).unwrap();
        assert!(!is_nonblocking(&writer));
    });
    let mut got = Vec::new();
    reader.read_to_end(&mut got).unwrap();
    assert!(got == pattern(MUCH));
    assert_eq!(reader.read(&mut [0; 8]).unwrap(), 0, "the end stays");
    assert!(!is_nonblocking(&reader));
    sender.join().unwrap();
}

#[test]
fn more_than_a_pipe_holds_goes_through() {
    on_each(much_goes_through);
}

#[test]
fn several_buffers_go_in_order() {
    on_each(|| {
        let (reader, writer) = pipe().unwrap();
        let texts = [&b"one "[..], b"", b"two ", b"three"].map(IoSlice::new);
        assert_eq!((&writer).write_vectored(&texts).unwrap(), 13);
        let (mut first, mut second) = ([0; 5], [0; 20]);
        let mut bufs = [IoSliceMut::new(&mut first), IoSliceMut::new(&mut second)];
        assert_eq!((&reader).read_vectored(&mut bufs).unwrap(), 13);
        assert_eq!((&first, &second[..8]), (b"one t", &b"wo three"[..]));
        assert_eq!((&reader).read(&mut []).unwrap(), 0, "no room, no wait");
        assert_eq!((&writer).write(&[]).unwrap(), 0);
    });
}

/// In a process of its own: while another test starts one, that has the closed end for a moment, too.
#[test]
fn a_write_without_a_reader_is_a_broken_pipe() {
    well_alone(&[], || {
        on_each(|| {
            let (reader, mut writer) = pipe().unwrap();
            drop(reader);
            let error = writer.write(b"anybody?").unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
        });
    });
}

/// A reader that goes away ends a write that waits.
#[test]
fn a_waiting_write_sees_the_reader_go() {
    in_coroutines(|| {
        let (reader, mut writer) = pipe().unwrap();
        let sender = coroutine::spawn(move || writer.write_all(&pattern(MUCH)));
        until_waiting(sender.task().id(), "writing");
        drop(reader);
        let error = sender.join().unwrap().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    });
}

fn ended_by_time() {
    let (mut reader, mut writer) = pipe().unwrap();
    let limit = Some(Duration::from_millis(5));
    assert!(reader.set_read_timeout(Some(Duration::ZERO)).is_err());
    reader.set_read_timeout(limit).unwrap();
    assert_eq!(reader.read_timeout(), limit);
    let error = reader.read(&mut [0; 8]).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);

    writer.set_write_timeout(limit).unwrap();
    let (data, mut written) = (pattern(MUCH), 0);
    let error = loop {
        match writer.write(&data[written..]) {
            Ok(more) => written += more,
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    drop(writer);
    // What was said to be written is there, and nothing else. The end comes a moment later where
    // another test starts a process, which has the writer too until it runs its program.
    reader.set_read_timeout(None).unwrap();
    let mut got = Vec::new();
    reader.read_to_end(&mut got).unwrap();
    assert!(got == data[..written]);
}

#[test]
fn a_timeout_leaves_what_it_would_have_moved() {
    on_each(ended_by_time);
}

fn ended_by_cancellation() {
    let (reader, writer) = pipe().unwrap();
    let token = Token::new();
    let waiting = token.run(|| coroutine::spawn(move || ((&reader).read(&mut [0; 8]), reader)));
    until_waiting(waiting.task().id(), "reading");
    token.cancel();
    let (result, mut reader) = waiting.join().unwrap();
    let error = result.unwrap_err().into_inner().expect("a source");
    assert!(error.is::<Cancelled>());
    (&writer).write_all(b"later").unwrap();
    assert_eq!(reader.read(&mut [0; 8]).unwrap(), 5);
}

#[test]
fn a_cancelled_read_has_read_nothing() {
    on_each(ended_by_cancellation);
}

/// Each byte goes to one of several readers of one end.
fn shared_by_readers() {
    let (reader, mut writer) = pipe().unwrap();
    let clone = reader.try_clone().unwrap();
    let counts: Vec<usize> = ropewalk_rt::scope(|scope| {
        let read_all = |mut reader: &PipeReader| {
            let mut count = 0;
            loop {
                match reader.read(&mut [0; 100]).unwrap() {
                    0 => break count,
                    more => count += more,
                }
            }
        };
        let (a, b, c) = (&reader, &reader, &clone);
        let handles = [a, b, c].map(|end| scope.spawn(move || read_all(end)));
        for _ in 0..1000 {
            writer.write_all(&[7; 33]).unwrap();
        }
        drop(writer);
        handles.into_iter().map(|h| h.join().unwrap()).collect()
    });
    assert_eq!(counts.iter().sum::<usize>(), 33_000);
}

#[test]
fn several_readers_share_an_end() {
    on_each(shared_by_readers);
}

/// Ends given to us by others: shared, so nothing about their flags may be changed.
#[test]
fn an_end_may_come_from_std_and_go_back() {
    on_each(|| {
        let (reader, writer) = std::io::pipe().unwrap();
        let (mut reader, mut writer) = (PipeReader::from(reader), PipeWriter::from(writer));
        writer.write_all(b"there").unwrap();
        let mut got = [0; 5];
        reader.read_exact(&mut got).unwrap();
        assert_eq!(&got, b"there");
        let fd = std::os::fd::OwnedFd::from(writer);
        std::fs::File::from(fd).write_all(b"back").unwrap();
        assert_eq!(reader.read(&mut got).unwrap(), 4);
    });
}

/// A kernel before 6.5: pipes know no RWF_NOWAIT.
static OLD_KERNEL: std::sync::LazyLock<sys::SysTable> = std::sync::LazyLock::new(|| {
    let mut table = *sys::real_table();
    table.readv_nowait = |_, _, _| Err(io::Error::from_raw_os_error(libc::EOPNOTSUPP));
    table.writev_nowait = |_, _, _| Err(io::Error::from_raw_os_error(libc::EOPNOTSUPP));
    table
});

/// All of it again on an older kernel. The table is everybody's: a process of its own.
#[test]
fn pipes_of_an_older_kernel_do_the_same() {
    well_alone(&[], || {
        // SAFETY: the entries fail as the calls may; nothing else changes.
        unsafe { sys::replace(Some(&OLD_KERNEL)) };
        on_each(much_goes_through);
        on_each(ended_by_time);
        on_each(ended_by_cancellation);
        on_each(shared_by_readers);
    });
}
