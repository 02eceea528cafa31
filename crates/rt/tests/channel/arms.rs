//! Arms that join, arms that panic, operations that are selected and not completed, and selects
//! that are cancelled.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use ropewalk_rt::cancel::{self, Token};
use ropewalk_rt::channel::{RecvError, Select, bounded, never, select, unbounded};
use ropewalk_rt::sync::Event;
use ropewalk_rt::{coroutine, spawn, spawn_async, thread};

use crate::fixture::{
    BUFFERED, CAPACITIES, FAR, Message, SOON, Tally, join_all, make, start, until_waits,
};
use crate::stage::{on_each, until};

fn panics<T>(body: impl FnOnce() -> T) -> bool {
    catch_unwind(AssertUnwindSafe(body)).is_err()
}

// The end of a coroutine, a thread or an async task, with its value.
#[test]
fn joining() {
    on_each(|| {
        let (_sender, receiver) = unbounded::<u8>();
        let tasks = [spawn(|| 1), thread::spawn(|| 2), spawn_async(async { 3 })];
        for (n, mut task) in tasks.into_iter().enumerate() {
            let value = select! {
                join(task) -> result => result.unwrap(),
                recv(receiver) -> _ => unreachable!(),
            };
            assert_eq!(value, n + 1);
        }
        let mut gone = spawn(|| resume_unwind(Box::new("on purpose")));
        select! {
            join(gone) -> result => {
                let error: Result<(), _> = result;
                assert!(error.unwrap_err().is_panic());
            }
            recv(never::<u8>()) -> _ => unreachable!(),
        }
    });
}

// What comes first: a message or the end of the task that sends it; in the end both came.
#[test]
fn messages_and_ends() {
    on_each(|| {
        for capacity in CAPACITIES {
            let (sender, receiver) = make(capacity);
            let (mut seen, mut ended) = (Vec::new(), false);
            let mut task = start(capacity.unwrap_or(1), move || {
                (0..50).for_each(|n| sender.send(n).unwrap());
                "done"
            });
            while !ended {
                select! {
                    recv(receiver) -> n => match n {
                        Ok(n) => seen.push(n),
                        // Disconnected; now it will end.
                        Err(_) => {
                            let value = select! { join(task) -> value => value.unwrap() };
                            assert_eq!(value, "done");
                            ended = true;
                        }
                    },
                    join(task) -> value => {
                        assert_eq!(value.unwrap(), "done");
                        ended = true;
                    }
                }
            }
            seen.extend(receiver.try_iter());
            assert!(seen.into_iter().eq(0..50));
        }
    });
}

// A task that goes on is left alone by a select that takes another arm, or its time.
#[test]
fn a_task_that_goes_on() {
    on_each(|| {
        let gate = Arc::new(Event::new());
        let theirs = Arc::clone(&gate);
        let mut task = spawn(move || theirs.wait().is_ok());
        let (sender, receiver) = bounded(1);
        for _ in 0..3 {
            select! {
                join(task) -> _ => unreachable!(),
                default => {}
            }
            select! {
                join(task) -> _ => unreachable!(),
                default(SOON) => {}
            }
            sender.send(1).unwrap();
            select! {
                join(task) -> _ => unreachable!(),
                recv(receiver) -> n => assert_eq!(n, Ok(1)),
            }
        }
        gate.set();
        let ended = select! { join(task) -> result => result.unwrap(), default(FAR) => false };
        assert!(ended);
        // Its value is gone.
        assert!(panics(
            || select! { join(task) -> _ => (), default(SOON) => () }
        ));
    });
}

// A list of handles, and who ended first.
#[test]
fn a_list_of_tasks() {
    on_each(|| {
        let gates: Vec<_> = (0..4).map(|_| Arc::new(Event::new())).collect();
        let tasks: Vec<_> = (0..4)
            .map(|n| {
                let gate = Arc::clone(&gates[n]);
                start(n, move || {
                    gate.wait().unwrap();
                    n * 10
                })
            })
            .collect();
        let mut select = Select::new();
        tasks.iter().for_each(|task| {
            select.join(task);
        });
        for n in [2, 0, 3, 1] {
            assert!(select.try_select().is_err());
            gates[n].set();
            assert_eq!(select.ready(), n);
            let operation = select.select();
            assert_eq!(operation.index(), n);
            operation.join(&tasks[n]);
            select.remove(n);
        }
        assert!(join_all(tasks).into_iter().eq([0, 10, 20, 30]));
    });
}

