//! What every way for bytes does: something that is written at one end and read at the other.

use std::io::{ErrorKind, IoSlice, IoSliceMut, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use ropewalk_rt::io::{PipeReader, PipeWriter, pipe};
use ropewalk_rt::net::unix::UnixStream;
use ropewalk_rt::net::{ReadHalf, TcpListener, TcpStream, WriteHalf};
use ropewalk_rt::{cancel, coroutine, spawn};

use crate::stage::{in_coroutines, on_each, until_waiting};

/// A kind of way, shared by those who hold a reference to an end.
pub(crate) trait Way {
    type Reader: Send + Sync + 'static;
    type Writer: Send + Sync + 'static;

    fn make() -> (Self::Reader, Self::Writer);
    fn fd(reader: &Self::Reader) -> BorrowedFd<'_>;
    fn read(reader: &Self::Reader) -> impl Read;
    fn write(writer: &Self::Writer) -> impl Write;
    fn read_within(reader: &Self::Reader, limit: Option<Duration>);
    fn write_within(writer: &Self::Writer, limit: Option<Duration>);
}

/// A connection, of which one direction is used.
pub(crate) struct Tcp;
pub(crate) struct Unix;
/// The owned halves of a connection.
pub(crate) struct Halves;
pub(crate) struct Pipe;

pub(crate) fn tcp() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (client, listener.accept().unwrap().0)
}

macro_rules! way {
    ($way:ident: $reader:ty, $writer:ty = $make:expr) => {
        impl Way for $way {
            type Reader = $reader;
            type Writer = $writer;

            fn make() -> ($reader, $writer) {
                $make
            }

            fn fd(reader: &$reader) -> BorrowedFd<'_> {
                reader.as_fd()
            }

            fn read(reader: &$reader) -> impl Read {
                reader
            }

            fn write(writer: &$writer) -> impl Write {
                writer
            }

            fn read_within(reader: &$reader, limit: Option<Duration>) {
                let _ = reader.set_read_timeout(limit);
            }

            fn write_within(writer: &$writer, limit: Option<Duration>) {
                let _ = writer.set_write_timeout(limit);
            }
        }
    };
}

way!(Tcp: TcpStream, TcpStream = tcp());
way!(Unix: UnixStream, UnixStream = UnixStream::pair().unwrap());
way!(Pipe: PipeReader, PipeWriter = pipe().unwrap());

type ReadEnd = (ReadHalf<TcpStream>, WriteHalf<TcpStream>);

impl Way for Halves {
    // The other half is kept: dropping it would end the other direction, which is not asked
    // about here.
    type Reader = ReadEnd;
    type Writer = WriteHalf<TcpStream>;

    fn make() -> (ReadEnd, WriteHalf<TcpStream>) {
        let (one, other) = tcp();
        (one.into_split(), other.into_split().1)
    }

    fn fd(reader: &ReadEnd) -> BorrowedFd<'_> {
        reader.0.as_fd()
    }

    fn read(reader: &ReadEnd) -> impl Read {
        &*reader.0
    }

    fn write(writer: &WriteHalf<TcpStream>) -> impl Write {
        &**writer
    }

    fn read_within(reader: &ReadEnd, limit: Option<Duration>) {
        reader.0.set_read_timeout(limit).unwrap();
    }

    fn write_within(writer: &WriteHalf<TcpStream>, limit: Option<Duration>) {
        writer.set_write_timeout(limit).unwrap();
    }
}

/// Waits as no coroutine should, so that no driver gets to know.
fn until_readable(fd: BorrowedFd<'_>) {
    let mut fds = [libc::pollfd {
        fd: fd.as_raw_fd(),
        events: libc::POLLIN,
        revents: 0,
    }];
    // SAFETY: one entry, which is writable.
    assert_eq!(unsafe { libc::poll(fds.as_mut_ptr(), 1, 30_000) }, 1);
}

/// What is sent: at each place the place's rest by 253.
static PATTERN: LazyLock<Vec<u8>> =
    LazyLock::new(|| (0..400_000).map(|place| (place % 253) as u8).collect());

/// As many of its bytes, as they begin at a place.
fn pattern(from: usize, len: usize) -> &'static [u8] {
    &PATTERN[from % 253..][..len]
}

fn is_those(got: &[u8], from: usize) -> bool {
    got == pattern(from, got.len())
}

