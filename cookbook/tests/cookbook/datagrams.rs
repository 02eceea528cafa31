//! Rows N8, N9 and N11: datagrams and names.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use ropewalk::DriverKind;
use ropewalk::sync::{Event, Mutex};
use rustix::fs::{CWD, Mode, mkfifoat};

use crate::program::n8_udp::{self, DATAGRAM_BYTES_MAX, Server, ask, ask_with_room, client};
use crate::program::n9_chat::{Message, decode, encode};
use crate::programs::{drivers, path_of};

/// How long a line of a program may take to come.
const PATIENCE: Duration = Duration::from_secs(30);

/// N8: answers keep their borders and senders, whoever asks; too long ones are told.
#[test]
fn datagrams_keep_their_borders() {
    // One question at a time on each socket: UDP promises no order to those that are under way
    // together.
    let server = Server::in_turn(n8_udp::upper).unwrap();
    let (one, other) = (
        client(server.addr()).unwrap(),
        client(server.addr()).unwrap(),
    );
    one.send(b"one's").unwrap();
    assert_eq!(ask(&other, &["other's"]).unwrap(), ["OTHER'S"]);
    let mut buf = [0; 10];
    let datagram = one.recv_datagram(&mut buf).unwrap();
    assert_eq!(
        (&buf[..datagram.len], datagram.full_len),
        (&b"ONE'S"[..], 5)
    );
    assert_eq!(ask_with_room(&one, "", 10).unwrap(), (String::new(), 0));
    assert_eq!(ask_with_room(&one, "", 0).unwrap(), (String::new(), 0));
    assert_eq!(ask_with_room(&one, "abc", 0).unwrap(), (String::new(), 3));
    assert_eq!(
        ask_with_room(&one, "abc", 2).unwrap(),
        ("AB".to_string(), 3)
    );
    assert_eq!(ask_with_room(&one, "x", 10).unwrap(), ("X".to_string(), 1));
    let longest = "x".repeat(DATAGRAM_BYTES_MAX);
    let answers = ask(&other, &[&longest]).unwrap();
    assert_eq!(answers, [longest.to_uppercase()]);
}

/// N8: one slow answer holds the others up, unless each has a coroutine of its own.
#[test]
fn a_slow_answer_holds_nobody_up() {
    let others = ["b", "c", "d"];
    let server = Server::in_turn(upper_when_asked).unwrap();
    let one = client(server.addr()).unwrap();
    one.send(b"slow").unwrap();
    SLOW_BEGUN.wait().unwrap();
    for other in others {
        one.send(other.as_bytes()).unwrap();
    }
    OTHERS_ASKED.set();
    let mut answers = Vec::new();
    for _ in 0..4 {
        let mut buf = [0; DATAGRAM_BYTES_MAX];
        let len = one.recv(&mut buf).unwrap();
        answers.push(String::from_utf8_lossy(&buf[..len]).into_owned());
    }
    // As they are answered: UDP promises no order on the way.
    assert_eq!(ANSWERED.lock()[0], "slow");
    answers.sort();
    assert_eq!(answers, ["B", "C", "D", "SLOW"]);

    let server = Server::coroutine_per_datagram(upper_in_the_end).unwrap();
    let client = client(server.addr()).unwrap();
    client.send(b"slow").unwrap();
    let mut answers = ask(&client, &others).unwrap();
    answers.sort();
    assert_eq!(answers, ["B", "C", "D"]);
    OTHERS_ANSWERED.set();
    let mut buf = [0; DATAGRAM_BYTES_MAX];
    let len = client.recv(&mut buf).unwrap();
    assert_eq!(&buf[..len], b"SLOW");
}

/// Set once what begins with "slow" is being answered, and once the others are asked.
static SLOW_BEGUN: Event = Event::new();
static OTHERS_ASKED: Event = Event::new();

/// What was answered, in that order.
static ANSWERED: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Takes as long for what begins with "slow" as it takes to ask the others.
fn upper_when_asked(text: &[u8]) -> Vec<u8> {
    if text.starts_with(b"slow") {
        SLOW_BEGUN.set();
        OTHERS_ASKED.wait().expect("nobody cancels it");
    }
    let answered = String::from_utf8_lossy(text).into_owned();
    ANSWERED.lock().push(answered);
    n8_udp::upper(text)
}

/// Set once the others have their answers.
static OTHERS_ANSWERED: Event = Event::new();

/// Takes as long for what begins with "slow" as the others' answers take.
fn upper_in_the_end(text: &[u8]) -> Vec<u8> {
    if text.starts_with(b"slow") {
        OTHERS_ANSWERED.wait().expect("nobody cancels it");
    }
    n8_udp::upper(text)
}

/// N9: what was put into a datagram comes out of it; anything else is seen to be odd.
#[test]
fn messages_of_the_chat() {
    for message in [Message::Hello, Message::Text("a\nb"), Message::Bye] {
        assert_eq!(decode(&encode("ann", &message)), Some(("ann", message)));
    }
    for odd in [
        &b""[..],
        b"T",
        b"Tann",
        b"T\ntext",
        b"Xann\ntext",
        b"Ta b\ntext",
        b"T\xff\n",
        b"Tthis-name-is-far-too-long\n",
    ] {
        assert_eq!(decode(odd), None, "{odd:?}");
    }
}