// Two wait for one task's end in selects; both hear of it.
#[test]
fn an_end_for_several() {
    on_each(|| {
        let gate = Arc::new(Event::new());
        let theirs = Arc::clone(&gate);
        let task = Arc::new(spawn(move || theirs.wait().is_ok()));
        let watchers: Vec<_> = (0..3)
            .map(|n| {
                let task = Arc::clone(&task);
                start(n, move || {
                    let mut select = Select::new();
                    select.join(&task);
                    select.ready()
                })
            })
            .collect();
        watchers
            .iter()
            .for_each(|watcher| until_waits(watcher, "selecting"));
        gate.set();
        assert_eq!(join_all(watchers), [0, 0, 0]);
    });
}

// A panic in an arm's body: the operation is done, and the channel works on.
#[test]
fn a_panic_in_a_body() {
    on_each(|| {
        for capacity in CAPACITIES {
            let (sender, receiver) = make(capacity);
            let partner = start(1, {
                let sender = sender.clone();
                move || (0..3).for_each(|n| sender.send(n).unwrap())
            });
            let caught = panics(|| {
                select! {
                    recv(receiver) -> n => resume_unwind(Box::new(n.unwrap())),
                    recv(never::<u8>()) -> _ => unreachable!(),
                }
            });
            assert!(caught);
            assert_eq!((receiver.recv(), receiver.recv()), (Ok(1), Ok(2)));
            partner.join().unwrap();
            assert!(receiver.is_empty());
        }
    });
}

fn no_message() -> u8 {
    resume_unwind(Box::new("no message"))
}

// A panic while the message is made: nothing is sent, and who would have received goes on
// waiting for the next.
#[test]
fn a_panic_in_a_message() {
    on_each(|| {
        for capacity in CAPACITIES {
            for kind in 0..2 {
                let (sender, receiver) = make::<u8>(capacity);
                let taker = start(kind, move || receiver.iter().collect::<Vec<_>>());
                until_waits(&taker, "receiving");
                for _ in 0..3 {
                    let caught = panics(|| {
                        select! {
                            send(sender, no_message()) -> _ => unreachable!(),
                            recv(never::<u8>()) -> _ => unreachable!(),
                        }
                    });
                    assert!(caught);
                }
                sender.send(5).unwrap();
                sender.send(6).unwrap();
                drop(sender);
                assert_eq!(taker.join().unwrap(), [5, 6], "{capacity:?}");
            }
        }
    });
}

// A selected operation that isn't completed is a mistake, and told; others go on.
#[test]
fn not_completed() {
    on_each(|| {
        for capacity in BUFFERED {
            let tally = Tally::default();
            let (sender, receiver) = make(capacity);
            let dropped = panics(|| {
                let mut select = Select::new();
                select.send(&sender);
                drop(select.select());
            });
            assert!(dropped);
            assert!(receiver.try_recv().is_err());
            (0..3).for_each(|_| {
                assert!(sender.send(tally.message()).is_ok());
                assert!(receiver.recv().is_ok());
            });
            assert!(sender.send(tally.message()).is_ok());
            let dropped = panics(|| {
                let mut select = Select::new();
                select.recv(&receiver);
                drop(select.select());
            });
            // The message that it had is gone, but once.
            assert!(dropped && tally.alive() == receiver.len());
            drop((sender, receiver));
            assert_eq!(tally.alive(), 0);
        }
    });
}