/// Megabytes, in pieces of many sizes on both sides, and then the end, again and again.
fn much<W: Way>() {
    const LEN: usize = 3 << 20;
    on_each(|| {
        let (reader, writer) = W::make();
        let writing = spawn(move || {
            let (mut sent, mut size) = (0, 1);
            while sent < LEN {
                let len = size.min(LEN - sent);
                W::write(&writer).write_all(pattern(sent, len)).unwrap();
                sent += len;
                size = size * 5 % 200_003;
            }
        });
        let mut buf = vec![0; 100_000];
        let (mut got, mut size) = (0, 1);
        loop {
            let len = W::read(&reader).read(&mut buf[..size]).unwrap();
            if len == 0 {
                break;
            }
            assert!(is_those(&buf[..len], got), "at {got}");
            got += len;
            size = size * 7 % 99_991;
        }
        assert_eq!(got, LEN);
        for _ in 0..3 {
            assert_eq!(W::read(&reader).read(&mut buf).unwrap(), 0);
        }
        writing.join().unwrap();
    });
}

/// Nothing is asked for: nothing is waited for, and nothing taken.
fn nothing<W: Way>() {
    on_each(|| {
        let (reader, writer) = W::make();
        assert_eq!(W::read(&reader).read(&mut []).unwrap(), 0);
        assert_eq!(W::read(&reader).read_vectored(&mut []).unwrap(), 0);
        assert_eq!(W::write(&writer).write(&[]).unwrap(), 0);
        assert_eq!(W::write(&writer).write_vectored(&[]).unwrap(), 0);
        W::write(&writer).write_all(b"x").unwrap();
        assert_eq!(W::read(&reader).read(&mut []).unwrap(), 0);
        let mut buf = [0; 10];
        assert_eq!(W::read(&reader).read(&mut buf).unwrap(), 1);
    });
}

/// Gathered and scattered, over buffers of all sizes, empty ones too.
fn vectored<W: Way>() {
    on_each(|| {
        let (reader, writer) = W::make();
        let parts = [&b""[..], b"one", b"", b"two and", b" three"].map(IoSlice::new);
        assert_eq!(W::write(&writer).write_vectored(&parts).unwrap(), 16);
        drop(writer);
        let (mut one, mut two, mut three) = ([0; 2], [0; 0], [0; 30]);
        let mut parts = [&mut one[..], &mut two, &mut three].map(IoSliceMut::new);
        assert_eq!(W::read(&reader).read_vectored(&mut parts).unwrap(), 16);
        assert_eq!(W::read(&reader).read_vectored(&mut parts).unwrap(), 0);
        assert_eq!((&one, &three[..14]), (b"on", &b"etwo and three"[..]));
    });
}

/// Who waits to read sees what is written, and the end, whichever comes.
fn waiting_to_read<W: Way>() {
    in_coroutines(|| {
        let (reader, writer) = W::make();
        let reading = spawn(move || {
            let mut text = String::new();
            W::read(&reader).read_to_string(&mut text).unwrap();
            text
        });
        until_waiting(reading.id(), "reading");
        W::write(&writer).write_all(b"first").unwrap();
        until_waiting(reading.id(), "reading");
        W::write(&writer).write_all(b", second").unwrap();
        until_waiting(reading.id(), "reading");
        drop(writer);
        assert_eq!(reading.join().unwrap(), "first, second");
    });
}

/// Who waits to write sees the reader go.
fn no_reader<W: Way>() {
    in_coroutines(|| {
        let (reader, writer) = W::make();
        let writing = spawn(move || {
            loop {
                if let Err(error) = W::write(&writer).write_all(&[7; 50_000]) {
                    let again = W::write(&writer).write(b"x").unwrap_err();
                    break (error.kind(), again.kind());
                }
            }
        });
        until_waiting(writing.id(), "writing");
        drop(reader);
        let (error, again) = writing.join().unwrap();
        let gone = [ErrorKind::BrokenPipe, ErrorKind::ConnectionReset];
        assert!(
            gone.contains(&error) && gone.contains(&again),
            "{error}, {again}"
        );
    });
}

/// A read that ended too early, by time or cancellation, has taken nothing.
fn reads_that_end_early<W: Way>() {
    on_each(|| {
        let (reader, writer) = W::make();
        let mut buf = [0; 100];
        let short = Duration::from_millis(3);
        W::read_within(&reader, Some(short));
        for _ in 0..2 {
            let error = W::read(&reader).read(&mut buf).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::TimedOut);
        }
        W::read_within(&reader, None);
        let late = cancel::timeout(short, || W::read(&reader).read(&mut buf));
        let error = late.unwrap_err().into_inner().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        W::write(&writer).write_all(b"all of it").unwrap();
        assert_eq!(W::read(&reader).read(&mut buf).unwrap(), 9);
        assert_eq!(&buf[..9], b"all of it");
        // There already: no limit has anything to end.
        W::read_within(&reader, Some(Duration::from_nanos(1)));
        for _ in 0..3 {
            W::write(&writer).write_all(b"there").unwrap();
            until_readable(W::fd(&reader));
            assert_eq!(W::read(&reader).read(&mut buf).unwrap(), 5);
        }
    });
}

