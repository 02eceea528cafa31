//! What clients see when the manager ends.

use std::time::Duration;

use ropewalk_process::manager::{Error, Manager};
use ropewalk_rt::coroutine;

use super::stage::{await_stats, on_each, served};

#[test]
fn a_shut_down_ends_all_calls() {
    on_each(|| {
        let (server, manager) = served();
        let (lock, queue) = (manager.lock().unwrap(), manager.queue().unwrap());
        let event = manager.event().unwrap();
        let guard = lock.lock().unwrap();
        coroutine::scope(|scope| {
            let waiters = [
                scope.spawn(|| lock.lock().map(drop)),
                scope.spawn(|| queue.get::<u8>().map(drop)),
                scope.spawn(|| event.wait_timeout(Duration::from_secs(3600)).map(drop)),
            ];
            await_stats(&manager, "all to wait", |stats| stats.waiting == 3);
            server.shutdown();
            for waiter in waiters {
                let error = waiter.join().unwrap().unwrap_err();
                assert!(matches!(error, Error::ShutDown), "{error}");
            }
        });
        assert!(matches!(queue.put(1).unwrap_err(), Error::ShutDown));
        assert!(manager.dict().unwrap_err().is_gone());
        assert!(guard.unlock().unwrap_err().is_gone());
    });
}

#[test]
fn a_client_may_ask_for_the_end() {
    on_each(|| {
        let (server, manager) = served();
        let address = server.address().clone();
        coroutine::scope(|scope| {
            let forever = scope.spawn(|| server.serve_forever());
            manager.shutdown().unwrap();
            forever.join().unwrap().unwrap();
        });
        let nobody = Manager::connect(address, "any").unwrap_err();
        assert!(matches!(nobody, Error::Unreachable { .. }), "{nobody}");
    });
}

#[test]
fn serving_is_cancelled() {
    let (server, manager) = served();
    coroutine::scope(|scope| {
        let (begins, begun) = std::sync::mpsc::channel();
        let forever = scope.spawn(move || {
            begins.send(()).unwrap();
            server.serve_forever()
        });
        // One that is cancelled before it begins never does.
        begun.recv().unwrap();
        manager.dict().unwrap();
        forever.cancel();
        assert!(forever.join().unwrap().unwrap_err().is_cancelled());
    });
    assert!(manager.dict().unwrap_err().is_gone());
}

#[test]
fn a_dropped_server_leaves_nothing() {
    let (server, manager) = served();
    let dir = server.address().to_string();
    let dir = std::path::Path::new(&dir).parent().unwrap().to_owned();
    assert!(dir.join("key").exists());
    drop(server);
    assert!(!dir.exists());
    assert!(manager.dict().unwrap_err().is_gone());
}

/// A process has one connection to a manager, and none once it has no proxies.
#[test]
fn connections_end_with_their_last_user() {
    let (server, manager) = served();
    let other = server.manager().unwrap();
    let list = other.list().unwrap();
    assert_eq!(manager.stats().unwrap().clients, 1);
    drop((manager, other));
    list.push(1).unwrap();
    drop(list);
    let again = server.manager().unwrap();
    await_stats(&again, "the first to be gone", |stats| stats.clients == 1);
    assert_eq!(again.stats().unwrap().objects, 0);
}