// Messages that lie behind a place which a select still holds go with the last receiver too, at
// the latest when that place is filled or given up.
#[test]
fn receivers_leave_while_a_place_is_held() {
    on_each(|| {
        for capacity in [Some(4), Some(64), None] {
            for completed in [true, false] {
                let tally = Tally::default();
                let (sender, receiver) = make(capacity);
                let caught = panics(|| {
                    let mut select = Select::new();
                    select.send(&sender);
                    let operation = select.select();
                    assert!(sender.send(tally.message()).is_ok());
                    drop(receiver);
                    if completed {
                        assert!(operation.send(&sender, tally.message()).is_err());
                    } else {
                        drop(operation);
                    }
                });
                assert_eq!(caught, !completed);
                assert_eq!(tally.alive(), 0, "{capacity:?}, completed: {completed}");
                assert!(sender.send(tally.message()).is_err());
            }
        }
    });
}

// At a rendezvous the partner of an operation that isn't completed meets another.
#[test]
fn not_completed_with_a_partner() {
    on_each(|| {
        for kind in 0..2 {
            let tally = Tally::default();
            let (sender, receiver) = bounded::<Message>(0);
            let taker = start(kind, {
                let receiver = receiver.clone();
                move || receiver.recv().map(|message| message.number)
            });
            until_waits(&taker, "receiving");
            assert!(panics(|| {
                let mut select = Select::new();
                select.send(&sender);
                drop(select.select());
            }));
            assert!(sender.send(tally.message()).is_ok());
            assert_eq!(taker.join().unwrap(), Ok(0));
            assert_eq!(tally.alive(), 0);
        }
    });
}

// A cancelled select ends, with an operation that fails; nothing is lost.
#[test]
fn cancelled() {
    on_each(|| {
        for kind in 0..2 {
            for capacity in CAPACITIES {
                let (sender, receiver) = make::<u8>(capacity);
                let theirs = receiver.clone();
                let waiter = start(kind, move || {
                    let failed = select! {
                        recv(theirs) -> n => n == Err(RecvError),
                        recv(never::<u8>()) -> n => n.is_err(),
                    };
                    failed && cancel::check().is_err()
                });
                until_waits(&waiter, "selecting");
                waiter.cancel();
                assert!(waiter.join().unwrap());
                let Some(room) = capacity else { continue };
                (0..room).for_each(|_| sender.send(1).unwrap());
                let waiter = start(kind, move || {
                    select! {
                        send(sender, 9) -> sent => sent.map_err(|error| error.into_inner()),
                        send(sender, 9) -> sent => sent.map_err(|error| error.into_inner()),
                    }
                });
                until_waits(&waiter, "selecting");
                waiter.cancel();
                assert_eq!(waiter.join().unwrap(), Err(9));
                assert_eq!(receiver.iter().count(), room);
            }
        }
    });
}

// Under a deadline; and what could be done at once is done all the same.
#[test]
fn under_a_deadline() {
    on_each(|| {
        let (sender, receiver) = unbounded();
        let late = cancel::timeout(SOON, || {
            select! {
                recv(receiver) -> n => n,
                recv(never::<u8>()) -> n => n,
            }
        });
        assert_eq!(late.unwrap_err().into_inner(), Err(RecvError));
        sender.send(1).unwrap();
        let token = Token::new();
        token.cancel();
        token.run(|| {
            select! {
                recv(receiver) -> n => assert_eq!(n, Ok(1)),
                recv(never::<u8>()) -> _ => unreachable!(),
            }
        });
    });
}

// A cancelled select with an arm that joins: the task goes on.
#[test]
fn cancelled_while_joining() {
    on_each(|| {
        let gate = Arc::new(Event::new());
        let ended = Arc::new(AtomicUsize::new(0));
        let (theirs, count) = (Arc::clone(&gate), Arc::clone(&ended));
        let mut task = coroutine::Builder::new().name("goes on").spawn(move || {
            theirs.wait().unwrap();
            count.fetch_add(1, Ordering::SeqCst);
        });
        let waiter = spawn(move || {
            select! {
                join(task.as_mut().unwrap()) -> result => result.is_err(),
                recv(never::<u8>()) -> n => n.is_err(),
            }
        });
        until_waits(&waiter, "selecting");
        waiter.cancel();
        assert!(waiter.join().unwrap());
        assert_eq!(ended.load(Ordering::SeqCst), 0);
        gate.set();
        until(|| ended.load(Ordering::SeqCst) == 1);
    });
}
