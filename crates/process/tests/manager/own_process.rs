//! A manager in a process of its own.

use std::path::Path;
use std::time::{Duration, Instant};

use ropewalk_process::manager::{Error, Manager, QueueProxy};
use ropewalk_rt::coroutine;

use super::children::{Other, decode};
use super::served::Counter;
use super::stage::{LONG, await_stats, on_each};

/// Where nobody reaps orphans, as in some containers, a zombie stays: it has ended all the same.
fn is_alive(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"));
    stat.is_ok_and(|stat| !stat.contains(") Z ") && !stat.contains(") X "))
}

#[test]
fn it_serves_and_ends() {
    on_each(|| {
        let manager = Manager::start().unwrap();
        let pid = manager.process_id().unwrap();
        assert_ne!(pid, std::process::id());
        let socket = manager.address().to_string();
        let list = manager.list().unwrap();
        list.push(1).unwrap();
        let counter = manager.object::<Counter>(1).unwrap();
        assert_eq!(counter.call::<i64>("add", &1).unwrap(), 2);
        manager.shutdown().unwrap();
        assert!(!is_alive(pid));
        assert!(!Path::new(&socket).parent().unwrap().exists());
        assert!(list.push(2).unwrap_err().is_gone());
    });
}

#[test]
fn dropping_it_ends_it() {
    // An address that no other test has: else one might get the port when it is free again.
    let manager = Manager::builder()
        .bind("127.0.1.2:0")
        .key("k")
        .start()
        .unwrap();
    let (pid, address) = (manager.process_id().unwrap(), manager.address().clone());
    let other = Manager::connect(&address, "k").unwrap();
    other.dict().unwrap();
    drop(manager);
    assert!(!is_alive(pid));
    assert!(other.dict().unwrap_err().is_gone());
    let nobody = Manager::connect(address, "other").unwrap_err();
    assert!(matches!(nobody, Error::Unreachable { .. }), "{nobody}");
}

#[test]
fn its_death_ends_all_calls() {
    on_each(|| {
        let manager = Manager::start().unwrap();
        let pid = manager.process_id().unwrap();
        let (lock, queue) = (manager.lock().unwrap(), manager.queue().unwrap());
        let _guard = lock.lock().unwrap();
        coroutine::scope(|scope| {
            let waiters = [
                scope.spawn(|| lock.lock().map(drop)),
                scope.spawn(|| queue.get::<u8>().map(drop)),
            ];
            await_stats(&manager, "both to wait", |stats| stats.waiting == 2);
            // SAFETY: only numbers; it is our child, which nobody has waited for.
            assert_eq!(unsafe { libc::kill(pid as i32, libc::SIGKILL) }, 0);
            for waiter in waiters {
                let error = waiter.join().unwrap().unwrap_err();
                assert!(matches!(error, Error::Lost(_)), "{error}");
            }
        });
        assert!(matches!(queue.put(1).unwrap_err(), Error::Lost(_)));
    });
}

pub(crate) fn start_and_wait(orders: &[u8]) {
    let told: QueueProxy = decode(orders);
    // Whether this process may start one depends on the test binary's hook, which it has.
    let manager = Manager::start().unwrap();
    let address = manager.address().to_string();
    told.put(&(manager.process_id().unwrap(), address)).unwrap();
    manager.event().unwrap().wait().unwrap();
}

/// Whoever started it is killed: it doesn't stay behind.
#[test]
fn it_ends_with_its_parent() {
    let manager = Manager::start().unwrap();
    let told = manager.queue().unwrap();
    let parent = Other::start("starter", &told);
    let (pid, socket): (u32, String) = told.get().unwrap();
    assert!(is_alive(pid));
    parent.kill();
    let begun = Instant::now();
    while is_alive(pid) {
        assert!(begun.elapsed() < LONG, "it lives on");
        std::thread::sleep(Duration::from_millis(2));
    }
    // Nobody was left to take its directory away; this one's alone is.
    let _ = std::fs::remove_dir_all(Path::new(&socket).parent().unwrap());
}
