//! Channels of each flavour, in both directions, and selecting over them.

use std::sync::Arc;

use ropewalk_rt::channel::{self, Receiver, Sender};
use ropewalk_rt::select;

use crate::pair::{Case, PARTIES};

type Ends = (Sender<u32>, Receiver<u32>);

fn receiving(make: fn() -> Ends) {
    let case = Case {
        make,
        wait: |(_, receiver): &Ends| receiver.recv() == Ok(7),
        wait_async: |ends: Arc<Ends>| async move { ends.1.recv_async().await == Ok(7) },
        wake: |(sender, _): &Ends| sender.send(7).unwrap(),
        wake_async: |ends: Arc<Ends>| async move { ends.0.send_async(7).await.unwrap() },
    };
    case.run(&PARTIES, &PARTIES);
}

fn sending(make: fn() -> Ends) {
    let case = Case {
        make,
        wait: |(sender, _): &Ends| sender.send(8).is_ok(),
        wait_async: |ends: Arc<Ends>| async move { ends.0.send_async(8).await.is_ok() },
        wake: |(_, receiver): &Ends| {
            receiver.recv().unwrap();
        },
        wake_async: |ends: Arc<Ends>| async move {
            ends.1.recv_async().await.unwrap();
        },
    };
    case.run(&PARTIES, &PARTIES);
}

#[test]
fn bounded_receive() {
    receiving(|| channel::bounded(3));
}

#[test]
fn unbounded_receive() {
    receiving(channel::unbounded);
}

#[test]
fn rendezvous_receive() {
    receiving(|| channel::bounded(0));
}

#[test]
fn rendezvous_send() {
    sending(|| channel::bounded(0));
}

#[test]
fn bounded_send() {
    sending(|| {
        let ends = channel::bounded(1);
        ends.0.send(1).unwrap();
        ends
    });
}

#[test]
fn disconnection() {
    use std::sync::Mutex;
    type Half = (Mutex<Option<Sender<u32>>>, Receiver<u32>);
    let case = Case {
        make: || {
            let (sender, receiver) = channel::bounded(1);
            (Mutex::new(Some(sender)), receiver)
        },
        wait: |(_, receiver): &Half| receiver.recv().is_err(),
        wait_async: |half: Arc<Half>| async move { half.1.recv_async().await.is_err() },
        wake: |(sender, _): &Half| drop(sender.lock().unwrap().take()),
        wake_async: |half: Arc<Half>| async move { drop(half.0.lock().unwrap().take()) },
    };
    case.run(&PARTIES, &PARTIES);
}

#[test]
fn selecting() {
    type Two = [Ends; 2];
    fn either(two: &Two) -> bool {
        select! {
            recv(two[0].1) -> message => message == Ok(1),
            recv(two[1].1) -> message => message == Ok(2),
        }
    }
    let case = Case {
        make: || [channel::bounded(0), channel::bounded(1)],
        wait: either,
        // An async task may block, as a coroutine does.
        wait_async: |two: Arc<Two>| async move { either(&two) },
        wake: |two: &Two| {
            select! {
                send(two[0].0, 1) -> sent => sent.unwrap(),
                send(two[1].0, 2) -> sent => sent.unwrap(),
            }
        },
        wake_async: |two: Arc<Two>| async move { two[1].0.send_async(2).await.unwrap() },
    };
    case.run(&PARTIES, &PARTIES);
}