/// ... also by its handle.
fn cancelled_reads<W: Way>() {
    in_coroutines(|| {
        let (reader, writer) = W::make();
        let reader = &reader;
        coroutine::scope(|s| {
            let reading = s.spawn(move || W::read(reader).read(&mut [0; 10]));
            until_waiting(reading.id(), "reading");
            reading.cancel();
            let error = reading.join().unwrap().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Other);
            assert!(error.to_string().contains("cancelled"), "{error}");
            W::write(&writer).write_all(b"kept").unwrap();
            let mut buf = [0; 10];
            assert_eq!(W::read(reader).read(&mut buf).unwrap(), 4);
            assert_eq!(&buf[..4], b"kept");
        });
    });
}

/// Writes that ended too early: what they said they had written arrives, and no more.
fn writes_that_end_early<W: Way>() {
    on_each(|| {
        let (reader, writer) = W::make();
        let mut sent = 0;
        let fill = |sent: &mut usize| {
            loop {
                match W::write(&writer).write(pattern(*sent, 200_000)) {
                    Ok(len) => *sent += len,
                    Err(error) => break error.kind(),
                }
            }
        };
        let short = Duration::from_millis(3);
        W::write_within(&writer, Some(short));
        assert_eq!(fill(&mut sent), ErrorKind::TimedOut);
        W::write_within(&writer, None);
        let late = cancel::timeout(short, || fill(&mut sent));
        assert_eq!(late.unwrap_err().into_inner(), ErrorKind::TimedOut);
        assert!(sent > 0);
        let mut got = 0;
        let mut buf = vec![0; 65_536];
        W::read_within(&reader, Some(Duration::from_secs(30)));
        while got < sent {
            let len = W::read(&reader).read(&mut buf).unwrap();
            assert!(is_those(&buf[..len], got), "at {got}");
            got += len;
        }
        assert_eq!(got, sent);
        // There is room again.
        W::write(&writer).write_all(b"more").unwrap();
        drop(writer);
        let mut rest = Vec::new();
        W::read(&reader).read_to_end(&mut rest).unwrap();
        assert_eq!(rest, b"more");
    });
}

/// Several read from one end: each byte is read by one of them, and all see the end.
fn several_readers<W: Way>() {
    const SENT: usize = 20_000;
    on_each(|| {
        let (reader, writer) = W::make();
        let reader = &reader;
        let counts = coroutine::scope(|s| {
            let reading: Vec<_> = (0..4)
                .map(|_| {
                    s.spawn(move || {
                        let mut counts = [0usize; 256];
                        let mut buf = [0; 100];
                        loop {
                            match W::read(reader).read(&mut buf).unwrap() {
                                0 => break counts,
                                len => buf[..len]
                                    .iter()
                                    .for_each(|byte| counts[usize::from(*byte)] += 1),
                            }
                        }
                    })
                })
                .collect();
            for piece in pattern(0, SENT).chunks(77) {
                W::write(&writer).write_all(piece).unwrap();
                coroutine::yield_now();
            }
            drop(writer);
            let mut counts = [0; 256];
            for reading in reading {
                let own = reading.join().unwrap();
                counts
                    .iter_mut()
                    .zip(own)
                    .for_each(|(all, own)| *all += own);
            }
            counts
        });
        let mut expected = [0; 256];
        pattern(0, SENT)
            .iter()
            .for_each(|byte| expected[usize::from(*byte)] += 1);
        assert_eq!(counts, expected);
    });
}

/// Several write to one end: nothing is lost.
fn several_writers<W: Way>() {
    on_each(|| {
        let (reader, writer) = W::make();
        let total = coroutine::scope(|s| {
            let writer = Arc::new(writer);
            for n in 0..4u8 {
                let writer = Arc::clone(&writer);
                s.spawn(move || W::write(&writer).write_all(&vec![n; 100_000]).unwrap());
            }
            drop(writer);
            let mut all = Vec::new();
            W::read(&reader).read_to_end(&mut all).unwrap();
            for n in 0..4 {
                assert_eq!(all.iter().filter(|byte| **byte == n).count(), 100_000);
            }
            all.len()
        });
        assert_eq!(total, 400_000);
    });
}

macro_rules! suite {
    ($($name:ident: $way:ty;)+) => {$(
        mod $name {
            suite!(@ $way: much nothing vectored waiting_to_read no_reader
                reads_that_end_early cancelled_reads writes_that_end_early several_readers
                several_writers);
        }
    )+};
    (@ $way:ty: $($behaviour:ident)+) => {$(
        #[test]
        fn $behaviour() {
            super::$behaviour::<$way>();
        }
    )+};
}

suite! {
    tcp_stream: super::Tcp;
    unix_stream: super::Unix;
    owned_halves: super::Halves;
    pipes: super::Pipe;
}
