//! A dump on standard error for a SIGQUIT, in a process of its own.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::sync::Arc;

use ropewalk_rt::sync::Semaphore;

use crate::stage::{dump_until, runtime, waits};

const CHILD: &str = "ROPEWALK_INSPECT_TEST_CHILD";

#[test]
fn a_sigquit_writes_a_dump_and_the_process_goes_on() {
    if std::env::var_os(CHILD).is_some() {
        return child();
    }
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([
            "signal::a_sigquit_writes_a_dump_and_the_process_goes_on",
            "--exact",
            "--nocapture",
        ])
        .env(CHILD, "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut errors = BufReader::new(child.stderr.take().unwrap()).lines();
    let until = |lines: &mut dyn Iterator<Item = std::io::Result<String>>, text: &str| {
        let found = lines.map_while(Result::ok).find(|line| line.contains(text));
        assert!(found.is_some(), "it never said {text:?}");
    };
    until(&mut output, "ready");
    for _ in 0..2 {
        // SAFETY: no pointers.
        let sent = unsafe { libc::kill(child.id() as i32, libc::SIGQUIT) };
        assert_eq!(sent, 0);
        until(&mut errors, "dump of");
        until(&mut errors, "parked: waiting for a permit");
        until(&mut errors, "\"the waiter\"");
    }
    child.stdin.take().unwrap().write_all(b"go on\n").unwrap();
    until(&mut output, "went on");
    assert!(child.wait().unwrap().success());
}

fn child() {
    ropewalk_rt::inspect::on_sigquit().unwrap();
    // A second time is nothing.
    ropewalk_rt::inspect::on_sigquit().unwrap();
    let runtime = runtime(1);
    let gate = Arc::new(Semaphore::new(0));
    let waiter = {
        let gate = gate.clone();
        runtime.run(move || {
            let builder = ropewalk_rt::coroutine::Builder::new().name("the waiter");
            builder.spawn(move || drop(gate.acquire())).unwrap()
        })
    };
    dump_until(&runtime, |dump| {
        waits(dump, "the waiter", "waiting for a permit")
    });
    println!("ready");
    std::io::stdin().read_line(&mut String::new()).unwrap();
    gate.add_permits(1);
    waiter.join().unwrap();
    println!("went on");
}
