//! What workers print.

use ropewalk_process::ProcessPool;
use ropewalk_rt::executor::RunTask;

use crate::alone;
use crate::tasks;

fn print_something(prefix: bool) {
    let pool = ProcessPool::builder()
        .workers(1)
        .name("speaker")
        .prefix_output(prefix)
        .build()
        .unwrap();
    let both = |out: &str, err: &str| {
        let args = (out.to_owned(), err.to_owned());
        pool.submit(tasks::prints, args).unwrap().join().unwrap();
    };
    both("one\ntwo\nhalf", "to the error\n");
    both(" a line\nunended", "");
    pool.shutdown(true, false).unwrap();
}

#[test]
#[ignore = "needs a process of its own"]
fn alone_plain() {
    print_something(false);
}

#[test]
#[ignore = "needs a process of its own"]
fn alone_prefixed() {
    print_something(true);
}

#[test]
#[ignore = "needs a process of its own"]
fn alone_with_a_child() {
    let pool = ProcessPool::builder()
        .workers(1)
        .name("speaker")
        .prefix_output(true)
        .build()
        .unwrap();
    let args = ("unended".to_owned(),);
    let child = pool.submit(tasks::prints_and_leaves_a_child, args);
    let child = child.unwrap().join().unwrap();
    pool.shutdown(true, false).unwrap();
    let child = rustix::process::Pid::from_raw(child as i32).unwrap();
    rustix::process::kill_process(child, rustix::process::Signal::KILL).unwrap();
}

/// What a worker has started may outlive it and hold its output open: the pool doesn't wait for
/// that, and a line without an end was lost then.
#[test]
fn a_child_of_a_worker_keeps_no_line_back() {
    let output = alone::command("output::alone_with_a_child")
        .output()
        .unwrap();
    let stdout = String::from_utf8(output.stdout).unwrap();
    assert!(stdout.contains("speaker-0| unended\n"), "{stdout}");
}

#[test]
fn it_comes_out_as_it_is() {
    let output = alone::command("output::alone_plain").output().unwrap();
    let stdout = String::from_utf8(output.stdout).unwrap();
    assert!(
        stdout.contains("one\ntwo\nhalf a line\nunended"),
        "{stdout}"
    );
    // Nothing of the harness that workers are started with.
    assert_eq!(stdout.matches("running 1 test").count(), 1, "{stdout}");
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.contains("to the error\n"), "{stderr}");
}

#[test]
fn it_comes_out_line_by_line_with_the_workers_name() {
    let output = alone::command("output::alone_prefixed").output().unwrap();
    let stdout = String::from_utf8(output.stdout).unwrap();
    let expected = "speaker-0| one\nspeaker-0| two\nspeaker-0| half a line\nspeaker-0| unended\n";
    assert!(stdout.contains(expected), "{stdout}");
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.contains("speaker-0| to the error\n"), "{stderr}");
}
