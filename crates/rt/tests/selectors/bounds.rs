//! What a driver can't do, and what it is not called.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::fd::AsRawFd;

use ropewalk_rt::{DriverKind, Runtime};

use crate::{aside, is_aside, pair, passes_aside, stage};

/// Opens files until the next descriptor is `count`.
fn open_below(count: i32) -> Vec<File> {
    let mut files = Vec::new();
    while files
        .last()
        .is_none_or(|file: &File| file.as_raw_fd() < count - 1)
    {
        files.push(File::open("/dev/null").expect("below the limit"));
    }
    files
}

// A high descriptor is refused by select when somebody is to wait for it, with what to do;
// what needs no wait goes on, and the runtime does.
#[test]
fn select_refuses_high_descriptors() {
    if !is_aside() {
        return passes_aside("bounds::select_refuses_high_descriptors", "select");
    }
    let runtime = stage::runtime(DriverKind::Select, 1);
    let files = open_below(1024);
    runtime.run(|| {
        let (near, mut far) = pair();
        assert!(far.as_raw_fd() >= 1024);
        let error = far.read(&mut [0; 4]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        let text = error.to_string();
        assert!(
            text.contains("1024") && text.contains("ROPEWALK_DRIVER=poll"),
            "{text}"
        );
        drop(near);
        assert_eq!(far.read(&mut [0; 4]).unwrap(), 0);
        drop(far);
    });
    // A worker's own descriptor is bound by the same.
    let error = Runtime::builder()
        .driver(DriverKind::Select)
        .workers(1)
        .build()
        .expect_err("its signal is too high");
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    drop(files);
    runtime.run(|| {
        let (near, mut far) = pair();
        let reader = ropewalk_rt::spawn(move || far.read(&mut [0; 4]).unwrap());
        ropewalk_rt::coroutine::yield_now();
        drop(near);
        assert_eq!(reader.join().unwrap(), 0);
    });
    stage::close(runtime);
}

// `poll` has no such bound.
#[test]
fn poll_takes_high_descriptors() {
    if !is_aside() {
        return passes_aside("bounds::poll_takes_high_descriptors", "poll");
    }
    let runtime = stage::runtime(DriverKind::Poll, 1);
    let _files = open_below(1024);
    runtime.run(|| {
        let (near, mut far) = pair();
        assert!(far.as_raw_fd() >= 1024);
        let reader = ropewalk_rt::spawn(move || far.read(&mut [0; 4]).unwrap());
        ropewalk_rt::coroutine::yield_now();
        drop(near);
        assert_eq!(reader.join().unwrap(), 0);
    });
    stage::close(runtime);
}

// The environment chooses by name, and says which names there are.
#[test]
fn the_environment_chooses() {
    if is_aside() {
        match Runtime::builder().workers(1).build() {
            Ok(runtime) => println!("runs on {}", runtime.driver().as_str()),
            Err(error) => println!("refused: {error}"),
        }
        return;
    }
    let said = |driver: &str| {
        let output = aside("bounds::the_environment_chooses", driver);
        String::from_utf8(output.stdout).expect("text")
    };
    for driver in DriverKind::ALL {
        let name = driver.as_str();
        match driver.check() {
            Ok(()) => assert!(said(name).contains(&format!("runs on {name}\n")), "{name}"),
            Err(error) => assert!(said(name).contains(&format!("refused: {error}")), "{name}"),
        }
    }
    let refused = said("kqueue");
    for part in [
        "refused: ROPEWALK_DRIVER=kqueue",
        "io_uring",
        "epoll",
        "poll",
        "select",
    ] {
        assert!(refused.contains(part), "{refused}");
    }
}
