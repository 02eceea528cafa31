//! What waits for descriptors does so alike on each driver: io_uring, epoll, `poll`, `select`.
//!
//! The two oldest calls look at all that is waited for, and only while somebody waits; so what
//! is tried here is above all what changes while a worker is in such a call: waiters of other
//! workers, waits that are given up, descriptors that are closed.

mod bounds;
mod closing;
#[path = "../it/stage.rs"]
#[allow(dead_code)]
mod stage;
mod waiting;

use std::net::SocketAddr;
use std::process::{Command, Output};

use ropewalk_rt::net::{TcpListener, TcpStream};
use ropewalk_rt::{DriverKind, Runtime};

/// Runs `body` in a coroutine with each driver that works here, on one and on two workers.
fn on_all(body: impl Fn() + Sync) {
    on_runtimes(|runtime| runtime.run(&body));
}

/// Likewise, on a plain thread beside a runtime of each kind.
fn on_runtimes(body: impl Fn(&Runtime)) {
    for driver in DriverKind::ALL {
        if let Err(error) = driver.check() {
            eprintln!("skipped: {error}");
            continue;
        }
        for workers in [1, 2] {
            let runtime = stage::runtime(driver, workers);
            assert_eq!(runtime.driver(), driver);
            body(&runtime);
            stage::close(runtime);
        }
    }
}

fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let addr = listener.local_addr().expect("an address");
    (listener, addr)
}

/// Both ends of a connection: the one that connected, the one that was accepted.
fn pair() -> (TcpStream, TcpStream) {
    let (listener, addr) = listener();
    let client = TcpStream::connect(addr).expect("connected");
    let (server, _) = listener.accept().expect("accepted");
    (client, server)
}

const ASIDE: &str = "ROPEWALK_TEST_ASIDE";

/// Runs one of these tests in a process of its own, which says by `ASIDE` that it is.
fn aside(test: &str, driver: &str) -> Output {
    Command::new(std::env::current_exe().expect("this test's executable"))
        .args([test, "--exact", "--nocapture", "--test-threads=1"])
        .env("ROPEWALK_DRIVER", driver)
        .env(ASIDE, "1")
        .output()
        .expect("it runs")
}

fn is_aside() -> bool {
    std::env::var_os(ASIDE).is_some()
}

fn passes_aside(test: &str, driver: &str) {
    let output = aside(test, driver);
    assert!(output.status.success(), "{output:?}");
}