/// A program that is talked to through pipes.
struct Terminal {
    child: Child,
    input: Option<ChildStdin>,
    lines: mpsc::Receiver<String>,
}

impl Terminal {
    fn start(driver: DriverKind, arguments: &[&str]) -> Terminal {
        let mut child = Command::new(path_of("n9_chat"))
            .args(arguments)
            .env("ROPEWALK_DRIVER", driver.as_str())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let output = BufReader::new(child.stdout.take().expect("a pipe"));
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || {
            for line in output.lines() {
                let _ = sender.send(line.expect("text"));
            }
        });
        let input = child.stdin.take();
        Terminal {
            child,
            input,
            lines,
        }
    }

    fn types(&self, line: &str) {
        let mut input = self.input.as_ref().expect("not left yet");
        writeln!(input, "{line}").expect("it reads");
    }

    /// The next line that it shows.
    fn shows(&self) -> String {
        self.lines.recv_timeout(PATIENCE).expect("a line in time")
    }

    fn shows_all_of(&self, expected: &[&str]) {
        let mut shown: Vec<String> = expected.iter().map(|_| self.shows()).collect();
        shown.sort();
        assert_eq!(shown, expected);
    }

    /// Leaves; nothing more was shown.
    fn ends(mut self) {
        drop(self.input.take());
        assert!(self.child.wait().expect("a child").success());
        assert_eq!(self.lines.recv(), Err(mpsc::RecvError));
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// N9: three talk on terminals, to all and to one; each hears who comes and goes.
#[test]
fn three_chat() {
    for driver in drivers() {
        let start = |name: &str, known: &[&str]| {
            let mut arguments = vec![name, "127.0.0.1:0"];
            arguments.extend_from_slice(known);
            let terminal = Terminal::start(driver, &arguments);
            let first = terminal.shows();
            let prefix = format!("* {name} at ");
            let addr = first
                .strip_prefix(&prefix)
                .expect("its address")
                .to_string();
            (terminal, addr)
        };
        let (ann, ann_addr) = start("ann", &[]);
        let (bob, bob_addr) = start("bob", &[&ann_addr]);
        assert_eq!(ann.shows(), "* bob is here");
        assert_eq!(bob.shows(), "* ann is here");
        let (cid, _) = start("cid", &[&ann_addr, &bob_addr]);
        assert_eq!(ann.shows(), "* cid is here");
        assert_eq!(bob.shows(), "* cid is here");
        cid.shows_all_of(&["* ann is here", "* bob is here"]);

        ann.types("hello all");
        assert_eq!(bob.shows(), "ann: hello all");
        assert_eq!(cid.shows(), "ann: hello all");
        bob.types("@cid just you");
        assert_eq!(cid.shows(), "bob: just you");
        cid.types("@ann and you");
        assert_eq!(ann.shows(), "cid: and you");
        bob.types("@dora anybody?");
        assert_eq!(bob.shows(), "* dora is not here");
        bob.types(&"x".repeat(2000));
        assert!(bob.shows().starts_with("* too long"));
        assert!(bob.shows().starts_with("* too long"));

        bob.ends();
        assert_eq!(ann.shows(), "* bob has left");
        assert_eq!(cid.shows(), "* bob has left");
        ann.types("/who");
        assert!(ann.shows().starts_with("* cid at 127.0.0.1:"));
        cid.types("/quit");
        cid.ends();
        assert_eq!(ann.shows(), "* cid has left");
        ann.ends();
    }
}

/// N11: a look-up that gets no answer ends at the limit, and the others before it. The one that
/// gets none reads its aliases from a FIFO that nobody writes to.
#[test]
fn a_slow_look_up_holds_nobody_up() {
    let fifo = std::env::temp_dir().join(format!("ropewalk-aliases-{}", std::process::id()));
    mkfifoat(CWD, &fifo, Mode::RUSR | Mode::WUSR).expect("a FIFO");
    for driver in drivers() {
        let look_up = |limit: &str| {
            let output = Command::new(path_of("n11_lookups"))
                .args(["--limit", limit, "ropewalk-slow", "localhost", "127.0.0.1"])
                .env("ROPEWALK_DRIVER", driver.as_str())
                .env("HOSTALIASES", &fifo)
                .output()
                .expect("the program starts");
            assert!(output.status.success());
            String::from_utf8(output.stdout).expect("text")
        };
        // A slow machine may need more time for the others.
        let found = |(_, text): &(_, String)| text.contains("localhost: [");
        let mut tries = [("500", "500ms"), ("10000", "10s")]
            .into_iter()
            .map(|(limit, said)| (said, look_up(limit)));
        let (limit, text) = tries.find(found).expect("localhost has an address");
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 3, "{text}");
        assert!(lines.contains(&"127.0.0.1: [127.0.0.1]"), "{text}");
        // Some C libraries read no aliases: theirs fails at once.
        if lines[2].contains("no answer") {
            assert_eq!(lines[2], format!("ropewalk-slow: no answer in {limit}"));
        } else {
            eprintln!("skipped: the slow look-up was not slow: {text}");
        }
    }
    let _ = std::fs::remove_file(&fifo);
}
