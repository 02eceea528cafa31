//! Sockets: a wait that is cancelled, or whose time is over, against what arrives. No byte, no
//! message and no connection is lost, and nobody writes into a buffer that was given back.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ropewalk_rt::cancel::{self, Elapsed};
use ropewalk_rt::coroutine;
use ropewalk_rt::net::unix::UnixStream;
use ropewalk_rt::net::{TcpListener, TcpStream, UdpSocket};

use crate::duel::{Form, Score, duel, rounds};
use crate::stage::in_coroutines;

const LOCAL: (Ipv4Addr, u16) = (Ipv4Addr::LOCALHOST, 0);

/// Does it under the limit that the form says.
fn limited<T>(form: Form, f: impl FnOnce() -> T) -> T {
    match form {
        Form::Plain => f(),
        Form::Timeout(limit) => cancel::timeout(limit, f).unwrap_or_else(Elapsed::into_inner),
        Form::Deadline(when) => cancel::deadline(when, f).unwrap_or_else(Elapsed::into_inner),
    }
}

/// Reads or receives into a buffer of its own; gives the number that came, if one did.
fn take_number(form: Form, read: impl FnOnce(&mut [u8]) -> io::Result<usize>) -> Option<u64> {
    const UNTOUCHED: u8 = 0xA5;
    let mut buf = [UNTOUCHED; 8];
    match limited(form, || read(&mut buf)) {
        Ok(read) => {
            assert_eq!(read, 8, "all of it");
            Some(u64::from_le_bytes(buf))
        }
        Err(_) => {
            // It was cut short, and nothing comes later.
            coroutine::yield_now();
            assert_eq!(buf, [UNTOUCHED; 8]);
            None
        }
    }
}

#[test]
fn reading() {
    in_coroutines(|| {
        let listener = TcpListener::bind(LOCAL).unwrap();
        let mut writer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        writer.set_nodelay(true).unwrap();
        let reader = Arc::new(listener.accept().unwrap().0);
        let mut score = Score::default();
        for round in 0..rounds() {
            let own = Arc::clone(&reader);
            let read = duel(
                round,
                move |form| take_number(form, |buf| (&*own).read(buf)),
                || writer.write_all(&round.to_le_bytes()).unwrap(),
            );
            let number = read.flatten();
            score.count(number.is_some());
            let number = number.unwrap_or_else(|| {
                let mut buf = [0; 8];
                (&*reader).read_exact(&mut buf).unwrap();
                u64::from_le_bytes(buf)
            });
            assert_eq!(number, round);
        }
        score.assert_both_seen();
    });
}

#[test]
fn receiving_datagrams() {
    in_coroutines(|| {
        let receiver = Arc::new(UdpSocket::bind(LOCAL).unwrap());
        let sender = UdpSocket::bind(LOCAL).unwrap();
        sender.connect(receiver.local_addr().unwrap()).unwrap();
        let mut score = Score::default();
        for round in 0..rounds() {
            let own = Arc::clone(&receiver);
            let received = duel(
                round,
                move |form| take_number(form, |buf| own.recv(buf)),
                || assert_eq!(sender.send(&round.to_le_bytes()).unwrap(), 8),
            );
            let number = received.flatten();
            score.count(number.is_some());
            let number = number.or_else(|| take_number(Form::Plain, |buf| receiver.recv(buf)));
            assert_eq!(number, Some(round));
        }
        score.assert_both_seen();
    });
}

/// Bytes as they are counted in a stream.
fn bytes_from(position: u64, count: usize) -> Vec<u8> {
    (position..).take(count).map(|n| (n % 251) as u8).collect()
}

// A stream that is full most of the time: as many bytes are read as the writer was told of, and
// they are those.
#[test]
fn writing() {
    const CHUNK: usize = 2 * 1024;
    in_coroutines(|| {
        let (writer, mut reader) = UnixStream::pair().unwrap();
        let writer = Arc::new(writer);
        let (mut written, mut read) = (0, 0_u64);
        let full = |written: &mut u64| {
            let more = || (&*writer).write(&bytes_from(*written, CHUNK));
            let more = cancel::timeout(Duration::from_millis(2), more);
            let count = more.unwrap_or_else(Elapsed::into_inner).unwrap_or(0);
            *written += count as u64;
            count == 0
        };
        while !full(&mut written) {}
        let mut buf = [0; CHUNK];
        let mut take = |read: u64| {
            let count = reader.read(&mut buf).unwrap();
            assert!(count > 0);
            assert_eq!(buf[..count], bytes_from(read, count));
            read + count as u64
        };
        let mut score = Score::default();
        for round in 0..rounds() {
            let (own, done) = (Arc::clone(&writer), Arc::new(AtomicBool::new(false)));
            let is_done = Arc::clone(&done);
            let result = duel(
                round,
                move |form| {
                    let result = limited(form, || (&*own).write(&bytes_from(written, CHUNK)));
                    done.store(true, Ordering::Release);
                    result.unwrap_or(0)
                },
                // Room for one more, or for one who would wait for ever.
                || {
                    while read < written {
                        read = take(read);
                        if is_done.load(Ordering::Acquire) {
                            break;
                        }
                        coroutine::yield_now();
                    }
                },
            );
            let count = result.unwrap_or(0);
            score.count(count > 0);
            written += count as u64;
            if round % 64 == 63 {
                while !full(&mut written) {}
            }
        }
        score.assert_both_seen();
        while read < written {
            read = take(read);
        }
        assert_eq!(read, written);
        drop(writer);
        assert_eq!(
            reader.read(&mut buf).unwrap(),
            0,
            "no byte that nobody was told of"
        );
    });
}

// A connection that was not accepted waits for the next who accepts.
#[test]
fn accepting() {
    in_coroutines(|| {
        let listener = Arc::new(TcpListener::bind(LOCAL).unwrap());
        let addr = listener.local_addr().unwrap();
        let mut score = Score::default();
        // Fewer: each leaves a port behind for a minute.
        for round in 0..rounds().min(5_000) {
            let own = Arc::clone(&listener);
            let mut client = None;
            let accepted = duel(
                round,
                move |form| limited(form, || own.accept()).ok(),
                || client = Some(TcpStream::connect(addr).unwrap()),
            );
            let accepted: Option<(TcpStream, SocketAddr)> = accepted.flatten();
            score.count(accepted.is_some());
            let (mut served, peer) = accepted.unwrap_or_else(|| listener.accept().unwrap());
            let mut client = client.unwrap();
            assert_eq!(client.local_addr().unwrap(), peer);
            client.write_all(b"hello").unwrap();
            let mut buf = [0; 5];
            served.read_exact(&mut buf).unwrap();
            assert_eq!(&buf, b"hello");
        }
        score.assert_both_seen();
    });
}
