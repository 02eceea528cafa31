//! Clients that err, dawdle or come in crowds, and those of other users: none harms the process or
//! keeps others from looking.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;

use rustix::process::geteuid;

use super::target::{Plan, Target};
use crate::process::Folder;

/// `nobody`'s number, as good as any.
const OTHER_UID: u32 = 65_534;

fn line(stream: UnixStream) -> String {
    let mut line = String::new();
    // A connection that was shut down may also be reset.
    let _ = BufReader::new(stream).read_line(&mut line);
    line
}

fn still_answers(target: &Target) {
    let finished = target.top(&["--dump"]);
    assert_eq!((finished.code, finished.err.as_str()), (Some(0), ""));
    assert!(finished.out.contains("crowd.rs"), "{}", finished.out);
}

#[test]
fn long_lines_and_nonsense() {
    let folder = Folder::new();
    let target = Plan::new(&folder, 20).start();
    let mut stream = target.connect();
    let _ = stream.write_all(&vec![b'a'; 1 << 20]);
    let answer = line(stream);
    assert!(answer.is_empty() || answer.contains("too long"), "{answer}");
    for nonsense in [
        &b"\n"[..],
        b"dump\n",
        b"DUMP TEXT\n",
        b"\0\n",
        b"GET / HTTP/1.1\r\n",
    ] {
        let mut stream = target.connect();
        stream.write_all(nonsense).unwrap();
        assert!(
            line(stream).starts_with("error unknown request"),
            "{nonsense:?}"
        );
    }
    let mut stream = target.connect();
    stream.write_all(b"\xff\xff\n").unwrap();
    assert!(line(stream).starts_with("error not UTF-8"));
    still_answers(&target);
}

#[test]
fn many_requests_on_a_connection() {
    let folder = Folder::new();
    let target = Plan::new(&folder, 20).start();
    let mut stream = target.connect();
    stream.write_all(&b"ping\n".repeat(100)).unwrap();
    let mut answers = vec![0; b"ok 5\npong\n".len() * 100];
    stream.read_exact(&mut answers).unwrap();
    assert_eq!(answers, b"ok 5\npong\n".repeat(100));
}

#[test]
fn who_is_slow_holds_up_nobody() {
    let folder = Folder::new();
    let target = Plan::new(&folder, 2000).start();
    // Half a request each, or a request whose answer isn't read.
    let mut slow = Vec::new();
    for number in 0..20 {
        let mut stream = target.connect();
        let request: &[u8] = if number % 2 == 0 {
            b"du"
        } else {
            b"dump json\n"
        };
        stream.write_all(request).unwrap();
        slow.push(stream);
        if number % 5 == 0 {
            still_answers(&target);
        }
    }
    drop(slow);
    still_answers(&target);
}

#[test]
fn a_thousand_connections() {
    let folder = Folder::new();
    let target = Plan::new(&folder, 20).start();
    let mut held = Vec::new();
    for _ in 0..1000 {
        // Bounded, for the test's own limit on open files.
        if held.len() == 200 {
            held.clear();
        }
        held.push(target.connect());
    }
    still_answers(&target);
    let threads = format!("/proc/{}/task", target.pid());
    let threads = std::fs::read_dir(threads).unwrap().count();
    assert!(threads < 40, "{threads} threads");
    drop(held);
    still_answers(&target);
}

/// Needs root, to be somebody else: the check itself has a test of its own beside it.
#[test]
fn other_users_are_refused_even_root() {
    if !geteuid().is_root() {
        println!("skipped: only root can act as other users");
        return;
    }
    let folder = Folder::new();
    let other = Some(OTHER_UID);
    std::os::unix::fs::chown(folder.path(), other, other).unwrap();
    let mut plan = Plan::new(&folder, 20);
    plan.uid = other;
    let target = plan.start();
    let mut stream = target.connect();
    let _ = stream.write_all(b"dump text\n");
    let answer = line(stream);
    assert!(
        answer.starts_with(&format!("error only user {OTHER_UID}")),
        "{answer}"
    );
    let finished = target.top(&["--dump"]);
    assert_eq!(finished.code, Some(2));
    assert_eq!(finished.out, "");
    assert!(finished.err.contains("another user"), "{}", finished.err);
}
