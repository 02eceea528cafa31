//! Bytes from one stream to another, in one direction or both.

use std::io::{self, ErrorKind, Read, Write};
use std::time::Duration;

use ropewalk_rt::io::{copy, copy_bidirectional, sendfile};
use ropewalk_rt::net::unix::UnixStream;
use ropewalk_rt::net::{Shutdown, TcpListener, TcpStream};
use ropewalk_rt::{cancel, coroutine};

use crate::stage::{on_each, until_waiting};

/// Two ends of a connection.
pub(crate) fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (near, listener.accept().unwrap().0)
}

/// Writes all of `bytes`.
pub(crate) fn put(mut stream: &TcpStream, bytes: &[u8]) {
    stream.write_all(bytes).unwrap();
}

/// Reads `len` bytes, or up to the end.
pub(crate) fn take(stream: &TcpStream, len: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    stream.take(len).read_to_end(&mut bytes).unwrap();
    bytes
}

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|n| (n * 31 % 251) as u8).collect()
}

#[test]
fn copy_takes_all_and_counts() {
    on_each(|| {
        let bytes = pattern(1_000_000);
        let (near, mut far) = pair();
        let sent = bytes.clone();
        let sender = coroutine::spawn(move || {
            let copied = copy(&mut &sent[..], &mut &near)?;
            drop(near);
            io::Result::Ok(copied)
        });
        let mut received = Vec::new();
        assert_eq!(copy(&mut far, &mut received).unwrap(), 1_000_000);
        assert_eq!(sender.join().unwrap().unwrap(), 1_000_000);
        assert!(received == bytes);
    });
}

#[test]
fn both_directions_and_their_ends_are_passed_on() {
    on_each(|| {
        let (client, a) = pair();
        let (b, server) = pair();
        let proxy = coroutine::spawn(move || copy_bidirectional(&a, &b));
        let (there, back) = (pattern(700_000), pattern(300_000));
        let question = there.clone();
        let answer = back.clone();
        let asking = coroutine::spawn(move || {
            coroutine::scope(|scope| {
                let writing = scope.spawn(|| {
                    (&client).write_all(&question).unwrap();
                    client.shutdown(Shutdown::Write).unwrap();
                });
                let mut got = Vec::new();
                (&client).read_to_end(&mut got).unwrap();
                writing.join().unwrap();
                got
            })
        });
        let mut got = Vec::new();
        // Ends although the other direction is open.
        (&server).read_to_end(&mut got).unwrap();
        assert!(got == there);
        (&server).write_all(&answer).unwrap();
        drop(server);
        assert!(asking.join().unwrap() == back);
        assert_eq!(proxy.join().unwrap().unwrap(), (700_000, 300_000));
    });
}

#[test]
fn a_failure_of_one_direction_ends_the_other() {
    on_each(|| {
        let (client, a) = pair();
        let (b, server) = pair();
        let proxy = coroutine::spawn(move || copy_bidirectional(&a, &b));
        (&client).write_all(b"x").unwrap();
        (&server).read_exact(&mut [0]).unwrap();
        // A reset at one end; at the other nothing happens at all.
        client.set_linger(Some(Duration::ZERO)).unwrap();
        drop(client);
        let error = proxy.join().unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        // The streams were the proxy's: gone with it.
        assert_eq!((&server).read(&mut [0]).unwrap(), 0);
    });
}

#[test]
fn a_deadline_ends_both_directions() {
    on_each(|| {
        let (_client, a) = pair();
        let (b, _server) = pair();
        let copied = cancel::timeout(Duration::from_millis(10), || copy_bidirectional(&a, &b));
        let error = copied.unwrap_err().into_inner().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut, "{error:?}");
    });
}

// Also where the other direction had not begun: its end told only that, and hid the reason.
#[test]
fn who_is_cancelled_already_is_told_so() {
    on_each(|| {
        let (_client, a) = pair();
        let (b, _server) = pair();
        let token = cancel::Token::new();
        token.cancel();
        let error = token.run(|| copy_bidirectional(&a, &b)).unwrap_err();
        let inner = error.get_ref().expect("the reason");
        assert!(inner.is::<cancel::Cancelled>(), "{error:?}");

        let late = cancel::timeout(Duration::ZERO, || copy_bidirectional(&a, &b));
        let error = late.unwrap_err().into_inner().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut, "{error:?}");
    });
}

#[test]
fn streams_of_different_kinds_are_joined() {
    on_each(|| {
        let (client, a) = pair();
        let (b, mut server) = UnixStream::pair().unwrap();
        let proxy = coroutine::spawn(move || copy_bidirectional(&a, &b));
        put(&client, b"over tcp");
        client.shutdown(Shutdown::Write).unwrap();
        let mut text = String::new();
        server.read_to_string(&mut text).unwrap();
        assert_eq!(text, "over tcp");
        server.write_all(b"and unix").unwrap();
        drop(server);
        assert_eq!(take(&client, 100), b"and unix");
        assert_eq!(proxy.join().unwrap().unwrap(), (8, 8));
    });
}

#[test]
fn a_file_is_sent_whole_however_slow_the_peer() {
    let bytes = pattern(6_000_000);
    let path = std::env::temp_dir().join(format!("ropewalk-test-{}", std::process::id()));
    std::fs::write(&path, &bytes).unwrap();
    let file = std::fs::File::open(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    let file = &file;
    on_each(|| {
        let (near, far) = pair();
        let sent = coroutine::scope(|scope| {
            let sending = scope.spawn(move || {
                let sent = sendfile(file, &near, 1000, u64::MAX);
                drop(near);
                sent
            });
            // Nobody reads until the sender has nowhere to go.
            until_waiting(sending.task().id(), "writing");
            assert!(take(&far, u64::MAX) == bytes[1000..]);
            sending.join().unwrap().unwrap()
        });
        assert_eq!(sent, 6_000_000 - 1000);

        let (near, far) = pair();
        assert_eq!(sendfile(file, &near, 5, 10).unwrap(), 10);
        assert_eq!(sendfile(file, &near, 6_000_000, 10).unwrap(), 0);
        assert_eq!(take(&far, 10), bytes[5..15]);

        // A deadline ends it while there is no room, a reset peer by an error.
        near.set_write_timeout(Some(Duration::from_millis(10)))
            .unwrap();
        let error = sendfile(file, &near, 0, u64::MAX).map(|sent| sent < 6_000_000);
        if let Err(error) = error {
            assert_eq!(error.kind(), ErrorKind::TimedOut);
        }
        near.set_write_timeout(None).unwrap();
        drop(far);
        let mut result = Ok(1);
        while let Ok(1..) = result {
            result = sendfile(file, &near, 0, 1000);
        }
        let kind = result.unwrap_err().kind();
        assert!(
            matches!(kind, ErrorKind::ConnectionReset | ErrorKind::BrokenPipe),
            "{kind:?}"
        );
    });
}
