//! Ctrl-C and SIGTERM.

use std::io::{Read, Write};
use std::net::TcpStream;

use rustix::process::Signal;

use crate::process::{Folder, Running, record, ropewalk};
use crate::serve::Server;
use crate::site::Site;

/// The first Ctrl-C ends with a summary of what was done and leaves no half files.
#[test]
fn fetch_sums_up() {
    let site = Site::start();
    let folder = Folder::new();
    let (ok, hold) = (site.url("/ok/1"), site.url("/hold/1"));
    let args = ["fetch", "-o", folder.path().to_str().unwrap(), &ok, &hold];
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        let mut running = Running::start(&mut ropewalk(args));
        assert_eq!(record(&running.out_line())["url"], ok);
        site.wait_for("/hold/1", if code == 130 { 1 } else { 2 });
        running.signal(signal);
        let finished = running.finish();
        assert_eq!(finished.code, Some(code), "{finished:?}");
        assert!(
            finished.err.contains("1 fetched, 0 failed, 1 not finished"),
            "{}",
            finished.err
        );
        assert_eq!(folder.names("").len(), 1, "{:?}", folder.names(""));
    }
}

/// What was under way when the signal came is given time to end.
#[test]
fn fetch_waits_a_moment() {
    let site = Site::start();
    let mut running = Running::start(&mut ropewalk([
        "fetch",
        "-c",
        "1",
        &site.url("/hold/1"),
        "x:",
    ]));
    record(&running.out_line());
    site.wait_for("/hold/1", 1);
    running.signal(Signal::INT);
    assert!(running.err_line().contains("interrupted"));
    site.release();
    let finished = running.finish();
    assert_eq!(finished.code, Some(130), "{finished:?}");
    assert!(
        finished.err.contains("1 fetched, 1 failed, 0 not finished"),
        "{}",
        finished.err
    );
}

/// Ctrl-C ends a whole pipeline: that the reader of the records is gone then is no reason to leave
/// without the summary.
#[test]
fn fetch_sums_up_without_a_reader() {
    let site = Site::start();
    let mut running = Running::start(&mut ropewalk(["fetch", &site.url("/hold/1")]));
    site.wait_for("/hold/1", 1);
    running.signal(Signal::INT);
    assert!(running.err_line().contains("interrupted"));
    drop(running.out.take());
    site.release();
    let finished = running.finish();
    assert_eq!(finished.code, Some(130), "{finished:?}");
    assert!(
        finished.err.contains("1 fetched, 0 failed, "),
        "{}",
        finished.err
    );
}

#[test]
fn second_signal_ends_at_once() {
    let site = Site::start();
    let mut running = Running::start(&mut ropewalk(["fetch", &site.url("/hold/1")]));
    site.wait_for("/hold/1", 1);
    running.signal(Signal::INT);
    assert!(running.err_line().contains("interrupted"));
    running.signal(Signal::INT);
    let finished = running.finish();
    assert_eq!((finished.code, finished.err.as_str()), (Some(130), ""));
}

#[test]
fn serve_ends_well() {
    for signal in [Signal::INT, Signal::TERM] {
        let folder = Folder::new();
        folder.write("a.txt", "a");
        let server = Server::start(folder.path(), &[]);
        // A connection kept alive and one that never said anything don't hold it up.
        let mut kept = TcpStream::connect(server.address).unwrap();
        kept.write_all(b"GET /a.txt HTTP/1.1\r\nHost: h\r\n\r\n")
            .unwrap();
        kept.read_exact(&mut [0; 10]).unwrap();
        let _silent = TcpStream::connect(server.address).unwrap();
        server.running.signal(signal);
        let finished = server.running.finish();
        assert_eq!(finished.code, Some(0), "{finished:?}");
    }
}
