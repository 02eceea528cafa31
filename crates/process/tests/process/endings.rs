//! How processes end, and how that is told.

use std::io::{Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::time::Duration;

use ropewalk_process::pipe::{Receiver, Sender, one_way};
use ropewalk_process::{Process, Stream};
use ropewalk_rt::{JoinError, coroutine};

use crate::stage::{in_coroutines, on_each, until_waiting};

#[ropewalk_macros::task(crate = ropewalk_rt)]
fn waits(begun: Sender<()>, end: Receiver<()>) -> u8 {
    begun.send(()).unwrap();
    let _ = end.recv();
    5
}

/// A process that has begun, and what ends it when it is dropped.
fn waiting() -> (Process<u8>, Sender<()>) {
    let (begun, has_begun) = one_way().unwrap();
    let (end, ends) = one_way().unwrap();
    let process = Process::spawn(waits, (begun, ends)).unwrap();
    has_begun.recv().unwrap();
    (process, end)
}

#[test]
fn a_limit_gives_the_process_back() {
    on_each(|| {
        let (process, end) = waiting();
        assert!(process.is_alive());
        assert_eq!(process.exit_code(), None);
        let short = Duration::from_millis(3);
        let process = process.join_timeout(short).unwrap_err();
        let process = process.try_join().unwrap_err();
        let timed_out = process.wait_timeout(short).unwrap_err();
        assert_eq!(timed_out.kind(), std::io::ErrorKind::TimedOut);
        drop(end);
        assert!(process.wait().unwrap().success());
        assert!(!process.is_alive());
        assert_eq!(process.exit_code(), Some(0));
        assert_eq!(process.join().unwrap(), 5);
    });
}

fn death(error: &JoinError) -> (Option<i32>, Option<i32>) {
    match error {
        JoinError::WorkerDied { status, .. } => (status.code(), status.signal()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn signals_end_processes_and_are_told() {
    on_each(|| {
        for kill in [true, false] {
            let (process, _end) = waiting();
            let handle = process.handle();
            let signal = if kill {
                handle.kill().unwrap();
                libc::SIGKILL
            } else {
                handle.terminate().unwrap();
                libc::SIGTERM
            };
            let error = process.join().unwrap_err();
            assert_eq!(death(&error), (None, Some(signal)));
            assert_eq!(handle.exit_code(), Some(-signal));
            // There is nothing left to be hit.
            handle.kill().unwrap();
            handle.terminate().unwrap();
        }
    });
}

#[ropewalk_macros::task(crate = ropewalk_rt)]
fn exits(code: i32) -> u8 {
    std::process::exit(code)
}

#[ropewalk_macros::task(crate = ropewalk_rt)]
fn aborts() -> u8 {
    std::process::abort()
}

#[inline(never)]
#[allow(unconditional_recursion)]
fn deep(array: [u64; 64]) -> u64 {
    deep(std::hint::black_box(array)) + array[3]
}

#[ropewalk_macros::task(crate = ropewalk_rt)]
fn overflows() -> u64 {
    deep([1; 64])
}

#[test]
fn every_way_to_die_is_told() {
    for code in [0, 1, 3, 255] {
        let error = Process::spawn(exits, (code,)).unwrap().join().unwrap_err();
        assert_eq!(death(&error), (Some(code), None));
    }
    let error = Process::spawn(aborts, ()).unwrap().join().unwrap_err();
    assert_eq!(death(&error), (None, Some(libc::SIGABRT)));
    let builder = Process::builder(overflows, ()).stderr(Stream::Null);
    let error = builder.spawn().unwrap().join().unwrap_err();
    let (code, signal) = death(&error);
    assert!(code != Some(0) || signal.is_some(), "{error}");
}

/// A result that was sent doesn't count if the process was ended after that.
#[ropewalk_macros::task(crate = ropewalk_rt)]
fn returns_and_goes_on(begun: Sender<()>) -> u8 {
    coroutine::spawn(move || {
        begun.send(()).unwrap();
        coroutine::sleep(Duration::MAX);
    });
    8
}

#[test]
fn who_is_killed_after_its_result_has_died() {
    let (begun, has_begun) = one_way().unwrap();
    let process = Process::spawn(returns_and_goes_on, (begun,)).unwrap();
    has_begun.recv().unwrap();
    process.kill().unwrap();
    let error = process.join().unwrap_err();
    assert_eq!(death(&error), (None, Some(libc::SIGKILL)));
}

#[ropewalk_macros::task(crate = ropewalk_rt)]
fn leaves_a_task(done: Sender<String>) {
    let slow = coroutine::Builder::new().name("slow");
    slow.spawn(move || {
        for _ in 0..10 {
            coroutine::yield_now();
        }
        done.send("done".to_owned()).unwrap();
    })
    .unwrap();
    let daemon = coroutine::Builder::new().daemon(true);
    daemon.spawn(|| coroutine::sleep(Duration::MAX)).unwrap();
}

/// As under `#[ropewalk::main]`: its tasks are waited for, but not its daemons.
#[test]
fn tasks_that_are_left_are_waited_for() {
    let (done, is_done) = one_way::<String>().unwrap();
    let process = Process::spawn(leaves_a_task, (done,)).unwrap();
    process.join().unwrap();
    assert_eq!(is_done.recv().unwrap(), "done");
}

#[ropewalk_macros::task(crate = ropewalk_rt)]
fn shouts() -> usize {
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text).unwrap();
    println!("{}", text.to_uppercase());
    eprintln!("{} bytes", text.len());
    text.len()
}

#[test]
fn streams_can_be_piped_and_sent_elsewhere() {
    on_each(|| {
        let builder = Process::builder(shouts, ()).stdin(Stream::Piped);
        let mut process = builder
            .stdout(Stream::Piped)
            .stderr(Stream::Piped)
            .spawn()
            .unwrap();
        let mut stdin = process.stdin.take().unwrap();
        stdin.write_all(b"be quiet").unwrap();
        drop(stdin);
        let mut said = String::new();
        process
            .stdout
            .take()
            .unwrap()
            .read_to_string(&mut said)
            .unwrap();
        assert_eq!(said, "BE QUIET\n");
        said.clear();
        process
            .stderr
            .take()
            .unwrap()
            .read_to_string(&mut said)
            .unwrap();
        assert_eq!(said, "8 bytes\n");
        assert_eq!(process.join().unwrap(), 8);

        // Without a word about it, the input is empty.
        let (mut reader, writer) = std::io::pipe().unwrap();
        let builder = Process::builder(shouts, ()).stderr(std::os::fd::OwnedFd::from(writer));
        let process = builder.stdout(Stream::Null).spawn().unwrap();
        assert_eq!(process.join().unwrap(), 0);
        said.clear();
        reader.read_to_string(&mut said).unwrap();
        assert_eq!(said, "0 bytes\n");
    });
}

#[test]
fn a_cancelled_join_leaves_the_process() {
    in_coroutines(|| {
        let (process, end) = waiting();
        let handle = process.handle();
        let joiner = coroutine::spawn(move || process.join());
        until_waiting(joiner.task().id(), "reading");
        joiner.cancel();
        let error = joiner.join().unwrap().unwrap_err();
        assert!(error.is_wait_cancelled(), "{error:?}");
        assert!(handle.is_alive());
        drop(end);
        assert!(handle.wait().unwrap().success());
    });
}

/// As a handle like any other: among coroutines, and killed by its cancellation.
#[test]
fn a_process_is_joined_among_other_tasks() {
    on_each(|| {
        let (process, _end) = waiting();
        let endless = process.handle();
        let quick = Process::spawn(exits, (4,)).unwrap();
        let handles = [process.into_join_handle(), quick.into_join_handle()];
        let mut completed = ropewalk_rt::as_completed(handles);
        let (which, outcome) = completed.next().unwrap();
        assert_eq!(which, 1);
        assert_eq!(death(&outcome.unwrap_err()), (Some(4), None));
        assert!(endless.is_alive());
        drop(completed);
        endless.kill().unwrap();

        let (process, _end) = waiting();
        let ended = process.handle();
        let handle = process.into_join_handle();
        handle.cancel();
        assert!(handle.join().unwrap_err().is_cancelled());
        assert_eq!(ended.wait().unwrap().signal(), Some(libc::SIGKILL));
        // The coroutines that waited have gone when the runtime is looked at.
        endless.wait().unwrap();
    });
}

#[test]
fn handles_go_everywhere() {
    fn everywhere<T: Send + Sync>() {}
    everywhere::<Process<std::cell::Cell<u8>>>();
    everywhere::<ropewalk_process::ProcessHandle>();
    everywhere::<ropewalk_process::Pipe<std::rc::Rc<u8>, std::rc::Rc<u8>>>();
}
