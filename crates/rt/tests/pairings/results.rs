//! Promises and join handles.

use std::sync::{Arc, Mutex};

use ropewalk_rt::promise::{Promise, PromiseHandle, promise};
use ropewalk_rt::{JoinHandle, channel, coroutine};

use crate::pair::{Case, PARTIES};

#[test]
fn promises() {
    type Ends = Mutex<(Option<Promise<u32>>, Option<PromiseHandle<u32>>)>;
    fn handle(ends: &Ends) -> PromiseHandle<u32> {
        ends.lock().unwrap().1.take().unwrap()
    }
    fn keep(ends: &Ends) {
        let promise = ends.lock().unwrap().0.take().unwrap();
        promise.set(9).unwrap();
    }
    let case = Case {
        make: || {
            let (promise, handle) = promise();
            Mutex::new((Some(promise), Some(handle)))
        },
        wait: |ends: &Ends| handle(ends).join().unwrap() == 9,
        wait_async: |ends: Arc<Ends>| async move { handle(&ends).await.unwrap() == 9 },
        wake: keep,
        wake_async: |ends: Arc<Ends>| async move { keep(&ends) },
    };
    case.run(&PARTIES, &PARTIES);
}

#[test]
fn join_handles() {
    struct Target {
        go: channel::Sender<u32>,
        handle: Mutex<Option<JoinHandle<u32>>>,
    }
    fn handle(target: &Target) -> JoinHandle<u32> {
        target.handle.lock().unwrap().take().unwrap()
    }
    let case = Case {
        make: || {
            let (go, gate) = channel::bounded(1);
            let handle = coroutine::spawn(move || gate.recv().unwrap() + 1);
            Target {
                go,
                handle: Mutex::new(Some(handle)),
            }
        },
        wait: |target: &Target| handle(target).join().unwrap() == 5,
        wait_async: |target: Arc<Target>| async move { handle(&target).await.unwrap() == 5 },
        wake: |target: &Target| target.go.send(4).unwrap(),
        wake_async: |target: Arc<Target>| async move { target.go.send_async(4).await.unwrap() },
    };
    case.run(&PARTIES, &PARTIES);
}
