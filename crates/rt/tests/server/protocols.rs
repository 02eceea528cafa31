//! Protocols: in what order they are told of what, and flow control.

use std::io::{self, ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ropewalk_rt::net::protocol::{
    self, DatagramProtocol, Joined, Protocol, Transport, UdpTransport, run_udp,
};
use ropewalk_rt::net::server::TcpServer;
use ropewalk_rt::net::{Shutdown, TcpStream, UdpSocket};
use ropewalk_rt::sync::Mutex;
use ropewalk_rt::{cancel, coroutine};

use crate::copying::{pair, put, take};
use crate::stage::{PATIENCE, on_each, until};

type Log = Arc<Mutex<Vec<String>>>;

/// Writes down what it is told; answers as `what` says.
#[derive(Clone, Default)]
struct Recorder {
    log: Log,
    keep_open: bool,
    close_on: Option<u8>,
    abort_on: Option<u8>,
    panic_on: Option<u8>,
}

impl Recorder {
    fn note(&self, text: impl Into<String>) {
        self.log.lock().push(text.into());
    }

    fn log(&self) -> Vec<String> {
        self.log.lock().clone()
    }
}

impl Protocol for Recorder {
    fn connected(&mut self, transport: &Transport) {
        assert!(!transport.is_closing());
        self.note("connected");
    }

    fn data(&mut self, transport: &Transport, data: &[u8]) {
        self.note(format!("data {}", String::from_utf8_lossy(data)));
        let has = |byte: Option<u8>| byte.is_some_and(|byte| data.contains(&byte));
        assert!(!has(self.panic_on), "as it should be");
        transport.write(data);
        if has(self.close_on) {
            transport.close();
            assert!(!transport.write(b"too late"));
        }
        if has(self.abort_on) {
            transport.abort();
        }
    }

    fn eof(&mut self, transport: &Transport) -> bool {
        self.note("eof");
        transport.write(b"<");
        self.keep_open
    }

    fn lost(&mut self, error: Option<&io::Error>) {
        self.note(match error {
            None => "lost".to_string(),
            Some(error) => format!("lost: {:?}", error.kind()),
        });
    }

    fn pause(&mut self) {
        self.note("pause");
    }

    fn resume(&mut self) {
        self.note("resume");
    }
}

#[test]
fn a_connection_is_told_from_beginning_to_end() {
    on_each(|| {
        let (near, far) = pair();
        let recorder = Recorder::default();
        let (transport, running) = protocol::spawn(far, recorder.clone());
        put(&near, b"one");
        assert_eq!(take(&near, 3), b"one");
        put(&near, b"two");
        near.shutdown(Shutdown::Write).unwrap();
        // What was written last is sent before the close.
        assert_eq!(take(&near, 100), b"two<");
        running.join().unwrap();
        assert_eq!(
            recorder.log(),
            ["connected", "data one", "data two", "eof", "lost"]
        );
        assert!(transport.is_closing());
        assert!(!transport.write(b"late"));
        transport.drain().unwrap();
    });
}

#[test]
fn the_other_direction_may_stay_open() {
    on_each(|| {
        let (near, far) = pair();
        let recorder = Recorder {
            keep_open: true,
            ..Recorder::default()
        };
        let (transport, running) = protocol::spawn(far, recorder.clone());
        near.shutdown(Shutdown::Write).unwrap();
        assert_eq!(take(&near, 1), b"<");
        transport.write(b"more");
        assert_eq!(take(&near, 4), b"more");
        assert!(!running.is_finished());
        transport.write(b"end");
        transport.end();
        assert_eq!(take(&near, 100), b"end");
        running.join().unwrap();
        assert_eq!(recorder.log(), ["connected", "eof", "lost"]);
    });
}

#[test]
fn close_sends_what_is_left_and_abort_does_not_wait() {
    on_each(|| {
        let (near, far) = pair();
        let recorder = Recorder {
            close_on: Some(b'!'),
            ..Recorder::default()
        };
        let (_, running) = protocol::spawn(far, recorder.clone());
        put(&near, b"bye!");
        assert_eq!(take(&near, 100), b"bye!");
        running.join().unwrap();
        assert_eq!(recorder.log(), ["connected", "data bye!", "lost"]);

        let (near, far) = pair();
        let recorder = Recorder {
            abort_on: Some(b'!'),
            ..Recorder::default()
        };
        let (transport, running) = protocol::spawn(far, recorder.clone());
        // More than the connection takes: a close would wait for the peer.
        transport.write(&vec![0; 16 << 20]);
        put(&near, b"!");
        running.join().unwrap();
        assert_eq!(recorder.log().last().unwrap(), "lost");
    });
}

#[test]
fn a_reset_is_the_error_that_it_is_lost_by() {
    on_each(|| {
        let (near, far) = pair();
        let recorder = Recorder::default();
        let (_, running) = protocol::spawn(far, recorder.clone());
        put(&near, b"x");
        take(&near, 1);
        near.set_linger(Some(Duration::ZERO)).unwrap();
        drop(near);
        running.join().unwrap();
        assert_eq!(
            recorder.log(),
            ["connected", "data x", "lost: ConnectionReset"]
        );
    });
}

#[test]
fn who_is_cancelled_loses_the_connection() {
    on_each(|| {
        let (near, far) = pair();
        let recorder = Recorder::default();
        let running = recorder.clone();
        let result = cancel::timeout(Duration::from_millis(5), || protocol::run(far, running));
        assert!(result.is_err());
        assert_eq!(recorder.log(), ["connected", "lost: TimedOut"]);
        assert_eq!(take(&near, 1), b"");
    });
}

#[test]
fn a_panic_of_the_protocol_closes_the_stream() {
    on_each(|| {
        let (near, far) = pair();
        let recorder = Recorder {
            panic_on: Some(b'!'),
            ..Recorder::default()
        };
        let (_, running) = protocol::spawn(far, recorder);
        put(&near, b"!");
        assert!(running.join().is_err());
        assert_eq!(take(&near, 1), b"");
    });
}

#[test]
fn who_writes_too_much_is_told_to_pause_and_then_to_resume() {
    on_each(|| {
        let (near, far) = pair();
        let recorder = Recorder::default();
        let (transport, running) = protocol::spawn(far, recorder.clone());
        transport.set_limits(100_000, 1000);
        // More than the system takes while the peer reads nothing.
        const LEN: usize = 16 << 20;
        for _ in 0..LEN / 65_536 {
            assert!(transport.write(&[7; 65_536]));
        }
        let last = || recorder.log().pop().unwrap_or_default();
        until(|| last() == "pause");
        assert!(transport.buffered() > 100_000);
        assert!(take(&near, LEN as u64).iter().all(|byte| *byte == 7));
        transport.drain().unwrap();
        until(|| last() == "resume");
        transport.close();
        assert_eq!(take(&near, 1), b"");
        running.join().unwrap();
        // It was told each in turn.
        let log = recorder.log();
        assert_eq!(
            (log.first().unwrap(), log.last().unwrap()),
            (&"connected".to_string(), &"lost".to_string())
        );
        let middle = &log[1..log.len() - 1];
        assert!(
            middle.len() >= 2 && middle.len().is_multiple_of(2),
            "{log:?}"
        );
        for pair in middle.chunks(2) {
            assert_eq!(pair, ["pause", "resume"]);
        }
    });
}

/// Sends more than fits, and waits for room in its callback, as no callback of asyncio may.
struct Filler(usize);

impl Protocol for Filler {
    fn connected(&mut self, transport: &Transport) {
        transport.set_limits(10_000, 1_000);
        for _ in 0..self.0 {
            transport.write(&[1; 4096]);
            transport.drain().unwrap();
            assert!(transport.buffered() <= 1_000);
        }
        transport.close();
    }

    fn data(&mut self, _: &Transport, _: &[u8]) {}
}

#[test]
fn callbacks_may_wait_for_room() {
    on_each(|| {
        let (near, far) = pair();
        let (_, running) = protocol::spawn(far, Filler(1000));
        assert_eq!(take(&near, u64::MAX).len(), 4096 * 1000);
        running.join().unwrap();
    });
}

#[test]
fn reading_pauses_and_goes_on() {
    on_each(|| {
        let (near, far) = pair();
        let recorder = Recorder::default();
        let (transport, running) = protocol::spawn(far, recorder.clone());
        transport.pause_reading();
        // One read may be under way.
        put(&near, b"a");
        put(&near, b"b");
        transport.write(b"still writes");
        assert_eq!(take(&near, 12).len(), 12);
        transport.resume_reading();
        until(|| recorder.log().iter().any(|line| line.ends_with('b')));
        drop(near);
        running.join().unwrap();
    });
}

#[test]
fn a_server_runs_one_on_each_connection() {
    on_each(|| {
        let log = Log::default();
        let all = Arc::clone(&log);
        let factory = move || Recorder {
            log: Arc::clone(&all),
            ..Recorder::default()
        };
        let server = TcpServer::bind("127.0.0.1:0", protocol::serve(factory)).unwrap();
        let (addr, handle) = (server.local_addr().unwrap(), server.handle());
        let serving = coroutine::spawn(move || server.serve_forever());
        for _ in 0..3 {
            let client = TcpStream::connect(addr).unwrap();
            put(&client, b"hi");
            assert_eq!(take(&client, 2), b"hi");
        }
        handle.shutdown(PATIENCE).unwrap();
        serving.join().unwrap().unwrap();
        assert_eq!(log.lock().iter().filter(|line| *line == "lost").count(), 3);
    });
}

/// Two pipes as a stream. (Those of a child are in the cookbook, N6.)
#[test]
fn a_pair_of_one_way_streams_is_a_stream() {
    on_each(|| {
        // Each connection is used in one direction only.
        let (child_in, ours_out) = pair();
        let (ours_in, child_out) = pair();
        let recorder = Recorder::default();
        let (transport, running) =
            protocol::spawn(Joined::new(ours_in, ours_out), recorder.clone());
        transport.write(b"question");
        assert_eq!(take(&child_in, 8), b"question");
        put(&child_out, b"answer");
        until(|| recorder.log().len() == 2);
        drop(child_out);
        // It answers to what it was told, and then ends: both descriptors are closed.
        assert_eq!(take(&child_in, 100), b"answer<");
        running.join().unwrap();
        assert_eq!(recorder.log(), ["connected", "data answer", "eof", "lost"]);
    });
    let joined = Joined::new(io::empty(), io::sink());
    ropewalk_rt::io::HalfClose::half_close(&joined, Shutdown::Both).unwrap();
    assert_eq!(
        (&joined).write(b"x").unwrap_err().kind(),
        ErrorKind::BrokenPipe
    );
    assert_eq!((&joined).read(&mut [0]).unwrap(), 0);
}

struct Datagrams(Log);

impl DatagramProtocol for Datagrams {
    fn connected(&mut self, _: &UdpTransport) {
        self.0.lock().push("connected".to_string());
    }

    fn datagram(&mut self, transport: &UdpTransport, data: &[u8], from: SocketAddr) {
        let text = String::from_utf8_lossy(data);
        self.0.lock().push(format!("datagram {text:?}"));
        transport.send_to(data, from).unwrap();
    }

    fn lost(&mut self, error: Option<&io::Error>) {
        self.0
            .lock()
            .push(format!("lost {:?}", error.map(io::Error::kind)));
    }
}

#[test]
fn datagrams_have_a_protocol_of_their_own() {
    on_each(|| {
        let transport = UdpTransport::new(UdpSocket::bind("127.0.0.1:0").unwrap());
        let addr = transport.socket().local_addr().unwrap();
        let log = Log::default();
        let running = coroutine::spawn({
            let (transport, log) = (transport.clone(), Arc::clone(&log));
            move || drop(run_udp(&transport, Datagrams(log)))
        });
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        client.set_read_timeout(Some(PATIENCE)).unwrap();
        for text in ["one", ""] {
            client.send_to(text.as_bytes(), addr).unwrap();
            let mut buf = [0; 8];
            let len = client.recv(&mut buf).unwrap();
            assert_eq!(&buf[..len], text.as_bytes());
        }
        transport.close();
        running.join().unwrap();
        let expected = [
            "connected",
            "datagram \"one\"",
            "datagram \"\"",
            "lost None",
        ];
        assert_eq!(*log.lock(), expected);

        // Closed before it runs; and a caller that is cancelled.
        let log = Log::default();
        drop(run_udp(&transport, Datagrams(Arc::clone(&log))));
        assert_eq!(*log.lock(), ["connected", "lost None"]);
        let transport = UdpTransport::new(UdpSocket::bind("127.0.0.1:0").unwrap());
        let log = Log::default();
        let run = || drop(run_udp(&transport, Datagrams(Arc::clone(&log))));
        assert!(cancel::timeout(Duration::from_millis(5), run).is_err());
        assert_eq!(*log.lock(), ["connected", "lost Some(TimedOut)"]);
    });
}
