//! Rows W2, W6, W7 and N7: answers that come later, clients that go, borders of messages.

use std::io::{BufReader, ErrorKind, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use ropewalk::coroutine;
use ropewalk::net::TcpStream;
use ropewalk::time::{Duration, sleep};
use ropewalk_cookbook::Embedded;

use crate::program::{n7_framing, w2_callbacks, w6_delayed, w7_stop_index};

/// W2: each callback is called once, with its own response or error.
#[ropewalk::test]
fn callbacks_are_called_with_response_or_error() {
    let mut ended = w2_callbacks::demonstrate().unwrap();
    ended.sort_by(|a, b| a.0.cmp(&b.0));
    let names: Vec<&str> = ended.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(
        names,
        ["GET /missing", "GET /page", "GET /slow", "POST /echo"]
    );
    let mut outcomes = ended.into_iter().map(|(_, outcome)| outcome);
    assert_eq!(outcomes.next().unwrap().unwrap().0, 404);
    assert_eq!(outcomes.next().unwrap().unwrap(), (200, "a page".into()));
    assert!(outcomes.next().unwrap().unwrap_err().is_timeout());
    assert_eq!(outcomes.next().unwrap().unwrap(), (200, "some data".into()));
}

/// W6: the value if it comes in time, else the default; and a late value isn't lost on its maker.
#[ropewalk::test]
fn a_promise_is_kept_or_the_default_is_sent() {
    let refused = Arc::new(AtomicU32::new(0));
    let server = Embedded::start(w6_delayed::app(Arc::clone(&refused))).unwrap();
    assert_eq!(w6_delayed::ask(&server, 5, 60_000).unwrap(), "the answer");
    assert_eq!(refused.load(Ordering::SeqCst), 0);
    assert_eq!(w6_delayed::ask(&server, 200, 1).unwrap(), "the default");
    while refused.load(Ordering::SeqCst) == 0 {
        sleep(Duration::from_millis(1));
    }
    server.stop().unwrap();
}

/// W7: the newest waiter is released, both get their own body, and none waiting is answered too.
#[ropewalk::test]
fn one_request_releases_another() {
    let board = Arc::new(w7_stop_index::Board::default());
    let server = Embedded::start(w7_stop_index::app(Arc::clone(&board))).unwrap();
    let get = |path: &str| w7_stop_index::get(&server, path).unwrap();
    assert_eq!(get("/stopindex"), "nobody waits");
    coroutine::scope(|s| {
        let waiters: Vec<_> = (1..=3)
            .map(|count| {
                let waiter = s.spawn(|| get("/index"));
                w7_stop_index::until_waiting(&board, count);
                waiter
            })
            .collect();
        // Newest first.
        for (number, waiter) in waiters.into_iter().enumerate().rev() {
            assert!(get(&format!("/stopindex?by={number}")).starts_with("released request"));
            assert_eq!(waiter.join().unwrap(), format!("released by {number}"));
        }
    });
    assert_eq!(get("/stopindex"), "nobody waits");
    server.stop().unwrap();
}

/// W7: who goes away is not there to be released.
#[ropewalk::test]
fn a_client_that_goes_takes_its_waiter_along() {
    let board = Arc::new(w7_stop_index::Board::default());
    let server = Embedded::start(w7_stop_index::app(Arc::clone(&board))).unwrap();
    let mut client = TcpStream::connect(server.addr()).unwrap();
    client
        .write_all(b"GET /index HTTP/1.1\r\nHost: here\r\n\r\n")
        .unwrap();
    w7_stop_index::until_waiting(&board, 1);
    coroutine::scope(|s| {
        let stays = s.spawn(|| w7_stop_index::get(&server, "/index").unwrap());
        w7_stop_index::until_waiting(&board, 2);
        drop(client);
        w7_stop_index::until_waiting(&board, 1);
        let _ = w7_stop_index::get(&server, "/stopindex?by=us").unwrap();
        assert_eq!(stays.join().unwrap(), "released by us");
    });
    server.stop().unwrap();
}

/// N7: there are no borders; and with frames there are, however the bytes are split and merged.
#[ropewalk::test]
fn messages_keep_their_borders() {
    assert!(n7_framing::reads_for_writes(50).unwrap() < 50);
    let messages: Vec<Vec<u8>> = [0, 1, 3, 4, 5, 1000, 70_000]
        .into_iter()
        .map(|length| (0..length).map(|n| (n % 251) as u8).collect())
        .collect();
    let mut bytes = Vec::new();
    for message in &messages {
        n7_framing::write_frame(&mut bytes, message).unwrap();
    }
    for step in [1, 2, 3, 5, 4096, usize::MAX] {
        let (mut near, mut far) = n7_framing::connected().unwrap();
        let bytes = bytes.clone();
        let sender = coroutine::spawn(move || {
            // Small pieces first, so that every border of a frame is split somewhere.
            let sizes = std::iter::repeat_n(step, 2000);
            n7_framing::send_in_pieces(&mut near, &bytes, sizes).unwrap();
        });
        for message in &messages {
            let read = n7_framing::read_frame(&mut far).unwrap();
            assert_eq!(read.as_ref(), Some(message));
        }
        assert_eq!(n7_framing::read_frame(&mut far).unwrap(), None);
        sender.join().unwrap();
    }
}

/// N7: what is no message is an error, not a huge allocation or a wrong message.
#[ropewalk::test]
fn broken_frames_are_errors() {
    let read = |bytes: &[u8]| n7_framing::read_frame(&mut &*bytes).map_err(|error| error.kind());
    assert_eq!(read(&[0, 0]), Err(ErrorKind::UnexpectedEof));
    assert_eq!(read(&[0, 0, 0, 9, 1]), Err(ErrorKind::UnexpectedEof));
    assert_eq!(read(&[255, 255, 255, 255]), Err(ErrorKind::InvalidData));
    let huge = vec![0; n7_framing::MESSAGE_BYTES_MAX as usize + 1];
    let error = n7_framing::write_frame(&mut Vec::new(), &huge).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
}

/// N7: lines, whatever their ends and wherever they are cut.
#[ropewalk::test]
fn lines_are_put_together() {
    for step in 1..8 {
        let (mut near, far) = n7_framing::connected().unwrap();
        let sender = coroutine::spawn(move || {
            let text = "one\ntwo\r\n\nJ\u{fc}rgen\nthe last".as_bytes();
            n7_framing::send_in_pieces(&mut near, text, std::iter::repeat(step)).unwrap();
        });
        let mut far = BufReader::new(far);
        let mut lines = Vec::new();
        while let Some(line) = n7_framing::read_line(&mut far).unwrap() {
            lines.push(line);
        }
        assert_eq!(lines, ["one", "two", "", "J\u{fc}rgen", "the last"]);
        sender.join().unwrap();
    }
}
